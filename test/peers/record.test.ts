// `cuframes record`: its files read by FFmpeg's own programs, through cameras, publishers and disks that fail.

import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import process from "node:process";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { inspect } from "../../mod.ts";
import { outputOfSync } from "../../scripts/lib/process.ts";
import { ffprobe, frameHashes, hasFfmpeg, type ProbedPacket } from "../support/cli.ts";
import { eventually, type Process, stages } from "../support/processes.ts";
import { CLIP, FOOTAGE, Media, noCamera, serve, startCli } from "./support.ts";

const stage = stages();
const media = new Media();

interface Segment {
  path: string;
  seconds: number;
  packets: number;
  bytes: number;
}

function source(input: string, subscribers = 1, args: readonly string[] = []): Process {
  return startCli(stage(), [
    ...["source", input, "--key", "cam", "--json", "--memory", "host", "--no-frames"],
    ...["--subscribers", String(subscribers), ...args],
  ]);
}

function record(output: string, args: readonly string[] = []): Process {
  return startCli(stage(), ["record", "cam", "--output", output, "--json", "--wait", "30s", ...args]);
}

/** Lets a process end by itself and gives all its events of a name. */
async function eventsOf<Details>(program: Process, name: string): Promise<Details[]> {
  await program.exited;
  const events: Details[] = [];
  for (let event = program.taken<Details>(name); event; event = program.taken<Details>(name)) {
    events.push(event);
  }
  return events;
}

const hashes = (packets: readonly ProbedPacket[]) => packets.map(({ data_hash }) => data_hash);
const shown = (packets: readonly ProbedPacket[]) => packets.map(({ pts_time }) => Number(pts_time));

function isRising(numbers: readonly number[]): boolean {
  return numbers.every((number, index) => index === 0 || number > numbers[index - 1]!);
}

describe.skipIf(!hasFfmpeg)("a file's stream", () => {
  for (const file of [CLIP, ...FOOTAGE]) {
    test(`is recorded as FFmpeg copies it: ${basename(file)}`, async () => {
      source(file, 3);
      const paths = ["mp4", "mkv", "ts"].map((extension) =>
        media.path(`${basename(file)}.copy.${extension}`)
      );
      const recordings = paths.map((path) => record(path, ["--no-reconnect"]));
      const segments = await Promise.all(recordings.map((one) => eventsOf<Segment>(one, "segment")));
      const { packets } = ffprobe(file);
      for (const [index, path] of paths.entries()) {
        expect(await recordings[index]!.exited).toEqual({ code: 0, signal: null });
        expect(segments[index]).toMatchObject([{
          path,
          packets: packets.length,
          bytes: statSync(path).size,
        }]);
        const written = ffprobe(path).packets;
        expect(written.map(({ flags }) => flags[0])).toEqual(packets.map(({ flags }) => flags[0]));
        const [first, origin] = [shown(written)[0]!, shown(packets)[0]!];
        const off = shown(written).map((time, at) => Math.abs(time - first - (shown(packets)[at]! - origin)));
        // Matroska counts in ms.
        expect(Math.max(...off)).toBeLessThan(path.endsWith("mkv") ? 0.001 : 0.000_03);
        expect(frameHashes(path, "yuv420p")).toEqual(frameHashes(file, "yuv420p"));
      }
      // An MP4 has the very packets; not so where a unit of the original has a start code within.
      if (!file.includes("car")) expect(hashes(ffprobe(paths[0]!).packets)).toEqual(hashes(packets));
    });
  }

  test("is cut at key packets, and nothing is lost or written twice", async () => {
    const file = await media.pattern("minute.mp4", { seconds: 20 }); // a key packet each second
    source(file);
    const recorder = record(media.path("cut/%Y/%%-%j.mp4"), ["--segment", "5s", "--no-reconnect"]);
    const segments = await eventsOf<Segment>(recorder, "segment");
    const folder = media.path(`cut/${new Date().getFullYear()}`);
    expect(segments.map(({ path }) => path.startsWith(join(folder, "%-")))).toEqual(segments.map(() => true));
    // All began on the same day: a number tells them apart.
    expect(new Set(segments.map(({ path }) => path)).size).toBe(segments.length);
    expect(readdirSync(folder)).toHaveLength(4);
    expect(segments.map(({ packets }) => packets)).toEqual([125, 125, 125, 125]);
    const parts = segments.map(({ path }) => ffprobe(path).packets);
    for (const part of parts) {
      expect(part[0]!.flags).toContain("K");
      expect(Number(part[0]!.pts_time)).toBe(0);
    }
    expect(parts.flatMap(hashes)).toEqual(hashes(ffprobe(file).packets));
  });

  test("that changes its codec on the way continues in another file", async () => {
    const [avc, hevc] = await Promise.all([
      media.pattern("first.mp4", { seconds: 2 }),
      media.pattern("second.mp4", { seconds: 2, codec: "libx265" }),
    ]);
    const path = media.path("codecs.mp4");
    const recorder = record(path);
    await source(avc).exited;
    await source(hevc).exited;
    const first = await recorder.event<Segment>("segment");
    await eventually("all is recorded", () => ffprobeCount(media.path("codecs-1.mp4")) >= 25, 30_000);
    recorder.kill("SIGINT");
    expect(await recorder.exited).toEqual({ code: 130, signal: null });
    const second = await recorder.event<Segment>("segment");
    expect([first, second]).toMatchObject([{ packets: 50 }, { packets: 50 }]);
    expect(await recorder.event("end")).toMatchObject({ segments: 2, packets: 100, lost: 0, reconnects: 1 });
    expect(frameHashes(first.path, "yuv420p")).toEqual(frameHashes(avc, "yuv420p"));
    expect(frameHashes(second.path, "yuv420p")).toEqual(frameHashes(hevc, "yuv420p"));
  });
});

/** How many packets can be played of a file that is being written; 0 where there is none. */
function ffprobeCount(path: string): number {
  try {
    return ffprobe(path).packets.length;
  } catch {
    return 0;
  }
}

describe.skipIf(!hasFfmpeg)("a recorder", () => {
  for (const extension of ["mp4", "mkv", "ts"]) {
    test(`that is killed leaves a .${extension} that plays up to its last second`, async () => {
      source(CLIP, 1, ["--realtime"]);
      const path = media.path(`killed.${extension}`);
      const recorder = record(path);
      await recorder.event("begin");
      const look = () => inspect("cam", { runtimeDirectory: stage().directory });
      const published = async () => (await look()).packets?.published ?? 0;
      await eventually("some seconds are recorded", async () => await published() > 100, 60_000);
      const before = await published();
      recorder.kill("SIGKILL");
      await recorder.exited;
      const { packets } = ffprobe(path);
      expect(packets.length).toBeGreaterThanOrEqual(before - 30);
      expect(hashesOf(path).every((hash, index) => hash === hashesOf(CLIP)[index])).toBe(true);
    });
  }

  const decoded = new Map<string, string[]>();
  function hashesOf(path: string): string[] {
    const known = decoded.get(path) ?? frameHashes(path, "yuv420p");
    decoded.set(path, known);
    return known;
  }

  test.each(["SIGINT", "SIGTERM"] as const)("completes its file at %s", async (name) => {
    source(CLIP, 1, ["--realtime", "--loop"]);
    const path = media.path(`${name}.mp4`);
    const recorder = record(path);
    await recorder.event("begin");
    await eventually("it writes", () => statSync(path).size > 0, 30_000);
    recorder.kill(name);
    expect(await recorder.exited).toEqual({ code: name === "SIGINT" ? 130 : 143, signal: null });
    const { packets } = await recorder.event<Segment>("segment");
    expect(ffprobe(path).packets).toHaveLength(packets);
    // An ordinary file: its index is there, and no fragment is.
    expect(boxesOf(path)).toContain("moov");
    expect(boxesOf(path)).not.toContain("moof");
  });

  test("outlives its publisher, and never overwrites a file", async () => {
    const path = media.path("taken.mp4");
    writeFileSync(path, "somebody's");
    const recorder = record(path);
    await source(CLIP).exited;
    await source(CLIP).exited;
    const recorded = media.path("taken-1.mp4");
    await eventually("both are there", () => ffprobeCount(recorded) > 300, 30_000);
    recorder.kill("SIGTERM");
    await recorder.exited;
    expect(readFileSync(path, "utf8")).toBe("somebody's");
    expect(await recorder.event("end")).toMatchObject({ segments: 1, packets: 500, lost: 0, reconnects: 1 });
    const { packets } = ffprobe(recorded);
    expect(packets).toHaveLength(500);
    expect(isRising(packets.map(({ dts_time }) => Number(dts_time)))).toBe(true);
    const once = frameHashes(CLIP, "yuv420p");
    expect(frameHashes(recorded, "yuv420p")).toEqual([...once, ...once]);
  });
});

/** Names of an MP4's outermost boxes, ISO/IEC 14496-12. */
function boxesOf(path: string): string[] {
  const bytes = readFileSync(path);
  const names: string[] = [];
  for (let at = 0; at + 8 <= bytes.length;) {
    names.push(bytes.toString("latin1", at + 4, at + 8));
    const size = bytes.readUInt32BE(at);
    at += size === 1 ? Number(bytes.readBigUInt64BE(at + 8)) : size === 0 ? bytes.length : size;
  }
  return names;
}

describe.skipIf(noCamera)("a camera that dies and comes back", () => {
  test("is one file with a gap", async () => {
    const file = await media.repeated(CLIP, 6);
    const first = await serve(stage(), [file]);
    const { port } = first;
    const camera = source(`rtsp://127.0.0.1:${port}/stream`, 1, ["--max-delay", "1s", "--timeout", "5s"]);
    const path = media.path("camera.mp4");
    const recorder = record(path);
    const look = () => inspect("cam", { runtimeDirectory: stage().directory });
    const received = async () => (await look()).subscribers[0]?.packetsReceived ?? 0;
    await camera.event("connected");
    await eventually("it records", async () => await received() > 50, 30_000);
    await first[Symbol.asyncDispose]();
    await camera.event("disconnected");
    const before = await received();
    await using _second = await serve(stage(), [file], { port });
    await camera.event("connected");
    await eventually("it goes on", async () => await received() > before + 50, 30_000);
    recorder.kill("SIGINT");
    await recorder.exited;
    const { packets: count } = await recorder.event<Segment>("segment");
    expect(await recorder.event("end")).toMatchObject({ lost: 0, reconnects: 0 });
    const { packets } = ffprobe(path);
    expect(packets).toHaveLength(count);
    const decodes = packets.map(({ dts_time }) => Number(dts_time));
    expect(isRising(decodes)).toBe(true);
    const gaps = decodes.slice(1).map((time, index) => time - decodes[index]!);
    expect(gaps.filter((gap) => gap > 0.2)).toHaveLength(1);
    const known = new Set(frameHashes(file, "yuv420p"));
    const seen = frameHashes(path, "yuv420p");
    expect(seen.filter((hash) => known.has(hash)).length).toBeGreaterThanOrEqual(seen.length - 2);
  });
});

/** Small file systems of memory, which only root can mount. */
const mounts: string[] = [];
afterEach(() => {
  for (const path of mounts.splice(0)) outputOfSync("umount", ["--lazy", path]);
});

function smallDisk(name: string, size: string): string {
  const path = media.path(name);
  mkdirSync(path);
  outputOfSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "cuframes-test", path]);
  mounts.push(path);
  return path;
}

const noMount = ((): string | undefined => {
  if (process.getuid?.() !== 0) return "not root";
  try {
    const path = smallDisk("probe", "4k");
    outputOfSync("umount", [path]);
    mounts.pop();
    return undefined;
  } catch (error) {
    return String(error);
  }
})();
if (noMount) console.warn(`tests with a full disk are skipped: ${noMount}`);

describe.skipIf(!hasFfmpeg || noMount)("a full disk", () => {
  // A megabyte is full in some seconds.
  let detailed: Promise<string>;
  beforeAll(() => detailed = media.pattern("detailed.mp4", { size: "640x480", seconds: 20 }));

  for (const extension of ["mp4", "mkv", "ts"]) {
    test(`ends the recording with exit code 6, and the .${extension} plays`, async () => {
      const path = join(smallDisk(`full-${extension}`, "1m"), `cam.${extension}`);
      source(await detailed, 1, ["--realtime"]);
      const recorder = record(path);
      expect(await recorder.exited).toEqual({ code: 6, signal: null });
      expect(recorder.errors).toMatch(/cam\.\w+: No space left on device/);
      const { packets } = ffprobe(path);
      expect(packets.length).toBeGreaterThan(25);
      const known = new Set(frameHashes(await detailed, "yuv420p"));
      const seen = frameHashes(path, "yuv420p");
      expect(seen.length).toBeGreaterThan(25);
      // The last picture of a stream that was cut may be half there.
      expect(seen.slice(0, -1).every((hash) => known.has(hash))).toBe(true);
    });
  }

  test("is waited for where that is asked for, and nobody else is held up", async () => {
    const disk = smallDisk("waiting", "1m");
    writeFileSync(join(disk, "ballast"), new Uint8Array(500_000));
    const camera = source(await detailed, 1, ["--realtime", "--loop", "--interval", "1s"]);
    const recorder = record(join(disk, "cam.ts"), ["--disk-full", "wait"]);
    const first = await recorder.event<Segment>("segment");
    await eventually(
      "it says so",
      () => recorder.errors.includes("packets are dropped until there is room"),
      30_000,
    );
    outputOfSync("rm", [join(disk, "ballast"), first.path]);
    const next = await recorder.event<{ path: string }>("begin").then(() =>
      recorder.event<{ path: string }>("begin")
    );
    await eventually("it records again", () => statSync(next.path).size > 200_000, 60_000);
    recorder.kill("SIGTERM");
    expect((await recorder.exited).code).toBe(143);
    expect(ffprobe(next.path).packets.length).toBeGreaterThan(5);
    expect(await camera.event("status")).toMatchObject({ packetsDropped: 0 });
  });
});
