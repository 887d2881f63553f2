// What a process does while its JavaScript is busy, and when it has nothing left to do.

import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { inspect, Publisher, Subscriber } from "../../mod.ts";
import { type Process, stages } from "../support/processes.ts";
import type { Ending } from "../support/programs/pending.ts";

const stage = stages();
const size = { width: 64, height: 48 };
const key = "alive";

test("a publisher whose JavaScript is busy accepts subscribers and answers inspectors", async () => {
  const runtimeDirectory = stage().directory;
  const publisher = stage().start("publisher", { key, ...size });
  await publisher.event("ready");
  await publisher.ask({ do: "publish", frames: 3 }, "published");
  const until = join(runtimeDirectory, "enough");
  await publisher.ask({ do: "busy", until }, "busy");
  const subscriber = await Subscriber.connect(key, { runtimeDirectory, name: "guest" });
  const frame = await subscriber.next();
  const report = await inspect(key, { runtimeDirectory });
  expect(frame.sequence).toBe(3n);
  expect(report.subscribers).toMatchObject([{ name: "guest", received: 1, held: 1 }]);
  // Liveness too: it gives the place back while it is busy.
  subscriber.close();
  while ((await inspect(key, { runtimeDirectory })).subscribers.length > 0);
  writeFileSync(until, "");
  await publisher.event("idle");
});

async function startPublisher(): Promise<Process> {
  const publisher = stage().start("publisher", { key, ...size, packets: true });
  await publisher.event("ready");
  return publisher;
}

function startPending(ending: Ending, unref: boolean = false): Process {
  return stage().start("pending", { key, ending, unref });
}

async function expectPromptEnd(process: Process): Promise<void> {
  await process.event("over");
  const start = performance.now();
  expect(await process.exited).toEqual({ code: 0, signal: null });
  // What is pending in there would take a minute, or for ever.
  expect(performance.now() - start).toBeLessThan(30_000);
  expect(process.taken("settled")).toBeUndefined();
}

/** Whoever starts it may have to help. */
async function expectToWait(process: Process): Promise<void> {
  await process.event("over");
  await process.event("settled");
  expect(await process.exited).toEqual({ code: 0, signal: null });
}

describe("a pending wait keeps the process alive until it is settled", () => {
  test("for frames, packets, and a publisher", async () => {
    const connecting = startPending("connect");
    await connecting.event("over");
    const publisher = await startPublisher();
    const waiting = [startPending("next"), startPending("a packet reader's next")];
    await Promise.all(waiting.map((process) => process.event("over")));
    // They have had every opportunity to end.
    await publisher.ask({ do: "busy", milliseconds: 300 }, "idle");
    await publisher.ask({ do: "close" }, "closed");
    for (const process of [connecting, ...waiting]) {
      await process.event("settled");
      expect(await process.exited).toEqual({ code: 0, signal: null });
    }
  });

  test.each(["acquireAsync", "receive", "accept"] as const)("for %s", async (ending) => {
    await expectToWait(startPending(ending));
  });

  test("for the next publisher", async () => {
    const publisher = await startPublisher();
    await publisher.ask({ do: "publish", frames: 1 }, "published");
    const waiting = startPending("reconnecting");
    await waiting.event("connected");
    await publisher.ask({ do: "close" }, "closed");
    await waiting.event("over");
    await publisher.ask({ do: "create" }, "ready");
    await publisher.ask({ do: "publish", frames: 1 }, "published");
    await waiting.event("settled");
    expect(await waiting.exited).toEqual({ code: 0, signal: null });
  });

  test("in a script that nobody awaits, and at its top level", async () => {
    const connecting = startPending("await connect");
    const main = startPending("async function main");
    const publisher = await startPublisher();
    await expectPromptEnd(connecting);
    const endings = ["await next", "await a packet", "for await"] as const;
    const waiting = [...endings.map((ending) => startPending(ending)), main];
    await Promise.all(waiting.map((process) => process.event("waiting")));
    // They have had every opportunity to end.
    await publisher.ask({ do: "busy", milliseconds: 300 }, "idle");
    await publisher.ask({ do: "publish", frames: 2, packets: 2 }, "published");
    const [next, packet, ...loops] = waiting;
    expect(await next!.event("took")).toMatchObject({ sequence: 1 });
    expect(await packet!.event("took")).toMatchObject({ sequence: 0 });
    for (const loop of loops) {
      expect([await loop.event("took"), await loop.event("took")])
        .toMatchObject([{ sequence: 1 }, { sequence: 2 }]);
    }
    await publisher.ask({ do: "close" }, "closed");
    await Promise.all(waiting.map((process) => expectPromptEnd(process)));
  });
});

describe("whoever waits unreferenced keeps no process alive", () => {
  test.each(["next", "a packet reader's next"] as const)("for %s", async (ending) => {
    await startPublisher();
    for (let round = 0; round < 5; round++) {
      await Promise.all([0, 1].map(() => expectPromptEnd(startPending(ending, true))));
    }
  });

  test.each(["acquireAsync", "receive", "accept"] as const)("for %s", async (ending) => {
    await expectPromptEnd(startPending(ending, true));
  });

  test("for the next publisher", async () => {
    const publisher = await startPublisher();
    await publisher.ask({ do: "publish", frames: 1 }, "published");
    const waiting = startPending("reconnecting", true);
    await waiting.event("connected");
    await publisher.ask({ do: "close" }, "closed");
    await expectPromptEnd(waiting);
  });
});

test("an object that nobody waits for keeps no process alive", async () => {
  const publisher = await startPublisher();
  await publisher.ask({ do: "publish", frames: 1 }, "published");
  const endings = ["an idle subscriber", "a frame held", "an idle listener"] as const;
  await Promise.all(endings.map((ending) => expectPromptEnd(startPending(ending))));
  const reconnecting = startPending("reconnecting, and nobody waits any more");
  await reconnecting.event("connected");
  await publisher.ask({ do: "close" }, "closed");
  await expectPromptEnd(reconnecting);
});

test("frames that come at the end, when exit is called", async () => {
  const publisher = await startPublisher();
  await publisher.ask({ do: "rush" }, "rushing");
  for (let round = 0; round < 5; round++) {
    const ending = "next again and again, until exit is called";
    await Promise.all([0, 1, 2, 3].map(() => expectPromptEnd(startPending(ending))));
  }
});

test("what is held can be closed by a handler of the exit", async () => {
  const publisher = await startPublisher();
  await publisher.ask({ do: "publish", frames: 1 }, "published");
  await expectPromptEnd(startPending("frames that a handler of the exit closes"));
});

test("an open publisher keeps no process alive, and the key is free behind it", async () => {
  const runtimeDirectory = stage().directory;
  for (const ending of ["publisher", "acquireAsync"] as const) {
    await expectPromptEnd(startPending(ending, true));
    Publisher.create({ key, ...size, runtimeDirectory }).close();
    for (const suffix of ["sock", "lock"]) {
      expect(existsSync(`${runtimeDirectory}/${key}.${suffix}`)).toBe(false);
    }
  }
});

test("a pending wait takes no CPU time, at the top level or behind it", async () => {
  const publisher = await startPublisher();
  const waiting = (["await next", "await a packet", "for await", "next", "async function main"] as const).map(
    (ending) => startPending(ending),
  );
  waiting.push(stage().start("pending", { key: "nobody", ending: "await connect" }));
  await Promise.all(waiting.slice(0, 3).map((process) => process.event("waiting")));
  await waiting[3]!.event("over");
  const busy = async (milliseconds: number) => void await publisher.ask({ do: "busy", milliseconds }, "idle");
  await busy(1000); // what a runtime does behind its start
  const before = waiting.map((process) => process.cpuTime());
  await busy(2000);
  const spent = waiting.map((process, index) => process.cpuTime() - before[index]!);
  // A loop that spins takes all of the 2000, or half of a machine that is loaded.
  for (const milliseconds of spent) expect(milliseconds).toBeLessThan(400);
});
