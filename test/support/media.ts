// What the tests of media have in common: clips, planes with padding, all of a file's packets and frames.

import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as av from "node-av";
import { afterAll, expect } from "vitest";
import { succeedsSync } from "../../scripts/lib/process.ts";
import { type ClipOptions, makeClip } from "../../scripts/make_clip.ts";
import { root } from "../../scripts/toolchain.mjs";
import {
  type MediaEvent,
  type MediaFrame,
  type MediaPacket,
  openMedia,
  type OpenMediaOptions,
  Recorder,
} from "../../media.ts";
import { leadingUnits } from "../../src/core/annexb.ts";
import { CODEC_IDS } from "../../src/core/codec.ts";

/** The project's own clip: 250 pictures of 320×240, 25 a second, H.264 with B-frames. */
export const CLIP: string = join(root, "test/fixtures/clip.mp4");
const FOOTAGE = join(root, "../shared/media");
export const BOTTLES: string = join(FOOTAGE, "bottle-detection.mp4");
export const CARS: string = join(FOOTAGE, "car-detection.mp4");
export const SECOND = 1_000_000_000n;

/** A directory of this test file's own. */
export const directory: string = mkdtempSync(join(tmpdir(), "cuframes-media-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Options of the encoders: the same clip on every machine. */
export const X265: Record<string, string> = {
  preset: "ultrafast",
  "x265-params": "log-level=none:bframes=3:keyint=20:pools=1",
};
export const X264: Record<string, string> = { preset: "veryfast", "x264-params": "threads=1" };

/** Makes a clip in the test's directory. */
export async function clip(name: string, options: ClipOptions): Promise<string> {
  const path = join(directory, name);
  await makeClip(path, { width: 160, height: 120, ...options });
  return path;
}

export interface Planes {
  planes: { data: Uint8Array; stride: number; rows: number }[];
  /** Bytes of a plane's rows, one behind the other. */
  pixels(plane: number): Uint8Array;
  /** Whether nothing was written between the rows and behind the planes. */
  untouched(): boolean;
}

const CANARY = 0xa5;

/** Planes with an odd padding behind each row. */
export const planesFor = (...shapes: [rowBytes: number, rows: number][]): Planes => padded(13, ...shapes);

/** Planes with padding behind each row and bytes behind the last one, all set to a known value. */
export function padded(padding: number, ...shapes: [rowBytes: number, rows: number][]): Planes {
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

export const half = (size: number): number => (size + 1) >> 1;
export const nv12 = (width: number, height: number): Planes =>
  planesFor([width, height], [2 * half(width), half(height)]);

export interface Read {
  packets: MediaPacket[];
  frames: MediaFrame[];
  events: MediaEvent[];
}

export async function readAll(
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

export const times = (events: readonly { timestampNs: bigint }[]): bigint[] =>
  events.map((event) => event.timestampNs);
export const sorted = (values: bigint[]): bigint[] =>
  values.toSorted((one, other) => (one < other ? -1 : one > other ? 1 : 0));
export const md5 = (data: Uint8Array): string => createHash("md5").update(data).digest("hex");
export const nalType = (data: Uint8Array): number[] =>
  leadingUnits(CODEC_IDS.h264, data).units.map((unit) => unit.type);

/** What every source must give: usable times, and a frame for each packet. */
export function expectUsable({ packets, frames }: Read): void {
  for (const [index, packet] of packets.entries()) {
    expect(packet.timestampNs >= packet.decodeTimestampNs).toBe(true);
    if (index > 0) expect(packet.decodeTimestampNs > packets[index - 1]!.decodeTimestampNs).toBe(true);
  }
  for (const [index, frame] of frames.entries()) {
    if (index > 0) expect(frame.timestampNs > frames[index - 1]!.timestampNs).toBe(true);
  }
}

export interface Stored {
  md5: string;
  pts: bigint;
  dts: bigint;
  duration: bigint;
  key: boolean;
}

/** A file's video packets as they are stored, by node-av alone; times in ticks of `scale`. */
export async function stored(
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
export async function positionOf(path: string, index: number): Promise<number> {
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

export async function record(source: string, path: string, options?: OpenMediaOptions): Promise<Recorder> {
  await using media = await openMedia(source, { decode: false, ...options });
  await using recorder = await Recorder.create(path, media.video);
  for await (const event of media) if (event.kind === "packet") await recorder.write(event);
  return recorder;
}

/** Whether FFmpeg's own program is there. */
export function hasFfmpeg(): boolean {
  return succeedsSync("ffmpeg", ["-version"]);
}
