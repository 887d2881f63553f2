// The examples that run as they are, on this runtime.

import { join } from "node:path";
import { expect, test } from "vitest";
import { Subscriber } from "../../mod.ts";
import { root, tool } from "../../scripts/toolchain.mjs";
import { openMedia } from "../../media.ts";
import { Process, runFlags, stages, thisRuntime } from "../support/processes.ts";

const stage = stages();

function start(path: string, args: string[]): Process {
  return stage().adopt(
    new Process(path, tool(thisRuntime), [...runFlags(thisRuntime), join(root, path), ...args], {
      CUFRAMES_RUNTIME_DIR: stage().directory,
    }),
  );
}

function source(key: string): Process {
  const clip = join(root, "test/fixtures/clip.mp4");
  const args = ["source", clip, "--key", key, "--realtime", "--loop", "--memory", "host"];
  return start("src/cli/main.ts", args);
}

test("examples/recorder.ts: the file has the packets that it says", async () => {
  source("cam");
  const file = join(stage().directory, "camera.mp4");
  const recorder = start("examples/recorder.ts", ["cam", file, "1"]);
  const { line } = await recorder.event<{ line: string }>("line");
  expect(await recorder.exited).toEqual({ code: 0, signal: null });
  const count = Number(/^(\d+) packets/.exec(line)?.[1]);
  expect(count).toBeGreaterThanOrEqual(20);
  await using media = await openMedia(file, { decode: false });
  let packets = 0;
  for await (const _ of media) packets++;
  expect(packets).toBe(count);
});

test("examples/mosaic.ts: each camera is in its quarter, what is not taken is black", async () => {
  source("one");
  source("two");
  start("examples/mosaic.ts", ["both", "one", "two"]);
  const runtimeDirectory = stage().directory;
  using mosaic = await Subscriber.connect("both", { runtimeDirectory, timeout: 30_000 });
  expect([mosaic.codedWidth, mosaic.codedHeight]).toEqual([640, 480]);
  const quarters = new Uint8Array(320 * 240);
  const deviation = async (x: number, y: number): Promise<number> => {
    using frame = await mosaic.next({ timeout: 30_000 });
    const whole = new Uint8Array(frame.allocationSize());
    await frame.copyTo(whole);
    for (let row = 0; row < 240; row++) {
      const from = (y + row) * 640 + x;
      quarters.set(whole.subarray(from, from + 320), row * 320);
    }
    return Math.max(...quarters) - Math.min(...quarters);
  };
  for (const x of [0, 320]) while ((await deviation(x, 0)) < 50);
  expect([await deviation(0, 240), quarters[0]]).toEqual([0, 16]);
  expect([await deviation(320, 240), quarters[0]]).toEqual([0, 16]);
}, 90_000);

test("examples/source.ts: publishes frames and packets until Ctrl-C", async () => {
  const example = start("examples/source.ts", [join(root, "test/fixtures/clip.mp4"), "cam"]);
  expect((await example.event<{ line: string }>("line")).line).toBe("avc1.64000d 320×240 as cam");
  using camera = await Subscriber.connect("cam", { runtimeDirectory: stage().directory, timeout: 30_000 });
  using _frame = await camera.next({ timeout: 30_000 });
  expect((await camera.packets().next({ timeout: 30_000 })).type).toBe("key");
  example.kill("SIGINT");
  const { line } = await example.event<{ line: string }>("line");
  expect(line).toMatch(/^\d+ frames and \d+ packets in 1 connections$/);
  expect(await example.exited).toEqual({ code: 0, signal: null });
});
