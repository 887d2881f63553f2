// What the library needs of Bun.

import type * as BunFfi from "bun:ffi";
import process from "node:process";
import type { NativeCallback, NativeSymbols, Runtime, Wakeups } from "./runtime.ts";
import { SYMBOLS } from "./symbols.ts";
import { openWakeSocket, TokenStream } from "./wake_socket.ts";

// A callback is its address, or null.
const parameterTypes = { u32: "u32", i32: "i32", u64: "u64", buffer: "ptr", callback: "ptr" } as const;

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

  // A callback that foreign threads call corrupts Bun's heap (oven-sh/bun#41857); docs/architecture.md has what was measured.
  openWakeups(listener: (token: number) => void, symbols: NativeSymbols): Wakeups | undefined {
    const opened = openWakeSocket(symbols);
    if (opened === undefined) return undefined;
    const tokens = new TokenStream(listener);
    let socket: BunSocket | undefined;
    let referenced = false;
    // Its node:net does not read a socket that it has not opened itself.
    connect({ fd: opened.fd, socket: { data: (_, bytes) => tokens.push(bytes) } }).then((connected) => {
      socket = connected;
      if (!referenced) socket.unref();
    });
    return {
      callback: Number(opened.address) as unknown as NativeCallback,
      ref() {
        referenced = true;
        socket?.ref();
      },
      unref() {
        referenced = false;
        socket?.unref();
      },
    };
  },
};

interface BunSocket {
  ref(): void;
  unref(): void;
}

/** What is used of `Bun.connect`, whose types do not know the descriptor. */
function connect(
  options: { fd: number; socket: { data(socket: BunSocket, bytes: Uint8Array): void } },
): Promise<BunSocket> {
  return (globalThis as unknown as { Bun: { connect: typeof connect } }).Bun.connect(options);
}
