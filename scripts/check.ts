// `npm run check`: format, lint, types, and what JSR would say, with what the runtimes bring.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { runTasks, type Task } from "./lib/tasks.ts";
import { root, tool } from "./toolchain.mjs";

const deno = tool("deno");
const guides = readdirSync(join(root, "docs/getting-started"))
  .map((name) => join("docs/getting-started", name));
const zigRoots = readdirSync(join(root, "zig")).filter((name) => name.endsWith(".zig"))
  .map((name) => join("zig", name));

// The longest ones first, so that none of them is left alone at the end.
const tasks: Task[] = [
  { name: "what JSR would say", command: [deno, "publish", "--dry-run", "--allow-dirty"] },
  {
    name: "types",
    command: [
      deno,
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
    ],
  },
  { name: "types in the guides", command: [deno, "check", "--doc-only", ...guides] },
  { name: "rooms", command: [tool("node"), "scripts/check_rooms.ts"] },
  { name: "API reference and quotes", command: [tool("node"), "scripts/check_docs.ts"] },
  { name: "lint", command: [deno, "lint"] },
  { name: "format", command: [deno, "fmt", "--check"] },
  {
    name: "format of Zig",
    command: [tool("zig"), "fmt", "--check", "zig/src", ...zigRoots, "test", "bench"],
  },
  { name: "limits in Zig", command: [tool("node"), "scripts/check_zig.ts"] },
  { name: "generated files", command: [tool("node"), "scripts/build.ts", "--check"] },
];
process.exitCode = await runTasks(tasks) ? 0 : 1;
