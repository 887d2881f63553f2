// Lays out what JSR is sent, lets `deno publish` judge it, and runs it as remote modules: from a registry on this
// machine, with no permission but for FFI and a cache directory.

import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./lib/process.ts";
import { bin } from "./package/metadata.ts";
import { stage } from "./package/stage.ts";
import {
  remoteProject,
  tryEveryEntry,
  tryEveryPairing,
  tryFirstExample,
  tryProgram,
} from "./verify/projects.ts";
import { jsrPackage, othersPackages, serve } from "./verify/registry.ts";
import { tool } from "./toolchain.mjs";

// The most that JSR takes.
const sizeMax = 20_000_000;

const folder = stage("jsr");
await run(tool("deno"), ["publish", "--dry-run", "--allow-dirty", "--quiet"], { cwd: folder });
// The stage's link to the checkout's modules is not sent.
const files = readdirSync(folder, { recursive: true, encoding: "utf8" })
  .filter((file) => !file.startsWith("node_modules")).map((file) => join(folder, file));
const size = files.reduce((sum, file) => sum + (statSync(file).isFile() ? statSync(file).size : 0), 0);
if (size > sizeMax) throw new Error(`the package has ${size} bytes, JSR takes ${sizeMax}`);

const directory = mkdtempSync(join(tmpdir(), "cuframes-verify-"));
try {
  const jsr = jsrPackage(folder);
  await using registry = await serve(async (path, origin) =>
    await jsr(path, origin) ?? await othersPackages(path)
  );
  const project = remoteProject(join(directory, "deno"), registry.origin);
  await tryEveryPairing([project], join(directory, "run"));
  await tryEveryEntry(project, join(directory, "run"));
  await tryFirstExample(project, join(directory, "run"));
  if (bin !== undefined) await tryProgram(project);
  console.log("the package works from remote modules");
} finally {
  rmSync(directory, { recursive: true, force: true });
}
