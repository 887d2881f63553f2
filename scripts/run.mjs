// Runs one of the project's commands: `node scripts/run.mjs NAME [arguments]` is scripts/NAME.ts on the toolchain's
// Node, which reads TypeScript. This file runs on any Node from 20 on; where the toolchain is missing, it installs it.

import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { root, tool } from "./toolchain.mjs";

if (!existsSync(join(root, "node_modules/.package-lock.json"))) {
  const { status } = spawnSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: root, stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}

const [name = "", ...args] = process.argv.slice(2);
const command = spawn(tool("node"), [join(root, "scripts", `${name}.ts`), ...args], { stdio: "inherit" });
// A terminal sends Ctrl-C to both; the command decides how it ends.
process.on("SIGINT", () => {});
for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => command.kill(signal));
command.on("exit", (code, signal) => {
  if (signal === null) process.exit(code);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
});
