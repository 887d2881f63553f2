// Recordings in several files: each has the sound of its picture, none is lost and none is there twice.

import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { RecorderTrack } from "../../../media.ts";
import { type Segment, type SegmentPacket, SegmentRecorder } from "../../../src/media/segments.ts";
import { directory, hasFfmpeg, SECOND } from "../../support/media.ts";
import { ffmpeg, ffprobe, shownTimes, type Tracks, tracksOf } from "../../support/tracks.ts";

const MS = SECOND / 1000n;
let names = 0;

/** Twelve seconds of picture with reordered frames and a key frame a second, and of sound. */
const source = async (): Promise<Tracks> => {
  const path = join(directory, "segments-source.mp4");
  // deno-fmt-ignore
  await ffmpeg("-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=12",
    "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=12",
    "-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-bf", "2", "-c:a", "aac", "-ac", "1", path);
  return await tracksOf(path);
};
let made: Promise<Tracks> | undefined;
const all = () => made ??= source();

/** The order in which packets come whose sound is behind the picture by so much, or before it. */
function arriving({ packets }: Tracks, soundLateNs: bigint): SegmentPacket[] {
  const at = ({ track, decodeTimestampNs }: { track: number; decodeTimestampNs: bigint }) =>
    decodeTimestampNs + (track === 1 ? soundLateNs : 0n);
  return packets.toSorted((one, other) => Number(at(one) - at(other)))
    .map((packet) => ({ ...packet, discontinuity: false }));
}

interface Recorded {
  files: Segment[];
  dropped: number;
}

async function recordAll(
  packets: Iterable<SegmentPacket>,
  tracks: readonly RecorderTrack[] | ((track: number) => RecorderTrack | undefined),
  { seconds, extension = "mp4" }: { seconds?: number; extension?: string },
): Promise<Recorded> {
  const name = names++;
  const files: Segment[] = [];
  await using recorder = new SegmentRecorder({
    pathOf: () => join(directory, `segment-${name}.${extension}`),
    seconds,
    onEnd: (segment) => files.push(segment),
  });
  const trackOf = typeof tracks === "function" ? tracks : (track: number) => tracks[track];
  for (const packet of packets) await recorder.write(packet, trackOf);
  await recorder.close();
  return { files, dropped: recorder.dropped };
}

interface Stored {
  hash: string;
  time: number;
}

/** Packets of picture and sound. */
const countOf = ({ packets, audioPackets }: Segment): number => packets + audioPackets;

/** A file's packets of a track, and their times in it. */
async function packetsIn(path: string, track: number): Promise<Stored[]> {
  const { packets } = await ffprobe(
    "-show_packets",
    "-show_data_hash",
    "md5",
    "-select_streams",
    `${track}`,
    path,
  );
  return packets.map(({ data_hash, pts_time }: { data_hash: string; pts_time: string }) => ({
    hash: data_hash,
    time: Number(pts_time),
  }));
}

describe.skipIf(!hasFfmpeg())("a recording in segments", () => {
  it.each([
    ["mp4", 0n],
    ["mp4", 1000n],
    ["mp4", -1000n],
    ["mkv", 900n],
    ["mkv", -900n],
    ["ts", 500n],
    ["ts", -500n],
  ])(
    "has all sound once, each packet in the file in which it begins (%s, sound late by %i ms)",
    async (extension, late) => {
      const source = await all();
      const arrived = arriving(source, late * MS);
      const { files, dropped } = await recordAll(arrived, source.tracks, { seconds: 3, extension });
      expect(files.map(countOf).reduce((sum, count) => sum + count, 0)).toBe(
        source.packets.length,
      );
      expect([files.length, dropped]).toEqual([4, 0]);
      const sound = source.packets.filter(({ track }) => track === 1);
      let [pictures, sounds] = [0, 0];
      for (const [index, { path }] of files.entries()) {
        const [video, audio] = [await packetsIn(path, 0), await packetsIn(path, 1)];
        const begin = Math.min(...video.map(({ time }) => time));
        pictures += video.length;
        for (const { time } of audio) {
          const expected = Number(sound[sounds++]!.timestampNs) / 1e9 - 3 * index;
          expect(Math.abs(time - begin - expected)).toBeLessThan(0.0011);
          expect(expected >= 0 || index === 0).toBe(true);
          expect(expected < 3 || index === 3).toBe(true);
        }
        expect(await shownTimes(path)).toHaveLength(75);
      }
      expect([pictures, sounds]).toEqual([300, sound.length]);
    },
  );

  it("waits for an ended file's sound for as long as packets come", async () => {
    const { tracks, packets } = await all();
    const cut = packets.find(({ track, type, timestampNs }) =>
      track === 0 && type === "key" && timestampNs >= 3n * SECOND
    )!;
    const isBefore = ({ track, timestampNs, decodeTimestampNs }: (typeof packets)[number]) =>
      track === 0 ? decodeTimestampNs < cut.decodeTimestampNs : timestampNs < cut.timestampNs;
    const before = packets.filter(isBefore);
    const late = before.filter(({ track }) => track === 1).slice(-2);
    const picture = packets.filter(({ track }) => track === 0);
    const [last, next] = [picture[picture.indexOf(cut) - 1]!, picture[picture.indexOf(cut) + 1]!];
    // The sound of its last moment is held until the last frame has come, which is what the clock is for.
    const begin = before.filter((packet) => packet !== last && !late.includes(packet));
    const files: Segment[] = [];
    await using recorder = new SegmentRecorder({
      pathOf: () => join(directory, `segment-${names++}.mp4`),
      seconds: 3,
      onEnd: (segment) => files.push(segment),
    });
    const write = async (those: typeof packets) => {
      for (const packet of those) {
        await recorder.write({ ...packet, discontinuity: false }, (track) => tracks[track]);
      }
    };
    // More than a second from where it began to hold something, and never as much without a packet.
    for (const step of [begin, [last], [cut], [next]]) {
      await write(step);
      await setTimeout(300);
    }
    await write(late);
    await recorder.close();
    const counts = files.map(countOf);
    expect([counts, recorder.dropped]).toEqual([[before.length, 2], 0]);
  });

  it.each(["mp4", "mkv", "ts"])(
    "begins with all of the sound of a stream that is back (%s)",
    async (extension) => {
      const { tracks, packets } = await all();
      const once = packets.filter(({ decodeTimestampNs }) => decodeTimestampNs < 5n * SECOND / 2n);
      // AAC begins 21 ms before its picture.
      const awayNs = 6200n * MS;
      const seen = new Set<number>();
      const again = once.map((packet) => ({
        ...packet,
        timestampNs: packet.timestampNs + awayNs,
        decodeTimestampNs: packet.decodeTimestampNs + awayNs,
        discontinuity: !seen.has(packet.track) && seen.add(packet.track).has(packet.track),
      }));
      expect(once.some(({ timestampNs }) => timestampNs < 0n)).toBe(true);
      const both = [...once.map((packet) => ({ ...packet, discontinuity: false })), ...again];
      const { files, dropped } = await recordAll(both, tracks, { seconds: 3, extension });
      expect([files.map(countOf), dropped]).toEqual([[once.length, once.length], 0]);
      for (const { path } of files) {
        const times = await Promise.all([packetsIn(path, 0), packetsIn(path, 1)]);
        const ends = times.map((those) => Math.max(...those.map(({ time }) => time)));
        expect(Math.abs(ends[0]! - ends[1]!)).toBeLessThan(0.2);
      }
    },
  );

  it("cuts sound alone by time", async () => {
    const { tracks, packets } = await all();
    const sound = packets.filter(({ track }) => track === 1);
    const alone = sound.map((packet) => ({ ...packet, track: 0, discontinuity: false }));
    const { files, dropped } = await recordAll(alone, [tracks[1]!], { seconds: 5 });
    const times = await Promise.all(files.map(({ path }) => packetsIn(path, 0)));
    expect([files.length, dropped, times.flat().length]).toEqual([3, 0, sound.length]);
    for (const [first] of times) expect(first!.time).toBe(0);
    expect(Math.abs(times[0]!.length * 1024 / 48_000 - 5)).toBeLessThan(1024 / 48_000);
  });

  it.each(["its reader", "its packet alone"])(
    "begins a file with a track's new codec, told by %s, and counts what no file can have",
    async (by) => {
      const { tracks, packets } = await all();
      const other: RecorderTrack = {
        ...tracks[1]!,
        sampleRate: 44_100,
        description: Uint8Array.of(0x12, 0x08),
      };
      const changedNs = 4n * SECOND + 300n * MS;
      let now = tracks[1]!;
      const arrived = function* (): Generator<SegmentPacket> {
        for (const packet of packets) {
          const changes = packet.track === 1 && packet.timestampNs >= changedNs && now !== other;
          if (changes) now = other;
          yield { ...packet, discontinuity: false, config: changes ? other : undefined };
        }
      };
      const { files, dropped } = await recordAll(
        arrived(),
        (track) => by === "its reader" ? [tracks[0], now][track] : tracks[track],
        {},
      );
      const rates = await Promise.all(files.map(async ({ path }) => {
        const { streams } = await ffprobe("-show_streams", path);
        return streams.map(({ sample_rate }: { sample_rate?: string }) => sample_rate);
      }));
      expect(rates).toEqual([[undefined, "48000"], [undefined, "44100"]]);
      // From the change to the key frame at 5 s.
      const lost = packets.filter(({ track, timestampNs }) =>
        track === 1 && timestampNs >= changedNs && timestampNs < 5n * SECOND
      );
      expect(dropped).toBe(lost.length);
      expect(countOf(files[0]!) + countOf(files[1]!)).toBe(packets.length - lost.length);
    },
  );

  it("begins a file when sound appears, and goes on without it when it stops", async () => {
    const { tracks, packets } = await all();
    const some = packets.filter(({ track, timestampNs }) =>
      track === 0 || (timestampNs > 2n * SECOND && timestampNs < 6n * SECOND)
    ).map((packet) => ({ ...packet, discontinuity: false }));
    let heard = false;
    const arrived = function* (): Generator<SegmentPacket> {
      for (const packet of some) {
        heard ||= packet.track === 1;
        yield packet;
      }
    };
    const { files } = await recordAll(
      arrived(),
      (track) => track === 1 && !heard ? undefined : tracks[track],
      {},
    );
    const counts = await Promise.all(files.map(async ({ path }) => {
      const { streams } = await ffprobe("-show_streams", "-count_packets", path);
      return streams.map(({ nb_read_packets }: { nb_read_packets: string }) => Number(nb_read_packets));
    }));
    expect(counts.map(({ length }) => length)).toEqual([1, 2]);
    expect(counts[0]![0]! + counts[1]![0]!).toBe(300);
    const [first] = await packetsIn(files[1]!.path, 1);
    expect(first!.time).toBeGreaterThanOrEqual(0);
    expect(first!.time).toBeLessThan(0.022);
  });

  it("keeps sound in sync over publishers whose clocks begin anywhere", async () => {
    const { tracks, packets } = await all();
    const arrived: SegmentPacket[] = [];
    for (const [index, clock] of [90_000n, 5n, 777_777n].entries()) {
      const shifted = packets.filter(({ timestampNs }) => timestampNs < 4n * SECOND).map((packet) => ({
        ...packet,
        epoch: index + 1,
        discontinuity: packet.timestampNs <= 0n,
        timestampNs: packet.timestampNs + clock * SECOND,
        decodeTimestampNs: packet.decodeTimestampNs + clock * SECOND,
      }));
      arrived.push(...shifted);
    }
    const { files, dropped } = await recordAll(arrived, tracks, {});
    expect([files.length, dropped]).toEqual([1, 0]);
    const [video, audio] = [await packetsIn(files[0]!.path, 0), await packetsIn(files[0]!.path, 1)];
    expect(video).toHaveLength(300);
    const sorted = video.map(({ time }) => time).toSorted((one, other) => one - other);
    const perPublisher = audio.length / 3;
    for (let publisher = 0; publisher < 3; publisher++) {
      const begin = sorted[publisher * 100]!;
      const mine = audio.slice(publisher * perPublisher, (publisher + 1) * perPublisher);
      // AAC has 1024 samples before 0.
      expect(Math.abs(mine[1]!.time - begin)).toBeLessThan(0.002);
      expect(Math.abs(mine.at(-1)!.time - begin - (mine.length - 2) * 1024 / 48_000)).toBeLessThan(0.002);
    }
  });

  it("counts packets of the picture that wait for a key packet", async () => {
    const { tracks, packets } = await all();
    const video = packets.filter(({ track }) => track === 0).slice(5, 80);
    const arrived = video.map((packet) => ({ ...packet, discontinuity: false }));
    expect(await recordAll(arrived, [tracks[0]!], {})).toMatchObject({
      dropped: 20,
      files: [{ packets: 55 }],
    });
  });

  it.each(["mp4", "mkv", "ts"])(
    "shows each frame of files of one packet, as long as it was (%s)",
    async (extension) => {
      const { tracks, packets } = await all();
      const keys = packets.filter(({ track, type }) => track === 0 && type === "key").slice(0, 5);
      // A frame every second or so, of which no packet says how long it lasts.
      const begins = [0n, 1000n, 2100n, 3000n, 4400n];
      const arrived = keys.map(({ data, type }, index) => ({
        data,
        type,
        timestampNs: begins[index]! * MS,
        decodeTimestampNs: begins[index]! * MS,
        discontinuity: false,
      }));
      const { files } = await recordAll(arrived, [tracks[0]!], { seconds: 1, extension });
      expect(files.map(({ packets }) => packets)).toEqual([1, 1, 1, 1, 1]);
      for (const [index, { path }] of files.entries()) {
        expect(await shownTimes(path)).toHaveLength(1);
        if (extension !== "mp4") continue;
        const { format } = await ffprobe("-show_format", path);
        // The last one as long as the one before it.
        expect(Number(format.duration)).toBeCloseTo([1, 1.1, 0.9, 1.4, 1.4][index]!, 3);
      }
    },
  );
});
