// Child processes of scripts, benchmarks and tests. Runs on Node, Deno and Bun.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import process from "node:process";
import type { Readable, Writable } from "node:stream";
import { root } from "../toolchain.mjs";

/** How a child ended. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Where a child runs. */
export interface Surroundings {
  /** Default: the repository's root. */
  cwd?: string | undefined;
  /** Variables besides those of this process. */
  env?: Readonly<Record<string, string | undefined>> | undefined;
  /** There are no variables but those of `env`. */
  emptyEnv?: boolean;
}

export interface ChildOptions extends Surroundings {
  /** What it is called in errors; default: its command. */
  name?: string;
  /** "pipe": `write` and `stdin` reach it. Default: "ignore". */
  stdin?: "ignore" | "inherit" | "pipe";
  /**
   * "collect" (default): kept in `bytes` and `text`; "read": somebody reads `stdout` to its end; "leave": somebody may
   * read `stdout`, and the child has ended when its process has; a number: that descriptor.
   */
  stdout?: "collect" | "read" | "leave" | "inherit" | "ignore" | number;
  /** "collect" (default): kept in `errors`. */
  stderr?: "collect" | "inherit" | "ignore";
  /** Gets what is collected, as it comes. */
  onOutput?: (chunk: Uint8Array) => void;
  /** Seconds until it is killed. */
  limit?: number | undefined;
  /** It is killed together with everything that it started; and a terminal's Ctrl-C does not reach it. */
  group?: boolean;
}

function environmentOf({ env = {}, emptyEnv = false }: Surroundings): NodeJS.ProcessEnv {
  return emptyEnv ? { ...env } : { ...process.env, ...env };
}

/** A program that was started. */
export class Child implements AsyncDisposable {
  readonly name: string;
  /** Fails where the program cannot be started. */
  readonly ended: Promise<Ending>;
  readonly #child: ChildProcess;
  readonly #limit: number | undefined;
  readonly #isGroup: boolean;
  #output: Uint8Array[] = [];
  #errors = "";
  #ending: Ending | undefined;
  #late = false;

  constructor(command: readonly string[], options: ChildOptions = {}) {
    const { stdin = "ignore", stdout = "collect", stderr = "collect", onOutput = () => {} } = options;
    const [program = "", ...args] = command;
    this.name = options.name ?? command.join(" ");
    const limit = this.#limit = options.limit;
    const isGroup = this.#isGroup = options.group ?? false;
    const isPipe = stdout === "collect" || stdout === "read" || stdout === "leave";
    const child = this.#child = spawn(program, args, {
      cwd: options.cwd ?? root,
      env: environmentOf(options),
      stdio: [stdin, isPipe ? "pipe" : stdout, stderr === "collect" ? "pipe" : stderr],
      detached: isGroup,
    });
    if (stdout === "collect") {
      child.stdout!.on("data", (chunk: Uint8Array) => {
        this.#output.push(chunk);
        onOutput(chunk);
      });
    }
    // Characters may lie across chunks.
    const decoder = new TextDecoder();
    child.stderr?.on("data", (chunk: Uint8Array) => {
      this.#errors += decoder.decode(chunk, { stream: true });
      onOutput(chunk);
    });
    // Writing to a child that has just died is no failure of its own.
    child.stdin?.on("error", () => {});
    const timer = limit === undefined ? undefined : setTimeout(() => {
      this.#late = true;
      this.kill("SIGKILL");
    }, limit * 1000);
    this.ended = new Promise((resolve, reject) => {
      child.on("error", (error) => {
        clearTimeout(timer);
        reject(error);
      });
      child.on(stdout === "leave" ? "exit" : "close", (code, signal) => {
        clearTimeout(timer);
        resolve(this.#ending = { code, signal });
      });
    });
    // Whoever waits for the end hears of it.
    this.ended.catch(() => {});
  }

  /** 0 where the program could not be started. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get stdin(): Writable {
    return this.#child.stdin!;
  }

  get stdout(): Readable {
    return this.#child.stdout!;
  }

  /** What was collected of its standard output so far. */
  get bytes(): Uint8Array {
    return concatenate(this.#output);
  }

  get text(): string {
    return new TextDecoder().decode(this.bytes);
  }

  /** What was collected of its standard error so far. */
  get errors(): string {
    return this.#errors;
  }

  /** How it ended, if it has. */
  get ending(): Ending | undefined {
    return this.#ending;
  }

  write(text: string | Uint8Array): void {
    this.stdin.write(text);
  }

  /** Closes its standard input, at which many programs end. */
  end(): Promise<Ending> {
    this.stdin.end();
    return this.ended;
  }

  /** Sends a signal, unless it has ended. */
  kill(signal: NodeJS.Signals = "SIGKILL"): void {
    // What it started may outlive it.
    const hasExited = this.#child.exitCode !== null || this.#child.signalCode !== null;
    if (this.pid === 0 || this.#ending !== undefined || hasExited && !this.#isGroup) return;
    try {
      // Not the child's own kill, which takes every signal for its end.
      process.kill(this.#isGroup ? -this.pid : this.pid, signal);
    } catch (error) {
      // It has just ended by itself.
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }

  /** "" after a success, else how it ended in place of that. */
  async failure(): Promise<string> {
    const { code, signal } = await this.ended;
    if (this.#late) return `over its ${this.#limit} s`;
    return code === 0 ? "" : `ended with ${signal ?? code}`;
  }

  /** Waits for its end; fails unless it was a success, and tells what was collected. */
  async succeeded(): Promise<void> {
    const failure = await this.failure();
    if (failure === "") return;
    const told = [this.errors, this.text].map((text) => text.trim()).filter((text) => text !== "");
    throw new Error([`${this.name} ${failure}`, ...told].join("\n"));
  }

  /** Kills it if it still runs. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.kill("SIGKILL");
    await this.ended.catch(() => {});
  }
}

function concatenate(chunks: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(chunks.reduce((size, chunk) => size + chunk.length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    all.set(chunk, offset);
    offset += chunk.length;
  }
  return all;
}

/** Runs a command to its end, its input and output on ours; fails unless it exits with 0. */
export async function run(
  command: string,
  args: readonly string[],
  options: ChildOptions = {},
): Promise<void> {
  const ours = { stdin: "inherit", stdout: "inherit", stderr: "inherit" } as const;
  await new Child([command, ...args], { ...ours, ...options }).succeeded();
}

/** Runs a command to its end; returns what it wrote to standard output. Fails unless it exits with 0. */
export async function outputOf(
  command: string,
  args: readonly string[],
  options: ChildOptions = {},
): Promise<string> {
  const child = new Child([command, ...args], options);
  await child.succeeded();
  return child.text;
}

/** As `outputOf`, in bytes, and nothing else happens meanwhile. */
export function outputOfSync(
  command: string,
  args: readonly string[],
  { input, ...surroundings }: Surroundings & { input?: Uint8Array | undefined } = {},
): Uint8Array {
  const { status, signal, error, stdout, stderr } = spawnSync(command, args, {
    cwd: surroundings.cwd ?? root,
    env: environmentOf(surroundings),
    maxBuffer: 1 << 30,
    ...(input === undefined ? {} : { input }),
  });
  if (error !== undefined) throw error;
  if (status !== 0) {
    throw new Error(`${[command, ...args].join(" ")} ended with ${signal ?? status}\n${stderr}${stdout}`);
  }
  return stdout;
}

/** Whether a command is there and exits with 0. */
export function succeedsSync(command: string, args: readonly string[]): boolean {
  return spawnSync(command, args, { stdio: "ignore" }).status === 0;
}
