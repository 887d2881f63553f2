// Waiting for a publisher that is still to come: any number at a time, and where the system has nothing left for that.

import { mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Publisher, Subscriber } from "../../mod.ts";
import { succeedsSync } from "../../scripts/lib/process.ts";
import { testMemory } from "../support/memory.ts";
import { eventually, type Process, stages } from "../support/processes.ts";
import type { Command } from "../support/programs/waiters.ts";

const stage = stages();
const size = { width: 64, height: 48 };

interface Done {
  milliseconds: number;
  codes: Record<string, number>;
  message: string;
}

function done(waiters: Process, command: Command): Promise<Done> {
  return waiters.ask<Done>(command, "done");
}

async function startPublisher(key: string): Promise<Process> {
  const publisher = stage().start("publisher", { key, ...size });
  await publisher.event("ready");
  return publisher;
}

function instances(of: Process): number {
  return of.descriptors().filter((name) => name === "anon_inode:inotify").length;
}

/** How many threads of that name it has. */
function threads(of: Process, name: string): number {
  const tasks = `/proc/${of.pid}/task`;
  return readdirSync(tasks).filter((task) => {
    try {
      return readFileSync(join(tasks, task, "comm"), "utf8").trim() === name;
    } catch {
      return false; // ended meanwhile
    }
  }).length;
}

test(
  "200 wait in one process, with one instance of inotify among them, and each finds its publisher",
  async () => {
    const waiters = stage().start("waiters", {});
    await waiters.event("ready");
    const before = waiters.descriptors();
    const keys = ["north", "east", "south", "west"];
    const waiting = done(waiters, { do: "connect", keys, each: 50, timeout: 60_000 });
    await eventually(
      "all of them wait",
      () => threads(waiters, "cuframes-conn") === 200 && instances(waiters) > 0,
    );
    expect(instances(waiters)).toBe(1);
    await Promise.all(keys.map(startPublisher));
    expect((await waiting).codes).toEqual({ connected: 200 });
    await waiters.ask({ do: "close" }, "closed");
    // The reactor's own descriptor stays.
    await eventually("nothing is left of them", () => {
      const left = waiters.descriptors().filter((name) => !before.includes(name));
      return left.every((name) => name === "anon_inode:[eventpoll]") &&
        threads(waiters, "cuframes-conn") === 0;
    });
  },
  120_000,
);

/** A command line for a process that may have none of a resource of inotify's, namespaces(7). */
function without(resource: string): string[] {
  return ["unshare", "-Ur", "sh", "-c", `echo 0 >/proc/sys/user/max_inotify_${resource}; exec "$@"`, "sh"];
}

function canLimit(): boolean {
  const [command = "", ...args] = without("instances");
  return succeedsSync(command, [...args, "grep", "-qx", "0", "/proc/sys/user/max_inotify_instances"]);
}

test.skipIf(!canLimit()).each(["instances", "watches"])(
  "no inotify %s left: a publisher is found when it comes, time-outs hold, and giving up works at once",
  async (resource) => {
    const waiters = stage().start("waiters", {}, { prefix: without(resource) });
    await waiters.event("ready");
    const short = await done(waiters, { do: "connect", keys: ["nobody"], each: 3, timeout: 300 });
    expect(short.codes).toEqual({ TIMEOUT: 3 });
    expect(short.message).toMatch(/nobody publishes as nobody: no one came to listen on .* within \d+ ms/);
    expect(short.milliseconds).toBeGreaterThanOrEqual(299);
    expect(short.milliseconds).toBeLessThan(2000);
    const aborted = await done(waiters, {
      do: "connect",
      keys: ["nobody"],
      each: 3,
      timeout: 60_000,
      abortAfter: 50,
    });
    expect(aborted.codes).toEqual({ aborted: 3 });
    await eventually("their threads have ended", () => threads(waiters, "cuframes-conn") === 0, 2000);

    const waiting = done(waiters, { do: "connect", keys: ["late"], each: 20, timeout: 60_000 });
    await eventually("all of them wait", () => threads(waiters, "cuframes-conn") === 20);
    await startPublisher("late");
    expect((await waiting).codes).toEqual({ connected: 20 });
    expect(instances(waiters)).toBe(0);
  },
);

test("a publisher is found behind a directory that was renamed and made again above the one waited in", async () => {
  const above = join(stage().directory, "above");
  const runtimeDirectory = join(above, "cuframes");
  mkdirSync(runtimeDirectory, { recursive: true });
  const connecting = Subscriber.connect("moved", { runtimeDirectory, timeout: 30_000 });
  const watches = () => readdirSync("/proc/self/task").some((task) => commandOf(task) === "cuframes-watch");
  await eventually("it waits", watches);
  renameSync(above, `${above}.old`);
  mkdirSync(runtimeDirectory, { recursive: true });
  using _ = Publisher.create({ key: "moved", ...size, runtimeDirectory, memory: testMemory });
  (await connecting).close();
});

function commandOf(task: string): string | undefined {
  try {
    return readFileSync(`/proc/self/task/${task}/comm`, "utf8").trim();
  } catch {
    return undefined; // ended meanwhile
  }
}
