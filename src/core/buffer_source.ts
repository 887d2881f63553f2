// Memory that a caller gives, to be copied to.

import { invalid } from "./errors.ts";

/** Memory to copy to: a buffer or a view of one, shared or not. */
export type AllowSharedBufferSource = ArrayBuffer | SharedArrayBuffer | ArrayBufferView;

/** The bytes of such memory. */
export function bytesOf(memory: AllowSharedBufferSource): Uint8Array {
  if (ArrayBuffer.isView(memory)) return new Uint8Array(memory.buffer, memory.byteOffset, memory.byteLength);
  if (memory instanceof ArrayBuffer || memory instanceof SharedArrayBuffer) return new Uint8Array(memory);
  throw invalid("the destination must be an ArrayBuffer, a SharedArrayBuffer or a view of one");
}
