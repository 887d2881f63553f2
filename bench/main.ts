// Every measurement, one table, and with --json one JSON object as the last line; also bench/results/latest.json.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { root } from "../scripts/toolchain.mjs";
import { measureCalls } from "./calls.ts";
import { buildFloor } from "./floor.ts";
import { measureMemory } from "./memory.ts";
import { measurePublishCost } from "./publish_cost.ts";
import { type Row, table } from "./report.ts";
import { measureTransport } from "./transport.ts";
import { measureWake } from "./wake.ts";

const measurements = {
  calls: measureCalls,
  wake: measureWake,
  publish: measurePublishCost,
  transport: measureTransport,
  memory: measureMemory,
};
type Name = keyof typeof measurements;

const names = Object.keys(measurements) as Name[];
const { values, positionals } = parseArgs({
  options: { json: { type: "boolean", default: false } },
  allowPositionals: true,
});
const unknown = positionals.filter((name) => !Object.hasOwn(measurements, name));
if (unknown.length > 0) {
  console.error(`there is no measurement ${unknown.join(", ")}: choose from ${names.join(", ")}`);
  process.exit(2);
}

await buildFloor();
const rows: Row[] = [];
const directory = mkdtempSync(join(tmpdir(), "cuframes-bench-"));
try {
  for (const name of names) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    console.error(`measuring: ${name}`);
    rows.push(...await measurements[name](directory));
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}

const result = {
  date: new Date().toISOString(),
  cpu: cpus()[0]?.model ?? "",
  cores: cpus().length,
  load: loadavg()[0],
  rows,
};
console.log(table(rows));
const folder = join(root, "bench/results");
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "latest.json"), `${JSON.stringify(result, null, 2)}\n`);
if (values.json) console.log(JSON.stringify(result));
