// The npm package by dnt, for the release workflow: `deno run -A scripts/build_npm.ts`. Needs JSR; where that is out of
// reach, scripts/build_npm_offline.ts builds the same package. Prints the tarball's path.

import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { bin, dependencies, entryPoints, npmFields, peerDependencies, root } from "./package/metadata.ts";
import { pack } from "./package/pack.ts";
import { programPath, writeProgram } from "./package/program.ts";
import { stage } from "./package/stage.ts";

/** What is used of dnt, which cannot be type-checked where JSR is out of reach. */
interface Dnt {
  build(options: {
    entryPoints: { name: string; path: string }[];
    outDir: string;
    shims: object;
    package: object;
    importMap: string;
    mappings: Record<string, { name: string; version: string; peerDependency?: boolean }>;
    test: boolean;
    typeCheck: false;
    scriptModule: false;
    declaration: "inline";
    declarationMap: false;
    skipSourceOutput: boolean;
    compilerOptions: { target: string; lib: string[] };
  }): Promise<void>;
}

const dnt: string = "jsr:@deno/dnt@^0.42.3";
const { build }: Dnt = await import(dnt);

const source = stage("npm");
const outDir = join(root, "dist/npm-dnt");
rmSync(outDir, { recursive: true, force: true });
process.chdir(source);
const mapped = (versions: Readonly<Record<string, string>>, options: object) =>
  Object.entries(versions).map((
    [name, version],
  ) => [`npm:${name}@${version}`, { name, version, ...options }] as const);
await build({
  entryPoints: entryPoints.map(([name, path]) => ({ name, path })),
  outDir,
  // Sources are runtime-neutral: `Deno` appears in one adapter only, which asks whether it is there.
  shims: {},
  package: { ...npmFields },
  importMap: "deno.json",
  mappings: Object.fromEntries([
    ...mapped(dependencies, {}),
    ...mapped(peerDependencies, { peerDependency: true }),
  ]),
  test: false,
  typeCheck: false, // `npm run check` has done so
  scriptModule: false,
  declaration: "inline",
  declarationMap: false,
  skipSourceOutput: true,
  compilerOptions: { target: "ES2022", lib: ["ESNext", "DOM"] },
});
// Where src/ffi/distribution.js looks for it.
cpSync(join(source, "native"), join(outDir, "esm/native"), { recursive: true });
if (bin !== undefined) {
  writeProgram(outDir, join("esm", bin.replace(/\.ts$/, ".js")));
  const path = join(outDir, "package.json");
  const manifest = { ...JSON.parse(readFileSync(path, "utf8")), bin: { cuframes: programPath } };
  writeFileSync(path, `${JSON.stringify(manifest, null, 2)}\n`);
}
console.log(await pack(outDir, "dnt"));
