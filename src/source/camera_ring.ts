/** This file is the publishing side of a camera: its ring outlives the camera's connections. */
import { setTimeout as sleep } from "node:timers/promises";
import { isCuframesError, type PixelFormat } from "../core/mod.ts";
import { Publisher, type PublisherEvent, type WritableFrame } from "../frames/mod.ts";
import type { MediaFrame, MediaPacket, MediaReader } from "../media/mod.ts";
import type { MemoryKind } from "../memory/mod.ts";
import { CameraTracks, type PacketCounters } from "./camera_tracks.ts";
import type { RingSettings } from "./options.ts";

/** What a ring has been given so far. */
export interface RingCounters extends PacketCounters {
  /** Frames published. */
  frames: number;
  /** Frames left out: no slot was free in time, and no memory for one could be had. The next one says `discontinuity`. */
  framesDropped: number;
}

/** One key's publisher. Made when the camera's first connection tells the size. */
export class CameraRing implements Disposable {
  readonly #settings: RingSettings;
  readonly #onEvent: (event: PublisherEvent) => void;
  readonly #tracks: CameraTracks;
  readonly #frames = { frames: 0, framesDropped: 0 };
  #publisher: Publisher | undefined;
  /** What every connection's frames must be. */
  #shape: { width: number; height: number; format: PixelFormat } | undefined;
  /** Those of earlier publishers. */
  #evictions = 0;
  #wait = false;
  /** The connection's first packet, which is a key packet, is shown then; undefined before it has come. */
  #beginNs: bigint | undefined;
  /** Whether the frame that is published next does not continue the one that was published last. */
  #gap = false;
  /** Whether no frame was published yet that could be continued. */
  #isNew = true;

  /** @param onEvent is told of the ring, in the course of `frame` */
  constructor(settings: RingSettings, onEvent: (event: PublisherEvent) => void) {
    this.#settings = settings;
    this.#onEvent = onEvent;
    this.#tracks = new CameraTracks(settings.packets);
  }

  get counters(): RingCounters {
    return { ...this.#tracks.counters, ...this.#frames };
  }

  /** What every connection's frames must be; undefined before the first. */
  get shape(): { width: number; height: number; format: PixelFormat } | undefined {
    return this.#shape;
  }

  /** Whether the ring carries packets: not where the input has none, but raw pictures. */
  get hasPackets(): boolean {
    return !this.#tracks.isEmpty;
  }

  /** Where the frames are. */
  get memory(): MemoryKind | undefined {
    return this.#publisher?.memory;
  }

  /** What the publisher says of itself now. */
  get state(): { subscribers: number; slots: number; slotsLeased: number; evictions: number } {
    const stats = this.#publisher?.stats();
    const { subscribers = 0, slots = 0, slotsLeased = 0, evictions = 0 } = stats ?? {};
    return { subscribers, slots, slotsLeased, evictions: this.#evictions + evictions };
  }

  /**
   * Begins a connection's streams, on the tracks that there are: what is another stream now is another generation of its
   * track.
   *
   * @param wait whether ordered subscribers may hold the input back
   * @throws {CuframesError} as `Publisher.create`
   */
  begin(media: MediaReader, { wait }: { wait: boolean }): void {
    if (!this.#publisher) this.#create(media, wait);
    else this.#tracks.reconnect(media.tracks);
    this.#beginNs = undefined;
  }

  /** Waits until so many subscribers are connected. */
  async subscribed(count: number, signal: AbortSignal): Promise<void> {
    // The library tells no one when a subscriber comes.
    while (this.state.subscribers < count) await sleep(20, undefined, { signal });
  }

  /** Publishes a packet. One of a file waits until it overwrites none that a reader may have had no time for. */
  async packet(packet: MediaPacket, signal: AbortSignal): Promise<void> {
    if (this.#wait) {
      const delay = this.#tracks.delay(packet);
      if (delay > 0) await sleep(delay, undefined, { signal });
    }
    // The picture's is the first track.
    if (packet.track === 0) this.#beginNs ??= packet.timestampNs;
    this.#tracks.packet(packet);
  }

  /** Publishes a frame; it is dropped where no slot is free in time, and the next one says `discontinuity`. */
  async frame(frame: MediaFrame, signal: AbortSignal): Promise<void> {
    // Decoded without its references.
    if (this.#beginNs === undefined || frame.timestampNs < this.#beginNs) return;
    this.#gap ||= frame.discontinuity && !this.#isNew;
    using slot = await this.#acquire(signal);
    if (slot === undefined) {
      this.#frames.framesDropped++;
      this.#gap = !this.#isNew;
      return;
    }
    frame.writeTo(slot);
    slot.publish({
      timestampNs: frame.timestampNs,
      durationNs: frame.durationNs,
      corrupt: frame.corrupt,
      discontinuity: this.#gap,
      captureTimeNs: frame.captureTimeNs,
      ...frame.picture,
    });
    this.#gap = false;
    this.#isNew = false;
    this.#frames.frames++;
  }

  /** Ends the ring: socket and lock are gone. */
  [Symbol.dispose](): void {
    this.#close();
  }

  async #acquire(signal: AbortSignal): Promise<WritableFrame | undefined> {
    const publisher = this.#publisher;
    try {
      if (!this.#wait) return publisher?.acquire();
      return await publisher?.acquireAsync({ timeout: this.#settings.patience, signal });
    } catch (error) {
      if (isCuframesError(error, "WOULD_BLOCK", "TIMEOUT")) return undefined;
      throw error;
    }
  }

  #create({ width, height, format, tracks }: MediaReader, wait: boolean): void {
    this.#wait = wait;
    this.#gap = false;
    this.#isNew = true;
    const { key, place, frames, slots, maxSlots, memoryLimit, memory, device } = this.#settings;
    // With the publisher, so that nobody who waits for the key meets it without its tracks.
    const carried = { key, ...place, tracks: this.#tracks.optionsOf(tracks) };
    const policy = wait ? "wait" : "drop-oldest";
    const publisher = frames
      ? Publisher.create({
        ...carried,
        ...{ width, height, format, slots, maxSlots, memory, device, policy },
        ...(memoryLimit !== undefined && { memoryLimit }),
        onEvent: this.#onEvent,
      })
      : Publisher.create({ ...carried, frames });
    this.#publisher = publisher;
    this.#shape = { width, height, format };
    this.#tracks.attach(publisher, tracks);
  }

  #close(): void {
    if (this.#publisher?.closed === false) this.#evictions += this.#publisher.stats().evictions;
    this.#publisher?.close();
    this.#publisher = undefined;
    this.#tracks.detach();
  }
}
