// CUFRAMES_TRACE=1: a line on standard error for every native call, to see what a program that misbehaves asks the library for.

import { writeSync } from "node:fs";
import process from "node:process";
import { environment, errorCodeOf } from "../core/mod.ts";
import type { NativeSymbols } from "./runtime.ts";
import { SYMBOLS } from "./symbols.ts";

const STANDARD_ERROR = 2;

type NativeFunction = (...parameters: unknown[]) => unknown;

/** Whether this process is to trace its native calls. */
export function isTracing(): boolean {
  return environment("CUFRAMES_TRACE") === "1";
}

/**
 * The same functions, each of which also writes a line when it returns:
 * `cuframes[4711] 81234567890.123 cuframes_publisher_acquire(1, 0) = 3, 2.150 µs`. The first number is the process, the second
 * the begin of the call in microseconds of the monotonic clock, the last how long it took.
 *
 * @param write takes each line
 */
export function traced(symbols: NativeSymbols, write: (line: string) => void = writeLine): NativeSymbols {
  const entries = Object.entries(SYMBOLS).map(([name, { parameters, result }]) => {
    const called = symbols[name as keyof NativeSymbols] as unknown as NativeFunction;
    const wrapped: NativeFunction = (...values) => {
      const begin = symbols.cuframes_now_ns();
      const returned = called(...values);
      const took = symbols.cuframes_now_ns() - begin;
      const args = values.map((value, index) => shortForm(value, parameters[index])).join(", ");
      write(
        `cuframes[${process.pid}] ${inMicroseconds(begin)} ${name}(${args})${resultForm(returned, result)}, ${
          inMicroseconds(took)
        } µs\n`,
      );
      return returned;
    };
    return [name, wrapped];
  });
  return Object.fromEntries(entries) as NativeSymbols;
}

/** Of memory only the size: it may hold pictures, and what the callee writes is not all of it. */
function shortForm(value: unknown, type: string | undefined): string {
  if (value === null || value === undefined) return "null";
  if (value instanceof Uint8Array) return `[${value.length} bytes]`;
  if (type === "callback") return "callback";
  return typeof value === "bigint" ? `0x${value.toString(16)}` : String(value);
}

/** Negative results of type i32 are errors, which have names. */
function resultForm(returned: unknown, type: string): string {
  if (type === "void") return "";
  if (type === "i32" && Number(returned) < 0) return ` = ${returned} ${errorCodeOf(Number(returned))}`;
  return ` = ${shortForm(returned, type)}`;
}

function inMicroseconds(nanoseconds: bigint): string {
  return `${nanoseconds / 1000n}.${String(nanoseconds % 1000n).padStart(3, "0")}`;
}

/** Writes at once, so that the line is there even if the process ends right afterwards. */
function writeLine(line: string): void {
  try {
    writeSync(STANDARD_ERROR, line);
  } catch {
    // Standard error is closed, or a pipe that is full: a trace is not worth a failure.
  }
}
