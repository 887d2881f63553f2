// Raw video for other programs.

import { readFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import * as av from "node-av";
import { describe, expect, it } from "vitest";
import { PIXEL_FORMATS } from "../../src/core/constants.ts";
import { planCopy } from "../../src/core/format.ts";
import { type RawVideoOptions, RawVideoWriter } from "../../src/media/raw_video.ts";
import { type FrameInit, type PixelFormat, Publisher, Subscriber } from "../../mod.ts";
import { directory, stored } from "../support/media.ts";
import { orientations, type Turn, turnedSamples } from "../support/orientation.ts";

describe("raw video", () => {
  it("with timestamps keeps what was left out, however long, and goes on behind a clock that starts anew", async () => {
    using publisher = Publisher.create({
      key: "raw",
      runtimeDirectory: directory,
      width: 16,
      height: 16,
      memory: "host",
    });
    using camera = await Subscriber.connect("raw", { runtimeDirectory: directory });
    const path = join(directory, "raw.nut");
    const file = await open(path, "w");
    let writer: RawVideoWriter | undefined;
    for (const seconds of [0, 0.04, 12, 12.04, 7200, 5, 5.04]) {
      publisher.acquire().publish({
        timestampNs: BigInt(seconds * 1000) * 1_000_000n,
        durationNs: 40_000_000n,
      });
      using frame = await camera.next();
      writer ??= await RawVideoWriter.create(file.fd, frame, {
        format: "nut",
        frameRate: { num: 25, den: 1 },
      });
      await writer.load(frame);
      await writer.write();
    }
    await writer?.close();
    await file.close();
    const { packets } = await stored(path, 1000);
    expect(packets.map(({ pts }) => Number(pts))).toEqual([
      0,
      40,
      12_000,
      12_040,
      7_200_000,
      7_200_040,
      7_200_080,
    ]);
  });
});

describe("frames that say what they are", () => {
  let keys = 0;

  /** What is written of frames that are published with random pixels. */
  async function written(
    shape: { width: number; height: number; format?: PixelFormat },
    inits: readonly FrameInit[],
    options: Partial<RawVideoOptions> & Pick<RawVideoOptions, "format">,
  ): Promise<{ file: Uint8Array; pixels: Uint8Array[]; path: string }> {
    const key = `said${keys++}`;
    using publisher = Publisher.create({ key, runtimeDirectory: directory, memory: "host", ...shape });
    using camera = await Subscriber.connect(key, { runtimeDirectory: directory });
    const path = join(directory, key);
    const file = await open(path, "w");
    const pixels: Uint8Array[] = [];
    let writer: RawVideoWriter | undefined;
    for (const init of inits) {
      using writable = publisher.acquire();
      const bytes = new Uint8Array(writable.read().length);
      for (let at = 0; at < bytes.length; at += 65_536) {
        crypto.getRandomValues(bytes.subarray(at, at + 65_536));
      }
      writable.write(bytes);
      writable.publish(init);
      using frame = await camera.next();
      const visible = new Uint8Array(frame.allocationSize());
      await frame.copyTo(visible);
      pixels.push(visible);
      writer ??= await RawVideoWriter.create(file.fd, frame, { frameRate: { num: 25, den: 1 }, ...options });
      await writer.load(frame);
      await writer.write();
    }
    await writer?.close();
    await file.close();
    return { file: readFileSync(path), pixels, path };
  }

  /** A picture's planes, turned one by one. */
  function turned(
    format: PixelFormat,
    pixels: Uint8Array,
    width: number,
    height: number,
    turn: Turn,
  ): number[] {
    return planCopy(format, width, height).planes.flatMap(({ offset, rowBytes, rows }, index) => {
      const { bytes } = PIXEL_FORMATS[format].planes[index]!;
      const plane = pixels.subarray(offset, offset + rowBytes * rows);
      return [...turnedSamples(plane, rowBytes / bytes, bytes, turn).samples];
    });
  }

  for (const format of Object.keys(PIXEL_FORMATS) as PixelFormat[]) {
    it.each(orientations)(`are written upright, their visible part: ${format}, %o`, async (turn) => {
      const visibleRect = { x: 2, y: 4, width: 8, height: 6 };
      const { file, pixels } = await written({ width: 16, height: 12, format }, [{ ...turn, visibleRect }], {
        format: "rawvideo",
      });
      expect([...file]).toEqual(turned(format, pixels[0]!, 8, 6, turn));
    });
  }

  it("of odd sizes, too", async () => {
    for (const turn of orientations) {
      const { file, pixels } = await written({ width: 7, height: 5, format: "I420" }, [turn], {
        format: "rawvideo",
      });
      expect([...file]).toEqual(turned("I420", pixels[0]!, 7, 5, turn));
    }
  });

  it("are written as they are where that is asked for", async () => {
    const turn = { rotation: 90, flip: true } as const;
    const { file, pixels } = await written({ width: 8, height: 6 }, [turn], {
      format: "rawvideo",
      asStored: true,
    });
    expect([...file]).toEqual([...pixels[0]!]);
  });

  it("have the size of the first one, whichever way the others are turned", async () => {
    const inits = ([0, 90, 180, 270] as const).map((rotation) => ({ rotation }));
    const { file, pixels } = await written({ width: 8, height: 8 }, inits, { format: "rawvideo" });
    expect([...file]).toEqual(
      pixels.flatMap((picture, index) => turned("NV12", picture, 8, 8, { ...inits[index]!, flip: false })),
    );
    const wide = await written({ width: 8, height: 6 }, inits, { format: "rawvideo" });
    expect(wide.file.length).toBe(4 * 8 * 6 * 3 / 2);
    expect([...wide.file.subarray(0, 72)]).toEqual([...wide.pixels[0]!]);
    expect([...wide.file.subarray(144, 216)]).toEqual(
      turned("NV12", wide.pixels[2]!, 8, 6, { rotation: 180, flip: false }),
    );
  });

  const headers: [FrameInit, RegExp][] = [
    [{}, /^YUV4MPEG2 W64 H48 F25:1 Ip A1:1 C420jpeg /],
    [{ sampleAspectRatio: { num: 59, den: 54 } }, / A59:54 /],
    [{ sampleAspectRatio: { num: 59, den: 54 }, rotation: 90 }, / W48 H64 F25:1 Ip A54:59 /],
    [{ sampleAspectRatio: { num: 59, den: 54 }, rotation: 180 }, / W64 H48 F25:1 Ip A59:54 /],
    [{ displayWidth: 128, displayHeight: 48 }, / A2:1 /],
    [{ fieldOrder: "tff" }, / It /],
    [{ fieldOrder: "bff" }, / Ib /],
    [{ fieldOrder: "progressive" }, / Ip /],
    // The last row is the first one then: it is of the other field.
    [{ fieldOrder: "tff", rotation: 180 }, / Ib /],
    [{ fieldOrder: "tff", flip: true }, / It /],
    [{ fieldOrder: "tff", rotation: 90 }, / Ip /],
    [{ chromaLocation: "left" }, / C420mpeg2 /],
    [{ chromaLocation: "topleft" }, / C420paldv /],
    [{ chromaLocation: "center", rotation: 270 }, / C420jpeg /],
    [{ chromaLocation: "left", rotation: 180, flip: true }, / C420mpeg2 /],
    [{ chromaLocation: "left", flip: true }, / C420jpeg /],
    [{ chromaLocation: "bottomleft", rotation: 90 }, / C420paldv /],
    [{ colorSpace: { fullRange: true } }, / XCOLORRANGE=FULL/],
    [{ colorSpace: { fullRange: false } }, / XCOLORRANGE=LIMITED/],
    [{ visibleRect: { x: 2, y: 2, width: 30, height: 20 } }, /^YUV4MPEG2 W30 H20 /],
  ];
  it.each(headers)("are what the header of yuv4mpeg says: %o", async (init, header) => {
    const { file } = await written({ width: 64, height: 48 }, [init], { format: "yuv4mpeg" });
    expect(new TextDecoder().decode(file.subarray(0, file.indexOf(10)))).toMatch(header);
  });

  it("are what the header of nut says", async () => {
    const init: FrameInit = {
      sampleAspectRatio: { num: 59, den: 54 },
      fieldOrder: "bff",
      chromaLocation: "topleft",
    };
    const { path } = await written({ width: 64, height: 48 }, [init], { format: "nut" });
    const format = new av.FormatContext();
    format.allocContext();
    av.FFmpegError.throwIfError(await format.openInput(path), path);
    const [stream] = format.streams;
    const { num, den } = stream!.sampleAspectRatio;
    expect([num, den]).toEqual([59, 54]);
    expect(stream!.metadata!.getAll()).toMatchObject({ field_order: "bb", chroma_location: "topleft" });
    await format.closeInput();
  });
});
