// When a wait goes round the event loop: by the clock of the day, which may be set.

import { afterEach, expect, test, vi } from "vitest";
import { eventLoopTurned, eventLoopTurnIfDue } from "../../src/connect/event_loop_turn.ts";

afterEach(() => vi.restoreAllMocks());

test.each([
  ["a moment later", 4, false],
  ["5 ms later", 5, true],
  ["when the clock was set forward", 3_600_000, true],
  ["when the clock was set back", -3_600_000, true],
])("a turn is due or not: %s", async (_, elapsed, due) => {
  const turnedAt = 1_800_000_000_000;
  const now = vi.spyOn(Date, "now").mockReturnValue(turnedAt);
  eventLoopTurned();
  now.mockReturnValue(turnedAt + elapsed);
  const turn = eventLoopTurnIfDue();
  expect(turn !== undefined).toBe(due);
  await turn;
  // The turn that was made counts from here.
  expect(eventLoopTurnIfDue()).toBeUndefined();
});

test("whoever asks while a turn is under way shares it", async () => {
  const now = vi.spyOn(Date, "now").mockReturnValue(1_800_000_000_000);
  eventLoopTurned();
  now.mockReturnValue(1_800_000_000_010);
  const turn = eventLoopTurnIfDue();
  expect(turn).toBeInstanceOf(Promise);
  expect(eventLoopTurnIfDue()).toBe(turn);
  await turn;
});
