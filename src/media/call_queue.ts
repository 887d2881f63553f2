/** This file runs native calls one at a time: memory freed under a running call is a crash. */
import { invalid } from "../core/mod.ts";

/** Calls that run in order, one at a time; `close()` waits for the one that is running. */
export class CallQueue {
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  /** Whether `close()` was called. */
  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Runs `call` after the calls before it.
   *
   * @throws {CuframesError} `INVALID_ARGUMENT` once closed.
   */
  run<T>(call: () => Promise<T>): Promise<T> {
    const result = this.#last.then(() => {
      if (this.#closed) throw invalid("the media object was used after close()");
      return call();
    });
    this.#last = result.catch(() => {});
    return result;
  }

  /** Refuses calls from now on; resolves when the last one has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#last;
  }
}
