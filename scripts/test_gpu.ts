// The tests on a real GPU: the scenarios that the test double of libcuda.so.1 must share with it, the suite of the classes
// and the tests of CUDA frames on Deno and on Bun, and what only hardware can show. Builds nothing: `zig build install
// cuda_double kernels` in zig/ must have been run. Arguments choose parts: driver, classes, cuda, egl, hardware; default:
// all. The log goes to $OUT. On the test double (LD_LIBRARY_PATH) it is a rehearsal. Runs on Node, Deno and Bun.

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
import { type Outcome, type RuntimeName, runVitest } from "./lib/vitest.ts";

interface Part {
  name: string;
  /** A program that prints "ok" or "FAILED" for each scenario, … */
  program?: string;
  /** … or what vitest runs on. */
  runtime?: RuntimeName;
  arguments: string[];
  seconds: number;
}

const parts: Part[] = [
  { name: "driver", program: "zig/zig-out/test/conformance", arguments: ["--hardware"], seconds: 60 },
  ...(["deno", "bun"] as const).flatMap((runtime) => [
    {
      name: "classes",
      runtime,
      arguments: [
        "test/frames/",
        "test/packets/",
        "test/connect/",
        "test/ipc/",
        "test/ffi/threads",
        "test/sockets/processes",
        "test/images/dmabuf_example",
        "test/cli/examples",
        // Of host memory alone, and those whose peers Zig compiles.
        "--exclude=test/frames/frame_copies.test.ts",
        "--exclude=test/ipc/hostile_*.test.ts",
      ],
      seconds: 300,
    },
    { name: "cuda", runtime, arguments: ["test/cuda/"], seconds: 240 },
    // Alone with the GPU: it looks at free memory, as the next part does.
    { name: "egl", runtime, arguments: ["test/gpu/egl"], seconds: 400 },
  ]),
  { name: "hardware", runtime: "deno", arguments: ["test/gpu/hardware", "test/gpu/decode"], seconds: 560 },
];

type Result = Omit<Outcome, "files">;

/** The scenarios of a program. */
async function runProgram(
  program: string,
  part: Part,
  env: Record<string, string>,
  log: Log,
): Promise<Result> {
  const { output, ended, seconds } = await runPart([program, ...part.arguments], {
    env,
    seconds: part.seconds,
    log,
  });
  const failures = [...output.matchAll(/^FAILED +(.*)$/gm)].map(([, scenario]) => scenario!);
  const passed = output.match(/^ok /gm)?.length ?? 0;
  return { passed, failed: failures.length, skipped: 0, failures, ended, seconds };
}

async function perform(part: Part, env: Record<string, string>, log: Log): Promise<Result> {
  try {
    if (part.program !== undefined) return await runProgram(part.program, part, env, log);
    return await runVitest(part.runtime!, ["--reporter=verbose", ...part.arguments], {
      env: { NO_COLOR: "1", ...env },
      limit: part.seconds,
      onOutput: (chunk) => log.write(chunk),
    });
  } catch (error) {
    return { passed: 0, failed: 0, skipped: 0, failures: [], ended: (error as Error).message, seconds: 0 };
  }
}

async function main(): Promise<void> {
  const log = openLog("test_gpu.log");
  let devices: Device[];
  try {
    devices = await findDevices();
  } catch (error) {
    if (!(error instanceof NoGpu)) throw error;
    console.log(`no GPU, nothing tested: ${error.message}`);
    return;
  }
  const rehearsal = isDouble(devices);
  const chosen = process.argv.slice(2);
  const env = { CUFRAMES_TEST_MEMORY: "cuda", CUFRAMES_TEST_GPU: rehearsal ? "double" : "1" };
  const rows = [];
  let bad = 0;
  for (const part of parts) {
    if (chosen.length > 0 && !chosen.includes(part.name)) continue;
    log.write(`\n== ${part.name} on ${part.runtime ?? "the driver itself"}\n`);
    const { passed, failed, skipped, failures, seconds, ended } = await perform(part, env, log);
    if (ended !== "" || failed > 0 || passed === 0) bad++;
    rows.push({
      part: part.name,
      runtime: part.runtime ?? "",
      passed,
      failed,
      skipped,
      seconds: Math.round(seconds),
      ended: ended || "well",
    });
    for (const test of failures) {
      console.log(`failed: ${part.name}, ${part.runtime ?? part.program}: ${test}`);
    }
  }
  await log.close();
  console.log(
    `${new Date().toISOString()}${rehearsal ? ", a rehearsal on the test double" : ""}\n${
      describeDevices(devices)
    }`,
  );
  console.table(rows);
  if (log.path !== undefined) console.log(`the log is in ${log.path}`);
  process.exitCode = bad === 0 && rows.length > 0 ? 0 : 1;
}

await main();
