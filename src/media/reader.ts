/** This file reads media: encoded packets and decoded frames of one video track, from one demuxer. */
import type { Frame as Picture, Packet } from "node-av";
import { setTimeout as sleep } from "node:timers/promises";
import {
  CuframesError,
  HeaderUnits,
  invalid,
  isAnnexB,
  LONGEST_TIMER_MS,
  type PixelFormat,
} from "../core/mod.ts";
import { CaptureTimes } from "./capture_times.ts";
import { Damage } from "./damage.ts";
import { DecodedFrames } from "./decoded_frames.ts";
import type { Decoder } from "./decoder.ts";
import { Demuxer, payload } from "./demuxer.ts";
import type { MediaEvent, MediaFrame, MediaPacket } from "./media_event.ts";
import { redact } from "./node_av.ts";
import { type Opened, openInput, type OpenMediaOptions } from "./opening.ts";
import { Pace } from "./time/pace.ts";
import { type Cadence, Timeline } from "./time/timeline.ts";
import { describeTrack, isPictures, type VideoTrack } from "./track.ts";

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
  timeline.reconnect(cadenceOf(opened.demuxer));
  return readerOf(opened, timeline, true);
}

function cadenceOf({ frameNs, parameters }: Demuxer): Cadence {
  return { frameNs, reorderFrames: parameters.videoDelay };
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
  readonly #frames: DecodedFrames;
  readonly #damage = new Damage();
  readonly #captureTimes: CaptureTimes;
  /** The parameter sets that hold now, of H.264 and HEVC. */
  readonly #header: HeaderUnits | undefined;
  readonly #abort = () => this.#opened.stop.abort(this.#opened.options.signal?.reason);
  #demuxer: Demuxer;
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

  /** The track that is read. */
  readonly video: VideoTrack;
  /** The frames' format. */
  readonly format: PixelFormat;
  /** The frames' width in pixels. */
  readonly width: number;
  /** The frames' height in pixels. */
  readonly height: number;
  /** Whether the input has no end that is known: a camera, not a file. */
  readonly live: boolean;

  static {
    readerOf = (opened, timeline, fromKey) => new MediaReader(opened, timeline, fromKey);
  }

  private constructor(opened: Opened, timeline: Timeline, fromKey: boolean) {
    const { source: { av }, options, demuxer, hardware } = opened;
    const { parameters, frameRate } = demuxer;
    this.#opened = opened;
    this.#timeline = timeline;
    this.#demuxer = demuxer;
    this.#untilKey = fromKey;
    this.#pace = options.realtime ? new Pace() : undefined;
    this.#frames = new DecodedFrames(av, demuxer, options, hardware);
    this.#captureTimes = new CaptureTimes(av, demuxer.arrives);
    this.video = describeTrack(av, parameters, frameRate);
    const { codecId, description } = this.video;
    this.#header = isAnnexB(codecId) ? new HeaderUnits(codecId, description) : undefined;
    this.format = this.#frames.format;
    this.width = this.#frames.width;
    this.height = this.#frames.height;
    this.live = demuxer.live;
    options.signal?.addEventListener("abort", this.#abort);
  }

  /** As {@linkcode openMedia}. */
  static async open(input: string, options: OpenMediaOptions): Promise<MediaReader> {
    const opened = await openInput(input, options);
    const { frameNs, reorderFrames } = cadenceOf(opened.demuxer);
    return new MediaReader(opened, new Timeline(frameNs, reorderFrames), false);
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
        this.#frames.retire();
      }
    } catch (error) {
      // Closing ends an iteration that was waiting.
      if (!this.#opened.source.calls.closed) throw error;
    } finally {
      this.#frames.retire();
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
    const { options, source, stop, decoder, hardware } = this.#opened;
    options.signal?.removeEventListener("abort", this.#abort);
    const closed = source.calls.close();
    stop.abort();
    await closed;
    this.#frames.retire();
    decoder?.close();
    hardware?.close();
    this.#frames[Symbol.dispose]();
    await this.#demuxer.close();
  }

  async #next(): Promise<MediaEvent | undefined> {
    const { stop, decoder } = this.#opened;
    while (this.#state !== "ended") {
      stop.signal.throwIfAborted();
      const received = decoder !== undefined && await this.#decode(decoder);
      stop.signal.throwIfAborted();
      if (received) return this.#frame(decoder.picture);
      if (this.#state === "draining") {
        await this.#endPass();
        continue;
      }
      const packet = await this.#demuxer.read();
      if (packet) {
        if (this.#isUseless(packet)) continue;
        return this.#packet(packet);
      }
      this.#state = "draining";
      await decoder?.send(null);
    }
    return undefined;
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
    const { options, source, decoder } = this.#opened;
    if (!options.loop) {
      this.#state = "ended";
      return;
    }
    if (this.#passPackets === 0) {
      throw new CuframesError("FORMAT", `${redact(source.input)} has no packet that could be looped`);
    }
    await this.#demuxer.close();
    const demuxer = await Demuxer.open(source);
    if (source.calls.closed) return await demuxer.close();
    this.#demuxer = demuxer;
    decoder?.restart();
    this.#timeline.restart();
    this.#passPackets = 0;
    this.#state = "reading";
  }

  /** Whether a packet comes before the first that a decoder can begin with, and that is waited for. */
  #isUseless(packet: Packet): boolean {
    if (packet.isKeyframe || isPictures(this.video.codecId)) this.#untilKey = false;
    // What is lost before the first packet is missed by nobody.
    if (this.#untilKey) this.#demuxer.takeLost();
    return this.#untilKey;
  }

  #packet(packet: Packet): MediaPacket {
    const { source: { av }, decoder } = this.#opened;
    const known = (time: bigint) => time === av.AV_NOPTS_VALUE ? undefined : time;
    const placed = this.#timeline.place(known(packet.pts), known(packet.dts), packet.duration);
    const { timestampNs, decodeTimestampNs, durationNs } = placed;
    const lost = this.#demuxer.takeLost();
    const discontinuity = placed.discontinuity || lost;
    const corrupt = packet.hasFlags(av.AV_PKT_FLAG_CORRUPT);
    const key = packet.isKeyframe;
    this.#damage.packet({ timestampNs, decodeTimestampNs, key, corrupt, lost, discontinuity });
    if (placed.discontinuity) this.#pace?.reset();
    this.#passPackets++;
    this.#firstPacketNs ??= timestampNs;
    this.#lastPacketNs = timestampNs;
    const bytes = payload(packet);
    const { data, header } = key && this.#header
      ? this.#header.put(bytes)
      : { data: bytes, header: undefined };
    if (decoder) {
      // A decoder that is told no presentation time finds the order itself; a guess would mislead it.
      packet.pts = placed.statedNs ?? av.AV_NOPTS_VALUE;
      packet.dts = decodeTimestampNs;
      packet.duration = durationNs;
      this.#captureTimes.packet(packet, placed.statedNs ?? timestampNs);
      this.#undecoded = packet;
    }
    return {
      kind: "packet",
      data,
      type: key ? "key" : "delta",
      timestampNs,
      decodeTimestampNs,
      durationNs,
      corrupt,
      discontinuity,
      ...(header && { description: header }),
    };
  }

  #frame(picture: Picture): MediaFrame {
    const { av } = this.#opened.source;
    const durationNs = picture.duration > 0n ? picture.duration : this.#demuxer.frameNs;
    const timestampNs = this.#frameTime(picture, durationNs);
    const concealed = picture.hasFlags(av.AV_FRAME_FLAG_CORRUPT) || picture.decodeErrorFlags !== 0;
    const ownNs = picture.pts === av.AV_NOPTS_VALUE ? timestampNs : picture.pts;
    const { corrupt, discontinuity } = this.#damage.frame(timestampNs, picture.keyFrame !== 0);
    return this.#frames.make(picture, {
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
    const delay = pace.delay(event.kind, due, performance.now());
    if (delay <= 0) return;
    const { signal } = this.#opened.stop;
    await sleep(Math.min(delay, LONGEST_TIMER_MS), undefined, { signal }).catch(() =>
      signal.throwIfAborted()
    );
  }
}
