// A publisher that does what the test says, one command after the other.

import { existsSync } from "node:fs";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { type PacketRingOptions, Publisher, type PublisherOptions } from "../../../mod.ts";
import { testMemory } from "../memory.ts";
import { fill, packetData, seedBytes } from "./content.ts";
import { hog, unhog } from "./descriptors.ts";
import { commands, optionsOf, type Outcome, outcomeOf, report, turn } from "./worker.ts";

export interface Options extends Omit<PublisherOptions, "packets"> {
  /** A packet ring from the start. */
  packets?: boolean;
  /** Reports "waiting" and waits for the command "create". */
  later?: boolean;
}

export type Command =
  | { do: "create" }
  /** Publishes that many, then reports "published". */
  | { do: "publish"; frames?: number; packets?: number }
  /** Publishes a frame a millisecond until "halt", which reports "halted"; `announce`: reports each sequence; `packets`: and
   * a packet with each. */
  | { do: "run"; announce?: boolean; packets?: boolean }
  /** As "run", as fast as it goes; reports "rushing". */
  | { do: "rush" }
  | { do: "halt" }
  /** Reports "enabled" or "refused". */
  | { do: "enablePackets"; dataSize?: number; named?: boolean }
  /** Publishes for so many milliseconds; reports "timed", with what `acquire` and `publish` together took at most, in
   * microseconds, but for one time in a hundred. */
  | { do: "time"; milliseconds: number }
  /** Asks for a slot without waiting; reports "acquired" or "refused". */
  | { do: "acquire" }
  | { do: "stats" }
  /** Reports "busy", occupies the thread for that long or until the file is there, then reports "idle". */
  | { do: "busy"; milliseconds?: number; until?: string }
  /** Uses up the process's descriptors, but for so many. */
  | { do: "hog"; spare: number }
  | { do: "unhog" }
  /** Publishes and closes, again and again, for so long; reports "restarted", how often, and what went wrong. */
  | { do: "restart"; milliseconds: number }
  /** Gives up being root; reports "became", with who it is. */
  | { do: "become"; user: string }
  /** "moved": this directory is the process's. */
  | { do: "chdir"; directory: string }
  | { do: "close" };

const seed = process.pid;
const options = optionsOf<Options>();
let publisher: Publisher | undefined;
let running: Promise<void> | undefined;
let halted = false;
/** Of the last frame. */
let sequence = 0;
let packets = 0;

function attempt(event: string, act: () => void): void {
  try {
    act();
    report(event);
  } catch (error) {
    report("refused", outcomeOf(error));
  }
}

function made(): Publisher {
  const { packets, ...rest } = options;
  return Publisher.create({ memory: testMemory, ...rest, ...(packets && { packets: packetRing }) });
}

function create(): void {
  attempt("ready", () => {
    publisher = made();
    sequence = 0;
  });
}

function current(): Publisher {
  if (publisher === undefined) throw new Error("there is no publisher");
  return publisher;
}

const packetRing: PacketRingOptions = {
  codec: "h264",
  slots: 1024,
  description: Uint8Array.of(0, 0, 0, 1, 0x67),
};

function enablePackets(dataSize?: number, named = false): void {
  current().enablePackets({ ...packetRing, named, ...(dataSize === undefined ? {} : { dataSize }) });
}

async function publishOne(): Promise<bigint> {
  using frame = await current().acquireAsync({ timeout: 10_000 });
  sequence++;
  fill(frame, seed, sequence);
  return frame.publish({ timestamp: sequence, metadata: seedBytes(seed) });
}

/** Until every frame is visible. */
async function settled(): Promise<void> {
  while (current().stats().published < sequence) await turn();
}

async function publish(frames: number, packetCount: number): Promise<void> {
  const start = performance.now();
  for (let done = 0; done < Math.max(frames, packetCount); done++) {
    if (done < frames) await publishOne();
    if (done < packetCount) writePacket();
    if (done % 16 === 0) await turn();
  }
  await settled();
  report("published", { milliseconds: performance.now() - start, ...current().stats() });
}

function writePacket(): void {
  const type = packets % 10 === 0 ? "key" : "delta";
  current().packets?.write({ data: packetData(seed, packets), type, timestamp: packets });
  packets++;
}

async function run(announce: boolean, withPackets: boolean, pause: () => Promise<void>): Promise<void> {
  halted = false;
  while (!halted) {
    const sequence = await publishOne();
    if (withPackets) writePacket();
    if (announce) report("sequence", { sequence: Number(sequence) });
    await pause();
  }
}

async function time(milliseconds: number): Promise<void> {
  const times: number[] = [];
  const end = performance.now() + milliseconds;
  while (performance.now() < end) {
    const start = performance.now();
    const frame = current().acquire({ timeout: 0 });
    frame.publish({ timestamp: times.length });
    times.push((performance.now() - start) * 1000);
    await setTimeout(1);
  }
  times.sort((a, b) => a - b);
  report("timed", { usually: times[Math.floor(times.length * 0.99)] });
}

function spin(milliseconds: number, until: string): void {
  const end = performance.now() + milliseconds;
  while (performance.now() < end && !existsSync(until));
}

function restart(milliseconds: number): { starts: number; refusals: Outcome[] } {
  const end = performance.now() + milliseconds;
  const refusals: Outcome[] = [];
  let starts = 0;
  for (; performance.now() < end; starts++) {
    try {
      made().close();
    } catch (error) {
      refusals.push(outcomeOf(error));
    }
  }
  return { starts, refusals };
}

async function obey(command: Command): Promise<void> {
  switch (command.do) {
    case "create":
      return create();
    case "publish":
      return await publish(command.frames ?? 0, command.packets ?? 0);
    case "run":
      running = run(command.announce ?? false, command.packets ?? false, () => setTimeout(1));
      return report("running");
    case "rush":
      running = run(false, false, turn);
      return report("rushing");
    case "halt":
      halted = true;
      await running;
      await settled();
      return report("halted", current().stats());
    case "enablePackets":
      return attempt("enabled", () => enablePackets(command.dataSize, command.named));
    case "time":
      return await time(command.milliseconds);
    case "acquire":
      return attempt("acquired", () => current().acquire({ timeout: 0 }).close());
    case "stats":
      return report("stats", current().stats());
    case "busy":
      report("busy");
      spin(command.milliseconds ?? Infinity, command.until ?? "");
      return report("idle");
    case "restart":
      return report("restarted", restart(command.milliseconds));
    case "hog":
      return report("hogged", { count: hog(command.spare) });
    case "unhog":
      unhog();
      return report("unhogged");
    case "become":
      process.setuid!(command.user);
      return report("became", { uid: process.getuid!() });
    case "chdir":
      process.chdir(command.directory);
      return report("moved");
    case "close":
      publisher?.close();
      publisher = undefined;
      return report("closed");
  }
}

if (options.later) report("waiting");
else create();
for await (const command of commands<Command>()) await obey(command);
process.exit(0);
