/** This file finds the keys that have a publisher here, and asks each what it does. */
import { readdirSync } from "node:fs";
import process from "node:process";
import { environment, isCuframesError } from "../core/mod.ts";

import { inspect, type PublisherReport } from "../frames/mod.ts";
import type { Context } from "./command.ts";

/** The most publishers that are asked at a time. */
const ASKED_AT_ONCE = 16;
/** How long a publisher may take to answer, in ms: its control thread answers at once, whatever else it does. */
const ANSWER_MS = 2000;

/** A socket of nobody, or of somebody who does not answer. */
export interface Silent {
  readonly key: string;
  /** `"stale"`: only its socket is left; `"unreachable"`: it does not answer, or not to us. */
  readonly state: "stale" | "unreachable";
  /** For people. */
  readonly reason: string;
}

export type Found = { readonly report: PublisherReport } | { readonly silent: Silent };

/** The directories where publishers may be, as docs/protocol.md says under "Runtime directory". */
export function runtimeDirectories(chosen: string | undefined): string[] {
  const named = chosen ?? environment("CUFRAMES_RUNTIME_DIR");
  if (named !== undefined) return [named];
  const session = environment("XDG_RUNTIME_DIR");
  const user = process.geteuid?.() ?? 0;
  return [
    "/run/cuframes",
    ...(session === undefined ? [] : [`${session}/cuframes`]),
    `/tmp/cuframes-${user}`,
  ];
}

/** The keys that have a socket, in order. */
export function keysIn(directories: readonly string[]): string[] {
  const names = directories.flatMap((directory) => {
    try {
      return readdirSync(directory);
    } catch {
      return []; // not there, or not ours to read
    }
  });
  const keys = names.filter((name) => /^[A-Za-z0-9_-]{1,63}\.sock$/.test(name)).map((name) =>
    name.slice(0, -5)
  );
  return [...new Set(keys)].sort();
}

/** Asks the publisher of each key what it does. */
export async function lookAt(keys: readonly string[], { place, signal }: Context): Promise<Found[]> {
  const found: Found[] = new Array(keys.length);
  let next = 0;
  const ask = async (): Promise<void> => {
    for (let index = next++; index < keys.length; index = next++) {
      found[index] = await lookAtOne(keys[index]!, place, signal);
    }
  };
  await Promise.all(Array.from({ length: Math.min(ASKED_AT_ONCE, keys.length) }, ask));
  return found;
}

async function lookAtOne(key: string, place: Context["place"], signal: AbortSignal): Promise<Found> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
  try {
    return { report: await inspect(key, { ...place, signal: limit }) };
  } catch (error) {
    signal.throwIfAborted();
    const stale = isCuframesError(error, "NOT_FOUND");
    if (stale) return { silent: { key, state: "stale", reason: "its publisher is gone" } };
    const reason = limit.aborted ? `no answer within ${ANSWER_MS / 1000} s` : (error as Error).message;
    return { silent: { key, state: "unreachable", reason } };
  }
}
