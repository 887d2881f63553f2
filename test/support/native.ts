// A native library of another version, compiled by Zig.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { outputOf } from "../../scripts/lib/process.ts";
import { tool } from "../../scripts/toolchain.mjs";
import { SYMBOLS } from "../../src/ffi/symbols.ts";

/** A library that has the shim's functions and says that its ABI is of this version. */
export async function libraryOfVersion(version: number, directory: string): Promise<string> {
  const functions = Object.keys(SYMBOLS).map((name) =>
    `export fn ${name}() u32 { return ${name === "cuframes_abi_version" ? version : 0}; }\n`
  );
  const source = join(directory, "other.zig");
  const path = join(directory, "other-version.so");
  writeFileSync(source, functions.join(""));
  await outputOf(
    tool("zig"),
    ["build-lib", "-dynamic", "-O", "ReleaseSmall", `-femit-bin=${path}`, source],
    { cwd: directory },
  );
  return path;
}
