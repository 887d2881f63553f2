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
  readonly #pending: () => string | undefined;

  /**
   * @param subject what is waited for, for the error of a time-out
   * @param attempt takes one if there is one; undefined: not yet
   * @param arm asks for a `poke` when there may be one
   * @param pending what has to come first and has not, as a sentence
   */
  constructor(
    subject: string,
    attempt: () => T | undefined,
    arm: () => void,
    pending: () => string | undefined = () => undefined,
  ) {
    this.#subject = subject;
    this.#attempt = attempt;
    this.#arm = arm;
    this.#pending = pending;
  }

  /** For who has waited in vain: `TIMEOUT`, or `WOULD_BLOCK` where the time-out was 0. */
  missing(timeout: number): CuframesError {
    if (timeout === 0) return new CuframesError("WOULD_BLOCK", `there is no ${this.#subject} yet`);
    const pending = this.#pending();
    const reason = pending === undefined ? "" : `: ${pending}`;
    return new CuframesError("TIMEOUT", `no ${this.#subject} came within ${timeout} ms${reason}`);
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
    if (milliseconds === 0) throw this.missing(0);
    return await new Promise<T>((resolve, reject) => {
      const wait: Wait<T> = { attempt, resolve, reject, settle };
      const timer = milliseconds < 0 ? undefined : setTimeout(() => {
        settle();
        reject(this.missing(timeout));
      }, milliseconds).unref();
      const abort = () => {
        settle();
        reject(signal?.reason);
      };
      const waits = this.#waits;
      function settle(): void {
        // Once: whoever ends every wait may be called by the attempt of one of them.
        if (!waits.delete(wait)) return;
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
