import { describe, expect, test } from "vitest";
import type { Frame, PixelFormat, PlaneLayout, Publisher, Rect } from "../../mod.ts";
import { PIXEL_FORMATS } from "../../src/core/constants.ts";
import { planCopy } from "../../src/core/format.ts";
import { createPublisher, expectCode, publish, randomNumbers, subscribe } from "../support/ring.ts";

/** Per plane: bytes of a sample, and the pixels it covers across and down. Written out here, not taken from the code. */
const shapes: Record<PixelFormat, [bytes: number, x: number, y: number][]> = {
  NV12: [[1, 1, 1], [2, 2, 2]],
  I420: [[1, 1, 1], [1, 2, 2], [1, 2, 2]],
  P010: [[2, 1, 1], [4, 2, 2]],
  RGBA: [[4, 1, 1]],
  RGBX: [[4, 1, 1]],
  BGRA: [[4, 1, 1]],
  BGRX: [[4, 1, 1]],
  GRAY8: [[1, 1, 1]],
};
const formats = Object.keys(shapes) as PixelFormat[];
const sizes = [[1, 1], [1, 2], [2, 1], [3, 5], [64, 2], [65, 31], [127, 3]] as const;

/** A byte that differs from its neighbours in every direction. */
function sample(plane: number, x: number, y: number, byte: number): number {
  return (plane * 89 + x * 31 + y * 57 + byte * 101 + (x * y >> 3)) & 0xff;
}

/** The bytes of a rectangle, plane by plane and sample by sample: what `copyTo` must give without a layout. */
function packed(format: PixelFormat, { x, y, width, height }: Rect): Uint8Array<ArrayBuffer> {
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

const whole = (width: number, height: number): Rect => ({ x: 0, y: 0, width, height });

/** Draws the picture of `sample` sample by sample through the planes, and publishes it. */
function draw(publisher: Publisher): void {
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

async function withFrame(
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

describe("copyTo", () => {
  /** 8×6 pixels of NV12, and the 72 bytes that they are. */
  const check = (body: (frame: Frame) => Promise<void>) => withFrame("NV12", 8, 6, (frame) => body(frame));

  test("takes every kind of memory, shared or not, at its own offset", async () => {
    const expected = packed("NV12", whole(8, 6));
    await check(async (frame) => {
      const plain = new ArrayBuffer(72);
      const shared = new SharedArrayBuffer(72);
      const wide = new ArrayBuffer(100);
      await frame.copyTo(plain);
      await frame.copyTo(shared);
      await frame.copyTo(new DataView(wide, 10, 72));
      expect(new Uint8Array(plain)).toEqual(expected);
      expect(Uint8Array.from(new Uint8Array(shared))).toEqual(expected);
      expect(new Uint8Array(wide, 10, 72)).toEqual(expected);
      expect(new Uint8Array(wide, 0, 10)).toEqual(new Uint8Array(10));
      expect(new Uint8Array(wide, 82)).toEqual(new Uint8Array(18));
      const words = new Uint16Array(36);
      await frame.copyTo(words);
      expect(new Uint8Array(words.buffer)).toEqual(expected);
    });
  });

  test("refuses what is no memory, since the pixels would go nowhere", async () => {
    await check(async (frame) => {
      for (const bad of [1000, new Array(72).fill(0), "x".repeat(100), null, undefined, {}]) {
        await expectCode(frame.copyTo(bad as unknown as Uint8Array), "INVALID_ARGUMENT", "destination");
      }
    });
  });

  test("refuses a destination that is one byte too small, and then writes nothing", async () => {
    await check(async (frame) => {
      const small = new Uint8Array(71).fill(0x55);
      await expectCode(frame.copyTo(small), "INVALID_ARGUMENT", "71 bytes, the copy needs 72");
      expect(small).toEqual(new Uint8Array(71).fill(0x55));
      const layout = [{ offset: 1, stride: 8 }, { offset: 49, stride: 8 }];
      await expectCode(frame.copyTo(new Uint8Array(72), { layout }), "INVALID_ARGUMENT", "needs 73");
    });
  });

  test("refuses a rectangle that is not inside the frame, or not of whole pixels", async () => {
    const good = { x: 2, y: 2, width: 4, height: 4 };
    const wrong: Partial<Rect>[] = [
      { x: -2 },
      { y: -2 },
      { x: 6 },
      { y: 4 },
      { width: 0 },
      { height: 0 },
      { width: 7 },
      { height: 5 },
      { width: -2 },
      { x: NaN },
      { y: NaN },
      { width: NaN },
      { height: NaN },
      { width: Infinity },
      { x: 0.5 },
      { height: 1.5 },
      { x: 2 ** 53 },
    ];
    await check(async (frame) => {
      expect(frame.allocationSize({ rect: good })).toBe(24);
      for (const change of wrong) {
        const rect = { ...good, ...change };
        expectCode(() => frame.allocationSize({ rect }), "INVALID_ARGUMENT", "not inside");
        await expectCode(frame.copyTo(new Uint8Array(100), { rect }), "INVALID_ARGUMENT", "not inside");
      }
    });
  });

  test("refuses a rectangle that begins between chroma samples, but lets it end there", async () => {
    await check(async (frame) => {
      for (const [x, y] of [[1, 0], [0, 1], [3, 3]] as const) {
        const rect = { x, y, width: 2, height: 2 };
        await expectCode(frame.copyTo(new Uint8Array(100), { rect }), "INVALID_ARGUMENT", "multiple of 2");
      }
      const rect = { x: 2, y: 2, width: 3, height: 1 };
      const copy = new Uint8Array(7);
      await frame.copyTo(copy, { rect });
      expect(copy).toEqual(packed("NV12", rect));
    });
    await withFrame("RGBA", 8, 6, (frame) => {
      expect(frame.allocationSize({ rect: { x: 1, y: 1, width: 1, height: 1 } })).toBe(4);
    });
  });

  test("refuses a layout of other planes, negative or fractional places, and rows that do not fit", async () => {
    const first = { offset: 0, stride: 8 };
    const wrong: [PlaneLayout[], string][] = [
      [[], "0 planes"],
      [[first], "1 planes"],
      [[first, first, first], "3 planes"],
      [[first, { offset: -1, stride: 8 }], "layout[1].offset"],
      [[first, { offset: 48.5, stride: 8 }], "layout[1].offset"],
      [[first, { offset: NaN, stride: 8 }], "layout[1].offset"],
      [[first, { offset: 2 ** 53, stride: 8 }], "layout[1].offset"],
      [[{ offset: 0, stride: 7 }, { offset: 48, stride: 8 }], "layout[0].stride"],
      [[first, { offset: 48, stride: NaN }], "layout[1].stride"],
      [[first, { offset: 48, stride: 8.5 }], "layout[1].stride"],
      [[first, { offset: 48, stride: -8 }], "layout[1].stride"],
    ];
    await check(async (frame) => {
      for (const [layout, text] of wrong) {
        expectCode(() => frame.allocationSize({ layout }), "INVALID_ARGUMENT", text);
        await expectCode(frame.copyTo(new Uint8Array(200), { layout }), "INVALID_ARGUMENT", text);
      }
    });
  });

  test("refuses a layout whose planes overlap by one byte, whichever comes first", async () => {
    await check(async (frame) => {
      for (const offsets of [[0, 47], [23, 0], [0, 0], [10, 12]] as const) {
        const layout = offsets.map((offset) => ({ offset, stride: 8 }));
        await expectCode(frame.copyTo(new Uint8Array(200), { layout }), "INVALID_ARGUMENT", "overlap");
      }
      await frame.copyTo(new Uint8Array(72), {
        layout: [{ offset: 24, stride: 8 }, { offset: 0, stride: 8 }],
      });
    });
  });

  test("takes from a layout where the planes go, and nothing else that its objects carry", async () => {
    await check(async (frame) => {
      // The planes of a frame are a layout too, and say how many rows the whole frame has.
      const rect = { x: 0, y: 0, width: 8, height: 2 };
      const { length } = await frame.toHost();
      const copy = new Uint8Array(length).fill(0x55);
      await frame.copyTo(copy, { rect, layout: [...frame.planes] });
      const [luma, chroma] = frame.planes;
      const reference = new Uint8Array(length).fill(0x55);
      for (let row = 0; row < 2; row++) reference.set(luma!.data.subarray(row * 64, row * 64 + 8), row * 64);
      reference.set(chroma!.data.subarray(0, 8), chroma!.offset);
      expect(copy).toEqual(reference);
    });
  });
});

test("an allocation size is exact up to the largest frame of the widest format", () => {
  expect(planCopy("RGBA", 16384, 16384).size).toBe(2 ** 30);
  expect(planCopy("NV12", 16384, 16384).size).toBe(1.5 * 2 ** 28);
  expect(planCopy("P010", 16383, 16383).size).toBe(2 * 16383 ** 2 + 4 * 8192 ** 2);
  expect(planCopy("I420", 3, 3).size).toBe(9 + 4 + 4);
});

test("toHost is the frame in place, padding included, its planes where they say", async () => {
  await withFrame("I420", 9, 5, async (frame) => {
    const host = await frame.toHost();
    for (const { offset, data } of frame.planes) {
      expect(data.buffer).toBe(host.buffer);
      expect(host.subarray(offset, offset + data.length)).toEqual(data);
    }
    expect(host[9]).toBe(0xee); // what the publisher left in the padding
  });
});

test("the planes of a closed frame, and of a closed subscriber, are out of reach", async () => {
  using publisher = createPublisher();
  const subscriber = await subscribe(publisher);
  publish(publisher, 3);
  const frame = await subscriber.next();
  const { data } = frame.planes[0]!;
  expect(data[0]).toBe(3);
  frame.close();
  expectCode(() => frame.planes, "INVALID_ARGUMENT", "closed");
  expectCode(() => frame.allocationSize(), "INVALID_ARGUMENT", "closed");
  await expectCode(frame.copyTo(new Uint8Array(1000)), "INVALID_ARGUMENT", "closed");
  await expectCode(frame.toHost(), "INVALID_ARGUMENT", "closed");
  subscriber.close();
  expect(data.length).toBe(0); // the view is detached: no way to memory that is not there
});
