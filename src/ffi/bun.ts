import type * as BunFfi from "bun:ffi";
import process from "node:process";
import type { NativeCallback, NativeSymbols, Runtime } from "./runtime.ts";
import { SYMBOLS } from "./symbols.ts";

// A callback is its address, or null.
const parameterTypes = { u32: "u32", i32: "i32", u64: "u64", buffer: "ptr", callback: "ptr" } as const;

/** Callbacks must outlive every native thread that may call them. */
const callbacks: unknown[] = [];

function ffi(): typeof BunFfi {
  // Synchronous, and out of sight of the other runtimes' module loaders.
  return process.getBuiltinModule("bun:ffi") as unknown as typeof BunFfi;
}

export const bun: Runtime = {
  open(path: string): NativeSymbols {
    const table = Object.fromEntries(
      Object.entries(SYMBOLS).map(([name, { parameters, result }]) => [
        name,
        { args: parameters.map((type) => parameterTypes[type]), returns: result },
      ]),
    );
    return ffi().dlopen(path, table).symbols as unknown as NativeSymbols;
  },

  view(address: bigint, size: number): ArrayBuffer {
    // Addresses of user space fit a double's 53 bits.
    return ffi().toArrayBuffer(Number(address) as BunFfi.Pointer, 0, size);
  },

  addressOf(memory: Uint8Array): bigint {
    return BigInt(ffi().ptr(memory));
  },

  callback(listener: (token: number) => void, symbols: NativeSymbols): NativeCallback | undefined {
    const callback = new (ffi().JSCallback)(listener, { args: ["u32"], returns: "void", threadsafe: true });
    callbacks.push(callback);
    const pointer = callback.ptr as unknown as NativeCallback;
    return symbols.cuframes_callback_open(pointer) < 0 ? undefined : pointer;
  },
};
