// A video whose codec changes in the middle of one MPEG-TS: nothing is lost, and readers are told.

import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import type { ClipOptions } from "../../scripts/make_clip.ts";
import { type MediaPacket, openMedia } from "../../media.ts";
import {
  clip,
  directory,
  expectUsable,
  nv12,
  type Read,
  readAll,
  sorted,
  times,
  X264,
  X265,
} from "../support/media.ts";
import { shifted } from "../support/mpegts.ts";

const H264 = { encoderOptions: { ...X264, bf: "2", g: "25" } };
const HEVC = { encoder: "libx265", encoderOptions: X265 };
const MPEG2 = { encoder: "mpeg2video", encoderOptions: { g: "12" } };

/** Clips one behind the other in one file, each `seconds` behind the beginning. */
async function joined(name: string, ...parts: (ClipOptions & { seconds: number })[]) {
  const pieces = await Promise.all(parts.map(async ({ seconds, ...options }, index) => {
    const bytes = await readFile(await clip(`${index}-${name}`, options));
    return shifted(shifted(bytes, seconds), seconds, 0, Infinity, 0x101);
  }));
  const path = join(directory, name);
  await writeFile(path, Buffer.concat(pieces));
  return path;
}

const changes = (packets: readonly MediaPacket[]) =>
  packets.flatMap(({ config, type, track }, index) =>
    config && track === 0
      ? [{ index, type, codec: config.codec.split(".")[0], width: config.codedWidth }]
      : []
  );

function expectWhole(read: Read, packets: number): void {
  expect([read.packets.length, read.frames.length]).toEqual([packets, packets]);
  expectUsable(read);
  expect(sorted(times(read.packets))).toEqual(times(read.frames));
  // Each frame is behind the packet that it is made of, and none is left to the codec after its own.
  const seen = new Set<bigint>();
  for (const event of read.events) {
    if (event.kind === "packet") seen.add(event.timestampNs);
    else expect(seen.has(event.timestampNs)).toBe(true);
  }
}

describe("a codec that changes in a file", () => {
  it.each([
    ["H.264 to HEVC", H264, HEVC, "hvc1"],
    ["HEVC to H.264", HEVC, H264, "avc1"],
    ["MPEG-2 to H.264", MPEG2, H264, "avc1"],
    ["H.264 to MPEG-2", H264, MPEG2, "mpeg2video"],
  ])("from %s loses nothing", async (name, first, second, codec) => {
    const parts = [{ frames: 50, seconds: 0, ...first }, { frames: 25, seconds: 4, ...second }];
    const read = await readAll(await joined(`${name.replaceAll(/\W/g, "")}.ts`, ...parts));
    expectWhole(read, 75);
    expect(changes(read.packets)).toEqual([{ index: 50, type: "key", codec, width: 160 }]);
    expect(read.packets.some(({ discontinuity, corrupt }) => discontinuity || corrupt)).toBe(false);
    expect(read.frames.some(({ corrupt }) => corrupt)).toBe(false);
  });

  it("with its PID loses nothing", async () => {
    const moved = { muxerOptions: { mpegts_start_pid: "512" } };
    const parts = [{ frames: 50, seconds: 0, ...H264 }, { frames: 25, seconds: 0, ...HEVC, ...moved }];
    const read = await readAll(await joined("pids.ts", ...parts));
    expectWhole(read, 75);
    expect(changes(read.packets)).toMatchObject([{ index: 50, codec: "hvc1" }]);
  });

  it("and back again, with other sizes and with sound, loses nothing", async () => {
    const path = await joined(
      "thrice.ts",
      { frames: 50, seconds: 0, audio: true, ...H264 },
      { frames: 50, seconds: 3, audio: true, ...HEVC, width: 320 },
      { frames: 50, seconds: 6, audio: true, ...H264 },
    );
    await using media = await openMedia(path, { audio: true });
    const read: Read = { packets: [], frames: [], events: [] };
    let sound = 0;
    for await (const event of media) {
      if (event.kind === "packet" && event.track === 1) sound++;
      if (event.kind === "packet" && event.track !== 0) continue;
      read.events.push(event);
      if (event.kind === "packet") read.packets.push(event);
      else {
        read.frames.push(event);
        event.copyInto(nv12(media.width, media.height).planes);
      }
    }
    expectWhole(read, 150);
    expect(changes(read.packets)).toEqual([
      { index: 50, type: "key", codec: "hvc1", width: 320 },
      { index: 100, type: "key", codec: "avc1", width: 160 },
    ]);
    expect(read.frames.map(({ scaled }) => scaled)).toEqual(
      Array.from({ length: 150 }, (_, index) => index >= 50 && index < 100),
    );
    const once = await clip("sound-once.ts", { frames: 50, audio: true, ...H264 });
    const { packets } = await readAll(once, { audio: true, decode: false });
    expect(sound).toBe(3 * packets.filter(({ track }) => track === 1).length);
  });

  it("that is looped changes each time", async () => {
    const path = await joined("looped.ts", { frames: 50, seconds: 0, ...H264 }, {
      frames: 25,
      seconds: 4,
      ...HEVC,
    });
    await using media = await openMedia(path, { loop: true });
    const packets: MediaPacket[] = [];
    let frames = 0;
    for await (const event of media) {
      if (event.kind === "packet") packets.push(event);
      else if (++frames === 150) break;
    }
    expect(changes(packets.slice(0, 150))).toMatchObject([
      { index: 50, codec: "hvc1" },
      { index: 75, codec: "avc1" },
      { index: 125, codec: "hvc1" },
    ]);
  });
});

it.each([["", {}], [" with its PID", { muxerOptions: { mpegts_start_pid: "512" } }]])(
  "a codec that changes%s on the way of a stream is taken up, and what that costs is marked",
  async (name, moved) => {
    const before = await readFile(await joined(`before${name}.ts`, { frames: 50, seconds: 0, ...H264 }));
    const after = await readFile(
      await joined(`after${name}.ts`, { frames: 40, seconds: 4, ...HEVC, ...moved }),
    );
    const known = Promise.withResolvers<void>();
    const server = createServer(async (socket) => {
      socket.on("error", () => {});
      socket.write(before);
      // What comes while FFmpeg looks for streams would be looked at for those of the beginning.
      await known.promise;
      socket.end(after);
    });
    onTestFinished(() => void server.close());
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const read = await readAll(
      `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`,
      {},
      () => known.resolve(),
    );
    expectUsable(read);
    const [change, ...more] = changes(read.packets);
    expect(change).toMatchObject({ type: "key", codec: "hvc1" });
    expect(more).toEqual([]);
    // FFmpeg's parser forgets the packet that it holds.
    expect(read.packets.length).toBeGreaterThanOrEqual(85);
    expect(read.frames.length).toBeGreaterThanOrEqual(85);
    expect(read.packets.some(({ discontinuity }) => discontinuity)).toBe(true);
  },
);
