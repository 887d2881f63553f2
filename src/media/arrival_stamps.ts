/** This file knows which inputs have no times of their own, and lets FFmpeg stamp their packets as they come. */
import type { FormatContext } from "node-av";
import { stat } from "node:fs/promises";
import type { Source } from "./demuxer.ts";
import type { NodeAv } from "./node_av.ts";

/** The ticks that FFmpeg's stamps are given in: those of some raw streams are of 25 a second. */
const FINE_TICKS = 1_000_000;

/**
 * Whether packets have no times but when they come, if that is when they are made: a raw stream that is no file and
 * whose rate nobody has chosen.
 */
export async function hasNoTimes(
  { av, input, options, isFile }: Source,
  format: FormatContext,
): Promise<boolean> {
  const { name = "", flags = 0 } = format.iformat ?? {};
  const isRaw = (flags & av.AVFMT_NOTIMESTAMPS) !== 0 || /_pipe$|^image2pipe$/.test(name ?? "");
  if (!isRaw || isFile || "framerate" in options || options["use_wallclock_as_timestamps"] === "0") {
    return false;
  }
  const path = input.replace(/^file:/, "");
  if (/^[a-z][a-z0-9+.-]*:/i.test(path)) return true;
  return !await isRegularFile(path);
}

/** Whether a path is that of a file, and no device or pipe. */
export async function isRegularFile(path: string): Promise<boolean> {
  return await stat(path).then((file) => file.isFile(), () => false);
}

/** Lets FFmpeg stamp packets with when they come, those included that it looks at first. */
export function stampArrivals(av: NodeAv, format: FormatContext, options: Record<string, string>): true {
  format.setOption("use_wallclock_as_timestamps", true);
  for (const stream of format.streams) {
    if (stream.timeBase.den < FINE_TICKS) stream.timeBase = new av.Rational(1, FINE_TICKS);
  }
  // It would take seconds to know a rate that is measured here.
  if (!("fpsprobesize" in options)) format.setOption("fpsprobesize", 0);
  return true;
}
