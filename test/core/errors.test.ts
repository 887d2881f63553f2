import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { CuframesError, isCuframesError } from "../../mod.ts";
import { errorCodeOf } from "../../src/core/errors.ts";
import { ERROR_CODES } from "../../src/core/constants.ts";
import { createPublisher, expectCode, inProcess, runtimeDirectory } from "../support/ring.ts";

const codes =
  `INVALID_ARGUMENT OUT_OF_MEMORY IO CUDA PROTOCOL NOT_FOUND TIMEOUT ALREADY_EXISTS DISCONNECTED FORMAT
  WOULD_BLOCK TOO_MANY_SUBSCRIBERS PACKET_OVERSIZED NO_PACKET_RING NO_CODEC_PARAMETERS PACKET_OVERRUN DEVICE_MISMATCH
  PERMISSION UNSUPPORTED INTERNAL`.split(/\s+/);

test("the codes are those that the documentation names, each of a negative number of its own", () => {
  expect(Object.keys(ERROR_CODES).sort()).toEqual(codes.sort());
  const numbers = Object.values(ERROR_CODES);
  expect(new Set(numbers).size).toBe(numbers.length);
  expect(numbers.every((number) => number < 0)).toBe(true);
});

test("every number of the C ABI has its name, and one of a later release counts as internal", () => {
  for (const [name, number] of Object.entries(ERROR_CODES)) expect(errorCodeOf(number)).toBe(name);
  expect(errorCodeOf(-12345)).toBe("INTERNAL");
});

test("a CuframesError is an Error with a code, a sentence and, where there is one, a cause", () => {
  const cause = new Error("deeper");
  const error = new CuframesError("TIMEOUT", "nothing came", { cause });
  expect(error).toBeInstanceOf(Error);
  expect([error.name, error.code, error.message, error.cause]).toEqual([
    "CuframesError",
    "TIMEOUT",
    "nothing came",
    cause,
  ]);
  expect(String(error)).toBe("CuframesError: nothing came");
  expect(error.stack).toContain("errors.test");
});

test("isCuframesError tells errors of these codes, or of any, from everything else that is thrown", () => {
  const error = new CuframesError("TIMEOUT", "too late");
  expect(isCuframesError(error)).toBe(true);
  expect(isCuframesError(error, "TIMEOUT")).toBe(true);
  expect(isCuframesError(error, "NOT_FOUND", "TIMEOUT")).toBe(true);
  expect(isCuframesError(error, "NOT_FOUND")).toBe(false);
  for (const other of [new Error("TIMEOUT"), { code: "TIMEOUT" }, "TIMEOUT", null, undefined]) {
    expect(isCuframesError(other)).toBe(false);
    expect(isCuframesError(other, "TIMEOUT")).toBe(false);
  }
});

test("an error of the native library says what was tried, on what, and what to do", () => {
  using publisher = createPublisher();
  const { message } = expectCode(() => createPublisher({ key: publisher.key }), "ALREADY_EXISTS");
  const lock = join(runtimeDirectory, `${publisher.key}.lock`);
  expect(message).toBe(
    `creating the publisher ${publisher.key}: the key ${publisher.key} is taken, in this process or another: the lock ${lock} is held: close whoever listens there or choose another name`,
  );
});

test("the native library is opened at the first use only, and its absence named then", async () => {
  const missing = join(runtimeDirectory, "libmissing.so");
  const found = await inProcess(
    async ({ CuframesError, Publisher, Subscriber }) => {
      const failures = [];
      for (
        const use of [
          () => Publisher.create({ key: "x", width: 2, height: 2 }),
          () => Subscriber.connect("x"),
        ]
      ) {
        try {
          await use();
        } catch (error) {
          if (error instanceof CuframesError) {
            failures.push([
              error.code,
              error.message,
              error.cause instanceof Error,
            ]);
          }
        }
      }
      return failures;
    },
    null,
    { CUFRAMES_LIBRARY: missing },
  );
  expect(found).toEqual(
    Array(2).fill(["UNSUPPORTED", expect.stringContaining(`${missing} could not be opened`), true]),
  );
});

test("another library in its place is refused, not called", async () => {
  const libc = readFileSync("/proc/self/maps", "utf8").match(/\/\S*\/libc[.\-]\S*/)![0];
  const found = await inProcess(
    ({ Publisher }) => {
      try {
        Publisher.create({ key: "x", width: 2, height: 2 });
      } catch (error) {
        return (error as { code?: string }).code;
      }
    },
    null,
    { CUFRAMES_LIBRARY: libc },
  );
  expect(found).toBe("UNSUPPORTED");
});
