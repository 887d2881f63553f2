// What the library needs of any runtime, and how native functions look in TypeScript.

import type { SYMBOLS } from "./symbols.ts";

/** How each type name of the symbol table looks in TypeScript. */
interface ParameterTypes {
  u32: number;
  i32: number;
  u64: bigint;
  /** Memory that the callee uses during the call only. */
  buffer: Uint8Array | null;
  callback: NativeCallback | null;
}

interface ResultTypes {
  void: void;
  u32: number;
  i32: number;
  u64: bigint;
}

/** A C function pointer, as the runtime represents it. */
export type NativeCallback = { readonly callback: unique symbol };

type Table = typeof SYMBOLS;
type Parameters<P extends readonly (keyof ParameterTypes)[]> = {
  -readonly [I in keyof P]: ParameterTypes[P[I]];
};

/** The shim's functions, as called from TypeScript. */
export type NativeSymbols = {
  readonly [Name in keyof Table]: (
    ...parameters: Parameters<Table[Name]["parameters"]>
  ) => ResultTypes[Table[Name]["result"]];
};

/** All that the library needs of a JavaScript runtime. One implementation each for Deno, Bun and Node. */
export interface Runtime {
  /** Opens a shared library and binds the table's functions. */
  open(path: string): NativeSymbols;
  /** The memory at an address, not copied. It must be detached before the memory is unmapped. */
  view(address: bigint, size: number): ArrayBuffer;
  /** Where a view's memory is; it may be on a device. */
  addressOf(memory: Uint8Array): bigint;
  /**
   * A way for the library's threads to reach this event loop, opened in the library; `listener` runs on the loop. It lives as
   * long as the loop, and is unreferenced at first. Undefined when the library refuses it.
   */
  openWakeups(listener: (token: number) => void, symbols: NativeSymbols): Wakeups | undefined;
}

/** How the library's threads reach an event loop. */
export interface Wakeups {
  /** What they call. */
  readonly callback: NativeCallback;
  /** From now on it keeps the event loop, and with it the process, alive. */
  ref(): void;
  /** Undoes {@linkcode Wakeups.ref}. */
  unref(): void;
}
