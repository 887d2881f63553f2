// What a publisher says of a frame's picture, checked and written for native code.

import {
  ASPECT_MAX,
  checkChoice,
  checkInteger,
  checkOptions,
  CHROMA_LOCATIONS,
  type ChromaLocation,
  COLOR_MATRICES,
  COLOR_PRIMARIES,
  COLOR_RANGES,
  COLOR_TRANSFERS,
  type ColorSpace,
  DIMENSION_MAX,
  FIELD_ORDERS,
  type FieldOrder,
  invalid,
  isRgb,
  optionNames,
  planCopy,
  type Ratio,
  type Rect,
  type Rotation,
  shown,
} from "../core/mod.ts";
import { PublishRecord as Layout, type Struct } from "../ffi/mod.ts";
import type { RingGeometry } from "../memory/mod.ts";

/**
 * What picture a frame is, in WebCodecs' words; what is left out is not known, and whole or upright where that is the
 * question.
 *
 * @example
 * ```ts
 * import { type PictureInit, Publisher } from "@cuframes/core";
 *
 * const picture: PictureInit = { colorSpace: { matrix: "bt709", fullRange: false }, rotation: 90 };
 * using publisher = Publisher.create({ key: "cam-parking", width: 1280, height: 720 });
 * using frame = publisher.acquire();
 * frame.publish({ timestamp: 40_000, ...picture });
 * ```
 */
export interface PictureInit {
  /** What the samples stand for. */
  colorSpace?: Partial<ColorSpace> | null;
  /** The part that is seen, in pixels; default: all. `x` and `y` must lie on a chroma sample. */
  visibleRect?: Readonly<Rect> | null;
  /** Width to height of a pixel of the frame; default: as `displayWidth` and `displayHeight` say, else square. */
  sampleAspectRatio?: Ratio | null;
  /** Width of the picture as it is shown, turned, in square pixels; with `displayHeight`. */
  displayWidth?: number;
  /** Height of the picture as it is shown, turned, in square pixels; with `displayWidth`. */
  displayHeight?: number;
  /** Degrees clockwise that the picture is turned by to be shown; default 0. */
  rotation?: Rotation;
  /** Whether left and right are swapped to show it, once it is turned; default false. */
  flip?: boolean;
  /** Whether its rows are of one moment. */
  fieldOrder?: FieldOrder | null;
  /** Where its chroma samples lie. */
  chromaLocation?: ChromaLocation | null;
}

/** The names of {@linkcode PictureInit}. */
export const PICTURE_INIT: Readonly<Record<keyof PictureInit, true>> = {
  colorSpace: true,
  visibleRect: true,
  sampleAspectRatio: true,
  displayWidth: true,
  displayHeight: true,
  rotation: true,
  flip: true,
  fieldOrder: true,
  chromaLocation: true,
};

const COLOR_SPACE = optionNames<ColorSpace>({
  primaries: true,
  transfer: true,
  matrix: true,
  fullRange: true,
});

const RATIO = optionNames<Ratio>({ num: true, den: true });

/** Writes a publisher's pictures into its record, one after the other. */
export class PictureEncoder {
  readonly #record: Struct;
  readonly #geometry: RingGeometry;
  /** Whether the record says something of the picture before. */
  #stated = false;

  constructor(record: Struct, geometry: RingGeometry) {
    this.#record = record;
    this.#geometry = geometry;
  }

  /** @throws {CuframesError} `INVALID_ARGUMENT` */
  encode(init: PictureInit): void {
    if (this.#stated) this.#record.bytes.fill(0, Layout.pictureVisibleX, Layout.pictureChromaLocation + 1);
    // Most frames of most publishers say nothing, which costs next to nothing.
    this.#stated = init.colorSpace !== undefined || init.visibleRect !== undefined ||
      init.sampleAspectRatio !== undefined || init.displayWidth !== undefined ||
      init.displayHeight !== undefined || init.rotation !== undefined || init.flip !== undefined ||
      init.fieldOrder !== undefined || init.chromaLocation !== undefined;
    if (this.#stated) this.#encode(init);
  }

  #encode(init: PictureInit): void {
    const { colorSpace, visibleRect, sampleAspectRatio, displayWidth, displayHeight } = init;
    if (colorSpace != null) this.#encodeColors(colorSpace);
    if (visibleRect != null) this.#encodeVisible(visibleRect);
    if (sampleAspectRatio != null) this.#encodeAspect(sampleAspectRatio);
    if (displayWidth !== undefined || displayHeight !== undefined) {
      this.#encodeDisplay(displayWidth, displayHeight);
    }
    this.#encodeOrientation(init);
    this.#choose(Layout.pictureFieldOrder, "fieldOrder", init.fieldOrder, FIELD_ORDERS);
    this.#choose(Layout.pictureChromaLocation, "chromaLocation", init.chromaLocation, CHROMA_LOCATIONS);
  }

  #encodeOrientation({ rotation = 0, flip = false }: PictureInit): void {
    if (rotation !== 0 && rotation !== 90 && rotation !== 180 && rotation !== 270) {
      throw invalid(`rotation is ${shown(rotation)}: it must be 0, 90, 180 or 270 degrees`);
    }
    if (typeof flip !== "boolean") throw invalid(`flip is ${shown(flip)}: it must be true or false`);
    this.#record.setU32(Layout.pictureRotation, rotation);
    this.#record.setU8(Layout.pictureFlip, flip ? 1 : 0);
  }

  #encodeAspect(ratio: Ratio): void {
    const { num, den } = checkOptions(ratio, RATIO);
    this.#record.setU32(Layout.pictureAspectNum, checkInteger("sampleAspectRatio.num", num, 1, ASPECT_MAX));
    this.#record.setU32(Layout.pictureAspectDen, checkInteger("sampleAspectRatio.den", den, 1, ASPECT_MAX));
  }

  #choose(
    field: number,
    name: string,
    value: string | null | undefined,
    choices: Readonly<Record<string, number>>,
    unknown: number = 0,
  ): void {
    this.#record.setU8(field, value == null ? unknown : checkChoice(name, value, choices));
  }

  #encodeColors(colorSpace: Partial<ColorSpace>): void {
    const { primaries, transfer, matrix, fullRange } = checkOptions(colorSpace, COLOR_SPACE);
    if (fullRange != null && typeof fullRange !== "boolean") {
      throw invalid(`colorSpace.fullRange is ${shown(fullRange)}: it must be true, false or null`);
    }
    const { format } = this.#geometry;
    if (matrix === "rgb" && !isRgb(format)) {
      throw invalid(`colorSpace.matrix is "rgb": a frame of ${format} is not RGB`);
    }
    this.#choose(Layout.picturePrimaries, "colorSpace.primaries", primaries, COLOR_PRIMARIES);
    this.#choose(Layout.pictureTransfer, "colorSpace.transfer", transfer, COLOR_TRANSFERS);
    this.#choose(Layout.pictureMatrix, "colorSpace.matrix", matrix, COLOR_MATRICES, UNSPECIFIED);
    const range = fullRange == null ? 0 : fullRange ? COLOR_RANGES.full : COLOR_RANGES.limited;
    this.#record.setU8(Layout.pictureRange, range);
  }

  #encodeVisible(rect: Readonly<Rect>): void {
    const { format, codedWidth, codedHeight } = this.#geometry;
    // That it can be copied is what a rectangle must be.
    planCopy(format, codedWidth, codedHeight, { rect });
    this.#record.setU32(Layout.pictureVisibleX, rect.x);
    this.#record.setU32(Layout.pictureVisibleY, rect.y);
    this.#record.setU32(Layout.pictureVisibleWidth, rect.width);
    this.#record.setU32(Layout.pictureVisibleHeight, rect.height);
  }

  #encodeDisplay(width: number | undefined, height: number | undefined): void {
    if (width === undefined || height === undefined) {
      throw invalid("displayWidth and displayHeight go together: give both or neither");
    }
    this.#record.setU32(Layout.pictureDisplayWidth, checkInteger("displayWidth", width, 1, DIMENSION_MAX));
    this.#record.setU32(Layout.pictureDisplayHeight, checkInteger("displayHeight", height, 1, DIMENSION_MAX));
  }
}

/** H.273's number of a matrix that is not known: 0 is one that is. */
const UNSPECIFIED = 2;
