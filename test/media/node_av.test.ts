// What a user without node-av is told.

import { cp, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { describe, expect, it } from "vitest";
import { outputOf } from "../../scripts/lib/process.ts";
import { root } from "../../scripts/toolchain.mjs";
import { directory } from "../support/media.ts";
import { thisRuntime } from "../support/processes.ts";

/** What opening a file is refused with in a folder that has our sources and perhaps a node-av. */
async function refusal(
  name: string,
  flags: readonly string[],
  nodeAv?: Record<string, string>,
): Promise<string> {
  const folder = join(directory, name);
  await mkdir(folder);
  await cp(join(root, "src"), join(folder, "src"), { recursive: true });
  await writeFile(
    join(folder, "main.ts"),
    `import { openMedia } from "./src/media/mod.ts";
     await openMedia("x.mp4").catch((error) => console.log(error.name, error.code, error.message));`,
  );
  if (nodeAv !== undefined) {
    await writeFile(join(folder, "package.json"), '{ "type": "module", "dependencies": { "node-av": "*" } }');
    const installed = join(folder, "node_modules/node-av");
    await mkdir(installed, { recursive: true });
    await writeFile(
      join(installed, "package.json"),
      '{ "name": "node-av", "version": "6.0.0", "type": "module", "exports": "./index.js" }',
    );
    for (const [file, text] of Object.entries(nodeAv)) await writeFile(join(installed, file), text);
  }
  return await outputOf(process.execPath, [...flags, join(folder, "main.ts")], { cwd: folder });
}

const alone =
  { bun: ["--no-install"], deno: ["run", "-A", "--no-remote", "--no-npm"], node: [] }[thisRuntime];

describe("node-av", () => {
  it("that is not installed: says what to install", async () => {
    const said = await refusal("bare", alone);
    expect(said).toContain("CuframesError UNSUPPORTED");
    expect(said).toContain("npm install node-av");
  });

  it("that is installed without its build for this platform: says so", async () => {
    const said = await refusal("unbuilt", alone.filter((flag) => flag !== "--no-npm"), {
      "index.js":
        `throw new Error("Could not load the node-av native binding for x.\\nErrors:\\n  Cannot find module '@seydx/node-av-x'");`,
    });
    expect(said).toMatch(
      /CuframesError UNSUPPORTED .*is installed and could not be loaded: Could not load the node-av/,
    );
    expect(said).toContain("optional dependencies");
    expect(said).not.toContain("npm install node-av");
  });

  it("that misses a package of its own: names that one", async () => {
    const said = await refusal("broken", alone.filter((flag) => flag !== "--no-npm"), {
      "index.js": 'import "some-other-package";',
    });
    expect(said).toMatch(
      /CuframesError UNSUPPORTED .*is installed and could not be loaded: .*some-other-package/,
    );
  });

  it.runIf(thisRuntime === "deno")("that may not be loaded: names the permissions", async () => {
    const opening = join(root, "media.ts");
    const code = `import { openMedia } from ${JSON.stringify(opening)};
      await openMedia("x.mp4").catch((error) => console.log(error.code, error.message));`;
    const main = join(directory, "permissions.ts");
    await writeFile(main, code);
    // Deno gives a Deno that it starts everything where no flag says otherwise.
    const said = async (...allowed: string[]) =>
      await outputOf(process.execPath, [
        "run",
        "--no-prompt",
        "--quiet",
        `--config=${root}/deno.json`,
        "--no-check",
        "--allow-sys=cpus",
        ...allowed,
        main,
      ]);
    for (
      const allowed of [[], ["--allow-ffi"], ["--allow-env"], ["--allow-ffi=/nowhere", "--allow-env"], [
        "--allow-env=HOME",
        "--allow-ffi",
      ]]
    ) {
      expect(await said(...allowed)).toMatch(
        /^PERMISSION .*which is installed .*--allow-env and --allow-ffi/s,
      );
    }
    expect(await said("--allow-env", "--allow-ffi")).toMatch(/^NOT_FOUND /);
  });

  it.runIf(thisRuntime === "node")("that may not be loaded: names the permission", async () => {
    const main = join(directory, "permissions.ts");
    await writeFile(
      main,
      `import { openMedia } from ${JSON.stringify(join(root, "media.ts"))};
       await openMedia("x.mp4").catch((error) => console.log(error.code, error.message));`,
    );
    const flags = ["--permission", "--allow-fs-read=*", "--allow-ffi"];
    expect(await outputOf(process.execPath, [...flags, main])).toMatch(/^PERMISSION .*--allow-addons/s);
    expect(await outputOf(process.execPath, [...flags, "--allow-addons", main])).toMatch(/^NOT_FOUND /);
  });
});
