// The suite on Node. Arguments after `--` go to vitest.

import process from "node:process";
import { build } from "./build.mjs";
import { runSuites } from "./suites.mjs";

await build(["install", "bindings", "cuda_double"]);
// The command-line tool is run by Bun or Deno.
await runSuites([...process.argv.slice(2), "--exclude", "test/cli/**"], { node: [] });
