// Addresses of sockets: paths, and names in the kernel's abstract namespace.

import { ADDRESS_SIZE_MAX, invalid, shown } from "../core/mod.ts";

/** Checks an address and writes it as native code takes it. */
export function encodeAddress(address: string): Uint8Array {
  const bytes = new TextEncoder().encode(address);
  if (typeof address !== "string" || bytes.length < 1 || bytes.length > ADDRESS_SIZE_MAX) {
    throw invalid(
      `address ${
        shown(address)
      }: it must be a path, or "@" and an abstract name, of 1 to ${ADDRESS_SIZE_MAX} bytes`,
    );
  }
  return bytes;
}
