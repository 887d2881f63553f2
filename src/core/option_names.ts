// Names of options: one that no option has is refused, since it is a misspelt one, and would count as not given.

import { CuframesError, invalid, shown } from "./errors.ts";

/** The names that an object of options may have. */
export interface OptionNames {
  readonly has: ReadonlySet<string>;
  /** Whether names that resemble no option are passed over: what is given there is data as often as options. */
  readonly othersPass: boolean;
}

/**
 * The names of a type of options: the compiler holds the table against the type.
 *
 * @param names each name of the type, `true`
 * @param also names that are passed over, since objects that have them are given too
 */
export function optionNames<Options>(
  names: Readonly<Record<keyof Options, true>>,
  also: readonly string[] = [],
): OptionNames {
  return { has: new Set([...Object.keys(names), ...also]), othersPass: false };
}

/** The same, of what is data as often as options. */
export function dataNames<Data>(names: Readonly<Record<keyof Data, true>>): OptionNames {
  return { has: new Set(Object.keys(names)), othersPass: true };
}

/**
 * Passes options through, as WebIDL does a dictionary: `undefined` and `null` are one without entries, and an entry that is
 * `undefined` is none. Unlike there, a name that is not known is refused. Only the object's own names count, and only of
 * plain objects: an instance of a class has names of its own.
 *
 * @throws {CuframesError} `INVALID_ARGUMENT`: not an object, or a name that no option has
 */
export function checkOptions<Options extends object>(
  options: Options | null | undefined,
  names: OptionNames,
): Options {
  if (options === undefined || options === null) return {} as Options;
  if (typeof options !== "object") {
    throw invalid(`the options are ${shown(options)}: they must be an object`);
  }
  // Symbols are nobody's options; a loop over names costs no array.
  for (const name in options) {
    if (!names.has.has(name)) checkUnknown(options, name, names);
  }
  return options;
}

function checkUnknown(options: object, name: string, names: OptionNames): void {
  if (!Object.hasOwn(options, name) || !isPlain(options)) return;
  if ((options as Record<string, unknown>)[name] === undefined) return;
  const near = nearest(name, [...names.has]);
  if (near === undefined && names.othersPass) return;
  throw new CuframesError(
    "INVALID_ARGUMENT",
    `unknown option ${shown(name)}: ` +
      (near === undefined ? `there are ${[...names.has].join(", ")}` : `did you mean ${shown(near)}?`),
  );
}

/** Whether an object was written as a literal, also in another realm, or has no prototype. */
function isPlain(object: object): boolean {
  const prototype = Object.getPrototypeOf(object);
  return prototype === null ||
    (Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, "hasOwnProperty"));
}

/** A name that is longer is nobody's typing error. */
const LONGEST_NAME = 40;

/** The name that may have been meant: at most a third of it is other letters, or the one begins with the other. */
function nearest(name: string, names: readonly string[]): string | undefined {
  if (name.length > LONGEST_NAME) return undefined;
  const typed = name.toLowerCase().replace(/[^a-z0-9]/g, "");
  const ranked = names
    .map((candidate) => ({ candidate, distance: distanceOf(typed, candidate.toLowerCase()) }))
    .sort((one, other) => one.distance - other.distance);
  const best = ranked[0];
  if (best !== undefined && best.distance <= Math.max(1, Math.ceil(best.candidate.length / 3))) {
    return best.candidate;
  }
  return typed.length < 3 ? undefined : names.find((candidate) => {
    const wanted = candidate.toLowerCase();
    return wanted.startsWith(typed) || typed.startsWith(wanted);
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
