/**
 * This file blots credentials out of the command line, which every user of the machine can read (`ps`,
 * /proc/PID/cmdline).
 */
import { Buffer } from "node:buffer";
import { closeSync, openSync, readFileSync, readSync, writeSync } from "node:fs";
import { namesCredential, type Secret, secretsIn } from "../core/mod.ts";

/** The most that Linux takes as arguments is a quarter of the stack's limit; more is not looked at. */
const LONGEST = 2 << 20;

/** Of the fields of /proc/self/stat behind the name, arg_start and arg_end (proc(5): 48 and 49). */
const ARG_START = 48 - 3;

/**
 * Writes `*` over the credentials of an argument, in this process's own command line: those of a URL, and an input's option
 * that is called like one.
 *
 * @returns whether there was something to hide and it could not be hidden
 */
export function hideArgument(argument: string): boolean {
  const secrets = secretsOf(argument);
  if (secrets.length === 0) return false;
  let memory: number | undefined;
  try {
    const stat = readFileSync("/proc/self/stat", "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const start = Number(fields[ARG_START]);
    const size = Math.min(Number(fields[ARG_START + 1]) - start, LONGEST);
    memory = openSync("/proc/self/mem", "r+");
    const line = Buffer.alloc(size);
    readSync(memory, line, 0, size, start);
    const needle = Buffer.from(argument);
    const blotted = Buffer.from(blot(argument, secrets));
    for (let at = line.indexOf(needle); at >= 0; at = line.indexOf(needle, at + 1)) {
      writeSync(memory, blotted, 0, blotted.length, start + at);
    }
    return readFileSync("/proc/self/cmdline").includes(needle);
  } catch {
    return true; // no /proc, or no permission
  } finally {
    if (memory !== undefined) closeSync(memory);
  }
}

/** What an argument has that nobody is to read. */
function secretsOf(argument: string): readonly Pick<Secret, "start" | "end">[] {
  const [, option = "", name = "", value = ""] = /^(--[\w-]+=)?([\w-]+)=(.*)$/s.exec(argument) ?? [];
  if (!namesCredential(name) || value === "") return secretsIn(argument);
  return [{ start: option.length + name.length + 1, end: argument.length }];
}

/** The argument, as many bytes long, with `*` for every byte of a secret. */
function blot(argument: string, secrets: readonly Pick<Secret, "start" | "end">[]): string {
  let blotted = "";
  let from = 0;
  for (const { start, end } of secrets) {
    blotted += argument.slice(from, start) + "*".repeat(Buffer.byteLength(argument.slice(start, end)));
    from = end;
  }
  return blotted + argument.slice(from);
}
