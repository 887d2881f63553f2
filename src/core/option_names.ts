// Names of options: one that is nearly an option's is a misspelt one, which would count as not given, and is refused.

import { invalid, shown } from "./errors.ts";

/** The names that an object of options may have. */
export type OptionNames = ReadonlySet<string>;

/**
 * The names of a type of options: the compiler holds the table against the type.
 *
 * @param names each name of the type, `true`
 * @param also names that look like one of them, of other objects that are given too
 */
export function optionNames<Options>(
  names: Readonly<Record<keyof Options, true>>,
  also: readonly string[] = [],
): OptionNames {
  return new Set([...Object.keys(names), ...also]);
}

/**
 * Passes options through, as WebIDL does a dictionary: `undefined` and `null` are one without entries, an entry that is
 * `undefined` is none, and whatever else an object has is its owner's. Unlike there, a name that is nearly that of an option
 * is refused. Only own names of plain objects count: an instance of a class has names of its own.
 *
 * @throws {CuframesError} `INVALID_ARGUMENT`: not an object, or a misspelt name
 */
export function checkOptions<Options extends object>(
  options: Options | null | undefined,
  names: OptionNames,
): Options {
  if (options === undefined || options === null) return {} as Options;
  if (typeof options !== "object") throw invalid(`the options are ${shown(options)}: they must be an object`);
  // Symbols are nobody's options; a loop over names costs no array.
  for (const name in options) {
    if (!names.has(name)) checkUnknown(options, name, names);
  }
  return options;
}

function checkUnknown(options: object, name: string, names: OptionNames): void {
  if (!Object.hasOwn(options, name) || !isPlain(options)) return;
  if ((options as Record<string, unknown>)[name] === undefined) return;
  const near = nearest(name, [...names]);
  if (near !== undefined) throw invalid(`unknown option ${shown(name)}: did you mean ${shown(near)}?`);
}

/** Whether an object was written as a literal, also in another realm, or has no prototype. */
function isPlain(object: object): boolean {
  const prototype = Object.getPrototypeOf(object);
  return prototype === null ||
    (Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, "hasOwnProperty"));
}

/** A name that is longer is nobody's typing error. */
const LONGEST_NAME = 40;
/** Of a name that is shorter, a beginning says nothing. */
const SHORTEST_BEGINNING = 4;

/** The name that was meant: two letters differ, of a short name one; or the one begins with the other. */
function nearest(name: string, names: readonly string[]): string | undefined {
  const typed = name.toLowerCase().replace(/[^a-z0-9]/g, "");
  if (typed.length > LONGEST_NAME) return undefined;
  const [best] = names
    .map((candidate) => ({ candidate, distance: distanceOf(typed, candidate.toLowerCase()) }))
    .filter(({ candidate, distance }) => distance <= (Math.min(candidate.length, typed.length) < 5 ? 1 : 2))
    .sort((one, other) => one.distance - other.distance);
  return best?.candidate ?? names.find((candidate) => {
    const wanted = candidate.toLowerCase();
    return Math.min(typed.length, wanted.length) >= SHORTEST_BEGINNING &&
      (wanted.startsWith(typed) || typed.startsWith(wanted));
  });
}

/** Letters to insert, remove, replace, or swap with their neighbour (optimal string alignment). */
function distanceOf(one: string, other: string): number {
  let before: number[] = [];
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let i = 1; i <= one.length; i++) {
    const next = [i];
    for (let j = 1; j <= other.length; j++) {
      const same = one[i - 1] === other[j - 1];
      let distance = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (same ? 0 : 1));
      const swapped = i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1];
      if (swapped) distance = Math.min(distance, before[j - 2]! + 1);
      next.push(distance);
    }
    [before, row] = [row, next];
  }
  return row[other.length]!;
}
