/**
 * This file is `cuframes source`: it makes a `CameraSource` of what was typed, and tells people and scripts how that
 * goes.
 */
import { setTimeout as sleep } from "node:timers/promises";
import process from "node:process";
import { Argument, type Command, InvalidArgumentError, Option } from "commander";
import {
  checkKey,
  environment,
  PACKETS_MAX,
  PIXEL_FORMATS,
  type PixelFormat,
  type Size,
  Ticker,
} from "../core/mod.ts";

import type { MemoryKind } from "../memory/mod.ts";
import { CameraSource, type CameraSourceEvent, type CameraSourceOptions } from "../source/mod.ts";
import { loadCameras } from "./cameras_config.ts";
import {
  Alias,
  type CommonOptions,
  type Context,
  contextOf,
  duration,
  durationOption,
  integer,
  newCommand,
  size,
  URL_VARIABLE,
} from "./command.ts";
import { UsageError } from "./exit.ts";
import { hideArgument } from "./hide_arguments.ts";
import { SUPERVISED, Supervisor } from "./supervisor.ts";
import { printJson } from "./stdout.ts";
import { printable, seconds } from "./tables.ts";

interface SourceOptions extends CommonOptions {
  key?: string;
  config?: string;
  slots?: number;
  maxSlots?: number;
  memoryLimit?: number;
  memory: MemoryKind | "auto";
  device: number;
  hardware: Hardware;
  frames: boolean;
  packets: boolean;
  audio: boolean;
  audioTrack?: number;
  data: boolean;
  packetSlots: number;
  dataSize: number;
  realtime?: boolean;
  patience?: number;
  loop?: boolean;
  size?: Size;
  format?: PixelFormat;
  transport: "tcp" | "udp";
  timeout: number;
  reconnect: boolean;
  maxDelay: number;
  subscribers: number;
  inputFormat?: string;
  inputOption?: Record<string, string>;
  socketMode?: number;
  interval: number;
}

type Hardware = "auto" | "none" | "cuda";

export function sourceCommand(): Command {
  return newCommand("source", "Publish a camera, a device or a file: its frames and its packets.", [
    "source rtsp://camera.local/stream --key parking",
    "source clip.mp4 --key demo --realtime --loop",
    "source - --key live < stream.ts",
    "source testsrc2=size=1280x720:rate=25 --input-format lavfi --realtime --key test",
    `source --key yard   # the URL in ${URL_VARIABLE}, where its password is not in the list of processes`,
    "source --config cameras.yaml",
  ])
    .addArgument(
      new Argument(
        "[input]",
        `URL, file, /dev/video*, or - for the standard input; default: ${URL_VARIABLE}`,
      ),
    )
    .option("-k, --key <key>", "the name that subscribers connect to", parseKey)
    .option("--config <file>", "publish every source of a YAML file; see docs/cli.md")
    // Before the options that they stand for, which come first where the environment has both.
    .addOption(new Alias("--ring <frames>", "slots").argParser(integer(2, 64)))
    .addOption(new Alias("--decoder <where>", "hardware").argParser(hardware))
    .addOption(new Alias("--packet-memory <MiB>", "dataSize").argParser(integer(1, 1024)))
    .option("--slots <frames>", "slots that the ring begins with, 2 to 64; default 8", integer(2, 64))
    .option("--max-slots <frames>", "slots that it may grow to, to 64; default 32", integer(2, 64))
    .option(
      "--memory-limit <MiB>",
      "what the slots may take, with those that evicted subscribers still hold; default: four times --max-slots",
      integer(1, 2 ** 20),
    )
    .addOption(memoryOption())
    .option("--device <number>", "the GPU's number", integer(0, 255), 0)
    .addOption(
      new Option("--hardware <where>", "where pictures are decoded; none: on the CPU")
        .choices(["auto", "none", "cuda"]).argParser(hardware).default("auto"),
    )
    .option("--no-frames", "publish packets only: nothing is decoded")
    .option("--packets", "publish the encoded packets too (default)", true)
    .option("--no-packets", "publish frames only")
    .option("--audio", "publish the input's sound with the packets (default)", true)
    .option("--no-audio", "publish no sound")
    .option("--audio-track <number>", "publish this one of several sounds, from 0", integer(0, 255))
    .option("--data", "publish the input's data streams with the packets (default)", true)
    .option("--no-data", "publish no data streams")
    .option(
      "--packet-slots <count>",
      `packets in the packet ring, 1 to ${PACKETS_MAX}`,
      integer(1, PACKETS_MAX),
      PACKETS_MAX,
    )
    .option("--data-size <MiB>", "payload in the packet ring, 1 to 1024", integer(1, 1024), 16)
    .option("--realtime", "read a file at its own pace, not as fast as it goes")
    .option(
      "--patience <duration>",
      "how long a file's frame waits for ordered subscribers; default: for as long as they are connected",
      duration,
    )
    .option("--loop", "begin again at a file's end")
    .option("--size <WxH>", "scale frames once, here", size)
    .addOption(
      new Option("--format <name>", "pixel format of the frames").choices(Object.keys(PIXEL_FORMATS)),
    )
    .addOption(
      new Option("--transport <protocol>", "what RTSP travels on").choices(["tcp", "udp"]).default("tcp"),
    )
    .addOption(
      durationOption("--timeout <duration>", "a camera that gives nothing for so long is lost", "10s"),
    )
    .option("--no-reconnect", "end when a camera is lost")
    .addOption(
      durationOption("--max-delay <duration>", "the longest wait between two attempts to reconnect", "30s"),
    )
    .option("--subscribers <count>", "begin when so many subscribers are there", integer(0, 64), 0)
    .option("--input-format <name>", "FFmpeg's name of the input's format, such as v4l2")
    .option(
      "--input-option <name=value>",
      "an FFmpeg option of the input; repeatable, in the variable one a line",
      inputOption,
    )
    .option("--socket-mode <octal>", "permissions of the socket; default 660", octal)
    .addOption(
      durationOption("--interval <duration>", "how often --json and --verbose tell the status", "10s"),
    )
    .action((input: string | undefined, options: SourceOptions, command: Command) =>
      runSource(input, options, command)
    );
}

function memoryOption(): Option {
  return new Option("--memory <kind>", "where frames live; auto: on a GPU where there is one")
    .choices(["auto", "host", "cuda"]).default("auto");
}

function hardware(text: string): Hardware {
  // What "none" was called before.
  const where = text === "cpu" ? "none" : text;
  if (where === "auto" || where === "none" || where === "cuda") return where;
  throw new InvalidArgumentError("Allowed choices are auto, none, cuda.");
}

function parseKey(key: string): string {
  try {
    return checkKey(key);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

function octal(text: string): number {
  if (/^0?[0-7]{3}$/.test(text)) return Number.parseInt(text, 8);
  throw new InvalidArgumentError("It must be octal permission bits such as 660.");
}

function inputOption(text: string, before: Record<string, string> = {}): Record<string, string> {
  const options = { ...before };
  for (const line of text.split("\n")) {
    const [, name, value] = /^([\w-]+)=(.*)$/.exec(line) ?? [];
    if (name === undefined) throw new InvalidArgumentError("It must be NAME=VALUE.");
    options[name] = value!;
  }
  return options;
}

async function runSource(
  argument: string | undefined,
  options: SourceOptions,
  command: Command,
): Promise<void> {
  for (const text of process.argv) hideArgument(text);
  const context = contextOf(options);
  const { config } = options;
  const supervised = environment(SUPERVISED) !== undefined;
  if (config !== undefined && !supervised) {
    if (argument !== undefined || options.key !== undefined) {
      throw new UsageError("--config names sources of its own: leave the input and --key away");
    }
    const cameras = await loadCameras(config, command);
    return await new Supervisor(context, cameras).run();
  }
  const typed = argument ?? environment(URL_VARIABLE);
  const input = typed === STDIN ? stdinOf(supervised) : typed;
  if (input === undefined) {
    throw new UsageError(`what is to be published? Name an input, or set ${URL_VARIABLE}`);
  }
  if (options.key === undefined) {
    throw new UsageError("--key is missing: the name that subscribers connect to");
  }
  const settings = sourceOptionsOf(input, options.key, options, context);
  if (!supervised) return await publish(settings, options, context, context.signal);
  const orphaned = stdinEnd();
  const signal = AbortSignal.any([context.signal, orphaned]);
  const named = { ...context, log: context.log.named(options.key) };
  await publish(settings, options, named, signal).catch((error) => {
    if (!orphaned.aborted) throw error;
  });
}

/** What the standard input is called on a command line, as everywhere. */
const STDIN = "-";

/** FFmpeg's name of the standard input. */
function stdinOf(supervised: boolean): string {
  if (supervised) {
    throw new UsageError("a source of a config file has no standard input: name a file or a URL");
  }
  if (process.stdin.isTTY) {
    throw new UsageError("the standard input is a terminal: pipe a stream into it, or redirect a file");
  }
  return "pipe:0";
}

/** Aborted when standard input ends: the supervisor wants this process to end, or has died. */
function stdinEnd(): AbortSignal {
  const controller = new AbortController();
  process.stdin.on("end", () => controller.abort()).on("error", () => controller.abort()).resume();
  return controller.signal;
}

function sourceOptionsOf(
  input: string,
  key: string,
  options: SourceOptions,
  { place }: Context,
): CameraSourceOptions {
  if (!options.frames && !options.packets) {
    throw new UsageError("--no-frames and --no-packets leave nothing to publish");
  }
  const { frames, slots, maxSlots, memoryLimit, memory, device, hardware } = options;
  const { transport, reconnect, subscribers } = options;
  const { patience, realtime = false, loop = false, size, format, inputFormat, inputOption, socketMode } =
    options;
  return {
    ...{ input, key, frames, memory, device, hardware, realtime, loop },
    ...(slots !== undefined && { slots }),
    ...(maxSlots !== undefined && { maxSlots }),
    ...(memoryLimit !== undefined && { memoryLimit: memoryLimit * 2 ** 20 }),
    ...{ transport, reconnect, subscribers, ...place, ...size },
    audio: options.audio && (options.audioTrack ?? true),
    data: options.data,
    packets: options.packets && { slots: options.packetSlots, dataSize: options.dataSize * 2 ** 20 },
    timeout: options.timeout * 1000,
    maxDelay: options.maxDelay * 1000,
    ...(format !== undefined && { format }),
    ...(inputFormat !== undefined && { inputFormat }),
    ...(inputOption !== undefined && { inputOptions: inputOption }),
    ...(socketMode !== undefined && { socketMode }),
    ...(patience !== undefined && { patience: patience * 1000 }),
  };
}

/** How long closing may take: a native call that looks up a host name cannot be interrupted. */
const CLOSING_MS = 3000;

async function publish(
  options: CameraSourceOptions,
  { interval }: SourceOptions,
  { log, json }: Context,
  signal: AbortSignal,
): Promise<void> {
  const { key } = options;
  const onEvent = (event: CameraSourceEvent) => {
    if (!json) return log.info(describe(event));
    const { kind, ...rest } = event;
    printJson({ event: kind, ...rest, key });
  };
  using source = CameraSource.start({ ...options, signal, onEvent });
  const tell = () => {
    if (json) printJson({ event: "status", key, ...source.stats() });
    else log.debug(statusLine(source));
  };
  const timers = [new Ticker(interval * 1000, tell)];
  if (process.stderr.isTTY && environment(SUPERVISED) === undefined) {
    timers.push(new Ticker(1000, () => log.progress(statusLine(source))));
  }
  const late = Promise.withResolvers<void>();
  const abort = () =>
    void sleep(CLOSING_MS).then(() => {
      log.warn(`the input has not closed for ${CLOSING_MS / 1000} s: left as it is`);
      late.resolve();
    });
  signal.addEventListener("abort", abort);
  try {
    await Promise.race([source.closed, late.promise]);
    signal.throwIfAborted();
  } finally {
    signal.removeEventListener("abort", abort);
    for (const timer of timers) timer[Symbol.dispose]();
    log.progressDone();
    if (json) printJson({ event: "ended", key, ...source.stats() });
    else log.info(statusLine(source));
  }
}

function describe(event: CameraSourceEvent): string {
  switch (event.kind) {
    case "connecting":
      return `opening ${event.input}`;
    case "connected": {
      const { codec, codedWidth, codedHeight, frameRate, width, height, format, memory, packets } = event;
      const rate = frameRate === null ? "" : ` at ${Number(frameRate.toFixed(3))}/s`;
      const published = event.frames
        ? `as ${format} ${width}×${height} on ${memory} memory${packets ? ", with packets" : ""}`
        : "as packets only";
      return `${codec} ${codedWidth}×${codedHeight}${rate}, published ${published}`;
    }
    case "grown":
      return `the ring has ${event.slots} slots now: ${
        event.holder ? `${holding(event.holder)}, most of all` : "none was free"
      }`;
    case "shrunk":
      return `the ring has ${event.slots} slots now: no more were needed for 10 s`;
    case "evicted":
      return `evicted ${holding(event)}`;
    case "refused":
      return `${printable(event.name)} is refused for ${seconds(event.refusedFor)}: it was evicted again`;
    case "disconnected":
      return `lost: ${event.reason}; next attempt in ${(event.retryIn / 1000).toFixed(1)} s`;
  }
}

function holding(
  { name, pid, frames, heldFor }: { name: string; pid: number; frames: number; heldFor: number },
) {
  const process = pid === 0 ? "" : ` (pid ${pid})`;
  return `${printable(name)}${process}, which holds ${frames} frames, the oldest for ${seconds(heldFor)}`;
}

function statusLine(source: CameraSource): string {
  const { state, frames, framesDropped, packets, packetsDropped, reconnects, subscribers } = source.stats();
  const { slots, slotsLeased, evictions, audioPackets, dataPackets } = source.stats();
  const counts = [
    `${frames} frames`,
    framesDropped > 0 && `${framesDropped} without a free slot`,
    `${packets} packets`,
    audioPackets > 0 && `${audioPackets} of sound`,
    dataPackets > 0 && `${dataPackets} of data`,
    packetsDropped > 0 && `${packetsDropped} too large`,
    reconnects > 0 && `${reconnects} reconnects`,
    `${subscribers} subscribers`,
    slots > 0 && `${slotsLeased} of ${slots} slots held`,
    evictions > 0 && `${evictions} evicted`,
  ];
  return `${state}: ${counts.filter((count) => count !== false).join(", ")}`;
}
