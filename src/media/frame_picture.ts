/** This file makes pictures that FFmpeg can convert and encode of a ring's frames. */
import type { Frame as Picture } from "node-av";
import { Buffer } from "node:buffer";
import { invalid, isRgb, type PixelFormat } from "../core/mod.ts";

import type { Frame } from "../frames/mod.ts";
import type { NodeAv } from "./node_av.ts";
import { allocatePicture, type Colours, FFMPEG_NAMES } from "./picture.ts";

/** How YUV samples stand for colours; RGB frames have neither. */
export interface ColourOptions {
  /** `"bt601"`, `"bt709"` or `"bt2020"`; `"auto"`, the default, is BT.709 from 720 rows on, as televisions take it. */
  matrix?: Matrix | undefined;
  /** `"limited"`: luma from 16 to 235 at 8 bits; `"full"`: from 0 to 255. Default: full for GRAY8, else limited. */
  range?: Range | undefined;
}

/** The names of {@linkcode ColourOptions.matrix}. */
export const MATRICES = ["auto", "bt601", "bt709", "bt2020"] as const;
/** The names of {@linkcode ColourOptions.range}. */
export const RANGES = ["limited", "full"] as const;
export type Matrix = (typeof MATRICES)[number];
export type Range = (typeof RANGES)[number];

/** From this many rows on pictures are taken as BT.709: high definition. */
const HIGH_DEFINITION = 720;

/** FFmpeg's numbers for what the samples of a picture with `height` rows stand for. */
export function coloursOf(av: NodeAv, format: PixelFormat, height: number, options: ColourOptions): Colours {
  if (isRgb(format)) return { colorSpace: av.AVCOL_SPC_RGB, colorRange: av.AVCOL_RANGE_JPEG };
  const { matrix = "auto", range = format === "GRAY8" ? "full" : "limited" } = options;
  const known = matrix !== "auto" ? matrix : height >= HIGH_DEFINITION ? "bt709" : "bt601";
  const spaces = {
    bt601: av.AVCOL_SPC_SMPTE170M,
    bt709: av.AVCOL_SPC_BT709,
    bt2020: av.AVCOL_SPC_BT2020_NCL,
  };
  return {
    colorSpace: spaces[known],
    colorRange: range === "full" ? av.AVCOL_RANGE_JPEG : av.AVCOL_RANGE_MPEG,
  };
}

/** A picture in memory of FFmpeg's own, for frames of one format and size: a frame's lease can end once it is loaded. */
export class FramePicture implements Disposable {
  readonly #av: NodeAv;
  readonly format: PixelFormat;
  readonly width: number;
  readonly height: number;
  /** The frame loaded last. */
  readonly picture: Picture;

  constructor(av: NodeAv, { format, codedWidth, codedHeight }: Geometry, colours: ColourOptions) {
    this.#av = av;
    this.format = format;
    this.width = codedWidth;
    this.height = codedHeight;
    this.picture = allocatePicture(av, FFMPEG_NAMES[format], codedWidth, codedHeight);
    const { colorSpace, colorRange } = coloursOf(av, format, codedHeight, colours);
    this.picture.colorSpace = colorSpace;
    this.picture.colorRange = colorRange;
  }

  /** Whether frames of this format and size can be loaded. */
  fits({ format, codedWidth, codedHeight }: Geometry): boolean {
    return format === this.format && codedWidth === this.width && codedHeight === this.height;
  }

  /** Copies a frame's pixels, from wherever they are. */
  async load(frame: Frame): Promise<Picture> {
    if (!this.fits(frame)) {
      throw invalid(
        `a frame of ${frame.codedWidth}×${frame.codedHeight} ${frame.format} does not fit this picture`,
      );
    }
    const bytes = await frame.toHost();
    const planes = frame.planes.map(({ offset, stride, rows }) =>
      Buffer.from(bytes.buffer, bytes.byteOffset + offset, stride * rows)
    );
    const strides = frame.planes.map(({ stride }) => stride);
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
    return picture;
  }

  [Symbol.dispose](): void {
    this.picture.free();
  }
}

/** What frames of one ring have in common. */
export type Geometry = Pick<Frame, "format" | "codedWidth" | "codedHeight">;
