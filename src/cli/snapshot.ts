/** This file is `cuframes snapshot`, which writes the newest frame as a picture file. */
import { type Command, Option } from "commander";
import { rename, rm, stat, writeFile } from "node:fs/promises";
import { extname, resolve } from "node:path";
import process from "node:process";
import {
  type ColourOptions,
  encodeImage,
  type ImageFormat,
  imageSize,
  isKnownMatrix,
  loadNodeAv,
  MATRICES,
  RANGES,
} from "../media/mod.ts";

import { Subscriber } from "../frames/mod.ts";
import { type CommonOptions, contextOf, duration, integer, newCommand } from "./command.ts";
import { UsageError } from "./exit.ts";
import { printJson, requireReader, writeOut } from "./stdout.ts";
import { Damaged } from "./undamaged.ts";

const FORMATS: Record<string, ImageFormat> = { png: "png", jpg: "jpeg", jpeg: "jpeg" };

interface Options extends CommonOptions, ColourOptions {
  format?: string;
  quality: number;
  wait?: number;
  corrupt?: boolean;
  asStored?: boolean;
}

export function snapshotCommand(): Command {
  return newCommand("snapshot", "Write the newest frame of a key as a PNG or a JPEG, upright.", [
    "snapshot cam1 cam1.png",
    "snapshot cam1 cam1.jpg --matrix bt709 --range full",
    "snapshot cam1 - --format jpg | curl --data-binary @- http://server/upload",
  ])
    .argument("<key>", "the publisher's key")
    .argument("<file>", "path of the picture, replaced at once where it exists; - is the standard output")
    .addOption(
      new Option("--format <format>", "default: by the path's extension").choices(Object.keys(FORMATS)),
    )
    .addOption(
      new Option("--matrix <name>", "of YUV; auto: as the frame says, else bt709 from 720 rows on")
        .choices(MATRICES).default("auto"),
    )
    .addOption(
      new Option("--range <name>", "of YUV; default: as the frame says, else limited").choices(RANGES),
    )
    .option("--quality <n>", "of a JPEG, from 1, the best, to 31", integer(1, 31), 2)
    .option("--as-stored", "pixels as they are: neither turned nor made square")
    .option("--corrupt", "take frames that are known to be damaged, too")
    .option("--wait <duration>", "how long to wait for the publisher; default: not at all", duration)
    .action(snapshot);
}

async function snapshot(key: string, file: string, options: Options): Promise<void> {
  const { signal, json, log, place } = contextOf(options);
  const format = FORMATS[options.format ?? extname(file).slice(1).toLowerCase()];
  if (!format) throw new UsageError(`${file} must end in .png or .jpg, or give --format`);
  const toStdout = file === "-";
  if (toStdout) requireReader();
  const av = await loadNodeAv();
  const timeout = (options.wait ?? 0) * 1000;
  using camera = await Subscriber.connect(key, {
    name: "snapshot",
    packets: false,
    timeout,
    signal,
    ...place,
  });
  const damaged = new Damaged(key, timeout);
  using frame = options.corrupt
    ? await camera.next({ timeout: damaged.longestMs, signal })
    : await damaged.next(camera, signal);
  const { sequence, timestampNs, captureTime, corrupt } = frame;
  const { quality, matrix, range, asStored = false } = options;
  if (matrix === "auto" && frame.colorSpace.matrix !== null && !isKnownMatrix(av, frame.colorSpace)) {
    log.warn(
      `${key}: colours of the matrix ${frame.colorSpace.matrix} are not converted: --matrix says which to take instead`,
    );
  }
  const { width, height } = imageSize(frame, asStored);
  const bytes = await encodeImage(frame, { format, quality, matrix, range, asStored });
  frame.close();
  if (toStdout) await writeOut(bytes);
  else await replace(resolve(file), bytes);
  const report = {
    key,
    file,
    format,
    width,
    height,
    sequence,
    timestampNs,
    captureTime,
    corrupt,
    bytes: bytes.length,
  };
  if (!json) log.info(`${file}: frame ${sequence} of ${key}, ${width}×${height}`);
  else if (!toStdout) printJson(report);
}

/** Whoever reads the file sees a whole picture, the old one or the new one. */
async function replace(path: string, bytes: Uint8Array): Promise<void> {
  const there = await stat(path).catch(() => undefined);
  // A device or a pipe cannot be replaced.
  if (there && !there.isFile()) return await writeFile(path, bytes);
  const unfinished = `${path}.${process.pid}.tmp`;
  try {
    await writeFile(unfinished, bytes);
    await rename(unfinished, path);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
}
