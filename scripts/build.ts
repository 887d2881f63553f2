// `npm run build`: the library, and with --write what other languages see of its ABI, where they look for it. With --check
// nothing is written: it fails where something there is not what the Zig sources say.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { run } from "./lib/process.ts";
import { root, tool } from "./toolchain.mjs";

/** Builds what `zig build` is asked for; Zig's cache knows what of it is there. */
export async function build(steps: readonly string[] = ["install", "bindings"]): Promise<void> {
  await run(tool("zig"), ["build", ...steps], { cwd: join(root, "zig") });
}

/** What is written from the Zig sources: in zig-out/share, and in the repository. */
export const generated = {
  "constants.ts": "src/core/constants.ts",
  "layout.ts": "src/ffi/layout.ts",
  "symbols.ts": "src/ffi/symbols.ts",
  "cuframes.h": "zig/include/cuframes.h",
  "_abi.py": "python/cuframes/_abi.py",
} as const;

/** Those that are not as they were built. */
function staleFiles(): { path: string; content: string }[] {
  return Object.entries(generated).flatMap(([name, path]) => {
    const content = readFileSync(join(root, "zig/zig-out/share", name), "utf8");
    return content === readFileSync(join(root, path), "utf8") ? [] : [{ path, content }];
  });
}

/** Brings them up to the Zig sources, for which `bindings` must have been built. */
export function writeGenerated(): void {
  for (const { path, content } of staleFiles()) writeFileSync(join(root, path), content);
}

if (import.meta.main) {
  const isCheck = process.argv.includes("--check");
  await build(isCheck ? ["bindings"] : ["install", "bindings"]);
  if (process.argv.includes("--write")) writeGenerated();
  for (const { path } of isCheck ? staleFiles() : []) {
    console.error(`${path} is not what the Zig sources say: run \`npm run build\``);
    process.exitCode = 1;
  }
}
