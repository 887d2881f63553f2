// A JavaScript worker that is ended takes with it what it has made, at once, and nothing else.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { inspect, Publisher, Subscriber } from "../../mod.ts";
import { testMemory } from "../support/memory.ts";
import { eventually, type Process, stages, thisRuntime } from "../support/processes.ts";
import type { Task } from "../support/programs/thread.ts";

const stage = stages();
const key = "threads";
const size = { width: 64, height: 48 };

function startThreads(ofNode = false): Process {
  return stage().start("threads", { key, ofNode });
}

async function subscribers(): Promise<number> {
  return (await inspect(key, { runtimeDirectory: stage().directory })).subscribers.length;
}

const subscribing: Task["does"][] = ["subscribe and wait", "subscribe and hold", "read packets"];

describe.each(subscribing)("a worker that is to %s", (does) => {
  test("goes on until it is terminated, and leaves its subscriber's place then", async () => {
    const publisher = stage().start("publisher", { key, ...size, packets: true });
    await publisher.event("ready");
    await publisher.ask({ do: "run", packets: true }, "running");
    const threads = startThreads();
    await threads.ask({ do: "start", does }, "ready");
    expect(await subscribers()).toBe(1);
    await threads.ask({ do: "terminate" }, "terminated");
    await eventually("the place is free", async () => await subscribers() === 0);
    expect(threads.taken("failed")).toBeUndefined();
    expect(await threads.end()).toEqual({ code: 0, signal: null });
  });
});

test("an ordered subscriber of a worker that is gone holds no waiting publisher up", async () => {
  const runtimeDirectory = stage().directory;
  using publisher = Publisher.create({
    ...{ key, ...size, runtimeDirectory, memory: testMemory, slots: 3 },
    ...{ policy: "wait" as const, timeout: 60_000 },
  });
  const threads = startThreads();
  threads.send({ do: "start", does: "subscribe and hold" });
  await eventually("it is there", async () => await subscribers() === 1);
  for (let count = 0; count < 3; count++) (await publisher.acquireAsync()).publish({});
  await threads.event("ready");
  const waiting = publisher.acquireAsync();
  await threads.ask({ do: "terminate" }, "terminated");
  (await waiting).publish({});
});

test.each(["subscribe and stop", "subscribe and block"] as const)(
  "nothing is left of a worker that is to %s",
  async (does) => {
    const publisher = stage().start("publisher", { key, ...size });
    await publisher.event("ready");
    await publisher.ask({ do: "run" }, "running");
    const threads = startThreads();
    await threads.ask({ do: "start", does }, "ready");
    // Deno 2.9 ends no worker whose JavaScript is busy.
    if (does === "subscribe and block" && thisRuntime === "deno") return;
    await threads.ask({ do: "terminate" }, "terminated");
    await eventually("the place is free", async () => await subscribers() === 0);
  },
);

test.skipIf(thisRuntime === "deno")(
  "a worker that blocks, for nothing that would come, can be terminated",
  async () => {
    const publisher = stage().start("publisher", { key, ...size });
    await publisher.event("ready");
    await publisher.ask({ do: "publish", frames: 1 }, "published");
    const threads = startThreads();
    await threads.ask({ do: "start", does: "subscribe and block" }, "ready");
    await threads.ask({ do: "terminate" }, "terminated");
    await eventually("the place is free", async () => await subscribers() === 0);
  },
);

test("a publisher of a worker ends with it: its key is free, its frames stay with whoever holds them", async () => {
  const runtimeDirectory = stage().directory;
  const threads = startThreads();
  await threads.ask({ do: "start", does: "publish" }, "ready");
  using camera = await Subscriber.connect(`${key}-worker`, { runtimeDirectory });
  using frame = await camera.next();
  const ended = expect(camera.next()).rejects.toMatchObject({ code: "DISCONNECTED" });
  await threads.ask({ do: "terminate" }, "terminated");
  await ended;
  expect(frame.sequence).toBe(1n);
  expect((await frame.toHost()).length).toBeGreaterThan(0);
  await eventually("its files are gone", () => !existsSync(join(runtimeDirectory, `${key}-worker.lock`)));
  Publisher.create({ key: `${key}-worker`, ...size, runtimeDirectory, memory: testMemory }).close();
});

const everything: Task["does"][] = [
  ...subscribing,
  "publish",
  "wait for a publisher",
];

test.each(everything)("20 workers one behind the other: %s", async (does) => {
  const publisher = stage().start("publisher", { key, ...size, packets: true });
  await publisher.event("ready");
  await publisher.ask({ do: "run", packets: true }, "running");
  const threads = startThreads();
  await threads.event("started");
  const descriptors = () => threads.descriptors().length;
  await threads.ask({ do: "rounds", does, rounds: 3 }, "rounds");
  await eventually("the places are free", async () => await subscribers() === 0);
  const [before, mappings] = [descriptors(), threads.mappings()];
  await threads.ask({ do: "rounds", does, rounds: 20 }, "rounds");
  await eventually("the places are free", async () => await subscribers() === 0);
  await eventually("no descriptor is left", () => descriptors() <= before);
  await eventually("no mapping is left", () => threads.mappings() <= mappings);
  expect(threads.taken("failed")).toBeUndefined();
  // Nor did it hold up the publisher.
  await publisher.ask({ do: "halt" }, "halted");
  expect(await threads.end()).toEqual({ code: 0, signal: null });
}, 120_000);

// Node has no others. A worker that a native thread called into, where Deno took it for the main thread, ended the process.
test.skipIf(thisRuntime === "node").each(["subscribe and wait", "read packets"] as const)(
  "20 workers of node:worker_threads one behind the other: %s",
  async (does) => {
    const publisher = stage().start("publisher", { key, ...size, packets: true });
    await publisher.event("ready");
    await publisher.ask({ do: "run", packets: true }, "running");
    const threads = startThreads(true);
    await threads.ask({ do: "rounds", does, rounds: 20 }, "rounds");
    await eventually("the places are free", async () => await subscribers() === 0);
    expect(threads.taken("failed")).toBeUndefined();
    expect(await threads.end()).toEqual({ code: 0, signal: null });
  },
  120_000,
);
