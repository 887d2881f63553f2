// Reading from one connection after another: what readers of frames and readers of packets have in common.

import { type CuframesError, isCuframesError } from "../core/mod.ts";
import type { Connection } from "./connection.ts";
import type { ReconnectingConnection } from "./reconnect.ts";
import { WaitQueue } from "./wait_queue.ts";

/** What differs between reading frames and reading packets, of one connection at a time. */
export interface Reader<T> {
  /** @throws {CuframesError} `DISCONNECTED`: the reader is closed */
  check(): void;
  /**
   * Takes one from the current connection, waiting in native code; undefined: none came. A time-out of -1 is for ever.
   *
   * @throws {CuframesError} `DISCONNECTED`: its publisher is gone, and what it left was delivered; `EVICTED`: its publisher
   * has ended it for the frames that were held
   */
  take(timeout: number, spin: number): T | undefined;
  /** Asks native code to notify the queue when the current connection may have one. */
  arm(): void;
  /** Makes the next connection the current one. When this throws, nothing has changed. */
  switchTo(next: Connection): void;
}

/** Reads from one connection after another, and waits for what is not there yet. */
export class FollowingReader<T> {
  readonly queue: WaitQueue<T>;
  readonly #connections: ReconnectingConnection;
  readonly #reader: Reader<T>;
  #connection: Connection;
  /** Whether the connection has ended and what its publisher left was delivered. */
  #drained = false;
  #interrupted = false;

  /** @param subject what is read, for the error of a time-out */
  constructor(connections: ReconnectingConnection, subject: string, reader: Reader<T>) {
    this.#connections = connections;
    this.#reader = reader;
    this.queue = new WaitQueue(subject, () => this.take(0, 0), () => this.#arm(), () => this.#pending());
    this.#connection = connections.newest.join();
    connections.follow(this.queue);
  }

  /** Where the next one comes from. */
  get connection(): Connection {
    return this.#connection;
  }

  /** Whether the next one is the first of a new connection. */
  get interrupted(): boolean {
    return this.#interrupted;
  }

  /** Takes the next one; undefined when none came within the milliseconds, of which -1 is for ever. */
  take(timeout: number, spin: number): T | undefined {
    // 0 does not wait, so it needs no clock.
    const deadline = timeout <= 0 ? Infinity : performance.now() + timeout;
    this.#reader.check();
    while (true) {
      let ended: CuframesError;
      try {
        const taken = this.#reader.take(timeout, spin);
        if (taken !== undefined) {
          this.#interrupted = false;
          this.#connection.delivered = true;
        }
        return taken;
      } catch (error) {
        if (!isCuframesError(error, "DISCONNECTED", "EVICTED")) throw error;
        ended = error;
      }
      this.#drained = true;
      if (timeout > 0) timeout = millisecondsTo(deadline);
      const next = this.#connections.after(this.#connection, timeout, ended);
      if (next === undefined) return undefined;
      // Connecting may have notified a wait that has switched to the next connection already.
      if (next !== this.#connection) this.#switchTo(next);
      if (timeout > 0) timeout = millisecondsTo(deadline);
    }
  }

  #switchTo(next: Connection): void {
    this.#reader.switchTo(next);
    this.#connection.leave();
    this.#connection = next.join();
    this.#drained = false;
    this.#interrupted = true;
  }

  #arm(): void {
    if (this.#drained) this.#connections.arm();
    else this.#reader.arm();
  }

  #pending(): string | undefined {
    return this.#drained ? this.#connections.pending : undefined;
  }

  /** Ends reading: pending waits fail with the error. */
  end(error: CuframesError): void {
    this.#connections.unfollow(this.queue);
    this.#connection.leave();
    this.queue.fail(error);
  }
}

/** Whole milliseconds up to a deadline, at least 1, since 0 and -1 mean something else. */
function millisecondsTo(deadline: number): number {
  return Math.max(1, Math.ceil(deadline - performance.now()));
}
