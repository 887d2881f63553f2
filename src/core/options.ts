// Checks of options, and the units that people give times in.

import { invalid, shown } from "./errors.ts";
import { type OptionNames, optionNames } from "./option_names.ts";
import { KEY_SIZE_MAX, NAME_SIZE_MAX } from "./constants.ts";

/**
 * How long to wait, and when to give up.
 *
 * @example
 * ```ts
 * import { Subscriber } from "@cuframes/core";
 *
 * using camera = await Subscriber.connect("cam-parking");
 * using frame = await camera.next({ timeout: 1000, signal: AbortSignal.timeout(5000) });
 * ```
 */
export interface WaitOptions {
  /** Milliseconds; 0 looks once; default: for ever. After it a `TIMEOUT` error. */
  timeout?: number;
  /** Gives up with the signal's reason. */
  signal?: AbortSignal;
}

/** The names of {@linkcode WaitOptions}. */
export const WAIT_OPTIONS: OptionNames = optionNames<WaitOptions>({ timeout: true, signal: true });

/** The largest whole number of C's `int`. */
export const INT32_MAX = 0x7fffffff;

/** The longest time that a timer takes. */
export const LONGEST_TIMER_MS: number = INT32_MAX;

const keyPattern = new RegExp(`^[A-Za-z0-9_-]{1,${KEY_SIZE_MAX}}$`);

/** Whether a publisher can have this key. */
export function isKey(key: string): boolean {
  return keyPattern.test(key);
}

/** Passes a publisher's key through. */
export function checkKey(key: string): string {
  if (typeof key !== "string" || !keyPattern.test(key)) {
    throw invalid(
      `key ${shown(key)}: it must be 1 to ${KEY_SIZE_MAX} characters of A–Z a–z 0–9 _ -`,
    );
  }
  return key;
}

/** Passes a whole number of a range through. */
export function checkInteger(name: string, value: number, minimum: number, maximum: number): number {
  if (!Number.isInteger(value) || value < minimum || value > maximum) {
    throw invalid(`${name} is ${shown(value)}: it must be a whole number from ${minimum} to ${maximum}`);
  }
  return value + 0; // -0 is no integer to an FFI
}

/** Passes an address or handle of the CUDA driver through. */
export function checkHandle(name: string, kind: string, value: bigint): bigint {
  if (typeof value === "bigint" && value === BigInt.asUintN(64, value)) return value;
  throw invalid(`${name} is ${shown(value)}: it must be ${kind} as a bigint`);
}

/** The code of one of a table's names. */
export function checkChoice(name: string, value: string, choices: Readonly<Record<string, number>>): number {
  const code = typeof value === "string" && Object.hasOwn(choices, value) ? choices[value] : undefined;
  if (code === undefined) {
    throw invalid(`${name} is ${shown(value)}: it must be one of ${Object.keys(choices).join(", ")}`);
  }
  return code;
}

/** A time-out for the C ABI: whole milliseconds, rounded up, -1 for ever. */
export function timeoutMilliseconds(name: string, timeout: number): number {
  if (typeof timeout !== "number" || Number.isNaN(timeout) || timeout < 0) {
    throw invalid(`${name} is ${shown(timeout)}: it must be a number of milliseconds from 0 on`);
  }
  return timeout > LONGEST_TIMER_MS ? -1 : Math.ceil(timeout) + 0;
}

/** Passes a subscriber's name through. */
export function checkName(name: string): string {
  if (typeof name !== "string") throw invalid(`name is ${shown(name)}: it must be a string`);
  const size = new TextEncoder().encode(name).length;
  if (size > NAME_SIZE_MAX || name.includes("\0")) {
    throw invalid(
      `name ${JSON.stringify(name)} has ${size} bytes of UTF-8: at most ${NAME_SIZE_MAX}, without NUL`,
    );
  }
  return name;
}

/** Nanoseconds from a span in seconds, from 0 on. */
export function nanosecondsOf(name: string, seconds: number, maximum: number): bigint {
  if (typeof seconds === "number" && seconds >= 0 && seconds <= maximum) {
    return BigInt(Math.round(seconds * 1e9));
  }
  throw invalid(`${name} is ${shown(seconds)}: seconds from 0 to ${maximum}`);
}

/** Nanoseconds from whichever of the two units was given. */
export function nanoseconds(
  name: string,
  microseconds: number | undefined,
  exact: bigint | undefined,
): bigint | undefined {
  if (exact !== undefined) {
    if (typeof exact !== "bigint" || exact !== BigInt.asIntN(64, exact)) {
      throw invalid(`${name}Ns is ${shown(exact)}: it must be a bigint of 64 bits`);
    }
    return exact;
  }
  if (microseconds === undefined) return undefined;
  if (!Number.isFinite(microseconds) || Math.abs(microseconds) > 9e15) {
    throw invalid(`${name} is ${shown(microseconds)}: it must be a number of microseconds`);
  }
  // Whole microseconds stay exact; a fraction is kept to the nanosecond.
  const whole = Math.trunc(microseconds);
  return BigInt(whole) * 1000n + BigInt(Math.round((microseconds - whole) * 1000));
}

/** Microseconds, as WebCodecs counts: the nearest number, which for whole ones is exact. */
export function microseconds(nanoseconds: bigint): number {
  const value = Number(nanoseconds);
  if (Number.isSafeInteger(value)) return value / 1000;
  // Unix time is past 2^53 ns: rounded before the division it would come back as other microseconds.
  return Number(nanoseconds / 1000n) + Number(nanoseconds % 1000n) / 1000;
}
