// A process whose consumption is measured from outside: it takes no part in it.

import { setTimeout as sleep } from "node:timers/promises";
import { onJsonLine } from "../lib/json_lines.ts";
import { Child } from "../lib/process.ts";
import { tool } from "../toolchain.mjs";
import { type CpuShare, cpuShare, type Usage, usageOf } from "./process_usage.ts";

export const RUNTIMES = ["deno", "bun", "node"] as const;
export type Runtime = (typeof RUNTIMES)[number];

/** How long a process may take to end when it is asked to. */
const END_MS = 15_000;
const ERRORS_SHOWN = 4000;

/** What comes before a script on a runtime's command line. */
const flags: Record<Runtime, string[]> = {
  deno: ["run", "-A", "--no-check", "--quiet"],
  bun: [],
  node: ["--disable-warning=ExperimentalWarning"],
};

/** The command line that runs a script on a runtime. */
export function commandLine(
  runtime: Runtime,
  script: string,
  args: readonly string[],
): [string, ...string[]] {
  return [tool(runtime), ...flags[runtime], script, ...args];
}

/** What a process is started with. */
export interface SubjectOptions {
  name: string;
  runtime: Runtime;
  /** Its path, from the repository's root. */
  script: string;
  args: readonly string[];
  /** The runtime directory of cuframes. */
  sockets: string;
}

/** A line of JSON that a command prints. */
interface Event {
  event?: string;
  [field: string]: unknown;
}

export class Subject implements AsyncDisposable {
  readonly name: string;
  readonly runtime: Runtime;
  readonly pid: number;
  readonly samples: Usage[] = [];
  /** The newest value of every field of the events that it has printed. */
  readonly status: Event = {};
  /** Bytes, or events, that it has printed. */
  printed = 0;
  readonly #child: Child;

  constructor({ name, runtime, script, args, sockets }: SubjectOptions) {
    this.name = name;
    this.runtime = runtime;
    this.#child = new Child(commandLine(runtime, script, args), {
      env: { CUFRAMES_RUNTIME_DIR: sockets, NO_COLOR: "1" },
      stdout: "leave",
    });
    this.pid = this.#child.pid;
  }

  /** The exit code, or the signal that ended it. */
  get exit(): number | string | undefined {
    return this.#child.ending?.signal ?? this.#child.ending?.code ?? undefined;
  }

  toString(): string {
    return `${this.name} on ${this.runtime}`;
  }

  /** Takes its standard output as lines of JSON. */
  listen(): this {
    onJsonLine<Event>(this.#child.stdout, (event) => {
      this.printed++;
      Object.assign(this.status, event);
    });
    return this;
  }

  /** Takes its standard output as data. */
  drain(): this {
    this.#child.stdout.on("data", (chunk: Uint8Array) => this.printed += chunk.length);
    return this;
  }

  /** Adds a look at it. @throws when it has ended */
  sample(): Usage {
    if (this.exit !== undefined) {
      throw new Error(`${this} ended with ${this.exit}\n${this.#child.errors.slice(-ERRORS_SHOWN)}`);
    }
    const usage = usageOf(this.pid);
    this.samples.push(usage);
    return usage;
  }

  /** Its CPU time in so many milliseconds from now. */
  async cpuShare(milliseconds: number): Promise<CpuShare> {
    const before = this.sample();
    await sleep(milliseconds);
    return cpuShare(before, this.sample());
  }

  /** Asks it to end. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.exit !== undefined) return;
    this.#child.kill("SIGTERM");
    const late = setTimeout(() => this.#child.kill("SIGKILL"), END_MS);
    await this.#child.ended;
    clearTimeout(late);
  }
}
