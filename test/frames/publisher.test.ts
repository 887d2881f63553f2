// Creating a publisher, its runtime directory, its ring, and the ways to wait for a slot of it.

import { chmodSync, existsSync, linkSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import type { PublisherOptions } from "../../mod.ts";
import { pixelsOf, testMemory } from "../support/memory.ts";
import {
  createPublisher,
  eventually,
  expectCode,
  fill,
  inProcess,
  publish,
  runtimeDirectory,
  subscribe,
  uniqueKey,
  untilVisible,
} from "../support/ring.ts";

const socketOf = ({ key }: { key: string }) => join(runtimeDirectory, `${key}.sock`);
const lockOf = ({ key }: { key: string }) => join(runtimeDirectory, `${key}.lock`);

describe("creating a publisher", () => {
  test("says what it made", () => {
    using publisher = createPublisher({ key: "Cam_1-z", width: 30, height: 20, format: "I420", slots: 5 });
    const { key, memory, format, codedWidth, codedHeight, slots, closed, packets } = publisher;
    expect({ key, memory, format, codedWidth, codedHeight, slots, closed, packets }).toEqual({
      key: "Cam_1-z",
      memory: testMemory,
      format: "I420",
      codedWidth: 30,
      codedHeight: 20,
      slots: 5,
      closed: false,
      packets: undefined,
    });
    expect(publisher.stats()).toMatchObject({
      published: 0,
      packetsPublished: 0,
      subscribers: 0,
      slotsLeased: 0,
      rejected: 0,
    });
  });

  test("takes a key of 1 to 63 letters, digits, _ and -, and refuses any other by name", () => {
    for (const key of ["a", "0", "-", "Z".repeat(63)]) createPublisher({ key }).close();
    for (
      const key of ["", "a".repeat(64), "a b", "a/b", "..", "a.b", "ä", "a\0", "a\n", 7 as unknown as string]
    ) {
      expectCode(() => createPublisher({ key }), "INVALID_ARGUMENT", JSON.stringify(key));
    }
  });

  test("refuses every option that is out of range, by name and value", () => {
    const wrong: [string, unknown[]][] = [
      ["slots", [0, 1, 65, 2.5, NaN, "8"]],
      ["policy", ["block", "", "toString"]],
      ["memory", ["gpu", "constructor"]],
      ["socketMode", [-1, 0o1777, 0.5, NaN]],
      ["timeout", [-1, NaN, "10"]],
    ];
    for (const [name, values] of wrong) {
      for (const value of values) {
        const key = uniqueKey();
        const error = expectCode(
          () => createPublisher({ key, [name]: value } as Partial<PublisherOptions>),
          "INVALID_ARGUMENT",
          name,
        );
        expect(error.message).toContain(String(value));
        expect(existsSync(socketOf({ key }))).toBe(false);
      }
    }
  });

  test("is refused under a key that is taken, which stays as it was, and granted once it is free", async () => {
    const first = createPublisher();
    expectCode(() => createPublisher({ key: first.key, width: 8 }), "ALREADY_EXISTS", first.key);
    publish(first, 5);
    using subscriber = await subscribe(first);
    subscriber.nextSync().close();
    first.close();
    using second = createPublisher({ key: first.key });
    expect(second.closed).toBe(false);
  });
});

describe("the runtime directory", () => {
  test("has a socket and a lock of the key while it is published, and nothing afterwards", () => {
    const publisher = createPublisher();
    expect(statSync(socketOf(publisher)).isSocket()).toBe(true);
    expect(statSync(lockOf(publisher)).isFile()).toBe(true);
    publisher.close();
    expect(readdirSync(runtimeDirectory).filter((name) => name.includes(publisher.key))).toEqual([]);
  });

  test("is created for its owner and group, and the socket has the mode that the option says", () => {
    const directory = join(runtimeDirectory, "made");
    using byDefault = createPublisher({ runtimeDirectory: directory });
    using open = createPublisher({ runtimeDirectory: directory, socketMode: 0o606 });
    expect(statSync(directory).mode & 0o777).toBe(0o750 & ~process.umask());
    expect(statSync(join(directory, `${byDefault.key}.sock`)).mode & 0o777).toBe(0o660);
    expect(statSync(join(directory, `${open.key}.sock`)).mode & 0o777).toBe(0o606);
  });

  test("may hold the socket and the lock of a publisher that died: they are taken over", async () => {
    const key = uniqueKey();
    const dead = createPublisher();
    linkSync(socketOf(dead), socketOf({ key })); // a socket that nobody listens on, once its other name is gone
    dead.close();
    writeFileSync(lockOf({ key }), "");
    await expectCode(subscribe(key), "NOT_FOUND");
    using publisher = createPublisher({ key });
    using subscriber = await subscribe(publisher);
    expect(subscriber.key).toBe(key);
  });

  test("that does not exist and cannot be created is named in the error", () => {
    const missing = join(runtimeDirectory, "no", "such");
    expectCode(() => createPublisher({ runtimeDirectory: missing }), "NOT_FOUND", missing);
    const file = join(runtimeDirectory, "file");
    writeFileSync(file, "");
    expectCode(() => createPublisher({ runtimeDirectory: file }), "IO", file);
    // sysfs lets nobody make a directory, not even root.
    expectCode(() => createPublisher({ runtimeDirectory: "/sys/cuframes" }), "PERMISSION", "/sys/cuframes");
  });

  test("and the socket are for those who have permission", async () => {
    const closed = join(runtimeDirectory, "closed");
    const readOnly = join(runtimeDirectory, "read-only");
    const open = join(runtimeDirectory, "open");
    for (
      const [directory, mode] of [[runtimeDirectory, 0o755], [closed, 0o700], [readOnly, 0o700], [
        open,
        0o700,
      ]] as const
    ) {
      mkdirSync(directory, { recursive: true });
      chmodSync(directory, mode);
    }
    using within = createPublisher({ runtimeDirectory: closed });
    using mute = createPublisher({ runtimeDirectory: open, socketMode: 0 });
    chmodSync(closed, 0);
    chmodSync(readOnly, 0o555);
    chmodSync(open, 0o755);
    const failures = await inProcess(
      async (
        { monotonicNow, Publisher, Subscriber },
        { closed, within, open, mute, readOnly },
        { process },
      ) => {
        monotonicNow(); // the library is loaded
        if (process.geteuid!() === 0) process.seteuid!(65534); // nothing can be denied to root
        const failures = [];
        for (
          const attempt of [
            () => Subscriber.connect(within, { runtimeDirectory: closed }),
            () => Subscriber.connect(mute, { runtimeDirectory: open }),
            () => Publisher.create({ key: "denied", width: 2, height: 2, runtimeDirectory: readOnly }),
          ]
        ) {
          try {
            await attempt();
          } catch (error) {
            const { code, message } = error as { code?: string; message: string };
            failures.push([code, message]);
          }
        }
        return failures;
      },
      { closed, within: within.key, open, mute: mute.key, readOnly },
    );
    expect(failures).toEqual([
      ["PERMISSION", expect.stringContaining(closed)],
      ["PERMISSION", expect.stringContaining(join(open, `${mute.key}.sock`))],
      ["PERMISSION", expect.stringContaining(readOnly)],
    ]);
    chmodSync(closed, 0o700);
  });

  test("has a path that leaves room for the socket's name, of at most 107 bytes in all", () => {
    const key = "k".repeat(20);
    const fits = join(runtimeDirectory, "d".repeat(107 - `${runtimeDirectory}//.${key}.sock`.length));
    createPublisher({ key, runtimeDirectory: fits }).close();
    const error = expectCode(
      () => createPublisher({ key, runtimeDirectory: `${fits}dd` }),
      "INVALID_ARGUMENT",
    );
    expect(error.message).toContain("choose a shorter directory");
    expectCode(() => createPublisher({ runtimeDirectory: "/" + "d".repeat(200) }), "INVALID_ARGUMENT", "ddd");
    expectCode(() => createPublisher({ runtimeDirectory: "" }), "INVALID_ARGUMENT", "runtime directory");
    expectCode(
      () => createPublisher({ runtimeDirectory: "/tmp/a\0b" }),
      "INVALID_ARGUMENT",
      "runtime directory",
    );
  });

  test("is CUFRAMES_RUNTIME_DIR where no option says otherwise, as it is when it is needed", async () => {
    const inherited = join(runtimeDirectory, "inherited");
    const later = join(runtimeDirectory, "later");
    const optional = join(runtimeDirectory, "optional");
    const found = await inProcess(
      async ({ Publisher, Subscriber }, { later, optional }, { fs: { existsSync }, process: { env } }) => {
        const options = { key: "by-environment", width: 2, height: 2 };
        const places = [];
        for (const [variable, option] of [[env.CUFRAMES_RUNTIME_DIR!], [later], [later, optional]] as const) {
          env.CUFRAMES_RUNTIME_DIR = variable;
          const place = option === undefined ? {} : { runtimeDirectory: option };
          const publisher = Publisher.create({ ...options, ...place });
          (await Subscriber.connect(options.key, place)).close();
          if (existsSync(`${option ?? variable}/by-environment.sock`)) places.push(option ?? variable);
          publisher.close();
        }
        return places;
      },
      { later, optional },
      { CUFRAMES_RUNTIME_DIR: inherited },
    );
    expect(found).toEqual([inherited, later, optional]);
  });
});

describe("a ring", () => {
  test.each([2, 64])(
    "of %i slots lends them all before the first frame, and all but the newest after it",
    (slots) => {
      using publisher = createPublisher({ slots, width: 2, height: 2 });
      const frames = Array.from({ length: slots }, () => publisher.acquire());
      expectCode(() => publisher.acquire(), "WOULD_BLOCK", `it has ${slots}`);
      for (const frame of frames) frame.publish();
      untilVisible(publisher, slots);
      const more = Array.from({ length: slots - 1 }, () => publisher.acquire());
      expectCode(() => publisher.acquire(), "WOULD_BLOCK", publisher.key);
      expectCode(() => publisher.acquire({ timeout: 1000 }), "WOULD_BLOCK"); // drop-oldest waits for nobody
      for (const frame of more) frame.close();
      expect(publisher.stats().published).toBe(slots);
    },
  );

  test("lends no slot that a subscriber holds, until it lets go", async () => {
    using publisher = createPublisher({ slots: 2, policy: "wait" });
    using subscriber = await subscribe(publisher);
    publish(publisher, 1);
    const held = subscriber.nextSync();
    publish(publisher, 2);
    expect(publisher.stats().slotsLeased).toBe(1);
    expectCode(() => publisher.acquire({ timeout: 0 }), "WOULD_BLOCK", "close frames sooner");
    held.close();
    expect(publisher.stats().slotsLeased).toBe(0);
    publish(publisher, 3);
    using next = subscriber.nextSync();
    expect(next.sequence).toBe(3n);
  });

  test("takes back what a subscriber held when it closes", async () => {
    using publisher = createPublisher({ slots: 2 });
    const subscriber = await subscribe(publisher);
    publish(publisher, 1);
    subscriber.nextSync();
    publish(publisher, 2);
    subscriber.close();
    await eventually(() => publisher.stats().subscribers === 0);
    publish(publisher, 3);
  });

  test("has 64 subscribers at most, and a place again when one leaves", async () => {
    using publisher = createPublisher({ slots: 2, width: 2, height: 2 });
    const subscribers = await Promise.all(Array.from({ length: 64 }, () => subscribe(publisher)));
    expect(publisher.stats().subscribers).toBe(64);
    await expectCode(subscribe(publisher), "TOO_MANY_SUBSCRIBERS", "64");
    publish(publisher, 9);
    for (const subscriber of subscribers) subscriber.nextSync().close();
    subscribers.pop()!.close();
    await eventually(() => publisher.stats().subscribers === 63);
    subscribers.push(await subscribe(publisher));
    for (const subscriber of subscribers) subscriber.close();
  });
});

describe("acquireAsync", () => {
  test("is there at once while a slot is free", async () => {
    using publisher = createPublisher();
    using frame = await publisher.acquireAsync({ timeout: 0 });
    expect(frame.publish()).toBe(1n);
  });

  test("waits for a slot that a subscriber holds, while the event loop goes on", async () => {
    using publisher = createPublisher({ slots: 2, policy: "wait" });
    using subscriber = await subscribe(publisher);
    publish(publisher, 1);
    const held = subscriber.nextSync();
    publish(publisher, 2);
    let ticks = 0;
    const timer = setInterval(() => {
      if (++ticks === 5) held.close();
    }, 1);
    using frame = await publisher.acquireAsync();
    clearInterval(timer);
    expect(ticks).toBeGreaterThanOrEqual(5);
    expect(frame.publish()).toBe(3n);
  });

  test("serves those who wait in turn", async () => {
    using publisher = createPublisher({ slots: 2 });
    const [one, two] = [publisher.acquire(), publisher.acquire()];
    using subscriber = await subscribe(publisher, { mode: "ordered" });
    one.publish({ timestamp: 1 });
    two.publish({ timestamp: 2 });
    const held = subscriber.nextSync();
    const order: string[] = [];
    const waits = ["first", "second"].map((name) =>
      publisher.acquireAsync().then((frame) => {
        order.push(name);
        frame.publish();
      })
    );
    held.close();
    await waits[0];
    subscriber.nextSync().close();
    await waits[1];
    expect(order).toEqual(["first", "second"]);
  });

  test("gives up after its time-out, on its signal, and when the publisher closes", async () => {
    const publisher = createPublisher({ slots: 2 });
    const frames = [publisher.acquire(), publisher.acquire()];
    await expectCode(publisher.acquireAsync({ timeout: 0 }), "WOULD_BLOCK", "free slot");
    const start = performance.now();
    await expectCode(publisher.acquireAsync({ timeout: 30 }), "TIMEOUT", "30 ms");
    expect(performance.now() - start).toBeGreaterThanOrEqual(29);
    await expectCode(publisher.acquireAsync({ timeout: NaN }), "INVALID_ARGUMENT", "timeout is NaN");
    const reason = new Error("enough");
    await expect(publisher.acquireAsync({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const aborted = publisher.acquireAsync({ signal: controller.signal });
    const pending = publisher.acquireAsync();
    controller.abort(reason);
    await expect(aborted).rejects.toBe(reason);
    publisher.close();
    await expectCode(pending, "DISCONNECTED", publisher.key);
    await expectCode(publisher.acquireAsync(), "DISCONNECTED", publisher.key);
    expect(frames.every((frame) => frame.closed)).toBe(true);
  });
});

describe('the policy "wait"', () => {
  test("keeps frames that an ordered subscriber has not had, and times out after its time, not before", async () => {
    using publisher = createPublisher({ slots: 3, policy: "wait", timeout: 60 });
    using subscriber = await subscribe(publisher, { mode: "ordered" });
    for (const value of [1, 2, 3]) publish(publisher, value);
    for (const [options, expected] of [[{}, 60], [{ timeout: 25 }, 25]] as const) {
      const start = performance.now();
      expectCode(() => publisher.acquire(options), "TIMEOUT", `${expected} ms`);
      const waited = performance.now() - start;
      expect(waited).toBeGreaterThanOrEqual(expected - 1);
      expect(waited).toBeLessThan(30_000);
    }
    expectCode(() => publisher.acquire({ timeout: 0 }), "WOULD_BLOCK");
    await expectCode(publisher.acquireAsync(), "TIMEOUT", "60 ms");
    expect([1, 2, 3].map(() => Number(subscriber.nextSync().sequence))).toEqual([1, 2, 3]);
  });

  test("does not wait for frames that were delivered and let go", async () => {
    using publisher = createPublisher({ slots: 2, policy: "wait", timeout: 0 });
    using subscriber = await subscribe(publisher, { mode: "ordered" });
    for (let sequence = 1n; sequence <= 50n; sequence++) {
      publish(publisher, 0);
      using frame = subscriber.nextSync({ timeout: 0 });
      expect(frame.sequence).toBe(sequence);
    }
  });

  test("waits for ordered subscribers only, and no longer than they are there", async () => {
    using publisher = createPublisher({ slots: 2, policy: "wait", timeout: 0 });
    using newest = await subscribe(publisher);
    for (let value = 0; value < 10; value++) publish(publisher, value);
    expect(newest.nextSync().sequence).toBe(10n);
    newest.close();
    const ordered = await subscribe(publisher, { mode: "ordered" });
    publish(publisher, 11);
    expectCode(() => publisher.acquire(), "WOULD_BLOCK");
    const waiting = publisher.acquireAsync({ timeout: 5000 });
    ordered.close();
    (await waiting).publish();
  });

  test("drops nothing of a slow ordered subscriber, and blocks nobody's event loop", async () => {
    const count = 300;
    using publisher = createPublisher({ slots: 3, policy: "wait" });
    using subscriber = await subscribe(publisher, { mode: "ordered" });
    const writing = (async () => {
      for (let value = 1; value <= count; value++) {
        using frame = await publisher.acquireAsync();
        fill(frame, value);
        frame.publish({ timestamp: value });
      }
    })();
    for (let expected = 1; expected <= count; expected++) {
      using frame = await subscriber.next();
      if (expected % 50 === 0) await delay(2);
      expect([frame.sequence, frame.timestamp, (await pixelsOf(frame))[0]]).toEqual([
        BigInt(expected),
        expected,
        expected & 0xff,
      ]);
    }
    await writing;
    expect(subscriber.stats()).toMatchObject({ received: count, dropped: 0, lag: 0 });
  });
});

test("a closed publisher refuses everything, and closing it again does nothing", () => {
  const publisher = createPublisher();
  publisher.close();
  publisher.close();
  expect(publisher.closed).toBe(true);
  const uses = [
    () => publisher.acquire(),
    () => publisher.stats(),
    () => publisher.enablePackets({ codec: "h264" }),
  ];
  for (const use of uses) expectCode(use, "DISCONNECTED", publisher.key);
});

test("`using` closes a publisher at the end of its block", () => {
  const key = uniqueKey();
  {
    using publisher = createPublisher({ key });
    expect(publisher.closed).toBe(false);
  }
  createPublisher({ key }).close();
});

test("200 publishers created and closed leave the process as it was", async () => {
  const { before, after } = await inProcess(({ Publisher }, runtimeDirectory, { resources }) => {
    const round = (times: number) => {
      for (let index = 0; index < times; index++) {
        const publisher = Publisher.create({
          key: "leak",
          width: 64,
          height: 64,
          slots: 4,
          runtimeDirectory,
        });
        publisher.enablePackets({ codec: "h264", dataSize: 4096, named: index % 10 === 0 });
        publisher.acquire().planes[0]!.data.fill(1);
        publisher.acquire().publish();
        try {
          Publisher.create({ key: "leak", width: 64, height: 64, runtimeDirectory });
        } catch {
          /* the key is taken */
        }
        publisher.close();
      }
    };
    round(20);
    const before = resources();
    round(200);
    return { before, after: resources() };
  }, runtimeDirectory);
  // A JavaScript heap maps and unmaps memory as it likes; the rings are counted exactly.
  expect(after).toEqual({ ...before, mappings: expect.any(Number) });
  expect(before.ringMappings).toBe(0);
});
