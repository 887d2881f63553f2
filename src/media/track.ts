/** This file says what is known of a video track, in WebCodecs' words. */
import type { CodecParameters } from "node-av";
import { codecString, EXTRADATA_SIZE_MAX, HeaderUnits, isAnnexB } from "../core/mod.ts";

import type { NodeAv } from "./node_av.ts";

/**
 * How a track's samples map to colours: WebCodecs' `VideoColorSpaceInit`, null where the stream does not say.
 *
 * @example
 * ```ts
 * import { openMedia } from "@cuframes/core/media";
 *
 * await using media = await openMedia("camera.mp4");
 * console.log(media.video.colorSpace.matrix);
 * ```
 */
export interface ColorSpace {
  /** As `"bt709"`: what red, green and blue are. */
  readonly primaries: string | null;
  /** As `"bt709"`: from samples to light. */
  readonly transfer: string | null;
  /** As `"bt709"`: from YUV to RGB; `"rgb"`: it is RGB. */
  readonly matrix: string | null;
  /** Whether luma spans 0–255 instead of 16–235 (at 8 bits). */
  readonly fullRange: boolean | null;
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

// WebCodecs' names of ITU-T H.273's code points, which are FFmpeg's too.
const PRIMARIES: Record<number, string> = {
  1: "bt709",
  5: "bt470bg",
  6: "smpte170m",
  9: "bt2020",
  12: "smpte432",
};
const TRANSFER: Record<number, string> = {
  1: "bt709",
  6: "smpte170m",
  8: "linear",
  13: "iec61966-2-1",
  16: "pq",
  18: "hlg",
};
const MATRIX: Record<number, string> = {
  0: "rgb",
  1: "bt709",
  5: "bt470bg",
  6: "smpte170m",
  9: "bt2020-ncl",
};

/** Reads a track from codec parameters whose extradata is Annex B where the codec has that form. */
export function describeTrack(
  av: NodeAv,
  parameters: CodecParameters,
  frameRate: number | undefined,
): VideoTrack {
  const { codecId, colorRange } = parameters;
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
    colorSpace: {
      primaries: PRIMARIES[parameters.colorPrimaries] ?? null,
      transfer: TRANSFER[parameters.colorTrc] ?? null,
      matrix: MATRIX[parameters.colorSpace] ?? null,
      fullRange: colorRange === av.AVCOL_RANGE_UNSPECIFIED ? null : colorRange === av.AVCOL_RANGE_JPEG,
    },
  };
}

function descriptionOf({ codecId, extradata }: CodecParameters): Uint8Array {
  const all = new Uint8Array(extradata ?? []);
  // x265 adds its settings to the parameter sets, as an SEI message of any length.
  return isAnnexB(codecId) && all.length > EXTRADATA_SIZE_MAX
    ? new HeaderUnits(codecId, all).description
    : all;
}
