// Timers that are longer than those of a runtime.

import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { LONGEST_TIMER_MS, pause, Ticker } from "../../src/core/mod.ts";

test("a month is not a millisecond", async () => {
  let ticks = 0;
  using _ticker = new Ticker(30 * 86_400_000, () => ticks++);
  const controller = new AbortController();
  const paused = pause(LONGEST_TIMER_MS + 1, controller.signal).then(() => "over", (error) => error.name);
  expect(await Promise.race([paused, delay(100, "waiting")])).toBe("waiting");
  expect(ticks).toBe(0);
  controller.abort();
  expect(await paused).toBe("AbortError");
});

test("a ticker ticks until it is disposed of", async () => {
  const third = Promise.withResolvers<void>();
  let ticks = 0;
  {
    using _ticker = new Ticker(2, () => {
      if (++ticks === 3) third.resolve();
    });
    await third.promise;
  }
  const before = ticks;
  await delay(20);
  expect(ticks).toBe(before);
});
