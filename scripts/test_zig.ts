// `npm run test:zig [-- NAME… [--tsan]]`: Zig's tests that have one of the names in theirs, or lie in the modules named so
// ("ring.frames", zig/src/ring/frames.zig); without a name all of them. With --tsan under ThreadSanitizer.

import process from "node:process";
import { build } from "./build.ts";
import { zigModuleOf, zigTests } from "./lib/test_files.ts";

const args = process.argv.slice(2);
const names = args.filter((argument) => argument !== "--tsan");
const filters = names.map((name) => name.endsWith(".zig") ? zigModuleOf(name) : name);
const chosen = zigTests().filter(({ fullName }) =>
  filters.length === 0 || filters.some((filter) => fullName.includes(filter))
);
if (chosen.length === 0) {
  console.error(`no test in zig/src has ${names.map((name) => `"${name}"`).join(" or ")} in its name`);
  process.exit(1);
}
try {
  await build([
    args.includes("--tsan") ? "test_tsan" : "test",
    ...filters.map((filter) => `-Dtest-filter=${filter}`),
  ]);
  for (const { path, name } of chosen) console.log(`✓ ${path}: ${name}`);
} catch {
  process.exitCode = 1; // Zig has said why
}
