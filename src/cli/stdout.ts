/** Data on the standard output, for a reader that may be slow, stuck or gone. */
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { isBrokenPipe } from "../media/node_av.ts";
import { UsageError } from "./exit.ts";

/** The standard output's descriptor. */
export const STDOUT = 1;

/** How long a stuck reader may hold up the end, in ms. */
const LAST_WORDS_MS = 1000;

/** Refuses to write bytes to a person. */
export function requireReader(): void {
  if (!process.stdout.isTTY) return;
  throw new UsageError("the standard output is a terminal: pipe it into a program or a file");
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

/** Ends the stream; a reader that does not read is not waited for. */
export async function closeOutput(close: () => Promise<void>): Promise<void> {
  const closed = close().catch((error) => {
    if (!isBrokenPipe(error)) throw error;
  });
  await Promise.race([closed, sleep(LAST_WORDS_MS, undefined, { ref: false })]);
}

/** Writes bytes to the standard output; a reader that is gone is none of our business. */
export function writeOut(bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(bytes, (error) => {
      if (error && !isBrokenPipe(error)) reject(error);
      else resolve();
    });
  });
}
