// Every driver call that the library makes, failing once: each is an error of the library's that names it, or is made up
// for; nothing is left of what had been done before, and the other process notices nothing.

import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { CuframesError, type Publisher, type PublisherStats, Subscriber } from "../../mod.ts";
import { root } from "../../scripts/toolchain.mjs";
import { claimsOf, createPublisher, runClaim } from "../support/cuda.ts";
import { type Double, frameSize, Gpu, type Live, mismatches, nothing } from "../support/gpu.ts";
import { expectLive, resultsOf, startPublisher, startSubscriber } from "../support/kill.ts";
import { isCloseOnExec, isOpen } from "../support/memfd.ts";
import { eventually, Stage } from "../support/processes.ts";
import { valueOf } from "./workers/content.ts";

const claim = claimsOf(import.meta.url);

/** CUDA_ERROR_OPERATING_SYSTEM, which the double does not return for these calls by itself. */
const injected = 304;
const injectedName = "CUDA_ERROR_OPERATING_SYSTEM";

/** Every function of the driver table, but for the one that the test itself asks with. */
const functions = [
  ...readFileSync(join(root, "zig/src/cuda/abi.zig"), "utf8").matchAll(
    /(?:required|optional)\(\s*"(cu\w+)"/g,
  ),
]
  .map(([, name]) => name!)
  .filter((name) => name !== "cuStreamQuery");

/** What stays behind when one of the calls that give something back fails: the thing itself, and what it rests on. */
const leftBy: Readonly<Record<string, Partial<Live>>> = {
  cuMemRelease: { allocations: 1 },
  cuMemUnmap: { reservations: 1, mappings: 1 },
  cuMemAddressFree: { reservations: 1 },
  cuMemFreeHost: { pinned: 1 },
  cuEventDestroy_v2: { events: 1 },
  cuStreamDestroy_v2: { streams: 1 },
  cuDevicePrimaryCtxRelease_v2: { contexts: 1 },
  cuCtxPopCurrent_v2: {},
};

/** Of these the double keeps the memory, and with it a descriptor. */
const keepsMemory = new Set(["cuMemRelease", "cuMemUnmap"]);

/** What may stay behind besides. */
const mayStay: Readonly<Record<string, (keyof Live)[]>> = {
  // What belongs to a context that cannot be made current stays with it.
  cuCtxPushCurrent_v2: ["events", "pinned", "streams"],
  // If it was on this thread.
  cuCtxPopCurrent_v2: ["contextDepth"],
  // The address range of what is still mapped cannot be given back.
  cuMemUnmap: ["failedCalls"],
};

/** Calls whose failure may be answered with something else than an error: where they wait for the GPU's work. */
const withoutError = new Set([
  ...Object.keys(leftBy),
  "cuStreamSynchronize",
  "cuEventSynchronize",
  "cuEventQuery",
  "cuCtxPushCurrent_v2",
]);

/** The last call of these is for a copy into a frame that is given back: it is waited for instead. */
const lastWithoutError = new Set(["cuStreamWaitEvent", "cuEventRecord", "cuEventCreate"]);

interface Fault {
  name: string;
  /** Counted from 1. */
  nth: number;
  /** Of a scenario that goes well. */
  last: boolean;
}

/** Open descriptors, but for sockets of other kinds than the library's: the runtime opens some when it likes. */
function descriptorCount(): number {
  const SEQPACKET = "0005";
  const sockets = readFileSync("/proc/net/unix", "utf8").split("\n").map((line) => line.trim().split(/\s+/));
  const ours = new Set(
    sockets.filter(([, , , , type]) => type === SEQPACKET).map(([, , , , , , inode]) => `socket:[${inode}]`),
  );
  return readdirSync("/proc/self/fd").filter((name) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${name}`);
      return !target.startsWith("socket:") || ours.has(target);
    } catch {
      return false; // of this listing
    }
  }).length;
}

function difference(after: Live, before: Live): Partial<Live> {
  const entries = Object.entries(after).map(([name, count]) =>
    [name, count - before[name as keyof Live]] as const
  );
  return Object.fromEntries(entries.filter(([, count]) => count !== 0));
}

/** How often each function is called by a scenario that goes well, and leaves nothing. */
async function callsOf(double: Double, scenario: () => Promise<void>): Promise<Fault[]> {
  const settled = () => eventually("nothing of the library's is left", () => double.live().contexts === 1);
  await scenario(); // what happens once in a process happens now
  await settled();
  const before = double.live();
  double.fail("");
  await scenario();
  await settled();
  expect(double.live()).toEqual(before);
  return functions.flatMap((name) => {
    // Polling ends after as many calls as it takes.
    const polled = name === "cuEventQuery" || name === "cuEventSynchronize";
    const count = polled ? Math.min(double.calls(name), 4) : double.calls(name);
    return Array.from({ length: count }, (_, index) => ({ name, nth: index + 1, last: index + 1 === count }));
  });
}

/** Runs the scenario once for each call it makes, with that call failing. Returns the functions that were called. */
async function withEachFault(gpu: Gpu, scenario: () => Promise<void>): Promise<string[]> {
  const double = gpu.double!;
  const faults = await callsOf(double, scenario);
  for (const { name, nth, last } of faults) {
    const where = `call ${nth} of ${name} failed`;
    const before = { live: double.live(), descriptors: descriptorCount() };
    double.fail(`${name}:${nth}=${injected}`);
    let error: unknown;
    try {
      await scenario();
    } catch (thrown) {
      error = thrown;
    }
    const left = (): Partial<Live> => {
      const all = difference(double.live(), before.live);
      for (const kind of mayStay[name] ?? []) delete all[kind];
      return all;
    };
    // Polling may have been shorter; and a thread of the library's may not be done yet.
    const happened = () => double.calls(name) >= nth;
    const expected = () => happened() ? leftBy[name] ?? {} : {};
    const asExpected = () => JSON.stringify(left()) === JSON.stringify(expected());
    await eventually("what is left is what was expected", asExpected).catch(() =>
      expect(left(), where).toEqual(expected())
    );
    if (error !== undefined) {
      if (!(error instanceof CuframesError)) throw error;
      expect([error.code, error.message], where).toEqual([
        "CUDA",
        expect.stringContaining(`${name} failed: ${injectedName} (`),
      ]);
    } else {
      expect(
        !happened() || withoutError.has(name) || (last && lastWithoutError.has(name)),
        `${where}, and nobody was told`,
      ).toBe(true);
    }
    double.fail("");
    const descriptors = before.descriptors + (keepsMemory.has(name) ? 1 : 0);
    const closed = () => descriptorCount() <= descriptors;
    await eventually("all descriptors are closed", closed).catch(() =>
      expect(descriptorCount(), where).toBe(descriptors)
    );
    while (double.live().contextDepth > before.live.contextDepth) gpu.popContext();
  }
  return [...new Set(faults.map(({ name }) => name))];
}

/** What both sides call; on a busy machine the GPU's work is done before anybody has to wait for it. */
const common = [
  ...[...withoutError].filter((name) => name !== "cuEventSynchronize"),
  "cuDeviceGetCount",
  "cuDeviceGet",
  "cuDeviceGetUuid_v2",
  "cuDeviceGetAttribute",
  "cuDeviceTotalMem_v2",
  "cuDeviceGetName",
  "cuDevicePrimaryCtxRetain",
  "cuMemAddressReserve",
  "cuMemMap",
  "cuMemSetAccess",
  "cuMemHostAlloc",
  "cuStreamCreateWithPriority",
  "cuEventCreate",
  "cuEventRecord",
];

claim("a publisher survives each of its driver calls failing, and so does its subscriber", async () => {
  const stage = new Stage();
  using gpu = Gpu.open();
  try {
    const key = "faulty";
    const follower = startSubscriber(stage, { key, reconnect: true, timeout: 60_000 });
    const stream = gpu.stream();
    const source = gpu.allocate(4096);

    const publishing = async () => {
      let publisher: Publisher | undefined;
      try {
        publisher = createPublisher({
          key,
          slots: 4,
          format: "GRAY8",
          width: 256,
          height: 4,
          runtimeDirectory: stage.directory,
        });
        const size = frameSize(publisher);
        {
          using frame = await publisher.acquireAsync({ timeout: 5000 });
          frame.write(new Uint8Array(1024).fill(valueOf(1)));
          expect(frame.read()[0]).toBe(valueOf(1));
          frame.publish();
        }
        {
          using frame = await publisher.acquireAsync({ timeout: 5000 });
          gpu.slowFill(source, valueOf(2), 4096, 3, stream);
          frame.copyFrom({ devicePointer: source, stream });
          frame.publish();
        }
        {
          using frame = await publisher.acquireAsync({ timeout: 5000 });
          gpu.slowFill(frame.devicePointer!, valueOf(3), size, 3, stream);
          frame.publish({ stream });
        }
        {
          using frame = await publisher.acquireAsync({ timeout: 5000 });
          gpu.slowFill(source, 0, 4096, 3, stream);
          frame.copyFrom({ devicePointer: source, stream });
        }
        await eventually("the GPU is done with all of it", () => {
          const { published, failed } = publisher!.stats();
          return published >= 3 || failed > 0;
        });
      } finally {
        await eventually("the test's own work is done", () => gpu.isIdle(stream));
        publisher?.close();
      }
    };

    const called = await withEachFault(gpu, publishing);
    // A scenario that no longer reaches something would prove nothing of it.
    const reached = [
      ...common,
      "cuMemGetAllocationGranularity",
      "cuMemCreate",
      "cuMemExportToShareableHandle",
      "cuPointerGetAttributes",
      "cuMemcpy2DAsync_v2",
      "cuStreamWaitEvent",
    ];
    expect(called).toEqual(expect.arrayContaining(reached));

    await publishing();
    follower.send({ do: "stop" });
    const [result] = await resultsOf(follower);
    expect(result).toMatchObject({ torn: 0, disordered: 0 });
    expect(result!.received).toBeGreaterThan(called.length);
    await expectLive(follower, { ...nothing, contexts: 1, contextDepth: 1 });
  } finally {
    await stage.clear();
  }
}, { needsDouble: true, timeout: 120_000 });

claim("a subscriber survives each of its driver calls failing, and so does its publisher", async () => {
  const stage = new Stage();
  using gpu = Gpu.open();
  try {
    const key = "steady";
    const publisher = startPublisher(stage, { key, slots: 4 });
    await publisher.event("ready");
    await publisher.ask({ do: "run" }, "running");
    const stream = gpu.stream();
    const destination = gpu.allocate(1 << 20);

    const subscribing = async () => {
      let subscriber: Subscriber | undefined;
      try {
        subscriber = await Subscriber.connect(key, { runtimeDirectory: stage.directory });
        {
          using frame = await subscriber.next({ timeout: 5000 });
          const whole = await frame.toHost();
          expect(mismatches(whole, valueOf(frame.sequence))).toBe(0);
        }
        {
          const frame = await subscriber.next({ timeout: 5000 });
          gpu.slowCopy(destination, frame.devicePointer!, frameSize(frame), 3, stream);
          frame.release({ stream });
        }
        {
          const frame = await subscriber.next({ timeout: 5000 });
          frame.release({ stream: 0n }); // done at once, but not before the one before
        }
        await eventually("the GPU is done with all of it", () => subscriber!.stats().held === 0);
      } finally {
        await eventually("the test's own work is done", () => gpu.isIdle(stream));
        subscriber?.close();
      }
    };

    const called = await withEachFault(gpu, subscribing);
    const reached = [...common, "cuMemImportFromShareableHandle", "cuMemcpyDtoHAsync_v2"];
    expect(called).toEqual(expect.arrayContaining(reached));

    await subscribing();
    const { published, failed, last } = await publisher.ask<PublisherStats & { last: number }>(
      { do: "halt" },
      "halted",
    );
    expect([published, failed]).toEqual([last, 0]);
    await eventually("the publisher has nobody left", async () => {
      const { subscribers, slotsLeased } = await publisher.ask<PublisherStats>({ do: "stats" }, "stats");
      return subscribers === 0 && slotsLeased === 0;
    });
    await publisher.ask({ do: "close" }, "closed");
    await expectLive(publisher, { ...nothing, streams: 1, contexts: 1, contextDepth: 1 });
  } finally {
    await stage.clear();
  }
}, { needsDouble: true, timeout: 120_000 });

claim("rings made and closed fifty times leave the process as it was", async () => {
  using gpu = Gpu.open();
  const double = gpu.double!;
  const round = async (times: number) => {
    for (let index = 0; index < times; index++) {
      const publisher = createPublisher({ key: "again", slots: 3 });
      const subscriber = await Subscriber.connect("again");
      using writable = publisher.acquire();
      writable.write(new Uint8Array(768).fill(index));
      writable.publish();
      const frame = await subscriber.next();
      expect((await frame.toHost())[0]).toBe(index);
      if (index % 2 === 0) frame.release({ stream: 0n });
      if (index % 3 === 0) publisher.close();
      subscriber.close();
      publisher.close();
    }
  };
  await round(5);
  await eventually("nothing is left", () => double.live().contexts === 1);
  const before = { live: double.live(), descriptors: descriptorCount() };
  await round(50);
  await eventually("nothing is left", () => double.live().contexts === 1);
  expect(double.live()).toEqual(before.live);
  await eventually("all descriptors are closed", () => descriptorCount() <= before.descriptors);
}, { needsDouble: true });

claim("a publisher's children inherit none of its descriptors", () => {
  // Once, so that what the driver opens for itself is there.
  createPublisher().close();
  const before = new Set(readdirSync("/proc/self/fd"));
  using _publisher = createPublisher({ slots: 4 });
  const opened = readdirSync("/proc/self/fd").filter((fd) => !before.has(fd) && isOpen(Number(fd)));
  expect(opened.length).toBeGreaterThanOrEqual(4);
  for (const fd of opened) expect(isCloseOnExec(Number(fd)), readlinkSync(`/proc/self/fd/${fd}`)).toBe(true);
});

await runClaim();
