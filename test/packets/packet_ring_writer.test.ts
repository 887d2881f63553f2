// Making a packet ring, and what readers learn of it.

import { closeSync, constants, existsSync, openSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  type CodecName,
  inspect,
  type PacketRingOptions,
  type PacketRingReader,
  Publisher,
  Subscriber,
} from "../../mod.ts";
import { createPublisher, expectCode, publish, runtimeDirectory, subscribe } from "../support/ring.ts";
import { avcHigh31, drain, open, payload, write } from "../support/packets.ts";

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
    // What cannot be read any more is lost, up to a key packet.
    using late = subscriber.packets({ sinceConnection: true });
    await expectCode(late.next({ timeout: 5000 }), "PACKET_OVERRUN", "9 so far");
    expect(await late.next({ timeout: 5000 })).toMatchObject({ sequence: 10n, discontinuity: true });
    expect(await sequences(late, 3)).toEqual([11n, 12n, 13n]);
    expect(late.stats()).toMatchObject({ received: 4, lost: 9 });
  });

  test("that comes after the connection is read from its first packet on where that is asked for", async () => {
    using publisher = createPublisher();
    using subscriber = await subscribe(publisher);
    const ring = publisher.enablePackets({ codec: "h264" });
    for (let index = 0; index < 4; index++) write(ring, index, 9, { type: "key" });
    using reader = subscriber.packets({ wait: true, sinceConnection: true });
    expect((await reader.next({ timeout: 5000 })).sequence).toBe(0n);
  });

  test("that a publisher is made with is met by everybody, however early", async () => {
    const key = `early-${process.pid}`;
    const connecting = Subscriber.connect(key, { runtimeDirectory, timeout: 30_000 });
    using publisher = Publisher.create({
      ...{ key, runtimeDirectory, width: 16, height: 16 },
      packets: { codec: "h264", description: avcHigh31 },
    });
    // The subscriber comes before this thread does anything else.
    while (publisher.stats().subscribers === 0);
    write(publisher.packets!, 0, 9, { type: "key" });
    using subscriber = await connecting;
    using reader = subscriber.packets();
    expect(reader.decoderConfig).toMatchObject({ codec: "avc1.64001f" });
    expect((await reader.next({ timeout: 5000 })).data).toEqual(payload(0, 9));
    expectCode(() => publisher.enablePackets({ codec: "h264" }), "ALREADY_EXISTS");
    const tooLong = { codec: "h264", description: new Uint8Array(4097) } as const;
    expectCode(
      () => Publisher.create({ key: `${key}-2`, runtimeDirectory, width: 16, height: 16, packets: tooLong }),
      "INVALID_ARGUMENT",
    );
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
        const [discontinuity, corrupt, hidden] = [sequence === 4, sequence === 5, sequence === 7];
        write(ring, sequence, size, {
          type,
          timestampNs: BigInt(sequence) - 3n,
          decodeTimestampNs: -BigInt(sequence),
          discontinuity,
          corrupt,
          hidden,
        });
        packets.push({
          offset: end,
          size,
          flags: 8 | (type === "key" ? 1 : 0) | (corrupt ? 2 : 0) | (discontinuity ? 4 : 0) |
            (hidden ? 16 : 0),
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
