import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { once } from "node:events";
import process from "node:process";
import type { MemoryKind, Plane } from "../../mod.ts";

/** What each process of the demo tells the one that started it, as lines of JSON. */
export type DemoEvent =
  | { event: "ready" }
  | { event: "progress"; decoded: number; published: number }
  | {
    event: "published";
    decoded: number;
    published: number;
    packets: number;
    memory: MemoryKind;
    decodedOnGpu: number;
  }
  | {
    event: "consumed";
    received: number;
    dropped: number;
    torn: number;
    last: number;
    p50: number;
    p99: number;
  }
  | { event: "recorded"; packets: number; first: number; lost: number; file: string }
  | { event: "failed"; message: string };

/** What is told under a name. */
export type EventOf<Name extends DemoEvent["event"]> = Extract<DemoEvent, { event: Name }>;

export function tell(event: DemoEvent): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

/** What a process is started with, as its one argument. */
export interface Task {
  key: string;
  runtimeDirectory: string;
}

export function task<T extends Task>(): T {
  return JSON.parse(process.argv[2] ?? "null") as T;
}

/** Runs a process's work; a failure becomes an event and exit code 1. */
export async function main(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    tell({ event: "failed", message: error instanceof Error ? error.message : String(error) });
    process.exitCode = 1;
  }
}

/** Resolves when the starter says go, which it does by closing the standard input. */
export async function go(): Promise<void> {
  await once(process.stdin.resume(), "end");
}

/** SHA-256 of a frame's planes, padding included. */
export function digest(planes: readonly Plane[]): Uint8Array {
  const hash = createHash("sha256");
  for (const plane of planes) hash.update(plane.data);
  return hash.digest();
}

/** SHA-256 of a frame's picture without padding. */
export function digestOf(picture: Uint8Array): Uint8Array {
  return createHash("sha256").update(picture).digest();
}

export function equal(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}
