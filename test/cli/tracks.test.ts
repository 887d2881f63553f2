// A file with several tracks, and one of which an edit list hides a part, through the program: what is published of it,
// and what a recording has.

import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { root } from "../../scripts/toolchain.mjs";
import { inspect, type PublisherReport } from "../../mod.ts";
import { cuframes, ffmpeg, hasFfmpeg, startCuframes, withoutFfmpeg } from "../support/cli.ts";
import { readAll, times } from "../support/media.ts";
import { eventually } from "../support/processes.ts";

const CLIP = join(root, "test/fixtures/clip.mp4");
const CASE = join(root, "../shared/cases/editlist.mp4");
const directory = mkdtempSync(join(tmpdir(), "cuframes-tracks-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const env = { CUFRAMES_RUNTIME_DIR: directory, NO_COLOR: "1" };

/** The project's clip and a tone. */
function withSound(): string {
  const path = join(directory, "sound.mp4");
  if (!existsSync(path)) {
    const tone = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"];
    ffmpeg(["-i", CLIP, ...tone, "-shortest", "-c:v", "copy", "-c:a", "aac", path]);
  }
  return path;
}

/** What `inspect` says of a source of the clip with sound, to a person and to a program. */
async function inspected(
  key: string,
  ...options: string[]
): Promise<{ page: string; told: string; report: PublisherReport }> {
  const words = ["source", withSound(), "--key", key, "--memory", "host", "--realtime", "--loop", ...options];
  const source = startCuframes(words, { env });
  let looked;
  try {
    await eventually("its tracks have packets", async () => {
      const report = await inspect(key, { runtimeDirectory: directory, timeout: 20_000 });
      return report.tracks.length > 0 && report.tracks.every(({ published }) => published > 0);
    });
    const report = await inspect(key, { runtimeDirectory: directory });
    const { stdout } = await cuframes(["inspect", key], { env });
    looked = { page: new TextDecoder().decode(stdout), report };
  } finally {
    source.kill("SIGINT");
  }
  return { ...looked, told: (await source.ended).stderr };
}

describe.skipIf(!hasFfmpeg)(`a source of a file with sound (${withoutFfmpeg})`, () => {
  it("publishes the sound on a track of its own", async () => {
    const { page, told, report } = await inspected("both");
    expect(told).toMatch(/published as NV12 320×240 on host memory, with packets\n/);
    expect(report.tracks).toMatchObject([
      { index: 0, kind: "video", codecId: 27 },
      { index: 1, kind: "audio", codec: "mp4a.40.2", sampleRate: 48_000, numberOfChannels: 1 },
    ]);
    expect(page).toMatch(/ h264 \d+, mp4a\.40\.2 \d+ /);
  }, 60_000);

  it("publishes none where there is to be none", async () => {
    const { page, report } = await inspected("silent", "--no-audio");
    expect(report.tracks.map(({ kind }) => kind)).toEqual(["video"]);
    expect(page).toMatch(/ h264 \d+ {2}/);
  }, 60_000);

  it("publishes both without frames, of which nothing is said", async () => {
    const { page, told, report } = await inspected("unseen", "--no-frames");
    expect(told).toMatch(/published as packets only\n/);
    expect(report).toMatchObject({ hasFrames: false, tracks: [{ kind: "video" }, { kind: "audio" }] });
    expect(page).toMatch(/^unseen +\d+ {2}- +- +- +- +- +- +- {2}- +h264 \d+, mp4a/m);
  }, 60_000);
});

/** A recording of a source of a file. */
async function recorded(input: string, name: string): Promise<string> {
  const [key, path] = [name.replace(".", "-"), join(directory, name)];
  const recording = cuframes(["record", key, "--output", path, "--wait", "20s", "--no-reconnect"], { env });
  const source = await cuframes(
    ["source", input, "--key", key, "--memory", "host", "--subscribers", "1", "--json"],
    { env },
  );
  expect(source).toMatchObject({ code: 0 });
  expect(await recording).toMatchObject({ code: 0 });
  return path;
}

describe("what an edit list hides of a source's file", () => {
  /** As `original` by its packets and its frames. */
  async function expectSame(path: string, original: string): Promise<void> {
    const [copy, read] = [await readAll(path), await readAll(original)];
    expect(times(copy.frames)).toEqual(times(read.frames));
    const shown = ({ hidden, timestampNs }: (typeof read.packets)[number]) => [hidden, timestampNs];
    expect(copy.packets.map(shown)).toEqual(read.packets.map(shown));
  }

  it.skipIf(!hasFfmpeg)(`is hidden in its recording (${withoutFfmpeg})`, async () => {
    const cut = join(directory, "cut.mp4");
    ffmpeg(["-ss", "0.36", "-i", CLIP, "-c", "copy", cut]);
    const { packets } = await readAll(cut, { decode: false });
    expect([packets.length, packets.filter(({ hidden }) => hidden).length]).toEqual([250, 9]);
    await expectSame(await recorded(cut, "cut-copy.mp4"), cut);
  }, 60_000);

  it.skipIf(!existsSync(CASE))("is 8 of 75 in a camera's clip (skipped where it is absent)", async () => {
    const path = await recorded(CASE, "case-copy.mp4");
    expect((await readAll(path)).frames).toHaveLength(67);
    await expectSame(path, CASE);
  }, 60_000);
});
