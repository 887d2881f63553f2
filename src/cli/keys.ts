/** This file finds the keys that have a publisher here, and asks each what it does. */
import { readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { CuframesError, isCuframesError, isForbidden, isKey } from "../core/mod.ts";

import { inspect, type PublisherReport } from "../frames/mod.ts";
import { checkRuntimeDirectory, removeLeftovers, runtimeDirectories } from "../memory/mod.ts";
import type { Context } from "./command.ts";

/** The most publishers that are asked at a time. */
const ASKED_AT_ONCE = 64;
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

/** A directory that may have publishers, and that this user may not look into. */
export interface Closed {
  readonly directory: string;
  /** Why, and what to do. */
  readonly reason: string;
}

export type Found =
  | { readonly report: PublisherReport }
  | { readonly silent: Silent }
  | { readonly closed: Closed };

/** The runtime directories' sockets. */
export interface Listing {
  /** In order. */
  readonly keys: readonly string[];
  readonly closed: readonly Closed[];
}

/**
 * The keys that have a socket here.
 *
 * @throws {CuframesError} `PERMISSION`: there are none, and a directory may not be looked into
 */
export function listKeys({ place }: Context): Listing {
  const closed: { directory: string; error: Error }[] = [];
  const names = runtimeDirectories(place.runtimeDirectory).flatMap((directory) => {
    try {
      checkRuntimeDirectory(directory);
      return readdirSync(directory);
    } catch (error) {
      const refused = isForbidden(error) ? forbidden(directory, error) : error;
      if (isCuframesError(refused, "PERMISSION")) closed.push({ directory, error: refused });
      return []; // or it is not there
    }
  });
  const found = names.filter((name) => name.endsWith(".sock")).map((name) => name.slice(0, -".sock".length));
  const keys = [...new Set(found.filter(isKey))].sort();
  if (keys.length === 0 && closed.length > 0) throw closed[0]!.error;
  return { keys, closed: closed.map(({ directory, error }) => ({ directory, reason: error.message })) };
}

/** The runtime, not the system, does not let it be read. */
function forbidden(directory: string, cause: unknown): CuframesError {
  const message = `looking for publishers in ${directory}: ${(cause as Error).message}`;
  return new CuframesError("PERMISSION", message, { cause });
}

/** One question to a publisher, which goes on when nobody waits for its answer any more. */
interface Question {
  readonly key: string;
  readonly askedAt: number;
  readonly answered: Promise<void>;
  answer: Found | undefined;
}

/**
 * Asks publishers what they do, again and again. One that does not answer holds up the first look at it, and none after:
 * its question goes on meanwhile.
 */
export class Lookout {
  readonly #context: Context;
  readonly #questions = new Map<string, Question>();
  /** Whose last question was not answered in time. */
  readonly #slow = new Set<string>();
  readonly #queue: (() => Promise<void>)[] = [];
  #asking = 0;

  constructor(context: Context) {
    this.#context = context;
  }

  /**
   * Asks every key.
   *
   * @param patience milliseconds that this look may take
   * @throws the signal's reason
   */
  async look(keys: readonly string[], patience: number): Promise<Found[]> {
    const { signal } = this.#context;
    signal.throwIfAborted();
    for (const key of this.#questions.keys()) if (!keys.includes(key)) this.#questions.delete(key);
    const awaited = keys.map((key) => this.#questionOf(key)).filter(({ key }) => !this.#slow.has(key));
    const over = new AbortController();
    const late = sleep(patience, undefined, { signal: AbortSignal.any([signal, over.signal]) });
    await Promise.race([Promise.all(awaited.map(({ answered }) => answered)), late.catch(() => {})]);
    over.abort();
    signal.throwIfAborted();
    return keys.map((key) => this.#foundOf(this.#questions.get(key)!));
  }

  #foundOf({ key, askedAt, answer }: Question): Found {
    if (answer !== undefined) {
      this.#questions.delete(key);
      if ("silent" in answer && answer.silent.state === "unreachable") this.#slow.add(key);
      else this.#slow.delete(key);
      return answer;
    }
    this.#slow.add(key);
    const waited = ((performance.now() - askedAt) / 1000).toFixed(1);
    return { silent: { key, state: "unreachable", reason: `no answer within ${waited} s` } };
  }

  #questionOf(key: string): Question {
    const going = this.#questions.get(key);
    if (going !== undefined) return going;
    const { promise, resolve } = Promise.withResolvers<void>();
    const question: Question = { key, askedAt: performance.now(), answered: promise, answer: undefined };
    this.#questions.set(key, question);
    this.#queue.push(async () => {
      // Its key has gone meanwhile.
      if (this.#questions.get(key) !== question) return resolve();
      question.answer = await lookAtOne(key, this.#context).catch(() => undefined);
      resolve();
    });
    this.#proceed();
    return question;
  }

  #proceed(): void {
    while (this.#asking < ASKED_AT_ONCE && this.#queue.length > 0) {
      this.#asking++;
      void this.#queue.shift()!().finally(() => {
        this.#asking--;
        this.#proceed();
      });
    }
  }
}

async function lookAtOne(key: string, { place, signal }: Context): Promise<Found> {
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

/** Removes what a dead publisher of a key has left. @returns what has become of it, for people; undefined: nothing */
export function cleanUp(key: string, { place }: Context): string | undefined {
  const outcomes = runtimeDirectories(place.runtimeDirectory).flatMap((directory) => {
    try {
      return removeLeftovers(directory, key)
        ? [`${directory}/${key}.sock was left behind, and is removed`]
        : [];
    } catch (error) {
      return [`what it left behind stays: ${(error as Error).message}`];
    }
  });
  return outcomes.length === 0 ? undefined : outcomes.join("; ");
}
