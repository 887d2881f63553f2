// The memory of slots that processes have, as the kernel knows it: whatever the library says of it.

import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";

/** As zig/src/memory/host.zig names it. */
const SLOT = "/memfd:cuframes-slot";

/** Of a process. */
export interface Handles {
  descriptors: number;
  /** Mappings of the library's memory of every kind. */
  mappings: number;
  /** Bytes of memory of its own, and of shared memory that it has mapped. */
  own: number;
  shared: number;
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return ""; // it has just ended
  }
}

function descriptorsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((name) => `/proc/${pid}/fd/${name}`);
  } catch {
    return [];
  }
}

export function handlesOf(pid: number): Handles {
  const status = readOrEmpty(`/proc/${pid}/status`);
  const field = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? 0) * 1024;
  return {
    descriptors: descriptorsOf(pid).length,
    mappings: readOrEmpty(`/proc/${pid}/maps`).split("/memfd:cuframes-").length - 1,
    own: field("RssAnon"),
    shared: field("RssShmem"),
  };
}

/** How many memories of slots there are, and their bytes, over all that the processes have mapped or have descriptors of. */
export function slotMemory(pids: readonly number[]): { memories: number; bytes: number } {
  const sizes = new Map<string, number>();
  for (const pid of pids) {
    for (const line of readOrEmpty(`/proc/${pid}/maps`).split("\n")) {
      if (!line.includes(SLOT)) continue;
      const [range = "", , , , inode = ""] = line.split(/\s+/);
      const [from = "", to = ""] = range.split("-");
      const size = Number(BigInt(`0x${to}`) - BigInt(`0x${from}`));
      sizes.set(inode, Math.max(size, sizes.get(inode) ?? 0));
    }
    for (const path of descriptorsOf(pid)) {
      try {
        if (!readlinkSync(path).startsWith(SLOT)) continue;
        const { ino, size } = statSync(path);
        sizes.set(String(ino), Math.max(size, sizes.get(String(ino)) ?? 0));
      } catch {
        // It was closed meanwhile.
      }
    }
  }
  return { memories: sizes.size, bytes: [...sizes.values()].reduce((sum, size) => sum + size, 0) };
}
