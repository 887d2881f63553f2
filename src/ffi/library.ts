import process from "node:process";
import { fileURLToPath } from "node:url";
import { CuframesError, errorCodeOf } from "../errors.ts";
import { bun } from "./bun.ts";
import { deno } from "./deno.ts";
import { ABI_VERSION } from "./layout.ts";
import { node } from "./node.ts";
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
  return node;
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
  const wake = runtime.callback((token) => waiters.get(token)?.(), symbols);
  if (wake === undefined) {
    throw new CuframesError("OUT_OF_MEMORY", `preparing wake-ups: ${errorMessage(symbols)}`);
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

function errorMessage(symbols: NativeSymbols): string {
  const size = symbols.cuframes_error_message(messageBuffer, messageBuffer.length);
  return decoder.decode(messageBuffer.subarray(0, size));
}

/** The error for a negative result of the call just made on this thread. */
export function nativeError(result: number, tried: string): CuframesError {
  return new CuframesError(errorCodeOf(result), `${tried}: ${errorMessage(library().symbols)}`);
}

/** Passes a result that is not negative through. */
export function checked(result: number, tried: string): number {
  if (result < 0) throw nativeError(result, tried);
  return result;
}
