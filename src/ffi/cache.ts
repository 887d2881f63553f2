// The native library as a file in a cache directory, for packages whose modules are remote.

import { createHash, randomUUID } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { CuframesError, environment, isForbidden } from "../core/mod.ts";

/**
 * The path of a file with these contents in the cache directory, which is made when it is not there. Its bytes are
 * compared with the digest every time, so nothing else is ever loaded.
 *
 * @param sha256 of the contents, in hexadecimal
 * @param unpack makes the contents
 */
export function cachedFile(sha256: string, unpack: () => Uint8Array): string {
  const directory = cacheDirectory();
  const path = join(directory, `libcuframes-${sha256.slice(0, 16)}.so`);
  const found = read(path);
  if (found === undefined) {
    const bytes = unpack();
    const digest = digestOf(bytes);
    if (digest !== sha256) {
      throw new CuframesError(
        "IO",
        `the native library in this copy of cuframes is not the one that was released (its SHA-256 is ${digest}, not ${sha256}): delete the copy from the runtime's cache and fetch it again`,
      );
    }
    write(directory, path, bytes);
    return path;
  }
  const digest = digestOf(found);
  if (digest === sha256) return path;
  throw new CuframesError(
    "IO",
    `the native library ${path} was changed since cuframes put it there (its SHA-256 is ${digest}, not ${sha256}): find out by whom, delete it, and start again`,
  );
}

function digestOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function cacheDirectory(): string {
  const own = environment("CUFRAMES_CACHE_DIR");
  if (own !== undefined) return own;
  const caches = environment("XDG_CACHE_HOME");
  if (caches !== undefined) return join(caches, "cuframes");
  try {
    return join(environment("HOME") ?? homedir(), ".cache/cuframes");
  } catch (cause) {
    throw new CuframesError(
      "PERMISSION",
      "cuframes keeps its native library in a cache directory and may not learn which: allow it to read the environment variable HOME, or CUFRAMES_CACHE_DIR (--allow-env=HOME,XDG_CACHE_HOME,CUFRAMES_CACHE_DIR)",
      { cause },
    );
  }
}

function read(path: string): Uint8Array | undefined {
  try {
    return readFileSync(path);
  } catch (cause) {
    if ((cause as { code?: string }).code === "ENOENT") return undefined;
    throw failure("reading", path, cause);
  }
}

/** Whoever reads the path sees all of the bytes or no file. */
function write(directory: string, path: string, bytes: Uint8Array): void {
  const unfinished = `${path}.${randomUUID()}`;
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    try {
      writeFileSync(unfinished, bytes, { flag: "wx", mode: 0o500 });
      renameSync(unfinished, path);
    } catch (error) {
      rmSync(unfinished, { force: true });
      throw error;
    }
  } catch (cause) {
    throw failure("writing", path, cause);
  }
}

/** Codes of a directory that nobody may write to; Node's mkdir says the last one of a file system that is read-only. */
const readOnly: readonly unknown[] = ["EROFS", "EACCES", "EPERM", "ENOENT"];

function failure(doing: "reading" | "writing", path: string, cause: unknown): CuframesError {
  const { message, code } = cause as { message: string; code?: string };
  const tried = `${doing} the native library ${path}: ${message}`;
  if (isForbidden(cause)) {
    return new CuframesError(
      "PERMISSION",
      `${tried}: run with --allow-read and --allow-write for its directory, or let CUFRAMES_LIBRARY name a library that is there`,
      { cause },
    );
  }
  const advice = doing === "writing" && readOnly.includes(code)
    ? "the directory cannot be written to: let CUFRAMES_CACHE_DIR name one that can, or CUFRAMES_LIBRARY a library that is there"
    : "let CUFRAMES_CACHE_DIR name another directory";
  return new CuframesError("IO", `${tried}: ${advice}`, { cause });
}
