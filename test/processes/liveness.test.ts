// What a process does while its JavaScript is busy, and when it has nothing left to do.

import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { inspect, Publisher, Subscriber } from "../../mod.ts";
import { type Process, stages, waitsKeepAlive } from "../support/processes.ts";
import type { Ending } from "./workers/pending.ts";

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

/** Starts programs that end in this way, a few at a time; each must end by itself, without an error. */
async function expectPromptEnds(ending: Ending, rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round += 4) {
    const started = Array.from(
      { length: Math.min(4, rounds - round) },
      () => stage().start("pending", { key, ending }),
    );
    await Promise.all(started.map((process) => expectPromptEnd(process)));
  }
}

async function expectPromptEnd(process: Process): Promise<void> {
  await process.event("over");
  const start = performance.now();
  expect(await process.exited).toEqual({ code: 0, signal: null });
  // What is pending in there would take a minute, or for ever.
  expect(performance.now() - start).toBeLessThan(30_000);
  expect(process.taken("settled")).toBeUndefined();
}

test.skipIf(waitsKeepAlive)("a pending wait keeps no process alive", async () => {
  const publisher = stage().start("publisher", { key, ...size, packets: true });
  await publisher.event("ready");
  await expectPromptEnds("next", 20);
  await expectPromptEnds("a packet reader's next", 4);
}, 120_000);

const rushes = ["next again and again", "next again and again, until exit is called"] as const;

test.each(waitsKeepAlive ? rushes.slice(1) : rushes)(
  "frames that come at the end: %s",
  async (ending) => {
    const publisher = stage().start("publisher", { key, ...size });
    await publisher.event("ready");
    await publisher.ask({ do: "rush" }, "rushing");
    await expectPromptEnds(ending, 20);
  },
);

test("a frame held keeps no process alive", async () => {
  const publisher = stage().start("publisher", { key, ...size });
  await publisher.event("ready");
  await publisher.ask({ do: "publish", frames: 1 }, "published");
  await expectPromptEnds("a frame held", 2);
});

test.skipIf(waitsKeepAlive)("connecting keeps no process alive", async () => {
  await expectPromptEnds("connect", 4);
});

const reconnecting: Ending[] = ["reconnecting, and nobody waits any more"];
if (!waitsKeepAlive) reconnecting.push("reconnecting");
test.each(reconnecting)("%s keeps no process alive", async (ending) => {
  const publisher = stage().start("publisher", { key, ...size });
  await publisher.event("ready");
  await publisher.ask({ do: "publish", frames: 1 }, "published");
  const process = stage().start("pending", { key, ending });
  await process.event("connected");
  await publisher.ask({ do: "close" }, "closed");
  await expectPromptEnd(process);
});

test.runIf(waitsKeepAlive)("a pending wait keeps the process alive until it is settled", async () => {
  const connecting = stage().start("pending", { key, ending: "connect" });
  await connecting.event("over");
  const publisher = stage().start("publisher", { key, ...size, packets: true });
  await publisher.event("ready");
  const endings = ["next", "a packet reader's next"] as const;
  const waiting = endings.map((ending) => stage().start("pending", { key, ending }));
  await Promise.all(waiting.map((process) => process.event("over")));
  // They have had every opportunity to end.
  await publisher.ask({ do: "busy", milliseconds: 300 }, "idle");
  await publisher.ask({ do: "close" }, "closed");
  for (const process of [connecting, ...waiting]) {
    await process.event("settled");
    expect(await process.exited).toEqual({ code: 0, signal: null });
  }
});

test("an open publisher keeps no process alive, and the key is free behind it", async () => {
  const runtimeDirectory = stage().directory;
  for (const ending of waitsKeepAlive ? ["publisher"] as const : ["publisher", "acquire"] as const) {
    await expectPromptEnds(ending, 1);
    Publisher.create({ key, ...size, runtimeDirectory }).close();
    for (const suffix of ["sock", "lock"]) {
      expect(existsSync(`${runtimeDirectory}/${key}.${suffix}`)).toBe(false);
    }
  }
});

test("waiting at the top level waits", async () => {
  const connecting = stage().start("pending", { key, ending: "await connect" });
  const publisher = stage().start("publisher", { key, ...size, packets: true });
  await publisher.event("ready");
  await expectPromptEnd(connecting);
  const endings = ["await next", "await a packet", "for await"] as const;
  const waiting = endings.map((ending) => stage().start("pending", { key, ending }));
  await Promise.all(waiting.map((process) => process.event("waiting")));
  // They have had every opportunity to end.
  await publisher.ask({ do: "busy", milliseconds: 300 }, "idle");
  await publisher.ask({ do: "publish", frames: 2, packets: 2 }, "published");
  const [next, packet, forAwait] = waiting;
  expect(await next!.event("took")).toMatchObject({ sequence: 1 });
  expect(await packet!.event("took")).toMatchObject({ sequence: 0 });
  expect([await forAwait!.event("took"), await forAwait!.event("took")]).toMatchObject([{ sequence: 1 }, {
    sequence: 2,
  }]);
  await publisher.ask({ do: "close" }, "closed");
  await Promise.all(waiting.map((process) => expectPromptEnd(process)));
});
