/** This file reads on where a packet's time can only be judged by those behind it. */
import { CuframesError } from "../core/mod.ts";
import type { Demuxed, Demuxer } from "./demuxer.ts";
import type { SourceTimes } from "./time/source_times.ts";
import type { Timeline } from "./time/timeline.ts";

/** Packets of all tracks that wait for a verdict at the most. */
const MOST_HELD = 64;
/** They do not wait longer, once another packet comes: ns. */
const LONGEST_WAIT = 2_000_000_000n;

/** A packet, and when it came. */
interface Arrived extends Demuxed {
  readonly times: SourceTimes;
}

/** A packet that can be placed. */
export interface Judgeable extends Arrived {
  /** The times of the packets behind it on its track, where its own are to be judged by them. */
  readonly following: readonly SourceTimes[];
}

/**
 * The packets of a demuxer, in their order. A packet of the first track that is not where its clock should be waits for
 * those behind it: a stream whose clock is right is never held back.
 */
export class Lookahead {
  readonly #demuxer: Demuxer;
  readonly #timeline: Timeline;
  #held: Arrived[] = [];
  /** What `next()` has given and is owned here. */
  #given: Arrived | undefined;
  /** Nothing more can be read, because of this error where there is one. */
  #ended: { readonly error?: unknown } | undefined;

  constructor(demuxer: Demuxer, timeline: Timeline) {
    this.#demuxer = demuxer;
    this.#timeline = timeline;
  }

  /** The next packet, valid until the next call; undefined at the end. */
  async next(): Promise<Judgeable | undefined> {
    this.#given?.packet.free();
    this.#given = undefined;
    for (;;) {
      const judged = this.#judgeable();
      if (judged) return judged;
      if (this.#ended) {
        if ("error" in this.#ended) throw this.#ended.error;
        return undefined;
      }
      const read = await this.#read();
      if (read === undefined) continue;
      if (this.#held.length === 0 && !this.#isDoubtful(read)) return { ...read, following: [] };
      const packet = read.packet.clone();
      if (!packet) throw new CuframesError("OUT_OF_MEMORY", "keeping a packet");
      this.#held.push({ ...read, packet });
    }
  }

  /** Frees what waits. */
  close(): void {
    for (const { packet } of this.#held) packet.free();
    this.#held = [];
    this.#given?.packet.free();
    this.#given = undefined;
  }

  async #read(): Promise<Arrived | undefined> {
    try {
      const read = await this.#demuxer.read();
      if (read) return { ...read, times: { ...read.times, atNs: this.#timeline.now() } };
      this.#ended = {};
    } catch (error) {
      this.#ended = { error };
    }
    return undefined;
  }

  #isDoubtful({ track, times, synced }: Arrived): boolean {
    return track === 0
      ? this.#timeline.isUndecided(times, [], synced)
      : this.#timeline.isAstray(track, times, synced);
  }

  /** The next of those that wait, where it needs to wait no more. */
  #judgeable(): Judgeable | undefined {
    const first = this.#held[0];
    if (!first) return undefined;
    const isLast = this.#ended !== undefined || this.#held.length >= MOST_HELD ||
      this.#held.at(-1)!.times.atNs - first.times.atNs > LONGEST_WAIT;
    // Another track's packet that is astray lets the first track go ahead, which knows whether the clock has moved.
    const at = first.track !== 0 && this.#isDoubtful(first)
      ? this.#held.findIndex(({ track }) => track === 0)
      : 0;
    if (at < 0 && !isLast) return undefined;
    const next = this.#held[Math.max(at, 0)]!;
    const following = this.#held.slice(at + 1).filter(({ track }) => track === 0).map(({ times }) => times);
    const waits = next.track === 0 && this.#timeline.isUndecided(next.times, following, next.synced);
    if (waits && !isLast) return undefined;
    this.#held.splice(Math.max(at, 0), 1);
    this.#given = next;
    return { ...next, following };
  }
}
