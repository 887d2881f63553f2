// The writing end of a packet ring.

import {
  checkInteger,
  checkOptions,
  CODEC_IDS,
  EXTRADATA_SIZE_MAX,
  invalid,
  nanoseconds,
  optionNames,
  PACKET_DATA_SIZE_MAX,
  PACKET_FLAG_CORRUPT,
  PACKET_FLAG_DISCONTINUITY,
  PACKET_FLAG_KEY,
  PACKET_FLAG_LAST_IN_AU,
  PACKETS_MAX,
  shown,
} from "../core/mod.ts";
import { checked, library, type NativeSymbols, PacketOptions, PacketRecord, Struct } from "../ffi/mod.ts";
import { type CodecName, PACKET_RING_OPTIONS, type PacketRingOptions } from "./packet_ring_options.ts";

/** An encoded access unit and what goes with it. */
export interface PacketInit {
  /** The access unit: Annex B for H.264 and HEVC. Copied. */
  data: Uint8Array;
  /** `"key"` when decoding can begin here. */
  type: "key" | "delta";
  /** Presentation time in microseconds. */
  timestamp?: number;
  /** Presentation time in nanoseconds, instead of `timestamp`. */
  timestampNs?: bigint;
  /** Microseconds; default: the presentation time. */
  decodeTimestamp?: number;
  /** Nanoseconds, instead of `decodeTimestamp`. */
  decodeTimestampNs?: bigint;
  /** This packet does not continue the one before it. */
  discontinuity?: boolean;
  /** The packet is known to be damaged. */
  corrupt?: boolean;
}

const PACKET_INIT = optionNames<PacketInit>({
  data: true,
  type: true,
  timestamp: true,
  timestampNs: true,
  decodeTimestamp: true,
  decodeTimestampNs: true,
  discontinuity: true,
  corrupt: true,
});

const MIB = 2 ** 20;

/** The publisher that a packet ring belongs to. */
export interface PublisherHandle {
  /** The name subscribers connect to. */
  readonly key: string;
  /** The native publisher; throws when it is closed. */
  readonly handle: number;
}

/** Checks the options and writes them as the C struct. */
export function encodePacketRing(options: PacketRingOptions): { struct: Struct; codecId: number } {
  options = checkOptions(options, PACKET_RING_OPTIONS);
  const { codec, slots = 64, dataSize = 8 * MIB, named = false } = options;
  const struct = new Struct(PacketOptions.SIZE);
  struct.setU32(PacketOptions.ringSlots, checkInteger("slots", slots, 1, PACKETS_MAX));
  struct.setU32(PacketOptions.dataSize, checkInteger("dataSize", dataSize, 1, PACKET_DATA_SIZE_MAX));
  const { maxPacketSize = Math.min(2 * MIB, dataSize) } = options; // of a data size that is checked by now
  struct.setU32(PacketOptions.maxPacketSize, checkInteger("maxPacketSize", maxPacketSize, 1, dataSize));
  const codecId = codecIdOf(codec);
  struct.setU32(PacketOptions.codecId, codecId);
  struct.setU32(PacketOptions.named, named ? 1 : 0);
  const description = options.description ?? options.codecParameters;
  if (description !== undefined) {
    checkDescription(description);
    struct.setU32(PacketOptions.extradataSize, description.length);
    struct.bytes.set(description, PacketOptions.extradata);
  }
  return { struct, codecId };
}

/**
 * The one writer of a publisher's packet ring. Ends with its publisher.
 *
 * @example
 * ```ts
 * import { Publisher } from "@cuframes/core";
 *
 * using publisher = Publisher.create({ key: "cam-parking", width: 1280, height: 720 });
 * const ring = publisher.enablePackets({ codec: "h264" });
 * ring.write({ type: "key", timestamp: 0, data: new Uint8Array([0, 0, 0, 1, 0x65]) });
 * ```
 */
export class PacketRingWriter {
  /** FFmpeg's `AVCodecID`. */
  readonly codecId: number;
  readonly #publisher: PublisherHandle;
  readonly #symbols: NativeSymbols;
  readonly #record: Struct = new Struct(PacketRecord.SIZE);

  /** What is not collected before this: the publisher. */
  protected readonly owner: object;

  /** @internal Made by `Publisher`, of a ring that its publisher has. */
  constructor(publisher: PublisherHandle, codecId: number, owner: object) {
    this.owner = owner;
    this.#publisher = publisher;
    this.#symbols = library().symbols;
    this.codecId = codecId;
  }

  /**
   * Replaces the description that new readers are given: see {@linkcode PacketRingOptions.description}.
   *
   * @throws {CuframesError} `INVALID_ARGUMENT`: more than 4096 bytes
   */
  setDescription(description: Uint8Array): void {
    checkDescription(description);
    const result = this.#symbols.cuframes_publisher_set_extradata(
      this.#publisher.handle,
      description,
      description.length,
    );
    checked(result, `setting the codec description of ${this.#publisher.key}`);
  }

  /**
   * The former name of {@linkcode PacketRingWriter.setDescription}.
   *
   * @deprecated use `setDescription`
   */
  setCodecParameters(description: Uint8Array): void {
    this.setDescription(description);
  }

  /**
   * Publishes one packet.
   *
   * @returns its sequence: 0 for the first, and one more each time
   * @throws {CuframesError} `PACKET_OVERSIZED`: larger than `maxPacketSize`; `INVALID_ARGUMENT`: empty or no
   * timestamp; `DISCONNECTED`: the publisher is closed
   */
  write(packet: PacketInit): bigint {
    packet = checkOptions(packet, PACKET_INIT);
    const timestamp = nanoseconds("timestamp", packet.timestamp, packet.timestampNs);
    if (timestamp === undefined) throw invalid("a packet needs a timestamp or timestampNs");
    if (!(packet.data instanceof Uint8Array)) throw invalid("a packet's data must be a Uint8Array");
    if (packet.type !== "key" && packet.type !== "delta") {
      throw invalid(`type is ${shown(packet.type)}: it must be "key" or "delta"`);
    }
    const record = this.#record;
    record.setI64(PacketRecord.timestampNs, timestamp);
    record.setI64(
      PacketRecord.decodeTimestampNs,
      nanoseconds("decodeTimestamp", packet.decodeTimestamp, packet.decodeTimestampNs) ?? timestamp,
    );
    record.setU32(
      PacketRecord.flags,
      PACKET_FLAG_LAST_IN_AU | (packet.type === "key" ? PACKET_FLAG_KEY : 0) |
        (packet.discontinuity ? PACKET_FLAG_DISCONTINUITY : 0) | (packet.corrupt ? PACKET_FLAG_CORRUPT : 0),
    );
    record.setU32(PacketRecord.size, packet.data.length);
    const result = this.#symbols.cuframes_publisher_publish_packet(
      this.#publisher.handle,
      record.bytes,
      packet.data,
    );
    checked(result, `publishing a packet of ${this.#publisher.key}`);
    return record.u64(PacketRecord.sequence);
  }
}

function codecIdOf(codec: CodecName | number): number {
  if (typeof codec === "number") return checkInteger("codec", codec, 1, 0xffff_ffff);
  if (typeof codec === "string" && Object.hasOwn(CODEC_IDS, codec)) return CODEC_IDS[codec];
  throw invalid(
    `codec ${shown(codec)} is not known: use one of ${
      Object.keys(CODEC_IDS).join(", ")
    } or FFmpeg's AVCodecID number`,
  );
}

function checkDescription(description: Uint8Array): void {
  if (!(description instanceof Uint8Array)) throw invalid("description must be a Uint8Array");
  if (description.length > EXTRADATA_SIZE_MAX) {
    throw invalid(`description has ${description.length} bytes: at most ${EXTRADATA_SIZE_MAX}`);
  }
}
