/** This file loads the media library (`node-av`: FFmpeg's own libraries) on first use, and makes its errors ours. */
import { constants } from "node:os";
import process from "node:process";
import { CuframesError, isForbidden } from "../core/mod.ts";

/** The module `node-av`. */
export type NodeAv = typeof import("node-av");

let loading: Promise<NodeAv> | undefined;

/**
 * Loads `node-av` once.
 *
 * @throws {CuframesError} `UNSUPPORTED` where it is not installed or has no build for this platform; `PERMISSION` where the
 * runtime does not let it be loaded.
 */
export async function loadNodeAv(): Promise<NodeAv> {
  loading ??= import("node-av").then(silence);
  try {
    return await loading;
  } catch (cause) {
    loading = undefined;
    throw notLoaded(cause);
  }
}

function notLoaded(cause: unknown): CuframesError {
  const told = cause instanceof Error ? cause.message : String(cause);
  const tried = "reading and recording media needs the optional package node-av";
  const failed = `${tried}, which is installed and could not be loaded: ${told.trim()}`;
  const { code } = cause as { code?: unknown };
  // node-av wraps what its own loading fails with into a text. What it may not read it does without.
  const missing = [...told.matchAll(/Requires (\w+) access/g)].map(([, permission]) => permission);
  if (missing.length > 0 || isForbidden(cause)) {
    const flags = missing.includes("env") || missing.includes("ffi")
      ? "--allow-env and --allow-ffi, both without a list or path"
      : [...new Set(missing)].map((permission) => `--allow-${permission}`).join(" ") || "-A";
    return new CuframesError("PERMISSION", `${failed}: run with ${flags}`, { cause });
  }
  if (code === "ERR_DLOPEN_DISABLED" || /loading addons is disabled|ERR_DLOPEN_DISABLED/i.test(told)) {
    return new CuframesError("PERMISSION", `${failed}: run with --allow-addons`, { cause });
  }
  // What the runtimes say of a package that is not there; of others it is a package that node-av needs.
  if (/["'](npm:)?node-av(@[^"'/]*)?["']/.test(told) && !/native binding/.test(told)) {
    return new CuframesError(
      "UNSUPPORTED",
      `${tried}, which is not installed: install it with \`npm install node-av\`, \`bun add node-av\` or ` +
        "`deno add npm:node-av`",
      { cause },
    );
  }
  return new CuframesError(
    "UNSUPPORTED",
    `${failed}: install it again, with its optional dependencies, of which one is its build for ` +
      `${process.platform} on ${process.arch}`,
    { cause },
  );
}

/** FFmpeg logs to stderr, addresses with their passwords included; a level that the user has set is kept. */
function silence(av: NodeAv): NodeAv {
  if (av.Log.getLevel() === av.AV_LOG_INFO) av.Log.setLevel(av.AV_LOG_FATAL);
  return av;
}

/** Nanoseconds: the time base of everything behind the demuxer. */
export const NANOSECONDS = { num: 1, den: 1_000_000_000 } as const;

type Code = ConstructorParameters<typeof CuframesError>[0];

/** The error for a negative FFmpeg result; `what` says what was tried, on what. */
export function mediaError(av: NodeAv, result: number, what: string): CuframesError {
  const cause = new av.FFmpegError(result);
  return new CuframesError(codeOf(av, result), `${what}: ${av.FFmpegError.strerror(result)}`, { cause });
}

/** Whether an error of ours says that the one who reads our output has gone. */
export function isBrokenPipe(error: unknown): boolean {
  return isCausedBy(error, "EPIPE");
}

/** Whether an error of ours says that the disk, or the user's share of it, is full. */
export function isDiskFull(error: unknown): boolean {
  return isCausedBy(error, "ENOSPC") || isCausedBy(error, "EDQUOT");
}

/** FFmpeg's errors are causes of ours; those of `node:fs` are, too, or come as they are. */
function isCausedBy(error: unknown, name: "EPIPE" | "ENOSPC" | "EDQUOT"): boolean {
  if (!(error instanceof Error)) return false;
  if ("code" in error && error.code === name) return true;
  const { cause } = error;
  return cause instanceof Error && "code" in cause &&
    (cause.code === name || cause.code === -constants.errno[name]);
}

/** Passes a result that is not an error through. */
export function check(av: NodeAv, result: number, what: string): number {
  if (result < 0) throw mediaError(av, result, what);
  return result;
}

function codeOf(av: NodeAv, result: number): Code {
  switch (result) {
    case av.AVERROR_HTTP_NOT_FOUND:
      return "NOT_FOUND";
    case av.AVERROR_HTTP_UNAUTHORIZED:
    case av.AVERROR_HTTP_FORBIDDEN:
      return "PERMISSION";
    case av.AVERROR_INVALIDDATA:
    case av.AVERROR_DEMUXER_NOT_FOUND:
      return "FORMAT";
    case av.AVERROR_PROTOCOL_NOT_FOUND:
    case av.AVERROR_DECODER_NOT_FOUND:
    case av.AVERROR_MUXER_NOT_FOUND:
    case av.AVERROR_PATCHWELCOME:
      return "UNSUPPORTED";
  }
  // FFmpeg's POSIX errors are the negated errno.
  switch (-result) {
    case constants.errno.ENOENT:
      return "NOT_FOUND";
    case constants.errno.EACCES:
    case constants.errno.EPERM:
      return "PERMISSION";
    case constants.errno.ETIMEDOUT:
      return "TIMEOUT";
    case constants.errno.ENOMEM:
      return "OUT_OF_MEMORY";
    case constants.errno.EINVAL:
    case constants.errno.EISDIR:
    case constants.errno.ERANGE:
      return "INVALID_ARGUMENT";
  }
  return "IO";
}
