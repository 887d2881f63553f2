// Type-checks a user's module against an unpacked package, in projects that know the types of one runtime only.

import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Child } from "../lib/process.ts";
import { tool } from "../toolchain.mjs";
import { npmName, root } from "../package/metadata.ts";

const compilerOptions = {
  strict: true,
  isolatedDeclarations: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  verbatimModuleSyntax: true,
  declaration: true,
  noEmit: true,
  target: "esnext",
  module: "nodenext",
  lib: ["esnext"],
  // The package's declarations are what is being checked.
  skipLibCheck: false,
};

/** What a project has besides the package, and what its compiler is told. */
const projects = {
  "@types/node only": { types: ["node"], packages: ["@types/node", "undici-types"] },
  "bun-types only": { types: ["bun-types"], packages: ["bun-types", "@types/node", "undici-types"] },
} as const;

export async function checkTypes(folder: string, directory: string): Promise<void> {
  for (const [name, { types, packages }] of Object.entries(projects)) {
    const project = projectWith(folder, join(directory, types[0]), packages);
    const configuration = { compilerOptions: { ...compilerOptions, types }, files: ["consumer.ts"] };
    writeFileSync(join(project, "tsconfig.json"), JSON.stringify(configuration));
    await check(name, tool("node"), [join(root, "node_modules/typescript/bin/tsc"), "-p", "."], project);
  }
  const project = projectWith(folder, join(directory, "deno"), []);
  const { strict, isolatedDeclarations, exactOptionalPropertyTypes, noUncheckedIndexedAccess } =
    compilerOptions;
  const options = { strict, isolatedDeclarations, exactOptionalPropertyTypes, noUncheckedIndexedAccess };
  const configuration = { compilerOptions: options, nodeModulesDir: "manual", lock: false };
  writeFileSync(join(project, "deno.json"), JSON.stringify(configuration));
  await check("Deno's own types", tool("deno"), ["check", "--quiet", "consumer.ts"], project);
}

function projectWith(folder: string, project: string, packages: readonly string[]): string {
  mkdirSync(project, { recursive: true });
  for (const name of packages) {
    cpSync(join(root, "node_modules", name), join(project, "node_modules", name), { recursive: true });
  }
  cpSync(folder, join(project, "node_modules", npmName), { recursive: true });
  cpSync(join(root, "test/types/consumer.ts"), join(project, "consumer.ts"));
  writeFileSync(
    join(project, "package.json"),
    JSON.stringify({ type: "module", dependencies: { [npmName]: "*" } }),
  );
  return project;
}

async function check(name: string, command: string, args: string[], cwd: string): Promise<void> {
  await new Child([command, ...args], { name: `types, in a project with ${name}:`, cwd }).succeeded();
  console.log(`types: right in a project with ${name}`);
}
