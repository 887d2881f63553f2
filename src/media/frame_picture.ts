/** This file makes pictures that FFmpeg can convert and encode of a ring's frames. */
import type { Frame as Picture } from "node-av";
import { Buffer } from "node:buffer";
import {
  CHROMA_LOCATIONS,
  COLOR_MATRICES,
  COLOR_RANGES,
  type ColorSpace,
  invalid,
  isRgb,
  type PixelFormat,
  planCopy,
  type Ratio,
} from "../core/mod.ts";

import type { Frame } from "../frames/mod.ts";
import type { NodeAv } from "./node_av.ts";
import { allocatePicture, type Colours, FFMPEG_NAMES, HIGH_DEFINITION, isConvertible } from "./picture.ts";
import type { Orientation } from "./picture_description.ts";

/** How YUV samples stand for colours, whatever the frame says; RGB frames have neither. */
export interface ColourOptions {
  /** Default, `"auto"`: what the frame says, else BT.709 from 720 rows on, as televisions take it. */
  matrix?: Matrix | undefined;
  /**
   * `"limited"`: luma from 16 to 235 at 8 bits; `"full"`: from 0 to 255. Default: what the frame says, else full for
   * GRAY8, and limited.
   */
  range?: Range | undefined;
}

/** The matrices of {@linkcode ColourOptions.matrix}, as the frames have them. */
const NAMED = {
  bt601: "smpte170m",
  bt709: "bt709",
  bt2020: "bt2020-ncl",
  fcc: "fcc",
  smpte240m: "smpte240m",
} as const;

export type Matrix = "auto" | keyof typeof NAMED;
export type Range = (typeof RANGES)[number];
/** The names of {@linkcode ColourOptions.matrix}. */
export const MATRICES: readonly Matrix[] = ["auto", ...Object.keys(NAMED) as (keyof typeof NAMED)[]];
/** The names of {@linkcode ColourOptions.range}. */
export const RANGES = ["limited", "full"] as const;

/** FFmpeg's numbers for what the samples of a frame stand for. */
export function coloursOf(
  av: NodeAv,
  { format, visibleRect, colorSpace }: Pick<Frame, "format" | "visibleRect" | "colorSpace">,
  { matrix = "auto", range }: ColourOptions,
): Colours {
  if (isRgb(format)) return { colorSpace: av.AVCOL_SPC_RGB, colorRange: av.AVCOL_RANGE_JPEG };
  const usual = visibleRect.height >= HIGH_DEFINITION ? "bt709" : "smpte170m";
  const stated = isKnownMatrix(av, colorSpace) ? colorSpace.matrix : usual;
  const isFull = range !== undefined ? range === "full" : colorSpace.fullRange ?? format === "GRAY8";
  return {
    colorSpace: COLOR_MATRICES[matrix === "auto" ? stated : NAMED[matrix]] as Colours["colorSpace"],
    colorRange: (isFull ? COLOR_RANGES.full : COLOR_RANGES.limited) as Colours["colorRange"],
  };
}

/** Whether a frame says how its samples become RGB, and FFmpeg can do that. */
export function isKnownMatrix(
  av: NodeAv,
  colorSpace: ColorSpace,
): colorSpace is ColorSpace & { matrix: NonNullable<ColorSpace["matrix"]> } {
  const { matrix } = colorSpace;
  return matrix !== null && isConvertible(av, COLOR_MATRICES[matrix] as Colours["colorSpace"]);
}

/** What frames must have in common to be loaded into one picture. */
export type Geometry = Pick<Frame, "format" | "visibleRect">;

/** What a frame says of itself, as far as its picture is concerned. */
export type PictureFrame =
  & Geometry
  & Orientation
  & Pick<Frame, "colorSpace" | "sampleAspectRatio" | "displayWidth" | "displayHeight">
  & Pick<Frame, "fieldOrder" | "chromaLocation">;

/**
 * The visible part of frames of one format and size, in memory of FFmpeg's own: a frame's lease can end once it is
 * loaded.
 */
export class FramePicture implements Disposable {
  readonly #av: NodeAv;
  readonly #colours: ColourOptions;
  readonly format: PixelFormat;
  readonly width: number;
  readonly height: number;
  /** The frame loaded last, with what it says of itself. */
  readonly picture: Picture;

  constructor(av: NodeAv, { format, visibleRect: { width, height } }: Geometry, colours: ColourOptions) {
    this.#av = av;
    this.#colours = colours;
    this.format = format;
    this.width = width;
    this.height = height;
    this.picture = allocatePicture(av, FFMPEG_NAMES[format], width, height);
  }

  /** Whether frames of this format and size can be loaded. */
  fits({ format, visibleRect: { width, height } }: Geometry): boolean {
    return format === this.format && width === this.width && height === this.height;
  }

  /** Copies a frame's visible pixels, from wherever they are. */
  async load(frame: Frame): Promise<Picture> {
    if (!this.fits(frame)) {
      const { width, height } = frame.visibleRect;
      throw invalid(`a frame of ${width}×${height} ${frame.format} does not fit this picture`);
    }
    const bytes = await frame.toHost();
    const { format, codedWidth, codedHeight, visibleRect: rect, planes: places } = frame;
    const { planes: parts } = planCopy(format, codedWidth, codedHeight, { rect });
    const planes = parts.map(({ sourceX, sourceY, rows, rowBytes }, index) => {
      const { offset, stride } = places[index]!;
      const start = bytes.byteOffset + offset + sourceY * stride + sourceX;
      return Buffer.from(bytes.buffer, start, stride * (rows - 1) + rowBytes);
    });
    const strides = places.map(({ stride }) => stride);
    const { picture } = this;
    // An encoder may still hold on to the picture before.
    picture.makeWritable();
    const lines = picture.linesize.slice(0, planes.length);
    type Code = Parameters<NodeAv["avImageCopy2"]>[4];
    this.#av.avImageCopy2(
      picture.data!,
      lines,
      planes,
      strides,
      picture.format as Code,
      this.width,
      this.height,
    );
    this.#describe(frame);
    return picture;
  }

  /** Where chroma lies is left out: FFmpeg's programs convert without it, and theirs is the picture that people expect. */
  #describe(frame: Frame): void {
    const { picture } = this;
    const av = this.#av;
    const { colorSpace, colorRange } = coloursOf(av, frame, this.#colours);
    picture.colorSpace = colorSpace;
    picture.colorRange = colorRange;
    picture.sampleAspectRatio = rational(av, frame.sampleAspectRatio);
    picture.clearFlags(av.AV_FRAME_FLAG_INTERLACED, av.AV_FRAME_FLAG_TOP_FIELD_FIRST);
    const { fieldOrder } = frame;
    if (fieldOrder === "tff" || fieldOrder === "bff") picture.setFlags(av.AV_FRAME_FLAG_INTERLACED);
    if (fieldOrder === "tff") picture.setFlags(av.AV_FRAME_FLAG_TOP_FIELD_FIRST);
  }

  [Symbol.dispose](): void {
    this.picture.free();
  }
}

/** FFmpeg's number of a chroma location. */
export function chromaCode(location: Frame["chromaLocation"]): Picture["chromaLocation"] {
  return (location === null ? 0 : CHROMA_LOCATIONS[location]) as Picture["chromaLocation"];
}

/** A ratio as FFmpeg's binding wants it. */
export function rational(av: NodeAv, { num, den }: Ratio): Picture["sampleAspectRatio"] {
  return new av.Rational(num, den);
}
