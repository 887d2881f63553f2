// Judges an npm tarball of this package, whichever way it was built: what is in it, what it says of itself, its types in
// projects with one runtime's types each, and, installed into empty projects, what it does on Node, Bun and Deno: in every
// pairing, by every command, and by every example of the documents: `npm run verify:npm TARBALL`.

import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, relative, resolve } from "node:path";
import process from "node:process";
import { PLATFORMS } from "../src/ffi/platform.ts";
import {
  bin,
  dependencies,
  description,
  documents,
  entryPoints,
  header,
  license,
  npmName,
  peerDependencies,
  root,
  version,
} from "./package/metadata.ts";
import { run } from "./lib/process.ts";
import { tryEveryCommand } from "./verify/commands.ts";
import { checkTables, tryEveryExample } from "./verify/examples.ts";
import { tryOldRuntime } from "./verify/old_runtime.ts";
import { tryPermissions } from "./verify/permissions.ts";
import { checkTypes } from "./verify/types.ts";
import { npmPackage, serve } from "./verify/registry.ts";
import {
  emptyProject,
  install,
  type Project,
  runtimes,
  tryEveryEntry,
  tryEveryPairing,
  tryProgram,
} from "./verify/projects.ts";

const sizeMax = 2 * 1024 * 1024;

interface Manifest {
  name: string;
  version: string;
  license: string;
  description: string;
  type: string;
  exports: Record<string, unknown>;
  bin?: Record<string, string>;
  scripts?: Record<string, string>;
  dependencies?: Record<string, string>;
  peerDependencies?: Record<string, string>;
  peerDependenciesMeta?: Record<string, { optional?: boolean }>;
  gypfile?: boolean;
}

const problems: string[] = [];
function expect(holds: boolean, problem: string): void {
  if (!holds) problems.push(problem);
}

function equal(what: string, found: unknown, wanted: unknown): void {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  expect(a === b, `${what} is ${a}, not ${b}`);
}

/** The files that an entry of `exports` leads to: its module, and its declarations. */
function targetsOf(entry: unknown): { module: string | undefined; types: string | undefined } {
  if (typeof entry === "string") return { module: entry, types: entry.replace(/\.js$/, ".d.ts") };
  const { types, import: imported, default: fallback } = (entry ?? {}) as Record<string, unknown>;
  const inner = imported === undefined && fallback === undefined
    ? undefined
    : targetsOf(imported ?? fallback);
  return { module: inner?.module, types: typeof types === "string" ? types : inner?.types };
}

function judgeManifest(manifest: Manifest, folder: string): void {
  equal("name", manifest.name, npmName);
  equal("version", manifest.version, version);
  equal("license", manifest.license, license);
  equal("description", manifest.description, description);
  equal("type", manifest.type, "module");
  equal("dependencies", manifest.dependencies ?? {}, dependencies);
  equal("peerDependencies", manifest.peerDependencies ?? {}, peerDependencies);
  for (const name of Object.keys(peerDependencies)) {
    equal(`peerDependenciesMeta.${name}`, manifest.peerDependenciesMeta?.[name], { optional: true });
  }
  for (const script of ["preinstall", "install", "postinstall", "prepare", "preprepare", "postprepare"]) {
    expect(manifest.scripts?.[script] === undefined, `there is a script "${script}"`);
  }
  expect(manifest.gypfile !== true && !existsSync(join(folder, "binding.gyp")), "npm would run node-gyp");
  for (const [name] of entryPoints) {
    const { module, types } = targetsOf(manifest.exports[name]);
    for (const [kind, target] of [["module", module], ["types", types]] as const) {
      expect(
        target !== undefined && existsSync(join(folder, target)),
        `exports["${name}"]: no ${kind} at ${target}`,
      );
    }
  }
  equal("bin", Object.keys(manifest.bin ?? {}), bin === undefined ? [] : ["cuframes"]);
  for (const path of Object.values(manifest.bin ?? {})) {
    const file = join(folder, path);
    const begins = existsSync(file) && readFileSync(file, "utf8").startsWith("#!/usr/bin/env node\n");
    expect(begins, `bin ${path} is no program of Node's`);
  }
}

/** The code, without what only people read. */
function withoutComments(code: string): string {
  return code.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
}

function judgeFiles(folder: string): void {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) =>
    statSync(join(folder, name)).isFile()
  );
  const allowed =
    /(\.js|\.d\.ts|^bin\/cuframes\.cjs|(^|\/)native\/(libcuframes-[a-z0-9-]+\.so|cuframes\.h)|(^|\/)(package|deno)\.json)$/;
  for (const name of files) {
    expect(
      allowed.test(name) || (documents as readonly string[]).includes(name),
      `${name} does not belong here`,
    );
  }
  for (const name of documents) {
    const same = files.includes(name) &&
      readFileSync(join(folder, name)).equals(readFileSync(join(root, name)));
    expect(same, `${name} is not the repository's`);
  }
  for (const platform of PLATFORMS) {
    const name = files.find((file) => file.endsWith(`/libcuframes-${platform}.so`));
    if (name === undefined) {
      problems.push(`no native library for ${platform}`);
      continue;
    }
    const bytes = readFileSync(join(folder, name));
    const built = readFileSync(join(root, `zig/zig-out/release/libcuframes-${platform}.so`));
    expect(bytes.equals(built), `${name} is not what \`npm run build:release\` built`);
    const machine = { x64: 62, arm64: 183 }[platform.split("-")[0]!]; // elf.h: EM_X86_64, EM_AARCH64
    equal(`${name}'s machine`, bytes.readUInt16LE(18), machine);
    const beside = join(dirname(name), basename(header));
    const same = files.includes(beside) &&
      readFileSync(join(folder, beside)).equals(readFileSync(join(root, header)));
    expect(same, `${beside} is not ${header}`);
  }
  for (const name of files.filter((file) => /\.(js|d\.ts)$/.test(file))) {
    const code = readFileSync(join(folder, name), "utf8");
    expect(!/@deno\/shim|dntShim|_dnt\./.test(code), `${name} has a shim of Deno`);
    for (const [, specifier] of withoutComments(code).matchAll(/(?:from |import\(|^import )"(\.[^"]*)"/gm)) {
      const target = join(folder, dirname(name), specifier!);
      expect(existsSync(target), `${name} imports ${specifier}, which is not there`);
    }
    expect(!name.endsWith(".d.ts") || !/\bany\b/.test(withoutComments(code)), `${name} has the type any`);
  }
}

const tarball = resolve(process.argv[2] ?? "");
if (!existsSync(tarball) || process.argv[2] === undefined) {
  console.error("usage: npm run verify:npm TARBALL");
  process.exit(2);
}
const directory = mkdtempSync(join(tmpdir(), "cuframes-verify-"));
try {
  const { size } = statSync(tarball);
  expect(size < sizeMax, `the tarball has ${size} bytes, at most ${sizeMax} are allowed`);
  await run("tar", ["xzf", tarball, "-C", directory]);
  const folder = join(directory, "package");
  const manifest: Manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  judgeManifest(manifest, folder);
  judgeFiles(folder);
  if (problems.length > 0) throw new Error(problems.join("\n"));
  const digest = createHash("sha256").update(readFileSync(tarball)).digest("hex");
  console.log(
    `${relative(process.cwd(), tarball)}: ${size} bytes, sha256 ${digest}; contents as they should be`,
  );

  checkTables();
  await checkTypes(folder, join(directory, "types"));

  await using registry = await serve(npmPackage(tarball, manifest));
  const projects: Project[] = [];
  for (const runtime of runtimes) {
    projects.push(await emptyProject(runtime, join(directory, runtime), registry.origin));
  }
  await tryEveryPairing(projects, join(directory, "run"));
  for (const project of projects) {
    await tryEveryEntry(project, join(directory, "run"));
    if (bin !== undefined) await tryProgram(project);
    await install(project, "node-av");
    // Below the project, whose configuration and packages are found from there.
    await tryEveryCommand(project, join(project.directory, "commands"));
    await tryEveryExample(project, join(project.directory, "examples"));
    if (project.runtime === "deno") await tryPermissions(project);
  }
  await tryOldRuntime(folder);
  console.log("the package works");
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
