// What only hardware can show, on both runtimes at once: containers' namespaces, memory that comes back from the dead,
// and a hundred thousand frames. `npm run test:gpu` runs it; with CUFRAMES_TEST_GPU=double a rehearsal on the double.

import { readlinkSync } from "node:fs";
import process from "node:process";
import { describe, expect, test } from "vitest";
import { succeedsSync } from "../../scripts/lib/process.ts";
import { cudaEnvironment, onHardware } from "../support/cuda.ts";
import {
  expectAccounted,
  killPublishers,
  killSubscribers,
  resultsOf,
  startPublisher,
  startSubscriber,
} from "../support/kill.ts";
import { eventually, type Process, type RuntimeName, runtimes, Stage, stages } from "../support/processes.ts";

const rehearsal = process.env.CUFRAMES_TEST_GPU === "double";
const reason = onHardware || rehearsal ? "" : " (skipped: `npm run test:gpu` runs it)";
const stage = stages();

const namespaces = ["pid", "ipc", "uts", "mnt"] as const;

/** How to run a command in namespaces of its own, as two containers have them; undefined where that is not allowed. */
function separately(): string[] | undefined {
  const unshare = ["unshare", "--pid", "--ipc", "--uts", "--mount", "--fork", "--kill-child"];
  // Not every container may mount another /proc; what matters here works with the one that is there.
  return [[...unshare, "--mount-proc"], unshare].find(([command = "", ...args]) => {
    return succeedsSync(command, [...args, "true"]);
  });
}

function namespacesOf(name: (namespace: string) => string): Record<string, string> {
  return Object.fromEntries(namespaces.map((namespace) => [namespace, name(namespace)]));
}

describe.skipIf(reason !== "")(`on a GPU${reason}`, () => {
  const prefix = reason === "" ? separately() : undefined;

  describe.skipIf(prefix === undefined)(
    prefix === undefined
      ? "in namespaces of their own (skipped: unshare is not allowed here)"
      : "in namespaces of their own",
    () => {
      test.each([["deno", "bun"], ["bun", "deno"]] as [RuntimeName, RuntimeName][])(
        "a publisher on %s and a subscriber on %s share nothing but the socket's directory",
        { timeout: 120_000 },
        async (one, other) => {
          // Nor /dev/shm, where it can be covered.
          const covered = [...prefix!, "sh", "-c", 'mount -t tmpfs none /dev/shm; exec "$@"', "sh"];
          const start = (worker: string, runtime: RuntimeName, options: object) =>
            stage().start(`../../cuda/workers/${worker}`, { key: "apart", ...options }, {
              runtime,
              prefix: covered,
              env: cudaEnvironment(),
            });
          const publisher = start("publisher", one, { width: 640, height: 360 });
          await publisher.event("ready");
          const subscribers = [
            start("subscriber", other, { mode: "ordered", how: "toHost" }),
            start("subscriber", other, { mode: "ordered", how: "gpu", slowMs: 1 }),
          ];
          for (const subscriber of subscribers) await subscriber.event("connected");
          const seen = [];
          for (const worker of [publisher, ...subscribers]) {
            const { namespaces } = await worker.ask<{ namespaces: Record<string, string> }>(
              { do: "state" },
              "state",
            );
            seen.push(namespaces);
          }
          seen.push(namespacesOf((namespace) => readlinkSync(`/proc/self/ns/${namespace}`)));
          for (const namespace of namespaces) {
            expect(new Set(seen.map((of) => of[namespace])).size, namespace).toBe(seen.length);
          }
          await publisher.ask({ do: "publish", frames: 300 }, "published");
          await publisher.ask({ do: "publish", frames: 20, slowMs: 5 }, "published");
          await publisher.ask({ do: "close" }, "closed");
          for (const subscriber of subscribers) {
            const [result] = await resultsOf(subscriber);
            expectAccounted(result!, 320);
          }
        },
      );
    },
  );

  /** Kills until it is done; then the GPU has as much free memory as before, as a process sees it that lives on. */
  async function withoutLeaks(kill: (stage: Stage) => Promise<void>): Promise<void> {
    const probe = startPublisher(stage(), { key: "probe", later: true });
    const freeMemory = async () => {
      return (await probe.ask<{ freeMemory: number }>({ do: "state" }, "state")).freeMemory;
    };
    const before = await freeMemory();
    const inner = new Stage();
    try {
      await kill(inner);
    } finally {
      await inner.clear();
    }
    // Less than the smallest slot.
    const tolerance = 1 << 20;
    let after = 0;
    await eventually("free memory is where it was", async () => {
      after = await freeMemory();
      return after >= before - tolerance;
    }, 20_000).catch(() => expect(after).toBeGreaterThanOrEqual(before - tolerance));
  }

  const rounds = rehearsal ? 6 : 100;

  test(`${rounds} subscribers are killed while the GPU reads for them, and leave nothing`, {
    timeout: 300_000,
  }, async () => {
    await withoutLeaks((inner) => killSubscribers(inner, rounds));
  });

  test(`${rounds} publishers are killed while the GPU fills their frames, and leave nothing`, {
    timeout: 300_000,
  }, async () => {
    await withoutLeaks((inner) => killPublishers(inner, rounds));
  });

  const frames = rehearsal ? 1000 : 100_000;

  test(`8 processes get each of ${frames} frames whole`, { timeout: 280_000 }, async () => {
    const key = "eight";
    const publisher = startPublisher(stage(), {
      key,
      format: "GRAY8",
      width: 256,
      height: 32,
      slots: 32,
      policy: "wait",
    });
    await publisher.event("ready");
    const subscribers: Process[] = [];
    for (let index = 0; index < 8; index++) {
      subscribers.push(startSubscriber(stage(), { key, mode: "ordered", how: "gpu" }, runtimes[index % 2]));
    }
    for (const subscriber of subscribers) await subscriber.event("connected");
    const start = performance.now();
    await publisher.ask({ do: "publish", frames }, "published");
    const seconds = (performance.now() - start) / 1000;
    await publisher.ask({ do: "close" }, "closed");
    for (const subscriber of subscribers) {
      const [result] = await resultsOf(subscriber);
      expect(result).toEqual({ received: frames, dropped: 0, torn: 0, disordered: 0, last: frames });
    }
    console.log(`${frames} frames to 8 processes, every byte checked on the GPU, in ${seconds.toFixed(1)} s`);
  });
});
