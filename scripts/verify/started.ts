// A program that the verifier starts in a project and watches.

import { Child } from "../lib/process.ts";
import { programOf, type Project } from "./projects.ts";

/**
 * A process that knows no environment but its project's, and is killed when it takes too long. It finds nothing on its
 * standard input, or `input`.
 */
export class Started implements AsyncDisposable {
  readonly child: Child;
  #changed: () => void = () => {};

  constructor(
    project: Project,
    command: readonly string[],
    cwd: string,
    env: Record<string, string> = {},
    limit = 60,
    input?: Uint8Array,
  ) {
    this.child = new Child(command, {
      name: `${command.map((word) => word.replace(/^.*\//, "")).join(" ")} (${project.name})`,
      cwd,
      env: { ...project.environment, NO_COLOR: "1", ...env },
      emptyEnv: true,
      limit,
      stdin: input === undefined ? "ignore" : "pipe",
      onOutput: () => this.#changed(),
    });
    if (input !== undefined) this.child.stdin.end(input);
    this.child.ended.then(() => this.#changed(), () => this.#changed());
  }

  /** Starts the program `cuframes`. */
  static program(
    project: Project,
    args: readonly string[],
    cwd: string,
    env: Record<string, string> = {},
    limit?: number,
    input?: Uint8Array,
  ): Started {
    return new Started(project, [...programOf(project), ...args], cwd, env, limit, input);
  }

  /** Waits until its output is as wanted; fails where it ends before. */
  async until(what: string, holds: () => boolean): Promise<void> {
    while (!holds()) {
      if (this.child.ending !== undefined) throw this.failure(`it ended before ${what}`);
      await new Promise<void>((resolve) => this.#changed = resolve);
    }
  }

  /** Asks others until one of them sees what is wanted; fails where this one ends before. */
  async seen(what: string, ask: () => Promise<boolean>): Promise<void> {
    while (!await ask()) {
      if (this.child.ending !== undefined) throw this.failure(`it ended before ${what}`);
    }
  }

  /** Ends it by Ctrl-C. */
  async interrupted(): Promise<void> {
    this.child.kill("SIGINT");
    const { code, signal } = await this.child.ended;
    if (code !== 130 && code !== 0) throw this.failure(`after SIGINT it ended with ${signal ?? code}`);
  }

  /** Waits for its end; fails unless it was a success. @returns its standard output */
  async succeeded(): Promise<string> {
    await this.child.succeeded();
    return this.child.text;
  }

  failure(problem: string): Error {
    return new Error(`${this.child.name}: ${problem}\n${this.child.errors}${this.child.text}`.trimEnd());
  }

  /** Kills it if it still runs. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.child[Symbol.asyncDispose]();
  }
}

/** How a key's publisher describes itself; undefined where there is none. */
export async function reportOf(
  project: Project,
  key: string,
  directory: string,
  sockets: string,
): Promise<{ key: string; subscribers: { pid: number; received: number }[] } | undefined> {
  const { child } = Started.program(project, ["inspect", key, "--json"], directory, {
    CUFRAMES_RUNTIME_DIR: sockets,
  });
  return (await child.ended).code === 0 ? JSON.parse(child.text) : undefined;
}
