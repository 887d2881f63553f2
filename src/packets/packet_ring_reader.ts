// The reading end of a packet ring, through any number of connections.

import {
  type Connection,
  FollowingReader,
  type ReconnectingConnection,
  waitInSlices,
} from "../connect/mod.ts";
import {
  checkOptions,
  codecString,
  CuframesError,
  ERROR_CODES,
  EXTRADATA_SIZE_MAX,
  isAnnexB,
  isCuframesError,
  type OptionNames,
  optionNames,
  timeoutMilliseconds,
  type WaitOptions,
} from "../core/mod.ts";
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
  PacketStats,
  PacketView,
  Struct,
} from "../ffi/mod.ts";
import { Packet } from "./packet.ts";

/** What a WebCodecs `VideoDecoder` is configured with, for packets as they are here. */
export interface DecoderConfig {
  /** As `"avc1.64001f"`. */
  codec: string;
  /** Width in pixels. */
  codedWidth: number;
  /** Height in pixels. */
  codedHeight: number;
  /** Absent for H.264 and HEVC: without it WebCodecs takes packets as Annex B, which they are. */
  description?: Uint8Array;
}

/**
 * How `Subscriber.packets` reads.
 *
 * @example
 * ```ts
 * import { Subscriber } from "@cuframes/core";
 *
 * using camera = await Subscriber.connect("cam-parking", { frames: false });
 * using packets = camera.packets({ wait: true, sinceConnection: true });
 * console.log((await packets.next()).type);
 * ```
 */
export interface PacketsOptions {
  /** Where the publisher has no packet ring yet, the reader's `next` waits for it; default false. */
  wait?: boolean;
  /**
   * Begins at what was the last key packet when the subscriber connected, so that nothing published since is missed; with
   * `reconnect` also at every later publisher. Default false: at what is the last key packet now.
   */
  sinceConnection?: boolean;
}

/** The names of {@linkcode PacketsOptions}. */
export const PACKETS_OPTIONS: OptionNames = optionNames<PacketsOptions>({
  wait: true,
  sinceConnection: true,
});
const SYNC_OPTIONS = optionNames<{ timeout?: number }>({ timeout: true });

/** Counters of a packet reader. */
export interface PacketReaderStats {
  /** Packets delivered. */
  received: number;
  /** Packets lost to a faster writer, or passed over up to the next key packet. */
  lost: number;
  /** Packets published and not delivered yet. */
  lag: number;
}

/**
 * Reads a publisher's packets in order, from the last key packet on. A reader that falls too far behind gets
 * `PACKET_OVERRUN` once and goes on at the next key packet, which says `discontinuity`; async iteration goes on
 * without the error.
 *
 * @example
 * ```ts
 * import { Subscriber } from "@cuframes/core";
 *
 * using camera = await Subscriber.connect("cam-parking", { frames: false });
 * using packets = camera.packets();
 * for await (const packet of packets) console.log(packet.type, packet.timestamp, packet.byteLength);
 * ```
 */
export class PacketRingReader implements Disposable, AsyncIterable<Packet> {
  readonly #key: string;
  readonly #symbols: NativeSymbols;
  readonly #view: Struct = new Struct(PacketView.SIZE);
  readonly #sinceConnection: boolean;
  readonly #reader: FollowingReader<Packet>;
  /** What is native of it, and leads to nobody who reads. */
  readonly #native: NativeReader;
  /** What is not collected before its readers, which end with it. */
  protected readonly owner: object;
  #earlier: { received: number; lost: number } = { received: 0, lost: 0 };
  #closed = false;

  /** @internal Made by `Subscriber.packets`. */
  constructor(
    connections: ReconnectingConnection,
    { wait, sinceConnection }: Required<PacketsOptions>,
    owner: object,
  ) {
    this.#sinceConnection = sinceConnection;
    this.#key = connections.request.key;
    this.#symbols = library().symbols;
    this.owner = owner;
    const native: NativeReader = {
      handle: this.#openRing(connections.newest, wait),
      connection: connections.newest,
    };
    this.#native = native;
    this.#reader = new FollowingReader(connections, `packet of ${this.#key}`, {
      check: () => this.#check(),
      take: (timeout) => this.#takeFromRing(timeout),
      arm: () => this.#arm(),
      switchTo: (next) => this.#switchTo(next),
    });
    onWake(native.handle, this.#reader.queue);
    leaveWhenCollected(this, native);
  }

  #openRing(connection: Connection, wait: boolean): number {
    return checked(
      this.#symbols.cuframes_packet_reader_open(
        connection.handle,
        wait ? 1 : 0,
        this.#sinceConnection ? 1 : 0,
      ),
      `reading the packets of ${this.#key}`,
    );
  }

  /**
   * FFmpeg's `AVCodecID`.
   *
   * @throws {CuframesError} `NO_PACKET_RING`: the publisher has none yet
   */
  get codecId(): number {
    const codecId = this.#stats().u32(PacketStats.codecId);
    if (codecId !== 0) return codecId;
    throw new CuframesError(
      "NO_PACKET_RING",
      `the publisher of ${this.#key} has no packet ring yet: wait for the first packet`,
    );
  }

  /**
   * What a decoder has to know beforehand: Annex B parameter sets for H.264 and HEVC, else what FFmpeg calls the codec's
   * extradata.
   *
   * @throws {CuframesError} `NO_CODEC_PARAMETERS`: the publisher has set none yet; `NO_PACKET_RING`
   */
  get description(): Uint8Array<ArrayBuffer> {
    this.#check();
    const buffer = new Uint8Array(EXTRADATA_SIZE_MAX);
    const result = this.#symbols.cuframes_packet_reader_extradata(this.#native.handle, buffer);
    return buffer.slice(0, checked(result, `reading the codec description of ${this.#key}`));
  }

  /**
   * The former name of {@linkcode PacketRingReader.description}.
   *
   * @deprecated use `description`
   */
  get codecParameters(): Uint8Array<ArrayBuffer> {
    return this.description;
  }

  /**
   * The configuration of a WebCodecs decoder for these packets. H.264 and HEVC say what they are; the string of VP9 and AV1
   * stands for what is commonest, 8 bits a sample.
   *
   * @throws {CuframesError} `NO_CODEC_PARAMETERS`: none are set, and H.264 and HEVC are nothing without them;
   * `UNSUPPORTED`: WebCodecs has no name for the codec, or the parameters do not say which; `NO_PACKET_RING`
   */
  get decoderConfig(): DecoderConfig {
    const codecId = this.codecId;
    const description = isAnnexB(codecId) ? this.description : this.#descriptionIfAny();
    const codec = codecString(codecId, description);
    if (codec === undefined) {
      const reason = isAnnexB(codecId)
        ? "whose parameters have no SPS"
        : "for which there is no WebCodecs name";
      throw new CuframesError(
        "UNSUPPORTED",
        `the packets of ${this.#key} have FFmpeg codec ${codecId}, ${reason}`,
      );
    }
    const { codedWidth, codedHeight } = this.#reader.connection.geometry;
    if (isAnnexB(codecId) || description.length === 0) return { codec, codedWidth, codedHeight };
    return { codec, codedWidth, codedHeight, description };
  }

  #descriptionIfAny(): Uint8Array<ArrayBuffer> {
    try {
      return this.description;
    } catch (error) {
      if (isCuframesError(error, "NO_CODEC_PARAMETERS")) return new Uint8Array(0);
      throw error;
    }
  }

  /**
   * The next packet. Waits without blocking the event loop; while it waits the process stays alive. Where there is always
   * a packet, one in 5 ms goes round the event loop first, so that timers, signals and sockets have their turn.
   *
   * @throws {CuframesError} `TIMEOUT`, or `WOULD_BLOCK` with a time-out of 0; `PACKET_OVERRUN`: packets were lost,
   * reading goes on; `DISCONNECTED`: the publisher is gone and every packet it left was delivered
   */
  next(options?: WaitOptions): Promise<Packet> {
    return this.#reader.queue.wait(options);
  }

  /** As {@linkcode PacketRingReader.next}, blocking the thread. */
  nextSync(options?: { timeout?: number }): Packet {
    const { timeout = Infinity } = checkOptions(options, SYNC_OPTIONS);
    const packet = this.#reader.take(timeoutMilliseconds("timeout", timeout), 0);
    if (packet !== undefined) return packet;
    throw this.#reader.queue.missing(timeout);
  }

  #takeFromRing(timeout: number): Packet | undefined {
    const result = waitInSlices(
      timeout,
      (milliseconds) =>
        this.#symbols.cuframes_packet_reader_next(this.#native.handle, milliseconds, this.#view.bytes),
    );
    if (result >= 0) return this.#packet();
    if (result === ERROR_CODES.WOULD_BLOCK || result === ERROR_CODES.TIMEOUT) return undefined;
    throw nativeError(result, `reading the packets of ${this.#key}`);
  }

  #switchTo(next: Connection): void {
    const handle = this.#openRing(next, true);
    const stats = this.#stats();
    this.#earlier.received += stats.count(PacketStats.received);
    this.#earlier.lost += stats.count(PacketStats.lost);
    closeRing(this.#native.handle);
    onWake(handle, this.#reader.queue);
    this.#native.handle = handle;
    this.#native.connection = next;
  }

  #packet(): Packet {
    const data = new Uint8Array(this.#view.u32(PacketView.size));
    const copied = this.#symbols.cuframes_packet_reader_copy(this.#native.handle, data, data.length);
    if (copied < 0) throw nativeError(copied, `reading the packets of ${this.#key}`);
    return new Packet(this.#view, data, this.#reader.interrupted);
  }

  #arm(): void {
    checked(
      this.#symbols.cuframes_packet_reader_arm(this.#native.handle, library().wake),
      `waiting for a packet of ${this.#key}`,
    );
  }

  /** Every packet from here on; ends when the publisher is gone (never with the subscriber's `reconnect`). */
  [Symbol.asyncIterator](): AsyncGenerator<Packet, void, void> {
    return this.values();
  }

  /**
   * As iterating over the reader itself, where each wait is to have a time-out or an end.
   *
   * @param options of each {@linkcode PacketRingReader.next}: iterating throws `TIMEOUT`, or the signal's reason
   *
   * @example
   * ```ts
   * import { Subscriber } from "@cuframes/core";
   *
   * using camera = await Subscriber.connect("cam-parking", { frames: false });
   * for await (const packet of camera.packets().values({ timeout: 5000 })) console.log(packet.sequence);
   * ```
   */
  async *values(options?: WaitOptions): AsyncGenerator<Packet, void, void> {
    while (true) {
      try {
        yield await this.next(options);
      } catch (error) {
        if (isCuframesError(error, "DISCONNECTED")) return;
        if (!isCuframesError(error, "PACKET_OVERRUN")) throw error;
      }
    }
  }

  /** Counters so far. */
  stats(): PacketReaderStats {
    const struct = this.#stats();
    return {
      received: this.#earlier.received + struct.count(PacketStats.received),
      lost: this.#earlier.lost + struct.count(PacketStats.lost),
      lag: struct.count(PacketStats.lag),
    };
  }

  #stats(): Struct {
    this.#check();
    const struct = new Struct(PacketStats.SIZE);
    checked(
      this.#symbols.cuframes_packet_reader_stats(this.#native.handle, struct.bytes),
      `reading the counters of ${this.#key}`,
    );
    return struct;
  }

  /** Undoes {@linkcode PacketRingReader.unref}. */
  ref(): this {
    this.#reader.queue.ref();
    return this;
  }

  /** From now on no wait of this reader keeps the process alive: see `Subscriber.unref`. */
  unref(): this {
    this.#reader.queue.unref();
    return this;
  }

  /** Whether {@linkcode PacketRingReader.close} was called. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Ends reading; a pending `next` fails with `DISCONNECTED`. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closedInTime(this);
    closeRing(this.#native.handle);
    this.#reader.end(this.#isClosed());
  }

  /** Same as {@linkcode PacketRingReader.close}. */
  [Symbol.dispose](): void {
    this.close();
  }

  #check(): void {
    if (this.#closed) throw this.#isClosed();
  }

  #isClosed(): CuframesError {
    return new CuframesError(
      "DISCONNECTED",
      `this reader of the packets of ${this.#key} is closed: open another one with packets()`,
    );
  }
}

function closeRing(handle: number): void {
  offWake(handle);
  library().symbols.cuframes_packet_reader_close(handle);
}

interface NativeReader {
  handle: number;
  connection: Connection;
}

function leaveWhenCollected(reader: PacketRingReader, native: NativeReader): void {
  closeWhenCollected(reader, "PacketRingReader", openedHere(), () => {
    closeRing(native.handle);
    native.connection.leave();
  });
}
