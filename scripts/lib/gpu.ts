// What the tests and the benchmarks on a GPU share: the GPU that is there, parts with a time limit, and where their
// output goes. Runs on Node, Deno and Bun.

import { createWriteStream, statSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { tool } from "../toolchain.mjs";
import { Child } from "./process.ts";

export interface Log {
  /** Where it is a file. */
  readonly path: string | undefined;
  write(text: string | Uint8Array): void;
  close(): Promise<void>;
}

function logPath(name: string): string | undefined {
  const out = process.env.OUT;
  if (!out) return undefined;
  const isDirectory = statSync(out, { throwIfNoEntry: false })?.isDirectory() ?? false;
  return isDirectory ? join(out, name) : out;
}

/**
 * Everything but the summary: into the file that $OUT names, or the file `name` in it where it is a directory; else to
 * standard output.
 */
export function openLog(name: string): Log {
  const path = logPath(name);
  if (path === undefined) {
    return { path, write: (text) => void process.stdout.write(text), close: () => Promise.resolve() };
  }
  const stream = createWriteStream(path);
  return {
    path,
    write: (text) => void stream.write(text),
    close: () => new Promise((resolve) => stream.end(resolve)),
  };
}

/** What became of a command. */
export interface Part {
  /** "" when all went well. */
  ended: string;
  output: string;
  seconds: number;
}

/** Runs a command to its end or its time limit, with all that it started. */
export async function runPart(
  command: readonly string[],
  { env = {}, seconds, log }: { env?: Record<string, string>; seconds: number; log?: Log },
): Promise<Part> {
  const start = performance.now();
  let output = "";
  const child = new Child(command, {
    env: { NO_COLOR: "1", ...env },
    limit: seconds,
    group: true,
    onOutput: (chunk) => {
      log?.write(chunk);
      output += new TextDecoder().decode(chunk);
    },
  });
  const ended = await child.failure().catch((error: Error) => error.message);
  return { ended, output, seconds: (performance.now() - start) / 1000 };
}

/** What asks a runtime's own library for the devices. */
const probe = `import { devices, monotonicNow } from "${new URL("../../mod.ts", import.meta.url).href}";
  monotonicNow(); // a library that cannot be loaded is a fault of another kind
  try {
    console.log("\\ndevices:" + JSON.stringify(devices()));
  } catch (error) {
    if (error.code !== "UNSUPPORTED") throw error;
    console.log("\\nunsupported:" + error.message);
  }`;

/** A CUDA device, as the library tells of it. */
export interface Device {
  name: string;
  uuid: string;
  driverVersion: string;
  totalMemory: number;
}

/** There is no GPU, for the reason that the library gives. */
export class NoGpu extends Error {}

/** The CUDA devices that this process sees; fails with {@linkcode NoGpu} where there are none. */
export async function findDevices(): Promise<Device[]> {
  let output = "";
  for (const [runtime, ...args] of [["deno", "eval", probe], ["bun", "-e", probe]] as const) {
    let command: string;
    try {
      command = tool(runtime);
    } catch (error) {
      output += `${(error as Error).message}\n`;
      continue;
    }
    const part = await runPart([command, ...args], { seconds: 60 });
    const found = part.output.match(/^devices:(.*)$/m)?.[1];
    if (found !== undefined) return JSON.parse(found);
    output += part.output + part.ended;
  }
  const reason = output.match(/^unsupported:(.*)/m)?.[1];
  throw reason === undefined ? new Error(output.trim()) : new NoGpu(reason);
}

/** Whether the driver is the test double. */
export function isDouble(devices: readonly Device[]): boolean {
  return devices.every(({ name }) => name.startsWith("Test Double"));
}

/** A line for each device. */
export function describeDevices(devices: readonly Device[]): string {
  return devices.map(({ name, uuid, driverVersion, totalMemory }) => {
    return `${name}, ${uuid}, ${(totalMemory / 2 ** 30).toFixed(1)} GiB, driver for CUDA ${driverVersion}`;
  }).join("\n");
}
