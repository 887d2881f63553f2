// The API reference as HTML, from the doc comments, into dist/api.

import { rmSync } from "node:fs";
import { join } from "node:path";
import { root, run, tool } from "./toolchain.mjs";

const output = join(root, "dist/api");
rmSync(output, { recursive: true, force: true });
await run(tool("deno"), [
  "doc",
  "--html",
  "--name=cuframes",
  `--output=${output}`,
  "mod.ts",
  "media.ts",
  "source.ts",
], {
  stdio: ["ignore", "inherit", "ignore"], // warnings about types of other packages
});
