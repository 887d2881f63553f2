// Calling a shared library from a test, on any runtime.

import process from "node:process";
import { currentRuntime } from "../../src/ffi/library.ts";
import { nodeFfi } from "../../src/ffi/node.ts";

const types = { u32: "u32", i32: "i32", u64: "u64", buffer: "buffer", void: "void" } as const;
const bunTypes = { u32: "u32", i32: "i32", u64: "u64", buffer: "ptr", void: "void" } as const;

interface Values {
  u32: number;
  i32: number;
  u64: bigint;
  buffer: Uint8Array | null;
  void: undefined;
}

type Parameter = "u32" | "i32" | "u64" | "buffer";

/** C functions by name: what they take and what they return. */
export type Table = Readonly<
  Record<string, readonly [parameters: readonly Parameter[], result: keyof Values]>
>;

type Arguments<P extends readonly Parameter[]> = { -readonly [I in keyof P]: Values[P[I]] };

/** A table's functions, as they are called. */
export type Functions<T extends Table> = {
  readonly [Name in keyof T]: (...parameters: Arguments<T[Name][0]>) => Values[T[Name][1]];
};

function bunFfi(): typeof import("bun:ffi") {
  return process.getBuiltinModule("bun:ffi") as unknown as typeof import("bun:ffi");
}

/** Opens a library; throws where it, or one of the functions, is not there. */
export function open<const T extends Table>(path: string, table: T): Functions<T> {
  const entries = Object.entries(table);
  if ("Bun" in globalThis) {
    const declarations = entries.map((
      [name, [parameters, result]],
    ) => [name, { args: parameters.map((type) => bunTypes[type]), returns: bunTypes[result] }]);
    return bunFfi().dlopen(path, Object.fromEntries(declarations)).symbols as unknown as Functions<T>;
  }
  const declarations = entries.map(([name, [parameters, result]]) =>
    [name, parameters.map((type) => types[type]), types[result]] as const
  );
  if ("Deno" in globalThis) {
    const interfaces = Object.fromEntries(
      declarations.map(([name, parameters, result]) => [name, { parameters, result }]),
    );
    return Deno.dlopen(path, interfaces as Deno.ForeignLibraryInterface).symbols as unknown as Functions<T>;
  }
  const signatures = Object.fromEntries(
    declarations.map(([name, parameters, result]) => [name, { arguments: parameters, return: result }]),
  );
  return nodeFfi().dlopen(path, signatures).functions as unknown as Functions<T>;
}

/** A function at an address, which node:ffi cannot call. */
export function functionAt<const P extends readonly Parameter[], R extends keyof Values>(
  address: bigint,
  parameters: P,
  result: R,
): (...parameters: Arguments<P>) => Values[R] {
  if ("Bun" in globalThis) {
    const declaration = {
      ptr: Number(address) as import("bun:ffi").Pointer,
      args: parameters.map((type) => bunTypes[type]),
      returns: bunTypes[result],
    };
    return bunFfi().CFunction(declaration) as unknown as (...parameters: Arguments<P>) => Values[R];
  }
  if (!("Deno" in globalThis)) throw new Error("node:ffi calls functions by their names only");
  const pointer = new Deno.UnsafeFnPointer(Deno.UnsafePointer.create(address)!, {
    parameters: parameters.map((type) => types[type]),
    result: types[result],
  } as Deno.ForeignFunction);
  const call = pointer.call.bind(pointer) as (...values: unknown[]) => unknown;
  return call as (...parameters: Arguments<P>) => Values[R];
}

/** Where a buffer's bytes are, as long as it is alive. */
export function addressOf(bytes: Uint8Array): bigint {
  return currentRuntime().addressOf(bytes);
}

/** The memory at an address, not copied. */
export function viewAt(address: bigint, size: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(currentRuntime().view(address, size));
}

const environmentTable = {
  setenv: [["buffer", "buffer", "i32"], "i32"],
  unsetenv: [["buffer"], "i32"],
} as const;

/** Changes what C code of this process finds with `getenv`, which a runtime's own environment need not do. */
export function setEnvironment(name: string, value: string | undefined): void {
  const text = (value: string) => new TextEncoder().encode(`${value}\0`);
  const libc = open("libc.so.6", environmentTable);
  if (value === undefined) libc.unsetenv(text(name));
  else libc.setenv(text(name), text(value), 1);
}
