import { expect, test } from "vitest";
import type { Frame } from "../../mod.ts";
import {
  createPublisher,
  eventually,
  expectCode,
  isFilledWith,
  publish,
  subscribe,
} from "../support/ring.ts";
import { notOnHost } from "../support/memory.ts";

test("frames that are held do not change while the publisher laps the ring 1000 times", async () => {
  using publisher = createPublisher({ slots: 5 });
  using holder = await subscribe(publisher, { mode: "ordered" });
  using reader = await subscribe(publisher);
  const metadata = (value: number) => Uint8Array.of(value & 0xff, value >> 8);
  for (const value of [1, 2, 3]) publish(publisher, value, { metadata: metadata(value), timestamp: value });
  const held = [holder.nextSync(), holder.nextSync(), holder.nextSync()];
  held[1]!.close();
  const expectHeld = async () => {
    for (const value of [1, 3]) {
      const frame = held[value - 1]!;
      expect(await isFilledWith(frame, value)).toBe(true);
      expect([frame.sequence, frame.timestamp, frame.metadata]).toEqual([
        BigInt(value),
        value,
        metadata(value),
      ]);
    }
  };
  for (let value = 4; value <= 5000; value++) {
    expect(publish(publisher, value, { metadata: metadata(value) })).toBe(BigInt(value));
    using frame = reader.nextSync({ timeout: 0 });
    expect(frame.sequence).toBe(BigInt(value));
    if (value % 100 === 0) await expectHeld();
  }
  await expectHeld();
  expect(publisher.stats()).toMatchObject({ published: 5000, slotsLeased: 2 });
});

test("a frame is the publisher's memory, not a copy of it", async ({ skip }) => {
  skip(...notOnHost);
  using publisher = createPublisher();
  using subscriber = await subscribe(publisher);
  using writable = publisher.acquire();
  const { data } = writable.planes[0]!;
  writable.publish();
  using frame = subscriber.nextSync();
  data[5] = 77; // what no publisher should do
  expect(frame.planes[0]!.data[5]).toBe(77);
  expect(frame.planes).toBe(frame.planes);
});

test("a clone holds the frame on its own, and says the same of it", async () => {
  using publisher = createPublisher({ slots: 2, policy: "wait" });
  using subscriber = await subscribe(publisher);
  publish(publisher, 9, {
    timestampNs: 5n,
    durationNs: 6n,
    corrupt: true,
    discontinuity: true,
    metadata: Uint8Array.of(7),
  });
  const frame = subscriber.nextSync();
  const clone = frame.clone();
  const properties = (
    of: Frame,
  ) => [
    of.format,
    of.codedWidth,
    of.codedHeight,
    of.memory,
    of.sequence,
    of.timestamp,
    of.timestampNs,
    of.duration,
    of.durationNs,
    of.publishedNs,
    of.corrupt,
    of.discontinuity,
    of.metadata,
  ];
  expect(properties(clone)).toEqual(properties(frame));
  expect(subscriber.stats().held).toBe(2);
  frame.close();
  expect([frame.closed, clone.closed]).toEqual([true, false]);

  publish(publisher, 10);
  expectCode(() => publisher.acquire({ timeout: 0 }), "WOULD_BLOCK"); // the clone's slot and the newest
  expect(await isFilledWith(clone, 9)).toBe(true);
  const second = clone.clone();
  clone.close();
  expectCode(() => clone.clone(), "INVALID_ARGUMENT", "closed");
  expect(await isFilledWith(second, 9)).toBe(true);
  second.close();
  expect(subscriber.stats().held).toBe(0);
  publisher.acquire().close();
});

test("8 frames may be held, clones included, and not a ninth until one is closed", async () => {
  using publisher = createPublisher({ slots: 10 });
  using subscriber = await subscribe(publisher, { mode: "ordered" });
  for (let value = 1; value <= 9; value++) publish(publisher, value);
  const held = Array.from({ length: 7 }, () => subscriber.nextSync());
  held.push(held[0]!.clone());
  expect(subscriber.stats().held).toBe(8);
  expectCode(() => subscriber.nextSync(), "WOULD_BLOCK", "8 frames");
  expectCode(() => subscriber.nextSync({ timeout: 0 }), "WOULD_BLOCK", "8 frames");
  await expectCode(subscriber.next(), "WOULD_BLOCK", "8 frames");
  expectCode(() => held[3]!.clone(), "WOULD_BLOCK", "8 frames");
  for (const [index, frame] of held.entries()) {
    expect(await isFilledWith(frame, index === 7 ? 1 : index + 1)).toBe(true);
  }
  held[4]!.close();
  using next = subscriber.nextSync();
  expect(next.sequence).toBe(8n); // the refusals cost nothing
  expect(subscriber.stats()).toMatchObject({ received: 8, dropped: 0, held: 8 });
});

test("closing a frame twice does not let go of the frame that has its lease now", async () => {
  using publisher = createPublisher({ slots: 3 });
  using subscriber = await subscribe(publisher);
  publish(publisher, 1);
  const first = subscriber.nextSync();
  first.close();
  publish(publisher, 2);
  using second = subscriber.nextSync();
  first.close();
  first[Symbol.dispose]();
  expect(publisher.stats().slotsLeased).toBe(1);
  for (let value = 3; value < 20; value++) publish(publisher, value);
  expect(await isFilledWith(second, 2)).toBe(true);
});

test("a closed frame still says what it was, and gives no pixels", async () => {
  using publisher = createPublisher();
  using subscriber = await subscribe(publisher);
  publish(publisher, 1, { timestamp: 40, metadata: Uint8Array.of(1, 2) });
  const frame = subscriber.nextSync();
  frame.close();
  expect([frame.closed, frame.format, frame.codedWidth, frame.codedHeight]).toEqual([true, "NV12", 32, 16]);
  expect([frame.sequence, frame.timestamp, frame.metadata]).toEqual([1n, 40, Uint8Array.of(1, 2)]);
  expectCode(() => frame.planes, "INVALID_ARGUMENT", "closed");
  expectCode(() => frame.clone(), "INVALID_ARGUMENT", "closed");
  await expectCode(frame.copyTo(new Uint8Array(768)), "INVALID_ARGUMENT", "closed");
});

test("a frame outlives its publisher, and ends with its subscriber", async () => {
  const publisher = createPublisher();
  const subscriber = await subscribe(publisher);
  publish(publisher, 42);
  const frame = subscriber.nextSync();
  const clone = frame.clone();
  publisher.close();
  using successor = createPublisher({ key: publisher.key });
  for (let value = 0; value < 20; value++) publish(successor, value);
  expect(await isFilledWith(frame, 42)).toBe(true);
  subscriber.close();
  expect([frame.closed, clone.closed]).toEqual([true, true]);
  expectCode(() => frame.planes, "INVALID_ARGUMENT", "closed");
  frame.close();
});

test("a frame whose bytes were transferred away ends as any other, and they can still be read", async () => {
  const publisher = createPublisher({ slots: 2 });
  const subscriber = await subscribe(publisher, { mode: "ordered" });
  const taken: Uint8Array[] = [];
  for (let value = 1; value <= 4; value++) {
    publish(publisher, value);
    using frame = await subscriber.next();
    expect(await isFilledWith(frame, value)).toBe(true);
    const bytes = await frame.toHost();
    taken.push(structuredClone(bytes, { transfer: [bytes.buffer] }));
    expect(bytes.length).toBe(0);
    const again = new Uint8Array(frame.allocationSize());
    await frame.copyTo(again);
    expect(again.every((byte) => byte === value)).toBe(true);
  }
  const waiting = subscriber.next();
  subscriber.close();
  await expectCode(waiting, "DISCONNECTED", "closed");
  await eventually(() => publisher.stats().subscribers === 0);
  publisher.close();
  createPublisher({ key: publisher.key }).close();
  for (const bytes of taken) expect([1, 2, 3, 4]).toContain(bytes[0]);
});

test("a publisher whose slots were transferred away gives its key back", ({ skip }) => {
  skip(...notOnHost);
  const publisher = createPublisher({ slots: 2 });
  const taken: Uint8Array[] = [];
  for (let value = 1; value <= 4; value++) {
    const frame = publisher.acquire();
    const { data } = frame.planes[0]!;
    data.fill(value);
    taken.push(structuredClone(data, { transfer: [data.buffer] }));
    frame.publish();
  }
  publisher.close();
  createPublisher({ key: publisher.key }).close();
  for (const bytes of taken) expect([3, 4]).toContain(bytes[0]);
});

test("`using` lets go of frames at the end of their block, in every form", async () => {
  using publisher = createPublisher({ slots: 2 });
  {
    using subscriber = await subscribe(publisher);
    for (let value = 1; value <= 10; value++) {
      publish(publisher, value);
      using frame = await subscriber.next();
      expect(frame.sequence).toBe(BigInt(value));
    }
    publish(publisher, 11);
    let seen = 11;
    for await (using frame of subscriber) {
      expect(await isFilledWith(frame, seen++)).toBe(true);
      if (seen > 20) break;
      publish(publisher, seen);
    }
    expect(subscriber.stats().held).toBe(0);
    const failing = async () => {
      publish(publisher, 1);
      using frame = await subscriber.next();
      expect(frame.closed).toBe(false);
      throw new Error("on the way");
    };
    await expect(failing()).rejects.toThrow("on the way");
    expect(subscriber.stats().held).toBe(0);
  }
  expect(publisher.stats().slotsLeased).toBe(0);
});
