// Blocking the thread in native code, for the calls that end in "Sync" and for the policy "wait".

import { isMainThread } from "node:worker_threads";
import { ERROR_CODES } from "../core/mod.ts";

/** The longest that one native call waits. */
const SLICE_MS = 500;

/**
 * Blocks in native code; in a worker in slices, since one that is to be terminated can only be ended between two of them.
 *
 * @param timeout milliseconds; -1 is for ever
 * @param wait waits that long at most; `first`: for the first time
 * @returns its result, which is TIMEOUT only when the time is over
 */
export function waitInSlices(
  timeout: number,
  wait: (milliseconds: number, first: boolean) => number,
): number {
  // Nobody terminates a main thread, and a wait without an end needs no timer of the kernel's, which costs 2 µs.
  if (isMainThread || timeout >= 0 && timeout <= SLICE_MS) return wait(timeout, true);
  const deadline = timeout < 0 ? Infinity : performance.now() + timeout;
  let result = wait(SLICE_MS, true);
  while (result === ERROR_CODES.TIMEOUT) {
    const left = deadline - performance.now();
    if (left <= SLICE_MS) return wait(Math.max(1, Math.ceil(left)), false);
    result = wait(SLICE_MS, false);
  }
  return result;
}
