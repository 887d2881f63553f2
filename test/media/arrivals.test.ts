// Sources without times of their own: when their packets come is their time, unless they are files.

import { readFile } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import { type MediaPacket, openMedia, type OpenMediaOptions } from "../../media.ts";
import { Arrivals, isMadeNow } from "../../src/media/time/arrivals.ts";
import { clip, expectUsable, readAll, SECOND, times, X264 } from "../support/media.ts";

const MS = 1_000_000n;
/** What a busy machine may be late by; times that follow a rate are off by more than a second here. */
const TOLERANCE_MS = 400;

const listen = async (server: Server) => {
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
};

/** Sends pieces, each so many ms behind the one before, and tells when each went, in ms. */
async function send(
  write: (piece: Uint8Array) => void,
  pieces: Uint8Array[],
  gaps: (index: number) => number,
) {
  const sent: number[] = [];
  for (const [index, piece] of pieces.entries()) {
    await sleep(gaps(index));
    sent.push(performance.now());
    write(piece);
  }
  return sent;
}

/** The pictures of a clip of JPEGs. */
async function pictures(frames: number): Promise<Uint8Array[]> {
  const path = await clip("pictures.mjpeg", { frames, encoder: "mjpeg", pixelFormat: "yuvj420p" });
  const bytes = await readFile(path);
  const starts: number[] = [];
  for (let at = bytes.indexOf("ffd8ff", 0, "hex"); at >= 0; at = bytes.indexOf("ffd8ff", at + 1, "hex")) {
    starts.push(at);
  }
  expect(starts).toHaveLength(frames);
  return starts.map((start, index) => new Uint8Array(bytes.subarray(start, starts[index + 1])));
}

/** A camera that gives JPEGs, one part of an answer each; where it is, and when it sent them. */
async function camera(jpegs: Uint8Array[], gaps: (index: number) => number) {
  const told = Promise.withResolvers<number[]>();
  const server = createHttpServer(async (_, response) => {
    response.writeHead(200, { "content-type": "multipart/x-mixed-replace; boundary=frame" });
    const parts = jpegs.map((jpeg) => {
      const head = `--frame\r\nContent-Type: image/jpeg\r\nContent-Length: ${jpeg.length}\r\n\r\n`;
      return Buffer.concat([Buffer.from(head), jpeg, Buffer.from("\r\n")]);
    });
    told.resolve(await send((part) => response.write(part), parts, gaps));
    response.end();
  });
  return { input: `http://127.0.0.1:${await listen(server)}/video.mjpg`, sent: told.promise };
}

async function packetsOf(input: string, options: OpenMediaOptions = {}): Promise<MediaPacket[]> {
  const read = await readAll(input, options);
  expectUsable(read);
  expect(read.frames).toHaveLength(read.packets.length);
  return read.packets;
}

/** The first packet waits, while FFmpeg finds out what it is, for some of the next. */
function expectSent([, ...packets]: readonly MediaPacket[], [, ...sent]: readonly number[]): void {
  expect(packets).toHaveLength(sent.length);
  const off = times(packets).map((time, index) =>
    Math.abs(Number(time - packets[0]!.timestampNs) / 1e6 - (sent[index]! - sent[0]!))
  );
  expect(Math.max(...off)).toBeLessThan(TOLERANCE_MS);
}

describe("a camera without times", () => {
  it("that gives JPEGs over HTTP has the times at which they came, and no rate", async () => {
    const { input, sent } = await camera(await pictures(16), (index) => index === 9 ? 600 : 90);
    await using media = await openMedia(input, { decode: false });
    expect(media.video.frameRate).toBeUndefined();
    const packets: MediaPacket[] = [];
    for await (const event of media) if (event.kind === "packet") packets.push(event);
    expectSent(packets, await sent);
    expect(packets.every(({ discontinuity }) => !discontinuity)).toBe(true);
    // Each is shown as long as the one before was.
    expect(Number(packets[10]!.durationNs / MS)).toBeLessThan(200);
  });

  it("is a file where it is paced here, or its rate is stated", async () => {
    const { input } = await camera(await pictures(10), () => 50);
    const paced = await packetsOf(input, { realtime: true });
    expect(times(paced)).toEqual(Array.from({ length: 10 }, (_, index) => BigInt(index) * SECOND / 25n));
  });

  it.each([0, 2])("that sends raw H.264 with %i B-frames has the times at which it came", async (bFrames) => {
    const path = await clip(`arrivals-${bFrames}.h264`, {
      frames: 40,
      encoderOptions: { ...X264, bf: String(bFrames), g: "10", "x264-params": "threads=1:aud=1" },
    });
    const bytes = new Uint8Array(await readFile(path));
    const units: Uint8Array[] = [];
    let begun = 0;
    for (let at = 1; at < bytes.length - 5; at++) {
      // An access unit delimiter.
      const begins = bytes[at] === 0 && bytes[at + 1] === 0 && bytes[at + 2] === 0 && bytes[at + 3] === 1 &&
        bytes[at + 4] === 9;
      if (!begins) continue;
      units.push(bytes.subarray(begun, at));
      begun = at;
    }
    units.push(bytes.subarray(begun));
    expect(units).toHaveLength(40);
    const told = Promise.withResolvers<number[]>();
    const server = createServer(async (socket) => {
      socket.on("error", () => {});
      socket.setNoDelay();
      told.resolve(await send((unit) => socket.write(unit), units, (index) => index === 20 ? 500 : 60));
      socket.end();
    });
    const input = `tcp://127.0.0.1:${await listen(server)}`;
    const packets = await packetsOf(input, { inputFormat: "h264" });
    const sent = await told.promise;
    const decoded = packets.map((packet) => ({ ...packet, timestampNs: packet.decodeTimestampNs }));
    expectSent(decoded, sent);
    expect(new Set(times(packets)).size).toBe(40);
  });

  it("is not what comes at once: that keeps its frame rate", async () => {
    const path = await clip("at-once.h264", {
      frames: 40,
      frameRate: 10,
      encoderOptions: { ...X264, bf: "0" },
    });
    const bytes = await readFile(path);
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.end(bytes);
    });
    const input = `tcp://127.0.0.1:${await listen(server)}`;
    const packets = await packetsOf(input, { inputFormat: "h264" });
    expect(times(packets)).toEqual(times((await readAll(path)).packets));
    expect(packets.at(-1)!.timestampNs - packets[0]!.timestampNs).toBe(39n * SECOND / 10n);
  });
});

describe("packets that come", () => {
  const stamps = (count: number, everyMs: number) =>
    Array.from({ length: count }, (_, index) => BigInt(Math.round(index * everyMs * 1e6)));

  it("about as fast as the rate says, slower or somewhat faster, come when they are made", () => {
    expect(isMadeNow(stamps(1, 40), 40n * MS)).toBeUndefined();
    expect(isMadeNow(stamps(2, 1000), 40n * MS)).toBe(true);
    expect(isMadeNow(stamps(4, 40), 40n * MS)).toBe(true);
    expect(isMadeNow(stamps(8, 8), 40n * MS)).toBe(true);
  });

  it("much faster are a file's", () => {
    expect(isMadeNow(stamps(7, 1), 40n * MS)).toBeUndefined();
    expect(isMadeNow(stamps(8, 1), 40n * MS)).toBe(false);
  });

  it("while the machine's clock is set back stay in their order", () => {
    const arrivals = new Arrivals([100n * MS, 140n * MS]);
    const placed = [100n, 140n, 90n, 180n].map((stamp) => arrivals.place(stamp * MS).timeNs / MS);
    expect(placed).toEqual([0n, 40n, 40n, 80n]);
    expect(arrivals.durationNs).toBeLessThanOrEqual(41n * MS);
    expect(arrivals.place(undefined).timeNs / MS).toBe(80n);
    const hour = 3600n * 1000n * MS;
    const later = [220n, 260n].map((stamp) => arrivals.place(stamp * MS - hour).timeNs);
    expect(later[1]! - later[0]!).toBe(40n * MS);
    expect(later[0]! / MS).toBeLessThanOrEqual(121n);
  });
});
