// Everything that `npm test` stands for: Zig's tests, also under ThreadSanitizer, then one suite on each runtime.
// Arguments after `--` go to vitest.

import { spawn } from "node:child_process";
import process from "node:process";
import { build } from "./build.mjs";
import { root, run, tool } from "./toolchain.mjs";

const vitestArguments = ["node_modules/vitest/vitest.mjs", "run", ...process.argv.slice(2)];

/** Runs vitest on a runtime; returns what it counted. */
function suite(name, command, args) {
  console.log(`\n== ${name}`);
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
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

await build(["install", "bindings", "cuda_double"]);
console.log("== zig");
await run(tool("zig"), ["build", "test"], { cwd: `${root}/zig` });
await run(tool("zig"), ["build", "test", "-Dtsan"], { cwd: `${root}/zig` });
const results = [
  await suite("deno", tool("deno"), ["run", "-A", ...vitestArguments]),
  await suite("bun", tool("bun"), ["--bun", ...vitestArguments]),
];
const total = (word) => results.reduce((sum, result) => sum + result[word], 0);
const failed = total("failed") + results.filter(({ code, failed }) => code !== 0 && failed === 0).length;
console.log(`\n${total("passed")} passed, ${failed} failed, ${total("skipped")} skipped`);
process.exitCode = failed === 0 && total("passed") > 0 ? 0 : 1;
