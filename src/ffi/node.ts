import type * as NodeNet from "node:net";
import process from "node:process";
import { CuframesError } from "../errors.ts";
import type { NativeCallback, NativeSymbols, Runtime } from "./runtime.ts";
import { SYMBOLS } from "./symbols.ts";

const parameterTypes = { u32: "u32", i32: "i32", u64: "u64", buffer: "buffer", callback: "pointer" } as const;

/** What is used of `node:ffi`; Deno knows no types of it. */
interface NodeFfi {
  dlopen(path: string, table: object): { functions: object };
  toArrayBuffer(address: bigint, size: number, copy: boolean): ArrayBuffer;
  getRawPointer(memory: Uint8Array): bigint;
}

/** The wake-ups, from the first use to the end of the process. */
let pipe: NodeNet.Socket | undefined;

/** The built-in module. Since 26.1 behind `--experimental-ffi`, since 26.9 without. */
export function nodeFfi(): NodeFfi {
  const module = process.getBuiltinModule?.("node:ffi");
  if (module !== undefined) return module as unknown as NodeFfi;
  const [major = 0, minor = 0] = (process.versions.node ?? "0.0").split(".").map(Number);
  let advice = "it was built without, or started with --no-experimental-ffi";
  if (major < 26 || major === 26 && minor < 1) advice = "use Node 26.1 or later, Deno or Bun";
  else if (major === 26 && minor < 9) advice = "start it with --experimental-ffi, or use Node 26.9 or later";
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

  // Only the thread that made one of Node's callbacks may call it, so tokens come through a pipe.
  callback(listener: (token: number) => void, symbols: NativeSymbols): NativeCallback | undefined {
    const address = new BigUint64Array(1);
    const fd = symbols.cuframes_callback_pipe(new Uint8Array(address.buffer));
    if (fd < 0) return undefined;
    const { Socket } = process.getBuiltinModule("node:net") as typeof NodeNet;
    const buffer = new Uint8Array(4096);
    const tokens = new Uint32Array(buffer.buffer);
    pipe = new Socket({
      fd,
      readable: true,
      writable: false,
      onread: {
        buffer,
        // Always whole tokens: each is written at once, and the buffer's size is a multiple of theirs.
        callback(size) {
          for (const token of tokens.slice(0, size / tokens.BYTES_PER_ELEMENT)) listener(token);
          return true;
        },
      },
    });
    pipe.unref();
    return address[0] as unknown as NativeCallback;
  },

  keepAlive(waiting: boolean): void {
    if (waiting) pipe?.ref();
    else pipe?.unref();
  },
};
