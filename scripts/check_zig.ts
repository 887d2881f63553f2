// Lines of Zig have at most 120 columns, and functions at most 70 lines, but for those of tests. Prints what has more.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { root } from "./toolchain.mjs";

const columnsMax = 120;
const linesMax = 70;
const folders = ["zig", "test", "bench"];

function zigFiles(): string[] {
  return folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".zig") && !/(^|\/)(\.zig-cache|zig-out)\//.test(name))
      .map((name) => join(folder, name))
  ).sort();
}

/**
 * Functions and their lines, the first and the last one included. `zig fmt` has seen to it that a block ends where a
 * line begins with its brace, as far in as the line that began it. A function that returns a type is a struct with
 * parameters: its functions count, and it does not.
 */
function* functionsOf(lines: readonly string[]): Generator<{ name: string; line: number; lines: number }> {
  const endOf = (start: number, indent: string) =>
    lines.findIndex((line, at) => at > start && line.startsWith(`${indent}}`));
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at]!;
    const test = /^( *)test\b.*\{$/.exec(line);
    if (test !== null) {
      at = endOf(at, test[1]!);
      continue;
    }
    const [, indent, name] = /^( *)(?:(?:pub|export|inline|noinline) )*fn (\w+|@"[^"]*")\(/.exec(line) ?? [];
    if (indent === undefined) continue;
    // Its head may take several lines.
    const body = lines.findIndex((line, head) =>
      head >= at && (head === at || line.startsWith(`${indent})`)) && /[{};]$/.test(line)
    );
    if (!lines[body]!.endsWith("{") || lines[body]!.endsWith(" type {")) continue;
    yield { name: name!, line: at + 1, lines: endOf(body, indent) - at + 1 };
  }
}

let violations = 0;
function tell(path: string, line: number, what: string): void {
  console.log(`${path}:${line}: ${what}`);
  violations++;
}

for (const path of zigFiles()) {
  const lines = readFileSync(join(root, path), "utf8").split("\n");
  for (const [index, line] of lines.entries()) {
    const columns = [...line].length;
    if (columns > columnsMax) tell(path, index + 1, `${columns} columns, at most ${columnsMax}`);
  }
  if (!path.startsWith("zig/")) continue;
  for (const { name, line, lines: count } of functionsOf(lines)) {
    if (count > linesMax) tell(path, line, `${name} has ${count} lines, at most ${linesMax}`);
  }
}
process.exitCode = violations === 0 ? 0 : 1;
