// How the soak measures whether picture and sound belong together, and that the RTSP server sends them together.

import { mkdirSync, writeFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { outputOf } from "../../scripts/lib/process.ts";
import { avSync } from "../../scripts/measure/av_sync.ts";
import { makeSyncFilm } from "../../scripts/measure/sync_film.ts";
import { longFilm } from "../../scripts/soak/film.ts";
import { examine } from "../../scripts/soak/recordings.ts";
import { stages } from "../support/processes.ts";
import { CLIP, Media, noCamera, serve } from "./support.ts";

const stage = stages();
const media = new Media();
const SECONDS = 12;
/** AAC tells when a tone begins to a few of its shortest windows, which are 2.7 ms. */
const PRECISION = 3;

describe.skipIf(noCamera)("A/V sync", () => {
  let film = "";
  beforeAll(async () => {
    await makeSyncFilm(film = media.path("film.mp4"), SECONDS);
  });

  /** The film once more, by ffmpeg's options; its sound may come from a second input. */
  const changed = (name: string, ...options: string[]) =>
    media.ffmpeg(name, "-i", film, ...options, "-map", "0:v", "-map", "1:a", "-c", "copy");

  test("of the film itself is exact; of all flashes at most the last is at an edge", async () => {
    const { distances, alone, atEdges, median, worst } = await avSync(film);
    expect([distances.length + atEdges, alone]).toEqual([SECONDS, []]);
    expect(atEdges).toBeLessThanOrEqual(1);
    for (const value of [...distances, median, worst]) expect(Math.abs(value)).toBeLessThan(PRECISION);
  });

  test.each([60, -60, 1000, -2000])("of sound that is %d ms late is that", async (late) => {
    const path = await changed(`late${late}.mkv`, "-itsoffset", String(late / 1000), "-i", film);
    const { distances, alone, median, worst } = await avSync(path, (await avSync(film)).median);
    expect(distances.length).toBeGreaterThan(SECONDS - 4);
    expect(alone).toEqual([]);
    for (const value of [median, worst]) expect(Math.abs(value - late)).toBeLessThan(PRECISION);
  });

  test.each([
    ["ts", []],
    ["mkv", ["-c:a", "pcm_alaw", "-ar", "8000"]],
    ["mp4", ["-ar", "16000", "-c:a", "aac"]],
  ])("of sound that begins late is that of its times (%s %j)", async (extension, encoding) => {
    // Two seconds of it are not there: packets of 21.3 ms.
    const partial = await media.ffmpeg(
      "partial.mkv",
      ...["-i", film, "-map", "0:a", "-c", "copy", "-bsf:a", "noise=drop=lt(n\\,94)"],
    );
    const path = await media.ffmpeg(
      `begins.${extension}`,
      ...[
        "-copyts",
        "-i",
        film,
        "-itsoffset",
        "0.06",
        "-i",
        partial,
        "-map",
        "0:v",
        "-map",
        "1:a",
        "-c",
        "copy",
      ],
      ...encoding,
    );
    const { distances, alone, atEdges, worst } = await avSync(path);
    expect([alone, distances.length + atEdges]).toEqual([[], SECONDS]);
    expect(atEdges).toBeLessThanOrEqual(3);
    expect(Math.abs(worst - 60)).toBeLessThan(PRECISION);
  });

  test("of sound that jumps by 30 ms is 30 ms at worst", async () => {
    const jump = "setts=ts=TS+1440*gte(TS\\,8.2*48000)";
    const path = await changed("jump.mp4", "-i", film, "-bsf:a", jump);
    const { distances, median, worst } = await avSync(path);
    expect(Math.abs(median)).toBeLessThan(PRECISION);
    expect(Math.abs(worst - 30)).toBeLessThan(PRECISION);
    expect(distances.filter((distance) => Math.abs(distance - 30) < PRECISION).length).toBeGreaterThanOrEqual(
      2,
    );
  });

  test("of a film whose beeps are another's tells the flashes that are alone", async () => {
    const silence = ["-f", "lavfi", "-i", "anullsrc=r=48000", "-t", String(SECONDS)];
    const path = await media.ffmpeg(
      "silent.mp4",
      ...["-i", film, ...silence, "-map", "0:v", "-map", "1:a", "-c:v", "copy"],
    );
    const { distances, alone, median } = await avSync(path);
    expect([distances, median]).toEqual([[], NaN]);
    expect(alone.length).toBeGreaterThanOrEqual(SECONDS - 1);
  });

  test("says nothing of flashes beside a hole", async () => {
    // Packets of 21.3 ms: from 5.44 s on.
    const hole = "noise=drop=between(n\\,256\\,262)";
    const path = await changed("hole.mkv", "-i", film, "-bsf:a", hole);
    const whole = await avSync(film);
    const { distances, alone, atEdges } = await avSync(path);
    expect([alone, atEdges]).toEqual([[], whole.atEdges + 1]);
    expect(distances).toHaveLength(whole.distances.length - 1);
  });

  test("of a recording is part of what the soak says of it", async () => {
    const shown = { path: film, hasSound: true, calibration: (await avSync(film)).median };
    const problemsOf = async (path: string) =>
      (await examine(path, shown)).problems.map((problem) => problem.replace(`${path}: `, ""));
    expect(await problemsOf(film)).toEqual([]);
    const late = await changed("late.mp4", "-itsoffset", "0.03", "-i", film);
    expect(await problemsOf(late)).toEqual([
      expect.stringMatching(/^a beep is (29|30|31)\.\d ms from its flash$/),
    ]);
    const mute = await media.ffmpeg("mute.mp4", "-i", film, "-c", "copy", "-an");
    expect(await problemsOf(mute)).toEqual(["no sound"]);
    expect((await examine(mute, { ...shown, hasSound: false })).problems).toEqual([]);
    const short = await changed("short.mp4", "-t", "8", "-i", film);
    expect(await problemsOf(short)).toEqual([
      expect.stringMatching(/^the picture ends at 12\.0 s, the sound at 8\.0 s$/),
    ]);
    const broken = media.path("broken.mp4");
    writeFileSync(broken, "this is no film");
    expect(await problemsOf(broken)).toEqual([expect.stringMatching(/does not play/)]);
    const soundAlone = await media.ffmpeg("sound.mp4", "-i", film, "-c", "copy", "-vn");
    expect(await problemsOf(soundAlone)).toEqual(["no picture"]);
  });

  test("is not measured of a file that is given: it is repeated, with its sound where that can be sent", async () => {
    const directory = (name: string) => {
      const path = media.path(name);
      mkdirSync(path);
      return path;
    };
    const opus = await media.ffmpeg("opus.mp4", "-i", CLIP, "-c:v", "copy", "-c:a", "libopus");
    for (const [input, hasSound] of [[CLIP, true], [opus, false]] as const) {
      const long = await longFilm(directory(`long-${hasSound}`), 20, input);
      expect(long).toMatchObject({ hasSound, calibration: undefined });
      const { picture, sound, sync, problems } = await examine(long.path, long);
      expect([problems, sync]).toEqual([[], undefined]);
      expect(picture.end - picture.begin).toBeGreaterThanOrEqual(50);
      expect(picture.packets).toBeGreaterThanOrEqual(1250);
      expect(sound.packets > 0).toBe(hasSound);
    }
  });

  test("of what the RTSP server sends is that of its file", async () => {
    const silentFilm = await media.ffmpeg("without.mp4", "-i", film, "-c", "copy", "-an");
    await using server = await serve(stage(), [film, `silent=${silentFilm}`]);
    const url = (path: string) => `rtsp://127.0.0.1:${server.port}/${path}`;
    const received = (name: string, path: string) =>
      media.ffmpeg(name, "-rtsp_transport", "tcp", "-i", url(path), "-t", "5", "-c", "copy");
    const [sounding, silent] = [await received("rtsp.mkv", "stream"), await received("mute.mkv", "silent")];
    const { distances, alone, worst } = await avSync(sounding);
    expect(distances.length).toBeGreaterThanOrEqual(3);
    expect(alone).toEqual([]);
    expect(Math.abs(worst)).toBeLessThan(PRECISION);
    const streams = ["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0"];
    expect(await outputOf("ffprobe", [...streams, sounding])).toBe("h264\naac\n");
    expect(await outputOf("ffprobe", [...streams, silent])).toBe("h264\n");
  });
});
