// What a track and its ring are made with.

import {
  audioCodecIdOf,
  checkChoice,
  checkDimension,
  checkInteger,
  checkOptions,
  CODEC_IDS,
  DATA_CODEC_IDS,
  EXTRADATA_SIZE_MAX,
  invalid,
  type OptionNames,
  optionNames,
  PACKET_DATA_SIZE_MAX,
  PACKETS_MAX,
  shown,
  TRACK_KINDS,
} from "../core/mod.ts";
import { PacketOptions, Struct } from "../ffi/mod.ts";
import { CODEC_NAME_SIZE, LABEL_SIZE, LANGUAGE_SIZE, type TrackKind } from "./track.ts";

/** Codecs of pictures by name. */
export type CodecName = keyof typeof CODEC_IDS;

/** What a ring of packets is made with, whatever they are. */
interface RingOptions {
  /**
   * What a decoder has to know beforehand: Annex B parameter sets for H.264 and HEVC, else what FFmpeg calls the codec's
   * extradata; at most 4096 bytes.
   */
  description?: Uint8Array;
  /** Packets in the ring, 1 to 1024; default 64, of sound and data 512. */
  slots?: number;
  /** Bytes of payload in the ring, at most 1 GiB; default 8 MiB, of sound 1 MiB, of data 4 MiB. */
  dataSize?: number;
  /** Bytes; default 2 MiB, of sound and data 1 MiB, or `dataSize` where that is less. */
  maxPacketSize?: number;
  /**
   * Also as `/dev/shm/cuframes-<key>-packets`, where tools made for the C library look; costs a second copy. A publisher's
   * first track alone can be.
   */
  named?: boolean;
}

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
export interface PacketRingOptions extends RingOptions {
  /** A name, or FFmpeg's `AVCodecID` number for any other codec. */
  codec: CodecName | number;
  /**
   * The former name of `description`, which counts where both are given.
   *
   * @deprecated use `description`
   */
  codecParameters?: Uint8Array;
}

/**
 * Options of `Publisher.addTrack`.
 *
 * @example
 * ```ts
 * import { Publisher } from "@cuframes/core";
 *
 * using publisher = Publisher.create({ key: "cam-door", frames: false });
 * const sound = publisher.addTrack({ kind: "audio", codec: "alaw", sampleRate: 8000, numberOfChannels: 1 });
 * sound.write({ type: "key", timestamp: 0, data: new Uint8Array(160) });
 * ```
 */
export interface TrackOptions extends RingOptions {
  /** What it carries. */
  kind: TrackKind;
  /**
   * Of pictures a {@linkcode CodecName}; of sound FFmpeg's name (`"aac"`, `"opus"`, `"pcm_mulaw"`) or WebCodecs'
   * (`"mp4a.40.2"`, `"ulaw"`); of data any name, as `"json"` or `"klv"`. Or FFmpeg's `AVCodecID` number.
   */
  codec: string | number;
  /** Of pictures: pixels, 1 to 16384. */
  codedWidth?: number;
  /** Of pictures: pixels, 1 to 16384. */
  codedHeight?: number;
  /** Of sound: Hz, 1 to 768 000. */
  sampleRate?: number;
  /** Of sound: 1 to 64. */
  numberOfChannels?: number;
  /** BCP 47 or ISO 639-2, up to 15 bytes. */
  language?: string;
  /** For people, and what a data track is found by; up to 63 bytes. */
  label?: string;
}

const RING_NAMES = {
  description: true,
  slots: true,
  dataSize: true,
  maxPacketSize: true,
  named: true,
} as const;
const PACKET_RING_OPTIONS: OptionNames = optionNames<PacketRingOptions>({
  ...RING_NAMES,
  codec: true,
  codecParameters: true,
});
const TRACK_OPTIONS: OptionNames = optionNames<TrackOptions>({
  ...RING_NAMES,
  kind: true,
  codec: true,
  codedWidth: true,
  codedHeight: true,
  sampleRate: true,
  numberOfChannels: true,
  language: true,
  label: true,
}, ["codecId", "index", "generation"]); // another track's, which options may be made of

const MIB = 2 ** 20;
const DEFAULTS = {
  video: { slots: 64, dataSize: 8 * MIB, maxPacketSize: 2 * MIB },
  audio: { slots: 512, dataSize: MIB, maxPacketSize: MIB },
  data: { slots: 512, dataSize: 4 * MIB, maxPacketSize: MIB },
} as const;

/** The options of the one ring of pictures, as those of a track. */
export function videoTrack(options: PacketRingOptions): TrackOptions {
  const { codecParameters, ...rest } = checkOptions(options, PACKET_RING_OPTIONS);
  const description = rest.description ?? codecParameters;
  return { kind: "video", ...rest, ...(description !== undefined && { description }) };
}

/** A track's options, checked and as the C struct. */
export interface EncodedTrack {
  readonly struct: Struct;
  readonly kind: TrackKind;
  readonly codecId: number;
}

/** Checks the options and writes them as the C struct. */
export function encodeTrack(options: TrackOptions): EncodedTrack {
  options = checkOptions(options, TRACK_OPTIONS);
  const { kind, description, named = false } = options;
  const kindCode = checkChoice("kind", kind, TRACK_KINDS);
  const struct = new Struct(PacketOptions.SIZE);
  encodeRing(struct, options, DEFAULTS[kind]);
  const codec = encodeCodec(struct, kind, options.codec);
  struct.setU32(PacketOptions.trackKind, kindCode);
  struct.setU32(PacketOptions.named, named ? 1 : 0);
  const { codedWidth, codedHeight, sampleRate, numberOfChannels, language = "", label = "" } = options;
  const number = (offset: number, value: number | undefined, check: (value: number) => number) => {
    if (value !== undefined) struct.setU32(offset, check(value));
  };
  number(PacketOptions.trackWidth, codedWidth, (value) => checkDimension("codedWidth", value));
  number(PacketOptions.trackHeight, codedHeight, (value) => checkDimension("codedHeight", value));
  number(PacketOptions.trackSampleRate, sampleRate, (value) => checkInteger("sampleRate", value, 1, 768_000));
  number(
    PacketOptions.trackChannels,
    numberOfChannels,
    (value) => checkInteger("numberOfChannels", value, 1, 64),
  );
  setText(struct, PacketOptions.trackLanguage, LANGUAGE_SIZE, "language", language);
  setText(struct, PacketOptions.trackLabel, LABEL_SIZE, "label", label);
  if (description !== undefined) {
    checkDescription(description);
    struct.setU32(PacketOptions.extradataSize, description.length);
    struct.bytes.set(description, PacketOptions.extradata);
  }
  return { struct, kind, codecId: codec };
}

function encodeRing(struct: Struct, options: TrackOptions, defaults: Readonly<Required<Sizes>>): void {
  const { slots = defaults.slots, dataSize = defaults.dataSize } = options;
  struct.setU32(PacketOptions.ringSlots, checkInteger("slots", slots, 1, PACKETS_MAX));
  struct.setU32(PacketOptions.dataSize, checkInteger("dataSize", dataSize, 1, PACKET_DATA_SIZE_MAX));
  const { maxPacketSize = Math.min(defaults.maxPacketSize, dataSize) } = options; // of a data size that is checked by now
  struct.setU32(PacketOptions.maxPacketSize, checkInteger("maxPacketSize", maxPacketSize, 1, dataSize));
}

type Sizes = Pick<RingOptions, "slots" | "dataSize" | "maxPacketSize">;

/** Writes which codec it is: FFmpeg's number, and the name of what that does not tell. */
function encodeCodec(struct: Struct, kind: TrackKind, codec: string | number): number {
  const codecId = typeof codec === "number"
    ? checkInteger("codec", codec, 1, 0xffff_ffff)
    : codecIdOf(kind, codec);
  struct.setU32(PacketOptions.trackCodecId, codecId);
  if (kind === "data" && typeof codec === "string") {
    setText(struct, PacketOptions.trackCodecName, CODEC_NAME_SIZE, "codec", codec);
  }
  return codecId;
}

function codecIdOf(kind: TrackKind, codec: string): number {
  if (typeof codec === "string" && codec !== "") {
    if (kind === "data") return codec === "klv" ? DATA_CODEC_IDS.klv : DATA_CODEC_IDS.binary;
    if (kind === "audio") {
      const codecId = audioCodecIdOf(codec);
      if (codecId !== undefined) return codecId;
    } else if (Object.hasOwn(CODEC_IDS, codec)) return CODEC_IDS[codec as CodecName];
  }
  const names = kind === "video"
    ? `one of ${Object.keys(CODEC_IDS).join(", ")}`
    : "FFmpeg's or WebCodecs' name";
  throw invalid(`codec ${shown(codec)} is not known: use ${names}, or FFmpeg's AVCodecID number`);
}

function setText(struct: Struct, offset: number, size: number, name: string, text: string): void {
  if (typeof text === "string" && struct.setText(offset, size, text)) return;
  throw invalid(`${name} is ${shown(text)}: it must have at most ${size - 1} bytes, without NUL`);
}

/** Throws unless these can be a codec's description. */
export function checkDescription(description: Uint8Array): void {
  if (!(description instanceof Uint8Array)) throw invalid("description must be a Uint8Array");
  if (description.length > EXTRADATA_SIZE_MAX) {
    throw invalid(`description has ${description.length} bytes: at most ${EXTRADATA_SIZE_MAX}`);
  }
}
