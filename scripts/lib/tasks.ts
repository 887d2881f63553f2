// Commands that need not wait for each other, side by side; what each printed is shown in one piece.

import { availableParallelism } from "node:os";
import process from "node:process";
import { Child } from "./process.ts";

export interface Task {
  readonly name: string;
  readonly command: readonly string[];
  /** The tasks that must have succeeded before. */
  readonly after?: readonly string[];
}

export interface TasksOptions {
  /** How many run at a time; default: as many as there are cores. */
  atOnce?: number;
  /** Shows what a task that went well has printed, too. */
  verbose?: boolean;
}

/**
 * Runs tasks, in the order in which they are given where they do not wait for each other. What waits for a task that
 * failed is left out.
 *
 * @returns whether all went well
 */
export async function runTasks(
  tasks: readonly Task[],
  { atOnce = Math.max(2, availableParallelism()), verbose = false }: TasksOptions = {},
): Promise<boolean> {
  let waiting = [...tasks];
  const succeeded = new Set<string>();
  const failed = new Set<string>();
  const running = new Map<string, Promise<void>>();

  async function perform({ name, command }: Task): Promise<void> {
    const start = performance.now();
    const printed: Uint8Array[] = [];
    const child = new Child(command, { onOutput: (chunk) => printed.push(chunk) });
    const failure = await child.failure().catch((error) => String(error));
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    const isWell = failure === "";
    console.log(isWell ? `✓ ${name}, ${seconds} s` : `✗ ${name}, ${seconds} s: ${failure}`);
    if (!isWell || verbose) { for (const chunk of printed) process.stdout.write(chunk); }
    (isWell ? succeeded : failed).add(name);
    running.delete(name);
  }

  while (true) {
    const leftOut = waiting.find(({ after = [] }) => after.some((name) => failed.has(name)));
    if (leftOut !== undefined) {
      console.log(`✗ ${leftOut.name} was left out`);
      failed.add(leftOut.name);
      waiting = waiting.filter((task) => task !== leftOut);
      continue;
    }
    const next = waiting.find(({ after = [] }) => after.every((name) => succeeded.has(name)));
    if (next !== undefined && running.size < atOnce) {
      waiting = waiting.filter((task) => task !== next);
      running.set(next.name, perform(next));
    } else if (running.size > 0) {
      await Promise.race(running.values());
    } else if (waiting.length > 0) {
      throw new Error(`these wait for what is no task: ${waiting.map(({ name }) => name).join(", ")}`);
    } else {
      return failed.size === 0;
    }
  }
}
