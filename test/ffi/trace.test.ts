// CUFRAMES_TRACE: what of native calls is told, and that nothing is where nobody asked.

import process from "node:process";
import { expect, test } from "vitest";
import type { NativeSymbols } from "../../src/ffi/runtime.ts";
import { SYMBOLS } from "../../src/ffi/symbols.ts";
import { traced } from "../../src/ffi/trace.ts";
import { stages } from "../support/processes.ts";

const stage = stages();

/** A library whose every function returns the same, and whose clock gains 1.5 µs with every look at it. */
function symbolsThatReturn(result: unknown): NativeSymbols {
  let now = 1_000_000n;
  const functions = Object.keys(SYMBOLS).map((name) => [name, () => result]);
  return {
    ...Object.fromEntries(functions) as NativeSymbols,
    cuframes_now_ns: () => now += 1500n,
  };
}

/** The lines that a call makes, without the process's number. */
function linesOf(result: unknown, call: (symbols: NativeSymbols) => unknown): string[] {
  const lines: string[] = [];
  expect(call(traced(symbolsThatReturn(result), (line) => lines.push(line)))).toBe(result);
  return lines.map((line) => line.replace(`cuframes[${process.pid}] `, ""));
}

test("a line has the time, the call, its arguments in short, its result and how long it took", () => {
  expect(linesOf(3, (symbols) => symbols.cuframes_publisher_acquire(1, -1))).toEqual([
    "1001.500 cuframes_publisher_acquire(1, -1) = 3, 1.500 µs\n",
  ]);
});

test("errors have their names, addresses are hexadecimal, memory is its size, nothing is null", () => {
  expect(linesOf(-11, (symbols) => symbols.cuframes_publisher_acquire(1, 0))[0]).toContain(
    "(1, 0) = -11 WOULD_BLOCK,",
  );
  expect(linesOf(0xff00n, (symbols) => symbols.cuframes_publisher_slot_address(1, 2))[0]).toContain(
    "(1, 2) = 0xff00,",
  );
  const memory = new Uint8Array(12);
  expect(linesOf(0, (symbols) => symbols.cuframes_connect_finish(7, memory, null))[0]).toContain(
    "(7, [12 bytes], null) = 0,",
  );
  const callback = { address: 0 } as never;
  expect(linesOf(0, (symbols) => symbols.cuframes_publisher_arm(7, callback))[0]).toContain(
    "(7, callback) = 0,",
  );
  expect(linesOf(undefined, (symbols) => symbols.cuframes_images_trim())[0]).toContain(
    "cuframes_images_trim(), ",
  );
});

test.each([["1", true], ["0", false], ["", false]])(
  "CUFRAMES_TRACE=%s in a process: its calls are on standard error: %s",
  async (value, expected) => {
    const program = stage().start("load", { key: "traced" }, { env: { CUFRAMES_TRACE: value } });
    await program.event("loaded");
    await program.exited;
    const lines = program.errors.split("\n").filter((line) => line.startsWith(`cuframes[${program.pid}] `));
    const pattern = /^cuframes\[\d+\] \d+\.\d{3} cuframes_\w+\(.*\)( = \S+( \S+)?)?, \d+\.\d{3} µs$/;
    expect(lines.filter((line) => !pattern.test(line))).toEqual([]);
    const created = lines.filter((line) =>
      /cuframes_publisher_create\(\[\d+ bytes\], null, 0, \[\d+ bytes\]\) = \d/.test(line)
    );
    expect(created.length).toBe(expected ? 1 : 0);
    expect(lines.length > 0).toBe(expected);
  },
);
