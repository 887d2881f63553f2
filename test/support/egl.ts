// The double of libEGL.so.1, as a test looks at it and makes images of its own with it.

import { type Functions, open } from "./foreign.ts";

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

  destroyImage(display: bigint, image: bigint): void {
    if (this.#functions.eglDestroyImageKHR(display, image) !== 1) throw new Error("no such image");
  }
}
