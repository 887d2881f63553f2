/** This file writes encoded packets to a file as they are. */
import type { FormatContext, Packet, Stream } from "node-av";
import { Buffer } from "node:buffer";
import { lstat, rm, truncate } from "node:fs/promises";
import { extname } from "node:path";
import {
  checkDimension,
  checkOptions,
  CODEC_IDS,
  CuframesError,
  HeaderUnits,
  invalid,
  isAnnexB,
  type NalUnit,
  optionNames,
  parameterSets,
  timescaleOf,
  withParameterSets,
} from "../core/mod.ts";

import { newPacket } from "./demuxer.ts";
import { CallQueue } from "./call_queue.ts";
import { check, loadNodeAv, NANOSECONDS, type NodeAv } from "./node_av.ts";

/** File formats by file name extension, with FFmpeg's name of the muxer. */
const FORMATS: Record<string, string> = {
  ".mp4": "mp4",
  ".m4v": "mp4",
  ".mov": "mov",
  ".mkv": "matroska",
  ".webm": "webm",
  ".ts": "mpegts",
  ".m2ts": "mpegts",
  ".nut": "nut",
  ".h264": "h264",
  ".hevc": "hevc",
};

/** Packets that are looked at before an MP4's ticks are chosen. */
const SURVEYED_PACKETS = 64;
/** The same for a durable recording: until then nothing is on the disk. */
const SURVEYED_DURABLE = 16;
/** The most bytes held back for that. */
const SURVEYED_BYTES = 8 << 20;
/** MP4 counts from one packet to the next in less than 2^31 ticks: 35 minutes of the finest that `timescaleOf` chooses. */
export const LONGEST_GAP_NS: bigint = 30n * 60n * 1_000_000_000n;

/**
 * Muxer options of a durable recording: what is finished goes to the disk at each key packet, and after a second at the
 * latest. An MP4 is written as fragments, which `close()` makes into an ordinary file.
 */
const DURABLE: Record<string, Record<string, string>> = {
  mp4: { movflags: "hybrid_fragmented+frag_keyframe+delay_moov", frag_duration: "1000000" },
  mov: { movflags: "hybrid_fragmented+frag_keyframe+delay_moov", frag_duration: "1000000" },
  matroska: { cluster_time_limit: "500" },
  webm: { cluster_time_limit: "500" },
};

/**
 * What a {@linkcode Recorder} records.
 *
 * @example
 * ```ts
 * import { Recorder, type RecorderOptions } from "@cuframes/core/media";
 *
 * export async function create(options: RecorderOptions): Promise<void> {
 *   await using _recorder = await Recorder.create("camera.mp4", options);
 * }
 * ```
 */
export interface RecorderOptions {
  /** FFmpeg's `AVCodecID`. */
  codecId: number;
  /**
   * Annex B parameter sets for H.264 and HEVC, else the codec's own header; default: the parameter sets of the
   * first key packet.
   */
  description?: Uint8Array;
  /** Width in pixels. */
  codedWidth: number;
  /** Height in pixels. */
  codedHeight: number;
  /**
   * `"mp4"`, `"mov"`, `"matroska"`, `"webm"`, `"mpegts"`, `"nut"`, or the bare streams `"h264"` and `"hevc"`;
   * default: by the path's extension.
   */
  format?: string;
  /**
   * Whether what was written can be played however the process ends, but for the last second; default: false for a
   * path, true for a descriptor.
   */
  durable?: boolean;
}

const RECORDER_OPTIONS = optionNames<RecorderOptions>(
  { codecId: true, description: true, codedWidth: true, codedHeight: true, format: true, durable: true },
  // A media reader's track has it besides.
  ["codec"],
);

/**
 * One access unit to record; a media reader's packets and a packet ring's are such.
 *
 * @example
 * ```ts
 * import { type Recorder, type RecorderPacket } from "@cuframes/core/media";
 *
 * export async function record(recorder: Recorder, packets: AsyncIterable<RecorderPacket>): Promise<void> {
 *   for await (const packet of packets) await recorder.write(packet);
 * }
 * ```
 */
export interface RecorderPacket {
  /** Annex B for H.264 and HEVC. */
  readonly data: Uint8Array;
  /** `"key"` when decoding can begin here. */
  readonly type: "key" | "delta";
  /** When it is shown, in ns. */
  readonly timestampNs: bigint;
  /** When it is decoded, in ns. */
  readonly decodeTimestampNs: bigint;
  /** How long it is shown, in ns; default: until the next packet. */
  readonly durationNs?: bigint | undefined;
}

/** A packet that waits to be written. */
interface QueuedPacket extends RecorderPacket {
  /** The parameter sets that are valid from this packet on, where they are new. */
  readonly header: Uint8Array | undefined;
}

/**
 * A recording: one video track, not encoded again. It begins with the first key packet, whose presentation
 * time becomes 0. MP4, MOV and Matroska get the packets in the form they have in such a file, so that a track
 * read from one is written byte for byte the same.
 *
 * @example
 * ```ts
 * import { openMedia, Recorder } from "@cuframes/core/media";
 *
 * await using media = await openMedia("rtsp://camera/stream", { decode: false });
 * await using recorder = await Recorder.create("camera.mp4", media.video);
 * for await (const event of media) if (event.kind === "packet") await recorder.write(event);
 * ```
 */
export class Recorder implements AsyncDisposable {
  readonly #av: NodeAv;
  readonly #options: RecorderOptions;
  readonly #format: FormatContext;
  readonly #stream: Stream;
  readonly #packet: Packet;
  readonly #calls = new CallQueue();
  /** Whether the header carries the parameter sets (not so in MPEG-TS). */
  readonly #globalHeader: boolean;
  readonly #queue: QueuedPacket[] = [];
  /** Whether the file's ticks can be chosen, and its parameter sets can change. */
  readonly #isMp4: boolean;
  readonly #toFile: boolean;
  readonly #durable: boolean;
  /** For a format without a header: what key packets must carry. */
  #sets: NalUnit[] = [];
  /** The same of MPEG-4, whose header an MP4 or a camera's SDP has instead of its packets. */
  #leading: Uint8Array = new Uint8Array(0);
  #queuedBytes = 0;
  /** Where the last whole piece of a durable recording ends. */
  #playable = 0n;
  #originNs = 0n;
  #headerUnits: HeaderUnits | undefined;
  #headerWritten = false;
  #failed = false;
  #lastDuration = 0n;
  #lastDecode: bigint | undefined;
  #packets = 0;
  #closing: Promise<void> | undefined;

  /** Where the recording is; a descriptor by its number. */
  readonly path: string;

  private constructor(av: NodeAv, target: string | number, options: RecorderOptions, format: FormatContext) {
    this.#av = av;
    this.path = nameOf(target);
    this.#toFile = typeof target === "string";
    this.#durable = options.durable ?? !this.#toFile;
    this.#options = options;
    this.#format = format;
    this.#stream = format.newStream();
    this.#packet = newPacket(av);
    this.#isMp4 = ["mp4", "mov"].includes(format.oformat!.name ?? "");
    this.#globalHeader = (format.oformat!.flags & av.AVFMT_GLOBALHEADER) !== 0;
  }

  /**
   * Creates the file, or empties it.
   *
   * @param target a path, or the number of a descriptor to write to, which stays the caller's: `1` is the standard
   * output
   * @throws {CuframesError} `INVALID_ARGUMENT` for an extension that stands for no format here; `NOT_FOUND`,
   * `PERMISSION` or `IO` where the file cannot be created; `UNSUPPORTED` without node-av
   */
  static async create(target: string | number, options: RecorderOptions): Promise<Recorder> {
    options = checkOptions(options, RECORDER_OPTIONS);
    checkDimension("codedWidth", options.codedWidth);
    checkDimension("codedHeight", options.codedHeight);
    const path = nameOf(target);
    const name = options.format ?? FORMATS[extname(path).toLowerCase()];
    if (name === undefined || !Object.values(FORMATS).includes(name)) {
      throw invalid(
        `${options.format ?? path}: a recording is one of ${
          Object.keys(FORMATS).join(", ")
        }, by its file name or ` +
          `the option format`,
      );
    }
    const av = await loadNodeAv();
    const format = new av.FormatContext();
    try {
      // A path is never a URL here, whatever characters it has.
      const url = typeof target === "number" ? `pipe:${target}` : `file:${target}`;
      check(av, format.allocOutputContext2(null, name, url), `preparing ${name}`);
      check(av, await format.openOutput(), `creating ${path}`);
      return new Recorder(av, target, options, format);
    } catch (error) {
      format.freeContext();
      throw error;
    }
  }

  /** Packets taken so far, from the first key packet on. */
  get packets(): number {
    return this.#packets;
  }

  /**
   * Takes the next packet, in decode order; packets before the first key packet are left out. Its data may be
   * used again afterwards. Await it before the next one: packets wait in memory for the disk.
   *
   * @throws {CuframesError} `IO` where the file cannot be written, `UNSUPPORTED` where the file format does not
   * take the codec, `INVALID_ARGUMENT` after `close()`, and for a packet of an MP4 or MOV more than 30 minutes behind
   * the one before it, which the format cannot hold: close the file and begin another
   */
  async write(packet: RecorderPacket): Promise<void> {
    if (this.#closing) throw invalid(`${this.path}: write() after close()`);
    if (this.#packets === 0 && packet.type !== "key") return;
    const before = this.#queue.at(-1);
    const gap = before ? packet.decodeTimestampNs - before.decodeTimestampNs : 0n;
    if (this.#isMp4 && gap > LONGEST_GAP_NS) {
      throw invalid(
        `${this.path}: a packet comes ${
          gap / 1_000_000_000n
        } s behind the one before it, which MP4 cannot hold: ` +
          "close this file and begin another",
      );
    }
    if (this.#packets++ === 0) this.#begin(packet);
    this.#queue.push(this.#prepare(packet));
    this.#queuedBytes += packet.data.byteLength;
    try {
      await this.#calls.run(() => this.#drain(false));
    } catch (error) {
      this.#failed = true;
      throw error;
    }
  }

  /**
   * Completes the file; repeated calls are harmless. A recording that never got a key packet leaves no file.
   *
   * @throws {CuframesError} as {@linkcode Recorder.write}
   */
  close(): Promise<void> {
    return this.#closing ??= this.#finish();
  }

  /** As {@linkcode Recorder.close}, whose error it does not repeat to who has called that. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closing === undefined) await this.close();
    else await this.#closing.catch(() => {});
  }

  #begin({ data, timestampNs }: RecorderPacket): void {
    const { codecId } = this.#options;
    this.#originNs = timestampNs;
    const { codecpar } = this.#stream;
    codecpar.codecType = this.#av.AVMEDIA_TYPE_VIDEO;
    codecpar.codecId = codecId as typeof codecpar.codecId;
    codecpar.width = this.#options.codedWidth;
    codecpar.height = this.#options.codedHeight;
    let header = this.#options.description ?? new Uint8Array(0);
    if (isAnnexB(codecId)) header = new HeaderUnits(codecId, header).take(data).header ?? header;
    if (header.length > 0) codecpar.extradata = Buffer.from(header);
    // Apple's players take HEVC by this tag alone: parameter sets in the header and nowhere else.
    if (codecId === CODEC_IDS.hevc && this.#isMp4) codecpar.codecTag = "hvc1";
    if (codecId === this.#av.AV_CODEC_ID_MPEG4 && !this.#globalHeader) this.#leading = header;
    if (!isAnnexB(codecId)) return;
    if (this.#globalHeader) this.#headerUnits = new HeaderUnits(codecId, header);
    else this.#sets = parameterSets(codecId, header);
  }

  /** A copy in the form that the file has. */
  #prepare({ data, type, timestampNs, decodeTimestampNs, durationNs }: RecorderPacket): QueuedPacket {
    if (type === "key") {
      data = withParameterSets(this.#options.codecId, data, this.#sets);
      const { length } = this.#leading;
      const leads = Buffer.compare(data.subarray(0, length), this.#leading) === 0;
      if (!leads) data = Buffer.concat([this.#leading, data]);
    }
    let { data: rest, header } = this.#headerUnits?.take(data) ?? { data, header: undefined };
    if (header && !this.#isMp4) {
      // Matroska has one header: what differs from it stays in the packets, and all that comes after.
      this.#headerUnits = undefined;
      [rest, header] = [data, undefined];
    }
    return { data: rest.slice(), header, type, timestampNs, decodeTimestampNs, durationNs };
  }

  async #finish(): Promise<void> {
    try {
      if (this.#packets > 0 && !this.#failed) await this.#calls.run(() => this.#drain(true));
      // What a failed write has left behind may not be built upon.
      if (this.#headerWritten && !(this.#failed && this.#durable)) {
        check(this.#av, await this.#format.writeTrailer(), `completing ${this.path}`);
      }
    } catch (error) {
      this.#failed = true;
      throw error;
    } finally {
      await this.#calls.close();
      await this.#format.closeOutput();
      this.#packet.free();
      this.#format.freeContext();
      await this.#tidy();
    }
  }

  /** Leaves no file without a recording, and no half a piece behind a whole one. */
  async #tidy(): Promise<void> {
    const torn = this.#durable && this.#failed;
    if (!this.#toFile || (this.#headerWritten && !torn)) return;
    // What was recorded to may be a device.
    if (!(await lstat(this.path)).isFile()) return;
    if (this.#playable > 0n) await truncate(this.path, Number(this.#playable));
    else await rm(this.path);
  }

  /** Writes what is queued, but for the last packet, whose duration the next one tells, and a survey. */
  async #drain(all: boolean): Promise<void> {
    if (!this.#headerWritten) {
      const surveyed = !this.#isMp4 || this.#queuedBytes >= SURVEYED_BYTES ||
        this.#queue.length >= (this.#durable ? SURVEYED_DURABLE : SURVEYED_PACKETS);
      if (!surveyed && !all) return;
      await this.#writeHeader();
    }
    while (this.#queue.length > (all ? 0 : 1)) {
      const packet = this.#queue.shift()!;
      this.#queuedBytes -= packet.data.byteLength;
      await this.#writePacket(packet, this.#queue[0]);
    }
  }

  /** FFmpeg puts any codec into MPEG-TS, as private data that nothing plays. */
  get #hasNoPlace(): boolean {
    const av = this.#av;
    const mpegts: number[] = [
      av.AV_CODEC_ID_MPEG1VIDEO,
      av.AV_CODEC_ID_MPEG2VIDEO,
      av.AV_CODEC_ID_MPEG4,
      av.AV_CODEC_ID_VC1,
      av.AV_CODEC_ID_H264,
      av.AV_CODEC_ID_HEVC,
      av.AV_CODEC_ID_VVC,
    ];
    return this.#format.oformat!.name === "mpegts" && !mpegts.includes(this.#options.codecId);
  }

  async #writeHeader(): Promise<void> {
    const av = this.#av;
    // Decode times may have been guessed, presentation times come from the source.
    this.#stream.timeBase = new av.Rational(1, timescaleOf(this.#queue.map((packet) => packet.timestampNs)));
    const options = this.#durable ? { ...DURABLE[this.#format.oformat!.name!], flush_packets: "1" } : {};
    const dictionary = av.Dictionary.fromObject(options);
    const result = this.#hasNoPlace ? av.AVERROR_EINVAL : await this.#format.writeHeader(dictionary);
    dictionary.free();
    if (result === av.AVERROR_EINVAL || result === av.AVERROR_INVALIDDATA) {
      const codec = av.avGetCodecName(this.#stream.codecpar.codecId) ?? "this codec";
      throw new CuframesError(
        "UNSUPPORTED",
        `${this.path}: ${codec} does not go into this file format: try ${this.#toFile ? ".mkv" : "nut"}`,
      );
    }
    check(av, result, `writing the header of ${this.path}`);
    this.#headerWritten = true;
  }

  async #writePacket(packet: QueuedPacket, next: QueuedPacket | undefined): Promise<void> {
    const av = this.#av;
    const { timeBase, index } = this.#stream;
    const ticks = (ns: bigint) => av.avRescaleQ(ns, NANOSECONDS, timeBase);
    let decode = ticks(packet.decodeTimestampNs - this.#originNs);
    // Ticks can be coarser than the packets are apart.
    if (this.#lastDecode !== undefined && decode <= this.#lastDecode) decode = this.#lastDecode + 1n;
    const present = ticks(packet.timestampNs - this.#originNs);
    const duration = next
      ? next.decodeTimestampNs - packet.decodeTimestampNs
      : packet.durationNs || this.#lastDuration;
    this.#lastDecode = decode;
    this.#lastDuration = duration;

    const out = this.#packet;
    out.data = Buffer.from(packet.data.buffer, packet.data.byteOffset, packet.data.byteLength);
    out.streamIndex = index;
    out.dts = decode;
    out.pts = present < decode ? decode : present;
    out.duration = ticks(duration);
    out.isKeyframe = packet.type === "key";
    try {
      if (packet.header) {
        check(
          av,
          out.addSideData(av.AV_PKT_DATA_NEW_EXTRADATA, Buffer.from(packet.header)),
          "changing parameter sets",
        );
      }
      check(av, await this.#format.writeFrame(out), `writing to ${this.path}`);
      if (this.#durable) this.#playable = this.#format.pbBytes;
    } finally {
      out.unref();
    }
  }
}

function nameOf(target: string | number): string {
  if (typeof target === "string") return target;
  return target === 1 ? "the standard output" : `descriptor ${target}`;
}
