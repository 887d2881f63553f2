// CUDA frames between real processes: on every runtime, on machines that number their GPUs differently, and where one
// side dies.

import { setTimeout } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { inspect } from "../../mod.ts";
import { cudaEnvironment, onHardware } from "../support/cuda.ts";
import {
  expectAccounted,
  expectLive,
  killPublishers,
  killSubscribers,
  resultsOf,
  startPublisher,
  startSubscriber,
} from "../support/kill.ts";
import { Peer } from "../support/peer.ts";
import { type Process, type RuntimeName, runtimes, stages, thisRuntime } from "../support/processes.ts";
import * as wire from "../support/wire.ts";
import type { How } from "./workers/subscriber.ts";

const stage = stages();

/** Of the library's; the worker's own streams, context and memory stay. */
const givenBack = { allocations: 0, reservations: 0, mappings: 0, events: 0, contexts: 1, failedCalls: 0 };

describe(`a publisher on ${thisRuntime}`, () => {
  test.each(runtimes)("and subscribers on %s", async (runtime: RuntimeName) => {
    const publisher = startPublisher(stage(), { key: "pair", slots: 6 });
    const { device } = await publisher.event<{ device: string }>("ready");
    expect(device).toMatch(/^GPU-/);
    const subscribers = (["toHost", "copyTo", "gpu"] satisfies How[]).map((how) =>
      startSubscriber(stage(), { key: "pair", mode: "ordered", how }, runtime)
    );
    for (const subscriber of subscribers) {
      expect(await subscriber.event("connected")).toMatchObject({ device });
    }
    await publisher.ask({ do: "publish", frames: 200 }, "published");
    await publisher.ask({ do: "publish", frames: 10, slowMs: 3 }, "published");
    await publisher.ask({ do: "close" }, "closed");
    for (const subscriber of subscribers) {
      const [result] = await resultsOf(subscriber);
      expectAccounted(result!, 210);
    }
    if (onHardware) return;
    for (const process of [publisher, ...subscribers]) await expectLive(process, givenBack);
  });
});

/** Publisher and subscriber on one machine with two GPUs, each with an environment of its own. */
async function connectAcross(
  publisher: Record<string, string>,
  subscriber: Record<string, string>,
  options: object = {},
): Promise<{ source: Process; sink: Process; device: string }> {
  const environment = { ...cudaEnvironment(), CUDA_DOUBLE_DEVICES: "2" };
  const source = stage().start("../../cuda/workers/publisher", { key: "across", width: 64, height: 48 }, {
    env: { ...environment, ...publisher },
  });
  const { device } = await source.event<{ device: string }>("ready");
  const sink = stage().start("../../cuda/workers/subscriber", { key: "across", ...options }, {
    env: { ...environment, ...subscriber },
  });
  return { source, sink, device };
}

describe.skipIf(onHardware)("on a machine with two GPUs (only on the double)", () => {
  test.each([
    ["0", "0,1"],
    ["0", "1,0"],
    ["1", "0,1"],
    ["1,0", "0,1"],
    ["1", "1"],
  ])("CUDA_VISIBLE_DEVICES=%s meets CUDA_VISIBLE_DEVICES=%s by the device's UUID", async (ours, theirs) => {
    const { source, sink, device } = await connectAcross({ CUDA_VISIBLE_DEVICES: ours }, {
      CUDA_VISIBLE_DEVICES: theirs,
    }, { mode: "ordered" });
    expect(await sink.event("connected")).toEqual({ event: "connected", device });
    await source.ask({ do: "publish", frames: 20 }, "published");
    await source.ask({ do: "close" }, "closed");
    const [result] = await resultsOf(sink);
    expectAccounted(result!, 20);
  });

  test.each([["1"], [""]])(
    "a subscriber that only sees CUDA_VISIBLE_DEVICES=%j is told of the mismatch",
    async (theirs) => {
      const { source, sink, device } = await connectAcross({ CUDA_VISIBLE_DEVICES: "0" }, {
        CUDA_VISIBLE_DEVICES: theirs,
      }, { idle: true });
      const { code, message } = await sink.event<{ code: string; message: string }>("failed");
      expect(code).toBe("DEVICE_MISMATCH");
      const digits = device.replace("GPU-", "").replaceAll("-", "");
      expect(message).toContain(
        `GPU-${digits}, which is not among the ${theirs === "" ? 0 : 1} that the subscriber sees`,
      );
      expect(await source.ask({ do: "stats" }, "stats")).toMatchObject({ subscribers: 0, rejected: 0 });
    },
  );

  test("a subscriber without a driver is told why, and may have the packets", async () => {
    const { source, sink } = await connectAcross({}, { LD_LIBRARY_PATH: "" }, { idle: true });
    const { code, message } = await sink.event<{ code: string; message: string }>("failed");
    expect(code).toBe("UNSUPPORTED");
    expect(message).toMatch(/the frames are on a GPU: the CUDA driver cannot be loaded: libcuda\.so\.1/);
    const packets = stage().start("../../cuda/workers/subscriber", {
      key: "across",
      idle: true,
      frames: false,
    }, {
      env: { LD_LIBRARY_PATH: "" },
    });
    await packets.event("connected");
    expect(await source.ask({ do: "stats" }, "stats")).toMatchObject({ subscribers: 1 });
  });
});

test.skipIf(onHardware)(
  "asking again with the devices takes what is left of the time-out, not all of it once more",
  async () => {
    const subscriber = stage().start("remote", { key: "slow" }, { env: cudaEnvironment() });
    const peer = await Peer.start(stage());
    const listener = await peer.listen(`${stage().directory}/slow.sock`);
    await subscriber.event("ready");
    const begun = performance.now();
    subscriber.send({ do: "connect", options: { timeout: 2000 } });
    const first = await peer.accept(listener);
    await peer.receive(first);
    await setTimeout(1500);
    await peer.send(first, wire.refusal(-30, "on a GPU"));
    const { bytes } = await peer.receive(await peer.accept(listener));
    expect(new DataView(bytes!.buffer).getUint32(56, true)).toBeGreaterThan(0); // devices
    expect(await subscriber.event("refused")).toMatchObject({
      code: "TIMEOUT",
      message: expect.stringMatching(/has not answered for \d+ ms, all that was left of the time-out/),
    });
    const elapsed = performance.now() - begun;
    expect(elapsed).toBeGreaterThanOrEqual(1999);
    expect(elapsed).toBeLessThan(3000);
  },
);

test("a report of a ring on a GPU needs no driver", async () => {
  const publisher = startPublisher(stage(), { key: "told" });
  const { device } = await publisher.event<{ device: string }>("ready");
  await publisher.ask({ do: "publish", frames: 3 }, "published");
  const report = await inspect("told", { runtimeDirectory: stage().directory });
  expect(report).toMatchObject({ memory: "cuda", device, published: 3 });
  expect(report.slotSize % (2 << 20)).toBe(0);
});

test("subscribers killed while the GPU reads for them cost nobody else anything", async () => {
  await killSubscribers(stage(), onHardware ? 20 : 10);
});

test("publishers killed while the GPU fills their frames are followed by the next", async () => {
  await killPublishers(stage(), onHardware ? 20 : 10);
});

test("a subscriber of a publisher that was killed keeps what it holds, and gives all back in the end", async () => {
  const publisher = startPublisher(stage(), { key: "gone", slots: 4 });
  await publisher.event("ready");
  const subscriber = startSubscriber(stage(), { key: "gone", mode: "ordered", how: "gpu", slowMs: 200 });
  await subscriber.event("connected");
  await publisher.ask({ do: "publish", frames: 3 }, "published");
  publisher.kill();
  await publisher.exited;
  const [result] = await resultsOf(subscriber);
  expectAccounted(result!, 3);
  if (!onHardware) await expectLive(subscriber, givenBack);
});
