/** This file ends native calls that wait for an input which gives nothing. */
import { CuframesError, LONGEST_TIMER_MS } from "../core/mod.ts";

/** Interrupts what has given nothing for too long; disposing of it ends the watch. */
export class Watchdog implements Disposable {
  readonly #timeout: number;
  readonly #timer: ReturnType<typeof setTimeout> | undefined;
  #late = false;

  /** @param timeout milliseconds; `Infinity`: for ever */
  constructor(timeout: number, interrupt: () => void) {
    this.#timeout = timeout;
    if (timeout > LONGEST_TIMER_MS) return;
    this.#timer = setTimeout(() => {
      this.#late = true;
      interrupt();
    }, timeout);
  }

  /** @throws {CuframesError} `TIMEOUT` once it has interrupted */
  check(tried: string): void {
    if (this.#late) {
      throw new CuframesError("TIMEOUT", `${tried}: nothing came for ${this.#timeout / 1000} s`);
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
