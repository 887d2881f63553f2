// python/cuframes/_abi.py, on the machine's Python.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { outputOf, succeedsSync } from "../../scripts/lib/process.ts";
import { root } from "../../scripts/toolchain.mjs";
import { ABI_VERSION } from "../../src/core/constants.ts";
import { libraryOfVersion } from "../support/native.ts";
import { stages } from "../support/processes.ts";

const stage = stages();
const module = join(root, "python/cuframes/_abi.py");

/** What a Python program prints; rejects with what it says on standard error unless it ends with 0. */
async function python(...args: string[]): Promise<string> {
  return await outputOf("python3", ["-W", "error", ...args], { env: { PYTHONDONTWRITEBYTECODE: "1" } });
}

if (!succeedsSync("python3", ["--version"])) {
  test.skip("there is no python3 on this machine", () => {});
} else {
  describe("_abi.py", () => {
    test("the library's structures, codes and functions publish a frame and read it", async () => {
      const library = join(root, "zig/zig-out/lib/libcuframes.so");
      const script = join(root, "test/bindings/round_trip.py");
      expect(await python(script, library, stage().directory)).toBe("read what was published\n");
    });

    test("a library of another version is refused before anything of it is used", async () => {
      const library = await libraryOfVersion(ABI_VERSION + 1, stage().directory);
      const program = "import sys, ctypes; sys.path.insert(0, sys.argv[1]); import _abi\n" +
        "_abi.declare(ctypes.CDLL(sys.argv[2]))";
      await expect(python("-c", program, join(module, ".."), library)).rejects.toThrow(
        `the library has version ${ABI_VERSION + 1} of the C ABI, and this module is for ${ABI_VERSION}`,
      );
    });

    test("another layout is refused when the module is imported", async () => {
      const text = readFileSync(module, "utf8");
      const field = '("stride", c_uint32)';
      expect(text).toContain(field);
      const other = join(stage().directory, "other.py");
      writeFileSync(other, text.replace(field, '("stride", c_uint64)'));
      await expect(python(other)).rejects.toThrow("PlanePlace has 32 bytes here, 24 in the library");
    });
  });
}
