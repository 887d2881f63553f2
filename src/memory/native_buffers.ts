// Native memory as ArrayBuffers, which are emptied before the memory goes.

import { library } from "../ffi/mod.ts";

/** The objects that live as long as a buffer that was handed out for good, such as a frame whose pixels it has. */
const keepers = new WeakMap<ArrayBuffer, Set<object>>();

/** Pieces of native memory as ArrayBuffers, numbered by their owner. Each is made once, unless it is handed out for good. */
export class NativeBuffers {
  readonly #buffers = new Map<number, ArrayBuffer>();
  /** Those that were handed out for good. */
  readonly #handedOut = new Set<WeakRef<ArrayBuffer>>();
  /** How many there may be before those that were collected are left out. */
  #pruneAt = 64;
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
   * Lets the number's buffer, and every view of it, keep `keeper` alive. Whoever asks for the number later is given another
   * buffer of the same memory.
   */
  handOut(buffer: ArrayBuffer, keeper: object): void {
    const kept = keepers.get(buffer);
    if (kept !== undefined) {
      kept.add(keeper);
      return;
    }
    keepers.set(buffer, new Set([keeper]));
    for (const [index, each] of this.#buffers) if (each === buffer) this.#buffers.delete(index);
    this.#handedOut.add(new WeakRef(buffer));
    if (this.#handedOut.size <= this.#pruneAt) return;
    for (const each of this.#handedOut) if (each.deref() === undefined) this.#handedOut.delete(each);
    this.#pruneAt = 2 * this.#handedOut.size;
  }

  /** Says that `keeper` need not be alive any more for the buffer's sake. */
  static letGo(buffer: ArrayBuffer, keeper: object): void {
    keepers.get(buffer)?.delete(keeper);
  }

  /**
   * Empties all buffers, and with them every view that was ever taken of one, so that nothing can reach the memory after
   * it is unmapped. False where that cannot be: a buffer was transferred, perhaps to another thread.
   */
  detach(): boolean {
    const handedOut = [...this.#handedOut].map((each) => each.deref()).filter((buffer) =>
      buffer !== undefined
    );
    for (const buffer of [...this.#buffers.values(), ...handedOut]) {
      try {
        buffer.transfer(0);
      } catch {
        this.#escaped = true; // detached already, or marked as not to be
      }
    }
    this.#buffers.clear();
    this.#handedOut.clear();
    return !this.#escaped;
  }
}
