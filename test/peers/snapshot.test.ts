import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { PixelFormat, Publisher } from "../../mod.ts";
import { parseJsonLines } from "../../scripts/lib/json_lines.ts";
import { planCopy } from "../../src/core/format.ts";
import type { ColourOptions } from "../../src/media/frame_picture.ts";
import { encodeImage } from "../../src/media/image.ts";
import { FFMPEG_NAMES } from "../../src/media/picture.ts";
import { cuframes, ffmpeg, ffprobe, hasFfmpeg, startCuframes, withoutFfmpeg } from "../support/cli.ts";
import { createPublisher, runtimeDirectory, subscribe } from "../support/ring.ts";

const directory = mkdtempSync(join(tmpdir(), "cuframes-snapshot-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const formats = Object.keys(FFMPEG_NAMES) as PixelFormat[];
const env = { CUFRAMES_RUNTIME_DIR: runtimeDirectory };

/** Colour bars in a pixel format, without padding. Its YUV has the matrix and range that are said. */
function testPicture(
  format: PixelFormat,
  width: number,
  height: number,
  matrix: string,
  range: string,
): Uint8Array {
  return ffmpeg([
    ...["-f", "lavfi", "-i", `smptebars=size=${width + width % 2}x${height + height % 2}`, "-frames:v", "1"],
    "-vf",
    `format=rgb24,crop=${width}:${height}:0:0,scale=out_color_matrix=${matrix}:out_range=${range}`,
    ...["-pix_fmt", FFMPEG_NAMES[format], "-f", "rawvideo", "-"],
  ]);
}

/** What FFmpeg's own program makes of it in RGB. */
function converted(
  pixels: Uint8Array,
  format: PixelFormat,
  width: number,
  height: number,
  matrix: string,
  range: string,
): Uint8Array {
  const colours = /RGB|BGR/.test(format)
    ? "null"
    : `scale=in_color_matrix=${matrix}:in_range=${range}:out_range=full:flags=bicubic+accurate_rnd+full_chroma_int`;
  return ffmpeg([
    ...["-f", "rawvideo", "-pix_fmt", FFMPEG_NAMES[format], "-s", `${width}x${height}`, "-i", "-"],
    ...["-vf", `${colours},format=rgb24`, "-f", "rawvideo", "-"],
  ], pixels);
}

/** A picture file as RGB, by FFmpeg's own program. */
function decoded(file: Uint8Array, name: string): Uint8Array {
  const path = join(directory, name);
  writeFileSync(path, file);
  return ffmpeg([
    "-i",
    path,
    "-vf",
    "scale=flags=bicubic+accurate_rnd+full_chroma_int,format=rgb24",
    "-f",
    "rawvideo",
    "-",
  ]);
}

function show(publisher: Publisher, pixels: Uint8Array): void {
  const { format, codedWidth: width, codedHeight: height } = publisher;
  const { planes } = planCopy(format, width, height);
  using frame = publisher.acquire();
  for (const [index, { offset, stride, rowBytes, rows }] of planes.entries()) {
    const plane = frame.planes[index]!;
    for (let row = 0; row < rows; row++) {
      const start = offset + row * stride;
      plane.data.set(pixels.subarray(start, start + rowBytes), row * plane.stride);
    }
  }
  frame.publish({ timestampNs: 1n });
}

/** The largest one of any sample. */
function difference(one: Uint8Array, other: Uint8Array): number {
  expect(one.length).toBe(other.length);
  return one.reduce((most, value, index) => Math.max(most, Math.abs(value - other[index]!)), 0);
}

/** A JPEG's blocks, and the smaller ones of its halved chroma, are 16 pixels wide. */
const BLOCK = 16;

/**
 * The largest difference where a picture is one colour for a block in every direction: edges blur in a JPEG, and in halved
 * chroma, but a flat colour stays. @returns also how many such pixels there are
 */
function flatDifference(one: Uint8Array, other: Uint8Array, width: number): { most: number; flat: number } {
  expect(one.length).toBe(other.length);
  const height = other.length / 3 / width;
  const isFlat = (x: number, y: number) => {
    for (let row = Math.max(0, y - BLOCK); row <= Math.min(height - 1, y + BLOCK); row++) {
      for (let column = Math.max(0, x - BLOCK); column <= Math.min(width - 1, x + BLOCK); column++) {
        for (let channel = 0; channel < 3; channel++) {
          const step = other[(row * width + column) * 3 + channel]! - other[(y * width + x) * 3 + channel]!;
          if (Math.abs(step) > 1) return false;
        }
      }
    }
    return true;
  };
  let [most, flat] = [0, 0];
  for (let y = 0; y < height; y += 2) {
    for (let x = 0; x < width; x += 2) {
      if (!isFlat(x, y)) continue;
      flat++;
      for (let channel = 0; channel < 3; channel++) {
        const at = (y * width + x) * 3 + channel;
        most = Math.max(most, Math.abs(one[at]! - other[at]!));
      }
    }
  }
  return { most, flat };
}

/** What is asked for, and what that must stand for at this size. */
const cases = (
  format: PixelFormat,
  height: number,
): { asked: ColourOptions; matrix: string; range: string }[] =>
  [
    { asked: {}, matrix: height >= 720 ? "bt709" : "bt601", range: format === "GRAY8" ? "full" : "limited" },
    { asked: { matrix: "bt709" as const, range: "full" as const }, matrix: "bt709", range: "full" },
    { asked: { matrix: "bt601" as const, range: "limited" as const }, matrix: "bt601", range: "limited" },
  ].slice(0, /RGB|BGR/.test(format) ? 1 : undefined);

describe.skipIf(!hasFfmpeg)(`a picture has the pixels of FFmpeg's own conversion (${withoutFfmpeg})`, () => {
  for (const format of formats) {
    test.each([[384, 64], [385, 65], [320, 720]])(`${format}, %i×%i`, async (width, height) => {
      using publisher = createPublisher({ format, width, height, memory: "host" });
      using camera = await subscribe(publisher);
      for (const { asked, matrix, range } of cases(format, height)) {
        const pixels = testPicture(format, width, height, matrix, range);
        show(publisher, pixels);
        using frame = await camera.next();
        const expected = converted(pixels, format, width, height, matrix, range);
        const png = decoded(await encodeImage(frame, { format: "png", ...asked }), "one.png");
        // The PNG of a P010 has 16 bits, which are rounded once more here.
        expect(difference(png, expected)).toBeLessThanOrEqual(format === "P010" ? 1 : 0);
        const jpeg = decoded(await encodeImage(frame, { format: "jpeg", ...asked }), "one.jpg");
        const { most: off, flat } = flatDifference(jpeg, expected, width);
        expect(flat).toBeGreaterThan(500);
        expect(off).toBeLessThanOrEqual(3);
      }
    });
  }

  for (const matrix of ["bt601", "bt709"]) {
    test.each(["limited", "full"])(
      `of a source has the colours that its stream states: ${matrix}, %s`,
      async (range) => {
        const clip = join(directory, `${matrix}-${range}.mp4`);
        ffmpeg([
          ...["-f", "lavfi", "-i", "smptebars=size=320x240:rate=25", "-frames:v", "10"],
          ...[
            "-vf",
            `scale=out_color_matrix=${matrix}:out_range=${range}`,
            "-pix_fmt",
            "yuv420p",
            "-c:v",
            "libx264",
          ],
          ...["-colorspace", matrix === "bt709" ? "bt709" : "smpte170m"],
          ...["-color_range", range === "full" ? "pc" : "tv", "-y", clip],
        ]);
        const key = `${matrix}-${range}`;
        const source = startCuframes(
          ["source", clip, "--key", key, "--memory", "host", "--loop", "--realtime"],
          { env },
        );
        try {
          const shot = await cuframes(["snapshot", key, "-", "--format", "png", "--wait", "30s"], { env });
          expect(shot.code).toBe(0);
          const exact = "scale=flags=bicubic+accurate_rnd+full_chroma_int,format=rgb24";
          const frames = ffmpeg(["-i", clip, "-vf", exact, "-f", "rawvideo", "-"]);
          // The bars stand still, but the encoder's noise does not: it is one of the clip's frames.
          const size = 320 * 240 * 3;
          const picture = decoded(shot.stdout, `${key}.png`);
          const differences = Array.from(
            { length: frames.length / size },
            (_, index) => difference(picture, frames.subarray(index * size, (index + 1) * size)),
          );
          expect(Math.min(...differences)).toBe(0);
          const raw = await cuframes(["pipe", key, "--count", "1"], { env });
          expect(ffprobe(raw.stdout).streams[0]).toMatchObject({
            color_range: range === "full" ? "pc" : "tv",
          });
        } finally {
          source.kill("SIGTERM");
          await source.ended;
        }
      },
    );
  }

  test("the program writes the newest frame, whole or not at all", async () => {
    const [width, height] = [321, 181];
    using publisher = createPublisher({ format: "NV12", width, height, memory: "host" });
    const pixels = testPicture("NV12", width, height, "bt709", "full");
    show(publisher, new Uint8Array(pixels.length));
    show(publisher, pixels);
    const path = join(directory, "shot.png");
    writeFileSync(path, "what was there");
    const shot = await cuframes(
      ["snapshot", publisher.key, path, "--matrix", "bt709", "--range", "full", "--json"],
      { env },
    );
    expect(shot).toMatchObject({ code: 0, stderr: "" });
    expect(parseJsonLines(shot.stdout)).toEqual([{
      ...{ key: publisher.key, file: path, format: "png", width, height, sequence: 2, timestampNs: 1 },
      ...{ captureTime: null, corrupt: false, bytes: readFileSync(path).length },
    }]);
    const expected = converted(pixels, "NV12", width, height, "bt709", "full");
    expect(difference(decoded(readFileSync(path), "copy.png"), expected)).toBe(0);

    const jpeg = await cuframes(["snapshot", publisher.key, "-", "--format", "jpg"], { env });
    expect(jpeg.code).toBe(0);
    expect(ffprobe(jpeg.stdout, "image2pipe").streams[0]).toMatchObject({
      codec_name: "mjpeg",
      width,
      height,
    });

    const nowhere = await cuframes(["snapshot", publisher.key, join(directory, "no/such/dir.png")], { env });
    expect(nowhere.code).toBe(1);
    expect(nowhere.stderr).toMatch(/ENOENT.*no\/such/);
    expect(readdirSync(directory).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });
});

test("what is wrong is said, with an exit code of its own", async () => {
  const absent = await cuframes(["snapshot", "nobody", "a.png"], { env });
  expect(absent).toMatchObject({ code: 3 });
  expect(absent.stderr).toContain("nobody");
  expect(await cuframes(["snapshot", "nobody", "a.gif"], { env })).toMatchObject({ code: 2 });
  expect(await cuframes(["snapshot", "nobody", "a.jpg", "--quality", "32"], { env })).toMatchObject({
    code: 2,
  });
  const help = await cuframes(["snapshot", "--help"]);
  expect(help.code).toBe(0);
  expect(new TextDecoder().decode(help.stdout)).toContain("$ cuframes snapshot");
});
