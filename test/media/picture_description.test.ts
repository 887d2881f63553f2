// What a source's frames say of their pictures, from streams and containers that say it.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Buffer } from "node:buffer";
import { describe, expect, test } from "vitest";
import { type MediaFrame, openMedia, type OpenMediaOptions } from "../../media.ts";
import { orientationOf } from "../../src/media/picture_description.ts";
import { ffmpeg } from "../support/cli.ts";
import { directory, hasFfmpeg } from "../support/media.ts";

/** The first frame of a file. */
async function firstFrame(path: string, options?: OpenMediaOptions): Promise<MediaFrame> {
  await using media = await openMedia(path, options);
  for await (const event of media) if (event.kind === "frame") return event;
  throw new Error(`${path} has no frame`);
}

/** A clip of FFmpeg's encoder. */
function encoded(name: string, args: readonly string[], size = "64x48"): string {
  const path = join(directory, name);
  ffmpeg([
    ...["-f", "lavfi", "-i", `testsrc2=s=${size}:r=25`, "-frames:v", "3", "-pix_fmt", "yuv420p"],
    ...[...args, "-y", path],
  ]);
  return path;
}

/** The clip with another matrix in its track header: a, b, c, d as whole numbers. */
function turned(path: string, [a, b, c, d]: readonly [number, number, number, number]): string {
  const bytes = readFileSync(path);
  const header = bytes.indexOf("tkhd");
  // Behind the type: version and flags, two times, id, reserved, duration, 8 reserved bytes, four fields of 2 bytes.
  const at = header + 4 + 4 + 5 * 4 + 8 + 4 * 2;
  for (const [index, value] of [a, b, 0, c, d].entries()) bytes.writeInt32BE(value * 65536, at + 4 * index);
  const result = join(directory, `turned${[a, b, c, d].join("_")}.mp4`);
  writeFileSync(result, bytes);
  return result;
}

/** Display matrices, and what they do in WebCodecs' words. */
const orientations = [
  [[1, 0, 0, 1], { rotation: 0, flip: false }],
  [[0, 1, -1, 0], { rotation: 90, flip: false }],
  [[-1, 0, 0, -1], { rotation: 180, flip: false }],
  [[0, -1, 1, 0], { rotation: 270, flip: false }],
  [[-1, 0, 0, 1], { rotation: 0, flip: true }],
  [[0, 1, 1, 0], { rotation: 90, flip: true }],
  [[1, 0, 0, -1], { rotation: 180, flip: true }],
  [[0, -1, -1, 0], { rotation: 270, flip: true }],
] as const;

describe("a display matrix", () => {
  const bytes = (a: number, b: number, c: number, d: number) => {
    const matrix = Buffer.alloc(36);
    for (const [index, value] of [a, b, 0, c, d].entries()) matrix.writeInt32LE(value, 4 * index);
    return matrix;
  };

  test.each(orientations)("%j turns a picture as %j", (matrix, expected) => {
    const [a, b, c, d] = matrix;
    expect(orientationOf(bytes(a * 65536, b * 65536, c * 65536, d * 65536))).toEqual(expected);
    // Whatever its scale.
    expect(orientationOf(bytes(a * 3, b * 3, c * 7, d * 7))).toEqual(expected);
  });

  test("is taken to the nearest right angle, and as none where it is none", () => {
    const degrees = (angle: number) => {
      const [cos, sin] = [Math.cos(angle * Math.PI / 180), Math.sin(angle * Math.PI / 180)];
      return bytes(cos * 65536 | 0, sin * 65536 | 0, -sin * 65536 | 0, cos * 65536 | 0);
    };
    for (
      const [angle, rotation] of [[44, 0], [46, 90], [134, 90], [136, 180], [226, 270], [316, 0]] as const
    ) {
      expect(orientationOf(degrees(angle)), `${angle}°`).toEqual({ rotation, flip: false });
    }
    expect(orientationOf(bytes(0, 0, 0, 0))).toEqual({ rotation: 0, flip: false });
    expect(orientationOf(Buffer.alloc(4))).toEqual({ rotation: 0, flip: false });
  });
});

describe.skipIf(!hasFfmpeg())("a frame says", () => {
  test.each(orientations)("how its container turns it: %j", async (matrix, expected) => {
    const { picture } = await firstFrame(turned(encoded("upright.mp4", ["-c:v", "libx264"]), matrix));
    expect(picture).toMatchObject(expected);
  });

  const fields = (order: string) => ["-vf", `setfield=${order}`, "-flags", "+ildct+ilme", "-c:v", "libx264"];
  const x264 = (params: string) => ["-c:v", "libx264", "-x264-params", params];
  test.each([
    [["-colorspace", "smpte240m", "-color_primaries", "smpte240m", "-color_trc", "smpte240m"], {
      ...{ primaries: "smpte240m", transfer: "smpte240m", matrix: "smpte240m", fullRange: false },
    }],
    [["-colorspace", "fcc", "-color_range", "pc"], {
      ...{ primaries: null, transfer: null, matrix: "fcc", fullRange: true },
    }],
    [[
      "-colorspace",
      "bt709",
      "-color_primaries",
      "bt709",
      "-color_trc",
      "iec61966-2-1",
      "-color_range",
      "tv",
    ], {
      ...{ primaries: "bt709", transfer: "iec61966-2-1", matrix: "bt709", fullRange: false },
    }],
    [["-colorspace", "bt2020nc", "-color_primaries", "bt2020", "-color_trc", "arib-std-b67"], {
      ...{ primaries: "bt2020", transfer: "hlg", matrix: "bt2020-ncl", fullRange: false },
    }],
    [["-colorspace", "ycgco"], { primaries: null, transfer: null, matrix: "ycgco", fullRange: false }],
    [[], { primaries: null, transfer: null, matrix: null, fullRange: null }],
  ])("its colours: %j", async (args, colorSpace) => {
    const path = encoded("colours.mp4", ["-c:v", "libx264", ...args]);
    expect((await firstFrame(path)).picture.colorSpace).toEqual(colorSpace);
    // Of samples that are converted, what they are then.
    expect((await firstFrame(path, { format: "RGBA" })).picture.colorSpace).toEqual({
      ...colorSpace,
      ...{ matrix: "rgb", fullRange: true },
    });
    expect((await firstFrame(path, { format: "GRAY8" })).picture).toMatchObject({
      colorSpace: { matrix: null, fullRange: true },
      chromaLocation: null,
    });
  });

  test("the colours that its RGB has become", async () => {
    for (const [size, matrix] of [["64x48", "smpte170m"], ["64x720", "bt709"]] as const) {
      const path = join(directory, "rgb.png");
      ffmpeg(["-f", "lavfi", "-i", `testsrc2=s=${size}`, "-frames:v", "1", "-pix_fmt", "rgb24", "-y", path]);
      const { picture } = await firstFrame(path, { format: "NV12" });
      expect(picture.colorSpace).toMatchObject({ matrix, fullRange: false });
    }
  });

  test("the shape of its pixels: the container's, else the codec's, and that of a scaled one", async () => {
    const stream = encoded("sar.h264", ["-vf", "setsar=59/54", "-c:v", "libx264"]);
    expect((await firstFrame(stream)).picture.sampleAspectRatio).toEqual({ num: 59, den: 54 });
    const file = join(directory, "aspect.mp4");
    // The container says 2:1 as the shape of the whole picture, 64×48.
    ffmpeg(["-i", stream, "-c", "copy", "-aspect", "2:1", "-y", file]);
    expect((await firstFrame(file)).picture.sampleAspectRatio).toEqual({ num: 3, den: 2 });
    expect((await firstFrame(file, { width: 128, height: 48 })).picture.sampleAspectRatio).toEqual({
      ...{ num: 3, den: 4 },
    });
    const plain = encoded("plain.mp4", ["-c:v", "libx264"]);
    expect((await firstFrame(plain, { width: 96 })).picture.sampleAspectRatio).toEqual({ num: 2, den: 3 });
  });

  test.each(
    [
      ["tff", fields("tff")],
      ["bff", fields("bff")],
      ["progressive", x264("keyint=5")],
    ] as const,
  )("the order of its fields: %s", async (order, args) => {
    expect((await firstFrame(encoded("fields.h264", args))).picture.fieldOrder).toBe(order);
  });

  test.each([[0, "left"], [1, "center"], [2, "topleft"], [3, "top"]] as const)(
    "where its chroma lies: %i, %s",
    async (type, location) => {
      const path = encoded("chroma.h264", x264(`chromaloc=${type}`));
      const { picture } = await firstFrame(path);
      expect(picture.chromaLocation).toBe(location);
      // A conversion puts it elsewhere.
      const scaled = await firstFrame(path, { width: 32, height: 24 });
      expect(scaled.picture.chromaLocation).toBe(null);
    },
  );
});
