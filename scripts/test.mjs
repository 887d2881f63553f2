// Everything that `npm test` stands for: Zig's tests, also under ThreadSanitizer, then one suite on each runtime. On Node
// without the parts that take long: `npm run test:node` runs those too.
// Arguments after `--` go to vitest.

import process from "node:process";
import { build } from "./build.mjs";
import { runSuites } from "./suites.mjs";
import { root, run, tool } from "./toolchain.mjs";

const longParts = [
  "test/{cli,cuda,gpu}/**",
  "test/media.test.ts",
  "test/processes/{deaths,hostile_publishers,hostile_subscribers,limits,examples}.test.ts",
];

await build(["install", "bindings", "cuda_double"]);
console.log("== zig");
await run(tool("zig"), ["build", "test"], { cwd: `${root}/zig` });
await run(tool("zig"), ["build", "test", "-Dtsan"], { cwd: `${root}/zig` });
await runSuites(process.argv.slice(2), {
  deno: [],
  bun: [],
  node: longParts.flatMap((part) => ["--exclude", part]),
});
