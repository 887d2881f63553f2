// Recordings: what was sent is in the file, however the recording ended.

import { existsSync } from "node:fs";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openMedia, Recorder, type RecorderPacket, type RecorderTrack } from "../../media.ts";
import { SegmentRecorder } from "../../src/media/segments.ts";
import { joinUnits } from "../../src/core/annexb.ts";
import { parameterSets } from "../../src/core/parameter_sets.ts";
import { CODEC_IDS } from "../../src/core/codec.ts";
import {
  CLIP,
  clip,
  directory,
  md5,
  nv12,
  readAll,
  record,
  SECOND,
  stored,
  X264,
  X265,
} from "../support/media.ts";

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
    for (const extension of ["mp4", "mkv"]) {
      const path = join(directory, `bare.${extension}`);
      {
        await using recorder = await Recorder.create(path, {
          codecId: 27,
          codedWidth: 320,
          codedHeight: 240,
        });
        for (const { data, type, timestampNs, decodeTimestampNs } of packets) {
          await recorder.write({ data, type, timestampNs, decodeTimestampNs });
        }
      }
      const source = await stored(CLIP, 12_800 * 225);
      const copy = await stored(path, source.scale);
      if (extension === "mp4") expect(copy.packets).toEqual(source.packets);
      expect(copy.packets.map((packet) => packet.md5)).toEqual(source.packets.map((packet) => packet.md5));
    }
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
      const video: RecorderTrack = { kind: "video", codecId: 27, codedWidth: 320, codedHeight: 240 };
      for (const packet of shifted) await recorder.write(packet, (track) => track === 0 ? video : undefined);
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

  it.each(["mp4", "mkv", "ts"])(
    "takes the parameter sets that a description lacks from the first key packet (%s)",
    async (extension) => {
      const { packets } = await readAll(CLIP, { decode: false });
      // A picture parameter set alone, as some cameras' descriptions have it.
      const [picture] = parameterSets(27, packets[0]!.data).filter(({ type }) => type === 8);
      const description = joinUnits([picture!]);
      const path = join(directory, `half-described.${extension}`);
      {
        const options = { codecId: 27, codedWidth: 320, codedHeight: 240, description };
        await using recorder = await Recorder.create(path, options);
        for (const packet of packets) await recorder.write(packet);
      }
      expect((await readAll(path)).frames.filter((frame) => !frame.corrupt)).toHaveLength(250);
    },
  );

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
    const noPlace: [keyof typeof CODEC_IDS, string][] = [
      ["vp8", "mp4"],
      ["vp8", "ts"],
      ["vp9", "ts"],
      ["av1", "ts"],
      ["mjpeg", "ts"],
      ["h264", "hevc"],
    ];
    for (const [codec, extension] of noPlace) {
      const path = join(directory, `no-place.${extension}`);
      await expect(create(path, { codecId: CODEC_IDS[codec] })).rejects.toMatchObject({
        code: "UNSUPPORTED",
        message: expect.stringMatching(/does not go into this file format: try .mkv$/),
      });
      expect(existsSync(path)).toBe(false);
    }
    const piped = Recorder.create(1, { ...track, codecId: CODEC_IDS.vp8, format: "mpegts" });
    await expect(piped).rejects.toThrow(
      /^the standard output: vp8 does not go into this file format: try nut$/,
    );
    // A codec that .mkv does not take either.
    await expect(create(join(directory, "raw.mp4"), { codecId: 13 })).rejects.toThrow(/: try .nut$/);
    await expect(create(join(directory, "none.mp4"), { codecId: 999_999 })).rejects.toThrow(
      /video of codec 999999 does not go into this file format: none that is here takes it$/,
    );
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
