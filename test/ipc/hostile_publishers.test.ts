// Something else listens under a key: whoever connects to it gets a CuframesError, and keeps nothing of what was sent.

import { randomBytes } from "node:crypto";
import { beforeEach, describe, expect, test } from "vitest";
import { Peer } from "../support/peer.ts";
import { eventually, type Process, stages } from "../support/processes.ts";
import * as wire from "../support/wire.ts";
import type { Outcome } from "../support/programs/worker.ts";

const stage = stages();
const key = "impostor";

/** What a listener answers a hello with. */
interface Answer {
  bytes: Uint8Array;
  descriptors?: number[];
}

/** A subscriber process and what listens in its publisher's place. */
class Impostor {
  readonly peer: Peer;
  readonly listener: number;
  readonly subscriber: Process;

  private constructor(peer: Peer, listener: number, subscriber: Process) {
    this.peer = peer;
    this.listener = listener;
    this.subscriber = subscriber;
  }

  static async begin(kind: "seqpacket" | "stream" = "seqpacket"): Promise<Impostor> {
    const subscriber = stage().start("remote", { key });
    const peer = await Peer.start(stage());
    const listener = await peer.listen(`${stage().directory}/${key}.sock`, kind);
    await subscriber.event("ready");
    return new Impostor(peer, listener, subscriber);
  }

  /** Makes shared memory as a publisher would, or not quite. */
  memory(size: number, seals: number = wire.readOnly, hole?: number): Promise<number> {
    return this.peer.memfd(size, seals, hole);
  }

  /** What goes with `wire.welcome()`. */
  async ring(): Promise<[control: number, page: number, ...slots: number[]]> {
    const control = await this.memory(wire.controlSize);
    for (const slot of [0, 1]) {
      await this.peer.write(control, wire.control.slot(slot) + wire.control.generation, Uint8Array.of(1));
    }
    return [
      control,
      await this.memory(wire.pageSize, wire.sealed),
      await this.memory(4096),
      await this.memory(4096),
    ];
  }

  /** Takes a connection and its hello; returns the connection. */
  async greeted(): Promise<number> {
    const connection = await this.peer.accept(this.listener);
    const { bytes, descriptors } = await this.peer.receive(connection);
    expect(bytes).toHaveLength(320);
    expect(wire.kindOf(bytes!)).toBe(wire.kinds.hello);
    expect(descriptors).toEqual([]);
    return connection;
  }

  /** Answers a subscriber, or an inspector, and lets it go; returns what it made of the answer. */
  async refusedWith(answer: Answer, attempt: "connect" | "inspect" = "connect"): Promise<Outcome> {
    this.subscriber.send({ do: attempt });
    const connection = await this.greeted();
    await this.peer.send(connection, answer.bytes, answer.descriptors);
    const outcome = await this.subscriber.event<Outcome>("refused");
    // It has hung up, too.
    expect((await this.peer.receive(connection)).bytes).toBeUndefined();
    await this.peer.close(connection);
    return outcome;
  }

  /** Connects the subscriber to a ring. */
  async accepted(descriptors: number[], fields: wire.WelcomeFields = {}): Promise<number> {
    this.subscriber.send({ do: "connect", options: { mode: "ordered" } });
    const connection = await this.greeted();
    await this.peer.send(connection, wire.welcome(fields), descriptors);
    await this.subscriber.event("connected");
    return connection;
  }

  /** How many descriptors of this library's kinds and mappings of shared memory the subscriber process has. */
  possessions(): { descriptors: number; mappings: number } {
    return { descriptors: this.subscriber.descriptors().length, mappings: this.subscriber.mappings() };
  }
}

let impostor: Impostor;
let before: ReturnType<Impostor["possessions"]>;

beforeEach(async () => {
  impostor = await Impostor.begin();
  // Once, so that what the runtime itself opens late is there.
  const connection = await impostor.accepted(await impostor.ring());
  await impostor.subscriber.ask({ do: "close" }, "closed");
  await impostor.peer.close(connection);
  before = impostor.possessions();
});

/** A connecting thread lets go of its last descriptor after it has told. */
async function expectNothingKept(): Promise<void> {
  await eventually("the subscriber has no more than it had", () => {
    const { descriptors, mappings } = impostor.possessions();
    return descriptors <= before.descriptors && mappings === 0;
  });
}

test("the ring that the following tests spoil is one that can be used", async () => {
  const [control, page, ...slots] = await impostor.ring();
  await impostor.accepted([control, page, ...slots]);
  await impostor.peer.write(control, wire.control.slot(1), wire.word(7n));
  await impostor.peer.write(control, wire.control.newest, wire.ticket(7n, 1));
  expect(await impostor.subscriber.ask({ do: "take", timeout: 5000 }, "took")).toMatchObject({ sequence: 7 });
});

test("bytes that are no answer", async () => {
  const answers: [what: string, bytes: Uint8Array, message: RegExp][] = [
    ...[1, 15, 16, 24, 32, 208, 420, 1912, 8424].map((
      size,
    ): [string, Uint8Array, RegExp] => [
      `${size} random bytes`,
      randomBytes(size),
      /not the socket of a cuframes publisher/,
    ]),
    ["more than any message", randomBytes(9000), /more than a cuframes publisher would/],
    ["another magic", wire.welcome({ magic: 0xcc7c1dce }), /not the socket of a cuframes publisher/],
    ["another version", wire.welcome({ version: 5 }), /another protocol version than 6/],
    ["a size that lies", wire.welcome({ size: 1911 }), /not the socket of a cuframes publisher/],
    ["a welcome that is cut", wire.welcome({ size: 100 }).subarray(0, 100), /something else than a welcome/],
    ["a hello", wire.hello(), /something else than a welcome/],
    ["a packet ring", wire.track(0, { size: 4096n }), /something else than a welcome/],
    ["a release", wire.released(), /something else than a welcome/],
    ["memory", wire.memory(0, 1), /something else than a welcome/],
    ["a report", wire.report(1), /something else than a welcome/],
    ["an unknown kind", wire.welcome({ kind: 99 }), /something else than a welcome/],
  ];
  const [control, page, ...slots] = await impostor.ring();
  for (const [what, bytes, message] of answers) {
    const { code, message: sentence } = await impostor.refusedWith({
      bytes,
      descriptors: [control, page, ...slots],
    });
    expect(code, what).toBe("PROTOCOL");
    expect(sentence, what).toMatch(message);
  }
  await expectNothingKept();
});

test("a refusal: its code, or PROTOCOL for one that no publisher gives, and its text without control characters", async () => {
  const codes: [code: number, name: string][] = [
    [-12, "TOO_MANY_SUBSCRIBERS"],
    [-2, "OUT_OF_MEMORY"],
    [-5, "PROTOCOL"],
    [-8, "IO"],
    // WOULD_BLOCK, TIMEOUT, NOT_FOUND, DISCONNECTED: what became of a wait of one's own.
    [-11, "PROTOCOL"],
    [-7, "PROTOCOL"],
    [-3, "PROTOCOL"],
    [-9, "PROTOCOL"],
    [0, "PROTOCOL"],
    [1, "PROTOCOL"],
    [-9999, "PROTOCOL"],
    [-0x8000_0000, "PROTOCOL"],
  ];
  for (const [code, name] of codes) {
    expect(await impostor.refusedWith({ bytes: wire.refusal(code, "because") }), `${code}`).toMatchObject({
      code: name,
      message: `connecting to ${key}: the publisher refused: because`,
    });
  }
  const escapes = Uint8Array.of(0x1b, 0x5b, 0x32, 0x4a, 0x0a, 0x41, 0xff, 0xfe, 0x7f, 0xc3);
  const { message } = await impostor.refusedWith({ bytes: wire.refusal(-5, escapes) });
  expect(message).toBe(`connecting to ${key}: the publisher refused: ?[2J?A????`);
  const endless = await impostor.refusedWith({ bytes: wire.refusal(-5, new Uint8Array(400).fill(0x78)) });
  expect(endless.message).toBe(`connecting to ${key}: the publisher refused: ${"x".repeat(399)}`);
  await expectNothingKept();
});

test("a welcome to an impossible ring", async () => {
  const descriptors = await impostor.ring();
  const rings: [fields: wire.WelcomeFields, code: string][] = [
    ...[0, 1, 65, 0xffff_ffff].map((maxSlots): [wire.WelcomeFields, string] => [{ maxSlots }, "PROTOCOL"]),
    [{ format: 0 }, "FORMAT"],
    [{ format: 99 }, "FORMAT"],
    [{ width: 0 }, "INVALID_ARGUMENT"],
    [{ height: 0 }, "INVALID_ARGUMENT"],
    [{ width: 16_385 }, "INVALID_ARGUMENT"],
    [{ height: 0xffff_ffff }, "INVALID_ARGUMENT"],
    [{ slotSize: 0n }, "PROTOCOL"],
    [{ slotSize: 4095n }, "PROTOCOL"],
    [{ slotSize: 4097n }, "PROTOCOL"],
    [{ slotSize: 1n << 41n }, "PROTOCOL"],
    [{ slotSize: (1n << 64n) - 1n }, "PROTOCOL"],
    [{ width: 16_384, height: 16_384, slotSize: 1n << 28n }, "PROTOCOL"],
    [{ tracks: [{}] }, "PROTOCOL"],
    [{ tracks: [{ size: (1n << 64n) - 1n }] }, "PROTOCOL"],
    [{ tracks: [{ size: 0n }, {}] }, "PROTOCOL"],
    [{ tracks: [{ kind: 0 }] }, "PROTOCOL"],
    [{ tracks: [{ kind: 4 }] }, "PROTOCOL"],
    [{ tracks: [{ generation: 0 }] }, "PROTOCOL"],
    [{ tracks: [{ base: 1n << 63n }] }, "PROTOCOL"],
    [{ cursor: 1n << 58n }, "PROTOCOL"],
    [{ memory: 7 }, "UNSUPPORTED"],
  ];
  for (const [fields, code] of rings) {
    const outcome = await impostor.refusedWith({ bytes: wire.welcome(fields), descriptors });
    expect(outcome.code, JSON.stringify(fields, (_, value) => typeof value === "bigint" ? `${value}` : value))
      .toBe(code);
  }
  await expectNothingKept();
});

test("a welcome with the wrong descriptors", async () => {
  const ring = await impostor.ring();
  const [control, page, first, second] = ring;
  const short = await impostor.memory(2048);
  const unsealed = await impostor.memory(wire.controlSize, 0);
  const growing = await impostor.memory(wire.controlSize, wire.seals.grow);
  const changing = await impostor.memory(wire.controlSize, wire.sealed);
  const sparse = await impostor.memory(wire.controlSize, wire.readOnly, wire.pageSize);
  const empty = await impostor.memory(wire.pageSize, wire.sealed, 0);
  const behind = await impostor.peer.hollowMemfd(wire.controlSize, wire.readOnly, "behind");
  const reserved = await impostor.peer.hollowMemfd(wire.controlSize, wire.readOnly, "reserved");
  const unwritable = await impostor.memory(wire.pageSize, wire.sealed | wire.seals.write);
  const socket = await impostor.peer.listen(`${stage().directory}/another.sock`);
  const sets: [what: string, descriptors: number[], code?: string][] = [
    ["none", []],
    ["one too few", ring.slice(0, -1)],
    ["one too many", [...ring, first!]],
    ["all that fit", new Array(76).fill(control)],
    ["more than fit", new Array(100).fill(control)],
    ["as many as the kernel takes", new Array(253).fill(control)],
    ...[0, 1, 2, 3].flatMap((index): [string, number[]][] => [
      [`a short one at ${index}`, ring.with(index, short)],
      [`an unsealed one at ${index}`, ring.with(index, unsealed)],
      [`one that can shrink at ${index}`, ring.with(index, growing)],
      [`a socket at ${index}`, ring.with(index, socket)],
    ]),
    ...[0, 2, 3].flatMap((index): [string, number[]][] => [
      [`one whose pages can be taken away at ${index}`, ring.with(index, changing)],
      [`one with a hole at ${index}`, ring.with(index, sparse)],
      [`one that has its pages behind its end at ${index}`, ring.with(index, behind)],
      [`one whose pages were only reserved at ${index}`, ring.with(index, reserved)],
    ]),
    ["a lease page that is a hole", [control, empty, first!, second!]],
    ["a lease page that cannot be written", [control, unwritable, first!, second!], "PERMISSION"],
    ["a lease page in the control region's place", [page, page, first!, second!]],
  ];
  for (const [what, descriptors, code = "PROTOCOL"] of sets) {
    expect((await impostor.refusedWith({ bytes: wire.welcome(), descriptors })).code, what).toBe(code);
  }
  // The packet ring comes last, and is looked at only when it is read.
  expect(
    (await impostor.refusedWith({
      bytes: wire.welcome({ tracks: [{}] }),
      descriptors: [...ring, short],
    })).code,
  ).toBe("PROTOCOL");
  expect(
    (await impostor.refusedWith({
      bytes: wire.welcome({ tracks: [{}] }),
      descriptors: [...ring, unsealed],
    })).code,
  ).toBe("PROTOCOL");
  await expectNothingKept();
});

test("an answer to an inspector that is no report", async () => {
  const answers: [what: string, bytes: Uint8Array][] = [
    ["random bytes", randomBytes(1768)],
    ["a welcome", wire.welcome()],
    ["a cut report", wire.report(0, 0, { size: 1767 }).subarray(0, 1767)],
    ["more subscribers than follow", wire.report(1, 2)],
    ["fewer subscribers than follow", wire.report(2, 1)],
    ["4 billion subscribers", wire.report(1, 0xffff_ffff)],
  ];
  for (const [what, bytes] of answers) {
    expect((await impostor.refusedWith({ bytes }, "inspect")).code, what).toBe("PROTOCOL");
  }
  expect((await impostor.refusedWith({ bytes: wire.refusal(-5, "no") }, "inspect")).message).toMatch(/no$/);
  await expectNothingKept();
});

test("names in a report have no control characters, whatever the publisher lets through", async () => {
  const bytes = wire.report(1);
  bytes.set(Uint8Array.of(0x1b, 0x5b, 0x32, 0x4a, 0xff, 0x41), 1768);
  impostor.subscriber.send({ do: "inspect" });
  await impostor.peer.send(await impostor.greeted(), bytes);
  const { subscribers } = await impostor.subscriber.event<{ subscribers: { name: string }[] }>("inspected");
  expect(subscribers.map(({ name }) => name)).toEqual(["?[2J?A"]);
});

test("a picture in a report is in bounds, whatever the publisher says", async () => {
  const bytes = wire.report(0);
  const view = new DataView(bytes.buffer);
  view.setUint32(60, 64, true);
  view.setUint32(64, 48, true);
  const picture = wire.picture({
    ...{ visible: [60, 2, 0xffff_ffff, 2], display: [0xffff_ffff, 3], aspect: [4, 3], rotation: 91, flip: 9 },
    ...{ colors: [1, 250, 7, 2], fieldOrder: 77 },
  });
  bytes.set(picture, 0xf8);
  view.setBigUint64(0x128, 5n, true);
  impostor.subscriber.send({ do: "inspect" });
  await impostor.peer.send(await impostor.greeted(), bytes);
  expect(await impostor.subscriber.event("inspected")).toMatchObject({
    published: 5,
    picture: {
      visibleRect: { x: 60, y: 2, width: 4, height: 2 },
      sampleAspectRatio: { num: 4, den: 3 },
      displayWidth: 5,
      displayHeight: 2,
      rotation: 0,
      flip: true,
      colorSpace: { primaries: "bt709", transfer: null, matrix: "smpte240m", fullRange: true },
      fieldOrder: null,
    },
  });
  // Of a frame that cannot be, nothing is said.
  view.setUint32(60, 0, true);
  impostor.subscriber.send({ do: "inspect" });
  await impostor.peer.send(await impostor.greeted(), bytes);
  expect(await impostor.subscriber.event("inspected")).toMatchObject({
    picture: { rotation: 0, flip: false, colorSpace: { primaries: null, matrix: null } },
  });
});

test("no answer at all", async () => {
  const { subscriber, peer, listener } = impostor;
  const start = performance.now();
  subscriber.send({ do: "connect", options: { timeout: 60_000 } });
  await impostor.greeted();
  expect(await subscriber.event("refused")).toMatchObject({
    code: "TIMEOUT",
    message: expect.stringMatching(/impostor.sock accepted .* has not answered for \d{4,} ms/),
  });
  const elapsed = performance.now() - start;
  expect(elapsed).toBeGreaterThan(1900);
  expect(elapsed).toBeLessThan(30_000);

  // Hangs up again and again: at once, or with the hello read.
  for (const options of [{}, { timeout: 60_000 }]) {
    subscriber.send({ do: "connect", options });
    for (let hangups = 0; hangups < 8; hangups += 2) {
      await peer.close(await peer.accept(listener));
      await peer.close(await impostor.greeted());
    }
    expect(await subscriber.event("refused")).toMatchObject({
      code: "PROTOCOL",
      message: expect.stringMatching(/hangs up/),
    });
  }
  // Hangs up, and is gone.
  subscriber.send({ do: "connect" });
  const last = await peer.accept(listener);
  await peer.close(listener);
  await peer.close(last);
  expect((await subscriber.event<Outcome>("refused")).code).toBe("NOT_FOUND");
  await expectNothingKept();
});

test("a socket of another type", async () => {
  const { subscriber, peer } = impostor;
  await peer.listen(`${stage().directory}/${key}.sock`, "stream");
  expect(await subscriber.ask({ do: "connect" }, "refused")).toMatchObject({
    code: "PROTOCOL",
    message: expect.stringMatching(/impostor.sock is a socket of another type/),
  });
  await expectNothingKept();
});

describe("after its welcome", () => {
  type Message = [what: string, bytes: Uint8Array, descriptors?: number[]];

  /** Each message ends a connection of its own, and nothing is kept of it. */
  async function expectEachEnds(
    ring: number[],
    messages: readonly Message[],
    welcome?: Parameters<typeof impostor.accepted>[1],
  ): Promise<void> {
    const { peer, subscriber } = impostor;
    for (const [what, bytes, descriptors] of messages) {
      const connection = await impostor.accepted(ring, welcome);
      await peer.send(connection, bytes, descriptors);
      expect((await subscriber.ask<Outcome>({ do: "take", timeout: 5000 }, "refused")).code, what).toBe(
        "DISCONNECTED",
      );
      await subscriber.ask({ do: "close" }, "closed");
      await peer.close(connection);
    }
    await expectNothingKept();
  }

  test("a message that is none, or a packet ring that is none, ends the connection", async () => {
    const ring = await impostor.ring();
    const file = await impostor.memory(8192);
    const unsealed = await impostor.memory(8192, 0);
    const changing = await impostor.memory(8192, wire.sealed);
    const sparse = await impostor.memory(2 * wire.pageSize, wire.readOnly, wire.pageSize);
    const messages: Message[] = [
      ["random bytes", randomBytes(24)],
      ["a long message", randomBytes(5000)],
      ["a second welcome", wire.welcome(), ring],
      ["a packet ring without a descriptor", wire.track(0, { size: 8192n })],
      ["a packet ring with two", wire.track(0, { size: 8192n }), [file, file]],
      ["a packet ring of no bytes", wire.track(0, { size: 0n }), [file]],
      ["a packet ring that is larger than its memory", wire.track(0, { size: 8193n }), [file]],
      ["a packet ring larger than any", wire.track(0, { size: 1n << 63n }), [file]],
      ["a packet ring that can shrink", wire.track(0, { size: 8192n }), [unsealed]],
      ["a packet ring whose pages can be taken away", wire.track(0, { size: 8192n }), [changing]],
      ["a packet ring with a hole", wire.track(0, { size: 8192n }), [sparse]],
      ["a ninth track", wire.track(8, {}), [file]],
      ["a track far away", wire.track(0xffff_ffff, {}), [file]],
      ["a track of no kind", wire.track(0, { kind: 0 }), [file]],
      ["a track of a kind that there is not", wire.track(0, { kind: 4 }), [file]],
      ["a track of no generation", wire.track(0, { generation: 0 }), [file]],
      ["more packets before it than there can be", wire.track(0, { base: 1n << 63n }), [file]],
    ];
    await expectEachEnds(ring, messages);
  });

  test("a message of a slot's memory that cannot be ends the connection", async () => {
    const ring = await impostor.ring();
    const file = await impostor.memory(4096);
    const messages: Message[] = [
      ["a slot that there cannot be", wire.memory(4, 1), [file]],
      ["a slot far away", wire.memory(0xffff_ffff, 1), [file]],
      ["no generation", wire.memory(2, 0), [file]],
      ["memory that is neither there nor not", wire.memory(2, 1, 2), [file]],
      ["the same, twice", wire.memory(2, 1, 2), [file, file]],
      ["two memories", wire.memory(2, 1), [file, file]],
      ["memory without a descriptor", wire.memory(2, 1)],
      ["no memory, with a descriptor", wire.memory(2, 1, 0), [file]],
      ["half of it", wire.memory(2, 1, 1, { size: 24 }).subarray(0, 24), [file]],
    ];
    await expectEachEnds(ring, messages, { maxSlots: 4 });
  });

  test("memory that cannot be used is an error, and nothing is kept of it", async () => {
    const { peer, subscriber } = impostor;
    const memories: [what: string, descriptor: number][] = [
      ["unsealed", await impostor.memory(4096, 0)],
      ["one that can shrink", await impostor.memory(4096, wire.seals.grow)],
      ["one whose pages can be taken away", await impostor.memory(4096, wire.sealed)],
      ["too small", await impostor.memory(2048)],
      ["with a hole", await impostor.memory(4096, wire.readOnly, 0)],
      ["a socket", await peer.listen(`${stage().directory}/another.sock`)],
    ];
    for (const [what, descriptor] of memories) {
      const connection = await impostor.accepted(await impostor.ring(), { maxSlots: 4 });
      await peer.send(connection, wire.memory(2, 1), [descriptor]);
      expect(await subscriber.ask<Outcome>({ do: "take", timeout: 5000 }, "refused"), what).toMatchObject({
        code: "PROTOCOL",
      });
      await subscriber.ask({ do: "close" }, "closed");
      await peer.close(connection);
    }
    await expectNothingKept();
  });

  test("other memory for a frame that is held: the frame stays, and asking for the next one is an error", async () => {
    const { peer, subscriber } = impostor;
    const [control, page, ...slots] = await impostor.ring();
    const connection = await impostor.accepted([control, page, ...slots], { maxSlots: 4 });
    const announce = async (sequence: bigint) => {
      await peer.write(control, wire.control.slot(1), wire.word(sequence));
      await peer.write(control, wire.control.newest, wire.ticket(sequence, 1));
    };
    await announce(7n);
    await subscriber.ask({ do: "take", timeout: 5000 }, "took");
    const mapped = impostor.possessions().mappings;
    for (
      const [bytes, descriptors] of [[wire.memory(1, 2), [await impostor.memory(4096)]], [
        wire.memory(1, 3, 0),
      ]] as const
    ) {
      await peer.send(connection, bytes, descriptors);
      for (let attempt = 0; attempt < 2; attempt++) {
        expect(await subscriber.ask({ do: "take", timeout: 5000 }, "refused")).toMatchObject({
          code: "PROTOCOL",
          message: expect.stringMatching(/takes the memory of a frame away that is held/),
        });
      }
      expect(impostor.possessions().mappings).toBe(mapped);
      await subscriber.ask({ do: "check" }, "checked");
    }
    await subscriber.ask({ do: "release" }, "released");
    expect(await subscriber.ask({ do: "take", timeout: 100 }, "refused")).toMatchObject({ code: "TIMEOUT" });
    // What it has of the slot now is nothing.
    await announce(8n);
    expect(await subscriber.ask({ do: "take", timeout: 100 }, "refused")).toMatchObject({ code: "TIMEOUT" });
    await subscriber.ask({ do: "close" }, "closed");
    await expectNothingKept();
  });

  test("memory again and again, read or not: a process keeps one for each slot", async () => {
    const { peer, subscriber } = impostor;
    const connection = await impostor.accepted(await impostor.ring(), { maxSlots: 4 });
    const { descriptors, mappings } = impostor.possessions();
    const file = await impostor.memory(4096);
    for (let generation = 1; generation <= 500; generation++) {
      await peer.send(connection, wire.memory(2 + generation % 2, generation), [file]);
      if (generation % 100 !== 0) continue;
      expect(await subscriber.ask({ do: "take", timeout: 50 }, "refused")).toMatchObject({ code: "TIMEOUT" });
    }
    expect(await peer.sendMany(connection, wire.memory(2, 1000, 0), 500)).toBeGreaterThan(1000);
    await eventually("the others are closed", () => {
      const now = impostor.possessions();
      return now.descriptors <= descriptors + 2 && now.mappings <= mappings + 2;
    });
    expect(await subscriber.ask({ do: "take", timeout: 50 }, "refused")).toMatchObject({ code: "TIMEOUT" });
    await subscriber.ask({ do: "close" }, "closed");
    await expectNothingKept();
  });

  test("a publisher that says that it has evicted its subscriber is believed", async () => {
    const { peer, subscriber } = impostor;
    const [control, page, ...slots] = await impostor.ring();
    await impostor.accepted([control, page, ...slots]);
    await peer.write(page, wire.leasePageRevoked, Uint8Array.of(1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff));
    expect(await subscriber.ask({ do: "take", timeout: 5000 }, "refused")).toMatchObject({ code: "EVICTED" });
    await subscriber.ask({ do: "close" }, "closed");
    await expectNothingKept();
  });

  test("a packet ring whose bytes are none", async () => {
    const { peer, subscriber } = impostor;
    const file = await impostor.memory(8192);
    const connection = await impostor.accepted(await impostor.ring());
    await peer.send(connection, wire.track(0, { size: 8192n }), [file]);
    await eventually("the subscriber has the ring", async () => {
      subscriber.send({ do: "takePacket", timeout: 0 });
      return (await subscriber.event<Outcome>("refused")).code !== "NO_PACKET_RING";
    });
    expect((await subscriber.ask<Outcome>({ do: "takePacket", timeout: 0 }, "refused")).code).toBe(
      "PROTOCOL",
    );
    // A track of another kind is not what a publisher sends.
    await peer.send(connection, wire.track(0, { kind: 2, generation: 2 }), [file]);
    expect((await subscriber.ask<Outcome>({ do: "take", timeout: 5000 }, "refused")).code).toBe(
      "DISCONNECTED",
    );
    await subscriber.ask({ do: "close" }, "closed");
    await expectNothingKept();
  });

  test("a picture that cannot be: what is known of it is in bounds, and the rest is not known", async () => {
    const { peer, subscriber } = impostor;
    const [control, page, ...slots] = await impostor.ring();
    await impostor.accepted([control, page, ...slots]);
    const slot = wire.control.slot(1);
    const none = [null, null, null, null];
    const whole = [0, 0, 64, 64];
    const huge = 0xffff_ffff;
    const pictures: [wire.PictureFields, object][] = [
      [{}, { visible: whole, display: [64, 64], rotation: 0, flip: false, colors: none }],
      [{ visible: [8, 8, 4, 2], display: [5, 6], rotation: 90, flip: 1, colors: [1, 1, 1, 2] }, {
        ...{ visible: [8, 8, 4, 2], display: [5, 6], rotation: 90, flip: true },
        colors: ["bt709", "bt709", "bt709", true],
      }],
      [{ visible: [8, 60, huge, 10] }, { visible: [8, 60, 56, 4], display: [56, 4] }],
      [{ visible: [huge, huge, 1, 1] }, { visible: whole }],
      [{ visible: [64, 0, 1, 1] }, { visible: [0, 0, 64, 1] }],
      [{ visible: [1, 1, 0, 5] }, { visible: [0, 1, 64, 5] }],
      [{ display: [huge, 1] }, { display: [64, 64] }],
      [{ display: [16_385, 16_384] }, { display: [64, 64] }],
      [{ aspect: [65_536, 1] }, { display: [64, 64] }],
      [{ aspect: [0, 7] }, { display: [64, 64] }],
      [{ aspect: [65_535, 1] }, { display: [16_384, 1] }],
      [{ display: [0, 9] }, { display: [64, 64] }],
      [{ rotation: 91 }, { rotation: 0 }],
      [{ rotation: 360 }, { rotation: 0 }],
      [{ rotation: huge }, { rotation: 0 }],
      [{ flip: 200 }, { flip: true }],
      [{ colors: [2, 2, 2, 0] }, { colors: none }],
      // Codes of no name, and RGB of a grey picture.
      [{ colors: [0, 255, 0, 3], fieldOrder: 9, chromaLocation: 7 }, {
        colors: none,
        fieldOrder: null,
        chromaLocation: null,
      }],
    ];
    for (const [index, [fields, expected]] of pictures.entries()) {
      const sequence = BigInt(index + 1);
      await peer.write(control, slot + wire.control.picture, wire.picture(fields));
      await peer.write(control, slot + wire.control.captureTime, wire.word(BigInt.asUintN(64, -sequence)));
      await peer.write(control, slot, wire.word(sequence));
      await peer.write(control, wire.control.newest, wire.ticket(sequence, 1));
      const took = await subscriber.ask<{ picture: object }>({ do: "take", timeout: 5000 }, "took");
      expect(took.picture, JSON.stringify(fields)).toMatchObject({ ...expected, captureTime: null });
      await subscriber.ask({ do: "release" }, "released");
      await peer.write(control, slot, wire.word(0n));
    }
    await subscriber.ask({ do: "close" }, "closed");
    await expectNothingKept();
  });

  test.each([false, true])("any control region (blocking: %s)", async (sync) => {
    const { peer, subscriber } = impostor;
    const [control, page, ...slots] = await impostor.ring();
    const take = (timeout: number) => ({ do: "take", timeout, sync });
    await impostor.accepted([control, page, ...slots]);

    // A frame that is announced and in no slot: nothing to wait for.
    await peer.write(control, wire.control.newest, wire.ticket(1n, 0));
    expect((await subscriber.ask<Outcome>(take(5000), "refused")).code).toBe("PROTOCOL");
    // In a slot that does not exist.
    await peer.write(control, wire.control.slot(63), wire.word(1n));
    await peer.write(control, wire.control.newest, wire.ticket(1n, 63));
    expect((await subscriber.ask<Outcome>(take(5000), "refused")).code).toBe("PROTOCOL");
    // With more metadata than there is room for.
    await peer.write(
      control,
      wire.control.slot(0) + wire.control.metadataSize,
      Uint8Array.of(255, 255, 255, 255),
    );
    await peer.write(control, wire.control.slot(0), wire.word(2n));
    await peer.write(control, wire.control.newest, wire.ticket(2n, 0));
    expect(await subscriber.ask(take(5000), "took")).toMatchObject({ sequence: 2 });
    // Sequences that jump to the end of what there can be.
    await peer.write(control, wire.control.slot(1), wire.word((1n << 58n) - 1n));
    await peer.write(control, wire.control.newest, wire.ticket((1n << 58n) - 1n, 1));
    expect(await subscriber.ask(take(5000), "took")).toMatchObject({ sequence: Number((1n << 58n) - 1n) });
    // A cursor in the lease page that was put back: no reason to deliver anything twice, nor to wait without an end.
    await peer.write(page, wire.leasePageCursor, wire.word(0n));
    expect((await subscriber.ask<Outcome>(take(200), "refused")).code).toBe("TIMEOUT");
    // Any bytes at all, in both regions, while it reads: each call ends, with a frame or with an error of its kind.
    const attacks: (() => Promise<number>)[] = [
      () => peer.scribble(page, wire.leasePageFields, 300),
      () => peer.scribble(control, wire.control.slot(2), 300),
      () => peer.punch(page, wire.leasePageFields, 300),
    ];
    for (const attack of attacks) {
      let attacking = true;
      const attacks = attack().finally(() => attacking = false);
      do {
        subscriber.send(take(20));
        await subscriber.ask({ do: "release" }, "released");
      } while (attacking);
      expect(await attacks).toBeGreaterThan(10);
      // So that what comes next does not find it evicted.
      await peer.write(page, wire.leasePageRevoked, new Uint8Array(4));
    }
    for (let refused; (refused = subscriber.taken<Outcome>("refused")) !== undefined;) {
      expect(refused.code).toMatch(/^(TIMEOUT|PROTOCOL|EVICTED)$/);
    }
    await subscriber.ask({ do: "close" }, "closed");
    await expectNothingKept();
  });
});

describe("a subscriber that reconnects does so more and more slowly", () => {
  const follow = { do: "connect", options: { mode: "ordered", reconnect: true } };

  /** Takes so many connections in turn, and answers each; returns the milliseconds that took. */
  async function answer(count: number, bytes: Uint8Array, descriptors: number[] = []): Promise<number> {
    const start = performance.now();
    for (let index = 0; index < count; index++) {
      const connection = await impostor.greeted();
      await impostor.peer.send(connection, bytes, descriptors);
      await impostor.peer.close(connection);
    }
    return performance.now() - start;
  }

  /** Delays of 50, 100 … ms behind the first that is none, each less up to half of it. */
  const leastOf = (delays: number) => 25 * (2 ** delays - 1);

  test.each([{ sync: false }, { sync: true }])(
    "to one that hangs up behind its welcome (%o)",
    async ({ sync }) => {
      const { peer, subscriber } = impostor;
      const ring = await impostor.ring();
      const withFrame = await impostor.ring();
      await peer.write(withFrame[0], wire.control.slot(1), wire.word(7n));
      await peer.write(withFrame[0], wire.control.newest, wire.ticket(7n, 1));
      subscriber.send(follow);
      await answer(1, wire.welcome(), ring);
      await subscriber.event("connected");
      // A time-out holds, whichever connection it is.
      subscriber.send({ do: "take", timeout: 1000, sync });
      const start = performance.now();
      await answer(5, wire.welcome(), ring);
      expect(performance.now() - start).toBeGreaterThan(leastOf(4));
      expect(await subscriber.event("refused")).toMatchObject({
        code: "TIMEOUT",
        message: expect.stringMatching(
          /next attempt .* in \d+ ms, since the last ones came to nothing|within 1000 ms/,
        ),
      });

      // One that has a frame ends it: its successor is found at once, not in 800 ms or more.
      subscriber.send({ do: "take", sync });
      const good = await impostor.greeted();
      await peer.send(good, wire.welcome(), withFrame);
      expect(await subscriber.event("took")).toMatchObject({ sequence: 7 });
      await subscriber.ask({ do: "release" }, "released");
      subscriber.send({ do: "take", sync });
      const gone = performance.now();
      await peer.close(good);
      const next = await impostor.greeted();
      expect(performance.now() - gone).toBeLessThan(700);
      await peer.send(next, wire.welcome(), withFrame);
      expect(await subscriber.event("took")).toMatchObject({ sequence: 7 });
      await subscriber.ask({ do: "close" }, "closed");
      await expectNothingKept();
    },
  );

  test("to one that refuses, whoever asks again", async () => {
    const { peer, subscriber } = impostor;
    subscriber.send(follow);
    await answer(1, wire.welcome(), await impostor.ring());
    await subscriber.event("connected");
    const tooMany = wire.refusal(-12, "no place");
    let milliseconds = 0;
    for (let attempt = 0; attempt < 6; attempt++) {
      subscriber.send({ do: "take" });
      milliseconds += await answer(1, tooMany);
      expect((await subscriber.event<Outcome>("refused")).code).toBe("TOO_MANY_SUBSCRIBERS");
    }
    expect(milliseconds).toBeGreaterThan(leastOf(5));
    // Closing does not wait for the next attempt.
    subscriber.send({ do: "begin", command: { do: "take" } });
    const start = performance.now();
    await subscriber.ask({ do: "close" }, "closed");
    expect((await subscriber.event<Outcome>("refused")).code).toBe("DISCONNECTED");
    await eventually("the attempt ends", () => !subscriber.threads().includes("cuframes-conn"));
    expect(performance.now() - start).toBeLessThan(700);
    await expectNothingKept();
    peer.process.kill();
  });
});

describe("a wait ends, whatever the publisher does to the words that it sleeps on:", () => {
  const waits = [
    ["next", "frames", { do: "take" }],
    ["nextSync", "frames", { do: "take", sync: true }],
    ["next of packets", "packets", { do: "takePacket", wait: true }],
    ["nextSync of packets", "packets", { do: "takePacket", wait: true, sync: true }],
  ] as const;

  /** Connects, wanting packets too, and begins to wait; returns the connection and the lease page. */
  async function waiting(command: object): Promise<{ connection: number; page: number }> {
    const ring = await impostor.ring();
    const connection = await impostor.accepted(ring);
    impostor.subscriber.send(command);
    return { connection, page: ring[1] };
  }

  async function expectNoThreadKept(): Promise<void> {
    await eventually("no thread waits", () => !impostor.subscriber.threads().includes("cuframes-wait"));
    await expectNothingKept();
  }

  test.each(waits)("%s, moved to another word, by the publisher's end", async (_, channel, command) => {
    const { peer, subscriber } = impostor;
    const { page } = await waiting(command);
    expect(await peer.requeue(page, wire.leasePageWake[channel], 10_000)).toBe(1);
    const start = performance.now();
    peer.process.kill();
    expect((await subscriber.event<Outcome>("refused")).code).toBe("DISCONNECTED");
    expect(performance.now() - start).toBeLessThan(5000);
    await subscriber.ask({ do: "close" }, "closed");
    await expectNoThreadKept();
  });

  test.each(waits.filter(([, , command]) => !("sync" in command)))(
    "%s, moved to another word, by closing",
    async (_, channel, command) => {
      const { peer, subscriber } = impostor;
      const { page } = await waiting({ do: "begin", command });
      expect(await peer.requeue(page, wire.leasePageWake[channel], 10_000)).toBe(1);
      await subscriber.ask({ do: "close" }, "closed");
      expect((await subscriber.event<Outcome>("refused")).code).toBe("DISCONNECTED");
      await expectNoThreadKept();
    },
  );

  test("next of packets, moved to another word, by the ring's coming", async () => {
    const { peer, subscriber } = impostor;
    const { connection, page } = await waiting({ do: "takePacket", wait: true });
    expect(await peer.requeue(page, wire.leasePageWake.packets, 10_000)).toBe(1);
    await peer.send(connection, wire.track(0, { size: 8192n }), [await impostor.memory(8192)]);
    // It is a ring of zeros, at which it has looked.
    expect((await subscriber.event<Outcome>("refused")).code).toBe("PROTOCOL");
    await subscriber.ask({ do: "close" }, "closed");
    await expectNoThreadKept();
  });

  test.each(waits)("%s, woken again and again, costs next to nothing", async (_, channel, command) => {
    const { peer, subscriber } = impostor;
    const { page } = await waiting(command);
    await peer.stir(page, wire.leasePageWake[channel], 200);
    const before = subscriber.cpuTime();
    expect(await peer.stir(page, wire.leasePageWake[channel], 2000)).toBeGreaterThan(10_000);
    // A thread that spins takes all of the 2000, or half of a machine that is loaded.
    expect(subscriber.cpuTime() - before).toBeLessThan(400);
    peer.process.kill();
    expect((await subscriber.event<Outcome>("refused")).code).toBe("DISCONNECTED");
    await subscriber.ask({ do: "close" }, "closed");
    await expectNoThreadKept();
  });
});
