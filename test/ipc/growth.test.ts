// Readers that hold frames for long, forget them, stop, or lie: the publisher goes on at its rate, within its limit on
// memory, the frames in their hands stay as they are, and those beside them get every frame.

import { chmodSync, copyFileSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import process from "node:process";
import { describe, expect, test } from "vitest";
import type {
  PublisherEvent,
  PublisherReport,
  PublisherStats,
  SubscriberOptions,
  SubscriberStats,
} from "../../mod.ts";
import { succeedsSync } from "../../scripts/lib/process.ts";
import { testMemory } from "../support/memory.ts";
import { buildPeer, Peer } from "../support/peer.ts";
import { eventually, Process, runtimes, type Stage, stages } from "../support/processes.ts";
import type { Command } from "../support/programs/remote.ts";
import type { Options as PublisherOptions } from "../support/programs/publisher.ts";
import type { Outcome } from "../support/programs/worker.ts";
import { hello, kindOf, kinds, leasePageRevoked, readRefusal, wants } from "../support/wire.ts";

const stage = stages();
const key = "growing";
const size = { width: 64, height: 48 };

type Holding = { sequences: number[] };
type Checked = { torn: number };
type Demanded = PublisherStats & { memories: number };

/** A publisher whose slots must be there at once, and those who read from it. */
class Camera {
  readonly #stage: Stage;
  /** Whether somebody is there who is to have every frame. */
  #honest = false;
  readonly publisher: Process;
  readonly readers: Process[] = [];

  private constructor(stage: Stage, publisher: Process) {
    this.#stage = stage;
    this.publisher = publisher;
  }

  static async begin(options: Partial<PublisherOptions> = {}): Promise<Camera> {
    const publisher = stage().start("publisher", { key, ...size, ...options });
    await publisher.event("ready");
    return new Camera(stage(), publisher);
  }

  get path(): string {
    return `${this.#stage.directory}/${key}.sock`;
  }

  /** A process that may connect, on each runtime in turn. */
  async stranger(): Promise<Process> {
    const runtime = runtimes[this.readers.length % 2]!;
    const reader = this.#stage.start("remote", { key }, { runtime });
    this.readers.push(reader);
    await reader.event("ready");
    return reader;
  }

  /** A process that reads. */
  async reader(options: SubscriberOptions = {}): Promise<Process> {
    const reader = await this.stranger();
    await reader.ask(
      { do: "connect", options: { name: `reader-${this.readers.length}`, ...options } },
      "connected",
    );
    return reader;
  }

  /** A process that reads on and on, every frame. */
  async honest(): Promise<Process> {
    const reader = await this.reader({ mode: "ordered", name: "honest" });
    begin(reader, { do: "iterate" });
    this.#honest = true;
    return reader;
  }

  /** Publishes, as fast as the honest reader takes it, where there is one. */
  demand(frames: number): Promise<Demanded> {
    const served = this.#honest ? { served: "honest" } : {};
    return this.publisher.ask<Demanded>({ do: "demand", frames, ...served }, "demanded");
  }

  stats(): Promise<PublisherStats> {
    return this.publisher.ask<PublisherStats>({ do: "stats" }, "stats");
  }

  /** Lets a reader hold so many frames, each of them the newest when it comes. */
  async hoard(reader: Process, frames: number): Promise<void> {
    for (let held = 1; held <= frames; held++) {
      await this.demand(1);
      await hold(reader, held);
    }
  }

  /** That this one has had all that was ever published. */
  async expectServed(honest: Process): Promise<void> {
    const { published } = await this.stats();
    await this.publisher.ask({ do: "close" }, "closed");
    expect(await honest.event("iterated")).toMatchObject({ code: "end", count: published, torn: 0 });
  }
}

function begin(reader: Process, command: Command): void {
  reader.send({ do: "begin", command });
}

function hold(reader: Process, frames: number): Promise<Holding> {
  return reader.ask<Holding>({ do: "hold", frames }, "holding");
}

/** How many of the frames that it holds are not what their publisher wrote. */
async function tornOf(reader: Process): Promise<number> {
  return (await reader.ask<Checked>({ do: "check" }, "checked")).torn;
}

/** The memories of slots that processes have mapped or hold descriptors of, on the host. */
function memoriesOf(processes: readonly Process[]): Set<string> {
  const found = new Set<string>();
  for (const { pid } of processes) {
    for (const line of readFileSync(`/proc/${pid}/maps`, "utf8").split("\n")) {
      const [, , , , inode, name] = line.split(/\s+/);
      if (name?.startsWith("/memfd:cuframes-slot")) found.add(inode!);
    }
    for (const name of readdirSync(`/proc/${pid}/fd`)) {
      const link = `/proc/${pid}/fd/${name}`;
      try {
        if (readlinkSync(link).startsWith("/memfd:cuframes-slot")) found.add(`${statSync(link).ino}`);
      } catch {
        // closed meanwhile
      }
    }
  }
  return found;
}

describe("growth", () => {
  test("a reader that keeps eight frames for ever costs nobody a frame, and keeps them as they are", async () => {
    const camera = await Camera.begin({ tell: true });
    const honest = await camera.honest();
    const keeper = await camera.reader({ mode: "ordered" });
    await camera.demand(8);
    const { sequences } = await hold(keeper, 8);
    expect(sequences).toEqual(sequences.map((_, index) => sequences[0]! + index));
    const stats = await camera.demand(1000);
    expect(stats).toMatchObject({
      published: 1008,
      slotsOutside: 0,
      evictions: 0,
      slotsLeased: expect.any(Number),
    });
    expect(stats.slots).toBeGreaterThan(8);
    expect(stats.slots).toBeLessThanOrEqual(8 + 4);
    const grown = await camera.publisher.event<Extract<PublisherEvent, { kind: "grown" }>>("grown");
    expect(grown).toMatchObject({ slots: 9, holder: { name: "reader-2", frames: 8 } });
    expect(await tornOf(keeper)).toBe(0);
    await camera.expectServed(honest);
    expect(await tornOf(keeper)).toBe(0);
  });

  test("eight readers that each hold one frame for long", async () => {
    const camera = await Camera.begin();
    const readers = await Promise.all(Array.from({ length: 4 }, () => camera.reader()));
    const others = await Promise.all(Array.from({ length: 4 }, () => camera.reader()));
    for (const reader of [...readers, ...others]) {
      await camera.demand(3);
      await hold(reader, 1);
    }
    const stats = await camera.demand(500);
    expect(stats).toMatchObject({ published: 524, evictions: 0, slotsLeased: 8 });
    for (const reader of [...readers, ...others]) {
      expect(await tornOf(reader)).toBe(0);
      await reader.ask({ do: "release" }, "released");
      await hold(reader, 1);
    }
  }, 60_000);

  test("a reader of packets alone is not told of slots, and holds none", async () => {
    const camera = await Camera.begin({ packets: true });
    const recorder = await camera.reader({ frames: false });
    const keeper = await camera.reader({ mode: "ordered" });
    begin(recorder, { do: "iterate", packets: true });
    await camera.publisher.ask({ do: "publish", frames: 8, packets: 1 }, "published");
    await recorder.event("iterating");
    await hold(keeper, 8);
    expect((await camera.demand(100)).slots).toBeGreaterThan(8);
    await camera.publisher.ask({ do: "publish", packets: 100 }, "published");
    expect(await recorder.ask<SubscriberStats>({ do: "stats" }, "stats")).toMatchObject({ connected: true });
    await camera.publisher.ask({ do: "close" }, "closed");
    expect(await recorder.event("iterated")).toMatchObject({ code: "end", count: 101 });
  });

  test(
    "the ring goes back to its first size, with all its memory, and readers go on without a gap",
    async () => {
      const camera = await Camera.begin({ tell: true, slots: 4 });
      const honest = await camera.honest();
      const keeper = await camera.reader({ mode: "ordered" });
      await camera.demand(8);
      const before = memoriesOf([camera.publisher, honest, keeper]);
      for (let times = 0; times < 2; times++) {
        await camera.hoard(keeper, 8);
        const { slots } = await camera.demand(100);
        expect(slots).toBeGreaterThanOrEqual(10);
        await keeper.ask({ do: "release" }, "released");
        if (times === 0) {
          // Without the ten seconds: it needs them still.
          await camera.demand(100);
          expect((await camera.stats()).slots).toBe(slots);
        }
      }
      begin(keeper, { do: "iterate" });
      await eventually("it has shrunk", async () => (await camera.demand(20)).slots === 4, 60_000);
      await camera.demand(8);
      expect(await camera.publisher.event("shrunk")).toMatchObject({ kind: "shrunk" });
      if (before.size > 0) {
        const all = [camera.publisher, honest, keeper];
        await eventually("its memory is given back", () => memoriesOf(all).size === before.size);
        expect(camera.publisher.descriptors().filter((name) => name.includes("cuframes-slot"))).toHaveLength(
          4,
        );
      }
      // And grows again, into slots that everybody has forgotten.
      const again = await camera.reader({ mode: "ordered" });
      await camera.hoard(again, 8);
      expect((await camera.demand(100)).slots).toBeGreaterThanOrEqual(10);
      expect(await tornOf(again)).toBe(0);
      await camera.expectServed(honest);
    },
    120_000,
  );

  test("with the policy wait there is neither growth nor eviction", async () => {
    const camera = await Camera.begin({ policy: "wait", slots: 4, tell: true });
    const keeper = await camera.reader({ mode: "ordered" });
    await camera.publisher.ask({ do: "publish", frames: 4 }, "published");
    await hold(keeper, 4);
    expect(await camera.publisher.ask({ do: "acquire" }, "refused")).toMatchObject({ code: "WOULD_BLOCK" });
    expect(await camera.stats()).toMatchObject({ slots: 4, evictions: 0, slotsLeased: 4 });
    expect(await keeper.ask<SubscriberStats>({ do: "stats" }, "stats")).toMatchObject({
      connected: true,
      held: 4,
    });
    await keeper.ask({ do: "release" }, "released");
    await camera.publisher.ask({ do: "acquire" }, "acquired");
    expect(camera.publisher.taken("grown")).toBeUndefined();
  });

  test(
    "the last frame, in memory that its readers have still to be handed when the publisher closes",
    async () => {
      for (let round = 0; round < 10; round++) {
        const camera = await Camera.begin({ slots: 2 });
        const honest = await camera.honest();
        const keeper = await camera.reader({ mode: "ordered" });
        await camera.demand(1);
        await hold(keeper, 1);
        await camera.demand(1);
        // In a slot that there has not been.
        await camera.publisher.ask({ do: "close", frames: 1 }, "closed");
        expect(await honest.event("iterated")).toMatchObject({ code: "end", torn: 0, count: 3, last: 3 });
        for (const one of [honest, keeper, camera.publisher]) one.kill();
      }
    },
    60_000,
  );
});

/** A ring of which nobody can hold more than six frames. */
const small = { slots: 4, maxSlots: 6 };

describe("eviction", () => {
  test("whoever holds most, longest, is told; its frames stay as they are, and can be closed", async () => {
    const camera = await Camera.begin({ ...small, tell: true });
    const honest = await camera.honest();
    const hoarder = await camera.reader({ mode: "ordered" });
    const modest = await camera.reader();
    await camera.hoard(hoarder, 5);
    await hold(modest, 1);
    await camera.demand(1);
    await hold(hoarder, 6);
    expect(await camera.stats()).toMatchObject({ slots: 6, evictions: 0, slotsOutside: 0 });
    expect(await camera.demand(1)).toMatchObject({ slots: 6, evictions: 1 });
    const { code, message } = await hoarder.ask<Outcome>({ do: "take", timeout: 0 }, "refused");
    expect(code).toBe("EVICTED");
    expect(message).toMatch(/: 6 frames were held, the oldest of them published \d+ ms before/);
    expect(await camera.publisher.event("evicted")).toMatchObject({
      name: "reader-2",
      pid: hoarder.pid,
      frames: 6,
      heldFor: expect.any(Number),
    });
    expect(await hoarder.ask({ do: "take", timeout: 5000, sync: true }, "refused")).toMatchObject({
      code: "EVICTED",
    });
    await camera.demand(200);
    expect(await tornOf(hoarder)).toBe(0);
    expect(await hoarder.ask({ do: "iterate" }, "iterated")).toMatchObject({ code: "EVICTED", count: 0 });
    expect(await tornOf(modest)).toBe(0);

    // The sixth is in a slot that the modest reader holds, too.
    await eventually("the others are replaced", async () => (await camera.stats()).slotsOutside === 5);
    const report = await modest.ask<PublisherReport>({ do: "inspect" }, "inspected");
    expect(report).toMatchObject({
      evictions: 1,
      slotsOutside: 5,
      lastEviction: { name: "reader-2", pid: hoarder.pid, frames: 6 },
    });
    expect(report.subscribers.find(({ name }) => name === "reader-3")).toMatchObject({ held: 1 });
    expect(await hoarder.ask<Outcome>({ do: "connect" }, "refused")).toMatchObject({
      code: "EVICTED",
      message: expect.stringMatching(/this process still holds frames/),
    });

    await hoarder.ask({ do: "release" }, "released");
    // Whoever looks for the next frame lets go of memory that was replaced.
    await camera.demand(1);
    await modest.ask({ do: "take", timeout: 5000 }, "took");
    await eventually("nothing is kept for it", async () => (await camera.stats()).slotsOutside === 0);
    await hoarder.ask({ do: "connect" }, "connected");
    await camera.demand(1);
    expect(await hoarder.ask({ do: "take", timeout: 5000 }, "took")).toMatchObject({ whole: true });
    await camera.expectServed(honest);
  });

  test.each([false, true])("a wait without an end ends at once (blocking: %s)", async (sync) => {
    const camera = await Camera.begin(small);
    const hoarder = await camera.reader();
    await camera.hoard(hoarder, 6);
    begin(hoarder, { do: "take", sync });
    await camera.demand(1);
    expect(await hoarder.event("refused")).toMatchObject({ code: "EVICTED" });
  });

  test("with `reconnect` it comes back when it has closed what it held", async () => {
    const camera = await Camera.begin(small);
    const hoarder = await camera.reader({ mode: "ordered", reconnect: true });
    await camera.hoard(hoarder, 6);
    begin(hoarder, { do: "iterate" });
    await camera.demand(20);
    expect(await hoarder.ask({ do: "take", timeout: 300 }, "refused")).toMatchObject({
      code: "TIMEOUT",
      message: expect.stringMatching(/this process still holds frames/),
    });
    expect(await tornOf(hoarder)).toBe(0);
    expect(await camera.stats()).toMatchObject({ subscribers: 0, evictions: 1 });
    await hoarder.ask({ do: "release" }, "released");
    await camera.publisher.ask({ do: "run" }, "running");
    await hoarder.event("iterating");
    expect(await hoarder.ask({ do: "stats" }, "stats")).toMatchObject({
      reconnects: 1,
      held: 0,
      connected: true,
    });
    expect(hoarder.taken("iterated")).toBeUndefined();
  });

  test("its reader of packets is told, too, when it has had them; with `reconnect` it goes on", async () => {
    for (const reconnect of [false, true]) {
      const camera = await Camera.begin({ ...small, packets: true });
      const hoarder = await camera.reader({ mode: "ordered", reconnect });
      await camera.publisher.ask({ do: "publish", packets: 1 }, "published");
      begin(hoarder, { do: "iterate", packets: true });
      await hoarder.event("iterating");
      await camera.hoard(hoarder, 6);
      expect(await camera.demand(1)).toMatchObject({ evictions: 1 });
      if (reconnect) {
        await hoarder.ask({ do: "release" }, "released");
        await eventually("it is back", async () => (await camera.stats()).subscribers === 1);
        await camera.publisher.ask({ do: "publish", packets: 10 }, "published");
        expect(hoarder.taken("iterated")).toBeUndefined();
      } else {
        expect(await hoarder.event("iterated")).toMatchObject({
          code: "EVICTED",
          message: expect.stringMatching(/6 frames were held/),
          count: 1,
        });
      }
      for (const one of [camera.publisher, hoarder]) one.kill();
      await Promise.all([camera.publisher.exited, hoarder.exited]);
    }
  });

  test("one that is stopped while it holds frames is evicted, and finds them as they were", async () => {
    const camera = await Camera.begin(small);
    const honest = await camera.honest();
    const stopped = await camera.reader({ mode: "ordered" });
    await camera.hoard(stopped, 6);
    await stopped.stop();
    expect(await camera.demand(500)).toMatchObject({ evictions: 1 });
    await eventually("each is replaced", async () => (await camera.stats()).slotsOutside === 6);
    stopped.kill("SIGCONT");
    expect(await stopped.ask({ do: "take", timeout: 5000 }, "refused")).toMatchObject({ code: "EVICTED" });
    expect(await tornOf(stopped)).toBe(0);
    await camera.expectServed(honest);
  });
});

describe("memory has a limit", () => {
  /** Of this runtime's kind of memory. */
  async function slotSizeOf(): Promise<number> {
    const camera = await Camera.begin({ slots: 2 });
    const inspector = await camera.reader();
    const { slotSize } = await inspector.ask<PublisherReport>({ do: "inspect" }, "inspected");
    for (const one of [camera.publisher, inspector]) one.kill();
    await Promise.all([camera.publisher.exited, inspector.exited]);
    return slotSize;
  }

  test("too small a one is refused, with the number that would do", async () => {
    const publisher = stage().start("publisher", { key, ...size, slots: 4, memoryLimit: 5 * 4608 });
    const { code, message } = await publisher.event<Outcome>("refused");
    expect(code).toBe("INVALID_ARGUMENT");
    const [, enough] = /at least (\d+)/.exec(message) ?? [];
    const other = stage().start("publisher", { key, ...size, slots: 4, memoryLimit: Number(enough) });
    await other.event("ready");
    const last = stage().start("publisher", {
      key: "other",
      ...size,
      slots: 4,
      memoryLimit: Number(enough) - 1,
    });
    expect(await last.event("refused")).toMatchObject({ code: "INVALID_ARGUMENT" });
  });

  test("the last memories are nobody's to hold: whoever is there goes before they are made", async () => {
    const slotSize = await slotSizeOf();
    const camera = await Camera.begin({ ...small, memoryLimit: 12 * slotSize });
    const [first, second] = [await camera.reader(), await camera.reader()];
    await camera.hoard(first, 6);
    expect(await camera.demand(1)).toMatchObject({ evictions: 1 });
    // Two of the six are in the ring still.
    await eventually("the others are replaced", async () => (await camera.stats()).slotsOutside === 4);
    let ended: Outcome | undefined;
    for (let held = 1; ended === undefined; held++) {
      await camera.demand(1);
      second.send({ do: "hold", frames: held });
      await eventually("it has one more, or none", () => {
        ended = second.taken<Outcome>("refused");
        return ended !== undefined || second.taken("holding") !== undefined;
      });
    }
    expect(ended).toMatchObject({ code: "EVICTED", message: expect.stringMatching(/frames were held/) });
    const stats = await camera.demand(100);
    expect(stats).toMatchObject({ evictions: 2, subscribers: 0 });
    expect(stats.memories).toBeLessThanOrEqual(12);
    for (const reader of [first, second]) expect(await tornOf(reader)).toBe(0);
    // Nobody is let in before there is memory for what it may hold.
    expect(await (await camera.stranger()).ask({ do: "connect" }, "refused")).toMatchObject({
      code: "OUT_OF_MEMORY",
      message: expect.stringMatching(/memoryLimit/),
    });
    for (const reader of [first, second]) await reader.ask({ do: "release" }, "released");
    await eventually("it is given back", async () => (await camera.stats()).slotsOutside === 0);
    await second.ask({ do: "connect" }, "connected");
  });

  test("whatever is held in other processes, it is never exceeded, and the publisher goes on", async () => {
    const slotSize = await slotSizeOf();
    const camera = await Camera.begin({ slots: 4, maxSlots: 6, memoryLimit: 12 * slotSize });
    const readers: Process[] = [];
    for (let index = 0; index < 6; index++) readers.push(await camera.reader({ reconnect: true }));
    await camera.publisher.ask({ do: "rush" }, "rushing");
    // Each another four, as they come.
    for (const reader of readers) begin(reader, { do: "hold", frames: 4, timeout: 60_000 });
    const all = [camera.publisher, ...camera.readers];
    let most = 0;
    const looks = performance.now() + 3000;
    while (performance.now() < looks) {
      most = Math.max(most, memoriesOf(all).size);
      const { slots, slotsOutside, memoryLimit } = await camera.stats();
      expect((slots + slotsOutside) * slotSize).toBeLessThanOrEqual(memoryLimit);
    }
    const halted = await camera.publisher.ask<Demanded>({ do: "halt" }, "halted");
    expect(halted.evictions).toBeGreaterThan(0);
    expect(halted.memories).toBeLessThanOrEqual(12);
    expect(most).toBeLessThanOrEqual(12);
    for (const reader of readers) expect(await tornOf(reader)).toBe(0);
    for (const reader of readers) await reader.ask({ do: "release" }, "released");
    // And everybody comes back.
    for (const reader of readers) begin(reader, { do: "take", timeout: 60_000 });
    await eventually("all is given back", async () => (await camera.stats()).slotsOutside === 0);
    await eventually("all are there", async () => (await camera.stats()).subscribers === readers.length);
  }, 60_000);
});

describe.skipIf(testMemory !== "host")("peers that mean harm", () => {
  async function join(peer: Peer, camera: Camera, fields: Parameters<typeof hello>[0] = {}): Promise<Joined> {
    const connection = await peer.connect(camera.path);
    await peer.send(connection, hello(fields));
    const { bytes, descriptors } = await peer.receive(connection);
    return { connection, bytes: bytes!, descriptors };
  }
  type Joined = { connection: number; bytes: Uint8Array; descriptors: number[] };

  test.each([
    ["frames", wants.frames],
    ["packets only", wants.packets],
  ])("pages that claim every slot, whatever the publisher says (%s)", async (_, wanted) => {
    const camera = await Camera.begin({ maxSlots: 16, packets: true });
    const honest = await camera.honest();
    const peer = await Peer.start(stage());
    const joined: Joined[] = [];
    for (let index = 0; index < 2; index++) joined.push(await join(peer, camera, { wants: wanted }));
    await camera.demand(8);
    const attack = peer.claim(
      joined[0]!.descriptors[0]!,
      joined.map(({ descriptors }) => descriptors[1]!),
      1500,
    );
    let attacking = true;
    attack.finally(() => attacking = false);
    let last: Demanded;
    do last = await camera.demand(100); while (attacking);
    expect(await attack).toBeGreaterThan(1000);
    expect(last.evictions > 0).toBe(wanted === wants.frames);
    expect(last.memories).toBeLessThanOrEqual(64);
    // What was claimed after the eviction protects nothing.
    const after = await camera.demand(500);
    expect(after.evictions).toBe(last.evictions);
    expect(after.slots).toBeLessThanOrEqual(16);
    if (wanted === wants.frames) {
      const revoked = await Promise.all(
        joined.map(async ({ descriptors }) => (await peer.read(descriptors[1]!, leasePageRevoked, 1))[0]!),
      );
      expect(revoked.reduce((sum, one) => sum + one)).toBe(last.evictions);
    }
    await camera.expectServed(honest);
  }, 60_000);

  test("one that comes back at once is refused for longer and longer", async () => {
    const camera = await Camera.begin({ ...small, tell: true });
    const peer = await Peer.start(stage());
    const times: number[] = [];
    for (let round = 0; round < 4; round++) {
      const joined = await join(peer, camera);
      expect(kindOf(joined.bytes)).toBe(kinds.welcome);
      await camera.demand(4);
      const { evictions } = await camera.stats();
      const [control, page] = joined.descriptors;
      const attack = peer.claim(control!, [page!], 300);
      await eventually("it is evicted", async () => (await camera.demand(10)).evictions > evictions);
      await attack;
      for (const fd of [...joined.descriptors, joined.connection]) await peer.close(fd);
      const start = performance.now();
      await eventually("it is let in again", async () => {
        const { bytes, connection, descriptors } = await join(peer, camera);
        const refused = readRefusal(bytes);
        for (const fd of [...descriptors, connection]) await peer.close(fd);
        if (refused !== undefined) expect(refused.text).toMatch(/refuses this process for \d+ ms more/);
        return refused === undefined;
      });
      times.push(performance.now() - start);
    }
    expect(times[0]).toBeLessThan(900);
    // The attack went on for a while after the eviction.
    expect(times[1]).toBeGreaterThan(500);
    expect(times[2]).toBeGreaterThan(1500);
    expect(times[3]).toBeGreaterThan(3500);
    expect(await camera.publisher.event("refused")).toMatchObject({ name: "peer", refusedFor: 1 });
  }, 60_000);

  test("one that does not read delays nobody, and is told of each slot when it does", async () => {
    const camera = await Camera.begin({ slots: 4, maxSlots: 32 });
    const honest = await camera.honest();
    const peer = await Peer.start(stage());
    const { connection } = await join(peer, camera);
    const keeper = await camera.reader({ mode: "ordered" });
    await camera.hoard(keeper, 8);
    const { slots } = await camera.demand(100);
    expect(slots).toBeGreaterThanOrEqual(10);
    // The rest of them comes when it reads: each slot once.
    const told = new Set<number>();
    for (let index = 0; index < slots - 4; index++) {
      const { bytes, descriptors } = await peer.receive(connection);
      expect(kindOf(bytes!)).toBe(kinds.memory);
      expect(descriptors).toHaveLength(1);
      told.add(new DataView(bytes!.buffer).getUint32(16, true));
    }
    expect(told.size).toBe(slots - 4);
    await camera.expectServed(honest);
  });

  test("one that is evicted and keeps its connection for ever is counted, once", async () => {
    const camera = await Camera.begin(small);
    const honest = await camera.honest();
    const peer = await Peer.start(stage());
    const { descriptors: [control, page] } = await join(peer, camera);
    await camera.demand(6);
    await eventually("it is evicted", async () => {
      await peer.claim(control!, [page!], 0);
      return (await camera.demand(10)).evictions === 1;
    });
    const { slotsOutside, memories } = await camera.demand(1000);
    expect(slotsOutside).toBeGreaterThan(0);
    expect(slotsOutside).toBeLessThanOrEqual(6);
    expect(memories).toBeLessThanOrEqual(24);
    peer.process.kill();
    await eventually("it is gone", async () => (await camera.stats()).slotsOutside === 0);
    await camera.expectServed(honest);
  });

  const other = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
  const canBeOther = process.getuid?.() === 0 && succeedsSync(other[0]!, [...other.slice(1), "true"]);

  test.skipIf(!canBeOther)("all processes of another user are one", async () => {
    chmodSync(stage().directory, 0o755);
    const camera = await Camera.begin({ ...small, memoryLimit: 2 ** 22, socketMode: 0o666 });
    const honest = await camera.honest();
    const path = `${stage().directory}/peer`;
    copyFileSync(await buildPeer(), path);
    chmodSync(path, 0o755);
    const begin = () => new Peer(stage().adopt(new Process("peer", other[0]!, [...other.slice(1), path])));
    const [first, second] = [begin(), begin()];
    const { descriptors: [control, page] } = await join(first, camera);
    await camera.demand(6);
    await eventually("it is evicted", async () => {
      await first.claim(control!, [page!], 0);
      return (await camera.demand(10)).evictions === 1;
    });
    expect(readRefusal((await join(second, camera)).bytes)?.text).toMatch(/this user still holds frames/);
    first.process.kill();
    await eventually("it is gone", async () => (await camera.stats()).slotsOutside === 0);
    expect(kindOf((await join(second, camera)).bytes)).toBe(kinds.welcome);
    await camera.expectServed(honest);
  });
});
