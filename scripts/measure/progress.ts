// How far a source and its readers have come, as the publisher tells.

import { setTimeout as sleep } from "node:timers/promises";
import { inspect } from "../../mod.ts";
import type { Subject } from "./subject.ts";

const LOOK_MS = 100;
const LIMIT_MS = 60_000;

/** What a process takes from a publisher. */
export type Kind = "frames" | "packets";

/** Frames that a subject has published, or what it has read; 0 before it is there. */
export async function countOf(
  subject: Subject,
  key: string,
  sockets: string,
  reads: Kind = "frames",
): Promise<number> {
  const report = await inspect(key, { runtimeDirectory: sockets }).catch(() => undefined);
  if (report?.pid === subject.pid) return report.published;
  const reader = report?.subscribers.find(({ pid }) => pid === subject.pid);
  return (reads === "packets" ? reader?.packetsReceived : reader?.received) ?? 0;
}

/** Waits until a subject has come so far. */
export async function until(
  subject: Subject,
  what: string,
  condition: () => boolean | Promise<boolean>,
): Promise<void> {
  const limit = performance.now() + LIMIT_MS;
  while (!await condition()) {
    subject.sample(); // or it has ended
    if (performance.now() > limit) throw new Error(`${subject}: ${what} not within ${LIMIT_MS / 1000} s`);
    await sleep(LOOK_MS);
  }
}
