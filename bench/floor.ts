import { join } from "node:path";
import { outputOf, run } from "../scripts/lib/process.ts";
import { root, tool } from "../scripts/toolchain.mjs";
import type { Touch } from "./worker_protocol.ts";

const prefix = join(root, "zig/zig-out/bench");
const program = join(prefix, "bin/floor");

/** Builds bench/native/floor.zig. */
export async function buildFloor(): Promise<void> {
  const cache = ["--cache-dir", join(root, "zig/.zig-cache")];
  await run(tool("zig"), ["build", "--prefix", prefix, ...cache], { cwd: join(root, "bench/native") });
}

async function measure<T>(...parameters: (string | number)[]): Promise<T> {
  return JSON.parse(await outputOf(program, parameters.map(String)));
}

/** Nanoseconds from the waker's clock to the sleeper's, and of the waker's call. */
export function ping(
  kind: "futex" | "spin",
  count: number,
  intervalMs: number,
): Promise<{ latencyNs: number[]; callNs: number[] }> {
  return measure(kind, count, Math.round(intervalMs * 1000));
}

/** CPU nanoseconds of both ends, for `count` pictures. */
export function transport(
  kind: "socket" | "pipe",
  count: number,
  intervalMs: number,
  size: number,
  touch: Touch,
): Promise<{ cpuNs: number }> {
  return measure(kind, count, Math.round(intervalMs * 1000), size, touch);
}
