// Native memory as ArrayBuffers, which are emptied before the memory goes.

import { library } from "../ffi/mod.ts";

/** Pieces of native memory as ArrayBuffers, numbered by their owner. Each is made once. */
export class NativeBuffers {
  readonly #buffers = new Map<number, ArrayBuffer>();
  #escaped = false;

  /** The buffer of a number. `address` is called only when the buffer has to be made: for the first time, or again. */
  at(index: number, address: () => bigint, size: number): ArrayBuffer {
    const made = this.#buffers.get(index);
    if (made !== undefined && !made.detached) return made;
    if (made !== undefined) this.#escaped = true;
    const buffer = library().runtime.view(address(), size);
    this.#buffers.set(index, buffer);
    return buffer;
  }

  /**
   * Empties all buffers, and with them every view that was ever taken of one, so that nothing can reach the memory after
   * it is unmapped. False where that cannot be: a buffer was transferred, perhaps to another thread.
   */
  detach(): boolean {
    for (const buffer of this.#buffers.values()) {
      try {
        buffer.transfer(0);
      } catch {
        this.#escaped = true; // detached already, or marked as not to be
      }
    }
    this.#buffers.clear();
    return !this.#escaped;
  }
}
