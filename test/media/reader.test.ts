// What openMedia reads: packets, frames and their times, from files that are whole, odd, damaged or silent.

import { readFile, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type MediaEvent,
  type MediaFrame,
  type MediaPacket,
  openMedia,
  type OpenMediaOptions,
} from "../../media.ts";
import { redact } from "../../src/core/redact.ts";
import { openConnection } from "../../src/media/reader.ts";
import { Timeline } from "../../src/media/time/timeline.ts";
import {
  CLIP,
  clip,
  directory,
  expectUsable,
  md5,
  nalType,
  nv12,
  positionOf,
  type Read,
  readAll,
  SECOND,
  sorted,
  stored,
  times,
  X264,
  X265,
} from "../support/media.ts";

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

  it("of a connection begins with a key packet, on a line that goes on", async () => {
    const whole = await clip("joined.ts", {
      frames: 50,
      encoderOptions: { ...X264, g: "25", keyint_min: "25" },
    });
    const path = join(directory, "joined-late.ts");
    await writeFile(path, (await readFile(whole)).subarray(await positionOf(whole, 5)));
    const { packets } = await readAll(path);
    const before = packets.findIndex(({ type }) => type === "key");
    expect(before).toBeGreaterThan(0);
    let nowNs = 0n;
    const timeline = new Timeline(undefined, undefined, () => nowNs);
    const connection = async () => {
      await using media = await openConnection(path, {}, timeline);
      const events: MediaEvent[] = [];
      for await (const event of media) events.push(event);
      return events;
    };
    const first = await connection();
    nowNs = 60n * SECOND;
    const second = await connection();
    for (const events of [first, second]) {
      expect(events[0]).toMatchObject({ kind: "packet", type: "key" });
      expect(events.filter(({ kind }) => kind === "packet")).toHaveLength(packets.length - before);
      expect(events.filter(({ kind }) => kind === "frame")).toHaveLength(packets.length - before);
    }
    const marked = (events: MediaEvent[]) => events.filter(({ discontinuity }) => discontinuity);
    expect(marked(first)).toEqual([]);
    const begins = first.findLast((event) => event.kind === "packet")!.decodeTimestampNs + 60n * SECOND;
    const [packet, frame] = marked(second) as [MediaPacket, MediaFrame];
    expect(marked(second)).toHaveLength(2);
    expect(packet.decodeTimestampNs).toBe(begins);
    expect(frame.timestampNs).toBe(packet.timestampNs);
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
