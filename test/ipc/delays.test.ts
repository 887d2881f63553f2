// Peers that try to hold a process up: with descriptors whose closing takes its time, and with more connections than it
// can serve. Neither its frames nor anything else that it does waits for them.

import { chmodSync } from "node:fs";
import process from "node:process";
import { expect, test } from "vitest";
import type { PublisherStats } from "../../mod.ts";
import { notOnHost } from "../support/memory.ts";
import { Peer } from "../support/peer.ts";
import { eventually, type Process, stages } from "../support/processes.ts";
import type { Outcome } from "../support/programs/worker.ts";
import * as wire from "../support/wire.ts";

const stage = stages();
const key = "delayed";
/** What closing takes, in seconds: longer than a test waits for what happens at once. */
const lingering = 20;
const soon = 10_000;

async function atOnce<T>(what: string, act: () => Promise<T>): Promise<T> {
  const start = performance.now();
  const result = await act();
  expect(performance.now() - start, what).toBeLessThan(soon);
  return result;
}

function stats(publisher: Process): Promise<PublisherStats> {
  return publisher.ask<PublisherStats>({ do: "stats" }, "stats");
}

/** Acts while a process takes nothing in: what is sent to it meanwhile is the only one left when it runs again. */
async function whileStopped(process: Process, act: () => Promise<void>): Promise<void> {
  await process.stop();
  await act();
  process.kill("SIGCONT");
}

/** Sends a descriptor that takes its time to a stopped process that wants none. */
async function sendLingering(peer: Peer, connection: number, bytes: Uint8Array): Promise<void> {
  const descriptor = await peer.linger(lingering);
  try {
    await peer.sendLast(connection, bytes, descriptor, 1);
  } catch (error) {
    // The kernel refuses it (Linux 6.16): the socket stays here, and is let go with its process.
    if (!(error instanceof Error && error.message.endsWith("error PERM"))) throw error;
  }
}

test("a publisher's frames, its other subscribers and its end wait for no descriptor of a peer", async ({ skip }) => {
  skip(...notOnHost); // the peer has no GPU
  const publisher = stage().start("publisher", { key, width: 64, height: 48 });
  const subscriber = stage().start("remote", { key });
  const peer = await Peer.start(stage());
  await Promise.all([publisher.event("ready"), subscriber.event("ready")]);
  const path = `${stage().directory}/${key}.sock`;
  const greeting = await peer.connect(path);
  const joined = await peer.connect(path);
  await peer.send(joined, wire.hello());
  expect(wire.kindOf((await peer.receive(joined)).bytes!)).toBe(wire.kinds.welcome);

  for (
    const [what, connection, bytes] of [
      ["in a hello", greeting, wire.hello()],
      ["in a release", joined, wire.released()],
    ] as const
  ) {
    await whileStopped(publisher, () => sendLingering(peer, connection, bytes));
    await atOnce(what, async () => {
      await publisher.ask({ do: "publish", frames: 10 }, "published");
      await subscriber.ask({ do: "connect" }, "connected");
      await publisher.ask({ do: "publish", frames: 1 }, "published");
      await subscriber.ask({ do: "take", timeout: 5000 }, "took");
      await subscriber.ask({ do: "close" }, "closed");
      await publisher.ask({ do: "acquire" }, "acquired");
    });
  }
  // Nobody has read these when it ends.
  await whileStopped(publisher, async () => {
    for (let index = 0; index < 3; index++) {
      const connection = await peer.connect(path);
      await sendLingering(peer, connection, index === 0 ? wire.hello() : Uint8Array.of(1));
    }
  });
  await atOnce("closing", () => publisher.ask({ do: "close" }, "closed"));
  await atOnce("publishing again", () => publisher.ask({ do: "create" }, "ready"));
  peer.process.kill();
});

test("a subscriber's process waits for no descriptor of a publisher, and keeps none", async () => {
  const subscriber = stage().start("remote", { key });
  const other = stage().start("publisher", { key: "honest", width: 64, height: 48 });
  const peer = await Peer.start(stage());
  await Promise.all([subscriber.event("ready"), other.event("ready")]);
  const listener = await peer.listen(`${stage().directory}/${key}.sock`);

  async function greeted(): Promise<number> {
    const connection = await peer.accept(listener);
    expect(wire.kindOf((await peer.receive(connection)).bytes!)).toBe(wire.kinds.hello);
    return connection;
  }
  async function stillWorks(what: string): Promise<void> {
    await atOnce(
      `${what}: an inspection`,
      () => subscriber.ask({ do: "inspect", of: "honest" }, "inspected"),
    );
  }

  for (
    const [what, count] of [["too many", 253], ["as many as a welcome may have", 68], ["one", 1]] as const
  ) {
    const descriptor = await peer.linger(lingering);
    await atOnce(what, async () => {
      subscriber.send({ do: "connect", options: { timeout: 5000 } });
      const connection = await greeted();
      await whileStopped(subscriber, () => peer.sendLast(connection, wire.welcome(), descriptor, count));
      expect((await subscriber.event<Outcome>("refused")).code, what).toBe("PROTOCOL");
      await peer.close(connection);
    });
    await stillWorks(what);
  }

  const ring = [
    await peer.memfd(wire.controlSize, wire.readOnly),
    await peer.memfd(wire.pageSize, wire.sealed),
    await peer.memfd(4096, wire.readOnly),
    await peer.memfd(4096, wire.readOnly),
  ];
  async function accepted(): Promise<number> {
    subscriber.send({ do: "connect" });
    const connection = await greeted();
    await peer.send(connection, wire.welcome(), ring);
    await subscriber.event("connected");
    return connection;
  }
  // With a packets message: one that is no memory, and more than one.
  for (const count of [1, 2]) {
    const connection = await accepted();
    const descriptor = await peer.linger(lingering);
    await atOnce(`${count} with a packet ring`, async () => {
      await whileStopped(
        subscriber,
        () => peer.sendLast(connection, wire.track(0, { size: 4096n }), descriptor, count),
      );
      expect((await subscriber.ask<Outcome>({ do: "take", timeout: 5000 }, "refused")).code).toBe(
        "DISCONNECTED",
      );
      await stillWorks(`${count} with a packet ring`);
      await subscriber.ask({ do: "close" }, "closed");
    });
    await peer.close(connection);
  }
  // Unread at the end, behind a message that ends the connection.
  const connection = await accepted();
  const descriptor = await peer.linger(lingering);
  await whileStopped(subscriber, async () => {
    await peer.send(connection, wire.released());
    await peer.sendLast(connection, wire.track(0, { size: 4096n }), descriptor, 1);
  });
  await atOnce("closing", () => subscriber.ask({ do: "close" }, "closed"));
  await stillWorks("closing");
  peer.process.kill();
  await eventually(
    "every one of them is closed",
    () => subscriber.descriptors().every((name) => !name.startsWith("socket:")),
  );
}, 60_000);

test("more handshakes than can be served move neither acquire nor publish", async ({ skip }) => {
  skip(...notOnHost); // the peer has no GPU
  const publisher = stage().start("publisher", { key, width: 64, height: 48 });
  await publisher.event("ready");
  const peer = await Peer.start(stage());
  const milliseconds = 2000;
  const flood = peer.connectFlood(`${stage().directory}/${key}.sock`, wire.hello(), milliseconds + 500);
  const flooded = await publisher.ask<{ usually: number }>({ do: "time", milliseconds }, "timed");
  expect(await flood).toBeGreaterThan(100);
  // Microseconds. Three busy processes share the machine, whose scheduler now and then takes milliseconds.
  expect(flooded.usually).toBeLessThan(2000);
  await eventually("they have gone", async () => (await stats(publisher)).subscribers === 0);
}, 30_000);

const nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];

test.skipIf(process.getuid?.() !== 0)(
  "one user's peers that do not read keep no other user's from coming",
  async ({ skip }) => {
    skip(...notOnHost); // the peer has no GPU
    const publisher = stage().start("publisher", { key, width: 64, height: 48, socketMode: 0o666 });
    await publisher.event("ready");
    chmodSync(stage().directory, 0o777);
    const peer = await Peer.start(stage(), nobody);
    const path = `${stage().directory}/${key}.sock`;
    for (let index = 0; index < 100; index++) await peer.send(await peer.connect(path), wire.hello());
    await eventually("some are subscribers", async () => (await stats(publisher)).subscribers === 2);
    const subscriber = stage().start("remote", { key });
    await subscriber.event("ready");
    for (let round = 0; round < 3; round++) {
      await atOnce("another user's", () => subscriber.ask({ do: "connect" }, "connected"));
      await subscriber.ask({ do: "close" }, "closed");
    }
    // Nobody keeps descriptors on their way by being dropped and coming again.
    await eventually("all have had their time", async () => (await stats(publisher)).rejected >= 100);
    for (let index = 0; index < 10; index++) await peer.send(await peer.connect(path), wire.hello());
    await eventually("those too", async () => (await stats(publisher)).rejected >= 110);
    expect(publisher.descriptors().filter((name) => name.startsWith("socket:")).length).toBeLessThanOrEqual(
      1 + 4,
    );
  },
  30_000,
);
