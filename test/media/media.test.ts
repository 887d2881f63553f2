import { createHash } from "node:crypto";
import { cp, mkdir, mkdtemp, open, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import type { AddressInfo } from "node:net";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import * as av from "node-av";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { outputOf, outputOfSync, succeedsSync } from "../../scripts/lib/process.ts";
import { chroma, type ClipOptions, luma, makeClip } from "../../scripts/make_clip.ts";
import {
  HeaderUnits,
  joinUnits,
  leadingUnits,
  parameterSets,
  withParameterSets,
} from "../../src/core/annexb.ts";
import {
  type MediaEvent,
  type MediaFrame,
  type MediaPacket,
  openMedia,
  type OpenMediaOptions,
  Recorder,
  type RecorderPacket,
} from "../../media.ts";
import { redact } from "../../src/media/node_av.ts";
import { RawVideoWriter } from "../../src/media/raw_video.ts";
import { SegmentRecorder } from "../../src/media/segments.ts";
import { Pace, Timeline } from "../../src/media/time/timeline.ts";
import { timescaleOf } from "../../src/core/timescale.ts";
import { CODEC_IDS } from "../../src/core/codec.ts";
import { Publisher, Subscriber } from "../../mod.ts";
import { thisRuntime } from "../support/processes.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url).href);
const CLIP = join(ROOT, "test/fixtures/clip.mp4");
const FOOTAGE = join(ROOT, "../shared/media");
const BOTTLES = join(FOOTAGE, "bottle-detection.mp4");
const CARS = join(FOOTAGE, "car-detection.mp4");
const SECOND = 1_000_000_000n;

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "cuframes-media-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const X265 = { preset: "ultrafast", "x265-params": "log-level=none:bframes=3:keyint=20:pools=1" };
const X264 = { preset: "veryfast", "x264-params": "threads=1" };

/** Makes a clip in the test's directory. */
async function clip(name: string, options: ClipOptions): Promise<string> {
  const path = join(directory, name);
  await makeClip(path, { width: 160, height: 120, ...options });
  return path;
}

interface Planes {
  planes: { data: Uint8Array; stride: number; rows: number }[];
  /** Bytes of a plane's rows, one behind the other. */
  pixels(plane: number): Uint8Array;
  /** Whether nothing was written between the rows and behind the planes. */
  untouched(): boolean;
}

const CANARY = 0xa5;

/** Planes with an odd padding behind each row. */
const planesFor = (...shapes: [rowBytes: number, rows: number][]) => padded(13, ...shapes);

/** Planes with padding behind each row and bytes behind the last one, all set to a known value. */
function padded(padding: number, ...shapes: [rowBytes: number, rows: number][]): Planes {
  const planes = shapes.map(([rowBytes, rows]) => ({
    data: new Uint8Array((rowBytes + padding) * rows + 64).fill(CANARY),
    stride: rowBytes + padding,
    rows,
  }));
  return {
    planes,
    pixels: (plane) => {
      const [rowBytes, rows] = shapes[plane]!;
      const { data, stride } = planes[plane]!;
      return Uint8Array.from(
        { length: rowBytes * rows },
        (_, at) => data[Math.floor(at / rowBytes) * stride + at % rowBytes]!,
      );
    },
    untouched: () =>
      planes.every(({ data, stride, rows }, plane) =>
        data.every((byte, at) => (at < stride * rows && at % stride < shapes[plane]![0]) || byte === CANARY)
      ),
  };
}

const half = (size: number) => (size + 1) >> 1;
const nv12 = (width: number, height: number) => planesFor([width, height], [2 * half(width), half(height)]);

interface Read {
  packets: MediaPacket[];
  frames: MediaFrame[];
  events: MediaEvent[];
}

async function readAll(
  path: string,
  options?: OpenMediaOptions,
  each?: (event: MediaEvent) => void,
): Promise<Read> {
  await using media = await openMedia(path, options);
  const read: Read = { packets: [], frames: [], events: [] };
  for await (const event of media) {
    read.events.push(event);
    if (event.kind === "packet") read.packets.push(event);
    else read.frames.push(event);
    each?.(event);
  }
  return read;
}

const times = (events: readonly { timestampNs: bigint }[]) => events.map((event) => event.timestampNs);
const sorted = (values: bigint[]) =>
  values.toSorted((one, other) => (one < other ? -1 : one > other ? 1 : 0));
const md5 = (data: Uint8Array) => createHash("md5").update(data).digest("hex");
const nalType = (data: Uint8Array) => leadingUnits(CODEC_IDS.h264, data).units.map((unit) => unit.type);

/** What every source must give: usable times, and a frame for each packet. */
function expectUsable({ packets, frames }: Read): void {
  for (const [index, packet] of packets.entries()) {
    expect(packet.timestampNs >= packet.decodeTimestampNs).toBe(true);
    if (index > 0) expect(packet.decodeTimestampNs > packets[index - 1]!.decodeTimestampNs).toBe(true);
  }
  for (const [index, frame] of frames.entries()) {
    if (index > 0) expect(frame.timestampNs > frames[index - 1]!.timestampNs).toBe(true);
  }
}

interface Stored {
  md5: string;
  pts: bigint;
  dts: bigint;
  duration: bigint;
  key: boolean;
}

/** A file's video packets as they are stored, by node-av alone; times in ticks of `scale`. */
async function stored(
  path: string,
  scale?: number,
  filter?: string,
): Promise<{ scale: number; packets: Stored[]; tag: string }> {
  const format = new av.FormatContext();
  format.allocContext();
  av.FFmpegError.throwIfError(await format.openInput(path), path);
  av.FFmpegError.throwIfError(await format.findStreamInfo(), path);
  const stream = format.streams.find((one) => one.codecpar.codecType === av.AVMEDIA_TYPE_VIDEO)!;
  const packet = new av.Packet();
  packet.alloc();
  const annexB = filter === undefined ? undefined : new av.BitStreamFilterContext();
  if (annexB) {
    annexB.alloc(av.BitStreamFilter.getByName(filter!)!);
    stream.codecpar.copy(annexB.inputCodecParameters!);
    annexB.init();
  }
  const packets: Stored[] = [];
  const ticks = { num: 1, den: scale ?? stream.timeBase.den };
  while (await format.readFrame(packet) >= 0) {
    if (packet.streamIndex === stream.index) {
      packet.rescaleTs(stream.timeBase, ticks);
      if (annexB) {
        annexB.sendPacketSync(packet);
        annexB.receivePacketSync(packet);
      }
      const { pts, dts, duration, isKeyframe } = packet;
      packets.push({ md5: md5(packet.data!), pts, dts, duration, key: isKeyframe });
    }
    packet.unref();
  }
  const result = { scale: ticks.den, packets, tag: stream.codecpar.codecTagString ?? "" };
  packet.free();
  annexB?.free();
  await format.closeInput();
  return result;
}

/** Where packet `index` of a file lies in it, in bytes. */
async function positionOf(path: string, index: number): Promise<number> {
  const format = new av.FormatContext();
  format.allocContext();
  await format.openInput(path);
  const packet = new av.Packet();
  packet.alloc();
  for (let read = 0; read <= index; read++) {
    packet.unref();
    av.FFmpegError.throwIfError(await format.readFrame(packet), path);
  }
  const position = Number(packet.pos);
  packet.free();
  await format.closeInput();
  return position;
}

async function record(source: string, path: string, options?: OpenMediaOptions): Promise<Recorder> {
  await using media = await openMedia(source, { decode: false, ...options });
  await using recorder = await Recorder.create(path, media.video);
  for await (const event of media) if (event.kind === "packet") await recorder.write(event);
  return recorder;
}

describe("the project's clip", () => {
  it("gives every packet and every frame, B-frames put back into display order", async () => {
    const hashes = new Set<string>();
    const read = await readAll(CLIP, {}, (event) => {
      if (event.kind !== "frame") return;
      const { planes } = nv12(320, 240);
      event.copyInto(planes);
      hashes.add(md5(planes[0]!.data));
    });
    expect(read.packets).toHaveLength(250);
    expect(times(read.frames)).toEqual(
      Array.from({ length: 250 }, (_, index) => BigInt(index) * SECOND / 25n),
    );
    expect(hashes.size).toBe(250);
    expectUsable(read);
    expect(sorted(times(read.packets))).toEqual(times(read.frames));
    expect(times(read.packets)).not.toEqual(times(read.frames));
    expect(read.packets[0]!.decodeTimestampNs).toBe(-80_000_000n);
    expect(read.frames.every((frame) => frame.durationNs === 40_000_000n && !frame.corrupt && !frame.scaled))
      .toBe(true);
    expect(read.events.some((event) => event.discontinuity)).toBe(false);
  });

  it("describes its track and marks its key packets, which carry the parameter sets", async () => {
    await using media = await openMedia(CLIP);
    expect(media.video).toMatchObject({
      codec: "avc1.64000d",
      codecId: 27,
      codedWidth: 320,
      codedHeight: 240,
      frameRate: 25,
    });
    expect(nalType(media.video.description)).toEqual([7, 8]);
    expect([media.format, media.width, media.height]).toEqual(["NV12", 320, 240]);
    const keys: number[] = [];
    let index = 0;
    for await (const event of media) {
      if (event.kind !== "packet") continue;
      const types = nalType(event.data);
      expect(types.includes(7) && types.includes(8)).toBe(event.type === "key");
      if (event.type === "key") keys.push(index);
      index++;
    }
    expect(keys).toEqual([0, 50, 100, 150, 200]);
  });

  it("gives packets alone where frames are not wanted", async () => {
    const { packets, frames } = await readAll(CLIP, { decode: false });
    expect([packets.length, frames.length]).toEqual([250, 0]);
  });

  it("shows a frame behind the packets it is made of", async () => {
    const { events } = await readAll(CLIP);
    const seen = new Set<bigint>();
    for (const event of events) {
      if (event.kind === "packet") seen.add(event.timestampNs);
      else expect(seen.has(event.timestampNs)).toBe(true);
    }
  });
});

describe("timestamps", () => {
  it.each(["vfr.mkv", "vfr.mp4"])("of a variable frame rate are kept (%s)", async (name) => {
    const ticks = (index: number) => index * 20 + (index * index * 7) % 19 + (index > 20 ? 3000 : 0);
    const path = await clip(name, {
      frames: 40,
      frameRate: 1000,
      timestamps: ticks,
      encoderOptions: { ...X264, bf: "2" },
    });
    const read = await readAll(path);
    expectUsable(read);
    const first = BigInt(ticks(0));
    expect(times(read.frames)).toEqual(
      Array.from({ length: 40 }, (_, index) => (BigInt(ticks(index)) - first) * 1_000_000n),
    );
    expect(sorted(times(read.packets))).toEqual(times(read.frames));
  });

  it("are made at 25 frames a second for a raw stream that names no rate", async () => {
    const path = await clip("raw.mjpeg", {
      frames: 30,
      frameRate: 10,
      encoder: "mjpeg",
      pixelFormat: "yuvj420p",
    });
    const read = await readAll(path);
    expect(times(read.frames)).toEqual(
      Array.from({ length: 30 }, (_, index) => BigInt(index) * SECOND / 25n),
    );
    expect(times(read.packets)).toEqual(times(read.frames));
    const faster = await readAll(path, { options: { framerate: "50" } });
    expect(faster.frames[29]!.timestampNs).toBe(29n * SECOND / 50n);
  });

  it.each([["libx264", "h264", { ...X264, bf: "3", g: "20" }], ["libx265", "hevc", X265]])(
    "of a raw %s stream follow its own rate and its B-frames",
    async (encoder, extension, encoderOptions) => {
      const path = await clip(`raw.${extension}`, { frames: 70, frameRate: 10, encoder, encoderOptions });
      const read = await readAll(path);
      expect([read.packets.length, read.frames.length]).toEqual([70, 70]);
      expectUsable(read);
      const first = read.frames[0]!.timestampNs;
      expect(times(read.frames)).toEqual(
        Array.from({ length: 70 }, (_, index) => first + BigInt(index) * SECOND / 10n),
      );
      expect(sorted(times(read.packets))).toEqual(times(read.frames));
      expect(read.packets.some((packet) => packet.timestampNs > packet.decodeTimestampNs)).toBe(true);
    },
  );

  it("are found for AVI, which has decode times only", async () => {
    const path = await clip("only-dts.avi", { frames: 60, encoderOptions: { ...X264, bf: "2" } });
    const read = await readAll(path);
    expectUsable(read);
    const steps = times(read.frames).slice(1).map((time, index) => time - read.frames[index]!.timestampNs);
    expect(new Set(steps)).toEqual(new Set([40_000_000n]));
    expect(sorted(times(read.packets))).toEqual(times(read.frames));
  });

  it.each([["mpeg4", "avi"], ["mpeg2video", "m2v"], ["mpeg4", "m4v"]])(
    "are found for B-frames of %s in .%s, which has no presentation times",
    async (encoder, extension) => {
      const path = await clip(`reordered.${extension}`, {
        frames: 60,
        encoder,
        encoderOptions: { bf: "2", sc_threshold: "1000000000" },
      });
      const read = await readAll(path);
      expectUsable(read);
      expect([read.packets.length, read.frames.length]).toEqual([60, 60]);
      const steps = times(read.frames).slice(1).map((time, index) => time - read.frames[index]!.timestampNs);
      expect(new Set(steps)).toEqual(new Set([40_000_000n]));
      expect(sorted(times(read.packets))).toEqual(times(read.frames));
      expect(times(read.packets)).not.toEqual(times(read.frames));
    },
  );

  it("go on over a loop, which is marked", async () => {
    const path = await clip("loop.mp4", { frames: 20, encoderOptions: { ...X264, bf: "2" } });
    await using media = await openMedia(path, { loop: true });
    const read: Read = { packets: [], frames: [], events: [] };
    for await (const event of media) {
      if (event.kind === "packet") read.packets.push(event);
      else read.frames.push(event);
      if (read.frames.length === 50) break;
    }
    expectUsable(read);
    expect(times(read.frames)).toEqual(
      Array.from({ length: 50 }, (_, index) => BigInt(index) * SECOND / 25n),
    );
    const marked = (events: { discontinuity: boolean }[]) =>
      events.flatMap((event, index) => event.discontinuity ? [index] : []);
    expect(marked(read.frames)).toEqual([20, 40]);
    expect(marked(read.packets)).toEqual([20, 40]);
  });
});

describe("a timeline", () => {
  const place = (timeline: Timeline, pts?: number, dts?: number, duration = 10) => {
    const at = (time?: number) => time === undefined ? undefined : BigInt(time) * 1_000_000n;
    const placed = timeline.place(at(pts), at(dts), BigInt(duration) * 1_000_000n);
    return [Number(placed.timestampNs) / 1e6, Number(placed.decodeTimestampNs) / 1e6, placed.discontinuity];
  };

  it("fills in decode times that are missing at the start", () => {
    const timeline = new Timeline(10_000_000n, 2);
    expect(place(timeline, 0)).toEqual([0, -20, false]);
    expect(place(timeline, 40)).toEqual([40, -10, false]);
    expect(place(timeline, 20, 0)).toEqual([20, 0, false]);
  });

  it("keeps decode times increasing where the source repeats one or steps back a little", () => {
    const timeline = new Timeline(10_000_000n, 0);
    place(timeline, 0, 0);
    expect(place(timeline, 10, 0)).toEqual([10, 1e-6, false]);
    place(timeline, 20, 20);
    expect(place(timeline, 15, 15)).toEqual([20 + 1e-6, 20 + 1e-6, false]);
  });

  it("goes on where a clock that starts anew stopped", () => {
    const timeline = new Timeline(10_000_000n, 0);
    place(timeline, 5000, 5000);
    expect(place(timeline, 100, 100)).toEqual([5010, 5010, true]);
    expect(place(timeline, 110, 110)).toEqual([5020, 5020, false]);
  });

  it("keeps a pause", () => {
    const timeline = new Timeline(10_000_000n, 0);
    place(timeline, 0, 0);
    expect(place(timeline, 60_000, 60_000)).toEqual([60_000, 60_000, false]);
  });

  it("does not believe a presentation time far from the decode time", () => {
    const timeline = new Timeline(10_000_000n, 0);
    expect(place(timeline, 100_000, 0)).toEqual([0, 0, false]);
    expect(place(timeline, -5000, 10)).toEqual([10, 10, false]);
  });

  it("is paced from its first event, and anew after a long delay", () => {
    const pace = new Pace();
    expect(pace.delay("packet", 500_000_000n, 1000)).toBe(0);
    expect(pace.delay("packet", 540_000_000n, 1010)).toBe(30);
    expect(pace.delay("packet", 580_000_000n, 1100)).toBe(-20);
    expect(pace.delay("packet", 620_000_000n, 5000)).toBe(0);
    expect(pace.delay("packet", 660_000_000n, 5000)).toBe(40);
    pace.reset();
    expect(pace.delay("packet", 10n, 6000)).toBe(0);
  });

  it("does not sleep through a jump of the clock, but through a pause", () => {
    const pace = new Pace();
    expect(pace.delay("packet", 0n, 0)).toBe(0);
    expect(pace.delay("packet", 60n * SECOND, 0)).toBe(60_000);
    expect(pace.delay("packet", 26n * 3600n * SECOND, 60_000)).toBe(0);
    expect(pace.delay("packet", 26n * 3600n * SECOND + 40_000_000n, 60_010)).toBe(30);
  });

  it("keeps its pace where the decoder is seconds behind the packets", () => {
    const pace = new Pace();
    let nowMs = 0;
    const happen = (kind: "packet" | "frame", index: number) => {
      nowMs += Math.max(0, pace.delay(kind, BigInt(index) * SECOND / 2n, nowMs));
      return nowMs;
    };
    // Two frames a second; a frame comes out when the third packet behind it goes in.
    const packets: number[] = [];
    const frames: number[] = [];
    for (let index = 0; index < 10; index++) {
      packets.push(happen("packet", index));
      if (index >= 3) frames.push(happen("frame", index - 3));
    }
    for (let index = 7; index < 10; index++) frames.push(happen("frame", index));
    expect(packets).toEqual(Array.from({ length: 10 }, (_, index) => 500 * index));
    expect(frames).toEqual(Array.from({ length: 10 }, (_, index) => 1500 + 500 * index));
    pace.reset();
    expect([pace.delay("packet", SECOND, nowMs), pace.delay("frame", 0n, nowMs)]).toEqual([0, 0]);
  });
});

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

describe("bad input", () => {
  const failure = async (input: string, options?: OpenMediaOptions) => {
    const error = await openMedia(input, options).then(() => undefined, (thrown) => thrown);
    return error as Error & { code: string; cause?: unknown };
  };

  it("that is not there, not media, or without video is refused with a code", async () => {
    const text = join(directory, "text.mp4");
    await writeFile(text, "this is not media ".repeat(1000));
    const sound = await clip("sound.m4a", { frames: 25, audio: true, video: false });
    expect(await failure(join(directory, "absent.mp4"))).toMatchObject({
      name: "CuframesError",
      code: "NOT_FOUND",
    });
    expect(await failure(text)).toMatchObject({ code: "FORMAT" });
    expect(await failure(directory)).toMatchObject({ code: "INVALID_ARGUMENT" });
    expect(await failure("nosuchprotocol://x")).toMatchObject({ code: "UNSUPPORTED" });
    const silent = await failure(sound);
    expect(silent).toMatchObject({ code: "FORMAT" });
    expect(silent.message).toContain("no video track");
  });

  it("never takes credentials into a message", async () => {
    expect(redact("rtsp://admin:s3cret@10.0.0.1:554/a?token=s3cret#s3cret")).toBe("rtsp://10.0.0.1:554/a");
    expect(redact("rtsp://admin:s3/cr@et@host/a")).toBe("rtsp://host/a");
    expect(redact("/videos/a@b?.mp4")).toBe("/videos/a@b?.mp4");
    for (const scheme of ["rtsp", "http", "tcp"]) {
      const error = await failure(`${scheme}://admin:s3cret@127.0.0.1:1/x?token=s3cret`);
      expect(error.code).toBe("IO");
      expect(`${error.message} ${error.stack} ${JSON.stringify(error)} ${String(error.cause)}`).not.toContain(
        "s3cret",
      );
    }
  });

  it("as options is refused", async () => {
    for (const options of [{ width: 0 }, { height: 16385 }, { width: 1.5 }]) {
      expect(await failure(CLIP, options)).toMatchObject({ code: "INVALID_ARGUMENT" });
    }
    expect(await failure(CLIP, { format: "NV13" as "NV12" })).toMatchObject({ name: "CuframesError" });
    expect(await failure(CLIP, { hardware: "cuda" as "none" })).toMatchObject({ code: "UNSUPPORTED" });
  });

  it("with damage in it is read to its end, the damage marked", async () => {
    const path = await clip("damaged.ts", {
      frames: 100,
      encoderOptions: { ...X264, g: "25", bf: "2", crf: "18" },
    });
    const bytes = await readFile(path);
    // Whole transport packets are lost, and bytes inside others are turned over.
    const lost = Math.floor(bytes.length / 3 / 188) * 188;
    for (let at = lost + 188 * 20; at < lost + 188 * 40; at += 7) bytes[at]! ^= 0xff;
    const damaged = join(directory, "holes.ts");
    await writeFile(damaged, Buffer.concat([bytes.subarray(0, lost), bytes.subarray(lost + 188 * 6)]));
    const read = await readAll(damaged);
    expectUsable(read);
    expect(read.frames.length).toBeGreaterThan(80);
    expect(read.packets.some((packet) => packet.corrupt)).toBe(true);
    const corrupt = read.frames.filter((frame) => frame.corrupt);
    const nextKey = read.packets.find((packet) =>
      packet.type === "key" && packet.timestampNs > corrupt[0]!.timestampNs
    )!;
    // What builds upon the damage is marked, from there to the next key frame, and nothing else.
    expect(corrupt.length).toBeGreaterThan(5);
    expect(corrupt.every((frame) => frame.timestampNs < nextKey.timestampNs)).toBe(true);
    expect(corrupt.at(-1)).toBe(
      read.frames[read.frames.findIndex((frame) => frame.timestampNs === nextKey.timestampNs) - 1],
    );
  });

  it("with a packet that cannot be taken apart goes on behind it, marked", async () => {
    const path = await clip("lengths.mp4", { frames: 50, encoderOptions: { ...X264, g: "10", bf: "0" } });
    const bytes = await readFile(path);
    const { packets } = await stored(path);
    const position = await positionOf(path, 15);
    // A NAL unit that is longer than its packet.
    bytes.writeUInt32BE(0x7fffffff, position);
    await writeFile(path, bytes);
    const read = await readAll(path);
    expectUsable(read);
    expect(read.packets).toHaveLength(packets.length - 1);
    expect(read.packets.findIndex((one) => one.discontinuity)).toBe(15);
    expect(read.frames.some((frame) => frame.discontinuity)).toBe(true);
    expect(read.packets.at(-1)!.timestampNs).toBe(49n * SECOND / 25n);
  });

  it("with a slice that cannot be decoded marks the frames that build upon it", async () => {
    const path = await clip("slice.mp4", { frames: 50, encoderOptions: { ...X264, g: "10", bf: "0" } });
    const bytes = await readFile(path);
    // Behind the length and the NAL unit's header: the slice header.
    bytes.fill(0xff, await positionOf(path, 15) + 5, await positionOf(path, 15) + 40);
    await writeFile(path, bytes);
    const read = await readAll(path);
    expectUsable(read);
    expect(read.packets).toHaveLength(50);
    const corrupt = read.frames.filter((frame) => frame.corrupt);
    expect(corrupt.length).toBeGreaterThanOrEqual(4);
    const at = (index: number) => BigInt(index) * SECOND / 25n;
    expect(corrupt.every((frame) => frame.timestampNs >= at(10) && frame.timestampNs < at(20))).toBe(true);
  });

  it("cut off in its middle is read up to there", async () => {
    const path = await clip("cut.ts", { frames: 50, encoderOptions: X264 });
    const bytes = await readFile(path);
    await writeFile(path, bytes.subarray(0, bytes.length >> 1));
    const { frames } = await readAll(path);
    expect(frames.length).toBeGreaterThan(10);
    expect(frames.length).toBeLessThan(50);
  });
});

describe("reading", () => {
  let server: Server;
  let sent = Buffer.alloc(0);
  beforeAll(async () => {
    server = createServer((socket) => {
      socket.on("error", () => {});
      socket.write(sent);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });
  afterAll(() => server.close());
  const address = () => `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`;

  it("keeps the stream's pace where that is asked for, and can be aborted while it waits", async () => {
    const started = performance.now();
    const abort = new AbortController();
    await using media = await openMedia(CLIP, { realtime: true, signal: abort.signal });
    const seen: bigint[] = [];
    const wanted = new Error("enough");
    await expect((async () => {
      for await (const event of media) {
        if (event.kind !== "frame") continue;
        seen.push(event.timestampNs);
        if (seen.length === 8) setTimeout(() => abort.abort(wanted), 5);
      }
    })()).rejects.toBe(wanted);
    // Eight frames are 280 ms apart, first to last.
    expect(performance.now() - started).toBeGreaterThanOrEqual(275);
    expect(seen.length).toBeLessThan(250);
  });

  it("can be aborted while a silent server is opened", async () => {
    sent = Buffer.alloc(0);
    const reason = new Error("no longer wanted");
    const abort = new AbortController();
    server.once("connection", () => abort.abort(reason));
    await expect(openMedia(address(), { signal: abort.signal })).rejects.toBe(reason);
    await expect(openMedia(CLIP, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  it("ends when the reader is closed while it waits for a silent server", async () => {
    sent = await readFile(await clip("stalls.ts", { frames: 100, encoderOptions: { ...X264, crf: "10" } }));
    const media = await openMedia(address());
    let frames = 0;
    const reading = (async () => {
      for await (const event of media) {
        if (event.kind === "frame" && ++frames === 20) setTimeout(() => media.close(), 100);
      }
    })();
    await reading;
    expect(frames).toBeGreaterThanOrEqual(20);
    await media.close();
    await media.close();
  });

  it("can be left and taken up again, by one loop at a time", async () => {
    await using media = await openMedia(CLIP);
    const seen: bigint[] = [];
    let packets = 0;
    for await (const event of media) {
      if (event.kind === "packet") packets++;
      else if (seen.push(event.timestampNs) === 10) break;
    }
    for await (const event of media) {
      if (event.kind === "packet") packets++;
      else if (seen.push(event.timestampNs) === 20) {
        await expect(media[Symbol.asyncIterator]().next()).rejects.toMatchObject({
          code: "INVALID_ARGUMENT",
        });
        break;
      }
    }
    for await (const event of media) {
      if (event.kind === "packet") packets++;
      else seen.push(event.timestampNs);
    }
    expect(packets).toBe(250);
    expect(seen).toEqual(Array.from({ length: 250 }, (_, index) => BigInt(index) * SECOND / 25n));
  });
});

describe("a recording", () => {
  it("of an MP4 is the same, packet by packet and tick by tick", async () => {
    const path = join(directory, "copy.mp4");
    const recorder = await record(CLIP, path);
    expect(recorder.packets).toBe(250);
    const source = await stored(CLIP, 12_800 * 225);
    expect((await stored(path, source.scale)).packets).toEqual(source.packets);
    const annexB = (file: string) => stored(file, 12_800, "h264_mp4toannexb");
    expect((await annexB(path)).packets.map((packet) => packet.md5)).toEqual(
      (await annexB(CLIP)).packets.map((packet) => packet.md5),
    );
  });

  it.each([["libx264", "avc1", { ...X264, bf: "3", g: "20" }], ["libx265", "hvc1", X265]])(
    "of %s keeps the source's own ticks, and its tag is %s",
    async (encoder, tag, encoderOptions) => {
      const ticks = (index: number) => index * 384 + (index * index * 7) % 97;
      const source = await clip(`ticks-${encoder}.mp4`, {
        frames: 90,
        frameRate: 11_456,
        timestamps: ticks,
        encoder,
        encoderOptions: { ...encoderOptions },
      });
      const path = join(directory, `ticks-${encoder}-copy.mp4`);
      await record(source, path);
      const original = await stored(source);
      expect(original.scale).toBe(11_456);
      const copy = await stored(path);
      expect(copy).toMatchObject({ scale: 11_456, packets: original.packets });
      expect(copy.tag).toBe(tag);
      const again = await readAll(path);
      expect(again.frames).toHaveLength(90);
      expect(again.frames.some((frame) => frame.corrupt)).toBe(false);
    },
  );

  it.each(["mkv", "ts", "mov"])(
    "as %s plays and has the packets' times as its ticks allow",
    async (extension) => {
      const path = join(directory, `copy.${extension}`);
      await record(CLIP, path);
      const [source, copy] = [await readAll(CLIP), await readAll(path)];
      expect(copy.frames).toHaveLength(250);
      expect(copy.frames.some((frame) => frame.corrupt)).toBe(false);
      const offset = copy.frames[0]!.timestampNs - source.frames[0]!.timestampNs;
      for (const [index, frame] of source.frames.entries()) {
        const error = copy.frames[index]!.timestampNs - frame.timestampNs - offset;
        expect(error >= -1_000_000n && error <= 1_000_000n).toBe(true);
      }
      if (extension !== "ts") {
        const payloads = async (file: string) => (await stored(file)).packets.map((packet) => packet.md5);
        expect(await payloads(path)).toEqual(await payloads(CLIP));
      }
    },
  );

  it.each(
    ["mpeg1video", "mpeg2video", "mpeg4"].flatMap((encoder) => [[encoder, "avi"], [encoder, "mkv"]]),
  )("of %s in .%s fits MPEG-TS", async (encoder, extension) => {
    const source = await clip(`for-ts-${encoder}.${extension}`, { frames: 20, encoder });
    const path = join(directory, `${encoder}-${extension}.ts`);
    await record(source, path);
    const { frames } = await readAll(path);
    expect([frames.length, frames.some((frame) => frame.corrupt)]).toEqual([20, false]);
  });

  it.each([["ts", "libx264", X264], ["h264", "libx264", X264], ["webm", "libvpx-vp9", {
    "cpu-used": "8",
    deadline: "realtime",
  }], ["mov", "mjpeg", {}]])(
    "of a .%s source (%s) plays from its first frame to its last",
    async (extension, encoder, encoderOptions) => {
      const pixelFormat = encoder === "mjpeg" ? "yuvj420p" : "yuv420p";
      const source = await clip(`source-${encoder}.${extension}`, {
        frames: 30,
        encoder,
        encoderOptions: { ...encoderOptions },
        pixelFormat,
      });
      const path = join(directory, `from-${extension}.${encoder === "libvpx-vp9" ? "mkv" : "mp4"}`);
      await record(source, path);
      const hashes = async (file: string) => {
        const all: string[] = [];
        await readAll(file, {}, (event) => {
          if (event.kind !== "frame") return;
          const target = nv12(160, 120);
          event.copyInto(target.planes);
          all.push(md5(target.pixels(0)));
        });
        return all;
      };
      const copy = await hashes(path);
      expect(copy).toHaveLength(30);
      expect(copy).toEqual(await hashes(source));
      const { frames } = await readAll(path);
      expect(frames[0]!.timestampNs < 200_000_000n).toBe(true);
    },
  );

  it.each([["libx264", "h264", { ...X264, bf: "0" }], ["libx265", "hevc", X265]])(
    "follows parameter sets that change on the way (%s)",
    async (encoder, extension, encoderOptions) => {
      const make = async (width: number, height: number) =>
        await readFile(
          await clip(`${width}.${extension}`, { width, height, frames: 10, encoder, encoderOptions }),
        );
      const [large, small] = [await make(320, 240), await make(160, 120)];
      const source = join(directory, `changes.${extension}`);
      await writeFile(source, Buffer.concat([large, small, large]));
      for (const container of ["mp4", "mkv", "ts"]) {
        const path = join(directory, `changes-${extension}.${container}`);
        await record(source, path);
        const { frames } = await readAll(path);
        const widths = [...Array(10).fill(320), ...Array(10).fill(160), ...Array(10).fill(320)];
        expect(frames.map((frame) => frame.width)).toEqual(widths);
        expect(frames.some((frame) => frame.corrupt)).toBe(false);
      }
    },
  );

  it("begins with the first key packet, at 0, wherever the stream is joined", async () => {
    const { packets } = await readAll(CLIP, { decode: false });
    await using media = await openMedia(CLIP);
    const path = join(directory, "joined.mp4");
    await using recorder = await Recorder.create(path, media.video);
    for (const packet of packets.slice(30)) await recorder.write(packet);
    await recorder.close();
    expect(recorder.packets).toBe(200);
    const { frames } = await readAll(path);
    expect(frames).toHaveLength(200);
    expect([frames[0]!.timestampNs, frames[199]!.timestampNs]).toEqual([0n, 199n * SECOND / 25n]);
  });

  it("finds its parameter sets in the first key packet where none are given, and durations in the next packet", async () => {
    const { packets } = await readAll(CLIP, { decode: false });
    const path = join(directory, "bare.mp4");
    {
      await using recorder = await Recorder.create(path, { codecId: 27, codedWidth: 320, codedHeight: 240 });
      for (const { data, type, timestampNs, decodeTimestampNs } of packets) {
        await recorder.write({ data, type, timestampNs, decodeTimestampNs });
      }
    }
    const source = await stored(CLIP, 12_800 * 225);
    expect((await stored(path, source.scale)).packets).toEqual(source.packets);
  });

  it.each(["mp4", "mkv"])("goes on behind a gap of hours in another file (%s)", async (extension) => {
    const { packets } = await readAll(CLIP, { decode: false });
    const minutes = (count: number) => BigInt(count) * 60n * SECOND;
    const shifted = packets.map((packet, index) => {
      const gap = index < 50 ? 0n : index < 100 ? minutes(25) : index < 160 ? minutes(480) : minutes(5000);
      const { timestampNs, decodeTimestampNs } = packet;
      return {
        ...packet,
        timestampNs: timestampNs + gap,
        decodeTimestampNs: decodeTimestampNs + gap,
        discontinuity: false,
      };
    });
    const files: [string, number][] = [];
    {
      await using recorder = new SegmentRecorder({
        pathOf: () => join(directory, `gap.${extension}`),
        onEnd: ({ path, packets }) => files.push([path, packets]),
      });
      const track = { codecId: 27, description: new Uint8Array(0), codedWidth: 320, codedHeight: 240 };
      for (const packet of shifted) await recorder.write(packet, () => track);
      expect(recorder.seconds).toBeGreaterThan(5000 * 60);
    }
    // The last gap does not end with a key packet: the next one begins the file.
    expect(files).toEqual([
      [join(directory, `gap.${extension}`), 100],
      [join(directory, `gap-1.${extension}`), 60],
      [join(directory, `gap-2.${extension}`), 50],
    ]);
    for (const [path, count] of files) {
      const { frames } = await readAll(path);
      expect(frames).toHaveLength(count);
      expect(frames.some((frame) => frame.corrupt)).toBe(false);
    }
    const { frames } = await readAll(files[0]![0]);
    expect(frames[50]!.timestampNs - frames[0]!.timestampNs).toBe(minutes(25) + 2n * SECOND);
  });

  it("refuses a gap that MP4 cannot hold, and can be completed", async () => {
    const { packets } = await readAll(CLIP, { decode: false });
    const path = join(directory, "long-gap.mp4");
    await using recorder = await Recorder.create(path, { codecId: 27, codedWidth: 320, codedHeight: 240 });
    for (const packet of packets.slice(0, 50)) await recorder.write(packet);
    const decodeTimestampNs = packets[49]!.decodeTimestampNs + 1801n * SECOND;
    const late = { ...packets[50]!, decodeTimestampNs, timestampNs: decodeTimestampNs };
    await expect(recorder.write(late)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await recorder.close();
    expect((await readAll(path)).frames).toHaveLength(50);
  });

  it("takes packets whose memory is used again at once", async () => {
    const { packets } = await readAll(CLIP, { decode: false });
    const path = join(directory, "reused.mp4");
    const memory = new Uint8Array(1 << 16);
    {
      await using recorder = await Recorder.create(path, { codecId: 27, codedWidth: 320, codedHeight: 240 });
      for (const packet of packets) {
        memory.set(packet.data);
        await recorder.write({ ...packet, data: memory.subarray(0, packet.data.length) });
        memory.fill(0);
      }
    }
    expect((await readAll(path)).frames.filter((frame) => !frame.corrupt)).toHaveLength(250);
  });

  it("is refused with a code where it cannot be made", async () => {
    const track = { codecId: 27, codedWidth: 320, codedHeight: 240 };
    const key: RecorderPacket = {
      data: new Uint8Array([0, 0, 1, 0x65, 1]),
      type: "key",
      timestampNs: 0n,
      decodeTimestampNs: 0n,
    };
    const create = (path: string, options = {}) => Recorder.create(path, { ...track, ...options });
    await expect(create(join(directory, "a.xyz"))).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await expect(create(join(directory, "a.mp4"), { format: "avi" })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
    await expect(create(join(directory, "a.mp4"), { codedWidth: 0 })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
    await expect(create(join(directory, "none/a.mp4"))).rejects.toMatchObject({ code: "NOT_FOUND" });
    const vp8 = await create(join(directory, "vp8.mp4"), { codecId: CODEC_IDS.vp8 });
    await vp8.write(key);
    await expect(vp8.close()).rejects.toMatchObject({ code: "UNSUPPORTED" });
    await vp8[Symbol.asyncDispose](); // has nothing to add to that
    expect(existsSync(vp8.path)).toBe(false);
    for (const codec of ["vp8", "vp9", "av1", "mjpeg"] as const) {
      const ts = await create(join(directory, "no-place.ts"), { codecId: CODEC_IDS[codec] });
      await expect(ts.write(key)).rejects.toThrow(/does not go into this file format: try .mkv$/);
      await ts.close();
      expect(existsSync(ts.path)).toBe(false);
    }
    const closed = await create(join(directory, "closed.mp4"));
    await closed.write({ ...key, type: "delta" });
    await closed.close();
    await expect(closed.write(key)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    expect(existsSync(closed.path)).toBe(false);
    const device = await create("/dev/null", { format: "mp4" });
    await device.close();
    expect(existsSync("/dev/null")).toBe(true);
  });

  it.skipIf(!existsSync("/dev/full"))("on a full disk fails with IO, and can be closed", async () => {
    const { packets } = await readAll(CLIP, { decode: false });
    const recorder = await Recorder.create("/dev/full", {
      codecId: 27,
      codedWidth: 320,
      codedHeight: 240,
      format: "mpegts",
      durable: true,
    });
    const writing = async () => {
      for (const packet of packets) await recorder.write(packet);
      await recorder.close();
    };
    await expect(writing()).rejects.toMatchObject({ code: "IO" });
    await expect(recorder.close()).resolves.toBeUndefined();
    expect((await stat("/dev/full")).isCharacterDevice()).toBe(true);
  });
});

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

describe("a file's ticks", () => {
  const at = (count: number, ticks: (index: number) => number, scale: number) =>
    Array.from({ length: count }, (_, index) => BigInt(Math.round(ticks(index) * 1e9 / scale)));

  it("are found from timestamps that were rounded to nanoseconds", () => {
    expect(timescaleOf(at(64, (index) => index, 25))).toBe(90_000);
    expect(timescaleOf(at(64, (index) => index * 1001, 30_000))).toBe(90_000);
    expect(timescaleOf(at(64, (index) => index * 1001, 24_000))).toBe(24_000);
    expect(timescaleOf(at(64, (index) => index * 1001, 60_000))).toBe(60_000);
    expect(timescaleOf(at(64, (index) => index * 6, 179))).toBe(179);
    expect(timescaleOf(at(64, (index) => index * 384 + index % 7, 11_456))).toBe(11_456);
    expect(timescaleOf(at(64, (index) => index * 3003 + (index * 31) % 11, 90_000))).toBe(90_000);
    expect(timescaleOf(at(64, (index) => index * 33 + index % 2, 1000))).toBe(90_000);
  });

  it("are microseconds where the source shows none", () => {
    expect(timescaleOf(at(64, (index) => index * 33_333_333 + (index * 7919) % 10_007, 1e9))).toBe(1_000_000);
    expect(timescaleOf([])).toBe(90_000);
  });
});

describe("Annex B", () => {
  const unit = (type: number, ...rest: number[]) => ({ type, data: new Uint8Array([0x60 | type, ...rest]) });
  const [sps, pps, sei, delimiter, slice] = [
    unit(7, 1, 2, 3),
    unit(8, 0x84),
    unit(6, 5),
    unit(9, 0xf0),
    unit(5, 9, 9),
  ];
  const join = joinUnits;
  const h264 = CODEC_IDS.h264;

  it("is taken apart up to the first slice, with either start code", () => {
    const bytes = new Uint8Array([0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x68, 2, 0, 0, 1, 0x65, 0, 0, 1, 0x67]);
    const { units, end } = leadingUnits(h264, bytes);
    expect(units.map(({ type, data }) => [type, ...data])).toEqual([[7, 0x67, 1], [8, 0x68, 2]]);
    expect(end).toBe(12);
    for (const broken of [[], [0], [0, 0, 1], [0, 0, 0, 1], [1, 2, 3]]) {
      expect(leadingUnits(h264, new Uint8Array(broken)).units).toEqual([]);
    }
  });

  it("gets parameter sets where a key packet has none, behind the delimiter", () => {
    const data = join([delimiter, sei, slice]);
    const whole = withParameterSets(h264, data, [sps, pps]);
    expect(whole).toEqual(join([delimiter, sps, pps, sei, slice]));
    expect(withParameterSets(h264, whole, [sps, pps])).toBe(whole);
  });

  it("loses what the header says, and becomes the header where it says otherwise", () => {
    const header = new HeaderUnits(h264, join([sps, pps]));
    expect(header.take(join([sei, sps, pps, slice]))).toEqual({
      data: join([sei, slice]),
      header: undefined,
    });
    const plain = join([sei, slice]);
    expect(header.take(plain).data).toBe(plain);
    // The number 1, which 0x40 begins, where the first one's is 0.
    const [otherSps, otherPps] = [unit(7, 9, 9, 9), unit(8, 0x47)];
    expect(header.take(join([otherSps, pps, slice]))).toEqual({
      data: join([slice]),
      header: join([otherSps, pps]),
    });
    expect(header.take(join([otherSps, pps, slice]))).toEqual({ data: join([slice]), header: undefined });
    expect(header.take(join([otherPps, slice])).header).toEqual(join([otherSps, pps, otherPps]));
    expect(header.take(join([sps, pps, slice])).header).toEqual(join([sps, pps]));
    expect(parameterSets(h264, join([sei, sps, pps, slice]))).toHaveLength(2);
  });

  it("says again which picture parameter set holds where one of its number returns", () => {
    for (
      const [codecId, set, [a, b, other]] of [
        [h264, sps, [[0x68, 0x84], [0x68, 0x87], [0x68, 0x00, 0x80, 0x80]]],
        [CODEC_IDS.hevc, { type: 33, data: new Uint8Array([66, 1, 9]) }, [[68, 1, 0x64], [68, 1, 0x67], [
          68,
          1,
          0x84,
        ]]],
      ] as const
    ) {
      const type = codecId === h264 ? 8 : 34;
      const units = [a, b, other].map((bytes) => ({ type, data: new Uint8Array(bytes) }));
      const [first, second, another] = units as [typeof units[0], typeof units[0], typeof units[0]];
      const header = new HeaderUnits(codecId, join([set, first, another]));
      const picture = codecId === h264 ? slice : { type: 19, data: new Uint8Array([38, 1, 9]) };
      const take = (...sets: typeof units) => header.take(join([...sets, picture])).header;
      expect(take(second)).toEqual(join([set, another, second]));
      expect(take(second)).toBeUndefined();
      expect(take(first)).toEqual(join([set, another, first]));
      expect(take(another)).toBeUndefined();
    }
  });
});

describe("without node-av", () => {
  it("says what to install", async () => {
    const bare = join(directory, "bare");
    await mkdir(bare);
    await cp(join(ROOT, "src"), join(bare, "src"), { recursive: true });
    await writeFile(
      join(bare, "main.ts"),
      `import { openMedia } from "./src/media/mod.ts";
       await openMedia("x.mp4").catch((error) => console.log(error.name, error.code, error.message));`,
    );
    const flags = { bun: ["--no-install"], deno: ["run", "-A", "--no-remote", "--no-npm"], node: [] };
    const command = [...flags[thisRuntime], join(bare, "main.ts")];
    const output = await outputOf(process.execPath, command, { cwd: bare });
    expect(output).toContain("CuframesError UNSUPPORTED");
    expect(output).toContain("npm install node-av");
  });
});

describe.skipIf(!existsSync(BOTTLES))("real footage (skipped where ../shared/media is absent)", () => {
  it("with B-frames: all 1189 frames, and a recording that is bit-exact", async () => {
    const path = join(directory, "bottles.mp4");
    await using media = await openMedia(BOTTLES);
    await using recorder = await Recorder.create(path, media.video);
    const read: Read = { packets: [], frames: [], events: [] };
    for await (const event of media) {
      if (event.kind === "frame") read.frames.push(event);
      else {
        read.packets.push(event);
        await recorder.write(event);
      }
    }
    await recorder.close();
    expect([read.packets.length, read.frames.length, recorder.packets]).toEqual([1189, 1189, 1189]);
    expectUsable(read);
    expect(sorted(times(read.packets))).toEqual(times(read.frames));
    expect(await stored(path)).toEqual(await stored(BOTTLES));
  });

  it("with sound: all 377 frames, and a recording with their times", async () => {
    const path = join(directory, "cars.mp4");
    const read = await readAll(CARS);
    expect([read.packets.length, read.frames.length]).toEqual([377, 377]);
    expectUsable(read);
    await record(CARS, path);
    const [source, copy] = [await stored(CARS, 450_000), await stored(path, 450_000)];
    // The source's last packet has a start code inside a NAL unit, which Annex B cannot carry as one unit.
    expect(copy.packets.slice(0, 376)).toEqual(source.packets.slice(0, 376));
    expect(copy.packets[376]).toMatchObject({
      pts: source.packets[376]!.pts,
      duration: source.packets[376]!.duration,
    });
  });

  it.skipIf(!hasFfmpeg())(
    "a recording is to FFmpeg's own program the same as its source (skipped without ffmpeg)",
    async () => {
      const path = join(directory, "bottles-ffmpeg.mp4");
      await record(BOTTLES, path);
      const ffmpeg = (input: string, ...rest: string[]) =>
        outputOfSync("ffmpeg", ["-v", "error", "-i", input, "-map", "0:v", "-c", "copy", ...rest, "-"]);
      const frames = (input: string) =>
        new TextDecoder().decode(ffmpeg(input, "-f", "framemd5")).split("\n").filter((line) =>
          !line.startsWith("#")
        );
      expect(frames(path)).toEqual(frames(BOTTLES));
      const raw = (input: string) => md5(ffmpeg(input, "-bsf:v", "h264_mp4toannexb", "-f", "h264"));
      expect(raw(path)).toBe(raw(BOTTLES));
      const decoded = outputOfSync("ffmpeg", ["-v", "error", "-i", path, "-f", "null", "-"]);
      expect(decoded).toHaveLength(0);
    },
  );
});

function hasFfmpeg(): boolean {
  return succeedsSync("ffmpeg", ["-version"]);
}
