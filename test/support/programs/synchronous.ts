// A program that does not return to its event loop once it is connected: it polls for frames with `nextSync` alone.

import { readdirSync } from "node:fs";
import process from "node:process";
import { CuframesError, type Frame, Subscriber } from "../../../mod.ts";
import { optionsOf, report } from "./worker.ts";

export interface Options {
  key: string;
  runtimeDirectory: string;
  /** Of each call. */
  timeout: number;
  /** It ends after the frames of so many of them. */
  publishers: number;
}

/** What it says of each publisher, at its first frame. */
export interface First {
  sequence: number;
  discontinuity: boolean;
  /** Calls in vain before it, how long the longest of them took, and what the last one said. */
  missed: number;
  longest: number;
  message: string;
  /** Of this process, now. */
  threads: number;
}

const { key, runtimeDirectory, timeout, publishers } = optionsOf<Options>();
const subscriber = await Subscriber.connect(key, { runtimeDirectory, reconnect: true });
report("connected");

const sleeper = new Int32Array(new SharedArrayBuffer(4));
let [missed, longest, message] = [0, 0, ""];

function poll(): Frame | undefined {
  const start = performance.now();
  try {
    return subscriber.nextSync({ timeout });
  } catch (error) {
    if (!(error instanceof CuframesError) || !["TIMEOUT", "WOULD_BLOCK"].includes(error.code)) throw error;
    missed++;
    longest = Math.max(longest, performance.now() - start);
    message = error.message;
    return undefined;
  }
}

for (let seen = 0; seen < publishers;) {
  const frame = poll();
  if (frame === undefined) {
    // So that polling without a time-out leaves the others something of the machine.
    if (timeout === 0) Atomics.wait(sleeper, 0, 0, 1);
    continue;
  }
  const { sequence, discontinuity } = frame;
  frame.close();
  if (seen > 0 && !discontinuity) continue;
  seen++;
  const threads = readdirSync("/proc/self/task").length;
  const first: First = { sequence: Number(sequence), discontinuity, missed, longest, message, threads };
  report("first", first);
  [missed, longest, message] = [0, 0, ""];
}
process.exit(0);
