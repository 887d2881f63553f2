// A player shows every frame of a recording, the last one and the only one included.

import { existsSync } from "node:fs";
import { copyFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openMedia, Recorder, type RecorderTrack } from "../../../media.ts";
import { root } from "../../../scripts/toolchain.mjs";
import { SegmentRecorder } from "../../../src/media/segments.ts";
import { directory, hasFfmpeg, SECOND } from "../../support/media.ts";
import { ffmpeg, ffprobe, shownTimes, type Tracks, tracksOf } from "../../support/tracks.ts";

const CASES = join(root, "../shared/cases");
let names = 0;

/** A clip with reordered frames. @param times FFmpeg's expression of a frame's time, in ticks of 1/1000 s */
async function clipOf(frames: number, times?: string, ...words: string[]): Promise<string> {
  const path = join(directory, `shown-${names++}.mp4`);
  const filter = times === undefined
    ? []
    : ["-vf", `settb=1/1000,setpts=${times}`, "-fps_mode", "passthrough"];
  // deno-fmt-ignore
  await ffmpeg("-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25", "-frames:v", `${frames}`, ...filter,
    "-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-g", "250", ...words, path);
  return path;
}

async function record({ tracks, packets }: Tracks, extension: string, durable: boolean): Promise<string> {
  const path = join(directory, `shown-${names++}.${extension}`);
  await using recorder = await Recorder.create(path, { tracks, durable });
  // As a ring has them: without a duration.
  for (const packet of packets) await recorder.write({ ...packet, durationNs: undefined }, packet.track);
  return path;
}

/** What a player shows of a file, frame for frame. */
const pictures = async (path: string): Promise<string[]> =>
  (await ffmpeg("-i", path, "-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", "-"))
    .split("\n").filter((line) => line !== "" && !line.startsWith("#")).map((line) =>
      line.split(",").at(-1)!
    );

const VARIABLE = "N*40+mod(N*N*7\\,97)";
const SLOWING = "N*N*20";

describe.skipIf(!hasFfmpeg())("a recording shows", () => {
  it.each([
    [51, undefined],
    [52, undefined],
    [53, undefined],
    [77, undefined],
    [2, undefined],
    [1, undefined],
    [51, VARIABLE],
    [77, VARIABLE],
    [30, SLOWING],
  ])("all of %i frames with reordered ones (times %s)", async (frames, times) => {
    const source = await clipOf(frames, times);
    const wanted = await pictures(source);
    const all = await tracksOf(source);
    expect([wanted.length, all.packets.length]).toEqual([frames, frames]);
    for (
      const [extension, durable] of [["mp4", false], ["mp4", true], ["mov", true], ["mkv", true], [
        "ts",
        true,
      ]] as const
    ) {
      const path = await record(all, extension, durable);
      expect([extension, durable, await pictures(path)]).toEqual([extension, durable, wanted]);
      const [mine, theirs] = [await shownTimes(path), await shownTimes(source)];
      for (const [index, time] of mine.entries()) {
        expect(Math.abs(time - mine[0]! - theirs[index]! + theirs[0]!)).toBeLessThan(0.0011);
      }
    }
  });

  it("the last frame where a piece of the file ends between it and the frames shown before it", async () => {
    const all = await tracksOf(await clipOf(51));
    const { tracks, packets } = all;
    // In decode order the last frame shown is followed by others.
    const last = packets.findLastIndex(({ timestampNs }) =>
      packets.every((one) => one.timestampNs <= timestampNs)
    );
    expect(last).toBeLessThan(packets.length - 1);
    const path = join(directory, "piece.mp4");
    await using recorder = await Recorder.create(path, { tracks, durable: true });
    const size = async () => (await stat(path)).size;
    for (const [index, packet] of packets.entries()) {
      if (index > last) {
        // Nothing comes for a while: the clock ends the piece.
        const before = await size();
        await expect.poll(size, { timeout: 5000 }).toBeGreaterThan(before);
      }
      await recorder.write({ ...packet, durationNs: undefined });
    }
    await recorder.close();
    expect(await shownTimes(path)).toHaveLength(51);
  });

  it.each([["mp4", false], ["mp4", true], ["mov", false]])(
    "from what is shown first on, where a stream begins with what is not (.%s, durable %s)",
    async (extension, durable) => {
      const { tracks, packets } = await tracksOf(await clipOf(60));
      const path = join(directory, `hidden-${names++}.${extension}`);
      await using recorder = await Recorder.create(path, { tracks, durable });
      const from = packets[0]!.timestampNs + 10n * SECOND / 25n;
      for (const packet of packets) await recorder.write({ ...packet, hidden: packet.timestampNs < from });
      await recorder.close();
      const times = await shownTimes(path);
      expect([times.length, times[0]]).toEqual([50, 0]);
      expect(times.at(-1)).toBeCloseTo(49 / 25, 3);
    },
  );

  it.skipIf(!existsSync(join(CASES, "lastframe51.mp4")))("all 51 frames of the case", async () => {
    const all = await tracksOf(join(CASES, "lastframe51.mp4"));
    for (const durable of [false, true]) {
      expect(await shownTimes(await record(all, "mp4", durable))).toHaveLength(51);
    }
  });

  it.skipIf(!existsSync(join(CASES, "timelapse1fps.mp4")))(
    "each frame of a time lapse in files of a second",
    async () => {
      const source = join(CASES, "timelapse1fps.mp4");
      const files: string[] = [];
      await using media = await openMedia(source, { decode: false });
      const video: RecorderTrack = media.video;
      await using recorder = new SegmentRecorder({
        pathOf: () => join(directory, "lapse.mp4"),
        seconds: 1,
        onEnd: ({ path }) => files.push(path),
      });
      for await (const event of media) {
        if (event.kind !== "packet") continue;
        await recorder.write({ ...event, durationNs: undefined }, (track) => track === 0 ? video : undefined);
      }
      await recorder.close();
      const shown = await Promise.all(files.map(async (path) => (await shownTimes(path)).length));
      expect(shown.reduce((sum, count) => sum + count, 0)).toBe((await shownTimes(source)).length);
      expect(shown).not.toContain(0);
    },
  );
});

describe.skipIf(!hasFfmpeg())("a recording that is cut off shows", () => {
  const SOUND: RecorderTrack = { kind: "audio", codecId: 86018, sampleRate: 48_000, numberOfChannels: 1 };

  it.each([
    ["mp4", "no sound"],
    ["mp4", "silent sound"],
    ["mp4", "sound"],
    ["mkv", "no sound"],
    ["mkv", "silent sound"],
    ["ts", "sound"],
  ])("what had come a second before, however slow the camera (.%s, %s)", async (extension, kind) => {
    const { tracks, packets } = await tracksOf(await clipOf(4, undefined, "-bf", "0", "-g", "60"));
    const sound = { ...SOUND, description: Uint8Array.of(0x11, 0x88) };
    const path = join(directory, `cut-off-${names++}.${extension}`);
    await using recorder = await Recorder.create(path, {
      tracks: kind === "no sound" ? tracks : [...tracks, sound],
      durable: true,
    });
    // FFmpeg's own silence of 1024 samples.
    const silence = Uint8Array.of(0x01, 0x18, 0x20, 0x07);
    for (const [index, packet] of packets.entries()) {
      // A frame every ten seconds of the stream; what is asked is what a crash would leave by now.
      const timestampNs = BigInt(index) * 10n * SECOND;
      await recorder.write({ ...packet, timestampNs, decodeTimestampNs: timestampNs, durationNs: undefined });
      if (kind === "sound") {
        for (let at = timestampNs; at < timestampNs + 9n * SECOND; at += 21_333_333n) {
          await recorder.write({ data: silence, type: "key", timestampNs: at, decodeTimestampNs: at }, 1);
        }
      }
      const came = Date.now();
      const left = join(directory, `left.${extension}`);
      const shown = async () => {
        await copyFile(path, left);
        return await shownTimes(left).then(({ length }) => length, () => 0);
      };
      await expect.poll(shown, { timeout: 5000, interval: 100 }).toBe(index + 1);
      expect((await stat(path)).mtimeMs - came).toBeLessThan(1000);
    }
    await recorder.close();
    const times = await shownTimes(path);
    expect(times.map((time) => Math.round(time - times[0]!))).toEqual([0, 10, 20, 30]);
    if (kind === "silent sound") return;
    const { streams } = await ffprobe("-show_streams", path);
    expect(streams).toHaveLength(kind === "sound" ? 2 : 1);
  });
});
