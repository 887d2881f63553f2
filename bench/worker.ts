import { join } from "node:path";
import { jsonLines } from "../scripts/lib/json_lines.ts";
import { Child } from "../scripts/lib/process.ts";
import { root, tool } from "../scripts/toolchain.mjs";

/** What runs a worker. */
export type RuntimeName = "Deno" | "Bun" | "Node";

const commands: Record<RuntimeName, () => [string, ...string[]]> = {
  Deno: () => [tool("deno"), "run", "-A", "--v8-flags=--expose-gc"],
  Bun: () => [tool("bun"), "--expose-gc"],
  Node: () => [tool("node"), "--disable-warning=ExperimentalWarning"],
};

type Answer = { ready: true } | { result: unknown } | { error: string };

export interface WorkerOptions {
  /** A terminal's Ctrl-C does not reach it: it has to clean up once its input has ended. */
  cleansUp?: boolean;
}

/** A process that measures one end of something. */
export class Worker implements AsyncDisposable {
  readonly runtime: RuntimeName;
  readonly #child: Child;
  readonly #answers: AsyncIterator<Answer>;

  /** Starts bench/workers/`script`, with the runtime directory of this benchmark. */
  constructor(runtime: RuntimeName, script: string, directory: string, options: WorkerOptions = {}) {
    const [command, ...flags] = commands[runtime]();
    this.runtime = runtime;
    this.#child = new Child([command, ...flags, join(root, "bench/workers", script)], {
      name: `${script} on ${runtime}`,
      env: { CUFRAMES_RUNTIME_DIR: directory, NO_COLOR: "1" },
      stdin: "pipe",
      stdout: "read",
      stderr: "inherit",
      group: options.cleansUp ?? false,
    });
    this.#answers = jsonLines<Answer>(this.#child.stdout);
  }

  async #answer(): Promise<Answer> {
    const { value, done } = await this.#answers.next();
    if (done) throw new Error(`${this.#child.name} ended early`);
    return value;
  }

  async #result<T>(): Promise<T> {
    const answer = await this.#answer();
    if ("error" in answer) throw new Error(`${this.#child.name}: ${answer.error}`);
    if (!("result" in answer)) throw new Error(`${this.#child.name} said that it is ready, unasked`);
    return answer.result as T;
  }

  #ask(method: string, parameters: object): void {
    this.#child.write(`${JSON.stringify({ method, parameters })}\n`);
  }

  /** Calls a method to its end. */
  call<T>(method: string, parameters: object = {}): Promise<T> {
    this.#ask(method, parameters);
    return this.#result<T>();
  }

  /** Calls a method, until it says that the other end may start. */
  async begin<T>(method: string, parameters: object): Promise<{ result: () => Promise<T> }> {
    this.#ask(method, parameters);
    const answer = await this.#answer();
    if (!("ready" in answer)) {
      throw new Error(`${this.#child.name}: ${"error" in answer ? answer.error : "not ready"}`);
    }
    const result = this.#result<T>();
    return { result: () => result };
  }

  /** Ends the process with its input. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.end();
  }
}

/** Workers that end together. */
export class Workers implements AsyncDisposable {
  readonly #workers: Worker[] = [];

  start(runtime: RuntimeName, script: string, directory: string, options?: WorkerOptions): Worker {
    const worker = new Worker(runtime, script, directory, options);
    this.#workers.push(worker);
    return worker;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker[Symbol.asyncDispose]()));
  }
}
