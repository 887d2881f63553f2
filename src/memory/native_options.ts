// Options that several native structs have, checked and written.

import { checkKey, environment, invalid, KEY_SIZE_MAX, shown } from "../core/mod.ts";
import type { Struct } from "../ffi/mod.ts";

/** Writes key and runtime directory where both kinds of options have them. */
export function setPlace(
  struct: Struct,
  offsets: { readonly key: number; readonly directory: number },
  directorySize: number,
  key: string,
  runtimeDirectory: string | undefined,
): void {
  struct.setText(offsets.key, KEY_SIZE_MAX + 1, checkKey(key));
  // Read here, since a variable set by JavaScript is not always in the C environment.
  const directory = runtimeDirectory ?? environment("CUFRAMES_RUNTIME_DIR");
  if (directory === undefined) return;
  const written = typeof directory === "string" && directory !== "" &&
    struct.setText(offsets.directory, directorySize, directory);
  if (!written) {
    throw invalid(
      `runtime directory ${shown(directory)}: it must have 1 to ${directorySize - 1} bytes, without NUL`,
    );
  }
}

/** Writes which device of a GPU is meant: its number, or its UUID. */
export function setDevice(
  struct: Struct,
  offset: number,
  size: number,
  device: number | string | undefined,
): void {
  const name = String(device ?? "");
  if (!struct.setText(offset, size, name)) throw invalid(`device is ${shown(name)}: too long for a UUID`);
}
