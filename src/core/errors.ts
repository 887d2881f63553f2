// What fails, by name.

import { ERROR_CODES } from "./constants.ts";

/** Every code a {@linkcode CuframesError} can have. */
export type CuframesErrorCode = keyof typeof ERROR_CODES;

/**
 * What every failure of this library is: a code for programs and a sentence for people, which says what was
 * tried, on what, and what to do about it.
 *
 * @example
 * ```ts
 * import { CuframesError, Subscriber } from "@cuframes/core";
 *
 * try {
 *   using camera = await Subscriber.connect("cam-parking");
 * } catch (error) {
 *   if (error instanceof CuframesError && error.code === "NOT_FOUND") console.log("no camera yet");
 *   else throw error;
 * }
 * ```
 */
export class CuframesError extends Error {
  /** `"CuframesError"`. */
  override readonly name: string = "CuframesError";
  /** What kind of failure it is. */
  readonly code: CuframesErrorCode;

  /**
   * An error of one's own with the library's codes.
   *
   * @param code what kind of failure it is
   * @param message what was tried, on what, and what to do
   */
  constructor(code: CuframesErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/**
 * Whether something that was thrown is a {@linkcode CuframesError}, of one of these codes; without codes, of any.
 *
 * @param error what was thrown
 * @param codes the codes that count; none: every code
 * @example
 * ```ts
 * import { isCuframesError, Subscriber } from "@cuframes/core";
 *
 * try {
 *   using camera = await Subscriber.connect("cam-parking", { timeout: 5000 });
 * } catch (error) {
 *   if (!isCuframesError(error, "NOT_FOUND", "TIMEOUT")) throw error;
 *   console.log("no camera yet");
 * }
 * ```
 */
export function isCuframesError(
  error: unknown,
  ...codes: readonly CuframesErrorCode[]
): error is CuframesError {
  return error instanceof CuframesError && (codes.length === 0 || codes.includes(error.code));
}

const codesByNumber: ReadonlyMap<number, CuframesErrorCode> = new Map(
  Object.entries(ERROR_CODES).map(([name, number]) => [number, name as CuframesErrorCode]),
);

/** The name of a negative result of the C ABI. */
export function errorCodeOf(result: number): CuframesErrorCode {
  return codesByNumber.get(result) ?? "INTERNAL";
}

/** A value of any type as messages quote it. */
export function shown(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

/** Shorthand for the commonest refusal. */
export function invalid(message: string): CuframesError {
  return new CuframesError("INVALID_ARGUMENT", message);
}
