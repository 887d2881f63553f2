// Where the native library is: here, in a checkout. Packages have a file of the same name from scripts/package/.

import { fileURLToPath } from "node:url";
import type { Platform } from "./platform.ts";

/** A file beside the sources, or bytes that have to become one. */
export type NativeLibrary = { readonly path: string } | {
  readonly sha256: string;
  /** The library's bytes, of that digest. */
  unpack(): Uint8Array;
};

/** The build for a platform. */
export function nativeLibrary(_platform: Platform): NativeLibrary {
  return { path: fileURLToPath(new URL("../../zig/zig-out/lib/libcuframes.so", import.meta.url).href) };
}
