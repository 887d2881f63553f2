/** This file has what all commands have in common: options, environment variables, and what they are run with. */
import { resolve } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { DIMENSION_MAX, environment, type Size } from "../core/mod.ts";
import { cancellation } from "./cancel.ts";
import { UsageError } from "./exit.ts";
import { type Level, Log } from "./terminal.ts";

/** The variable that a source's input can be given by, so that no credentials are in the command line. */
export const URL_VARIABLE = "CUFRAMES_URL";

/** Options that every command has. */
export interface CommonOptions {
  runtimeDir?: string;
  json?: boolean;
  quiet?: boolean;
  verbose?: boolean;
}

/** What a command runs with. */
export interface Context {
  /** Aborted by SIGINT and SIGTERM: close everything and let the reason through. */
  readonly signal: AbortSignal;
  readonly log: Log;
  /** Whether standard output is to be JSON, one value a line. */
  readonly json: boolean;
  /** For the library's `runtimeDirectory` option: spread it into the options. */
  readonly place: { readonly runtimeDirectory?: string };
}

/** A command with the common options. @param example one line each, without `cuframes ` */
export function newCommand(name: string, description: string, examples: readonly string[]): Command {
  const shown = examples.map((example) => `  $ cuframes ${example}`).join("\n");
  return new Command(name)
    .description(description)
    .optionsGroup("Common options:")
    .option("--runtime-dir <dir>", "where the sockets are", (path: string) => resolve(path))
    .option("--json", "machine-readable output, one JSON value a line")
    .option("-q, --quiet", "log warnings and errors only")
    .option("-v, --verbose", "log more")
    .optionsGroup("Options:")
    .addHelpText("after", `\nExamples:\n${shown}\n`);
}

/** The context for parsed options. */
export function contextOf(options: CommonOptions): Context {
  const level: Level = options.quiet ? "quiet" : options.verbose ? "verbose" : "normal";
  return {
    signal: cancellation(),
    log: new Log(level),
    json: options.json ?? false,
    place: options.runtimeDir === undefined ? {} : { runtimeDirectory: options.runtimeDir },
  };
}

/** An option by the name that it had before: it is taken, and not shown. */
export class Alias extends Option {
  readonly #attribute: string;

  /** @param attribute what the option that it stands for is called among a command's values */
  constructor(flags: string, attribute: string) {
    super(flags);
    this.#attribute = attribute;
    this.hideHelp();
  }

  override attributeName(): string {
    return this.#attribute;
  }
}

/** The environment variable of an option: `--max-size` is CUFRAMES_MAX_SIZE, `--no-packets` CUFRAMES_PACKETS. */
export function variableOf(option: Option): string {
  const name = option.long!.replace(/^--(no-)?/, "");
  return `CUFRAMES_${name.replaceAll("-", "_").toUpperCase()}`;
}

/** Shows in a command's help which variable of the environment stands for each option. */
export function nameVariables(command: Command): void {
  for (const option of command.options) option.env(variableOf(option));
}

/**
 * Takes a command's options from the environment, before its command line, which comes first. An empty variable
 * counts as not set. (commander would take any value of a flag's variable as "on".)
 *
 * @throws {UsageError} that names the variable
 */
export function readEnvironment(command: Command): void {
  for (const option of command.options) {
    const name = variableOf(option);
    const text = environment(name);
    if (text === undefined) continue;
    command.setOptionValueWithSource(option.attributeName(), valueOf(option, name, text), "environment");
  }
}

function valueOf(option: Option, name: string, text: string): unknown {
  if (option.isBoolean() || option.negate) return flagOf(name, text);
  try {
    return option.parseArg ? option.parseArg(text, undefined as never) : text;
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    throw new UsageError(`${name} is ${JSON.stringify(text)}. ${error.message}`);
  }
}

function flagOf(name: string, value: string): boolean {
  if (/^(1|true|yes|on)$/i.test(value)) return true;
  if (/^(0|false|no|off)$/i.test(value)) return false;
  throw new UsageError(`${name} is ${JSON.stringify(value)}: it must be 1 or 0`);
}

/** A parser of an option's whole number. */
export function integer(minimum: number, maximum: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= minimum && value <= maximum) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${minimum} to ${maximum}.`);
  };
}

const SECONDS: Record<string, number> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400 };

/** Parses a duration as `500ms`, `60s`, `5m`, `1h`, `1d` or plain seconds. @returns seconds, above 0 */
export function duration(text: string): number {
  const [, count, unit = "s"] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text) ?? [];
  const value = count === undefined ? NaN : Number(count) * SECONDS[unit]!;
  if (value > 0) return value;
  throw new InvalidArgumentError("It must be a duration such as 60s, 5m or 1h.");
}

/** An option that takes a duration. @param value the default, as it would be typed */
export function durationOption(flags: string, description: string, value: string): Option {
  return new Option(flags, description).argParser(duration).default(duration(value), value);
}

/** Parses a size as `1280x720`. */
export function size(text: string): Size {
  const [, width, height] = /^(\d+)[x×](\d+)$/.exec(text) ?? [];
  const valid = (pixels: number) => pixels >= 1 && pixels <= DIMENSION_MAX;
  const value = { width: Number(width), height: Number(height) };
  if (valid(value.width) && valid(value.height)) return value;
  throw new InvalidArgumentError(
    `It must be WIDTHxHEIGHT in pixels, 1x1 to ${DIMENSION_MAX}x${DIMENSION_MAX}.`,
  );
}
