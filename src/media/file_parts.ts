/** This file reads a file in parts, where its streams change in the middle, so that nothing is lost between them. */
import type { Packet } from "node-av";
import { isRegularFile } from "./regular_file.ts";
import { findStreamChange } from "./ts_change.ts";

/** A part of a file. */
export interface FilePart {
  /** FFmpeg's name of it. */
  readonly url: string;
  /** Where it begins, in bytes. */
  readonly start: number;
  /** Whether it begins before what has been read. */
  readonly repeats: boolean;
}

/** The parts of an input that is a file, and how far it has been read. */
export class FileParts {
  readonly #path: string;
  #left: FilePart[] = [];
  #start = 0;
  #repeats = false;
  /** The decode time of each track's last packet, in ns. */
  readonly #times = new Map<number, bigint>();
  /** Where the video's last key packet lies in the part, in bytes. */
  #key = -1;

  constructor(input: string) {
    this.#path = input.replace(/^file:/, "");
  }

  /** Whether anything has been read. */
  get isBegun(): boolean {
    return this.#times.size > 0;
  }

  /** Notes a packet that was read; its decode time is in ns. */
  remember(track: number, { dts, pos, isKeyframe }: Packet, none: bigint): void {
    if (dts !== none) this.#times.set(track, dts);
    if (track === 0 && isKeyframe) this.#key = Number(pos);
  }

  /** Whether a packet has been read before, in the part that went on to here. */
  isRepeated(track: number, { dts }: Packet): boolean {
    const last = this.#times.get(track);
    return this.#repeats && last !== undefined && dts <= last;
  }

  /**
   * Finds where the streams change: what is before and behind is read by itself then, beginning with the last key packet.
   * Whether there is such a place, and no part that is left to be read.
   */
  async find(): Promise<boolean> {
    if (this.#left.length > 0 || this.#key < 0 || !isRegularFile(this.#path)) return false;
    const change = await findStreamChange(this.#path, this.#start + this.#key);
    if (!change) return false;
    const part = (start: number, end: number, repeats: boolean): FilePart => ({
      url: `subfile,,start,${start},end,${end},,:${this.#path}`,
      start,
      repeats,
    });
    // An end of 0 is the file's.
    this.#left = [part(change.from, change.end, true), part(change.next, 0, false)];
    return true;
  }

  /** Begins the next part; undefined where none is left. */
  next(): FilePart | undefined {
    const part = this.#left.shift();
    if (part) {
      this.#start = part.start;
      this.#repeats = part.repeats;
      this.#key = -1;
    }
    return part;
  }
}
