// Which of the native library's builds this process needs.

import { closeSync, openSync, readSync } from "node:fs";
import process from "node:process";

/** What there are builds of the native library for. zig/build.zig has the same names. */
export const PLATFORMS = ["x64-glibc", "x64-musl", "arm64-glibc", "arm64-musl"] as const;
export type Platform = typeof PLATFORMS[number];

/** This process's; undefined where there is no build for it. */
export function currentPlatform(): Platform | undefined {
  if (process.platform !== "linux") return undefined;
  const name = `${process.arch}-${usesMusl() ? "musl" : "glibc"}`;
  return PLATFORMS.find((platform) => platform === name);
}

function usesMusl(): boolean {
  if ("Deno" in globalThis) return Deno.build.target.includes("musl");
  try {
    return interpreterOf("/proc/self/exe").includes("/ld-musl-");
  } catch {
    return false; // Node's permission model; opening the library will say more
  }
}

const PT_INTERP = 3;
/** The longest path, limits.h. */
const PATH_MAX = 4096;

/** The dynamic loader that a 64-bit ELF program asks for, elf(5); empty when it is linked statically. */
export function interpreterOf(path: string): string {
  const file = openSync(path, "r");
  try {
    const read = (position: number, size: number) => {
      const bytes = new Uint8Array(size);
      const view = new DataView(bytes.buffer, 0, readSync(file, bytes, 0, size, position));
      return { bytes, view };
    };
    const header = read(0, 64).view;
    const tableOffset = Number(header.getBigUint64(32, true));
    const entrySize = header.getUint16(54, true);
    const table = read(tableOffset, entrySize * header.getUint16(56, true)).view;
    for (let entry = 0; entry < table.byteLength; entry += entrySize) {
      if (table.getUint32(entry, true) !== PT_INTERP) continue;
      const size = Math.min(Number(table.getBigUint64(entry + 32, true)), PATH_MAX);
      const { bytes } = read(Number(table.getBigUint64(entry + 8, true)), size);
      return new TextDecoder().decode(bytes).replace(/\0.*$/s, "");
    }
    return "";
  } finally {
    closeSync(file);
  }
}
