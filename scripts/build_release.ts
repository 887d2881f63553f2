// The native library of every released platform into zig/zig-out/release, with its header. Built a second time in another
// directory with empty caches, to show that the bytes are the sources' alone.

import { copyFileSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, generated } from "./build.ts";
import { run } from "./lib/process.ts";
import { root, tool } from "./toolchain.mjs";

/** The library has 547 kB; std's stack traces, linked in by mistake, weigh as much again. */
const sizeMax = 600 * 1024;
const release = join(root, "zig/zig-out/release");

rmSync(release, { recursive: true, force: true });
await build(["release"]);

const elsewhere = mkdtempSync(join(tmpdir(), "cuframes-release-"));
try {
  for (const name of ["build.zig", "src", "kernels"]) {
    cpSync(join(root, "zig", name), join(elsewhere, "zig", name), { recursive: true });
  }
  cpSync(join(root, "test/cuda_double"), join(elsewhere, "test/cuda_double"), { recursive: true });
  const caches = [
    "--cache-dir",
    join(elsewhere, "cache"),
    "--global-cache-dir",
    join(elsewhere, "global-cache"),
  ];
  await run(tool("zig"), ["build", "release", ...caches], { cwd: join(elsewhere, "zig") });
  for (const name of readdirSync(release)) {
    const { size } = statSync(join(release, name));
    if (size >= sizeMax) throw new Error(`${name} has ${size} bytes, at most ${sizeMax} are allowed`);
    const again = readFileSync(join(elsewhere, "zig/zig-out/release", name));
    if (!again.equals(readFileSync(join(release, name)))) {
      throw new Error(
        `${name} came out differently when it was built again: the build depends on something besides the sources`,
      );
    }
    console.log(`${name}: ${size} bytes, the same twice`);
  }
} finally {
  rmSync(elsewhere, { recursive: true, force: true });
}
copyFileSync(join(root, generated["cuframes.h"]), join(release, "cuframes.h"));
