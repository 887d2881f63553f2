// The tests on a real GPU: the scenarios that the test double of libcuda.so.1 must share with it, the suite of the classes
// and the tests of CUDA frames on Deno and on Bun, and what only hardware can show. Builds nothing: `zig build install
// cuda_double kernels` in zig/ must have been run. Arguments choose parts: driver, classes, cuda, egl, hardware; default:
// all. The log goes to $OUT. On the test double (LD_LIBRARY_PATH) it is a rehearsal.

import process from "node:process";
import { describeDevices, findDevices, isDouble, openLog, runPart } from "./gpu.mjs";
import { tool } from "./toolchain.mjs";

const runtimes = { Deno: ["deno", "run", "-A"], Bun: ["bun", "--bun"] };

const parts = [
  { name: "driver", program: "zig/zig-out/test/conformance", filters: ["--hardware"], seconds: 60 },
  ...["Deno", "Bun"].flatMap((runtime) => [
    {
      name: "classes",
      runtime,
      filters: [
        "test/publisher",
        "test/subscriber",
        "test/frame",
        "test/packet_ring",
        "test/inspect",
        "test/processes",
        // Compiles with Zig, and knows nothing of GPUs.
        "--exclude=test/ffi/loading.test.ts",
      ],
      seconds: 240,
    },
    { name: "cuda", runtime, filters: ["test/cuda/"], seconds: 240 },
    // Alone with the GPU: it looks at free memory, as the next part does.
    { name: "egl", runtime, filters: ["test/gpu/egl"], seconds: 400 },
  ]),
  { name: "hardware", runtime: "Deno", filters: ["test/gpu/hardware", "test/gpu/decode"], seconds: 560 },
];

/** What vitest counted, or the scenarios that have passed and failed. */
function countsOf(output, program) {
  if (program !== undefined) {
    return ["ok", "FAILED"].map((word) => output.match(new RegExp(`^${word} `, "gm"))?.length ?? 0).concat(0);
  }
  const summary = output.match(/^\s*Tests\s+(.*)$/m)?.[1] ?? "";
  return ["passed", "failed", "skipped"].map((word) =>
    Number(summary.match(new RegExp(`(\\d+) ${word}`))?.[1] ?? 0)
  );
}

async function main() {
  const log = openLog("test_gpu.log");
  let devices;
  try {
    devices = await findDevices();
  } catch (error) {
    if (!error.unsupported) throw error;
    console.log(`no GPU, nothing tested: ${error.message}`);
    return;
  }
  const rehearsal = isDouble(devices);
  const chosen = process.argv.slice(2);
  const env = { CUFRAMES_TEST_MEMORY: "cuda", CUFRAMES_TEST_GPU: rehearsal ? "double" : "1" };
  const rows = [];
  let bad = 0;
  for (const { name, runtime, program, filters, seconds } of parts) {
    if (chosen.length > 0 && !chosen.includes(name)) continue;
    log.write(`\n== ${name} on ${runtime ?? "the driver itself"}\n`);
    let part;
    try {
      const options = { env, seconds, log };
      if (program !== undefined) part = await runPart(program, filters, options);
      else {
        const [command, ...args] = runtimes[runtime];
        const vitest = [...args, "node_modules/vitest/vitest.mjs", "run", "--reporter=verbose", ...filters];
        part = await runPart(tool(command), vitest, options);
      }
    } catch (error) {
      part = { ended: error.message, output: "", seconds: 0 };
    }
    const [passed, failed, skipped] = countsOf(part.output, program);
    const failures = [...part.output.matchAll(/^ *FAIL(?:ED)? +(.*)$/gm)].map(([, test]) => test);
    if (part.ended !== "" || failed > 0 || passed === 0) bad++;
    rows.push({
      part: name,
      runtime: runtime ?? "",
      passed,
      failed,
      skipped,
      seconds: Math.round(part.seconds),
      ended: part.ended || "well",
    });
    for (const test of new Set(failures)) console.log(`failed: ${name}, ${runtime ?? program}: ${test}`);
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
