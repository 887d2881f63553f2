/** This file writes to the standard output, whose reader may be slow, stuck or gone. */
import process from "node:process";
import { setTimeout } from "node:timers";
import { isBrokenPipe } from "../media/mod.ts";
import { outputFailed } from "./cancel.ts";
import { UsageError } from "./exit.ts";

/** The standard output's descriptor. */
export const STDOUT = 1;

/** How long a stuck reader may hold up the end, in ms. */
export const LAST_WORDS_MS = 1000;

/** Refuses to write bytes to a person. */
export function requireReader(): void {
  if (!process.stdout.isTTY) return;
  throw new UsageError("the standard output is a terminal: pipe it into a program or a file");
}

let writing = false;

/** Whether a native write has not returned: its reader is stuck. */
export function isWriting(): boolean {
  return writing;
}

/**
 * Waits for a write, but not longer than until the signal.
 *
 * @returns false: the reader is gone
 * @throws the signal's reason, leaving the write to the end of the process
 */
export async function written(write: Promise<void>, signal: AbortSignal): Promise<boolean> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort);
  if (signal.aborted) abort();
  writing = true;
  const ended = () => writing = false;
  write.then(ended, ended);
  try {
    await Promise.race([write, aborted.promise]);
    return true;
  } catch (error) {
    write.catch(() => {});
    if (isBrokenPipe(error)) return false;
    throw error;
  } finally {
    aborted.promise.catch(() => {});
    signal.removeEventListener("abort", abort);
  }
}

/** Ends the stream; once the signal has come, a reader that does not read is not waited for. */
export async function closeOutput(close: () => Promise<void>, signal: AbortSignal): Promise<void> {
  const closed = close().catch((error) => {
    if (!isBrokenPipe(error)) throw error;
  });
  const limit = new Promise((resolve) => {
    const begin = () => setTimeout(resolve, LAST_WORDS_MS).unref();
    if (signal.aborted) begin();
    else signal.addEventListener("abort", begin);
  });
  await Promise.race([closed, limit]);
}

/** Resolves when the operating system has taken it. @throws what the output's device says, such as `EPIPE` */
export function writeOut(data: Uint8Array | string): Promise<void> {
  return new Promise((resolve, reject) => {
    // Some runtimes throw here what others tell the callback.
    process.stdout.write(data, (error) => error ? reject(error) : resolve());
  });
}

/** Texts on their way. */
const printing = new Set<Promise<void>>();

/** Writes text; where that fails, the program is asked to end. */
export function print(text: string): void {
  const writing = writeOut(text).catch(outputFailed).finally(() => printing.delete(writing));
  printing.add(writing);
}

/** Resolves when all that was printed is with the operating system, or will never be. */
export async function printed(): Promise<void> {
  await Promise.all(printing);
}

/** Writes a value as one line of JSON; bigints become numbers. */
export function printJson(value: unknown): void {
  print(`${JSON.stringify(value, (_, item) => typeof item === "bigint" ? Number(item) : item)}\n`);
}
