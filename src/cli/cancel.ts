/**
 * This file makes an AbortSignal of SIGINT, SIGTERM and the end of standard output's reader: the first lets a command
 * close everything, a second signal ends it. What comes within a second of the first is the same wish told again:
 * timeout(1) signals its child and then its whole group, a terminal does what a wrapper passes on as well.
 */
import { constants } from "node:os";
import process from "node:process";

/** Why a command was asked to end: an `AbortSignal`'s reason. */
export class Interrupted extends Error {
  override readonly name: string = "Interrupted";
  readonly signal: "SIGINT" | "SIGTERM" | "SIGPIPE";
  /** 128 + the signal's number, as shells have it. */
  readonly exitCode: number;

  constructor(signal: Interrupted["signal"]) {
    super(`interrupted by ${signal}`);
    this.signal = signal;
    this.exitCode = 128 + constants.signals[signal];
  }
}

/** From so many ms after the first on, a signal is a second one. */
const SECOND_MS = 1000;

const controller = new AbortController();
/** When the first came, by `performance.now()`. */
let askedAt: number | undefined;
let listening = false;

/** Aborted, with an {@linkcode Interrupted}, by the first of them. One for the process. */
export function cancellation(): AbortSignal {
  if (listening) return controller.signal;
  listening = true;
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => {
      const reason = new Interrupted(name);
      if (askedAt !== undefined && performance.now() - askedAt >= SECOND_MS) return die(reason);
      askedAt ??= performance.now();
      controller.abort(reason);
    });
  }
  process.stdout.on("error", outputFailed);
  return controller.signal;
}

/** What was printed has got nowhere: there is no use in going on. */
export function outputFailed(error: NodeJS.ErrnoException): void {
  controller.abort(error.code === "EPIPE" ? new Interrupted("SIGPIPE") : error);
}

/** Ends this process as the signal would have: an exit waits for native calls, and a write may never return. */
export function die({ signal }: Interrupted): void {
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}
