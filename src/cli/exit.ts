/** This file says how a command ends, by exit codes that scripts can tell apart. docs/cli.md has the same table. */
import { type CuframesErrorCode, isCuframesError } from "../core/mod.ts";

import { isDiskFull } from "../media/mod.ts";

/** Exit codes of the program. A signal ends it with 128 + its number: 130 for SIGINT, 143 for SIGTERM. */
export const EXIT = {
  OK: 0,
  FAILURE: 1,
  /** An option, an argument or the config file is wrong. */
  USAGE: 2,
  /** Nobody publishes under the key, or there is no such input. */
  NOT_FOUND: 3,
  /** Another process publishes under the key. */
  ALREADY_EXISTS: 4,
  /** Something did not come in time. */
  TIMEOUT: 5,
  /** There is no room for the output. */
  DISK_FULL: 6,
} as const;

const BY_CODE: Partial<Record<CuframesErrorCode, number>> = {
  INVALID_ARGUMENT: EXIT.USAGE,
  NOT_FOUND: EXIT.NOT_FOUND,
  NO_PACKET_RING: EXIT.NOT_FOUND,
  ALREADY_EXISTS: EXIT.ALREADY_EXISTS,
  TIMEOUT: EXIT.TIMEOUT,
};

/** What was typed is wrong; exits with 2. */
export class UsageError extends Error {
  override readonly name: string = "UsageError";
}

/** The exit code that an error stands for. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return EXIT.USAGE;
  if (isDiskFull(error)) return EXIT.DISK_FULL;
  if (isCuframesError(error)) return BY_CODE[error.code] ?? EXIT.FAILURE;
  return EXIT.FAILURE;
}
