// Reading a packet ring: falling behind, waiting, going on with the next publisher.

import { describe, expect, test } from "vitest";
import type { Packet, PacketRingOptions, PacketRingReader } from "../../mod.ts";
import {
  createPublisher,
  eventually,
  expectCode,
  publish,
  randomNumbers,
  subscribe,
  uniqueKey,
} from "../support/ring.ts";
import { open, payload, write } from "../support/packets.ts";

describe("a reader that falls behind", () => {
  test("is told once, goes on at the next key packet, and that one says so", async () => {
    using all = await open({ slots: 4 });
    write(all.ring, 0, 10, { type: "key" });
    expect(all.reader.nextSync().sequence).toBe(0n);
    for (let sequence = 1; sequence < 10; sequence++) {
      write(all.ring, sequence, 10, { type: sequence === 8 ? "key" : "delta" });
    }
    expectCode(() => all.reader.nextSync({ timeout: 0 }), "PACKET_OVERRUN", "goes on at the next key packet");
    const [first, second] = [all.reader.nextSync({ timeout: 0 }), all.reader.nextSync({ timeout: 0 })];
    expect([first.sequence, first.type, first.discontinuity]).toEqual([8n, "key", true]);
    expect([second.sequence, second.discontinuity]).toEqual([9n, false]);
    expect(all.reader.stats()).toEqual({ received: 3, lost: 7, lag: 0 });
  });

  test("loses packets whose bytes are gone though their slots are not", async () => {
    using all = await open({ slots: 64, dataSize: 100, maxPacketSize: 60 });
    write(all.ring, 0, 60, { type: "key" });
    write(all.ring, 1, 30);
    write(all.ring, 2, 20, { type: "key" });
    expect(all.reader.nextSync({ timeout: 0 })).toMatchObject({ sequence: 2n, discontinuity: false }); // nothing was lost: it had not begun
    write(all.ring, 3, 60);
    write(all.ring, 4, 60);
    await expectCode(all.reader.next(), "PACKET_OVERRUN");
    write(all.ring, 5, 40, { type: "key" });
    expect((await all.reader.next()).sequence).toBe(5n);
    expect(all.reader.stats()).toEqual({ received: 2, lost: 2, lag: 0 });
  });

  test("is not told when it iterates: it sees the discontinuity", async () => {
    using all = await open({ slots: 4 });
    write(all.ring, 0, 10, { type: "key" });
    const seen: [number, boolean][] = [];
    for await (const { sequence, discontinuity } of all.reader) {
      seen.push([Number(sequence), discontinuity]);
      if (sequence === 0n) {
        for (let next = 1; next < 8; next++) {
          write(all.ring, next, 10, { type: next === 6 ? "key" : "delta" });
        }
      }
      if (sequence === 7n) break;
    }
    expect(seen).toEqual([[0, false], [6, true], [7, false]]);
  });
});

describe("waiting for packets", () => {
  test("is in turn, ends after its time or on its signal, and takes nothing then", async () => {
    using all = await open();
    await expectCode(all.reader.next({ timeout: 0 }), "WOULD_BLOCK", "packet");
    for (
      const body of [
        () => expectCode(all.reader.next({ timeout: 20 }), "TIMEOUT", "20 ms"),
        () => expectCode(() => all.reader.nextSync({ timeout: 20 }), "TIMEOUT", "20 ms"),
      ]
    ) {
      const start = performance.now();
      await body();
      expect(performance.now() - start).toBeGreaterThanOrEqual(19);
    }
    await expectCode(all.reader.next({ timeout: -1 }), "INVALID_ARGUMENT", "timeout is -1");
    expectCode(() => all.reader.nextSync({ timeout: NaN }), "INVALID_ARGUMENT", "timeout is NaN");
    const reason = new Error("enough");
    await expect(all.reader.next({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const aborted = all.reader.next({ signal: controller.signal });
    const waits = [all.reader.next(), all.reader.next()];
    controller.abort(reason);
    await expect(aborted).rejects.toBe(reason);
    let ticks = 0;
    const timer = setInterval(() => {
      if (++ticks === 3) write(all.ring, 0, 5, { type: "key" });
      if (ticks === 6) write(all.ring, 1, 5);
    }, 1);
    expect(await Promise.all(waits.map((wait) => wait.then(({ sequence }) => sequence)))).toEqual([0n, 1n]);
    clearInterval(timer);
    expect(ticks).toBeGreaterThanOrEqual(6);
  });

  test("ends when the reader, its subscriber or the publisher closes", async () => {
    for (const close of ["reader", "subscriber", "publisher"] as const) {
      using all = await open();
      const waiting = all.reader.next();
      all[close].close();
      await expectCode(waiting, "DISCONNECTED", all.publisher.key);
      await expectCode(all.reader.next(), "DISCONNECTED");
      expectCode(() => all.reader.nextSync({ timeout: 0 }), "DISCONNECTED");
      for await (const _ of all.reader) expect.unreachable();
      all.reader.close();
      all.reader.close();
    }
  });

  test("delivers all that was written before the publisher closed, and then ends", async () => {
    using all = await open();
    const late = all.subscriber.packets();
    for (let sequence = 0; sequence < 10; sequence++) {
      write(all.ring, sequence, 1000, { type: sequence === 0 ? "key" : "delta" });
    }
    all.publisher.close();
    expectCode(
      () => all.ring.write({ data: payload(0, 1), type: "key", timestamp: 0 }),
      "DISCONNECTED",
      all.publisher.key,
    );
    const sequences: number[] = [];
    for await (const { sequence, data } of all.reader) {
      expect(data).toEqual(payload(Number(sequence), 1000));
      sequences.push(Number(sequence));
    }
    expect(sequences).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    for (let sequence = 0n; sequence < 10n; sequence++) {
      expect(late.nextSync({ timeout: 1000 }).sequence).toBe(sequence);
    }
    expectCode(() => late.nextSync(), "DISCONNECTED", "every packet it left was delivered");
  });
});

describe("with reconnect, packets", () => {
  /** A publisher under that key with a packet ring, in which are that many packets, the first a key packet. */
  function publisherOf(key: string, count: number, options: Partial<PacketRingOptions> = {}) {
    const publisher = createPublisher({ key });
    const ring = publisher.enablePackets({ codec: "h264", ...options });
    for (let sequence = 0; sequence < count; sequence++) {
      write(ring, sequence, 50, { type: sequence === 0 ? "key" : "delta" });
    }
    return { publisher, ring };
  }
  const said = ({ sequence, discontinuity }: Packet) => [Number(sequence), discontinuity];

  test.each([false, true])(
    "go on with the next publisher, the first of them marked (frames: %s)",
    async (frames) => {
      const key = uniqueKey();
      const first = publisherOf(key, 3);
      using subscriber = await subscribe(key, { reconnect: true, frames });
      using reader = subscriber.packets();
      expect(said(await reader.next())).toEqual([0, false]);
      first.publisher.close();
      // What it left comes first.
      expect(said(await reader.next())).toEqual([1, false]);
      expect(said(await reader.next())).toEqual([2, false]);
      const waiting = reader.next({ timeout: 10_000 });
      await expectCode(reader.next({ timeout: 5 }), "TIMEOUT"); // by now it looks for the next one
      const second = publisherOf(key, 2, { codec: "hevc" });
      using _ = second.publisher;
      expect(said(await waiting)).toEqual([0, true]);
      expect(said(reader.nextSync({ timeout: 1000 }))).toEqual([1, false]);
      expect(reader.codecId).toBe(173);
      expect(reader.stats()).toEqual({ received: 5, lost: 0, lag: 0 });
      expect(subscriber.stats()).toMatchObject({ reconnects: 1, connected: true });
    },
  );

  test("are found by nextSync, which waits its time for them, not less", async () => {
    const key = uniqueKey();
    const first = publisherOf(key, 1);
    using subscriber = await subscribe(key, { reconnect: true, frames: false });
    using reader = subscriber.packets();
    first.publisher.close();
    expect(said(reader.nextSync({ timeout: 1000 }))).toEqual([0, false]);
    const begun = performance.now();
    expectCode(() => reader.nextSync({ timeout: 30 }), "TIMEOUT", "30 ms");
    expect(performance.now() - begun).toBeGreaterThanOrEqual(29);
    expectCode(() => reader.nextSync({ timeout: 0 }), "WOULD_BLOCK");
    using second = createPublisher({ key }); // whose ring is still to come
    await eventually(() => {
      expectCode(() => reader.nextSync({ timeout: 30 }), "TIMEOUT");
      // The handshake takes as long as it takes.
      return second.stats().subscribers === 1;
    });
    expectCode(() => reader.nextSync({ timeout: 30 }), "TIMEOUT");
    expectCode(() => reader.codecId, "NO_PACKET_RING");
    write(second.enablePackets({ codec: "h264" }), 0, 9, { type: "key" });
    expect(said(reader.nextSync({ timeout: 1000 }))).toEqual([0, true]);
  });

  test("and frames go on each at their own time", async () => {
    const key = uniqueKey();
    const first = publisherOf(key, 1);
    using subscriber = await subscribe(key, { reconnect: true, mode: "ordered" });
    using reader = subscriber.packets();
    for (const value of [1, 2]) publish(first.publisher, value);
    first.publisher.close();
    const second = publisherOf(key, 1);
    publish(second.publisher, 3);
    // The packets are with the second publisher, the frames still with the first.
    expect(said(await reader.next())).toEqual([0, false]);
    expect(said(await reader.next({ timeout: 5000 }))).toEqual([0, true]);
    for (const [sequence, discontinuity] of [[1n, false], [2n, false], [1n, true]] as const) {
      using frame = await subscriber.next({ timeout: 5000 });
      expect([frame.sequence, frame.discontinuity]).toEqual([sequence, discontinuity]);
    }
    second.publisher.close();
    // And the other way round.
    const third = publisherOf(key, 1);
    publish(third.publisher, 4);
    using frame = await subscriber.next({ timeout: 5000 });
    expect([frame.sequence, frame.discontinuity]).toEqual([1n, true]);
    expect(said(await reader.next({ timeout: 5000 }))).toEqual([0, true]);
    third.publisher.close();
  });

  test("are iterated through any number of publishers, and a close ends it", async () => {
    const key = uniqueKey();
    let { publisher } = publisherOf(key, 1);
    const subscriber = await subscribe(key, { reconnect: true, frames: false });
    const reader = subscriber.packets();
    let packets = 0;
    for await (const packet of reader) {
      expect(said(packet)).toEqual([0, packets > 0]);
      packets++;
      publisher.close();
      if (packets === 20) setTimeout(() => subscriber.close(), 5);
      else ({ publisher } = publisherOf(key, 1));
    }
    expect(packets).toBe(20);
    expectCode(() => reader.nextSync({ timeout: 0 }), "DISCONNECTED", "closed");
  });

  test("of a reader that was closed are not waited for", async () => {
    const key = uniqueKey();
    const first = publisherOf(key, 0);
    using subscriber = await subscribe(key, { reconnect: true, frames: false });
    const reader = subscriber.packets();
    const waiting = reader.next();
    first.publisher.close();
    await expectCode(reader.next({ timeout: 5 }), "TIMEOUT");
    reader.close();
    await expectCode(waiting, "DISCONNECTED", "closed");
    using later = subscriber.packets({ wait: true });
    using _ = publisherOf(key, 1).publisher;
    expect(said(await later.next({ timeout: 5000 }))).toEqual([0, true]);
  });
});

test("20,000 random packets are read as the rules of the ring say, by readers of every speed", async () => {
  const random = randomNumbers(2024);
  let overruns = 0;
  for (let round = 0; round < 40; round++) {
    const slots = 1 + random(12);
    const dataSize = 1 + random(random(2) === 0 ? 40 : 2000);
    const maxPacketSize = 1 + random(dataSize);
    using all = await open({ slots, dataSize, maxPacketSize });
    const account: { end: number; size: number; key: boolean }[] = [];
    const readers = [1, 3, 20].map((slowness) => ({
      reader: all.subscriber.packets(),
      model: new ReaderModel(account, slots, dataSize),
      slowness,
    }));
    for (let sequence = 0; sequence < 500; sequence++) {
      const size = [1, maxPacketSize][random(8)] ?? 1 + random(Math.max(1, Math.floor(maxPacketSize / 3)));
      const key = random(6) === 0;
      all.ring.write({ data: payload(sequence, size), type: key ? "key" : "delta", timestamp: sequence });
      account.push({ end: (account.at(-1)?.end ?? 0) + size, size, key });
      for (const { reader, model, slowness } of readers) {
        if (random(slowness) !== 0) continue;
        for (let reads = random(slowness * 2 + 1); reads > 0; reads--) overruns += expectAs(model, reader);
      }
    }
    for (const { reader, model } of readers) {
      while (model.remaining > 0) overruns += expectAs(model, reader);
      expect(reader.stats()).toEqual({ received: model.received, lost: model.lost, lag: 0 });
    }
  }
  expect(overruns).toBeGreaterThan(500);
});

/** What a reader must say next, from a plain account of all that was written. */
class ReaderModel {
  received = 0;
  lost = 0;
  #next = 0;
  #state: "start" | "following" | "lost" = "start";

  readonly account: { end: number; size: number; key: boolean }[];
  readonly slots: number;
  readonly dataSize: number;

  constructor(account: { end: number; size: number; key: boolean }[], slots: number, dataSize: number) {
    this.account = account;
    this.slots = slots;
    this.dataSize = dataSize;
  }

  get remaining(): number {
    return this.account.length - this.#next;
  }

  /** Whether the ring still has its slot and every byte of it. */
  #readable(sequence: number): boolean {
    const { end, size } = this.account[sequence]!;
    return this.account.length - sequence <= this.slots &&
      this.account.at(-1)!.end - (end - size) <= this.dataSize;
  }

  step(): "nothing" | "overrun" | { sequence: number; discontinuity: boolean } {
    const overtaken = this.#state === "following" && this.remaining > 0 && !this.#readable(this.#next);
    if (overtaken) this.#state = "lost";
    if (this.#state !== "following") {
      const from = this.#next;
      while (this.remaining > 0 && !(this.account[this.#next]!.key && this.#readable(this.#next))) {
        this.#next++;
      }
      if (this.#state === "lost") this.lost += this.#next - from;
    }
    if (overtaken) return "overrun";
    if (this.remaining === 0) return "nothing";
    const discontinuity = this.#state === "lost";
    this.#state = "following";
    this.received++;
    return { sequence: this.#next++, discontinuity };
  }
}

/** Holds one read against the model; returns how many overruns it was. */
function expectAs(model: ReaderModel, reader: PacketRingReader): number {
  const expected = model.step();
  if (expected === "nothing") {
    expectCode(() => reader.nextSync({ timeout: 0 }), "WOULD_BLOCK");
    return 0;
  }
  if (expected === "overrun") {
    expectCode(() => reader.nextSync({ timeout: 0 }), "PACKET_OVERRUN");
    return 1;
  }
  const { sequence, discontinuity } = expected;
  const packet = reader.nextSync({ timeout: 0 });
  const { size, key } = model.account[sequence]!;
  const agrees = packet.sequence === BigInt(sequence) && packet.discontinuity === discontinuity &&
    packet.type === (key ? "key" : "delta") && Buffer.compare(packet.data, payload(sequence, size)) === 0;
  if (!agrees) {
    expect.fail(
      `packet ${packet.sequence}, ${packet.type}, is not what ${
        JSON.stringify({ sequence, discontinuity, key, size })
      } says`,
    );
  }
  return 0;
}
