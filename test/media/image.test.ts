// Picture files of frames that say what they are: turned, cut out, with square pixels, in their own colours.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type FrameInit, Publisher, Subscriber } from "../../mod.ts";
import { openMedia } from "../../media.ts";
import { encodeImage, type ImageOptions } from "../../src/media/image.ts";
import { directory } from "../support/media.ts";
import { orientations, turnedSamples } from "../support/orientation.ts";

let keys = 0;

/** A picture file of a frame that is published with these bytes, read as RGBA. */
async function shot(
  { bytes, init, options, ...shape }: {
    width: number;
    height: number;
    format: "RGBA" | "NV12" | "P010" | "GRAY8";
    bytes: Uint8Array;
    init: FrameInit;
    options?: Partial<ImageOptions>;
  },
): Promise<{ width: number; height: number; pixels: Uint8Array; file: Uint8Array }> {
  const key = `image${keys++}`;
  using publisher = Publisher.create({ key, runtimeDirectory: directory, memory: "host", ...shape });
  using camera = await Subscriber.connect(key, { runtimeDirectory: directory });
  using writable = publisher.acquire();
  writable.write(bytes);
  writable.publish(init);
  using frame = await camera.next();
  const file = await encodeImage(frame, { format: "png", ...options });
  const path = join(directory, `${key}.${options?.format ?? "png"}`);
  writeFileSync(path, file);
  await using media = await openMedia(path, { format: "RGBA" });
  for await (const event of media) {
    if (event.kind !== "frame") continue;
    const { width, height } = event;
    const pixels = new Uint8Array(4 * width * height);
    event.copyInto([{ data: pixels, stride: 4 * width, rows: height }]);
    return { width, height, pixels, file };
  }
  throw new Error("no picture");
}

/** Pixels that differ from each other. */
const pattern = (size: number) =>
  Uint8Array.from({ length: size }, (_, index) => (index * 37 + (index >> 8)) & 255);

describe("a picture file", () => {
  test.each(orientations)("is upright: %o", async (orientation) => {
    const [width, height] = [6, 3];
    const bytes = pattern(4 * width * height).map((value, index) => index % 4 === 3 ? 255 : value);
    const got = await shot({ format: "RGBA", width, height, bytes, init: orientation });
    const expected = turnedSamples(bytes, width, 4, orientation);
    expect([got.width, got.height]).toEqual([expected.width, expected.height]);
    expect(got.pixels).toEqual(expected.samples);
    const asStored = await shot({
      ...{ format: "RGBA", width, height, bytes, init: orientation, options: { asStored: true } },
    });
    expect([asStored.width, asStored.height]).toEqual([width, height]);
    expect(asStored.pixels).toEqual(bytes);
  });

  test("is of the visible part", async () => {
    const [width, height] = [6, 4];
    const bytes = pattern(4 * width * height).map((value, index) => index % 4 === 3 ? 255 : value);
    const init = { visibleRect: { x: 1, y: 2, width: 3, height: 2 } };
    const got = await shot({ format: "RGBA", width, height, bytes, init });
    expect([got.width, got.height]).toEqual([3, 2]);
    const row = (y: number) => [...bytes.subarray(4 * (y * width + 1), 4 * (y * width + 4))];
    expect([...got.pixels]).toEqual([...row(2), ...row(3)]);
  });

  test("has square pixels, or says in its header that they are not", async () => {
    const bytes = new Uint8Array(64 * 48 * 3 / 2).fill(128);
    const anamorphic = { sampleAspectRatio: { num: 16, den: 11 } };
    const sizes: [FrameInit, [number, number]][] = [
      [anamorphic, [93, 48]],
      [{ sampleAspectRatio: { num: 11, den: 16 } }, [64, 70]],
      [{ ...anamorphic, rotation: 90 }, [48, 93]],
      [{ ...anamorphic, rotation: 180, flip: true }, [93, 48]],
      [{ displayWidth: 32, displayHeight: 24 }, [32, 24]],
      [{ displayWidth: 24, displayHeight: 32, rotation: 270 }, [24, 32]],
    ];
    for (const [init, size] of sizes) {
      for (const format of ["png", "jpeg"] as const) {
        const got = await shot({ format: "NV12", width: 64, height: 48, bytes, init, options: { format } });
        expect([got.width, got.height], JSON.stringify(init)).toEqual(size);
      }
    }
    const { width, height, file } = await shot({
      ...{ format: "NV12", width: 64, height: 48, bytes, init: anamorphic },
      options: { format: "jpeg", asStored: true },
    });
    expect([width, height]).toEqual([64, 48]);
    // JFIF's header: no unit, and the shape of a pixel.
    expect([...file.subarray(6, 18)]).toEqual([
      ...[...new TextEncoder().encode("JFIF"), 0, 1, 2, 0],
      ...[0, 16, 0, 11],
    ]);
  });
});

/** Of each matrix, ITU-T H.273's KR and KB. */
const matrices = {
  "bt709": [0.2126, 0.0722],
  "fcc": [0.30, 0.11],
  "bt470bg": [0.299, 0.114],
  "smpte170m": [0.299, 0.114],
  "smpte240m": [0.212, 0.087],
  "bt2020-ncl": [0.2627, 0.0593],
} as const;

/** What 8-bit samples stand for. */
function rgbOf(
  [y, u, v]: readonly number[],
  [kr, kb]: readonly [number, number],
  fullRange: boolean,
): number[] {
  const luma = fullRange ? y! / 255 : (y! - 16) / 219;
  const [pb, pr] = [u!, v!].map((value) => (value - 128) / (fullRange ? 255 : 224));
  const red = luma + 2 * (1 - kr) * pr!;
  const blue = luma + 2 * (1 - kb) * pb!;
  const green = (luma - kr * red - kb * blue) / (1 - kr - kb);
  return [red, green, blue].map((value) => Math.max(0, Math.min(255, value * 255)));
}

const colours = [[120, 90, 170], [170, 150, 80], [81, 200, 110], [60, 128, 128], [200, 110, 140]] as const;

describe("colours are those that the frame says", () => {
  /** The RGB of an NV12 picture of one colour. */
  async function converted(
    [y, u, v]: readonly [number, number, number],
    init: FrameInit,
    options: Partial<ImageOptions> = {},
    height = 16,
  ): Promise<number[]> {
    const bytes = new Uint8Array(16 * height * 3 / 2).fill(y);
    for (let at = 16 * height; at < bytes.length; at += 2) bytes.set([u, v], at);
    const { pixels } = await shot({ format: "NV12", width: 16, height, bytes, init, options });
    return [...pixels.subarray(4 * 100, 4 * 100 + 3)];
  }

  const off = (one: readonly number[], other: readonly number[]) =>
    Math.max(...one.map((value, index) => Math.abs(value - other[index]!)));

  test.each(Object.entries(matrices))("%s", async (name, constants) => {
    const matrix = name as keyof typeof matrices;
    for (const fullRange of [false, true]) {
      for (const colour of colours) {
        const got = await converted(colour, { colorSpace: { matrix, fullRange } });
        expect(off(got, rgbOf(colour, constants, fullRange)), `${name} ${fullRange} ${colour}`)
          .toBeLessThanOrEqual(1.5);
      }
    }
  });

  test("unless others are asked for, or it says none, or none that is known", async () => {
    const colour = colours[0];
    const says = { colorSpace: { matrix: "bt709", fullRange: true } } as const;
    const asked = await converted(colour, says, { matrix: "smpte240m", range: "limited" });
    expect(off(asked, rgbOf(colour, matrices.smpte240m, false))).toBeLessThanOrEqual(1.5);
    const fcc = await converted(colour, says, { matrix: "fcc" });
    expect(off(fcc, rgbOf(colour, matrices.fcc, true))).toBeLessThanOrEqual(1.5);
    for (const init of [{}, { colorSpace: { matrix: "ycgco" } }] as const) {
      for (const [height, matrix] of [[16, "smpte170m"], [720, "bt709"]] as const) {
        const got = await converted(colour, init, {}, height);
        expect(off(got, rgbOf(colour, matrices[matrix], false))).toBeLessThanOrEqual(1.5);
      }
    }
  });
});
