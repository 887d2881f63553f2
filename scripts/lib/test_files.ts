// Which test files words choose, what has to be built for them, and which of them a change touches. All of it is read
// from the sources: where a test lies, what it imports, what it says that it needs.

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { root } from "../toolchain.mjs";

/** Tests in there need programs that npm does not install. */
export const peersFolder = "test/peers/";

/** Paths are relative to the repository's root. */
function filesIn(folder: string, suffix: RegExp): string[] {
  const names = readdirSync(join(root, folder), { recursive: true, encoding: "utf8" });
  return names.filter((name) => suffix.test(name)).map((name) => join(folder, name)).sort();
}

export function testFiles(): string[] {
  return filesIn("test", /\.test\.ts$/);
}

const read = (path: string) => readFileSync(join(root, path), "utf8");

/** The modules of this repository that a module imports, by their paths. */
function importsOf(path: string): string[] {
  const specifiers = read(path).matchAll(/(?:\bfrom|\bimport|\bimport\()\s*"(\.[^"]*)"/g);
  return [...specifiers].map(([, specifier]) => relative(root, resolve(root, dirname(path), specifier!)));
}

/** A module and everything that it imports, directly or not. */
function closureOf(paths: readonly string[]): Set<string> {
  const found = new Set<string>();
  const visit = (path: string) => {
    if (found.has(path)) return;
    found.add(path);
    try {
      importsOf(path).forEach(visit);
    } catch {
      // An import inside a text is not one.
      found.delete(path);
    }
  };
  paths.forEach(visit);
  return found;
}

/** The steps of `zig build` that test files need, besides the library: their modules say "Needs `zig build STEP`". */
export function buildStepsOf(tests: readonly string[]): string[] {
  const modules = [...closureOf(tests)].filter((path) => path.startsWith("test/"));
  const steps = modules.flatMap((path) => [...read(path).matchAll(/^\/\/.*\bNeeds `zig build (\w+)`/gm)]);
  return [...new Set(steps.map(([, step]) => step!))];
}

const nameOf = (path: string) => path.split("/").at(-1)!.replace(/(\.test)?\.\w+$/, "");

/** Whether a module starts or reads a file that it does not import: it names it by its path, or as `Stage.start` does. */
function mentions(text: string, file: string): boolean {
  const [, folder, program] = /^test\/(.+)\/(\w+)\.ts$/.exec(file) ?? [];
  return text.includes(file) || program !== undefined && text.includes(`${folder}/${program}`) ||
    folder === "support/programs" && new RegExp(`\\bstart\\(\\s*"${program}"`).test(text);
}

/** Whether `zig build STEP`, by the name of a file's folder, is what that file is for. */
function isBuiltFrom(file: string, steps: readonly string[]): boolean {
  return file.startsWith("test/") && file.endsWith(".zig") &&
    steps.includes(dirname(file).split("/").at(-1)!);
}

/**
 * The test files that a changed file touches. Of a module of the library these are the nearest ones: those that have its
 * name or import it; where there are none, those of the modules that import it, and so on; in the end those in its
 * room's folder. (By way of mod.ts nearly all tests import nearly all modules.) Of a file of the tests' own they are all
 * that get to it.
 */
export function testsTouchedBy(file: string): string[] {
  const tests = testFiles().filter((path) => !path.startsWith(peersFolder) || path === file);
  const touched = new Set(tests.filter((path) => path === file || isBuiltFrom(file, buildStepsOf([path]))));
  const modules = [...filesIn("test", /\.(ts|mjs)$/), ...filesIn("src", /\.ts$/)].map((path) => {
    return { path, text: read(path), imports: importsOf(path) };
  });
  const isOfTests = file.startsWith("test/");
  const seen = new Set([file]);
  for (let level = [file]; level.length > 0 && (isOfTests || touched.size === 0);) {
    const names = isOfTests ? [] : level.map(nameOf);
    for (const test of tests) if (names.includes(nameOf(test))) touched.add(test);
    const users = modules.filter(({ path, text, imports }) =>
      !seen.has(path) && level.some((one) => imports.includes(one) || isOfTests && mentions(text, one))
    );
    level = users.map(({ path }) => path);
    for (const path of level) {
      seen.add(path);
      if (tests.includes(path)) touched.add(path);
    }
  }
  const room = dirname(file).replace(/^(zig\/)?src\//, "test/");
  return touched.size > 0 ? [...touched].sort() : tests.filter((path) => dirname(path) === room);
}

/** A test of Zig's, as filters see it: its file's modules and its name. */
export interface ZigTest {
  readonly path: string;
  readonly name: string;
  readonly fullName: string;
}

export function zigTests(): ZigTest[] {
  return filesIn("zig/src", /\.zig$/).flatMap((path) => {
    const module = zigModuleOf(path);
    return [...read(path).matchAll(/^test "(.*)"/gm)].map(([, name]) => {
      return { path, name: name!, fullName: `${module}.test.${name}` };
    });
  });
}

/** The filter that has all tests of a file: `zig/src/ring/frames.zig` is "ring.frames". */
export function zigModuleOf(path: string): string {
  return path.replace(/^zig\/(src\/)?/, "").replace(/\.zig$/, "").replaceAll("/", ".");
}
