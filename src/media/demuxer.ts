/** This file takes one video track out of an input, as packets in decode order: Annex B, times in nanoseconds. */
import type { CodecParameters, FormatContext, Packet, Stream } from "node-av";
import { Buffer } from "node:buffer";
import { constants } from "node:os";
import { stat } from "node:fs/promises";
import { CuframesError } from "../core/mod.ts";
import { requireHost } from "./host.ts";
import type { CallQueue } from "./call_queue.ts";
import { check, NANOSECONDS, type NodeAv, redact } from "./node_av.ts";
import { isMadeNow } from "./time/arrivals.ts";
import type { SourceTimes } from "./time/source_times.ts";
import type { Cadence } from "./time/timeline.ts";
import { stampOf, VideoInput } from "./video_input.ts";
import { Watchdog } from "./watchdog.ts";

/** Packets that may be damaged, one after the other, before the input is given up. */
const MAX_DAMAGED = 1000;
/** How long FFmpeg listens to a stream that does give packets, to know its frame rate and its codec's parameters. */
const ANALYSIS_MS = 5000;
/** A recorder behind such a URL may state a duration; it is shown as it comes all the same. */
const LIVE = /^(rtsps?|rtp|rtmps?|srt|udp):/i;
/** The ticks that FFmpeg's stamps of arrival are given in: those of some raw streams are of 25 a second. */
const FINE_TICKS = 1_000_000;

/** Where and how to open an input. */
export interface Source {
  readonly av: NodeAv;
  readonly input: string;
  /** FFmpeg's name of the demuxer; undefined: found out. */
  readonly inputFormat: string | undefined;
  /** FFmpeg's options of the demuxer and the protocol. */
  readonly options: Record<string, string>;
  /** Whether the caller knows it for a file: it is paced, or looped, here. */
  readonly isFile: boolean;
  /** Milliseconds after which an input that gives nothing has failed; `Infinity`: never. */
  readonly timeout: number;
  readonly calls: CallQueue;
  readonly signal: AbortSignal;
}

/** A packet of a track, and what is known of it. */
export interface Demuxed {
  /** Valid until the next `read()`. */
  readonly packet: Packet;
  /** The track's number: 0 is the video. */
  readonly track: number;
  /** Whether data was lost before it. */
  readonly lost: boolean;
  /** In ns, and as the source has them. */
  readonly times: Omit<SourceTimes, "atNs">;
}

/** The demuxer: the FFmpeg contexts of one opened input. */
export class Demuxer {
  readonly #source: Source;
  readonly #format: FormatContext;
  readonly #stream: Stream;
  readonly #packet: Packet;
  readonly #video: VideoInput;
  readonly #interrupt = () => this.#format.interrupt();
  readonly #rtp: boolean;
  /** Packets that were read to find out whose times those of the stream are. */
  readonly #measured: Packet[] = [];
  #lost = false;
  #damaged = 0;
  #closed = false;

  /** Whether the input has no end that is known: a camera, not a file. */
  readonly live: boolean;

  private constructor(source: Source, format: FormatContext, stream: Stream, stamped: boolean) {
    const { av, options } = source;
    this.#source = source;
    this.#format = format;
    this.#rtp = /^(rtsp|rtp|sdp)/.test(format.iformat?.name ?? "");
    this.#stream = stream;
    this.#video = new VideoInput(av, format, stream, {
      rtp: this.#rtp,
      rateChosen: "framerate" in options,
      stamped,
    });
    this.live = format.duration <= 0n || LIVE.test(source.input);
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
    let made: Demuxer | undefined;
    using opening = new Watchdog(source.timeout, interrupt);
    try {
      const opened = await calls.run(() => format.openInput(input, demuxer, dictionary));
      signal.throwIfAborted();
      opening.check(`opening ${name}`);
      if (opened === -constants.errno.EIO) await requireHost(name);
      check(av, opened, `opening ${name}`);
      // What FFmpeg makes of a counter that begins again depends on where it began; the timeline knows where it was.
      format.setOption("correct_ts_overflow", false);
      const byArrival = await hasNoTimes(source, format) && stampArrivals(av, format, options);
      opening[Symbol.dispose]();
      using looking = new Watchdog(source.timeout + ANALYSIS_MS, interrupt);
      const found = await calls.run(() => format.findStreamInfo());
      signal.throwIfAborted();
      looking.check(`looking for streams in ${name}`);
      check(av, found, `looking for streams in ${name}`);
      made = new Demuxer(source, format, selectVideo(av, format, name), byArrival);
      if (byArrival) await made.#measure();
      return made;
    } catch (error) {
      if (made) await made.close();
      else await format.closeInput();
      throw error;
    } finally {
      dictionary.free();
      signal.removeEventListener("abort", interrupt);
    }
  }

  /** The next packet, or undefined at the end of the input. */
  async read(): Promise<Demuxed | undefined> {
    const packet = await this.#readPacket();
    if (!packet) return undefined;
    const known = (time: bigint) => time === this.#source.av.AV_NOPTS_VALUE ? undefined : time;
    const { pts, dts, duration } = packet;
    const lost = this.#lost;
    this.#lost = false;
    return { packet, track: 0, lost, times: { pts: known(pts), dts: known(dts), duration } };
  }

  async #readPacket(): Promise<Packet | undefined> {
    const { timeout } = this.#source;
    const packet = this.#packet;
    using watchdog = new Watchdog(timeout, this.#interrupt);
    for (;;) {
      packet.unref();
      if (this.#video.receive(packet)) return packet;
      const result = await this.#readNext(packet, watchdog);
      if (result === "end") {
        if (!this.#video.end()) return undefined;
      } else if (result === "damaged") {
        this.#lose();
      } else if (packet.streamIndex === this.#stream.index && this.#accept(packet)) {
        return packet;
      }
    }
  }

  /** Reads the next packet of any stream. */
  async #readNext(packet: Packet, watchdog: Watchdog): Promise<"packet" | "damaged" | "end"> {
    const measured = this.#measured.shift();
    if (!measured) return await this.#readOne(packet, watchdog);
    check(this.#source.av, packet.ref(measured), "keeping a packet");
    measured.free();
    return "packet";
  }

  async #readOne(packet: Packet, watchdog: Watchdog): Promise<"packet" | "damaged" | "end"> {
    const { av, input, calls, signal } = this.#source;
    const result = await calls.run(() => this.#format.readFrame(packet));
    signal.throwIfAborted();
    watchdog.check(`reading ${redact(input)}`);
    if (result === av.AVERROR_EOF) return "end";
    if (result === av.AVERROR_INVALIDDATA) return "damaged";
    check(av, result, `reading ${redact(input)}`);
    // MPEG-TS can say so on the way; whoever opens it again gets what it has now.
    if (this.#stream.codecpar.codecId !== this.#video.codecId) {
      throw new CuframesError("FORMAT", `reading ${redact(input)}: the stream has changed its codec`);
    }
    return "packet";
  }

  /** Reads the first packets, to know whether they come when they are made. */
  async #measure(): Promise<void> {
    const { av, timeout } = this.#source;
    const stamps: bigint[] = [];
    let isLive: boolean | undefined;
    while (isLive === undefined) {
      using watchdog = new Watchdog(timeout, this.#interrupt);
      const packet = newPacket(av);
      const result = await this.#readOne(packet, watchdog).catch((error) => {
        packet.free();
        throw error;
      });
      const stamp = stampOf(packet, av.AV_NOPTS_VALUE);
      if (result === "packet") this.#measured.push(packet);
      else packet.free();
      if (result === "damaged") this.#lose();
      if (result === "end") break;
      if (stamp !== undefined) stamps.push(av.avRescaleQ(stamp, this.#stream.timeBase, NANOSECONDS));
      isLive = isMadeNow(stamps, this.#video.frameNs);
    }
    this.#video.stampBy(isLive === true ? stamps : undefined);
  }

  /** Frames a second; undefined where the source does not know. */
  get frameRate(): number | undefined {
    return this.#video.frameRate;
  }

  /** A frame's duration in ns at that rate, or at 25 a second. */
  get frameNs(): bigint {
    return this.#video.frameNs;
  }

  /** The track's parameters, with Annex B extradata for H.264 and HEVC; valid until the next `read()`. */
  get parameters(): CodecParameters {
    return this.#video.parameters;
  }

  /** What is known of its times. */
  get cadence(): Cadence {
    const { av, input } = this.#source;
    const { ptsWrapBits, timeBase } = this.#stream;
    const breaks = this.#rtp || ((this.#format.iformat?.flags ?? 0) & av.AVFMT_TS_DISCONT) !== 0;
    const wrapNs = breaks && ptsWrapBits < 63
      ? av.avRescaleQ(1n << BigInt(ptsWrapBits), timeBase, NANOSECONDS)
      : undefined;
    return {
      frameNs: this.frameNs,
      reorderFrames: this.parameters.videoDelay,
      paced: paceOf(input),
      breaks,
      independent: this.#rtp,
      wrapNs,
    };
  }

  /** Frees everything, once; no call may be running. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#source.signal.removeEventListener("abort", this.#interrupt);
    this.#video.close();
    for (const packet of this.#measured) packet.free();
    this.#packet.free();
    await this.#format.closeInput();
  }

  /** Stamps and filters a packet of the track; false where it is held back or lost. */
  #accept(packet: Packet): boolean {
    const state = this.#video.accept(packet);
    if (state === "damaged") this.#lose();
    else this.#damaged = 0;
    return state === "ready";
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

/**
 * Whether packets have no times but when they come, if that is when they are made: a raw stream that is no file and
 * whose rate nobody has chosen.
 */
async function hasNoTimes({ av, input, options, isFile }: Source, format: FormatContext): Promise<boolean> {
  const { name = "", flags = 0 } = format.iformat ?? {};
  const isRaw = (flags & av.AVFMT_NOTIMESTAMPS) !== 0 || /_pipe$|^image2pipe$/.test(name ?? "");
  if (!isRaw || isFile || "framerate" in options || options["use_wallclock_as_timestamps"] === "0") {
    return false;
  }
  const path = input.replace(/^file:/, "");
  if (/^[a-z][a-z0-9+.-]*:/i.test(path)) return true;
  return await stat(path).then((file) => !file.isFile(), () => false);
}

/** Lets FFmpeg stamp packets with when they come, those included that it looks at first. */
function stampArrivals(av: NodeAv, format: FormatContext, options: Record<string, string>): true {
  format.setOption("use_wallclock_as_timestamps", true);
  for (const stream of format.streams) {
    if (stream.timeBase.den < FINE_TICKS) stream.timeBase = new av.Rational(1, FINE_TICKS);
  }
  // It would take seconds to know a rate that is measured here.
  if (!("fpsprobesize" in options)) format.setOption("fpsprobesize", 0);
  return true;
}

/** Whether an input's packets come when they are made: a camera's do, a file's do not; of a pipe it is seen. */
function paceOf(input: string): boolean | "unknown" {
  if (LIVE.test(input) || input.startsWith("/dev/")) return true;
  return /^(-$|(pipe|fd|tcp|tls|unix|https?):)/i.test(input) ? "unknown" : false;
}

/** A copy of a packet's payload: the native memory behind it does not outlive the packet. */
export function payload(packet: Packet): Uint8Array {
  return new Uint8Array(packet.data ?? Buffer.alloc(0));
}
