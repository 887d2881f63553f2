// `npm run soak [-- options]`: builds what it needs, then hands over to scripts/soak/main.ts, which says what it does.

import process from "node:process";
import { build } from "./build.ts";
import { run } from "./lib/process.ts";
import { tool } from "./toolchain.mjs";

await build(["install"]);
try {
  await run(tool("deno"), ["run", "-A", "scripts/soak/main.ts", ...process.argv.slice(2)]);
} catch {
  process.exitCode = 1; // it has said why
}
