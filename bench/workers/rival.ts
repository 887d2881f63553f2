// Runs a rival for bench/rivals.ts. The rest of the benchmark may end in any way: this process then finds its input
// ended, kills the rival's processes and removes its files. A terminal's Ctrl-C does not reach it.

import { rmSync } from "node:fs";
import process from "node:process";
import { stripVTControlCharacters } from "node:util";
import { jsonLines } from "../../scripts/lib/json_lines.ts";
import type {
  Exchange,
  RivalBatchRequest,
  RivalPacedRequest,
  RivalStarted,
  RivalStartRequest,
} from "../worker_protocol.ts";
import { Iceoryx } from "./rivals/iceoryx.ts";
import { Iceoryx2 } from "./rivals/iceoryx2.ts";
import { Programs } from "./rivals/programs.ts";
import type { Rival } from "./rivals/rival.ts";
import { serve } from "./serve.mjs";

const programs = new Programs();
let rival: Rival | undefined;

function started(): Rival {
  if (rival === undefined) throw new Error("no rival was started");
  return rival;
}

/** Runs the end that publishes to its end. */
async function publish<T>(args: readonly (string | number)[]): Promise<T> {
  return JSON.parse(await programs.measure([...started().command, ...args.map(String)]));
}

/** Runs a reader while something is published to it. Returns what it said, where it takes pictures. */
async function beside<T>(
  how: string,
  count: number,
  publish: () => Promise<T>,
): Promise<[T, { latencyNs: number[] } | undefined]> {
  await using reader = programs.start([...started().command, "receive", how, String(count)], {
    stdin: "pipe",
    stdout: "read",
    limit: 60,
  });
  const lines = jsonLines<{ ready: true } | { latencyNs: number[] }>(reader.stdout);
  const next = async () => {
    const { value, done } = await lines.next();
    if (!done) return value;
    await reader.succeeded();
    throw new Error(`${reader.name} ended early`);
  };
  await next();
  const published = await publish();
  const received = count > 0 ? await next() as { latencyNs: number[] } : undefined;
  await reader.end();
  await reader.succeeded();
  return [published, received];
}

/** Kills what runs and removes what there is of it; fails where something is left. */
async function stop(): Promise<void> {
  await programs[Symbol.asyncDispose]();
  for (const path of rival?.files() ?? []) rmSync(path, { recursive: true, force: true });
  const left = rival?.files() ?? [];
  if (left.length > 0) throw new Error(`left behind: ${left.join(", ")}`);
}

// A measurement that runs fails then, and `serve` comes to its end.
process.stdin.once("end", () => void programs[Symbol.asyncDispose]());
// Nobody listens any more once the benchmark has died.
process.stdout.on("error", () => {});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => void stop().finally(() => process.exit(1)));
}

await serve({
  /** Returns its name and version, or why it cannot be measured. */
  async start({ name, directory }: RivalStartRequest): Promise<RivalStarted> {
    rival = name === "iceoryx" ? new Iceoryx(programs) : new Iceoryx2(programs, directory);
    try {
      // Without it nothing is started.
      await programs.outputOf("setpriv", "--version");
      return { name: await rival.start() };
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return { skipped: stripVTControlCharacters(why) };
    }
  },

  async exchange({ how, warmup, count, intervalMs, size }: RivalPacedRequest): Promise<Exchange> {
    const interval = Math.round(intervalMs * 1000);
    const args = ["publish", how, warmup, count, interval, size];
    const [published, received] = await beside(how, count, () => publish<{ callNs: number[] }>(args));
    return { ...published, latencyNs: received!.latencyNs };
  },

  /** Nanoseconds for one loan and publish, the mean of each batch. */
  async publishBatches({ how, batches, batch, size }: RivalBatchRequest): Promise<number[]> {
    const run = () => publish<{ callNs: number[] }>(["batches", how, batches, batch, size]);
    const { callNs } = how === "none" ? await run() : (await beside(how, 0, run))[0];
    return callNs;
  },

  stop,
}, stop);
