// What a user without node-av is told.

import { execFile } from "node:child_process";
import { cp, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { root } from "../../scripts/toolchain.mjs";
import { directory } from "../support/media.ts";
import { thisRuntime } from "../support/processes.ts";

describe("without node-av", () => {
  it("says what to install", async () => {
    const bare = join(directory, "bare");
    await mkdir(bare);
    await cp(join(root, "src"), join(bare, "src"), { recursive: true });
    await writeFile(
      join(bare, "main.ts"),
      `import { openMedia } from "./src/media/mod.ts";
       await openMedia("x.mp4").catch((error) => console.log(error.name, error.code, error.message));`,
    );
    const flags = { bun: ["--no-install"], deno: ["run", "-A", "--no-remote", "--no-npm"], node: [] };
    const { stdout } = await promisify(execFile)(process.execPath, [
      ...flags[thisRuntime],
      join(bare, "main.ts"),
    ], {
      cwd: bare,
    });
    expect(stdout).toContain("CuframesError UNSUPPORTED");
    expect(stdout).toContain("npm install node-av");
  });
});
