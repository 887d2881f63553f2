// The writing end of a track.

import {
  checkOptions,
  invalid,
  nanoseconds,
  optionNames,
  PACKET_FLAG_CORRUPT,
  PACKET_FLAG_DISCARD,
  PACKET_FLAG_DISCONTINUITY,
  PACKET_FLAG_KEY,
  PACKET_FLAG_LAST_IN_AU,
  shown,
} from "../core/mod.ts";
import { checked, library, type NativeSymbols, PacketRecord, Struct } from "../ffi/mod.ts";
import type { TrackKind } from "./track.ts";
import { checkDescription, type EncodedTrack, encodeTrack, type TrackOptions } from "./track_options.ts";

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
  /** It is decoded because others refer to it, and not shown. */
  hidden?: boolean;
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
  hidden: true,
});

/** The publisher that a packet ring belongs to. */
export interface PublisherHandle {
  /** The name subscribers connect to. */
  readonly key: string;
  /** The native publisher; throws when it is closed. */
  readonly handle: number;
}

/**
 * The one writer of a track of a publisher. Ends with its publisher.
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
  /** What the track carries. */
  readonly kind: TrackKind;
  /** The track's number, by which subscribers know it. */
  readonly track: number;
  readonly #publisher: PublisherHandle;
  readonly #symbols: NativeSymbols;
  readonly #record: Struct = new Struct(PacketRecord.SIZE);
  #codecId: number;

  /** What is not collected before this: the publisher. */
  protected readonly owner: object;

  /** @internal Made by `Publisher`, of a track that its publisher has. */
  constructor(publisher: PublisherHandle, track: number, { kind, codecId }: EncodedTrack, owner: object) {
    this.owner = owner;
    this.#publisher = publisher;
    this.#symbols = library().symbols;
    this.kind = kind;
    this.track = track;
    this.#codecId = codecId;
  }

  /** FFmpeg's `AVCodecID`. */
  get codecId(): number {
    return this.#codecId;
  }

  /**
   * Lets the track go on with another codec, or other parameters that packets do not say themselves, from the next packet
   * on: readers finish what was written before, and are told in that packet (`Packet.config`). The packets go into a new
   * ring, made with these options and no others.
   *
   * @throws {CuframesError} `INVALID_ARGUMENT`: an option is wrong, or the kind another; `OUT_OF_MEMORY`; `DISCONNECTED`: the
   * publisher is closed. The track then goes on as it was.
   */
  configure(options: Omit<TrackOptions, "kind">): void {
    const encoded = encodeTrack({ kind: this.kind, ...options });
    const result = this.#symbols.cuframes_publisher_configure_track(
      this.#publisher.handle,
      this.track,
      encoded.struct.bytes,
    );
    checked(result, `changing track ${this.track} of ${this.#publisher.key}`);
    this.#codecId = encoded.codecId;
  }

  /**
   * Replaces the description that new readers are given, for a codec whose packets say themselves what has changed, as
   * H.264 and HEVC do; else see {@linkcode PacketRingWriter.configure}.
   *
   * @throws {CuframesError} `INVALID_ARGUMENT`: more than 4096 bytes
   */
  setDescription(description: Uint8Array): void {
    checkDescription(description);
    const result = this.#symbols.cuframes_publisher_set_extradata(
      this.#publisher.handle,
      this.track,
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
        (packet.discontinuity ? PACKET_FLAG_DISCONTINUITY : 0) | (packet.corrupt ? PACKET_FLAG_CORRUPT : 0) |
        (packet.hidden ? PACKET_FLAG_DISCARD : 0),
    );
    record.setU32(PacketRecord.size, packet.data.length);
    const result = this.#symbols.cuframes_publisher_publish_packet(
      this.#publisher.handle,
      this.track,
      record.bytes,
      packet.data,
    );
    checked(result, `publishing a packet of ${this.#publisher.key}`);
    return record.u64(PacketRecord.sequence);
  }
}
