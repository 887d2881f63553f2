/** This file has what both ways of `cuframes record` do with files. */
import type { LeftTrack } from "../media/mod.ts";
import type { Context } from "./command.ts";

/** Where and how files are written. */
export interface Output {
  pathOf(time: Date): string;
  readonly format?: string;
  readonly sync: number;
  readonly audio?: "aac";
}

/** Says which tracks a file is without, and why. */
export function tellLeft(path: string, left: readonly LeftTrack[], log: Context["log"]): void {
  for (const { reason } of left) log.warn(`${path}: ${reason}`);
}
