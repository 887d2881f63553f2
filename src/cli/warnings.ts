/** This file keeps to itself what Node has to say of `node:ffi`: it is for who writes programs, not for who runs one. */
import process from "node:process";

/** From now on Node's warning that `node:ffi` is experimental is not printed; every other one is. */
export function muteFfiWarning(): void {
  const { emitWarning } = process;
  const filtered = (warning: string | Error, ...rest: unknown[]) => {
    const [first] = rest;
    const type = typeof first === "object" && first !== null ? (first as { type?: unknown }).type : first;
    const name = typeof warning === "string" ? type : warning.name;
    const text = typeof warning === "string" ? warning : warning.message;
    if (name === "ExperimentalWarning" && /^FFI is an experimental feature\b/.test(text)) return;
    Reflect.apply(emitWarning, process, [warning, ...rest]);
  };
  process.emitWarning = filtered as typeof emitWarning;
}
