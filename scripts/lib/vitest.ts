// vitest on each runtime, and what it counted. Runs on Node, Deno and Bun.

import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { tool } from "../toolchain.mjs";
import { prefixed } from "./output.ts";
import { Child } from "./process.ts";
import type { Counts } from "./vitest_report.ts";

export type RuntimeName = "deno" | "bun" | "node";

const quiet = "--disable-warning=ExperimentalWarning"; // of node:ffi

/** What comes before vitest on a runtime's command line, and behind its own arguments. */
const commands: Record<RuntimeName, { before: string[]; behind: string[] }> = {
  deno: { before: ["run", "-A"], behind: [] },
  // On Bun, where vitest has threads only, two files at once would share a process and count each other's descriptors.
  bun: { before: ["--bun"], behind: ["--maxWorkers=1"] },
  node: { before: [quiet], behind: [`--execArgv=${quiet}`] },
};

/** What vitest counted, and how it went. */
export interface Outcome extends Counts {
  seconds: number;
  /** "" when it went well, else how it ended. */
  ended: string;
}

export interface VitestOptions {
  env?: Record<string, string>;
  /** Seconds until it is killed. */
  limit?: number;
  /** Gets the output for people. Default: it is shown as it comes. */
  onOutput?: (chunk: Uint8Array) => void;
}

/** Runs vitest once on a runtime. */
export async function runVitest(
  runtime: RuntimeName,
  args: readonly string[],
  { env = {}, limit, onOutput }: VitestOptions = {},
): Promise<Outcome> {
  const directory = mkdtempSync(join(tmpdir(), "cuframes-vitest-"));
  const start = performance.now();
  try {
    const report = join(directory, "report.json");
    const { before, behind } = commands[runtime];
    const people = args.some((argument) => argument.startsWith("--reporter")) ? [] : ["--reporter=default"];
    const reporters = [...people, "--reporter=./scripts/lib/vitest_report.ts"];
    const child = new Child(
      [tool(runtime), ...before, "node_modules/vitest/vitest.mjs", "run", ...reporters, ...args, ...behind],
      {
        env: { ...env, CUFRAMES_TEST_REPORT: report },
        limit,
        group: limit !== undefined,
        ...(onOutput === undefined
          ? { stdin: "inherit", stdout: "inherit", stderr: "inherit" }
          : { onOutput }),
      },
    );
    const ended = await child.failure();
    const counts: Counts = existsSync(report)
      ? JSON.parse(readFileSync(report, "utf8"))
      : { passed: 0, failed: 0, skipped: 0, failures: [], files: [] };
    return { ...counts, ended, seconds: (performance.now() - start) / 1000 };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * Runs tests on each runtime, one runtime after another. On Bun the whole suite goes in two halves, each of which has a
 * process.
 */
export async function runSuites(
  runtimes: readonly RuntimeName[],
  args: readonly string[],
  { halve }: { halve: boolean },
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const runtime of runtimes) {
    console.log(`\n== ${runtime}`);
    if (runtime !== "bun" || !halve) {
      outcomes.push(await runVitest(runtime, args));
      continue;
    }
    const halves = ["1/2", "2/2"].map((half) =>
      runVitest(runtime, [...args, `--shard=${half}`], { onOutput: prefixed(`${half} │ `) })
    );
    outcomes.push(...await Promise.all(halves));
  }
  return outcomes;
}

/** Prints the counts, on the last line, and sets this process's exit code. */
export function conclude(outcomes: readonly Outcome[]): void {
  const total = (word: "passed" | "failed" | "skipped") =>
    outcomes.reduce((sum, outcome) => sum + outcome[word], 0);
  // What ends badly without a failed test has failed too.
  const failed = total("failed") +
    outcomes.filter(({ ended, failed }) => ended !== "" && failed === 0).length;
  console.log(`\n${total("passed")} passed, ${failed} failed, ${total("skipped")} skipped`);
  process.exitCode = failed === 0 && total("passed") > 0 ? 0 : 1;
}
