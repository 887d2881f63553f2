/** This file says what a recorder's tracks and packets are, and states the tracks to FFmpeg. */
import type { Stream } from "node-av";
import { Buffer } from "node:buffer";
import {
  checkChoice,
  checkDimension,
  checkInteger,
  checkOptions,
  INT32_MAX,
  invalid,
  optionNames,
  TRACK_KINDS,
  TRACKS_MAX,
} from "../../core/mod.ts";
import type { NodeAv } from "../node_av.ts";

/**
 * One track to record: a media reader's tracks and a subscriber's are such.
 *
 * @example
 * ```ts
 * import { openMedia, Recorder, type RecorderTrack } from "@cuframes/core/media";
 *
 * await using media = await openMedia("camera.mp4", { decode: false });
 * const video: RecorderTrack = media.video;
 * await using recorder = await Recorder.create("copy.mkv", { tracks: [video] });
 * ```
 */
export interface RecorderTrack {
  /** What it is; a recording begins with a key packet of its first video track. */
  kind: "video" | "audio" | "data";
  /** FFmpeg's `AVCodecID`. */
  codecId: number;
  /**
   * Annex B parameter sets for H.264 and HEVC (default: those of the first key packet), else the codec's own header, as an
   * AudioSpecificConfig for AAC.
   */
  description?: Uint8Array | undefined;
  /** WebCodecs' codec string; not looked at. */
  codec?: string | undefined;
  /** Of a video track: width in pixels. */
  codedWidth?: number | undefined;
  /** Of a video track: height in pixels. */
  codedHeight?: number | undefined;
  /** Of an audio track: samples a second. */
  sampleRate?: number | undefined;
  /** Of an audio track. */
  numberOfChannels?: number | undefined;
  /** ISO 639-2, as `"eng"`. */
  language?: string | undefined;
  /** The track's title. */
  label?: string | undefined;
}

/**
 * One access unit to record; a media reader's packets and a packet ring's are such.
 *
 * @example
 * ```ts
 * import { type Recorder, type RecorderPacket } from "@cuframes/core/media";
 *
 * export async function record(recorder: Recorder, packets: AsyncIterable<RecorderPacket>): Promise<void> {
 *   for await (const packet of packets) await recorder.write(packet);
 * }
 * ```
 */
export interface RecorderPacket {
  /** Annex B for H.264 and HEVC. */
  readonly data: Uint8Array;
  /** `"key"` when decoding can begin here; sound and data always are. */
  readonly type: "key" | "delta";
  /** When it is shown, in ns. */
  readonly timestampNs: bigint;
  /** When it is decoded, in ns. */
  readonly decodeTimestampNs: bigint;
  /** How long it is shown, in ns; default: until the next packet. */
  readonly durationNs?: bigint | undefined;
  /** Whether it is decoded and not shown; default false. MP4 and MOV can say so. */
  readonly hidden?: boolean | undefined;
}

const TRACK = optionNames<RecorderTrack>(
  {
    kind: true,
    codecId: true,
    description: true,
    codec: true,
    codedWidth: true,
    codedHeight: true,
    sampleRate: true,
    numberOfChannels: true,
    language: true,
    label: true,
  },
);

/** More than FFmpeg's decoders take. */
const SAMPLE_RATE_MAX = 768_000;
const CHANNELS_MAX = 64;
/** OpusHead (RFC 7845 5.1): "OpusHead", version, channels, pre-skip as 16 bits, little-endian. */
const OPUS_PRE_SKIP = 10;

/**
 * Passes tracks through.
 *
 * @throws {CuframesError} `INVALID_ARGUMENT`
 */
export function checkTracks(tracks: readonly RecorderTrack[]): readonly RecorderTrack[] {
  if (!Array.isArray(tracks) || tracks.length === 0 || tracks.length > TRACKS_MAX) {
    throw invalid(`tracks must be a list of 1 to ${TRACKS_MAX} tracks`);
  }
  for (const track of tracks as readonly RecorderTrack[]) {
    const { kind, codecId, codedWidth, codedHeight, sampleRate, numberOfChannels } = checkOptions(
      track,
      TRACK,
    );
    checkChoice("a track's kind", kind, TRACK_KINDS);
    checkInteger("codecId", codecId, 0, INT32_MAX);
    if (kind === "video") {
      checkDimension("codedWidth", codedWidth!);
      checkDimension("codedHeight", codedHeight!);
    } else if (kind === "audio") {
      checkInteger("sampleRate", sampleRate!, 1, SAMPLE_RATE_MAX);
      checkInteger("numberOfChannels", numberOfChannels!, 1, CHANNELS_MAX);
    }
  }
  return tracks;
}

/** States a track to a stream of a file, but for the parameter sets that only its packets have. */
export function stateTrack(av: NodeAv, stream: Stream, track: RecorderTrack): void {
  const { codecpar } = stream;
  const { kind, codecId, description, language, label } = track;
  codecpar.codecId = codecId as typeof codecpar.codecId;
  if (description !== undefined && description.length > 0) codecpar.extradata = Buffer.from(description);
  if (kind === "video") {
    codecpar.codecType = av.AVMEDIA_TYPE_VIDEO;
    codecpar.width = track.codedWidth!;
    codecpar.height = track.codedHeight!;
  } else if (kind === "audio") {
    codecpar.codecType = av.AVMEDIA_TYPE_AUDIO;
    codecpar.sampleRate = track.sampleRate!;
    codecpar.channels = track.numberOfChannels!;
    // Matroska says itself what a decoder has to throw away at the beginning.
    if (
      codecId === av.AV_CODEC_ID_OPUS && description !== undefined && description.length > OPUS_PRE_SKIP + 1
    ) {
      codecpar.initialPadding = description[OPUS_PRE_SKIP]! | description[OPUS_PRE_SKIP + 1]! << 8;
    }
  } else codecpar.codecType = av.AVMEDIA_TYPE_DATA;
  if (language === undefined && label === undefined) return;
  stream.metadata = av.Dictionary.fromObject({
    ...(language === undefined ? {} : { language }),
    // MP4 has no place for a track's title but its handler's name.
    ...(label === undefined ? {} : { title: label, handler_name: label }),
  });
}
