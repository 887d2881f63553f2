/**
 * This file puts the times that sources give on one line, in nanoseconds: a camera's reader places a packet's time here,
 * on its way into the ring.
 */
import { clockNs, later } from "./nanoseconds.ts";
import {
  BREAK,
  type ClockState,
  clockTime,
  fits,
  isUndecided,
  judge,
  type SourceTimes,
  unwrapped,
  type Verdict,
} from "./source_times.ts";
import type { Cadence, Circumstances, Placed } from "./cadence.ts";
import { PresentationTimes, reorderingOf, shifted } from "./presentation.ts";
import { type Line, SideClock } from "./side_clock.ts";

export type { Cadence, Placed };

const SECOND = 1_000_000_000n;
/** A packet that states no duration has this one, until the stream says what its rate is: 25 frames a second. */
const USUAL_FRAME_NS = SECOND / 25n;
/** FFmpeg gives a report with the packet that it moves first, or one of those before. */
const SETTLING = 3;
/** A smaller move is the unevenness of the source's times. */
const SETTLED = SECOND / 200n;
/** A gap may be this much longer in the stream than on this machine's clock: packets wait in buffers. */
const SLACK = 10n * SECOND;
/**
 * One line for packets in decode order, across everything that their source's clock does: decode times strictly
 * increase, and no presentation time is before its decode time.
 *
 * A packet that is out of its clock's place alone, or with a few others, is placed by the stream's own rate. Where the
 * clock itself jumps it has started anew, and the line goes on where it was; what jumps ahead may be a pause: a file's
 * is one, a camera's where as much time has passed. Where the input is opened again, the line goes on where it was,
 * too ({@linkcode Timeline.restart}), or after as long a gap as there was on this machine's clock
 * ({@linkcode Timeline.reconnect}).
 *
 * Other tracks of the input are placed by the same offset ({@linkcode Timeline.placeBeside}).
 */
export class Timeline {
  readonly #now: () => bigint;
  #cadence: Cadence;
  #offset = 0n;
  /** The source's decode time that the next packet would have. */
  #expected: bigint | undefined;
  /** The decode time of the last packet: the source's, and when it came by this machine's clock. */
  #last: { readonly decode: bigint; readonly sourceDecode: bigint; readonly atNs: bigint } | undefined;
  /** The first packet of the connection, as `#last`. */
  #first: { readonly decode: bigint; readonly atNs: bigint } | undefined;
  readonly #presentation = new PresentationTimes();
  /** When the last of all packets has been shown. */
  #end: bigint | undefined;
  #opened: "restart" | "reconnect" | undefined;
  #synced = false;
  /** Packets that may still be the first whose times were moved by a report. */
  #settling = 0;
  /** Whether the next packet is marked, if it is not the very first. */
  #marked = false;
  readonly #beside = new Map<number, SideClock>();

  /**
   * @param frameNs as {@linkcode Cadence.frameNs} @param reorderFrames as {@linkcode Cadence.reorderFrames}
   * @param now a clock that never goes back, in ns
   */
  constructor(frameNs: bigint = USUAL_FRAME_NS, reorderFrames = 0, now: () => bigint = clockNs) {
    this.#cadence = { frameNs, reorderFrames, breaks: true };
    this.#now = now;
  }

  /** This machine's clock, in ns. */
  now(): bigint {
    return this.#now();
  }

  /** What is known of the source's times from now on; it is the same source. */
  describe(cadence: Cadence): void {
    this.#cadence = cadence;
  }

  /** The next packet comes from the same source, opened anew: the line goes on where it was. */
  restart(): void {
    this.#open("restart");
  }

  /**
   * The next packet comes from another connection, whose clock counts from anywhere: the gap is as long as on this
   * machine's clock, and none where packets had come ahead of it.
   */
  reconnect(cadence: Cadence): void {
    this.#cadence = cadence;
    this.#open("reconnect");
  }

  /**
   * Whether a packet is so far from where its clock should be that those behind it must be known before it is placed:
   * at most three of them, and one where they come slowly or the first is in its place again.
   */
  isUndecided(times: SourceTimes, following: readonly SourceTimes[], synced = false): boolean {
    if (this.#isMoved(synced) || this.#fits(this.#unwrap(times))) return false;
    const isBack = following.some((one) => this.#fits(this.#unwrap(one)));
    return !isBack && isUndecided(times, following);
  }

  /** Places the next packet; times are the source's, `undefined` where it gives none. */
  place(
    pts: bigint | undefined,
    dts: bigint | undefined,
    duration: bigint,
    { atNs = this.#now(), following, synced = false, hidden = false }: Circumstances = {},
  ): Placed {
    const times = this.#unwrap({ pts, dts, duration, atNs });
    const durationNs = this.#durationOf(times);
    const verdict = this.#isMoved(synced) ? "fits" : this.#judge(times, following);
    const expected = this.#expected;
    const sourceDecode = verdict === "outlier" ? expected! : this.#decodeTime(times, durationNs);
    const shown = times.pts ?? (expected === undefined && dts === undefined ? 0n : undefined);
    const stated = this.#presentation.believe(
      verdict === "outlier" ? shifted(times, expected!, durationNs) : shown,
      sourceDecode,
      durationNs,
      this.#cadence.breaks === true,
    );
    const present = stated !== undefined && stated > sourceDecode ? stated : sourceDecode;

    this.#anchor(hidden ? later(present, 0n) : present, sourceDecode, { atNs, verdict, synced });
    // FFmpeg takes a first RTP time of 0 for none, and counts from the second: all that follow are that much early.
    const isSecond = this.#first !== undefined && this.#first === this.#last;
    if (this.#cadence.independent && isSecond && sourceDecode === this.#last!.sourceDecode) {
      this.#offset += durationNs;
    }
    const discontinuity = this.#marked && this.#last !== undefined;
    this.#marked = false;
    this.#expected = sourceDecode + durationNs;

    let decode = sourceDecode + this.#offset;
    if (this.#last !== undefined && decode <= this.#last.decode) decode = this.#last.decode + 1n;
    this.#last = { decode, sourceDecode, atNs };
    this.#first ??= this.#last;
    const timestampNs = later(present + this.#offset, decode);
    this.#end = later(this.#end ?? timestampNs, timestampNs + durationNs);
    const statedNs = stated === undefined ? undefined : stated + this.#offset;
    return { timestampNs, decodeTimestampNs: decode, durationNs, statedNs, discontinuity };
  }

  /**
   * Places a packet of another track of the same input, which goes by the clock of the first: a jump of that moves it,
   * too. A track that is on a clock of its own goes on by its own, from where the line was when it came.
   *
   * @param track the track's number, from 1 on
   */
  placeBeside(track: number, times: SourceTimes, synced = false): Placed {
    let clock = this.#beside.get(track);
    if (!clock) this.#beside.set(track, clock = new SideClock());
    times = this.#unwrap(times);
    const time = clockTime(times);
    // What comes first says where the line goes on, whatever track it is.
    if (time !== undefined && this.#opened !== undefined) {
      this.#anchor(time, time, { atNs: times.atNs, verdict: "fits", synced: this.#synced });
    }
    const placed = clock.place(times, synced === this.#synced, this.#line(times.atNs, synced));
    this.#end = later(this.#end ?? placed.timestampNs, placed.timestampNs + placed.durationNs);
    return placed;
  }

  /**
   * Whether a packet of another track may be the first on a clock that has started anew, so that the first track's next
   * packets are better placed before it.
   */
  isAstray(track: number, times: SourceTimes, synced = false): boolean {
    const time = clockTime(this.#unwrap(times));
    if (time === undefined || this.#opened !== undefined || synced !== this.#synced) return false;
    return this.#beside.get(track)?.isAstray(time, this.#line(times.atNs, synced)) ?? false;
  }

  #line(atNs: bigint, synced: boolean): Line {
    const { breaks = false, independent = false } = this.#cadence;
    return {
      offset: this.#offset,
      position: this.#position(atNs),
      reach: independent && !synced ? BREAK : breaks ? SLACK : undefined,
      told: independent && synced,
    };
  }

  #open(opened: "restart" | "reconnect"): void {
    this.#opened = opened;
    this.#expected = undefined;
    this.#first = undefined;
    this.#presentation.reset();
    this.#synced = false;
    this.#settling = 0;
    this.#mark();
    for (const clock of this.#beside.values()) clock.reopen();
  }

  #mark(): void {
    this.#marked = true;
    for (const clock of this.#beside.values()) clock.mark();
  }

  /** Whether a packet's times may have been moved by what the source has said of the clock of all tracks. */
  #isMoved(synced: boolean): boolean {
    return synced && (!this.#synced || this.#settling > 0);
  }

  /** Moves the offset where the line does not go on by the source's clock. */
  #anchor(
    present: bigint,
    sourceDecode: bigint,
    { atNs, verdict, synced }: { atNs: bigint; verdict: Verdict; synced: boolean },
  ): void {
    const opened = this.#opened;
    this.#opened = undefined;
    if (opened !== undefined) {
      if (this.#end !== undefined) {
        this.#offset = this.#goOn(present, sourceDecode, atNs, opened === "reconnect");
      }
    } else if (verdict === "jump" && this.#isNewClock(sourceDecode, atNs)) {
      const paused = this.#isPaced && atNs - this.#last!.atNs > BREAK + this.#cadence.frameNs;
      this.#offset = this.#goOn(present, sourceDecode, atNs, paused);
      this.#mark();
    } else if (this.#isMoved(synced) && this.#expected !== undefined) {
      // Told where it is on the clock of all tracks: the line stays, and the others come to it.
      const moved = this.#expected - sourceDecode;
      if (moved > SETTLED || moved < -SETTLED) this.#offset += moved;
    }
    this.#settling = synced && !this.#synced ? SETTLING : Math.max(0, this.#settling - 1);
    this.#synced = synced;
  }

  /** What is added to the source's times from a break on. */
  #goOn(present: bigint, sourceDecode: bigint, atNs: bigint, byClock: boolean): bigint {
    const end = this.#end!;
    if (!byClock || this.#last === undefined) return end - present;
    const { decode, atNs: lastNs } = this.#last;
    return later(decode + (atNs - lastNs), end) - sourceDecode;
  }

  /** Whether a clock that has jumped has started anew, and is not behind a pause. */
  #isNewClock(sourceDecode: bigint, atNs: bigint): boolean {
    const ahead = sourceDecode - this.#expected!;
    return ahead < 0n || (this.#isPaced && ahead > atNs - this.#last!.atNs + SLACK);
  }

  /** Whether packets come when they are made. */
  get #isPaced(): boolean {
    const { paced = false } = this.#cadence;
    if (paced !== "unknown") return paced;
    const [first, last] = [this.#first, this.#last];
    if (!first || !last) return false;
    const [streamed, passed] = [last.decode - first.decode, last.atNs - first.atNs];
    return passed >= SECOND && streamed <= 2n * passed + SECOND;
  }

  /** Where the line is when something comes of another track. */
  #position(atNs: bigint): bigint | undefined {
    if (this.#last === undefined) return this.#end;
    return this.#isPaced ? this.#last.decode + (atNs - this.#last.atNs) : this.#last.decode;
  }

  #durationOf({ duration }: SourceTimes): bigint {
    return duration > 0n ? duration : this.#cadence.frameNs;
  }

  #state(times: SourceTimes): ClockState | undefined {
    if (this.#expected === undefined) return undefined;
    const passedNs = this.#isPaced ? later(times.atNs - this.#last!.atNs, 1n) : 0n;
    return { expected: this.#expected, durationNs: this.#durationOf(times), passedNs };
  }

  #fits(times: SourceTimes): boolean {
    const state = this.#state(times);
    return state === undefined || fits(times, state, reorderingOf(state.durationNs));
  }

  #judge(times: SourceTimes, following: readonly SourceTimes[] | undefined): Verdict {
    const state = this.#state(times);
    if (state === undefined || this.#fits(times)) return "fits";
    if (following !== undefined) return judge(times, following.map((one) => this.#unwrap(one)), state);
    return clockTime(times)! < state.expected ? "jump" : "fits";
  }

  #decodeTime({ pts, dts }: SourceTimes, durationNs: bigint): bigint {
    const { frameNs, reorderFrames, breaks } = this.#cadence;
    const expected = this.#expected;
    if (dts !== undefined) return dts;
    if (expected === undefined) return (pts ?? 0n) - frameNs * BigInt(reorderFrames);
    if (pts === undefined || pts <= expected) return pts ?? expected;
    // Later than by reordering: behind a gap. A file's packets have decode times, but for its first.
    const isBehindGap = breaks === true && pts - expected > reorderingOf(durationNs) + BREAK;
    return isBehindGap ? pts - frameNs * BigInt(reorderFrames) : expected;
  }

  #unwrap(times: SourceTimes): SourceTimes {
    const { wrapNs } = this.#cadence;
    if (wrapNs === undefined || this.#expected === undefined) return times;
    const near = this.#expected + (this.#isPaced ? times.atNs - this.#last!.atNs : 0n);
    const unwrap = (time: bigint | undefined) =>
      time === undefined ? undefined : unwrapped(time, near, wrapNs);
    return { ...times, pts: unwrap(times.pts), dts: unwrap(times.dts) };
  }
}
