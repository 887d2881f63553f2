// `cuframes pipe` read by FFmpeg's own programs: frame counts, timestamps and bits beside a direct stream copy.

import { Buffer } from "node:buffer";
import { closeSync, openSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { inspect } from "../../mod.ts";
import { Child } from "../../scripts/lib/process.ts";
import {
  cuframesCommand,
  ffmpeg,
  ffprobe,
  frameHashes,
  hasFfmpeg,
  type Outcome,
  type ProbedPacket,
  Program,
} from "../support/cli.ts";
import { eventually, stages } from "../support/processes.ts";
import { CLIP, FOOTAGE, Media, noCamera, serve, startCli } from "./support.ts";

const stage = stages();
const media = new Media();

const environment = () => ({ CUFRAMES_RUNTIME_DIR: stage().directory, NO_COLOR: "1" });

/** Runs `cuframes pipe` to its end, its output into a file. */
async function pipeTo(path: string, args: readonly string[]): Promise<Outcome & { path: string }> {
  const file = openSync(path, "w");
  const program = new Program(cuframesCommand(["pipe", "cam", "--wait", "30s", ...args]), {
    env: environment(),
    stdout: file,
  });
  closeSync(file);
  return { ...await program.ended, path };
}

/** Starts a source that waits for its readers. */
function source(input: string, subscribers: number, args: readonly string[] = []) {
  return startCli(stage(), [
    ...["source", input, "--key", "cam", "--json", "--memory", "host"],
    ...["--subscribers", String(subscribers), ...args],
  ]);
}

/** Seconds since the first packet, whose own time the muxer may move. */
function times(packets: readonly ProbedPacket[], name: "pts_time" | "dts_time"): number[] {
  const first = Number(packets[0]![name]);
  return packets.map((packet) => Number(packet[name]) - first);
}

/** MPEG-TS counts in 1/90000 s, ffprobe prints microseconds. */
function expectSameTimes(written: readonly number[], expected: readonly number[]): void {
  expect(written).toHaveLength(expected.length);
  const off = written.map((time, index) => Math.abs(time - expected[index]!));
  expect(Math.max(...off)).toBeLessThan(0.000_03);
}

/** The bare stream of a file, as FFmpeg copies it. */
function copied(file: string, format?: string): Uint8Array {
  const input = format ? ["-f", format, "-i", file] : ["-i", file];
  return ffmpeg([...input, "-map", "0:v", "-c", "copy", "-bsf:v", "h264_mp4toannexb", "-f", "h264", "-"]);
}

describe.skipIf(!hasFfmpeg)("a file's stream", () => {
  for (const file of [CLIP, ...FOOTAGE]) {
    const name = file.split("/").at(-1);
    test(`has the packets, times and bits of a direct stream copy: ${name}`, async () => {
      source(file, 3);
      const [ts, nut, bare] = await Promise.all([
        pipeTo(media.path("packets.ts"), ["--packets"]),
        pipeTo(media.path("packets.nut"), ["--packets", "--format", "nut"]),
        pipeTo(media.path("packets.h264"), ["--packets", "--format", "h264"]),
      ]);
      const { packets } = ffprobe(file);
      for (const { code, stderr } of [ts, nut, bare]) {
        expect(code).toBe(0);
        expect(stderr).toContain(`${packets.length} packets written, 0 dropped`);
      }
      expect(Buffer.compare(readFileSync(bare.path), copied(file))).toBe(0);
      for (const { path } of [ts, nut]) {
        const written = ffprobe(path);
        expect(written.packets.map(({ flags }) => flags[0])).toEqual(packets.map(({ flags }) => flags[0]));
        expectSameTimes(times(written.packets, "pts_time"), times(packets, "pts_time"));
        expect(frameHashes(path, "yuv420p")).toEqual(frameHashes(file, "yuv420p"));
      }
    });

    test(`has the frames of a direct decode: ${name}`, async () => {
      source(file, 3, ["--ring", "16"]);
      const [y4m, raw, nut] = await Promise.all([
        pipeTo(media.path("frames.y4m"), ["--ordered"]),
        pipeTo(media.path("frames.raw"), ["--ordered", "--format", "rawvideo"]),
        pipeTo(media.path("frames.nut"), ["--ordered", "--format", "nut"]),
      ]);
      const expected = frameHashes(file, "yuv420p");
      for (const { code, stderr } of [y4m, raw, nut]) {
        expect(code).toBe(0);
        expect(stderr).toContain(`${expected.length} frames written, 0 dropped`);
      }
      expect(frameHashes(y4m.path, "yuv420p")).toEqual(expected);
      expect(frameHashes(nut.path, "yuv420p")).toEqual(expected);
      const { width, height, avg_frame_rate: rate } = ffprobe(file).streams[0]!;
      expect(ffprobe(y4m.path).streams[0]).toMatchObject({ width, height, pix_fmt: "yuv420p" });
      const [frames, seconds] = ffprobe(y4m.path).streams[0]!.avg_frame_rate.split("/").map(Number);
      const [num, den] = rate.split("/").map(Number);
      expect(frames! / seconds!).toBeCloseTo(num! / den!, 2);
      const shown = times(ffprobe(nut.path).packets, "pts_time");
      expectSameTimes(shown, times(ffprobe(file).packets, "pts_time").sort((one, other) => one - other));
      // No header says what these are.
      const size = width * height * 3 / 2;
      const pixels = readFileSync(raw.path);
      expect(pixels.length).toBe(expected.length * size);
      const direct = ffmpeg([
        "-i",
        file,
        "-map",
        "0:v",
        "-pix_fmt",
        "nv12",
        "-f",
        "rawvideo",
        "-frames:v",
        "3",
        "-",
      ]);
      expect(Buffer.compare(pixels.subarray(0, 3 * size), direct)).toBe(0);
    });
  }

  test("in HEVC is written as it is", async () => {
    const hevc = await media.pattern("hevc.mp4", { codec: "libx265", seconds: 2 });
    source(hevc, 2);
    const [bare, ts] = await Promise.all([
      pipeTo(media.path("bare.hevc"), ["--packets", "--format", "hevc"]),
      pipeTo(media.path("hevc.ts"), ["--packets"]),
    ]);
    expect([bare.code, ts.code]).toEqual([0, 0]);
    expect(frameHashes(bare.path, "yuv420p", "hevc")).toEqual(frameHashes(hevc, "yuv420p"));
    expect(frameHashes(ts.path, "yuv420p")).toEqual(frameHashes(hevc, "yuv420p"));
    expect(ffprobe(ts.path).streams[0]).toMatchObject({ codec_name: "hevc" });
  });

  test("is refused in the words of another codec", async () => {
    source(CLIP, 1);
    const wrong = await pipeTo(media.path("wrong.hevc"), ["--packets", "--format", "hevc"]);
    expect(wrong).toMatchObject({ code: 2 });
    expect(wrong.stderr).toContain("the packets of cam are h264, not hevc");
  });
});

describe.skipIf(!hasFfmpeg)("a reader", () => {
  test("that is stuck holds up nobody; later it gets the newest frame, and the rest is counted", async () => {
    source(CLIP, 0, ["--realtime", "--loop"]);
    const pipe = new Program(cuframesCommand(["pipe", "cam", "--wait", "30s", "--format", "nut"]), {
      env: environment(),
      stdout: "leave",
    });
    // It is not read from: the kernel's buffer takes less than one frame.
    const look = () => inspect("cam", { runtimeDirectory: stage().directory });
    const started = () => look().then(({ subscribers }) => (subscribers[0]?.received ?? 0) > 0, () => false);
    await eventually("it has its first frame", started, 30_000);
    const before = await look();
    await eventually(
      "the publisher goes on",
      async () => (await look()).published > before.published + 50,
      30_000,
    );
    const after = await look();
    expect(after.slotsLeased).toBe(0);
    expect(after.subscribers[0]!.received - before.subscribers[0]!.received).toBeLessThanOrEqual(2);

    const reader = new Child(
      ["ffprobe", "-v", "error", "-f", "nut", "-show_packets", "-of", "csv=p=0:nk=0", "-"],
      { stdin: "pipe", stderr: "inherit" },
    );
    pipe.stdout.pipe(reader.stdin);
    const seconds = () => [...reader.text.matchAll(/\bpts_time=([\d.]+)/g)].map(([, time]) => Number(time));
    await eventually("frames arrive again", () => seconds().length > 10, 30_000);
    const gaps = seconds().slice(1).map((time, index) => time - seconds()[index]!);
    expect(gaps.every((gap) => gap > 0)).toBe(true);
    // Fifty frames at 25 a second were left out, in one place.
    expect(Math.max(...gaps)).toBeGreaterThan(1.5);
    pipe.kill("SIGINT");
    const { code, stderr } = await pipe.ended;
    await reader.end();
    expect(code).toBe(130);
    expect(stderr).not.toMatch(/error|Error/);
  });

  test("in a shell's pipe is an ffmpeg that knows nothing of cuframes", async () => {
    source(CLIP, 1, ["--realtime"]);
    const command = cuframesCommand(["pipe", "cam", "--wait", "30s", "--count", "20"]).map((word) =>
      `'${word}'`
    );
    const shell = new Program(
      ["sh", "-c", `${command.join(" ")} | ffmpeg -v error -i - -f framemd5 -`],
      { env: environment() },
    );
    const { code, stdout } = await shell.ended;
    expect(code).toBe(0);
    const hashes = new TextDecoder().decode(stdout).split("\n").filter((line) => /^\d/.test(line));
    const known = new Set(frameHashes(CLIP, "yuv420p"));
    expect(hashes).toHaveLength(20);
    expect(hashes.every((line) => known.has(line.split(",").at(-1)!.trim()))).toBe(true);
  });
});

describe.skipIf(noCamera)("a camera that dies and comes back", () => {
  test("does not end what reads its frames and packets", async () => {
    const file = await media.repeated(CLIP, 6);
    const first = await serve(stage(), [file]);
    const { port } = first;
    const camera = source(`rtsp://127.0.0.1:${port}/stream`, 2, ["--max-delay", "1s", "--timeout", "5s"]);
    const packets = pipeTo(media.path("gap.ts"), ["--packets", "--name", "packets"]);
    const frames = pipeTo(media.path("gap.nut"), ["--format", "nut", "--name", "frames"]);
    const look = () => inspect("cam", { runtimeDirectory: stage().directory });
    const beyond = (count: number) => async () => {
      const { subscribers } = await look();
      return subscribers.length === 2 &&
        subscribers.every(({ received, packetsReceived }) => received + packetsReceived > count);
    };
    await camera.event("connected");
    await eventually("both read", beyond(30), 30_000);
    await first[Symbol.asyncDispose]();
    await camera.event("disconnected");
    const { subscribers } = await look();
    const counts = subscribers.map(({ received, packetsReceived }) => received + packetsReceived);
    await using _second = await serve(stage(), [file], { port });
    await camera.event("connected");
    await eventually("both go on", beyond(Math.max(...counts) + 30), 30_000);
    camera.kill("SIGTERM");
    const ended = await Promise.all([packets, frames]);
    expect(ended.map(({ code }) => code)).toEqual([0, 0]);
    for (const { path } of ended) {
      const written = times(ffprobe(path).packets, "dts_time");
      expect(written.length).toBeGreaterThan(60);
      expect(written.every((time, index) => index === 0 || time > written[index - 1]!)).toBe(true);
    }
    // Every picture of the packets decodes to one of the file's.
    const known = new Set(frameHashes(file, "yuv420p"));
    const seen = frameHashes(ended[0].path, "yuv420p");
    expect(seen.filter((hash) => known.has(hash)).length).toBeGreaterThanOrEqual(seen.length - 2);
  });
});
