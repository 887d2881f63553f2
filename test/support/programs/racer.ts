// Takes a key when told to, if it can.

import process from "node:process";
import { monotonicNow, Publisher } from "../../../mod.ts";
import { testMemory } from "../memory.ts";
import { commands, optionsOf, outcomeOf, report } from "./worker.ts";

export interface Options {
  key: string;
  runtimeDirectory: string;
}

/** Each reports what is named behind it. */
export type Command =
  /** "won" or "lost"; not before that time of the monotonic clock, in nanoseconds. */
  | { do: "race"; at: number }
  /** "closed" */
  | { do: "close" };

const options = optionsOf<Options>();
let publisher: Publisher | undefined;

function race(at: number): void {
  while (Number(monotonicNow()) < at);
  try {
    publisher = Publisher.create({ memory: testMemory, ...options, width: 16, height: 16, slots: 2 });
    report("ran", { code: "won" });
  } catch (error) {
    report("ran", outcomeOf(error));
  }
}

report("ready");
for await (const command of commands<Command>()) {
  if (command.do === "race") {
    race(command.at);
  } else {
    publisher?.close();
    report("closed");
  }
}
process.exit(0);
