// This runtime's publisher with a subscriber on each: over all the runtimes that the suite runs on, every pairing. And
// many consumers of one publisher. What arrives is what was published.

import { describe, expect, test } from "vitest";
import { type Process, type RuntimeName, runtimes, stages, thisRuntime } from "../support/processes.ts";
import type { Result } from "../support/programs/subscriber.ts";

const stage = stages();

async function resultsOf(subscriber: Process): Promise<Result[]> {
  return (await subscriber.event<{ results: Result[] }>("ended")).results;
}

/** Nothing torn, nothing out of order, every sequence delivered or counted, the last one included. */
function expectAccounted(result: Result, published: number): void {
  expect(result).toMatchObject({ torn: 0, disordered: 0, last: published });
  expect(result.received + result.dropped).toBe(published);
  expect(result.received).toBeGreaterThan(0);
}

describe(`a publisher on ${thisRuntime}`, () => {
  test.each(runtimes)("and a subscriber on %s", async (runtime: RuntimeName) => {
    const publisher = stage().start("publisher", { key: "pair", width: 637, height: 359, packets: true });
    await publisher.event("ready");
    const options = { key: "pair", mode: "ordered", readPackets: true };
    const subscriber = stage().start("subscriber", options, { runtime });
    await subscriber.event("connected");
    await publisher.ask({ do: "publish", frames: 300, packets: 200 }, "published");
    await publisher.ask({ do: "close" }, "closed");

    const [result] = await resultsOf(subscriber);
    expectAccounted(result!, 300);
    expect(result!.packets).toEqual({ received: 200, lost: 0, torn: 0, last: 199 });
    expect(await subscriber.exited).toEqual({ code: 0, signal: null });
  });
});

test("four consumers of 2000 frames, two of them slow", async () => {
  const key = "four";
  const publisher = stage().start("publisher", { key, width: 1280, height: 720, slots: 16 });
  await publisher.event("ready");
  const consumers = [
    stage().start("subscriber", { key, mode: "ordered" }, { runtime: "deno" }),
    stage().start("subscriber", { key, mode: "newest" }, { runtime: "bun" }),
    stage().start("subscriber", { key, mode: "ordered", hold: 5 }, { runtime: "node" }),
    stage().start("subscriber", { key, mode: "newest", hold: 5 }, { runtime: "deno" }),
  ];
  for (const consumer of consumers) await consumer.event("connected");
  await publisher.ask({ do: "publish", frames: 2000 }, "published");
  await publisher.ask({ do: "close" }, "closed");

  for (const consumer of consumers) {
    const [result] = await resultsOf(consumer);
    expectAccounted(result!, 2000);
  }
});

test("32 subscribers, none of which may miss a frame", async () => {
  const key = "many";
  const publisher = stage().start("publisher", { key, width: 64, height: 48, policy: "wait" });
  await publisher.event("ready");
  const processes = runtimes.map((runtime, index) =>
    stage().start("subscriber", { key, mode: "ordered", count: index === 0 ? 12 : 10 }, { runtime })
  );
  for (const process of processes) await process.event("connected");
  await publisher.ask({ do: "publish", frames: 500 }, "published");
  expect(await publisher.ask({ do: "stats" }, "stats")).toMatchObject({ subscribers: 32 });
  await publisher.ask({ do: "close" }, "closed");

  const results = (await Promise.all(processes.map(resultsOf))).flat();
  expect(results).toHaveLength(32);
  for (const result of results) {
    expect(result).toMatchObject({ received: 500, dropped: 0, torn: 0, disordered: 0 });
  }
});
