import { clearTimeout, setTimeout } from "node:timers";
import { CuframesError } from "./errors.ts";
import { waitBegins, waitEnds } from "./ffi/library.ts";
import { timeoutMilliseconds, type WaitOptions } from "./options.ts";

interface Wait<T> {
  attempt(): T | undefined;
  resolve(value: T): void;
  reject(reason: unknown): void;
  /** Takes the time-out and the abort listener down. */
  settle(): void;
}

/**
 * Promises for something that native code announces, first come first served. Nothing in here keeps the process
 * alive, except on Node: timers are unreferenced, and so is the callback that pokes.
 */
export class Waits<T> {
  readonly #waits = new Set<Wait<T>>();
  readonly #attempt: () => T | undefined;
  readonly #arm: () => void;
  readonly #subject: string;

  /**
   * @param subject what is waited for, for the error of a time-out
   * @param attempt takes one if there is one; undefined: not yet
   * @param arm asks for a `poke` when there may be one
   */
  constructor(subject: string, attempt: () => T | undefined, arm: () => void) {
    this.#subject = subject;
    this.#attempt = attempt;
    this.#arm = arm;
  }

  /**
   * One of them. `WOULD_BLOCK` with a time-out of 0, else `TIMEOUT`, else the signal's reason, else `attempt`'s error.
   *
   * @param attempt takes one for this wait, where waits are not alike
   */
  async wait(
    { timeout = Infinity, signal }: WaitOptions = {},
    attempt: () => T | undefined = this.#attempt,
  ): Promise<T> {
    const milliseconds = timeoutMilliseconds("timeout", timeout);
    signal?.throwIfAborted();
    if (this.#waits.size === 0) {
      const value = attempt();
      if (value !== undefined) return value;
    }
    if (milliseconds === 0) throw new CuframesError("WOULD_BLOCK", `there is no ${this.#subject} yet`);
    return await new Promise<T>((resolve, reject) => {
      const wait: Wait<T> = { attempt, resolve, reject, settle };
      const timer = milliseconds < 0 ? undefined : setTimeout(() => {
        settle();
        reject(new CuframesError("TIMEOUT", `no ${this.#subject} came within ${timeout} ms`));
      }, milliseconds).unref();
      const abort = () => {
        settle();
        reject(signal?.reason);
      };
      const waits = this.#waits;
      function settle(): void {
        waits.delete(wait);
        waitEnds();
        if (timer !== undefined) clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
      }
      signal?.addEventListener("abort", abort);
      waits.add(wait);
      waitBegins();
      try {
        this.#arm();
      } catch (error) {
        settle(); // or it would take one later, for nobody
        throw error;
      }
    });
  }

  /** Hands out what there is, and asks for the next poke if somebody still waits. */
  poke(): void {
    for (const wait of this.#waits) {
      try {
        const value = wait.attempt();
        if (value === undefined) return this.#arm();
        wait.settle();
        wait.resolve(value);
      } catch (error) {
        wait.settle();
        wait.reject(error);
      }
    }
  }

  /** Ends every wait. */
  fail(error: unknown): void {
    for (const wait of this.#waits) {
      wait.settle();
      wait.reject(error);
    }
  }
}
