// Using up the descriptors that a process may have.

import { closeSync, openSync } from "node:fs";
import process from "node:process";

// Deno opens its pipe for signals some time after the start, and panics if it cannot: so, now.
process.on("SIGUSR2", () => {});

const hogged: number[] = [];

function openOne(): boolean {
  try {
    hogged.push(openSync("/dev/null", "r"));
    return true;
  } catch {
    return false;
  }
}

/** Takes every descriptor there is, but for `spare` of them; returns how many it has. */
export function hog(spare: number): number {
  while (openOne());
  for (const fd of hogged.splice(0, spare)) closeSync(fd);
  return hogged.length;
}

export function unhog(): void {
  for (const fd of hogged.splice(0)) closeSync(fd);
}
