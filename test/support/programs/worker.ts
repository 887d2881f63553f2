// How a worker talks to the test that started it: its options are an argument, then JSON lines both ways.

import { writeSync } from "node:fs";
import process from "node:process";
import { CuframesError } from "../../../mod.ts";
import { jsonLines } from "../../../scripts/lib/json_lines.ts";

/** What the test gave to `start`. */
export function optionsOf<Options>(): Options {
  return JSON.parse(process.argv[2] ?? "{}");
}

/** Tells the test that something has happened. */
export function report(event: string, details: object = {}): void {
  writeSync(1, `${JSON.stringify({ event, ...details })}\n`);
}

/** Every line the test sends, until it closes the worker's standard input. */
export function commands<Command extends object>(): AsyncGenerator<Command, void, void> {
  return jsonLines<Command>(process.stdin);
}

/** How an attempt ended: what it reported, or the error's code and sentence. */
export interface Outcome {
  code: string;
  message: string;
}

export function outcomeOf(error: unknown): Outcome {
  if (error instanceof CuframesError) return { code: error.code, message: error.message };
  return { code: "not a CuframesError", message: String(error) };
}

/** Lets timers, callbacks and commands run. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Obeys each command in turn, telling what it was refused with; ends the process when there is none any more. */
export async function serve<Command extends object>(obey: (command: Command) => unknown): Promise<never> {
  report("ready");
  for await (const command of commands<Command>()) {
    try {
      await obey(command);
    } catch (error) {
      report("refused", outcomeOf(error));
    }
  }
  process.exit(0);
}
