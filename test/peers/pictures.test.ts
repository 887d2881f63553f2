// What `snapshot` and `pipe` write of files that are turned, anamorphic, interlaced or in rare colours, beside FFmpeg.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { root } from "../../scripts/toolchain.mjs";
import { cuframes, ffmpeg, ffprobe, hasFfmpeg, startCuframes, withoutFfmpeg } from "../support/cli.ts";
import { runtimeDirectory } from "../support/ring.ts";

const directory = mkdtempSync(join(tmpdir(), "cuframes-pictures-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const env = { CUFRAMES_RUNTIME_DIR: runtimeDirectory };
let keys = 0;

/** The first frame of a file as `pipe` and `snapshot` write it. */
async function written(
  path: string,
  pipeArgs: readonly string[] = [],
): Promise<{ piped: Uint8Array; header: string; png: Uint8Array }> {
  const key = `pictures${keys++}`;
  const source = startCuframes(["source", path, "--key", key, "--memory", "host", "--loop", "--realtime"], {
    env,
  });
  try {
    const [pipe, shot] = await Promise.all([
      cuframes(["pipe", key, "--ordered", "--count", "3", "--wait", "30s", ...pipeArgs], { env }),
      cuframes(["snapshot", key, "-", "--format", "png", "--wait", "30s"], { env }),
    ]);
    expect([pipe.code, shot.code]).toEqual([0, 0]);
    const header = new TextDecoder().decode(pipe.stdout.subarray(0, Math.max(0, pipe.stdout.indexOf(10))));
    return { piped: pipe.stdout, header, png: shot.stdout };
  } finally {
    source.kill("SIGTERM");
    await source.ended;
  }
}

/** All frames of a file, as FFmpeg's program decodes and turns them. */
function decoded(path: string, filter: string): Uint8Array {
  return ffmpeg(["-i", path, "-vf", filter, "-f", "rawvideo", "-"]);
}

/** The least of the largest differences from any of the frames. */
function nearest(picture: Uint8Array, frames: Uint8Array): number {
  let least = 255;
  for (let start = 0; start + picture.length <= frames.length; start += picture.length) {
    least = Math.min(
      least,
      picture.reduce((most, value, at) => Math.max(most, Math.abs(value - frames[start + at]!)), 0),
    );
  }
  return least;
}

const EXACT = "scale=flags=bicubic+accurate_rnd+full_chroma_int,format=rgb24";

describe.skipIf(!hasFfmpeg)(`as FFmpeg's program shows them (${withoutFfmpeg})`, () => {
  test.each(
    [
      ["90°", [0, 1, -1, 0]],
      ["180°", [-1, 0, 0, -1]],
      ["270°", [0, -1, 1, 0]],
      ["a mirror", [-1, 0, 0, 1]],
    ] as const,
  )("a file turned by %s", async (name, [a, b, c, d]) => {
    const upright = join(directory, "upright.mp4");
    ffmpeg([
      ...["-f", "lavfi", "-i", "testsrc2=s=64x48:r=25", "-frames:v", "5", "-c:v", "libx264"],
      ...["-pix_fmt", "yuv420p", "-y", upright],
    ]);
    const bytes = readFileSync(upright);
    const at = bytes.indexOf("tkhd") + 4 + 4 + 5 * 4 + 8 + 4 * 2;
    for (const [index, value] of [a, b, 0, c, d].entries()) bytes.writeInt32BE(value * 65536, at + 4 * index);
    const path = join(directory, `${name}.mp4`);
    writeFileSync(path, bytes);

    const { piped, png } = await written(path, ["--format", "rawvideo"]);
    const shownAs = a === 0 ? [48, 64] : [64, 48];
    expect(ffprobe(png, "image2pipe").streams[0]).toMatchObject({ width: shownAs[0], height: shownAs[1] });
    const picture = ffmpeg(["-f", "image2pipe", "-i", "-", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"], png);
    expect(nearest(picture, decoded(path, EXACT))).toBe(0);
    const size = 64 * 48 * 3 / 2;
    expect(piped.length).toBe(3 * size);
    expect(nearest(piped.subarray(0, size), decoded(path, "format=nv12"))).toBe(0);
  });

  test("a file in the colours of SMPTE 240M or FCC", async () => {
    for (const matrix of ["smpte240m", "fcc"]) {
      const path = join(directory, `${matrix}.mp4`);
      ffmpeg([
        ...[
          "-f",
          "lavfi",
          "-i",
          "smptebars=s=64x48:r=25",
          "-frames:v",
          "5",
          "-vf",
          `scale=out_color_matrix=${matrix}`,
        ],
        ...["-pix_fmt", "yuv420p", "-c:v", "libx264", "-qp", "0", "-colorspace", matrix, "-y", path],
      ]);
      const { png } = await written(path);
      const picture = ffmpeg(
        ["-f", "image2pipe", "-i", "-", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"],
        png,
      );
      const exact = `scale=in_color_matrix=${matrix}:flags=bicubic+accurate_rnd+full_chroma_int,format=rgb24`;
      expect(nearest(picture, decoded(path, exact))).toBe(0);
    }
  });
});

const CASES = join(root, "../shared/cases");
const there = (name: string) => existsSync(join(CASES, name));

describe("files of public reports", () => {
  test.skipIf(!there("interlaced.ts"))("interlaced.ts", async () => {
    const { header } = await written(join(CASES, "interlaced.ts"));
    expect(header).toMatch(/^YUV4MPEG2 W320 H240 F25:1 It A1:1 C420mpeg2 /);
  });

  test.skipIf(!there("sar.mp4"))("sar.mp4", async () => {
    const { header, png } = await written(join(CASES, "sar.mp4"));
    expect(header).toMatch(/^YUV4MPEG2 W320 H240 F25:1 Ip A16:11 C420mpeg2 /);
    expect(ffprobe(png, "image2pipe").streams[0]).toMatchObject({ width: 465, height: 240 });
  });

  test.skipIf(!there("smpte240m.mp4"))("smpte240m.mp4", async () => {
    const path = join(CASES, "smpte240m.mp4");
    const { png } = await written(path);
    const picture = ffmpeg(["-f", "image2pipe", "-i", "-", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"], png);
    const exact = "scale=in_color_matrix=smpte240m:flags=bicubic+accurate_rnd+full_chroma_int,format=rgb24";
    expect(nearest(picture, decoded(path, exact))).toBeLessThanOrEqual(1);
  });
});
