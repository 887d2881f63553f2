// Where an image is imported: on the GPU or on the host.

import { checkChoice, CuframesError, isCuframesError, MEMORY_KINDS } from "../core/mod.ts";
import type { MemoryKind } from "../memory/mod.ts";

/** A device's number or UUID as native code takes it. */
export function encodeDevice(device: number | string | undefined): Uint8Array {
  return new TextEncoder().encode(String(device ?? ""));
}

const memoryChoices = { ...MEMORY_KINDS, auto: -1 };

/** Makes something for the memory that was chosen; with `"auto"` for CUDA where that works, else for the host. */
export function onceOrOnHost<T>(memory: MemoryKind | "auto", make: (kind: MemoryKind) => T): T {
  checkChoice("memory", memory, memoryChoices);
  if (memory !== "auto") return make(memory);
  try {
    return make("cuda");
  } catch (error) {
    if (!isCuframesError(error)) throw error;
    try {
      return make("host");
    } catch (other) {
      if (!isCuframesError(other) || error.code !== "UNSUPPORTED") throw error;
      // Without a GPU its error says nothing about the caller's picture, unless the host cannot do it either.
      if (!isCuframesError(other, "UNSUPPORTED", "FORMAT")) throw other;
      throw new CuframesError(other.code, `${other.message}; nor can the GPU: ${error.message}`, {
        cause: error,
      });
    }
  }
}
