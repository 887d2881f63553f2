import process from "node:process";
import { fileURLToPath } from "node:url";
import { CuframesError, errorCodeOf } from "../errors.ts";
import { bun } from "./bun.ts";
import { deno } from "./deno.ts";
import { ABI_VERSION } from "./layout.ts";
import type { NativeCallback, NativeSymbols, Runtime } from "./runtime.ts";

/** The loaded shim, and what goes with it in this process. */
export interface Library {
  readonly symbols: NativeSymbols;
  readonly runtime: Runtime;
  /** What native threads call: wakes the waiter registered under the token. */
  readonly wake: NativeCallback;
}

const waiters = new Map<number, () => void>();

/** Runs `waiter` on the event loop whenever a native thread wakes this token. */
export function onWake(token: number, waiter: () => void): void {
  waiters.set(token, waiter);
}

export function offWake(token: number): void {
  waiters.delete(token);
}

let loaded: Library | undefined;

/** The shim, loaded at the first call. */
export function library(): Library {
  return loaded ??= load();
}

/** An environment variable, undefined where it is not set or may not be read. */
export function environment(name: string): string | undefined {
  try {
    return process.env[name] || undefined;
  } catch {
    return undefined; // Deno without --allow-env
  }
}

function currentRuntime(): Runtime {
  if ("Bun" in globalThis) return bun;
  if ("Deno" in globalThis) return deno;
  throw new CuframesError(
    "UNSUPPORTED",
    `this runtime (${process.version}) has no foreign function interface that cuframes knows: use Deno or Bun`,
  );
}

function load(): Library {
  const path = libraryPath();
  const runtime = currentRuntime();
  let symbols: NativeSymbols;
  try {
    symbols = runtime.open(path);
  } catch (cause) {
    throw new CuframesError(
      "UNSUPPORTED",
      `the native library ${path} could not be opened: ${(cause as Error).message}`,
      { cause },
    );
  }
  const version = symbols.cuframes_abi_version();
  if (version !== ABI_VERSION) {
    throw new CuframesError(
      "UNSUPPORTED",
      `the native library ${path} has ABI version ${version}, this release needs ${ABI_VERSION}: build or install the one that belongs to it`,
    );
  }
  const wake = runtime.callback((token) => waiters.get(token)?.());
  if (symbols.cuframes_callback_open(wake) < 0) {
    throw new CuframesError("OUT_OF_MEMORY", "too many workers of this process use cuframes: end some");
  }
  // A native thread must not call into an event loop that is being taken down.
  process.on("exit", () => symbols.cuframes_callback_close(wake));
  return { symbols, runtime, wake };
}

function libraryPath(): string {
  const override = environment("CUFRAMES_LIBRARY");
  if (override !== undefined) return override;
  return fileURLToPath(new URL("../../zig/zig-out/lib/libcuframes.so", import.meta.url).href);
}

const messageBuffer = new Uint8Array(512);
const decoder = new TextDecoder();

/** The error for a negative result of the call just made on this thread. */
export function nativeError(result: number, tried: string): CuframesError {
  const size = library().symbols.cuframes_error_message(messageBuffer, messageBuffer.length);
  return new CuframesError(
    errorCodeOf(result),
    `${tried}: ${decoder.decode(messageBuffer.subarray(0, size))}`,
  );
}

/** Passes a result that is not negative through. */
export function checked(result: number, tried: string): number {
  if (result < 0) throw nativeError(result, tried);
  return result;
}
