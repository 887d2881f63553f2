/** The publishing side of a source: one ring that outlives the camera's connections, and one timeline across them. */
import { setTimeout as sleep } from "node:timers/promises";
import { type MemoryKind, monotonicNow } from "../memory/mod.ts";
import { CuframesError, type PixelFormat } from "../core/mod.ts";

import type { MediaFrame, MediaPacket, MediaReader } from "../media/mod.ts";
import type { PacketRingWriter } from "../packets/mod.ts";
import { Publisher, type WritableFrame } from "../frames/mod.ts";

import { encodeMetadata } from "./frame_metadata.ts";

/** How a ring is made. */
export interface RingSettings {
  readonly key: string;
  readonly place: { readonly runtimeDirectory?: string };
  /** Frames in the ring. */
  readonly ring: number;
  readonly memory: MemoryKind | "auto";
  /** The GPU's number in this process. */
  readonly device: number;
  readonly packets: boolean;
  readonly packetSlots: number;
  /** Bytes. */
  readonly packetMemory: number;
  readonly socketMode: number | undefined;
}

/** What a ring has been given so far. */
export interface RingCounters {
  packets: number;
  /** Payload of the packets, in bytes. */
  packetBytes: number;
  /** Larger than the ring allows. */
  packetsDropped: number;
  frames: number;
  /** Decoded while every slot was held. */
  framesDropped: number;
}

/** How long a frame waits for subscribers that may hold the source back. */
const PATIENCE_MS = 5000;

/** FFmpeg's `AV_CODEC_ID_RAWVIDEO` and `_WRAPPED_AVFRAME`: pictures, which some devices give instead of packets. */
const PICTURES: readonly number[] = [13, 0x21001];

/** The largest packet, as a share of the packet ring's memory. */
const LARGEST_SHARE = 4;

/** One key's publisher. Made when the camera's first connection tells the size. */
export class CameraRing implements Disposable {
  readonly #settings: RingSettings;
  readonly #timeline = new GapTimeline();
  readonly counters: RingCounters = {
    packets: 0,
    packetBytes: 0,
    packetsDropped: 0,
    frames: 0,
    framesDropped: 0,
  };
  #publisher: Publisher | undefined;
  #writer: PacketRingWriter | undefined;
  #wait = false;
  #metadata: Uint8Array | undefined;
  /** Whether any picture can be the first one, and none is a packet. */
  #picturesOnly = false;
  /** The connection's first key packet is shown then; undefined before it has come. */
  #beginNs: bigint | undefined;
  /** What is published next does not continue what was published last. */
  #gap = { packet: false, frame: false };

  constructor(settings: RingSettings) {
    this.#settings = settings;
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

  /** Subscribers connected now. */
  get subscribers(): number {
    return this.#publisher?.stats().subscribers ?? 0;
  }

  /**
   * Begins a connection's stream. A codec other than the last connection's needs another packet ring, so that the
   * publisher is made anew under the same key.
   *
   * @param wait whether ordered subscribers may hold the input back
   * @throws {CuframesError} as `Publisher.create`
   */
  begin(media: MediaReader, { wait }: { wait: boolean }): void {
    const { codecId, description, colorSpace } = media.video;
    if (this.#writer && this.#writer.codecId !== codecId) this.#close();
    const again = this.#publisher !== undefined;
    this.#publisher ??= this.#create(media, wait);
    this.#picturesOnly = PICTURES.includes(codecId);
    if (this.#settings.packets && !this.#picturesOnly) {
      if (!this.#writer) this.#writer = this.#enablePackets(this.#publisher, media);
      else this.#writer.setDescription(description);
    }
    this.#metadata = encodeMetadata({ colorSpace });
    this.#beginNs = undefined;
    this.#timeline.begin();
    this.#gap = { packet: again || this.#gap.packet, frame: again || this.#gap.frame };
  }

  /** Waits until so many subscribers are connected. */
  async subscribed(count: number, signal: AbortSignal): Promise<void> {
    // The library tells no one when a subscriber comes.
    while (this.subscribers < count) await sleep(20, undefined, { signal });
  }

  /** Publishes a packet; those before a connection's first key packet are of no use to anybody. */
  packet(packet: MediaPacket): void {
    if (this.#beginNs === undefined) {
      if (packet.type !== "key" && !this.#picturesOnly) return;
      this.#beginNs = packet.timestampNs;
    }
    const times = this.#timeline.place(packet);
    this.#gap.packet ||= packet.discontinuity;
    const writer = this.#writer;
    if (!writer) return;
    if (packet.description) writer.setDescription(packet.description);
    try {
      const { data, type, corrupt } = packet;
      writer.write({ data, type, corrupt, ...times, discontinuity: this.#gap.packet });
    } catch (error) {
      if (!isCode(error, "PACKET_OVERSIZED")) throw error;
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
    this.#gap.frame ||= frame.discontinuity;
    using slot = await this.#acquire(signal);
    if (slot === undefined) {
      this.counters.framesDropped++;
      return;
    }
    frame.writeTo(slot);
    slot.publish({
      timestampNs: this.#timeline.shift(frame.timestampNs),
      durationNs: frame.durationNs,
      corrupt: frame.corrupt,
      discontinuity: this.#gap.frame,
      ...(this.#metadata && { metadata: this.#metadata }),
    });
    this.#gap.frame = false;
    this.counters.frames++;
  }

  /** Ends the ring: socket and lock are gone. */
  [Symbol.dispose](): void {
    this.#close();
  }

  async #acquire(signal: AbortSignal): Promise<WritableFrame | undefined> {
    const publisher = this.#publisher!;
    try {
      if (!this.#wait) return publisher.acquire();
      return await publisher.acquireAsync({ timeout: PATIENCE_MS, signal });
    } catch (error) {
      if (isCode(error, "WOULD_BLOCK") || isCode(error, "TIMEOUT")) return undefined;
      throw error;
    }
  }

  #create({ width, height, format }: MediaReader, wait: boolean): Publisher {
    this.#wait = wait;
    const { key, place, ring, memory, device, socketMode } = this.#settings;
    return Publisher.create({
      key,
      ...place,
      width,
      height,
      format,
      slots: ring,
      memory,
      device,
      policy: wait ? "wait" : "drop-oldest",
      ...(socketMode !== undefined && { socketMode }),
    });
  }

  #enablePackets(publisher: Publisher, { video }: MediaReader): PacketRingWriter {
    const { packetSlots, packetMemory } = this.#settings;
    return publisher.enablePackets({
      codec: video.codecId,
      description: video.description,
      slots: packetSlots,
      dataSize: packetMemory,
      maxPacketSize: Math.floor(packetMemory / LARGEST_SHARE),
    });
  }

  #close(): void {
    this.#publisher?.close();
    this.#publisher = undefined;
    this.#writer = undefined;
  }
}

/** A packet's times, in ns. */
interface Times {
  timestampNs: bigint;
  decodeTimestampNs: bigint;
}

/**
 * One line of timestamps across connections, each of which counts from anywhere: they never go back, and a gap is as
 * long as it was on the clock.
 */
export class GapTimeline {
  #offset = 0n;
  /** When the last packet is decoded and when all are over; undefined before the first. */
  #last: { decodeNs: bigint; endNs: bigint; arrivedNs: bigint } | undefined;
  #fresh = false;

  /** The next packet comes from another connection. */
  begin(): void {
    this.#fresh = true;
  }

  /** Places a packet of the connection, in decode order. @param nowNs the monotonic clock */
  place(packet: Times & { durationNs: bigint }, nowNs: bigint = monotonicNow()): Times {
    const last = this.#last;
    if (this.#fresh && last) {
      const onTheClock = last.decodeNs + (nowNs - last.arrivedNs);
      this.#offset = (onTheClock > last.endNs ? onTheClock : last.endNs) - packet.decodeTimestampNs;
    }
    this.#fresh = false;
    const timestampNs = this.shift(packet.timestampNs);
    const decodeTimestampNs = this.shift(packet.decodeTimestampNs);
    const end = timestampNs + packet.durationNs;
    this.#last = {
      decodeNs: decodeTimestampNs,
      endNs: last && last.endNs > end ? last.endNs : end,
      arrivedNs: nowNs,
    };
    return { timestampNs, decodeTimestampNs };
  }

  /** A time of the connection on the line. */
  shift(timeNs: bigint): bigint {
    return timeNs + this.#offset;
  }
}

function isCode(error: unknown, code: CuframesError["code"]): boolean {
  return error instanceof CuframesError && error.code === code;
}
