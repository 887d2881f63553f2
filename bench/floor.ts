import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { root, run, tool } from "../scripts/toolchain.mjs";
import type { Touch } from "./worker_protocol.ts";

const prefix = join(root, "zig/zig-out/bench");
const program = join(prefix, "bin/floor");
const execute = promisify(execFile);

/** Builds bench/native/floor.zig. */
export async function buildFloor(): Promise<void> {
  const cache = ["--cache-dir", join(root, "zig/.zig-cache")];
  await run(tool("zig"), ["build", "--prefix", prefix, ...cache], { cwd: join(root, "bench/native") });
}

async function measure<T>(...parameters: (string | number)[]): Promise<T> {
  const { stdout } = await execute(program, parameters.map(String), { maxBuffer: 1 << 26 });
  return JSON.parse(stdout);
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
