// The program where it can hardly run, and what it keeps to itself.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import vm from "node:vm";
import { describe, expect, test } from "vitest";
import { programPath, writeProgram } from "../../scripts/package/program.ts";
import { Child } from "../../scripts/lib/process.ts";
import { cuframesCommand } from "../support/cli.ts";
import { runFlags, stages, thisRuntime } from "../support/processes.ts";
import { tool } from "../../scripts/toolchain.mjs";

const stage = stages();

/** Writes the program as npm has it, before a module that says that it was started. @returns its path */
function packaged(): string {
  const folder = stage().directory;
  writeProgram(folder, "cli/main.mjs");
  mkdirSync(join(folder, "cli"), { recursive: true });
  writeFileSync(join(folder, "cli/main.mjs"), `console.log("started", ...process.argv.slice(2));`);
  return join(folder, programPath);
}

describe("the package's program", () => {
  /** Runs it with a runtime that says to be of these versions. */
  function start(versions: Record<string, string>, more: object = {}) {
    const code = readFileSync(packaged(), "utf8").replace("#!/usr/bin/env node\n", "");
    const told: string[] = [];
    const executed: unknown[][] = [];
    const fake = {
      ...{
        versions,
        execPath: "/node",
        execArgv: ["--x"],
        argv: ["/node", "cuframes", "top"],
        env: { A: "1" },
      },
      getBuiltinModule: () => undefined,
      execve: (...args: unknown[]) => void executed.push(args),
      ...more,
    };
    const imported: string[] = [];
    const body = code.replace(/\bimport\(/, "imported(");
    const scope = {
      process: fake as typeof fake & { exitCode?: number },
      console: { error: (text: string) => void told.push(text) },
      imported: (path: string) => void imported.push(path),
    };
    vm.runInNewContext(body, scope);
    return { code, told, executed, imported, exitCode: scope.process.exitCode };
  }

  test("tells a runtime that is too old so, in words that it can read", () => {
    const old = [
      { node: "14.21.3" },
      { node: "26.0.0" },
      { node: "26.9.0", bun: "1.3.7" },
      { node: "26.9.0", deno: "2.8.3" },
    ];
    for (const versions of old) {
      const { code, told, imported, exitCode } = start(versions, { getBuiltinModule: undefined });
      expect(told).toHaveLength(1);
      expect(told[0]).toMatch(
        /^cuframes: (Node 14\.21\.3|Node 26\.0\.0|Bun 1\.3\.7|Deno 2\.8\.3) is too old .*Node 26\.1 or .*Bun 1\.4 .*Deno 2\.9/,
      );
      expect(imported).toEqual([]);
      expect(exitCode).toBe(1);
      // No syntax that came after ECMAScript 5, but for import().
      expect(code.replace(/\/\/.*|\/\*.*?\*\//g, "")).not.toMatch(
        /=>|\b(const|let|class|async|await)\b |`|\?\.|\?\?|\.\.\./,
      );
    }
  });

  test("starts the others", () => {
    for (
      const versions of [{ node: "26.9.0" }, { node: "20.0.0", bun: "1.4.0" }, {
        node: "20.0.0",
        deno: "3.0.1",
      }]
    ) {
      const { told, executed, imported } = start(versions);
      expect([told, executed, imported]).toEqual([[], [], ["../cli/main.mjs"]]);
    }
  });

  test("gives a Node the flag that it needs, once", () => {
    expect(start({ node: "26.2.0" }).executed).toEqual([
      ["/node", ["/node", "--experimental-ffi", "--x", "cuframes", "top"], { A: "1" }],
    ]);
    expect(start({ node: "26.2.0" }, { execArgv: ["--experimental-ffi"] }).executed).toEqual([]);
    expect(start({ node: "26.2.0" }, { getBuiltinModule: () => ({}) }).executed).toEqual([]);
  });

  test("is started by this runtime", async () => {
    const child = new Child([tool(thisRuntime), ...runFlags(thisRuntime), packaged(), "top", "--json"]);
    await child.succeeded();
    expect(child.text).toBe("started top --json\n");
  });
});

test.runIf(thisRuntime === "node")(
  "Node's warning about node:ffi is not the user's business, others are",
  async () => {
    const [node = "", ...args] = cuframesCommand(["inspect"]).filter((word) =>
      !word.startsWith("--disable-warning")
    );
    const own = `data:text/javascript,${
      encodeURIComponent(
        'process.emitWarning("mine", "ExperimentalWarning"); process.emitWarning("FFI is old", { type: "Other" })',
      )
    }`;
    const child = new Child([node, ...args], {
      env: { NODE_OPTIONS: `--import=${own}`, CUFRAMES_RUNTIME_DIR: stage().directory },
    });
    await child.succeeded();
    expect(child.errors).toContain("ExperimentalWarning: mine");
    expect(child.errors).toContain("Other: FFI is old");
    expect(child.errors).not.toContain("FFI is an experimental feature");
    expect(child.text).toContain(`no publisher in ${stage().directory}`);
  },
);

test("a command that cannot call the native library fails at once, whatever it would do", async () => {
  const config = join(stage().directory, "cameras.yaml");
  writeFileSync(config, "cameras: { a: { url: x.mp4 } }");
  for (const line of [["inspect"], ["source", "--config", config]]) {
    const child = new Child(cuframesCommand(line), {
      env: { CUFRAMES_RUNTIME_DIR: stage().directory, CUFRAMES_LIBRARY: join(stage().directory, "no.so") },
      limit: 30,
    });
    expect((await child.ended).code).toBe(1);
    expect(child.errors).toMatch(/^cuframes: the native library .*no\.so could not be opened/);
  }
});

describe.runIf(thisRuntime === "deno")("Deno's permissions", () => {
  async function failure(flags: string[], args: string[]): Promise<string> {
    const [program = "", main = ""] = [tool("deno"), cuframesCommand([]).at(-1)];
    // Deno gives a Deno that it starts everything where no flag says otherwise.
    const allowed = ["--allow-sys=cpus", ...flags];
    const child = new Child(
      [program, "run", "--no-prompt", "--no-check", "--quiet", ...allowed, main, ...args],
      {
        env: { CUFRAMES_RUNTIME_DIR: stage().directory, NO_COLOR: "1" },
      },
    );
    expect((await child.ended).code).toBe(1);
    expect(child.errors.trim().split("\n")).toHaveLength(1);
    return child.errors;
  }

  test("that are missing are named in a line", async () => {
    const config = join(stage().directory, "cameras.yaml");
    writeFileSync(config, "cameras: { a: { url: x.mp4 }, b: { url: y.mp4 } }");
    const most = ["--allow-env", "--allow-ffi"];
    expect(await failure([], ["inspect"])).toMatch(/^cuframes: .*--allow-env/);
    expect(await failure(["--allow-env"], ["inspect"])).toMatch(/^cuframes: .*--allow-ffi/);
    expect(await failure(["--allow-env", "--allow-ffi=/nowhere"], ["inspect"])).toMatch(
      /--allow-ffi, without a path/,
    );
    expect(await failure(most, ["inspect"])).toMatch(/^cuframes: looking for publishers in .*--allow-read/);
    expect(await failure([...most, "--allow-read"], ["source", "--config", config])).toMatch(
      /^cuframes: starting the process of [ab]: .*--allow-run/,
    );
  });
});
