/** This file knows which inputs have no times of their own, and lets FFmpeg stamp their packets as they come. */
import type { FormatContext } from "node-av";
import type { Source } from "./demuxer.ts";
import type { NodeAv } from "./node_av.ts";
import { isRegularFile } from "./regular_file.ts";

/** The ticks that FFmpeg's stamps are given in: those of some raw streams are of 25 a second. */
const FINE_TICKS = 1_000_000;

/**
 * Whether packets have no times but when they come, if that is when they are made: a raw stream that is no file and
 * whose rate nobody has chosen.
 */
export function hasNoTimes({ av, input, options, isFile }: Source, format: FormatContext): boolean {
  const { name = "", flags = 0 } = format.iformat ?? {};
  const isRaw = (flags & av.AVFMT_NOTIMESTAMPS) !== 0 || /_pipe$|^image2pipe$/.test(name ?? "");
  if (!isRaw || isFile || "framerate" in options || options["use_wallclock_as_timestamps"] === "0") {
    return false;
  }
  return !isRegularFile(input);
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
