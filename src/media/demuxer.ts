/** This file takes the tracks out of an input, as packets in the input's order, times in nanoseconds. */
import type { CodecParameters, FormatContext, Packet, Stream } from "node-av";
import { CuframesError, redact } from "../core/mod.ts";
import type { CallQueue } from "./call_queue.ts";
import { beginningOf, cut, parametersFrom } from "./codec_change.ts";
import type { EarlyPackets } from "./early_packets.ts";
import { type OpenedFormat, openFormat } from "./open_format.ts";
import { newPacket, payload } from "./av_packet.ts";
import { FileParts } from "./file_parts.ts";
import { check, NANOSECONDS, type NodeAv } from "./node_av.ts";
import type { PictureTrack } from "./picture_description.ts";
import { isRegularFile } from "./regular_file.ts";
import { isMadeNow } from "./time/arrivals.ts";
import type { SourceTimes } from "./time/source_times.ts";
import type { Cadence } from "./time/timeline.ts";
import { chooseStreams, MOST_DATA } from "./stream_choice.ts";
import { SideInput } from "./side_input.ts";
import { describeTrack, type MediaTrack } from "./track.ts";
import { stampOf, VideoInput } from "./video_input.ts";
import { Watchdog } from "./watchdog.ts";

export { newPacket, payload };

/** Packets that may be damaged, one after the other, before the input is given up. */
const MAX_DAMAGED = 1000;
/** Packets that are read ahead at the most, until one of each track has come. */
const MOST_AHEAD = 100;
/** A recorder behind such a URL may state a duration; it is shown as it comes all the same. */
const LIVE = /^(rtsps?|rtp|rtmps?|srt|udp):/i;

/** Where and how to open an input. */
export interface Source {
  readonly av: NodeAv;
  readonly input: string;
  /** FFmpeg's name of the demuxer; undefined: found out. */
  readonly inputFormat: string | undefined;
  /** FFmpeg's options of the demuxer and the protocol. */
  readonly options: Record<string, string>;
  /** Whether sound is wanted: the best, or that of this number among the input's. */
  readonly audio: boolean | number;
  /** Whether data is wanted. */
  readonly data: boolean;
  /** Whether there must be video. */
  readonly needsVideo: boolean;
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
  /** Whether the source has said where this track is on the clock of all. */
  readonly synced: boolean;
  /** What the track is from here on, where that is new. */
  readonly config: MediaTrack | undefined;
}

/** The demuxer: the FFmpeg contexts of one opened input. */
export class Demuxer {
  readonly #source: Source;
  readonly #packet: Packet;
  #early: EarlyPackets;
  readonly #interrupt = () => this.#format.interrupt();
  #format: FormatContext;
  #video: VideoInput | undefined;
  /** The stream that the others go by. */
  #first: Stream;
  /** How many streams there were when it was opened. */
  #known: number;
  /** Sound and data, by their streams' indices. */
  #beside = new Map<number, SideInput>();
  readonly #rtp: boolean;
  /** The streams of which a sender report has come. */
  readonly #synced = new Set<number>();
  /** Packets that were read to find out what only they tell. */
  readonly #ahead: Packet[] = [];
  /** Whether the codec changes here. */
  #changing = false;
  readonly #parts: FileParts;
  /** What the video is from its next packet on, where that is new. */
  #config: MediaTrack | undefined;
  #lost = false;
  #damaged = 0;
  #closed = false;

  /** Whether the input has no end that is known: a camera, not a file. */
  readonly live: boolean;
  /** Whether its packets come when they are made: not out of a file, whatever that knows of its length. */
  readonly arrives: boolean;

  private constructor(source: Source, { format, stamped, early }: OpenedFormat) {
    const { video, beside } = chooseStreams(source, format, redact(source.input));
    this.#source = source;
    this.#parts = new FileParts(source.input);
    this.#early = early;
    this.#format = format;
    this.#rtp = /^(rtsp|rtp|sdp)/.test(format.iformat?.name ?? "");
    this.#video = video && this.#videoInput(video, { stamped });
    this.#first = (video ?? beside[0])!;
    this.#known = format.nbStreams;
    for (const stream of beside) this.#add(stream);
    this.live = format.duration <= 0n || LIVE.test(source.input);
    this.arrives = this.live && (this.#rtp || !isRegularFile(source.input));
    this.#packet = newPacket(source.av);
    source.signal.addEventListener("abort", this.#interrupt);
  }

  /**
   * Opens the input and finds its tracks.
   *
   * @throws {CuframesError} `NOT_FOUND`, `PERMISSION`, `FORMAT` (not media, or no video), `IO`, …
   */
  static async open(source: Source): Promise<Demuxer> {
    const opened = await openFormat(source);
    let made: Demuxer | undefined;
    try {
      made = new Demuxer(source, opened);
      await made.#readAhead(opened.stamped);
      return made;
    } catch (error) {
      if (made) await made.close();
      else {
        opened.early.close();
        await opened.format.closeInput();
      }
      throw error;
    }
  }

  /** The next packet, or undefined at the end of the input. */
  async read(): Promise<Demuxed | undefined> {
    const { timeout } = this.#source;
    const packet = this.#packet;
    using watchdog = new Watchdog(timeout, this.#interrupt);
    for (;;) {
      packet.unref();
      if (this.#video?.receive(packet)) return this.#demuxed(0, undefined);
      const result = await this.#readNext(packet, watchdog);
      if (result === "damaged") {
        this.#lose();
      } else if (result === "packet") {
        const demuxed = await this.#take(packet);
        if (demuxed) return demuxed;
      } else if (!this.#video?.end() && !await this.#nextPart()) {
        return undefined;
      }
    }
  }

  /** Makes a track's packet of one that was read; undefined where it is held back, lost, or nobody's. */
  async #take(packet: Packet): Promise<Demuxed | undefined> {
    const index = packet.streamIndex;
    if (this.#rtp && isReported(this.#source.av, packet)) this.#synced.add(index);
    // MPEG-TS can say so on the way, of the same stream or by another.
    const successor = this.#successorAt(index);
    if (
      successor || (!this.#changing && this.#video && this.#first.codecpar.codecId !== this.#video.codecId)
    ) {
      if (await this.#findParts()) return undefined;
      this.#first = successor ?? this.#first;
      this.#changing = true;
    }
    if (this.#video && index === this.#first.index) {
      if (this.#changing && !this.#change(packet)) return undefined;
      return this.#accept(packet) ? this.#demuxed(0, this.#takeConfig()) : undefined;
    }
    const side = this.#beside.get(index) ?? this.#meet(index);
    if (!side?.accept(packet) || this.#parts.isRepeated(side.track, packet)) return undefined;
    return this.#demuxed(side.track, side.takeConfig(), index);
  }

  /** The tracks that are read, the video first. */
  describe(): MediaTrack[] {
    const { av } = this.#source;
    const video = this.#video && describeTrack(av, this.#video.parameters, this.frameRate, this.#first);
    return [...(video ? [video] : []), ...[...this.#beside.values()].map((side) => side.describe())];
  }

  #demuxed(track: number, config: MediaTrack | undefined, index: number = this.#first.index): Demuxed {
    const packet = this.#packet;
    const known = (time: bigint) => time === this.#source.av.AV_NOPTS_VALUE ? undefined : time;
    const { pts, dts, duration } = packet;
    this.#parts.remember(track, packet, this.#source.av.AV_NOPTS_VALUE);
    const lost = track === 0 && this.#lost;
    if (track === 0) this.#lost = false;
    // FFmpeg moves tracks by what is reported where there are several.
    const synced = this.#format.nbStreams > 1 && this.#synced.has(index);
    return { packet, track, lost, synced, config, times: { pts: known(pts), dts: known(dts), duration } };
  }

  #videoInput(stream: Stream, more: { stamped?: boolean; parameters?: CodecParameters } = {}): VideoInput {
    const { av, options } = this.#source;
    const rateChosen = "framerate" in options;
    return new VideoInput(av, this.#format, stream, { rtp: this.#rtp, rateChosen, stamped: false, ...more });
  }

  #takeConfig(): MediaTrack | undefined {
    const config = this.#config;
    this.#config = undefined;
    return config;
  }

  #add(stream: Stream, track: number = this.#beside.size + (this.#video ? 1 : 0)): SideInput {
    const side = new SideInput(this.#source.av, stream, track);
    this.#beside.set(stream.index, side);
    return side;
  }

  /**
   * Another stream of video of the only program, which is what the video is now where it has come since the input was
   * opened, or a file says so.
   */
  #successorAt(index: number): Stream | undefined {
    if (!this.#video || index === this.#first.index || this.#format.nbPrograms > 1) return undefined;
    const stream = this.#format.streams[index];
    const isNew = stream !== undefined && stream.discard !== this.#source.av.AVDISCARD_ALL;
    return isNew && stream.codecpar.codecType === this.#source.av.AVMEDIA_TYPE_VIDEO ? stream : undefined;
  }

  /** A packet of a stream that has come since the input was opened is taken where such was wanted and is not there. */
  #meet(index: number): SideInput | undefined {
    const { av, audio, data } = this.#source;
    const stream = this.#format.streams[index];
    if (!stream || stream.discard === av.AVDISCARD_ALL) return undefined;
    const has = (kind: MediaTrack["kind"]) => this.describe().filter((track) => track.kind === kind).length;
    const { codecType } = stream.codecpar;
    const isWanted = (codecType === av.AVMEDIA_TYPE_AUDIO && audio === true && has("audio") === 0) ||
      (codecType === av.AVMEDIA_TYPE_DATA && data && has("data") < MOST_DATA);
    if (!isWanted) {
      stream.discard = av.AVDISCARD_ALL;
      return undefined;
    }
    const side = this.#add(stream);
    side.introduce();
    return side;
  }

  /** Reads the next packet of any stream. */
  async #readNext(packet: Packet, watchdog: Watchdog): Promise<"packet" | "damaged" | "end"> {
    const ahead = this.#ahead.shift();
    if (!ahead) return await this.#readOne(packet, watchdog);
    check(this.#source.av, packet.ref(ahead), "keeping a packet");
    ahead.free();
    return "packet";
  }

  async #readOne(packet: Packet, watchdog: Watchdog): Promise<"packet" | "damaged" | "end"> {
    const { av, input, calls, signal } = this.#source;
    const result = this.#early.take(packet) ? 0 : await calls.run(() => this.#format.readFrame(packet));
    signal.throwIfAborted();
    watchdog.check(`reading ${redact(input)}`);
    if (result === av.AVERROR_EOF) return "end";
    if (result === av.AVERROR_INVALIDDATA) return "damaged";
    check(av, result, `reading ${redact(input)}`);
    return "packet";
  }

  /**
   * Begins another codec of the video with a packet; false where that cannot be decoded by itself. FFmpeg's parser
   * loses what it holds of the codec before, and may put the end of that before the beginning of the other.
   */
  #change(packet: Packet): boolean {
    const { av } = this.#source;
    const { codecpar } = this.#first;
    const data = packet.data!;
    const begins = beginningOf(codecpar.codecId, data);
    // What was looked at when the input was opened has lost nothing.
    this.#lost ||= this.#parts.isBegun;
    if (begins > 0) {
      this.#ahead.unshift(cut(av, packet, begins));
      return true;
    }
    const parameters = packet.isKeyframe ? parametersFrom(av, codecpar, packet) : undefined;
    if (!parameters) {
      this.#lose();
      return false;
    }
    this.#video!.close();
    this.#video = this.#videoInput(this.#first, { parameters });
    this.#config = describeTrack(av, this.#video.parameters, this.frameRate, this.#first);
    this.#changing = false;
    return true;
  }

  /**
   * Goes on with the parts of a file whose streams change here: nothing is lost then on the way. Whether that could be
   * done.
   */
  async #findParts(): Promise<boolean> {
    const isTransportStream = this.#format.iformat?.name === "mpegts";
    return isTransportStream && await this.#parts.find() && await this.#nextPart();
  }

  /** Goes on with the next part of a file; false where there is none. */
  async #nextPart(): Promise<boolean> {
    const part = this.#parts.next();
    if (!part) return false;
    const source = this.#source;
    const opened = await openFormat(source, part.url);
    const before = this.describe();
    const codecId = this.#video?.codecId;
    await this.#release();
    this.#format = opened.format;
    this.#early = opened.early;
    const { video, beside } = chooseStreams(source, opened.format, redact(source.input));
    this.#first = (video ?? beside[0])!;
    this.#video = video && this.#videoInput(video);
    this.#known = opened.format.nbStreams;
    this.#beside = new Map();
    for (const stream of beside) this.#add(stream);
    await this.#readAhead(false);
    const now = this.describe();
    if (this.#video && this.#video.codecId !== codecId) this.#config = now[0];
    for (const side of this.#beside.values()) {
      if (before[side.track]) side.follow(before[side.track]!);
      else side.introduce();
    }
    return true;
  }

  /** Reads the first packets of what cannot be known without them. */
  async #readAhead(byArrival: boolean): Promise<void> {
    const { av } = this.#source;
    const stamps: bigint[] = [];
    let isLive: boolean | undefined = byArrival ? undefined : false;
    const isOpaque = () => [...this.#beside.values()].some((side) => side.isOpaque);
    while (isLive === undefined || (isOpaque() && this.#ahead.length < MOST_AHEAD)) {
      const packet = await this.#keepOne();
      if (!packet) break;
      this.#beside.get(packet.streamIndex)?.look(packet);
      const stamp = stampOf(packet, av.AV_NOPTS_VALUE);
      if (stamp !== undefined) stamps.push(av.avRescaleQ(stamp, this.#first.timeBase, NANOSECONDS));
      isLive ??= isMadeNow(stamps, this.frameNs);
    }
    if (byArrival) this.#video?.stampBy(isLive === true ? stamps : undefined);
  }

  /** Reads a packet, which is read again later; undefined at the end of the input. */
  async #keepOne(): Promise<Packet | undefined> {
    const { av, timeout } = this.#source;
    const packet = newPacket(av);
    using watchdog = new Watchdog(timeout, this.#interrupt);
    try {
      for (;;) {
        const result = await this.#readOne(packet, watchdog);
        if (result === "packet") this.#ahead.push(packet);
        if (result === "damaged") this.#lose();
        else return result === "packet" ? packet : undefined;
      }
    } finally {
      if (this.#ahead.at(-1) !== packet) packet.free();
    }
  }

  /** Frames a second; undefined where the source does not know. */
  get frameRate(): number | undefined {
    return this.#video?.frameRate;
  }

  /** A frame's duration in ns at that rate, or at 25 a second. */
  get frameNs(): bigint {
    return this.#video?.frameNs ?? 0n;
  }

  /** What the container says of the video's pictures; undefined where there is no video. */
  get video(): PictureTrack | undefined {
    return this.#video;
  }

  /** The video's parameters, with Annex B extradata for H.264 and HEVC; valid until the next `read()`. */
  get parameters(): CodecParameters | undefined {
    return this.#video?.parameters;
  }

  /** What is known of its times. */
  get cadence(): Cadence {
    const { av, input } = this.#source;
    const { ptsWrapBits, timeBase } = this.#first;
    const breaks = this.#rtp || ((this.#format.iformat?.flags ?? 0) & av.AVFMT_TS_DISCONT) !== 0;
    const wrapNs = breaks && ptsWrapBits < 63
      ? av.avRescaleQ(1n << BigInt(ptsWrapBits), timeBase, NANOSECONDS)
      : undefined;
    return {
      frameNs: this.frameNs,
      reorderFrames: this.parameters?.videoDelay ?? 0,
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
    this.#packet.free();
    await this.#release();
  }

  /** Closes what is open of the input. */
  async #release(): Promise<void> {
    this.#early.close();
    this.#video?.close();
    for (const side of this.#beside.values()) side.close();
    for (const packet of this.#ahead.splice(0)) packet.free();
    await this.#format.closeInput();
  }

  /** Stamps and filters a packet of the track; false where it is held back or lost. */
  #accept(packet: Packet): boolean {
    const state = this.#video!.accept(packet);
    if (state === "damaged") this.#lose();
    else this.#damaged = 0;
    return state === "ready" && !this.#parts.isRepeated(0, packet);
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

/** Whether an RTP packet is timed by its sender's report. */
function isReported(av: NodeAv, packet: Packet): boolean {
  return packet.getSideData(av.AV_PKT_DATA_RTCP_SR) !== null ||
    packet.getSideData(av.AV_PKT_DATA_PRFT) !== null;
}

/** Whether an input's packets come when they are made: a camera's do, a file's do not; of a pipe it is seen. */
function paceOf(input: string): boolean | "unknown" {
  if (LIVE.test(input) || input.startsWith("/dev/")) return true;
  return /^(-$|(pipe|fd|tcp|tls|unix|https?):)/i.test(input) ? "unknown" : false;
}
