/** This file reads and finds frame rates, which are fractions. */
import { InvalidArgumentError } from "commander";
import type { FrameRate } from "../media/mod.ts";

/** The largest denominator of a rate: NTSC's is 1001. */
const DENOMINATOR_MAX = 1001;
/** A second in ns. */
const SECOND = 1_000_000_000;

/** Parses `25`, `29.97` or `30000/1001`. */
export function frameRate(text: string): FrameRate {
  const [, numerator, denominator = "1"] = /^(\d+(?:\.\d+)?)(?:\/(\d+))?$/.exec(text) ?? [];
  const value = Number(numerator) / Number(denominator);
  if (value > 0 && value <= 1000) return fraction(value);
  throw new InvalidArgumentError("It must be frames a second, as 25, 29.97 or 30000/1001, up to 1000.");
}

/**
 * The rate of a publisher's frames: as a frame's duration declares it, else as it was measured; undefined where neither
 * is known.
 */
export function frameRateOf(durationNs: bigint, measured: number): FrameRate | undefined {
  const declared = SECOND / Number(durationNs);
  if (durationNs > 0n && declared <= 1000) return fraction(declared);
  if (measured <= 0 || measured > 1000) return undefined;
  // A measurement of some frames has no decimals to speak of, but for slow cameras.
  return measured >= 10
    ? { num: Math.round(measured), den: 1 }
    : { num: Math.max(1, Math.round(measured * 100)), den: 100 };
}

/** The fraction nearest to a rate, the simplest one of those that are as near as durations in ns can tell. */
function fraction(rate: number): FrameRate {
  for (const den of [1, 1001]) {
    const num = den === 1 ? Math.round(rate) : Math.round(rate * DENOMINATOR_MAX / 1000) * 1000;
    if (num > 0 && Math.abs(num / den - rate) < rate * 2e-6) return { num, den };
  }
  return { num: Math.max(1, Math.round(rate * 1000)), den: 1000 };
}
