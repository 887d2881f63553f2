import process from "node:process";
import type { MemorySample } from "../worker_protocol.ts";

/** Bytes in use once the collector has run; needs the runtime's `--expose-gc`. */
export function memoryAfterCollection(): MemorySample {
  const { gc } = globalThis as { gc?: () => void };
  if (gc === undefined) throw new Error("start this worker with the garbage collector exposed");
  gc();
  gc();
  const { rss, heapUsed } = process.memoryUsage();
  return { rss, heapUsed };
}
