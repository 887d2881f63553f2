import { readlinkSync } from "node:fs";
import type { Gpu } from "../../support/gpu.ts";

/** What a worker tells of its process: what of the double is alive, the GPU's free memory in bytes, its namespaces. */
export function stateOf(gpu: Gpu | undefined): object {
  const namespaces = ["pid", "ipc", "uts", "mnt"].map((
    name,
  ) => [name, readlinkSync(`/proc/self/ns/${name}`)]);
  return {
    live: gpu?.double?.live(),
    freeMemory: gpu?.freeMemory(),
    namespaces: Object.fromEntries(namespaces),
  };
}
