// Real processes for tests: started on a runtime by name, spoken to in JSON lines, gone after the test.

import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, expect } from "vitest";
import { CuframesError } from "../../mod.ts";
import { onJsonLine } from "../../scripts/lib/json_lines.ts";
import { Child, type Ending } from "../../scripts/lib/process.ts";
import { root, tool } from "../../scripts/toolchain.mjs";

export type RuntimeName = "deno" | "bun" | "node";
export const runtimes: readonly RuntimeName[] = ["deno", "bun", "node"];
/** The one that this test runs on. */
export const thisRuntime: RuntimeName = "Bun" in globalThis ? "bun" : "Deno" in globalThis ? "deno" : "node";

/** What comes before a program's path on its command line. */
export function runFlags(runtime: RuntimeName): string[] {
  if (runtime === "deno") return ["run", "-A", "--no-check", "--quiet"];
  return runtime === "bun" ? ["run"] : ["--disable-warning=ExperimentalWarning"];
}

type Event = { event: string } & Record<string, unknown>;

/** A running program. Whatever it prints as JSON lines can be awaited by its `event`. */
export class Process {
  readonly pid: number;
  readonly exited: Promise<Ending>;
  readonly #child: Child;
  readonly #events: Event[] = [];
  #change: PromiseWithResolvers<void> = Promise.withResolvers();

  constructor(name: string, command: string, args: readonly string[], env: Record<string, string> = {}) {
    const child = this.#child = new Child([command, ...args], { name, env, stdin: "pipe", stdout: "read" });
    this.pid = child.pid;
    this.exited = child.ended;
    this.exited.then(() => this.#changed(), () => {});
    const take = (event: Event) => {
      this.#events.push(event);
      this.#changed();
    };
    onJsonLine(child.stdout, take, (line) => take({ event: "line", line }));
  }

  /** What it has written to standard error. */
  get errors(): string {
    return this.#child.errors;
  }

  #changed(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers();
  }

  /** The first event of that name which was not taken yet; fails when the process ends without one. */
  async event<Details = Record<string, unknown>>(name: string): Promise<Details> {
    while (true) {
      const found = this.taken<Details>(name);
      if (found !== undefined) return found;
      if (this.#child.ending !== undefined) throw new Error(this.#ending(name));
      await this.#change.promise;
    }
  }

  /** As `event`, of what has been printed so far; undefined when there is none. */
  taken<Details = Record<string, unknown>>(name: string): Details | undefined {
    const index = this.#events.findIndex(({ event }) => event === name);
    return index < 0 ? undefined : this.#events.splice(index, 1)[0] as Details;
  }

  #ending(awaited: string): string {
    const { code, signal } = this.#child.ending!;
    const rest = this.#events.map((event) => JSON.stringify(event)).join("\n");
    return `${this.#child.name} ended with ${signal ?? code} before "${awaited}"\n${rest}\n${this.errors}`;
  }

  write(line: string): void {
    this.#child.write(`${line}\n`);
  }

  send(command: object): void {
    this.write(JSON.stringify(command));
  }

  /** Sends a command and awaits the event that answers it. */
  ask<Details = Record<string, unknown>>(command: object, event: string): Promise<Details> {
    this.send(command);
    return this.event<Details>(event);
  }

  /** Lets a process that reads commands end by itself. */
  end(): Promise<Ending> {
    return this.#child.end();
  }

  kill(signal: NodeJS.Signals = "SIGKILL"): void {
    this.#child.kill(signal);
  }

  /** Stops it; returns when each of its threads is stopped. */
  async stop(): Promise<void> {
    this.kill("SIGSTOP");
    const tasks = `/proc/${this.pid}/task`;
    await eventually(
      "every thread is stopped",
      () => readdirSync(tasks).every((task) => statistics(join(tasks, task))[0] === "T"),
    );
  }

  /** Those of its descriptors that are of the kinds this library opens, as the kernel names them. */
  descriptors(): string[] {
    return descriptorsOf(this.pid, /^(\/memfd:|anon_inode:)/);
  }

  /** Until its descriptors are these: a counter goes down before what it counted is closed. */
  async settlesAt(descriptors: readonly string[]): Promise<void> {
    const isSettled = () => this.descriptors().join("\n") === descriptors.join("\n");
    await eventually("nothing is left open", isSettled).catch((error) => {
      // The difference says more than the time that passed.
      expect(this.descriptors()).toEqual(descriptors);
      throw error;
    });
  }

  /** The names of its threads. */
  threads(): string[] {
    const tasks = `/proc/${this.pid}/task`;
    return readdirSync(tasks).map((task) => {
      try {
        return readFileSync(join(tasks, task, "comm"), "utf8").trim();
      } catch {
        return ""; // ended meanwhile
      }
    });
  }

  /** How many mappings of shared memory it has. */
  mappings(): number {
    return readFileSync(`/proc/${this.pid}/maps`, "utf8").split("\n").filter((line) =>
      line.includes("/memfd:")
    ).length;
  }

  /** Bytes of address space in use. */
  addressSpace(): number {
    return Number(statistics(`/proc/${this.pid}`)[20]); // vsize
  }

  /** Milliseconds of CPU time so far. */
  cpuTime(): number {
    const fields = statistics(`/proc/${this.pid}`);
    return (Number(fields[11]) + Number(fields[12])) * 10; // utime, stime; USER_HZ is 100
  }
}

/** The fields of a task's stat file from its state on, proc_pid_stat(5). */
function statistics(folder: string): string[] {
  return readFileSync(join(folder, "stat"), "utf8").replace(/^.*\) /, "").split(" ");
}

/** Every SOCK_SEQPACKET socket: neither runtime has any of its own. Unix(7), /proc/net/unix. */
function sequencedPacketSockets(): Set<string> {
  const rows = readFileSync("/proc/net/unix", "utf8").split("\n").map((line) => line.trim().split(/\s+/));
  return new Set(rows.filter(([, , , , type]) => type === "0005").map((row) => `socket:[${row[6]}]`));
}

/** A process's descriptors of some kinds, as the kernel names them, and its sockets of the type that this library uses. */
export function descriptorsOf(pid: number | "self", kinds: RegExp): string[] {
  const sockets = sequencedPacketSockets();
  const folder = `/proc/${pid}/fd`;
  const targets = readdirSync(folder).map((name) => {
    try {
      return readlinkSync(join(folder, name));
    } catch {
      return ""; // closed meanwhile
    }
  });
  return targets.filter((target) => kinds.test(target) || sockets.has(target)).sort();
}

/** How to start a program differently. */
export interface StartOptions {
  runtime?: RuntimeName;
  /** A command that runs the command behind it, as `["setpriv", "--reuid", "1"]`. */
  prefix?: readonly string[];
  env?: Record<string, string>;
  /** The runtime's, instead of those that let it do everything. */
  flags?: readonly string[];
}

/** One test's runtime directory and processes. */
export class Stage {
  readonly directory: string = mkdtempSync(join(tmpdir(), "cuframes-test-"));
  readonly #processes: Process[] = [];

  /** Starts a program of test/support/programs with its options. */
  start(
    worker: string,
    options: object,
    { runtime = thisRuntime, prefix = [], env = {}, flags = runFlags(runtime) }: StartOptions = {},
  ): Process {
    const script = join(root, `test/support/programs/${worker}.ts`);
    const argument = JSON.stringify({ runtimeDirectory: this.directory, ...options });
    const [command = "", ...args] = [...prefix, tool(runtime), ...flags, script, argument];
    return this.adopt(new Process(`${worker} on ${runtime}`, command, args, env));
  }

  /** Takes care of a process's end. */
  adopt(started: Process): Process {
    // Its end is looked at where it matters.
    started.exited.catch(() => {});
    this.#processes.push(started);
    return started;
  }

  async clear(): Promise<void> {
    for (const started of this.#processes) started.kill("SIGKILL");
    await Promise.allSettled(this.#processes.map(({ exited }) => exited));
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** A new stage for every test of the file; `stage()` is the current one. */
export function stages(): () => Stage {
  let current: Stage | undefined;
  beforeEach(() => {
    current = new Stage();
  });
  afterEach(() => current?.clear());
  return () => current!;
}

/** Looks until the condition holds: for what no event announces. Fails after `timeout` milliseconds. */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeout = 30_000,
): Promise<void> {
  const deadline = performance.now() + timeout;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${timeout} ms: ${what}`);
    await setTimeout(5);
  }
}

/** How a promise ends: with `"success"`, or with the code and the sentence of a CuframesError; any other error is thrown. */
export async function outcomeOf(promise: Promise<unknown>): Promise<{ code: string; message: string }> {
  try {
    await promise;
    return { code: "success", message: "" };
  } catch (error) {
    if (!(error instanceof CuframesError)) throw error;
    return { code: error.code, message: error.message };
  }
}
