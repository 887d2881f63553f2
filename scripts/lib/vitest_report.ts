// A reporter of vitest's that writes what vitest.ts reads, into the file that CUFRAMES_TEST_REPORT names.

import { writeFileSync } from "node:fs";
import process from "node:process";
import type { Reporter } from "vitest/node";

/** What vitest counted. */
export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
  /** The tests that failed, by file and name, and the files that could not be loaded. */
  failures: string[];
  /** Test files, and the seconds that each took. */
  files: { name: string; seconds: number }[];
}

/** Made by vitest. */
export default class CountingReporter implements Reporter {
  onTestRunEnd: NonNullable<Reporter["onTestRunEnd"]> = (modules) => {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const inState = (state: string) => tests.filter((test) => test.result().state === state);
    const unloaded = modules.filter((module) => module.errors().length > 0);
    const counts: Counts = {
      passed: inState("passed").length,
      failed: inState("failed").length,
      skipped: inState("skipped").length,
      failures: [
        ...unloaded.map((module) => module.relativeModuleId),
        ...inState("failed").map((test) => `${test.module.relativeModuleId}: ${test.fullName}`),
      ],
      files: modules.map((module) => ({
        name: module.relativeModuleId,
        seconds: module.diagnostic().duration / 1000,
      })),
    };
    writeFileSync(process.env.CUFRAMES_TEST_REPORT!, JSON.stringify(counts));
  };
}
