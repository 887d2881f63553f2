// The native library: found, opened, checked; its wake-ups; its errors.

import { existsSync } from "node:fs";
import process from "node:process";
import {
  ABI_VERSION,
  CuframesError,
  environment,
  errorCodeOf,
  isCuframesError,
  isForbidden,
} from "../core/mod.ts";
import { bun } from "./bun.ts";
import { cachedFile } from "./cache.ts";
import { deno } from "./deno.ts";
import { nativeLibrary } from "./distribution.ts";
import { node } from "./node.ts";
import { currentPlatform } from "./platform.ts";
import type { NativeCallback, NativeSymbols, Runtime, Wakeups } from "./runtime.ts";
import { isTracing, traced } from "./trace.ts";

/** The loaded shim, and what goes with it in this process. */
export interface Library {
  readonly symbols: NativeSymbols;
  readonly runtime: Runtime;
  /** The function that native threads call to run the waiter of a token. */
  readonly wake: NativeCallback;
  /** The wake-ups that the function belongs to; they can keep the event loop alive. */
  readonly wakeups: Wakeups;
}

/** What a native thread wakes. */
export interface Wakeable {
  notify(): void;
}

const waiters = new Map<number, WeakRef<Wakeable>>();

/**
 * Notifies the waiter on the event loop whenever a native thread wakes this token. Keeps nothing alive: a waiter that
 * somebody waits for is held by that wait.
 */
export function onWake(token: number, waiter: Wakeable): void {
  waiters.set(token, new WeakRef(waiter));
}

/** Forgets the token's waiter: a wake-up that is under way is ignored. */
export function offWake(token: number): void {
  waiters.delete(token);
}

let pending = 0;

/** Says that somebody waits for a waiter to run: that keeps the process alive until as many waits have ended. */
export function waitBegins(): void {
  if (pending++ === 0) library().wakeups.ref();
}

/** Undoes one {@linkcode waitBegins}. */
export function waitEnds(): void {
  if (--pending === 0) library().wakeups.unref();
}

let over = false;

/** Whether this program or worker is exiting, and everything native that it had is closed. */
export function isOver(): boolean {
  return over;
}

let loaded: Library | undefined;

/** The shim, loaded at the first call. */
export function library(): Library {
  return loaded ??= load();
}

/** The adapter for the runtime that this is. */
export function currentRuntime(): Runtime {
  if ("Bun" in globalThis) return bun;
  if ("Deno" in globalThis) return deno;
  return node;
}

function load(): Library {
  const path = libraryPath();
  const runtime = currentRuntime();
  let symbols: NativeSymbols;
  try {
    symbols = runtime.open(path);
    if (isTracing()) symbols = traced(symbols);
  } catch (cause) {
    throw isCuframesError(cause) ? cause : openingFailed(path, cause as Error);
  }
  const version = symbols.cuframes_abi_version();
  if (version !== ABI_VERSION) {
    throw new CuframesError(
      "UNSUPPORTED",
      `the native library ${path} has ABI version ${version}, this release needs ${ABI_VERSION}: ${rightOne}`,
    );
  }
  // This comes before anything is made, so that all of it ends with this thread.
  const opened = symbols.cuframes_environment_open() >= 0;
  let wakeups: Wakeups | undefined;
  try {
    if (opened) wakeups = runtime.openWakeups((token) => waiters.get(token)?.deref()?.notify(), symbols);
  } catch (cause) {
    symbols.cuframes_environment_close();
    if (!isForbidden(cause)) throw cause;
    throw new CuframesError(
      "PERMISSION",
      `preparing wake-ups of the native library ${path}: ${
        (cause as Error).message
      }: --allow-ffi is limited ` +
        "to paths, and only without a path it lets the library call back; run with --allow-ffi",
      { cause },
    );
  }
  if (wakeups === undefined) {
    throw new CuframesError("OUT_OF_MEMORY", `preparing wake-ups: ${errorMessage(symbols)}`);
  }
  // A native thread must not call into an event loop that is being taken down. A worker that is ended from outside has no
  // such event; there the library notices the end of the thread.
  process.on("exit", () => {
    over = true;
    symbols.cuframes_environment_close();
  });
  return { symbols, runtime, wake: wakeups.callback, wakeups };
}

const rightOne =
  "use the one that belongs to it, by `npm run build` in a checkout, by installing the package again, or by taking CUFRAMES_LIBRARY away";

const foreign = `it is no library for this machine (${process.platform} ${process.arch}): ${rightOne}`;

/** What the dynamic loaders of glibc and musl say, and what to do about it. */
const reasons: readonly [pattern: RegExp, advice: string][] = [
  [/undefined symbol|symbol .*not found|find symbol/i, `it is of another release: ${rightOne}`],
  [
    /failed to map segment|operation not permitted/i,
    "its directory is mounted noexec: let CUFRAMES_CACHE_DIR name a directory elsewhere, or CUFRAMES_LIBRARY a copy elsewhere",
  ],
  [/no such file/i, `it, or a library that it needs, is not there: ${rightOne}`],
  [/permission denied/i, "make it readable for this user"],
  [/ELF|file too short|exec format/i, foreign],
];

function openingFailed(path: string, cause: Error): CuframesError {
  const tried = `the native library ${path} could not be opened: ${cause.message}`;
  if (isForbidden(cause)) {
    return new CuframesError("PERMISSION", `${tried}: run with --allow-ffi, without a path`, { cause });
  }
  const said = cause.message.replaceAll(path, "it");
  let advice = reasons.find(([pattern]) => pattern.test(said))?.[1] ?? rightOne;
  // glibc says the same of a library for another machine.
  if (said.includes("it: cannot open shared object file: No such file") && existsSync(path)) advice = foreign;
  return new CuframesError("UNSUPPORTED", `${tried}: ${advice}`, { cause });
}

function libraryPath(): string {
  const override = environment("CUFRAMES_LIBRARY");
  if (override !== undefined) return override;
  const platform = currentPlatform();
  if (platform === undefined) {
    throw new CuframesError(
      "UNSUPPORTED",
      `cuframes has no native library for ${process.platform} on ${process.arch}, only for Linux on x64 and arm64: build one with Zig from its sources, and let CUFRAMES_LIBRARY name it`,
    );
  }
  const found = nativeLibrary(platform);
  return "path" in found ? found.path : cachedFile(found.sha256, found.unpack);
}

const messageBuffer = new Uint8Array(512);
const decoder = new TextDecoder();

function errorMessage(symbols: NativeSymbols): string {
  const size = symbols.cuframes_error_message(messageBuffer, messageBuffer.length);
  return decoder.decode(messageBuffer.subarray(0, size));
}

/** The sentence for a negative result of the call just made on this thread. */
export function nativeMessage(): string {
  return errorMessage(library().symbols);
}

/** The error for a negative result of the call just made on this thread. */
export function nativeError(result: number, tried: string): CuframesError {
  return new CuframesError(errorCodeOf(result), `${tried}: ${nativeMessage()}`);
}

/** Passes a result that is not negative through. */
export function checked(result: number, tried: string): number {
  if (result < 0) throw nativeError(result, tried);
  return result;
}
