// What the library needs of Node.

import process from "node:process";
import { CuframesError } from "../core/mod.ts";
import type { NativeCallback, NativeSymbols, Runtime, Wakeups } from "./runtime.ts";
import { SYMBOLS } from "./symbols.ts";
import { openWakeSocket, readByNodeNet } from "./wake_socket.ts";

const parameterTypes = { u32: "u32", i32: "i32", u64: "u64", buffer: "buffer", callback: "pointer" } as const;

/** What is used of `node:ffi`; Deno knows no types of it. */
interface NodeFfi {
  dlopen(path: string, table: object): { functions: object };
  toArrayBuffer(address: bigint, size: number, copy: boolean): ArrayBuffer;
  getRawPointer(memory: Uint8Array): bigint;
}

/** The built-in module. Since 26.1 behind `--experimental-ffi`, since 26.9 without. */
export function nodeFfi(): NodeFfi {
  const module = process.getBuiltinModule?.("node:ffi");
  if (module !== undefined) return module as unknown as NodeFfi;
  // Older ones are told so before anything is loaded (src/core/supported.ts).
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const advice = major === 26 && minor < 9
    ? "start it with --experimental-ffi, or use Node 26.9 or later"
    : "it was built without, or started with --no-experimental-ffi";
  throw new CuframesError(
    "UNSUPPORTED",
    `Node ${process.version} has no node:ffi, by which cuframes calls its native library: ${advice}`,
  );
}

export const node: Runtime = {
  open(path: string): NativeSymbols {
    const table = Object.fromEntries(
      Object.entries(SYMBOLS).map(([name, { parameters, result }]) => [
        name,
        { arguments: parameters.map((type) => parameterTypes[type]), return: result },
      ]),
    );
    return nodeFfi().dlopen(path, table).functions as unknown as NativeSymbols;
  },

  view(address: bigint, size: number): ArrayBuffer {
    return nodeFfi().toArrayBuffer(address, size, false);
  },

  addressOf(memory: Uint8Array): bigint {
    return nodeFfi().getRawPointer(memory);
  },

  // Only the thread that made one of Node's callbacks may call it.
  openWakeups(listener: (token: number) => void, symbols: NativeSymbols): Wakeups | undefined {
    const socket = openWakeSocket(symbols);
    return socket && readByNodeNet(socket, socket.address as unknown as NativeCallback, listener);
  },
};
