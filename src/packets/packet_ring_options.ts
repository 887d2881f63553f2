// What a packet ring is made with.

import { type CODEC_IDS, type OptionNames, optionNames } from "../core/mod.ts";

/** Codecs by name. */
export type CodecName = keyof typeof CODEC_IDS;

/**
 * Options of `Publisher.enablePackets`.
 *
 * @example
 * ```ts
 * import { Publisher } from "@cuframes/core";
 *
 * using publisher = Publisher.create({ key: "cam-parking", width: 1280, height: 720 });
 * publisher.enablePackets({ codec: "hevc", slots: 128, dataSize: 16 * 2 ** 20 });
 * ```
 */
export interface PacketRingOptions {
  /** A name, or FFmpeg's `AVCodecID` number for any other codec. */
  codec: CodecName | number;
  /**
   * What a decoder has to know beforehand: Annex B parameter sets for H.264 and HEVC, else what FFmpeg calls the codec's
   * extradata; at most 4096 bytes.
   */
  description?: Uint8Array;
  /**
   * The former name of `description`, which counts where both are given.
   *
   * @deprecated use `description`
   */
  codecParameters?: Uint8Array;
  /** Packets in the ring, 1 to 1024; default 64. */
  slots?: number;
  /** Bytes of payload in the ring, at most 1 GiB; default 8 MiB. */
  dataSize?: number;
  /** Bytes; default 2 MiB. */
  maxPacketSize?: number;
  /** Also as `/dev/shm/cuframes-<key>-packets`, where tools made for the C library look; costs a second copy. */
  named?: boolean;
}

/** The names of {@linkcode PacketRingOptions}. */
export const PACKET_RING_OPTIONS: OptionNames = optionNames<PacketRingOptions>({
  codec: true,
  description: true,
  codecParameters: true,
  slots: true,
  dataSize: true,
  maxPacketSize: true,
  named: true,
});
