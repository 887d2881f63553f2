// Frames that are known to be damaged: `snapshot` and `pipe` leave them out, say so, and do not wait for ever.

import { Buffer } from "node:buffer";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { openMedia } from "../../media.ts";
import { CuframesError, type Frame, type FrameInit, type Publisher, type Subscriber } from "../../mod.ts";
import { Damaged } from "../../src/cli/undamaged.ts";
import { nalUnits } from "../../src/core/nal_units.ts";
import { cuframes, ffmpeg, hasFfmpeg, startCuframes } from "../support/cli.ts";
import { eventually } from "../support/processes.ts";
import { createPublisher, publish, runtimeDirectory } from "../support/ring.ts";

const env = { CUFRAMES_RUNTIME_DIR: runtimeDirectory, NO_COLOR: "1" };
const directory = mkdtempSync(join(tmpdir(), "cuframes-undamaged-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const damaged: FrameInit = { corrupt: true };

/** A camera that gives frames until the test is over. */
function publishAlways(publisher: Publisher, init: FrameInit): void {
  const timer = setInterval(() => publish(publisher, 1, init), 40);
  onTestFinished(() => clearInterval(timer));
}

/** Once somebody has taken everything so far. */
async function taken(publisher: Publisher, name: string): Promise<void> {
  await eventually(`${name} has come`, () => publisher.stats().subscribers === 1);
}

describe("snapshot", () => {
  test("takes the next frame that is whole", async () => {
    using publisher = createPublisher({ memory: "host" });
    publish(publisher, 1, damaged);
    const shot = startCuframes(["snapshot", publisher.key, join(directory, "whole.png"), "--json"], { env });
    await taken(publisher, "snapshot");
    publish(publisher, 2, damaged);
    publish(publisher, 3);
    const { code, stdout } = await shot.ended;
    expect(code).toBe(0);
    expect(JSON.parse(text(stdout))).toMatchObject({ sequence: 3, corrupt: false });
  });

  test("takes a damaged one where it is told to", async () => {
    using publisher = createPublisher({ memory: "host" });
    publish(publisher, 1, damaged);
    const args = ["snapshot", publisher.key, join(directory, "any.png"), "--json", "--corrupt"];
    const { code, stdout } = await cuframes(args, { env });
    expect(code).toBe(0);
    expect(JSON.parse(text(stdout))).toMatchObject({ sequence: 1, corrupt: true });
  });
});

test("the time is over between two frames: that is said, and not that there is none yet", async () => {
  const times = [0, 0, 5, 5, 10_001];
  const clock = vi.spyOn(performance, "now").mockImplementation(() =>
    times.length > 1 ? times.shift()! : times[0]!
  );
  onTestFinished(() => clock.mockRestore());
  const camera = {
    next: ({ timeout }: { timeout: number }) =>
      timeout === 0
        ? Promise.reject(new CuframesError("WOULD_BLOCK", "there is no frame yet"))
        : Promise.resolve({ corrupt: true, close: () => {} } as Frame),
  } as Subscriber;
  const waiting = new Damaged("cam", 0).next(camera, new AbortController().signal);
  await expect(waiting).rejects.toMatchObject({
    code: "TIMEOUT",
    message: expect.stringMatching(/^cam: nothing but damaged frames for 10 s \(1 of them\)/),
  });
});

test("pipe leaves damaged frames out, and counts them", async () => {
  using publisher = createPublisher({ memory: "host", policy: "wait" });
  const args = ["pipe", publisher.key, "--ordered", "--format", "rawvideo", "--fps", "25", "--wait", "30s"];
  const pipe = startCuframes([...args, "--count", "2"], { env });
  await taken(publisher, "pipe");
  for (const [value, init] of [[1, damaged], [2, {}], [3, damaged], [4, damaged], [5, {}]] as const) {
    publish(publisher, value, init);
  }
  const { code, stdout, stderr } = await pipe.ended;
  expect(code).toBe(0);
  expect([stdout.length, stdout[0], stdout.at(-1)]).toEqual([2 * 32 * 16 * 3 / 2, 2, 5]);
  expect(stderr).toContain("2 frames written, 0 dropped, 3 left out as damaged");

  const all = startCuframes([...args, "--count", "2", "--corrupt", "--json"], { env });
  await eventually("the other one has come", () => publisher.stats().subscribers === 1);
  publish(publisher, 6, damaged);
  publish(publisher, 7, damaged);
  const ended = await all.ended;
  expect(ended.stdout.length).toBe(stdout.length);
  expect(JSON.parse(ended.stderr)).toMatchObject({ written: 2, corrupt: 0 });
});

test("nothing but damaged frames: both say so in the end, and a pipe that runs goes on", async () => {
  using publisher = createPublisher({ memory: "host" });
  publish(publisher, 1);
  const running = startCuframes(
    ["pipe", publisher.key, "--format", "rawvideo", "--fps", "25", "--count", "2"],
    { env },
  );
  await eventually("the first one is written", () => running.text.length > 0);
  publishAlways(publisher, damaged);
  const [shot, pipe] = await Promise.all([
    cuframes(["snapshot", publisher.key, join(directory, "none.png")], { env }),
    cuframes(["pipe", publisher.key, "--fps", "25"], { env }),
  ]);
  for (const { code, stderr, stdout } of [shot, pipe]) {
    expect([code, stdout.length], stderr).toEqual([5, 0]);
    expect(stderr).toMatch(/nothing but damaged frames for 1\d s \(\d+ of them\).*--corrupt/);
  }
  await eventually("the pipe that runs has said it", () => /they are left out/.test(running.stderr));
  expect(running.stderr.match(/they are left out/g)).toHaveLength(1);
  publishAlways(publisher, {});
  expect((await running.ended).code).toBe(0);
});

test.skipIf(!hasFfmpeg)(
  "an intra-refresh stream that is entered in the middle is shown from where it is whole",
  async () => {
    // The parameter sets, and the pictures from the 60th on: no picture of it is an IDR.
    const whole = ffmpeg([
      ...[
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=160x120:r=25",
        "-t",
        "8",
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p",
      ],
      ...["-x264-params", "intra-refresh=1:keyint=50:bframes=0:scenecut=0:slices=1", "-f", "h264", "-"],
    ]);
    let pictures = 0;
    const kept = [...nalUnits(whole)].filter((unit) => {
      const type = unit[0]! & 31;
      if (type === 1 || type === 5) pictures++;
      return type === 7 || type === 8 || pictures >= 60;
    });
    const path = join(directory, "middle.h264");
    writeFileSync(path, Buffer.concat(kept.flatMap((unit) => [Uint8Array.of(0, 0, 0, 1), unit])));
    const ts = join(directory, "middle.ts");
    ffmpeg(["-fflags", "+genpts", "-r", "25", "-i", path, "-c", "copy", "-y", ts]);

    let [damagedFrames, wholeFrames] = [0, 0];
    {
      await using media = await openMedia(ts);
      for await (const event of media) {
        if (event.kind === "frame" && event.corrupt) damagedFrames++;
        else if (event.kind === "frame") wholeFrames++;
      }
    }
    expect(damagedFrames).toBeGreaterThan(5);
    expect(wholeFrames).toBeGreaterThan(50);

    const source = startCuframes(
      ["source", ts, "--key", "refresh", "--memory", "host", "--subscribers", "2"],
      { env },
    );
    const [shot, pipe] = await Promise.all([
      cuframes(["snapshot", "refresh", join(directory, "refresh.png"), "--json", "--wait", "30s"], { env }),
      cuframes(["pipe", "refresh", "--ordered", "--wait", "30s"], { env }),
    ]);
    expect([shot.code, pipe.code]).toEqual([0, 0]);
    const report = JSON.parse(text(shot.stdout));
    expect(report.corrupt).toBe(false);
    expect(report.sequence).toBeGreaterThan(damagedFrames);
    expect(pipe.stderr).toContain(
      `${wholeFrames} frames written, 0 dropped, ${damagedFrames} left out as damaged`,
    );
    await source.ended;
  },
);
