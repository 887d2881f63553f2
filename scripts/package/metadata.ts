// What the packages on JSR and npm say of themselves. The version and the exports are deno.json's.

import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { LEAST_VERSIONS } from "../../src/core/runtimes.ts";
import { generated } from "../build.ts";

export const root: string = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

interface PackageFile {
  readonly description: string;
  readonly license: string;
  readonly dependencies?: Record<string, string>;
  readonly devDependencies: Record<string, string>;
}

interface DenoFile {
  readonly name: string;
  readonly version: string;
  readonly exports: Record<string, string>;
  readonly compilerOptions: object;
}

const read = <T>(name: string): T => JSON.parse(readFileSync(join(root, name), "utf8"));
const packageFile: PackageFile = read("package.json");
const denoFile: DenoFile = read("deno.json");

export const jsrName: string = denoFile.name;
export const version: string = denoFile.version;
export const exports: Readonly<Record<string, string>> = denoFile.exports;
export const compilerOptions: object = denoFile.compilerOptions;
export const description: string = packageFile.description;
export const license: string = packageFile.license;
export const npmName: string = "cuframes";

/** What stands beside the sources in every package. */
export const documents = ["README.md", "LICENSE", "CHANGELOG.md"] as const;

/** The C ABI's header, which lies beside the native libraries wherever they are shipped. */
export const header: string = generated["cuframes.h"];

/** Entry points: the key in npm's `exports`, and the source. */
export const entryPoints: readonly (readonly [name: string, source: string])[] = Object.entries(exports);

const command = "src/cli/main.ts";
/** The command's source, where there is one. */
export const bin: string | undefined = existsSync(join(root, command)) ? command : undefined;

/** Of the version that a development dependency is pinned to, the releases that a user may have. */
function range(dependency: string): string {
  const pinned = packageFile.devDependencies[dependency];
  if (pinned === undefined) throw new Error(`package.json has no devDependency ${dependency}`);
  return `^${pinned}`;
}

export const dependencies: Readonly<Record<string, string>> = packageFile.dependencies ?? {};
/** Only `cuframes/media`, `cuframes/source` and the command need it. */
export const peerDependencies: Readonly<Record<string, string>> = { "node-av": range("node-av") };

/** What npm compares with the workflow that says it built the package. */
const { GITHUB_SERVER_URL, GITHUB_REPOSITORY } = process.env;

interface NpmFields {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly license: string;
  readonly repository?: { readonly type: "git"; readonly url: string };
  readonly keywords: readonly string[];
  readonly type: "module";
  readonly sideEffects: readonly string[];
  readonly engines: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional: boolean }>>;
}

/** npm's fields that do not depend on how the package was built. */
export const npmFields: NpmFields = {
  name: npmName,
  version,
  description,
  license,
  ...(GITHUB_REPOSITORY && {
    repository: { type: "git", url: `git+${GITHUB_SERVER_URL}/${GITHUB_REPOSITORY}.git` },
  }),
  keywords: [
    "video",
    "camera",
    "frames",
    "shared-memory",
    "ipc",
    "zero-copy",
    "cuda",
    "gpu",
    "ffi",
    "deno",
    "bun",
  ],
  type: "module",
  // The program, and what tells a runtime that is too old so.
  sideEffects: ["**/cli/main.js", "**/core/mod.js", "**/core/supported.js"],
  engines: Object.fromEntries(Object.entries(LEAST_VERSIONS).map(([name, least]) => [name, `>=${least}`])),
  peerDependenciesMeta: { "node-av": { optional: true } },
};

/** What the sources are type-checked with. */
export const typeDependencies: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(packageFile.devDependencies).filter(([name]) =>
    /^@types\/|^bun-types$|^node-av$/.test(name)
  ),
);
