// Processes that are killed or stopped at any moment: what the others see of it.

import { setTimeout } from "node:timers/promises";
import { expect, test } from "vitest";
import { type Frame, inspect, type PublisherStats, Subscriber } from "../../mod.ts";
import { Child } from "../../scripts/lib/process.ts";
import { testMemory } from "../support/memory.ts";
import {
  eventually,
  outcomeOf,
  type Process,
  type RuntimeName,
  runtimes,
  stages,
} from "../support/processes.ts";
import { isWhole, seedOf } from "../support/programs/content.ts";
import type { Result } from "../support/programs/subscriber.ts";

const stage = stages();
const size = { width: 128, height: 96 };

/** No event marks it: the signal has to be able to come at any instruction. */
function anyMoment(): Promise<void> {
  return setTimeout(Math.random() * 12);
}

/** One process a round, on both runtimes in turn; the next one is started early, since that takes longer than a round. */
function* processes(
  rounds: number,
  start: (runtime: RuntimeName) => Process,
): Generator<Process, void, void> {
  let next = start("deno");
  for (let round = 1; round <= rounds; round++) {
    const current = next;
    if (round < rounds) next = start(runtimes[round % runtimes.length]!);
    yield current;
  }
}

test("a subscriber killed while it holds all it can gives the slots back", async () => {
  const key = "full";
  const publisher = stage().start("publisher", { key, ...size, slots: 3, policy: "wait" });
  await publisher.event("ready");
  await publisher.ask({ do: "publish", frames: 1 }, "published");
  for (const victim of processes(10, (runtime) => stage().start("remote", { key }, { runtime }))) {
    await victim.event("ready");
    await victim.ask({ do: "connect", options: { mode: "ordered" } }, "connected");
    for (let held = 0; held < 2; held++) {
      await publisher.ask({ do: "publish", frames: 1 }, "published");
      await victim.ask({ do: "take", timeout: 5000 }, "took");
    }
    // Two slots are held, and the third has the newest frame, which stays.
    expect(await publisher.ask({ do: "acquire" }, "refused")).toMatchObject({ code: "WOULD_BLOCK" });
    publisher.send({ do: "publish", frames: 5 });
    victim.kill();
    expect(await publisher.event("published")).toMatchObject({ subscribers: 0, slotsLeased: 0 });
  }
});

test("subscribers killed at any moment disturb nobody", async () => {
  const key = "victims";
  // As many as are needed at a time: the ring does not grow.
  const publisher = stage().start("publisher", { key, ...size, slots: 12 });
  await publisher.event("ready");
  const bystander = stage().start("subscriber", { key, mode: "ordered" });
  await bystander.event("connected");
  await publisher.ask({ do: "run" }, "running");
  const descriptors = publisher.descriptors();

  const start = (runtime: RuntimeName) =>
    stage().start("subscriber", { key, mode: "ordered", keep: 2 }, { runtime });
  for (const victim of processes(30, start)) {
    await victim.event("connected");
    await anyMoment();
    victim.kill();
    expect(await victim.exited).toEqual({ code: null, signal: "SIGKILL" });
  }
  await eventually(
    "the victims are gone",
    async () => (await publisher.ask<PublisherStats>({ do: "stats" }, "stats")).subscribers === 1,
  );
  await publisher.settlesAt(descriptors);
  const { published } = await publisher.ask<PublisherStats>({ do: "halt" }, "halted");
  await publisher.ask({ do: "close" }, "closed");
  const [result] = (await bystander.event<{ results: Result[] }>("ended")).results;
  expect(result).toMatchObject({ torn: 0, disordered: 0, last: published });
  expect(result!.received + result!.dropped).toBe(published);
});

/** A subscriber with `reconnect`, and what it has seen of one publisher after the other. */
class Follower {
  /** The process that published the last frame. */
  publisher = 0;
  torn = 0;
  /** First frames of a publisher that did not say that they are. */
  unmarked = 0;
  readonly subscriber: Subscriber;
  readonly #done: Promise<void>;

  constructor(subscriber: Subscriber) {
    this.subscriber = subscriber;
    this.#done = this.#follow();
  }

  async #follow(): Promise<void> {
    for await (const frame of this.subscriber) {
      const publisher = seedOf(frame);
      if (publisher !== this.publisher && this.publisher !== 0 && !frame.discontinuity) this.unmarked++;
      this.publisher = publisher;
      if (!(await isWhole(frame))) this.torn++;
      frame.close();
    }
  }

  close(): Promise<void> {
    this.subscriber.close();
    return this.#done;
  }
}

/** Reads to the end; returns the last sequence, `last` without another one. */
async function drain(subscriber: Subscriber, last: bigint | undefined): Promise<number> {
  for await (const frame of subscriber) {
    expect(await isWhole(frame)).toBe(true);
    last = frame.sequence;
    frame.close();
  }
  return Number(last);
}

function lastAnnounced(publisher: Process): number {
  let last = 0;
  for (let event; (event = publisher.taken<{ sequence: number }>("sequence")) !== undefined;) {
    last = event.sequence;
  }
  return last;
}

test("publishers killed at any moment: held frames stay, what they left is delivered, the next one takes over", async () => {
  const key = "mortal";
  const runtimeDirectory = stage().directory;
  const rounds = 20;
  let follower: Follower | undefined;
  let previous: { subscriber: Subscriber; frames: Frame[] } | undefined;
  for (
    const publisher of processes(
      rounds,
      (runtime) => stage().start("publisher", { key, ...size, later: true }, { runtime }),
    )
  ) {
    // At once, although nobody has cleaned up behind the one before.
    await publisher.ask({ do: "create" }, "ready");
    const subscriber = await Subscriber.connect(key, { runtimeDirectory, mode: "ordered" });
    expect(subscriber.publisherPid).toBe(publisher.pid);
    follower ??= new Follower(await Subscriber.connect(key, { runtimeDirectory, reconnect: true }));
    await publisher.ask({ do: "run", announce: true }, "running");
    const frames = [await subscriber.next(), await subscriber.next(), await subscriber.next()];
    await eventually("the follower has found this publisher", () => follower!.publisher === publisher.pid);
    if (previous !== undefined) {
      expect(await Promise.all(previous.frames.map(isWhole))).toEqual([true, true, true]);
    }
    previous?.subscriber.close();

    await anyMoment();
    publisher.kill();
    await publisher.exited;
    const last = await drain(subscriber, frames.at(-1)?.sequence);
    // On a GPU the last ones may not have been done.
    if (testMemory === "host") expect(last).toBeGreaterThanOrEqual(lastAnnounced(publisher));
    const { received, dropped, connected } = subscriber.stats();
    expect({ accounted: received + dropped, connected }).toEqual({ accounted: last, connected: false });
    expect((await outcomeOf(subscriber.next())).code).toBe("DISCONNECTED");
    expect(await Promise.all(frames.map(isWhole))).toEqual([true, true, true]);
    previous = { subscriber, frames };
  }
  previous?.subscriber.close();
  expect(follower!.subscriber.stats()).toMatchObject({ reconnects: rounds - 1 });
  await follower!.close();
  expect(follower).toMatchObject({ torn: 0, unmarked: 0 });
});

test("a publisher killed while it takes the key leaves it to the next one", async () => {
  const key = "stillborn";
  for (
    const victim of processes(
      10,
      (runtime) => stage().start("publisher", { key, ...size, later: true }, { runtime }),
    )
  ) {
    await victim.event("waiting");
    victim.send({ do: "create" });
    await setTimeout(Math.random() * 4);
    victim.kill();
    await victim.exited;
  }
  const publisher = stage().start("publisher", { key, ...size });
  await publisher.event("ready");
  (await Subscriber.connect(key, { runtimeDirectory: stage().directory })).close();
});

test("a stopped subscriber does not delay its publisher", async () => {
  const key = "sleeper";
  const publisher = stage().start("publisher", { key, ...size });
  await publisher.event("ready");
  const [stopped, other] = [1, 2].map(() => stage().start("subscriber", { key, mode: "ordered", keep: 1 }));
  await Promise.all([stopped!.event("connected"), other!.event("connected")]);
  await publisher.ask({ do: "publish", frames: 1 }, "published");
  await stopped!.event("holding");
  await stopped!.stop();
  const { milliseconds } = await publisher.ask<{ milliseconds: number }>(
    { do: "publish", frames: 500 },
    "published",
  );
  expect(milliseconds).toBeLessThan(10_000);
  await publisher.ask({ do: "close" }, "closed");
  const [free] = (await other!.event<{ results: Result[] }>("ended")).results;
  stopped!.kill("SIGCONT");
  const [late] = (await stopped!.event<{ results: Result[] }>("ended")).results;
  for (const result of [free!, late!]) {
    expect(result).toMatchObject({ torn: 0, disordered: 0, last: 501 });
    expect(result.received + result.dropped).toBe(501);
  }
  // It was asleep for all but the frames that the ring still had.
  expect(late!.dropped).toBeGreaterThan(400);
});

test("a stopped publisher is told from a missing one, in two seconds", async () => {
  const key = "stopped";
  const runtimeDirectory = stage().directory;
  const publisher = stage().start("publisher", { key, ...size });
  await publisher.event("ready");
  await publisher.stop();
  const start = performance.now();
  const outcomes = await Promise.all([
    outcomeOf(Subscriber.connect(key, { runtimeDirectory })),
    outcomeOf(Subscriber.connect(key, { runtimeDirectory, timeout: 60_000 })),
    outcomeOf(inspect(key, { runtimeDirectory })),
  ]);
  const elapsed = performance.now() - start;
  for (const { code, message } of outcomes) {
    expect(code).toBe("TIMEOUT");
    const [, waited] = /stopped.sock accepted the connection but has not answered for (\d+) ms: /.exec(
      message,
    )!;
    expect(Number(waited)).toBeGreaterThanOrEqual(1990);
  }
  expect(elapsed).toBeGreaterThan(1900);
  expect(elapsed).toBeLessThan(30_000);
  publisher.kill("SIGCONT");
  (await Subscriber.connect(key, { runtimeDirectory })).close();
});

test("with reconnect, a next publisher that is stopped is waited for until it goes on", async () => {
  const key = "pausing";
  const runtimeDirectory = stage().directory;
  const start = async () => {
    const publisher = stage().start("publisher", { key, ...size });
    await publisher.event("ready");
    await publisher.ask({ do: "publish", frames: 1 }, "published");
    return publisher;
  };
  const first = await start();
  using subscriber = await Subscriber.connect(key, { runtimeDirectory, reconnect: true, mode: "ordered" });
  (await subscriber.next()).close();
  await first.ask({ do: "close" }, "closed");
  await eventually("it is gone", () => !subscriber.stats().connected);

  const second = await start();
  await second.stop();
  const waiting = subscriber.next();
  // Whoever does not wait for a publisher is told of this one, behind the time that it has for an answer.
  expect((await outcomeOf(Subscriber.connect(key, { runtimeDirectory }))).code).toBe("TIMEOUT");
  second.kill("SIGCONT");
  using frame = await waiting;
  expect([frame.sequence, frame.discontinuity]).toEqual([1n, true]);
  await second.ask({ do: "close" }, "closed");

  const third = await start();
  await third.stop();
  new Child(["sh", "-c", `sleep 2.5; kill -CONT ${third.pid}`]);
  using other = subscriber.nextSync({ timeout: 60_000 });
  expect([other.sequence, other.discontinuity]).toEqual([1n, true]);
}, 120_000);
