#!/usr/bin/env bun
/**
 * The program `cuframes`: cameras in, pipes, recordings and pictures out. `cuframes --help` has its commands.
 *
 * @module
 */
import process from "node:process";

/**
 * Runs a command line and returns its exit code.
 *
 * @example
 * ```sh
 * deno run -A jsr:@cuframes/core/cli inspect
 * ```
 */
export async function main(args: readonly string[]): Promise<number> {
  const program = await import("./program.ts");
  return await program.main(args);
}

// Nothing is imported before something can be told: a runtime that is too old does not know all of the syntax, and one
// that allows too little fails where some module reads its environment.
try {
  await import("../core/mod.ts");
  const { run } = await import("./program.ts");
  await run();
} catch (error) {
  const { name, message } = error as Error;
  const advice = name === "NotCapable" ? ": run with --allow-env, or with -A" : "";
  process.stderr.write(`cuframes: ${message}${advice}\n`);
  process.exitCode = 1;
}
