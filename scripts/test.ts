// `npm test [-- [WORD…] [--deno] [--bun] [--node] [--all] [vitest's options]]`
//
// Without arguments it is all of the core: Zig's tests, also under ThreadSanitizer, then one suite on Deno and on Bun,
// with processes on Node beside them. Words choose the test files that have one of them in their path, on Deno unless a
// runtime is named; a word that begins with "zig" chooses Zig's. What is chosen decides what is built. The first option
// that is not one of these goes to vitest, with all that is behind it.
//
// `npm run test:peers` is this with --peers: the tests beside programs that npm does not install. A test whose peer is
// missing is skipped, and says so.

import { join } from "node:path";
import process from "node:process";
import { build } from "./build.ts";
import { buildStepsOf, peersFolder, testFiles, zigModuleOf } from "./lib/test_files.ts";
import { conclude, type Outcome, runSuites, type RuntimeName } from "./lib/vitest.ts";
import { root } from "./toolchain.mjs";

/** Seconds that the whole may take on two cores. */
const secondsMax = 300;
const flags: Record<string, readonly RuntimeName[]> = {
  "--deno": ["deno"],
  "--bun": ["bun"],
  "--node": ["node"],
  "--all": ["deno", "bun", "node"],
};

interface Request {
  peers: boolean;
  words: string[];
  runtimes: RuntimeName[];
  forVitest: string[];
}

function parse(args: readonly string[]): Request {
  const ours = (argument: string) => argument in flags || !argument.startsWith("-");
  const peers = args[0] === "--peers";
  const rest = peers ? args.slice(1) : args;
  const foreign = rest.findIndex((argument) => !ours(argument));
  const chosen = foreign < 0 ? rest : rest.slice(0, foreign);
  return {
    peers,
    words: chosen.filter((argument) => !(argument in flags)),
    runtimes: [...new Set(chosen.flatMap((argument) => flags[argument] ?? []))],
    forVitest: foreign < 0 ? [] : rest.slice(foreign),
  };
}

/** The files of this suite that were asked for; fails where there are none. */
function choose({ peers, words }: Request): string[] {
  const suite = (path: string) => path.startsWith(peersFolder) === peers;
  if (words.length === 0) return testFiles().filter(suite);
  const named = testFiles().filter((path) => words.some((word) => path.includes(word)));
  const chosen = named.filter(suite);
  if (chosen.length > 0) return chosen;
  const other = peers ? "npm test --" : "npm run test:peers --";
  const hint = named.length === 0
    ? ""
    : `: ${named.join(", ")} ${named.length > 1 ? "are" : "is"} run by ${other}`;
  throw new Error(
    `no test file of this suite has ${words.map((word) => `"${word}"`).join(" or ")} in its path${hint}`,
  );
}

async function testZig(words: readonly string[]): Promise<void> {
  console.log("== zig");
  const filters = words.map(zigModuleOf).filter((filter) => filter !== "zig").map((filter) =>
    `-Dtest-filter=${filter}`
  );
  for (const step of ["test", "test_tsan"]) await build([step, ...filters]);
}

async function main(): Promise<void> {
  const start = performance.now();
  const request = parse(process.argv.slice(2));
  const { peers, runtimes, forVitest } = request;
  const whole = request.words.length === 0 && forVitest.length === 0;
  const zigWords = request.words.filter((word) => word.startsWith("zig"));
  const words = request.words.filter((word) => !word.startsWith("zig"));
  const withZig = zigWords.length > 0 || whole && !peers && runtimes.length !== 1;
  const files = zigWords.length > 0 && words.length === 0 ? [] : choose({ ...request, words });

  if (files.length > 0) {
    await build(["install", ...buildStepsOf(files), ...(withZig && whole ? ["compile_tests"] : [])]);
  }
  if (withZig) await testZig(zigWords);
  if (files.length === 0) return;
  const config = peers ? ["--config", join(root, "vitest.peers.config.ts")] : [];
  const outcomes = await runSuites(
    runtimes.length > 0 ? runtimes : whole ? ["deno", "bun"] : ["deno"],
    [...config, ...(words.length > 0 ? files : []), ...forVitest],
    { halve: whole },
  );
  const seconds = Math.round((performance.now() - start) / 1000);
  if (whole && withZig && seconds > secondsMax) tellSlowest(seconds, outcomes);
  conclude(outcomes);
}

/** The whole has to stay short. */
function tellSlowest(seconds: number, outcomes: readonly Outcome[]): void {
  const slowest = outcomes.flatMap(({ files }) => files).sort((one, other) => other.seconds - one.seconds)
    .slice(0, 8);
  console.log(`\nThis took ${seconds} s; on two cores it may take ${secondsMax} s. The slowest files:`);
  for (const { name, seconds } of slowest) console.log(`  ${seconds.toFixed(1)} s  ${name}`);
}

try {
  await main();
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
