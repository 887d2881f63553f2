/** This file takes one video track out of an input, as packets in decode order: Annex B, times in nanoseconds. */
import type { CodecParameters, FormatContext, Packet, Rational, Stream } from "node-av";
import { Buffer } from "node:buffer";
import { statSync } from "node:fs";
import { constants } from "node:os";
import { CuframesError, isAnnexB } from "../core/mod.ts";
import { requireHost } from "./host.ts";

import { AnnexBFilter, PresentationFilter } from "./bitstream.ts";
import type { CallQueue } from "./call_queue.ts";
import { check, NANOSECONDS, type NodeAv, redact } from "./node_av.ts";
import { Watchdog } from "./watchdog.ts";

/** Packets that may be damaged, one after the other, before the input is given up. */
const MAX_DAMAGED = 1000;
/** How long FFmpeg listens to a stream that does give packets, to know its frame rate and its codec's parameters. */
const ANALYSIS_MS = 5000;
/** A recorder behind such a URL may state a duration; it is shown as it comes all the same. */
const LIVE = /^(rtsps?|rtp|rtmps?|srt|udp):/i;
/** FFmpeg's own assumption for raw streams that name no rate. */
const DEFAULT_FRAME_RATE = { num: 25, den: 1 };

/** Where and how to open an input. */
export interface Source {
  readonly av: NodeAv;
  readonly input: string;
  /** FFmpeg's name of the demuxer; undefined: found out. */
  readonly inputFormat: string | undefined;
  /** FFmpeg's options of the demuxer and the protocol. */
  readonly options: Record<string, string>;
  /** Milliseconds after which an input that gives nothing has failed; `Infinity`: never. */
  readonly timeout: number;
  readonly calls: CallQueue;
  readonly signal: AbortSignal;
}

/** The demuxer: the FFmpeg contexts of one opened input. */
export class Demuxer {
  readonly #source: Source;
  readonly #format: FormatContext;
  readonly #stream: Stream;
  readonly #packet: Packet;
  readonly #codecId: number;
  readonly #annexB: AnnexBFilter | undefined;
  readonly #rate: { num: number; den: number };
  readonly #interrupt = () => this.#format.interrupt();
  #presentation: PresentationFilter | undefined;
  /** Whether every packet has a presentation time by nature; FFmpeg takes the first one's away where there are B-frames. */
  readonly #rtp: boolean;
  #started = false;
  /** How many packets were given a generated decode time; undefined where the source has its own. */
  #generated: bigint | undefined;
  #lost = false;
  #damaged = 0;
  #closed = false;

  /** Frames a second; undefined where the source does not know. */
  readonly frameRate: number | undefined;
  /** A frame's duration in ns at that rate, or at 25 a second. */
  readonly frameNs: bigint;
  /** Whether the input has no end that is known: a camera, not a file. */
  readonly live: boolean;
  /** Whether its packets come when they are made: not out of a file, whatever that knows of its length. */
  readonly arrives: boolean;

  private constructor(source: Source, format: FormatContext, stream: Stream) {
    const { av, options } = source;
    this.#source = source;
    this.#format = format;
    this.#rtp = /^(rtsp|rtp|sdp)/.test(format.iformat?.name ?? "");
    this.#stream = stream;
    this.#codecId = stream.codecpar.codecId;
    this.#annexB = isAnnexB(stream.codecpar.codecId) ? new AnnexBFilter(av, stream.codecpar) : undefined;
    // For other codecs FFmpeg finds missing presentation times itself, one packet later.
    if (!this.#annexB && !this.#rtp) format.setFlags(av.AVFMT_FLAG_GENPTS);
    const rate = frameRateOf(av, format, stream, "framerate" in options);
    this.#rate = rate ?? DEFAULT_FRAME_RATE;
    this.frameRate = rate && rate.num / rate.den;
    this.frameNs = this.#generate(1n);
    this.live = format.duration <= 0n || LIVE.test(source.input);
    this.arrives = this.live && (this.#rtp || !isFile(source.input));
    this.#packet = newPacket(av);
    source.signal.addEventListener("abort", this.#interrupt);
  }

  /**
   * Opens the input and finds its video track.
   *
   * @throws {CuframesError} `NOT_FOUND`, `PERMISSION`, `FORMAT` (not media, or no video), `IO`, …
   */
  static async open(source: Source): Promise<Demuxer> {
    const { av, input, inputFormat, options, calls, signal } = source;
    signal.throwIfAborted();
    const name = redact(input);
    const demuxer = inputFormat === undefined ? null : av.InputFormat.findInputFormat(inputFormat);
    if (inputFormat !== undefined && demuxer === null) {
      throw new CuframesError("UNSUPPORTED", `FFmpeg has no input format ${JSON.stringify(inputFormat)}`);
    }
    const format = new av.FormatContext();
    format.allocContext();
    const interrupt = () => format.interrupt();
    signal.addEventListener("abort", interrupt);
    const dictionary = av.Dictionary.fromObject(options);
    using opening = new Watchdog(source.timeout, interrupt);
    try {
      const opened = await calls.run(() => format.openInput(input, demuxer, dictionary));
      signal.throwIfAborted();
      opening.check(`opening ${name}`);
      if (opened === -constants.errno.EIO) await requireHost(name);
      check(av, opened, `opening ${name}`);
      opening[Symbol.dispose]();
      using looking = new Watchdog(source.timeout + ANALYSIS_MS, interrupt);
      const found = await calls.run(() => format.findStreamInfo());
      signal.throwIfAborted();
      looking.check(`looking for streams in ${name}`);
      check(av, found, `looking for streams in ${name}`);
      return new Demuxer(source, format, selectVideo(av, format, name));
    } catch (error) {
      await format.closeInput();
      throw error;
    } finally {
      dictionary.free();
      signal.removeEventListener("abort", interrupt);
    }
  }

  /**
   * The next packet, or undefined at the end of the input; it is valid until the next call. Its times are in
   * ns and as the source has them: presentation time, decode time or both may be missing.
   */
  async read(): Promise<Packet | undefined> {
    const { av, input, calls, signal, timeout } = this.#source;
    const packet = this.#packet;
    using watchdog = new Watchdog(timeout, this.#interrupt);
    for (;;) {
      packet.unref();
      if (this.#presentation?.receive(packet)) return packet;
      if (this.#presentation?.ended) return undefined;
      const result = await calls.run(() => this.#format.readFrame(packet));
      signal.throwIfAborted();
      watchdog.check(`reading ${redact(input)}`);
      if (result === av.AVERROR_EOF) {
        if (!this.#presentation) return undefined;
        this.#presentation.end();
      } else if (result === av.AVERROR_INVALIDDATA) {
        this.#lose();
      } else {
        check(av, result, `reading ${redact(input)}`);
        if (packet.streamIndex !== this.#stream.index) continue;
        // MPEG-TS can say so on the way; whoever opens it again gets what it has now.
        if (this.#stream.codecpar.codecId !== this.#codecId) {
          throw new CuframesError("FORMAT", `reading ${redact(input)}: the stream has changed its codec`);
        }
        if (this.#accept(packet)) return packet;
      }
    }
  }

  /** The track's parameters, with Annex B extradata for H.264 and HEVC; valid until the next `read()`. */
  get parameters(): CodecParameters {
    return this.#annexB?.parameters ?? this.#stream.codecpar;
  }

  /** Width to height of a pixel as the container states it; 0: it states nothing. */
  get sampleAspectRatio(): Rational {
    return this.#stream.sampleAspectRatio;
  }

  /** Whether data was lost since the last call. */
  takeLost(): boolean {
    const lost = this.#lost;
    this.#lost = false;
    return lost;
  }

  /** Frees everything, once; no call may be running. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#source.signal.removeEventListener("abort", this.#interrupt);
    this.#annexB?.close();
    this.#presentation?.close();
    this.#packet.free();
    await this.#format.closeInput();
  }

  /** Stamps and filters a packet of the track; false where it is held back or lost. */
  #accept(packet: Packet): boolean {
    const { av } = this.#source;
    packet.rescaleTs(this.#stream.timeBase, NANOSECONDS);
    const stamped = packet.pts !== av.AV_NOPTS_VALUE || packet.dts !== av.AV_NOPTS_VALUE;
    if (!this.#started && !this.#rtp) {
      this.#started = true;
      if (!stamped) this.#generated = 0n;
      if (packet.pts === av.AV_NOPTS_VALUE) {
        this.#presentation = PresentationFilter.for(av, this.parameters, this.frameNs);
      }
    }
    if (this.#generated !== undefined && !stamped) {
      packet.dts = this.#generate(this.#generated++);
      packet.duration = this.frameNs;
    }
    // To a decoder an empty packet would be the end of the stream.
    if (
      packet.size === 0 || this.#annexB?.filter(packet) === false ||
      this.#presentation?.send(packet) === false
    ) {
      this.#lose();
      return false;
    }
    this.#damaged = 0;
    return this.#presentation === undefined;
  }

  /** Counts damaged data; a source of nothing else is given up. */
  #lose(): void {
    this.#lost = true;
    if (++this.#damaged < MAX_DAMAGED) return;
    throw new CuframesError(
      "FORMAT",
      `reading ${redact(this.#source.input)}: ${MAX_DAMAGED} damaged packets without a good one between`,
    );
  }

  /** The time of the n-th packet of a source that gives no times. */
  #generate(n: bigint): bigint {
    return this.#source.av.avRescaleQ(n, { num: this.#rate.den, den: this.#rate.num }, NANOSECONDS);
  }
}

/** Whether an input is a file with an end, and not a device, a pipe or a URL. */
function isFile(input: string): boolean {
  try {
    return statSync(input.replace(/^file:(\/\/)?/, "")).isFile();
  } catch {
    return false; // no path, or not this process's to look at
  }
}

/** An allocated, empty packet. */
export function newPacket(av: NodeAv): Packet {
  const packet = new av.Packet();
  packet.alloc();
  return packet;
}

/** Chooses the video track and lets the demuxer drop all others. */
function selectVideo(av: NodeAv, format: FormatContext, name: string): Stream {
  const index = format.findBestStream(av.AVMEDIA_TYPE_VIDEO);
  const streams = format.streams;
  const stream = streams[index];
  // A cover picture is a video track to FFmpeg.
  if (!stream || stream.hasDisposition(av.AV_DISPOSITION_ATTACHED_PIC)) {
    throw new CuframesError("FORMAT", `${name} has no video track (${streams.length} other streams)`);
  }
  if (stream.codecpar.width <= 0 || stream.codecpar.height <= 0) {
    throw new CuframesError("FORMAT", `${name} has a video track whose size could not be found out`);
  }
  for (const other of streams) if (other.index !== index) other.discard = av.AVDISCARD_ALL;
  return stream;
}

function frameRateOf(
  av: NodeAv,
  format: FormatContext,
  stream: Stream,
  chosen: boolean,
): { num: number; den: number } | undefined {
  const flags = format.iformat?.flags ?? 0;
  const average = stream.avgFrameRate;
  // A raw stream's average is the demuxer's option, 25 unless chosen; the stream's own rate is better.
  const own = (flags & av.AVFMT_NOTIMESTAMPS) !== 0 && !chosen
    ? [stream.codecpar.frameRate, average]
    : [average];
  const valid = (rate: Rational) => rate.num > 0 && rate.den > 0;
  return [...own, stream.rFrameRate].find(valid);
}

/** A copy of a packet's payload: the native memory behind it does not outlive the packet. */
export function payload(packet: Packet): Uint8Array {
  return new Uint8Array(packet.data ?? Buffer.alloc(0));
}
