// What a user without node-av is told.

import { cp, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { describe, expect, it } from "vitest";
import { outputOf } from "../../scripts/lib/process.ts";
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
    const command = [...flags[thisRuntime], join(bare, "main.ts")];
    const output = await outputOf(process.execPath, command, { cwd: bare });
    expect(output).toContain("CuframesError UNSUPPORTED");
    expect(output).toContain("npm install node-av");
  });
});
