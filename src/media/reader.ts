/** Reading media: encoded packets and decoded frames of one video track, from one demuxer. */
import type { Frame, Packet } from "node-av";
import type { DevicePicture, WritableFrame } from "../frames/mod.ts";
import { setTimeout as sleep } from "node:timers/promises";
import {
  checkDimension,
  checkInteger,
  CuframesError,
  formatCode,
  HeaderUnits,
  invalid,
  isAnnexB,
  LONGEST_TIMER_MS,
  type NalUnit,
  parameterSets,
  type PixelFormat,
  planCopy,
  timeoutMilliseconds,
  withParameterSets,
} from "../core/mod.ts";

import { Decoder } from "./decoder.ts";
import { Demuxer, payload, type Source } from "./demuxer.ts";
import { Hardware } from "./hardware.ts";
import { CallQueue } from "./call_queue.ts";
import { loadNodeAv, type NodeAv, redact } from "./node_av.ts";
import { type DestinationPlane, gpuFormat, PictureWriter, preferredFormat } from "./picture.ts";
import { Pace, Timeline } from "./time/timeline.ts";
import { describeTrack, type VideoTrack } from "./track.ts";

/**
 * How {@linkcode openMedia} opens an input.
 *
 * @example
 * ```ts
 * import { openMedia } from "@cuframes/core/media";
 *
 * await using media = await openMedia("rtsp://camera/stream", { decode: false, options: { rtsp_transport: "tcp" } });
 * console.log(media.video.codedWidth);
 * ```
 */
export interface OpenMediaOptions {
  /** Whether frames are decoded beside the packets; default true. */
  decode?: boolean;
  /**
   * The frames' format; default: the one that keeps most of the decoder's, of NV12 (8-bit YUV), P010 (deeper
   * YUV), GRAY8 and RGBA.
   */
  format?: PixelFormat;
  /** The frames' width in pixels; default: the track's. */
  width?: number;
  /** The frames' height in pixels; default: the track's. */
  height?: number;
  /** Whether events come at the stream's own pace instead of as fast as they can; default false. */
  realtime?: boolean;
  /** Whether the input is opened again at its end, its timestamps going on; default false. */
  loop?: boolean;
  /** Ends opening, reading and waiting; they throw its reason. */
  signal?: AbortSignal;
  /** FFmpeg's name of the input's format, such as `"v4l2"` or `"lavfi"`; default: found out. */
  inputFormat?: string;
  /**
   * How long opening may take (5 s more with the look at the streams), and how long an input may give no packet, until they
   * throw `TIMEOUT`. Milliseconds; default: for ever. Looking up a host name, and a device's driver, cannot be interrupted.
   */
  timeout?: number;
  /** FFmpeg's options of the demuxer and the protocol, such as `{ rtsp_transport: "tcp" }`. */
  options?: Record<string, string>;
  /**
   * Where frames are decoded: `"none"` (default) on the CPU; `"cuda"` on the GPU, for the codecs that it has a decoder
   * for; `"auto"`: on the GPU where there is one.
   */
  hardware?: "none" | "cuda" | "auto";
  /** The CUDA device's number in this process; default 0. */
  device?: number;
}

/**
 * One access unit of the track.
 *
 * @example
 * ```ts
 * import { openMedia } from "@cuframes/core/media";
 *
 * await using media = await openMedia("camera.mp4");
 * for await (const event of media) if (event.kind === "packet") console.log(event.data.length);
 * ```
 */
export interface MediaPacket {
  /** What tells it from a frame. */
  readonly kind: "packet";
  /** The access unit, the reader's no more: Annex B for H.264 and HEVC, with parameter sets at key packets. */
  readonly data: Uint8Array;
  /** Whether a decoder can start here. */
  readonly type: "key" | "delta";
  /** When it is shown, in ns. */
  readonly timestampNs: bigint;
  /** When it is decoded, in ns; strictly increasing, never after `timestampNs`, negative at a start with B-frames. */
  readonly decodeTimestampNs: bigint;
  /** How long it is shown, in ns. */
  readonly durationNs: bigint;
  /** Whether the demuxer found it damaged. */
  readonly corrupt: boolean;
  /** Whether data is missing before it, or the source's clock started anew. */
  readonly discontinuity: boolean;
  /** New codec parameters, as `VideoTrack.description`, where the stream changes to them here. */
  readonly description?: Uint8Array;
}

/**
 * One decoded frame, in display order; usable until the next step of the iteration.
 *
 * @example
 * ```ts
 * import { openMedia } from "@cuframes/core/media";
 *
 * await using media = await openMedia("camera.mp4");
 * for await (const event of media) if (event.kind === "frame") console.log(event.width, event.height);
 * ```
 */
export interface MediaFrame {
  /** What tells it from a packet. */
  readonly kind: "frame";
  /** When it is shown, in ns; strictly increasing. */
  readonly timestampNs: bigint;
  /** How long it is shown, in ns. */
  readonly durationNs: bigint;
  /** Width in pixels of the decoded picture. */
  readonly width: number;
  /** Height in pixels of the decoded picture. */
  readonly height: number;
  /** Whether `copyInto` scales it: its size is not the reader's. */
  readonly scaled: boolean;
  /** Whether a part of it is made up: data is damaged or missing, here or since the last key frame. */
  readonly corrupt: boolean;
  /** Whether the source's clock started anew here, or data is missing before it. */
  readonly discontinuity: boolean;
  /**
   * Where the picture is on the GPU that decoded it, its planes as the reader's format; undefined when it was decoded on
   * the CPU or is of another size. For `WritableFrame.copyFrom`.
   */
  readonly devicePicture: DevicePicture | undefined;
  /**
   * Fills a frame of a ring that has the reader's format and size, the shortest way: in place on host memory, from GPU to
   * GPU where it was decoded there, else by way of the host.
   *
   * @throws {CuframesError} as {@linkcode MediaFrame.copyInto} and `WritableFrame.copyFrom`
   */
  writeTo(frame: WritableFrame): void;
  /**
   * Writes the pixels, as the reader's format and size.
   *
   * @throws {CuframesError} `INVALID_ARGUMENT` for planes that cannot hold them, and after the iteration's
   * next step
   */
  copyInto(planes: readonly DestinationPlane[]): void;
}

/**
 * What a {@linkcode MediaReader} yields.
 *
 * @example
 * ```ts
 * import { openMedia } from "@cuframes/core/media";
 *
 * await using media = await openMedia("camera.mp4");
 * for await (const event of media) console.log(event.kind);
 * ```
 */
export type MediaEvent = MediaPacket | MediaFrame;

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
  readonly #source: Source;
  readonly #stop: AbortController;
  readonly #options: OpenMediaOptions;
  readonly #timeline: Timeline;
  readonly #pace: Pace | undefined;
  /** The parameter sets that hold now, of H.264 and HEVC. */
  #sets: NalUnit[];
  readonly #header: HeaderUnits | undefined;
  readonly #decoder: Decoder | undefined;
  readonly #hardware: Hardware | undefined;
  /** Of the pictures that the GPU decodes. */
  readonly #gpuFormat: PixelFormat | undefined;
  readonly #writer: PictureWriter;
  readonly #abort = () => this.#stop.abort(this.#options.signal?.reason);
  #demuxer: Demuxer;
  /** The packet that the decoder gets next. */
  #undecoded: Packet | undefined;
  /** When the last packet is shown. */
  #lastPacketNs = 0n;
  /** A picture without padding, on its way from the CPU's decoder to a GPU's ring. */
  #scratch: { planes: DestinationPlane[]; bytes: Uint8Array } | undefined;
  /** The frame that may be used now. */
  #current: { usable: boolean } | undefined;
  #lastFrameNs: bigint | undefined;
  /** The first frame from this time on is a discontinuity. */
  #breakNs: bigint | undefined;
  /** See `#damaged()`. */
  #damage: { fromNs: bigint; untilKeyAfterNs: bigint } | undefined;
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

  private constructor(
    source: Source,
    stop: AbortController,
    options: OpenMediaOptions,
    demuxer: Demuxer,
    decoder: Decoder | undefined,
    hardware: Hardware | undefined,
  ) {
    this.#source = source;
    this.#stop = stop;
    this.#options = options;
    this.#demuxer = demuxer;
    this.#decoder = decoder;
    this.#hardware = hardware;
    const { parameters, frameRate, frameNs } = demuxer;
    this.video = describeTrack(source.av, parameters, frameRate);
    this.#gpuFormat = gpuFormat(source.av, parameters.format);
    this.format = options.format ?? preferredFormat(source.av, parameters.format);
    this.width = options.width ?? parameters.width;
    this.height = options.height ?? parameters.height;
    this.#writer = new PictureWriter(source.av, this.format, this.width, this.height);
    this.#timeline = new Timeline(frameNs, parameters.videoDelay);
    this.#pace = options.realtime ? new Pace() : undefined;
    const { codecId, description } = this.video;
    this.#sets = isAnnexB(codecId) ? parameterSets(codecId, description) : [];
    this.#header = isAnnexB(codecId) ? new HeaderUnits(codecId, description) : undefined;
    this.live = demuxer.live;
    options.signal?.addEventListener("abort", this.#abort);
  }

  /** As {@linkcode openMedia}. */
  static async open(input: string, options: OpenMediaOptions): Promise<MediaReader> {
    // FFmpeg's binding would dereference it.
    if (input === "") throw invalid("the input is empty: it must be a path or a URL");
    if (options.format !== undefined) formatCode(options.format);
    if (options.width !== undefined) checkDimension("width", options.width);
    if (options.height !== undefined) checkDimension("height", options.height);
    const { hardware: wanted = "none", device = 0 } = options;
    if (!["none", "cuda", "auto"].includes(wanted)) {
      throw invalid(`hardware is ${JSON.stringify(wanted)}: it must be none, cuda or auto`);
    }
    checkInteger("device", device, 0, 255);
    const { timeout = Infinity } = options;
    timeoutMilliseconds("timeout", timeout);
    options.signal?.throwIfAborted();
    const av = await loadNodeAv();
    const stop = new AbortController();
    const abort = () => stop.abort(options.signal?.reason);
    options.signal?.addEventListener("abort", abort);
    const source = {
      av,
      input,
      inputFormat: options.inputFormat,
      options: options.options ?? {},
      timeout,
      calls: new CallQueue(),
      signal: stop.signal,
    };
    let demuxer: Demuxer | undefined;
    let hardware: Hardware | undefined;
    try {
      options.signal?.throwIfAborted();
      demuxer = await Demuxer.open(source);
      const decode = options.decode ?? true;
      if (decode) hardware = openHardware(av, wanted, device);
      const decoder = decode
        ? await Decoder.open(av, source.calls, demuxer.parameters, demuxer.live, hardware)
        : undefined;
      return new MediaReader(source, stop, options, demuxer, decoder, hardware);
    } catch (error) {
      hardware?.close();
      await demuxer?.close();
      throw error;
    } finally {
      options.signal?.removeEventListener("abort", abort);
    }
  }

  /**
   * Yields packets in decode order and, behind the packets that they are made of, frames in display order. A
   * loop that is left early can be followed by another, which goes on where it was; two at a time are refused.
   *
   * @throws {CuframesError} `IO`, `TIMEOUT`, `FORMAT` where the input fails or is nothing but damaged; the
   * signal's reason where it was aborted. Damage on the way is marked, not thrown.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<MediaEvent, void, void> {
    if (this.#iterating) throw invalid(`${redact(this.#source.input)} is already being iterated over`);
    this.#iterating = true;
    try {
      for (;;) {
        const event = await this.#next();
        if (event === undefined) return;
        if (this.#pace) await this.#wait(this.#pace, event);
        yield event;
        this.#retire();
      }
    } catch (error) {
      // Closing ends an iteration that was waiting.
      if (!this.#source.calls.closed) throw error;
    } finally {
      this.#retire();
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
    this.#options.signal?.removeEventListener("abort", this.#abort);
    const closed = this.#source.calls.close();
    this.#stop.abort();
    await closed;
    this.#retire();
    this.#decoder?.close();
    this.#hardware?.close();
    this.#writer[Symbol.dispose]();
    await this.#demuxer.close();
  }

  async #next(): Promise<MediaEvent | undefined> {
    while (this.#state !== "ended") {
      this.#stop.signal.throwIfAborted();
      const received = await this.#decode();
      this.#stop.signal.throwIfAborted();
      if (received) return this.#frame(this.#decoder!);
      if (this.#state === "draining") {
        await this.#endPass();
        continue;
      }
      const packet = await this.#demuxer.read();
      if (packet) return this.#packet(packet);
      this.#state = "draining";
      await this.#decoder?.send(null);
    }
    return undefined;
  }

  /** Feeds the decoder where it is hungry; whether it has a picture. */
  async #decode(): Promise<boolean> {
    if (!this.#decoder) return false;
    const packet = this.#undecoded;
    this.#undecoded = undefined;
    if (packet) await this.#decoder.send(packet);
    const received = await this.#decoder.receive();
    // Which packet it was is not known: it is one whose frame has not been shown.
    if (this.#decoder.takeFailed()) this.#damaged((this.#lastFrameNs ?? -1n) + 1n, this.#lastPacketNs);
    return received;
  }

  /** Frames from `fromNs` on are damaged, up to a key frame after `untilKeyAfterNs`. */
  #damaged(fromNs: bigint, untilKeyAfterNs: bigint): void {
    this.#damage = { fromNs: this.#damage?.fromNs ?? fromNs, untilKeyAfterNs };
  }

  async #endPass(): Promise<void> {
    if (!this.#options.loop) {
      this.#state = "ended";
      return;
    }
    if (this.#passPackets === 0) {
      throw new CuframesError("FORMAT", `${redact(this.#source.input)} has no packet that could be looped`);
    }
    await this.#demuxer.close();
    const demuxer = await Demuxer.open(this.#source);
    if (this.#source.calls.closed) return await demuxer.close();
    this.#demuxer = demuxer;
    this.#decoder?.restart();
    this.#timeline.restart();
    this.#passPackets = 0;
    this.#state = "reading";
  }

  #packet(packet: Packet): MediaPacket {
    const { av } = this.#source;
    const { codecId } = this.video;
    const known = (time: bigint) => time === av.AV_NOPTS_VALUE ? undefined : time;
    const placed = this.#timeline.place(known(packet.pts), known(packet.dts), packet.duration);
    const { timestampNs, decodeTimestampNs, durationNs } = placed;
    const lost = this.#demuxer.takeLost();
    const discontinuity = placed.discontinuity || lost;
    if (discontinuity) this.#breakNs ??= timestampNs;
    const corrupt = packet.hasFlags(av.AV_PKT_FLAG_CORRUPT);
    // Frames decoded from here on build upon it, even those that are shown before it.
    if (corrupt) this.#damaged(decodeTimestampNs, timestampNs);
    else if (lost) this.#damaged(decodeTimestampNs, timestampNs - 1n);
    if (placed.discontinuity) this.#pace?.reset();
    this.#passPackets++;
    this.#lastPacketNs = timestampNs;
    const key = packet.isKeyframe;
    const data = payload(packet);
    const description = key ? this.#header?.take(data).header : undefined;
    if (description) this.#sets = parameterSets(codecId, description);
    if (this.#decoder) {
      // A decoder that is told no presentation time finds the order itself; a guess would mislead it.
      packet.pts = placed.statedNs ?? av.AV_NOPTS_VALUE;
      packet.dts = decodeTimestampNs;
      packet.duration = durationNs;
      this.#undecoded = packet;
    }
    return {
      kind: "packet",
      data: key && this.#sets.length > 0 ? withParameterSets(codecId, data, this.#sets) : data,
      type: key ? "key" : "delta",
      timestampNs,
      decodeTimestampNs,
      durationNs,
      corrupt,
      discontinuity,
      ...(description && { description }),
    };
  }

  #frame({ picture }: Decoder): MediaFrame {
    const { av } = this.#source;
    const { width, height } = picture;
    const durationNs = picture.duration > 0n ? picture.duration : this.#demuxer.frameNs;
    const timestampNs = this.#frameTime(picture, durationNs);
    const discontinuity = this.#breakNs !== undefined && timestampNs >= this.#breakNs;
    if (discontinuity) this.#breakNs = undefined;
    if (this.#damage && picture.keyFrame && timestampNs > this.#damage.untilKeyAfterNs) {
      this.#damage = undefined;
    }
    const concealed = picture.hasFlags(av.AV_FRAME_FLAG_CORRUPT) || picture.decodeErrorFlags !== 0;
    const current = this.#current = { usable: true };
    const hardware = this.#hardware?.holds(picture) ? this.#hardware : undefined;
    const scaled = width !== this.width || height !== this.height;
    const checkUsable = () => {
      if (!current.usable) throw invalid("this frame's iteration has gone on: copy it before the next step");
    };
    const copyInto = (planes: readonly DestinationPlane[]) => {
      checkUsable();
      this.#writer.write(hardware?.download(picture) ?? picture, planes);
    };
    const devicePicture = hardware && !scaled && this.#gpuFormat === this.format
      ? hardware.locate(picture)
      : undefined;
    return {
      kind: "frame",
      timestampNs,
      durationNs,
      width,
      height,
      scaled,
      corrupt: concealed || (this.#damage !== undefined && timestampNs >= this.#damage.fromNs),
      discontinuity,
      devicePicture,
      copyInto,
      writeTo: (frame) => {
        checkUsable();
        if (frame.memory === "host") return copyInto(frame.planes);
        if (devicePicture) return frame.copyFrom(devicePicture);
        const { planes, bytes } = this.#scratch ??= packedPlanes(this.format, this.width, this.height);
        copyInto(planes);
        frame.write(bytes);
      },
    };
  }

  #frameTime(picture: Frame, durationNs: bigint): bigint {
    const { av } = this.#source;
    const last = this.#lastFrameNs;
    let time = [picture.pts, picture.bestEffortTimestamp].find((candidate) =>
      candidate !== av.AV_NOPTS_VALUE
    );
    time ??= last === undefined ? 0n : last + durationNs;
    if (last !== undefined && time <= last) time = last + 1n;
    return this.#lastFrameNs = time;
  }

  async #wait(pace: Pace, event: MediaEvent): Promise<void> {
    const due = event.kind === "packet" ? event.decodeTimestampNs : event.timestampNs;
    const delay = pace.delay(event.kind, due, performance.now());
    if (delay <= 0) return;
    await sleep(Math.min(delay, LONGEST_TIMER_MS), undefined, { signal: this.#stop.signal }).catch(() =>
      this.#stop.signal.throwIfAborted()
    );
  }

  #retire(): void {
    if (this.#current) this.#current.usable = false;
    this.#current = undefined;
  }
}

function openHardware(av: NodeAv, wanted: "none" | "cuda" | "auto", device: number): Hardware | undefined {
  if (wanted === "none") return undefined;
  try {
    return Hardware.open(av, device);
  } catch (error) {
    if (wanted === "cuda") throw error;
    return undefined; // "auto": the CPU does it
  }
}

/** Memory for a picture without padding, as planes. */
function packedPlanes(
  format: PixelFormat,
  width: number,
  height: number,
): { planes: DestinationPlane[]; bytes: Uint8Array } {
  const { planes, size } = planCopy(format, width, height);
  const bytes = new Uint8Array(size);
  return {
    planes: planes.map(({ offset, stride, rows }) => ({
      data: bytes.subarray(offset, offset + stride * rows),
      stride,
      rows,
    })),
    bytes,
  };
}
