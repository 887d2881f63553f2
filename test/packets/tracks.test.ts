// Tracks: adding them, describing them, choosing one and where to begin, and going on with another codec.

import { describe, expect, test } from "vitest";
import { inspect, type Packet, type PacketRingReader, Publisher, type TrackOptions } from "../../mod.ts";
import { avcHigh31, open, payload, write } from "../support/packets.ts";
import {
  createPublisher,
  eventually,
  expectCode,
  publish,
  runtimeDirectory,
  subscribe,
  uniqueKey,
} from "../support/ring.ts";

/** AAC-LC, 48 kHz, stereo (ISO/IEC 14496-3, 1.6.2.1). */
const aacDescription = Uint8Array.of(0x11, 0x90);
const aac: TrackOptions = {
  kind: "audio",
  codec: "aac",
  sampleRate: 48_000,
  numberOfChannels: 2,
  description: aacDescription,
  language: "deu",
  label: "Türklingel",
};

function withoutFrames(options: Partial<Parameters<typeof Publisher.create>[0]> = {}): Publisher {
  const { key = uniqueKey(), ...rest } = options;
  return Publisher.create({ key, runtimeDirectory, ...rest, frames: false } as const);
}

/** One after the other, as far as there are any. */
function all(reader: PacketRingReader): Packet[] {
  const packets: Packet[] = [];
  while (reader.stats().lag > 0) packets.push(reader.nextSync({ timeout: 0 }));
  return packets;
}

describe("the tracks of a publisher", () => {
  test("are described before the first packet", async () => {
    using publisher = createPublisher({
      packets: { codec: "h264", description: avcHigh31 },
      tracks: [aac],
    });
    publisher.addTrack({ kind: "data", codec: "json", label: "detections" });
    publisher.addTrack({ kind: "video", codec: "hevc", codedWidth: 640, codedHeight: 360, label: "small" });
    expect(publisher.tracks.map(({ kind, track, codecId }) => [kind, track, codecId])).toEqual([
      ["video", 0, 27],
      ["audio", 1, 86018],
      ["data", 2, 98314],
      ["video", 3, 173],
    ]);
    expect(publisher.packets).toBe(publisher.tracks[0]);
    using subscriber = await subscribe(publisher);
    expect(subscriber.tracks).toEqual([
      { index: 0, kind: "video", codec: "avc1.64001f", codecId: 27, generation: 1, description: avcHigh31 },
      {
        index: 1,
        kind: "audio",
        codec: "mp4a.40.2",
        codecId: 86018,
        generation: 1,
        description: aacDescription,
        sampleRate: 48_000,
        numberOfChannels: 2,
        language: "deu",
        label: "Türklingel",
      },
      {
        index: 2,
        kind: "data",
        codec: "json",
        codecId: 98314,
        generation: 1,
        description: new Uint8Array(0),
        label: "detections",
      },
      {
        index: 3,
        kind: "video",
        codec: "hevc",
        codecId: 173,
        generation: 1,
        description: new Uint8Array(0),
        codedWidth: 640,
        codedHeight: 360,
        label: "small",
      },
    ]);
    using sound = subscriber.packets({ track: "audio" });
    expect(sound.soundDecoderConfig).toEqual({
      codec: "mp4a.40.2",
      sampleRate: 48_000,
      numberOfChannels: 2,
      description: aacDescription,
    });
    using pictures = subscriber.packets();
    expectCode(() => pictures.soundDecoderConfig, "UNSUPPORTED", "no sound");
    const report = await inspect(publisher.key, { runtimeDirectory });
    expect(
      report.tracks.map((
        { index, kind, codecId, published, bytes },
      ) => [index, kind, codecId, published, bytes]),
    )
      .toEqual([[0, "video", 27, 0, 0], [1, "audio", 86018, 0, 0], [2, "data", 98314, 0, 0], [
        3,
        "video",
        173,
        0,
        0,
      ]]);
    expect(report.hasFrames).toBe(true);
  });

  test("each have their own packets and their own sequence", async () => {
    using publisher = createPublisher({ packets: { codec: "h264" }, tracks: [aac] });
    const [pictures, sound] = publisher.tracks;
    using subscriber = await subscribe(publisher, { frames: false });
    using pictureReader = subscriber.packets({ track: 0 });
    using soundReader = subscriber.packets({ track: 1 });
    for (let sequence = 0; sequence < 5; sequence++) {
      write(pictures!, sequence, 100, { type: sequence === 0 ? "key" : "delta" });
      write(sound!, sequence, 20, { type: "key" });
    }
    write(sound!, 5, 20, { type: "key" });
    const read = (reader: PacketRingReader) =>
      all(reader).map(({ sequence, byteLength }) => [sequence, byteLength]);
    expect(read(pictureReader)).toEqual([[0n, 100], [1n, 100], [2n, 100], [3n, 100], [4n, 100]]);
    expect(read(soundReader)).toEqual([[0n, 20], [1n, 20], [2n, 20], [3n, 20], [4n, 20], [5n, 20]]);
    expect(publisher.stats().packetsPublished).toBe(11);
    const report = await inspect(publisher.key, { runtimeDirectory });
    expect(report.tracks.map(({ published, bytes }) => [published, bytes])).toEqual([[5, 500], [6, 120]]);
    expect(report.packets).toEqual({ codecId: 27, published: 5 });
    expect(report.subscribers[0]).toMatchObject({ packetsReceived: 11, packetsLost: 0 });
  });

  test("are 8 at most", () => {
    using publisher = createPublisher();
    for (let index = 0; index < 8; index++) {
      expect(publisher.addTrack({ kind: "data", codec: "json", label: `${index}` }).track).toBe(index);
    }
    expectCode(() => publisher.addTrack(aac), "WOULD_BLOCK", "8 tracks");
    expect(publisher.tracks).toHaveLength(8);
  });

  test("can be all that there is: without frames", async () => {
    using publisher = withoutFrames();
    const sound = publisher.addTrack(aac);
    write(sound, 0, 9, { type: "key" });
    expectCode(() => publisher.acquire(), "UNSUPPORTED", "packets only");
    await expectCode(publisher.acquireAsync(), "UNSUPPORTED", "packets only");
    // Whoever asks for frames as well is told when they take one.
    using subscriber = await subscribe(publisher);
    expect([subscriber.codedWidth, subscriber.codedHeight, subscriber.slots]).toEqual([0, 0, 0]);
    await expectCode(subscriber.next({ timeout: 1000 }), "UNSUPPORTED", "no frames");
    expectCode(() => subscriber.nextSync({ timeout: 1000 }), "UNSUPPORTED", "no frames");
    expectCode(() => subscriber.packets(), "NO_PACKET_RING", "video");
    using reader = subscriber.packets({ track: "audio" });
    expect((await reader.next({ timeout: 5000 })).data).toEqual(payload(0, 9));
    expect((await inspect(publisher.key, { runtimeDirectory })).hasFrames).toBe(false);
  });

  test("are waited for by number, by kind and by label", async () => {
    using publisher = createPublisher();
    using subscriber = await subscribe(publisher);
    expect(subscriber.tracks).toEqual([]);
    expectCode(() => subscriber.packets({ track: 2 }), "NO_PACKET_RING", "no track 2");
    expectCode(() => subscriber.packets({ track: "audio" }), "NO_PACKET_RING", "of kind audio");
    using third = subscriber.packets({ track: 2, wait: true });
    using sound = subscriber.packets({ track: "audio", wait: true });
    using data = subscriber.data<number>("second");
    const waiting = [third.next(), sound.next()] as const;
    const value = data.next();
    publisher.data("first").send(1);
    publisher.data("second").send(2);
    write(publisher.addTrack(aac), 0, 9, { type: "key" });
    expect((await Promise.all(waiting)).map(({ sequence }) => sequence)).toEqual([0n, 0n]);
    expect((await value).value).toBe(2);
    expect([third.track.index, sound.track.index]).toEqual([2, 2]);
  });

  test("wake whoever sleeps for a packet of theirs", async () => {
    using publisher = createPublisher();
    using subscriber = await subscribe(publisher);
    for (let index = 0; index < 8; index++) {
      publisher.addTrack({ kind: "data", codec: "json", label: `${index}` });
      using reader = subscriber.packets({ track: index, wait: true });
      write(publisher.tracks[index]!, 0, 9, { type: "key" });
      await reader.next({ timeout: 5000 });
      await expectCode(reader.next({ timeout: 20 }), "TIMEOUT"); // its thread sleeps by now
      // Without a time-out, at whose end it would look once more.
      const waiting = reader.next();
      write(publisher.tracks[index]!, 1, 9, { type: "key" });
      expect((await waiting).sequence).toBe(1n);
    }
  });

  test("options that are none", async () => {
    using publisher = createPublisher();
    const wrong: [Partial<Record<keyof TrackOptions, unknown>>, string][] = [
      [{ kind: "subtitles" }, "kind"],
      [{ codec: "" }, "codec"],
      [{ codec: "h264" }, "codec"],
      [{ codec: 0 }, "codec"],
      [{ sampleRate: 0 }, "sampleRate"],
      [{ sampleRate: 1e6 }, "sampleRate"],
      [{ numberOfChannels: 65 }, "numberOfChannels"],
      [{ language: "x".repeat(16) }, "language"],
      [{ label: "ü".repeat(32) }, "label"],
      [{ label: "a\0b" }, "label"],
      [{ description: new Uint8Array(4097) }, "description"],
      [{ slots: 1025 }, "slots"],
      [{ lable: "x" } as never, "label"],
    ];
    for (const [change, message] of wrong) {
      expectCode(
        () => publisher.addTrack({ ...aac, ...change } as TrackOptions),
        "INVALID_ARGUMENT",
        message,
      );
    }
    expect(publisher.tracks).toEqual([]);
    publisher.data("x");
    expectCode(() => publisher.addTrack({ ...aac, named: true }), "INVALID_ARGUMENT", "/dev/shm");
    using subscriber = await subscribe(publisher);
    for (const track of [-1, 8, 1.5, NaN, "sound"]) {
      expectCode(() => subscriber.packets({ track: track as never }), "INVALID_ARGUMENT", "track");
    }
    for (const since of [-1, NaN, Infinity, "newest"]) {
      expectCode(() => subscriber.packets({ track: 0, since: since as never }), "INVALID_ARGUMENT", "since");
    }
    expectCode(() => subscriber.packets({ since: 1, sinceConnection: true }), "INVALID_ARGUMENT", "exclude");
    expectCode(() => Publisher.create({ key: "x", frames: "no" } as never), "INVALID_ARGUMENT", "frames");
  });
});

describe("a reader begins", () => {
  /** 25 packets a second, of which every tenth is a key packet, or all. */
  async function film(count: number, keys: number, slots = 64) {
    const opened = await open({ slots });
    for (let index = 0; index < count; index++) {
      const type = index % keys === 0 ? "key" : "delta";
      write(opened.ring, index, 10, { type, timestamp: index * 40_000 });
    }
    const first = (since: "key" | "oldest" | number) => {
      using reader = opened.subscriber.packets({ since });
      const { sequence, discontinuity } = reader.nextSync({ timeout: 0 });
      expect(discontinuity).toBe(false);
      return Number(sequence);
    };
    return { ...opened, first, [Symbol.dispose]: () => opened[Symbol.dispose]() };
  }

  test("at the last key packet, the oldest, or the last one before so many seconds ago", async () => {
    using camera = await film(36, 10); // the newest is 35, at 1.4 s
    expect(camera.first("key")).toBe(30);
    expect(camera.first("oldest")).toBe(0);
    expect(camera.first(0)).toBe(30);
    expect(camera.first(0.2)).toBe(30); // it is exactly so old
    expect(camera.first(0.201)).toBe(20);
    expect(camera.first(0.6)).toBe(20);
    expect(camera.first(1)).toBe(10);
    expect(camera.first(1.2)).toBe(0);
    expect(camera.first(100)).toBe(0); // the ring does not go back so far
  });

  test("at one that is still there", async () => {
    using camera = await film(96, 10, 32); // 64 to 95 are there
    expect(camera.first("oldest")).toBe(70);
    expect(camera.first(100)).toBe(70);
    expect(camera.first(0.5)).toBe(80);
  });

  test("at the very packet where each can be the first", async () => {
    using sounds = await film(36, 1);
    expect(sounds.first("key")).toBe(35);
    expect(sounds.first(0.4)).toBe(25);
    expect(sounds.first("oldest")).toBe(0);
  });

  test("at the first key packet to come where there is none", async () => {
    using camera = await open();
    for (const since of ["key", "oldest", 3] as const) {
      using reader = camera.subscriber.packets({ since });
      await expectCode(reader.next({ timeout: 0 }), "WOULD_BLOCK");
    }
    using reader = camera.subscriber.packets({ since: 3 });
    write(camera.ring, 0, 9);
    write(camera.ring, 1, 9, { type: "key" });
    expect((await reader.next({ timeout: 1000 })).sequence).toBe(1n);
  });

  test("where the connection began, and every packet since is delivered or counted", async () => {
    // Connected, a ring of 4, 12 packets, then the first look.
    using camera = await open({ slots: 4 });
    using reader = camera.subscriber.packets({ sinceConnection: true });
    for (let index = 0; index < 12; index++) write(camera.ring, index, 9, { type: "key" });
    await expectCode(reader.next({ timeout: 1000 }), "PACKET_OVERRUN", "8 so far");
    expect(await reader.next({ timeout: 1000 })).toMatchObject({ sequence: 8n, discontinuity: true });
    expect(all(reader).map(({ sequence, discontinuity }) => [sequence, discontinuity])).toEqual([
      [9n, false],
      [10n, false],
      [11n, false],
    ]);
    expect(reader.stats()).toEqual({ received: 4, lost: 8, lag: 0 });
  });

  test("there also where no key packet has come yet: what is passed over is counted", async () => {
    using camera = await open();
    using reader = camera.subscriber.packets({ sinceConnection: true });
    for (let index = 0; index < 3; index++) write(camera.ring, index, 9);
    await expectCode(reader.next({ timeout: 1000 }), "PACKET_OVERRUN");
    write(camera.ring, 3, 9, { type: "key" });
    expect(await reader.next({ timeout: 1000 })).toMatchObject({ sequence: 3n, discontinuity: true });
    expect(reader.stats()).toEqual({ received: 1, lost: 3, lag: 0 });
  });
});

test("over any number of restarts each packet of each connection is delivered or counted", async () => {
  const key = uniqueKey();
  let written = 0;
  const next = () => {
    const publisher = createPublisher({ key, packets: { codec: "h264", slots: 8 } });
    return { publisher, ring: publisher.packets! };
  };
  let { publisher, ring } = next();
  using subscriber = await subscribe(key, { reconnect: true, frames: false });
  using reader = subscriber.packets({ sinceConnection: true });
  for (let round = 0; round < 30; round++) {
    // The subscriber may connect before, between or behind them; more than the ring holds, in every third round.
    const count = round % 3 === 2 ? 20 : 5;
    for (let index = 0; index < count; index++) {
      write(ring, index, 9, { type: index % 5 === 0 ? "key" : "delta" });
      written++;
      if (index === round % 5) {
        while (publisher.stats().subscribers === 0) {
          // What has been written since the last look has no reader yet.
          await reader.next({ timeout: 5 }).catch((error) =>
            expect(error.code).toMatch(/TIMEOUT|PACKET_OVERRUN/)
          );
        }
      }
    }
    publisher.close();
    ({ publisher, ring } = next());
  }
  using _last = publisher;
  const { received, lost } = reader.stats();
  const drained = async () => {
    for (;;) {
      try {
        await reader.next({ timeout: 300 });
      } catch (error) {
        const { code } = error as { code: string };
        if (code === "TIMEOUT") return reader.stats();
        expect(code).toBe("PACKET_OVERRUN");
      }
    }
  };
  const total = await drained();
  expect(total.received + total.lost).toBe(written);
  expect(total.lost).toBeGreaterThan(0);
  expect(received + lost).toBeGreaterThan(0);
});

test("whoever is evicted and comes back goes on behind the last packet that it had", async () => {
  using publisher = createPublisher({ slots: 2, maxSlots: 2, packets: { codec: "h264" } });
  using subscriber = await subscribe(publisher, { mode: "ordered", reconnect: true });
  using reader = subscriber.packets({ sinceConnection: true });
  const sequences: bigint[] = [];
  const read = async (count: number) => {
    for (let taken = 0; taken < count; taken++) {
      sequences.push((await reader.next({ timeout: 10_000 })).sequence);
    }
  };
  for (let index = 0; index < 3; index++) {
    write(publisher.packets!, index, 9, { type: index === 0 ? "key" : "delta" });
  }
  await read(2);
  publish(publisher, 1);
  const held = [subscriber.nextSync({ timeout: 5000 })];
  publish(publisher, 2);
  held.push(subscriber.nextSync({ timeout: 5000 }));
  publish(publisher, 3); // which takes what is held away
  expect(publisher.stats().evictions).toBe(1);
  for (const frame of held) frame.close();
  for (let index = 3; index < 6; index++) write(publisher.packets!, index, 9);
  await read(4);
  // The ring that it has mapped goes on; it is at its end that it looks for the next connection.
  await expectCode(reader.next({ timeout: 20 }), "TIMEOUT");
  await eventually(() => subscriber.stats().reconnects === 1);
  for (let index = 6; index < 9; index++) write(publisher.packets!, index, 9);
  await read(3);
  expect(sequences).toEqual([0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n]);
  expect([reader.reconnects, reader.stats()]).toEqual([1, { received: 9, lost: 0, lag: 0 }]);
});

describe("a track that changes its codec", () => {
  test("goes on in its place: nothing is lost, and readers are told in the packet", async () => {
    using camera = await open({ slots: 4, description: avcHigh31 });
    for (let index = 0; index < 3; index++) {
      write(camera.ring, index, 9, { type: index === 0 ? "key" : "delta" });
    }
    camera.ring.configure({ codec: "hevc", slots: 8, codedWidth: 1920, codedHeight: 1080 });
    expect(camera.ring.codecId).toBe(173);
    for (let index = 3; index < 8; index++) {
      write(camera.ring, index, 9, { type: index === 3 ? "key" : "delta" });
    }
    const told = (await Promise.all(
      Array.from({ length: 8 }, () => camera.reader.next({ timeout: 5000 })),
    )).map(({ sequence, discontinuity, config, description }) => [
      Number(sequence),
      discontinuity,
      config?.codec,
      description?.length,
    ]);
    expect(told).toEqual([
      [0, false, "avc1.64001f", avcHigh31.length],
      [1, false, undefined, undefined],
      [2, false, undefined, undefined],
      [3, false, "hevc", 0],
      [4, false, undefined, undefined],
      [5, false, undefined, undefined],
      [6, false, undefined, undefined],
      [7, false, undefined, undefined],
    ]);
    expect(camera.reader.stats()).toEqual({ received: 8, lost: 0, lag: 0 });
    expect(camera.reader.track).toMatchObject({ generation: 2, codedWidth: 1920, codedHeight: 1080 });
    // One that comes later knows the new one alone.
    expect(camera.subscriber.tracks).toMatchObject([{ codec: "hevc", generation: 2 }]);
    using late = camera.subscriber.packets();
    expect(late.nextSync({ timeout: 0 })).toMatchObject({ sequence: 3n, config: { codecId: 173 } });
  });

  test("is waited for by a reader that has read everything", async () => {
    using camera = await open();
    write(camera.ring, 0, 9, { type: "key" });
    camera.reader.nextSync({ timeout: 0 });
    const waiting = camera.reader.next();
    camera.ring.configure({ codec: "hevc" });
    await expectCode(camera.reader.next({ timeout: 20 }), "TIMEOUT");
    write(camera.ring, 1, 9, { type: "key" });
    expect((await waiting).sequence).toBe(1n);
    camera.publisher.close();
    await expectCode(camera.reader.next({ timeout: 5000 }), "DISCONNECTED");
  });

  test("again and again while a reader is away: what it misses is counted, and what is kept is bounded", async () => {
    using camera = await open({ slots: 4 });
    write(camera.ring, 0, 9, { type: "key" });
    for (let generation = 0; generation < 40; generation++) {
      camera.ring.configure({ codec: generation % 2 === 0 ? "hevc" : "h264", slots: 4 });
      for (let index = 0; index < 2; index++) {
        write(camera.ring, 1 + 2 * generation + index, 9, { type: index === 0 ? "key" : "delta" });
      }
    }
    let overruns = 0;
    let last: Packet | undefined;
    while (last?.sequence !== 80n) {
      try {
        last = await camera.reader.next({ timeout: 5000 });
      } catch (error) {
        expect(error).toMatchObject({ code: "PACKET_OVERRUN" });
        overruns++;
      }
    }
    const { received, lost } = camera.reader.stats();
    expect(received + lost).toBe(81);
    expect(overruns).toBeLessThanOrEqual(2);
  });

  test("with a description that changes in its key packets: each says so", async () => {
    using camera = await open({ description: avcHigh31 });
    const slice = Uint8Array.of(0, 0, 0, 1, 0x65, 1, 2, 3);
    const other = Uint8Array.from(avcHigh31);
    other[7] = 0x29; // level 4.1
    const key = (sets: Uint8Array) => Uint8Array.of(...sets, ...slice);
    for (const [index, data] of [key(avcHigh31), key(avcHigh31), key(other), slice, key(other)].entries()) {
      camera.ring.write({ data, type: "key", timestamp: index });
    }
    const told = all(camera.reader).map(({ config }) => config?.codec);
    expect(told).toEqual(["avc1.64001f", undefined, "avc1.640029", undefined, undefined]);
  });

  test("does not change its kind, and keeps what it was where that fails", async () => {
    using camera = await open();
    expectCode(() => camera.ring.configure({ codec: "aac" }), "INVALID_ARGUMENT", "codec");
    expectCode(() => camera.ring.configure({ codec: "hevc", slots: 0 }), "INVALID_ARGUMENT", "slots");
    expectCode(() => camera.ring.configure({ codec: "hevc", kind: "audio" } as never), "INVALID_ARGUMENT");
    write(camera.ring, 0, 9, { type: "key" });
    expect((await camera.reader.next({ timeout: 1000 })).config).toMatchObject({
      codecId: 27,
      generation: 1,
    });
  });
});

test("frames and every track of one publisher are read side by side", async () => {
  using publisher = createPublisher({ packets: { codec: "h264" }, tracks: [aac] });
  using subscriber = await subscribe(publisher, { mode: "ordered" });
  using pictures = subscriber.packets({ sinceConnection: true });
  using sound = subscriber.packets({ track: "audio", sinceConnection: true });
  using data = subscriber.data<number>("count");
  const waiting = Promise.all([subscriber.next(), pictures.next(), sound.next(), data.next()]);
  publisher.data("count").send(7, { timestamp: 40_000 });
  write(publisher.tracks[1]!, 0, 20, { type: "key" });
  write(publisher.packets!, 0, 30, { type: "key" });
  publish(publisher, 1);
  const [frame, picture, samples, message] = await waiting;
  using _frame = frame;
  expect([picture.byteLength, samples.byteLength, message.value, message.timestamp]).toEqual([
    30,
    20,
    7,
    40_000,
  ]);
});
