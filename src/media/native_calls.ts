import { CuframesError } from "../core/mod.ts";

/**
 * Lets `close()` wait for the native call that is running: memory freed under a running call is a crash.
 * One call runs at a time; later ones wait for it in order.
 */
export class NativeCalls {
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
      if (this.#closed) {
        throw new CuframesError("INVALID_ARGUMENT", "the media object was used after close()");
      }
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
