// One measurement on the GPU, named by the first argument, with both ends on the runtime that the second one names.
// Prints its rows as one JSON line. Each end is a process of its own.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { PublisherOptions } from "../../mod.ts";
import { quantile } from "../statistics.ts";
import { type RuntimeName, Worker } from "../worker.ts";
import type { Work } from "./workers/publisher.ts";
import type { Imports } from "./workers/importer.ts";
import type { How } from "./workers/subscriber.ts";

/** One line of the table. Microseconds. */
export interface Row {
  what: string;
  p50: number;
  p99: number;
  /** What was measured beside it, in the same process or by the same code. */
  beside?: { what: string; p50: number; p99: number };
  /** Of the p50. */
  budget?: number;
  framesPerSecond?: number;
  /** That each moved. */
  bytes?: number;
}

const fullHd = { width: 1920, height: 1080 };
const ultraHd = { width: 3840, height: 2160 };
const key = "bench";

const [measurement = "", runtime = "Deno", scale = "1"] = process.argv.slice(2);
const directory = mkdtempSync(join(tmpdir(), "cuframes-bench-"));

/** Counts of a real run; a rehearsal takes a part of them. */
function times(count: number): number {
  return Math.max(20, Math.round(count * Number(scale)));
}

function start(end: "publisher" | "subscriber"): Worker {
  return new Worker(runtime as RuntimeName, `../gpu/workers/${end}.ts`, directory);
}

/** At once: the other end may wait for what will never come. */
function giveUp(error: unknown): never {
  console.error(error);
  process.exit(1);
}

function call<T>(worker: Worker, method: string, parameters: object): Promise<T> {
  return worker.call<T>(method, parameters).catch(giveUp);
}

/** Starts what ends with the last frame. */
async function begin<T>(worker: Worker, method: string, parameters: object): Promise<() => Promise<T>> {
  const { result } = await worker.begin<T>(method, parameters).catch(giveUp);
  const ended = result().catch(giveUp);
  return () => ended;
}

async function startPublisher(options: Partial<PublisherOptions>): Promise<Worker> {
  const publisher = start("publisher");
  // A slot that is late is waited for.
  await call(publisher, "create", { key, policy: "wait", timeout: 10_000, ...options });
  return publisher;
}

function microseconds(what: string, nanoseconds: number[]): { what: string; p50: number; p99: number } {
  return { what, p50: quantile(nanoseconds, 0.5) / 1000, p99: quantile(nanoseconds, 0.99) / 1000 };
}

async function publishing(): Promise<Row[]> {
  await using publisher = await startPublisher(fullHd);
  // One that waits, as in use.
  await using subscriber = start("subscriber");
  await call(subscriber, "connect", { key });
  const count = times(2000);
  const cost = async (what: string, work: Work) =>
    microseconds(what, await call(publisher, "callCost", { work, count }));
  const beside = await cost("cuStreamSynchronize on the caller, after a memset", "synchronize");
  return [
    { ...await cost("publish(), after a 1080p memset", "memset"), beside, budget: 6 },
    { ...await cost("publish(), after a 1080p copyFrom", "copy"), budget: 6 },
  ];
}

async function receiving(): Promise<Row[]> {
  // At 2 ms the CPUs fall asleep in between, and waking them is most of what is measured; at 0.2 ms they do not.
  const ways: [how: How, what: string, intervalMs: number, budget?: number][] = [
    ["next", "publish to awaited next(), 1080p memset done, every 2 ms", 2, 45],
    ["next", "publish to awaited next(), 1080p memset done, every 0.2 ms", 0.2, 45],
    ["nextSync", "publish to nextSync(), every 2 ms", 2],
    ["nextSync", "publish to nextSync(), every 0.2 ms", 0.2],
    ["spin", "publish to nextSync({ spin }), every 2 ms", 2],
    ["copy", "publish to a device-to-device copy done there, every 2 ms", 2],
    ["copy", "publish to a device-to-device copy done there, every 0.2 ms", 0.2],
  ];
  await using publisher = await startPublisher(fullHd);
  await using subscriber = start("subscriber");
  await call(subscriber, "connect", { key });
  const rows: Row[] = [];
  for (const [how, what, intervalMs, budget] of ways) {
    const count = times(1500);
    const result = await begin<number[]>(subscriber, "receive", { how, count });
    await call(publisher, "publishPaced", { count, intervalMs });
    rows.push({ ...microseconds(what, await result()), ...(budget === undefined ? {} : { budget }) });
  }
  return rows;
}

async function copying(): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [name, size] of [["1080p", fullHd], ["4K", ultraHd]] as const) {
    await using publisher = await startPublisher(size);
    await using subscriber = start("subscriber");
    await call(subscriber, "connect", { key });
    const count = times(500);
    const result = await begin<{ toHostNs: number[]; bareNs: number[] }>(subscriber, "toHost", { count });
    await call(publisher, "publishPaced", { count, intervalMs: 3 });
    const { toHostNs, bareNs } = await result();
    rows.push({
      ...microseconds(`toHost(), ${name}`, toHostNs),
      beside: microseconds("a bare cuMemcpyDtoH to pinned memory", bareNs),
    });
  }
  return rows;
}

async function importing(): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [name, size] of [["1080p", fullHd], ["4K", ultraHd]] as const) {
    await using importer = new Worker(runtime as RuntimeName, "../gpu/workers/importer.ts", directory);
    const { copyNs, bareNs, layout, bytes } = await call<Imports>(importer, "copy", {
      ...size,
      count: times(1000),
    });
    rows.push({
      ...microseconds(`copyFrom(image), RGBA ${name}, done on the GPU`, copyNs),
      bytes,
      beside: microseconds(`a bare cuMemcpy2DAsync of the same ${layout} frame`, bareNs),
    });
    const importNs = await call<number[]>(importer, "importOnly", { ...size, count: times(500) });
    rows.push(microseconds(`importEglImage and close(), RGBA ${name}`, importNs));
  }
  return rows;
}

async function flooding(): Promise<Row[]> {
  const rows: Row[] = [];
  for (const count of [1, 4, 16]) {
    await using publisher = await startPublisher({ ...fullHd, slots: 16 });
    await using workers = new AsyncDisposableStack();
    const processes = Math.min(count, 4);
    const results = [];
    for (let index = 0; index < processes; index++) {
      const worker = workers.use(start("subscriber"));
      await call(worker, "connect", { key, mode: "ordered", connections: count / processes });
      results.push(await begin<number[]>(worker, "takeAll", {}));
    }
    const periodNs = await call<number[]>(publisher, "flood", { count: times(3000) });
    const dropped = (await Promise.all(results.map((result) => result()))).flat();
    if (dropped.some((frames) => frames > 0)) throw new Error(`frames were dropped: ${dropped}`);
    const seconds = periodNs.reduce((sum, period) => sum + period, 0) / 1e9;
    rows.push({
      ...microseconds(
        `1080p frames to ${count} subscriber${count > 1 ? `s in ${processes} processes` : ""}, each one`,
        periodNs,
      ),
      framesPerSecond: Math.round(periodNs.length / seconds),
    });
  }
  return rows;
}

const measurements: Record<string, () => Promise<Row[]>> = {
  publishing,
  receiving,
  copying,
  importing,
  flooding,
};
try {
  const measure = measurements[measurement];
  if (measure === undefined) {
    throw new RangeError(`the measurements are ${Object.keys(measurements).join(", ")}`);
  }
  console.log(`rows:${JSON.stringify(await measure())}`);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
