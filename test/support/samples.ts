// Frames of every format, each byte of which is told by its place.

import type { Frame, PixelFormat, Publisher, Rect } from "../../mod.ts";
import { createPublisher, subscribe } from "./ring.ts";

/** Per plane: bytes of a sample, and the pixels it covers across and down. Written out here, not taken from the code. */
export const shapes: Record<PixelFormat, [bytes: number, x: number, y: number][]> = {
  NV12: [[1, 1, 1], [2, 2, 2]],
  I420: [[1, 1, 1], [1, 2, 2], [1, 2, 2]],
  P010: [[2, 1, 1], [4, 2, 2]],
  RGBA: [[4, 1, 1]],
  RGBX: [[4, 1, 1]],
  BGRA: [[4, 1, 1]],
  BGRX: [[4, 1, 1]],
  GRAY8: [[1, 1, 1]],
};
export const formats: PixelFormat[] = Object.keys(shapes) as PixelFormat[];
export const sizes = [[1, 1], [1, 2], [2, 1], [3, 5], [64, 2], [65, 31], [127, 3]] as const;

/** A byte that differs from its neighbours in every direction. */
export function sample(plane: number, x: number, y: number, byte: number): number {
  return (plane * 89 + x * 31 + y * 57 + byte * 101 + (x * y >> 3)) & 0xff;
}

/** The bytes of a rectangle, plane by plane and sample by sample: what `copyTo` must give without a layout. */
export function packed(format: PixelFormat, { x, y, width, height }: Rect): Uint8Array<ArrayBuffer> {
  const bytes: number[] = [];
  shapes[format].forEach(([size, across, down], plane) => {
    for (let row = y / down; row * down < y + height; row++) {
      for (let column = x / across; column * across < x + width; column++) {
        for (let byte = 0; byte < size; byte++) bytes.push(sample(plane, column, row, byte));
      }
    }
  });
  return Uint8Array.from(bytes);
}

/** The rectangle that is a whole picture. */
export const whole = (width: number, height: number): Rect => ({ x: 0, y: 0, width, height });

/** Draws the picture of `sample` sample by sample through the planes, and publishes it. */
export function draw(publisher: Publisher): void {
  using frame = publisher.acquire();
  frame.planes.forEach(({ data, stride, rows }, plane) => {
    const [size, across] = shapes[publisher.format][plane]!;
    data.fill(0xee); // padding
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column * across < publisher.codedWidth; column++) {
        for (let byte = 0; byte < size; byte++) {
          data[row * stride + column * size + byte] = sample(plane, column, row, byte);
        }
      }
    }
  });
  frame.publish();
}

/** Gives a frame with that picture to `body`. */
export async function withFrame(
  format: PixelFormat,
  width: number,
  height: number,
  body: (frame: Frame, publisher: Publisher) => Promise<void> | void,
): Promise<void> {
  using publisher = createPublisher({ format, width, height, slots: 2 });
  using subscriber = await subscribe(publisher);
  draw(publisher);
  using frame = await subscriber.next();
  await body(frame, publisher);
}
