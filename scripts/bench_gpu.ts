// Measures frames on a real GPU and prints a table and one JSON line. Builds nothing: `zig build` in zig/ must have been
// run. Arguments choose measurements: publishing, receiving, copying, importing, flooding, decoding; default: all. The
// log goes to $OUT. On the test double of libcuda.so.1 (LD_LIBRARY_PATH) it is a rehearsal, whose figures mean nothing.
// Runs on Node, Deno and Bun.

import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import {
  describeDevices,
  type Device,
  findDevices,
  isDouble,
  type Log,
  NoGpu,
  openLog,
  runPart,
} from "./lib/gpu.ts";
import { parseJsonLines } from "./lib/json_lines.ts";
import { root, tool } from "./toolchain.mjs";

interface Row {
  what: string;
  p50: number;
  p99: number;
  bytes?: number;
  beside?: { what: string; p50: number; p99: number };
  budget?: number;
  framesPerSecond?: number;
}

const runtimes = ["Deno", "Bun"];
const measurements: Record<string, number> = {
  publishing: 60,
  receiving: 90,
  copying: 60,
  importing: 60,
  flooding: 90,
};
const clips = ["../shared/media/bottle-detection.mp4", "test/fixtures/clip.mp4"];

const round = (value: number) => Number(value.toPrecision(3));

/** Decoding to a subscriber, as bench/gpu/decode.ts measures it. */
async function decode(log: Log): Promise<object> {
  const clip = clips.map((path) => join(root, path)).find(existsSync)!;
  const part = await runPart([tool("deno"), "run", "-A", "--no-check", "bench/gpu/decode.ts", clip], {
    seconds: 120,
    log,
  });
  if (part.ended !== "") throw new Error(part.ended);
  return parseJsonLines(part.output).at(-1)!;
}

/** A bare futex wake between two threads of C, paced like the frames: what the machine itself takes. */
async function wakeFloor(intervalMs: number, log: Log): Promise<({ runtime: string } & Row)[]> {
  const program = join(root, "zig/zig-out/bench/bin/floor");
  if (!existsSync(program)) return [];
  const part = await runPart([program, "futex", "1000", String(intervalMs * 1000)], { seconds: 30 });
  const latencies = (JSON.parse(part.output).latencyNs as number[]).sort((one, other) => one - other);
  const at = (share: number) => latencies[Math.floor(latencies.length * share)]! / 1000;
  log.write(`${at(0.5)} ${at(0.99)}\n`);
  return [{ runtime: "C", what: `a bare futex wake, every ${intervalMs} ms`, p50: at(0.5), p99: at(0.99) }];
}

async function measure(name: string, runtime: string, rehearsal: boolean, log: Log): Promise<Row[]> {
  const script = ["run", "-A", "--no-check", "bench/gpu/measure.ts", name, runtime, rehearsal ? "0.05" : "1"];
  const part = await runPart([tool("deno"), ...script], { seconds: measurements[name]!, log });
  const rows = part.output.match(/^rows:(.*)$/m)?.[1];
  if (rows === undefined) throw new Error(part.ended || "printed no rows");
  return JSON.parse(rows);
}

function line(runtime: string, { what, p50, p99, bytes, beside, budget, framesPerSecond }: Row): object {
  const rate = (microseconds: number) =>
    bytes === undefined ? "" : `${round(bytes / microseconds / 1000)} GB/s`;
  return {
    what,
    runtime,
    "p50 µs": round(p50),
    "p99 µs": round(p99),
    beside: beside === undefined
      ? ""
      : `${beside.what}: ${round(beside.p50)} / ${round(beside.p99)} ${rate(beside.p50)}`.trim(),
    rate: rate(p50),
    "per second": framesPerSecond ?? "",
    budget: budget === undefined ? "" : `p50 ≤ ${budget}: ${p50 <= budget ? "met" : "missed"}`,
  };
}

async function main(): Promise<void> {
  const log = openLog("bench_gpu.log");
  let devices: Device[];
  try {
    devices = await findDevices();
  } catch (error) {
    if (!(error instanceof NoGpu)) throw error;
    console.log(`no GPU, nothing measured: ${error.message}`);
    return;
  }
  const rehearsal = isDouble(devices);
  const chosen = process.argv.slice(2);
  const wanted = (name: string) => chosen.length === 0 || chosen.includes(name);
  const results: ({ runtime: string } & Row)[] = [];
  const failures: string[] = [];
  const attempt = async <T>(what: string, act: () => Promise<T>): Promise<T | undefined> => {
    log.write(`\n== ${what}\n`);
    try {
      return await act();
    } catch (error) {
      failures.push(`${what}: ${(error as Error).message}`);
      return undefined;
    }
  };
  for (const name of Object.keys(measurements).filter(wanted)) {
    for (const runtime of runtimes) {
      const rows = await attempt(`${name} on ${runtime}`, () => measure(name, runtime, rehearsal, log));
      for (const row of rows ?? []) results.push({ runtime, ...row });
    }
  }
  if (wanted("receiving")) {
    for (const intervalMs of [2, 0.2]) {
      results.push(
        ...await attempt(`futex wakes every ${intervalMs} ms`, () => wakeFloor(intervalMs, log)) ?? [],
      );
    }
  }
  let decoding: object | undefined;
  if (wanted("decoding") && !rehearsal) decoding = await attempt("decoding", () => decode(log));
  await log.close();

  const date = new Date().toISOString();
  console.log(`${date}${rehearsal ? ", a rehearsal on the test double: these figures mean nothing" : ""}`);
  console.log(describeDevices(devices));
  console.table(results.map(({ runtime, ...row }) => line(runtime, row)));
  if (decoding !== undefined) console.table([decoding]);
  for (const failure of failures) console.log(`failed: ${failure}`);
  console.log(JSON.stringify({ date, rehearsal, devices, results, decoding, failures }));
  process.exitCode = failures.length === 0 ? 0 : 1;
}

await main();
