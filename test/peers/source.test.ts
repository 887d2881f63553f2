// `cuframes source` with real cameras that die, fall silent and change, and what its subscribers see of it.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { Buffer } from "node:buffer";
import { describe, expect, test } from "vitest";
import { type Frame, type Packet, type PacketRingReader, Subscriber } from "../../mod.ts";
import { nalUnits } from "../../src/core/nal_units.ts";
import { openMedia, type OpenMediaOptions } from "../../media.ts";
import { eventually, outcomeOf, type Process, stages } from "../support/processes.ts";
import { CLIP, FOOTAGE, Media, noCamera, serve, startCli } from "./support.ts";

const stage = stages();
const media = new Media();

interface Connected {
  codec: string;
  width: number;
  height: number;
  format: string;
  packets: boolean;
}

interface Lost {
  code: string | null;
  reason: string;
  retryIn: number;
}

function source(input: string, args: readonly string[] = [], env: Record<string, string> = {}): Process {
  return startCli(stage(), ["source", input, "--key", "cam", "--json", "--memory", "host", ...args], env);
}

function connect(options: Partial<Parameters<typeof Subscriber.connect>[1]> = {}): Promise<Subscriber> {
  return Subscriber.connect("cam", {
    runtimeDirectory: stage().directory,
    timeout: 20_000,
    mode: "ordered",
    ...options,
  });
}

/** A ring that is made after the connection comes by itself, and its parameters come after it. */
function hasParameters(packets: PacketRingReader): boolean {
  try {
    return packets.description.length > 0;
  } catch {
    return false;
  }
}

/** Reads packets until one satisfies. */
async function packetsUntil(
  packets: AsyncIterable<Packet>,
  last: (packet: Packet, seen: readonly Packet[]) => boolean,
): Promise<Packet[]> {
  const seen: Packet[] = [];
  for await (const packet of packets) {
    seen.push(packet);
    if (last(packet, seen)) return seen;
  }
  throw new Error(`the packets ended after ${seen.length}`);
}

/** What is kept of a frame. */
interface Seen {
  sequence: bigint;
  timestampNs: bigint;
  discontinuity: boolean;
  corrupt: boolean;
  width: number;
  height: number;
  pixels: Uint8Array;
}

async function look(frame: Frame): Promise<Seen> {
  const pixels = new Uint8Array(frame.allocationSize());
  await frame.copyTo(pixels);
  const { sequence, timestampNs, discontinuity, corrupt, codedWidth: width, codedHeight: height } = frame;
  return { sequence, timestampNs, discontinuity, corrupt, width, height, pixels };
}

async function framesUntil(
  camera: Subscriber,
  last: (frame: Seen, seen: readonly Seen[]) => boolean,
): Promise<Seen[]> {
  const seen: Seen[] = [];
  for await (using frame of camera) {
    seen.push(await look(frame));
    if (last(seen.at(-1)!, seen)) return seen;
  }
  throw new Error(`the frames ended after ${seen.length}`);
}

/** A file's packets or pictures, read directly. */
async function contentOf(file: string, count: number, options: OpenMediaOptions = {}) {
  await using reader = await openMedia(file, options);
  const packets: { data: Uint8Array; timestampNs: bigint }[] = [];
  const pictures: Uint8Array[] = [];
  for await (const event of reader) {
    if (event.kind === "packet") packets.push({ data: event.data, timestampNs: event.timestampNs });
    else if (pictures.length < count) {
      const { width, height } = reader;
      const bytes = new Uint8Array(width * height * 3 / 2);
      event.copyInto([
        { data: bytes.subarray(0, width * height), stride: width, rows: height },
        { data: bytes.subarray(width * height), stride: width, rows: height / 2 },
      ]);
      pictures.push(bytes);
    }
    if (packets.length >= count && (options.decode === false || pictures.length >= count)) break;
  }
  return { packets: packets.slice(0, count), pictures };
}

/** An access unit's slices: RTP may leave its delimiter and the like behind. */
function slicesOf(data: Uint8Array): string[] {
  return [...nalUnits(data)].filter(([header = 0]) => [1, 5].includes(header & 0x1f)).map((unit) =>
    createHash("sha256").update(unit).digest("hex")
  );
}

function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, index) => byte === other[index]);
}

function isSorted(times: readonly bigint[]): boolean {
  return times.every((time, index) => index === 0 || time > times[index - 1]!);
}

/** Exactly the one at `index` does not continue the one before it. */
function expectOneBreak(seen: readonly { discontinuity: boolean }[], index: number) {
  expect(seen.map(({ discontinuity }, at) => discontinuity ? at : -1).filter((at) => at >= 0)).toEqual([
    index,
  ]);
}

async function expectGone(): Promise<void> {
  await eventually("socket and lock are gone", () => readdirSync(stage().directory).length === 0, 5000);
}

describe.skipIf(noCamera)("a camera", () => {
  for (const file of [CLIP, ...FOOTAGE]) {
    test(`gives the packets and pictures of its file: ${file.split("/").at(-1)}`, async () => {
      await using server = await serve(stage(), [file]);
      const camera = source(`rtsp://127.0.0.1:${server.port}/stream`, ["--subscribers", "1"]);
      using subscriber = await connect();
      const packets = packetsUntil(subscriber.packets({ wait: true }), (_, { length }) => length === 40);
      const frames = framesUntil(subscriber, (_, { length }) => length === 25);
      // On a busy machine the first frames seen are later ones than the first.
      const original = await contentOf(file, 150, { format: "NV12" });

      const [gotPackets, gotFrames] = await Promise.all([packets, frames]);
      expect(gotPackets.map(({ data }) => slicesOf(data))).toEqual(
        original.packets.slice(0, 40).map(({ data }) => slicesOf(data)),
      );
      const offsets = gotPackets.map(({ timestampNs }, index) =>
        timestampNs - original.packets[index]!.timestampNs
      );
      // RTP counts in 1/90000 s.
      for (const offset of offsets) expect(Math.abs(Number(offset - offsets[0]!))).toBeLessThan(50_000);
      // Some encoders do not say how far they reorder: then a decoder needs some pictures to find out.
      const late = FOOTAGE.includes(file) ? 4 : 0;
      const same = gotFrames.filter(({ pixels }) =>
        original.pictures.some((picture) => sameBytes(picture, pixels))
      );
      expect(same.length).toBeGreaterThanOrEqual(25 - late);
      expect(isSorted(gotFrames.map(({ timestampNs }) => timestampNs))).toBe(true);
      expect(gotFrames.every(({ discontinuity }) => !discontinuity)).toBe(true);
      camera.kill("SIGTERM");
      expect(await camera.exited).toEqual({ code: 143, signal: null });
      await expectGone();
    });
  }

  for (const transport of ["tcp", "udp"]) {
    test(`that dies and comes back keeps its subscribers, over ${transport}`, async () => {
      const file = await media.repeated(CLIP, 6);
      const first = await serve(stage(), [file]);
      const camera = source(`rtsp://127.0.0.1:${first.port}/stream`, [
        ...["--transport", transport, "--timeout", "3s", "--subscribers", "1", "--max-delay", "1s"],
      ]);
      using subscriber = await connect();
      const { port } = first;
      let packetBreak = -1;
      let frameBreak = -1;
      let lastBefore = { timestampNs: 0n, at: 0 };
      const packets = packetsUntil(subscriber.packets({ wait: true }), (packet, { length }) => {
        if (packet.discontinuity && packetBreak < 0) packetBreak = length - 1;
        if (packetBreak < 0) lastBefore = { timestampNs: packet.timestampNs, at: performance.now() };
        return packetBreak >= 0 && length === packetBreak + 40;
      });
      const frames = framesUntil(subscriber, (frame, { length }) => {
        if (frame.discontinuity && frameBreak < 0) frameBreak = length - 1;
        return frameBreak >= 0 && length === frameBreak + 20;
      });
      await camera.event("connected");
      await eventually("frames arrive", () => subscriber.stats().received > 30);
      await first[Symbol.asyncDispose]();
      const { reason } = await camera.event<Lost>("disconnected");
      expect(reason).not.toBe("");
      await using _second = await serve(stage(), [file], { port });
      await camera.event("connected");

      const [gotPackets, gotFrames] = await Promise.all([packets, frames]);
      const gap = performance.now() - lastBefore.at;
      expect(gotPackets[packetBreak]!.type).toBe("key");
      expectOneBreak(gotPackets, packetBreak);
      expectOneBreak(gotFrames, frameBreak);
      expect(isSorted(gotPackets.map(({ sequence }) => sequence))).toBe(true);
      expect(isSorted(gotPackets.map(({ decodeTimestampNs }) => decodeTimestampNs))).toBe(true);
      expect(isSorted(gotFrames.map(({ timestampNs }) => timestampNs))).toBe(true);
      expect(isSorted(gotFrames.map(({ sequence }) => sequence))).toBe(true);
      // The gap is there on the timeline too, and not longer than it was.
      const jump = Number(gotPackets[packetBreak]!.timestampNs - lastBefore.timestampNs) / 1e6;
      expect(jump).toBeGreaterThan(80);
      expect(jump).toBeLessThan(gap + 1000);
      // What comes behind the gap is the file's beginning again.
      const { pictures } = await contentOf(file, 5, { format: "NV12" });
      expect(sameBytes(gotFrames[frameBreak]!.pixels, pictures[0]!)).toBe(true);
      camera.kill("SIGINT");
      expect(await camera.exited).toEqual({ code: 130, signal: null });
      for await (using _ of subscriber); // until it ends
      expect((await outcomeOf(subscriber.next())).code).toBe("DISCONNECTED");
      await expectGone();
    });
  }

  test("that falls silent is noticed in the time that was set", async () => {
    const file = await media.repeated(CLIP, 6);
    await using server = await serve(stage(), [file]);
    const camera = source(`rtsp://127.0.0.1:${server.port}/stream`, ["--timeout", "3s"]);
    using subscriber = await connect();
    await eventually("frames arrive", async () => {
      using frame = await subscriber.next({ timeout: 10_000 });
      return frame.sequence > 10n;
    });
    await server.process.stop();
    const beganAt = performance.now();
    const lost = await camera.event<Lost>("disconnected");
    expect(performance.now() - beganAt).toBeLessThan(30_000);
    expect(lost).toMatchObject({ code: "TIMEOUT" });
    expect(lost.reason).toContain("nothing came for 3 s");
    server.process.kill("SIGCONT");
    const rest = await framesUntil(subscriber, ({ discontinuity }) => discontinuity);
    expect(isSorted(rest.map(({ timestampNs }) => timestampNs))).toBe(true);
  });

  test("that comes back in another size is scaled to the ring's, and its new parameters are known", async () => {
    const [small, large] = await Promise.all([
      media.pattern("small.mp4", { size: "320x240" }),
      media.pattern("large.mp4", { size: "640x360" }),
    ]);
    const first = await serve(stage(), [small]);
    source(`rtsp://127.0.0.1:${first.port}/stream`, ["--max-delay", "1s"]);
    using subscriber = await connect();
    using packets = subscriber.packets({ wait: true });
    await eventually("the packet ring is there, with its parameters", () => hasParameters(packets));
    const before = packets.description;
    const { port } = first;
    await first[Symbol.asyncDispose]();
    await using _second = await serve(stage(), [large], { port });
    const frames = await framesUntil(subscriber, ({ discontinuity }) => discontinuity);
    const { pictures } = await contentOf(large, 1, { format: "NV12", width: 320, height: 240 });
    expect(frames.at(-1)).toMatchObject({ width: 320, height: 240 });
    expect(sameBytes(frames.at(-1)!.pixels, pictures[0]!)).toBe(true);
    expect(sameBytes(packets.description, before)).toBe(false);
    const key = (await packetsUntil(packets, ({ discontinuity }) => discontinuity)).at(-1)!;
    // Whoever decodes from here needs nothing else.
    expect(key.type).toBe("key");
    const parameters = packets.description;
    expect(Buffer.from(key.data).includes(Buffer.from(parameters.subarray(0, 12)))).toBe(true);
  });

  test("that comes back with another codec goes on under the same publisher, and its packets say so", async () => {
    const [avc, hevc] = await Promise.all([
      media.pattern("avc.mp4"),
      media.pattern("hevc.mp4", { codec: "libx265" }),
    ]);
    const first = await serve(stage(), [avc]);
    const { port } = first;
    const camera = source(`rtsp://127.0.0.1:${port}/stream`, ["--max-delay", "1s"]);
    using subscriber = await connect();
    using packets = subscriber.packets({ wait: true });
    await eventually("the packet ring is there, with its parameters", () => hasParameters(packets));
    expect(packets.codecId).toBe(27);
    await first[Symbol.asyncDispose]();
    await using _second = await serve(stage(), [hevc], { port });
    const changed = (await packetsUntil(packets, ({ config }) => config?.codecId === 173)).at(-1)!;
    expect(changed).toMatchObject({ type: "key", discontinuity: true, config: { generation: 2 } });
    expect(packets.codecId).toBe(173);
    const { pictures } = await contentOf(hevc, 100, { format: "NV12" });
    const behind = await framesUntil(
      subscriber,
      ({ pixels }) => pictures.some((picture) => sameBytes(picture, pixels)),
    );
    expect(isSorted(behind.map(({ timestampNs }) => timestampNs))).toBe(true);
    expect(camera.errors).toBe("");
  });

  test("is waited for, and its credentials are told to nobody", async () => {
    const secret = "s3cr3t-p%40ss";
    await using server = await serve(stage(), [CLIP], { user: `viewer:${decodeURIComponent(secret)}` });
    const address = `127.0.0.1:${server.port}/stream?token=t0k3n`;
    const locked = source(`rtsp://viewer:wr0ng-s3cr3t@${address}`, ["--max-delay", "2s"]);
    const refused = await locked.event<Lost>("disconnected");
    expect(refused).toMatchObject({ code: "PERMISSION" });
    // Not knocked again at once: a camera might lock the user out.
    expect(refused.retryIn).toBeGreaterThanOrEqual(1000);
    const line = readFileSync(`/proc/${locked.pid}/cmdline`, "latin1");
    expect(line).toContain("127.0.0.1");
    expect(line).not.toMatch(/s3cr3t|t0k3n|viewer/);
    locked.kill("SIGTERM");
    expect((await locked.exited).code).toBe(143);

    const admitted = startCli(stage(), ["source", "--key", "cam", "--verbose", "--memory", "host"], {
      CUFRAMES_URL: `rtsp://viewer:${secret}@${address}`,
    });
    using subscriber = await connect();
    using frame = await subscriber.next({ timeout: 10_000 });
    expect(frame.codedWidth).toBe(320);
    admitted.kill("SIGTERM");
    expect((await admitted.exited).code).toBe(143);
    for (const { errors } of [locked, admitted]) expect(errors).not.toMatch(/s3cr3t|t0k3n|viewer/);
    expect(JSON.stringify(refused)).not.toMatch(/s3cr3t|t0k3n|viewer/);
    expect(admitted.errors).toContain(`opening rtsp://127.0.0.1:${server.port}/stream`);
  });

  test("of several in a file each has a process, which comes back; all end together", async () => {
    const file = await media.repeated(CLIP, 6);
    await using server = await serve(stage(), [file, `other=${file}`]);
    const path = media.path("cameras.yaml");
    writeFileSync(
      path,
      `defaults: { memory: host }
cameras:
  one: { url: "rtsp://127.0.0.1:${server.port}/stream" }
  two: { url: "rtsp://127.0.0.1:\${PORT}/other", size: 160x120, packets: false }
`,
    );
    const all = startCli(stage(), ["source", "--config", path], { PORT: String(server.port) });
    const options = { runtimeDirectory: stage().directory, timeout: 20_000, reconnect: true };
    using one = await Subscriber.connect("one", options);
    using two = await Subscriber.connect("two", options);
    {
      using frame = await two.next({ timeout: 10_000 });
      expect(frame).toMatchObject({ codedWidth: 160, codedHeight: 120 });
      using other = await one.next({ timeout: 10_000 });
      expect(other).toMatchObject({ codedWidth: 320, codedHeight: 240 });
    }
    const children = readFileSync(`/proc/${all.pid}/task/${all.pid}/children`, "utf8").trim().split(" ");
    expect(children).toHaveLength(2);
    process.kill(Number(children[0]), "SIGKILL");
    await eventually("it says so", () => all.errors.includes("its process ended with SIGKILL"));
    for (let frames = 0; frames < 40; frames++) (await one.next({ timeout: 15_000 })).close();
    for (let frames = 0; frames < 40; frames++) (await two.next({ timeout: 15_000 })).close();
    all.kill("SIGTERM");
    expect(await all.exited).toEqual({ code: 143, signal: null });
    await expectGone();
  });

  test("of several in a file none is left behind by a supervisor that was killed", async () => {
    await using server = await serve(stage(), [await media.repeated(CLIP, 6)]);
    const path = media.path("orphan.yaml");
    writeFileSync(path, `cameras: { cam: { url: "rtsp://127.0.0.1:${server.port}/stream", memory: host } }`);
    const all = startCli(stage(), ["source", "--config", path]);
    using subscriber = await connect();
    (await subscriber.next({ timeout: 10_000 })).close();
    all.kill("SIGKILL");
    await expectGone();
  });
});

describe("an input", () => {
  test("that ends ends the command, and everybody gets all of it", async () => {
    const file = source(CLIP, ["--realtime", "--subscribers", "2"]);
    using subscriber = await connect();
    using other = await connect();
    const packets: Packet[] = [];
    const reading = (async () => {
      for await (const packet of subscriber.packets({ wait: true })) packets.push(packet);
    })();
    const seen = await Promise.all([subscriber, other].map(async (camera) => {
      const frames: Seen[] = [];
      for await (using frame of camera) frames.push(await look(frame));
      return frames;
    }));
    await reading;
    const original = await contentOf(CLIP, 250, { format: "NV12" });
    for (const frames of seen) {
      expect(frames).toHaveLength(250);
      expect(frames.every(({ pixels }, index) => sameBytes(pixels, original.pictures[index]!))).toBe(true);
    }
    expect(packets.map(({ timestampNs }) => timestampNs)).toEqual(
      original.packets.map(({ timestampNs }) => timestampNs),
    );
    expect(await file.event("ended")).toMatchObject({ frames: 250, packets: 250, framesDropped: 0 });
    expect(await file.exited).toEqual({ code: 0, signal: null });
    await expectGone();
  });

  test("is paced, looped, scaled and converted as the options and the environment say", async () => {
    const camera = source(CLIP, ["--size", "80x60", "--no-packets"], {
      CUFRAMES_REALTIME: "1",
      CUFRAMES_LOOP: "yes",
      CUFRAMES_FORMAT: "RGBA",
      CUFRAMES_SIZE: "16x16", // the command line comes first
      CUFRAMES_RING: "5",
      CUFRAMES_INTERVAL: "200ms",
    });
    expect(await camera.event<Connected>("connected")).toMatchObject({
      codec: "avc1.64000d",
      width: 80,
      height: 60,
      format: "RGBA",
      packets: false,
    });
    using subscriber = await connect();
    const beganAt = performance.now();
    const frames = await framesUntil(subscriber, (_, { length }) => length === 50);
    const seconds = (performance.now() - beganAt) / 1000;
    expect(seconds).toBeGreaterThan(1.5);
    expect(Number(frames.at(-1)!.timestampNs - frames[0]!.timestampNs)).toBeCloseTo(49 * 40e6, -3);
    expect(() => subscriber.packets()).toThrow(expect.objectContaining({ code: "NO_PACKET_RING" }));
    expect(await camera.event("status")).toMatchObject({ key: "cam", packets: 0 });
  });

  test("that is not decoded gives packets only", async () => {
    const camera = source(CLIP, ["--no-frames", "--realtime", "--subscribers", "1"]);
    using subscriber = await connect({ frames: false });
    let count = 0;
    for await (const _ of subscriber.packets({ wait: true })) count++;
    expect(count).toBe(250);
    expect(await camera.event("ended")).toMatchObject({ frames: 0, packets: 250 });
  });

  test("whose stream changes its size on the way goes on in the ring's size", async () => {
    const options = { seconds: 2 };
    const parts = await Promise.all([
      media.pattern("part1.h264", { size: "320x240", ...options }),
      media.pattern("part2.h264", { size: "640x480", ...options }),
    ]);
    const joined = media.path("joined.h264");
    writeFileSync(joined, Buffer.concat(parts.map((part) => readFileSync(part))));
    source(joined, ["--subscribers", "1"]);
    using subscriber = await connect();
    using packets = subscriber.packets({ wait: true });
    await eventually("the packet ring is there, with its parameters", () => hasParameters(packets));
    const before = packets.description;
    const frames: Seen[] = [];
    for await (using frame of subscriber) frames.push(await look(frame));
    expect(frames).toHaveLength(100);
    const { pictures } = await contentOf(parts[1]!, 50, { format: "NV12", width: 320, height: 240 });
    expect(frames.slice(50).every(({ pixels }, index) => sameBytes(pixels, pictures[index]!))).toBe(true);
    expect(sameBytes(packets.description, before)).toBe(false);
  });

  test("of pictures without packets gives frames", async () => {
    const pattern = "testsrc2=size=320x240:rate=25";
    const camera = source(pattern, ["--input-format", "lavfi", "--realtime", "--ring", "16"]);
    expect(await camera.event<Connected>("connected")).toMatchObject({
      width: 320,
      height: 240,
      packets: false,
    });
    using subscriber = await connect();
    const frames = await framesUntil(subscriber, (_, { length }) => length === 10);
    expect(new Set(frames.map(({ pixels }) => createHash("md5").update(pixels).digest("hex"))).size).toBe(10);
    const steps = frames.slice(1).map(({ timestampNs }, index) => timestampNs - frames[index]!.timestampNs);
    expect(steps).toEqual(steps.map(() => 40_000_000n));
  });

  test("over HTTP that changes its codec on the way goes on, with another ring, to its end", async () => {
    const parts = await Promise.all([
      media.pattern("codec1.ts", { seconds: 2 }),
      media.pattern("codec2.ts", { seconds: 2, codec: "libx265" }),
    ]);
    const [avc, hevc] = parts.map((part) => readFileSync(part));
    let requests = 0;
    const server = createServer((_, response) => {
      response.writeHead(200, { "content-type": "video/mp2t" });
      response.end(requests++ === 0 ? Buffer.concat([avc!, hevc!]) : hevc);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const { port } = server.address() as AddressInfo;
      const camera = source(`http://127.0.0.1:${port}/live.ts`, ["--max-delay", "1s"]);
      expect((await camera.event<Connected>("connected")).codec).toMatch(/^avc1/);
      expect(await camera.event<Lost>("disconnected")).toMatchObject({
        code: null,
        reason: "the stream ended",
      });
      expect((await camera.event<Connected>("connected")).codec).toMatch(/^hvc1|^hev1/);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  test("over HTTP that breaks off is opened again", async () => {
    const stream = readFileSync(await media.pattern("live.ts", { seconds: 4 }));
    let requests = 0;
    const server = createServer((_, response) => {
      requests++;
      response.writeHead(200, { "content-type": "video/mp2t" });
      if (requests > 1) return response.end(stream);
      // It dies in the middle of a packet.
      response.write(stream.subarray(0, stream.length - 5000), () => response.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const { port } = server.address() as AddressInfo;
      const camera = source(`http://127.0.0.1:${port}/live.ts`, ["--max-delay", "1s", "--subscribers", "1"]);
      using subscriber = await connect();
      const frames = await framesUntil(subscriber, ({ discontinuity }) => discontinuity);
      // As many as a busy machine sees of a stream that comes as fast as it can.
      expect(frames.length).toBeGreaterThan(1);
      expect(isSorted(frames.map(({ timestampNs }) => timestampNs))).toBe(true);
      expect(await camera.event<Lost>("disconnected")).toMatchObject({ key: "cam" });
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});

describe("what is wrong", () => {
  const cases: [string, string[], number, RegExp][] = [
    ["a file that is not there", ["nothing.mp4", "--key", "cam"], 3, /opening nothing\.mp4: No such file/],
    ["a file that is no video", [import.meta.filename!, "--key", "cam"], 1, /source\.test\.ts/],
    ["no key", [CLIP], 2, /--key is missing/],
    ["no input", ["--key", "cam"], 2, /CUFRAMES_URL/],
    ["a wrong key", [CLIP, "--key", "a b"], 2, /1 to 63 characters/],
    ["a wrong size", [CLIP, "--key", "cam", "--size", "12by3"], 2, /WIDTHxHEIGHT/],
    ["nothing to publish", [CLIP, "--key", "cam", "--no-frames", "--no-packets"], 2, /nothing to publish/],
    ["an option that is not there", [CLIP, "--kye", "cam"], 2, /--kye.*--key/s],
    ["a config file that is not there", ["--config", "nothing.yaml"], 2, /nothing\.yaml/],
    [
      "a camera that shall not be waited for",
      ["rtsp://u:pw@127.0.0.1:1/", "--key", "cam", "--no-reconnect"],
      1,
      /opening rtsp:\/\/127\.0\.0\.1:1\/: Connection refused/,
    ],
  ];
  test.each(cases)("%s is said in a line, with an exit code", async (_, args, code, sentence) => {
    const failed = startCli(stage(), ["source", ...args]);
    expect(await failed.exited).toEqual({ code, signal: null });
    expect(failed.errors).toMatch(sentence);
    expect(failed.errors).not.toMatch(/u:pw|\n\s+at /);
    await expectGone();
  });

  test("a second publisher of a key", async () => {
    source(CLIP, ["--realtime", "--loop"]);
    using _subscriber = await connect();
    const second = source(CLIP);
    expect(await second.exited).toEqual({ code: 4, signal: null });
    expect(second.errors).toMatch(/^cuframes: .*cam/m);
  });

  test("a variable of the environment", async () => {
    const failed = source(CLIP, [], { CUFRAMES_LOOP: "perhaps" });
    expect(await failed.exited).toEqual({ code: 2, signal: null });
    expect(failed.errors).toContain('CUFRAMES_LOOP is "perhaps": it must be 1 or 0');
  });
});

describe("a signal", () => {
  test.each(["SIGINT", "SIGTERM"] as const)("%s ends a camera that is waited for", async (name) => {
    const camera = source("rtsp://127.0.0.1:1/", ["--max-delay", "60s"]);
    await camera.event("disconnected");
    camera.kill(name);
    expect(await camera.exited).toEqual({ code: name === "SIGINT" ? 130 : 143, signal: null });
  });

  test("ends a connection that is being opened", async () => {
    const server = createServer(() => {}); // takes requests and never answers
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const { port } = server.address() as AddressInfo;
      const camera = source(`http://127.0.0.1:${port}/`);
      await camera.event("connecting");
      camera.kill("SIGTERM");
      expect(await camera.exited).toEqual({ code: 143, signal: null });
      expect(camera.errors).not.toContain("has not closed");
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});
