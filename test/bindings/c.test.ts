// cuframes.h, and the programs in C that docs/abi.md shows: with each other, and with this library's own classes.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Publisher, Subscriber } from "../../mod.ts";
import { outputOf } from "../../scripts/lib/process.ts";
import { root, tool } from "../../scripts/toolchain.mjs";
import { Process, stages } from "../support/processes.ts";

const stage = stages();
const include = join(root, "zig/include");
const libraries = join(root, "zig/zig-out/lib");
const linked = [`-L${libraries}`, "-lcuframes", `-Wl,-rpath,${libraries}`];
const strict = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];
/** Zig makes a C library of its own when it links a program for the first time on a machine. */
const patience = 600_000;
const programs = ["publish", "subscribe", "import"] as const;
const key = "example"; // of the programs

const directory = mkdtempSync(join(tmpdir(), "cuframes-c-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Rejects with what the compiler says. */
async function compile(...args: string[]): Promise<void> {
  await outputOf(tool("zig"), ["cc", ...strict, ...args]);
}

beforeAll(async () => {
  for (const name of programs) {
    const source = join(root, `examples/c/${name}.c`);
    await compile("-std=c99", `-I${include}`, "-o", join(directory, name), source, ...linked);
  }
}, patience);

function start(name: typeof programs[number]): Process {
  const env = { CUFRAMES_RUNTIME_DIR: stage().directory };
  return stage().adopt(new Process(name, join(directory, name), [], env));
}

/** Numbers of the pictures that subscribe.c has read; fails unless it ended with 0 and each was what its number says. */
async function pictures(subscriber: Process): Promise<number[]> {
  expect([await subscriber.exited, subscriber.errors]).toEqual([{ code: 0, signal: null }, ""]);
  const numbers: number[] = [];
  let last = "";
  for (let event = subscriber.taken<{ line: string }>("line"); event; event = subscriber.taken("line")) {
    last = event.line;
    const match = /^(\d+): picture (\d+), first pixel (\d+), \d+ µs old$/.exec(last);
    if (match === null) continue;
    expect(match.slice(2).map(Number)).toEqual([Number(match[1]) - 1, Number(match[1]) - 1]);
    numbers.push(Number(match[2]));
  }
  const missing = numbers.at(-1)! - numbers[0]! + 1 - numbers.length;
  expect(last).toBe(`received ${numbers.length}, dropped ${missing}`);
  return numbers;
}

const languages = ["c99", "c11", "c17", "c++98", "c++11", "c++17", "c++20"];

test.each(languages)(
  "the header is taken as %s, twice, without a warning, and finds the library",
  async (language) => {
    const source = join(directory, `twice.${language}`);
    const program = `int main(void) { return cuframes_abi_version() != CUFRAMES_ABI_VERSION; }\n`;
    writeFileSync(source, `#include "cuframes.h"\n#include "cuframes.h"\n${program}`);
    const kind = language.startsWith("c++") ? "c++" : "c";
    await compile("-x", kind, `-std=${language}`, `-I${include}`, "-c", "-o", `${source}.o`, source);
    // A C library's symbols, in C++ too; and without C++'s own library, which Zig takes minutes to make.
    await compile("-o", `${source}.out`, `${source}.o`, ...linked);
    await outputOf(`${source}.out`, []);
  },
  patience,
);

test.each(["c99", "c11", "c++17"])("the header refuses another layout as %s", async (language) => {
  const header = readFileSync(join(include, "cuframes.h"), "utf8");
  const field = "  uint32_t stride;\n  uint32_t rows;\n";
  const kind = language.startsWith("c++") ? "c++" : "c";
  const args = ["-x", kind, `-std=${language}`, "-c", "-o", join(directory, "other.o")];
  const source = join(directory, `other.${language}.h`);
  writeFileSync(source, header);
  await compile(...args, source);
  expect(header).toContain(field);
  writeFileSync(source, header.replace(field, "  uint64_t stride;\n  uint32_t rows;\n"));
  await expect(compile(...args, source)).rejects.toThrow(
    /offsetof\(struct cuframes_plane, rows\) == 12|negative/,
  );
}, patience);

test("examples/c: what one publishes the other reads", async () => {
  const subscriber = start("subscribe");
  const publisher = start("publish");
  expect([await publisher.exited, publisher.errors]).toEqual([{ code: 0, signal: null }, ""]);
  const numbers = await pictures(subscriber);
  expect(numbers.length).toBeGreaterThan(10);
  expect(numbers.at(-1)).toBe(49);
});

test("examples/c/subscribe.c reads from a Publisher", async () => {
  const publisher = Publisher.create({
    key,
    runtimeDirectory: stage().directory,
    format: "GRAY8",
    width: 640,
    height: 480,
    policy: "wait",
  });
  const subscriber = start("subscribe");
  while (publisher.stats().subscribers === 0) await setTimeout(5);
  for (let index = 0; index < 20; index++) {
    const frame = await publisher.acquireAsync({ timeout: 30_000 });
    frame.planes[0]!.data.fill(index);
    frame.publish({ timestamp: index * 40_000, metadata: new TextEncoder().encode(`picture ${index}`) });
  }
  publisher.close();
  expect(await pictures(subscriber)).toEqual(Array.from({ length: 20 }, (_, index) => index));
});

test("a Subscriber reads from examples/c/publish.c", async () => {
  const publisher = start("publish");
  const runtimeDirectory = stage().directory;
  using subscriber = await Subscriber.connect(key, { mode: "ordered", runtimeDirectory, timeout: 30_000 });
  expect([subscriber.format, subscriber.codedWidth, subscriber.codedHeight]).toEqual(["GRAY8", 640, 480]);
  const numbers: number[] = [];
  for await (using frame of subscriber) {
    const number = Number(frame.sequence) - 1;
    expect([frame.timestamp, frame.duration]).toEqual([number * 40_000, 40_000]);
    expect(new TextDecoder().decode(frame.metadata)).toBe(`picture ${number}`);
    expect([frame.colorSpace, frame.visibleRect, frame.captureTime]).toEqual([
      { primaries: null, transfer: null, matrix: null, fullRange: true },
      { x: 0, y: 0, width: 640, height: 480 },
      null,
    ]);
    expect(frame.planes[0]!.data.every((byte) => byte === number)).toBe(true);
    numbers.push(number);
  }
  expect(numbers.length).toBeGreaterThan(10);
  expect(numbers.at(-1)).toBe(49);
  expect(await publisher.exited).toEqual({ code: 0, signal: null });
});

test("examples/c/import.c publishes what is in a descriptor", async () => {
  const importer = start("import");
  expect([await importer.exited, importer.errors]).toEqual([{ code: 0, signal: null }, ""]);
  const { line: first } = await importer.event<{ line: string }>("line");
  expect(first).toMatch(/^640 x 480, plane 0: 0x0, 480 rows of 640 bytes, stride 640$/);
  expect(await importer.event("line")).toMatchObject({ line: "first pixel of frame 1: *" });
});

test("examples/c/run.sh, which docs/abi.md gives as the way to build and run them, ends well", async () => {
  const env = {
    ...process.env,
    PATH: `${dirname(tool("zig"))}${delimiter}${process.env.PATH}`,
    CUFRAMES_RUNTIME_DIR: stage().directory,
  };
  const script = join(root, "examples/c/run.sh");
  const stdout = await outputOf("sh", [script], { env });
  expect(stdout).toContain("first pixel of frame 1: *");
  expect(stdout).toMatch(/received \d+, dropped \d+/);
}, patience);
