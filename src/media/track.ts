/** This file says what is known of a video track, in WebCodecs' words. */
import type { CodecParameters } from "node-av";
import {
  codecString,
  type ColorSpace,
  colorSpaceOf,
  EXTRADATA_SIZE_MAX,
  isAnnexB,
  joinUnits,
  parameterSets,
} from "../core/mod.ts";

import type { NodeAv } from "./node_av.ts";

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
export interface VideoTrack {
  /** WebCodecs' codec string, such as `"avc1.64001f"`; FFmpeg's name for a codec that WebCodecs does not have. */
  readonly codec: string;
  /** FFmpeg's `AVCodecID`. */
  readonly codecId: number;
  /** Width in pixels as the stream's header states it. */
  readonly codedWidth: number;
  /** Height in pixels as the stream's header states it. */
  readonly codedHeight: number;
  /** Mean frames a second; undefined where the source does not know. */
  readonly frameRate: number | undefined;
  /** Parameter sets as Annex B for H.264 and HEVC, else the codec's own header; empty where there is none. */
  readonly description: Uint8Array;
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
): VideoTrack {
  const { codecId } = parameters;
  const description = descriptionOf(parameters);
  // FFmpeg's own HEVC string has the compatibility flags in the wrong bit order.
  const codec = isAnnexB(codecId) ? codecString(codecId, description) : parameters.getCodecString();
  return {
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

function descriptionOf({ codecId, extradata }: CodecParameters): Uint8Array {
  const all = new Uint8Array(extradata ?? []);
  // x265 adds its settings to the parameter sets, as an SEI message of any length.
  return isAnnexB(codecId) && all.length > EXTRADATA_SIZE_MAX ? joinUnits(parameterSets(codecId, all)) : all;
}
