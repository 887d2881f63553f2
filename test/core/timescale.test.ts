// The ticks that a recording is written in.

import { describe, expect, it } from "vitest";
import { timescaleOf } from "../../src/core/timescale.ts";

describe("a file's ticks", () => {
  const at = (count: number, ticks: (index: number) => number, scale: number) =>
    Array.from({ length: count }, (_, index) => BigInt(Math.round(ticks(index) * 1e9 / scale)));

  it("are found from timestamps that were rounded to nanoseconds", () => {
    expect(timescaleOf(at(64, (index) => index, 25))).toBe(90_000);
    expect(timescaleOf(at(64, (index) => index * 1001, 30_000))).toBe(90_000);
    expect(timescaleOf(at(64, (index) => index * 1001, 24_000))).toBe(24_000);
    expect(timescaleOf(at(64, (index) => index * 1001, 60_000))).toBe(60_000);
    expect(timescaleOf(at(64, (index) => index * 6, 179))).toBe(179);
    expect(timescaleOf(at(64, (index) => index * 384 + index % 7, 11_456))).toBe(11_456);
    expect(timescaleOf(at(64, (index) => index * 3003 + (index * 31) % 11, 90_000))).toBe(90_000);
    expect(timescaleOf(at(64, (index) => index * 33 + index % 2, 1000))).toBe(90_000);
  });

  it("are microseconds where the source shows none", () => {
    expect(timescaleOf(at(64, (index) => index * 33_333_333 + (index * 7919) % 10_007, 1e9))).toBe(1_000_000);
    expect(timescaleOf([])).toBe(90_000);
  });
});
