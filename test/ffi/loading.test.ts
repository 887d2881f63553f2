// How the native library is found and opened, and what a process is told where that fails.

import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setImmediate } from "node:timers/promises";
import { describe, expect, test, vi } from "vitest";
import { succeedsSync } from "../../scripts/lib/process.ts";
import { root } from "../../scripts/toolchain.mjs";
import { cachedFile } from "../../src/ffi/cache.ts";
import { ABI_VERSION } from "../../src/core/constants.ts";
import { libraryOfVersion } from "../support/native.ts";
import { runFlags, stages, type StartOptions, thisRuntime } from "../support/processes.ts";
import type { Options } from "../support/programs/load.ts";
import type { Outcome } from "../support/programs/worker.ts";

const stage = stages();
const library = join(root, "zig/zig-out/lib/libcuframes.so");
const sha256 = createHash("sha256").update(readFileSync(library)).digest("hex");

type Attempt = Partial<Options> & StartOptions;

let keys = 0;

function start({ contents, arch, nodeVersion, ...how }: Attempt): Promise<"loaded" | Outcome> {
  const worker = stage().start("load", { key: `loading-${++keys}`, contents, arch, nodeVersion }, how);
  return worker.exited.then(() => {
    const refused = worker.taken<Outcome>("refused");
    if (refused !== undefined) return refused;
    return worker.event("loaded").then(() => "loaded" as const);
  });
}

async function refusal(attempt: Attempt): Promise<Outcome> {
  const outcome = await start(attempt);
  if (outcome === "loaded") throw new Error("the library was loaded");
  return outcome;
}

/** A command before a command: runs it where `directory` is a new, empty file system with these mount options. */
function mounted(directory: string, options: string): string[] {
  const script = `mount -t tmpfs -o ${options} tmpfs ${directory} && exec "$@"`;
  return [...namespace ?? [], "sh", "-c", script, "sh"];
}

const namespace = [["unshare", "--mount"], ["unshare", "--map-root-user", "--mount"]].find(
  ([command = "", ...args]) => succeedsSync(command, [...args, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]),
);
const mounting = test.skipIf(namespace === undefined);

describe("CUFRAMES_LIBRARY", () => {
  test("names another library", async () => {
    const copy = join(stage().directory, "elsewhere.so");
    copyFileSync(library, copy);
    expect(await start({ env: { CUFRAMES_LIBRARY: copy } })).toBe("loaded");
    rmSync(copy);
    const { code, message } = await refusal({ env: { CUFRAMES_LIBRARY: copy } });
    expect(code).toBe("UNSUPPORTED");
    expect(message).toContain(copy);
    expect(message).toContain("is not there");
    expect(message).toContain("CUFRAMES_LIBRARY");
  });

  test("with another ABI version is told from the right one", async () => {
    const other = await libraryOfVersion(ABI_VERSION + 1, stage().directory);
    const { code, message } = await refusal({ env: { CUFRAMES_LIBRARY: other } });
    expect(code).toBe("UNSUPPORTED");
    expect(message).toContain(
      `${other} has ABI version ${ABI_VERSION + 1}, this release needs ${ABI_VERSION}`,
    );
    expect(message).toContain("install");
  });

  test("without the functions is of another release", async () => {
    const { code, message } = await refusal({ env: { CUFRAMES_LIBRARY: "libc.so.6" } });
    expect(code).toBe("UNSUPPORTED");
    expect(message).toContain("it is of another release");
  });

  test.each([
    ["empty", () => new Uint8Array(0)],
    ["a text", () => new TextEncoder().encode("no library".repeat(1000))],
    ["for another machine", () => {
      const bytes = readFileSync(library);
      bytes.writeUInt16LE(process.arch === "arm64" ? 62 : 183, 18); // e_machine: x86-64, AArch64
      return bytes;
    }],
  ])("that is %s is no library for this machine", async (_, contents) => {
    const file = join(stage().directory, "other.so");
    writeFileSync(file, contents());
    const { code, message } = await refusal({ env: { CUFRAMES_LIBRARY: file } });
    expect(code).toBe("UNSUPPORTED");
    expect(message).toContain("no library for this machine");
  });
});

test("a platform without a build is named, with what there is", async () => {
  const { code, message } = await refusal({ arch: "riscv64" });
  expect(code).toBe("UNSUPPORTED");
  expect(message).toContain("linux on riscv64");
  expect(message).toContain("Linux on x64 and arm64");
  expect(message).toContain("CUFRAMES_LIBRARY");
});

describe("the cache", () => {
  const path = (directory: string) => join(directory, `libcuframes-${sha256.slice(0, 16)}.so`);
  /** Bun would take an empty XDG_CACHE_HOME for the current directory, for a cache of its own. */
  const none = { CUFRAMES_CACHE_DIR: "", XDG_CACHE_HOME: "", BUN_RUNTIME_TRANSPILER_CACHE_PATH: "0" };
  const cached = (attempt: Attempt) => ({ contents: library, ...attempt });

  test("is filled once, for its user alone, and used from then on", async () => {
    const directory = join(stage().directory, "a/cache");
    const attempt = cached({ env: { CUFRAMES_CACHE_DIR: directory } });
    expect(await start(attempt)).toBe("loaded");
    expect(readdirSync(directory)).toHaveLength(1);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    expect(readFileSync(path(directory)).equals(readFileSync(library))).toBe(true);
    const { ino, mtimeMs } = statSync(path(directory));
    expect(await start(attempt)).toBe("loaded");
    expect(statSync(path(directory))).toMatchObject({ ino, mtimeMs });
  });

  test("is under XDG_CACHE_HOME, else under the home directory", async () => {
    const caches = join(stage().directory, "caches");
    const home = join(stage().directory, "home");
    expect(await start(cached({ env: { ...none, XDG_CACHE_HOME: caches, HOME: home } }))).toBe("loaded");
    expect(readdirSync(join(caches, "cuframes"))).toHaveLength(1);
    expect(await start(cached({ env: { ...none, HOME: home } }))).toBe("loaded");
    expect(readdirSync(join(home, ".cache/cuframes"))).toHaveLength(1);
  });

  test("is verified at each load: a file that was tampered with is never opened", async () => {
    const directory = join(stage().directory, "cache");
    const attempt = cached({ env: { CUFRAMES_CACHE_DIR: directory } });
    expect(await start(attempt)).toBe("loaded");
    const file = path(directory);
    chmodSync(file, 0o700);
    const bytes = readFileSync(file);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(file, bytes);
    const { code, message } = await refusal(attempt);
    expect(code).toBe("IO");
    expect(message).toContain(`${file} was changed`);
    expect(message).toContain(sha256);
    expect(message).toContain("delete it");
    rmSync(file);
    expect(await start(attempt)).toBe("loaded");
  });

  test("never gets bytes that are not those released", () => {
    const directory = join(stage().directory, "cache");
    vi.stubEnv("CUFRAMES_CACHE_DIR", directory);
    try {
      const other = () => cachedFile(sha256, () => new Uint8Array(3));
      expect(other).toThrow(/not the one that was released .* fetch it again/);
      expect(existsSync(directory)).toBe(false);
    } finally {
      vi.unstubAllEnvs();
    }
  });

  test("is filled by many at once: each finds all of the bytes, and nothing else is left", async () => {
    const directory = join(stage().directory, "cache");
    const attempts = Array.from(
      { length: 8 },
      () => start(cached({ env: { CUFRAMES_CACHE_DIR: directory } })),
    );
    expect(await Promise.all(attempts)).toEqual(Array.from(attempts, () => "loaded"));
    expect(readdirSync(directory)).toHaveLength(1);
  });

  test("shows nobody a part of the file", async () => {
    // So much that writing it takes a while; that it is no library matters to nobody before it is opened.
    const contents = join(stage().directory, "large");
    const size = 1 << 26;
    writeFileSync(contents, new Uint8Array(size));
    const directory = join(stage().directory, "cache");
    let over = false;
    const attempt = refusal({ contents, env: { CUFRAMES_CACHE_DIR: directory } }).finally(() => over = true);
    const name = /^libcuframes-[0-9a-f]{16}\.so$/;
    const sizes = new Set<number>();
    const look = () => {
      const found = existsSync(directory)
        ? readdirSync(directory).find((entry) => name.test(entry))
        : undefined;
      if (found !== undefined) sizes.add(statSync(join(directory, found)).size);
    };
    for (; !over; await setImmediate()) look();
    look();
    expect((await attempt).message).toContain("no library for this machine");
    expect([...sizes]).toEqual([size]);
  });

  test("that is no directory is named", async () => {
    const file = join(stage().directory, "file");
    writeFileSync(file, "");
    const { code, message } = await refusal(cached({ env: { CUFRAMES_CACHE_DIR: file } }));
    expect(code).toBe("IO");
    expect(message).toContain(file);
    expect(message).toContain("let CUFRAMES_CACHE_DIR name another directory");
  });

  mounting("on a file system that runs nothing is told from a broken library", async () => {
    const directory = stage().directory;
    const home = join(directory, "home");
    mkdirSync(home);
    const { code, message } = await refusal(cached({
      prefix: mounted(home, "noexec"),
      env: { CUFRAMES_CACHE_DIR: join(home, "cache"), DENO_DIR: directory },
    }));
    expect(code).toBe("UNSUPPORTED");
    expect(message).toContain("noexec");
    expect(message).toContain("CUFRAMES_CACHE_DIR");
  });

  mounting("in a home that is read-only says which variable names another", async () => {
    const directory = stage().directory;
    const home = join(directory, "home");
    mkdirSync(home);
    const { code, message } = await refusal(cached({
      prefix: mounted(home, "ro"),
      env: { ...none, HOME: home, DENO_DIR: directory },
    }));
    expect(code).toBe("IO");
    expect(message).toContain(join(home, ".cache/cuframes"));
    expect(message).toContain("cannot be written to");
    expect(message).toContain("CUFRAMES_CACHE_DIR");
  });
});

describe.runIf(thisRuntime === "deno")("Deno's permissions", () => {
  const flags = (...allowed: string[]) => ["run", "--no-prompt", "--no-check", "--quiet", ...allowed];

  test("without --allow-ffi: it is named", async () => {
    const { code, message } = await refusal({ flags: flags("--allow-env", "--allow-read", "--allow-write") });
    expect(code).toBe("PERMISSION");
    expect(message).toContain("--allow-ffi");
  });

  test("--allow-ffi for some path: it is said that it has to be without one", async () => {
    for (const path of ["/nowhere", library]) {
      const { code, message } = await refusal({ flags: flags(`--allow-ffi=${path}`, "--allow-env") });
      expect(code).toBe("PERMISSION");
      expect(message).toMatch(/run with --allow-ffi(, without a path)?$/);
    }
  });

  test("a cache that may not be used: the permissions are named", async () => {
    const cache = join(stage().directory, "cache");
    const env = { CUFRAMES_CACHE_DIR: cache };
    const attempt = {
      contents: library,
      env,
      flags: flags("--allow-env", `--allow-read=${root}`, "--allow-ffi"),
    };
    const { code, message } = await refusal(attempt);
    expect(code).toBe("PERMISSION");
    expect(message).toContain(cache);
    expect(message).toContain("--allow-read and --allow-write");
  });

  test("a home that may not be learnt: the variables are named", async () => {
    const { code, message } = await refusal({
      contents: library,
      flags: flags("--allow-env=CUFRAMES_LIBRARY", "--allow-read", "--allow-write", "--allow-ffi"),
    });
    expect(code).toBe("PERMISSION");
    expect(message).toContain("CUFRAMES_CACHE_DIR");
  });

  test("--allow-ffi is enough for a library in place, and with a cache directory for one that is unpacked", async () => {
    expect(await start({ flags: flags("--allow-ffi") })).toBe("loaded");
    const cache = join(stage().directory, "cache");
    const allowed = flags(
      "--allow-ffi",
      "--allow-env",
      `--allow-read=${cache},${library}`,
      `--allow-write=${cache}`,
    );
    expect(await start({ contents: library, env: { CUFRAMES_CACHE_DIR: cache }, flags: allowed })).toBe(
      "loaded",
    );
  });
});

describe.runIf(thisRuntime === "node")("Node", () => {
  test("without node:ffi says what to do, by version", async () => {
    const said = async (nodeVersion: string) => {
      const { code, message } = await refusal({ nodeVersion });
      expect(code).toBe("UNSUPPORTED");
      expect(message).toContain(`Node v${nodeVersion}`);
      return message;
    };
    expect(await said("26.1.0")).toContain("start it with --experimental-ffi");
    expect(await said("26.10.0")).toContain("built without, or started with --no-experimental-ffi");
  });

  test("with its flag off is told so", async () => {
    const { code, message } = await refusal({ flags: [...runFlags("node"), "--no-experimental-ffi"] });
    expect(code).toBe("UNSUPPORTED");
    expect(message).toContain("--no-experimental-ffi");
  });

  test("'s permission model: --allow-ffi is named", async () => {
    const flags = [...runFlags("node"), "--permission", "--allow-fs-read=*"];
    const { code, message } = await refusal({ flags });
    expect(code).toBe("PERMISSION");
    expect(message).toContain("--allow-ffi");
    expect(await start({ flags: [...flags, "--allow-ffi"] })).toBe("loaded");
  });
});
