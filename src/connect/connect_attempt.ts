// One attempt to reach a publisher or a socket, made on a thread of the library.

import { ERROR_CODES } from "../core/mod.ts";
import { checked, library, nativeMessage, offWake, onWake } from "../ffi/mod.ts";
import { waitInSlices } from "./wait_in_slices.ts";

// The tokens of attempts lie above every handle, so that the two kinds of wake-up tokens never meet.
const firstToken = 0x8000_0000;
let tokens = 0;

function newToken(): number {
  const token = firstToken + tokens;
  tokens = (tokens + 1) % firstToken;
  return token;
}

/** The attempts whose outcome somebody is told: they are not collected before. */
const armed = new Set<object>();

/**
 * One attempt to connect, on a thread of the library. It goes on until it has an outcome or is closed, whoever waits for
 * it meanwhile, blocked or not, and however often somebody has given up waiting.
 */
export class ConnectAttempt<T> implements Disposable {
  readonly #tried: string;
  readonly #handle: number;
  readonly #finish: (attempt: number) => number;
  readonly #resultOf: (handle: number) => T;
  #token: number | undefined;
  /** Held here, since the wake-ups hold nothing. */
  #news: { notify(): void } | undefined;
  #closed = false;

  /**
   * @param handle what the native start returned
   * @param finish the native outcome
   * @param resultOf what the native outcome stands for, when it is one
   */
  constructor(
    tried: string,
    handle: number,
    finish: (attempt: number) => number,
    resultOf: (handle: number) => T,
  ) {
    this.#tried = tried;
    this.#handle = checked(handle, tried);
    this.#finish = finish;
    this.#resultOf = resultOf;
  }

  /** The outcome, to be asked for until there is one; undefined while there is none. Throws what the attempt failed with. */
  take(): T | undefined {
    if (this.#closed) return undefined;
    const result = this.#finish(this.#handle);
    if (result === ERROR_CODES.WOULD_BLOCK) return undefined;
    return this.#resultOf(checked(result, this.#tried));
  }

  /** Blocks until there is an outcome, but at most for so many milliseconds; -1 is for ever. */
  wait(milliseconds: number): void {
    const { symbols } = library();
    const result = waitInSlices(milliseconds, (slice) => symbols.cuframes_connect_wait(this.#handle, slice));
    if (result !== ERROR_CODES.TIMEOUT) checked(result, this.#tried);
  }

  /** How far the attempt has come, as a sentence; undefined once there is an outcome. */
  get pending(): string | undefined {
    const result = library().symbols.cuframes_connect_wait(this.#handle, 0);
    return result === ERROR_CODES.TIMEOUT ? nativeMessage() : undefined;
  }

  /** Whether somebody is told when there is an outcome. */
  get armed(): boolean {
    return this.#token !== undefined;
  }

  /** Calls `news` once, on the event loop, when there is an outcome. Only the first call of `arm` counts. */
  arm(news: () => void): void {
    if (this.armed) return;
    const { symbols, wake } = library();
    const token = this.#token = newToken();
    this.#news = {
      notify: () => {
        armed.delete(this);
        news();
      },
    };
    armed.add(this);
    onWake(token, this.#news);
    if (checked(symbols.cuframes_connect_arm(this.#handle, wake, token), this.#tried) === 0) return;
    // The outcome is there already.
    offWake(token);
    armed.delete(this);
    queueMicrotask(() => this.#closed || news());
  }

  /** Cancels the attempt where it still goes on. A connection that was made and not taken is closed. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    armed.delete(this);
    if (this.#token !== undefined) offWake(this.#token);
    library().symbols.cuframes_connect_close(this.#handle);
  }

  /** Same as `close`. */
  [Symbol.dispose](): void {
    this.close();
  }
}
