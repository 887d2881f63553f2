// A worker's side of the conversation with the benchmark: one JSON request a line in, one JSON answer a line out.

import { writeSync } from "node:fs";
import process from "node:process";
import { jsonLines } from "../../scripts/lib/json_lines.ts";

/**
 * Answers requests, one after another, until the input ends.
 *
 * @param {Record<string, (parameters: any) => unknown>} methods
 * @param {() => unknown} atEnd what is left to do then
 * @returns {Promise<never>}
 */
export async function serve(methods, atEnd = () => {}) {
  for await (const { method, parameters } of jsonLines(process.stdin)) {
    try {
      answer({ result: await methods[method](parameters) ?? null });
    } catch (error) {
      answer({ error: error instanceof Error ? error.stack ?? error.message : String(error) });
    }
  }
  await atEnd();
  process.exit(0);
}

/** @param {object} message */
function answer(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** From inside a method: the other end may start now. Written at once, since what follows may block the thread. */
export function ready() {
  writeSync(1, '{"ready":true}\n');
}
