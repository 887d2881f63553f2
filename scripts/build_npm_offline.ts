// The npm package without JSR in reach: the same sources and fields as scripts/build_npm.ts, compiled by TypeScript
// itself. Prints the tarball's path. `deno pack` would do it too, but for scoped names only, without `bin`, and
// without some of the declarations.

import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./lib/process.ts";
import { bin, dependencies, entryPoints, npmFields, peerDependencies, root } from "./package/metadata.ts";
import { pack } from "./package/pack.ts";
import { programPath, writeProgram } from "./package/program.ts";
import { stage } from "./package/stage.ts";
import { tool } from "./toolchain.mjs";

const source = stage("npm");
const folder = join(root, "dist/npm");
rmSync(folder, { recursive: true, force: true });

const compiled = (path: string, extension: string) =>
  `./${path.replace(/^\.\//, "").replace(/\.ts$/, extension)}`;
const configuration = {
  compilerOptions: {
    target: "es2022", // so that a Node that is too old can read as far as to where it is told so
    module: "nodenext",
    lib: ["esnext"],
    types: ["node"],
    rootDir: source,
    outDir: folder,
    declaration: true,
    isolatedDeclarations: true,
    stripInternal: false,
    verbatimModuleSyntax: true,
    rewriteRelativeImportExtensions: true,
    resolveJsonModule: true,
    // `npm run check` has checked the types, with those of every runtime.
    noCheck: true,
  },
  files: [...entryPoints.map(([, path]) => path), ...(bin === undefined ? [] : [bin])].map((path) =>
    join(source, path)
  ),
};
writeFileSync(join(source, "tsconfig.json"), JSON.stringify(configuration, null, 2));
await run(tool("node"), [join(root, "node_modules/typescript/bin/tsc"), "-p", source]);

// In declarations TypeScript leaves the extensions as they are.
for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
  if (!name.endsWith(".d.ts")) continue;
  const path = join(folder, name);
  writeFileSync(
    path,
    readFileSync(path, "utf8").replace(/((?:from |import |import\()"\.[^"]*)\.ts"/g, '$1.js"'),
  );
}

cpSync(join(source, "native"), join(folder, "native"), { recursive: true });
const exports = Object.fromEntries(entryPoints.map(([name, path]) => [
  name,
  { types: compiled(path, ".d.ts"), default: compiled(path, ".js") },
]));
const manifest = {
  ...npmFields,
  exports: { ...exports, "./package.json": "./package.json" },
  ...(bin === undefined ? {} : { bin: { cuframes: programPath } }),
  dependencies,
  peerDependencies,
};
if (bin !== undefined) writeProgram(folder, compiled(bin, ".js"));
writeFileSync(join(folder, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
console.log(await pack(folder, "offline"));
