// Who may import whom: every import between two rooms of src/ and of zig/src/ is held against one table. A room is a folder.
// Arrows run down the table, so that there is no circle.

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import process from "node:process";
import { root } from "./toolchain.mjs";

/** A tree of rooms. */
interface House {
  /** From the repository's root. */
  readonly folder: string;
  readonly extension: string;
  /** What names another file, as its first group. */
  readonly imports: RegExp;
  /** The one file of a room that other rooms import. */
  readonly door: string;
  /** From the ground up: each room, and the rooms that it may import. */
  readonly rooms: Readonly<Record<string, readonly string[]>>;
}

const native = ["core", "ffi", "memory", "connect"];
const library = [...native, "sockets", "images", "packets", "frames"];

const houses: readonly House[] = [
  {
    folder: "src",
    extension: ".ts",
    imports: /(?:from|import)\s*\(?\s*"(\.[^"]+)"/g,
    door: "mod.ts",
    rooms: {
      core: [],
      ffi: ["core"],
      memory: ["core", "ffi"],
      connect: ["core", "ffi", "memory"],
      sockets: native,
      images: [...native, "sockets"],
      packets: native,
      frames: [...native, "images", "packets"],
      media: ["core", "ffi", "memory", "packets", "frames"],
      source: ["core", "memory", "packets", "frames", "media"],
      cli: [...library.filter((room) => room !== "ffi"), "media", "source"],
    },
  },
  {
    folder: "zig/src",
    extension: ".zig",
    imports: /@import\("([^"]+\.zig)"\)/g,
    door: "mod.zig",
    rooms: {
      core: [],
      os: ["core"],
      ring: ["core", "os"],
      cuda: ["core", "os"],
      egl: ["core", "os", "cuda"],
      memory: ["core", "os", "ring", "cuda", "egl"],
      image: ["core", "os", "ring", "cuda", "egl", "memory"],
      ipc: ["core", "os", "ring", "cuda", "memory", "image"],
      abi: ["core", "os", "ring", "cuda", "egl", "memory", "image", "ipc"],
      // Reads the declarations of everything, the library's root included.
      bindings: ["core", "os", "ring", "cuda", "egl", "memory", "image", "ipc", "abi"],
    },
  },
];

/** What is wrong in one of them, a line each, with both files named. */
function problemsOf({ folder, extension, imports, door, rooms }: House): string[] {
  const problems: string[] = [];
  const top = join(root, folder);
  const order = Object.keys(rooms);
  for (const [room, allowed] of Object.entries(rooms)) {
    const upwards = allowed.filter((other) => order.indexOf(other) >= order.indexOf(room));
    if (upwards.length > 0) problems.push(`${folder}/${room} may not stand below ${upwards.join(", ")}`);
  }
  for (const entry of readdirSync(top, { withFileTypes: true })) {
    if (entry.isDirectory()) {
      if (!(entry.name in rooms)) problems.push(`${folder}/${entry.name} is no room of the table`);
    } else if (!(folder === "zig/src" && entry.name === "lib.zig")) {
      problems.push(`${folder}/${entry.name} is in no room: ${folder}/ holds folders only`);
    }
  }
  const files = readdirSync(top, { recursive: true, encoding: "utf8" }).filter((path) =>
    path.endsWith(extension)
  );
  for (const path of files) {
    const [room = ""] = path.split("/");
    if (!path.includes("/")) continue; // the root, which may import everything
    for (const [, specifier = ""] of readFileSync(join(top, path), "utf8").matchAll(imports)) {
      const target = normalize(join(dirname(path), specifier));
      if (target.startsWith("..") || !target.includes("/")) {
        const outside = relative(root, join(top, target));
        // What is beside the rooms is data, such as deno.json; or the library's root, for what is written from it.
        if (/\.(ts|mjs)$/.test(outside) || outside.endsWith(".zig") && room !== "bindings") {
          problems.push(`${folder}/${path} imports ${outside}, which stands above it`);
        }
        continue;
      }
      const [other = ""] = target.split("/");
      if (other === room) continue;
      if (!rooms[room]?.includes(other)) {
        problems.push(`${folder}/${path} imports ${folder}/${target}: ${room} may not import ${other}`);
      } else if (target !== `${other}/${door}`) {
        problems.push(
          `${folder}/${path} imports ${folder}/${target}: other rooms import ${folder}/${other}/${door}`,
        );
      }
    }
  }
  return problems;
}

/** What scripts, benchmarks and tests have one helper for: modules of Node's, and the file that imports each. */
const helpers = {
  "node:child_process": "scripts/lib/process.ts",
  "node:readline": "scripts/lib/json_lines.ts",
};

/** Who goes around a helper. */
function detours(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    .filter((path) => path.endsWith(".ts"))
    .flatMap((path) => {
      const text = readFileSync(join(root, path), "utf8");
      return Object.entries(helpers)
        .filter(([module, helper]) => path !== helper && text.includes(`from "${module}"`))
        .map(([module, helper]) => `${path} imports ${module}: ${helper} is there for that`);
    });
}

const problems = [...houses.flatMap(problemsOf), ...["scripts", "bench", "test"].flatMap(detours)];
for (const problem of problems) console.error(problem);
process.exitCode = problems.length === 0 ? 0 : 1;
