// No handshake outlasts the caller's time-out; and none is thrown away because somebody had too little time for it.

import { renameSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { DescriptorSocket, inspect, Subscriber } from "../../mod.ts";
import { Child } from "../../scripts/lib/process.ts";
import { Peer } from "../support/peer.ts";
import { eventually, outcomeOf, type Process, stages } from "../support/processes.ts";
import * as wire from "../support/wire.ts";
import type { First } from "../support/programs/synchronous.ts";

const stage = stages();
const size = { width: 64, height: 48 };
const key = "deadline";

/** Far from the two seconds that a publisher has to answer, and from what a busy machine takes. */
const patience = 1000;

async function startPublisher(): Promise<Process> {
  const publisher = stage().start("publisher", { key, ...size });
  await publisher.event("ready");
  await publisher.ask({ do: "publish", frames: 1 }, "published");
  return publisher;
}

async function timed<T>(attempt: () => T | Promise<T>): Promise<{ elapsed: number; result: T }> {
  const start = performance.now();
  const result = await attempt();
  return { elapsed: performance.now() - start, result };
}

/** How a `nextSync` ends. */
function takeSync(subscriber: Subscriber, timeout: number): ReturnType<typeof outcomeOf> {
  return outcomeOf(new Promise<void>((resolve) => resolve(subscriber.nextSync({ timeout }).close())));
}

describe("a publisher whose process is stopped", () => {
  const unanswered =
    /deadline\.sock accepted the connection but has not answered for \d+ ms, all that was left of the time-out/;

  test.each([1, 100])("costs connect and inspect no more than their time-out of %i ms", async (timeout) => {
    const publisher = await startPublisher();
    await publisher.stop();
    const options = { runtimeDirectory: stage().directory, timeout };
    for (const attempt of [() => Subscriber.connect(key, options), () => inspect(key, options)]) {
      const { elapsed, result } = await timed(() => outcomeOf(attempt()));
      expect(result).toMatchObject({ code: "TIMEOUT", message: expect.stringMatching(unanswered) });
      expect(elapsed).toBeGreaterThanOrEqual(timeout - 1);
      expect(elapsed).toBeLessThan(patience);
    }
  });

  test("costs nextSync no more than its time-out, and is gone on with when it has woken up", async () => {
    const runtimeDirectory = stage().directory;
    const first = await startPublisher();
    using subscriber = await Subscriber.connect(key, { runtimeDirectory, reconnect: true });
    subscriber.nextSync({ timeout: 5000 }).close();
    await first.ask({ do: "close" }, "closed");
    const second = await startPublisher();
    await second.stop();
    for (const timeout of [1, 50, 1, 50]) {
      const { elapsed, result } = await timed(() => takeSync(subscriber, timeout));
      expect(result.code).toBe("TIMEOUT");
      expect(result.message).toContain(`no frame of ${key} came within ${timeout} ms: `);
      if (timeout > 1) {
        expect(result.message).toMatch(/accepted the connection but has not answered for \d+ ms/);
      }
      expect(elapsed).toBeGreaterThanOrEqual(timeout - 1);
      expect(elapsed).toBeLessThan(patience);
    }
    const { elapsed, result } = await timed(() => takeSync(subscriber, 0));
    expect(result.code).toBe("WOULD_BLOCK");
    expect(elapsed).toBeLessThan(patience);
    second.kill("SIGCONT");
    using frame = subscriber.nextSync({ timeout: 30_000 });
    expect([frame.sequence, frame.discontinuity]).toEqual([1n, true]);
    // There has been one attempt.
    expect(await inspect(key, { runtimeDirectory })).toMatchObject({
      rejected: 0,
      subscribers: [{ received: 1 }],
    });
  });

  test("does not end what it is asked for without a time-out, nor by somebody with one", async () => {
    const runtimeDirectory = stage().directory;
    const first = await startPublisher();
    using subscriber = await Subscriber.connect(key, { runtimeDirectory, reconnect: true });
    subscriber.nextSync({ timeout: 5000 }).close();
    await first.ask({ do: "close" }, "closed");
    const second = await startPublisher();
    await second.stop();
    const waiting = subscriber.next();
    const { code, message } = await outcomeOf(subscriber.next({ timeout: 300 }));
    expect(code).toBe("TIMEOUT");
    expect(message).toMatch(/within 300 ms: .*accepted the connection but has not answered for \d+ ms/);
    // Nor when the attempt has been begun again meanwhile, by who blocks, since it was not answered in two seconds.
    expect((await takeSync(subscriber, 2500)).code).toBe("TIMEOUT");
    second.kill("SIGCONT");
    using frame = await waiting;
    expect([frame.sequence, frame.discontinuity]).toEqual([1n, true]);
    expect(await inspect(key, { runtimeDirectory })).toMatchObject({
      rejected: 0,
      subscribers: [{ received: 1 }],
    });
  });
});

test("a listener that does not accept costs connect no more than its time-out", async () => {
  const peer = await Peer.start(stage());
  const address = `${stage().directory}/full`;
  await peer.listen(address);
  await peer.connectMany(address, 17); // its queue has room for so many
  for (const timeout of [1, 100]) {
    const { elapsed, result } = await timed(() => outcomeOf(DescriptorSocket.connect(address, { timeout })));
    expect(result).toMatchObject({
      code: "TIMEOUT",
      message: expect.stringMatching(/full has not accepted the connection for \d+ ms/),
    });
    expect(elapsed).toBeLessThan(patience);
  }
});

/** Listens in a publisher's place, so that nobody connects before it does. */
async function impersonate(peer: Peer): Promise<number> {
  const path = `${stage().directory}/${key}.sock`;
  const listener = await peer.listen(`${path}.early`);
  renameSync(`${path}.early`, path);
  return listener;
}

describe.each([0, 1])("a program that polls with nextSync({ timeout: %i }) alone", (timeout) => {
  test("gets to a publisher whose handshake takes longer than that, by one attempt", async () => {
    const first = await startPublisher();
    const program = stage().start("synchronous", { key, timeout, publishers: 2 });
    await program.event<First>("first");
    const peer = await Peer.start(stage());
    await first.ask({ do: "close" }, "closed");

    const listener = await impersonate(peer);
    const connection = await peer.accept(listener);
    const { bytes } = await peer.receive(connection);
    expect(wire.kindOf(bytes!)).toBe(wire.kinds.hello);
    await setTimeout(200);
    const control = await peer.memfd(wire.controlSize, wire.readOnly);
    const ring = [control, await peer.memfd(wire.pageSize, wire.sealed)];
    for (let slot = 0; slot < 2; slot++) ring.push(await peer.memfd(4096, wire.readOnly));
    await peer.send(connection, wire.welcome(), ring);
    await peer.write(control, wire.control.slot(1) + wire.control.generation, Uint8Array.of(1));
    await peer.write(control, wire.control.slot(1), wire.word(7n));
    await peer.write(control, wire.control.newest, wire.ticket(7n, 1));

    const seen = await program.event<First>("first");
    expect(seen).toMatchObject({ sequence: 7, discontinuity: true });
    expect(seen.missed).toBeGreaterThan(10);
    expect(seen.longest).toBeLessThan(patience);
    expect(await program.exited).toEqual({ code: 0, signal: null });
  });

  test("goes on from one publisher to the next, and collects no threads on its way", async () => {
    const publishers = 6;
    let publisher = await startPublisher();
    const program = stage().start("synchronous", { key, timeout, publishers });
    const threads: number[] = [];
    for (let count = 1; count <= publishers; count++) {
      const seen = await program.event<First>("first");
      expect(seen).toMatchObject({ sequence: 1, discontinuity: count > 1 });
      expect(seen.longest).toBeLessThan(patience);
      threads.push(seen.threads);
      if (count === publishers) break;
      await publisher.ask({ do: "close" }, "closed");
      publisher = await startPublisher();
    }
    expect(await program.exited).toEqual({ code: 0, signal: null });
    // The runtime has a few more or less of its own.
    expect(threads.at(-1)! - threads[1]!).toBeLessThan(3);
  }, 120_000);
});

test("whoever waits for the same publisher shares one attempt, and what it is refused with", async () => {
  const runtimeDirectory = stage().directory;
  const first = await startPublisher();
  using subscriber = await Subscriber.connect(key, { runtimeDirectory, reconnect: true });
  subscriber.nextSync({ timeout: 5000 }).close();
  const waiting = [subscriber.next(), subscriber.next()].map(outcomeOf);
  const peer = await Peer.start(stage());
  await first.ask({ do: "close" }, "closed");
  await eventually("it is gone", () => !subscriber.stats().connected);
  const listener = await impersonate(peer);
  const connection = await peer.accept(listener);
  await peer.receive(connection);
  expect((await takeSync(subscriber, 20)).code).toBe("TIMEOUT");
  await peer.send(connection, wire.refusal(-12, "full"));
  const refused = { code: "TOO_MANY_SUBSCRIBERS", message: expect.stringContaining("refused: full") };
  expect(await Promise.all(waiting)).toEqual([refused, refused]);

  // Who blocks for it is told as well, and so are those who wait beside.
  const beside = outcomeOf(subscriber.next());
  const again = await peer.accept(listener);
  await peer.receive(again);
  await peer.process.stop();
  const sent = peer.send(again, wire.refusal(-12, "full"));
  new Child(["sh", "-c", `sleep 0.5; kill -CONT ${peer.process.pid}`]);
  await setTimeout(50); // the command is on its way when this thread blocks
  const told = await takeSync(subscriber, 30_000);
  expect([told, await beside]).toEqual([refused, refused]);
  await sent;
});
