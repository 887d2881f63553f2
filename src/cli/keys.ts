/** This file finds the keys that have a publisher here, and asks each what it does. */
import { readdirSync } from "node:fs";
import { CuframesError, isCuframesError, isForbidden, isKey } from "../core/mod.ts";

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

/** The keys that have a socket, in order. */
export function keysIn(directories: readonly string[]): string[] {
  const names = directories.flatMap((directory) => {
    try {
      return readdirSync(directory);
    } catch (error) {
      if (isForbidden(error)) {
        throw new CuframesError(
          "PERMISSION",
          `looking for publishers in ${directory}: ${(error as Error).message}`,
        );
      }
      return []; // not there, or not ours to read
    }
  });
  const keys = names.filter((name) => name.endsWith(".sock")).map((name) => name.slice(0, -".sock".length));
  return [...new Set(keys.filter(isKey))].sort();
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
