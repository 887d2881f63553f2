// Runs the benchmarks from a fresh clone: builds what they need, then hands over to bench/main.ts.

import process from "node:process";
import { build } from "./build.mjs";
import { run, tool } from "./toolchain.mjs";

await build(["install"]);
try {
  await run(tool("deno"), ["run", "-A", "bench/main.ts", ...process.argv.slice(2)]);
} catch {
  process.exitCode = 1; // it has said why
}
