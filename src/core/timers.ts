// Timers of any length: a runtime's own turn what is longer than 24.8 days into 1 ms.

import { clearTimeout, setTimeout } from "node:timers";
import { setTimeout as sleep } from "node:timers/promises";
import { LONGEST_TIMER_MS } from "./options.ts";

/** Sleeps for so many milliseconds. @throws an `AbortError` when the signal comes */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  let left = milliseconds;
  for (; left > LONGEST_TIMER_MS; left -= LONGEST_TIMER_MS) {
    await sleep(LONGEST_TIMER_MS, undefined, { signal });
  }
  await sleep(left, undefined, { signal });
}

/** Calls back again and again, so many milliseconds apart, until it is disposed of. */
export class Ticker implements Disposable {
  readonly #milliseconds: number;
  readonly #callback: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(milliseconds: number, callback: () => void) {
    this.#milliseconds = milliseconds;
    this.#callback = callback;
    this.#wait(milliseconds);
  }

  #wait(left: number): void {
    const slice = Math.min(left, LONGEST_TIMER_MS);
    this.#timer = setTimeout(() => {
      if (left > slice) return this.#wait(left - slice);
      this.#wait(this.#milliseconds);
      this.#callback();
    }, slice);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
