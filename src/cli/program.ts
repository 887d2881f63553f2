/** This file runs a command line. */
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import manifest from "../../deno.json" with { type: "json" };
import { Command, CommanderError } from "commander";
import { environment, redactText } from "../core/mod.ts";
import { cancellation, die, Interrupted } from "./cancel.ts";
import { nameVariables, readEnvironment } from "./command.ts";
import { EXIT, exitCodeOf } from "./exit.ts";
import { inspectCommand } from "./inspect.ts";
import { pipeCommand } from "./pipe.ts";
import { recordCommand } from "./record.ts";
import { monotonicNow } from "../memory/mod.ts";
import { isWriting, LAST_WORDS_MS, print, printed } from "./stdout.ts";
import { snapshotCommand } from "./snapshot.ts";
import { sourceCommand } from "./source.ts";
import { colorsOf, Log } from "./terminal.ts";
import { topCommand } from "./top.ts";
import { muteFfiWarning } from "./warnings.ts";

/** All commands, in the order of the help. */
const COMMANDS = [sourceCommand, pipeCommand, recordCommand, snapshotCommand, inspectCommand, topCommand];

/** The program with its commands; their options are read when one of them is run. */
export function newProgram(): Command {
  const program = new Command("cuframes")
    .description("Decode a camera stream once; any number of processes use its frames and packets.")
    .version(manifest.version)
    .configureOutput({
      writeOut: print,
      writeErr: (text) => void process.stderr.write(redactText(text)),
      outputError: (text, write) =>
        write(colorsOf(process.stderr).red(text.replace(/^error: /, "cuframes: "))),
    })
    .showHelpAfterError("(--help has the options)")
    .exitOverride();
  for (const create of COMMANDS) {
    const command = create().copyInheritedSettings(program);
    nameVariables(command);
    program.addCommand(command);
  }
  return program;
}

/** Runs a command line. @returns its exit code */
export async function main(args: readonly string[]): Promise<number> {
  muteFfiWarning();
  const signal = cancellation();
  const log = new Log("normal");
  let running: Command | undefined;
  const program = newProgram()
    .hook("preSubcommand", (_, command) => {
      running = command;
      readEnvironment(command).forEach((warning) => log.warn(warning));
    })
    // Before there is anything to ask it: a command that cannot work says so, whatever it would find.
    .hook("preAction", () => void monotonicNow());
  try {
    await program.parseAsync(args, { from: "user" });
    await printed();
    signal.throwIfAborted();
    return EXIT.OK;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.OK : EXIT.USAGE;
    const interrupted = signal.reason instanceof Interrupted ? signal.reason : undefined;
    // Timers and streams wrap the reason into an AbortError.
    const expected = error === signal.reason || (error instanceof Error && error.name === "AbortError");
    if (interrupted && expected) return interrupted.exitCode;
    log.error(`cuframes: ${forCommandLine(describe(error), running)}`);
    return exitCodeOf(error);
  }
}

/** The library's advice in the words of the command line: its time-out is `--wait`, where the command has that. */
function forCommandLine(message: string, command: Command | undefined): string {
  const waits = command?.options.some(({ long }) => long === "--wait") ?? false;
  const longer = waits ? "give --wait a longer time" : "wait longer";
  return message
    .replace(", or give a time-out to wait for it", waits ? ", or wait for it with --wait" : "")
    .replace(
      "all that was left of the time-out",
      waits ? "all that was left of --wait" : "the longest it may take",
    )
    .replace("and the time-out ended while", waits ? "and --wait ended while" : "and it took too long while")
    .replace("give a longer time-out", longer)
    .replace(
      /^no (frame|packet) of (\S+) came within \d+ ms$/,
      (sentence) => `${sentence}: ${longer}, or look at its source`,
    )
    .replace("connect again, or with reconnect, for the next one", "start the command again for the next one")
    .replace(" (`using`)", "")
    .replace("(maxSlots)", "(--max-slots of its source)")
    .replace("(memoryLimit)", "(--memory-limit of its source)");
}

/** An error's sentence; with CUFRAMES_DEBUG also where it came from. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return environment("CUFRAMES_DEBUG") ? error.stack ?? error.message : error.message;
}

/** Runs the command line of this process, and ends it. */
export async function run(): Promise<void> {
  const code = await main(process.argv.slice(2));
  const errors = new Promise((resolve) => process.stderr.write("", resolve));
  // The end does not wait for a reader that does not read.
  await Promise.race([Promise.all([printed(), errors]), sleep(LAST_WORDS_MS)]);
  const { reason } = cancellation();
  if (reason instanceof Interrupted && isWriting()) die(reason);
  else process.exit(code);
}
