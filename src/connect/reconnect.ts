// One connection after another: what stays when a publisher goes and the next one of its key comes.

import { Backoff, type CuframesError, isCuframesError } from "../core/mod.ts";
import { SubscriberStats as StatsLayout } from "../ffi/mod.ts";
import { type Connected, type ConnectRequest, startConnecting } from "./connect.ts";
import type { ConnectAttempt } from "./connect_attempt.ts";
import { Connection } from "./connection.ts";

/** A reader of a key's frames or packets, which goes on from one publisher to the next. */
export interface Follower {
  /** A new connection is there: look again. */
  notify(): void;
  /** The next publisher is there and refused. */
  fail(error: unknown): void;
}

/** Whether a publisher is there and stopped: it has not answered in two seconds. */
function isUnanswered(error: unknown): boolean {
  return isCuframesError(error, "TIMEOUT");
}

/** Between attempts that come to nothing, in milliseconds. */
const FIRST_DELAY_MS = 50;
const LONGEST_DELAY_MS = 5000;

/** What is native of a {@linkcode ReconnectingConnection}: it leads to none of its readers. */
export class HeldConnections {
  newest: Connection;
  earlier: Connection[] = [];
  /**
   * The attempt to reach the next publisher, which everybody who waits for it shares. It goes on when one of them gives up
   * waiting, since a handshake may take longer than any of them has time for.
   */
  attempt: ConnectAttempt<Connected> | undefined;

  constructor(first: Connection) {
    this.newest = first;
  }

  get all(): Connection[] {
    return [...this.earlier, this.newest];
  }

  /** Lets go of everything but the frames that are still held, and of their connections with the last of them. */
  abandon(): void {
    this.attempt?.close();
    this.attempt = undefined;
    for (const connection of this.all) connection.abandon();
  }
}

/** The connections to a key's publishers, one after another. Each follower goes on to the next at its own time. */
export class ReconnectingConnection {
  readonly request: ConnectRequest;
  readonly #reconnect: boolean;
  /** Held weakly: a reader that nobody uses any more is collected. */
  readonly #followers = new Set<WeakRef<Follower>>();
  readonly #held: HeldConnections;
  /** How many attempts in a row were refused, or led to a connection that was hung up at once. */
  #vain = 0;
  #refused = false;
  /** Why the publisher has not let it in again yet, after it was evicted. */
  #banned: string | undefined;
  readonly #backoff = new Backoff(LONGEST_DELAY_MS, FIRST_DELAY_MS);
  #reconnects = 0;
  #closed = false;

  readonly #opened: string;

  /**
   * @param reconnect whether there is a connection after the first
   * @param opened where the first was made
   */
  constructor(request: ConnectRequest, connected: Connected, reconnect: boolean, opened: string) {
    this.request = request;
    this.#reconnect = reconnect;
    this.#opened = opened;
    // This object counts as a reader of the newest connection until the next one is there.
    this.#held = new HeldConnections(new Connection(connected, this.#opened, 0).join());
  }

  get newest(): Connection {
    return this.#held.newest;
  }

  /** What is to be abandoned when nobody uses this any more. */
  get native(): HeldConnections {
    return this.#held;
  }

  get reconnects(): number {
    return this.#reconnects;
  }

  /** Whether the newest publisher is there, or the next one has come by now. */
  get connected(): boolean {
    if (this.#held.attempt !== undefined) this.#look();
    return this.#held.newest.stats().u32(StatsLayout.disconnected) === 0;
  }

  /** How many frames are held, of all connections together. */
  get held(): number {
    return this.#held.all.reduce((held, connection) => held + connection.leases, 0);
  }

  follow(follower: Follower): void {
    this.#followers.add(new WeakRef(follower));
  }

  unfollow(follower: Follower): void {
    for (const each of this.#followers) {
      const its = each.deref();
      if (its === undefined || its === follower) this.#followers.delete(each);
    }
  }

  /**
   * The connection after one that has ended; undefined when none comes within the milliseconds, of which -1 is for ever. 0
   * only looks whether it is there by now. Whoever was evicted is let in again when it has closed what it held, and its time
   * is over: until then attempts follow each other, further and further apart.
   *
   * @throws {CuframesError} `error`, when there is no next one; what the next publisher refused with
   */
  after(ended: Connection, timeout: number, error: unknown): Connection | undefined {
    if (ended !== this.#held.newest) return this.#held.newest;
    if (!this.#reconnect || this.#closed) throw error;
    const deadline = timeout < 0 ? Infinity : performance.now() + timeout;
    while (!this.#advance(timeout)) {
      // An attempt that was not answered within two seconds was begun again, so there may be time left.
      if (timeout >= 0) timeout = Math.max(0, Math.ceil(deadline - performance.now()));
      if (timeout === 0) return undefined;
    }
    return this.#held.newest;
  }

  /** Asks for every follower to be notified once there is the connection that `after` did not find. */
  arm(): void {
    // The attempt goes on when nobody uses this any more.
    const self = new WeakRef(this);
    this.#held.attempt?.arm(() => {
      const used = self.deref();
      if (used !== undefined) used.#look();
    });
  }

  /** Why there is no next connection yet, as a sentence; undefined while none is looked for. */
  get pending(): string | undefined {
    return this.#held.attempt && (this.#banned ?? this.#held.attempt.pending);
  }

  /** Whether a publisher that has refused will let it in again when time has passed or frames were closed. */
  #isBanned(error: unknown): error is CuframesError {
    if (isCuframesError(error, "EVICTED")) return true;
    // Others still hold all the memory that may be, for which it was evicted together with them.
    const evicted = this.#held.newest.stats().u32(StatsLayout.evicted) !== 0;
    return evicted && isCuframesError(error, "OUT_OF_MEMORY");
  }

  /** Whether there is a next connection. Blocks for it, for as long as `after`. */
  #advance(timeout: number): boolean {
    let connected: Connected | undefined;
    try {
      connected = this.#attemptFor(timeout);
    } catch (error) {
      // Everybody who waits shares the attempt, so everybody is told.
      for (const follower of this.#followers) follower.deref()?.fail(error);
      throw error;
    }
    if (connected === undefined) return false;
    this.#succeed(connected);
    return true;
  }

  /** What the attempt has come to. An attempt is begun where there is none. */
  #attemptFor(timeout: number): Connected | undefined {
    const attempt = this.#held.attempt ??= this.#begin(this.#delay());
    if (timeout !== 0) attempt.wait(timeout);
    try {
      const connected = attempt.take();
      if (connected !== undefined) this.#end(attempt);
      return connected;
    } catch (error) {
      this.#end(attempt);
      const banned = this.#isBanned(error);
      this.#banned = banned ? error.message : undefined;
      this.#refused = !isUnanswered(error);
      if (this.#refused && !banned) throw error;
      this.#held.attempt = this.#begin(banned ? this.#delay() : 0);
      if (attempt.armed) this.arm();
      return undefined;
    }
  }

  #begin(delay: number): ConnectAttempt<Connected> {
    return startConnecting({ ...this.request, timeout: Infinity, delay });
  }

  /**
   * Milliseconds before the next attempt. None behind a connection that was worth making: a publisher that is started again
   * is followed at once. Nor behind the first in vain, as a publisher that is closing makes one.
   */
  #delay(): number {
    const vain = this.#refused || !this.#held.newest.worthwhile;
    this.#refused = false;
    if (vain) return ++this.#vain === 1 ? 0 : this.#backoff.next();
    this.#vain = 0;
    this.#backoff.reset();
    return 0;
  }

  #end(attempt: ConnectAttempt<Connected>): void {
    attempt.close();
    this.#held.attempt = undefined;
  }

  /** Looks for the next connection where nobody is there to be given the error. */
  #look(): void {
    try {
      this.#advance(0);
    } catch {
      // Those who wait have been given it.
    }
  }

  #succeed(connected: Connected): void {
    const before = this.#held.newest;
    this.#reconnects++;
    this.#held.newest = new Connection(connected, this.#opened, this.#reconnects).join();
    this.#banned = undefined;
    before.leave();
    this.#held.earlier = [...this.#held.earlier, before].filter((connection) => !connection.closed);
    // Followers are notified later, since it may be one of them that is looking for the connection now.
    queueMicrotask(() => {
      for (const follower of this.#followers) follower.deref()?.notify();
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Closes every connection. */
  close(): void {
    this.#closed = true;
    this.#held.attempt?.close();
    this.#held.attempt = undefined;
    for (const connection of this.#held.all) connection.close();
  }
}
