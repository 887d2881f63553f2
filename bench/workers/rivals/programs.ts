import { Child, type ChildOptions } from "../../../scripts/lib/process.ts";

/** Seconds; a measurement takes one or two. */
const MEASUREMENT_LIMIT = 60;
/** Seconds, for downloading and compiling. */
const BUILD_LIMIT = 900;

/** Programs of a rival: each a process group of its own, and none outlives this process. */
export class Programs {
  readonly #running = new Set<Child>();
  #isClosed = false;

  /** Starts a part of a measurement, which the kernel kills should this process die without a chance to do it. */
  start(command: readonly string[], options: ChildOptions = {}): Child {
    const name = command.join(" ");
    return this.#start(["setpriv", "--pdeathsig", "KILL", ...command], { name, ...options });
  }

  /** Runs a part of a measurement to its end; returns its output. */
  async measure(command: readonly string[]): Promise<string> {
    await using child = this.start(command, { limit: MEASUREMENT_LIMIT });
    await child.succeeded();
    return child.text;
  }

  /** Runs something that has to be installed, such as a compiler, to its end; returns its output. */
  async outputOf(program: string, ...args: string[]): Promise<string> {
    await using child = this.#start([program, ...args], { limit: BUILD_LIMIT });
    try {
      await child.succeeded();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      throw new Error(`${program} is not installed`, { cause: error });
    }
    return child.text;
  }

  /** Kills every program with all that it started; no other one starts. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#running].map((child) => child[Symbol.asyncDispose]()));
  }

  #start(command: readonly string[], options: ChildOptions): Child {
    if (this.#isClosed) throw new Error("the benchmark has ended");
    const child = new Child(command, { group: true, ...options });
    this.#running.add(child);
    const forget = () => void this.#running.delete(child);
    child.ended.then(forget, forget);
    return child;
  }
}
