// Packets, from the writer to the reader.

import { describe, expect, test } from "vitest";
import type { PacketInit } from "../../mod.ts";
import { expectCode } from "../support/ring.ts";
import { drain, open, payload, write } from "../support/packets.ts";

describe("packets", () => {
  test("arrive in order, as they were written, in memory of the receiver's own", async () => {
    using all = await open();
    write(all.ring, 0, 700, { type: "key", timestamp: 1000, decodeTimestamp: -2000.5 });
    write(all.ring, 1, 1, { timestampNs: -5n, corrupt: true });
    write(all.ring, 2, 3000, {
      timestamp: 1.7e15 + 1,
      decodeTimestampNs: 7n,
      discontinuity: true,
      hidden: true,
    });
    const packets = drain(all.reader);
    expect(
      packets.map((
        { type, sequence, discontinuity, corrupt, hidden, byteLength, duration },
      ) => [type, sequence, discontinuity, corrupt, hidden, byteLength, duration]),
    ).toEqual([
      ["key", 0n, false, false, false, 700, null],
      ["delta", 1n, false, true, false, 1, null],
      ["delta", 2n, true, false, true, 3000, null],
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
