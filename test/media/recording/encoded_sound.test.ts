// Sound that is encoded as AAC: there where it was, to some milliseconds, also behind gaps.

import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Recorder } from "../../../media.ts";
import { outputOfSync } from "../../../scripts/lib/process.ts";
import { directory, hasFfmpeg, SECOND } from "../../support/media.ts";
import { ffmpeg, ffprobe, type Tracks, tracksOf } from "../../support/tracks.ts";

const RATE = 8000;

/** Four seconds of picture, and of sound that is a beep at each full second. */
async function source(encoder: string, rate: number): Promise<Tracks> {
  const path = join(directory, `beeps-${encoder}-${rate}.nut`);
  // deno-fmt-ignore
  await ffmpeg("-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=4",
    "-f", "lavfi", "-i", `aevalsrc=if(lt(mod(t\\,1)\\,0.1)\\,sin(2*PI*1000*t)\\,0):s=${rate}:d=4`,
    "-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-bf", "0", "-c:a", encoder, "-ar", `${rate}`, path);
  return await tracksOf(path);
}

/** When beeps begin, in s from the first frame on, as a player hears them. */
async function beeps(path: string): Promise<number[]> {
  const { packets } = await ffprobe("-show_packets", "-select_streams", "v", path);
  const begin = Math.min(...packets.map(({ pts_time }: { pts_time: string }) => Number(pts_time)));
  // deno-fmt-ignore
  const heard = outputOfSync("ffmpeg", ["-v", "error", "-copyts", "-i", path, "-map", "0:a",
    "-af", `asetpts=PTS-${begin}/TB,aresample=${RATE}:async=1:first_pts=0`, "-f", "s16le", "-ac", "1", "-"]);
  const samples = new Int16Array(heard.slice().buffer);
  const found: number[] = [];
  let quietFor = RATE;
  for (const [index, sample] of samples.entries()) {
    if (Math.abs(sample) < 4000) quietFor++;
    else {
      if (quietFor > RATE / 10) found.push(index / RATE);
      quietFor = 0;
    }
  }
  return found;
}

describe.skipIf(!hasFfmpeg())("sound encoded as AAC", () => {
  it.each([
    ["pcm_mulaw", 8000, "mp4"],
    ["pcm_alaw", 8000, "ts"],
    ["g722", 16_000, "mp4"],
    ["pcm_s16le", 22_050, "ts"],
    ["pcm_s16be", 44_100, "mp4"],
    ["pcm_s16le", 7000, "mkv"],
    ["libopus", 48_000, "mov"],
  ])("is where it was (%s, %i Hz, .%s)", async (encoder, rate, extension) => {
    const { tracks, packets } = await source(encoder, rate);
    const path = join(directory, `encoded-${encoder}-${rate}.${extension}`);
    await using recorder = await Recorder.create(path, { tracks, audio: "aac", durable: true });
    // A gap of a fifth of a second, and one of five seconds.
    const isGap = (ns: bigint) => ns >= 15n * SECOND / 10n && ns < 17n * SECOND / 10n;
    const kept = packets.filter(({ track, timestampNs }) => track === 0 || !isGap(timestampNs));
    for (const packet of kept) {
      const shift = packet.timestampNs >= 5n * SECOND / 2n ? 5n * SECOND : 0n;
      const { timestampNs, decodeTimestampNs } = packet;
      const times = { timestampNs: timestampNs + shift, decodeTimestampNs: decodeTimestampNs + shift };
      await recorder.write({ ...packet, ...times }, packet.track);
    }
    await recorder.close();
    expect(recorder.left).toEqual([]);
    const { streams } = await ffprobe("-show_streams", path);
    expect([streams.length, streams[1].codec_name]).toEqual([2, "aac"]);
    const heard = await beeps(path);
    expect(heard).toHaveLength(4);
    for (const [index, expected] of [0, 1, 2, 8].entries()) {
      expect([expected, Math.abs(heard[index]! - expected) < 0.015, heard[index]]).toEqual([
        expected,
        true,
        heard[index],
      ]);
    }
  });

  it("leaves AAC as it is, and says what it cannot decode", async () => {
    const { tracks, packets } = await source("aac", 48_000);
    const three = [...tracks, { ...tracks[1]!, codecId: 86_999 }];
    await using recorder = await Recorder.create(join(directory, "as-it-is.mp4"), {
      tracks: three,
      audio: "aac",
    });
    for (const packet of packets) await recorder.write(packet, packet.track);
    await recorder.close();
    expect(recorder.left).toEqual([{
      track: 2,
      reason: expect.stringContaining("FFmpeg does not decode it here"),
    }]);
    const { packets: stored } = await ffprobe("-show_packets", "-select_streams", "a", recorder.path);
    expect(stored.map(({ size }: { size: string }) => Number(size))).toEqual(
      packets.filter(({ track }) => track === 1).map(({ data }) => data.length),
    );
  });

  it("goes on behind packets that are damaged", async () => {
    const { tracks, packets } = await source("libopus", 48_000);
    await using recorder = await Recorder.create(join(directory, "damaged.mp4"), { tracks, audio: "aac" });
    for (const [index, packet] of packets.entries()) {
      const damaged = packet.track === 1 && index % 40 < 3;
      await recorder.write(
        damaged ? { ...packet, data: Uint8Array.of(0xff, 0xff, 0xff) } : packet,
        packet.track,
      );
    }
    await recorder.close();
    const { packets: stored } = await ffprobe("-show_packets", "-select_streams", "a", recorder.path);
    const end = Math.max(...stored.map(({ pts_time }: { pts_time: string }) => Number(pts_time)));
    expect(Math.abs(end - 4)).toBeLessThan(0.05);
  });

  it("is asked for by a name that there is", async () => {
    const tracks = [{ kind: "audio", codecId: 65_542, sampleRate: 8000, numberOfChannels: 1 }] as const;
    const create = () => Recorder.create(join(directory, "mp3.mp4"), { tracks, audio: "mp3" as "aac" });
    await expect(create()).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });
});
