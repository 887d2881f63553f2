import type { CpuShare } from "./process_usage.ts";

/** Percent of the time that a process wanted a CPU and did not get one, from which on its CPU time says nothing. */
const STARVED = 50;
/** Frames or packets a second, from which on a consumer works as for a camera of 25. */
const LEAST_RATE = 20;

/** Whether a process keeps within a budget. */
export type Verdict = "met" | "missed" | "not known, the machine is too busy";

/**
 * On a busy machine a process that burns a core gets a few percent of it, and one that gets few frames needs little.
 *
 * @param budget percent of one core, at 25 frames or packets a second
 */
export function judge(
  { cpu, waited, rate }: CpuShare & { rate?: number | undefined },
  budget: number,
): Verdict {
  if (cpu > budget) return "missed";
  const isKnown = waited <= STARVED && (rate ?? Infinity) >= LEAST_RATE;
  return isKnown ? "met" : "not known, the machine is too busy";
}
