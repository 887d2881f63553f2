/** This file opens an input with FFmpeg, and has it look for streams. */
import type { FormatContext } from "node-av";
import { constants } from "node:os";
import { CuframesError, redact } from "../core/mod.ts";
import { hasNoTimes, stampArrivals } from "./arrival_stamps.ts";
import type { Source } from "./demuxer.ts";
import { EarlyPackets } from "./early_packets.ts";
import { requireHost } from "./host.ts";
import { checkKnownOptions, checkTakenOptions } from "./input_options.ts";
import { check } from "./node_av.ts";
import { Watchdog } from "./watchdog.ts";

/** How long FFmpeg listens to a stream that does give packets, to know its frame rate and its codec's parameters. */
const ANALYSIS_MS = 5000;

/** An input whose streams are known. */
export interface OpenedFormat {
  readonly format: FormatContext;
  /** Whether FFmpeg stamps packets with when they come. */
  readonly stamped: boolean;
  /** What was read to know the streams, which comes first. */
  readonly early: EarlyPackets;
}

/**
 * Opens an input.
 *
 * @param url the source's input, or a part of it
 * @throws {CuframesError} `NOT_FOUND`, `PERMISSION`, `FORMAT`, `IO`, …
 */
export async function openFormat(source: Source, url: string = source.input): Promise<OpenedFormat> {
  const { av, input, inputFormat, options, calls, signal } = source;
  signal.throwIfAborted();
  const name = redact(input);
  const demuxer = inputFormat === undefined ? null : av.InputFormat.findInputFormat(inputFormat);
  if (inputFormat !== undefined && demuxer === null) {
    throw new CuframesError("UNSUPPORTED", `FFmpeg has no input format ${JSON.stringify(inputFormat)}`);
  }
  const format = new av.FormatContext();
  format.allocContext();
  const interrupt = () => format.interrupt();
  signal.addEventListener("abort", interrupt);
  const early = new EarlyPackets();
  const dictionary = av.Dictionary.fromObject(options);
  using opening = new Watchdog(source.timeout, interrupt);
  try {
    checkKnownOptions(av, name, format, options);
    const opened = await calls.run(() => format.openInput(url, demuxer, dictionary));
    signal.throwIfAborted();
    opening.check(`opening ${name}`);
    if (opened === -constants.errno.EIO) await requireHost(name);
    check(av, opened, `opening ${name}`);
    // What FFmpeg makes of a counter that begins again depends on where it began; the timeline knows where it was.
    format.setOption("correct_ts_overflow", false);
    const stamped = hasNoTimes(source, format) && stampArrivals(av, format, options);
    opening[Symbol.dispose]();
    checkTakenOptions(av, input, name, format, options);
    using looking = new Watchdog(source.timeout + ANALYSIS_MS, interrupt);
    await early.complete(av, format, (packet) => calls.run(() => format.readFrame(packet)));
    const found = await calls.run(() => format.findStreamInfo());
    signal.throwIfAborted();
    looking.check(`looking for streams in ${name}`);
    check(av, found, `looking for streams in ${name}`);
    return { format, stamped, early };
  } catch (error) {
    early.close();
    await format.closeInput();
    throw error;
  } finally {
    dictionary.free();
    signal.removeEventListener("abort", interrupt);
  }
}
