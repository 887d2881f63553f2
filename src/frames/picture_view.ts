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
  type Rect,
  type Rotation,
} from "../core/mod.ts";
import { FrameView as Layout, type Struct } from "../ffi/mod.ts";
import type { RingGeometry } from "../memory/mod.ts";

/** What picture a frame is. */
export interface PictureView {
  readonly colorSpace: ColorSpace;
  readonly visibleRect: Readonly<Rect>;
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
  const { width, height } = visibleRect;
  const [shownWidth, shownHeight] = isSideways(rotation) ? [height, width] : [width, height];
  return {
    colorSpace: colorSpaceOf({
      primaries: view.u8(Layout.recordPicturePrimaries),
      transfer: view.u8(Layout.recordPictureTransfer),
      matrix: view.u8(Layout.recordPictureMatrix),
      range: view.u8(Layout.recordPictureRange),
    }, isRgb(format)),
    visibleRect,
    displayWidth: view.u32(Layout.recordPictureDisplayWidth) || shownWidth,
    displayHeight: view.u32(Layout.recordPictureDisplayHeight) || shownHeight,
    rotation,
    flip: view.u8(Layout.recordPictureFlip) !== 0,
    fieldOrder: fieldOrderOf(view.u8(Layout.recordPictureFieldOrder)),
    chromaLocation: chromaLocationOf(view.u8(Layout.recordPictureChromaLocation)),
  };
}
