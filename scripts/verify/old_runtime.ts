// What the package says on a Node that is too old for it: the one that npm runs on, where that is.

import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { Child, outputOf } from "../lib/process.ts";
import { npmName } from "../package/metadata.ts";
import { LEAST_VERSIONS, unsupportedRuntime } from "../../src/core/runtimes.ts";

/** The package, unpacked, is asked for its entries and its program. */
export async function tryOldRuntime(folder: string): Promise<void> {
  const node = process.env["npm_node_execpath"] ?? "node";
  const version = (await outputOf(node, ["--version"])).trim().slice(1);
  const sentence = unsupportedRuntime({ node: version });
  if (sentence === undefined) {
    return console.log(`Node ${version} is not too old: what an older one is told has not been looked at`);
  }
  for (const [name, least] of Object.entries(LEAST_VERSIONS)) {
    if (!sentence.toLowerCase().includes(`${name} ${least}`)) {
      throw new Error(`"${sentence}" does not name ${name}`);
    }
  }
  const project = join(dirname(folder), "old");
  mkdirSync(project);
  cpSync(folder, join(project, "node_modules", npmName), { recursive: true });
  const program = join(project, "node_modules", npmName, "bin/cuframes.cjs");
  for (const args of [["inspect"], ["--version"], ["source", "x.mp4", "--key", "x"]]) {
    const child = new Child([node, program, ...args], { cwd: project });
    const { code } = await child.ended;
    const [first] = child.errors.split("\n");
    if (code === 0 || first !== `cuframes: ${sentence}`) {
      throw new Error(`cuframes ${args.join(" ")} on Node ${version} ended with ${code}:\n${child.errors}`);
    }
  }
  for (const entry of ["", "/media", "/source"]) {
    const path = join(project, "entry.mjs");
    writeFileSync(
      path,
      `import("${npmName}${entry}").catch(({ name, code, message }) => console.log(name, code, message));`,
    );
    const output = await outputOf(node, [path], { cwd: project });
    if (output.trim() !== `CuframesError UNSUPPORTED ${sentence}`) {
      throw new Error(`importing ${npmName}${entry} on Node ${version}: ${output}`);
    }
  }
  console.log(`Node ${version} is told that it is too old`);
}
