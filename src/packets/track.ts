// What a track is: a stream of packets of one kind.

import { TRACK_KINDS, trackCodecString } from "../core/mod.ts";
import { type Struct, TrackInfo } from "../ffi/mod.ts";

/** What a track carries. */
export type TrackKind = keyof typeof TRACK_KINDS;

/**
 * One stream of packets of a publisher, as `Subscriber.tracks` lists them.
 *
 * @example
 * ```ts
 * import { Subscriber } from "@cuframes/core";
 *
 * using camera = await Subscriber.connect("cam-parking", { frames: false });
 * for (const track of camera.tracks) console.log(track.index, track.kind, track.codec);
 * ```
 */
export interface Track {
  /** Its number, for `packets({ track })`. */
  readonly index: number;
  /** What it carries. */
  readonly kind: TrackKind;
  /**
   * WebCodecs' codec string, as `"avc1.64001f"` or `"mp4a.40.2"`; of data its own name, as `"json"`; FFmpeg's name of what
   * WebCodecs has none for.
   */
  readonly codec: string;
  /** FFmpeg's `AVCodecID`. */
  readonly codecId: number;
  /** Counts what the track has been, from 1: each codec that it changed to. */
  readonly generation: number;
  /**
   * What a decoder has to know beforehand: Annex B parameter sets for H.264 and HEVC, else what FFmpeg calls the codec's
   * extradata; empty where there is nothing.
   */
  readonly description: Uint8Array<ArrayBuffer>;
  /** Width in pixels, of video whose publisher says so. */
  readonly codedWidth?: number;
  /** Height in pixels, of video whose publisher says so. */
  readonly codedHeight?: number;
  /** In Hz, of sound whose publisher says so. */
  readonly sampleRate?: number;
  /** Of sound whose publisher says so. */
  readonly numberOfChannels?: number;
  /** BCP 47 or ISO 639-2, where the publisher says so. */
  readonly language?: string;
  /** For people; and what a data track is found by. */
  readonly label?: string;
}

/** Bytes of a track's texts in the C struct, their last NUL included. */
export const LABEL_SIZE: number = TrackInfo.codecName - TrackInfo.label;
export const LANGUAGE_SIZE: number = TrackInfo.label - TrackInfo.language;
export const CODEC_NAME_SIZE: number = TrackInfo.SIZE - TrackInfo.codecName;

/** Reads the C struct, which native code has checked. */
export function readTrack(info: Struct, description: Uint8Array<ArrayBuffer>, base = 0): Track {
  const number = (offset: number) => info.u32(base + offset) || undefined;
  const text = (offset: number, size: number) => info.text(base + offset, size) || undefined;
  const codecId = info.u32(base + TrackInfo.codecId);
  const kinds = Object.keys(TRACK_KINDS) as TrackKind[];
  const optional = {
    codedWidth: number(TrackInfo.width),
    codedHeight: number(TrackInfo.height),
    sampleRate: number(TrackInfo.sampleRate),
    numberOfChannels: number(TrackInfo.channels),
    language: text(TrackInfo.language, LANGUAGE_SIZE),
    label: text(TrackInfo.label, LABEL_SIZE),
  };
  return {
    index: info.u32(base + TrackInfo.index),
    kind: kinds.find((kind) => TRACK_KINDS[kind] === info.u32(base + TrackInfo.kind)) ?? "data",
    codec: text(TrackInfo.codecName, CODEC_NAME_SIZE) ?? trackCodecString(codecId, description),
    codecId,
    generation: info.u32(base + TrackInfo.generation),
    description,
    ...Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined)),
  };
}
