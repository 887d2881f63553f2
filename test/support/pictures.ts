// Pictures in memory of another program's: each plane at an offset and a stride of its own, every byte told by its place.

import { PIXEL_FORMATS } from "../../src/core/constants.ts";
import {
  CuframesError,
  type DmabufPlane,
  type DrmFormat,
  type Frame,
  type PixelFormat,
  type Subscriber,
} from "../../mod.ts";
import { Memfd } from "./memfd.ts";

/** Bytes of a sample position, and the pixels it covers, for each plane: drm_fourcc.h. */
export const shapes: Readonly<
  Record<DrmFormat, readonly (readonly [bytes: number, x: number, y: number])[]>
> = {
  XRGB8888: [[4, 1, 1]],
  ARGB8888: [[4, 1, 1]],
  XBGR8888: [[4, 1, 1]],
  ABGR8888: [[4, 1, 1]],
  R8: [[1, 1, 1]],
  GR88: [[2, 1, 1]],
  NV12: [[1, 1, 1], [2, 2, 2]],
  P010: [[2, 1, 1], [4, 2, 2]],
  YUYV: [[4, 2, 1]],
  XRGB2101010: [[4, 1, 1]],
  ARGB2101010: [[4, 1, 1]],
  XBGR2101010: [[4, 1, 1]],
  ABGR2101010: [[4, 1, 1]],
};

/** The four characters of drm_fourcc.h. */
export const characters: Readonly<Record<DrmFormat, string>> = {
  XRGB8888: "XR24",
  ARGB8888: "AR24",
  XBGR8888: "XB24",
  ABGR8888: "AB24",
  XRGB2101010: "XR30",
  ARGB2101010: "AR30",
  XBGR2101010: "XB30",
  ABGR2101010: "AB30",
  R8: "R8",
  GR88: "GR88",
  YUYV: "YUYV",
  NV12: "NV12",
  P010: "P010",
};

/** What a frame in a ring of that format is made of. */
export const becomes: readonly (readonly [DrmFormat, PixelFormat])[] = [
  ["XRGB8888", "BGRX"],
  ["ARGB8888", "BGRA"],
  ["ARGB8888", "BGRX"],
  ["XBGR8888", "RGBX"],
  ["ABGR8888", "RGBA"],
  ["ABGR8888", "RGBX"],
  ["R8", "GRAY8"],
  ["NV12", "NV12"],
  ["NV12", "GRAY8"],
  ["P010", "P010"],
];

export interface PictureOptions {
  width?: number;
  height?: number;
  /** Each plane in memory of its own. */
  separate?: boolean;
  sealed?: boolean;
  /** Bytes, the same for every plane; default: each plane has its own. */
  stride?: number;
  /** Makes two pictures differ. */
  seed?: number;
}

/** A picture in memfds. */
export class Picture implements Disposable {
  readonly fourcc: DrmFormat;
  readonly width: number;
  readonly height: number;
  readonly planes: DmabufPlane[] = [];
  readonly files: Memfd[] = [];
  /** The planes' rows without padding, one plane behind the other. */
  readonly content: Uint8Array[] = [];
  /** Which of the files each plane is in. */
  readonly #homes: Memfd[] = [];

  constructor(fourcc: DrmFormat, options: PictureOptions = {}) {
    const { width = 61, height = 35, separate = false, sealed = true, seed = 0, stride: given } = options;
    this.fourcc = fourcc;
    this.width = width;
    this.height = height;
    let end = 0;
    const places = shapes[fourcc].map(([bytes, x, y], index) => {
      const rowBytes = Math.ceil(width / x) * bytes;
      const rows = Math.ceil(height / y);
      // Padded, and not from the start.
      const stride = given ?? rowBytes + 36 + 4 * index;
      const offset = separate ? 64 * (index + 1) : end + 64;
      end = separate ? 0 : offset + stride * rows;
      return { rowBytes, rows, stride, offset };
    });
    const whole = separate ? undefined : this.#file(end, sealed);
    for (const { rowBytes, rows, stride, offset } of places) {
      const file = whole ?? this.#file(offset + stride * rows, sealed);
      this.#homes.push(file);
      this.planes.push({ fd: file.fd, offset, stride });
      this.content.push(new Uint8Array(rowBytes * rows));
    }
    this.paint(seed);
  }

  #file(size: number, sealed: boolean): Memfd {
    const file = new Memfd(size, { sealed });
    this.files.push(file);
    return file;
  }

  /** Fills it again, with other bytes. */
  paint(seed: number): void {
    for (const [index, { offset, stride }] of this.planes.entries()) {
      const content = this.content[index]!;
      const rowBytes = this.rowBytes(index);
      for (let place = 0; place < content.length; place++) {
        content[place] = (place * 7 + (place >> 8) * 13 + index * 101 + seed * 17) & 255;
      }
      for (let row = 0; row * rowBytes < content.length; row++) {
        this.#homes[index]!.bytes.set(
          content.subarray(row * rowBytes, (row + 1) * rowBytes),
          offset + row * stride,
        );
      }
    }
  }

  rowBytes(plane: number): number {
    const [bytes, x] = shapes[this.fourcc][plane]!;
    return Math.ceil(this.width / x) * bytes;
  }

  /** What `importDmabuf` is told. */
  get options(): { width: number; height: number; fourcc: DrmFormat; planes: DmabufPlane[] } {
    return { width: this.width, height: this.height, fourcc: this.fourcc, planes: this.planes };
  }

  [Symbol.dispose](): void {
    for (const file of this.files) file[Symbol.dispose]();
  }
}

/** The pixels of one plane of a frame, without padding. */
export async function planeOf(frame: Frame, plane: number): Promise<Uint8Array> {
  const all = new Uint8Array(frame.allocationSize());
  const layout = await frame.copyTo(all);
  const shape = PIXEL_FORMATS[frame.format].planes[plane]!;
  const { offset } = layout[plane]!;
  const size = Math.ceil(frame.codedWidth / shape.x) * shape.bytes * Math.ceil(frame.codedHeight / shape.y);
  return all.subarray(offset, offset + size);
}

/** The frame with that sequence, which is to come: until its copies are done, an older one is the newest. */
export async function frameOf(subscriber: Subscriber, sequence: bigint): Promise<Frame> {
  while (true) {
    const frame = await subscriber.next();
    if (frame.sequence === sequence) return frame;
    frame.close();
  }
}

/** The error that an attempt is refused with. */
export function refusalOf(attempt: () => unknown): CuframesError {
  try {
    attempt();
  } catch (error) {
    if (error instanceof CuframesError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}
