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
  type Ratio,
  type Rect,
  reduced,
  type Rotation,
  type Size,
  squared,
} from "../core/mod.ts";
import { FrameView as Layout, type Struct } from "../ffi/mod.ts";
import type { RingGeometry } from "../memory/mod.ts";

/** What picture a frame is. */
export interface PictureView {
  readonly colorSpace: ColorSpace;
  readonly visibleRect: Readonly<Rect>;
  readonly sampleAspectRatio: Ratio;
  readonly displayWidth: number;
  readonly displayHeight: number;
  readonly rotation: Rotation;
  readonly flip: boolean;
  readonly fieldOrder: FieldOrder | null;
  readonly chromaLocation: ChromaLocation | null;
}

const WORDS = (Layout.recordMetadata - Layout.recordPictureVisibleX) / 4;

/** Reads pictures, most of which say what the one before said: then it is the same object, and nothing is allocated. */
export class PictureDecoder {
  readonly #words = new Uint32Array(WORDS);
  #geometry: RingGeometry | undefined;
  #last: PictureView | undefined;

  decode(view: Struct, geometry: RingGeometry): PictureView {
    let same = this.#geometry === geometry;
    for (let index = 0; index < WORDS; index++) {
      const word = view.u32(Layout.recordPictureVisibleX + 4 * index);
      if (word === this.#words[index]) continue;
      this.#words[index] = word;
      same = false;
    }
    if (same && this.#last !== undefined) return this.#last;
    this.#geometry = geometry;
    return this.#last = readPicture(view, geometry);
  }
}

/** Native code has put within bounds whatever the publisher wrote. */
function readPicture(view: Struct, { format }: RingGeometry): PictureView {
  const visibleRect = Object.freeze({
    x: view.u32(Layout.recordPictureVisibleX),
    y: view.u32(Layout.recordPictureVisibleY),
    width: view.u32(Layout.recordPictureVisibleWidth),
    height: view.u32(Layout.recordPictureVisibleHeight),
  });
  const rotation = view.u32(Layout.recordPictureRotation) as Rotation;
  return {
    colorSpace: colorSpaceOf({
      primaries: view.u8(Layout.recordPicturePrimaries),
      transfer: view.u8(Layout.recordPictureTransfer),
      matrix: view.u8(Layout.recordPictureMatrix),
      range: view.u8(Layout.recordPictureRange),
    }, isRgb(format)),
    visibleRect,
    ...displayOf(view, visibleRect, isSideways(rotation)),
    rotation,
    flip: view.u8(Layout.recordPictureFlip) !== 0,
    fieldOrder: fieldOrderOf(view.u8(Layout.recordPictureFieldOrder)),
    chromaLocation: chromaLocationOf(view.u8(Layout.recordPictureChromaLocation)),
  };
}

/** How a picture is shown: the shape of its pixels says it, or the size that was stated, or both do. */
function displayOf(
  view: Struct,
  visible: Size,
  sideways: boolean,
): Pick<PictureView, "sampleAspectRatio" | "displayWidth" | "displayHeight"> {
  const num = view.u32(Layout.recordPictureAspectNum);
  const den = view.u32(Layout.recordPictureAspectDen);
  const displayWidth = view.u32(Layout.recordPictureDisplayWidth);
  const displayHeight = view.u32(Layout.recordPictureDisplayHeight);
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
