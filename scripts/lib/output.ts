// Output of several processes on one terminal.

import process from "node:process";

/** Writes what it is given to standard output, with a prefix in front of each line. */
export function prefixed(prefix: string): (chunk: Uint8Array) => void {
  const decoder = new TextDecoder();
  let rest = "";
  return (chunk) => {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop()!;
    for (const line of lines) process.stdout.write(`${prefix}${line}\n`);
  };
}
