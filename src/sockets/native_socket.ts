// What connections and listeners have in common.

import { WaitQueue } from "../connect/mod.ts";
import { CuframesError, DIRECTIONS, ERROR_CODES } from "../core/mod.ts";
import {
  checked,
  closedInTime,
  closeWhenCollected,
  library,
  nativeError,
  type NativeSymbols,
  offWake,
  onWake,
  openedHere,
  type Wakeable,
} from "../ffi/mod.ts";

/** A native socket: a connection or a listener, which is waited for without blocking and closed once. */
export class NativeSocket implements Wakeable {
  readonly symbols: NativeSymbols = library().symbols;
  readonly subject: string;
  readonly #queues: WaitQueue<unknown>[] = [];
  #handle: number | undefined;

  /** @param kind what it is, for a warning */
  constructor(handle: number, subject: string, kind: string) {
    this.#handle = handle;
    this.subject = subject;
    onWake(handle, this);
    closeWhenCollected(this, kind, openedHere(), () => closeSocket(handle));
  }

  /** It may be ready by now. */
  notify(): void {
    for (const queue of this.#queues) queue.notify();
  }

  get closed(): boolean {
    return this.#handle === undefined;
  }

  handle(): number {
    if (this.#handle === undefined) throw this.#isClosed();
    return this.#handle;
  }

  #isClosed(): CuframesError {
    return new CuframesError(
      "DISCONNECTED",
      `the socket ${this.subject} is closed: open another one to go on`,
    );
  }

  /** A queue of those who wait for what `attempt` gives when the socket is ready in that direction. */
  queue<T>(what: string, direction: keyof typeof DIRECTIONS, attempt: () => T | undefined): WaitQueue<T> {
    const queue = new WaitQueue<T>(
      what,
      attempt,
      () =>
        checked(
          this.symbols.cuframes_socket_arm(this.handle(), DIRECTIONS[direction], library().wake),
          `waiting for ${this.subject}`,
        ),
    );
    this.#queues.push(queue as WaitQueue<unknown>);
    return queue;
  }

  ref(): void {
    for (const queue of this.#queues) queue.ref();
  }

  unref(): void {
    for (const queue of this.#queues) queue.unref();
  }

  /** Passes a native result through that is not negative; undefined where the call would have blocked. */
  attempt(result: number, tried: string): number | undefined {
    if (result === ERROR_CODES.WOULD_BLOCK) return undefined;
    if (result < 0) throw nativeError(result, tried);
    return result;
  }

  close(): void {
    const handle = this.#handle;
    if (handle === undefined) return;
    this.#handle = undefined;
    closedInTime(this);
    closeSocket(handle);
    for (const queue of this.#queues) queue.fail(this.#isClosed());
  }
}

function closeSocket(handle: number): void {
  offWake(handle);
  library().symbols.cuframes_socket_close(handle);
}
