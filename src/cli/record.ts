/** This file is `cuframes record`, which writes packets to files, not encoded again. */
import { type Command, Option } from "commander";
import { extname, resolve } from "node:path";
import strftime from "strftime";
import { AllTracks, loadNodeAv, recordable, type Segment, SegmentRecorder } from "../media/mod.ts";

import { Subscriber } from "../frames/mod.ts";
import {
  type CommonOptions,
  type Context,
  contextOf,
  duration,
  durationOrNone,
  newCommand,
} from "./command.ts";
import { UsageError } from "./exit.ts";
import { trackPacketsOf } from "./packets.ts";
import { parseTrigger, recordEvents, type Trigger } from "./record_events.ts";
import { type Output, tellLeft } from "./record_output.ts";
import { printJson } from "./stdout.ts";

const FORMATS: Record<string, string> = { mp4: "mp4", mkv: "matroska", ts: "mpegts" };
/** How long a full disk is left alone, in ms. */
const FULL_RETRY_MS = 5000;

interface RecordOptions extends CommonOptions {
  output: string;
  format?: string;
  segment?: number;
  duration?: number;
  sync: number;
  audio?: "aac";
  diskFull: "stop" | "wait";
  on?: Trigger[];
  pre?: number;
  post?: number;
  wait?: number;
  reconnect: boolean;
  name: string;
}

export function recordCommand(): Command {
  return newCommand(
    "record",
    "Record the packets of a key, sound and all, to MP4, MKV or MPEG-TS, not encoded again.",
    [
      "record cam1 --output cam1.mp4",
      "record cam1 --output '/recordings/%Y-%m-%d/cam1-%H%M%S.mp4' --segment 10m",
      "record cam1 --output cam1-%s.ts --duration 30s --json",
      "record cam1 --output 'events/%H%M%S.mp4' --on signal --pre 5s --post 20s",
      "record cam1 --output 'events/%H%M%S.mp4' --on data:detections:label=person",
    ],
  )
    .argument("<key>", "the publisher's key")
    .requiredOption(
      "-o, --output <pattern>",
      "path with strftime's % directives; a file that exists is not overwritten",
    )
    .addOption(
      new Option("--format <format>", "default: by the path's extension").choices(Object.keys(FORMATS)),
    )
    .option("--segment <duration>", "begin a new file every so often, at a key packet", duration)
    .option("--duration <duration>", "end after so much of the stream", duration)
    .addOption(
      new Option("--sync <duration>", "bring what is recorded to the disk so often; 0: when the kernel likes")
        .argParser(durationOrNone).default(2, "2s"),
    )
    .addOption(new Option("--audio <codec>", "encode sound; default: as it is").choices(["aac"]))
    .addOption(
      new Option("--disk-full <policy>", "stop with exit code 6, or wait and go on in a new file")
        .choices(["stop", "wait"]).default("stop"),
    )
    .option(
      "--on <event>",
      "record events alone: signal (SIGUSR1), line (of standard input), data:[KEY/]LABEL[:PATH[=VALUE]]; repeatable",
      (text: string, before: Trigger[] = []) => [...before, ...text.split("\n").map(parseTrigger)],
    )
    .option(
      "--pre <duration>",
      "how long before an event its file begins at the latest; default 10s",
      durationOrNone,
    )
    .option("--post <duration>", "how long behind an event its file ends; default 10s", durationOrNone)
    .option("--wait <duration>", "how long to wait for the publisher; default: not at all", duration)
    .option("--no-reconnect", "end with the publisher instead of waiting for the next one")
    .option("--name <name>", "what the publisher's reports call this reader", "record")
    .action(record);
}

async function record(key: string, options: RecordOptions): Promise<void> {
  const context = contextOf(options);
  const format = options.format === undefined ? undefined : FORMATS[options.format];
  const known = Object.keys(FORMATS).includes(extname(options.output).slice(1).toLowerCase());
  if (!format && !known) {
    throw new UsageError(`${options.output} must end in .mp4, .mkv or .ts, or give --format`);
  }
  if (options.on === undefined && (options.pre ?? options.post) !== undefined) {
    throw new UsageError("--pre and --post are about events: say with --on which ones");
  }
  if (options.on !== undefined && (options.segment ?? options.duration) !== undefined) {
    throw new UsageError("with --on each event has a file of its own: leave --segment and --duration away");
  }
  await loadNodeAv();
  using camera = await Subscriber.connect(key, {
    name: options.name,
    frames: false,
    timeout: (options.wait ?? 0) * 1000,
    reconnect: options.reconnect,
    signal: context.signal,
    ...context.place,
  });
  const output: Output = {
    pathOf: (time) => resolve(strftime(options.output, time)),
    ...(format !== undefined && { format }),
    sync: options.sync,
    ...(options.audio !== undefined && { audio: options.audio }),
  };
  if (options.on !== undefined) await recordEvents(camera, { ...options, on: options.on }, output, context);
  else await recordAll(camera, options, output, context);
}

async function recordAll(
  camera: Subscriber,
  options: RecordOptions,
  output: Output,
  { signal, log, json }: Context,
): Promise<void> {
  const { key } = camera;
  using tracks = new AllTracks(camera, { sinceConnection: true });
  const segments: Segment[] = [];
  const recorder = new SegmentRecorder({
    ...output,
    seconds: options.segment,
    retryMs: options.diskFull === "wait" ? FULL_RETRY_MS : undefined,
    onBegin: (path, left) => {
      // Each file has the same to say.
      if (segments.length === 0) tellLeft(path, left, log);
      if (json) printJson({ event: "begin", key, path });
      else log.info(`recording ${path}`);
    },
    onEnd: (segment) => {
      segments.push(segment);
      if (json) printJson({ event: "segment", key, ...segment });
    },
    onFull: (error) => log.warn(`${(error as Error).message}: packets are dropped until there is room`),
  });
  // What the rings have lost, and what came while no file could have it.
  const lost = () => tracks.stats().lost + recorder.dropped;
  // Packets of pictures, of sound and of data.
  const counts = { video: 0, audio: 0, data: 0 };
  try {
    const waitMs = (options.wait ?? 0) * 1000;
    for await (const packet of trackPacketsOf(camera, tracks, waitMs, signal)) {
      await recorder.write(recordable(packet), (index) => tracks.trackOf(index));
      counts[tracks.trackOf(packet.track)!.kind]++;
      if (options.duration !== undefined && recorder.seconds >= options.duration) break;
      if (!json) {
        log.progress(`${recorder.path ?? key}: ${counts.video || counts.audio} packets, ${lost()} lost`);
      }
    }
  } catch (error) {
    // A signal ends a recording as its length does, but for the exit code.
    if (!signal.aborted) throw error;
  } finally {
    await recorder.close();
  }
  const total = {
    segments: segments.length,
    packets: counts.video || counts.audio || counts.data,
    audioPackets: counts.audio,
    dataPackets: counts.data,
    lost: lost(),
    reconnects: camera.stats().reconnects,
  };
  if (json) printJson({ event: "end", key, ...total });
  else log.info(`${key}: ${total.packets} packets in ${total.segments} files, ${total.lost} lost`);
}
