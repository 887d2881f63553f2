// A camera published by the library alone: what is told, what subscribers get, and how it ends.

import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { makeClip } from "../../scripts/make_clip.ts";
import { root } from "../../scripts/toolchain.mjs";
import { openMedia, Recorder } from "../../media.ts";
import { Subscriber } from "../../mod.ts";
import { startCuframes } from "../support/cli.ts";
import { eventually } from "../support/processes.ts";
import { CameraSource, type CameraSourceEvent, type CameraSourceOptions } from "../../source.ts";

const CLIP = join(root, "test/fixtures/clip.mp4");
const directory = mkdtempSync(join(tmpdir(), "cuframes-source-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** A source of the project's clip, at its own pace, over and over. */
function start(key: string, options: Partial<CameraSourceOptions> = {}): CameraSource {
  return CameraSource.start({
    ...{ input: CLIP, key, runtimeDirectory: directory, memory: "host", realtime: true, loop: true },
    ...options,
  });
}

const connect = (key: string) => Subscriber.connect(key, { runtimeDirectory: directory, timeout: 20_000 });

test("frames and packets of an input are published, and it is told what they are", async () => {
  const events: CameraSourceEvent[] = [];
  await using source = start("whole", {
    ...{ slots: 4, width: 160, height: 120, format: "RGBA", packets: { slots: 64, dataSize: 1 << 20 } },
    onEvent: (event) => events.push(event),
  });
  expect(events).toEqual([]);
  expect([source.key, source.stats().state]).toEqual(["whole", "connecting"]);
  using camera = await connect("whole");
  using frame = await camera.next({ timeout: 20_000 });
  expect([frame.codedWidth, frame.codedHeight, frame.format]).toEqual([160, 120, "RGBA"]);
  expect([frame.colorSpace.matrix, frame.colorSpace.fullRange, frame.fieldOrder]).toEqual([
    ...["rgb", true, "progressive"],
  ]);
  expect([frame.displayWidth, frame.displayHeight, frame.rotation, frame.flip]).toEqual([160, 120, 0, false]);
  expect(frame.visibleRect).toEqual({ x: 0, y: 0, width: 160, height: 120 });
  // A file does not say when its pictures were taken; metadata is nobody's but the user's.
  expect([frame.captureTime, frame.metadata.length]).toEqual([null, 0]);
  using packets = camera.packets();
  const packet = await packets.next({ timeout: 20_000 });
  expect(packet.type).toBe("key");
  expect(packets.decoderConfig.codec).toBe("avc1.64000d");
  expect(events).toEqual([
    { kind: "connecting", input: CLIP },
    {
      ...{ kind: "connected", codec: "avc1.64000d", codedWidth: 320, codedHeight: 240, frameRate: 25 },
      ...{ width: 160, height: 120, format: "RGBA", memory: "host", frames: true, packets: true },
    },
  ]);
  const stats = source.stats();
  expect(stats).toMatchObject({ state: "streaming", reconnects: 0, subscribers: 1, packetsDropped: 0 });
  expect(stats.frames).toBeGreaterThan(0);
  expect(stats.packets).toBeGreaterThan(0);
  expect(stats.packetBytes).toBeGreaterThan(stats.packets);
});

test("a live input's frames say when they were taken", async () => {
  await using _source = CameraSource.start({
    ...{ input: "testsrc2=s=64x48:r=25", inputFormat: "lavfi", key: "live", runtimeDirectory: directory },
    ...{ memory: "host", realtime: true },
  });
  using camera = await Subscriber.connect("live", {
    ...{ runtimeDirectory: directory, timeout: 20_000, mode: "ordered" },
  });
  const before = Date.now();
  let last = 0;
  for (let count = 0; count < 10; count++) {
    using frame = await camera.next({ timeout: 20_000 });
    // Those that came in one ms, as the first do while the input's streams are looked for, may have the same time.
    expect(frame.captureTime).toBeGreaterThanOrEqual(last);
    last = frame.captureTime!;
    expect(Math.abs(last / 1000 - before)).toBeLessThan(20_000);
  }
});

test("a file that is over ends its source, and everything was published", async () => {
  await using source = start("over", { realtime: false, loop: false, subscribers: 1 });
  using camera = await Subscriber.connect("over", {
    ...{ runtimeDirectory: directory, timeout: 20_000, mode: "ordered" },
  });
  let frames = 0;
  for await (using _frame of camera) frames++;
  await source.closed;
  expect(frames).toBe(250);
  expect(source.stats()).toMatchObject({ state: "ended", frames: 250, packets: 250, framesDropped: 0 });
});

describe("a file waits for its ordered subscribers", () => {
  const file = { realtime: false, loop: false, subscribers: 1, packets: false, slots: 4 } as const;
  const connectOrdered = (key: string) =>
    Subscriber.connect(key, { runtimeDirectory: directory, timeout: 20_000, mode: "ordered" });

  /** Every slot has a frame that was not delivered. */
  async function stalled(source: CameraSource): Promise<number> {
    await eventually("the source waits", () => source.stats().frames >= 4);
    return source.stats().frames;
  }

  test("longer than anybody would, and loses nothing", async () => {
    await using source = start("waits", file);
    using camera = await connectOrdered("waits");
    (await camera.next({ timeout: 20_000 })).close();
    const published = await stalled(source);
    // The time itself is what is tried: it once was 5 s.
    await delay(5500);
    expect(source.stats().frames - published).toBeLessThanOrEqual(1);
    let frames = 1;
    for await (using frame of camera) {
      expect([Number(frame.sequence), frame.discontinuity]).toEqual([++frames, false]);
    }
    expect(frames).toBe(250);
    expect(source.stats()).toMatchObject({ frames: 250, framesDropped: 0 });
  }, 30_000);

  test("for its patience, and counts and marks what it drops then", async () => {
    await using source = start("impatient", { ...file, patience: 30 });
    using camera = await connectOrdered("impatient");
    using first = await camera.next({ timeout: 20_000 });
    await eventually("frames are dropped", () => source.stats().framesDropped >= 3);
    const seen = [first.timestamp];
    const marked: number[] = [];
    for await (using frame of camera) {
      if (frame.discontinuity) marked.push(seen.length);
      seen.push(frame.timestamp);
    }
    const { frames, framesDropped } = source.stats();
    expect([seen.length, seen.length + framesDropped]).toEqual([frames, 250]);
    const gaps = seen.flatMap((time, index) => index > 0 && time - seen[index - 1]! > 40_000 ? [index] : []);
    expect(gaps.length).toBeGreaterThan(0);
    expect(marked).toEqual(gaps);
    const missed = gaps.reduce((sum, at) => sum + (seen[at]! - seen[at - 1]!) / 40_000 - 1, 0);
    expect(missed).toBe(framesDropped);
  });

  test("until they die, and no longer", async () => {
    await using source = start("mourns", { ...file, subscribers: 2 });
    using camera = await connectOrdered("mourns");
    const reader = startCuframes(["pipe", "mourns", "--ordered", "--fps", "25", "--wait", "20s"], {
      stdout: "leave",
      env: { CUFRAMES_RUNTIME_DIR: directory },
    });
    let frames = 0;
    const reading = (async () => {
      for await (using _frame of camera) frames++;
    })();
    // The pipe to the reader holds less than a frame, so that it stands still.
    await eventually(
      "it waits for the reader",
      () => source.stats().frames > 4 && frames === source.stats().frames,
    );
    await delay(200);
    expect(frames).toBeLessThan(250);
    reader.kill("SIGKILL");
    await reading;
    expect(frames).toBe(250);
    expect(source.stats()).toMatchObject({ frames: 250, framesDropped: 0 });
  }, 40_000);
});

test("of packets that an edit list hides no frames are published, and they say so", async () => {
  const input = join(directory, "edited.mp4");
  await using media = await openMedia(CLIP, { decode: false });
  await using recorder = await Recorder.create(input, media.video);
  for await (const event of media) {
    if (event.kind === "packet") await recorder.write({ ...event, hidden: event.timestampNs < 360_000_000n });
  }
  await recorder.close();
  await using source = start("edited", { input, realtime: false, loop: false, subscribers: 1 });
  using camera = await Subscriber.connect("edited", {
    ...{ runtimeDirectory: directory, timeout: 20_000, mode: "ordered" },
  });
  using packets = camera.packets({ wait: true, sinceConnection: true });
  let frames = 0;
  for await (using frame of camera) if (frames++ === 0) expect(frame.timestamp).toBe(0);
  const hidden: number[] = [];
  for await (const packet of packets) if (packet.hidden) hidden.push(packet.timestamp);
  expect(hidden.sort((one, other) => one - other)).toEqual(
    Array.from({ length: 9 }, (_, index) => (index - 9) * 40_000),
  );
  await source.closed;
  expect([frames, source.stats().packets]).toEqual([241, 250]);
});

test.each([["frames", { packets: false }], ["packets", { frames: false }]] as const)(
  "%s alone can be published",
  async (kind, options) => {
    await using _source = start(`only-${kind}`, options);
    using camera = await connect(`only-${kind}`);
    if (kind === "frames") (await camera.next({ timeout: 20_000 })).close();
    else await camera.packets({ wait: true }).next({ timeout: 20_000 });
    if (kind === "frames") {
      expect(() => camera.packets()).toThrow(expect.objectContaining({ code: "NO_PACKET_RING" }));
    } else {
      await expect(camera.next({ timeout: 100 })).rejects.toMatchObject({ code: "UNSUPPORTED" });
    }
  },
);

describe("a source ends", () => {
  const socketOf = (key: string) => join(directory, `${key}.sock`);

  test("by close() or disposal, at once and without a trace, more than once", async () => {
    const source = start("closed");
    (await connect("closed")).close();
    const closing = source.close();
    expect(existsSync(socketOf("closed"))).toBe(false);
    await closing;
    await source.close();
    await source.closed;
    expect(source.stats()).toMatchObject({ state: "ended", subscribers: 0 });
    {
      using _disposed = start("closed");
      (await connect("closed")).close();
    }
    expect(existsSync(socketOf("closed"))).toBe(false);
  });

  test("before it has opened anything", async () => {
    const events: CameraSourceEvent[] = [];
    const source = start("early", { onEvent: (event) => events.push(event) });
    await source.close();
    await source.closed;
    expect(events).toEqual([]);
    expect(readdirSync(directory).filter((name) => name.startsWith("early"))).toEqual([]);
  });

  test("by its signal, with the signal's reason", async () => {
    const abort = new AbortController();
    const source = start("aborted", { signal: abort.signal });
    (await connect("aborted")).close();
    const reason = new Error("enough");
    abort.abort(reason);
    expect(existsSync(socketOf("aborted"))).toBe(false);
    await expect(source.closed).rejects.toBe(reason);
    expect(() => start("aborted", { signal: abort.signal })).toThrow(reason);
  });

  test("by what another attempt would not mend, and by what its listener throws", async () => {
    const input = join(directory, "absent.mp4");
    await expect(start("absent", { input }).closed).rejects.toMatchObject({ code: "NOT_FOUND" });
    const refused = start("refused", { input: "tcp://127.0.0.1:1", reconnect: false });
    await expect(refused.closed).rejects.toMatchObject({ code: "IO" });
    await using _first = start("taken");
    (await connect("taken")).close();
    await expect(start("taken").closed).rejects.toMatchObject({ code: "ALREADY_EXISTS" });
    const mistake = new Error("a listener's own");
    const onEvent = () => {
      throw mistake;
    };
    await expect(start("listened", { onEvent }).closed).rejects.toBe(mistake);
  });
});

test("a wrong option is refused at once, by its name", () => {
  const cases: [Partial<CameraSourceOptions>, RegExp][] = [
    [{ input: "" }, /the input is empty/],
    [{ key: "a b" }, /key "a b"/],
    [{ frames: false, packets: false }, /nothing to publish/],
    [{ slots: 1 }, /slots is 1/],
    [{ memory: "disk" as "host" }, /memory is "disk": .*auto, host, cuda/],
    [{ hardware: "cpu" as "none" }, /hardware is "cpu": .*auto, none, cuda/],
    [{ device: -1 }, /device is -1/],
    [{ width: 0 }, /width is 0/],
    [{ height: 99_999 }, /height is 99999/],
    [{ packets: { slots: 0 } }, /packets.slots is 0/],
    [{ packets: { dataSize: 2 ** 31 } }, /packets.dataSize is 2147483648/],
    [{ transport: "sctp" as "tcp" }, /transport is "sctp"/],
    [{ timeout: 0 }, /timeout is 0/],
    [{ patience: 0 }, /patience is 0/],
    [{ maxDelay: NaN }, /maxDelay is NaN/],
    [{ subscribers: 65 }, /subscribers is 65/],
    [{ socketMode: 0o1000 }, /socketMode is 512/],
  ];
  for (const [options, sentence] of cases) {
    expect(() => start("wrong", options)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", message: expect.stringMatching(sentence) }),
    );
  }
  const format = "YUYV" as "NV12";
  expect(() => start("wrong", { format })).toThrow(expect.objectContaining({ code: "FORMAT" }));
});

test("a camera that drops is opened again, and its subscribers see a gap", async () => {
  const clip = join(directory, "drops.ts");
  await makeClip(clip, { width: 160, height: 120, frames: 50 });
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.end(readFileSync(clip));
  });
  onTestFinished(() => void server.close());
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const events: CameraSourceEvent[] = [];
  await using source = start("drops", {
    ...{ input: `tcp://user:s3cret@127.0.0.1:${port}`, inputFormat: "mpegts", realtime: false, loop: false },
    ...{ subscribers: 1, onEvent: (event: CameraSourceEvent) => events.push(event) },
  });
  using camera = await connect("drops");
  using packets = camera.packets({ sinceConnection: true });
  const seen: { timestampNs: bigint; discontinuity: boolean }[] = [];
  for await (const { timestampNs, discontinuity } of packets.values({ timeout: 20_000 })) {
    if (seen.push({ timestampNs, discontinuity }) === 120) break;
  }
  const breaks = seen.flatMap(({ discontinuity }, index) => discontinuity ? [index] : []);
  expect(breaks).toEqual([50, 100]);
  for (const at of breaks) {
    // The attempts are a quarter to half a second apart.
    expect(seen[at]!.timestampNs - seen[at - 1]!.timestampNs).toBeGreaterThanOrEqual(40_000_000n);
  }
  expect(source.stats().reconnects).toBeGreaterThanOrEqual(2);
  const kinds = events.slice(0, 4).map(({ kind }) => kind);
  expect(kinds).toEqual(["connecting", "connected", "disconnected", "connecting"]);
  expect(JSON.stringify(events)).not.toContain("s3cret");
  expect(events[2]).toMatchObject({ code: null, reason: "the stream ended" });
});

describe("a camera is knocked at", () => {
  /** The waits before the first attempts again, by a clock on which all takes 6 s. */
  async function waits(input: string, count: number): Promise<number[]> {
    let nowMs = 0;
    const clock = vi.spyOn(performance, "now").mockImplementation(() => nowMs += 6000);
    onTestFinished(() => clock.mockRestore());
    const enough = new AbortController();
    const seen: number[] = [];
    await using source = CameraSource.start({
      ...{ input, key: "cam", runtimeDirectory: directory, inputFormat: "mpegts", frames: false },
      ...{ memory: "host", timeout: 30_000, maxDelay: 60_000, signal: enough.signal },
      onEvent: (event) => {
        if (event.kind !== "disconnected") return;
        seen.push(event.retryIn);
        if (seen.length === count) enough.abort();
      },
    });
    await expect(source.closed).rejects.toThrow();
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
