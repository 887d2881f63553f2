/** This file brings a decoder's pictures into planes of one format and size. */
import type { Frame, SoftwareScaleContext } from "node-av";
import { Buffer } from "node:buffer";
import { invalid, type PixelFormat, planCopy } from "../core/mod.ts";

import { check, type NodeAv } from "./node_av.ts";

/**
 * A plane to write to.
 *
 * @example
 * ```ts
 * import { type DestinationPlane } from "@cuframes/core/media";
 *
 * const plane: DestinationPlane = { data: new Uint8Array(1280 * 720), stride: 1280, rows: 720 };
 * ```
 */
export interface DestinationPlane {
  /** At least `stride * (rows - 1)` bytes and one row. */
  readonly data: Uint8Array;
  /** Bytes from one row to the next. */
  readonly stride: number;
  /** Rows, at least as many as the picture has. */
  readonly rows: number;
}

/** FFmpeg's names of our pixel formats. */
export const FFMPEG_NAMES: Record<PixelFormat, string> = {
  NV12: "nv12",
  I420: "yuv420p",
  P010: "p010le",
  RGBA: "rgba",
  BGRA: "bgra",
  RGBX: "rgb0",
  BGRX: "bgr0",
  GRAY8: "gray",
};

/** Pairs that hold the same samples in another arrangement; libswscale writes these without scratch memory. */
const REARRANGED: Record<string, string[]> = {
  yuv420p: ["nv12"],
  nv12: ["yuv420p"],
  yuv420p10le: ["p010le"],
};

/** libswscale aborts the process over odd strides of 16-bit samples. */
function canRearrange(source: string, target: string, strides: readonly number[]): boolean {
  if (!REARRANGED[source]?.includes(target)) return false;
  return target !== "p010le" || strides.every((stride) => stride % 2 === 0);
}

/** FFmpeg's name of a pixel format. */
function formatName(av: NodeAv, format: Frame["format"]): string {
  return av.avGetPixFmtName(format as Parameters<NodeAv["avGetPixFmtName"]>[0]) ?? "none";
}

/** FFmpeg's name of a pixel format; the deprecated full-range twins go by the name of their layout. */
export function layoutOf(av: NodeAv, format: Frame["format"]): string {
  return formatName(av, format).replace(/^yuvj/, "yuv");
}

/** Whether a layout's samples are red, green and blue. */
function isRgbLayout(name: string): boolean {
  return /rgb|bgr|gbr|pal8|bayer|xyz/.test(name);
}

/** From this many rows on pictures are taken as BT.709: high definition. */
export const HIGH_DEFINITION = 720;

/**
 * FFmpeg's numbers of the colours that a decoder's picture has as a frame of a ring.
 *
 * @param layout of the picture's samples
 */
export function ringColours(av: NodeAv, picture: Frame, layout: string, format: PixelFormat): Colours {
  const target = FFMPEG_NAMES[format];
  if (isRgbLayout(target)) return { colorSpace: av.AVCOL_SPC_RGB, colorRange: av.AVCOL_RANGE_JPEG };
  if (target === "gray" && layout !== "gray") {
    return { colorSpace: av.AVCOL_SPC_UNSPECIFIED, colorRange: av.AVCOL_RANGE_JPEG };
  }
  if (isRgbLayout(layout)) {
    const isHigh = picture.height >= HIGH_DEFINITION;
    return {
      colorSpace: isHigh ? av.AVCOL_SPC_BT709 : av.AVCOL_SPC_SMPTE170M,
      colorRange: av.AVCOL_RANGE_MPEG,
    };
  }
  const isFull = picture.colorRange === av.AVCOL_RANGE_UNSPECIFIED &&
    formatName(av, picture.format).startsWith("yuvj");
  return {
    colorSpace: picture.colorSpace,
    colorRange: isFull ? av.AVCOL_RANGE_JPEG : picture.colorRange,
  };
}

/** The format that keeps most of a decoder's format (`codecpar.format`); NV12 for one not known yet. */
export function preferredFormat(av: NodeAv, format: Frame["format"]): PixelFormat {
  const name = layoutOf(av, format);
  if (/^(gray|mono|ya)/.test(name)) return "GRAY8";
  if (isRgbLayout(name)) return "RGBA";
  if (/(9|1[0246])(le|be)$/.test(name)) return "P010";
  return "NV12";
}

/** What NVDEC makes of a stream's format (`codecpar.format`): 4:2:0 with interleaved chroma; others have no name here. */
export function gpuFormat(av: NodeAv, format: Frame["format"]): PixelFormat | undefined {
  const formats: Record<string, PixelFormat> = { yuv420p: "NV12", yuv420p10le: "P010" };
  return formats[layoutOf(av, format)];
}

/** Writes pictures into planes, converted and scaled where they differ from the output. */
export class PictureWriter implements Disposable {
  readonly #av: NodeAv;
  readonly #format: PixelFormat;
  readonly #width: number;
  readonly #height: number;
  readonly #rearrange = new Map<string, SoftwareScaleContext>();
  readonly #converter: PictureConverter;

  /** Pictures come out as `width` × `height` pixels of `format`. */
  constructor(av: NodeAv, format: PixelFormat, width: number, height: number) {
    this.#av = av;
    this.#format = format;
    this.#width = width;
    this.#height = height;
    this.#converter = new PictureConverter(av, FFMPEG_NAMES[format], width, height);
  }

  /**
   * Writes a picture.
   *
   * @throws {CuframesError} `INVALID_ARGUMENT` for planes that cannot hold the output
   */
  write(picture: Frame, planes: readonly DestinationPlane[]): void {
    const { destination, strides } = this.#destination(planes);
    const source = layoutOf(this.#av, picture.format);
    const target = FFMPEG_NAMES[this.#format];
    const sameSize = picture.width === this.#width && picture.height === this.#height;
    const upright = picture.linesize.every((stride) => stride >= 0);
    if (sameSize && upright && source === target) {
      this.#copy(picture, destination, strides);
    } else if (sameSize && upright && canRearrange(source, target, strides)) {
      const lines = picture.linesize.slice(0, picture.data!.length);
      const context = this.#rearrangement(source, target);
      const written = context.scaleSync(picture.data!, lines, 0, this.#height, destination, strides);
      check(this.#av, written, `converting ${source} to ${target}`);
    } else {
      const colours = ringColours(this.#av, picture, source, this.#format);
      this.#copy(this.#converter.convert(picture, colours), destination, strides);
    }
  }

  [Symbol.dispose](): void {
    for (const context of this.#rearrange.values()) context.freeContext();
    this.#rearrange.clear();
    this.#converter[Symbol.dispose]();
  }

  /** Checks the planes: FFmpeg is given bare addresses. */
  #destination(planes: readonly DestinationPlane[]): { destination: Buffer[]; strides: number[] } {
    const needed = planCopy(this.#format, this.#width, this.#height).planes;
    if (planes.length !== needed.length) {
      throw invalid(`${planes.length} planes were given; ${this.#format} has ${needed.length}`);
    }
    const destination = needed.map(({ rowBytes, rows }, index) => {
      const { data, stride, rows: given } = planes[index]!;
      const end = stride * (rows - 1) + rowBytes;
      if (!Number.isInteger(stride) || stride < rowBytes || given < rows || data.byteLength < end) {
        throw invalid(
          `plane ${index} has ${given} rows, a stride of ${stride} and ${data.byteLength} bytes: ` +
            `${this.#width}×${this.#height} ${this.#format} needs ${rows} rows of ${rowBytes} bytes`,
        );
      }
      return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    });
    return { destination, strides: planes.map((plane) => plane.stride) };
  }

  #copy(picture: Frame, destination: Buffer[], strides: number[]): void {
    const { width, height, format } = picture;
    const data = picture.data!;
    const lines = picture.linesize.slice(0, data.length);
    type PixelFormatCode = Parameters<NodeAv["avImageCopy2"]>[4];
    this.#av.avImageCopy2(destination, strides, data, lines, format as PixelFormatCode, width, height);
  }

  #rearrangement(source: string, target: string): SoftwareScaleContext {
    const known = this.#rearrange.get(source);
    if (known) return known;
    const av = this.#av;
    const context = new av.SoftwareScaleContext();
    const [width, height] = [this.#width, this.#height];
    const [from, to] = [av.avGetPixFmtFromName(source), av.avGetPixFmtFromName(target)];
    context.getContext(width, height, from, width, height, to, av.SWS_POINT);
    this.#rearrange.set(source, context);
    return context;
  }
}

/** Which colours a picture's samples stand for; FFmpeg's numbers, which are those of ITU-T H.273 and of AVColorRange. */
export interface Colours {
  readonly colorSpace: Frame["colorSpace"];
  readonly colorRange: Frame["colorRange"];
}

/** Whether libswscale converts samples of a matrix. */
export function isConvertible(av: NodeAv, matrix: Frame["colorSpace"]): boolean {
  const known = [
    av.AVCOL_SPC_RGB,
    av.AVCOL_SPC_BT709,
    av.AVCOL_SPC_FCC,
    av.AVCOL_SPC_BT470BG,
    av.AVCOL_SPC_SMPTE170M,
    av.AVCOL_SPC_SMPTE240M,
    av.AVCOL_SPC_BT2020_NCL,
  ];
  return known.includes(matrix);
}

/** Converts pictures to one format and size, in memory of FFmpeg's own: its scalers may write beyond the ends of rows. */
export class PictureConverter implements Disposable {
  readonly #av: NodeAv;
  readonly #name: string;
  readonly #width: number;
  readonly #height: number;
  readonly #flags: string | undefined;
  #scaler: { context: SoftwareScaleContext; output: Frame } | undefined;

  /**
   * @param name FFmpeg's name of the pixel format @param flags libswscale's, as `"bicubic+accurate_rnd"`; default:
   * its own
   */
  constructor(av: NodeAv, name: string, width: number, height: number, flags?: string) {
    this.#av = av;
    this.#name = name;
    this.#width = width;
    this.#height = height;
    this.#flags = flags;
  }

  /**
   * The converted picture; valid until the next call.
   *
   * @param colours of the result
   */
  convert(picture: Frame, { colorSpace, colorRange }: Colours): Frame {
    this.#scaler ??= this.#open();
    const { context, output } = this.#scaler;
    this.#simplify(picture);
    output.colorSpace = isConvertible(this.#av, colorSpace) ? colorSpace : this.#av.AVCOL_SPC_UNSPECIFIED;
    output.colorRange = colorRange;
    const interlaced = this.#av.AV_FRAME_FLAG_INTERLACED;
    // A field of a single row would have no other field; one side alone with fields is refused.
    const hasFields = picture.hasFlags(interlaced) && Math.min(picture.height, this.#height) > 1;
    for (const frame of [picture, output]) {
      if (hasFields) frame.setFlags(interlaced);
      else frame.clearFlags(interlaced);
    }
    check(this.#av, context.scaleFrameSync(output, picture), `converting a picture to ${this.#name}`);
    return output;
  }

  [Symbol.dispose](): void {
    this.#scaler?.context.freeContext();
    this.#scaler?.output.free();
    this.#scaler = undefined;
  }

  /**
   * Takes off a picture what libswscale would refuse: matrices that it does not know, reserved primaries and transfers.
   * Known ones it would map to others; samples keep the primaries and the transfer that the stream declares.
   */
  #simplify(picture: Frame): void {
    const av = this.#av;
    if (!isConvertible(av, picture.colorSpace)) picture.colorSpace = av.AVCOL_SPC_UNSPECIFIED;
    picture.colorPrimaries = av.AVCOL_PRI_UNSPECIFIED;
    picture.colorTrc = av.AVCOL_TRC_UNSPECIFIED;
  }

  #open(): { context: SoftwareScaleContext; output: Frame } {
    const av = this.#av;
    const context = new av.SoftwareScaleContext();
    context.allocContext();
    if (this.#flags !== undefined) {
      check(av, context.setOption("sws_flags", this.#flags), `setting the scaler's flags`);
    }
    return { context, output: allocatePicture(av, this.#name, this.#width, this.#height) };
  }
}

/** A picture with memory of its own. @param name FFmpeg's name of its pixel format */
export function allocatePicture(av: NodeAv, name: string, width: number, height: number): Frame {
  const picture = new av.Frame();
  picture.alloc();
  picture.width = width;
  picture.height = height;
  picture.format = av.avGetPixFmtFromName(name);
  check(av, picture.getBuffer(), `allocating a ${width}×${height} picture`);
  return picture;
}
