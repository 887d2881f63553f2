// A program of the soak of readers, in a process of its own.

import { onJsonLine } from "../../lib/json_lines.ts";
import { Child } from "../../lib/process.ts";
import { commandLine, type Runtime } from "../../measure/subject.ts";

/** Milliseconds that a program may take to start on a busy machine, and to end. */
const PATIENCE_MS = 60_000;
const ERRORS_SHOWN = 4000;

export interface Message {
  event: string;
}

export class Program implements AsyncDisposable {
  readonly name: string;
  readonly runtime: Runtime;
  readonly #child: Child;
  readonly #listeners = new Set<(message: Message) => void>();
  readonly #heard: Message[] = [];

  /** @param script in this directory */
  constructor(script: string, task: object, { name, runtime, sockets }: {
    name: string;
    runtime: Runtime;
    sockets: string;
  }) {
    this.name = name;
    this.runtime = runtime;
    this.#child = new Child(commandLine(runtime, `scripts/soak/readers/${script}`, [JSON.stringify(task)]), {
      env: { CUFRAMES_RUNTIME_DIR: sockets, NO_COLOR: "1" },
      stdin: "pipe",
      stdout: "read",
    });
    onJsonLine<Message>(this.#child.stdout, (message) => {
      this.#heard.push(message);
      for (const listener of this.#listeners) listener(message);
    });
  }

  get pid(): number {
    return this.#child.pid;
  }

  get hasEnded(): boolean {
    return this.#child.ending !== undefined;
  }

  /** Tells of every message from now on. */
  onMessage(listener: (message: Message) => void): void {
    this.#listeners.add(listener);
  }

  /** The last of `count` messages of a kind. @throws where it ends before */
  async heard<T extends Message>(
    event: T["event"],
    { count = 1, patience = PATIENCE_MS }: { count?: number; patience?: number } = {},
  ): Promise<T> {
    const find = () => this.#heard.filter((message) => message.event === event)[count - 1] as T | undefined;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const look = () => {
      const found = find();
      if (found) resolve(found);
    };
    this.onMessage(look);
    look();
    const fail = (why: string) => {
      const found = find();
      if (found) resolve(found);
      else {reject(
          new Error(`${this.name} on ${this.runtime} ${why}\n${this.#child.errors.slice(-ERRORS_SHOWN)}`),
        );}
    };
    const timer = setTimeout(() => fail(`has not said "${event}"`), patience);
    this.#child.ended.then(
      ({ code, signal }) => fail(`ended with ${signal ?? code} before it said "${event}"`),
      reject,
    );
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#listeners.delete(look);
    }
  }

  say(message: object): void {
    this.#child.write(`${JSON.stringify(message)}\n`);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Closes its standard input, at which it ends. */
  end(): void {
    this.#child.stdin.end();
  }

  async ended(): Promise<void> {
    await this.#child.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child[Symbol.asyncDispose]();
  }
}
