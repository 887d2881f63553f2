// `npm run soak`: how long the commands last, and what they take; see the options below. Exit code 1 where anything of it is
// not as it should be.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { type Runtime, RUNTIMES } from "../measure/subject.ts";
import { run } from "../lib/process.ts";
import { root, tool } from "../toolchain.mjs";
import { isGood, measureCpu } from "./cpu.ts";
import { endure } from "./endurance.ts";
import { cpuPage, cpuTables, enduranceTables, machineName } from "./report.ts";

const help =
  `A camera that dies every 20 s, with \`cuframes source\`, \`record\`, \`pipe\` and \`pipe --packets\` on it, sources
that wait for a camera, and a plain reader on every runtime. Memory, descriptors and threads must stay flat, CPU time within
its budgets, every death is survived and every recording plays. Needs gst-rtsp-server and ffmpeg: .ci/run installs them.

  npm run soak [-- options]

  --minutes N        how long; default: 10
  --runtime LIST     what runs the commands: deno, bun, node, several with commas, or all; default: bun
  --input FILE       what the camera shows; default: the project's own clip
  --life N           seconds that the camera lives; default: 20
  --json             the result as one line of JSON

With --cpu it is a table of CPU times only, of every command one after another, by default on every runtime, from a file in
place of a camera. Needs nothing besides, and writes docs/results/DATE-MACHINE.md.

  --seconds N        how long each is looked at; default: 10
  --results DIR      another directory to write to
  --runtime, --input, --json  as above`;

function parse() {
  return parseArgs({
    options: {
      minutes: { type: "string", default: "10" },
      runtime: { type: "string" },
      input: { type: "string", default: join(root, "test/fixtures/clip.mp4") },
      life: { type: "string", default: "20" },
      cpu: { type: "boolean", default: false },
      seconds: { type: "string", default: "10" },
      results: { type: "string", default: join(root, "docs/results") },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  }).values;
}

type Values = ReturnType<typeof parse>;

function runtimesIn(list: string): Runtime[] {
  if (list === "all") return [...RUNTIMES];
  return list.split(",").map((name) => {
    const runtime = RUNTIMES.find((known) => known === name);
    if (runtime === undefined) {
      throw new Error(`--runtime ${name}: there is only ${RUNTIMES.join(", ")} and all`);
    }
    return runtime;
  });
}

/** @returns whether all is within its budget */
async function cpu(values: Values, directory: string): Promise<boolean> {
  const seconds = Number(values.seconds);
  const [load = NaN] = loadavg();
  const result = await measureCpu({
    runtimes: runtimesIn(values.runtime ?? "all"),
    seconds,
    input: values.input,
    directory,
    progress: (what) => console.error(what),
  });
  const tables = cpuTables(result);
  mkdirSync(values.results, { recursive: true });
  const path = join(values.results, `${new Date().toISOString().slice(0, 10)}-${machineName()}.md`);
  writeFileSync(path, cpuPage(tables, { seconds, load }));
  await run(tool("deno"), ["fmt", "--quiet", path]);
  console.log(values.json ? JSON.stringify(result) : tables);
  return result.rows.every(isGood);
}

/** @returns whether there is no problem */
async function endurance(values: Values, directory: string): Promise<boolean> {
  const result = await endure({
    runtimes: runtimesIn(values.runtime ?? "bun"),
    minutes: Number(values.minutes),
    input: values.input,
    life: Number(values.life),
    directory,
  });
  if (values.json) console.log(JSON.stringify(result));
  else {console.log([
      enduranceTables(result),
      ...result.problems.map((problem) => `problem: ${problem}`),
    ].join("\n"));}
  return result.problems.length === 0;
}

const values = parse();
if (values.help) {
  console.log(help);
  process.exit(0);
}
const directory = mkdtempSync(join(tmpdir(), "cuframes-soak-"));
try {
  const good = await (values.cpu ? cpu : endurance)(values, directory);
  process.exitCode = good ? 0 : 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
