// What `zig fmt` does not say of the Zig sources: how long lines and functions may be, and that a file says what it is
// for.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { root } from "./toolchain.mjs";

const columns = 120;
const functionLines = 70;

/** Folders that are looked through, and whether what is in them is a test: a test may be as long as it needs to be. */
const trees = [
  { folder: "zig", recursive: false, test: false },
  { folder: "zig/src", recursive: true, test: false },
  { folder: "test", recursive: true, test: true },
];

/** A line and what is wrong with it. */
interface Problem {
  readonly line: number;
  readonly what: string;
}

/** The width of what a reader sees, not of its bytes. */
function widthOf(line: string): number {
  return [...line].length;
}

/** Where the block that begins on this line ends: `zig fmt` puts its brace below the line's first character. */
function endOf(lines: readonly string[], begin: number): number {
  const indent = /^ */.exec(lines[begin] ?? "")?.[0] ?? "";
  for (let index = begin; index < lines.length; index++) {
    const line = lines[index] ?? "";
    // One that is over where it begins, or has no body.
    if (index === begin && /(\}|;)$/.test(line)) return index;
    if (index > begin && line.startsWith(`${indent}}`)) return index;
    // `) callconv(.c) void {` goes on; `) i32;` is over.
    if (index > begin && line.startsWith(`${indent})`) && line.endsWith(";")) return index;
  }
  return lines.length - 1;
}

function problemsOf(text: string, test: boolean): Problem[] {
  const lines = text.split("\n");
  const problems: Problem[] = [];
  if (!lines[0]?.startsWith("//! ")) problems.push({ line: 1, what: "has no file comment (//!)" });
  let testEnd = -1;
  for (const [index, line] of lines.entries()) {
    const width = widthOf(line);
    if (width > columns) {
      problems.push({ line: index + 1, what: `has ${width} columns, more than ${columns}` });
    }
    if (test || index <= testEnd) continue;
    if (/^test( "|\s*\{)/.test(line)) {
      testEnd = endOf(lines, index);
      continue;
    }
    const name = /^ *(?:pub )?(?:export )?(?:inline |noinline )?fn ([\w@"]+)\(/.exec(line)?.[1];
    if (name === undefined) continue;
    const length = endOf(lines, index) - index + 1;
    if (length > functionLines) {
      problems.push({ line: index + 1, what: `${name} has ${length} lines, more than ${functionLines}` });
    }
  }
  return problems;
}

let failed = false;
for (const { folder, recursive, test } of trees) {
  for (const path of readdirSync(join(root, folder), { recursive, encoding: "utf8" }).sort()) {
    if (!path.endsWith(".zig")) continue;
    for (const { line, what } of problemsOf(readFileSync(join(root, folder, path), "utf8"), test)) {
      console.error(`${folder}/${path}:${line}: ${what}`);
      failed = true;
    }
  }
}
process.exitCode = failed ? 1 : 0;
