// Which runtimes are told that they are too old, and in what words.

import { expect, test } from "vitest";
import { unsupportedRuntime } from "../../src/core/runtimes.ts";

const wanted = "Node 26.1 or later, Bun 1.4 or later, or Deno 2.9 or later";

test("a runtime that is too old is named, with what is needed", () => {
  const cases = [
    [{ node: "16.20.2" }, "Node 16.20.2"],
    [{ node: "26.0.9" }, "Node 26.0.9"],
    // Bun and Deno have a version of Node besides their own.
    [{ node: "26.9.0", bun: "1.3.7" }, "Bun 1.3.7"],
    [{ node: "24.3.0", bun: "0.9.9" }, "Bun 0.9.9"],
    [{ node: "26.9.0", deno: "1.46.3" }, "Deno 1.46.3"],
    [{ node: "26.9.0", deno: "2.8.12" }, "Deno 2.8.12"],
    [{ node: "unknown" }, "Node unknown"],
  ] as const;
  for (const [versions, name] of cases) {
    expect(unsupportedRuntime(versions)).toBe(`${name} is too old for cuframes, which needs ${wanted}`);
  }
  expect(unsupportedRuntime({})).toContain(wanted);
});

test("one that is not is let through, whatever Node it says to be", () => {
  const versions = [
    { node: "26.1.0" },
    { node: "26.10.0-nightly" },
    { node: "27.0.0" },
    { node: "20.0.0", bun: "1.4.0-canary.20260101.1+abc" },
    { node: "20.0.0", bun: "2.0.0" },
    { node: "20.0.0", deno: "2.10.1" },
    { node: "20.0.0", deno: "3.0.0" },
  ];
  for (const version of versions) expect(unsupportedRuntime(version)).toBeUndefined();
  expect(unsupportedRuntime()).toBeUndefined();
});
