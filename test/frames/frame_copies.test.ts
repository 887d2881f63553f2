// Copies of a frame's pixels: copyTo, toHost, and what is left of them when the frame is closed.

import { describe, expect, test } from "vitest";
import type { Frame, PlaneLayout, Rect } from "../../mod.ts";
import { createPublisher, expectCode, publish, subscribe } from "../support/ring.ts";
import { packed, whole, withFrame } from "../support/samples.ts";

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

  test("converts nothing: its own format is taken, any other is refused with what it is", async () => {
    await check(async (frame) => {
      const target = new Uint8Array(72);
      await frame.copyTo(target, { format: "NV12" });
      expect(target).toEqual(packed("NV12", whole(8, 6)));
      await frame.copyTo(target, { colorSpace: "srgb" } as never);
      for (
        const [format, code] of [["RGBA", "UNSUPPORTED"], ["I444", "UNSUPPORTED"], [
          "rgba",
          "INVALID_ARGUMENT",
        ]]
      ) {
        const options = { format: format as "RGBA" };
        const sentence =
          `format is "${format}": this frame is NV12, which is not converted, so NV12 is the one`;
        await expectCode(frame.copyTo(target, options), code as "UNSUPPORTED", sentence);
        await expectCode(() => frame.allocationSize(options), code as "UNSUPPORTED", sentence);
      }
      await expectCode(frame.copyTo(target, { format: null as never }), "INVALID_ARGUMENT", "NV12");
      await expectCode(frame.copyTo(target, { layout: null as never }), "INVALID_ARGUMENT", "layout");
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
