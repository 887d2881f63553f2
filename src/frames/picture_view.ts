// What native code says of the pictures that it delivers.

import {
  type ChromaLocation,
  chromaLocationOf,
  type ColorSpace,
  colorSpaceOf,
  type FieldOrder,
  fieldOrderOf,
  isRgb,
  isSideways,
  type PixelFormat,
  type Ratio,
  type Rect,
  reduced,
  type Rotation,
  type Size,
  squared,
} from "../core/mod.ts";
import { FrameView, Picture as Layout, type Struct } from "../ffi/mod.ts";
import type { RingGeometry } from "../memory/mod.ts";

/**
 * What picture a frame is, in WebCodecs' words; see {@linkcode Frame}.
 *
 * @example
 * ```ts
 * import { inspect } from "@cuframes/core";
 *
 * const { picture } = await inspect("cam-parking");
 * console.log(picture?.displayWidth, picture?.displayHeight, picture?.rotation);
 * ```
 */
export interface PictureView {
  /** What its samples stand for; null where that is not known. */
  readonly colorSpace: ColorSpace;
  /** The part that is seen, in pixels. */
  readonly visibleRect: Readonly<Rect>;
  /** Width to height of a pixel, before it is turned. */
  readonly sampleAspectRatio: Ratio;
  /** Width of the visible part as it is shown, turned, in square pixels. */
  readonly displayWidth: number;
  /** Height of the visible part as it is shown, turned, in square pixels. */
  readonly displayHeight: number;
  /** Degrees clockwise that it is turned by to be shown. */
  readonly rotation: Rotation;
  /** Whether left and right are swapped to show it, once it is turned. */
  readonly flip: boolean;
  /** Whether its rows are of one moment; null where that is not known. */
  readonly fieldOrder: FieldOrder | null;
  /** Where its chroma samples lie; null where that is not known. */
  readonly chromaLocation: ChromaLocation | null;
}

const START = FrameView.recordPictureVisibleX;
const WORDS = Layout.SIZE / 4;

/** Reads pictures, most of which say what the one before said: then it is the same object, and nothing is allocated. */
export class PictureDecoder {
  readonly #words = new Uint32Array(WORDS);
  #geometry: RingGeometry | undefined;
  #last: PictureView | undefined;

  decode(view: Struct, geometry: RingGeometry): PictureView {
    let same = this.#geometry === geometry;
    for (let index = 0; index < WORDS; index++) {
      const word = view.u32(START + 4 * index);
      if (word === this.#words[index]) continue;
      this.#words[index] = word;
      same = false;
    }
    if (same && this.#last !== undefined) return this.#last;
    this.#geometry = geometry;
    return this.#last = readPicture(view, START, geometry.format);
  }
}

/** Reads a picture of a frame of that format. Native code has put within bounds whatever the publisher wrote. */
export function readPicture(view: Struct, start: number, format: PixelFormat): PictureView {
  const visibleRect = Object.freeze({
    x: view.u32(start + Layout.visibleX),
    y: view.u32(start + Layout.visibleY),
    width: view.u32(start + Layout.visibleWidth),
    height: view.u32(start + Layout.visibleHeight),
  });
  const rotation = view.u32(start + Layout.rotation) as Rotation;
  return {
    colorSpace: colorSpaceOf({
      primaries: view.u8(start + Layout.primaries),
      transfer: view.u8(start + Layout.transfer),
      matrix: view.u8(start + Layout.matrix),
      range: view.u8(start + Layout.range),
    }, isRgb(format)),
    visibleRect,
    ...displayOf(view, start, visibleRect, isSideways(rotation)),
    rotation,
    flip: view.u8(start + Layout.flip) !== 0,
    fieldOrder: fieldOrderOf(view.u8(start + Layout.fieldOrder)),
    chromaLocation: chromaLocationOf(view.u8(start + Layout.chromaLocation)),
  };
}

/** How a picture is shown: the shape of its pixels says it, or the size that was stated, or both do. */
function displayOf(
  view: Struct,
  start: number,
  visible: Size,
  sideways: boolean,
): Pick<PictureView, "sampleAspectRatio" | "displayWidth" | "displayHeight"> {
  const num = view.u32(start + Layout.aspectNum);
  const den = view.u32(start + Layout.aspectDen);
  const displayWidth = view.u32(start + Layout.displayWidth);
  const displayHeight = view.u32(start + Layout.displayHeight);
  if (displayWidth === 0) {
    const sampleAspectRatio = Object.freeze(num === 0 ? { num: 1, den: 1 } : { num, den });
    const { width, height } = squared(visible, sampleAspectRatio);
    const [shownWidth, shownHeight] = sideways ? [height, width] : [width, height];
    return { sampleAspectRatio, displayWidth: shownWidth, displayHeight: shownHeight };
  }
  const [width, height] = sideways ? [displayHeight, displayWidth] : [displayWidth, displayHeight];
  const sampleAspectRatio = Object.freeze(
    num === 0 ? reduced(width * visible.height, height * visible.width) : { num, den },
  );
  return { sampleAspectRatio, displayWidth, displayHeight };
}
