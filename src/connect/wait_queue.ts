// Promises for something that native code announces: waiting without blocking the event loop.

import { clearTimeout, setTimeout } from "node:timers";
import {
  checkOptions,
  CuframesError,
  timeoutMilliseconds,
  WAIT_OPTIONS,
  type WaitOptions,
} from "../core/mod.ts";
import { waitBegins, waitEnds } from "../ffi/mod.ts";
import { eventLoopTurned, eventLoopTurnIfDue } from "./event_loop_turn.ts";

interface Wait<T> {
  attempt(): T | undefined;
  resolve(value: T): void;
  reject(reason: unknown): void;
  /** Takes the time-out and the abort listener down. */
  settle(): void;
}

/** The queues that somebody waits in: they, and what they are part of, are not collected. */
const awaited = new Set<object>();

/**
 * Promises for something that native code announces, first come first served. A pending one keeps the process alive, as
 * the read of a socket does, unless `unref` says otherwise.
 */
export class WaitQueue<T> {
  readonly #waits = new Set<Wait<T>>();
  readonly #attempt: () => T | undefined;
  readonly #arm: () => void;
  readonly #subject: string;
  readonly #pending: () => string | undefined;
  #referenced = true;

  /**
   * @param subject what is waited for, for the error of a time-out
   * @param attempt takes one if there is one; undefined: not yet
   * @param arm asks for `notify` to be called when there may be one
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

  /** The error for a wait that was in vain: `TIMEOUT`, or `WOULD_BLOCK` where the time-out was 0. */
  missing(timeout: number): CuframesError {
    if (timeout === 0) return new CuframesError("WOULD_BLOCK", `there is no ${this.#subject} yet`);
    const pending = this.#pending();
    const reason = pending === undefined ? "" : `: ${pending}`;
    return new CuframesError("TIMEOUT", `no ${this.#subject} came within ${timeout} ms${reason}`);
  }

  /**
   * Waits for one thing. Fails with `WOULD_BLOCK` when the time-out is 0, with `TIMEOUT`, with the signal's reason, or with
   * what `attempt` throws.
   *
   * @param attempt takes one for this wait, where waits are not alike
   */
  async wait(
    options?: WaitOptions | null,
    attempt: () => T | undefined = this.#attempt,
  ): Promise<T> {
    const { timeout = Infinity, signal } = checkOptions(options, WAIT_OPTIONS);
    const milliseconds = timeoutMilliseconds("timeout", timeout);
    // First: whoever asks again and again with a signal that is aborted has no other wait.
    const turn = eventLoopTurnIfDue();
    if (turn !== undefined) await turn;
    signal?.throwIfAborted();
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
        // A wait is settled once, although the attempt of one wait may call what ends all of them.
        if (!this.#waits.delete(wait)) return;
        if (this.#waits.size === 0) awaited.delete(this);
        if (this.#referenced) waitEnds();
        if (timer !== undefined) clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
      };
      const wait: Wait<T> = { attempt, resolve, reject, settle };
      // The wake-ups keep the process alive, not the timer.
      const timer = milliseconds < 0 ? undefined : setTimeout(() => {
        this.notify(); // what is waited for may have come while the event loop was busy
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
      awaited.add(this);
      if (this.#referenced) waitBegins();
      try {
        this.#arm();
      } catch (error) {
        settle(); // else it would later take one that nobody is given
        throw error;
      }
    });
  }

  /** From now on pending waits keep the process alive, as they do at first. */
  ref(): void {
    if (this.#referenced) return;
    this.#referenced = true;
    for (const _ of this.#waits) waitBegins();
  }

  /** From now on pending waits do not keep the process alive. */
  unref(): void {
    if (!this.#referenced) return;
    this.#referenced = false;
    for (const _ of this.#waits) waitEnds();
  }

  /** Hands out what there is, and asks to be notified again if somebody still waits. */
  notify(): void {
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

  /** Ends every wait with the error. */
  fail(error: unknown): void {
    for (const wait of this.#waits) {
      wait.settle();
      wait.reject(error);
    }
  }
}
