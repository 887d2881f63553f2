// A frame that is being written: what travels with it, and its end.

import { describe, expect, test } from "vitest";
import { type FrameInit, monotonicNow } from "../../mod.ts";
import { notOnHost } from "../support/memory.ts";
import {
  createPublisher,
  expectCode,
  publish,
  randomNumbers,
  subscribe,
  untilVisible,
} from "../support/ring.ts";

describe("what travels with a frame", () => {
  /** Publishes one frame with `init` and gives it to `look`. */
  async function sent<T>(
    init: FrameInit,
    look: (frame: Awaited<ReturnType<typeof oneFrame>>["frame"]) => T,
  ): Promise<T> {
    const { frame, end } = await oneFrame(init);
    try {
      return look(frame);
    } finally {
      end();
    }
  }

  async function oneFrame(init: FrameInit) {
    const publisher = createPublisher({ width: 2, height: 2 });
    const subscriber = await subscribe(publisher);
    publish(publisher, 0, init);
    const frame = await subscriber.next();
    return {
      frame,
      end: () => {
        subscriber.close();
        publisher.close();
      },
    };
  }

  test("is up to 1024 bytes of metadata, of this frame and no other", async () => {
    using publisher = createPublisher();
    using subscriber = await subscribe(publisher, { mode: "ordered" });
    for (const size of [1024, 0, 1, 1023, 17, 1024]) {
      const own = Uint8Array.from({ length: size + 10 }, (_, index) => (index * 7 + size) & 0xff);
      const metadata = own.subarray(5, 5 + size);
      const expected = metadata.slice();
      publish(publisher, size, { metadata });
      own.fill(0); // it was copied
      using frame = subscriber.nextSync();
      expect(frame.metadata).toEqual(expected);
    }
    publish(publisher, 0);
    using frame = subscriber.nextSync();
    expect(frame.metadata).toEqual(new Uint8Array(0));
  });

  test("is refused when it is wrong, and the frame can still be published", async () => {
    using publisher = createPublisher();
    using subscriber = await subscribe(publisher);
    using frame = publisher.acquire();
    const wrong: [FrameInit, string][] = [
      [{ metadata: new Uint8Array(1025) }, "1025 bytes"],
      [{ metadata: "text" as unknown as Uint8Array }, "metadata"],
      [{ metadata: [1, 2] as unknown as Uint8Array }, "metadata"],
      [{ timestamp: NaN }, "timestamp is NaN"],
      [{ timestamp: Infinity }, "timestamp is Infinity"],
      [{ timestamp: 1e16 }, "timestamp is 1"],
      [{ timestamp: "5" as unknown as number }, 'timestamp is "5"'],
      [{ timestamp: 5n as unknown as number }, "timestamp is 5"],
      [{ timestampNs: 5 as unknown as bigint }, "timestampNs is 5"],
      [{ timestampNs: 2n ** 63n }, "timestampNs is 9223372036854775808"],
      [{ timestampNs: -(2n ** 63n) - 1n }, "timestampNs is -9223372036854775809"],
      [{ duration: -1 }, "duration is -1000 ns"],
      [{ duration: NaN }, "duration is NaN"],
      [{ durationNs: -1n }, "duration is -1 ns"],
      [{ durationNs: 2n ** 63n }, "durationNs is 9223372036854775808"],
    ];
    for (const [init, text] of wrong) expectCode(() => frame.publish(init), "INVALID_ARGUMENT", text);
    expect(publisher.stats().published).toBe(0);
    expect(frame.publish({ timestamp: 12 })).toBe(1n);
    using received = subscriber.nextSync();
    expect(received.timestamp).toBe(12);
  });

  test("is a timestamp in µs that comes back as it was given, fractions to the nanosecond", async () => {
    const values = [
      0,
      1,
      -1,
      33366.667,
      33366.666,
      -33366.667,
      0.001,
      -0.001,
      0.999,
      1e6,
      1.5e12 + 0.25,
      123456789.123,
    ];
    const unix = [
      Date.UTC(2025, 0, 1, 12, 34, 56, 789) * 1000 + 123,
      1_700_000_000_000_001,
      9e15,
      -9e15,
      8_999_999_999_999_999,
    ];
    for (const timestamp of [...values, ...unix]) {
      expect(await sent({ timestamp }, (frame) => frame.timestamp), `timestamp ${timestamp}`).toBe(timestamp);
    }
    using publisher = createPublisher({ width: 2, height: 2 });
    using subscriber = await subscribe(publisher);
    const random = randomNumbers(3);
    for (let round = 0; round < 500; round++) {
      const timestamp = 1.7e15 + random(2 ** 32); // Unix time, past 2^53 ns
      publish(publisher, 0, { timestamp });
      using frame = subscriber.nextSync();
      expect(frame.timestamp).toBe(timestamp);
    }
    expect(await sent({ timestamp: 0.0004 }, (frame) => frame.timestampNs)).toBe(0n);
    expect(await sent({ timestamp: 0.0006 }, (frame) => frame.timestampNs)).toBe(1n);
    expect(await sent({ timestamp: -1.0006 }, (frame) => frame.timestampNs)).toBe(-1001n);
    expect(await sent({ timestamp: 33366.667 }, (frame) => frame.timestampNs)).toBe(33366667n);
  });

  test("is a timestamp in ns, exact over all of its 64 bits, and its µs as near as a number can be", async () => {
    const values = [0n, -1n, 999n, 2n ** 53n + 1n, 1_700_000_000_123_456_789n, 2n ** 63n - 1n, -(2n ** 63n)];
    for (const timestampNs of values) {
      expect(await sent({ timestampNs }, (frame) => frame.timestampNs)).toBe(timestampNs);
      const nearest = Number(`${timestampNs}e-3`); // the decimal number, rounded once
      expect(await sent({ timestampNs }, (frame) => frame.timestamp)).toBe(nearest);
    }
    expect(await sent({ timestampNs: 5n, timestamp: 7 }, (frame) => frame.timestampNs)).toBe(5n);
  });

  test("is a duration in µs or ns, 0 where none was given", async () => {
    for (const duration of [0, 0.001, 33366.667, 40_000, 9e15]) {
      expect(await sent({ duration }, (frame) => frame.duration)).toBe(duration);
    }
    for (const durationNs of [0n, 1n, 2n ** 53n + 1n, 2n ** 63n - 1n]) {
      expect(await sent({ durationNs }, (frame) => frame.durationNs)).toBe(durationNs);
    }
    expect(await sent({}, ({ duration, durationNs }) => [duration, durationNs])).toEqual([0, 0n]);
  });

  test("is the time of publishing, which is also the timestamp where none was given", async () => {
    const before = monotonicNow();
    const { publishedNs, timestampNs } = await sent(
      {},
      ({ publishedNs, timestampNs }) => ({ publishedNs, timestampNs }),
    );
    const after = monotonicNow();
    expect(before <= timestampNs && timestampNs <= publishedNs && publishedNs <= after).toBe(true);
  });

  test("is whether it continues the one before and whether it is whole, each on its own", async () => {
    for (const discontinuity of [false, true]) {
      for (const corrupt of [false, true]) {
        const flags = await sent({ discontinuity, corrupt }, (frame) => [frame.discontinuity, frame.corrupt]);
        expect(flags).toEqual([discontinuity, corrupt]);
      }
    }
    expect(await sent({}, (frame) => [frame.discontinuity, frame.corrupt])).toEqual([false, false]);
  });
});

describe("a writable frame", () => {
  test("is published once, by itself or by its publisher, and numbered from 1 without gaps", () => {
    using publisher = createPublisher();
    const first = publisher.acquire();
    expect([first.format, first.codedWidth, first.codedHeight, first.closed]).toEqual([
      "NV12",
      32,
      16,
      false,
    ]);
    expect(first.publish()).toBe(1n);
    expect(first.closed).toBe(true);
    publisher.acquire().close(); // takes no number
    expect(publisher.publish(publisher.acquire())).toBe(2n);
    untilVisible(publisher, 2);
    expectCode(() => first.publish(), "INVALID_ARGUMENT", "published or closed");
    expectCode(() => publisher.publish(first), "INVALID_ARGUMENT", "published or closed");
    expectCode(() => first.planes, "INVALID_ARGUMENT", "published or closed");
    expectCode(() => first.write(new Uint8Array(768)), "INVALID_ARGUMENT", "published or closed");
    first.close();
    expect(publisher.stats().published).toBe(2);
  });

  test("gives its slot back when it is closed unpublished, by hand or by `using`", () => {
    using publisher = createPublisher({ slots: 2 });
    for (let round = 0; round < 100; round++) {
      using one = publisher.acquire();
      const other = publisher.acquire();
      expectCode(() => publisher.acquire(), "WOULD_BLOCK");
      other.close();
      other.close();
      expectCode(() => other.publish(), "INVALID_ARGUMENT", "published or closed");
      expect(one.closed).toBe(false);
    }
    expect(publisher.stats().published).toBe(0);
  });

  test("cannot be published by another publisher, and stays with its own", () => {
    using publisher = createPublisher();
    using other = createPublisher();
    using frame = publisher.acquire();
    expectCode(() => other.publish(frame), "INVALID_ARGUMENT", "another publisher");
    expect(other.stats().published).toBe(0);
    expect(publisher.publish(frame)).toBe(1n);
    expectCode(() => other.publish(frame), "INVALID_ARGUMENT");
  });

  test("ends with its publisher", ({ skip }) => {
    skip(...notOnHost);
    const publisher = createPublisher();
    const frame = publisher.acquire();
    const { data } = frame.planes[0]!;
    publisher.close();
    expect(frame.closed).toBe(true);
    expectCode(() => frame.publish(), "DISCONNECTED", publisher.key);
    expectCode(() => frame.planes, "DISCONNECTED");
    expect(data.length).toBe(0);
    frame.close();
  });
});
