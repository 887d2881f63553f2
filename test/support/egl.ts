// The double of libEGL.so.1, as a test looks at it and makes images of its own with it.

import type { DrmFormat } from "../../mod.ts";
import { type Functions, open } from "./foreign.ts";
import { characters, type Picture } from "./pictures.ts";

/** See test/cuda_double/libegl.zig. */
const doubleTable = {
  egldoubleImages: [[], "u32"],
  egldoubleFail: [["buffer"], "i32"],
  egldoubleCalls: [["buffer"], "u64"],
  egldoubleAttributes: [["buffer"], "i32"],
  eglQueryDevicesEXT: [["i32", "buffer", "buffer"], "i32"],
  eglGetPlatformDisplayEXT: [["u32", "u64", "u64"], "u64"],
  eglInitialize: [["u64", "u64", "u64"], "i32"],
  eglCreateImageKHR: [["u64", "u64", "u32", "u64", "buffer"], "u64"],
  eglDestroyImageKHR: [["u64", "u64"], "i32"],
} as const;

const EGL_PLATFORM_DEVICE_EXT = 0x313F;
const EGL_LINUX_DMA_BUF_EXT = 0x3270;
const EGL_NONE = 0x3038;
const EGL_HEIGHT = 0x3056;
const EGL_WIDTH = 0x3057;
const EGL_LINUX_DRM_FOURCC = 0x3271;

/** The names that the two extensions give plane 0 to 3: fd, offset, pitch, modifier's low and high half. */
export const planeAttributes = [
  [0x3272, 0x3273, 0x3274, 0x3443, 0x3444],
  [0x3275, 0x3276, 0x3277, 0x3445, 0x3446],
  [0x3278, 0x3279, 0x327A, 0x3447, 0x3448],
  [0x3440, 0x3441, 0x3442, 0x3449, 0x344A],
] as const;

/** As EGL takes it. */
export function fourccNumber(fourcc: DrmFormat): number {
  return new DataView(new TextEncoder().encode(characters[fourcc].padEnd(4)).buffer).getInt32(0, true);
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(`${value}\0`);
}

export class EglDouble {
  readonly #functions: Functions<typeof doubleTable> = open("libEGL.so.1", doubleTable);

  /** Images that are alive. */
  images(): number {
    return this.#functions.egldoubleImages();
  }

  /** As `Double.fail`. */
  fail(rules: string): void {
    if (this.#functions.egldoubleFail(text(rules)) !== 0) {
      throw new Error(`the double does not understand ${rules}`);
    }
  }

  calls(name: string): number {
    return Number(this.#functions.egldoubleCalls(text(name)));
  }

  /** The attribute list of the last image, without its end. */
  attributes(): number[] {
    const list = new Int32Array(64);
    const count = this.#functions.egldoubleAttributes(new Uint8Array(list.buffer));
    return [...list.subarray(0, count)];
  }

  /** A display of the test's own on the EGL device with that number. */
  display(device: number): bigint {
    const devices = new BigUint64Array(8);
    this.#functions.eglQueryDevicesEXT(8, new Uint8Array(devices.buffer), new Uint8Array(4));
    const display = this.#functions.eglGetPlatformDisplayEXT(EGL_PLATFORM_DEVICE_EXT, devices[device]!, 0n);
    if (display === 0n || this.#functions.eglInitialize(display, 0n, 0n) !== 1) throw new Error("no display");
    return display;
  }

  /** An image as a GL program would have made it, from attributes. */
  createImage(display: bigint, attributes: readonly number[]): bigint {
    const list = Int32Array.of(...attributes, EGL_NONE);
    const image = this.#functions.eglCreateImageKHR(
      display,
      0n,
      EGL_LINUX_DMA_BUF_EXT,
      0n,
      new Uint8Array(list.buffer),
    );
    if (image === 0n) throw new Error("no image");
    return image;
  }

  /** An image of a picture, as EGL_EXT_image_dma_buf_import describes it. */
  createPicture(display: bigint, { width, height, fourcc, planes }: Picture): bigint {
    const list = [EGL_WIDTH, width, EGL_HEIGHT, height, EGL_LINUX_DRM_FOURCC, fourccNumber(fourcc)];
    for (const [index, { fd, offset, stride }] of planes.entries()) {
      const [fdName, offsetName, pitchName] = planeAttributes[index]!;
      list.push(fdName, fd, offsetName, offset, pitchName, stride);
    }
    return this.createImage(display, list);
  }

  destroyImage(display: bigint, image: bigint): void {
    if (this.#functions.eglDestroyImageKHR(display, image) !== 1) throw new Error("no such image");
  }
}
