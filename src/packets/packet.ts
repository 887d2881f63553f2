// A packet on the reading side.

import {
  type AllowSharedBufferSource,
  bytesOf,
  invalid,
  microseconds,
  PACKET_FLAG_CORRUPT,
  PACKET_FLAG_DISCARD,
  PACKET_FLAG_DISCONTINUITY,
  PACKET_FLAG_KEY,
} from "../core/mod.ts";
import { PacketView, type Struct } from "../ffi/mod.ts";
import type { Track } from "./track.ts";

/**
 * One encoded access unit, as WebCodecs' `EncodedVideoChunk`, and more. Its bytes are the receiver's own.
 *
 * @example
 * ```ts
 * import { Subscriber } from "@cuframes/core";
 *
 * using camera = await Subscriber.connect("cam-parking");
 * using packets = camera.packets();
 * for await (const packet of packets) console.log(packet.type, packet.timestamp, packet.byteLength);
 * ```
 */
export class Packet {
  /** `"key"` when decoding can begin here. */
  readonly type: "key" | "delta";
  /** The access unit: Annex B for H.264 and HEVC. */
  readonly data: Uint8Array<ArrayBuffer>;
  /** From 0, in the order of publishing. */
  readonly sequence: bigint;
  /** Presentation time in nanoseconds. */
  readonly timestampNs: bigint;
  /** Decoding time in nanoseconds. */
  readonly decodeTimestampNs: bigint;
  /** Packets before this one are missing, or the stream itself was interrupted, or this is the first after a reconnect. */
  readonly discontinuity: boolean;
  /** The publisher knows that the packet is damaged. */
  readonly corrupt: boolean;
  /** It is decoded because others refer to it, and not shown, as the edit list of the source's container says. */
  readonly hidden: boolean;
  /**
   * What its track is from here on, where that is not what it was at the packet before: in the first packet that a reader is
   * given, in the first of another codec or of other parameters, and in each H.264 or HEVC key packet whose parameter sets are
   * others.
   */
  readonly config: Track | undefined;
  /** Packet rings carry none; for `EncodedVideoChunk`'s sake. */
  readonly duration: null = null;

  /** @internal Made by {@linkcode PacketRingReader}. */
  constructor(view: Struct, data: Uint8Array<ArrayBuffer>, interrupted: boolean, config: Track | undefined) {
    const flags = view.u32(PacketView.flags);
    this.type = (flags & PACKET_FLAG_KEY) !== 0 ? "key" : "delta";
    this.data = data;
    this.sequence = view.u64(PacketView.sequence);
    this.timestampNs = view.i64(PacketView.timestampNs);
    this.decodeTimestampNs = view.i64(PacketView.decodeTimestampNs);
    this.discontinuity = interrupted || (flags & PACKET_FLAG_DISCONTINUITY) !== 0;
    this.config = config;
    this.corrupt = (flags & PACKET_FLAG_CORRUPT) !== 0;
    this.hidden = (flags & PACKET_FLAG_DISCARD) !== 0;
  }

  /** The `description` of {@linkcode Packet.config}: what a decoder has to know from here on. */
  get description(): Uint8Array<ArrayBuffer> | undefined {
    return this.config?.description;
  }

  /** Presentation time in microseconds. */
  get timestamp(): number {
    return microseconds(this.timestampNs);
  }

  /** Decoding time in microseconds. */
  get decodeTimestamp(): number {
    return microseconds(this.decodeTimestampNs);
  }

  /** Bytes of `data`. */
  get byteLength(): number {
    return this.data.length;
  }

  /** Copies the bytes to the start of `destination`. @throws {CuframesError} `INVALID_ARGUMENT`: too small */
  copyTo(destination: AllowSharedBufferSource): void {
    const target = bytesOf(destination);
    if (target.length < this.data.length) {
      throw invalid(`the destination has ${target.length} bytes, the packet ${this.data.length}`);
    }
    target.set(this.data);
  }
}
