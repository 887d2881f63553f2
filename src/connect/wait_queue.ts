import { clearTimeout, setTimeout } from "node:timers";
import { CuframesError, ERROR_CODES, timeoutMilliseconds, type WaitOptions } from "../core/mod.ts";
import { eventLoopTurned, eventLoopTurnIfDue } from "./event_loop_turn.ts";
import { waitBegins, waitEnds } from "../ffi/mod.ts";

interface Wait<T> {
  attempt(): T | undefined;
  resolve(value: T): void;
  reject(reason: unknown): void;
  /** Takes the time-out and the abort listener down. */
  settle(): void;
}

/**
 * Promises for something that native code announces, first come first served. A pending one keeps the process alive, as
 * the read of a socket does, unless `unref` says otherwise.
 */
export class Waits<T> {
  readonly #waits = new Set<Wait<T>>();
  readonly #attempt: () => T | undefined;
  readonly #arm: () => void;
  readonly #subject: string;
  readonly #pending: () => string | undefined;
  #referenced = true;

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
    const turn = eventLoopTurnIfDue();
    if (turn !== undefined) {
      await turn;
      signal?.throwIfAborted();
    }
    if (this.#waits.size === 0) {
      const value = attempt();
      if (value !== undefined) return value;
    }
    if (milliseconds === 0) throw this.missing(0);
    return await this.#enqueue(attempt, milliseconds, timeout, signal);
  }

  #enqueue(
    attempt: () => T | undefined,
    milliseconds: number,
    timeout: number,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const settle = () => {
        // Once: whoever ends every wait may be called by the attempt of one of them.
        if (!this.#waits.delete(wait)) return;
        if (this.#referenced) waitEnds();
        if (timer !== undefined) clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
      };
      const wait: Wait<T> = { attempt, resolve, reject, settle };
      // The wake-ups keep the process alive, not the timer.
      const timer = milliseconds < 0 ? undefined : setTimeout(() => {
        this.poke(); // it may have come while the event loop was busy with something else
        if (!this.#waits.has(wait)) return;
        settle();
        reject(this.missing(timeout));
      }, milliseconds).unref();
      const abort = () => {
        settle();
        reject(signal?.reason);
      };
      signal?.addEventListener("abort", abort);
      this.#waits.add(wait);
      if (this.#referenced) waitBegins();
      try {
        this.#arm();
      } catch (error) {
        settle(); // or it would take one later, for nobody
        throw error;
      }
    });
  }

  /** Pending waits keep the process alive: so it is at first. */
  ref(): void {
    if (this.#referenced) return;
    this.#referenced = true;
    for (const _ of this.#waits) waitBegins();
  }

  /** Pending waits do not keep the process alive. */
  unref(): void {
    if (!this.#referenced) return;
    this.#referenced = false;
    for (const _ of this.#waits) waitEnds();
  }

  /** Hands out what there is, and asks for the next poke if somebody still waits. */
  poke(): void {
    eventLoopTurned();
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

/** Of one native wait. */
const SLICE_MS = 500;

/**
 * Blocks in native code, in slices: a worker that is to be terminated, or a program with a time limit, can only be ended
 * between two of them.
 *
 * @param timeout milliseconds; -1 is for ever
 * @param wait waits that long at most; `first`: for the first time
 * @returns its result, which is TIMEOUT only when the time is over
 */
export function waitInSlices(
  timeout: number,
  wait: (milliseconds: number, first: boolean) => number,
): number {
  if (timeout >= 0 && timeout <= SLICE_MS) return wait(timeout, true);
  const deadline = timeout < 0 ? Infinity : performance.now() + timeout;
  let result = wait(SLICE_MS, true);
  while (result === ERROR_CODES.TIMEOUT) {
    const left = deadline - performance.now();
    if (left <= SLICE_MS) return wait(Math.max(1, Math.ceil(left)), false);
    result = wait(SLICE_MS, false);
  }
  return result;
}
