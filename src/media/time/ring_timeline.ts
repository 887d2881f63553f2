/**
 * This file puts the packets of the rings of one publisher after another on one line, in nanoseconds. Within a
 * publisher nobody moves them: its source has placed them already. What it cannot know is that another one was before
 * it.
 */
import { clockNs, later } from "./nanoseconds.ts";

const SECOND = 1_000_000_000n;
/** A decode time this far back is another clock, not a slip of it. */
const BREAK = SECOND;
/** A gap may be this much longer in the stream than on this machine's clock: packets wait in buffers. */
const SLACK = 10n * SECOND;
/** A packet whose successor is not known is taken to be as long as the one before it, and at the most this. */
const LONGEST_FRAME = 10n * SECOND;
/** The same before there was one: 25 frames a second. */
const USUAL_FRAME = SECOND / 25n;
/** Clocks that a track may still be on while another has left them: one is behind by a second or so, not by more. */
const CLOCKS_MAX = 4;

/** The times of a ring's packet, and what its publisher says of the packets before it. */
export interface RingTimes {
  readonly timestampNs: bigint;
  readonly decodeTimestampNs: bigint;
  /** Packets before this one are missing, or the stream itself was interrupted. */
  readonly discontinuity: boolean;
  /** Which publisher it is of: a number that grows with each that is another one; default: the same all the time. */
  readonly epoch?: number | undefined;
}

/** When a packet is on the line. */
export interface RingPlace {
  /** Not before the decode time. */
  readonly timestampNs: bigint;
  /** Strictly increasing within a track. */
  readonly decodeTimestampNs: bigint;
}

/** A publisher's clock, beside the line. */
interface Clock {
  readonly epoch: number;
  /** What is added to its times. */
  readonly offset: bigint;
}

/** What is known of a track's last packet. */
interface Last {
  readonly clock: Clock;
  /** By its publisher's clock, and on the line. */
  readonly sourceDecode: bigint;
  readonly decode: bigint;
  readonly frame: bigint;
  /** When it came, by this machine's clock. */
  readonly atNs: bigint;
}

/**
 * One line for the tracks of a ring, across publishers. A packet keeps its own time, but for what a publisher cannot
 * know: that the one before it had another clock. Where that one's times go on, as those of a publisher which knows its
 * machine's clock do, they stay; where they jump back, or further ahead than this machine saw time pass, the line goes
 * on where it was.
 *
 * All tracks of a publisher are moved by the same offset, which the first packet of any of them decides: what was in
 * sync stays so. A track that comes later than the others, with packets of the publisher before, still has its offset.
 */
export class RingTimeline {
  readonly #now: () => bigint;
  /** The clocks that there were, the newest last. */
  readonly #clocks: Clock[] = [];
  readonly #tracks = new Map<number, Last>();
  /** When the last of all packets has been shown. */
  #end: bigint | undefined;

  /** @param now a clock that never goes back, in ns */
  constructor(now: () => bigint = clockNs) {
    this.#now = now;
  }

  /** Places the next packet of a track; each track's come in decode order. */
  place(track: number, times: RingTimes): RingPlace {
    const atNs = this.#now();
    const last = this.#tracks.get(track);
    const clock = this.#clockOf(times, last, atNs);
    const moved = times.decodeTimestampNs + clock.offset;
    const decode = last !== undefined && moved <= last.decode ? last.decode + 1n : moved;
    const timestampNs = later(times.timestampNs + clock.offset, decode);
    const frame = last === undefined ? USUAL_FRAME : decode - last.decode;
    this.#tracks.set(track, {
      clock,
      sourceDecode: times.decodeTimestampNs,
      decode,
      frame: frame > LONGEST_FRAME ? last!.frame : frame,
      atNs,
    });
    const shown = timestampNs + this.#tracks.get(track)!.frame;
    this.#end = this.#end === undefined ? shown : later(this.#end, shown);
    return { timestampNs, decodeTimestampNs: decode };
  }

  /** The clock that a packet's times are of. */
  #clockOf(times: RingTimes, last: Last | undefined, atNs: bigint): Clock {
    const newest = this.#clocks.at(-1);
    if (newest === undefined) return this.#begin({ epoch: times.epoch ?? 0, offset: 0n });
    const epoch = times.epoch ?? newest.epoch;
    const known = this.#clocks.findLast((clock) => clock.epoch === epoch);
    if (known === undefined) return this.#another(epoch, times, atNs);
    if (last === undefined || last.clock.epoch !== epoch) return known;
    if (!isBreak(times, last, atNs)) return last.clock; // which another track may have left already
    return this.#another(epoch, times, atNs);
  }

  /** The clock of a publisher that is another one, or that has a new clock itself. */
  #another(epoch: number, times: RingTimes, atNs: bigint): Clock {
    const newest = this.#clocks.at(-1)!;
    const before = [...this.#tracks.values()].filter((last) => last.clock === newest);
    const goesOn = !before.some((last) => isBreak({ ...times, discontinuity: true }, last, atNs));
    if (goesOn) return this.#begin({ epoch, offset: newest.offset });
    // Where frames are reordered, the first one is decoded before it is shown: not before the last one of before, either.
    const decoded = before.map((last) => last.decode + last.frame).reduce(later);
    return this.#begin({
      epoch,
      offset: later(this.#end! - times.timestampNs, decoded - times.decodeTimestampNs),
    });
  }

  #begin(clock: Clock): Clock {
    this.#clocks.push(clock);
    if (this.#clocks.length > CLOCKS_MAX) this.#clocks.shift();
    return clock;
  }
}

/** Whether a packet is not of the clock that the one before it was of. */
function isBreak({ decodeTimestampNs, discontinuity }: RingTimes, last: Last, atNs: bigint): boolean {
  const step = decodeTimestampNs - last.sourceDecode;
  return step < -BREAK || (discontinuity && step > atNs - last.atNs + SLACK);
}
