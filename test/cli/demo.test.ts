// `npm run demo` as it is typed, and its judgement of what its processes told.

import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { broken, type Outcome } from "../../scripts/demo/outcome.ts";
import { Child } from "../../scripts/lib/process.ts";
import { root, tool } from "../../scripts/toolchain.mjs";
import { thisRuntime } from "../support/processes.ts";

const directory = mkdtempSync(join(tmpdir(), "cuframes-demo-test-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Runs the demo as npm does: in the package's directory, typed in another one. */
async function demo(...args: string[]): Promise<{ code: number | null; stderr: string }> {
  const command = [tool("deno"), "run", "-A", "--no-check", "--quiet", "scripts/demo/main.ts", ...args];
  const child = new Child(command, { env: { INIT_CWD: directory, NO_COLOR: "1" } });
  const { code } = await child.ended;
  return { code, stderr: child.errors };
}

test.each([["an option", "--bogus"], ["a file without an option", "clip.mp4"], ["no value", "--input"]])(
  "%s that it does not know is told in a line",
  async (_, word) => {
    const { code, stderr } = await demo(word);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^[^\n]+: npm run demo -- --help lists the options\n$/);
    expect(stderr).toContain(word);
  },
);

// It starts processes on both runtimes, wherever it is started from.
test.skipIf(thisRuntime !== "deno")("it records to where a path is typed", async () => {
  const { code, stderr } = await demo("--fast", "--output", "here.mp4");
  expect(code, stderr).toBe(0);
  expect(statSync(join(directory, "here.mp4")).size).toBeGreaterThan(10_000);
  expect(existsSync(join(root, "here.mp4"))).toBe(false);
});

test("every frame of an ordered subscriber must be accounted for, also those before its first", () => {
  const outcome = (received: number, dropped: number, last: number): Outcome => ({
    decoded: 250,
    published: 250,
    packets: 250,
    decodedOnGpu: 0,
    used: "host",
    recorded: { packets: 250, first: 0, lost: 0 },
    subscribers: [{
      name: "ordered",
      runtime: "deno",
      mode: "ordered",
      torn: 0,
      latencyUs: { p50: 0, p99: 0 },
      received,
      dropped,
      last,
    }],
  });
  expect(broken(outcome(250, 0, 250))).toEqual([]);
  // Its first frame was number 4, or any other.
  expect(broken(outcome(247, 3, 250))).toEqual([]);
  expect(broken(outcome(246, 3, 249))).toHaveLength(1);
  expect(broken(outcome(249, 0, 250))).toHaveLength(1);
  expect(broken(outcome(250, 1, 250))).toHaveLength(1);
});
