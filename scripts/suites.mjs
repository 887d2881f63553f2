// vitest runs of a group of tests on each runtime, and their counts as one line.

import { spawn } from "node:child_process";
import process from "node:process";
import { root, tool } from "./toolchain.mjs";

const quiet = "--disable-warning=ExperimentalWarning"; // of node:ffi

// On Bun, where vitest has threads only, two files at once would share a process and count each other's descriptors. So
// each half of them has a process; what was chosen on the command line may be too little to halve.
const halves = process.argv.length > 2 ? [[]] : [["--shard=1/2"], ["--shard=2/2"]];

/** What comes before vitest on a runtime's command line, and behind its own arguments: a list of these for each process. */
const commands = {
  deno: { before: ["run", "-A"], behind: [[]] },
  bun: { before: ["--bun"], behind: halves.map((half) => ["--maxWorkers=1", ...half]) },
  node: { before: [quiet], behind: [[`--execArgv=${quiet}`]] },
};

/**
 * Runs a group of tests on each runtime; prints the counts and sets this process's exit code.
 *
 * @param {string[]} args vitest's
 * @param {Partial<Record<"deno" | "bun" | "node", string[]>>} runtimes what is to run it, and arguments for each
 */
export async function runSuites(args, runtimes) {
  const results = [];
  for (const [name, more] of Object.entries(runtimes)) {
    console.log(`\n== ${name}`);
    const { before, behind } = commands[name];
    const vitest = [...before, "node_modules/vitest/vitest.mjs", "run", ...args, ...more];
    results.push(...await Promise.all(behind.map((last) => part(name, [...vitest, ...last]))));
  }
  const total = (word) => results.reduce((sum, result) => sum + result[word], 0);
  const failed = total("failed") + results.filter(({ code, failed }) => code !== 0 && failed === 0).length;
  console.log(`\n${total("passed")} passed, ${failed} failed, ${total("skipped")} skipped`);
  process.exitCode = failed === 0 && total("passed") > 0 ? 0 : 1;
}

/** One vitest process on a runtime; returns what it counted. */
function part(name, command) {
  return new Promise((resolve, reject) => {
    const child = spawn(tool(name), command, { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.on("data", (chunk) => {
      process.stdout.write(chunk);
      output += chunk;
    });
    child.on("error", reject);
    child.on("close", (code) => {
      // deno-lint-ignore no-control-regex -- vitest colours its summary
      const summary = output.replace(/\x1b\[[0-9;]*m/g, "").match(/^\s*Tests\s+(.*)$/m)?.[1] ?? "";
      const count = (word) => Number(summary.match(new RegExp(`(\\d+) ${word}`))?.[1] ?? 0);
      resolve({ code, passed: count("passed"), failed: count("failed"), skipped: count("skipped") });
    });
  });
}
