import type { Row } from "./report.ts";
import type { FloodRequest, MemorySample } from "./worker_protocol.ts";
import { type RuntimeName, Workers } from "./worker.ts";

const runtimes: RuntimeName[] = ["Deno", "Bun"];
const count = 1_000_000;
/** By then everything is compiled and every table has its size. */
const settled = 100_000;

/** Memory of both ends while a million frames go from one to the other, every one of them delivered. */
export async function measureMemory(directory: string): Promise<Row[]> {
  const rows: Row[] = [];
  for (const runtime of runtimes) {
    await using workers = new Workers();
    const publisher = workers.start(runtime, "publisher.ts", directory);
    const subscriber = workers.start(runtime, "subscriber.ts", directory);
    const key = `memory-${runtime}`;
    const patient = { policy: "wait", timeout: 60_000, slots: 16 };
    await publisher.call("create", { key, width: 1920, height: 1080, format: "NV12", ...patient });
    await subscriber.call("connect", { key, mode: "ordered" });
    const flood: FloodRequest = { key, count, settled };
    const began = performance.now();
    const taken = await subscriber.begin<MemorySample[]>("takeFlood", flood);
    const ends = {
      publisher: await publisher.call<MemorySample[]>("flood", flood),
      subscriber: await taken.result(),
    };
    const microseconds = (performance.now() - began) * 1000 / count;
    for (const [end, [before, after]] of Object.entries(ends)) {
      if (before === undefined || after === undefined) throw new Error(`${end}: no memory samples`);
      for (const kind of ["heapUsed", "rss"] as const) {
        const what = `${kind === "rss" ? "resident set" : "heap"} of the ${end}`;
        rows.push({
          section: `Memory, after ${count} frames and after the first ${settled} of them`,
          what,
          runtime,
          unit: "MiB",
          p50: after[kind] / 2 ** 20,
          against: { name: `after ${settled}`, value: before[kind] / 2 ** 20 },
          ...(kind === "heapUsed" && { budget: noGrowth(before, after) }),
        });
      }
    }
    rows.push({
      section: "Throughput while memory was measured",
      what: "a frame from publisher to awaited next()",
      runtime,
      unit: "µs",
      p50: microseconds,
    });
  }
  return rows;
}

/** A leak of one object a frame would be tens of bytes; what the runtimes' own tables vary by is a fraction of one. */
function noGrowth(before: MemorySample, after: MemorySample): NonNullable<Row["budget"]> {
  const each = (after.heapUsed - before.heapUsed) / (count - settled);
  return { text: `no growth: ${each.toFixed(2)} B a frame`, met: each < 1 };
}
