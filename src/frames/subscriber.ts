// The reading side's public object: connecting, waiting for frames, counters.

import {
  connect,
  type Connection,
  type ConnectRequest,
  FollowingReader,
  type HeldConnections,
  ReconnectingConnection,
  waitInSlices,
} from "../connect/mod.ts";
import {
  checkChoice,
  checkInteger,
  checkOptions,
  CuframesError,
  ERROR_CODES,
  EXTRADATA_SIZE_MAX,
  invalid,
  isCuframesError,
  LEASES_MAX,
  MODES,
  type OptionNames,
  optionNames,
  type PixelFormat,
  timeoutMilliseconds,
  TRACKS_MAX,
  type WaitOptions,
  WANT_FRAMES,
  WANT_PACKETS,
} from "../core/mod.ts";
import {
  checked,
  closedInTime,
  closeWhenCollected,
  FrameView,
  library,
  nativeError,
  type NativeSymbols,
  offWake,
  onWake,
  openedHere,
  Struct,
  SubscriberStats as StatsLayout,
  TrackInfo,
} from "../ffi/mod.ts";
import { type MemoryKind, resolveRuntimeDirectory, type RingGeometry } from "../memory/mod.ts";
import {
  type DataOptions,
  DataReader,
  dataSelection,
  PacketRingReader,
  type PacketSelection,
  packetSelection,
  type PacketsOptions,
  readTrack,
  type Track,
} from "../packets/mod.ts";
import { Frame } from "./frame.ts";
import { FrameContent } from "./frame_content.ts";
import { PictureDecoder } from "./picture_view.ts";

/** Which frames a subscriber is given. */
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
  /**
   * Goes on with the next publisher of the key when this one closes or dies; and with this one where it has evicted the
   * subscriber, as soon as that has closed the frames that it was evicted for; default false.
   */
  reconnect?: boolean;
  /** `false`: packets only, no frame memory is mapped; default true. */
  frames?: boolean;
  /** `false`: no packets; default true. */
  packets?: boolean;
  /** Where to look for the socket; default: see docs/protocol.md, "Runtime directory". */
  runtimeDirectory?: string;
}

const SUBSCRIBER_OPTIONS: OptionNames = optionNames<SubscriberOptions>({
  name: true,
  mode: true,
  timeout: true,
  signal: true,
  reconnect: true,
  frames: true,
  packets: true,
  runtimeDirectory: true,
});
const SYNC_OPTIONS = optionNames<{ timeout?: number; spin?: number }>({ timeout: true, spin: true });

/** Counters of a subscriber, over all its connections. */
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
  readonly #pictures: PictureDecoder = new PictureDecoder();
  readonly #connections: ReconnectingConnection;
  /** Reads the frames; undefined where only packets are wanted. */
  readonly #reader: FollowingReader<Frame> | undefined;
  /** Held weakly: one that nobody uses any more is collected. */
  readonly #readers = new Set<WeakRef<PacketRingReader>>();
  #earlier: { received: number; dropped: number } = { received: 0, dropped: 0 };
  #referenced = true;

  private constructor(mode: Mode, connections: ReconnectingConnection, opened: string) {
    this.key = connections.request.key;
    this.mode = mode;
    this.#symbols = library().symbols;
    this.#connections = connections;
    abandonWhenCollected(this, connections.native, opened);
    if ((connections.request.wants & WANT_FRAMES) === 0) return;
    this.#reader = new FollowingReader(connections, `frame of ${this.key}`, {
      check: () => this.#check(),
      take: (timeout, spin) => this.#takeFromRing(timeout, spin),
      arm: () => this.#arm(),
      switchTo: (next) => this.#switchTo(next),
    });
    onWake(this.#connection.handle, this.#reader.queue);
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
   * version or something else; `TOO_MANY_SUBSCRIBERS`; `EVICTED`: refused for a while, after this process or user has been
   * evicted again and again; `INVALID_ARGUMENT`
   */
  static async connect(key: string, options?: SubscriberOptions): Promise<Subscriber> {
    options = checkOptions(options, SUBSCRIBER_OPTIONS);
    const { mode = "newest", reconnect = false, frames = true, packets = true, timeout = 0 } = options;
    if (!frames && !packets) {
      throw invalid("frames and packets are both false: there is nothing to subscribe to");
    }
    const request: ConnectRequest = {
      key,
      // Once: a later publisher is looked for in the same place, wherever this process is then.
      runtimeDirectory: resolveRuntimeDirectory(options.runtimeDirectory),
      name: options.name,
      mode: checkChoice("mode", mode, MODES),
      wants: (frames ? WANT_FRAMES : 0) | (packets ? WANT_PACKETS : 0),
      timeout,
    };
    const opened = openedHere();
    const connected = await connect(request, options.signal);
    return new Subscriber(mode, new ReconnectingConnection(request, connected, reconnect, opened), opened);
  }

  get #ring(): RingGeometry {
    return this.#connection.geometry;
  }

  /** Pixel format of the frames. */
  get format(): PixelFormat {
    return this.#ring.format;
  }

  /** Width of the frames in pixels; 0 where the publisher has none. */
  get codedWidth(): number {
    return this.#ring.codedWidth;
  }

  /** Height of the frames in pixels; 0 where the publisher has none. */
  get codedHeight(): number {
    return this.#ring.codedHeight;
  }

  /** Slots of the publisher's ring that this subscriber has mapped: the ring grows and shrinks. 0 without frames. */
  get slots(): number {
    return this.#connection.stats().u32(StatsLayout.slots);
  }

  /** Slots that the publisher's ring may grow to. */
  get maxSlots(): number {
    return this.#ring.maxSlots;
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
   * `DISCONNECTED`: the publisher is gone and every frame it left was delivered, or this subscriber is closed; `EVICTED`:
   * it held so many frames for so long that the publisher had no slot left, and ended the connection: what is held stays
   * as it is, until it is closed;
   * `INVALID_ARGUMENT`: it was connected with `frames: false`; `UNSUPPORTED`: the publisher has none; with `reconnect`, what the next publisher refuses with
   */
  async next(options?: WaitOptions): Promise<Frame> {
    return await this.#frames.queue.wait(options);
  }

  /**
   * As {@linkcode Subscriber.next}, blocking the thread: the lowest latency.
   *
   * @param options `spin`: microseconds of the wait to spend spinning, 0 to 1 000 000, before sleeping
   */
  nextSync(options?: { timeout?: number; spin?: number }): Frame {
    const { timeout = Infinity, spin = 0 } = checkOptions(options, SYNC_OPTIONS);
    const milliseconds = timeoutMilliseconds("timeout", timeout);
    const frame = this.#frames.take(milliseconds, checkInteger("spin", spin, 0, 1_000_000));
    if (frame !== undefined) return frame;
    throw this.#frames.queue.missing(timeout);
  }

  #takeFromRing(timeout: number, spin: number): Frame | undefined {
    const connection = this.#connection;
    const { handle } = connection;
    connection.loosen();
    const result = waitInSlices(
      timeout,
      (milliseconds, first) =>
        this.#symbols.cuframes_subscriber_next(handle, milliseconds, first ? spin : 0, this.#view.bytes),
    );
    if (result >= 0) return this.#frame();
    if (result === ERROR_CODES.TIMEOUT) return undefined;
    // There is no frame yet, or too many frames are held. Only the latter is an error.
    if (result === ERROR_CODES.WOULD_BLOCK) return this.#refuseWhenFull();
    throw nativeError(result, `reading the frames of ${this.key}`);
  }

  #switchTo(next: Connection): void {
    const stats = this.#connection.stats();
    this.#earlier.received += stats.count(StatsLayout.received);
    this.#earlier.dropped += stats.count(StatsLayout.dropped);
    offWake(this.#connection.handle);
    onWake(next.handle, this.#frames.queue);
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
    const picture = this.#pictures.decode(this.#view, connection.geometry);
    const content = new FrameContent(this.#view, picture, this.#frames.interrupted);
    const frame = new Frame(connection, lease, content);
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
   * Every frame from here on, in this subscriber's mode; ends when the publisher is gone (never with `reconnect`), and throws
   * `EVICTED` when this subscriber was evicted (not with `reconnect`, which waits to be let in again).
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
  async *values(options?: WaitOptions): AsyncGenerator<Frame, void, void> {
    while (true) {
      let frame: Frame;
      try {
        frame = await this.next(options);
      } catch (error) {
        if (isCuframesError(error, "DISCONNECTED")) return;
        throw error;
      }
      yield frame;
    }
  }

  /**
   * A reader of one of the publisher's tracks, the first of encoded pictures unless told otherwise, from the last key packet
   * on. Independent of the frames, and ended by this subscriber's end. With `reconnect` it goes on with the next publisher's
   * packets, as soon as that one has such a track; the first of them says `discontinuity`.
   *
   * @throws {CuframesError} `NO_PACKET_RING`: the publisher has no such track, or this subscriber did not ask for packets;
   * `DISCONNECTED`: this subscriber is closed; `INVALID_ARGUMENT`
   */
  packets(options?: PacketsOptions): PacketRingReader {
    this.#check();
    return this.#readerOf(packetSelection(options));
  }

  /**
   * The values of a data track, which may still be to come; independent of everything else, and ended by this
   * subscriber's end.
   *
   * @param label what the publisher calls the track: see `Publisher.data`
   * @throws {CuframesError} `NO_PACKET_RING`: this subscriber did not ask for packets; `DISCONNECTED`: it is closed;
   * `INVALID_ARGUMENT`
   *
   * @example
   * ```ts
   * import { Subscriber } from "@cuframes/core";
   *
   * using camera = await Subscriber.connect("cam-parking");
   * using detections = camera.data<{ label: string }[]>("detections");
   * const { value, timestamp } = await detections.next();
   * console.log(timestamp, value.length);
   * ```
   */
  data<Value = unknown>(label: string, options?: DataOptions): DataReader<Value> {
    this.#check();
    return new DataReader(label, this.#readerOf(dataSelection(label, options)));
  }

  /** What tracks the publisher has now, by their numbers; none without packets. */
  get tracks(): readonly Track[] {
    this.#check();
    const tracks: Track[] = [];
    const info = new Struct(TrackInfo.SIZE);
    const buffer = new Uint8Array(EXTRADATA_SIZE_MAX);
    for (let index = 0; index < TRACKS_MAX; index++) {
      const { handle } = this.#connections.newest;
      const size = this.#symbols.cuframes_subscriber_track(handle, index, info.bytes, buffer);
      if (size >= 0) tracks.push(readTrack(info, buffer.slice(0, size)));
      else if (size !== ERROR_CODES.NO_PACKET_RING) {
        throw nativeError(size, `reading the tracks of ${this.key}`);
      }
    }
    return tracks;
  }

  #readerOf(selection: PacketSelection): PacketRingReader {
    const reader = new PacketRingReader(this.#connections, selection, this);
    if (!this.#referenced) reader.unref();
    for (const each of this.#readers) if (each.deref()?.closed !== false) this.#readers.delete(each);
    this.#readers.add(new WeakRef(reader));
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
    const waiting = [...this.#openReaders(), ...(this.#reader === undefined ? [] : [this.#reader.queue])];
    for (const waits of waiting) referenced ? waits.ref() : waits.unref();
    return this;
  }

  #openReaders(): PacketRingReader[] {
    return [...this.#readers].map((reader) => reader.deref()).filter((reader) => reader !== undefined);
  }

  /** Whether {@linkcode Subscriber.close} was called. */
  get closed(): boolean {
    return this.#connections.closed;
  }

  /** Ends the connection, closes every frame and packet reader, and fails pending waits with `DISCONNECTED`. Idempotent. */
  close(): void {
    if (this.closed) return;
    closedInTime(this);
    for (const reader of this.#openReaders()) reader.close();
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

function abandonWhenCollected(subscriber: Subscriber, connections: HeldConnections, opened: string): void {
  closeWhenCollected(subscriber, "Subscriber", opened, () => connections.abandon());
}
