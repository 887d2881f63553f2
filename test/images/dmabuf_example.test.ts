// examples/dmabuf: a capture process hands its buffers to a publisher process, and a third one sees the pixels.

import { join } from "node:path";
import process from "node:process";
import { expect, test } from "vitest";
import { type Frame, Subscriber } from "../../mod.ts";
import { root, tool } from "../../scripts/toolchain.mjs";
import {
  Process,
  runFlags,
  type RuntimeName,
  runtimes,
  type Stage,
  stages,
  thisRuntime,
} from "../support/processes.ts";
import { planeOf } from "../support/pictures.ts";

const stage = stages();
const key = "example";

function start(on: Stage, script: "publisher" | "capture", runtime: RuntimeName, args: string[]): Process {
  const flags = runFlags(runtime);
  const path = join(root, `examples/dmabuf/${script}.ts`);
  return on.adopt(
    new Process(`${script} on ${runtime}`, tool(runtime), [...flags, path, ...args], {
      CUFRAMES_RUNTIME_DIR: on.directory,
    }),
  );
}

function subscribe(): Promise<Subscriber> {
  return Subscriber.connect(key, { mode: "ordered", runtimeDirectory: stage().directory, timeout: 30_000 });
}

/** Fails unless the frame is the picture that its time says. */
async function check(frame: Frame): Promise<void> {
  const number = frame.timestamp / 40_000;
  expect((await planeOf(frame, 0)).every((byte) => byte === (number & 255))).toBe(true);
  expect((await planeOf(frame, 1)).every((byte) => byte === 128)).toBe(true);
}

test.each(runtimes.filter((runtime) => runtime !== thisRuntime))(
  "every pixel arrives; the publisher runs on %s",
  async (other) => {
    const address = `@cuframes-example-${process.pid}-${Math.random()}`;
    const publisher = start(stage(), "publisher", other, [address, key, "host"]);
    const capture = start(stage(), "capture", thisRuntime, [address, "300"]);
    using subscriber = await subscribe();
    let last = -1;
    try {
      while (true) {
        using frame = await subscriber.next({ timeout: 30_000 });
        await check(frame);
        last = frame.timestamp;
      }
    } catch (error) {
      expect(error).toMatchObject({ code: "DISCONNECTED" });
    }
    expect(last).toBe(299 * 40_000);
    expect(await capture.exited).toEqual({ code: 0, signal: null });
    expect(await publisher.exited).toEqual({ code: 0, signal: null });
  },
);

test("a capture process that is killed ends the stream, and spoils no frame", async () => {
  const address = `@cuframes-example-${process.pid}-${Math.random()}`;
  const publisher = start(stage(), "publisher", thisRuntime, [address, key, "host"]);
  const capture = start(stage(), "capture", thisRuntime, [address, "1000000000"]);
  using subscriber = await subscribe();
  using held = await subscriber.next({ timeout: 30_000 });
  for (let count = 0; count < 20; count++) (await subscriber.next({ timeout: 30_000 })).close();
  capture.kill();
  expect(await publisher.exited).toEqual({ code: 0, signal: null });
  await check(held);
});
