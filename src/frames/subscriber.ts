import {
  connect,
  type Connection,
  type ConnectRequest,
  FollowingReader,
  ReconnectingConnection,
  waitInSlices,
} from "../connect/mod.ts";

import {
  checkChoice,
  checkHandle,
  checkInteger,
  type CopyOptions,
  CuframesError,
  ERROR_CODES,
  FLAG_CORRUPT,
  FLAG_DISCONTINUITY,
  invalid,
  LEASES_MAX,
  microseconds,
  MODES,
  type PixelFormat,
  planCopy,
  type PlaneLayout,
  timeoutMilliseconds,
  type WaitOptions,
  WANT_FRAMES,
  WANT_PACKETS,
} from "../core/mod.ts";
import {
  checked,
  FrameView,
  library,
  nativeError,
  type NativeSymbols,
  offWake,
  onWake,
  Struct,
  SubscriberStats as StatsLayout,
} from "../ffi/mod.ts";

import {
  type AllowSharedBufferSource,
  bytesOf,
  PacketRingReader,
  type PacketsOptions,
} from "../packets/mod.ts";

import { copyPlanes, type MemoryKind, type Plane, planesIn, type RingGeometry } from "../memory/mod.ts";

/**
 * Which frames a subscriber is given.
 *
 * @example
 * ```ts
 * import { Subscriber } from "@cuframes/core";
 *
 * using camera = await Subscriber.connect("cam-parking", { mode: "ordered" });
 * ```
 */
export type Mode = keyof typeof MODES;

/**
 * Options of {@linkcode Subscriber.connect}.
 *
 * @example
 * ```ts
 * import { Subscriber, type SubscriberOptions } from "@cuframes/core";
 *
 * const options: SubscriberOptions = { name: "detector", mode: "ordered", timeout: 10_000, reconnect: true };
 * using camera = await Subscriber.connect("cam-parking", options);
 * ```
 */
export interface SubscriberOptions {
  /** What the publisher's reports call this subscriber, up to 31 bytes; default: the process id. */
  name?: string;
  /**
   * `"newest"` (default): always the newest frame, skipping what was missed. `"ordered"`: every frame in turn;
   * what was overwritten before its turn is counted as dropped.
   */
  mode?: Mode;
  /** Milliseconds to wait for a publisher and its answer; default 0: it must be there. `Infinity` waits for ever. */
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

/**
 * Counters of a subscriber, over all its connections.
 *
 * @example
 * ```ts
 * import { Subscriber } from "@cuframes/core";
 *
 * using camera = await Subscriber.connect("cam-parking");
 * const { received, dropped, lag } = camera.stats();
 * console.log(received, dropped, lag);
 * ```
 */
export interface SubscriberStats {
  /** Frames delivered. */
  received: number;
  /**
   * Frames published while connected and not delivered: overwritten before their turn, or skipped by newest mode.
   * Not those of a publisher that came and went while no frame was asked for.
   */
  dropped: number;
  /** Frames published after the last one delivered; 0 without frames. */
  lag: number;
  /** Frames held now, those included whose release waits for the GPU. */
  held: number;
  /** Connections after the first. */
  reconnects: number;
  /** Whether the publisher is there. */
  connected: boolean;
}

/**
 * Receives the frames of one publisher, in place: the memory is the publisher's own.
 *
 * A pending wait keeps the process alive, as a pending read of a socket does; {@linkcode Subscriber.unref} says otherwise.
 * A subscriber that nobody waits for keeps nothing alive, nor does a frame that is held.
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
  readonly #view: Struct = new Struct(FrameView.SIZE);
  readonly #connections: ReconnectingConnection;
  /** Not where only packets are wanted. */
  readonly #reader: FollowingReader<Frame> | undefined;
  readonly #readers = new Set<PacketRingReader>();
  #earlier: { received: number; dropped: number } = { received: 0, dropped: 0 };
  #referenced = true;

  private constructor(mode: Mode, connections: ReconnectingConnection) {
    this.key = connections.request.key;
    this.mode = mode;
    this.#symbols = library().symbols;
    this.#connections = connections;
    if ((connections.request.wants & WANT_FRAMES) === 0) return;
    this.#reader = new FollowingReader(connections, `frame of ${this.key}`, {
      check: () => this.#check(),
      take: (timeout, spin) => this.#takeFromRing(timeout, spin),
      arm: () => this.#arm(),
      switchTo: (next) => this.#switchTo(next),
    });
    onWake(this.#connection.handle, () => this.#frames.queue.notify());
  }

  /** Where the next frame comes from. */
  get #connection(): Connection {
    return this.#reader?.connection ?? this.#connections.newest;
  }

  get #frames(): FollowingReader<Frame> {
    if (this.#reader !== undefined) return this.#reader;
    this.#check();
    throw invalid(`the subscriber to ${this.key} asked for packets only: connect without \`frames: false\``);
  }

  /**
   * Connects to the publisher of a key.
   *
   * @throws {CuframesError} `NOT_FOUND`: nobody publishes under this key now; `TIMEOUT`: nor came and answered within
   * `timeout`, or the publisher's process is stopped and has not answered for two seconds;
   * `PERMISSION`: the directory or the socket may not be used; `PROTOCOL`: the socket's owner speaks another
   * version or something else; `TOO_MANY_SUBSCRIBERS`; `INVALID_ARGUMENT`
   */
  static async connect(key: string, options: SubscriberOptions = {}): Promise<Subscriber> {
    const { mode = "newest", reconnect = false, frames = true, packets = true, timeout = 0 } = options;
    if (!frames && !packets) {
      throw invalid("frames and packets are both false: there is nothing to subscribe to");
    }
    const request: ConnectRequest = {
      key,
      runtimeDirectory: options.runtimeDirectory,
      name: options.name,
      mode: checkChoice("mode", mode, MODES),
      wants: (frames ? WANT_FRAMES : 0) | (packets ? WANT_PACKETS : 0),
      timeout,
    };
    const connected = await connect(request, options.signal);
    return new Subscriber(mode, new ReconnectingConnection(request, connected, reconnect));
  }

  get #ring(): RingGeometry {
    return this.#connection.geometry;
  }

  /** Pixel format of the frames. */
  get format(): PixelFormat {
    return this.#ring.format;
  }

  /** Width of the frames in pixels. */
  get codedWidth(): number {
    return this.#ring.codedWidth;
  }

  /** Height of the frames in pixels. */
  get codedHeight(): number {
    return this.#ring.codedHeight;
  }

  /** Frames in the publisher's ring. */
  get slots(): number {
    return this.#ring.slots;
  }

  /** Where the frames are. */
  get memory(): MemoryKind {
    return this.#ring.memory;
  }

  /** The GPU the frames are on, as `"GPU-<uuid>"`; undefined on host memory. */
  get device(): string | undefined {
    return this.#ring.device;
  }

  /** The publisher's process id, as it says. */
  get publisherPid(): number {
    return this.#ring.publisherPid;
  }

  /**
   * The next frame of this subscriber's mode, leased: close it soon, a subscriber may hold 8. Waits without
   * blocking the event loop, also for the GPU to let go of a frame where that is what keeps the eighth from being free.
   * Waits are served in turn. Where there is always a frame, one in 5 ms goes round the event loop first, so that timers,
   * signals and sockets have their turn. An aborted signal is looked at before a frame is handed out.
   *
   * @throws {CuframesError} `TIMEOUT`, or `WOULD_BLOCK` with a time-out of 0 or while 8 frames are held;
   * `DISCONNECTED`: the publisher is gone and every frame it left was delivered, or this subscriber is closed;
   * `INVALID_ARGUMENT`: it was connected with `frames: false`; with `reconnect`, what the next publisher refuses with
   */
  async next(options: WaitOptions = {}): Promise<Frame> {
    return await this.#frames.queue.wait(options);
  }

  /**
   * As {@linkcode Subscriber.next}, blocking the thread: the lowest latency.
   *
   * @param options `spin`: microseconds of the wait to spend spinning, 0 to 1 000 000, before sleeping
   */
  nextSync({ timeout = Infinity, spin = 0 }: { timeout?: number; spin?: number } = {}): Frame {
    const milliseconds = timeoutMilliseconds("timeout", timeout);
    const frame = this.#frames.take(milliseconds, checkInteger("spin", spin, 0, 1_000_000));
    if (frame !== undefined) return frame;
    throw this.#frames.queue.missing(timeout);
  }

  #takeFromRing(timeout: number, spin: number): Frame | undefined {
    const { handle } = this.#connection;
    const result = waitInSlices(
      timeout,
      (milliseconds, first) =>
        this.#symbols.cuframes_subscriber_next(handle, milliseconds, first ? spin : 0, this.#view.bytes),
    );
    if (result >= 0) return this.#frame();
    if (result === ERROR_CODES.TIMEOUT) return undefined;
    // Not yet, or too many frames held: only the latter has a sentence.
    if (result === ERROR_CODES.WOULD_BLOCK) return this.#refuseWhenFull();
    throw nativeError(result, `reading the frames of ${this.key}`);
  }

  #switchTo(next: Connection): void {
    const stats = this.#connection.stats();
    this.#earlier.received += stats.count(StatsLayout.received);
    this.#earlier.dropped += stats.count(StatsLayout.dropped);
    offWake(this.#connection.handle);
    onWake(next.handle, () => this.#frames.queue.notify());
  }

  #refuseWhenFull(): undefined {
    if (!this.#connection.full) return undefined;
    throw new CuframesError(
      "WOULD_BLOCK",
      `${LEASES_MAX} frames of ${this.key} are held, the most a subscriber may hold: close one first`,
    );
  }

  #frame(): Frame {
    const connection = this.#connection;
    const lease = this.#view.u32(FrameView.lease);
    const frame = new Frame(connection, lease, new FrameContent(this.#view, this.#frames.interrupted));
    connection.keep(frame, lease);
    return frame;
  }

  #arm(): void {
    checked(
      this.#symbols.cuframes_subscriber_arm(this.#connection.handle, library().wake),
      `waiting for a frame of ${this.key}`,
    );
  }

  /**
   * Every frame from here on, in this subscriber's mode; ends when the publisher is gone (never with `reconnect`).
   * Frames are the receiver's to close: `for await (using frame of camera)`.
   */
  [Symbol.asyncIterator](): AsyncGenerator<Frame, void, void> {
    return this.values();
  }

  /**
   * As iterating over the subscriber itself, where each wait is to have a time-out or an end.
   *
   * @param options of each {@linkcode Subscriber.next}: iterating throws `TIMEOUT`, or the signal's reason
   *
   * @example
   * ```ts
   * import { Subscriber } from "@cuframes/core";
   *
   * using camera = await Subscriber.connect("cam-parking");
   * for await (using frame of camera.values({ timeout: 5000 })) console.log(frame.sequence);
   * ```
   */
  async *values(options: WaitOptions = {}): AsyncGenerator<Frame, void, void> {
    while (true) {
      let frame: Frame;
      try {
        frame = await this.next(options);
      } catch (error) {
        if (error instanceof CuframesError && error.code === "DISCONNECTED") return;
        throw error;
      }
      yield frame;
    }
  }

  /**
   * A reader of the publisher's encoded packets, from the last key packet on. Independent of the frames, and ended
   * by this subscriber's end. With `reconnect` it goes on with the next publisher's packets, as soon as that one has
   * a packet ring; the first of them says `discontinuity`.
   *
   * @throws {CuframesError} `NO_PACKET_RING`: the publisher has none, or this subscriber did not ask for packets;
   * `DISCONNECTED`: this subscriber is closed
   */
  packets({ wait = false, sinceConnection = false }: PacketsOptions = {}): PacketRingReader {
    this.#check();
    const options = { wait, sinceConnection };
    const reader = new PacketRingReader(this.#connections, options, (closed) => this.#readers.delete(closed));
    if (!this.#referenced) reader.unref();
    this.#readers.add(reader);
    return reader;
  }

  /** Counters so far. */
  stats(): SubscriberStats {
    this.#check();
    const connected = this.#connections.connected;
    const struct = this.#connection.stats();
    return {
      received: this.#earlier.received + struct.count(StatsLayout.received),
      dropped: this.#earlier.dropped + struct.count(StatsLayout.dropped),
      lag: this.#reader === undefined ? 0 : struct.count(StatsLayout.lag),
      held: this.#connections.held,
      reconnects: this.#connections.reconnects,
      connected,
    };
  }

  /** Undoes {@linkcode Subscriber.unref}: a pending wait of this subscriber keeps the process alive, as it does at first. */
  ref(): this {
    return this.#reference(true);
  }

  /**
   * From now on no wait of this subscriber, or of a packet reader of it, keeps the process alive. A program that has nothing
   * else left to do then ends although it waits; where it waits at its top level, Node and Deno end it with an error, and
   * Bun 1.4 goes on and takes a whole core.
   */
  unref(): this {
    return this.#reference(false);
  }

  #reference(referenced: boolean): this {
    this.#check();
    this.#referenced = referenced;
    const waiting = [...this.#readers, ...(this.#reader === undefined ? [] : [this.#reader.queue])];
    for (const waits of waiting) referenced ? waits.ref() : waits.unref();
    return this;
  }

  /** Whether {@linkcode Subscriber.close} was called. */
  get closed(): boolean {
    return this.#connections.closed;
  }

  /** Ends the connection, closes every frame and packet reader, and fails pending waits with `DISCONNECTED`. Idempotent. */
  close(): void {
    if (this.closed) return;
    for (const reader of this.#readers) reader.close();
    this.#connections.close();
    this.#reader?.end(this.#isClosed());
  }

  /** Same as {@linkcode Subscriber.close}. */
  [Symbol.dispose](): void {
    this.close();
  }

  #check(): void {
    if (this.closed) throw this.#isClosed();
  }

  #isClosed(): CuframesError {
    return new CuframesError(
      "DISCONNECTED",
      `the subscriber to ${this.key} is closed: connect again to receive more`,
    );
  }
}

/** An allocation saved on the way from publish to the one who waits. */
const noMetadata = new Uint8Array(0);

/** What came with a frame; shared by its clones. */
class FrameContent {
  readonly slot: number;
  readonly sequence: bigint;
  readonly timestampNs: bigint;
  readonly durationNs: bigint;
  readonly publishedNs: bigint;
  readonly discontinuity: boolean;
  readonly corrupt: boolean;
  readonly metadata: Uint8Array<ArrayBuffer>;

  constructor(view: Struct, interrupted: boolean) {
    const flags = view.u32(FrameView.recordFlags);
    const size = view.u32(FrameView.recordMetadataSize);
    this.slot = view.u32(FrameView.slot);
    this.sequence = view.u64(FrameView.sequence);
    this.timestampNs = view.i64(FrameView.recordTimestampNs);
    this.durationNs = view.u64(FrameView.recordDurationNs);
    this.publishedNs = view.u64(FrameView.recordPublishedNs);
    this.discontinuity = interrupted || (flags & FLAG_DISCONTINUITY) !== 0;
    this.corrupt = (flags & FLAG_CORRUPT) !== 0;
    this.metadata = size === 0
      ? noMetadata
      : view.bytes.slice(FrameView.recordMetadata, FrameView.recordMetadata + size);
  }
}

/**
 * A frame that this process holds a lease on: its pixels do not change before {@linkcode Frame.close}, whatever
 * the publisher does. Named as WebCodecs' `VideoFrame` where that has a name.
 *
 * @example
 * ```ts
 * import { Subscriber } from "@cuframes/core";
 *
 * using camera = await Subscriber.connect("cam-parking");
 * using frame = await camera.next();
 * const pixels = new Uint8Array(frame.allocationSize());
 * await frame.copyTo(pixels);
 * ```
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

  /**
   * A dma-buf, for devices and programs that want one. On a GPU it is the slot itself, all of its bytes, with the planes at
   * their `offset` and `stride`: it changes once the frame is closed. On the host it is a copy, made by /dev/udmabuf.
   *
   * @returns a descriptor, the caller's: to be closed once, with {@linkcode closeDescriptor}
   * @throws {CuframesError} `UNSUPPORTED`: this machine, GPU or driver makes none; `INVALID_ARGUMENT`: closed; `PERMISSION`; `CUDA`
   */
  exportDmabuf(): number {
    this.#check();
    return this.#connection.exportDmabuf(this.#lease);
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
    if (this.#closed) {
      throw invalid(
        "this frame is closed, and its memory may hold another one by now: clone or copy it first",
      );
    }
  }
}
