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

/**
 * Options whose name means something else, or for another reader, in another command: their variables have the command's
 * name in them. `source` is not here: CUFRAMES_FORMAT, CUFRAMES_PACKETS, CUFRAMES_RECONNECT and CUFRAMES_INTERVAL are about
 * what is published.
 */
const OWN_OPTIONS: Readonly<Record<string, readonly string[]>> = {
  pipe: ["format", "packets", "reconnect", "count", "name"],
  record: ["format", "reconnect", "name", "audio"],
  snapshot: ["format"],
  top: ["interval", "count"],
};

function hasOwnVariable(option: Option, command: Command): boolean {
  return OWN_OPTIONS[command.name()]?.includes(nameOf(option)) ?? false;
}

/** An option's name without dashes and without `no-`. */
export function nameOf(option: Option): string {
  return option.long!.replace(/^--(no-)?/, "");
}

function variableNamed(name: string): string {
  return `CUFRAMES_${name.replaceAll("-", "_").toUpperCase()}`;
}

/**
 * The environment variable of a command's option: `--max-size` is CUFRAMES_MAX_SIZE, `--no-packets` CUFRAMES_PACKETS, and
 * the `--format` of `pipe` CUFRAMES_PIPE_FORMAT, because other commands have a `--format` of their own.
 */
export function variableOf(option: Option, command: Command): string {
  const name = nameOf(option);
  return variableNamed(hasOwnVariable(option, command) ? `${command.name()}-${name}` : name);
}

/** Shows in a command's help which variable of the environment stands for each option. */
export function nameVariables(command: Command): void {
  for (const option of command.options) option.env(variableOf(option, command));
}

/**
 * Takes a command's options from the environment, before its command line, which comes first. An empty variable
 * counts as not set. (commander would take any value of a flag's variable as "on".)
 *
 * @returns warnings: variables that are set and that this command does not read
 * @throws {UsageError} that names the variable
 */
export function readEnvironment(command: Command): string[] {
  const warnings: string[] = [];
  for (const option of command.options) {
    const name = variableOf(option, command);
    const text = environment(name);
    if (text === undefined) {
      warnings.push(...unread(option, command));
      continue;
    }
    try {
      command.setOptionValueWithSource(option.attributeName(), valueOf(option, name, text), "environment");
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      throw new UsageError(error.message + meantFor(option, command, text));
    }
  }
  return warnings;
}

/** Says so where an option's variable without the command's name is set, and is no setting of a command that reads it. */
function unread(option: Option, command: Command): string[] {
  if (!hasOwnVariable(option, command)) return [];
  const name = variableNamed(nameOf(option));
  const text = environment(name);
  if (text === undefined) return [];
  const reading = siblings(command).flatMap((other) =>
    other.options.filter((one) => variableOf(one, other) === name)
  );
  if (reading.some((one) => takes(one, name, text))) return [];
  return [`${name} is not read by ${command.name()}: its variable is ${variableOf(option, command)}`];
}

/** Where a value is another command's, the variable that was meant. */
function meantFor(option: Option, command: Command, text: string): string {
  for (const other of siblings(command)) {
    for (const one of other.options) {
      if (nameOf(one) !== nameOf(option) || !hasOwnVariable(one, other)) continue;
      const name = variableOf(one, other);
      if (takes(one, name, text)) return ` For ${other.name()} it is ${name}.`;
    }
  }
  return "";
}

function siblings(command: Command): readonly Command[] {
  return command.parent?.commands ?? [];
}

function takes(option: Option, name: string, text: string): boolean {
  try {
    valueOf(option, name, text);
    return true;
  } catch (error) {
    if (error instanceof UsageError) return false;
    throw error;
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

/** As {@linkcode duration}, and `0` for not at all. */
export function durationOrNone(text: string): number {
  return /^0+(\.0+)?(ms|s|m|h|d)?$/.test(text) ? 0 : duration(text);
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
