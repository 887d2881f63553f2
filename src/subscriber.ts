import { clearInterval, setInterval } from "node:timers";
import { connect, type Connected, connectSync, type Greeting } from "./connecting.ts";
import { CuframesError, invalid } from "./errors.ts";
import { checked, library, nativeError, offWake, onWake } from "./ffi/library.ts";
import {
  ERROR_CODES,
  FLAG_CORRUPT,
  FLAG_DISCONTINUITY,
  FrameView,
  LEASES_MAX,
  MODES,
  SubscriberStats as StatsLayout,
  WANT_FRAMES,
  WANT_PACKETS,
} from "./ffi/layout.ts";
import type { NativeSymbols } from "./ffi/runtime.ts";
import { Struct } from "./ffi/struct.ts";
import { type CopyOptions, type PixelFormat, planCopy, type PlaneLayout } from "./format.ts";
import {
  checkChoice,
  checkHandle,
  checkInteger,
  microseconds,
  timeoutMilliseconds,
  type WaitOptions,
} from "./options.ts";
import { type AllowSharedBufferSource, bytesOf, PacketRingReader } from "./packet_ring.ts";
import {
  copyPlanes,
  type MemoryKind,
  type Plane,
  planesIn,
  readGeometry,
  type RingGeometry,
  SlotViews,
} from "./ring_memory.ts";
import { Waits } from "./waiting.ts";

/** Which frames a subscriber is given. */
export type Mode = keyof typeof MODES;

/** Options of {@linkcode Subscriber.connect}. */
export interface SubscriberOptions {
  /** What the publisher's reports call this subscriber, up to 31 bytes; default: the process id. */
  name?: string;
  /**
   * `"newest"` (default): always the newest frame, skipping what was missed. `"ordered"`: every frame in turn;
   * what was overwritten before its turn is counted as dropped.
   */
  mode?: Mode;
  /** Milliseconds to wait for a publisher; default 0: it must be there. `Infinity` waits for ever. */
  timeout?: number;
  /** Gives up connecting with the signal's reason. */
  signal?: AbortSignal;
  /** Goes on with the next publisher of the key when this one closes or dies; default false. */
  reconnect?: boolean;
  /** `false`: packets only, no frame memory is mapped; default true. */
  frames?: boolean;
  /** `false`: no packets; default true. */
  packets?: boolean;
  /** Where to look for the socket; default: see docs/protocol.md, "Runtime directory". */
  runtimeDirectory?: string;
}

/** Counters of a subscriber, over all its connections. */
export interface SubscriberStats {
  /** Frames delivered. */
  received: number;
  /** Frames published while connected and not delivered: overwritten before their turn, or skipped by newest mode. */
  dropped: number;
  /** Frames published after the last one delivered; 0 without frames. */
  lag: number;
  /** Frames held now. */
  held: number;
  /** Connections after the first. */
  reconnects: number;
  /** Whether the publisher is there. */
  connected: boolean;
}

/** One connection to a publisher. It outlives its publisher for as long as frames of it are held. */
class Connection {
  readonly handle: number;
  readonly geometry: RingGeometry;
  readonly views: SlotViews;
  readonly #symbols: NativeSymbols;
  readonly #frames: (Frame | undefined)[] = new Array(LEASES_MAX).fill(undefined);
  readonly #readers = new Set<PacketRingReader>();
  /** The library's page-locked copies of GPU frames, made once each. */
  readonly #hostBuffers: (ArrayBuffer | undefined)[] = new Array(LEASES_MAX).fill(undefined);
  #retired = false;
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

  keep(frame: Frame, lease: number): void {
    this.#frames[lease] = frame;
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
    if (this.#retired) this.#closeIfUnused();
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
    return this.#hostBuffers[index] ??= library().runtime.view(address[0]!, this.geometry.frameSize);
  }

  openPackets(key: string): PacketRingReader {
    const reader = new PacketRingReader(key, this.handle, this.geometry, (closed) => {
      this.#readers.delete(closed);
      if (this.#retired) this.#closeIfUnused();
    });
    this.#readers.add(reader);
    return reader;
  }

  stats(): Struct {
    const struct = new Struct(StatsLayout.SIZE);
    checked(
      this.#symbols.cuframes_subscriber_stats(this.handle, struct.bytes),
      "reading the counters of a subscriber",
    );
    return struct;
  }

  /** The publisher is gone: close when the last frame and packet reader are. */
  retire(): void {
    this.#retired = true;
    this.#closeIfUnused();
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Frames of it that are held. */
  get held(): number {
    return this.#frames.filter((frame) => frame !== undefined).length;
  }

  #closeIfUnused(): void {
    if (this.held === 0 && this.#readers.size === 0) this.close();
  }

  close(): void {
    if (this.#closed) return;
    for (const frame of this.#frames) frame?.close();
    for (const reader of this.#readers) reader.close();
    this.#closed = true;
    offWake(this.handle);
    this.views.detach();
    for (const buffer of this.#hostBuffers) buffer?.transfer(0);
    this.#symbols.cuframes_subscriber_close(this.handle);
  }
}

/**
 * Receives the frames of one publisher, in place: the memory is the publisher's own.
 *
 * Waiting does not keep the process alive, as with an unreferenced timer: top-level `await` waits, but a program
 * whose only work is a promise that nobody awaits at the top level ends. {@linkcode Subscriber.ref} changes that.
 *
 * @example
 * ```ts
 * import { Subscriber } from "@cuframes/core";
 *
 * using camera = await Subscriber.connect("cam-parking", { timeout: 5000 });
 * for await (using frame of camera) {
 *   console.log(frame.sequence, frame.timestamp, frame.planes[0]!.data[0]);
 * }
 * ```
 */
export class Subscriber implements Disposable, AsyncIterable<Frame> {
  /** The publisher's key. */
  readonly key: string;
  /** Which frames this subscriber is given. */
  readonly mode: Mode;
  readonly #symbols: NativeSymbols;
  readonly #greeting: Greeting;
  readonly #reconnect: boolean;
  readonly #view: Struct = new Struct(FrameView.SIZE);
  readonly #waits: Waits<Frame>;
  readonly #ended = new AbortController();
  #retired: Connection[] = [];
  #connection: Connection;
  #reconnecting: AbortController | undefined;
  #connected = true;
  #reconnects = 0;
  #earlier: { received: number; dropped: number } = { received: 0, dropped: 0 };
  /** The next frame is the first of a new connection. */
  #interrupted = false;
  #keepAlive: ReturnType<typeof setInterval> | undefined;

  private constructor(greeting: Greeting, mode: Mode, reconnect: boolean, connected: Connected) {
    this.key = greeting.key;
    this.mode = mode;
    this.#symbols = library().symbols;
    this.#greeting = greeting;
    this.#reconnect = reconnect;
    this.#waits = new Waits(`frame of ${this.key}`, () => this.#take(0, 0), () => this.#arm());
    this.#connection = this.#adopt(connected);
  }

  /**
   * Connects to the publisher of a key.
   *
   * @throws {CuframesError} `NOT_FOUND`: nobody publishes under this key now; `TIMEOUT`: nor came within `timeout`;
   * `PERMISSION`: the directory or the socket may not be used; `PROTOCOL`: the socket's owner speaks another
   * version or something else; `TOO_MANY_SUBSCRIBERS`; `INVALID_ARGUMENT`
   */
  static async connect(key: string, options: SubscriberOptions = {}): Promise<Subscriber> {
    const { mode = "newest", reconnect = false, frames = true, packets = true, timeout = 0 } = options;
    if (!frames && !packets) {
      throw invalid("frames and packets are both false: there is nothing to subscribe to");
    }
    const greeting: Greeting = {
      key,
      runtimeDirectory: options.runtimeDirectory,
      name: options.name,
      mode: checkChoice("mode", mode, MODES),
      wants: (frames ? WANT_FRAMES : 0) | (packets ? WANT_PACKETS : 0),
      timeout,
    };
    return new Subscriber(greeting, mode, reconnect, await connect(greeting, options.signal));
  }

  #adopt(connected: Connected): Connection {
    const connection = new Connection(connected);
    onWake(connection.handle, () => this.#waits.poke());
    return connection;
  }

  /** Pixel format of the frames. */
  get format(): PixelFormat {
    return this.#connection.geometry.format;
  }

  /** Width of the frames in pixels. */
  get codedWidth(): number {
    return this.#connection.geometry.codedWidth;
  }

  /** Height of the frames in pixels. */
  get codedHeight(): number {
    return this.#connection.geometry.codedHeight;
  }

  /** Frames in the publisher's ring. */
  get slots(): number {
    return this.#connection.geometry.slots;
  }

  /** Where the frames are. */
  get memory(): MemoryKind {
    return this.#connection.geometry.memory;
  }

  /** The GPU the frames are on, as `"GPU-<uuid>"`; undefined on host memory. */
  get device(): string | undefined {
    return this.#connection.geometry.device;
  }

  /** The publisher's process id, as it says. */
  get publisherPid(): number {
    return this.#connection.geometry.publisherPid;
  }

  /**
   * The next frame of this subscriber's mode, leased: close it soon, a subscriber may hold 8. Waits without
   * blocking the event loop and without keeping the process alive. Waits are served in turn.
   *
   * @throws {CuframesError} `TIMEOUT`, or `WOULD_BLOCK` with a time-out of 0 or while 8 frames are held;
   * `DISCONNECTED`: the publisher is gone and every frame it left was delivered, or this subscriber is closed
   */
  next(options: WaitOptions = {}): Promise<Frame> {
    return this.#waits.wait(options);
  }

  /**
   * As {@linkcode Subscriber.next}, blocking the thread: the lowest latency.
   *
   * @param options `spin`: microseconds of the wait to spend spinning, 0 to 1 000 000, before sleeping
   */
  nextSync({ timeout = Infinity, spin = 0 }: { timeout?: number; spin?: number } = {}): Frame {
    const milliseconds = timeoutMilliseconds("timeout", timeout);
    const frame = this.#take(milliseconds, checkInteger("spin", spin, 0, 1_000_000));
    if (frame !== undefined) return frame;
    throw new CuframesError(
      timeout === 0 ? "WOULD_BLOCK" : "TIMEOUT",
      `no frame of ${this.key} came within ${timeout} ms`,
    );
  }

  /** A frame, waiting in native code; undefined when none came. A time-out of -1 is for ever. */
  #take(timeout: number, spin: number): Frame | undefined {
    // 0 does not wait, so it needs no clock.
    const deadline = timeout <= 0 ? Infinity : performance.now() + timeout;
    this.#check();
    while (true) {
      if (this.#connected) {
        const result = this.#symbols.cuframes_subscriber_next(
          this.#connection.handle,
          timeout,
          spin,
          this.#view.bytes,
        );
        if (result >= 0) return this.#frame();
        if (result === ERROR_CODES.TIMEOUT) return undefined;
        // Not yet, or too many frames held: only the latter has a sentence.
        if (result === ERROR_CODES.WOULD_BLOCK) return this.#refuseWhenFull();
        const error = nativeError(result, `reading the frames of ${this.key}`);
        if (error.code !== "DISCONNECTED" || !this.#reconnect) throw error;
        this.#retire();
      }
      if (timeout === 0) {
        this.#startReconnecting();
        return undefined;
      }
      if (!this.#reconnectSync(deadline)) return undefined;
      if (timeout > 0) timeout = Math.max(1, Math.ceil(deadline - performance.now()));
    }
  }

  #refuseWhenFull(): undefined {
    if (this.#connection.stats().u32(StatsLayout.held) < LEASES_MAX) return undefined;
    throw new CuframesError(
      "WOULD_BLOCK",
      `${LEASES_MAX} frames of ${this.key} are held, the most a subscriber may hold: close one first`,
    );
  }

  #frame(): Frame {
    const connection = this.#connection;
    const lease = this.#view.u32(FrameView.lease);
    const frame = new Frame(connection, lease, FrameContent.read(this.#view, this.#interrupted));
    this.#interrupted = false;
    connection.keep(frame, lease);
    return frame;
  }

  #arm(): void {
    if (this.#connected) {
      checked(
        this.#symbols.cuframes_subscriber_arm(this.#connection.handle, library().wake),
        `waiting for a frame of ${this.key}`,
      );
    }
  }

  // Reconnecting.

  #retire(): void {
    const stats = this.#connection.stats();
    this.#earlier.received += stats.count(StatsLayout.received);
    this.#earlier.dropped += stats.count(StatsLayout.dropped);
    this.#connected = false;
    this.#connection.retire();
    this.#retired = [...this.#retired, this.#connection].filter((connection) => !connection.closed);
  }

  #startReconnecting(): void {
    if (this.#reconnecting !== undefined) return;
    const attempt = this.#reconnecting = new AbortController();
    const signal = AbortSignal.any([attempt.signal, this.#ended.signal]);
    connect({ ...this.#greeting, timeout: Infinity }, signal).then(
      (connected) => {
        // Given up between the connection and this call.
        if (signal.aborted) return void this.#symbols.cuframes_subscriber_close(connected.handle);
        this.#reconnecting = undefined;
        this.#replace(connected);
        this.#waits.poke();
      },
      (error) => {
        if (signal.aborted) return;
        this.#reconnecting = undefined;
        this.#waits.fail(error);
      },
    );
  }

  #reconnectSync(deadline: number): boolean {
    this.#reconnecting?.abort();
    this.#reconnecting = undefined;
    const timeout = deadline === Infinity ? Infinity : Math.max(0, deadline - performance.now());
    try {
      this.#replace(connectSync({ ...this.#greeting, timeout }));
      return true;
    } catch (error) {
      if (error instanceof CuframesError && (error.code === "TIMEOUT" || error.code === "NOT_FOUND")) {
        return false;
      }
      throw error;
    } finally {
      // Those who wait were to be served by the attempt that was aborted.
      this.#waits.poke();
    }
  }

  #replace(connected: Connected): void {
    this.#connection = this.#adopt(connected);
    this.#connected = true;
    this.#interrupted = true;
    this.#reconnects++;
  }

  /**
   * Every frame from here on, in this subscriber's mode; ends when the publisher is gone (never with `reconnect`).
   * Frames are the receiver's to close: `for await (using frame of camera)`.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<Frame, void, void> {
    while (true) {
      let frame: Frame;
      try {
        frame = await this.next();
      } catch (error) {
        if (error instanceof CuframesError && error.code === "DISCONNECTED") return;
        throw error;
      }
      yield frame;
    }
  }

  /**
   * A reader of the publisher's encoded packets, from the last key packet on. Independent of the frames, and ended
   * by this subscriber's end.
   *
   * @throws {CuframesError} `NO_PACKET_RING`: the publisher has none; `DISCONNECTED`
   */
  packets(): PacketRingReader {
    this.#check();
    if (!this.#connected) {
      throw new CuframesError(
        "DISCONNECTED",
        `the publisher of ${this.key} is gone and the next one is not there yet`,
      );
    }
    return this.#connection.openPackets(this.key);
  }

  /** Counters so far. */
  stats(): SubscriberStats {
    this.#check();
    // Between two publishers there is no connection to ask: all zero.
    const struct = this.#connected ? this.#connection.stats() : new Struct(StatsLayout.SIZE);
    return {
      received: this.#earlier.received + struct.count(StatsLayout.received),
      dropped: this.#earlier.dropped + struct.count(StatsLayout.dropped),
      lag: this.#greeting.wants & WANT_FRAMES ? struct.count(StatsLayout.lag) : 0,
      held: this.#retired.reduce((held, connection) => held + connection.held, struct.u32(StatsLayout.held)),
      reconnects: this.#reconnects,
      connected: this.#connected && struct.u32(StatsLayout.disconnected) === 0,
    };
  }

  /** Keeps the process alive until {@linkcode Subscriber.unref} or {@linkcode Subscriber.close}. */
  ref(): this {
    this.#check();
    this.#keepAlive ??= setInterval(() => {}, 0x7fffffff);
    return this;
  }

  /** Undoes {@linkcode Subscriber.ref}. */
  unref(): this {
    clearInterval(this.#keepAlive);
    this.#keepAlive = undefined;
    return this;
  }

  /** Whether {@linkcode Subscriber.close} was called. */
  get closed(): boolean {
    return this.#ended.signal.aborted;
  }

  /** Ends the connection, closes every frame and packet reader, and fails pending waits with `DISCONNECTED`. Idempotent. */
  close(): void {
    if (this.closed) return;
    this.#ended.abort();
    this.unref();
    this.#connection.close();
    for (const connection of this.#retired) connection.close();
    this.#waits.fail(this.#isClosed());
  }

  /** Same as {@linkcode Subscriber.close}. */
  [Symbol.dispose](): void {
    this.close();
  }

  #check(): void {
    if (this.closed) throw this.#isClosed();
  }

  #isClosed(): CuframesError {
    return new CuframesError("DISCONNECTED", `the subscriber to ${this.key} is closed`);
  }
}

/** An allocation saved on the way from publish to the one who waits. */
const noMetadata = new Uint8Array(0);

/** What came with a frame; shared by its clones. */
class FrameContent {
  private constructor(
    readonly slot: number,
    readonly sequence: bigint,
    readonly timestampNs: bigint,
    readonly durationNs: bigint,
    readonly publishedNs: bigint,
    readonly discontinuity: boolean,
    readonly corrupt: boolean,
    readonly metadata: Uint8Array<ArrayBuffer>,
  ) {}

  static read(view: Struct, interrupted: boolean): FrameContent {
    const flags = view.u32(FrameView.recordFlags);
    const size = view.u32(FrameView.recordMetadataSize);
    return new FrameContent(
      view.u32(FrameView.slot),
      view.u64(FrameView.sequence),
      view.i64(FrameView.recordTimestampNs),
      view.u64(FrameView.recordDurationNs),
      view.u64(FrameView.recordPublishedNs),
      interrupted || (flags & FLAG_DISCONTINUITY) !== 0,
      (flags & FLAG_CORRUPT) !== 0,
      size === 0 ? noMetadata : view.bytes.slice(FrameView.recordMetadata, FrameView.recordMetadata + size),
    );
  }
}

/**
 * A frame that this process holds a lease on: its pixels do not change before {@linkcode Frame.close}, whatever
 * the publisher does. Named as WebCodecs' `VideoFrame` where that has a name.
 */
export class Frame implements Disposable {
  readonly #connection: Connection;
  readonly #lease: number;
  readonly #content: FrameContent;
  #planes: Plane[] | undefined;
  #closed = false;

  /** @internal Made by {@linkcode Subscriber}. */
  constructor(connection: Connection, lease: number, content: FrameContent) {
    this.#connection = connection;
    this.#lease = lease;
    this.#content = content;
  }

  /** Pixel format. */
  get format(): PixelFormat {
    return this.#connection.geometry.format;
  }

  /** Width in pixels. */
  get codedWidth(): number {
    return this.#connection.geometry.codedWidth;
  }

  /** Height in pixels. */
  get codedHeight(): number {
    return this.#connection.geometry.codedHeight;
  }

  /** Where the pixels are. */
  get memory(): MemoryKind {
    return this.#connection.geometry.memory;
  }

  /** On a GPU the frame's CUdeviceptr, where plane 0 begins, read-only; undefined on host memory. */
  get devicePointer(): bigint | undefined {
    this.#check();
    return this.memory === "cuda" ? this.#connection.views.address(this.#content.slot) : undefined;
  }

  /** From 1, in the order of publishing; starts again with a new publisher. */
  get sequence(): bigint {
    return this.#content.sequence;
  }

  /** Presentation time in microseconds. */
  get timestamp(): number {
    return microseconds(this.#content.timestampNs);
  }

  /** Presentation time in nanoseconds. */
  get timestampNs(): bigint {
    return this.#content.timestampNs;
  }

  /** Microseconds; 0 where the publisher gave none. */
  get duration(): number {
    return microseconds(this.#content.durationNs);
  }

  /** Nanoseconds; 0 where the publisher gave none. */
  get durationNs(): bigint {
    return this.#content.durationNs;
  }

  /** When it was published, by the clock of `monotonicNow()`. */
  get publishedNs(): bigint {
    return this.#content.publishedNs;
  }

  /** It does not continue the one before it: the publisher says so, or this is the first after a reconnect. */
  get discontinuity(): boolean {
    return this.#content.discontinuity;
  }

  /** The publisher's decoder concealed errors in it. */
  get corrupt(): boolean {
    return this.#content.corrupt;
  }

  /** The publisher's own bytes; a copy. */
  get metadata(): Uint8Array<ArrayBuffer> {
    return this.#content.metadata;
  }

  /**
   * The pixels in place, not copied: read-only shared memory. Writing to it ends the process with SIGSEGV. Not to
   * be used after {@linkcode Frame.close}.
   *
   * @throws {CuframesError} `INVALID_ARGUMENT`: the frame is closed
   */
  get planes(): readonly Plane[] {
    this.#check();
    return this.#planes ??= this.#connection.views.planes(this.#content.slot);
  }

  /** Bytes that {@linkcode Frame.copyTo} writes with these options. */
  allocationSize(options: CopyOptions = {}): number {
    this.#check();
    return planCopy(this.format, this.codedWidth, this.codedHeight, options).size;
  }

  /**
   * Copies pixels out, as WebCodecs' `VideoFrame.copyTo`.
   *
   * @returns where each plane was put
   * @throws {CuframesError} `INVALID_ARGUMENT`: closed, `destination` too small, a `rect` not inside the frame or
   * not on chroma samples, a `layout` whose planes overlap or rows do not fit
   */
  // deno-lint-ignore require-await -- a promise, as in WebCodecs; other kinds of memory need it
  async copyTo(destination: AllowSharedBufferSource, options: CopyOptions = {}): Promise<PlaneLayout[]> {
    const target = bytesOf(destination);
    const { planes: copies, size } = planCopy(this.format, this.codedWidth, this.codedHeight, options);
    this.#check();
    const planes = planesIn(this.#hostBuffer(), this.#connection.geometry);
    if (target.length < size) {
      throw invalid(`the destination has ${target.length} bytes, the copy needs ${size}`);
    }
    copyPlanes(planes, copies, target);
    return copies.map(({ offset, stride }) => ({ offset, stride }));
  }

  /**
   * The whole frame in host memory, its planes at their `offset` and `stride`. On host memory that is the frame
   * itself; on a GPU a copy in page-locked memory, made once and shared by clones. Not to be used after
   * {@linkcode Frame.close}.
   *
   * @param options `refresh`: copy again what is on the GPU now
   * @throws {CuframesError} `INVALID_ARGUMENT`: closed; `CUDA`, `OUT_OF_MEMORY`: the copy failed
   */
  // deno-lint-ignore require-await -- a promise, so that the copy may become asynchronous
  async toHost({ refresh = false }: { refresh?: boolean } = {}): Promise<Uint8Array<ArrayBuffer>> {
    this.#check();
    return new Uint8Array(this.#hostBuffer(refresh));
  }

  #hostBuffer(refresh: boolean = false): ArrayBuffer {
    return this.#connection.hostBuffer(this.#content.slot, this.#lease, refresh);
  }

  /**
   * A second lease on the same frame, to be closed on its own.
   *
   * @throws {CuframesError} `WOULD_BLOCK`: 8 frames are held; `INVALID_ARGUMENT`: this one is closed
   */
  clone(): Frame {
    this.#check();
    const lease = this.#connection.clone(this.#lease);
    const copy = new Frame(this.#connection, lease, this.#content);
    this.#connection.keep(copy, lease);
    return copy;
  }

  /** Whether {@linkcode Frame.close} was called. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Ends the lease: the publisher may write the slot again. Idempotent. */
  close(): void {
    this.#end(undefined);
  }

  /**
   * As {@linkcode Frame.close}, on a GPU: the lease ends when the work queued on `stream` so far, which reads the
   * frame, is done. This call does not wait for it.
   *
   * @param options `stream`: a CUstream; 0n is the legacy default stream
   * @throws {CuframesError} `UNSUPPORTED`: on host memory; `CUDA`
   */
  release({ stream }: { stream: bigint }): void {
    this.#end(checkHandle("stream", "a CUstream", stream));
  }

  #end(stream: bigint | undefined): void {
    if (this.#closed) return;
    this.#connection.release(this.#lease, stream);
    this.#closed = true;
    this.#planes = undefined;
  }

  /** Same as {@linkcode Frame.close}. */
  [Symbol.dispose](): void {
    this.close();
  }

  #check(): void {
    if (this.#closed) throw invalid("this frame is closed: its memory may hold another frame by now");
  }
}
