// The pixels of decoded frames, in every format, size and memory layout.

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { outputOfSync } from "../../scripts/lib/process.ts";
import { chroma, luma } from "../../scripts/make_clip.ts";
import { type MediaFrame, openMedia } from "../../media.ts";
import {
  CLIP,
  clip,
  directory,
  expectUsable,
  half,
  hasFfmpeg,
  md5,
  nv12,
  padded,
  type Planes,
  planesFor,
  readAll,
  X264,
} from "../support/media.ts";

describe("pixels", () => {
  it("of odd sizes are exact, and nothing is written beside them", async () => {
    const [width, height] = [161, 121];
    const path = await clip("odd.mkv", { width, height, frames: 3, encoder: "ffv1" });
    let number = 0;
    await readAll(path, {}, (event) => {
      if (event.kind !== "frame") return;
      const target = nv12(width, height);
      event.copyInto(target.planes);
      expect(target.untouched()).toBe(true);
      const expectedLuma = Uint8Array.from(
        { length: width * height },
        (_, at) => luma(at % width, Math.floor(at / width), number, width, height),
      );
      expect(md5(target.pixels(0))).toBe(md5(expectedLuma));
      const pairs = half(width);
      const expectedChroma = Uint8Array.from(
        { length: 2 * pairs * half(height) },
        (_, at) => chroma((at >> 1) % pairs, Math.floor((at >> 1) / pairs), number)[at & 1]!,
      );
      expect(md5(target.pixels(1))).toBe(md5(expectedChroma));
      number++;
    });
    expect(number).toBe(3);
  });

  it.each([[1, 1], [2, 3], [7, 5], [33, 17]])(
    "of a %i×%i picture fit every format",
    async (width, height) => {
      const path = await clip(`tiny-${width}x${height}.nut`, {
        width,
        height,
        frames: 1,
        encoder: "rawvideo",
      });
      const [pairs, pairRows] = [half(width), half(height)];
      const shapes = {
        NV12: [[width, height], [2 * pairs, pairRows]],
        I420: [[width, height], [pairs, pairRows], [pairs, pairRows]],
        P010: [[2 * width, height], [4 * pairs, pairRows]],
        RGBA: [[4 * width, height]],
        BGRX: [[4 * width, height]],
        GRAY8: [[width, height]],
      } as const;
      for (const [format, shape] of Object.entries(shapes)) {
        const target = planesFor(...shape.map(([rowBytes, rows]): [number, number] => [rowBytes!, rows!]));
        await readAll(path, { format: format as keyof typeof shapes }, (event) => {
          if (event.kind === "frame") event.copyInto(target.planes);
        });
        expect(target.untouched()).toBe(true);
        const brightness = luma(0, 0, 0, width, height);
        if (format === "NV12" || format === "I420") {
          expect(target.pixels(0)[0]).toBe(
            brightness,
          );
        }
        if (format === "P010") expect(Math.abs(target.pixels(0)[1]! - brightness)).toBeLessThanOrEqual(1);
        if (format === "RGBA") expect(target.pixels(0)[3]).toBe(255);
      }
    },
  );

  it("keep their range and depth, and the source chooses the format", async () => {
    const whole = (value: number) => (value - 16) * 255 / 219;
    const cases: [
      pixelFormat: string,
      format: string,
      planes: () => Planes,
      value: (luma: number) => number,
    ][] = [
      ["yuv420p10le", "P010", () => padded(16, [320, 120], [320, 60]), (value) => value * 4],
      ["yuv420p10le", "P010", () => padded(13, [320, 120], [320, 60]), (value) => value * 4],
      ["gray", "GRAY8", () => planesFor([160, 120]), whole],
      ["yuv444p", "NV12", () => nv12(160, 120), (value) => value],
      ["yuv420p", "NV12", () => nv12(160, 120), (value) => value],
    ];
    for (const [pixelFormat, format, planes, expected] of cases) {
      const path = await clip(`${pixelFormat}.mkv`, { frames: 1, encoder: "ffv1", pixelFormat });
      const target = planes();
      await using media = await openMedia(path);
      expect(media.format).toBe(format);
      for await (const event of media) if (event.kind === "frame") event.copyInto(target.planes);
      const bytes = target.pixels(0);
      for (const [x, y] of [[0, 0], [100, 60], [159, 119], [33, 90]] as const) {
        const at = y * 160 + x;
        // P010 holds ten bits in the upper part of 16.
        const value = format === "P010" ? (bytes[2 * at]! | bytes[2 * at + 1]! << 8) >> 6 : bytes[at]!;
        expect(Math.abs(value - expected(luma(x, y, 0, 160, 120)))).toBeLessThanOrEqual(4);
      }
      expect(target.untouched()).toBe(true);
    }
  });

  it("of a full-range source are not squeezed", async () => {
    const path = await clip("full.mov", {
      frames: 2,
      encoder: "mjpeg",
      pixelFormat: "yuvj420p",
      encoderOptions: { "q:v": "2" },
    });
    const target = nv12(160, 120);
    const planar = planesFor([160, 120], [80, 60], [80, 60]);
    await using media = await openMedia(path);
    expect([media.format, media.video.colorSpace.fullRange]).toEqual(["NV12", true]);
    for await (const event of media) if (event.kind === "frame") event.copyInto(target.planes);
    await readAll(path, { format: "I420" }, (event) => {
      if (event.kind === "frame") event.copyInto(planar.planes);
    });
    expect(md5(target.pixels(0))).toBe(md5(planar.pixels(0)));
    const interleaved = target.pixels(1);
    expect(md5(interleaved.filter((_, at) => at % 2 === 0))).toBe(md5(planar.pixels(1)));
    expect(md5(interleaved.filter((_, at) => at % 2 === 1))).toBe(md5(planar.pixels(2)));
  });

  it("of an RGB source stay RGB", async () => {
    const path = await clip("rgb.mkv", { frames: 1, encoder: "ffv1", pixelFormat: "bgr0" });
    const target = planesFor([640, 120]);
    const swapped = planesFor([640, 120]);
    await using media = await openMedia(path);
    expect(media.format).toBe("RGBA");
    for await (const event of media) if (event.kind === "frame") event.copyInto(target.planes);
    await readAll(path, { format: "BGRA" }, (event) => {
      if (event.kind === "frame") event.copyInto(swapped.planes);
    });
    const [rgba, bgra] = [target.pixels(0), swapped.pixels(0)];
    expect(rgba.every((value, at) => value === bgra[at % 4 === 0 ? at + 2 : at % 4 === 2 ? at - 2 : at]))
      .toBe(true);
    expect(new Set(rgba).size).toBeGreaterThan(50);
  });

  it("become RGB by the matrix and range that the stream names", async () => {
    const tags = { "x264-params": "threads=1:colormatrix=bt709:range=tv:qp=0", preset: "ultrafast" };
    const path = await clip("bt709.mp4", { frames: 1, encoderOptions: tags });
    const target = planesFor([640, 120]);
    await readAll(path, { format: "RGBA" }, (event) => {
      if (event.kind === "frame") event.copyInto(target.planes);
    });
    const rgba = target.pixels(0);
    // ITU-R BT.709, limited range, at a place whose neighbours are alike.
    const [x, y] = [100, 60];
    const light = (luma(x, y, 0, 160, 120) - 16) * 255 / 219;
    const [blue, red] = chroma(x >> 1, y >> 1, 0).map((value) => (value - 128) * 255 / 224) as [
      number,
      number,
    ];
    const expected = [light + 1.5748 * red, light - 0.1873 * blue - 0.4681 * red, light + 1.8556 * blue];
    const at = (y * 160 + x) * 4;
    expected.forEach((value, channel) =>
      expect(Math.abs(rgba[at + channel]! - value)).toBeLessThanOrEqual(4)
    );
  });

  it("are scaled to the size that is asked for", async () => {
    const target = nv12(80, 60);
    await using media = await openMedia(CLIP, { width: 80, height: 60 });
    expect([media.width, media.height]).toEqual([80, 60]);
    for await (const event of media) {
      if (event.kind !== "frame") continue;
      expect([event.width, event.height, event.scaled]).toEqual([320, 240, true]);
      event.copyInto(target.planes);
      break;
    }
    expect(target.untouched()).toBe(true);
    // The moving square starts at the origin, and is 32 wide.
    expect(Math.abs(target.pixels(0)[4 * 80 + 4]! - 220)).toBeLessThanOrEqual(8);
  });

  it.each([
    ["interlaced", "tff=1"],
    ["of a matrix that libswscale does not know", "colormatrix=YCgCo"],
    ["of reserved primaries and transfer", "colorprim=bt2020:transfer=log100"],
    ["of a transfer that it would map to another", "colorprim=bt2020:transfer=smpte2084"],
  ])("%s are scaled and converted as they are", async (name, tag) => {
    const encode = (params: string) => ({
      frames: 3,
      encoderOptions: { preset: "ultrafast", "x264-params": `threads=1:qp=10:${params}` },
    });
    const path = await clip(`${name}.mp4`, encode(tag));
    const plain = await clip("plain.mp4", encode("tff=0"));
    for (const [width, height, format] of [[80, 61, "NV12"], [160, 120, "RGBA"], [160, 1, "NV12"]] as const) {
      const lumas = async (file: string) => {
        const target = format === "RGBA" ? planesFor([640, 120]) : nv12(width, height);
        let count = 0;
        await readAll(file, { width, height, format }, (event) => {
          if (event.kind !== "frame") return;
          event.copyInto(target.planes);
          count++;
        });
        expect([count, target.untouched()]).toEqual([3, true]);
        return target.pixels(0);
      };
      const [tagged, untagged] = [await lumas(path), await lumas(plain)];
      const off = tagged.map((value, at) => Math.abs(value - untagged[at]!));
      // Fields are filtered apart, and coded in another way.
      expect(off.reduce((sum, one) => sum + one, 0) / off.length).toBeLessThan(6);
    }
  });

  it.skipIf(!hasFfmpeg()).each([
    ["yuv420p", 2, 4],
    ["yuv420p", 8, 0],
    ["yuv420p10le", 2, 2],
    ["yuv444p", 1, 1],
    ["yuv444p10le", 3, 1],
  ])(
    "of %s cropped by %i at the left and %i at the top are the rest (skipped without ffmpeg)",
    async (...crop) => {
      const [pixelFormat, left, top] = crop;
      const whole = await clip(`whole-${pixelFormat}.mp4`, { frames: 3, pixelFormat, encoderOptions: X264 });
      const path = join(directory, `cropped-${crop.join("-")}.mp4`);
      const filter = `h264_metadata=crop_left=${left}:crop_top=${top}`;
      outputOfSync("ffmpeg", ["-v", "error", "-y", "-i", whole, "-c", "copy", "-bsf:v", filter, path]);
      const [width, height] = [160 - left, 120 - top];
      const lumas = async (
        file: string,
        [width, height]: readonly [number, number],
        format: "I420" | "P010",
      ) => {
        const bytes = format === "P010" ? 2 : 1;
        const [pairs, pairRows] = [half(width), half(height)];
        const shapes: [number, number][] = bytes === 2
          ? [[2 * width, height], [4 * pairs, pairRows]]
          : [[width, height], [pairs, pairRows], [pairs, pairRows]];
        const target = padded(16, ...shapes);
        const sizes: [number, number, boolean][] = [];
        await readAll(file, { format }, (event) => {
          if (event.kind !== "frame") return;
          sizes.push([event.width, event.height, event.scaled]);
          event.copyInto(target.planes);
        });
        expect(sizes).toEqual(Array(3).fill([width, height, false]));
        expect(target.untouched()).toBe(true);
        return target.pixels(0);
      };
      for (const format of ["I420", "P010"] as const) {
        const bytes = format === "P010" ? 2 : 1;
        const all = await lumas(whole, [160, 120], format);
        const rest = await lumas(path, [width, height], format);
        // Dithering from ten bits to eight goes by the place in the picture.
        const tolerance = pixelFormat.endsWith("10le") && format === "I420" ? 1 : 0;
        let worst = 0;
        rest.forEach((value, at) => {
          const row = Math.floor(at / (bytes * width)) + top;
          const original = all[row * bytes * 160 + bytes * left + at % (bytes * width)]!;
          worst = Math.max(worst, Math.abs(value - original));
        });
        expect(worst).toBeLessThanOrEqual(tolerance);
      }
      // Whatever becomes of it, nothing is read or written beside it.
      for (const format of ["NV12", "RGBA"] as const) {
        const target = format === "RGBA" ? planesFor([4 * 81, 61]) : nv12(81, 61);
        await readAll(path, { width: 81, height: 61, format }, (event) => {
          if (event.kind === "frame") event.copyInto(target.planes);
        });
        expect(target.untouched()).toBe(true);
      }
    },
  );

  it("keep their place through a change of size: scaled to the first, and marked", async () => {
    const encoderOptions = { ...X264, bf: "2" };
    const large = await clip("large.h264", { width: 320, height: 240, frames: 25, encoderOptions });
    const small = await clip("small.h264", { width: 160, height: 120, frames: 25, encoderOptions });
    const path = join(directory, "sizes.h264");
    await writeFile(
      path,
      Buffer.concat([await readFile(large), await readFile(small), await readFile(large)]),
    );
    const squares: number[] = [];
    const read = await readAll(path, {}, (event) => {
      if (event.kind !== "frame") return;
      const target = nv12(320, 240);
      event.copyInto(target.planes);
      expect(target.untouched()).toBe(true);
      squares.push(target.pixels(0)[8 * 320 + 8]!);
    });
    expectUsable(read);
    expect(read.packets).toHaveLength(75);
    expect(read.frames.map((frame) => [frame.width, frame.height, frame.scaled])).toEqual([
      ...Array(25).fill([320, 240, false]),
      ...Array(25).fill([160, 120, true]),
      ...Array(25).fill([320, 240, false]),
    ]);
    for (const first of [0, 25, 50]) expect(Math.abs(squares[first]! - 220)).toBeLessThanOrEqual(10);
  });

  it("are refused to planes that cannot hold them, and after the frame's turn", async () => {
    await using media = await openMedia(CLIP);
    const { planes } = nv12(320, 240);
    let kept: MediaFrame | undefined;
    for await (const event of media) {
      if (event.kind !== "frame") continue;
      if (kept) break;
      kept = event;
      const [first, second] = planes as [Planes["planes"][0], Planes["planes"][0]];
      for (
        const wrong of [
          [],
          [first],
          [first, second, second],
          [{ ...first, stride: 319 }, second],
          [{ ...first, stride: 320.5 }, second],
          [{ ...first, rows: 239 }, second],
          [{ ...first, data: first.data.subarray(0, 333 * 239 + 319) }, second],
        ]
      ) {
        expect(() => event.copyInto(wrong)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
      }
      event.copyInto(planes);
    }
    expect(() => kept!.copyInto(planes)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
  });
});
