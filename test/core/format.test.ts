// Every pixel format: its planes, any size, any rectangle; and what is refused.

import { describe, expect, test } from "vitest";
import type { PixelFormat, PlaneLayout, Rect } from "../../mod.ts";
import { PIXEL_FORMATS } from "../../src/core/constants.ts";
import { planCopy } from "../../src/core/format.ts";
import { createPublisher, expectCode, randomNumbers, subscribe } from "../support/ring.ts";
import { formats, packed, shapes, sizes, whole, withFrame } from "../support/samples.ts";

describe.each(formats)("%s", (format) => {
  test("has planes of the rows that its chroma needs, one behind the other, on cache lines", async () => {
    for (const [width, height] of sizes) {
      await withFrame(format, width, height, async (frame, publisher) => {
        expect(publisher.planes.length).toBe(shapes[format].length);
        let end = 0;
        shapes[format].forEach(([bytes, across, down], index) => {
          const { offset, stride, rows } = publisher.planes[index]!;
          expect(rows).toBe(Math.ceil(height / down));
          expect(stride).toBe(Math.ceil(Math.ceil(width / across) * bytes / 64) * 64);
          expect(offset).toBe(end);
          end = offset + stride * rows;
          const { data, ...place } = frame.planes[index]!;
          expect(place).toEqual({ offset, stride, rows });
          expect(data.length).toBe(stride * rows);
        });
        expect((await frame.toHost()).length).toBe(end);
      });
    }
  });

  test("arrives as it was drawn through the planes, whatever the size", async () => {
    for (const [width, height] of sizes) {
      await withFrame(format, width, height, async (frame) => {
        expect([frame.format, frame.codedWidth, frame.codedHeight, frame.memory]).toEqual([
          format,
          width,
          height,
          "host",
        ]);
        const expected = packed(format, whole(width, height));
        expect(frame.allocationSize()).toBe(expected.length);
        const copy = new Uint8Array(expected.length);
        await frame.copyTo(copy);
        expect(copy).toEqual(expected);
      });
    }
  });

  test("arrives as it was written in one piece, whatever the size", async () => {
    for (const [width, height] of sizes) {
      using publisher = createPublisher({ format, width, height });
      using subscriber = await subscribe(publisher);
      const picture = packed(format, whole(width, height));
      using writable = publisher.acquire();
      expectCode(
        () => writable.write(picture.subarray(1)),
        "INVALID_ARGUMENT",
        `${picture.length - 1} bytes`,
      );
      expectCode(
        () => writable.write(new Uint8Array(picture.length + 1)),
        "INVALID_ARGUMENT",
        `has ${picture.length}`,
      );
      writable.write(picture);
      writable.publish();
      using frame = await subscriber.next();
      const copy = new Uint8Array(picture.length);
      await frame.copyTo(copy);
      expect(copy).toEqual(picture);
    }
  });

  test("gives any rectangle on its chroma grid, byte for byte, with and without a layout", async () => {
    const random = randomNumbers(7);
    const across = Math.max(...shapes[format].map(([, x]) => x));
    const down = Math.max(...shapes[format].map(([, , y]) => y));
    for (const [width, height] of [[1, 1], [17, 9], [66, 23]] as const) {
      await withFrame(format, width, height, async (frame) => {
        for (let round = 0; round < 60; round++) {
          const x = random(Math.ceil(width / across)) * across;
          const y = random(Math.ceil(height / down)) * down;
          const rect = { x, y, width: 1 + random(width - x), height: 1 + random(height - y) };
          const expected = packed(format, rect);
          expect(frame.allocationSize({ rect })).toBe(expected.length);
          const tight = new Uint8Array(expected.length + 8).fill(0x55);
          const places = await frame.copyTo(tight, { rect });
          expect(tight.subarray(0, expected.length)).toEqual(expected);
          expect(tight.subarray(expected.length)).toEqual(new Uint8Array(8).fill(0x55));

          const { layout, size, rows } = randomLayout(format, rect, random);
          expect(frame.allocationSize({ rect, layout })).toBe(size);
          const spread = new Uint8Array(size).fill(0x55);
          expect(await frame.copyTo(spread, { rect, layout })).toEqual(layout);
          const reference = new Uint8Array(size).fill(0x55);
          places.forEach(({ offset, stride }, plane) => {
            for (let row = 0; row < rows[plane]!; row++) {
              const bytes = expected.subarray(offset + row * stride, offset + (row + 1) * stride);
              reference.set(bytes, layout[plane]!.offset + row * layout[plane]!.stride);
            }
          });
          expect(spread).toEqual(reference);
        }
      });
    }
  });
});

/** The planes in any order, with gaps before them and between their rows. */
function randomLayout(format: PixelFormat, rect: Rect, random: (limit: number) => number) {
  const rows = shapes[format].map(([, , down]) => Math.ceil(rect.height / down));
  const rowBytes = shapes[format].map(([bytes, across]) => Math.ceil(rect.width / across) * bytes);
  const layout: PlaneLayout[] = rows.map(() => ({ offset: 0, stride: 0 }));
  const order = [...rows.keys()].sort(() => random(3) - 1);
  let size = 0;
  for (const plane of order) {
    const offset = size + random(5);
    const stride = rowBytes[plane]! + random(4);
    layout[plane] = { offset, stride };
    size = offset + stride * rows[plane]!;
  }
  return { layout, size, rows };
}

test("the formats are those of the native library", () => {
  expect(Object.keys(PIXEL_FORMATS).sort()).toEqual([...formats].sort());
});

test("a frame of 16384×16384 pixels is whole up to its last byte", async () => {
  const side = 16384;
  using publisher = createPublisher({ format: "GRAY8", width: side, height: side, slots: 2 });
  using subscriber = await subscribe(publisher);
  using writable = publisher.acquire();
  const { data, stride } = writable.planes[0]!;
  const marks = [[0, 0], [side - 1, 0], [0, side - 1], [side - 1, side - 1], [5000, 9999]] as const;
  marks.forEach(([x, y], index) => data[y * stride + x] = index + 1);
  writable.publish();
  using frame = await subscriber.next();
  expect(frame.allocationSize()).toBe(side * side);
  for (const [index, [x, y]] of marks.entries()) {
    const pixel = new Uint8Array(1);
    await frame.copyTo(pixel, { rect: { x, y, width: 1, height: 1 } });
    expect(pixel[0]).toBe(index + 1);
  }
});

test("one row and one column of the largest size carry every format", async () => {
  for (const format of formats) {
    for (const [width, height] of [[16384, 1], [1, 16384]] as const) {
      await withFrame(format, width, height, async (frame) => {
        const expected = packed(format, whole(width, height));
        const copy = new Uint8Array(frame.allocationSize());
        await frame.copyTo(copy);
        expect(Buffer.compare(copy, expected)).toBe(0);
      });
    }
  }
});

test("a size that is not 1 to 16384 whole pixels is refused", () => {
  for (const bad of [0, -1, 16385, 1.5, NaN, Infinity, 64n as unknown as number]) {
    expectCode(() => createPublisher({ width: bad }), "INVALID_ARGUMENT", `width is ${bad}`);
    expectCode(() => createPublisher({ height: bad }), "INVALID_ARGUMENT", `height is ${bad}`);
  }
  const text = "64" as unknown as number;
  expectCode(() => createPublisher({ width: text }), "INVALID_ARGUMENT", 'width is "64"');
});

test("a pixel format that is not known is refused by name", () => {
  for (const bad of ["YUY2", "nv12", "toString", ""]) {
    expectCode(() => createPublisher({ format: bad as PixelFormat }), "FORMAT", JSON.stringify(bad));
  }
});

test("an allocation size is exact up to the largest frame of the widest format", () => {
  expect(planCopy("RGBA", 16384, 16384).size).toBe(2 ** 30);
  expect(planCopy("NV12", 16384, 16384).size).toBe(1.5 * 2 ** 28);
  expect(planCopy("P010", 16383, 16383).size).toBe(2 * 16383 ** 2 + 4 * 8192 ** 2);
  expect(planCopy("I420", 3, 3).size).toBe(9 + 4 + 4);
});
