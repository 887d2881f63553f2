// `npm run soak`: how long the commands last, and what they take; see the options below. Exit code 1 where anything of it is
// not as it should be.

import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { duration } from "../../src/cli/command.ts";
import { type Runtime, RUNTIMES } from "../measure/subject.ts";
import { run } from "../lib/process.ts";
import { root, tool } from "../toolchain.mjs";
import { isGood, measureCpu } from "./cpu.ts";
import { endure } from "./endurance.ts";
import { cpuPage, cpuTables, enduranceTables, machineName } from "./report.ts";
import { isGoodSoak, readersPage, readersTables } from "./readers/report.ts";
import { soakReaders } from "./readers/soak.ts";

const help =
  `A camera that dies every 20 s, with \`cuframes source\`, \`record\`, \`pipe\` and \`pipe --packets\` on it, sources
that wait for a camera, and a plain reader on every runtime. Memory, descriptors and threads must stay flat, CPU time within
its budgets, every death is survived, every recording plays and has its sound, in sync, and no packet is lost. Needs
gst-rtsp-server and ffmpeg: .ci/run installs them.

  npm run soak [-- options]

  --minutes N        how long; default: 10
  --runtime LIST     what runs the commands: deno, bun, node, several with commas, or all; default: bun
  --input FILE       what the camera shows, H.264 or HEVC in MP4, with AAC or without; default: a film with a flash and a beep
                     each second, of which alone it is measured how far sound is from its picture
  --life N           seconds that the camera lives; default: 20
  --json             the result as one line of JSON

With --cpu it is a table of CPU times only, of every command one after another, by default on every runtime, from a file in
place of a camera. Needs nothing besides, and writes docs/results/DATE-MACHINE.md.

  --seconds N        how long each is looked at; default: 10
  --results DIR      another directory to write to
  --input FILE       25 frames a second; default: the project's own clip
  --runtime, --json  as above

With \`readers\` it is readers of every kind on one publisher of NV12: quick ones, some that hold up to 8 frames for up to 5 s,
some that never close them, some that are stopped in the middle of a lease or killed. No frame may be missed or change while it is
held, whoever is honest is served, and memory stays under its limit. Builds nothing when it is run on Deno itself:
\`deno run -A scripts/soak/main.ts readers\`.

  --duration TIME    how long is measured; default: 5m
  --readers N        1 to 64; default: 64
  --rate N           frames a second; default: 60
  --size WxH         default: 1920x1080; a multiple of 8 by an even number
  --max-slots N      what the ring may grow to; default: 64
  --memory KIND      host or cuda; default: host
  --seed N           of what is random; default: 1
  --write            writes docs/results/DATE-readers-MACHINE.md
  --runtime LIST     what runs the programs, in turn; default: all that are there
  --results, --json  as above`;

function parse() {
  return parseArgs({
    allowPositionals: true,
    options: {
      duration: { type: "string", default: "5m" },
      readers: { type: "string", default: "64" },
      rate: { type: "string", default: "60" },
      size: { type: "string", default: "1920x1080" },
      "max-slots": { type: "string", default: "64" },
      memory: { type: "string", default: "host" },
      seed: { type: "string", default: "1" },
      write: { type: "boolean", default: false },
      minutes: { type: "string", default: "10" },
      runtime: { type: "string" },
      input: { type: "string" },
      life: { type: "string", default: "20" },
      cpu: { type: "boolean", default: false },
      seconds: { type: "string", default: "10" },
      results: { type: "string", default: join(root, "docs/results") },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
}

type Values = ReturnType<typeof parse>["values"];

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
    input: values.input ?? join(root, "test/fixtures/clip.mp4"),
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

/** @returns the number, where it is whole and in a range */
function integerOf(
  values: Values,
  name: "readers" | "rate" | "max-slots" | "seed",
  least: number,
  most: number,
): number {
  const value = Number(values[name]);
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new Error(`--${name} ${values[name]}: it must be a whole number from ${least} to ${most}`);
}

function sizeOf(text: string): { width: number; height: number } {
  const [width = 0, height = 0] = /^\d+x\d+$/.test(text) ? text.split("x").map(Number) : [];
  if (width > 0 && width % 8 === 0 && height > 0 && height % 2 === 0) return { width, height };
  throw new Error(`--size ${text}: it must be a multiple of 8 by an even number, as 1920x1080`);
}

/** Those that are there: a machine with a GPU may have Deno only. */
function runtimesThere(): Runtime[] {
  return RUNTIMES.filter((runtime) => {
    try {
      return existsSync(tool(runtime));
    } catch {
      return false;
    }
  });
}

/** @returns whether all is as it must be */
async function readers(values: Values, directory: string): Promise<boolean> {
  const { memory } = values;
  if (memory !== "host" && memory !== "cuda") {
    throw new Error(`--memory ${memory}: there is only host and cuda`);
  }
  const [load = NaN] = loadavg();
  const result = await soakReaders({
    seconds: duration(values.duration),
    readers: integerOf(values, "readers", 1, 64),
    rate: integerOf(values, "rate", 1, 1000),
    ...sizeOf(values.size),
    maxSlots: integerOf(values, "max-slots", 8, 64),
    memory,
    seed: integerOf(values, "seed", 0, 1e6),
    runtimes: values.runtime === undefined ? runtimesThere() : runtimesIn(values.runtime),
    directory,
    progress: (what) => console.error(what),
  });
  const tables = readersTables(result);
  if (values.write) {
    mkdirSync(values.results, { recursive: true });
    const suffix = memory === "cuda" ? "-cuda" : "";
    const name = `${new Date().toISOString().slice(0, 10)}-readers-${machineName()}${suffix}.md`;
    const path = join(values.results, name);
    writeFileSync(path, readersPage(tables, result, load));
    await run(tool("deno"), ["fmt", "--quiet", path]);
  }
  console.log(values.json ? JSON.stringify(result) : tables);
  return isGoodSoak(result);
}

const { values, positionals: [what, ...rest] } = parse();
if (rest.length > 0 || (what !== undefined && what !== "readers")) {
  throw new Error(`soak ${[what, ...rest].join(" ")}: there is only \`readers\``);
}
if (values.help) {
  console.log(help);
  process.exit(0);
}
const directory = mkdtempSync(join(tmpdir(), "cuframes-soak-"));
try {
  const soak = what === "readers" ? readers : values.cpu ? cpu : endurance;
  const good = await soak(values, directory);
  process.exitCode = good ? 0 : 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
