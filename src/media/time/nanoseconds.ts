/** This file is what lines of time are reckoned with: nanoseconds, as bigints. */

/** The later of two times. */
export function later(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

/** Now, by this machine's monotonic clock. */
export function clockNs(): bigint {
  return BigInt(Math.round(performance.now() * 1e6));
}
