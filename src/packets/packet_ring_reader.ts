// The reading end of a track, through any number of connections.

import {
  type Connection,
  FollowingReader,
  type ReconnectingConnection,
  waitInSlices,
} from "../connect/mod.ts";
import {
  checkChoice,
  checkInteger,
  checkOptions,
  codecString,
  CuframesError,
  ERROR_CODES,
  EXTRADATA_SIZE_MAX,
  invalid,
  isAnnexB,
  isCuframesError,
  joinUnits,
  nanosecondsOf,
  optionNames,
  PACKET_FLAG_KEY,
  parameterSets,
  shown,
  SINCE,
  timeoutMilliseconds,
  TRACK_ANY,
  TRACK_KINDS,
  trackCodecString,
  TRACKS_MAX,
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
  PacketReaderOptions,
  PacketStats,
  PacketView,
  Struct,
  TrackInfo,
} from "../ffi/mod.ts";
import { Packet } from "./packet.ts";
import { LABEL_SIZE, readTrack, type Track, type TrackKind } from "./track.ts";

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

/** What a WebCodecs `AudioDecoder` is configured with, for packets as they are here. */
export interface SoundDecoderConfig {
  /** As `"mp4a.40.2"`. */
  codec: string;
  /** Hz. */
  sampleRate: number;
  /** How many channels there are. */
  numberOfChannels: number;
  /** What FFmpeg calls the codec's extradata, as AAC's AudioSpecificConfig; absent where there is none. */
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
  /** The track, by its number, or the first of a kind; default: the first of pictures. */
  track?: number | TrackKind;
  /**
   * Where to begin: `"key"` (default): at what is the last key packet now; `"oldest"`: at the oldest key packet in the ring;
   * so many seconds ago: at the last key packet that is at least so much older than the newest packet, or at the oldest
   * where the ring does not go back so far.
   */
  since?: "key" | "oldest" | number;
  /** Where the track is not there yet, the reader's `next` waits for it; default false. */
  wait?: boolean;
  /**
   * Instead of `since`: begins at what was the last key packet when the subscriber connected, so that everything published since
   * is delivered or counted as lost; with `reconnect` everything of every later publisher. Default false.
   */
  sinceConnection?: boolean;
}

/** Which packets of which track. */
export interface PacketSelection {
  /** By its number, or by kind and label; the first that fits. */
  readonly track: { readonly index: number } | { readonly kind: TrackKind; readonly label?: string };
  readonly since: keyof typeof SINCE;
  /** For `since: "ago"`. */
  readonly agoNs?: bigint;
  readonly wait: boolean;
}

/** What the options of `Subscriber.packets` select. */
export function packetSelection(options: PacketsOptions | undefined): PacketSelection {
  options = checkOptions(options, PACKETS_OPTIONS);
  const { track = "video", since = "key", wait = false, sinceConnection = false } = options;
  const selected = typeof track === "number"
    ? { index: checkInteger("track", track, 0, TRACKS_MAX - 1) }
    : { kind: (checkChoice("track", track, TRACK_KINDS), track) };
  if (sinceConnection) {
    if (options.since !== undefined) throw invalid("since and sinceConnection exclude each other");
    return { track: selected, since: "connection", wait };
  }
  if (typeof since !== "number") {
    if (since !== "key" && since !== "oldest") {
      throw invalid(`since is ${shown(since)}: it must be "key", "oldest", or a number of seconds`);
    }
    return { track: selected, since, wait };
  }
  return { track: selected, since: "ago", agoNs: nanosecondsOf("since", since, LONGEST_SINCE), wait };
}

/** Seconds: no ring goes back so far. */
const LONGEST_SINCE = 1e9;

const PACKETS_OPTIONS = optionNames<PacketsOptions>({
  track: true,
  since: true,
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
 * Reads a track's packets in order, from the last key packet on. A reader that falls too far behind gets
 * `PACKET_OVERRUN` once and goes on at the next key packet, which says `discontinuity`; async iteration goes on
 * without the error. A track that changes its codec goes on with the same reader: `Packet.config` says so.
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
  readonly #selection: PacketSelection;
  readonly #reader: FollowingReader<Packet>;
  /** What is native of it, and leads to nobody who reads. */
  readonly #native: NativeReader;
  /** What is not collected before its readers, which end with it. */
  protected readonly owner: object;
  #earlier: { received: number; lost: number } = { received: 0, lost: 0 };
  /** What the last packet's track was said to be. */
  #told: Track | undefined;
  #closed = false;

  /** @internal Made by `Subscriber.packets`. */
  constructor(connections: ReconnectingConnection, selection: PacketSelection, owner: object) {
    this.#selection = selection;
    this.#key = connections.request.key;
    this.#symbols = library().symbols;
    this.owner = owner;
    const native: NativeReader = {
      handle: this.#open(connections.newest, selection.wait, 0),
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

  /** @param after the native reader that this one goes on from; 0: there is none */
  #open(connection: Connection, wait: boolean, after: number): number {
    const { track, since, agoNs = 0n } = this.#selection;
    const struct = new Struct(PacketReaderOptions.SIZE);
    struct.setU32(PacketReaderOptions.track, "index" in track ? track.index : TRACK_ANY);
    if ("kind" in track) {
      struct.setU32(PacketReaderOptions.kind, TRACK_KINDS[track.kind]);
      const { label = "" } = track;
      if (!struct.setText(PacketReaderOptions.label, LABEL_SIZE, label)) {
        throw invalid(`label is ${shown(label)}: it must have at most ${LABEL_SIZE - 1} bytes, without NUL`);
      }
    }
    struct.setU32(PacketReaderOptions.since, SINCE[since]);
    struct.setU64(PacketReaderOptions.agoNs, agoNs);
    struct.setU32(PacketReaderOptions.wait, wait ? 1 : 0);
    struct.setU32(PacketReaderOptions.after, after);
    return checked(
      this.#symbols.cuframes_packet_reader_open(connection.handle, struct.bytes),
      `reading the packets of ${this.#key}`,
    );
  }

  /**
   * What the track is, at the last packet.
   *
   * @throws {CuframesError} `NO_PACKET_RING`: the publisher has none such yet
   */
  get track(): Track {
    return this.#describe(true);
  }

  #describe(lenient: boolean): Track {
    this.#check();
    const info = new Struct(TrackInfo.SIZE);
    const buffer = new Uint8Array(EXTRADATA_SIZE_MAX);
    const result = this.#symbols.cuframes_packet_reader_track(this.#native.handle, info.bytes, buffer);
    const none = lenient && result === ERROR_CODES.NO_CODEC_PARAMETERS;
    const size = none ? 0 : checked(result, `reading the codec description of ${this.#key}`);
    return readTrack(info, buffer.slice(0, size));
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
    return this.#describe(false).description;
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
    const description = isAnnexB(codecId) ? this.description : this.track.description;
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
    const { codedWidth = 0, codedHeight = 0 } = { ...this.#reader.connection.geometry, ...this.track };
    if (isAnnexB(codecId) || description.length === 0) return { codec, codedWidth, codedHeight };
    return { codec, codedWidth, codedHeight, description };
  }

  /**
   * The configuration of a WebCodecs audio decoder for these packets.
   *
   * @throws {CuframesError} `UNSUPPORTED`: it is no track of sound, or its publisher has not said what the decoder has to
   * know; `NO_PACKET_RING`
   */
  get soundDecoderConfig(): SoundDecoderConfig {
    const { kind, codec, sampleRate, numberOfChannels, description } = this.track;
    if (kind !== "audio" || sampleRate === undefined || numberOfChannels === undefined) {
      const reason = kind === "audio" ? "without its rate and channels" : "and no sound";
      throw new CuframesError("UNSUPPORTED", `the packets of ${this.#key} are ${kind} ${reason}`);
    }
    return { codec, sampleRate, numberOfChannels, ...(description.length > 0 && { description }) };
  }

  /**
   * The next packet. Waits without blocking the event loop; while it waits the process stays alive. Where there is always
   * a packet, one in 5 ms goes round the event loop first, so that timers, signals and sockets have their turn.
   *
   * @throws {CuframesError} `TIMEOUT`, or `WOULD_BLOCK` with a time-out of 0; `PACKET_OVERRUN`: packets were lost,
   * reading goes on; `DISCONNECTED`: the publisher is gone and every packet it left was delivered; `EVICTED`: the publisher
   * has ended the subscriber's connection for the frames that it held, and every packet before was delivered
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
    const handle = this.#open(next, true, this.#goesOn ? this.#native.handle : 0);
    const stats = this.#stats();
    this.#earlier.received += stats.count(PacketStats.received);
    this.#earlier.lost += stats.count(PacketStats.lost);
    closeRing(this.#native.handle);
    onWake(handle, this.#reader.queue);
    this.#native.handle = handle;
    this.#native.connection = next;
    this.#told = undefined;
  }

  /** Whether nothing of a later publisher is to go missing, instead of beginning at what is new there. */
  get #goesOn(): boolean {
    const { since } = this.#selection;
    return since !== "key" && since !== "upcoming";
  }

  #packet(): Packet {
    const data = new Uint8Array(this.#view.u32(PacketView.size));
    const copied = this.#symbols.cuframes_packet_reader_copy(this.#native.handle, data, data.length);
    if (copied < 0) throw nativeError(copied, `reading the packets of ${this.#key}`);
    return new Packet(this.#view, data, this.#reader.interrupted, this.#configAt(data));
  }

  /** What the track is from this packet on, where that is news. */
  #configAt(data: Uint8Array): Track | undefined {
    let track = this.#told;
    if (track?.generation !== this.#view.u32(PacketView.generation)) track = this.track;
    const isKey = (this.#view.u32(PacketView.flags) & PACKET_FLAG_KEY) !== 0;
    if (isKey && isAnnexB(track.codecId)) track = withSetsOf(track, data);
    if (track === this.#told) return undefined;
    return this.#told = track;
  }

  #arm(): void {
    checked(
      this.#symbols.cuframes_packet_reader_arm(this.#native.handle, library().wake),
      `waiting for a packet of ${this.#key}`,
    );
  }

  /**
   * Every packet from here on; ends when the publisher is gone (never with the subscriber's `reconnect`), and throws `EVICTED`
   * when the subscriber was evicted (not with `reconnect`).
   */
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

  /** Over how many connections of its subscriber, after the first, the last packet came. */
  get reconnects(): number {
    return this.#native.connection.ordinal;
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

/** The same track, or with the parameter sets that a key packet has. */
function withSetsOf(track: Track, data: Uint8Array): Track {
  const description = Uint8Array.from(joinUnits(parameterSets(track.codecId, data)));
  const same = description.length === 0 || description.length > EXTRADATA_SIZE_MAX ||
    (description.length === track.description.length &&
      description.every((byte, index) => byte === track.description[index]));
  return same ? track : { ...track, description, codec: trackCodecString(track.codecId, description) };
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
