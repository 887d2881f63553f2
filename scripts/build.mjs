// Builds the shim; with --write also writes the TypeScript side of its ABI into src/ffi.

import { copyFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { root, run, tool } from "./toolchain.mjs";

/** Installs the toolchain where that is missing, and builds what `zig build` is asked for. */
export async function build(steps = ["install", "bindings"]) {
  if (!existsSync(join(root, "node_modules/.package-lock.json"))) {
    await run("npm", ["ci", "--no-audit", "--no-fund"]);
  }
  await run(tool("zig"), ["build", ...steps], { cwd: join(root, "zig") });
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  await build();
  if (process.argv.includes("--write")) {
    for (const name of ["layout.ts", "symbols.ts"]) {
      copyFileSync(join(root, "zig/zig-out/share", name), join(root, "src/ffi", name));
    }
  }
}
