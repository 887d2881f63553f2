// What the kernel says of a process: its CPU time, memory, threads and descriptors, from /proc.

import { readdirSync, readFileSync } from "node:fs";
import { outputOfSync } from "../lib/process.ts";

/** A look at a process. */
export interface Usage {
  /** When, in milliseconds. */
  at: number;
  /** User and system time of all its threads since it began, in milliseconds. */
  cpu: number;
  /** What its threads spent able to run and without a CPU, in milliseconds; 0 where the kernel does not tell. */
  waited: number;
  /** Bytes of its own. */
  memory: number;
  threads: number;
  descriptors: number;
}

/** Between two looks, in percent of one core. */
export interface CpuShare {
  cpu: number;
  /** Time that it wanted and did not get: where this is large, `cpu` is what was left to it and not what it takes. */
  waited: number;
}

const tickMs = 1000 / Number(new TextDecoder().decode(outputOfSync("getconf", ["CLK_TCK"])));

/** Looks at a running process. */
export function usageOf(pid: number): Usage {
  const directory = `/proc/${pid}`;
  const read = (name: string) => readFileSync(`${directory}/${name}`, "latin1");
  // The second field is a name with whatever in it; utime and stime are the 14th and the 15th.
  const stat = read("stat");
  const [user, system] = stat.slice(stat.lastIndexOf(")") + 2).split(" ").slice(11, 13).map(Number);
  const at = performance.now();
  const status = read("status");
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1]);
  return {
    at,
    cpu: (user! + system!) * tickMs,
    waited: waitedBy(directory),
    memory: field("RssAnon") * 1024,
    threads: field("Threads"),
    descriptors: readdirSync(`${directory}/fd`).length,
  };
}

/** The sum over the threads that there are now, in milliseconds. */
function waitedBy(directory: string): number {
  let nanoseconds = 0;
  for (const thread of readdirSync(`${directory}/task`)) {
    try {
      const text = readFileSync(`${directory}/task/${thread}/schedstat`, "latin1");
      nanoseconds += Number(text.split(" ")[1]);
    } catch {
      // It has ended meanwhile, or the kernel has no such file.
    }
  }
  return nanoseconds / 1e6;
}

export function cpuShare(from: Usage, to: Usage): CpuShare {
  const part = (milliseconds: number) => Math.max(0, milliseconds) / (to.at - from.at) * 100;
  return { cpu: part(to.cpu - from.cpu), waited: part(to.waited - from.waited) };
}
