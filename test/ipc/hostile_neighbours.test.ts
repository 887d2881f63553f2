// Others who may write to a runtime directory: what they put there, take away or hold on to costs nobody more than the
// file itself.

import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { beforeEach, describe, expect, test } from "vitest";
import { outputOfSync } from "../../scripts/lib/process.ts";
import { Peer } from "../support/peer.ts";
import { eventually, type Process, stages } from "../support/processes.ts";
import type { Outcome } from "../support/programs/worker.ts";
import { asUser, cannotBecomeOthers, type User, withoutOthers } from "../support/users.ts";

const stage = stages();
const key = "cam";
const size = { width: 16, height: 16, slots: 2 };
const group = 61_000;
const alice: User = { uid: 61_001, gid: group };
const bob: User = { uid: 61_002, gid: group };

/** A directory that a group of several users shares. */
let shared: string;
beforeEach(() => {
  shared = join(stage().directory, "shared");
  mkdirSync(shared);
  if (cannotBecomeOthers) return;
  chmodSync(stage().directory, 0o755);
  chownSync(shared, 0, group);
  chmodSync(shared, 0o2770);
});

const lock = () => join(shared, `${key}.lock`);
const socket = () => join(shared, `${key}.sock`);

function publisher(user?: User, options: object = {}): Process {
  const started = user === undefined ? {} : asUser(stage(), user);
  return stage().start("publisher", { key, ...size, runtimeDirectory: shared, ...options }, started);
}

function subscriber(user?: User): Process {
  const started = user === undefined ? {} : asUser(stage(), user);
  return stage().start("remote", { key, runtimeDirectory: shared }, started);
}

async function expectPublished(by: Process): Promise<void> {
  const reader = subscriber();
  await reader.event("ready");
  await reader.ask({ do: "connect" }, "connected");
  await by.ask({ do: "publish", frames: 1 }, "published");
  expect(await reader.ask({ do: "take", timeout: 10_000 }, "took")).toMatchObject({
    sequence: 1,
    whole: true,
  });
  reader.kill();
  await reader.exited;
}

async function neighbour(user?: User): Promise<Peer> {
  const peer = await Peer.start(stage());
  if (user !== undefined) await peer.become(user.uid, user.gid);
  return peer;
}

describe.skipIf(cannotBecomeOthers)(`a racer that puts links into the directory (${withoutOthers})`, () => {
  const milliseconds = 3000;
  const publisherNames = [`.${key}.sock`, `.${key}.0`, `.${key}.1`];
  const listenerNames = ["app.sock.new", "app.sock~0", "app.sock~1"];

  test.each([["publisher", publisherNames], ["messenger", listenerNames]] as const)(
    "a %s changes no other file's mode, and makes nothing elsewhere",
    async (program, names) => {
      const elsewhere = join(stage().directory, "elsewhere");
      const secret = join(elsewhere, "secret");
      mkdirSync(elsewhere);
      writeFileSync(secret, "", { mode: 0o600 });
      const victim = program === "publisher"
        ? publisher(undefined, { later: true })
        : stage().start("messenger", { address: join(shared, "app.sock") });
      await victim.event(program === "publisher" ? "waiting" : "ready");
      const restarted = async () => {
        const command = { do: "restart", milliseconds, options: { mode: 0o660 } };
        return await victim.ask<{ starts: number; refusals: unknown[] }>(command, "restarted");
      };
      for (const target of [secret, elsewhere]) {
        const racer = await neighbour(alice);
        const [swapped, { starts, refusals }] = await Promise.all([
          racer.swap(shared, target, milliseconds, [...names]),
          restarted(),
        ]);
        expect(statSync(secret).mode & 0o777).toBe(0o600);
        expect(statSync(elsewhere).mode & 0o777).toBe(0o755 & ~process.umask());
        expect(readdirSync(elsewhere)).toEqual(["secret"]);
        // It was in the way, and not always.
        expect(swapped).toBeGreaterThan(0);
        expect(starts).toBeGreaterThan(refusals.length);
      }
    },
    60_000,
  );
});

describe("a lock", () => {
  test.each(["0000", "0077", "0200"])("is its owner's alone with a umask of %s", async (umask) => {
    const prefix = ["sh", "-c", `umask ${umask}; exec "$@"`, "sh"];
    const started = stage().start("publisher", { key, ...size, runtimeDirectory: shared }, { prefix });
    await started.event("ready");
    expect(statSync(lock()).mode & 0o777).toBe(0o600);
    expect(statSync(socket()).mode & 0o777).toBe(0o660);
  });

  test.skipIf(cannotBecomeOthers)(
    `cannot be held by whoever may read the directory (${withoutOthers})`,
    async () => {
      const first = publisher();
      await first.event("ready");
      const reader = await neighbour(alice);
      await expect(reader.open(lock())).rejects.toThrow("error ACCES");
      first.kill();
      await first.exited;
      const second = publisher();
      await second.event("ready");
      await expectPublished(second);
    },
  );

  test.skipIf(cannotBecomeOthers)(
    `that others can read, as earlier releases made it, says nothing: the socket does (${withoutOthers})`,
    async () => {
      writeFileSync(lock(), "");
      chmodSync(lock(), 0o640);
      chownSync(lock(), 0, group);
      const holder = await neighbour(alice);
      await holder.flock(await holder.open(lock()));
      const second = publisher();
      await second.event("ready");
      expect(statSync(lock()).mode & 0o777).toBe(0o600);
      await expectPublished(second);

      // Whoever listens is not replaced.
      await second.ask({ do: "close" }, "closed");
      const listening = await neighbour();
      await listening.listen(socket());
      writeFileSync(lock(), "", { mode: 0o644 });
      const third = publisher();
      expect(await third.event("refused")).toMatchObject({
        code: "ALREADY_EXISTS",
        message: expect.stringContaining(socket()),
      });
    },
  );

  test.skipIf(cannotBecomeOthers)(
    `of another user's dead publisher is taken over, and of a live one is not (${withoutOthers})`,
    async () => {
      const first = publisher(alice);
      await first.event("ready");
      expect(statSync(lock())).toMatchObject({ uid: alice.uid });
      const early = publisher(bob);
      expect(await early.event("refused")).toMatchObject({ code: "ALREADY_EXISTS" });
      await expectPublished(first);
      first.kill();
      await first.exited;

      const second = publisher(bob);
      await second.event("ready");
      expect(statSync(lock())).toMatchObject({ uid: bob.uid });
      await expectPublished(second);
      second.kill();
      await second.exited;

      // root can open it, but would leave it to its owner.
      const third = publisher();
      await third.event("ready");
      expect(statSync(lock())).toMatchObject({ uid: 0 });
      await expectPublished(third);
    },
  );

  test.skipIf(cannotBecomeOthers)(
    `of another user's in a sticky directory, or behind a socket of its own, needs that user (${withoutOthers})`,
    async () => {
      chmodSync(shared, 0o3770);
      const first = publisher(alice);
      await first.event("ready");
      first.kill();
      await first.exited;
      const second = publisher(bob);
      expect(await second.event("refused")).toMatchObject({
        code: "PERMISSION",
        message: expect.stringMatching(/cam\.lock is left by user 61001, .*may not remove it/),
      });
      chmodSync(shared, 0o2770);
      chmodSync(socket(), 0o600);
      const third = publisher(bob);
      expect(await third.event("refused")).toMatchObject({
        code: "PERMISSION",
        message: expect.stringMatching(/cam\.sock is left by user 61001, or its owner lives/),
      });
    },
  );

  test("is no FIFO, directory, link or device: what it is instead is told, and not waited for", async () => {
    const places: [what: RegExp, make: () => void][] = [
      [/cam\.lock is a FIFO/, () => outputOfSync("mkfifo", [lock()])],
      [/cam\.lock is a directory/, () => mkdirSync(lock())],
      [/cam\.lock is a symbolic link/, () => symlinkSync(join(shared, "elsewhere"), lock())],
      ...(process.getuid?.() === 0
        ? [
          [/cam\.lock is a device/, () => outputOfSync("mknod", [lock(), "c", "1", "7"])] as [
            RegExp,
            () => void,
          ],
        ]
        : []),
    ];
    writeFileSync(join(shared, "elsewhere"), "", { mode: 0o600 });
    for (const [what, make] of places) {
      make();
      const refused = publisher();
      expect(await refused.event("refused")).toMatchObject({
        code: "IO",
        message: expect.stringMatching(what),
      });
      rmSync(lock(), { recursive: true });
    }
  });

  test("with a lease on it is told, and not waited for", async () => {
    const holder = await neighbour();
    await holder.lease(lock());
    const start = performance.now();
    const refused = publisher(undefined, { later: true });
    await refused.event("waiting");
    expect(await refused.ask({ do: "create" }, "refused")).toMatchObject({
      code: "IO",
      message: expect.stringMatching(/lease .*cam\.lock/),
    });
    // The kernel waits for 45 s, /proc/sys/fs/lease-break-time.
    expect(performance.now() - start).toBeLessThan(30_000);
  }, 60_000);

  test("that is lost takes the key from nobody who still listens", async () => {
    const first = publisher();
    await first.event("ready");
    rmSync(lock());
    const second = publisher();
    expect(await second.event("refused")).toMatchObject({ code: "ALREADY_EXISTS" });
    await expectPublished(first);
  });
});

describe("whoever closes", () => {
  test("leaves a successor's socket and lock alone", async () => {
    const first = publisher();
    await first.event("ready");
    for (const path of [lock(), socket()]) rmSync(path);
    const second = publisher();
    await second.event("ready");
    await first.ask({ do: "close" }, "closed");
    expect(readdirSync(shared).sort()).toEqual([`${key}.lock`, `${key}.sock`]);
    await expectPublished(second);
    // And nobody else gets the key.
    const third = publisher();
    expect(await third.event("refused")).toMatchObject({ code: "ALREADY_EXISTS" });
    await second.ask({ do: "close" }, "closed");
    expect(readdirSync(shared)).toEqual([]);
  });

  test("leaves a successor's socket alone where only that was replaced", async () => {
    const first = publisher();
    await first.event("ready");
    const other = await neighbour();
    await other.listen(socket());
    await first.ask({ do: "close" }, "closed");
    expect(readdirSync(shared)).toEqual([`${key}.sock`]);
  });

  test("leaves the files of a listener on its path alone", async () => {
    const address = join(shared, "app.sock");
    const [first, second] = [
      stage().start("messenger", { address }),
      stage().start("messenger", { address }),
    ];
    await Promise.all([first.event("ready"), second.event("ready")]);
    await first.ask({ do: "listen" }, "listening");
    for (const path of [address, `${address}.lock`]) rmSync(path);
    await second.ask({ do: "listen" }, "listening");
    await first.ask({ do: "close" }, "closed");
    expect(readdirSync(shared).sort()).toEqual(["app.sock", "app.sock.lock"]);
    await second.ask({ do: "close" }, "closed");
    expect(readdirSync(shared)).toEqual([]);
  });
});

describe("a named packet ring", () => {
  const name = `neighbours-${process.pid}-${Math.random().toString(36).slice(2)}`;
  const mirror = `/dev/shm/cuframes-${name}-packets`;
  const enable = { do: "enablePackets", named: true };

  async function named(folder: string): Promise<Process> {
    mkdirSync(join(shared, folder));
    const started = publisher(undefined, { key: name, runtimeDirectory: join(shared, folder) });
    await started.event("ready");
    return started;
  }

  test("of a successor stays when the one before closes; two who live do not share the name", async () => {
    const first = await named("first");
    await first.ask(enable, "enabled");
    const second = await named("second");
    expect(await second.ask<Outcome>(enable, "refused")).toMatchObject({
      code: "ALREADY_EXISTS",
      message: expect.stringContaining(mirror),
    });
    rmSync(mirror);
    await second.ask(enable, "enabled");
    const { ino } = statSync(mirror);
    await first.ask({ do: "close" }, "closed");
    expect(statSync(mirror).ino).toBe(ino);
    await second.ask({ do: "close" }, "closed");
    expect(() => statSync(mirror)).toThrow("ENOENT");
  });

  test("that is left is replaced, whatever locks its readers have", async () => {
    const first = await named("first");
    await first.ask(enable, "enabled");
    const reader = await neighbour();
    const fd = await reader.open(mirror);
    await reader.flock(fd);
    await reader.lockForReading(fd).catch(() => {}); // refused while the writer lives
    first.kill();
    await first.exited;
    await reader.lockForReading(fd);
    const second = await named("second");
    await second.ask(enable, "enabled");
    await second.ask({ do: "close" }, "closed");
  });
});

test("a descriptor of a file system that never answers is refused, and the file system is not asked", async (context) => {
  const folder = join(stage().directory, "mounted");
  mkdirSync(folder);
  const peer = await neighbour();
  let file: number;
  try {
    file = await peer.serve(folder);
  } catch (error) {
    return context.skip(`skipped where this process cannot mount a FUSE file system: ${error}`);
  }
  try {
    const listener = await peer.listen(join(shared, "app.sock"));
    const importer = stage().start("messenger", { address: join(shared, "app.sock") });
    await importer.event("ready");
    await importer.ask({ do: "connect" }, "connected");
    const connection = await peer.accept(listener);
    importer.send({ do: "import" });
    await peer.send(connection, Uint8Array.of(1), [file]);
    await importer.event("received");
    let refusal: Outcome | undefined;
    await eventually("it is refused, or waits for the file system", async () => {
      refusal = importer.taken<Outcome>("refused");
      return refusal !== undefined || (await peer.requests()).length > 0;
    });
    expect(await peer.requests()).toEqual([]);
    expect(refusal).toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringMatching(/planes\[0\]\.fd is \d+, which is neither a dma-buf nor a memfd/),
    });
  } finally {
    await peer.relent();
  }
});
