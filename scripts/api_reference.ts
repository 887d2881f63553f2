// The API reference as HTML, from the doc comments, into dist/api.

import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { run } from "./lib/process.ts";
import { root, tool } from "./toolchain.mjs";

const output = join(root, "dist/api");
rmSync(output, { recursive: true, force: true });
mkdirSync(join(root, "dist"), { recursive: true });
await run(tool("deno"), [
  "doc",
  "--html",
  "--name=cuframes",
  `--output=${output}`,
  "mod.ts",
  "media.ts",
  "source.ts",
], {
  stderr: "ignore", // warnings about types of other packages
});
