/**
 * This file puts the times that sources give on one line, in nanoseconds: a camera's reader places a packet's time here,
 * on its way into the ring.
 */

const SECOND = 1_000_000_000n;
/** A decode time this far back is a break in the source's clock, not a slip of it. */
const BREAK = SECOND;
/** A presentation time this long, and `REORDERED_FRAMES`, after its decode time is damage. */
const LATE = 10n * SECOND;
/** H.264 and HEVC hold at most 16 frames back. */
const REORDERED_FRAMES = 16n;
/** A packet that states no duration has this one, until the stream says what its rate is: 25 frames a second. */
const USUAL_FRAME_NS = SECOND / 25n;

/** What a stream says of its times before its first packet. */
export interface Cadence {
  /** How long a packet is shown that states no duration, in ns. */
  readonly frameNs: bigint;
  /** How many frames the stream's encoder held back. */
  readonly reorderFrames: number;
}

/** A packet's times on the timeline. */
export interface Placed {
  /** Not before the decode time. */
  readonly timestampNs: bigint;
  readonly decodeTimestampNs: bigint;
  readonly durationNs: bigint;
  /** The presentation time that the source gives, even where it is before the decode time. */
  readonly statedNs: bigint | undefined;
  /** What comes here does not continue what was placed last; the times go on all the same. */
  readonly discontinuity: boolean;
}

/**
 * One line for packets in decode order, across everything that their source's clock does: decode times strictly
 * increase, and no presentation time is before its decode time.
 *
 * Where the source's clock jumps back it has started anew, and the line goes on where it was. Where the input is
 * opened again, the line goes on where it was, too ({@linkcode Timeline.restart}), or after as long a gap as there
 * was on this machine's clock ({@linkcode Timeline.reconnect}).
 */
export class Timeline {
  readonly #now: () => bigint;
  #cadence: Cadence;
  #offset = 0n;
  /** The source's decode time that the next packet would have. */
  #expected: bigint | undefined;
  /** The decode time of the last packet: the source's, and when it came by this machine's clock. */
  #last: { readonly decode: bigint; readonly sourceDecode: bigint; readonly atNs: bigint } | undefined;
  /** When the last of all packets has been shown. */
  #end: bigint | undefined;
  #opened: "restart" | "reconnect" | undefined;

  /**
   * @param frameNs as {@linkcode Cadence.frameNs} @param reorderFrames as {@linkcode Cadence.reorderFrames}
   * @param now a clock that never goes back, in ns
   */
  constructor(frameNs: bigint = USUAL_FRAME_NS, reorderFrames = 0, now: () => bigint = clockNs) {
    this.#cadence = { frameNs, reorderFrames };
    this.#now = now;
  }

  /** The next packet comes from the same source, opened anew: the line goes on where it was. */
  restart(): void {
    this.#opened = "restart";
    this.#expected = undefined;
  }

  /**
   * The next packet comes from another connection, whose clock counts from anywhere: the gap is as long as on this
   * machine's clock, and none where packets had come ahead of it.
   */
  reconnect(cadence: Cadence): void {
    this.#cadence = cadence;
    this.#opened = "reconnect";
    this.#expected = undefined;
  }

  /** Places the next packet; times are the source's, `undefined` where it gives none. */
  place(pts: bigint | undefined, dts: bigint | undefined, duration: bigint): Placed {
    const { frameNs, reorderFrames } = this.#cadence;
    const durationNs = duration > 0n ? duration : frameNs;
    // What begins without any time is shown at 0.
    if (this.#expected === undefined && dts === undefined) pts ??= 0n;
    const sourceDecode = dts ?? earlier(this.#expected, pts) ?? pts! - frameNs * BigInt(reorderFrames);
    const after = (pts ?? sourceDecode) - sourceDecode;
    const window = REORDERED_FRAMES * durationNs;
    const stated = after <= window + LATE && after >= -window ? pts : undefined;
    const present = stated !== undefined && stated > sourceDecode ? stated : sourceDecode;

    const atNs = this.#now();
    const broken = this.#expected !== undefined && sourceDecode < this.#expected - durationNs - BREAK;
    const discontinuity = this.#last !== undefined && (broken || this.#opened !== undefined);
    if (discontinuity) this.#offset = this.#goOn(present, sourceDecode, atNs);
    this.#opened = undefined;
    this.#expected = sourceDecode + durationNs;

    let decode = sourceDecode + this.#offset;
    if (this.#last !== undefined && decode <= this.#last.decode) decode = this.#last.decode + 1n;
    this.#last = { decode, sourceDecode, atNs };
    const timestampNs = later(present + this.#offset, decode);
    this.#end = later(this.#end ?? timestampNs, timestampNs + durationNs);
    const statedNs = stated === undefined ? undefined : stated + this.#offset;
    return { timestampNs, decodeTimestampNs: decode, durationNs, statedNs, discontinuity };
  }

  /** What is added to the source's times from a break on. */
  #goOn(present: bigint, sourceDecode: bigint, atNs: bigint): bigint {
    const end = this.#end!;
    if (this.#opened !== "reconnect") return end - present;
    const { decode, atNs: lastNs } = this.#last!;
    return later(decode + (atNs - lastNs), end) - sourceDecode;
  }
}

function clockNs(): bigint {
  return BigInt(Math.round(performance.now() * 1e6));
}

function earlier(a: bigint | undefined, b: bigint | undefined): bigint | undefined {
  return a !== undefined && b !== undefined && b < a ? b : a;
}

function later(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
