// Peers that send anything, or nothing, and write anything into what they may write: the publisher goes on, and the
// subscriber beside them gets every frame.

import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { type PublisherStats, Subscriber } from "../../mod.ts";
import { notOnHost } from "../support/memory.ts";
import { Peer } from "../support/peer.ts";
import { eventually, type Process, type Stage, stages } from "../support/processes.ts";
import {
  hello,
  kindOf,
  kinds,
  leasePageFields,
  readRefusal,
  refusal,
  released,
  track,
  wants,
  welcome,
} from "../support/wire.ts";
import type { Result } from "../support/programs/subscriber.ts";

const stage = stages();
const key = "besieged";

/** A publisher that gives its one honest subscriber every frame, and a peer that can be anything. */
class Siege {
  readonly path: string;
  readonly directory: string;
  readonly publisher: Process;
  readonly honest: Process;
  readonly peer: Peer;

  private constructor(directory: string, publisher: Process, honest: Process, peer: Peer) {
    this.path = `${directory}/${key}.sock`;
    this.directory = directory;
    this.publisher = publisher;
    this.honest = honest;
    this.peer = peer;
  }

  static async begin(stage: Stage): Promise<Siege> {
    const options = { key, width: 64, height: 48, slots: 64, policy: "wait", packets: true };
    const publisher = stage.start("publisher", options);
    await publisher.event("ready");
    const honest = stage.start("subscriber", { key, mode: "ordered" });
    const peer = await Peer.start(stage);
    await honest.event("connected");
    return new Siege(stage.directory, publisher, honest, peer);
  }

  stats(): Promise<PublisherStats> {
    return this.publisher.ask<PublisherStats>({ do: "stats" }, "stats");
  }

  publish(frames: number): Promise<{ milliseconds: number }> {
    return this.publisher.ask<{ milliseconds: number }>({ do: "publish", frames }, "published");
  }

  /** Connects the peer as a subscriber. */
  async join(
    fields: Parameters<typeof hello>[0] = {},
  ): Promise<{ connection: number; descriptors: number[] }> {
    const connection = await this.peer.connect(this.path);
    await this.peer.send(connection, hello(fields));
    const { bytes, descriptors } = await this.peer.receive(connection);
    expect(kindOf(bytes!)).toBe(kinds.welcome);
    return { connection, descriptors };
  }

  /** The honest subscriber has had all that was ever published. */
  async end(): Promise<void> {
    await this.publish(10);
    const { published } = await this.stats();
    await this.publisher.ask({ do: "close" }, "closed");
    const [result] = (await this.honest.event<{ results: Result[] }>("ended")).results;
    expect(result).toMatchObject({ received: published, dropped: 0, torn: 0, disordered: 0 });
    expect(await this.publisher.end()).toEqual({ code: 0, signal: null });
  }
}

test("a greeting that is not one is dropped, counted, and answered only where that helps", async () => {
  const siege = await Siege.begin(stage());
  const { peer, path, publisher } = siege;
  await publisher.ask({ do: "run" }, "running");
  const file = await peer.memfd(4096, 0);
  const before = publisher.descriptors();

  const greetings: { what: string; bytes: Uint8Array; descriptors?: number[]; answer?: RegExp }[] = [
    ...[0, 1, 7, 15, 16, 17, 319, 320, 321, 1000, 6376, 70_000].map((size) => ({
      what: `${size} random bytes`,
      bytes: randomBytes(size),
    })),
    { what: "half a hello", bytes: hello().subarray(0, 160) },
    { what: "a hello and a byte", bytes: new Uint8Array([...hello(), 0]) },
    { what: "a hello with a descriptor", bytes: hello(), descriptors: [file] },
    { what: "a hello with 100 descriptors", bytes: hello(), descriptors: new Array(100).fill(file) },
    { what: "another magic", bytes: hello({ magic: 0xcc7c1dcc }) },
    { what: "another version", bytes: hello({ version: 4 }), answer: /protocol version 6/ },
    {
      what: "another version, otherwise unknown",
      bytes: hello({ version: 5 }).subarray(0, 40),
      answer: /protocol version 6/,
    },
    { what: "a size that lies", bytes: hello({ size: 319 }) },
    { what: "an unknown kind", bytes: hello({ kind: 77 }) },
    { what: "an unknown mode", bytes: hello({ mode: 2 }) },
    { what: "no wants", bytes: hello({ wants: 0 }) },
    { what: "an unknown want", bytes: hello({ wants: wants.frames | 8 }) },
    { what: "too many devices", bytes: hello({ deviceCount: 17 }) },
    { what: "a release", bytes: released() },
    { what: "a welcome", bytes: welcome() },
    { what: "a refusal", bytes: refusal(-1) },
    { what: "a packet ring", bytes: track(0, { size: 4096n }), descriptors: [file] },
  ];
  for (const [index, { what, bytes, descriptors, answer }] of greetings.entries()) {
    const connection = await peer.connect(path);
    if (!await peer.sendUnwanted(connection, bytes, descriptors ?? [])) {
      // The kernel keeps it away from the publisher, which sees a connection that goes without a word.
      await peer.close(connection);
      await eventually(what, async () => (await siege.stats()).rejected === index + 1);
      continue;
    }
    if (answer !== undefined) {
      const { bytes: reply } = await peer.receive(connection);
      expect(readRefusal(reply!)?.text, what).toMatch(answer);
    }
    expect(await peer.receive(connection), what).toEqual({ bytes: undefined, descriptors: [] });
    expect((await siege.stats()).rejected, what).toBe(index + 1);
    await peer.close(connection);
  }
  expect(await siege.stats()).toMatchObject({ subscribers: 1 });
  await publisher.settlesAt(before);
  await publisher.ask({ do: "halt" }, "halted");
  await siege.end();
});

test("silence is given two seconds", async () => {
  const siege = await Siege.begin(stage());
  const { peer, path } = siege;
  const start = performance.now();
  const silent = [await peer.connect(path), await peer.connect(path)];
  for (const connection of silent) expect((await peer.receive(connection)).bytes).toBeUndefined();
  const elapsed = performance.now() - start;
  expect(elapsed).toBeGreaterThan(1900);
  expect(elapsed).toBeLessThan(30_000);
  expect(await siege.stats()).toMatchObject({ rejected: 2, subscribers: 1 });
  await siege.end();
});

test("a subscriber that says anything but that it has released a frame loses its place", async ({ skip }) => {
  skip(...notOnHost); // the peer has no GPU
  const siege = await Siege.begin(stage());
  const { peer } = siege;
  const file = await peer.memfd(4096, 0);
  const misbehaviours: { what: string; bytes: Uint8Array; descriptors?: number[] }[] = [
    { what: "a second hello", bytes: hello() },
    { what: "random bytes", bytes: randomBytes(16) },
    { what: "a long message", bytes: randomBytes(5000) },
    { what: "a release with a descriptor", bytes: released(), descriptors: [file] },
    { what: "a release of another version", bytes: released({ version: 4 }) },
    { what: "nothing", bytes: new Uint8Array(0) },
  ];
  for (const { what, bytes, descriptors } of misbehaviours) {
    const { connection } = await siege.join();
    await peer.send(connection, released());
    expect(await siege.stats(), what).toMatchObject({ subscribers: 2 });
    if (!await peer.sendUnwanted(connection, bytes, descriptors ?? [])) {
      // The kernel keeps it away from the publisher.
      await peer.close(connection);
      await eventually(what, async () => (await siege.stats()).subscribers === 1);
      continue;
    }
    expect((await peer.receive(connection)).bytes, what).toBeUndefined();
    expect(await siege.stats(), what).toMatchObject({ subscribers: 1 });
  }
  await siege.end();
});

test("a thousand silent connections keep nobody out", async () => {
  const siege = await Siege.begin(stage());
  const { peer, path, publisher, directory } = siege;
  await publisher.ask({ do: "run" }, "running");
  const before = publisher.descriptors();
  let flooding = true;
  const flood = peer.connectMany(path, 1000).finally(() => flooding = false);
  const waits: number[] = [];
  do {
    const start = performance.now();
    using subscriber = await Subscriber.connect(key, { runtimeDirectory: directory });
    (await subscriber.next()).close();
    waits.push(performance.now() - start);
  } while (flooding);
  expect(await flood).toBe(1000);
  expect(Math.max(...waits)).toBeLessThan(10_000);
  await publisher.ask({ do: "halt" }, "halted");
  await eventually("every one of them is dropped", async () => (await siege.stats()).rejected >= 1000);
  await eventually(
    "the subscribers that came and went are gone",
    async () => (await siege.stats()).subscribers === 1,
  );
  await publisher.settlesAt(before);
  await siege.end();
});

test("of peers that never read two are sent their welcome; each has two seconds, and none delays anything", async ({ skip }) => {
  skip(...notOnHost); // the peer has no GPU
  const siege = await Siege.begin(stage());
  const { peer, path } = siege;
  const alone = (await siege.publish(500)).milliseconds;
  for (let index = 0; index < 20; index++) {
    await peer.send(await peer.connect(path), hello({ wants: wants.frames | wants.packets }));
  }
  await eventually("some are subscribers", async () => (await siege.stats()).subscribers === 3);
  expect(await siege.stats()).toMatchObject({ rejected: 0 });
  expect((await siege.publish(500)).milliseconds).toBeLessThan(10 * alone + 10_000);
  expect((await siege.stats()).subscribers).toBeLessThanOrEqual(3);
  await eventually("each has had its time", async () => (await siege.stats()).rejected === 20);
  expect(await siege.stats()).toMatchObject({ subscribers: 1 });

  // What they were sent is on its way for as long as they live, and their user has to do with four of those.
  for (let index = 0; index < 4; index++) await peer.send(await peer.connect(path), hello());
  await eventually("those too", async () => (await siege.stats()).rejected === 24);
  const refused = await peer.connect(path);
  await peer.send(refused, hello());
  expect(readRefusal((await peer.receive(refused)).bytes!)?.text).toMatch(/do not read what they are sent/);
  peer.process.kill();
  using late = await Subscriber.connect(key, { runtimeDirectory: siege.directory });
  (await late.next({ timeout: 5000 })).close();
  late.close();
  await eventually("it has gone", async () => (await siege.stats()).subscribers === 1);
  await siege.end();
});

test("a packet ring that comes while a subscriber does not read is there when it does", async ({ skip }) => {
  skip(...notOnHost); // the peer has no GPU
  const publisher = stage().start("publisher", { key, width: 64, height: 48 });
  await publisher.event("ready");
  const peer = await Peer.start(stage());
  const connection = await peer.connect(`${stage().directory}/${key}.sock`);
  await peer.send(connection, hello({ wants: wants.frames | wants.packets }));
  await eventually(
    "it is a subscriber",
    async () => (await publisher.ask<PublisherStats>({ do: "stats" }, "stats")).subscribers === 1,
  );
  await publisher.ask({ do: "enablePackets" }, "enabled");
  expect(kindOf((await peer.receive(connection)).bytes!)).toBe(kinds.welcome);
  const { bytes, descriptors } = await peer.receive(connection);
  expect(kindOf(bytes!)).toBe(kinds.track);
  expect(descriptors).toHaveLength(1);
});

test("one that announces releases without end delays nothing", async ({ skip }) => {
  skip(...notOnHost); // the peer has no GPU
  const siege = await Siege.begin(stage());
  const { peer } = siege;
  const alone = (await siege.publish(500)).milliseconds;
  const { connection } = await siege.join();
  let flooding = true;
  const flood = peer.sendMany(connection, released(), 1000).finally(() => flooding = false);
  // Two busy processes more than before share the machine.
  do expect((await siege.publish(500)).milliseconds).toBeLessThan(10 * alone + 10_000); while (flooding);
  expect(await flood).toBeGreaterThan(1000);
  peer.process.kill();
  await eventually("it is gone", async () => (await siege.stats()).subscribers === 1);
  await siege.end();
});

test("a subscriber's name has no control characters in the report that others read", async ({ skip }) => {
  skip(...notOnHost); // the peer has no GPU
  const siege = await Siege.begin(stage());
  const { peer, path } = siege;
  await siege.join({ name: "\x1b[31mred\x07" });
  const inspector = await peer.connect(path);
  await peer.send(inspector, hello({ wants: wants.report }));
  const { bytes } = await peer.receive(inspector);
  expect(kindOf(bytes!)).toBe(kinds.report);
  const name = new TextDecoder().decode(bytes!.subarray(1768 + 104, 1768 + 104 + 32)).replace(/\0+$/, "");
  expect(name).toBe("?[31mred?");
  peer.process.kill();
  await eventually("it is gone", async () => (await siege.stats()).subscribers === 1);
  await siege.end();
});

test("any bytes in a lease page cost the others nothing", async ({ skip }) => {
  skip(...notOnHost); // the peer has no GPU
  const siege = await Siege.begin(stage());
  const { peer } = siege;
  const { descriptors } = await siege.join();
  const page = descriptors[1]!;
  const attacks: (() => Promise<number>)[] = [
    () => peer.scribble(page, leasePageFields, 700),
    () => peer.scribble(page, leasePageFields, 700, 0xff),
    () => peer.scribble(page, leasePageFields, 700, 0x01),
    // Every byte of it, and then no page at all.
    () => peer.punch(page, leasePageFields, 700),
  ];
  for (const attack of attacks) {
    let attacking = true;
    const attacks = attack().finally(() => attacking = false);
    do await siege.publish(200); while (attacking);
    expect(await attacks).toBeGreaterThan(10);
  }
  expect(await siege.stats()).toMatchObject({ subscribers: 2 });
  // Frames are delivered in the middle of it to those who come and go, too.
  using late = await Subscriber.connect(key, { runtimeDirectory: siege.directory });
  (await late.next({ timeout: 5000 })).close();
  peer.process.kill();
  await eventually("the peer is gone", async () => (await siege.stats()).subscribers === 2);
  late.close();
  await eventually("its leases too", async () => (await siege.stats()).slotsLeased === 0);
  await siege.end();
});

test("a subscriber cannot write what is not its own", async ({ skip }) => {
  skip(...notOnHost); // the peer has no GPU
  const siege = await Siege.begin(stage());
  const { peer } = siege;
  await siege.publish(64);
  const { descriptors } = await siege.join({ wants: wants.frames | wants.packets });
  expect(descriptors).toHaveLength(2 + 64 + 1);
  const [control, page, ...others] = descriptors;
  for (const descriptor of [control!, ...others]) expect(await peer.attack(descriptor)).toEqual([]);
  // Its lease page it may fill with anything, but not take away from under the publisher.
  const ways = await peer.attack(page!);
  expect(ways).toContain("map");
  expect(ways.filter((way) => /shrink|grow/.test(way))).toEqual([]);
  await siege.end();
});
