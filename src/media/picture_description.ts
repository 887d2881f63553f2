/** This file says what a decoder's picture is once it is a frame of a ring: its colours, its shape, how it is shown. */
import type { CodecParameters, Frame as Picture, Rational } from "node-av";
import type { Buffer } from "node:buffer";
import {
  type ChromaLocation,
  chromaLocationOf,
  type ColorSpace,
  colorSpaceOf,
  type FieldOrder,
  isRgb,
  type PixelFormat,
  type Ratio,
  reduced,
  type Rotation,
  type Size,
} from "../core/mod.ts";
import type { PictureInit } from "../frames/mod.ts";
import type { NodeAv } from "./node_av.ts";
import { layoutOf, ringColours } from "./picture.ts";

/** What a container says of a track's pictures. */
export interface PictureTrack {
  readonly parameters: CodecParameters;
  /** Width to height of a pixel as the container states it, whatever the codec does; 0: it states nothing. */
  readonly sampleAspectRatio: Rational;
}

/** How a picture is turned to be shown. */
export interface Orientation {
  readonly rotation: Rotation;
  /** Whether left and right are swapped, once it is turned. */
  readonly flip: boolean;
}

/** As it is. */
export const UPRIGHT: Orientation = { rotation: 0, flip: false };

/** Describes the pictures of one track as frames of one format and size. */
export class PictureDescriber {
  readonly #av: NodeAv;
  readonly #format: PixelFormat;
  readonly #size: Size;
  readonly #sampleAspectRatio: Ratio;
  readonly #orientation: Orientation;
  /** Of the track's samples: a picture on a GPU does not say what it has. */
  readonly #layout: string;

  constructor(av: NodeAv, track: PictureTrack, format: PixelFormat, size: Size) {
    this.#av = av;
    this.#format = format;
    this.#size = size;
    this.#sampleAspectRatio = { num: track.sampleAspectRatio.num, den: track.sampleAspectRatio.den };
    this.#layout = layoutOf(av, track.parameters.format);
    const matrix = track.parameters.getCodedSideData(av.AV_PKT_DATA_DISPLAYMATRIX);
    this.#orientation = matrix ? orientationOf(matrix) : UPRIGHT;
  }

  /** What the frame is that this picture becomes, scaled where its size is another. */
  describe(picture: Picture): PictureInit {
    const { width, height } = this.#size;
    const layout = picture.format === this.#av.AV_PIX_FMT_CUDA
      ? this.#layout
      : layoutOf(this.#av, picture.format);
    const stated = [this.#sampleAspectRatio, picture.sampleAspectRatio]
      .find(({ num, den }) => num > 0 && den > 0);
    const ratio = stated ? reduced(stated.num, stated.den) : { num: 1, den: 1 };
    const matrix = picture.getSideData(this.#av.AV_FRAME_DATA_DISPLAYMATRIX);
    return {
      colorSpace: this.#colorSpace(picture, layout),
      sampleAspectRatio: reduced(ratio.num * picture.width * height, ratio.den * picture.height * width),
      ...(matrix ? orientationOf(matrix) : this.#orientation),
      fieldOrder: this.#fieldOrder(picture),
      chromaLocation: this.#chromaLocation(picture, layout),
    };
  }

  #colorSpace(picture: Picture, layout: string): ColorSpace {
    const { colorSpace, colorRange } = ringColours(this.#av, picture, layout, this.#format);
    const { colorPrimaries: primaries, colorTrc: transfer } = picture;
    return colorSpaceOf(
      { primaries, transfer, matrix: colorSpace, range: colorRange },
      isRgb(this.#format),
    );
  }

  #fieldOrder(picture: Picture): FieldOrder {
    const av = this.#av;
    if (!picture.hasFlags(av.AV_FRAME_FLAG_INTERLACED)) return "progressive";
    return picture.hasFlags(av.AV_FRAME_FLAG_TOP_FIELD_FIRST) ? "tff" : "bff";
  }

  /** Of samples that are the decoder's own: a conversion puts them where it likes. */
  #chromaLocation(picture: Picture, layout: string): ChromaLocation | null {
    const kept = picture.width === this.#size.width && picture.height === this.#size.height &&
      /^(yuv420p|nv12|p010)/.test(layout) && !isRgb(this.#format) &&
      this.#format !== "GRAY8";
    return kept ? chromaLocationOf(picture.chromaLocation) : null;
  }
}

/**
 * How FFmpeg's display matrix turns a picture, to the nearest right angle. Its first two columns map pixels of a picture
 * whose rows run down, in 16.16 fixed point: x′ = a·x + c·y, y′ = b·x + d·y.
 */
export function orientationOf(matrix: Buffer): Orientation {
  if (matrix.length < 20) return UPRIGHT;
  const [a, b, c, d] = [0, 4, 12, 16].map((offset) => matrix.readInt32LE(offset)) as [
    number,
    number,
    number,
    number,
  ];
  const determinant = a * d - b * c;
  if (determinant === 0) return UPRIGHT;
  const flip = determinant < 0;
  // The swap of left and right comes last: without it x′ is the opposite.
  const quarters = Math.round(Math.atan2(b, flip ? -a : a) / (Math.PI / 2));
  return { rotation: (((quarters + 4) % 4) * 90) as Rotation, flip };
}
