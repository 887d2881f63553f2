// What happens when descriptors, memory or rights run out, and when several want the same key.

import { chmodSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, expect, test } from "vitest";
import { monotonicNow, type PublisherStats } from "../../mod.ts";
import { outputOf, outputOfSync, succeedsSync } from "../../scripts/lib/process.ts";
import { root } from "../../scripts/toolchain.mjs";
import { notOnHost, testMemory } from "../support/memory.ts";
import { Peer } from "../support/peer.ts";
import { eventually, type Process, runtimes, stages } from "../support/processes.ts";
import type { Outcome } from "../support/programs/worker.ts";

const stage = stages();
const key = "limited";
const size = { width: 64, height: 48 };

/** A process that may have no more descriptors than that. */
function withDescriptors(count: number): { prefix: string[] } {
  return { prefix: ["sh", "-c", `ulimit -n ${count}; exec "$@"`, "sh"] };
}

/** Changes what a running process may have, prlimit(1). */
function limit(of: Process, resource: "nofile" | "as", value: number | "unlimited"): void {
  outputOfSync("prlimit", ["--pid", `${of.pid}`, `--${resource}=${value}:`]);
}

/** How much of a core a process uses, over so many milliseconds. */
async function load(of: Process, milliseconds: number): Promise<number> {
  const [cpu, start] = [of.cpuTime(), performance.now()];
  await eventually("time has passed", () => performance.now() - start > milliseconds);
  return (of.cpuTime() - cpu) / (performance.now() - start);
}

// A driver needs descriptors and address space of its own, and says what it likes where they run out.
describe.skipIf(testMemory !== "host")("no descriptors left", () => {
  test("in the publisher: subscribers are told, until there are some again", async () => {
    const publisher = stage().start("publisher", { key, ...size }, withDescriptors(64));
    const subscriber = stage().start("remote", { key });
    await Promise.all([publisher.event("ready"), subscriber.event("ready")]);
    await subscriber.ask({ do: "connect" }, "connected");
    const before = publisher.descriptors();
    await publisher.ask({ do: "hog", spare: 0 }, "hogged");

    const other = stage().start("remote", { key });
    await other.event("ready");
    for (let attempt = 0; attempt < 3; attempt++) {
      expect(await other.ask({ do: "connect" }, "refused")).toMatchObject({
        code: "OUT_OF_MEMORY",
        message: expect.stringMatching(/no file descriptors left/),
      });
    }
    // One for the connection, none for its lease page; unless the runtime has taken that one.
    await publisher.ask({ do: "unhog" }, "unhogged");
    await publisher.ask({ do: "hog", spare: 1 }, "hogged");
    const { code, message } = await other.ask<Outcome>({ do: "connect" }, "refused");
    expect(code).toMatch(/^(IO|OUT_OF_MEMORY)$/);
    expect(message).toMatch(/ulimit -n|no file descriptors left/);

    // Those who were there are served.
    await publisher.ask({ do: "publish", frames: 1 }, "published");
    expect(await subscriber.ask({ do: "take", timeout: 5000 }, "took")).toMatchObject({
      sequence: 1,
      whole: true,
    });
    await publisher.ask({ do: "unhog" }, "unhogged");
    await other.ask({ do: "connect" }, "connected");
    await other.ask({ do: "close" }, "closed");
    await eventually(
      "nothing is left of it",
      async () => (await publisher.ask<PublisherStats>({ do: "stats" }, "stats")).subscribers === 1,
    );
    await publisher.settlesAt(before);
  });

  test("in a publisher that cannot even open one that it has closed: it does not spin, and recovers", async () => {
    const publisher = stage().start("publisher", { key, ...size });
    const peer = await Peer.start(stage());
    await publisher.event("ready");
    limit(publisher, "nofile", 4);
    expect(await peer.connectMany(`${stage().directory}/${key}.sock`, 20)).toBe(20);
    expect(await load(publisher, 1000)).toBeLessThan(0.3);

    limit(publisher, "nofile", 1024);
    const subscriber = stage().start("remote", { key });
    await subscriber.event("ready");
    await subscriber.ask({ do: "connect" }, "connected");
  });

  test("in a subscriber: each number that is too small is an error, and costs nothing", async () => {
    const publisher = stage().start("publisher", { key, ...size, slots: 8, packets: true });
    const subscriber = stage().start("remote", { key }, withDescriptors(96));
    await Promise.all([publisher.event("ready"), subscriber.event("ready")]);
    await subscriber.ask({ do: "connect" }, "connected");
    await subscriber.ask({ do: "close" }, "closed");
    const before = subscriber.descriptors().length;
    const codes: string[] = [];
    for (let spare = 0; spare < 20; spare++) {
      await subscriber.ask({ do: "hog", spare }, "hogged");
      subscriber.send({ do: "connect" });
      subscriber.send({ do: "close" });
      await subscriber.event("closed");
      const refused = subscriber.taken<Outcome>("refused");
      codes.push(refused?.code ?? "connected");
      if (refused !== undefined) expect(refused.message, `${spare}`).toMatch(/ulimit -n/);
      await subscriber.ask({ do: "unhog" }, "unhogged");
      await eventually(
        "nothing is left of it",
        () => subscriber.descriptors().length <= before && subscriber.mappings() === 0,
      );
    }
    // From where it is enough, it always is.
    const enough = codes.indexOf("connected");
    expect(enough).toBeGreaterThan(10);
    expect(codes.slice(enough)).toEqual(codes.slice(enough).map(() => "connected"));
    expect(new Set(codes.slice(0, enough))).toEqual(new Set(["IO"]));
  });

  test("in a process that would publish: each number that is too small is an error, and the key stays free", async () => {
    const publisher = stage().start(
      "publisher",
      { key, ...size, slots: 4, later: true },
      withDescriptors(96),
    );
    await publisher.event("waiting");
    // What peers could have put something into is closed by a thread of its own where there is no descriptor left to
    // look into it.
    const sockets = () => publisher.descriptors().filter((name) => name.startsWith("socket:")).length;
    const socketsOfItsOwn = sockets();
    await publisher.ask({ do: "create" }, "ready");
    await publisher.ask({ do: "close" }, "closed");
    await eventually("its socket is closed", () => sockets() === socketsOfItsOwn);
    const before = publisher.descriptors();
    for (let spare = 0, created = false; !created; spare++) {
      await publisher.ask({ do: "hog", spare }, "hogged");
      publisher.send({ do: "create" });
      publisher.send({ do: "close" });
      await publisher.event("closed");
      created = publisher.taken("ready") !== undefined;
      if (!created) {
        expect(publisher.taken<Outcome>("refused"), `${spare}`).toMatchObject({
          code: "IO",
          message: expect.stringMatching(/ulimit -n/),
        });
      }
      expect(existsSync(`${stage().directory}/${key}.sock`)).toBe(false);
      await publisher.ask({ do: "unhog" }, "unhogged");
      await eventually("its sockets are closed", () => sockets() === socketsOfItsOwn);
      await publisher.settlesAt(before);
      expect(spare).toBeLessThan(20);
    }
  });
});

test("no address space left: OUT_OF_MEMORY, nothing kept, and it works again when there is some", async ({ skip }) => {
  skip(...notOnHost);
  // 64 slots of 6 MB; the runtime itself needs a little.
  const large = { key, width: 4096, height: 1536, format: "GRAY8", slots: 64 };
  const margin = 96 * 1024 * 1024;
  const publisher = stage().start("publisher", { ...large, later: true });
  const subscriber = stage().start("remote", { key });
  await Promise.all([publisher.event("waiting"), subscriber.event("ready")]);
  for (const limited of [publisher, subscriber]) limit(limited, "as", limited.addressSpace() + margin);
  expect(await publisher.ask({ do: "create" }, "refused")).toMatchObject({ code: "OUT_OF_MEMORY" });
  expect(publisher.mappings()).toBe(0);
  expect(publisher.descriptors().filter((name) => name.startsWith("/memfd:"))).toEqual([]);
  limit(publisher, "as", "unlimited");
  await publisher.ask({ do: "create" }, "ready");

  expect(await subscriber.ask({ do: "connect" }, "refused")).toMatchObject({ code: "OUT_OF_MEMORY" });
  await eventually(
    "nothing is left of it",
    () =>
      subscriber.mappings() === 0 && subscriber.descriptors().every((name) => !name.startsWith("/memfd:")),
  );
  limit(subscriber, "as", "unlimited");
  await subscriber.ask({ do: "connect" }, "connected");
});

test("no room for a packet ring that comes later: its readers are told, and the frames go on", async ({ skip }) => {
  skip(...notOnHost);
  const dataSize = 256 * 1024 * 1024;
  const margin = 96 * 1024 * 1024;
  const lacks: [
    code: string,
    message: RegExp,
    begin: (of: Process) => unknown,
    end: (of: Process) => unknown,
  ][] = [
    [
      "IO",
      /no file descriptor left .*ulimit -n/,
      (of) => of.ask({ do: "hog", spare: 0 }, "hogged"),
      (of) => of.ask({ do: "unhog" }, "unhogged"),
    ],
    [
      "OUT_OF_MEMORY",
      /no room in memory/,
      (of) => limit(of, "as", of.addressSpace() + margin),
      (of) => limit(of, "as", "unlimited"),
    ],
  ];
  for (const [code, message, begin, end] of lacks) {
    const publisher = stage().start("publisher", { key, ...size });
    const subscriber = stage().start("remote", { key }, withDescriptors(96));
    await Promise.all([publisher.event("ready"), subscriber.event("ready")]);
    await subscriber.ask({ do: "connect" }, "connected");
    // Once, so that what the runtime itself opens late is there.
    await subscriber.ask({ do: "takePacket", timeout: 1, wait: true }, "refused");
    await begin(subscriber);
    await publisher.ask({ do: "enablePackets", dataSize }, "enabled");
    const told = expect.objectContaining({ code, message: expect.stringMatching(message) });
    for (const wait of [true, false]) {
      expect(await subscriber.ask({ do: "takePacket", timeout: 30_000, wait }, "refused")).toEqual(told);
    }
    await publisher.ask({ do: "publish", frames: 1 }, "published");
    expect(await subscriber.ask({ do: "take", timeout: 5000 }, "took")).toMatchObject({ sequence: 1 });

    await end(subscriber);
    await subscriber.ask({ do: "close" }, "closed");
    await subscriber.ask({ do: "connect" }, "connected");
    await publisher.ask({ do: "publish", packets: 1 }, "published");
    expect(await subscriber.ask({ do: "takePacket", timeout: 5000 }, "packet")).toMatchObject({
      sequence: 0,
    });
    await publisher.ask({ do: "close" }, "closed");
    subscriber.kill();
  }
});

test("of eight processes that race for a key, one wins, each time", async () => {
  const racers = Array.from(
    { length: 8 },
    (_, index) => stage().start("racer", { key }, { runtime: runtimes[index % 2]! }),
  );
  await Promise.all(racers.map((racer) => racer.event("ready")));
  for (let round = 0; round < 30; round++) {
    const at = Number(monotonicNow()) + 3_000_000;
    for (const racer of racers) racer.send({ do: "race", at });
    const codes = await Promise.all(racers.map(async (racer) => (await racer.event<Outcome>("ran")).code));
    expect(codes.toSorted()).toEqual([...new Array(7).fill("ALREADY_EXISTS"), "won"]);
    const winner = racers[codes.indexOf("won")]!;
    if (round % 4 !== 3) await winner.ask({ do: "close" }, "closed");
    else racers[codes.indexOf("won")] = await replaced(winner);
  }

  async function replaced(winner: Process): Promise<Process> {
    winner.kill();
    await winner.exited;
    const racer = stage().start("racer", { key });
    await racer.event("ready");
    return racer;
  }
});

const nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];

function canBecomeNobody(): boolean {
  if (process.getuid?.() !== 0) return false;
  const [command = "", ...args] = nobody;
  const readable = ["test", "-r", new URL(import.meta.url).pathname, "-a", "-x", process.execPath];
  return succeedsSync(command, [...args, ...readable]);
}

test.skipIf(!canBecomeNobody())(
  "another user: PERMISSION with the path, until the modes allow it",
  async () => {
    const runtimeDirectory = `${stage().directory}/run`;
    const home = `${stage().directory}/home`;
    mkdirSync(home);
    for (const folder of [stage().directory, home]) chmodSync(folder, 0o777);
    const subscriber = stage().start("remote", { key, runtimeDirectory }, {
      prefix: nobody,
      env: { HOME: home, DENO_DIR: home },
    });
    await subscriber.event("ready");
    const options = { key, ...size, runtimeDirectory };
    const closed = stage().start("publisher", options);
    await closed.event("ready");
    const path = `${runtimeDirectory}/${key}.sock`;
    // By the directory, which a publisher makes for its user and group; then by the socket.
    expect(await subscriber.ask({ do: "connect" }, "refused")).toMatchObject({
      code: "PERMISSION",
      message: expect.stringContaining(path),
    });
    chmodSync(runtimeDirectory, 0o755);
    expect(await subscriber.ask({ do: "connect" }, "refused")).toMatchObject({
      code: "PERMISSION",
      message: expect.stringContaining(path),
    });
    await closed.ask({ do: "close" }, "closed");

    const open = stage().start("publisher", { ...options, socketMode: 0o666 });
    await open.event("ready");
    await subscriber.ask({ do: "connect" }, "connected");
    await open.ask({ do: "publish", frames: 1 }, "published");
    expect(await subscriber.ask({ do: "take", timeout: 5000 }, "took")).toMatchObject({
      sequence: 1,
      whole: true,
    });
    // It may read there, but not take the key: neither from who has it, nor where it is left.
    const usurper = () =>
      stage().start("publisher", options, { prefix: nobody, env: { HOME: home, DENO_DIR: home } });
    expect(await usurper().event("refused")).toMatchObject({ code: "ALREADY_EXISTS" });
    open.kill();
    await open.exited;
    expect(await usurper().event("refused")).toMatchObject({
      code: "PERMISSION",
      message: expect.stringContaining(`${runtimeDirectory}/${key}.lock`),
    });
  },
);

test("decoding a file again and again does not grow the process", async () => {
  const [width, height] = [320, 240];
  const decoder = stage().start("decoder", {
    input: join(root, "test/fixtures/clip.mp4"),
    passes: 20,
    width,
    height,
  });
  const { resident } = await decoder.event<{ resident: number[] }>("decoded");
  const growth = Math.min(...resident.slice(15)) - Math.min(...resident.slice(5, 10));
  // In ten passes, of 250 frames each: one in ten of them that is not freed would be more.
  expect(growth).toBeLessThan(250 * width * height * 3 / 2);
  expect(await decoder.exited).toEqual({ code: 0, signal: null });
}, 120_000);

test.skipIf(process.getuid?.() !== 0)(
  "a publisher can give up being root, which takes each of its threads",
  async () => {
    const publisher = stage().start("publisher", { key, ...size });
    await publisher.event("ready");
    expect(await publisher.ask({ do: "become", user: "nobody" }, "became")).toEqual({
      event: "became",
      uid: Number(await outputOf("id", ["-u", "nobody"])),
    });
    const subscriber = stage().start("remote", { key });
    await subscriber.event("ready");
    await subscriber.ask({ do: "connect" }, "connected");
    await publisher.ask({ do: "publish", frames: 1 }, "published");
    expect(await subscriber.ask({ do: "take", timeout: 5000 }, "took")).toMatchObject({
      sequence: 1,
      whole: true,
    });
  },
);
