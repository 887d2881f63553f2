// Killing one side of a CUDA ring while the GPU works for it, again and again, on both runtimes in turn.

import { setTimeout as delay } from "node:timers/promises";
import { expect } from "vitest";
import type { PublisherStats } from "../../mod.ts";
import type { Result } from "../cuda/workers/subscriber.ts";
import { cudaEnvironment } from "./cuda.ts";
import type { Live } from "./gpu.ts";
import { eventually, type Process, type RuntimeName, runtimes, type Stage } from "./processes.ts";

const size = { width: 256, height: 128 };

export function startPublisher(stage: Stage, options: object, runtime?: RuntimeName): Process {
  return stage.start("../../cuda/workers/publisher", { ...size, ...options }, withRuntime(runtime));
}

export function startSubscriber(stage: Stage, options: object, runtime?: RuntimeName): Process {
  return stage.start("../../cuda/workers/subscriber", options, withRuntime(runtime));
}

function withRuntime(
  runtime: RuntimeName | undefined,
): { env: Record<string, string>; runtime?: RuntimeName } {
  return { env: cudaEnvironment(), ...(runtime === undefined ? {} : { runtime }) };
}

export async function resultsOf(subscriber: Process): Promise<Result[]> {
  return (await subscriber.event<{ results: Result[] }>("ended")).results;
}

/** Nothing torn, nothing out of order, every sequence delivered or counted. */
export function expectAccounted(result: Result, published: number): void {
  expect(result).toMatchObject({ torn: 0, disordered: 0, last: published });
  expect(result.received + result.dropped).toBe(published);
  expect(result.received).toBeGreaterThan(0);
}

/** What of the double is alive in a worker, in the end: threads of the library's may outlast a `close`. */
export async function expectLive(worker: Process, expected: Partial<Live>): Promise<void> {
  let alive: Partial<Live> = {};
  const asExpected = async () => {
    alive = (await worker.ask<{ live: Live }>({ do: "state" }, "state")).live;
    return Object.entries(expected).every(([name, count]) => alive[name as keyof Live] === count);
  };
  await eventually("what is alive is what was expected", asExpected).catch(() =>
    expect(alive).toMatchObject(expected)
  );
}

/** No event marks it: the signal has to be able to come at any instruction, and at any moment of the GPU's work. */
function anyMoment(): Promise<void> {
  return delay(Math.random() * 20);
}

/** One process a round; the next ones are started early, since that takes longer than a round. */
function* processes(
  rounds: number,
  start: (runtime: RuntimeName) => Process,
): Generator<Process, void, void> {
  const early: Process[] = [];
  for (let round = 0; round < rounds; round++) {
    while (early.length < Math.min(3, rounds - round)) {
      early.push(start(runtimes[(round + early.length) % runtimes.length]!));
    }
    yield early.shift()!;
  }
}

/** Subscribers that read slowly on the GPU are killed while they do. Publisher and bystander go on as if they had not been. */
export async function killSubscribers(stage: Stage, rounds: number): Promise<void> {
  const key = "victims";
  // Three victims come and go while the one before still has its leases. A ring that does not grow keeps its descriptors.
  const publisher = startPublisher(stage, { key, slots: 16, policy: "wait" });
  await publisher.event("ready");
  const bystander = startSubscriber(stage, { key, mode: "ordered" });
  await bystander.event("connected");
  await publisher.ask({ do: "run", slowMs: 2 }, "running");
  await bystander.event("frame");
  const descriptors = publisher.descriptors().length;
  const start = (runtime: RuntimeName) => startSubscriber(stage, { key, how: "gpu", slowMs: 10 }, runtime);
  for (const victim of processes(rounds, start)) {
    await victim.event("frame");
    await anyMoment();
    victim.kill();
    expect(await victim.exited).toEqual({ code: null, signal: "SIGKILL" });
  }
  await eventually("nothing is left of the victims", async () => {
    const { subscribers } = await publisher.ask<PublisherStats>({ do: "stats" }, "stats");
    return subscribers === 1 && publisher.descriptors().length === descriptors;
  });
  const { last, failed } = await publisher.ask<PublisherStats & { last: number }>({ do: "halt" }, "halted");
  expect(failed).toBe(0);
  await publisher.ask({ do: "close" }, "closed");
  const [result] = await resultsOf(bystander);
  expectAccounted(result!, last);
}

/** Publishers are killed while the GPU fills their frames. A subscriber finds each next one, and sees nothing torn. */
export async function killPublishers(stage: Stage, rounds: number): Promise<void> {
  const key = "mortal";
  let follower: Process | undefined;
  for (
    const publisher of processes(rounds, (runtime) => startPublisher(stage, { key, later: true }, runtime))
  ) {
    // At once, although nobody has cleaned up behind the one before.
    await publisher.ask({ do: "create" }, "ready");
    follower ??= startSubscriber(stage, { key, reconnect: true, how: "gpu", slowMs: 5 });
    await publisher.ask({ do: "run", slowMs: 3 }, "running");
    await eventually("the follower has found this publisher", async () => {
      return (await publisher.ask<PublisherStats>({ do: "stats" }, "stats")).subscribers === 1;
    });
    await anyMoment();
    publisher.kill();
    expect(await publisher.exited).toEqual({ code: null, signal: "SIGKILL" });
  }
  follower!.send({ do: "stop" });
  const [result] = await resultsOf(follower!);
  expect(result).toMatchObject({ torn: 0, disordered: 0 });
  expect(result!.received).toBeGreaterThan(0);
}
