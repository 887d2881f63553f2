// What strace sees of a program that publishes: docs/protocol.md promises no system call while nobody sleeps.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { outputOf, succeedsSync } from "../../scripts/lib/process.ts";
import { root, tool } from "../../scripts/toolchain.mjs";

const noStrace = !succeedsSync("strace", ["-qq", "-o", "/dev/null", "true"]);
if (noStrace) console.warn("the system calls of publishing are not looked at: apt-get install strace");

const directory = mkdtempSync(join(tmpdir(), "cuframes-calls-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
/** Zig makes a C library of its own when it links a program for the first time on a machine. */
const patience = 600_000;

test.skipIf(noStrace)("publishing 1000 frames makes no system call while nobody sleeps", async () => {
  const [program, log, libraries] = [join(directory, "publish"), join(directory, "log"), "zig/zig-out/lib"];
  await outputOf(tool("zig"), [
    ...["cc", "-std=c99", "-Wall", "-Werror", "-Izig/include", "-o", program, "test/peers/publish_calls.c"],
    ...[`-L${libraries}`, "-lcuframes", `-Wl,-rpath,${join(root, libraries)}`],
  ], { cwd: root });
  // Where the machine's clock cannot be read without the kernel, reading it is a call of its own.
  const calls = ["-qq", "-e", "trace=!clock_gettime", "-e", "signal=none", "-o", log]; // of the thread that publishes
  await outputOf("strace", [...calls, program], { env: { CUFRAMES_RUNTIME_DIR: directory } });
  const made = readFileSync(log, "utf8").trim().split("\n");
  const marks = made.flatMap((call, index) => call.startsWith("getppid(") ? index : []);
  expect(marks).toHaveLength(2);
  expect(made.slice(marks[0]! + 1, marks[1])).toEqual([]);
}, patience);
