// A publisher of frames that the GPU fills, which does what the test says, one command after the other.

import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { CuframesError, Publisher, type PublisherOptions, type WritableFrame } from "../../../mod.ts";
import { commands, optionsOf, report, turn } from "../../support/programs/worker.ts";
import { frameSize, Gpu } from "../../support/gpu.ts";
import { valueOf } from "./content.ts";
import { stateOf } from "./state.ts";

export interface Options extends PublisherOptions {
  /** Waits for the command "create". */
  later?: boolean;
}

export type Command =
  /** "ready", with the device. */
  | { do: "create" }
  /** Publishes that many, each filled over so many ms; then "published", with the counters. */
  | { do: "publish"; frames: number; slowMs?: number }
  /** Publishes frames until "halt", which reports "halted" with the counters and the last frame's sequence. */
  | { do: "run"; slowMs?: number }
  | { do: "halt" }
  | { do: "stats" }
  /** "state": see stateOf. */
  | { do: "state" }
  /** "closed" */
  | { do: "close" };

const options = optionsOf<Options>();
const gpu = Gpu.open();
const stream = gpu.stream();
let publisher: Publisher | undefined;
let sequence = 0;
let halted = false;
let running: Promise<void> | undefined;

function current(): Publisher {
  if (publisher === undefined) throw new Error("there is no publisher");
  return publisher;
}

function create(): void {
  publisher = Publisher.create({ memory: "cuda", ...options });
  sequence = 0;
  report("ready", { device: publisher.device });
}

async function publishOne(slowMs: number): Promise<void> {
  using frame: WritableFrame = await current().acquireAsync({ timeout: 20_000 });
  const value = valueOf(++sequence);
  const size = frameSize(current());
  if (slowMs > 0) gpu.slowFill(frame.devicePointer!, value, size, slowMs, stream);
  else gpu.fill(frame.devicePointer!, value, size, stream);
  frame.publish({ stream, timestamp: sequence });
}

/** Until every frame is visible. */
async function settled(): Promise<void> {
  while (current().stats().published < sequence) await turn();
}

async function run(slowMs: number): Promise<void> {
  while (!halted) {
    await publishOne(slowMs);
    await setTimeout(1);
  }
}

async function obey(command: Command): Promise<void> {
  switch (command.do) {
    case "create":
      return create();
    case "publish":
      for (let done = 0; done < command.frames; done++) await publishOne(command.slowMs ?? 0);
      await settled();
      return report("published", current().stats());
    case "run":
      halted = false;
      running = run(command.slowMs ?? 0);
      return report("running");
    case "halt":
      halted = true;
      await running;
      await settled();
      return report("halted", { ...current().stats(), last: sequence });
    case "stats":
      return report("stats", current().stats());
    case "state":
      return report("state", stateOf(gpu));
    case "close":
      publisher?.close();
      publisher = undefined;
      return report("closed");
  }
}

try {
  if (!options.later) create();
  for await (const command of commands<Command>()) await obey(command);
  process.exit(0);
} catch (error) {
  if (!(error instanceof CuframesError)) throw error;
  report("failed", { code: error.code, message: error.message });
  process.exit(1);
}
