// The memory of slots that processes have, as the kernel knows it: whatever the library says of it.

import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";

/** As zig/src/memory/host.zig names it. */
const SLOT = "/memfd:cuframes-slot";

/** Of a process. */
export interface Handles {
  /** How many descriptors of each thing there are. */
  descriptors: Record<string, number>;
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

/** Numbers of files without a name are left out. */
function thingsOf(pid: number): Record<string, number> {
  const things: Record<string, number> = {};
  for (const path of descriptorsOf(pid)) {
    try {
      const thing = readlinkSync(path).replace(/:\[\d+\]$/, "");
      things[thing] = (things[thing] ?? 0) + 1;
    } catch {
      // It was closed meanwhile.
    }
  }
  return things;
}

/** What there is more of, as "a thing 3 → 4". */
export function moreDescriptors(before: Handles, after: Handles): string[] {
  return Object.entries(after.descriptors).flatMap(([thing, count]) => {
    const earlier = before.descriptors[thing] ?? 0;
    return count > earlier ? [`${thing} ${earlier} → ${count}`] : [];
  });
}

export function handlesOf(pid: number): Handles {
  const status = readOrEmpty(`/proc/${pid}/status`);
  const field = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? 0) * 1024;
  return {
    descriptors: thingsOf(pid),
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
