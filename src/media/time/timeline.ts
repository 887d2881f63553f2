/** Timestamps as sources have them, made into timestamps that can be used. All in nanoseconds. */

const SECOND = 1_000_000_000n;
/** A decode time this far back is a break in the source's clock, not a slip of it. */
const BREAK = SECOND;
/** A presentation time this long, and `REORDERED_FRAMES`, after its decode time is damage. */
const LATE = 10n * SECOND;
/** H.264 and HEVC hold at most 16 frames back. */
const REORDERED_FRAMES = 16n;

/** A packet's times on the timeline. */
export interface Placed {
  /** Not before the decode time. */
  readonly timestampNs: bigint;
  readonly decodeTimestampNs: bigint;
  readonly durationNs: bigint;
  /** The presentation time that the source gives, even where it is before the decode time. */
  readonly statedNs: bigint | undefined;
  /** The source's clock started anew here; the timestamps go on where they were. */
  readonly discontinuity: boolean;
}

/**
 * Puts packets, in decode order, on one line: decode times strictly increase, no presentation time is before
 * its decode time, and a clock that starts anew (a loop, a splice) continues where the last one ended.
 */
export class Timeline {
  readonly #frameNs: bigint;
  readonly #delayNs: bigint;
  #offset = 0n;
  /** The source's decode time that the next packet would have. */
  #expected: bigint | undefined;
  #lastDecode: bigint | undefined;
  #end: bigint | undefined;
  #restarted = false;

  /**
   * @param frameNs duration of a packet that has none, in ns
   * @param reorderFrames how many frames the stream's encoder held back
   */
  constructor(frameNs: bigint, reorderFrames: number) {
    this.#frameNs = frameNs;
    this.#delayNs = frameNs * BigInt(reorderFrames);
  }

  /** The next packet comes from a source that was opened anew. */
  restart(): void {
    this.#restarted = true;
    this.#expected = undefined;
  }

  /** Places the next packet; times are the source's, `undefined` where it gives none. */
  place(pts: bigint | undefined, dts: bigint | undefined, duration: bigint): Placed {
    const durationNs = duration > 0n ? duration : this.#frameNs;
    // What begins without any time is shown at 0.
    if (this.#expected === undefined && dts === undefined) pts ??= 0n;
    let decode = dts ?? earlier(this.#expected, pts) ?? pts! - this.#delayNs;
    const after = (pts ?? decode) - decode;
    const window = REORDERED_FRAMES * durationNs;
    const stated = after <= window + LATE && after >= -window ? pts : undefined;
    const present = stated !== undefined && stated > decode ? stated : decode;

    const broken = this.#expected !== undefined && decode < this.#expected - durationNs - BREAK;
    const discontinuity = this.#end !== undefined && (broken || this.#restarted);
    if (discontinuity) this.#offset = this.#end! - present;
    this.#restarted = false;
    this.#expected = decode + durationNs;

    decode += this.#offset;
    if (this.#lastDecode !== undefined && decode <= this.#lastDecode) decode = this.#lastDecode + 1n;
    this.#lastDecode = decode;
    const timestampNs = later(present + this.#offset, decode);
    this.#end = later(this.#end ?? timestampNs, timestampNs + durationNs);
    const statedNs = stated === undefined ? undefined : stated + this.#offset;
    return { timestampNs, decodeTimestampNs: decode, durationNs, statedNs, discontinuity };
  }
}

function earlier(a: bigint | undefined, b: bigint | undefined): bigint | undefined {
  return a !== undefined && b !== undefined && b < a ? b : a;
}

function later(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

/** How late a paced event may be before the pace starts anew instead of hurrying to catch up. */
const TOO_LATE_MS = 1000;
/** A longer wait is a jump of the source's clock: the slowest cameras and time lapses have a frame a minute. */
const JUMP_MS = 60_000;

/** What is paced on its own: frames come behind their packets by as long as the decoder takes, which may be seconds. */
export type PacedKind = "packet" | "frame";

/** Turns timestamps into waiting times: the stream at its own speed. */
export class Pace {
  readonly #origins = new Map<PacedKind, { timestampNs: bigint; atMs: number }>();

  /**
   * Milliseconds to wait, at `nowMs`, for what is due at `timestampNs`; 0 or less where it is due already.
   * The first call of a kind, one after `reset()`, one that is more than a second late and one that is more than a
   * minute ahead start its pace.
   */
  delay(kind: PacedKind, timestampNs: bigint, nowMs: number): number {
    const origin = this.#origins.get(kind);
    if (origin) {
      const wait = origin.atMs + Number(timestampNs - origin.timestampNs) / 1e6 - nowMs;
      if (wait >= -TOO_LATE_MS && wait <= JUMP_MS) return wait;
    }
    this.#origins.set(kind, { timestampNs, atMs: nowMs });
    return 0;
  }

  /** The next timestamp of each kind is due at once. */
  reset(): void {
    this.#origins.clear();
  }
}
