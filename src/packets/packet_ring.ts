import { type Connection, Following, type Succession, waitInSlices } from "../connect/mod.ts";
import {
  checkInteger,
  CODEC_IDS,
  codecString,
  CuframesError,
  ERROR_CODES,
  EXTRADATA_SIZE_MAX,
  invalid,
  isAnnexB,
  microseconds,
  nanoseconds,
  PACKET_FLAG_CORRUPT,
  PACKET_FLAG_DISCONTINUITY,
  PACKET_FLAG_KEY,
  PACKET_FLAG_LAST_IN_AU,
  shown,
  timeoutMilliseconds,
  type WaitOptions,
} from "../core/mod.ts";

import {
  checked,
  library,
  nativeError,
  type NativeSymbols,
  offWake,
  onWake,
  PacketOptions,
  PacketRecord,
  PacketStats,
  PacketView,
  Struct,
} from "../ffi/mod.ts";

/**
 * Codecs by name.
 *
 * @example
 * ```ts
 * import { type CodecName } from "@cuframes/core";
 *
 * const codec: CodecName = "h264";
 * ```
 */
export type CodecName = keyof typeof CODEC_IDS;

/**
 * Options of `Publisher.enablePackets`.
 *
 * @example
 * ```ts
 * import { Publisher } from "@cuframes/core";
 *
 * using publisher = Publisher.create({ key: "cam-parking", width: 1280, height: 720 });
 * publisher.enablePackets({ codec: "hevc", slots: 128, dataSize: 16 * 2 ** 20 });
 * ```
 */
export interface PacketRingOptions {
  /** A name, or FFmpeg's `AVCodecID` number for any other codec. */
  codec: CodecName | number;
  /** Annex B parameter sets for H.264 and HEVC, else what the codec calls extradata; at most 4096 bytes. */
  codecParameters?: Uint8Array;
  /** Packets in the ring, 1 to 1024; default 64. */
  slots?: number;
  /** Bytes of payload in the ring, at most 1 GiB; default 8 MiB. */
  dataSize?: number;
  /** Bytes; default 2 MiB. */
  maxPacketSize?: number;
  /** Also as `/dev/shm/cuframes-<key>-packets`, where tools made for the C library look; costs a second copy. */
  named?: boolean;
}

/**
 * An encoded access unit and what goes with it.
 *
 * @example
 * ```ts
 * import { Publisher } from "@cuframes/core";
 *
 * using publisher = Publisher.create({ key: "cam-parking", width: 1280, height: 720 });
 * const ring = publisher.enablePackets({ codec: "h264" });
 * ring.write({ type: "key", timestamp: 0, data: new Uint8Array([0, 0, 0, 1, 0x65]) });
 * ```
 */
export interface PacketInit {
  /** The access unit: Annex B for H.264 and HEVC. Copied. */
  data: Uint8Array;
  /** `"key"` when decoding can begin here. */
  type: "key" | "delta";
  /** Presentation time in microseconds. */
  timestamp?: number;
  /** Presentation time in nanoseconds, instead of `timestamp`. */
  timestampNs?: bigint;
  /** Microseconds; default: the presentation time. */
  decodeTimestamp?: number;
  /** Nanoseconds, instead of `decodeTimestamp`. */
  decodeTimestampNs?: bigint;
  /** This packet does not continue the one before it. */
  discontinuity?: boolean;
  /** The packet is known to be damaged. */
  corrupt?: boolean;
}

/**
 * The one writer of a publisher's packet ring. Ends with its publisher.
 *
 * @example
 * ```ts
 * import { Publisher } from "@cuframes/core";
 *
 * using publisher = Publisher.create({ key: "cam-parking", width: 1280, height: 720 });
 * const ring = publisher.enablePackets({ codec: "h264" });
 * ring.write({ type: "key", timestamp: 0, data: new Uint8Array([0, 0, 0, 1, 0x65]) });
 * ```
 */
export class PacketRingWriter {
  /** FFmpeg's `AVCodecID`. */
  readonly codecId: number;
  readonly #key: string;
  readonly #publisher: () => number;
  readonly #symbols: NativeSymbols;
  readonly #record: Struct = new Struct(PacketRecord.SIZE);

  /** @internal Made by `Publisher.enablePackets`. */
  constructor(key: string, publisher: () => number, options: PacketRingOptions) {
    const {
      codec,
      slots = 64,
      dataSize = 8 * 1024 * 1024,
      named = false,
    } = options;
    this.#key = key;
    this.#publisher = publisher;
    this.#symbols = library().symbols;
    this.codecId = codecIdOf(codec);
    const struct = new Struct(PacketOptions.SIZE);
    struct.setU32(PacketOptions.ringSlots, checkInteger("slots", slots, 1, 1024));
    struct.setU32(PacketOptions.dataSize, checkInteger("dataSize", dataSize, 1, 1024 ** 3));
    const { maxPacketSize = Math.min(2 * 1024 * 1024, dataSize) } = options; // a checked one
    struct.setU32(PacketOptions.maxPacketSize, checkInteger("maxPacketSize", maxPacketSize, 1, dataSize));
    struct.setU32(PacketOptions.codecId, this.codecId);
    struct.setU32(PacketOptions.named, named ? 1 : 0);
    if (options.codecParameters !== undefined) checkParameters(options.codecParameters);
    checked(
      this.#symbols.cuframes_publisher_enable_packets(publisher(), struct.bytes),
      `adding a packet ring to ${key}`,
    );
    if (options.codecParameters !== undefined) this.setCodecParameters(options.codecParameters);
  }

  /**
   * Replaces the codec parameters that new readers are given.
   *
   * @throws {CuframesError} `INVALID_ARGUMENT`: more than 4096 bytes
   */
  setCodecParameters(codecParameters: Uint8Array): void {
    checkParameters(codecParameters);
    const result = this.#symbols.cuframes_publisher_set_extradata(
      this.#publisher(),
      codecParameters,
      codecParameters.length,
    );
    checked(result, `setting the codec parameters of ${this.#key}`);
  }

  /**
   * Publishes one packet.
   *
   * @returns its sequence: 0 for the first, and one more each time
   * @throws {CuframesError} `PACKET_OVERSIZED`: larger than `maxPacketSize`; `INVALID_ARGUMENT`: empty or no
   * timestamp; `DISCONNECTED`: the publisher is closed
   */
  write(packet: PacketInit): bigint {
    const timestamp = nanoseconds("timestamp", packet.timestamp, packet.timestampNs);
    if (timestamp === undefined) throw invalid("a packet needs a timestamp or timestampNs");
    if (!(packet.data instanceof Uint8Array)) throw invalid("a packet's data must be a Uint8Array");
    if (packet.type !== "key" && packet.type !== "delta") {
      throw invalid(`type is ${shown(packet.type)}: it must be "key" or "delta"`);
    }
    const record = this.#record;
    record.setI64(PacketRecord.timestampNs, timestamp);
    record.setI64(
      PacketRecord.decodeTimestampNs,
      nanoseconds("decodeTimestamp", packet.decodeTimestamp, packet.decodeTimestampNs) ?? timestamp,
    );
    record.setU32(
      PacketRecord.flags,
      PACKET_FLAG_LAST_IN_AU | (packet.type === "key" ? PACKET_FLAG_KEY : 0) |
        (packet.discontinuity ? PACKET_FLAG_DISCONTINUITY : 0) | (packet.corrupt ? PACKET_FLAG_CORRUPT : 0),
    );
    record.setU32(PacketRecord.size, packet.data.length);
    const result = this.#symbols.cuframes_publisher_publish_packet(
      this.#publisher(),
      record.bytes,
      packet.data,
    );
    checked(result, `publishing a packet of ${this.#key}`);
    return record.u64(PacketRecord.sequence);
  }
}

function codecIdOf(codec: CodecName | number): number {
  if (typeof codec === "number") return checkInteger("codec", codec, 1, 0xffff_ffff);
  if (typeof codec === "string" && Object.hasOwn(CODEC_IDS, codec)) return CODEC_IDS[codec];
  throw invalid(
    `codec ${shown(codec)} is not known: use one of ${
      Object.keys(CODEC_IDS).join(", ")
    } or FFmpeg's AVCodecID number`,
  );
}

function checkParameters(codecParameters: Uint8Array): void {
  if (!(codecParameters instanceof Uint8Array)) throw invalid("codecParameters must be a Uint8Array");
  if (codecParameters.length > EXTRADATA_SIZE_MAX) {
    throw invalid(`codecParameters has ${codecParameters.length} bytes: at most ${EXTRADATA_SIZE_MAX}`);
  }
}

/**
 * One encoded access unit, as WebCodecs' `EncodedVideoChunk`, and more. Its bytes are the receiver's own.
 *
 * @example
 * ```ts
 * import { Subscriber } from "@cuframes/core";
 *
 * using camera = await Subscriber.connect("cam-parking");
 * using packets = camera.packets();
 * for await (const packet of packets) console.log(packet.type, packet.timestamp, packet.byteLength);
 * ```
 */
export class Packet {
  /** `"key"` when decoding can begin here. */
  readonly type: "key" | "delta";
  /** The access unit: Annex B for H.264 and HEVC. */
  readonly data: Uint8Array<ArrayBuffer>;
  /** From 0, in the order of publishing. */
  readonly sequence: bigint;
  /** Presentation time in nanoseconds. */
  readonly timestampNs: bigint;
  /** Decoding time in nanoseconds. */
  readonly decodeTimestampNs: bigint;
  /** Packets before this one are missing, or the stream itself was interrupted, or this is the first after a reconnect. */
  readonly discontinuity: boolean;
  /** The publisher knows that the packet is damaged. */
  readonly corrupt: boolean;
  /** Packet rings carry none; for `EncodedVideoChunk`'s sake. */
  readonly duration: null = null;

  /** @internal Made by {@linkcode PacketRingReader}. */
  constructor(view: Struct, data: Uint8Array<ArrayBuffer>, interrupted: boolean) {
    const flags = view.u32(PacketView.flags);
    this.type = (flags & PACKET_FLAG_KEY) !== 0 ? "key" : "delta";
    this.data = data;
    this.sequence = view.u64(PacketView.sequence);
    this.timestampNs = view.i64(PacketView.timestampNs);
    this.decodeTimestampNs = view.i64(PacketView.decodeTimestampNs);
    this.discontinuity = interrupted || (flags & PACKET_FLAG_DISCONTINUITY) !== 0;
    this.corrupt = (flags & PACKET_FLAG_CORRUPT) !== 0;
  }

  /** Presentation time in microseconds. */
  get timestamp(): number {
    return microseconds(this.timestampNs);
  }

  /** Decoding time in microseconds. */
  get decodeTimestamp(): number {
    return microseconds(this.decodeTimestampNs);
  }

  /** Bytes of `data`. */
  get byteLength(): number {
    return this.data.length;
  }

  /** Copies the bytes to the start of `destination`. @throws {CuframesError} `INVALID_ARGUMENT`: too small */
  copyTo(destination: AllowSharedBufferSource): void {
    const target = bytesOf(destination);
    if (target.length < this.data.length) {
      throw invalid(`the destination has ${target.length} bytes, the packet ${this.data.length}`);
    }
    target.set(this.data);
  }
}

/**
 * Memory to copy to: a buffer or a view of one, shared or not.
 *
 * @example
 * ```ts
 * import { Subscriber } from "@cuframes/core";
 *
 * using camera = await Subscriber.connect("cam-parking");
 * using frame = await camera.next();
 * await frame.copyTo(new SharedArrayBuffer(frame.allocationSize()));
 * ```
 */
export type AllowSharedBufferSource = ArrayBuffer | SharedArrayBuffer | ArrayBufferView;

export function bytesOf(memory: AllowSharedBufferSource): Uint8Array {
  if (ArrayBuffer.isView(memory)) return new Uint8Array(memory.buffer, memory.byteOffset, memory.byteLength);
  if (memory instanceof ArrayBuffer || memory instanceof SharedArrayBuffer) return new Uint8Array(memory);
  throw invalid("the destination must be an ArrayBuffer, a SharedArrayBuffer or a view of one");
}

/**
 * What a WebCodecs `VideoDecoder` is configured with, for packets as they are here.
 *
 * @example
 * ```ts
 * import { Subscriber } from "@cuframes/core";
 *
 * using camera = await Subscriber.connect("cam-parking");
 * using packets = camera.packets();
 * console.log(packets.decoderConfig.codec); // as "avc1.64001f"
 * ```
 */
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

/**
 * Counters of a packet reader.
 *
 * @example
 * ```ts
 * import { Subscriber } from "@cuframes/core";
 *
 * using camera = await Subscriber.connect("cam-parking");
 * using packets = camera.packets();
 * console.log(packets.stats());
 * ```
 */
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
  readonly #following: Following<Packet>;
  readonly #forget: (reader: PacketRingReader) => void;
  #handle: number;
  #earlier: { received: number; lost: number } = { received: 0, lost: 0 };
  #closed = false;

  /** @internal Made by `Subscriber.packets`. */
  constructor(
    succession: Succession,
    { wait, sinceConnection }: Required<PacketsOptions>,
    forget: (reader: PacketRingReader) => void,
  ) {
    this.#sinceConnection = sinceConnection;
    this.#key = succession.greeting.key;
    this.#symbols = library().symbols;
    this.#forget = forget;
    this.#handle = this.#openRing(succession.newest, wait);
    this.#following = new Following(succession, `packet of ${this.#key}`, {
      check: () => this.#check(),
      take: (timeout) => this.#takeFromRing(timeout),
      arm: () => this.#arm(),
      goOn: (next) => this.#goOn(next),
    });
  }

  #openRing(connection: Connection, wait: boolean): number {
    const handle = checked(
      this.#symbols.cuframes_packet_reader_open(
        connection.handle,
        wait ? 1 : 0,
        this.#sinceConnection ? 1 : 0,
      ),
      `reading the packets of ${this.#key}`,
    );
    onWake(handle, () => this.#following.waits.poke());
    return handle;
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
   * Annex B parameter sets for H.264 and HEVC, else the codec's extradata.
   *
   * @throws {CuframesError} `NO_CODEC_PARAMETERS`: the publisher has set none yet; `NO_PACKET_RING`
   */
  get codecParameters(): Uint8Array<ArrayBuffer> {
    this.#check();
    const buffer = new Uint8Array(EXTRADATA_SIZE_MAX);
    const result = this.#symbols.cuframes_packet_reader_extradata(this.#handle, buffer);
    return buffer.slice(0, checked(result, `reading the codec parameters of ${this.#key}`));
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
    const parameters = isAnnexB(codecId) ? this.codecParameters : this.#parametersIfAny();
    const codec = codecString(codecId, parameters);
    if (codec === undefined) {
      const reason = isAnnexB(codecId)
        ? "whose parameters have no SPS"
        : "for which there is no WebCodecs name";
      throw new CuframesError(
        "UNSUPPORTED",
        `the packets of ${this.#key} have FFmpeg codec ${codecId}, ${reason}`,
      );
    }
    const { codedWidth, codedHeight } = this.#following.connection.geometry;
    if (isAnnexB(codecId) || parameters.length === 0) return { codec, codedWidth, codedHeight };
    return { codec, codedWidth, codedHeight, description: parameters };
  }

  #parametersIfAny(): Uint8Array<ArrayBuffer> {
    try {
      return this.codecParameters;
    } catch (error) {
      if (error instanceof CuframesError && error.code === "NO_CODEC_PARAMETERS") return new Uint8Array(0);
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
  next(options: WaitOptions = {}): Promise<Packet> {
    return this.#following.waits.wait(options);
  }

  /** As {@linkcode PacketRingReader.next}, blocking the thread. */
  nextSync({ timeout = Infinity }: { timeout?: number } = {}): Packet {
    const packet = this.#following.take(timeoutMilliseconds("timeout", timeout), 0);
    if (packet !== undefined) return packet;
    throw this.#following.waits.missing(timeout);
  }

  #takeFromRing(timeout: number): Packet | undefined {
    const result = waitInSlices(
      timeout,
      (milliseconds) =>
        this.#symbols.cuframes_packet_reader_next(this.#handle, milliseconds, this.#view.bytes),
    );
    if (result >= 0) return this.#packet();
    if (result === ERROR_CODES.WOULD_BLOCK || result === ERROR_CODES.TIMEOUT) return undefined;
    throw nativeError(result, `reading the packets of ${this.#key}`);
  }

  #goOn(next: Connection): void {
    const handle = this.#openRing(next, true);
    const stats = this.#stats();
    this.#earlier.received += stats.count(PacketStats.received);
    this.#earlier.lost += stats.count(PacketStats.lost);
    this.#closeRing();
    this.#handle = handle;
  }

  #packet(): Packet {
    const data = new Uint8Array(this.#view.u32(PacketView.size));
    const copied = this.#symbols.cuframes_packet_reader_copy(this.#handle, data, data.length);
    if (copied < 0) throw nativeError(copied, `reading the packets of ${this.#key}`);
    return new Packet(this.#view, data, this.#following.interrupted);
  }

  #arm(): void {
    checked(
      this.#symbols.cuframes_packet_reader_arm(this.#handle, library().wake),
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
  async *values(options: WaitOptions = {}): AsyncGenerator<Packet, void, void> {
    while (true) {
      try {
        yield await this.next(options);
      } catch (error) {
        if (!(error instanceof CuframesError)) throw error;
        if (error.code === "DISCONNECTED") return;
        if (error.code !== "PACKET_OVERRUN") throw error;
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
      this.#symbols.cuframes_packet_reader_stats(this.#handle, struct.bytes),
      `reading the counters of ${this.#key}`,
    );
    return struct;
  }

  /** Undoes {@linkcode PacketRingReader.unref}. */
  ref(): this {
    this.#following.waits.ref();
    return this;
  }

  /** From now on no wait of this reader keeps the process alive: see `Subscriber.unref`. */
  unref(): this {
    this.#following.waits.unref();
    return this;
  }

  /** Ends reading; a pending `next` fails with `DISCONNECTED`. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#closeRing();
    this.#following.end(this.#isClosed());
    this.#forget(this);
  }

  #closeRing(): void {
    offWake(this.#handle);
    this.#symbols.cuframes_packet_reader_close(this.#handle);
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
