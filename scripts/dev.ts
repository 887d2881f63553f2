// `npm run dev [-- --bun | --node | --all]`: watches the sources and runs what a change touches, on Deno unless another
// runtime is named. lib/test_files.ts says which tests those are. Ctrl-C ends it.

import { existsSync, watch } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { build, writeGenerated } from "./build.ts";
import { run } from "./lib/process.ts";
import { peersFolder, testsTouchedBy, zigModuleOf, zigTests } from "./lib/test_files.ts";
import { root, tool } from "./toolchain.mjs";

const folders = ["src", "zig/src", "test"];
/** Editors write a file in several steps. */
const quietMilliseconds = 200;
const runtimes = process.argv.slice(2);

/** The filters for the tests of what was changed in Zig; undefined where all of them have to run. */
function zigFilters(files: readonly string[]): string[] | undefined {
  const withTests = new Set(zigTests().map(({ path }) => path));
  return files.every((file) => withTests.has(file))
    ? files.map((file) => `-Dtest-filter=${zigModuleOf(file)}.test`)
    : undefined;
}

async function react(files: readonly string[]): Promise<void> {
  console.log(`\n== ${files.join(", ")}`);
  const zig = files.filter((file) => file.startsWith("zig/"));
  if (zig.length > 0) {
    await build(["install", "bindings"]);
    writeGenerated();
    await build(["test", ...zigFilters(zig) ?? []]);
  }
  const tests = [...new Set(files.flatMap(testsTouchedBy))];
  for (const isPeers of [false, true]) {
    const chosen = tests.filter((path) => path.startsWith(peersFolder) === isPeers);
    const flags = isPeers ? ["--peers"] : [];
    if (chosen.length > 0) await run(tool("node"), ["scripts/test.ts", ...flags, ...chosen, ...runtimes]);
  }
  if (tests.length + zig.length === 0) {
    console.log("no test has its name or gets to it; `npm test` runs them all");
  }
}

const changed = new Set<string>();
let timer: ReturnType<typeof setTimeout> | undefined;
let working = false;

/** One run at a time; what changes meanwhile has its turn behind it. */
async function work(): Promise<void> {
  if (working) return;
  working = true;
  while (changed.size > 0) {
    const files = [...changed].sort();
    changed.clear();
    try {
      await react(files);
    } catch (error) {
      console.error((error as Error).message);
    }
  }
  working = false;
}

for (const folder of folders) {
  watch(join(root, folder), { recursive: true }, (_, name) => {
    if (name === null || !/\.(ts|mjs|zig)$/.test(name) || !existsSync(join(root, folder, name))) return;
    changed.add(join(folder, name));
    clearTimeout(timer);
    timer = setTimeout(work, quietMilliseconds);
  });
}
await build(["install"]);
console.log(`watching ${folders.join(", ")}`);
