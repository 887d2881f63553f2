/** This file says which presentation times of a source are believed. */
import { BREAK, type SourceTimes } from "./source_times.ts";

const SECOND = 1_000_000_000n;
/** A presentation time this long, and `REORDERED_FRAMES`, after its decode time is damage. */
const LATE = 10n * SECOND;
/** The same in a file that has one clock, and pauses on it. */
const LATE_IN_FILES = 86_400n * SECOND;
/** H.264 and HEVC hold at most 16 frames back. */
const REORDERED_FRAMES = 16n;

/** How far ahead of its decode time a frame of such a duration can be shown, by reordering. */
export function reorderingOf(durationNs: bigint): bigint {
  return REORDERED_FRAMES * durationNs;
}

/** The presentation time of a packet whose clock is out of place: where it would be, if that were not. */
export function shifted(
  { pts, dts }: SourceTimes,
  expected: bigint,
  durationNs: bigint,
): bigint | undefined {
  if (pts === undefined || dts === undefined) return undefined;
  const window = reorderingOf(durationNs);
  const movedTogether = pts - dts <= window && pts - dts >= -window;
  return movedTogether ? expected + (pts - dts) : pts;
}

/** The presentation times of a connection. */
export class PresentationTimes {
  /** How long after its decode time a packet was shown last, and whether one was not believed since. */
  #delay: { readonly ns: bigint; readonly doubted: boolean } | undefined;

  /** Another connection begins. */
  reset(): void {
    this.#delay = undefined;
  }

  /**
   * A presentation time that is not too far from the decode time; one alone that is later than before is not believed.
   *
   * @param breaks whether the source's clock may err
   */
  believe(pts: bigint | undefined, decode: bigint, durationNs: bigint, breaks: boolean): bigint | undefined {
    if (pts === undefined) return undefined;
    const after = pts - decode;
    const window = reorderingOf(durationNs);
    if (after > window + (breaks ? LATE : LATE_IN_FILES) || after < -window) return undefined;
    const { ns, doubted } = this.#delay ?? { ns: after, doubted: false };
    const isDoubted = breaks && !doubted && after - ns > window + BREAK;
    this.#delay = isDoubted ? { ns, doubted: true } : { ns: after, doubted: false };
    return isDoubted ? undefined : pts;
  }
}
