// Real cameras' footage, where it is there.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { outputOfSync } from "../../scripts/lib/process.ts";
import { openMedia, Recorder } from "../../media.ts";
import {
  BOTTLES,
  CARS,
  directory,
  expectUsable,
  hasFfmpeg,
  md5,
  type Read,
  readAll,
  record,
  sorted,
  stored,
  times,
} from "../support/media.ts";

describe.skipIf(!existsSync(BOTTLES))("real footage (skipped where ../shared/media is absent)", () => {
  it("with B-frames: all 1189 frames, and a recording that is bit-exact", async () => {
    const path = join(directory, "bottles.mp4");
    await using media = await openMedia(BOTTLES);
    await using recorder = await Recorder.create(path, media.video);
    const read: Read = { packets: [], frames: [], events: [] };
    for await (const event of media) {
      if (event.kind === "frame") read.frames.push(event);
      else {
        read.packets.push(event);
        await recorder.write(event);
      }
    }
    await recorder.close();
    expect([read.packets.length, read.frames.length, recorder.packets]).toEqual([1189, 1189, 1189]);
    expectUsable(read);
    expect(sorted(times(read.packets))).toEqual(times(read.frames));
    expect(await stored(path)).toEqual(await stored(BOTTLES));
  });

  it("with sound: all 377 frames, and a recording with their times", async () => {
    const path = join(directory, "cars.mp4");
    const read = await readAll(CARS);
    expect([read.packets.length, read.frames.length]).toEqual([377, 377]);
    expectUsable(read);
    await record(CARS, path);
    const [source, copy] = [await stored(CARS, 450_000), await stored(path, 450_000)];
    // The source's last packet has a start code inside a NAL unit, which Annex B cannot carry as one unit.
    expect(copy.packets.slice(0, 376)).toEqual(source.packets.slice(0, 376));
    expect(copy.packets[376]).toMatchObject({
      pts: source.packets[376]!.pts,
      duration: source.packets[376]!.duration,
    });
  });

  it.skipIf(!hasFfmpeg())(
    "a recording is to FFmpeg's own program the same as its source (skipped without ffmpeg)",
    async () => {
      const path = join(directory, "bottles-ffmpeg.mp4");
      await record(BOTTLES, path);
      const ffmpeg = (input: string, ...rest: string[]) =>
        outputOfSync("ffmpeg", ["-v", "error", "-i", input, "-map", "0:v", "-c", "copy", ...rest, "-"]);
      const frames = (input: string) =>
        new TextDecoder().decode(ffmpeg(input, "-f", "framemd5")).split("\n").filter((line) =>
          !line.startsWith("#")
        );
      expect(frames(path)).toEqual(frames(BOTTLES));
      const raw = (input: string) => md5(ffmpeg(input, "-bsf:v", "h264_mp4toannexb", "-f", "h264"));
      expect(raw(path)).toBe(raw(BOTTLES));
      expect(outputOfSync("ffmpeg", ["-v", "error", "-i", path, "-f", "null", "-"])).toHaveLength(0);
    },
  );
});
