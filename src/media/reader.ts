/** This file reads media: the encoded packets of an input's tracks, and the video's decoded frames. */
import type { Frame as Picture, Packet } from "node-av";
import { Buffer } from "node:buffer";
import { setTimeout as sleep } from "node:timers/promises";
import { CuframesError, invalid, LONGEST_TIMER_MS, type PixelFormat, redact } from "../core/mod.ts";
import { CaptureTimes } from "./capture_times.ts";
import { Damage } from "./damage.ts";
import { DecodedFrames } from "./decoded_frames.ts";
import { Decoder } from "./decoder.ts";
import { Demuxer } from "./demuxer.ts";
import { type Judgeable, Lookahead } from "./lookahead.ts";
import type { MediaEvent, MediaFrame, MediaPacket } from "./media_event.ts";
import { type Opened, openInput, type OpenMediaOptions } from "./opening.ts";
import { PacketMaker } from "./packet_maker.ts";
import { SideBacklog } from "./side_backlog.ts";
import { Pace } from "./time/pace.ts";
import { Timeline } from "./time/timeline.ts";
import { isPictures, type MediaTrack, type VideoTrack } from "./track.ts";

/**
 * Opens a file or a URL that FFmpeg can read.
 *
 * @param input a path, or a URL such as `rtsp://camera/stream`; credentials in it stay out of messages
 * @throws {CuframesError} `NOT_FOUND`, `PERMISSION`, `FORMAT` (not media, or without video), `UNSUPPORTED` (no
 * node-av, no decoder, no such protocol), `TIMEOUT`, `IO`, `INVALID_ARGUMENT`
 *
 * @example
 * ```ts
 * import { openMedia } from "@cuframes/core/media";
 *
 * await using media = await openMedia("rtsp://camera/stream", { options: { rtsp_transport: "tcp" } });
 * for await (const event of media) {
 *   if (event.kind === "frame") console.log(event.timestampNs, event.width, event.height);
 * }
 * ```
 */
export async function openMedia(input: string, options: OpenMediaOptions = {}): Promise<MediaReader> {
  return await MediaReader.open(input, options);
}

/** Makes a reader; its class lets nobody else do so. */
let readerOf: (opened: Opened, timeline: Timeline, fromKey: boolean) => MediaReader;

/**
 * Opens an input as `openMedia` does, for somebody who publishes one connection after another: its times are placed
 * on a line that outlives it, and what comes before its first key packet, which nobody could use, is left out.
 */
export async function openConnection(
  input: string,
  options: OpenMediaOptions,
  timeline: Timeline,
): Promise<MediaReader> {
  const opened = await openInput(input, options);
  timeline.reconnect(opened.demuxer.cadence);
  return readerOf(opened, timeline, true);
}

/**
 * An opened input: iterate over it for its packets and frames; dispose of it with `await using`.
 *
 * @example
 * ```ts
 * import { openMedia } from "@cuframes/core/media";
 *
 * await using media = await openMedia("camera.mp4");
 * for await (const event of media) console.log(event.kind, event.timestampNs);
 * ```
 */
export class MediaReader implements AsyncDisposable {
  readonly #opened: Opened;
  readonly #timeline: Timeline;
  readonly #pace: Pace | undefined;
  readonly #maker: PacketMaker;
  /** Undefined where there is no video. */
  readonly #frames: DecodedFrames | undefined;
  readonly #damage = new Damage();
  readonly #captureTimes: CaptureTimes;
  /** Sound and data that came before the video's first key packet. */
  readonly #backlog = new SideBacklog();
  /** Packets that are yielded before anything is read or decoded. */
  #ready: MediaPacket[] = [];
  readonly #abort = () => this.#opened.stop.abort(this.#opened.options.signal?.reason);
  #demuxer: Demuxer;
  #packets: Lookahead;
  /** Undefined where no frames are wanted. */
  #decoder: Decoder | undefined;
  /** The first packet of another codec, which waits for the frames of the one before. */
  #other: Judgeable | undefined;
  /** What the video is from its next key packet on, where that is new. */
  #config: MediaTrack | undefined;
  /** FFmpeg's `AVCodecID` of the first track's last packet. */
  #codecId: number;
  /** The packet that the decoder gets next. */
  #undecoded: Packet | undefined;
  /** When the first packet is shown. */
  #firstPacketNs: bigint | undefined;
  /** When the last packet is shown. */
  #lastPacketNs = 0n;
  #lastFrameNs: bigint | undefined;
  /** Whether packets are left out, until one comes that a decoder can begin with. */
  #untilKey: boolean;
  #passPackets = 0;
  #state: "reading" | "draining" | "ended" = "reading";
  #iterating = false;
  #closing: Promise<void> | undefined;

  /** The tracks that are read, as they were when the input was opened: the video, sound, data. */
  readonly tracks: readonly MediaTrack[];
  /** The frames' format; without a video `"NV12"`. */
  readonly format: PixelFormat;
  /** The frames' width in pixels; 0 without a video. */
  readonly width: number;
  /** The frames' height in pixels; 0 without a video. */
  readonly height: number;
  /** Whether the input has no end that is known: a camera, not a file. */
  readonly live: boolean;

  static {
    readerOf = (opened, timeline, fromKey) => new MediaReader(opened, timeline, fromKey);
  }

  private constructor(opened: Opened, timeline: Timeline, fromKey: boolean) {
    const { source: { av }, options, demuxer, hardware } = opened;
    this.#opened = opened;
    this.#timeline = timeline;
    this.#demuxer = demuxer;
    this.#packets = new Lookahead(demuxer, timeline);
    this.#decoder = opened.decoder;
    this.#untilKey = fromKey && demuxer.video !== undefined;
    this.#pace = options.realtime ? new Pace() : undefined;
    this.#frames = demuxer.video && new DecodedFrames(av, demuxer.video, options, hardware);
    this.#captureTimes = new CaptureTimes(av, demuxer.arrives);
    this.tracks = demuxer.describe();
    this.#codecId = this.tracks[0]!.codecId;
    this.#maker = new PacketMaker(av, timeline, this.tracks[0]!);
    this.format = this.#frames?.format ?? "NV12";
    this.width = this.#frames?.width ?? 0;
    this.height = this.#frames?.height ?? 0;
    this.live = demuxer.live;
    options.signal?.addEventListener("abort", this.#abort);
  }

  /**
   * The video's track.
   *
   * @throws {CuframesError} `FORMAT`: the input has none, and was opened for its sound or its data
   */
  get video(): VideoTrack {
    const video = this.tracks.find((track): track is VideoTrack => track.kind === "video");
    if (!video) throw new CuframesError("FORMAT", `${redact(this.#opened.source.input)} has no video track`);
    return video;
  }

  /** As {@linkcode openMedia}. */
  static async open(input: string, options: OpenMediaOptions): Promise<MediaReader> {
    const opened = await openInput(input, options);
    const timeline = new Timeline();
    timeline.describe(opened.demuxer.cadence);
    return new MediaReader(opened, timeline, false);
  }

  /**
   * Yields packets in decode order and, behind the packets that they are made of, frames in display order. A
   * loop that is left early can be followed by another, which goes on where it was; two at a time are refused.
   *
   * @throws {CuframesError} `IO`, `TIMEOUT`, `FORMAT` where the input fails or is nothing but damaged; the
   * signal's reason where it was aborted. Damage on the way is marked, not thrown.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<MediaEvent, void, void> {
    if (this.#iterating) throw invalid(`${redact(this.#opened.source.input)} is already being iterated over`);
    this.#iterating = true;
    try {
      for (;;) {
        const event = await this.#next();
        if (event === undefined) return;
        if (this.#pace) await this.#wait(this.#pace, event);
        yield event;
        this.#frames?.retire();
      }
    } catch (error) {
      // Closing ends an iteration that was waiting.
      if (!this.#opened.source.calls.closed) throw error;
    } finally {
      this.#frames?.retire();
      this.#iterating = false;
    }
  }

  /** Ends the iteration and frees everything; repeated calls are harmless. */
  close(): Promise<void> {
    return this.#closing ??= this.#free();
  }

  /** As {@linkcode MediaReader.close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #free(): Promise<void> {
    const { options, source, stop, hardware } = this.#opened;
    options.signal?.removeEventListener("abort", this.#abort);
    const closed = source.calls.close();
    stop.abort();
    await closed;
    this.#frames?.retire();
    this.#decoder?.close();
    hardware?.close();
    this.#frames?.[Symbol.dispose]();
    this.#packets.close();
    await this.#demuxer.close();
  }

  async #next(): Promise<MediaEvent | undefined> {
    const { stop } = this.#opened;
    while (this.#state !== "ended") {
      stop.signal.throwIfAborted();
      const ready = this.#ready.shift();
      if (ready) return ready;
      const decoder = this.#decoder;
      const received = decoder !== undefined && await this.#decode(decoder);
      stop.signal.throwIfAborted();
      if (received) return this.#frame(decoder.picture);
      if (this.#other) {
        await this.#changeCodec(this.#other);
        continue;
      }
      if (this.#state === "draining") {
        await this.#endPass();
        continue;
      }
      const read = await this.#packets.next();
      stop.signal.throwIfAborted();
      if (read?.track === 0 && read.config?.kind === "video") {
        this.#other = read;
        await decoder?.send(null);
      } else if (read) {
        this.#take(read);
      } else {
        this.#state = "draining";
        await decoder?.send(null);
      }
    }
    return undefined;
  }

  /** Begins with the first packet of another codec, when all frames of the one before have come. */
  async #changeCodec(first: Judgeable): Promise<void> {
    const { source: { av, calls }, hardware } = this.#opened;
    const { cadence, live, parameters } = this.#demuxer;
    this.#other = undefined;
    this.#timeline.describe(cadence);
    if (this.#decoder) {
      this.#decoder.close();
      this.#decoder = undefined;
      this.#decoder = await Decoder.open(av, calls, parameters!, live, hardware);
    }
    this.#untilKey = true;
    this.#take(first);
  }

  /** Feeds the decoder where it is hungry; whether it has a picture. */
  async #decode(decoder: Decoder): Promise<boolean> {
    const packet = this.#undecoded;
    this.#undecoded = undefined;
    if (packet) await decoder.send(packet);
    const received = await decoder.receive();
    // Which packet it was is not known: it is one whose frame has not been shown.
    if (decoder.takeFailed()) this.#damage.begin((this.#lastFrameNs ?? -1n) + 1n, this.#lastPacketNs);
    return received;
  }

  async #endPass(): Promise<void> {
    const { options, source } = this.#opened;
    if (!options.loop) {
      this.#state = "ended";
      return;
    }
    if (this.#passPackets === 0) {
      throw new CuframesError("FORMAT", `${redact(source.input)} has no packet that could be looped`);
    }
    this.#packets.close();
    await this.#demuxer.close();
    const demuxer = await Demuxer.open(source);
    if (source.calls.closed) return await demuxer.close();
    this.#demuxer = demuxer;
    this.#packets = new Lookahead(demuxer, this.#timeline);
    this.#timeline.describe(demuxer.cadence);
    const [first] = demuxer.describe();
    if (first?.kind === "video" && first.codecId !== this.#codecId) this.#config = first;
    await this.#restartDecoder();
    this.#timeline.restart();
    this.#passPackets = 0;
    this.#state = "reading";
  }

  /** Makes the decoder take packets of a demuxer that has been opened anew. */
  async #restartDecoder(): Promise<void> {
    const { source: { av, calls }, hardware } = this.#opened;
    const { parameters, live } = this.#demuxer;
    if (this.#decoder?.codecId === parameters?.codecId) return this.#decoder?.restart();
    this.#decoder?.close();
    this.#decoder = undefined;
    this.#decoder = await Decoder.open(av, calls, parameters!, live, hardware);
  }

  /** Takes what was read; what the user gets of it is ready then. */
  #take(read: Judgeable): void {
    const { track, packet } = read;
    if (track === 0) {
      const config = this.#config = read.config ?? this.#config;
      if (this.#isUseless(packet)) return;
      this.#config = undefined;
      this.#codecId = config?.codecId ?? this.#codecId;
      this.#takeFirst({ ...read, config });
      return;
    }
    const { packet: made } = this.#maker.make(read);
    this.#passPackets++;
    if (this.#untilKey) this.#backlog.keep(made);
    else this.#ready.push(made);
  }

  /** Whether a packet comes before the first that a decoder can begin with, and that is waited for. */
  #isUseless(packet: Packet): boolean {
    if (!this.#untilKey) return false;
    const isUseless = !packet.isKeyframe && !isPictures(this.video.codecId);
    if (isUseless) this.#backlog.skip();
    this.#untilKey = isUseless;
    return isUseless;
  }

  /** Takes a packet of the first track. */
  #takeFirst(read: Judgeable): void {
    const { av } = this.#opened.source;
    const { packet, lost } = read;
    const { packet: made, placed, isRewritten } = this.#maker.make(read);
    const { timestampNs, decodeTimestampNs, durationNs, corrupt, discontinuity } = made;
    const key = made.type === "key";
    this.#damage.packet({ timestampNs, decodeTimestampNs, key, corrupt, lost, discontinuity });
    if (placed.discontinuity) this.#pace?.reset();
    this.#passPackets++;
    this.#firstPacketNs ??= timestampNs;
    this.#lastPacketNs = timestampNs;
    if (this.#decoder) {
      // It too takes a set anew where another one that it refers to has changed.
      if (isRewritten) packet.data = Buffer.from(made.data);
      // A decoder that is told no presentation time finds the order itself; a guess would mislead it.
      packet.pts = placed.statedNs ?? av.AV_NOPTS_VALUE;
      packet.dts = decodeTimestampNs;
      packet.duration = durationNs;
      this.#captureTimes.packet(packet, placed.statedNs ?? timestampNs);
      this.#undecoded = packet;
    }
    this.#ready.push(...this.#backlog.take(made), made);
  }

  #frame(picture: Picture): MediaFrame {
    const { av } = this.#opened.source;
    const durationNs = picture.duration > 0n ? picture.duration : this.#demuxer.frameNs;
    const timestampNs = this.#frameTime(picture, durationNs);
    const concealed = picture.hasFlags(av.AV_FRAME_FLAG_CORRUPT) || picture.decodeErrorFlags !== 0;
    const ownNs = picture.pts === av.AV_NOPTS_VALUE ? timestampNs : picture.pts;
    const { corrupt, discontinuity } = this.#damage.frame(timestampNs, picture.keyFrame !== 0);
    return this.#frames!.make(picture, {
      timestampNs,
      durationNs,
      captureTimeNs: this.#captureTimes.frame(ownNs),
      corrupt: concealed || corrupt,
      discontinuity,
    });
  }

  /** A frame has the time of its packet, which the decoder hands through; one that has none follows the frame before. */
  #frameTime(picture: Picture, durationNs: bigint): bigint {
    const { av } = this.#opened.source;
    const last = this.#lastFrameNs;
    let time = [picture.pts, picture.bestEffortTimestamp].find((candidate) =>
      candidate !== av.AV_NOPTS_VALUE
    );
    time ??= last === undefined ? this.#firstPacketNs ?? 0n : last + durationNs;
    if (last !== undefined && time <= last) time = last + 1n;
    return this.#lastFrameNs = time;
  }

  async #wait(pace: Pace, event: MediaEvent): Promise<void> {
    const due = event.kind === "packet" ? event.decodeTimestampNs : event.timestampNs;
    const delay = pace.delay(event.kind === "frame" ? "frame" : event.track, due, performance.now());
    if (delay <= 0) return;
    const { signal } = this.#opened.stop;
    await sleep(Math.min(delay, LONGEST_TIMER_MS), undefined, { signal }).catch(() =>
      signal.throwIfAborted()
    );
  }
}
