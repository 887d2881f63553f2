/** This file has a packet's times as its source gives them, and asks of a clock whether they go on, come back, or jump. */

const SECOND = 1_000_000_000n;
/** Times this far from where the clock should be are no slip of it. */
export const BREAK: bigint = SECOND;
/** A decode time that is back by more is no slip, if it is longer than two packets. */
const SLIP = SECOND / 10n;
/** So many packets behind one that is out of place are looked at, to know whether it was that packet or the clock. */
const WITNESSES = 3;
/** They are not waited for longer, but for the first of them. */
const PATIENCE = SECOND / 2n;
/** At the end of an input, whose last packet nothing follows, a gap may be as long: time lapses have a frame a minute. */
const LONGEST_LAST_GAP = 60n * SECOND;

/** A packet's times as its source gives them, in ns. */
export interface SourceTimes {
  readonly pts: bigint | undefined;
  readonly dts: bigint | undefined;
  /** 0: it states none. */
  readonly duration: bigint;
  /** When it came, by a clock of this machine that never goes back. */
  readonly atNs: bigint;
}

/** Where a clock should be. */
export interface ClockState {
  /** The decode time that the next packet would have. */
  readonly expected: bigint;
  /** How long the next packet is shown. */
  readonly durationNs: bigint;
  /** How far ahead the next packet may be, seen from when it came; 0 where the source does not come at its own pace. */
  readonly passedNs: bigint;
}

/** What a packet's times say: they go on, they are out of place by themselves, or the clock itself has moved. */
export type Verdict = "fits" | "outlier" | "jump";

/** What decides where a packet is on its clock. */
export function clockTime({ dts, pts }: SourceTimes): bigint | undefined {
  return dts ?? pts;
}

/** Whether a packet is where its clock should be. A presentation time may be ahead, by as many frames as are reordered. */
export function fits(
  times: SourceTimes,
  { expected, durationNs, passedNs }: ClockState,
  window: bigint,
): boolean {
  const time = clockTime(times);
  if (time === undefined) return true;
  const isDecodeTime = times.dts !== undefined;
  const ahead = BREAK + passedNs + (isDecodeTime ? 0n : window);
  // Decode times do not go back, but for what rounding does.
  const slip = !isDecodeTime ? BREAK : durationNs * 2n > SLIP ? durationNs * 2n : SLIP;
  return time >= expected - durationNs - slip && time <= expected + ahead;
}

/** Whether more has to be read before a packet that does not fit can be judged. */
export function isUndecided(times: SourceTimes, following: readonly SourceTimes[]): boolean {
  const last = following.at(-1);
  return last === undefined || (following.length < WITNESSES && last.atNs - times.atNs < PATIENCE);
}

/** Judges a packet that does not fit by those that came after it: none where the input has ended. */
export function judge(times: SourceTimes, following: readonly SourceTimes[], state: ClockState): Verdict {
  const { expected, durationNs, passedNs } = state;
  const time = clockTime(times)!;
  const slip = BREAK + durationNs;
  // Presentation times are compared with their like.
  const later = following.map((one) => times.dts === undefined ? one.pts : clockTime(one))
    .filter((one) => one !== undefined);
  if (later.length === 0) {
    const isGap = passedNs === 0n && time > expected && time - expected <= LONGEST_LAST_GAP;
    return isGap ? "jump" : "outlier";
  }
  // Whoever goes further back than this packet was does not continue it.
  if (later.some((one) => one < time - slip)) return "outlier";
  if (time > expected) return "jump";
  const comesBack = later.some((one, index) => {
    const passed = durationNs * BigInt(index + 1);
    return distance(one, expected + passed) < distance(one, time + passed);
  });
  return comesBack ? "outlier" : "jump";
}

function distance(one: bigint, other: bigint): bigint {
  return one < other ? other - one : one - other;
}

/** A time of a counter that begins again at `wrap`, as near to `expected` as it can be. */
export function unwrapped(time: bigint, expected: bigint, wrap: bigint): bigint {
  const distance = expected - time;
  const half = wrap / 2n;
  const turns = (distance + (distance < 0n ? -half : half)) / wrap;
  return time + turns * wrap;
}
