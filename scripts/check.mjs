// Format, lint, types, and what JSR would say, with what the runtimes bring.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { build } from "./build.mjs";
import { root, run, tool } from "./toolchain.mjs";

await build(["bindings"]);
await run(tool("zig"), ["fmt", "--check", "zig/src", "zig/build.zig", "zig/bindings.zig", "test"]);
await run(tool("deno"), ["fmt", "--check"]);
await run(tool("deno"), ["lint"]);
await run(tool("deno"), [
  "check",
  "--doc",
  "mod.ts",
  "media.ts",
  "source.ts",
  "src",
  "test",
  "bench",
  "examples",
  "scripts",
]);
const guides = readdirSync(join(root, "docs/getting-started")).map((name) =>
  join("docs/getting-started", name)
);
await run(tool("deno"), ["check", "--doc-only", ...guides]);
await run(tool("node"), ["scripts/check_rooms.ts"]);
await run(tool("node"), ["scripts/check_docs.ts"]);
await run(tool("deno"), ["publish", "--dry-run", "--allow-dirty"], { cwd: root });
