/** This file reads every track of a key at once, in one order: what a recorder wants. */
import {
  CuframesError,
  isCuframesError,
  LONGEST_TIMER_MS,
  TRACKS_MAX,
  type WaitOptions,
} from "../core/mod.ts";
import type { Subscriber } from "../frames/mod.ts";
import type { Packet, PacketReaderStats, PacketRingReader, PacketsOptions, Track } from "../packets/mod.ts";

/** A packet of some track. */
export interface TrackPacket {
  /** As the track's own reader gives it. */
  readonly packet: Packet;
  /** The track's number. */
  readonly track: number;
  /** How many connections there were before the one that it came over: clocks are comparable within one. */
  readonly epoch: number;
}

/** Where reading begins, as with `Subscriber.packets`. */
export type AllTracksOptions = Pick<PacketsOptions, "since" | "sinceConnection">;

/** One reader, and what it has. */
interface Source {
  readonly reader: PacketRingReader;
  /** Its next packet, where that has come. */
  held: TrackPacket | undefined;
  state: "idle" | "taking" | "ended";
  /** Whether it has been waited for in vain although there should be a packet: it is not waited for again. */
  stuck: boolean;
}

/** How long a track whose ring has a packet may take to give it. */
const TAKING_MS = 100;

/**
 * The packets of every track of a subscriber, of those too that its publisher adds later. What is there already comes in the
 * order of its decode times, and what comes live as it comes: no track waits for another that has nothing.
 *
 * A track that falls behind goes on at its next key packet, which says `discontinuity`.
 *
 * @example
 * ```ts
 * import { Subscriber } from "@cuframes/core";
 * import { AllTracks } from "@cuframes/core/media";
 *
 * using camera = await Subscriber.connect("cam-door", { frames: false });
 * using tracks = new AllTracks(camera, { since: "key" });
 * for await (const { packet, track } of tracks) console.log(track, packet.timestamp, packet.byteLength);
 * ```
 */
export class AllTracks implements AsyncIterable<TrackPacket>, Disposable {
  readonly #camera: Subscriber;
  readonly #options: AllTracksOptions;
  readonly #sources: Source[] = [];
  readonly #closing = new AbortController();
  /** What the tracks' last packets said of them. */
  readonly #told = new Map<number, Track>();
  #failure: { readonly reason: unknown } | undefined;
  /** Ends the wait for a change. */
  #changed: (() => void) | undefined;

  /**
   * Begins to read, of a subscriber that stays the caller's.
   *
   * @throws {CuframesError} as `Subscriber.packets`
   */
  constructor(camera: Subscriber, options: AllTracksOptions) {
    this.#camera = camera;
    this.#options = options;
    for (const { index } of camera.tracks) this.#open(index);
    this.#openNext();
  }

  /** What a track is, at the last packet of it that was given; undefined: there is none of that number. */
  trackOf(index: number): Track | undefined {
    return this.#told.get(index) ?? this.#camera.tracks[index];
  }

  /** The counters of all tracks together. */
  stats(): PacketReaderStats {
    const sum = { received: 0, lost: 0, lag: 0 };
    for (const { reader } of this.#sources) {
      const { received, lost, lag } = reader.stats();
      sum.received += received;
      sum.lost += lost;
      sum.lag += lag;
    }
    return sum;
  }

  /** Every packet from here on; ends with the publisher, never with the subscriber's `reconnect`. */
  [Symbol.asyncIterator](): AsyncGenerator<TrackPacket, void, void> {
    return this.values();
  }

  /**
   * As iterating over this itself.
   *
   * @param options `timeout`: of each wait for a packet of any track
   * @throws {CuframesError} `TIMEOUT`; the signal's reason
   */
  async *values({ timeout = Infinity, signal }: WaitOptions = {}): AsyncGenerator<TrackPacket, void, void> {
    for (;;) {
      const packet = await this.#next(timeout, signal);
      if (packet === undefined) return;
      yield packet;
    }
  }

  /** Ends reading. */
  [Symbol.dispose](): void {
    this.#closing.abort();
    for (const { reader } of this.#sources) reader.close();
  }

  async #next(timeout: number, signal: AbortSignal | undefined): Promise<TrackPacket | undefined> {
    const deadline = performance.now() + timeout;
    for (;;) {
      signal?.throwIfAborted();
      for (const source of this.#sources) this.#advance(source);
      if (this.#failure !== undefined) throw this.#failure.reason;
      // Only when all have what they can have is it known which is the earliest.
      const late = this.#sources.filter((source) => source.state === "taking" && isLate(source));
      if (late.length > 0) {
        if (!await this.#change(TAKING_MS, signal)) { for (const source of late) source.stuck = true; }
        continue;
      }
      const earliest = this.#sources.filter(({ held }) => held !== undefined).reduce<Source | undefined>(
        (first, source) => first !== undefined && !isBefore(source.held!, first.held!) ? first : source,
        undefined,
      );
      if (earliest !== undefined) {
        const held = earliest.held!;
        earliest.held = undefined;
        if (held.packet.config) this.#told.set(held.track, held.packet.config);
        return held;
      }
      if (this.#sources.every(({ state }) => state === "ended")) return undefined;
      if (await this.#change(deadline - performance.now(), signal)) continue;
      throw new CuframesError("TIMEOUT", `no packet of ${this.#camera.key} came within ${timeout} ms`);
    }
  }

  #advance(source: Source): void {
    if (source.held !== undefined || source.state !== "idle") return;
    source.state = "taking";
    void this.#take(source).then(() => {
      const change = this.#changed;
      this.#changed = undefined;
      change?.();
    });
  }

  async #take(source: Source): Promise<void> {
    const { reader } = source;
    for (;;) {
      try {
        const packet = await reader.next({ signal: this.#closing.signal });
        source.held = { packet, track: reader.track.index, epoch: reader.reconnects };
        source.state = "idle";
        source.stuck = false;
        if (source === this.#sources.at(-1)) this.#openNext();
        return;
      } catch (error) {
        if (isCuframesError(error, "PACKET_OVERRUN")) continue;
        source.state = "ended";
        const isEnd = isCuframesError(error, "DISCONNECTED") || this.#closing.signal.aborted;
        if (!isEnd) this.#failure ??= { reason: error };
        return;
      }
    }
  }

  /** Waits for the track behind the last one, whenever the publisher adds it. */
  #openNext(): void {
    if (this.#sources.length < TRACKS_MAX && !this.#closing.signal.aborted) this.#open(this.#sources.length);
  }

  #open(track: number): void {
    const reader = this.#camera.packets({ ...this.#options, track, wait: true });
    this.#sources.push({ reader, held: undefined, state: "idle", stuck: false });
  }

  /** Until some track has a packet, or has ended; false when that took longer. */
  async #change(milliseconds: number, signal: AbortSignal | undefined): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const end = () => resolve(false);
    // One promise for all: those of tracks that never come would keep a reaction for each packet of the others.
    this.#changed = () => resolve(true);
    signal?.addEventListener("abort", end, { once: true });
    const timer = milliseconds < LONGEST_TIMER_MS ? setTimeout(end, milliseconds) : undefined;
    try {
      return await promise;
    } finally {
      this.#changed = undefined;
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      signal?.throwIfAborted();
    }
  }
}

/** Whether a packet is there that has not been given yet. */
function isLate({ reader, stuck }: Source): boolean {
  return !stuck && reader.stats().lag > 0;
}

/** Packets of different connections come in the order of these. */
function isBefore(a: TrackPacket, b: TrackPacket): boolean {
  if (a.epoch !== b.epoch) return a.epoch < b.epoch;
  return a.packet.decodeTimestampNs < b.packet.decodeTimestampNs;
}
