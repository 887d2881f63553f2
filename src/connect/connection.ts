import { type Attempt, beginConnecting, type Connected, type Greeting } from "./connect.ts";
import { CuframesError, LEASES_MAX } from "../core/mod.ts";
import {
  checked,
  library,
  type NativeSymbols,
  offWake,
  Struct,
  SubscriberStats as StatsLayout,
} from "../ffi/mod.ts";

import { NativeBuffers, readGeometry, type RingGeometry, SlotViews } from "../memory/mod.ts";

/**
 * One connection to a publisher. It outlives its publisher for as long as somebody uses it: whoever reads its frames
 * or packets, and every frame that is held.
 */
export class Connection {
  readonly handle: number;
  readonly geometry: RingGeometry;
  readonly views: SlotViews;
  readonly #symbols: NativeSymbols;
  /** Closes each frame that is held, by lease. */
  readonly #frames: (Disposable | undefined)[] = new Array(LEASES_MAX).fill(undefined);
  /** The library's page-locked copies of GPU frames, made once each. */
  readonly #hostBuffers = new NativeBuffers();
  #readers = 0;
  #closed = false;

  constructor({ handle, info }: Connected) {
    const { symbols } = library();
    this.handle = handle;
    this.geometry = readGeometry(info);
    this.views = new SlotViews(
      this.geometry,
      (slot) => symbols.cuframes_subscriber_slot_address(handle, slot),
    );
    this.#symbols = symbols;
  }

  /** Counts a reader of its frames or packets. */
  join(): this {
    this.#readers++;
    return this;
  }

  /** The reader will not come back. */
  leave(): void {
    this.#readers--;
    this.#closeIfUnused();
  }

  keep(frame: Disposable, lease: number): void {
    this.#frames[lease] = frame;
  }

  /** As many frames are held as may be, and none of them only until the GPU has read it. */
  get full(): boolean {
    return this.#frames.every((frame) => frame !== undefined);
  }

  /** A second lease on the same frame. */
  clone(lease: number): number {
    return checked(this.#symbols.cuframes_subscriber_clone(this.handle, lease), "cloning a frame");
  }

  /** With a stream: when its work so far is done. */
  release(lease: number, stream?: bigint): void {
    if (this.#closed) return;
    const result = stream === undefined
      ? this.#symbols.cuframes_subscriber_release(this.handle, lease)
      : this.#symbols.cuframes_subscriber_release_when_done(this.handle, lease, stream);
    checked(result, "releasing a frame");
    this.#frames[lease] = undefined;
    this.#closeIfUnused();
  }

  /** A dma-buf of a held frame. */
  exportDmabuf(lease: number): number {
    return checked(
      this.#symbols.cuframes_subscriber_export_dmabuf(this.handle, lease),
      "exporting a frame as a dma-buf",
    );
  }

  /** A whole frame in host memory: the slot itself, or a copy that stays as it is while the lease lasts. */
  hostBuffer(slot: number, lease: number, refresh: boolean): ArrayBuffer {
    if (this.geometry.memory === "host") return this.views.buffer(slot);
    const address = new BigUint64Array(1);
    const result = this.#symbols.cuframes_subscriber_to_host(
      this.handle,
      lease,
      refresh ? 1 : 0,
      new Uint8Array(address.buffer),
    );
    const index = checked(result, "copying a frame from the GPU");
    return this.#hostBuffers.at(index, () => address[0]!, this.geometry.frameSize);
  }

  stats(): Struct {
    const struct = new Struct(StatsLayout.SIZE);
    checked(
      this.#symbols.cuframes_subscriber_stats(this.handle, struct.bytes),
      "reading the counters of a subscriber",
    );
    return struct;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Frames of it that are held, those included whose release waits for the GPU. */
  get leases(): number {
    return this.#closed ? 0 : this.stats().u32(StatsLayout.held);
  }

  #closeIfUnused(): void {
    if (this.#readers === 0 && this.#frames.every((frame) => frame === undefined)) this.close();
  }

  /** Closes its frames too. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true; // first: the frames' leases end with the connection
    for (const frame of this.#frames.splice(0)) frame?.[Symbol.dispose]();
    offWake(this.handle);
    const unreachable = [this.views, this.#hostBuffers].map((buffers) => buffers.detach()).every(Boolean);
    this.#symbols.cuframes_subscriber_close(this.handle, unreachable ? 0 : 1);
  }
}

/** Whoever reads the frames or the packets of a key, from one publisher after another. */
export interface Follower {
  /** A new connection is there: look again. */
  poke(): void;
  /** The next publisher is there and refused. */
  fail(error: unknown): void;
}

/** A publisher that is there, and is stopped: it has not answered in two seconds. */
function isUnanswered(error: unknown): boolean {
  return error instanceof CuframesError && error.code === "TIMEOUT";
}

/** The connections to a key's publishers, one after another. Each follower goes on to the next at its own time. */
export class Succession {
  readonly greeting: Greeting;
  readonly #reconnect: boolean;
  readonly #followers = new Set<Follower>();
  #newest: Connection;
  #earlier: Connection[] = [];
  /**
   * The way to the next publisher, of all who wait for it. Who gives up waiting, blocked or not, leaves it going on:
   * a handshake may take longer than any of them has time for.
   */
  #attempt: Attempt<Connected> | undefined;
  #reconnects = 0;
  #closed = false;

  /** @param reconnect whether there is a connection after the first */
  constructor(greeting: Greeting, connected: Connected, reconnect: boolean) {
    this.greeting = greeting;
    this.#reconnect = reconnect;
    // Counted as a reader until the next one is there.
    this.#newest = new Connection(connected).join();
  }

  get newest(): Connection {
    return this.#newest;
  }

  get reconnects(): number {
    return this.#reconnects;
  }

  /** Whether the newest publisher is there, or another one by now. */
  get connected(): boolean {
    if (this.#attempt !== undefined) this.#look();
    return this.#newest.stats().u32(StatsLayout.disconnected) === 0;
  }

  /** Frames held, of all connections. */
  get held(): number {
    return [...this.#earlier, this.#newest].reduce((held, connection) => held + connection.leases, 0);
  }

  follow(follower: Follower): void {
    this.#followers.add(follower);
  }

  unfollow(follower: Follower): void {
    this.#followers.delete(follower);
  }

  /**
   * The connection after one whose publisher is gone; undefined when none comes within the milliseconds, of which -1 is
   * for ever. 0 only looks whether it is there by now.
   *
   * @throws {CuframesError} `error`, when there is no next one; what the next publisher refused with
   */
  after(ended: Connection, timeout: number, error: unknown): Connection | undefined {
    if (ended !== this.#newest) return this.#newest;
    if (!this.#reconnect || this.#closed) throw error;
    const deadline = timeout < 0 ? Infinity : performance.now() + timeout;
    while (!this.#advance(timeout)) {
      // One that has not answered in two seconds was begun again.
      if (timeout >= 0) timeout = Math.max(0, Math.ceil(deadline - performance.now()));
      if (timeout === 0) return undefined;
    }
    return this.#newest;
  }

  /** Asks for every follower to be poked when the connection is there that `after` did not have. */
  arm(): void {
    this.#attempt?.arm(() => this.#look());
  }

  /** Why there is no next connection yet, as a sentence; undefined while none is looked for. */
  get pending(): string | undefined {
    return this.#attempt?.pending;
  }

  /** Whether there is a next connection. Blocks for it, for as long as `after`. */
  #advance(timeout: number): boolean {
    let connected: Connected | undefined;
    try {
      connected = this.#attemptFor(timeout);
    } catch (error) {
      // It was the attempt of all who wait.
      for (const follower of this.#followers) follower.fail(error);
      throw error;
    }
    if (connected === undefined) return false;
    this.#succeed(connected);
    return true;
  }

  /** What the attempt has come to; it is begun where there is none. */
  #attemptFor(timeout: number): Connected | undefined {
    const attempt = this.#attempt ??= this.#begin();
    if (timeout !== 0) attempt.wait(timeout);
    try {
      const connected = attempt.take();
      if (connected !== undefined) this.#end(attempt);
      return connected;
    } catch (error) {
      this.#end(attempt);
      if (!isUnanswered(error)) throw error;
      this.#attempt = this.#begin();
      if (attempt.armed) this.arm();
      return undefined;
    }
  }

  #begin(): Attempt<Connected> {
    return beginConnecting({ ...this.greeting, timeout: Infinity });
  }

  #end(attempt: Attempt<Connected>): void {
    attempt.close();
    this.#attempt = undefined;
  }

  /** For who asked for no connection now. */
  #look(): void {
    try {
      this.#advance(0);
    } catch {
      // Those who wait have been told.
    }
  }

  #succeed(connected: Connected): void {
    const before = this.#newest;
    this.#newest = new Connection(connected).join();
    this.#reconnects++;
    before.leave();
    this.#earlier = [...this.#earlier, before].filter((connection) => !connection.closed);
    // Not from within a follower's own look at it.
    queueMicrotask(() => {
      for (const follower of this.#followers) follower.poke();
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Closes every connection. */
  close(): void {
    this.#closed = true;
    this.#attempt?.close();
    this.#attempt = undefined;
    for (const connection of [...this.#earlier, this.#newest]) connection.close();
  }
}
