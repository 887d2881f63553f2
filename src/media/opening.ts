/** This file opens an input: its options are checked here, and the demuxer, the GPU and the decoder are opened. */
import {
  checkDimension,
  checkInteger,
  checkOptions,
  CuframesError,
  formatCode,
  invalid,
  isCuframesError,
  optionNames,
  type PixelFormat,
  RAW_PASSWORD_ADVICE,
  rawPassword,
  redact,
  timeoutMilliseconds,
} from "../core/mod.ts";
import { CallQueue } from "./call_queue.ts";
import { Decoder } from "./decoder.ts";
import { Demuxer, type Source } from "./demuxer.ts";
import { Hardware } from "./hardware.ts";
import { loadNodeAv, type NodeAv } from "./node_av.ts";

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
  /**
   * Whether frames are decoded beside the packets; default true. Without it an input may have no video, where sound or
   * data was asked for and is there.
   */
  decode?: boolean;
  /**
   * Whether there is sound beside the video, as packets that are not decoded; default false. `true`: FFmpeg's choice
   * among the input's, also one that comes later; a number: that one of them, from 0 on, which must be there.
   */
  audio?: boolean | number;
  /**
   * Whether the input's data (KLV, ONVIF metadata, GPMF …) comes beside it, six tracks at the most, each packet as its
   * bytes; default false.
   */
  data?: boolean;
  /**
   * The frames' format; default: the one that keeps most of the decoder's, of NV12 (8-bit YUV), P010 (deeper
   * YUV), GRAY8 and RGBA.
   */
  format?: PixelFormat;
  /** The frames' width in pixels; default: the track's. */
  width?: number;
  /** The frames' height in pixels; default: the track's. */
  height?: number;
  /**
   * Whether events come at the stream's own pace instead of as fast as they can; default false. Such an input is a file: it
   * keeps its frame rate where it has no times of its own. A camera's are when its packets come.
   */
  realtime?: boolean;
  /** Whether the input is opened again at its end, its timestamps going on; default false. */
  loop?: boolean;
  /** Ends opening, reading and waiting; they throw its reason. */
  signal?: AbortSignal;
  /** FFmpeg's name of the input's format, such as `"v4l2"` or `"lavfi"`; default: found out. */
  inputFormat?: string;
  /**
   * How long opening may take (5 s more with the look at the streams), and how long an input may give no packet,
   * until they throw `TIMEOUT`. Milliseconds; default: for ever. Looking up a host name, and a device's driver,
   * cannot be interrupted.
   */
  timeout?: number;
  /**
   * FFmpeg's options of the demuxer and the protocol, such as `{ rtsp_transport: "tcp" }`. One that FFmpeg does not have, or
   * that a file's demuxer does not take, is refused.
   */
  options?: Record<string, string>;
  /**
   * Where frames are decoded: `"none"` (default) on the CPU; `"cuda"` on the GPU, for the codecs that it has a decoder
   * for; `"auto"`: on the GPU where there is one.
   */
  hardware?: "none" | "cuda" | "auto";
  /** The CUDA device's number in this process; default 0. */
  device?: number;
}

const OPEN_OPTIONS = optionNames<OpenMediaOptions>({
  decode: true,
  audio: true,
  data: true,
  format: true,
  width: true,
  height: true,
  realtime: true,
  loop: true,
  signal: true,
  inputFormat: true,
  timeout: true,
  options: true,
  hardware: true,
  device: true,
});

/** An input that was opened, and what is to be made of it. */
export interface Opened {
  readonly options: OpenMediaOptions;
  readonly source: Source;
  /** Ends every wait for the source; the options' signal ends it, too. */
  readonly stop: AbortController;
  readonly demuxer: Demuxer;
  /** Undefined where no frames are wanted. */
  readonly decoder: Decoder | undefined;
  /** Undefined where the CPU decodes. */
  readonly hardware: Hardware | undefined;
}

/** Opens an input, as `openMedia` says. */
export async function openInput(input: string, options?: OpenMediaOptions): Promise<Opened> {
  options = checkOptions(options, OPEN_OPTIONS);
  check(input, options);
  const { signal, hardware: wanted = "none", device = 0, decode = true } = options;
  signal?.throwIfAborted();
  const av = await loadNodeAv();
  const stop = new AbortController();
  const abort = () => stop.abort(signal?.reason);
  signal?.addEventListener("abort", abort);
  const source: Source = {
    av,
    input,
    inputFormat: options.inputFormat,
    options: options.options ?? {},
    audio: options.audio ?? false,
    data: options.data ?? false,
    needsVideo: decode,
    isFile: options.realtime === true || options.loop === true,
    timeout: options.timeout ?? Infinity,
    calls: new CallQueue(),
    signal: stop.signal,
  };
  let demuxer: Demuxer | undefined;
  let hardware: Hardware | undefined;
  try {
    signal?.throwIfAborted();
    demuxer = await Demuxer.open(source);
    if (decode) hardware = openHardware(av, wanted, device);
    const decoder = decode
      ? await Decoder.open(av, source.calls, demuxer.parameters!, demuxer.live, hardware)
      : undefined;
    return { options, source, stop, demuxer, decoder, hardware };
  } catch (error) {
    hardware?.close();
    await demuxer?.close();
    throw withAdvice(error, input);
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

/** An error of opening an input, with what may help. */
function withAdvice(error: unknown, input: string): unknown {
  if (!isCuframesError(error) || rawPassword(input) !== "perhaps") return error;
  return new CuframesError(error.code, `${error.message} (${RAW_PASSWORD_ADVICE})`, { cause: error.cause });
}

function check(input: string, options: OpenMediaOptions): void {
  // FFmpeg's binding would dereference it.
  if (input === "") throw invalid("the input is empty: it must be a path or a URL");
  if (rawPassword(input) === "surely") throw invalid(`opening ${redact(input)}: ${RAW_PASSWORD_ADVICE}`);
  const { format, width, height, hardware = "none", device = 0, timeout = Infinity } = options;
  if (format !== undefined) formatCode(format);
  if (width !== undefined) checkDimension("width", width);
  if (height !== undefined) checkDimension("height", height);
  if (!["none", "cuda", "auto"].includes(hardware)) {
    throw invalid(`hardware is ${JSON.stringify(hardware)}: it must be none, cuda or auto`);
  }
  checkInteger("device", device, 0, 255);
  if (typeof options.audio === "number") checkInteger("audio", options.audio, 0, 255);
  timeoutMilliseconds("timeout", timeout);
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
