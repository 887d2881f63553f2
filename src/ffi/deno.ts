// What the library needs of Deno.

import process from "node:process";
import type * as WorkerThreads from "node:worker_threads";
import type { NativeCallback, NativeSymbols, Runtime, Wakeups } from "./runtime.ts";
import { SYMBOLS } from "./symbols.ts";
import { openWakeSocket, readByNodeNet } from "./wake_socket.ts";

const parameterTypes = {
  u32: "u32",
  i32: "i32",
  u64: "u64",
  buffer: "buffer",
  callback: "function",
} as const;

/** Callbacks must outlive every native thread that may call them. */
const callbacks: unknown[] = [];

export const deno: Runtime = {
  open(path: string): NativeSymbols {
    const table = Object.fromEntries(
      Object.entries(SYMBOLS).map(([name, { parameters, result }]) => [
        name,
        { parameters: parameters.map((type) => parameterTypes[type]), result },
      ]),
    );
    return Deno.dlopen(path, table as Deno.ForeignLibraryInterface).symbols as unknown as NativeSymbols;
  },

  view(address: bigint, size: number): ArrayBuffer {
    const pointer = Deno.UnsafePointer.create(address);
    if (pointer === null) throw new TypeError("address 0 cannot be viewed");
    return Deno.UnsafePointerView.getArrayBuffer(pointer, size);
  },

  addressOf(memory: Uint8Array): bigint {
    return BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(memory as Uint8Array<ArrayBuffer>)));
  },

  openWakeups(listener: (token: number) => void, symbols: NativeSymbols): Wakeups | undefined {
    // A worker may be ended at any moment, and its callbacks with it: a thread that is in one, or calls one, ends the process.
    if (isWorker()) {
      const socket = openWakeSocket(symbols);
      if (socket === undefined) return undefined;
      return readByNodeNet(
        socket,
        Deno.UnsafePointer.create(socket.address) as unknown as NativeCallback,
        listener,
      );
    }
    // Some 15 µs faster than the socket, which Deno reads on yet another thread.
    const callback = Deno.UnsafeCallback.threadSafe(
      { parameters: ["u32"], result: "void" } as const,
      listener,
    );
    callback.unref();
    callbacks.push(callback);
    const pointer = callback.pointer as unknown as NativeCallback;
    if (symbols.cuframes_callback_open(pointer) < 0) return undefined;
    return {
      callback: pointer,
      ref: () => void callback.ref(),
      unref: () => void callback.unref(),
    };
  },
};

/** Deno has two kinds of workers, and each is told by something that the other one lacks. */
function isWorker(): boolean {
  const { WorkerGlobalScope } = globalThis as { WorkerGlobalScope?: new () => unknown };
  if (WorkerGlobalScope !== undefined && globalThis instanceof WorkerGlobalScope) return true;
  return !(process.getBuiltinModule("node:worker_threads") as typeof WorkerThreads).isMainThread;
}
