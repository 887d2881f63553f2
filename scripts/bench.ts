// `npm run bench [-- --json]`: every measurement on host memory. docs/benchmarks.md says how and why.

import process from "node:process";
import { build } from "./build.ts";
import { run } from "./lib/process.ts";
import { tool } from "./toolchain.mjs";

await build(["install"]);
await run(tool("deno"), ["run", "-A", "bench/main.ts", ...process.argv.slice(2)]);
