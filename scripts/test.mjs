// Everything that `npm test` stands for: Zig's tests, also under ThreadSanitizer, then one suite on Deno and on Bun, with
// processes on Node beside them. The suite on Node is `npm run test:node`.
// Arguments after `--` go to vitest.

import process from "node:process";
import { build } from "./build.mjs";
import { runSuites } from "./suites.mjs";
import { root, run, tool } from "./toolchain.mjs";

await build(["install", "bindings", "cuda_double"]);
console.log("== zig");
await run(tool("zig"), ["build", "test"], { cwd: `${root}/zig` });
await run(tool("zig"), ["build", "test", "-Dtsan"], { cwd: `${root}/zig` });
await runSuites(process.argv.slice(2), { deno: [], bun: [] });
