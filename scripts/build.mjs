// Builds the shim; with --write also writes what other languages see of its ABI to where they look for it.

import { copyFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { root, run, tool } from "./toolchain.mjs";

/** What is written from the Zig sources: in zig-out/share, and in the repository. */
export const generated = {
  "constants.ts": "src/core/constants.ts",
  "layout.ts": "src/ffi/layout.ts",
  "symbols.ts": "src/ffi/symbols.ts",
  "cuframes.h": "zig/include/cuframes.h",
  "_abi.py": "python/cuframes/_abi.py",
};

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
    for (const [name, path] of Object.entries(generated)) {
      copyFileSync(join(root, "zig/zig-out/share", name), join(root, path));
    }
  }
}
