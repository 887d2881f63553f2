/** This file is `cuframes record`, which writes packets to files, not encoded again. */
import { type Command, Option } from "commander";
import { extname, resolve } from "node:path";
import strftime from "strftime";
import { loadNodeAv, type Segment, SegmentRecorder } from "../media/mod.ts";

import { Subscriber } from "../frames/mod.ts";
import { type CommonOptions, contextOf, duration, durationOrNone, newCommand } from "./command.ts";
import { UsageError } from "./exit.ts";
import { packetsOf } from "./packets.ts";
import { printJson } from "./stdout.ts";

const FORMATS: Record<string, string> = { mp4: "mp4", mkv: "matroska", ts: "mpegts" };
/** How long a full disk is left alone, in ms. */
const FULL_RETRY_MS = 5000;

interface Options extends CommonOptions {
  output: string;
  format?: string;
  segment?: number;
  duration?: number;
  sync: number;
  diskFull: "stop" | "wait";
  wait?: number;
  reconnect: boolean;
  name: string;
}

export function recordCommand(): Command {
  return newCommand("record", "Record the packets of a key to MP4, MKV or MPEG-TS, not encoded again.", [
    "record cam1 --output cam1.mp4",
    "record cam1 --output '/recordings/%Y-%m-%d/cam1-%H%M%S.mp4' --segment 10m",
    "record cam1 --output cam1-%s.ts --duration 30s --json",
  ])
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
    .addOption(
      new Option("--disk-full <policy>", "stop with exit code 6, or wait and go on in a new file")
        .choices(["stop", "wait"]).default("stop"),
    )
    .option("--wait <duration>", "how long to wait for the publisher; default: not at all", duration)
    .option("--no-reconnect", "end with the publisher instead of waiting for the next one")
    .option("--name <name>", "what the publisher's reports call this reader", "record")
    .action(record);
}

async function record(key: string, options: Options): Promise<void> {
  const { signal, log, json, place } = contextOf(options);
  const format = options.format === undefined ? undefined : FORMATS[options.format];
  const known = Object.keys(FORMATS).includes(extname(options.output).slice(1).toLowerCase());
  if (!format && !known) {
    throw new UsageError(`${options.output} must end in .mp4, .mkv or .ts, or give --format`);
  }
  await loadNodeAv();
  const waitMs = (options.wait ?? 0) * 1000;
  using camera = await Subscriber.connect(key, {
    name: options.name,
    frames: false,
    timeout: waitMs,
    reconnect: options.reconnect,
    signal,
    ...place,
  });
  using reader = camera.packets({ wait: true, sinceConnection: true });
  const segments: Segment[] = [];
  const recorder = new SegmentRecorder({
    pathOf: (start) => resolve(strftime(options.output, start)),
    format,
    sync: options.sync,
    seconds: options.segment,
    retryMs: options.diskFull === "wait" ? FULL_RETRY_MS : undefined,
    onBegin: (path, left) => {
      // Each file has the same to say.
      if (segments.length === 0) { for (const { reason } of left) log.warn(`${path}: ${reason}`); }
      if (json) printJson({ event: "begin", key, path });
      else log.info(`recording ${path}`);
    },
    onEnd: (segment) => {
      segments.push(segment);
      if (json) printJson({ event: "segment", key, ...segment });
    },
    onFull: (error) => log.warn(`${(error as Error).message}: packets are dropped until there is room`),
  });
  const trackOf = (track: number) =>
    track > 0 ? undefined : {
      kind: "video",
      codecId: reader.codecId,
      description: reader.track.description,
      codedWidth: camera.codedWidth,
      codedHeight: camera.codedHeight,
    } as const;
  // What the ring has lost, and what came while no file could have it.
  const lost = () => reader.stats().lost + recorder.dropped;
  let packets = 0;
  try {
    for await (const packet of packetsOf(key, reader, waitMs, signal)) {
      await recorder.write(packet, trackOf);
      packets++;
      if (options.duration !== undefined && recorder.seconds >= options.duration) break;
      if (!json) log.progress(`${recorder.path ?? key}: ${packets} packets, ${lost()} lost`);
    }
  } catch (error) {
    // A signal ends a recording as its length does, but for the exit code.
    if (!signal.aborted) throw error;
  } finally {
    await recorder.close();
  }
  const total = {
    segments: segments.length,
    packets,
    lost: lost(),
    reconnects: camera.stats().reconnects,
  };
  if (json) printJson({ event: "end", key, ...total });
  else log.info(`${key}: ${total.packets} packets in ${total.segments} files, ${total.lost} lost`);
}
