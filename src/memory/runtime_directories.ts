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

/**
 * The directory that a caller or the environment names, as an absolute path, so that it stays the same wherever the process
 * goes; undefined where neither names one. What is no path of a directory is passed through, to be refused.
 */
export function resolveRuntimeDirectory(chosen: string | undefined): string | undefined {
  const directory = chosen ?? environment("CUFRAMES_RUNTIME_DIR");
  const relative = typeof directory === "string" && /^[^/\0]/.test(directory) && !directory.includes("\0");
  // By native code: Deno wants a permission for the question where a process is.
  return relative ? runtimeDirectories(directory)[0] : directory;
}

/** Throws `PERMISSION`, with the reason, unless this user may see which sockets are in a directory, or there is none. */
export function checkRuntimeDirectory(directory: string): void {
  const path = new TextEncoder().encode(directory);
  checked(
    library().symbols.cuframes_runtime_directory_check(path, path.length),
    `looking for publishers in ${directory}`,
  );
}

/**
 * Removes the socket and the lock's file that the dead publisher of a key has left in a directory.
 *
 * @returns whether it has: not where somebody may still be alive
 * @throws {CuframesError} `PERMISSION`: they are not this user's to remove
 */
export function removeLeftovers(directory: string, key: string): boolean {
  const [path, name] = [new TextEncoder().encode(directory), new TextEncoder().encode(key)];
  const result = library().symbols.cuframes_runtime_directory_clean(path, path.length, name, name.length);
  return checked(result, `removing what the publisher of ${key} has left`) === 1;
}
