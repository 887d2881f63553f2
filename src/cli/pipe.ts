/** This file is `cuframes pipe`, which writes frames or packets to the standard output. */
import type { Command } from "commander";
import { Option } from "commander";
import process from "node:process";
import { CODEC_IDS, codecNameOf, CuframesError, pause } from "../core/mod.ts";

import { type Frame, inspect, Subscriber } from "../frames/mod.ts";
import {
  type ColourOptions,
  type FrameRate,
  loadNodeAv,
  MATRICES,
  pictureSizeOf,
  RANGES,
  RawVideoWriter,
  Recorder,
  RingTimeline,
} from "../media/mod.ts";

import { type CommonOptions, type Context, contextOf, duration, integer, newCommand } from "./command.ts";
import { UsageError } from "./exit.ts";
import { frameRate, frameRateOf } from "./frame_rate.ts";
import { packetsOf } from "./packets.ts";
import { closeOutput, requireReader, STDOUT, written } from "./stdout.ts";
import { Damaged } from "./undamaged.ts";

const FRAME_FORMATS = ["yuv4mpeg", "rawvideo", "nut"] as const;
const PACKET_FORMATS = ["mpegts", "nut", "h264", "hevc"] as const;
type FrameFormat = (typeof FRAME_FORMATS)[number];
type PacketFormat = (typeof PACKET_FORMATS)[number];

interface Options extends CommonOptions, ColourOptions {
  format?: FrameFormat | PacketFormat;
  packets?: boolean;
  fps?: FrameRate;
  ordered?: boolean;
  count?: number;
  wait?: number;
  reconnect?: boolean;
  corrupt?: boolean;
  asStored?: boolean;
  name: string;
}

export function pipeCommand(): Command {
  return newCommand("pipe", "Write the frames or packets of a key to the standard output.", [
    "pipe cam1 | ffplay -",
    "pipe cam1 --format rawvideo | ffmpeg -f rawvideo -pix_fmt nv12 -s 1280x720 -i - out.mkv",
    "pipe cam1 --packets --format mpegts | ffmpeg -i - -c copy out.mp4",
  ])
    .argument("<key>", "the publisher's key")
    .addOption(
      new Option(
        "--format <format>",
        "yuv4mpeg (default), rawvideo, nut; with --packets mpegts (default), nut, h264, hevc",
      )
        .choices([...new Set([...FRAME_FORMATS, ...PACKET_FORMATS])]),
    )
    .option("--packets", "the encoded packets instead of the frames")
    .option("--fps <rate>", "frames a second that yuv4mpeg states, as 25, 29.97 or 30000/1001", frameRate)
    .option("--ordered", "every frame in its turn instead of the newest one")
    .option("--count <n>", "end after so many frames or packets", integer(1, Number.MAX_SAFE_INTEGER))
    .option("--wait <duration>", "how long to wait for the publisher; default: not at all", duration)
    .option("--reconnect", "go on with the next publisher of the key instead of ending with this one")
    .addOption(
      new Option("--matrix <name>", "of YUV; auto: as the frame says, else bt709 from 720 rows on")
        .choices(MATRICES).default("auto"),
    )
    .addOption(
      new Option("--range <name>", "of YUV; default: as the frame says, else limited").choices(RANGES),
    )
    .option("--as-stored", "pixels as they are: neither turned nor made square")
    .option("--corrupt", "take frames that are known to be damaged, too")
    .option("--name <name>", "what the publisher's reports call this reader", "pipe")
    .action(async (key: string, options: Options) => {
      const context = contextOf(options);
      requireReader();
      const total = await (options.packets ? pipePackets : pipeFrames)(key, options, context);
      // Standard output has the data.
      if (context.json) process.stderr.write(`${JSON.stringify({ event: "end", key, ...total })}\n`);
      else {
        const what = options.packets ? "packets" : "frames";
        const damaged = total.corrupt ? `, ${total.corrupt} left out as damaged` : "";
        context.log.info(`${key}: ${total.written} ${what} written, ${total.dropped} dropped${damaged}`);
      }
    });
}

/** What went through. */
interface Total {
  written: number;
  /** Published meanwhile and not written: the reader was busy. */
  dropped: number;
  /** Frames known to be damaged, and not written. */
  corrupt?: number;
  reconnects: number;
}

async function connect(
  key: string,
  options: Options,
  context: Context,
  packets: boolean,
): Promise<Subscriber> {
  return await Subscriber.connect(key, {
    name: options.name,
    mode: options.ordered ? "ordered" : "newest",
    timeout: (options.wait ?? 0) * 1000,
    reconnect: options.reconnect ?? false,
    frames: !packets,
    packets,
    signal: context.signal,
    ...context.place,
  });
}

async function pipeFrames(key: string, options: Options, context: Context): Promise<Total> {
  const format = options.format ?? "yuv4mpeg";
  if (!isOneOf(FRAME_FORMATS, format)) throw new UsageError(`--format ${format} is for --packets`);
  const { signal, log } = context;
  // Before the connection: what is published while it loads is lost.
  await loadNodeAv();
  using camera = await connect(key, options, context, false);
  const { matrix, range, asStored = false } = options;
  const damaged = new Damaged(key, (options.wait ?? 0) * 1000);
  let writer: RawVideoWriter | undefined;
  let count = 0;
  try {
    for await (using frame of camera.values({ signal })) {
      if (!options.corrupt && damaged.pass(frame)) {
        if (writer) damaged.warn(log);
        else damaged.check();
        continue;
      }
      writer ??= await RawVideoWriter.create(STDOUT, frame, {
        format,
        frameRate: options.fps ?? await measuredRate(key, frame, context),
        ...{ matrix, range, asStored },
      });
      await writer.load(frame);
      // The slot is free for the publisher, however long the reader takes.
      frame.close();
      if (!await written(writer.write(), signal)) break;
      if (++count === options.count) break;
      const { dropped } = camera.stats();
      if (!context.json) log.progress(`${key}: ${count} frames written, ${dropped} dropped`);
    }
    const { dropped, reconnects } = camera.stats();
    return { written: count, dropped, corrupt: damaged.total, reconnects };
  } finally {
    if (writer) await closeOutput(() => writer!.close(), signal);
  }
}

/** How long a rate that is not known yet is waited for, and how often it is asked for, in ms. */
const MEASURING_MS = 1000;
const ASKING_MS = 50;

async function measuredRate(key: string, frame: Frame, { log, place, signal }: Context): Promise<FrameRate> {
  const beganAt = performance.now();
  for (;;) {
    const { frameRate } = await inspect(key, { ...place, signal }).catch(() => {
      signal.throwIfAborted();
      return { frameRate: 0 };
    });
    const rate = frameRateOf(frame.durationNs, frameRate);
    if (rate) return rate;
    if (performance.now() - beganAt >= MEASURING_MS) break;
    await pause(ASKING_MS, signal);
  }
  log.warn(`${key}: its frame rate is not known yet, 25 a second are taken: state it with --fps`);
  return { num: 25, den: 1 };
}

async function pipePackets(key: string, options: Options, context: Context): Promise<Total> {
  const format = options.format ?? "mpegts";
  if (!isOneOf(PACKET_FORMATS, format)) {
    throw new UsageError(`--format ${format} is for frames: leave --packets out`);
  }
  const { signal, log } = context;
  const av = await loadNodeAv();
  using camera = await connect(key, options, context, true);
  using reader = camera.packets({ wait: true, sinceConnection: true });
  const timeline = new RingTimeline();
  let recorder: Recorder | undefined;
  let codecId = 0;
  let count = 0;
  try {
    for await (const packet of packetsOf(key, reader, (options.wait ?? 0) * 1000, signal)) {
      const { data, type } = packet;
      if (!recorder) {
        if (type !== "key") continue;
        codecId = reader.codecId;
        if ((format === "h264" || format === "hevc") && codecId !== CODEC_IDS[format]) {
          throw new UsageError(
            `the packets of ${key} are ${codecNameOf(codecId)}, not ${format}: choose another --format`,
          );
        }
        const description = reader.track.description;
        const size = await pictureSizeOf(av, codecId, description, data);
        const { codedWidth, codedHeight } = size ?? camera;
        recorder = await Recorder.create(STDOUT, { codecId, description, codedWidth, codedHeight, format });
      } else if (type === "key" && reader.codecId !== codecId) {
        throw new CuframesError(
          "FORMAT",
          `the packets of ${key} have another codec now, which ${format} cannot change: start again`,
        );
      }
      if (!await written(recorder.write({ data, type, ...timeline.place(0, packet) }), signal)) break;
      if (++count === options.count) break;
      if (!context.json) log.progress(`${key}: ${count} packets written, ${reader.stats().lost} dropped`);
    }
    const { reconnects } = camera.stats();
    return { written: count, dropped: reader.stats().lost, reconnects };
  } finally {
    if (recorder) await closeOutput(() => recorder!.close(), signal);
  }
}

function isOneOf<Name extends string>(names: readonly Name[], name: string): name is Name {
  return (names as readonly string[]).includes(name);
}
