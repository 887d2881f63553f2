/** This file says what is known of an input's tracks, in WebCodecs' words. */
import type { CodecParameters, Stream } from "node-av";
import { Buffer } from "node:buffer";
import {
  codecString,
  type ColorSpace,
  colorSpaceOf,
  EXTRADATA_SIZE_MAX,
  HeaderUnits,
  isAnnexB,
} from "../core/mod.ts";
import type { NodeAv } from "./node_av.ts";

/**
 * A track of an input: the video, sound beside it, or data.
 *
 * @example
 * ```ts
 * import { openMedia } from "@cuframes/core/media";
 *
 * await using media = await openMedia("camera.mp4", { audio: true });
 * for (const { kind, codec, sampleRate } of media.tracks) console.log(kind, codec, sampleRate);
 * ```
 */
export interface MediaTrack {
  /** What it carries. */
  readonly kind: "video" | "audio" | "data";
  /**
   * WebCodecs' codec string, such as `"avc1.64001f"`, `"mp4a.40.2"`, `"opus"`, `"ulaw"`, `"pcm-s16"`; FFmpeg's name for
   * a codec that WebCodecs does not have, such as `"mp2"` or `"klv"`.
   */
  readonly codec: string;
  /** FFmpeg's `AVCodecID`. */
  readonly codecId: number;
  /**
   * Parameter sets as Annex B for H.264 and HEVC, else the codec's own header, such as AAC's AudioSpecificConfig and
   * Opus' identification header; empty where there is none.
   */
  readonly description: Uint8Array;
  /** Width in pixels as a video's header states it. */
  readonly codedWidth?: number;
  /** Height in pixels as a video's header states it. */
  readonly codedHeight?: number;
  /** Samples of sound a second, of each channel. */
  readonly sampleRate?: number;
  /** Channels of sound. */
  readonly numberOfChannels?: number;
  /** ISO 639-2, as in the container. */
  readonly language?: string;
  /** The container's title of it. */
  readonly label?: string;
}

/** What a decoder of a track is configured with. */
interface DecoderParameters {
  readonly codecId: number;
  readonly description?: Uint8Array | undefined;
  readonly sampleRate?: number | undefined;
  readonly numberOfChannels?: number | undefined;
}

/** Whether a decoder that is configured for the one track takes the packets of the other. */
export function hasSameDecoder(one: DecoderParameters, other: DecoderParameters): boolean {
  const none = new Uint8Array(0);
  return one.codecId === other.codecId && one.sampleRate === other.sampleRate &&
    one.numberOfChannels === other.numberOfChannels &&
    Buffer.compare(one.description ?? none, other.description ?? none) === 0;
}

/**
 * A video track.
 *
 * @example
 * ```ts
 * import { openMedia } from "@cuframes/core/media";
 *
 * await using media = await openMedia("camera.mp4");
 * console.log(media.video.codedWidth, media.video.codedHeight);
 * ```
 */
export interface VideoTrack extends MediaTrack {
  /** It is video. */
  readonly kind: "video";
  /** Width in pixels as the stream's header states it. */
  readonly codedWidth: number;
  /** Height in pixels as the stream's header states it. */
  readonly codedHeight: number;
  /** Mean frames a second; undefined where the source does not know. */
  readonly frameRate: number | undefined;
  /** What its samples mean. */
  readonly colorSpace: ColorSpace;
}

/** FFmpeg's `AV_CODEC_ID_RAWVIDEO` and `_WRAPPED_AVFRAME`. */
const PICTURES: readonly number[] = [13, 0x21001];

/** Whether an input gives pictures instead of packets, as some devices do: every one can be the first. */
export function isPictures(codecId: number): boolean {
  return PICTURES.includes(codecId);
}

/** Reads a track from codec parameters whose extradata is Annex B where the codec has that form. */
export function describeTrack(
  av: NodeAv,
  parameters: CodecParameters,
  frameRate: number | undefined,
  stream?: Stream,
): VideoTrack {
  const { codecId } = parameters;
  const description = descriptionOf(parameters);
  // FFmpeg's own HEVC string has the compatibility flags in the wrong bit order.
  const codec = isAnnexB(codecId) ? codecString(codecId, description) : parameters.getCodecString();
  return {
    kind: "video",
    ...namesOf(stream),
    codec: codec ?? av.avGetCodecName(codecId) ?? "unknown",
    codecId,
    codedWidth: parameters.width,
    codedHeight: parameters.height,
    frameRate,
    description,
    colorSpace: colorSpaceOf({
      primaries: parameters.colorPrimaries,
      transfer: parameters.colorTrc,
      matrix: parameters.colorSpace,
      range: parameters.colorRange,
    }, true),
  };
}

/** What WebCodecs calls codecs of sound that have one string each; PCM by FFmpeg's name of it. */
const AUDIO_CODECS: Record<string, string> = {
  mp3: "mp3",
  opus: "opus",
  vorbis: "vorbis",
  flac: "flac",
  pcm_mulaw: "ulaw",
  pcm_alaw: "alaw",
  pcm_u8: "pcm-u8",
  pcm_s16le: "pcm-s16",
  pcm_s24le: "pcm-s24",
  pcm_s32le: "pcm-s32",
  pcm_f32le: "pcm-f32",
};

/**
 * Reads a track of sound from codec parameters; AAC's extradata is an AudioSpecificConfig.
 *
 * @param extradata the codec's own header, where the parameters do not have it
 */
export function describeAudio(
  av: NodeAv,
  parameters: CodecParameters,
  stream: Stream,
  extradata: Uint8Array | undefined,
): MediaTrack {
  const { codecId, sampleRate, channels } = parameters;
  const name = av.avGetCodecName(codecId) ?? "unknown";
  let description: Uint8Array = new Uint8Array(extradata ?? parameters.extradata ?? []);
  if (name === "opus" && description.length === 0) description = opusHead(channels);
  return {
    kind: "audio",
    ...namesOf(stream),
    codec: name === "aac" ? `mp4a.40.${aacObjectType(description)}` : AUDIO_CODECS[name] ?? name,
    codecId,
    description,
    ...(sampleRate > 0 && { sampleRate }),
    ...(channels > 0 && { numberOfChannels: channels }),
  };
}

/** Reads a track of data; a codec that FFmpeg does not know has its tag's name, such as GoPro's `"gpmd"`. */
export function describeData(av: NodeAv, stream: Stream): MediaTrack {
  const { codecId, codecTagString, extradata } = stream.codecpar;
  const isKnown = codecId !== av.AV_CODEC_ID_NONE;
  const tag = /^\w{4}$/.exec(codecTagString ?? "")?.[0];
  return {
    kind: "data",
    ...namesOf(stream),
    codec: (isKnown ? av.avGetCodecName(codecId) : tag) ?? "unknown",
    codecId,
    description: new Uint8Array(extradata ?? []),
  };
}

/** An AudioSpecificConfig's first five bits; 31 stands for 32 and the next six (ISO/IEC 14496-3, 1.6.2.1). */
function aacObjectType([first = 0x10, second = 0]: Uint8Array): number {
  const type = first >> 3;
  return type === 31 ? 32 + ((first & 7) << 3 | second >> 5) : type;
}

/** RFC 7845, 5.1, for up to two channels: RTP has no such header. */
function opusHead(channels: number): Uint8Array {
  const head = new Uint8Array(19);
  head.set(new TextEncoder().encode("OpusHead"));
  const view = new DataView(head.buffer);
  view.setUint8(8, 1);
  view.setUint8(9, channels);
  view.setUint32(12, 48_000, true);
  return head;
}

function namesOf(stream: Stream | undefined): { language?: string; label?: string } {
  const metadata = stream?.metadata;
  const [language, label] = [metadata?.get("language"), metadata?.get("title")];
  return { ...(language && language !== "und" && { language }), ...(label && { label }) };
}

function descriptionOf({ codecId, extradata }: CodecParameters): Uint8Array {
  const all = new Uint8Array(extradata ?? []);
  // x265 adds its settings to the parameter sets, as an SEI message of any length.
  return isAnnexB(codecId) && all.length > EXTRADATA_SIZE_MAX
    ? new HeaderUnits(codecId, all).description
    : all;
}
