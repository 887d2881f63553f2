// Publishes to JSR; in a workflow with `id-token: write` it needs no token, and JSR records the provenance.

import { run } from "./lib/process.ts";
import { stage } from "./package/stage.ts";
import { tool } from "./toolchain.mjs";

await run(tool("deno"), ["publish", "--allow-dirty"], { cwd: stage("jsr") });
