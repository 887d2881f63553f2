import { closeSync, constants, existsSync, openSync, readFileSync, statSync, writeFileSync } from "node:fs";
import process from "node:process";
import { describe, expect, test } from "vitest";
import {
  type CodecName,
  inspect,
  type Packet,
  type PacketInit,
  type PacketRingOptions,
  type PacketRingReader,
  type PacketRingWriter,
  type Publisher,
} from "../../mod.ts";
import {
  createPublisher,
  expectCode,
  publish,
  randomNumbers,
  runtimeDirectory,
  subscribe,
  uniqueKey,
} from "../support/ring.ts";

const avcHigh31 = Uint8Array.of(
  0,
  0,
  0,
  1,
  0x67,
  0x64,
  0x00,
  0x1f,
  0xac,
  0xd9,
  0x40,
  0x50,
  0x05,
  0xbb,
  0,
  0,
  1,
  0x68,
  0xeb,
);

/** Content that tells one packet from another, byte by byte. */
function payload(sequence: number, size: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: size }, (_, index) => (sequence * 151 + index * 29 + (index >> 6)) & 0xff);
}

/** Writes packet number `sequence` of `size` bytes. */
function write(ring: PacketRingWriter, sequence: number, size: number, init: Partial<PacketInit> = {}): void {
  const packet = { data: payload(sequence, size), type: "delta", timestamp: sequence, ...init } as const;
  expect(ring.write(packet)).toBe(BigInt(sequence));
}

/** A publisher with a packet ring, and a reader of it. */
async function open(options: Partial<PacketRingOptions> = {}) {
  const publisher = createPublisher();
  const ring = publisher.enablePackets({ codec: "h264", ...options });
  const subscriber = await subscribe(publisher, { frames: false });
  const reader = subscriber.packets();
  return {
    publisher,
    ring,
    subscriber,
    reader,
    [Symbol.dispose]() {
      subscriber.close();
      publisher.close();
    },
  };
}

function drain(reader: PacketRingReader): Packet[] {
  const packets: Packet[] = [];
  while (reader.stats().lag > 0) packets.push(reader.nextSync({ timeout: 0 }));
  return packets;
}

describe("packets", () => {
  test("arrive in order, as they were written, in memory of the receiver's own", async () => {
    using all = await open();
    write(all.ring, 0, 700, { type: "key", timestamp: 1000, decodeTimestamp: -2000.5 });
    write(all.ring, 1, 1, { timestampNs: -5n, corrupt: true });
    write(all.ring, 2, 3000, { timestamp: 1.7e15 + 1, decodeTimestampNs: 7n, discontinuity: true });
    const packets = drain(all.reader);
    expect(
      packets.map((
        { type, sequence, discontinuity, corrupt, byteLength, duration },
      ) => [type, sequence, discontinuity, corrupt, byteLength, duration]),
    ).toEqual([
      ["key", 0n, false, false, 700, null],
      ["delta", 1n, false, true, 1, null],
      ["delta", 2n, true, false, 3000, null],
    ]);
    expect(packets.map(({ timestamp, decodeTimestamp }) => [timestamp, decodeTimestamp])).toEqual([
      [1000, -2000.5],
      [-0.005, -0.005],
      [1.7e15 + 1, 0.007],
    ]);
    expect(packets.map(({ timestampNs, decodeTimestampNs }) => [timestampNs, decodeTimestampNs])).toEqual([
      [1_000_000n, -2_000_500n],
      [-5n, -5n],
      [1_700_000_000_000_001_000n, 7n],
    ]);
    const before = packets.map(({ data }) => data.slice());
    const later = new Uint8Array(100_000).fill(0xaa);
    for (let sequence = 3; sequence < 200; sequence++) write(all.ring, sequence, 0, { data: later });
    packets.forEach(({ data }, index) => {
      expect(data).toEqual(payload(index, [700, 1, 3000][index]!));
      expect(data).toEqual(before[index]);
    });
  });

  test("are copied into any memory that is large enough, and no other", async () => {
    using all = await open();
    write(all.ring, 0, 10, { type: "key" });
    const [packet] = drain(all.reader);
    const shared = new SharedArrayBuffer(12);
    packet!.copyTo(shared);
    expect([...new Uint8Array(shared)]).toEqual([...payload(0, 10), 0, 0]);
    const view = new DataView(new ArrayBuffer(14), 2, 10);
    packet!.copyTo(view);
    expect(new Uint8Array(view.buffer, 2, 10)).toEqual(payload(0, 10));
    expectCode(() => packet!.copyTo(new Uint8Array(9)), "INVALID_ARGUMENT", "9 bytes, the packet 10");
    expectCode(() => packet!.copyTo(100 as unknown as ArrayBuffer), "INVALID_ARGUMENT", "destination");
  });

  test("begin at the last key packet for a reader that comes late", async () => {
    using all = await open();
    for (let sequence = 0; sequence < 12; sequence++) {
      write(all.ring, sequence, 50, { type: sequence % 5 === 0 ? "key" : "delta" });
    }
    using late = all.subscriber.packets();
    expect(drain(late).map(({ sequence }) => Number(sequence))).toEqual([10, 11]);
    expect(late.stats()).toEqual({ received: 2, lost: 0, lag: 0 });
    expect(drain(all.reader).map(({ sequence, discontinuity }) => [Number(sequence), discontinuity])[0])
      .toEqual([0, false]);
  });

  test("begin at the next key packet where there is none yet", async () => {
    using all = await open();
    for (let sequence = 0; sequence < 3; sequence++) write(all.ring, sequence, 50);
    expectCode(() => all.reader.nextSync({ timeout: 0 }), "WOULD_BLOCK");
    const waiting = all.reader.next();
    write(all.ring, 3, 50);
    write(all.ring, 4, 50, { type: "key" });
    expect((await waiting).sequence).toBe(4n);
    expect(all.reader.stats().lost).toBe(0);
  });

  test("are refused when they are wrong, at no cost to those that follow", async () => {
    using all = await open({ maxPacketSize: 100, dataSize: 1000 });
    write(all.ring, 0, 100, { type: "key" });
    const good: PacketInit = { data: payload(1, 5), type: "delta", timestamp: 0 };
    expectCode(
      () => all.ring.write({ ...good, data: new Uint8Array(101) }),
      "PACKET_OVERSIZED",
      "maxPacketSize",
    );
    const { timestamp: _, ...timeless } = good;
    const wrong: [PacketInit, string][] = [
      [{ ...good, data: new Uint8Array(0) }, "at least one byte"],
      [{ ...good, data: "x" as unknown as Uint8Array }, "Uint8Array"],
      [{ ...good, data: new ArrayBuffer(4) as unknown as Uint8Array }, "Uint8Array"],
      [{ ...good, type: "idr" as "key" }, '"idr"'],
      [timeless, "needs a timestamp"],
      [{ ...good, timestamp: NaN }, "timestamp is NaN"],
      [{ ...good, timestampNs: 2n ** 63n }, "timestampNs"],
      [{ ...good, decodeTimestamp: Infinity }, "decodeTimestamp is Infinity"],
    ];
    for (const [packet, text] of wrong) expectCode(() => all.ring.write(packet), "INVALID_ARGUMENT", text);
    write(all.ring, 1, 5);
    expect(drain(all.reader).map(({ data }) => data)).toEqual([payload(0, 100), payload(1, 5)]);
    expect(all.publisher.stats().packetsPublished).toBe(2);
  });
});

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

describe("a packet ring", () => {
  test("that is still to come is waited for where that is asked for", async () => {
    using publisher = createPublisher();
    using subscriber = await subscribe(publisher);
    using reader = subscriber.packets({ wait: true });
    await expectCode(reader.next({ timeout: 5 }), "TIMEOUT");
    await expectCode(reader.next({ timeout: 0 }), "WOULD_BLOCK");
    expectCode(() => reader.nextSync({ timeout: 5 }), "TIMEOUT");
    for (const attempt of [() => reader.codecId, () => reader.description, () => reader.decoderConfig]) {
      expectCode(attempt, "NO_PACKET_RING", publisher.key);
    }
    expect(reader.stats()).toEqual({ received: 0, lost: 0, lag: 0 });
    const waiting = reader.next();
    const ring = publisher.enablePackets({ codec: "h264", description: avcHigh31 });
    write(ring, 0, 9, { type: "key" });
    const packet = await waiting;
    expect([packet.data, packet.discontinuity]).toEqual([payload(0, 9), false]);
    expect(reader.decoderConfig).toMatchObject({ codec: "avc1.64001f" });
  });

  test("is read from the connection on where that is asked for, not from the last key packet now", async () => {
    using publisher = createPublisher();
    const ring = publisher.enablePackets({ codec: "h264", slots: 8 });
    const sequences = async (reader: PacketRingReader, count: number) => {
      const seen: bigint[] = [];
      while (seen.length < count) seen.push((await reader.next({ timeout: 5000 })).sequence);
      return seen;
    };
    for (let index = 0; index < 3; index++) write(ring, index, 9, { type: index === 1 ? "key" : "delta" });
    using subscriber = await subscribe(publisher);
    for (let index = 3; index < 6; index++) write(ring, index, 9, { type: index === 4 ? "key" : "delta" });
    using since = subscriber.packets({ sinceConnection: true });
    using now = subscriber.packets();
    expect(await sequences(since, 5)).toEqual([1n, 2n, 3n, 4n, 5n]);
    expect(await sequences(now, 2)).toEqual([4n, 5n]);
    for (let index = 6; index < 14; index++) write(ring, index, 9, { type: index === 10 ? "key" : "delta" });
    // What cannot be read any more is passed over, up to a key packet.
    using late = subscriber.packets({ sinceConnection: true });
    expect(await sequences(late, 4)).toEqual([10n, 11n, 12n, 13n]);
  });

  test("that comes after the connection is read from its first packet on where that is asked for", async () => {
    using publisher = createPublisher();
    using subscriber = await subscribe(publisher);
    const ring = publisher.enablePackets({ codec: "h264" });
    for (let index = 0; index < 4; index++) write(ring, index, 9, { type: "key" });
    using reader = subscriber.packets({ wait: true, sinceConnection: true });
    expect((await reader.next({ timeout: 5000 })).sequence).toBe(0n);
  });

  test("that never comes ends with its publisher", async () => {
    const publisher = createPublisher();
    using subscriber = await subscribe(publisher);
    using reader = subscriber.packets({ wait: true });
    const waiting = reader.next();
    publisher.close();
    await expectCode(waiting, "DISCONNECTED");
    expectCode(() => reader.nextSync(), "DISCONNECTED");
  });

  test("reaches subscribers that were connected before it was made", async () => {
    using publisher = createPublisher();
    using subscriber = await subscribe(publisher);
    using uninterested = await subscribe(publisher, { packets: false });
    expect(publisher.packets).toBeUndefined();
    expectCode(() => subscriber.packets(), "NO_PACKET_RING", "enablePackets");
    const ring = publisher.enablePackets({ codec: "hevc" });
    expect(publisher.packets).toBe(ring);
    write(ring, 0, 9, { type: "key" });
    // The library's thread serves its sockets in turn: after this answer the ring has been handed over.
    await inspect(publisher.key, { runtimeDirectory });
    using reader = subscriber.packets();
    expect((await reader.next()).data).toEqual(payload(0, 9));
    expect([ring.codecId, reader.codecId]).toEqual([173, 173]);
    expectCode(() => uninterested.packets(), "NO_PACKET_RING", "did not ask for packets");
    publish(publisher, 1);
    subscriber.nextSync().close();
  });

  test("is made once, of whole numbers in range", () => {
    using publisher = createPublisher();
    const wrong: [Partial<PacketRingOptions>, string][] = [
      [{ codec: "h265" as CodecName }, '"h265"'],
      [{ codec: "toString" as CodecName }, '"toString"'],
      [{ codec: 0 }, "codec is 0"],
      [{ codec: 2 ** 32 }, "codec is 4294967296"],
      [{ slots: 0 }, "slots is 0"],
      [{ slots: 1025 }, "slots is 1025"],
      [{ slots: 1.5 }, "slots is 1.5"],
      [{ dataSize: 0 }, "dataSize is 0"],
      [{ dataSize: 2 ** 30 + 1 }, "dataSize is 1073741825"],
      [{ maxPacketSize: 0 }, "maxPacketSize is 0"],
      [{ dataSize: 100, maxPacketSize: 101 }, "maxPacketSize is 101"],
      [{ description: new Uint8Array(4097) }, "4097 bytes"],
      [{ description: "67" as unknown as Uint8Array }, "Uint8Array"],
    ];
    for (const [options, text] of wrong) {
      expectCode(() => publisher.enablePackets({ codec: "h264", ...options }), "INVALID_ARGUMENT", text);
    }
    const ring = publisher.enablePackets({ codec: 13, slots: 1, dataSize: 1, maxPacketSize: 1 });
    write(ring, 0, 1, { type: "key" });
    write(ring, 1, 1);
    expectCode(() => publisher.enablePackets({ codec: "h264" }), "ALREADY_EXISTS", publisher.key);
    expect(publisher.packets).toBe(ring);
  });

  test("has a description once it is set, the newest one", async () => {
    using all = await open();
    expectCode(() => all.reader.description, "NO_CODEC_PARAMETERS", all.publisher.key);
    expectCode(() => all.reader.decoderConfig, "NO_CODEC_PARAMETERS");
    for (const size of [4096, 1, avcHigh31.length]) {
      const parameters = payload(size, size);
      all.ring.setDescription(parameters);
      expect(all.reader.description).toEqual(parameters);
    }
    expectCode(() => all.ring.setDescription(new Uint8Array(4097)), "INVALID_ARGUMENT", "4097 bytes");
    expectCode(() => all.reader.decoderConfig, "UNSUPPORTED", "no SPS");
    all.ring.setDescription(avcHigh31);
    expect(all.reader.decoderConfig).toEqual({ codec: "avc1.64001f", codedWidth: 32, codedHeight: 16 });
    all.ring.setDescription(new Uint8Array(0));
    expectCode(() => all.reader.description, "NO_CODEC_PARAMETERS");
  });

  test.each(
    [
      ["h264", avcHigh31, { codec: "avc1.64001f" }],
      ["vp8", undefined, { codec: "vp8" }],
      ["vp9", undefined, { codec: "vp09.00.10.08" }],
      ["av1", undefined, { codec: "av01.0.04M.08" }],
      ["av1", Uint8Array.of(0x81, 4), { codec: "av01.0.04M.08", description: Uint8Array.of(0x81, 4) }],
    ] as const,
  )("of %s packets configures a WebCodecs decoder", async (codec, description, expected) => {
    using all = await open(description === undefined ? { codec } : { codec, description });
    expect(all.reader.decoderConfig).toEqual({ ...expected, codedWidth: 32, codedHeight: 16 });
  });

  test("has its description under the former names too", async () => {
    using all = await open({ codecParameters: avcHigh31 });
    expect(all.reader.description).toEqual(avcHigh31);
    expect(all.reader.codecParameters).toEqual(avcHigh31);
    all.ring.setCodecParameters(avcHigh31.subarray(0, 8));
    expect(all.reader.description).toEqual(avcHigh31.subarray(0, 8));
    using both = await open({ description: avcHigh31, codecParameters: new Uint8Array(1) });
    expect(both.reader.description).toEqual(avcHigh31);
  });

  test("of a codec without a WebCodecs name says that there is none", async () => {
    for (const codec of ["mjpeg", 12345] as const) {
      using all = await open({ codec });
      expectCode(() => all.reader.decoderConfig, "UNSUPPORTED", String(all.reader.codecId));
    }
  });

  test("gives each of several readers everything, whatever the others do", async () => {
    using all = await open();
    using other = await subscribe(all.publisher);
    using readers = new DisposableStack();
    const three = [all.reader, readers.use(all.subscriber.packets()), readers.use(other.packets())];
    for (let sequence = 0; sequence < 20; sequence++) {
      write(all.ring, sequence, 100, { type: sequence === 0 ? "key" : "delta" });
      if (sequence < 5) three[1]!.nextSync({ timeout: 0 });
    }
    three[1]!.close();
    expect(three[0]!.stats()).toEqual({ received: 0, lost: 0, lag: 20 });
    for (const reader of [three[0]!, three[2]!]) {
      expect(drain(reader).map(({ sequence }) => Number(sequence))).toEqual([...Array(20).keys()]);
    }
    expectCode(() => three[1]!.stats(), "DISCONNECTED", "closed");
  });
});

describe("a named packet ring", () => {
  const fileOf = (publisher: Publisher) => `/dev/shm/cuframes-${publisher.key}-packets`;
  const none = 2n ** 64n - 1n;

  // 1050 bytes are exactly the packets 3 to 6: with one byte less the last of them overwrites the first byte of 3.
  test.each([1049, 1050])(
    "of %i bytes is what other tools expect, to the byte, until its publisher closes",
    (dataSize) => {
      using publisher = createPublisher();
      const path = fileOf(publisher);
      writeFileSync(path, "left behind by one that was killed");
      const ring = publisher.enablePackets({
        codec: "h264",
        slots: 4,
        dataSize,
        maxPacketSize: 400,
        description: avcHigh31,
        named: true,
      });
      const read = () => new DataView(Uint8Array.from(readFileSync(path)).buffer);

      let view = read();
      const u32 = (offset: number) => view.getUint32(offset, true);
      const u64 = (offset: number) => view.getBigUint64(offset, true);
      const i64 = (offset: number) => view.getBigInt64(offset, true);
      expect(view.byteLength).toBeGreaterThanOrEqual(0x1040 + 4 * 64 + dataSize);
      expect(statSync(path).mode & 0o777).toBe(0o640 & ~process.umask());
      expect([u32(0x00), u32(0x04), u32(0x08), u32(0x0c), u32(0x10), u32(0x14)]).toEqual([
        0xcc7c1dcd,
        2,
        4,
        dataSize,
        27,
        avcHigh31.length,
      ]);
      expect(u64(0x18)).toBe(BigInt(process.pid));
      expect([u64(0x20), u64(0x28), u64(0x30), u64(0x38)]).toEqual([none, none, 0n, 0n]);
      expect(new Uint8Array(view.buffer, 0x40, avcHigh31.length)).toEqual(avcHigh31);
      for (let slot = 0; slot < 4; slot++) expect(u64(0x1040 + slot * 64)).toBe(none);

      const packets: { offset: number; size: number; flags: number }[] = [];
      let end = 0;
      for (let sequence = 0; sequence < 11; sequence++) {
        const size = 150 + sequence * 25;
        const type = sequence % 3 === 0 ? "key" : "delta";
        const [discontinuity, corrupt] = [sequence === 4, sequence === 5];
        write(ring, sequence, size, {
          type,
          timestampNs: BigInt(sequence) - 3n,
          decodeTimestampNs: -BigInt(sequence),
          discontinuity,
          corrupt,
        });
        packets.push({
          offset: end,
          size,
          flags: 8 | (type === "key" ? 1 : 0) | (corrupt ? 2 : 0) | (discontinuity ? 4 : 0),
        });
        end += size;

        view = read();
        expect([u64(0x20), u64(0x28), u64(0x30)]).toEqual([
          BigInt(sequence),
          BigInt(sequence - sequence % 3),
          BigInt(end),
        ]);
        for (let slot = 0; slot < 4; slot++) {
          const base = 0x1040 + slot * 64;
          const owner = sequence - (sequence - slot + 4) % 4; // the newest packet of this slot
          const packet = packets[owner];
          if (packet === undefined || end - packet.offset > dataSize) {
            expect(u64(base), `slot ${slot} after packet ${sequence}`).toBe(none);
            continue;
          }
          expect([u64(base), i64(base + 8), i64(base + 16), u64(base + 24)]).toEqual([
            BigInt(owner),
            BigInt(owner) - 3n,
            -BigInt(owner),
            BigInt(packet.offset),
          ]);
          expect([u32(base + 32), u32(base + 36)]).toEqual([packet.size, packet.flags]);
          expect(new Uint8Array(view.buffer, base + 40, 24)).toEqual(new Uint8Array(24));
          const data = Uint8Array.from(
            { length: packet.size },
            (_, index) => view.getUint8(0x1040 + 4 * 64 + (packet.offset + index) % dataSize),
          );
          expect(data).toEqual(payload(owner, packet.size));
        }
      }
      const file = openSync(path, constants.O_RDONLY);
      publisher.close();
      expect(existsSync(path)).toBe(false);
      view = new DataView(Uint8Array.from(readFileSync(file)).buffer);
      closeSync(file);
      expect([u64(0x20), u64(0x38)]).toEqual([10n, 1n]); // whoever has it open is told of the end
    },
  );

  test("exists only where it was asked for", () => {
    using publisher = createPublisher();
    publisher.enablePackets({ codec: "h264" });
    expect(existsSync(fileOf(publisher))).toBe(false);
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
