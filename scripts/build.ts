// `npm run build`: the library, and with --write the TypeScript side of its ABI in src/ffi. With --check nothing is
// written: it fails where src/ffi is not what the Zig sources say.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { run } from "./lib/process.ts";
import { root, tool } from "./toolchain.mjs";

/** Builds what `zig build` is asked for; Zig's cache knows what of it is there. */
export async function build(steps: readonly string[] = ["install", "bindings"]): Promise<void> {
  await run(tool("zig"), ["build", ...steps], { cwd: join(root, "zig") });
}

/** The generated files that are not as they were built. */
function staleFiles(): { path: string; content: string }[] {
  return ["layout.ts", "symbols.ts"].flatMap((name) => {
    const path = join("src/ffi", name);
    const content = readFileSync(join(root, "zig/zig-out/share", name), "utf8");
    return content === readFileSync(join(root, path), "utf8") ? [] : [{ path, content }];
  });
}

/** Brings src/ffi up to the Zig sources, for which `bindings` must have been built. */
export function writeBindings(): void {
  for (const { path, content } of staleFiles()) writeFileSync(join(root, path), content);
}

if (import.meta.main) {
  const isCheck = process.argv.includes("--check");
  await build(isCheck ? ["bindings"] : ["install", "bindings"]);
  if (process.argv.includes("--write")) writeBindings();
  for (const { path } of isCheck ? staleFiles() : []) {
    console.error(`${path} is not what the Zig sources say: run \`npm run build\``);
    process.exitCode = 1;
  }
}
