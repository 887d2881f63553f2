/**
 * This file blots credentials out of the command line, which every user of the machine can read (`ps`,
 * /proc/PID/cmdline).
 */
import { Buffer } from "node:buffer";
import { closeSync, openSync, readFileSync, readSync, writeSync } from "node:fs";
import { redact } from "../source/mod.ts";

/** The most that Linux takes as arguments is a quarter of the stack's limit; more is not looked at. */
const LONGEST = 2 << 20;

/** Of the fields of /proc/self/stat behind the name, arg_start and arg_end (proc(5): 48 and 49). */
const ARG_START = 48 - 3;

/**
 * Writes `*` over what `redact` takes out of this URL, in this process's own command line.
 *
 * @returns whether there was something to hide and it could not be hidden
 */
export function hideArgument(url: string): boolean {
  if (redact(url) === url) return false;
  let memory: number | undefined;
  try {
    const stat = readFileSync("/proc/self/stat", "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const start = Number(fields[ARG_START]);
    const size = Math.min(Number(fields[ARG_START + 1]) - start, LONGEST);
    memory = openSync("/proc/self/mem", "r+");
    const line = Buffer.alloc(size);
    readSync(memory, line, 0, size, start);
    const needle = Buffer.from(url);
    const blotted = Buffer.from(blot(url));
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

/** The URL, as many bytes long, with `*` for every byte that `redact` takes away. */
function blot(url: string): string {
  const scheme = url.slice(0, url.indexOf("://") + 3);
  const shown = redact(url).slice(scheme.length);
  const at = url.lastIndexOf(shown);
  const stars = (text: string) => "*".repeat(Buffer.byteLength(text));
  return scheme + stars(url.slice(scheme.length, at)) + shown + stars(url.slice(at + shown.length));
}
