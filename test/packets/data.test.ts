// Data tracks: values from one process to others.

import { describe, expect, test } from "vitest";
import { createPublisher, expectCode, subscribe } from "../support/ring.ts";

describe("a data track", () => {
  test("carries whatever JSON can say, with its time", async () => {
    using publisher = createPublisher();
    const detections = publisher.data("detections");
    expect(publisher.data("detections")).toBe(detections);
    using subscriber = await subscribe(publisher, { frames: false });
    using reader = subscriber.data("detections", { since: "oldest" });
    const values = [{ label: "Auto", box: [1, 2.5, 3, 4] }, [], "ü", 0, null, false, {
      deep: { deeper: [{}] },
    }];
    for (const [index, value] of values.entries()) {
      expect(detections.send(value, { timestamp: index * 1000 })).toBe(BigInt(index));
    }
    for (const [index, value] of values.entries()) {
      expect(await reader.next({ timeout: 5000 })).toEqual({
        value,
        timestamp: index * 1000,
        timestampNs: BigInt(index) * 1_000_000n,
        sequence: BigInt(index),
        discontinuity: false,
      });
    }
    detections.send("now");
    const before = performance.now();
    expect((await reader.next({ timeout: 5000 })).timestamp).toBeGreaterThan(0);
    expect(performance.now() - before).toBeLessThan(5000);
    detections.send("exact", { timestampNs: 1n });
    expect((await reader.next({ timeout: 5000 })).timestampNs).toBe(1n);
  });

  test("gives a late joiner the next value, the latest, or those of so many seconds", async () => {
    using publisher = createPublisher();
    const data = publisher.data("state");
    for (let index = 0; index < 10; index++) data.send(index, { timestamp: index * 1e6 });
    using subscriber = await subscribe(publisher, { frames: false });
    using next = subscriber.data("state");
    using latest = subscriber.data("state", { latest: true });
    using lately = subscriber.data("state", { since: 3 });
    using all = subscriber.data("state", { since: "oldest" });
    await expectCode(next.next({ timeout: 0 }), "WOULD_BLOCK");
    data.send(10, { timestamp: 10e6 });
    const read = async (reader: typeof next) => (await reader.next({ timeout: 5000 })).value;
    expect([await read(next), await read(latest), await read(lately), await read(all)]).toEqual([
      10,
      9,
      6,
      0,
    ]);
    expectCode(() => subscriber.data("state", { latest: true, since: 1 }), "INVALID_ARGUMENT", "exclude");
    expectCode(() => subscriber.data(""), "INVALID_ARGUMENT", "label");
    expectCode(() => publisher.data(""), "INVALID_ARGUMENT", "label");
  });

  test("takes 1 MiB, and not a byte more", async () => {
    using publisher = createPublisher();
    using subscriber = await subscribe(publisher, { frames: false });
    using reader = subscriber.data<string>("large");
    const largest = "x".repeat(2 ** 20 - 2);
    publisher.data("large").send(largest);
    expect((await reader.next({ timeout: 5000 })).value).toBe(largest);
    expectCode(() => publisher.data("large").send(`${largest}x`), "PACKET_OVERSIZED");
  });

  test("refuses what JSON cannot say", () => {
    using publisher = createPublisher();
    const circle: unknown[] = [];
    circle.push(circle);
    for (const value of [undefined, () => 1, Symbol("x"), 1n, circle, { n: 1n }]) {
      expectCode(() => publisher.data("x").send(value), "INVALID_ARGUMENT", "JSON");
    }
    expectCode(() => publisher.data("x").send(1, { timestmap: 1 } as never), "INVALID_ARGUMENT", "timestamp");
  });

  test("whose sender writes no JSON: next says so, a loop goes on", async () => {
    using publisher = createPublisher();
    const raw = publisher.addTrack({ kind: "data", codec: "json", label: "raw" });
    using subscriber = await subscribe(publisher, { frames: false });
    using reader = subscriber.data("raw");
    using other = subscriber.data("raw");
    const send = (text: string | Uint8Array) =>
      raw.write({
        type: "key",
        timestamp: 0,
        data: typeof text === "string" ? new TextEncoder().encode(text) : text,
      });
    send("{");
    send(Uint8Array.of(0x22, 0xff, 0x22));
    send("1");
    await expectCode(reader.next({ timeout: 5000 }), "FORMAT", "no JSON");
    await expectCode(reader.next({ timeout: 5000 }), "FORMAT", "no JSON");
    expect((await reader.next({ timeout: 5000 })).value).toBe(1);
    for await (const { value } of other) {
      expect(value).toBe(1);
      break;
    }
  });

  test("ends with its publisher, and with its reader", async () => {
    const publisher = createPublisher();
    using subscriber = await subscribe(publisher, { frames: false });
    using reader = subscriber.data("x");
    publisher.data("x").send(1);
    publisher.close();
    const values: unknown[] = [];
    for await (const { value } of reader) values.push(value);
    expect(values).toEqual([1]);
    reader.close();
    expect(reader.closed).toBe(true);
    await expectCode(reader.next(), "DISCONNECTED");
  });
});
