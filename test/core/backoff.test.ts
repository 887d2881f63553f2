// How long to wait between two attempts.

import { expect, test } from "vitest";
import { Backoff } from "../../src/core/backoff.ts";

test("delays between attempts double up to the longest one, with jitter", () => {
  const delays = new Backoff(3000);
  const bounds = [500, 1000, 2000, 3000, 3000];
  for (const bound of bounds) {
    const delay = delays.next();
    expect(delay).toBeGreaterThanOrEqual(bound / 2);
    expect(delay).toBeLessThanOrEqual(bound);
  }
  delays.reset();
  expect(delays.next()).toBeLessThanOrEqual(500);
  delays.slow();
  expect(delays.next()).toBeGreaterThanOrEqual(1500);
  expect(new Backoff(3000, 10).next()).toBeLessThanOrEqual(10);
  const drawn = Array.from({ length: 20 }, () => new Backoff(1000).next());
  expect(new Set(drawn).size).toBeGreaterThan(1);
});
