// What picture a frame is: what its publisher says of it, and what a reader makes of that.

import { describe, expect, test } from "vitest";
import type { Frame, FrameInit } from "../../mod.ts";
import { createPublisher, expectCode, publish, subscribe } from "../support/ring.ts";

/** What a frame says of its picture. */
function pictureOf(frame: Frame) {
  const { colorSpace, visibleRect, sampleAspectRatio, displayWidth, displayHeight, rotation, flip } = frame;
  const { fieldOrder, chromaLocation, captureTime, captureTimeNs } = frame;
  return {
    ...{ colorSpace, visibleRect, sampleAspectRatio, displayWidth, displayHeight, rotation, flip },
    ...{ fieldOrder, chromaLocation, captureTime, captureTimeNs },
  };
}

/** Of a frame of 32×16 about which nothing is said. */
const nothing = {
  colorSpace: { primaries: null, transfer: null, matrix: null, fullRange: null },
  visibleRect: { x: 0, y: 0, width: 32, height: 16 },
  sampleAspectRatio: { num: 1, den: 1 },
  displayWidth: 32,
  displayHeight: 16,
  rotation: 0,
  flip: false,
  fieldOrder: null,
  chromaLocation: null,
  captureTime: null,
  captureTimeNs: null,
};

test("a picture comes as it was said, of this frame and no other", async () => {
  using publisher = createPublisher();
  using subscriber = await subscribe(publisher, { mode: "ordered" });
  const whole = {
    colorSpace: { primaries: "bt470bg", transfer: "iec61966-2-1", matrix: "smpte240m", fullRange: true },
    visibleRect: { x: 2, y: 4, width: 29, height: 11 },
    sampleAspectRatio: { num: 65_535, den: 1 },
    displayWidth: 40,
    displayHeight: 16_384,
    rotation: 270,
    flip: true,
    fieldOrder: "bff",
    chromaLocation: "topleft",
    captureTimeNs: 1_700_000_000_123_456_789n,
  } as const;
  const captureTime = 1_700_000_000_123_456.8;
  const pictures: [FrameInit, object][] = [
    [{}, nothing],
    [whole, { ...whole, captureTime }],
    [{}, nothing],
    [{ captureTime: 12.5 }, { ...nothing, captureTime: 12.5, captureTimeNs: 12_500n }],
    [{ rotation: 90 }, { ...nothing, rotation: 90, displayWidth: 16, displayHeight: 32 }],
    [{ rotation: 180, flip: false }, { ...nothing, rotation: 180 }],
    [{ visibleRect: { x: 0, y: 0, width: 8, height: 4 }, rotation: 90 }, {
      ...nothing,
      visibleRect: { x: 0, y: 0, width: 8, height: 4 },
      rotation: 90,
      displayWidth: 4,
      displayHeight: 8,
    }],
    [{ colorSpace: { matrix: "fcc" } }, { ...nothing, colorSpace: { ...nothing.colorSpace, matrix: "fcc" } }],
    [{ colorSpace: { fullRange: false } }, {
      ...nothing,
      colorSpace: { ...nothing.colorSpace, fullRange: false },
    }],
    // Pixels that are not square make one side longer, and none shorter.
    [{ sampleAspectRatio: { num: 16, den: 11 } }, {
      ...nothing,
      sampleAspectRatio: { num: 16, den: 11 },
      displayWidth: 47,
    }],
    [{ sampleAspectRatio: { num: 3, den: 4 }, rotation: 90 }, {
      ...nothing,
      sampleAspectRatio: { num: 3, den: 4 },
      rotation: 90,
      displayWidth: 21,
      displayHeight: 32,
    }],
    [{ sampleAspectRatio: { num: 1, den: 65_535 } }, {
      ...nothing,
      sampleAspectRatio: { num: 1, den: 65_535 },
      displayWidth: 1,
      displayHeight: 16_384,
    }],
    // A size says what shape pixels have.
    [{ displayWidth: 64, displayHeight: 24 }, {
      ...nothing,
      sampleAspectRatio: { num: 4, den: 3 },
      displayWidth: 64,
      displayHeight: 24,
    }],
    [{ displayWidth: 24, displayHeight: 64, rotation: 270 }, {
      ...nothing,
      sampleAspectRatio: { num: 4, den: 3 },
      rotation: 270,
      displayWidth: 24,
      displayHeight: 64,
    }],
    // What another frame said of itself can be passed on.
    [{ ...nothing, captureTimeNs: null } as FrameInit, nothing],
  ];
  for (const [init, expected] of pictures) {
    publish(publisher, 1, init);
    using frame = subscriber.nextSync();
    using clone = frame.clone();
    expect(pictureOf(frame)).toEqual(expected);
    expect(pictureOf(clone)).toEqual(expected);
  }
});

test("a picture is read when the frame is published: its rectangle may be written again", async () => {
  using publisher = createPublisher();
  using subscriber = await subscribe(publisher, { mode: "ordered" });
  const visibleRect = { x: 0, y: 0, width: 8, height: 8 };
  for (const x of [0, 2, 24]) {
    visibleRect.x = x;
    publish(publisher, 1, { visibleRect });
    using frame = subscriber.nextSync();
    expect(frame.visibleRect.x).toBe(x);
  }
});

test("an RGB frame is RGB, and no other is", async () => {
  using rgb = createPublisher({ format: "RGBA" });
  using subscriber = await subscribe(rgb);
  publish(rgb, 1);
  expect(subscriber.nextSync().colorSpace.matrix).toBe("rgb");
  publish(rgb, 1, { colorSpace: { matrix: "rgb", primaries: "bt709" } });
  expect(subscriber.nextSync().colorSpace).toMatchObject({ matrix: "rgb", primaries: "bt709" });
  using yuv = createPublisher();
  using frame = yuv.acquire();
  expectCode(() => frame.publish({ colorSpace: { matrix: "rgb" } }), "INVALID_ARGUMENT", "not RGB");
});

test("a wrong picture is refused, and says nothing of the frame that is published then", async () => {
  using publisher = createPublisher();
  using subscriber = await subscribe(publisher);
  using frame = publisher.acquire();
  const rect = (x: number, y: number, width: number, height: number) => ({
    visibleRect: { x, y, width, height },
  });
  const wrong: [FrameInit, string][] = [
    [{ rotation: 45 as 90 }, "rotation is 45"],
    [{ rotation: 360 as 0 }, "rotation is 360"],
    [{ rotation: "90" as unknown as 90 }, 'rotation is "90"'],
    [{ flip: 1 as unknown as boolean }, "flip is 1"],
    [{ colorSpace: { matrix: "bt601" as "bt709" } }, 'colorSpace.matrix is "bt601"'],
    [{ colorSpace: { primaries: "__proto__" as "bt709" } }, "colorSpace.primaries"],
    [{ colorSpace: { transfer: 1 as unknown as "pq" } }, "colorSpace.transfer is 1"],
    [{ colorSpace: { fullRange: "full" as unknown as boolean } }, "colorSpace.fullRange"],
    [{ colorSpace: "bt709" as unknown as { matrix: "bt709" } }, "must be an object"],
    [{ colorSpace: { fulRange: true } as object }, "did you mean"],
    [{ fieldOrder: "interlaced" as "tff" }, "fieldOrder is"],
    [{ chromaLocation: "middle" as "left" }, "chromaLocation is"],
    [rect(0, 0, 33, 16), "not inside"],
    [rect(32, 0, 1, 16), "not inside"],
    [rect(0, 0, 0, 16), "not inside"],
    [rect(-2, 0, 4, 16), "not inside"],
    [rect(0, 0, 1.5, 16), "not inside"],
    [rect(1, 0, 2, 16), "multiple of 2"],
    [rect(0, 3, 2, 2), "multiple of 2"],
    [{ displayWidth: 4 }, "give both or neither"],
    [{ displayHeight: 4 }, "give both or neither"],
    [{ displayWidth: 0, displayHeight: 4 }, "displayWidth is 0"],
    [{ displayWidth: 4, displayHeight: 16_385 }, "displayHeight is 16385"],
    [{ sampleAspectRatio: { num: 0, den: 1 } }, "sampleAspectRatio.num is 0"],
    [{ sampleAspectRatio: { num: 1, den: 65_536 } }, "sampleAspectRatio.den is 65536"],
    [{ sampleAspectRatio: 1.5 as unknown as { num: 1; den: 1 } }, "must be an object"],
    [{ captureTime: NaN }, "captureTime is NaN"],
    [{ captureTimeNs: -1n }, "captureTime is -1 ns"],
    [{ captureTimeNs: 5 as unknown as bigint }, "captureTimeNs is 5"],
    [{ rotatoin: 90 } as FrameInit, "did you mean"],
  ];
  for (const [init, text] of wrong) expectCode(() => frame.publish(init), "INVALID_ARGUMENT", text);
  frame.publish();
  expect(pictureOf(subscriber.nextSync({ timeout: 5000 }))).toEqual(nothing);
});

describe("copies", () => {
  test("are of the visible part where no other is asked for", async () => {
    using publisher = createPublisher({ format: "GRAY8", width: 4, height: 3 });
    using subscriber = await subscribe(publisher);
    using writable = publisher.acquire();
    writable.write(Uint8Array.from({ length: 12 }, (_, index) => index));
    writable.publish({ visibleRect: { x: 1, y: 1, width: 2, height: 2 } });
    using frame = subscriber.nextSync({ timeout: 5000 });
    expect(frame.allocationSize()).toBe(4);
    const part = new Uint8Array(4);
    expect(await frame.copyTo(part)).toEqual([{ offset: 0, stride: 2 }]);
    expect([...part]).toEqual([5, 6, 9, 10]);
    const all = new Uint8Array(12);
    const rect = { x: 0, y: 0, width: frame.codedWidth, height: frame.codedHeight };
    expect(frame.allocationSize({ rect })).toBe(12);
    await frame.copyTo(all, { rect });
    expect([...all]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    // The memory is as it is.
    expect((await frame.toHost())[frame.planes[0]!.stride]).toBe(4);
  });
});
