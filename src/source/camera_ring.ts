/** This file is the publishing side of a camera: its ring outlives the camera's connections. */
import { setTimeout as sleep } from "node:timers/promises";
import { isCuframesError, type PixelFormat } from "../core/mod.ts";
import { Publisher, type PublisherEvent, type WritableFrame } from "../frames/mod.ts";
import { isPictures, type MediaFrame, type MediaPacket, type MediaReader } from "../media/mod.ts";
import type { MemoryKind } from "../memory/mod.ts";
import type { PacketRingOptions, PacketRingWriter } from "../packets/mod.ts";
import { LARGEST_SHARE, type RingSettings } from "./options.ts";

/** What a ring has been given so far. */
export interface RingCounters {
  /** Packets published. */
  packets: number;
  /** Payload of the packets, in bytes. */
  packetBytes: number;
  /** Packets left out: larger than the ring allows. */
  packetsDropped: number;
  /** Frames published. */
  frames: number;
  /** Frames left out: no slot was free when they were decoded, and no memory for one could be had. */
  framesDropped: number;
}

/** How long a frame waits for subscribers that may hold the source back. */
const PATIENCE_MS = 5000;

/** One key's publisher. Made when the camera's first connection tells the size. */
export class CameraRing implements Disposable {
  readonly #settings: RingSettings;
  readonly #onEvent: (event: PublisherEvent) => void;
  readonly counters: RingCounters = {
    packets: 0,
    packetBytes: 0,
    packetsDropped: 0,
    frames: 0,
    framesDropped: 0,
  };
  #publisher: Publisher | undefined;
  #writer: PacketRingWriter | undefined;
  /** Those of earlier publishers. */
  #evictions = 0;
  #wait = false;
  /** The connection's first packet, which is a key packet, is shown then; undefined before it has come. */
  #beginNs: bigint | undefined;
  /** Whether what is published next does not continue what was published last. */
  #gap = { packet: false, frame: false };
  /** Whether nothing was published yet that could be continued. */
  #isNew = { packet: true, frame: true };

  /** @param onEvent is told of the ring, in the course of `frame` */
  constructor(settings: RingSettings, onEvent: (event: PublisherEvent) => void) {
    this.#settings = settings;
    this.#onEvent = onEvent;
  }

  /** What every connection's frames must be; undefined before the first. */
  get shape(): { width: number; height: number; format: PixelFormat } | undefined {
    const publisher = this.#publisher;
    if (!publisher) return undefined;
    return { width: publisher.codedWidth, height: publisher.codedHeight, format: publisher.format };
  }

  /** Whether the ring carries packets: not where the input has none, but raw pictures. */
  get hasPackets(): boolean {
    return this.#writer !== undefined;
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
   * Begins a connection's stream. A codec other than the last connection's needs another packet ring, so that the
   * publisher is made anew under the same key.
   *
   * @param wait whether ordered subscribers may hold the input back
   * @throws {CuframesError} as `Publisher.create`
   */
  begin(media: MediaReader, { wait }: { wait: boolean }): void {
    const { codecId, description } = media.video;
    if (this.#writer && this.#writer.codecId !== codecId) this.#close();
    if (!this.#publisher) this.#create(media, wait);
    else if (this.#writer) this.#writer.setDescription(description);
    else this.#writer = this.#addPackets(this.#publisher, media);
    this.#beginNs = undefined;
  }

  /** Waits until so many subscribers are connected. */
  async subscribed(count: number, signal: AbortSignal): Promise<void> {
    // The library tells no one when a subscriber comes.
    while (this.state.subscribers < count) await sleep(20, undefined, { signal });
  }

  /** Publishes a packet. */
  packet(packet: MediaPacket): void {
    this.#beginNs ??= packet.timestampNs;
    this.#gap.packet ||= packet.discontinuity && !this.#isNew.packet;
    this.#isNew.packet = false;
    const writer = this.#writer;
    if (!writer) return;
    if (packet.description) writer.setDescription(packet.description);
    try {
      const { data, type, corrupt, timestampNs, decodeTimestampNs } = packet;
      writer.write({ data, type, corrupt, timestampNs, decodeTimestampNs, discontinuity: this.#gap.packet });
    } catch (error) {
      if (!isCuframesError(error, "PACKET_OVERSIZED")) throw error;
      this.counters.packetsDropped++;
      this.#gap.packet = true;
      return;
    }
    this.#gap.packet = false;
    this.counters.packets++;
    this.counters.packetBytes += packet.data.length;
  }

  /** Publishes a frame; it is dropped where every slot is held. */
  async frame(frame: MediaFrame, signal: AbortSignal): Promise<void> {
    // Decoded without its references.
    if (this.#beginNs === undefined || frame.timestampNs < this.#beginNs) return;
    this.#gap.frame ||= frame.discontinuity && !this.#isNew.frame;
    this.#isNew.frame = false;
    using slot = await this.#acquire(signal);
    if (slot === undefined) {
      this.counters.framesDropped++;
      return;
    }
    frame.writeTo(slot);
    slot.publish({
      timestampNs: frame.timestampNs,
      durationNs: frame.durationNs,
      corrupt: frame.corrupt,
      discontinuity: this.#gap.frame,
      captureTimeNs: frame.captureTimeNs,
      ...frame.picture,
    });
    this.#gap.frame = false;
    this.counters.frames++;
  }

  /** Ends the ring: socket and lock are gone. */
  [Symbol.dispose](): void {
    this.#close();
  }

  async #acquire(signal: AbortSignal): Promise<WritableFrame | undefined> {
    const publisher = this.#publisher;
    try {
      if (!this.#wait) return publisher?.acquire();
      return await publisher?.acquireAsync({ timeout: PATIENCE_MS, signal });
    } catch (error) {
      if (isCuframesError(error, "WOULD_BLOCK", "TIMEOUT")) return undefined;
      throw error;
    }
  }

  #create({ width, height, format, video }: MediaReader, wait: boolean): void {
    this.#wait = wait;
    this.#gap = { packet: false, frame: false };
    this.#isNew = { packet: true, frame: true };
    const { key, place, slots, maxSlots, memoryLimit, memory, device } = this.#settings;
    const policy = wait ? "wait" : "drop-oldest";
    const packets = this.#packetRingOf(video);
    const publisher = Publisher.create({
      ...{ key, ...place, width, height, format, slots, maxSlots, memory, device, policy },
      ...(memoryLimit !== undefined && { memoryLimit }),
      onEvent: this.#onEvent,
      // With the publisher, so that nobody who waits for the key meets it without its packets.
      ...(packets && { packets }),
    });
    this.#publisher = publisher;
    this.#writer = publisher.packets;
  }

  /** For a publisher whose first connection had none: it was of pictures. */
  #addPackets(publisher: Publisher, { video }: MediaReader): PacketRingWriter | undefined {
    const options = this.#packetRingOf(video);
    return options && publisher.enablePackets(options);
  }

  #packetRingOf({ codecId, description }: MediaReader["video"]): PacketRingOptions | undefined {
    const { packets } = this.#settings;
    if (!packets || isPictures(codecId)) return undefined;
    const { slots, dataSize } = packets;
    const maxPacketSize = Math.floor(dataSize / LARGEST_SHARE);
    return { codec: codecId, description, slots, dataSize, maxPacketSize };
  }

  #close(): void {
    if (this.#publisher?.closed === false) this.#evictions += this.#publisher.stats().evictions;
    this.#publisher?.close();
    this.#publisher = undefined;
    this.#writer = undefined;
  }
}
