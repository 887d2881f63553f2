/** This file writes what a person sees to stderr: standard output is for data. */
import process from "node:process";
import picocolors from "picocolors";
import { redactText } from "../core/mod.ts";

/** Functions that colour a text; they change nothing where the stream is no terminal or NO_COLOR is set. */
export type Colors = ReturnType<typeof picocolors.createColors>;

/** Colours for a stream. */
export function colorsOf(stream: { isTTY?: boolean }): Colors {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
  const wanted = FORCE_COLOR ? FORCE_COLOR !== "0" : stream.isTTY === true && TERM !== "dumb";
  return picocolors.createColors(wanted && !NO_COLOR);
}

/** How much is logged. */
export type Level = "quiet" | "normal" | "verbose";

/** Writes lines, and one progress line that they do not disturb, to stderr. No credentials of a URL get through. */
export class Log {
  readonly #level: Level;
  readonly #name: string | undefined;
  readonly #progress: ProgressLine;
  readonly colors: Colors;

  constructor(level: Level, name?: string, progress: ProgressLine = new ProgressLine()) {
    this.#level = level;
    this.#name = name;
    this.#progress = progress;
    this.colors = colorsOf(process.stderr);
  }

  /** The same log, its lines beginning with a name. */
  named(name: string): Log {
    return new Log(this.#level, name, this.#progress);
  }

  /** For `--verbose`. */
  debug(text: string): void {
    if (this.#level === "verbose") this.#line(this.colors.dim(text));
  }

  info(text: string): void {
    if (this.#level !== "quiet") this.#line(text);
  }

  warn(text: string): void {
    this.#line(this.colors.yellow(text));
  }

  error(text: string): void {
    this.#line(this.colors.red(text));
  }

  /** Shows how far something is: rewritten in place on a terminal; elsewhere one line every 10 seconds. */
  progress(text: string): void {
    if (this.#level !== "quiet") this.#progress.show(redactText(text));
  }

  /** Takes the progress line away. */
  progressDone(): void {
    this.#progress.clear();
  }

  #line(text: string): void {
    this.#progress.clear();
    const prefix = this.#name === undefined ? "" : `${this.colors.bold(this.#name)}: `;
    process.stderr.write(`${prefix}${redactText(text)}\n`);
  }
}

const TERMINAL_INTERVAL_MS = 250;
const FILE_INTERVAL_MS = 10_000;

class ProgressLine {
  readonly #terminal = process.stderr.isTTY === true;
  /** A file gets its first line after an interval. */
  #shownAt = this.#terminal ? -Infinity : performance.now();
  #visible = false;

  show(text: string): void {
    const terminal = this.#terminal;
    const now = performance.now();
    if (now - this.#shownAt < (terminal ? TERMINAL_INTERVAL_MS : FILE_INTERVAL_MS)) return;
    this.#shownAt = now;
    const width = process.stderr.columns || 80;
    process.stderr.write(terminal ? `\r\x1b[K${text.slice(0, width - 1)}` : `${text}\n`);
    this.#visible = terminal;
  }

  clear(): void {
    if (!this.#visible) return;
    process.stderr.write("\r\x1b[K");
    this.#visible = false;
    this.#shownAt = -Infinity;
  }
}
