// Connecting, both modes, all ways to wait for a frame, and going on after a publisher has gone.

import { existsSync, renameSync, rmdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import {
  type Frame,
  inspect,
  type Mode,
  type Publisher,
  type Subscriber,
  type SubscriberOptions,
  type WaitOptions,
} from "../../mod.ts";
import {
  createPublisher,
  eventually,
  expectCode,
  inProcess,
  isFilledWith,
  publish,
  randomNumbers,
  runtimeDirectory,
  subscribe,
  uniqueKey,
} from "../support/ring.ts";

const modes: Mode[] = ["newest", "ordered"];

/** Takes a frame, closes it, and says which it was. */
function takeSync(subscriber: Subscriber, timeout = 0): number {
  using frame = subscriber.nextSync({ timeout });
  return Number(frame.sequence);
}

async function take(next: Promise<Frame>): Promise<number> {
  using frame = await next;
  return Number(frame.sequence);
}

/** Milliseconds that something takes. */
async function timed(body: () => unknown): Promise<number> {
  const start = performance.now();
  await body();
  return performance.now() - start;
}

describe("connect", () => {
  test("says what it connected to", async () => {
    using publisher = createPublisher({ width: 30, height: 20, format: "RGBA", slots: 5 });
    using subscriber = await subscribe(publisher, { mode: "ordered" });
    const { key, mode, format, codedWidth, codedHeight, slots, publisherPid, closed } = subscriber;
    expect({ key, mode, format, codedWidth, codedHeight, slots, publisherPid, closed }).toEqual({
      key: publisher.key,
      mode: "ordered",
      format: "RGBA",
      codedWidth: 30,
      codedHeight: 20,
      slots: 5,
      publisherPid: process.pid,
      closed: false,
    });
    expect(subscriber.stats()).toEqual({
      received: 0,
      dropped: 0,
      lag: 0,
      held: 0,
      reconnects: 0,
      connected: true,
    });
  });

  test("fails at once where nobody publishes, and says what to do", async () => {
    const key = uniqueKey();
    for (const directory of [runtimeDirectory, join(runtimeDirectory, "missing")]) {
      const error = await expectCode(subscribe(key, { runtimeDirectory: directory }), "NOT_FOUND", key);
      expect(error.message).toContain(join(directory, `${key}.sock`));
      expect(error.message).toContain("Start its publisher");
    }
  });

  test("waits for as long as it is told, not less", async () => {
    const elapsed = await timed(() =>
      expectCode(subscribe(uniqueKey(), { timeout: 50 }), "TIMEOUT", "Start its publisher")
    );
    expect(elapsed).toBeGreaterThanOrEqual(49);
    expect(elapsed).toBeLessThan(30_000);
  });

  test("succeeds when the publisher comes during the wait, also into a directory that was not there", async () => {
    for (const directory of [runtimeDirectory, join(runtimeDirectory, "later")]) {
      const key = uniqueKey();
      const connecting = subscribe(key, { timeout: Infinity, runtimeDirectory: directory });
      await delay(5); // long enough for it to wait; right as well if it has not begun
      using publisher = createPublisher({ key, runtimeDirectory: directory });
      publish(publisher, 1);
      using subscriber = await connecting;
      expect(takeSync(subscriber)).toBe(1);
    }
  });

  test("succeeds when the publisher comes into a directory that was removed or renamed during the wait", async () => {
    const directory = join(runtimeDirectory, "moving");
    const away: ((from: string) => void)[] = [rmdirSync, (from) => renameSync(from, `${from}.away`)];
    for (const [index, take] of [...away, ...away].entries()) {
      const keys = [uniqueKey(), uniqueKey()];
      const waiting = keys.map((key) => subscribe(key, { timeout: 60_000, runtimeDirectory: directory }));
      await eventually(() => existsSync(directory));
      if (index >= away.length) await delay(20); // long enough for both to be asleep; right as well if they are not
      take(directory);
      using first = createPublisher({ key: keys[0]!, runtimeDirectory: directory });
      using second = createPublisher({ key: keys[1]!, runtimeDirectory: directory });
      for (const [number, publisher] of [first, second].entries()) {
        publish(publisher, number);
        using subscriber = await waiting[number]!;
        expect(takeSync(subscriber)).toBe(1);
      }
      rmSync(`${directory}.away`, { recursive: true, force: true });
    }
  });

  test("gives up with its signal's reason, before and during the wait", async () => {
    for (const reason of [new Error("enough"), "just a text", undefined]) {
      const key = uniqueKey();
      using publisher = createPublisher();
      const signal = AbortSignal.abort(reason);
      await expect(subscribe(publisher, { signal })).rejects.toBe(signal.reason);
      const controller = new AbortController();
      const connecting = subscribe(key, { timeout: 60_000, signal: controller.signal });
      setTimeout(() => controller.abort(reason), 5);
      await connecting.then(
        () => expect.unreachable(),
        (error) => expect(error).toBe(controller.signal.reason),
      );
    }
    await expect(subscribe(uniqueKey(), { timeout: Infinity, signal: AbortSignal.timeout(10) })).rejects
      .toMatchObject({
        name: "TimeoutError",
      });
  });

  test("refuses options that are wrong, by name and value", async () => {
    using publisher = createPublisher();
    const wrong: [SubscriberOptions, string][] = [
      [{ mode: "latest" as Mode }, '"latest"'],
      [{ mode: "toString" as Mode }, '"toString"'],
      [{ mode: ["ordered"] as unknown as Mode }, "mode is ordered"],
      [{ mode: 1n as unknown as Mode }, "mode is 1"],
      [{ name: 5 as unknown as string }, "name is 5"],
      [{ runtimeDirectory: 7 as unknown as string }, "runtime directory 7"],
      [{ frames: false, packets: false }, "nothing to subscribe to"],
      [{ name: "n".repeat(32) }, "32 bytes"],
      [{ name: "ä".repeat(16) }, "32 bytes"],
      [{ name: "a\0b" }, "NUL"],
      [{ timeout: -1 }, "timeout is -1"],
      [{ timeout: NaN }, "timeout is NaN"],
      [{ timeout: "5" as unknown as number }, 'timeout is "5"'],
      [{ runtimeDirectory: "" }, "runtime directory"],
    ];
    for (const [options, text] of wrong) {
      await expectCode(subscribe(publisher, options), "INVALID_ARGUMENT", text);
    }
    for (const key of ["", "a/b", "../x", "k".repeat(64)]) {
      await expectCode(subscribe(key), "INVALID_ARGUMENT", JSON.stringify(key));
    }
    expect(publisher.stats()).toMatchObject({ subscribers: 0, rejected: 0 });
  });

  test("refuses a socket of something else", async () => {
    const key = uniqueKey();
    const server = createServer().listen(join(runtimeDirectory, `${key}.sock`));
    await once(server, "listening");
    try {
      await expectCode(subscribe(key), "PROTOCOL", "not a cuframes publisher");
      await expectCode(subscribe(key, { timeout: 1000 }), "PROTOCOL");
    } finally {
      server.close();
    }
  });

  test("without frames takes no frames, and holds no publisher back", async () => {
    using publisher = createPublisher({ slots: 2, policy: "wait", timeout: 0 });
    using subscriber = await subscribe(publisher, { frames: false, mode: "ordered" });
    for (let value = 0; value < 10; value++) publish(publisher, value);
    expectCode(() => subscriber.nextSync({ timeout: 0 }), "INVALID_ARGUMENT", "packets only");
    await expectCode(subscriber.next(), "INVALID_ARGUMENT", "packets only");
    expect(subscriber.stats()).toMatchObject({ received: 0, dropped: 0, lag: 0 });
  });

  test("works many times at once", async () => {
    using publisher = createPublisher();
    publish(publisher, 6);
    const subscribers = await Promise.all(
      Array.from({ length: 30 }, () => subscribe(publisher, { timeout: 5000 })),
    );
    for (const subscriber of subscribers) {
      expect(takeSync(subscriber)).toBe(1);
      subscriber.close();
    }
  });
});

describe.each(modes)("in %s mode", (mode) => {
  test("a late subscriber is given the frame that is there, and counts none before it", async () => {
    using publisher = createPublisher();
    for (let value = 1; value <= 5; value++) publish(publisher, value);
    using subscriber = await subscribe(publisher, { mode });
    expect(subscriber.stats()).toMatchObject({ lag: 1, dropped: 0 });
    using frame = subscriber.nextSync({ timeout: 0 });
    expect(await isFilledWith(frame, 5)).toBe(true);
    expect(subscriber.stats()).toEqual({
      received: 1,
      dropped: 0,
      lag: 0,
      held: 1,
      reconnects: 0,
      connected: true,
    });
    expectCode(() => subscriber.nextSync({ timeout: 0 }), "WOULD_BLOCK", publisher.key);
  });

  test("every frame is received, dropped or still to come, whatever happens in which order", async () => {
    const random = randomNumbers(mode.length);
    for (let round = 0; round < 20; round++) {
      using publisher = createPublisher({ slots: 2 + random(12) });
      for (let skipped = random(3); skipped > 0; skipped--) publish(publisher, 0);
      using subscriber = await subscribe(publisher, { mode });
      const before = Math.max(0, publisher.stats().published - 1);
      const held: Frame[] = [];
      let last = before;
      for (let step = 0; step < 150; step++) {
        const published = publisher.stats().published;
        switch (random(4)) {
          case 0:
          case 1:
            publish(publisher, published + 1);
            break;
          case 2: {
            if (published === last || held.length === 8) break;
            // It may be in a slot whose memory is on its way.
            const frame = subscriber.nextSync({ timeout: 5000 });
            held.push(frame);
            const sequence = Number(frame.sequence);
            expect(sequence).toBeGreaterThan(last);
            if (mode === "newest") expect(sequence).toBe(published);
            if (sequence > before + 1) expect(await isFilledWith(frame, sequence)).toBe(true);
            last = sequence;
            break;
          }
          case 3:
            held.splice(random(held.length), 1)[0]?.close();
        }
        const { received, dropped, lag, held: count } = subscriber.stats();
        expect(received + dropped).toBe(last - before);
        expect(last + lag).toBe(publisher.stats().published);
        expect(count).toBe(held.length);
      }
    }
  });

  test("waits are served in turn, each with a frame of its own", async () => {
    using publisher = createPublisher();
    using subscriber = await subscribe(publisher, { mode });
    const order: number[] = [];
    const waits = [0, 1, 2, 3].map((index) =>
      take(subscriber.next()).then((sequence) => (order.push(index), sequence))
    );
    for (const [index, wait] of waits.entries()) {
      publish(publisher, index);
      expect(await wait).toBe(index + 1);
    }
    expect(order).toEqual([0, 1, 2, 3]);
  });

  test("nobody who comes later is served before one who waits, even if the frame is there by then", async () => {
    using publisher = createPublisher();
    using subscriber = await subscribe(publisher, { mode });
    const first = take(subscriber.next());
    publish(publisher, 1); // its wake-up is on the way
    await expectCode(subscriber.next({ timeout: 0 }), "WOULD_BLOCK");
    const second = take(subscriber.next());
    expect(await first).toBe(1);
    publish(publisher, 2);
    expect(await second).toBe(2);
  });
});

test("newest mode skips to the newest frame and counts the others as dropped", async () => {
  using publisher = createPublisher({ slots: 10 });
  using subscriber = await subscribe(publisher);
  for (let value = 1; value <= 5; value++) publish(publisher, value);
  expect(subscriber.stats().lag).toBe(5);
  expect(takeSync(subscriber)).toBe(5);
  expect(subscriber.stats()).toMatchObject({ received: 1, dropped: 4, lag: 0 });
});

test("ordered mode gives every frame that the ring still has, in order, and counts the others as dropped", async () => {
  using publisher = createPublisher({ slots: 4 });
  using subscriber = await subscribe(publisher, { mode: "ordered" });
  for (let value = 1; value <= 4; value++) publish(publisher, value);
  expect([1, 2, 3, 4].map(() => takeSync(subscriber))).toEqual([1, 2, 3, 4]);
  expect(subscriber.stats()).toMatchObject({ received: 4, dropped: 0 });
  for (let value = 5; value <= 14; value++) publish(publisher, value);
  expect([1, 2, 3, 4].map(() => takeSync(subscriber))).toEqual([11, 12, 13, 14]);
  expect(subscriber.stats()).toMatchObject({ received: 8, dropped: 6, lag: 0 });
});

describe("next", () => {
  test("is there at once when a frame is, and else waits for one while the event loop goes on", async () => {
    using publisher = createPublisher();
    using subscriber = await subscribe(publisher);
    publish(publisher, 1);
    expect(await take(subscriber.next({ timeout: 0 }))).toBe(1);
    let ticks = 0;
    const timer = setInterval(() => {
      if (++ticks === 5) publish(publisher, 2);
    }, 1);
    expect(await take(subscriber.next())).toBe(2);
    clearInterval(timer);
    expect(ticks).toBeGreaterThanOrEqual(5);
  });

  test("times out after its time, not before, and takes nothing then", async () => {
    using publisher = createPublisher();
    using subscriber = await subscribe(publisher, { mode: "ordered" });
    await expectCode(subscriber.next({ timeout: 0 }), "WOULD_BLOCK", subscriber.key);
    for (const timeout of [30, 0.5]) {
      const elapsed = await timed(() => expectCode(subscriber.next({ timeout }), "TIMEOUT", `${timeout} ms`));
      expect(elapsed).toBeGreaterThanOrEqual(timeout - 1);
      expect(elapsed).toBeLessThan(30_000);
    }
    const [short, long] = [subscriber.next({ timeout: 5 }), subscriber.next({ timeout: 60_000 })];
    await expectCode(short, "TIMEOUT");
    publish(publisher, 1);
    expect(await take(long)).toBe(1);
    expect(subscriber.stats()).toMatchObject({ received: 1, dropped: 0, held: 0 });
  });

  test("succeeds when the publisher comes into a directory that was removed or renamed during the wait", async () => {
    const directory = join(runtimeDirectory, "moving");
    const away: ((from: string) => void)[] = [rmdirSync, (from) => renameSync(from, `${from}.away`)];
    for (const [index, take] of [...away, ...away].entries()) {
      const keys = [uniqueKey(), uniqueKey()];
      const waiting = keys.map((key) => subscribe(key, { timeout: 60_000, runtimeDirectory: directory }));
      await eventually(() => existsSync(directory));
      if (index >= away.length) await delay(20); // long enough for both to be asleep; right as well if they are not
      take(directory);
      using first = createPublisher({ key: keys[0]!, runtimeDirectory: directory });
      using second = createPublisher({ key: keys[1]!, runtimeDirectory: directory });
      for (const [number, publisher] of [first, second].entries()) {
        publish(publisher, number);
        using subscriber = await waiting[number]!;
        expect(takeSync(subscriber)).toBe(1);
      }
      rmSync(`${directory}.away`, { recursive: true, force: true });
    }
  });

  test("gives up with its signal's reason, before and during the wait, and takes nothing then", async () => {
    using publisher = createPublisher();
    using subscriber = await subscribe(publisher, { mode: "ordered" });
    for (const reason of [new Error("enough"), "just a text", undefined]) {
      const controller = new AbortController();
      const aborted = subscriber.next({ signal: controller.signal, timeout: 60_000 });
      controller.abort(reason);
      await aborted.then(() => expect.unreachable(), (error) => expect(error).toBe(controller.signal.reason));
      const signal = AbortSignal.abort(reason);
      await subscriber.next({ signal }).then(
        () => expect.unreachable(),
        (error) => expect(error).toBe(signal.reason),
      );
    }
    publish(publisher, 1);
    await expect(subscriber.next({ signal: AbortSignal.abort("late") })).rejects.toBe("late");
    const controller = new AbortController();
    expect(await take(subscriber.next({ signal: controller.signal }))).toBe(1);
    controller.abort(); // of no consequence any more
    publish(publisher, 2);
    expect(await take(subscriber.next())).toBe(2);
  });

  test("refuses times that are none", async () => {
    using publisher = createPublisher();
    using subscriber = await subscribe(publisher);
    for (const timeout of [-1, NaN, -Infinity, "5", null] as number[]) {
      const said = `timeout is ${timeout as unknown === "5" ? '"5"' : timeout}`;
      await expectCode(subscriber.next({ timeout }), "INVALID_ARGUMENT", said);
      expectCode(() => subscriber.nextSync({ timeout }), "INVALID_ARGUMENT", said);
    }
    for (const spin of [-1, NaN, 0.5, 1_000_001]) {
      expectCode(() => subscriber.nextSync({ spin }), "INVALID_ARGUMENT", `spin is ${spin}`);
    }
    // As a deadline that was just missed is rounded.
    expectCode(() => subscriber.nextSync({ timeout: -0, spin: -0 }), "WOULD_BLOCK");
    await expectCode(subscriber.next({ timeout: -0 }), "WOULD_BLOCK");
    publisher.acquire({ timeout: -0 }).close();
  });

  test("is over for all who wait when the subscriber closes", async () => {
    using publisher = createPublisher();
    const subscriber = await subscribe(publisher);
    const waits = [subscriber.next(), subscriber.next({ timeout: 60_000 })];
    subscriber.close();
    for (const wait of waits) await expectCode(wait, "DISCONNECTED", "closed");
    subscriber.close();
    expect(subscriber.closed).toBe(true);
    await expectCode(subscriber.next(), "DISCONNECTED", "closed");
    for (
      const use of [
        () => subscriber.nextSync(),
        () => subscriber.stats(),
        () => subscriber.packets(),
        () => subscriber.ref(),
      ]
    ) {
      expectCode(use, "DISCONNECTED", "closed");
    }
    await eventually(() => publisher.stats().subscribers === 0);
  });

  test("is over for all who wait when the publisher closes, or serves them what it left", async () => {
    const publisher = createPublisher();
    using subscriber = await subscribe(publisher, { mode: "ordered" });
    const waits = [subscriber.next(), subscriber.next(), subscriber.next()];
    publish(publisher, 1);
    publish(publisher, 2);
    publisher.close();
    expect(await take(waits[0]!)).toBe(1);
    expect(await take(waits[1]!)).toBe(2);
    await expectCode(waits[2]!, "DISCONNECTED", "every frame it left was delivered");
    expect(subscriber.stats().connected).toBe(false);
  });
});

describe("nextSync", () => {
  test.each([0, 200, 1_000_000])(
    "with %i µs of spinning waits its time for a frame, and has one at once that is there",
    async (spin) => {
      using publisher = createPublisher();
      using subscriber = await subscribe(publisher);
      const elapsed = await timed(() =>
        expectCode(() => subscriber.nextSync({ timeout: 20, spin }), "TIMEOUT", "20 ms")
      );
      expect(elapsed).toBeGreaterThanOrEqual(19);
      expect(elapsed).toBeLessThan(30_000);
      expectCode(() => subscriber.nextSync({ timeout: 0, spin }), "WOULD_BLOCK");
      publish(publisher, 1);
      using frame = subscriber.nextSync({ spin });
      expect(frame.sequence).toBe(1n);
    },
  );

  test("takes a frame before those who wait for one, who get the next", async () => {
    using publisher = createPublisher();
    using subscriber = await subscribe(publisher, { mode: "ordered" });
    const waiting = subscriber.next();
    publish(publisher, 1);
    expect(takeSync(subscriber)).toBe(1);
    publish(publisher, 2);
    expect(await take(waiting)).toBe(2);
  });

  test("drains a publisher that is gone, and then says so", async () => {
    const publisher = createPublisher();
    using subscriber = await subscribe(publisher, { mode: "ordered" });
    for (let value = 1; value <= 3; value++) publish(publisher, value);
    publisher.close();
    expect([1, 2, 3].map(() => takeSync(subscriber, 1000))).toEqual([1, 2, 3]);
    for (const timeout of [1000, Infinity]) {
      expectCode(() => subscriber.nextSync({ timeout }), "DISCONNECTED", publisher.key);
    }
    expectCode(() => subscriber.nextSync({ timeout: 0 }), "DISCONNECTED", publisher.key);
  });
});

describe("iteration", () => {
  test.each(modes)(
    "in %s mode ends when the publisher is gone and what it left was delivered",
    async (mode) => {
      const publisher = createPublisher();
      using subscriber = await subscribe(publisher, { mode });
      for (let value = 1; value <= 5; value++) publish(publisher, value);
      publisher.close();
      const sequences: number[] = [];
      for await (using frame of subscriber) sequences.push(Number(frame.sequence));
      expect(sequences).toEqual(mode === "ordered" ? [1, 2, 3, 4, 5] : [5]);
      await expectCode(subscriber.next(), "DISCONNECTED", publisher.key);
    },
  );

  test("waits for frames, and ends while it waits when the publisher closes", async () => {
    const publisher = createPublisher();
    using subscriber = await subscribe(publisher);
    let count = 0;
    setTimeout(() => publish(publisher, 1), 1);
    for await (using frame of subscriber) {
      expect(frame.sequence).toBe(BigInt(++count));
      setTimeout(() => count < 5 ? publish(publisher, 1) : publisher.close(), 1);
    }
    expect(count).toBe(5);
  });

  test("can be left and begun again, and ends when the subscriber closes", async () => {
    using publisher = createPublisher();
    const subscriber = await subscribe(publisher, { mode: "ordered" });
    for (let value = 1; value <= 4; value++) publish(publisher, value);
    for await (using frame of subscriber) if (frame.sequence === 2n) break;
    const rest: bigint[] = [];
    for await (using later of subscriber) {
      rest.push(later.sequence);
      if (later.sequence === 4n) setTimeout(() => subscriber.close(), 1);
    }
    expect(rest).toEqual([3n, 4n]);
  });

  test("with a time-out or a signal for each wait", async () => {
    using publisher = createPublisher();
    using subscriber = await subscribe(publisher, { mode: "ordered" });
    const seen: bigint[] = [];
    const iterate = async (options: WaitOptions) => {
      for await (using frame of subscriber.values(options)) seen.push(frame.sequence);
    };
    publish(publisher, 1);
    publish(publisher, 2);
    await expectCode(iterate({ timeout: 20 }), "TIMEOUT");
    const ending = new AbortController();
    const iterating = iterate({ signal: ending.signal });
    publish(publisher, 3);
    await eventually(() => seen.length === 3);
    ending.abort(new Error("enough"));
    await expect(iterating).rejects.toThrow("enough");
    publish(publisher, 4);
    expect(seen).toEqual([1n, 2n, 3n]);
    expect(await take(subscriber.next())).toBe(4); // nothing was taken for nobody
  });

  test("passes any other failure on", async () => {
    using publisher = createPublisher({ slots: 10 });
    using subscriber = await subscribe(publisher, { mode: "ordered" });
    for (let value = 1; value <= 9; value++) publish(publisher, value);
    const keeping = async () => {
      for await (const frame of subscriber) expect(frame.closed).toBe(false);
    };
    await expectCode(keeping(), "WOULD_BLOCK", "8 frames");
  });
});

describe("with reconnect", () => {
  const reopen = (publisher: Publisher, options = {}) => createPublisher({ key: publisher.key, ...options });

  test("frames go on with the next publisher, the first of them marked, and those held stay as they were", async () => {
    const first = createPublisher();
    using subscriber = await subscribe(first, { reconnect: true, mode: "ordered" });
    publish(first, 11);
    publish(first, 12);
    publish(first, 13);
    using held = await subscriber.next();
    first.close();
    expect(await take(subscriber.next())).toBe(2); // what it left comes first
    expect(await take(subscriber.next())).toBe(3);
    const waiting = subscriber.next({ timeout: 10_000 });

    using second = reopen(first, { width: 50, height: 40, format: "I420", slots: 3 });
    publish(second, 21);
    using next = await waiting;
    expect(await isFilledWith(next, 21)).toBe(true);
    expect([next.sequence, next.discontinuity, next.format, next.codedWidth, next.codedHeight]).toEqual([
      1n,
      true,
      "I420",
      50,
      40,
    ]);
    expect([subscriber.format, subscriber.codedWidth, subscriber.codedHeight, subscriber.slots]).toEqual([
      "I420",
      50,
      40,
      3,
    ]);
    publish(second, 22);
    using after = await subscriber.next();
    expect([after.sequence, after.discontinuity]).toEqual([2n, false]);

    expect(await isFilledWith(held, 11)).toBe(true);
    expect([held.format, held.codedWidth, held.codedHeight]).toEqual(["NV12", 32, 16]);
    const copy = new Uint8Array(held.allocationSize());
    await held.copyTo(copy);
    expect(copy).toEqual(new Uint8Array(32 * 16 * 1.5).fill(11));
    expect(subscriber.stats()).toEqual({
      received: 5,
      dropped: 0,
      lag: 0,
      held: 3,
      reconnects: 1,
      connected: true,
    });
  });

  test("counters and packets answer between two publishers too", async () => {
    const first = createPublisher();
    using subscriber = await subscribe(first, { reconnect: true });
    publish(first, 1);
    publish(first, 2);
    const held = subscriber.nextSync();
    first.close();
    const waiting = subscriber.next();
    await eventually(() => !subscriber.stats().connected);
    expectCode(() => subscriber.nextSync({ timeout: 0 }), "WOULD_BLOCK");
    expect(subscriber.stats()).toEqual({
      received: 1,
      dropped: 1,
      lag: 0,
      held: 1,
      reconnects: 0,
      connected: false,
    });
    held.close();
    expect(subscriber.stats()).toEqual({
      received: 1,
      dropped: 1,
      lag: 0,
      held: 0,
      reconnects: 0,
      connected: false,
    });
    expectCode(() => subscriber.packets(), "NO_PACKET_RING", first.key);
    expect(subscriber.codedWidth).toBe(32);
    using second = reopen(first);
    publish(second, 3);
    await take(waiting);
    expect(subscriber.stats()).toEqual({
      received: 2,
      dropped: 1,
      lag: 0,
      held: 0,
      reconnects: 1,
      connected: true,
    });
  });

  test("iteration survives any number of publishers", async () => {
    let publisher = createPublisher();
    using subscriber = await subscribe(publisher, { reconnect: true });
    const pids: number[] = [];
    publish(publisher, 0);
    for await (using frame of subscriber) {
      expect(await isFilledWith(frame, pids.length)).toBe(true);
      expect(frame.discontinuity).toBe(pids.length > 0);
      pids.push(subscriber.publisherPid);
      publisher.close();
      if (pids.length === 20) break;
      publisher = reopen(publisher);
      publish(publisher, pids.length);
    }
    expect(subscriber.stats()).toMatchObject({ received: 20, reconnects: 19 });
  });

  test("waits go on in turn, and their time-outs and signals hold between two publishers", async () => {
    const first = createPublisher();
    using subscriber = await subscribe(first, { reconnect: true });
    const controller = new AbortController();
    const [one, short, aborted, two] = [
      subscriber.next(),
      subscriber.next({ timeout: 20 }),
      subscriber.next({ signal: controller.signal }),
      subscriber.next(),
    ];
    first.close();
    await expectCode(subscriber.next({ timeout: 0 }), "WOULD_BLOCK");
    await expectCode(short, "TIMEOUT", "20 ms");
    controller.abort("enough");
    await expect(aborted).rejects.toBe("enough");
    using second = reopen(first);
    publish(second, 1);
    expect(await take(one)).toBe(1);
    publish(second, 2);
    expect(await take(two)).toBe(2);
  });

  test("nextSync finds the next publisher as well, and waits its time for one, not less", async () => {
    const first = createPublisher();
    using subscriber = await subscribe(first, { reconnect: true });
    publish(first, 1);
    first.close();
    expect(takeSync(subscriber, 1000)).toBe(1);
    const elapsed = await timed(() =>
      expectCode(() => subscriber.nextSync({ timeout: 30 }), "TIMEOUT", "30 ms")
    );
    expect(elapsed).toBeGreaterThanOrEqual(29);
    expect(elapsed).toBeLessThan(30_000);
    expectCode(() => subscriber.nextSync({ timeout: 0 }), "WOULD_BLOCK");
    using second = reopen(first);
    const waited = await timed(() => expectCode(() => subscriber.nextSync({ timeout: 30 }), "TIMEOUT")); // there, but no frame
    expect(waited).toBeGreaterThanOrEqual(29);
    publish(second, 2);
    using frame = subscriber.nextSync({ timeout: 1000 });
    expect([frame.sequence, frame.discontinuity, await isFilledWith(frame, 2)]).toEqual([1n, true, true]);
    expect(subscriber.stats()).toMatchObject({ received: 2, reconnects: 1 });
  });

  test("nextSync does not leave those behind who wait for the next publisher, whether it finds one or not", async () => {
    const first = createPublisher();
    using subscriber = await subscribe(first, { reconnect: true, mode: "ordered" });
    const waits = [subscriber.next({ timeout: 10_000 }), subscriber.next({ timeout: 10_000 })];
    first.close();
    await expectCode(subscriber.next({ timeout: 5 }), "TIMEOUT"); // by now it looks for one
    expectCode(() => subscriber.nextSync({ timeout: 5 }), "TIMEOUT");
    const second = reopen(first);
    publish(second, 1);
    expect(await take(waits[0]!)).toBe(1);

    second.close();
    await expectCode(subscriber.next({ timeout: 5 }), "TIMEOUT");
    using third = reopen(first);
    expectCode(() => subscriber.nextSync({ timeout: 50 }), "TIMEOUT"); // connects, and no frame comes
    publish(third, 1);
    expect(await take(waits[1]!)).toBe(1);
    await eventually(() => third.stats().subscribers === 1);
  });

  test("a connection that is there by the time somebody is notified costs no frame", async () => {
    const first = createPublisher();
    using subscriber = await subscribe(first, { reconnect: true, mode: "ordered" });
    const waiting = subscriber.next({ timeout: 10_000 });
    first.close();
    while (subscriber.stats().connected);
    expectCode(() => subscriber.nextSync({ timeout: 0 }), "WOULD_BLOCK"); // it is looked for, by nobody on the event loop
    using second = reopen(first);
    while (second.stats().subscribers === 0);
    publish(second, 1);
    publish(second, 2);
    // The end of the first publisher is told only now, when this thread waits.
    expect(await take(waiting)).toBe(1);
    expect(await take(subscriber.next({ timeout: 10_000 }))).toBe(2);
  });

  test("packets alone leave nothing of the first publisher behind", async () => {
    const { before, after } = await inProcess(
      async ({ Publisher, Subscriber }, runtimeDirectory, { resources }) => {
        const create = () => {
          const publisher = Publisher.create({
            key: "packets",
            width: 64,
            height: 64,
            slots: 2,
            runtimeDirectory,
          });
          publisher.enablePackets({ codec: "h264" }).write({
            type: "key",
            timestamp: 0,
            data: Uint8Array.of(1),
          });
          return publisher;
        };
        const first = create();
        const subscriber = await Subscriber.connect("packets", {
          runtimeDirectory,
          reconnect: true,
          frames: false,
        });
        const packets = subscriber.packets();
        await packets.next();
        const before = resources().ringMappings;
        first.close();
        const waiting = packets.next();
        create();
        await waiting;
        const deadline = performance.now() + 30_000;
        while (resources().ringMappings > before && performance.now() < deadline) {
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
        return { before, after: resources().ringMappings };
      },
      runtimeDirectory,
    );
    expect(after).toBe(before);
  });

  test("closing between two publishers ends the waits, and no connection is made later", async () => {
    const first = createPublisher();
    const subscriber = await subscribe(first, { reconnect: true });
    publish(first, 1);
    const held = subscriber.nextSync();
    const waiting = subscriber.next();
    first.close();
    await expectCode(subscriber.next({ timeout: 5 }), "TIMEOUT");
    subscriber.close();
    await expectCode(waiting, "DISCONNECTED", "closed");
    expect(held.closed).toBe(true);
    using second = reopen(first);
    for (let round = 0; round < 5; round++) await inspect(second.key, { runtimeDirectory });
    // The attempt that was given up may have got through, and is then being hung up.
    await eventually(() => second.stats().subscribers === 0);
  });

  test("a frame of the old ring is readable until it is closed, and its memory is given back then", async () => {
    const { mapped, afterClose } = await inProcess(
      async ({ Publisher, Subscriber }, runtimeDirectory, { resources }) => {
        const create = () =>
          Publisher.create({ key: "old-ring", width: 64, height: 64, slots: 2, runtimeDirectory });
        const first = create();
        const subscriber = await Subscriber.connect("old-ring", { runtimeDirectory, reconnect: true });
        first.acquire().publish();
        const held = subscriber.nextSync();
        first.close();
        const second = create();
        second.acquire().publish();
        (await subscriber.next()).close();
        const mapped = resources().ringMappings;
        held.planes[0]!.data.at(-1);
        held.close();
        // The thread that waited on the old connection unmaps it when it has ended, and tells nobody.
        const deadline = performance.now() + 30_000;
        while (resources().ringMappings > mapped - 4 && performance.now() < deadline) {
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
        return { mapped, afterClose: resources().ringMappings };
      },
      runtimeDirectory,
    );
    // Control region, lease page and two slots of the first publisher are gone.
    expect(afterClose).toBe(mapped - 4);
  });
});

test("1000 connects and disconnects leave the process as it was", async () => {
  const { before, after } = await inProcess(
    async ({ Publisher, Subscriber, inspect }, runtimeDirectory, { resources }) => {
      const key = "leak";
      const publisher = Publisher.create({ key, width: 64, height: 64, slots: 4, runtimeDirectory });
      publisher.enablePackets({ codec: "h264", dataSize: 4096 });
      const round = async (times: number) => {
        for (let index = 0; index < times; index++) {
          const subscriber = await Subscriber.connect(key, {
            runtimeDirectory,
            mode: index % 2 ? "ordered" : "newest",
          });
          const packets = subscriber.packets();
          publisher.acquire().publish();
          const frame = subscriber.nextSync();
          frame.clone();
          if (index % 10 === 0) {
            subscriber.next().catch(() => {}); // a thread waits
            packets.next().catch(() => {});
            await inspect(key, { runtimeDirectory });
            await Subscriber.connect("nobody", { runtimeDirectory }).catch(() => {});
            await Subscriber.connect("nobody", {
              runtimeDirectory,
              timeout: 60_000,
              signal: AbortSignal.timeout(1),
            }).catch(() => {});
          }
          subscriber.close();
        }
      };
      // Threads end, and the publisher learns of the last close, without telling us: until nothing changes any more.
      const settled = async () => {
        let [last, since] = [resources(), performance.now()];
        const deadline = since + 10_000;
        while (performance.now() < Math.min(since + 200, deadline)) {
          await new Promise((resolve) => setTimeout(resolve, 5));
          const now = resources();
          const changed = now.descriptors !== last.descriptors || now.ringMappings !== last.ringMappings;
          if (changed) [last, since] = [now, performance.now()];
        }
        return last;
      };
      await round(200); // the runtime opens what it needs
      const before = await settled();
      await round(1000);
      return { before, after: await settled() };
    },
    runtimeDirectory,
  );
  expect(after.ringMappings).toBe(before.ringMappings);
  // The runtime itself may have closed one of its own in the meantime.
  expect(after.descriptors).toBeLessThanOrEqual(before.descriptors);
  // A JavaScript heap maps and unmaps memory as it likes; one mapping lost a connection would be 1000.
  expect(Math.abs(after.mappings - before.mappings)).toBeLessThan(200);
});
