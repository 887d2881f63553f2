// The ticks that a recording's timestamps are written in.

const SECOND = 1_000_000_000n;
/** RTP's and MPEG's clock for video; it has whole ticks for most frame rates. */
const USUAL = 90_000n;
/** Has whole ticks for 59.94 frames a second. */
const NTSC = 60_000n;
/** For a source whose ticks cannot be told. */
const FINE = 1_000_000n;
/** Above √10⁹ ticks a second several fractions of a second lie within 1 ns of a timestamp. */
const COARSEST_AMBIGUOUS = 31_623n;

/**
 * Ticks a second that hold every one of `times` (ns, each rounded from ticks of the source's own), so that the
 * source's timestamps can be had back exactly; 1000000 where no ticks do.
 */
export function timescaleOf(times: readonly bigint[]): number {
  const candidates = [USUAL, commonTicks(times), NTSC];
  return Number(candidates.find((scale) => scale !== undefined && holds(scale, times)) ?? FINE);
}

/** Whether every time, seen from the first, is a whole number of ticks, rounded. */
function holds(scale: bigint, times: readonly bigint[]): boolean {
  return times.every((time) => {
    const offset = time - times[0]!;
    const ticks = nearest(offset * scale, SECOND);
    const error = nearest(ticks * SECOND, scale) - offset;
    // Two rounded timestamps: their difference is at most 1 ns off.
    return error >= -1n && error <= 1n;
  });
}

/** The least common multiple of the ticks that each step between two times needs. */
function commonTicks(times: readonly bigint[]): bigint | undefined {
  let scale = 1n;
  for (let index = 1; index < times.length; index++) {
    const step = times[index]! - times[index - 1]!;
    const ticks = denominatorNear(step < 0n ? -step : step);
    scale = scale / gcd(scale, ticks) * ticks;
    if (scale >= COARSEST_AMBIGUOUS) return undefined;
  }
  return scale;
}

/** The smallest denominator of all fractions of a second within 1 ns of `ns`, by continued fractions. */
function denominatorNear(ns: bigint): bigint {
  let low = { numerator: ns > 0n ? ns - 1n : 0n, denominator: SECOND };
  let high = { numerator: ns + 1n, denominator: SECOND };
  let [before, result] = [1n, 0n];
  for (;;) {
    const whole = low.numerator / low.denominator;
    const exact = whole * low.denominator === low.numerator;
    // Where a whole number lies between the two ends, it is the simplest.
    if (exact) return whole * result + before;
    if (whole < high.numerator / high.denominator) return (whole + 1n) * result + before;
    [before, result] = [result, whole * result + before];
    const rest = ({ numerator, denominator }: typeof low) => ({
      numerator: denominator,
      denominator: numerator - whole * denominator,
    });
    [low, high] = [rest(high), rest(low)];
  }
}

function nearest(dividend: bigint, divisor: bigint): bigint {
  const half = dividend < 0n ? -divisor / 2n : divisor / 2n;
  return (dividend + half) / divisor;
}

function gcd(a: bigint, b: bigint): bigint {
  while (b !== 0n) [a, b] = [b, a % b];
  return a;
}
