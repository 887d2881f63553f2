/** This file passes over frames that their source knows to be damaged, for as long as that is reasonable. */
import { CuframesError, isCuframesError } from "../core/mod.ts";
import type { Frame, Subscriber } from "../frames/mod.ts";
import type { Context } from "./command.ts";

/** How long a publisher may give no frame that can be used. */
const LONGEST_MS = 10_000;

/** A run of damaged frames, one after the other. */
export class Damaged {
  readonly #key: string;
  /** How long a publisher may give no frame that can be used, in ms. */
  readonly longestMs: number;
  #passed = 0;
  #beganAt = 0;
  #told = false;
  /** All frames that were passed over. */
  total = 0;

  /** @param waitMs how long the user is willing to wait, where that is longer */
  constructor(key: string, waitMs: number) {
    this.#key = key;
    this.longestMs = Math.max(waitMs, LONGEST_MS);
  }

  /** Counts a frame; whether it is passed over. */
  pass(frame: Frame): boolean {
    if (!frame.corrupt) {
      this.#passed = 0;
      this.#told = false;
      return false;
    }
    if (this.#passed++ === 0) this.#beganAt = performance.now();
    this.total++;
    return true;
  }

  /** What there is to say of the run: all of its frames are damaged. */
  get #sentence(): string {
    const seconds = ((performance.now() - this.#beganAt) / 1000).toFixed(0);
    return `${this.#key}: nothing but damaged frames for ${seconds} s (${this.#passed} of them)`;
  }

  /** Whether the run has lasted too long. */
  get #isLong(): boolean {
    return this.#passed > 0 && performance.now() - this.#beganAt >= this.longestMs;
  }

  /** @throws {CuframesError} `TIMEOUT` where the run has lasted too long */
  check(): void {
    if (!this.#isLong) return;
    throw new CuframesError(
      "TIMEOUT",
      `${this.#sentence}: its stream was entered in the middle, or loses data; --corrupt takes them as they are, --wait waits longer`,
    );
  }

  /** Says once that the run lasts. */
  warn(log: Context["log"]): void {
    if (this.#told || !this.#isLong) return;
    this.#told = true;
    log.warn(`${this.#sentence}: they are left out; --corrupt takes them as they are`);
  }

  /** The next frame that is whole, the caller's to close. */
  async next(camera: Subscriber, signal: AbortSignal): Promise<Frame> {
    const deadline = performance.now() + this.longestMs;
    for (;;) {
      const timeout = Math.max(0, Math.ceil(deadline - performance.now()));
      const frame = await camera.next({ timeout, signal }).catch((error) => {
        // Without any time left the library looks once, and does not call that a wait.
        if (isCuframesError(error, "TIMEOUT", "WOULD_BLOCK") && this.#passed > 0) {
          throw new CuframesError("TIMEOUT", `${this.#sentence}, and none after them; --corrupt takes one`);
        }
        throw error;
      });
      if (!this.pass(frame)) return frame;
      frame.close();
      this.check();
    }
  }
}
