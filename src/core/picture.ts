// What a frame's picture is, in WebCodecs' words, and the codes of them on the wire.

import {
  ASPECT_MAX,
  CHROMA_LOCATIONS,
  COLOR_MATRICES,
  COLOR_PRIMARIES,
  COLOR_RANGES,
  COLOR_TRANSFERS,
  DIMENSION_MAX,
  FIELD_ORDERS,
} from "./constants.ts";
import type { Size } from "./format.ts";

/** What red, green and blue are: WebCodecs' names, FFmpeg's for those of ITU-T H.273 that WebCodecs has not. */
export type ColorPrimaries = keyof typeof COLOR_PRIMARIES;
/** From samples to light, named as {@linkcode ColorPrimaries}. */
export type ColorTransfer = keyof typeof COLOR_TRANSFERS;
/** From YUV to RGB, named as {@linkcode ColorPrimaries}; `"rgb"`: it is RGB. */
export type ColorMatrix = keyof typeof COLOR_MATRICES;

/**
 * How samples map to colours: WebCodecs' `VideoColorSpaceInit`, null where that is not known.
 *
 * @example
 * ```ts
 * import { Subscriber } from "@cuframes/core";
 *
 * using camera = await Subscriber.connect("cam-parking");
 * using frame = await camera.next();
 * console.log(frame.colorSpace.matrix, frame.colorSpace.fullRange);
 * ```
 */
export interface ColorSpace {
  /** As `"bt709"`: what red, green and blue are. */
  readonly primaries: ColorPrimaries | null;
  /** As `"bt709"`: from samples to light. */
  readonly transfer: ColorTransfer | null;
  /** As `"bt709"`: from YUV to RGB; `"rgb"`: it is RGB. */
  readonly matrix: ColorMatrix | null;
  /** Whether luma spans 0–255 instead of 16–235 (at 8 bits). */
  readonly fullRange: boolean | null;
}

/** Degrees clockwise. */
export type Rotation = 0 | 90 | 180 | 270;

/**
 * Whether the rows are of one moment, `"progressive"`, or those of two fields in turn: `"tff"` has the field of the first row
 * first, `"bff"` the other one.
 */
export type FieldOrder = keyof typeof FIELD_ORDERS;

/** Where the chroma samples of 4:2:0 lie among those of luma; FFmpeg's names. */
export type ChromaLocation = keyof typeof CHROMA_LOCATIONS;

function namesOf<Name extends string>(codes: Readonly<Record<Name, number>>): ReadonlyMap<number, Name> {
  return new Map(Object.entries<number>(codes).map(([name, code]) => [code, name as Name]));
}

const primaries = namesOf(COLOR_PRIMARIES);
const transfers = namesOf(COLOR_TRANSFERS);
const matrices = namesOf(COLOR_MATRICES);
const fieldOrders = namesOf(FIELD_ORDERS);
const chromaLocations = namesOf(CHROMA_LOCATIONS);

/** The numbers of colours: those of ITU-T H.273, and AVColorRange's. */
export interface ColorCodes {
  readonly primaries: number;
  readonly transfer: number;
  readonly matrix: number;
  readonly range: number;
}

/** A colour space of its numbers; those that have no name here say nothing. @param isRgb whether the samples are RGB */
export function colorSpaceOf(codes: ColorCodes, isRgb: boolean): ColorSpace {
  const matrix = matrices.get(codes.matrix) ?? null;
  const { limited, full } = COLOR_RANGES;
  return Object.freeze({
    primaries: primaries.get(codes.primaries) ?? null,
    transfer: transfers.get(codes.transfer) ?? null,
    // Samples of 4:2:0 are never RGB: a publisher that says nothing says 0.
    matrix: matrix === "rgb" && !isRgb ? null : matrix,
    fullRange: codes.range === full ? true : codes.range === limited ? false : null,
  });
}

/** The field order of a code; null where it has no name here. */
export function fieldOrderOf(code: number): FieldOrder | null {
  return fieldOrders.get(code) ?? null;
}

/** The chroma location of a code; null where it has no name here. */
export function chromaLocationOf(code: number): ChromaLocation | null {
  return chromaLocations.get(code) ?? null;
}

/** A ratio of whole numbers, as FFmpeg's `AVRational`. */
export interface Ratio {
  /** The numerator. */
  readonly num: number;
  /** The denominator. */
  readonly den: number;
}

/** A ratio in its lowest terms, with numbers that a frame can carry; near it where they would be larger. */
export function reduced(num: number, den: number): Ratio {
  const divisor = greatestCommonDivisor(num, den);
  const shrink = Math.max(1, Math.max(num, den) / divisor / ASPECT_MAX);
  const part = (value: number) => Math.max(1, Math.round(value / divisor / shrink));
  return { num: part(num), den: part(den) };
}

function greatestCommonDivisor(one: number, other: number): number {
  while (other !== 0) [one, other] = [other, one % other];
  return one;
}

/** The size in square pixels of a picture whose pixels are not: one side is longer, none is shorter. */
export function squared({ width, height }: Size, { num, den }: Ratio): Size {
  const size = num >= den ? { width: width * num / den, height } : { width, height: height * den / num };
  const shrink = Math.max(1, Math.max(size.width, size.height) / DIMENSION_MAX);
  const side = (length: number) => Math.max(1, Math.round(length / shrink));
  return { width: side(size.width), height: side(size.height) };
}

/** Whether a picture that is turned by this has its sides exchanged. */
export function isSideways(rotation: Rotation): boolean {
  return rotation === 90 || rotation === 270;
}
