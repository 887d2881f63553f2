import type { Connection, Succession } from "./connection.ts";
import { CuframesError } from "../core/mod.ts";
import { Waits } from "./wait_queue.ts";

/** What differs between reading frames and reading packets. */
export interface Reader<T> {
  /** @throws {CuframesError} `DISCONNECTED`: the reader is closed */
  check(): void;
  /**
   * One of the current connection, waiting in native code; undefined: none came. A time-out of -1 is for ever.
   *
   * @throws {CuframesError} `DISCONNECTED`: its publisher is gone, and what it left was delivered
   */
  take(timeout: number, spin: number): T | undefined;
  /** Asks native code for a poke when the current connection may have one. */
  arm(): void;
  /** Reads from the next connection from here on. When it throws, nothing has changed. */
  goOn(next: Connection): void;
}

/** Reads from one connection after another; waits for what is not there yet. */
export class Following<T> {
  readonly waits: Waits<T>;
  readonly #succession: Succession;
  readonly #reader: Reader<T>;
  #connection: Connection;
  /** The connection's publisher is gone, and what it left was delivered. */
  #drained = false;
  #interrupted = false;

  /** @param subject what is read, for the error of a time-out */
  constructor(succession: Succession, subject: string, reader: Reader<T>) {
    this.#succession = succession;
    this.#reader = reader;
    this.waits = new Waits(subject, () => this.take(0, 0), () => this.#arm(), () => this.#pending());
    this.#connection = succession.newest.join();
    succession.follow(this.waits);
  }

  /** Where the next one comes from. */
  get connection(): Connection {
    return this.#connection;
  }

  /** The next one is the first of a new connection. */
  get interrupted(): boolean {
    return this.#interrupted;
  }

  /** The next one; undefined when none came within the milliseconds, of which -1 is for ever. */
  take(timeout: number, spin: number): T | undefined {
    // 0 does not wait, so it needs no clock.
    const deadline = timeout <= 0 ? Infinity : performance.now() + timeout;
    this.#reader.check();
    while (true) {
      let ended: CuframesError;
      try {
        const taken = this.#reader.take(timeout, spin);
        if (taken !== undefined) this.#interrupted = false;
        return taken;
      } catch (error) {
        if (!(error instanceof CuframesError) || error.code !== "DISCONNECTED") throw error;
        ended = error;
      }
      this.#drained = true;
      if (timeout > 0) timeout = millisecondsTo(deadline);
      const next = this.#succession.after(this.#connection, timeout, ended);
      if (next === undefined) return undefined;
      // Not where connecting has poked those who wait, and one of them has gone on already.
      if (next !== this.#connection) this.#goOn(next);
      if (timeout > 0) timeout = millisecondsTo(deadline);
    }
  }

  #goOn(next: Connection): void {
    this.#reader.goOn(next);
    this.#connection.leave();
    this.#connection = next.join();
    this.#drained = false;
    this.#interrupted = true;
  }

  #arm(): void {
    if (this.#drained) this.#succession.arm();
    else this.#reader.arm();
  }

  #pending(): string | undefined {
    return this.#drained ? this.#succession.pending : undefined;
  }

  /** The reader is closed: pending waits fail with the error. */
  end(error: CuframesError): void {
    this.#succession.unfollow(this.waits);
    this.#connection.leave();
    this.waits.fail(error);
  }
}

/** At least 1: 0 and -1 mean something else. */
function millisecondsTo(deadline: number): number {
  return Math.max(1, Math.ceil(deadline - performance.now()));
}
