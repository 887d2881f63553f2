// Which runtimes this release works on.

import process from "node:process";

/** The least version of each runtime. The packages' `engines` are made of it. */
export const LEAST_VERSIONS = { node: "26.1", bun: "1.4", deno: "2.9" } as const;

/** A runtime as it calls itself in `process.versions`; Bun and Deno have a version of Node there too. */
type RuntimeName = keyof typeof LEAST_VERSIONS;

const NAMES: Readonly<Record<RuntimeName, string>> = { bun: "Bun", deno: "Deno", node: "Node" };

/**
 * Why this release does not work on a runtime; undefined where it does.
 *
 * @param versions as in `process.versions`
 */
export function unsupportedRuntime(
  versions: Readonly<Record<string, string | undefined>> = process.versions,
): string | undefined {
  const runtime = (["bun", "deno", "node"] as const).find((name) => versions[name] !== undefined);
  if (runtime === undefined) return `cuframes has to run on ${wanted()}`;
  const version = versions[runtime]!;
  const [major = NaN, minor = 0] = version.split(".").map((part) => Number.parseInt(part, 10));
  const [leastMajor = 0, leastMinor = 0] = LEAST_VERSIONS[runtime].split(".").map(Number);
  if (major > leastMajor || major === leastMajor && minor >= leastMinor) return undefined;
  return `${NAMES[runtime]} ${version} is too old for cuframes, which needs ${wanted()}`;
}

function wanted(): string {
  const { node, bun, deno } = LEAST_VERSIONS;
  return `Node ${node} or later, Bun ${bun} or later, or Deno ${deno} or later`;
}
