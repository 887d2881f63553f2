// Where publishers may be, as the native library looks for them.

import { environment } from "../core/mod.ts";
import { checked, library } from "../ffi/mod.ts";

/** Three paths of sockets, with room to spare. */
const BUFFER_SIZE = 1024;

/**
 * The directories where publishers of this user may be, best first: see docs/protocol.md, "Runtime directory".
 *
 * @param chosen the only one, where the caller names it
 */
export function runtimeDirectories(chosen: string | undefined): string[] {
  // Read here, since a variable set by JavaScript is not always in the C environment.
  const option = new TextEncoder().encode(chosen ?? environment("CUFRAMES_RUNTIME_DIR") ?? "");
  const buffer = new Uint8Array(BUFFER_SIZE);
  const size = checked(
    library().symbols.cuframes_runtime_directories(option, option.length, buffer, buffer.length),
    "finding the runtime directories",
  );
  return new TextDecoder().decode(buffer.subarray(0, size)).split("\0").slice(0, -1);
}
