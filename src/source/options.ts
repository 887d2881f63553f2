/** This file has the options of a camera's source, and checks them. */
import {
  checkDimension,
  checkInteger,
  checkKey,
  checkOptions,
  formatCode,
  invalid,
  optionNames,
  type PixelFormat,
  shown,
  SLOTS_MAX,
  SLOTS_MIN,
  SUBSCRIBERS_MAX,
  timeoutMilliseconds,
} from "../core/mod.ts";
import type { OpenMediaOptions } from "../media/mod.ts";
import { type MemoryKind, resolveRuntimeDirectory } from "../memory/mod.ts";
import type { CameraSourceEvent } from "./event.ts";

/**
 * How {@linkcode CameraSource.start} opens an input, and publishes it.
 *
 * @example
 * ```ts
 * import { CameraSource, type CameraSourceOptions } from "@cuframes/core/source";
 *
 * const options: CameraSourceOptions = {
 *   input: "rtsp://camera.local/stream",
 *   key: "parking",
 *   width: 1280,
 *   height: 720,
 *   packets: { dataSize: 32 * 2 ** 20 },
 *   timeout: 5000,
 *   onEvent: (event) => console.log(event),
 * };
 * await using source = CameraSource.start(options);
 * await source.closed;
 * ```
 */
export interface CameraSourceOptions {
  /**
   * What is published: a path, a device such as `/dev/video0`, or a URL that FFmpeg can read. Credentials in a URL
   * stay out of events and messages.
   */
  input: string;
  /** The name that subscribers connect to: 1–63 characters of `A–Z a–z 0–9 _ -`. */
  key: string;
  /** Where the socket is made; default: see docs/protocol.md, "Runtime directory". */
  runtimeDirectory?: string;
  /** Permission bits of the socket; default `0o660`. */
  socketMode?: number;
  /** Whether frames are decoded and published; default true. Without them there are packets only. */
  frames?: boolean;
  /** Slots that the ring begins with, and goes back to: 2 to 64; default 8, or `maxSlots` where that is less. */
  slots?: number;
  /** Slots that the ring may grow to: `slots` to 64; default 32. See `PublisherOptions.maxSlots`. */
  maxSlots?: number;
  /** Bytes that the slots may take. See `PublisherOptions.memoryLimit`. */
  memoryLimit?: number;
  /** Where frames live: `"host"`, `"cuda"`, or `"auto"` (default): on a GPU where there is one. */
  memory?: MemoryKind | "auto";
  /** The GPU's number in this process, 0 to 255; default 0. */
  device?: number;
  /**
   * Where pictures are decoded: `"none"` on the CPU, `"cuda"` on the GPU, `"auto"` (default) on a GPU where there is
   * one.
   */
  hardware?: "auto" | "none" | "cuda";
  /** The frames' width in pixels, 1 to 16384: they are scaled once, here; default: the stream's. */
  width?: number;
  /** The frames' height in pixels, 1 to 16384; default: the stream's. */
  height?: number;
  /** The frames' format; default: the one that keeps most of the decoder's, as with `openMedia`. */
  format?: PixelFormat;
  /**
   * Whether the encoded packets are published too, and in how large a ring; default true. At least one of frames and
   * packets must be published.
   */
  packets?: boolean | CameraPacketsOptions;
  /**
   * Which sound is published with the packets of the pictures, not encoded again: `true` (default): the input's best, where it
   * has any; its n-th, from 0; `false`: none.
   */
  audio?: boolean | number;
  /** Whether the input's data streams are published too, as bytes: ONVIF metadata, KLV, GPMF; default true. */
  data?: boolean;
  /** Whether a file is read at its own pace, not as fast as ordered subscribers take it; default false. */
  realtime?: boolean;
  /**
   * How long a frame of an input that may be held back (a file, without `realtime`) waits for subscribers that are
   * `"ordered"`, or that hold frames; then it is dropped. Milliseconds, from 1 on; default `Infinity`: for as long as they
   * are connected.
   */
  patience?: number;
  /** Whether a file begins again at its end; default false. */
  loop?: boolean;
  /** What RTSP travels on; default `"tcp"`. */
  transport?: "tcp" | "udp";
  /** An input that gives nothing for so long is lost. Milliseconds, from 1 on; default 10000; `Infinity`: never. */
  timeout?: number;
  /** Whether a camera that is lost is opened again, for as long as it takes; default true. A file never is. */
  reconnect?: boolean;
  /**
   * The longest wait between two attempts. Milliseconds, from 1 on; default 30000. The first is a quarter to half a
   * second, each of the next up to twice as long as the one before.
   */
  maxDelay?: number;
  /** FFmpeg's name of the input's format, such as `"v4l2"` or `"lavfi"`; default: found out. */
  inputFormat?: string;
  /**
   * FFmpeg's options of the demuxer and the protocol, such as `{ video_size: "1280x720" }`. One that FFmpeg does not have
   * is refused.
   */
  inputOptions?: Readonly<Record<string, string>>;
  /** Nothing is published before so many subscribers are there, 0 to 64; default 0. */
  subscribers?: number;
  /** Ends the source: {@linkcode CameraSource.closed} rejects with its reason. */
  signal?: AbortSignal;
  /** Told of each event, in its turn; what it throws ends the source. */
  onEvent?: (event: CameraSourceEvent) => void;
}

/**
 * The packet ring of a {@linkcode CameraSource}.
 *
 * @example
 * ```ts
 * import { CameraSource } from "@cuframes/core/source";
 *
 * const packets = { slots: 512, dataSize: 32 * 2 ** 20 };
 * await using source = CameraSource.start({ input: "rtsp://camera/stream", key: "cam", packets });
 * ```
 */
export interface CameraPacketsOptions {
  /** Packets in the ring, 1 to 1024; default 1024. */
  slots?: number;
  /**
   * Payload in the ring, of which the largest packet may have a quarter. Bytes, 4 to 2^30; default 16777216, which is
   * 16 MiB.
   */
  dataSize?: number;
}

const SOURCE_OPTIONS = optionNames<CameraSourceOptions>({
  input: true,
  key: true,
  runtimeDirectory: true,
  socketMode: true,
  frames: true,
  slots: true,
  maxSlots: true,
  memoryLimit: true,
  memory: true,
  device: true,
  hardware: true,
  width: true,
  height: true,
  format: true,
  packets: true,
  audio: true,
  data: true,
  realtime: true,
  patience: true,
  loop: true,
  transport: true,
  timeout: true,
  reconnect: true,
  maxDelay: true,
  inputFormat: true,
  inputOptions: true,
  subscribers: true,
  signal: true,
  onEvent: true,
});
const PACKETS_OPTIONS = optionNames<CameraPacketsOptions>({ slots: true, dataSize: true });

/** Checked options, with every default. */
export interface CameraSourceSettings extends RingSettings {
  readonly input: string;
  /** How the input is opened, but for what a connection's turn brings. */
  readonly media: OpenMediaOptions;
  readonly realtime: boolean;
  readonly reconnect: boolean;
  /** Milliseconds. */
  readonly maxDelay: number;
  readonly subscribers: number;
  readonly signal: AbortSignal | undefined;
  readonly onEvent: ((event: CameraSourceEvent) => void) | undefined;
}

/** How a camera's publisher is made. */
export interface RingSettings {
  readonly key: string;
  /** Whether there are any. */
  readonly frames: boolean;
  readonly place: { readonly runtimeDirectory?: string; readonly socketMode?: number };
  readonly slots: number;
  readonly maxSlots: number;
  /** Bytes; undefined: the publisher's default. */
  readonly memoryLimit: number | undefined;
  readonly memory: MemoryKind | "auto";
  readonly device: number;
  /** How long subscribers may hold an input back that can be. Milliseconds. */
  readonly patience: number;
  /** Undefined: none. */
  readonly packets: { readonly slots: number; readonly dataSize: number } | undefined;
}

/** @throws {CuframesError} `INVALID_ARGUMENT` */
export function settingsOf(options: CameraSourceOptions): CameraSourceSettings {
  options = checkOptions(options, SOURCE_OPTIONS);
  // Now: the publisher is made when the camera has answered.
  const runtimeDirectory = resolveRuntimeDirectory(options.runtimeDirectory);
  const { input, key, socketMode, frames = true, packets = true } = options;
  const { memory = "auto", device = 0, subscribers = 0, memoryLimit } = options;
  const { maxSlots = Math.max(options.slots ?? 0, 32), slots = Math.min(8, maxSlots) } = options;
  const { reconnect = true, maxDelay = 30_000, realtime = false, signal, onEvent } = options;
  const { patience = Infinity } = options;
  if (typeof input !== "string" || input === "") {
    throw invalid("the input is empty: it must be a path, a device or a URL");
  }
  if (!frames && packets === false) {
    throw invalid(`${key}: frames and packets are false, which leaves nothing to publish`);
  }
  return {
    input,
    key: checkKey(key),
    place: {
      ...(runtimeDirectory !== undefined && { runtimeDirectory }),
      ...(socketMode !== undefined && { socketMode: checkInteger("socketMode", socketMode, 0, 0o777) }),
    },
    frames,
    slots: checkInteger("slots", slots, SLOTS_MIN, SLOTS_MAX),
    maxSlots: checkInteger("maxSlots", maxSlots, slots, SLOTS_MAX),
    memoryLimit: memoryLimit && checkInteger("memoryLimit", memoryLimit, 0, Number.MAX_SAFE_INTEGER),
    memory: oneOf("memory", memory, ["auto", "host", "cuda"]),
    device: checkInteger("device", device, 0, 255),
    packets: packets === false ? undefined : packetsOf(packets === true ? {} : packets),
    media: mediaOptionsOf(options),
    realtime,
    reconnect,
    patience: milliseconds("patience", patience),
    maxDelay: milliseconds("maxDelay", maxDelay),
    subscribers: checkInteger("subscribers", subscribers, 0, SUBSCRIBERS_MAX),
    signal,
    onEvent,
  };
}

/** The largest packet, as a share of the packet ring's memory. */
export const LARGEST_SHARE = 4;

function packetsOf(options: CameraPacketsOptions) {
  const { slots = 1024, dataSize = 16 * 2 ** 20 } = checkOptions(options, PACKETS_OPTIONS);
  return {
    slots: checkInteger("packets.slots", slots, 1, 1024),
    dataSize: checkInteger("packets.dataSize", dataSize, LARGEST_SHARE, 2 ** 30),
  };
}

function mediaOptionsOf(options: CameraSourceOptions): OpenMediaOptions {
  const { input, frames = true, hardware = "auto", device = 0, format, width, height } = options;
  const { transport = "tcp", inputFormat, inputOptions, timeout = 10_000, realtime, loop } = options;
  oneOf("transport", transport, ["tcp", "udp"]);
  if (format !== undefined) formatCode(format);
  const { packets = true, audio = true, data = true } = options;
  if (typeof audio !== "boolean") checkInteger("audio", audio, 0, 255);
  // Nobody is to send what nobody takes.
  const carried = packets === false ? { audio: false, data: false } : { audio, data };
  const kinds = ["video", carried.audio !== false && "audio", carried.data && "data"].filter((kind) => kind);
  const rtsp = /^rtsps?:/i.test(input) && {
    rtsp_transport: transport,
    allowed_media_types: kinds.join("+"),
    // The rate is of little use here, and a longer look at it would be a longer gap.
    fpsprobesize: "3",
  };
  return {
    decode: frames,
    ...carried,
    hardware: oneOf("hardware", hardware, ["auto", "none", "cuda"]),
    device,
    realtime: realtime ?? false,
    loop: loop ?? false,
    timeout: milliseconds("timeout", timeout),
    options: { ...rtsp, ...inputOptions },
    ...(inputFormat !== undefined && { inputFormat }),
    ...(format !== undefined && { format }),
    ...(width !== undefined && { width: checkDimension("width", width) }),
    ...(height !== undefined && { height: checkDimension("height", height) }),
  };
}

function milliseconds(name: string, value: number): number {
  timeoutMilliseconds(name, value);
  if (value < 1) throw invalid(`${name} is ${shown(value)}: it must be 1 ms or more`);
  return value;
}

function oneOf<Value extends string>(name: string, value: Value, values: readonly Value[]): Value {
  if (values.includes(value)) return value;
  throw invalid(`${name} is ${shown(value)}: it must be one of ${values.join(", ")}`);
}
