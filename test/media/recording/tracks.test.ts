// Recordings with several tracks: sound and picture are in the file as they were, when they were.

import { existsSync } from "node:fs";
import { copyFile, stat } from "node:fs/promises";
import { join } from "node:path";
import * as av from "node-av";
import { describe, expect, it } from "vitest";
import { Recorder, type RecorderTrack } from "../../../media.ts";
import { outputOfSync } from "../../../scripts/lib/process.ts";
import { CARS, directory, hasFfmpeg, SECOND } from "../../support/media.ts";
import { ffmpeg, ffprobe, type Tracks, tracksOf } from "../../support/tracks.ts";

const VIDEO = ["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=4"];
const SOUND = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=4"];
const H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-bf", "2"];
const AAC = ["-c:a", "aac", "-ac", "2"];

async function source(name: string, ...words: string[]): Promise<string> {
  const path = join(directory, name);
  if (!existsSync(path)) await ffmpeg(...VIDEO, ...SOUND, ...words, path);
  return path;
}

async function recordAll(
  { tracks, packets }: Tracks,
  name: string,
  options: { durable?: boolean } = {},
): Promise<Recorder> {
  await using recorder = await Recorder.create(join(directory, name), { tracks, ...options });
  for (const packet of packets) await recorder.write(packet, packet.track);
  return recorder;
}

interface Probed {
  stream_index: number;
  pts_time: string;
  dts_time: string;
  duration_time?: string;
  flags: string;
  size: string;
  data_hash: string;
}

/** A track's packets as ffprobe reads them, times from the first video frame on. */
async function probed(path: string, type: "v" | "a"): Promise<Record<string, unknown>[]> {
  const packets = async (which: string): Promise<Probed[]> =>
    (await ffprobe("-show_packets", "-show_data_hash", "md5", "-select_streams", which, path)).packets;
  const first = (await packets("v")).reduce(
    (least, { pts_time }) => Math.min(least, Number(pts_time)),
    Infinity,
  );
  const from = (time: string) => Number((Number(time) - first).toFixed(6));
  return (await packets(type)).map(({ pts_time, dts_time, flags, size, data_hash }) => ({
    pts: from(pts_time),
    dts: from(dts_time),
    flags: flags.slice(0, 1),
    size,
    data_hash,
  }));
}

describe.skipIf(!hasFfmpeg())("a recording of several tracks", () => {
  it.each([
    ["mp4", {}],
    ["mp4", { durable: true }],
    ["mov", {}],
    ["mkv", {}],
    ["mkv", { durable: true }],
    ["ts", {}],
    ["ts", { durable: true }],
  ])("is what FFmpeg's stream copy is, packet for packet (%s, %o)", async (extension, options) => {
    // With frames that are reordered, and with the samples before 0 that AAC begins with.
    const path = await source("source.mp4", ...H264, ...AAC, "-b:a", "96k");
    const copy = join(directory, `stream-copy.${extension}`);
    await ffmpeg("-i", path, "-map", "0", "-c", "copy", copy);
    const recorder = await recordAll(await tracksOf(path), `recorded.${extension}`, options);
    for (const type of ["v", "a"] as const) {
      const [mine, wanted] = [await probed(recorder.path, type), await probed(copy, type)];
      expect(wanted.length).toBeGreaterThan(99);
      expect(mine).toEqual(wanted);
    }
  });

  it.skipIf(!existsSync(CARS)).each(["mp4", "mkv", "ts"])(
    "of the cars equals a stream copy of both streams (%s)",
    async (extension) => {
      const copy = join(directory, `cars-copy.${extension}`);
      await ffmpeg("-i", CARS, "-map", "0", "-c", "copy", copy);
      const recorder = await recordAll(await tracksOf(CARS), `cars.${extension}`);
      const [video, wanted] = [await probed(recorder.path, "v"), await probed(copy, "v")];
      // The source's last packet has a start code inside a NAL unit, which Annex B cannot carry as one unit.
      const rest = (packets: Record<string, unknown>[]) => {
        const { data_hash, ...last } = packets.at(-1)!;
        return [extension === "ts" && data_hash, last];
      };
      expect(video.slice(0, -1)).toEqual(wanted.slice(0, -1));
      expect(rest(video)).toEqual(rest(wanted));
      expect(await probed(recorder.path, "a")).toEqual(await probed(copy, "a"));
      expect([video.length, recorder.packets]).toEqual([377, 377 + 1414]);
    },
  );

  it.each([
    ["aac", "48000", ["mp4", "mov", "mkv", "ts"]],
    ["libopus", "48000", ["mp4", "mkv", "ts"]],
    ["mp2", "48000", ["mp4", "mov", "mkv", "ts"]],
    ["libmp3lame", "44100", ["mp4", "mov", "mkv", "ts"]],
    ["ac3", "48000", ["mp4", "mov", "mkv", "ts"]],
    ["pcm_mulaw", "8000", ["mov", "mkv"]],
    ["pcm_alaw", "8000", ["mov", "mkv"]],
    ["pcm_s16le", "16000", ["mov", "mkv"]],
    ["g722", "16000", ["mkv"]],
    ["flac", "44100", ["mp4", "mkv"]],
  ])(
    "plays %s as it was, where the container takes it, and says so where not",
    async (encoder, rate, takers) => {
      const path = await source(`sound-${encoder}.nut`, ...H264, "-c:a", encoder, "-ar", rate, "-ac", "1");
      const all = await tracksOf(path);
      const bytes = (file: string) => ffmpeg("-i", file, "-map", "0:a", "-c", "copy", "-f", "md5", "-");
      for (const extension of ["mp4", "mov", "mkv", "ts"]) {
        const recorder = await recordAll(all, `sound-${encoder}.${extension}`);
        const { streams } = await ffprobe("-show_streams", recorder.path);
        if (!takers.includes(extension)) {
          expect(recorder.left).toEqual([{
            track: 1,
            reason: expect.stringMatching(
              / does not go into this file format: try .mkv; the file is without it$/,
            ),
          }]);
          expect(streams).toHaveLength(1);
          continue;
        }
        expect(recorder.left).toEqual([]);
        expect(streams.map((stream: { codec_type: string }) => stream.codec_type)).toEqual([
          "video",
          "audio",
        ]);
        // In MPEG-TS it has a header before each packet.
        const framed = extension === "ts" && ["aac", "libopus"].includes(encoder);
        if (!framed) expect(await bytes(recorder.path)).toBe(await bytes(path));
        expect(await ffmpeg("-i", recorder.path, "-map", "0:a", "-f", "null", "-")).toBe("");
      }
    },
  );

  it("keeps languages and titles", async () => {
    const { tracks, packets } = await tracksOf(await source("source.mp4", ...H264, ...AAC, "-b:a", "96k"));
    const named: RecorderTrack[] = [tracks[0]!, { ...tracks[1]!, language: "pol", label: "Gate" }];
    for (const extension of ["mp4", "mkv"]) {
      const recorder = await recordAll({ tracks: named, packets }, `named.${extension}`);
      const { streams } = await ffprobe("-show_streams", recorder.path);
      const { language, title, handler_name } = streams[1].tags;
      expect([language, title ?? handler_name]).toEqual(["pol", "Gate"]);
    }
  });

  it("begins with the first key packet of the picture, and with the sound from there on", async () => {
    const { tracks, packets } = await tracksOf(await source("source.mp4", ...H264, ...AAC, "-b:a", "96k"));
    // A camera that is joined half a second in: sound first, then frames that need the one before.
    const joined = packets.filter(({ timestampNs }) => timestampNs > SECOND / 2n);
    const recorder = await recordAll({ tracks, packets: joined }, "joined.mkv");
    const [video, sound] = [await probed(recorder.path, "v"), await probed(recorder.path, "a")];
    expect(video[0]).toMatchObject({ pts: 0, flags: "K" });
    expect(sound[0]!.pts).toBeGreaterThanOrEqual(0);
    expect(sound[0]!.pts).toBeLessThan(1024 / 48_000);
    expect(video).toHaveLength(75);
  });

  it("records sound alone, from its first packet on", async () => {
    const { tracks, packets } = await tracksOf(await source("source.mp4", ...H264, ...AAC, "-b:a", "96k"));
    const alone = packets.filter(({ track }) => track === 1);
    await using recorder = await Recorder.create(join(directory, "alone.mp4"), { tracks: [tracks[1]!] });
    for (const packet of alone) await recorder.write(packet);
    await recorder.close();
    const { packets: stored } = await ffprobe("-show_packets", recorder.path);
    expect([stored.length, Number(stored[0].pts_time)]).toEqual([alone.length, 0]);
  });

  it.each(["mp4", "mkv", "ts"])(
    "has sound in its place that begins long after the picture (%s)",
    async (extension) => {
      const { tracks, packets } = await tracksOf(await source("source.mp4", ...H264, ...AAC, "-b:a", "96k"));
      const late = packets.filter(({ track, timestampNs }) => track === 0 || timestampNs >= 2n * SECOND);
      const path = join(directory, `late.${extension}`);
      await using recorder = await Recorder.create(path, { tracks, durable: true });
      for (const packet of late) await recorder.write(packet, packet.track);
      // What a crash would leave now.
      const crashed = join(directory, `late-crashed.${extension}`);
      await copyFile(path, crashed);
      await recorder.close();
      const first = Number(late.find(({ track }) => track === 1)!.timestampNs) / 1e9;
      for (const file of [path, crashed]) {
        const [sound] = await probed(file, "a");
        expect(Math.abs(Number(sound!.pts) - first)).toBeLessThan(0.0011);
      }
    },
  );

  it("writes the picture a second late at most where the sound is silent, and holds no more", async () => {
    const { tracks, packets } = await tracksOf(await source("source.mp4", ...H264, ...AAC, "-b:a", "96k"));
    const video = packets.filter(({ track }) => track === 0);
    const path = join(directory, "silent.mkv");
    await using recorder = await Recorder.create(path, { tracks, durable: true });
    for (const packet of video) await recorder.write(packet);
    const { packets: there } = await ffprobe("-show_packets", path).catch(() => ({ packets: [] }));
    // A second is held, and a second is a piece that is not whole yet.
    expect(there.length).toBeGreaterThanOrEqual(video.length - 50);
    await recorder.close();
    expect(await probed(path, "v")).toHaveLength(video.length);
  });

  it("does not hold what is large for a track that has nothing", async () => {
    const data = new Uint8Array(1 << 20);
    const tracks: RecorderTrack[] = [
      { kind: "video", codecId: 7, codedWidth: 64, codedHeight: 64 },
      { kind: "audio", codecId: 65542, sampleRate: 8000, numberOfChannels: 1 },
    ];
    const path = join(directory, "large.mkv");
    await using recorder = await Recorder.create(path, { tracks });
    for (let index = 0; index < 64; index++) {
      const time = BigInt(index) * SECOND / 1000n;
      await recorder.write({ data, type: "key", timestampNs: time, decodeTimestampNs: time });
    }
    expect((await stat(path)).size).toBeGreaterThan(50 << 20);
  });

  it("puts data into MPEG-TS, and says where it does not go", async () => {
    const { tracks, packets } = await tracksOf(await source("source.mp4", ...H264, ...AAC, "-b:a", "96k"));
    // SMPTE 336M: a key of 16 bytes, a length, a value.
    const klv = Uint8Array.of(6, 14, 43, 52, 2, 11, 1, 1, 14, 1, 3, 1, 1, 0, 0, 0, 4, 65, 66, 67, 68);
    const three: RecorderTrack[] = [...tracks, { kind: "data", codecId: av.AV_CODEC_ID_SMPTE_KLV }];
    const write = async (name: string) => {
      await using recorder = await Recorder.create(join(directory, name), { tracks: three });
      for (const packet of packets) {
        await recorder.write(packet, packet.track);
        if (packet.type === "key" && packet.track === 0) {
          const { timestampNs } = packet;
          await recorder.write({ data: klv, type: "key", timestampNs, decodeTimestampNs: timestampNs }, 2);
        }
      }
      return recorder;
    };
    const ts = await write("klv.ts");
    const { packets: stored } = await ffprobe("-show_packets", "-select_streams", "d", ts.path);
    expect(stored.map(({ size }: { size: string }) => Number(size))).toEqual([21, 21, 21, 21]);
    for (const extension of ["mkv", "mp4", "mov"]) {
      const other = await write(`klv.${extension}`);
      expect(other.left).toEqual([{
        track: 2,
        reason: "klv does not go into this file format: try .ts; the file is without it",
      }]);
      expect(await probed(other.path, "a")).toHaveLength((await probed(ts.path, "a")).length);
    }
  });

  it.each([["mp4", 3600], ["mkv", 700], ["ts", 700]])(
    "is in sync across interruptions (%s, %i s)",
    async (extension, seconds) => {
      const { tracks, packets } = await tracksOf(await source("source.mp4", ...H264, ...AAC, "-b:a", "96k"));
      const [picture] = packets.filter(({ track }) => track === 0);
      const [, sound] = packets.filter(({ track }) => track === 1);
      const rate = 44_100n;
      const path = join(directory, `hour.${extension}`);
      await using recorder = await Recorder.create(path, {
        tracks: [tracks[0]!, {
          ...tracks[1]!,
          sampleRate: Number(rate),
          description: Uint8Array.of(0x12, 0x10),
        }],
        durable: true,
      });
      // One frame a second with 43 packets of sound, as a clock of 90 kHz gives them; every ten minutes ten are missing.
      const rounded = (numerator: bigint, denominator: bigint) =>
        (numerator * 90_000n / denominator) * 100_000n / 9n;
      const expected: number[] = [];
      let samples = 0n;
      for (let second = 0n; second < BigInt(seconds); second++) {
        const timestampNs = rounded(second, 1n);
        await recorder.write({ ...picture!, timestampNs, decodeTimestampNs: timestampNs, durationNs: 0n });
        if (second % 600n >= 590n) samples = (second + 1n) * rate;
        for (; samples < (second + 1n) * rate; samples += 1024n) {
          const at = rounded(samples, rate);
          expected.push(Number(samples) / Number(rate));
          await recorder.write({ ...sound!, timestampNs: at, decodeTimestampNs: at, durationNs: 0n }, 1);
        }
      }
      await recorder.close();
      const { packets: stored } = await ffprobe(
        "-show_packets",
        "-show_entries",
        "packet=stream_index,pts_time",
        path,
      );
      const times = (index: number): number[] =>
        stored.filter(({ stream_index }: { stream_index: number }) => stream_index === index).map((
          { pts_time }: { pts_time: string },
        ) => Number(pts_time));
      const [video, audio] = [times(0), times(1)];
      expect([video.length, audio.length]).toEqual([seconds, expected.length]);
      const begin = video[0]!;
      for (const [index, time] of video.entries()) expect(Math.abs(time - begin - index)).toBeLessThan(0.001);
      for (const [index, time] of audio.entries()) {
        if (Math.abs(time - begin - expected[index]!) > 0.0011) {
          expect([index, time - begin]).toEqual([index, expected[index]]);
        }
      }
    },
  );

  it.each([["pcm_mulaw", 8000], ["pcm_s16le", 16_000], ["pcm_alaw", 8000]])(
    "has a gap of the sound as silence where the file counts samples (%s in .mov)",
    async (encoder, rate) => {
      const path = await source(`gap-${encoder}.nut`, ...H264, "-c:a", encoder, "-ar", `${rate}`, "-ac", "1");
      const { tracks, packets } = await tracksOf(path);
      const missing = (ns: bigint) => ns >= SECOND && ns < 5n * SECOND / 2n;
      const all = {
        tracks,
        packets: packets.filter(({ track, timestampNs }) => track === 0 || !missing(timestampNs)),
      };
      const recorder = await recordAll(all, `gap-${encoder}.mov`, { durable: true });
      const samples = (file: string) =>
        outputOfSync("ffmpeg", ["-v", "error", "-i", file, "-map", "0:a", "-f", "s16le", "-"]).slice();
      const [mine, theirs] = [samples(recorder.path), samples(path)].map(({ buffer }) =>
        new Int16Array(buffer)
      );
      expect(Math.abs(mine!.length - theirs!.length)).toBeLessThan(rate / 50);
      const loudest = (of: Int16Array, from: number, to: number) =>
        of.subarray(from * rate, to * rate).reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
      expect(loudest(mine!, 1.2, 2.4)).toBeLessThan(10);
      expect(mine!.subarray(3 * rate, 3.9 * rate)).toEqual(theirs!.subarray(3 * rate, 3.9 * rate));
    },
  );

  it("is refused where nothing would be in it, or a track is none", async () => {
    const audio: RecorderTrack = { kind: "audio", codecId: 65542, sampleRate: 8000, numberOfChannels: 1 };
    const create = (tracks: unknown) =>
      Recorder.create(join(directory, "refused.mp4"), { tracks: tracks as RecorderTrack[] });
    await expect(create([audio])).rejects.toMatchObject({
      code: "UNSUPPORTED",
      message: expect.stringContaining("pcm_mulaw does not go into this file format: try .mkv"),
    });
    for (
      const wrong of [
        [],
        Array(9).fill(audio),
        [{ ...audio, kind: "sound" }],
        [{ ...audio, sampleRate: 0 }],
        [{ ...audio, numberOfChannels: undefined }],
        [{ kind: "video", codecId: 27 }],
      ]
    ) {
      await expect(create(wrong)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    }
    expect(existsSync(join(directory, "refused.mp4"))).toBe(false);
    await using recorder = await Recorder.create(join(directory, "one.mkv"), { tracks: [audio] });
    const packet = { data: new Uint8Array(8), type: "key", timestampNs: 0n, decodeTimestampNs: 0n } as const;
    await expect(recorder.write(packet, 1)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await expect(recorder.write(packet, 0.5)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });
});
