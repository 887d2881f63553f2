/** This file places the packets of a track that goes by another's clock: sound and data beside a picture. */
import { BREAK, clockTime, type SourceTimes } from "./source_times.ts";
import type { Placed } from "./cadence.ts";

/** What the line is like that a packet is placed on. */
export interface Line {
  /** What is added to the source's times on the clock of all tracks. */
  readonly offset: bigint;
  /** Where the line is now; undefined before its first packet. */
  readonly position: bigint | undefined;
  /** How far from there a packet can be; undefined: anywhere. */
  readonly reach: bigint | undefined;
  /** Whether the source has said that the packet is on the clock of all tracks. */
  readonly told: boolean;
}

/** One such track. */
export class SideClock {
  /** What is added to this track's times: the line's offset, but where the track is on another clock. */
  #offset = 0n;
  /** The source's time that the next packet would have. */
  #expected: bigint | undefined;
  /** The last packet's time on the line. */
  #last: bigint | undefined;
  /** When it has been played. */
  #end: bigint | undefined;
  #marked = false;
  /** Whether the track counts from where the others do although nobody has reported that: see `place`. */
  #isTold = false;

  /** The source has been opened anew, and counts from anywhere. */
  reopen(): void {
    this.#expected = undefined;
    this.#end = undefined;
  }

  /** The next packet is marked, if it is not the very first. */
  mark(): void {
    this.#marked = true;
  }

  /**
   * Places the next packet. A track that counts from anywhere counts from its first packet: where that is not at 0, the source
   * has said at the beginning where it is (RTSP's RTP-Info), and it belongs to the others.
   *
   * @param belongs whether the track counts from where the others do
   */
  place(times: SourceTimes, belongs: boolean, line: Line): Placed {
    const { duration: durationNs } = times;
    const time = clockTime(times) ?? this.#expected ?? (line.position ?? 0n) - line.offset;
    if (this.#expected === undefined) this.#isTold = clockTime(times) !== undefined && time !== 0n;
    this.#offset = this.#offsetOf(time, belongs || this.#isTold, line);
    this.#expected = time + durationNs;
    let decode = time + this.#offset;
    if (this.#last !== undefined && decode <= this.#last) decode = this.#last + 1n;
    const discontinuity = this.#marked && this.#last !== undefined;
    this.#marked = false;
    this.#last = decode;
    this.#end = decode + durationNs;
    return { timestampNs: decode, decodeTimestampNs: decode, durationNs, statedNs: decode, discontinuity };
  }

  /** Whether a packet is neither on the clock of all tracks nor where its track should be: that clock may have moved. */
  isAstray(time: bigint, line: Line): boolean {
    return this.#expected !== undefined && line.reach !== undefined &&
      this.#onClock(time, line) === undefined;
  }

  #offsetOf(time: bigint, belongs: boolean, line: Line): bigint {
    const place = this.#place(line.position);
    if (place === undefined) return line.offset;
    const offset = belongs ? this.#onClock(time, line) : this.#goesOn(time) ? this.#offset : undefined;
    return offset ?? place - time;
  }

  /** The offset by which a packet is where it should be: that of all tracks, or this one's own. */
  #onClock(time: bigint, { offset, position, reach, told }: Line): bigint | undefined {
    const isNear = reach === undefined || position === undefined || isWithin(time + offset - position, reach);
    if (told && isNear) return offset;
    if (this.#end !== undefined && isWithin(time + offset - this.#end, BREAK)) return offset;
    if (this.#goesOn(time) && this.#end !== undefined) return this.#offset;
    return isNear ? offset : undefined;
  }

  #goesOn(time: bigint): boolean {
    return this.#expected !== undefined && isWithin(time - this.#expected, BREAK);
  }

  /** Where the track goes on by its own rate; behind a pause, where the line is. */
  #place(position: bigint | undefined): bigint | undefined {
    const isBehind = this.#end === undefined || (position !== undefined && position > this.#end + BREAK);
    return isBehind ? position : this.#end;
  }
}

function isWithin(time: bigint, distance: bigint): boolean {
  return time >= -distance && time <= distance;
}
