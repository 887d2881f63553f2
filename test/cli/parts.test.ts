// What the commands are made of, without a process: config files, credentials, delays, timelines, rates, parsers.

import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { makeClip } from "../../scripts/make_clip.ts";
import { Backoff } from "../../src/source/backoff.ts";
import { Camera } from "../../src/source/camera.ts";
import { ConfigFile } from "../../src/cli/cameras_config.ts";
import { duration, nameVariables, size } from "../../src/cli/command.ts";
import { exitCodeOf, UsageError } from "../../src/cli/exit.ts";
import { coloursOfFrame, encodeMetadata } from "../../src/source/frame_metadata.ts";
import { frameRate, frameRateOf } from "../../src/cli/frame_rate.ts";
import { Rates } from "../../src/cli/rates.ts";
import { redact, redactText } from "../../src/source/redact.ts";
import { sourceCommand } from "../../src/cli/source.ts";
import { printable, seconds } from "../../src/cli/tables.ts";
import { CuframesError, type PublisherReport } from "../../mod.ts";

function config(text: string): ConfigFile {
  const command = sourceCommand();
  nameVariables(command);
  return new ConfigFile("cameras.yaml", text, command);
}

/** The mistakes that a file is refused with. */
function mistakes(text: string): string[] {
  try {
    config(text).cameras();
  } catch (error) {
    if (error instanceof UsageError) return error.message.split("\n");
    throw error;
  }
  throw new Error("the file was taken");
}

describe("a config file", () => {
  test("gives each camera its options, as variables, over the defaults", () => {
    process.env["CONFIG_TEST_PASSWORD"] = "p@ss";
    const cameras = config(`
defaults: { memory: host, ring: 4, input-option: { stimeout: 5, rtsp_flags: prefer_tcp } }
cameras:
  yard:
    url: rtsp://viewer:\${CONFIG_TEST_PASSWORD}@\${CONFIG_TEST_HOST:-10.0.0.7}/stream
    packets: false
    ring: 16
  drive: { url: "file:$\${literal}.mp4", loop: true, size: 640x360 }
`).cameras();
    expect(cameras).toEqual([
      {
        key: "yard",
        variables: {
          CUFRAMES_KEY: "yard",
          CUFRAMES_URL: "rtsp://viewer:p@ss@10.0.0.7/stream",
          CUFRAMES_MEMORY: "host",
          CUFRAMES_RING: "16",
          CUFRAMES_PACKETS: "0",
          CUFRAMES_INPUT_OPTION: "stimeout=5\nrtsp_flags=prefer_tcp",
        },
      },
      {
        key: "drive",
        variables: {
          CUFRAMES_KEY: "drive",
          CUFRAMES_URL: "file:${literal}.mp4",
          CUFRAMES_MEMORY: "host",
          CUFRAMES_RING: "4",
          CUFRAMES_LOOP: "1",
          CUFRAMES_SIZE: "640x360",
          CUFRAMES_INPUT_OPTION: "stimeout=5\nrtsp_flags=prefer_tcp",
        },
      },
    ]);
  });

  test("is refused with every mistake at its line", () => {
    expect(
      mistakes(`
defaults: { rnig: 4 }
cameras:
  "a b": { url: x.mp4 }
  one: { url: 7 }
  two: { url: x.mp4, size: big, loop: perhaps, memory: disk }
  three: { url: "rtsp://u:\${CONFIG_TEST_UNSET}@h/" }
  four: 4
kameras: {}
`).map((line) => line.replace(/(: there are).*/, "$1")),
    ).toEqual([
      expect.stringContaining('cameras.yaml:9: "kameras" is not known here'),
      expect.stringContaining('cameras.yaml:2: defaults, field "rnig" is not known'),
      expect.stringMatching(/^cameras.yaml:4: camera "a b": "a b" is wrong/),
      expect.stringMatching(/^cameras.yaml:5: camera "one", field "url": it must be a URL/),
      expect.stringMatching(/^cameras.yaml:6: .*"size": "big" is wrong/),
      expect.stringMatching(/^cameras.yaml:6: .*"loop": it must be true or false/),
      expect.stringMatching(/^cameras.yaml:6: .*"memory": "disk" is wrong.*cuda/),
      expect.stringMatching(/^cameras.yaml:7: .*CONFIG_TEST_UNSET is not set/),
      expect.stringMatching(/^cameras.yaml:8: camera "four": it must have fields/),
    ]);
    expect(mistakes("cameras: { one: {} }")).toEqual(['cameras.yaml:1: camera "one" has no "url"']);
    expect(mistakes("cameras: {}")[0]).toContain('"cameras" has none');
    expect(mistakes("")[0]).toContain("the file");
    expect(mistakes("- a\n- b")[0]).toContain("it must have fields");
    expect(mistakes("cameras:\n  one: { url: x\n  two: y }\n")[0]).toMatch(/^cameras.yaml:\d: /);
    expect(mistakes("cameras: { one: { url: x }, one: { url: y } }")[0]).toMatch(/unique/i);
  });

  test("does not tell a password with a mistake", () => {
    const told = mistakes(`cameras: { one: { url: "rtsp://u:s3cret@h/", ring: "rtsp://u:s3cret@h/" } }`);
    expect(redactText(told.join("\n"))).not.toContain("s3cret");
  });
});

test("credentials are taken out of URLs and of sentences", () => {
  expect(redact("rtsp://user:p@ss/w:rd?@cam.local:554/a/b?token=1#x")).toBe("rtsp://cam.local:554/a/b");
  expect(redact("/plain/path?x@y")).toBe("/plain/path?x@y");
  expect(redactText("opening rtsp://u:p@h/s: refused; see http://v:q@w/x?k=1, (rtmp://a:b@c/d).")).toBe(
    "opening rtsp://h/s: refused; see http://w/x, (rtmp://c/d).",
  );
});

test("delays between attempts double up to the longest one, with jitter", () => {
  const delays = new Backoff(3000);
  const bounds = [500, 1000, 2000, 3000, 3000];
  for (const bound of bounds) {
    const delay = delays.next();
    expect(delay).toBeGreaterThanOrEqual(bound / 2);
    expect(delay).toBeLessThanOrEqual(bound);
  }
  delays.reset();
  expect(delays.next()).toBeLessThanOrEqual(500);
  delays.slow();
  expect(delays.next()).toBeGreaterThanOrEqual(1500);
  const drawn = Array.from({ length: 20 }, () => new Backoff(1000).next());
  expect(new Set(drawn).size).toBeGreaterThan(1);
});

describe("a camera is knocked at", () => {
  const directory = mkdtempSync(join(tmpdir(), "cuframes-parts-"));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  /** The waits before the first attempts again, by a clock on which all takes 6 s. */
  async function waits(input: string, count: number): Promise<number[]> {
    let nowMs = 0;
    const clock = vi.spyOn(performance, "now").mockImplementation(() => nowMs += 6000);
    onTestFinished(() => clock.mockRestore());
    const enough = new AbortController();
    const seen: number[] = [];
    using camera = new Camera({
      ...{
        key: "cam",
        place: { runtimeDirectory: directory },
        input,
        inputFormat: "mpegts",
        inputOptions: {},
      },
      ...{ ring: 4, memory: "host", device: 0, packets: true, packetSlots: 64, packetMemory: 1 << 20 },
      ...{ decoder: undefined, realtime: false, loop: false, size: undefined, format: undefined },
      ...{ transport: "tcp", timeout: 30_000, reconnect: true, longestDelay: 60_000, subscribers: 0 },
      socketMode: undefined,
    }, (event) => {
      if (event.event !== "disconnected") return;
      seen.push(event.retryIn);
      if (seen.length === count) enough.abort();
    });
    await expect(camera.run(enough.signal)).rejects.toThrow();
    return seen;
  }

  test("less and less often while it does not answer, however long that takes", async () => {
    const [first, second, third] = await waits("tcp://127.0.0.1:1", 3);
    expect(first).toBeLessThanOrEqual(500);
    expect(second).toBeGreaterThan(500);
    expect(third).toBeGreaterThanOrEqual(1000);
  });

  test("soon again after a connection that lasted", async () => {
    const clip = join(directory, "clip.ts");
    await makeClip(clip, { width: 160, height: 120, frames: 50 });
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.end(readFileSync(clip));
    });
    onTestFinished(() => void server.close());
    await once(server.listen(0, "127.0.0.1"), "listening");
    const { port } = server.address() as AddressInfo;
    for (const wait of await waits(`tcp://127.0.0.1:${port}`, 3)) expect(wait).toBeLessThanOrEqual(500);
  });
});

test("rates are those between two looks", () => {
  const subscriber = { name: "one", pid: 2, received: 10, dropped: 1, lag: 5, packetsReceived: 0 };
  const report = (received: number, dropped: number, published: number) => ({
    key: "cam",
    pid: 1,
    frameRate: 25,
    packets: { codecId: 27, published },
    subscribers: [{ ...subscriber, received, dropped }, { ...subscriber, received: 2 * received, dropped }],
  } as unknown as PublisherReport);
  const rates = new Rates();
  const first = rates.of([report(10, 1, 100)], 0)[0]!;
  expect(first.packetRate).toBeUndefined();
  expect(first.subscribers[0]).toMatchObject({ frameRate: undefined, latency: 0.2 });
  const second = rates.of([report(20, 4, 150)], 2000)[0]!;
  expect(second).toMatchObject({ packetRate: 25 });
  expect(second.subscribers).toMatchObject([{ frameRate: 5, dropRate: 1.5 }, { frameRate: 10 }]);
  // Another subscriber of that name counts from 0.
  expect(rates.of([report(3, 0, 200)], 3000)[0]!.subscribers[0]!.frameRate).toBeUndefined();
});

test("durations, sizes and rates are read, and anything else is refused", () => {
  expect(["500ms", "60s", "5m", "1h", "1d", "2.5", "7"].map(duration)).toEqual([
    ...[0.5, 60, 300, 3600, 86400, 2.5, 7],
  ]);
  for (const wrong of ["", "0", "-1s", "1w", "1 s", "s", "1e9", "Infinity"]) {
    expect(() => duration(wrong)).toThrow("duration");
  }
  expect(size("1280x720")).toEqual({ width: 1280, height: 720 });
  for (const wrong of ["0x1", "1x", "1x99999", "axb", "1x1x1"]) expect(() => size(wrong)).toThrow("WIDTHx");
  expect(["25", "29.97", "30000/1001", "12.5"].map(frameRate)).toEqual([
    { num: 25, den: 1 },
    { num: 30000, den: 1001 },
    { num: 30000, den: 1001 },
    { num: 12500, den: 1000 },
  ]);
  for (const wrong of ["", "0", "1/0", "1001", "x"]) {
    expect(() => frameRate(wrong)).toThrow("frames a second");
  }
  expect(frameRateOf(33_366_667n, 0)).toEqual({ num: 30000, den: 1001 });
  expect(frameRateOf(0n, 24.9)).toEqual({ num: 25, den: 1 });
  expect(frameRateOf(0n, 0)).toBeUndefined();
});

test("a frame's colours are those asked for, else those its metadata states", () => {
  const stated = encodeMetadata({
    colorSpace: { primaries: null, transfer: null, matrix: "bt709", fullRange: true },
  });
  const nv12 = (metadata: Uint8Array) => ({ format: "NV12", metadata: metadata.slice() } as const);
  expect(coloursOfFrame({}, nv12(stated))).toEqual({ matrix: "bt709", range: "full" });
  expect(coloursOfFrame({ matrix: "bt601", range: "limited" }, nv12(stated))).toEqual({
    matrix: "bt601",
    range: "limited",
  });
  expect(coloursOfFrame({}, { ...nv12(stated), format: "GRAY8" })).toEqual({ matrix: "auto" });
  // Metadata is whatever a publisher writes.
  const others = [
    "",
    "\u{0}",
    "null",
    "[]",
    '{"colorSpace":7}',
    '{"colorSpace":{"matrix":"__proto__","fullRange":1}}',
  ];
  for (const text of others) {
    expect(coloursOfFrame({}, nv12(new TextEncoder().encode(text)))).toEqual({ matrix: "auto" });
  }
});

test("words of other processes do not steer the terminal", () => {
  expect(printable("a\x1b[2Jb\u202e")).toBe("a\ufffd[2Jb\ufffd");
  expect([0.0123, 1.25, 61, 7260, 90_000].map(seconds)).toEqual(["12ms", "1.3s", "1m1s", "2h1m", "1d1h"]);
});

test("exit codes tell errors apart", () => {
  const codes = ["NOT_FOUND", "ALREADY_EXISTS", "TIMEOUT", "INVALID_ARGUMENT", "CUDA"] as const;
  expect(codes.map((code) => exitCodeOf(new CuframesError(code, "")))).toEqual([3, 4, 5, 2, 1]);
  expect(exitCodeOf(Object.assign(new Error(), { code: "ENOSPC" }))).toBe(6);
  expect(exitCodeOf(new UsageError(""))).toBe(2);
});
