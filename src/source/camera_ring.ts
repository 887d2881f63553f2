/** This file is the publishing side of a camera: its ring outlives the camera's connections. */
import { setTimeout as sleep } from "node:timers/promises";
import { isCuframesError, type PixelFormat } from "../core/mod.ts";
import { Publisher, type WritableFrame } from "../frames/mod.ts";
import { isPictures, type MediaFrame, type MediaPacket, type MediaReader } from "../media/mod.ts";
import type { MemoryKind } from "../memory/mod.ts";
import type { PacketRingWriter } from "../packets/mod.ts";
import { encodeMetadata } from "./frame_metadata.ts";
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
  /** Frames left out: every slot was held when they were decoded. */
  framesDropped: number;
}

/** How long a frame waits for subscribers that may hold the source back. */
const PATIENCE_MS = 5000;

type PacketSettings = NonNullable<RingSettings["packets"]>;

/** One key's publisher. Made when the camera's first connection tells the size. */
export class CameraRing implements Disposable {
  readonly #settings: RingSettings;
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
  /** The connection's first packet, which is a key packet, is shown then; undefined before it has come. */
  #beginNs: bigint | undefined;
  /** Whether what is published next does not continue what was published last. */
  #gap = { packet: false, frame: false };
  /** Whether nothing was published yet that could be continued. */
  #isNew = { packet: true, frame: true };

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
    const { packets } = this.#settings;
    if (this.#writer && this.#writer.codecId !== codecId) this.#close();
    const publisher = this.#publisher ??= this.#create(media, wait);
    if (packets && !isPictures(codecId)) {
      if (!this.#writer) this.#writer = this.#enablePackets(publisher, media, packets);
      else this.#writer.setDescription(description);
    }
    this.#metadata = encodeMetadata({ colorSpace });
    this.#beginNs = undefined;
  }

  /** Waits until so many subscribers are connected. */
  async subscribed(count: number, signal: AbortSignal): Promise<void> {
    // The library tells no one when a subscriber comes.
    while (this.subscribers < count) await sleep(20, undefined, { signal });
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
    const publisher = this.#publisher;
    try {
      if (!this.#wait) return publisher?.acquire();
      return await publisher?.acquireAsync({ timeout: PATIENCE_MS, signal });
    } catch (error) {
      if (isCuframesError(error, "WOULD_BLOCK", "TIMEOUT")) return undefined;
      throw error;
    }
  }

  #create({ width, height, format }: MediaReader, wait: boolean): Publisher {
    this.#wait = wait;
    this.#gap = { packet: false, frame: false };
    this.#isNew = { packet: true, frame: true };
    const { key, place, slots, memory, device } = this.#settings;
    const policy = wait ? "wait" : "drop-oldest";
    return Publisher.create({ key, ...place, width, height, format, slots, memory, device, policy });
  }

  #enablePackets(publisher: Publisher, { video }: MediaReader, settings: PacketSettings): PacketRingWriter {
    const { slots, dataSize } = settings;
    return publisher.enablePackets({
      codec: video.codecId,
      codecParameters: video.description,
      slots,
      dataSize,
      maxPacketSize: Math.floor(dataSize / LARGEST_SHARE),
    });
  }

  #close(): void {
    this.#publisher?.close();
    this.#publisher = undefined;
    this.#writer = undefined;
  }
}
