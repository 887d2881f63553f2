/**
 * This file says how long to wait between attempts: twice as long each time, with jitter, so that many do not
 * knock together.
 */

const FIRST_MS = 500;

/** The delays between attempts at one thing. */
export class Backoff {
  readonly #longestMs: number;
  readonly #firstMs: number;
  #nextMs: number;

  /**
   * @param longestMs no delay is longer
   * @param firstMs the first one is not longer
   */
  constructor(longestMs: number, firstMs: number = FIRST_MS) {
    this.#longestMs = longestMs;
    this.#firstMs = firstMs;
    this.#nextMs = firstMs;
  }

  /** Milliseconds to wait before the next attempt: between half of the current delay and all of it. */
  next(): number {
    const delay = Math.min(this.#nextMs, this.#longestMs);
    this.#nextMs = delay * 2;
    return delay * (0.5 + Math.random() / 2);
  }

  /** The next delay is among the longest: knocking again soon makes it worse. */
  slow(): void {
    this.#nextMs = this.#longestMs;
  }

  /** An attempt went well: the next delay is the first one. */
  reset(): void {
    this.#nextMs = this.#firstMs;
  }
}
