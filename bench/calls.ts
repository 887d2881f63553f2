import type { Row } from "./report.ts";
import type { CallTimes } from "./worker_protocol.ts";
import { Samples, summarize } from "./statistics.ts";
import { type RuntimeName, Worker } from "./worker.ts";

const runtimes: RuntimeName[] = ["Deno", "Bun"];
const rounds = 3;
const milliseconds = 150;

const units: Record<string, Row["unit"]> = { "copyTo, 1080p NV12": "µs", "memcpy of as many bytes": "µs" };
const floors: Record<string, string> = {
  "acquire + publish, nobody connected": "bare FFI call (reads the clock)",
  "nextSync + close, frame waiting": "bare FFI call (reads the clock)",
  "a turn of the event loop, once in 5 ms of waits": "await next + close, frame waiting",
  "copyTo, 1080p NV12": "memcpy of as many bytes",
};

/** Calls inside a process. */
export async function measureCalls(directory: string): Promise<Row[]> {
  await using deno = new Worker("Deno", "calls.ts", directory);
  await using bun = new Worker("Bun", "calls.ts", directory);
  const samples = new Samples();
  const names = new Set<string>();
  for (let round = 0; round < rounds; round++) {
    for (const worker of [deno, bun]) {
      const times = await worker.call<CallTimes>("run", { milliseconds });
      for (const [name, values] of Object.entries(times)) {
        names.add(name);
        samples.add(`${worker.runtime} ${name}`, values);
      }
    }
  }
  return [...names].flatMap((what) =>
    runtimes.map((runtime) => {
      const unit = units[what] ?? "ns";
      const scale = unit === "µs" ? 1e-3 : 1;
      const { p50, p99 } = summarize(samples.get(`${runtime} ${what}`));
      const row: Row = {
        section: "Calls inside a process",
        what,
        runtime,
        unit,
        p50: p50 * scale,
        p99: p99 * scale,
      };
      const floor = floors[what];
      if (floor !== undefined) {
        row.against = { name: floor, value: summarize(samples.get(`${runtime} ${floor}`)).p50 * scale };
      }
      if (what.startsWith("acquire + publish")) {
        row.budget = { text: "≤ 1000 ns", met: p50 <= 1000 };
      }
      return row;
    })
  );
}
