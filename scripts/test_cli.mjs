// The command-line tool beside the programs it works with: an RTSP server, FFmpeg's own programs, a terminal. On each runtime.
// Arguments after `--` go to vitest. A test whose peer is not installed is skipped, and says so.

import process from "node:process";
import { build } from "./build.mjs";
import { runSuites } from "./suites.mjs";

await build(["install"]);
await runSuites(["--config", "vitest.cli.config.ts", ...process.argv.slice(2)], { deno: [], bun: [] });
