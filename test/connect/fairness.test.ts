// A loop that never has to wait leaves room for timers, for sockets, for its own signal and for the process's.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Process, Stage, stages } from "../support/processes.ts";
import type { Loop } from "../support/programs/keeping_up.ts";

const stage = stages();
const key = "busy";
const publishing = new Stage();
let publisher: Process;

beforeAll(async () => {
  publisher = publishing.start("publisher", { key, width: 64, height: 48, packets: true });
  await publisher.event("ready");
  await publisher.ask({ do: "run", packets: true }, "running");
});
afterAll(() => publishing.clear());

const loops: Loop[] = ["values", "next", "next that does not wait", "packets", "acquireAsync", "three loops"];

describe.each(loops)("%s in a loop that keeps up", (loop) => {
  test("runs timers, serves a socket, runs a signal's handler, and ends when its own signal is aborted", async () => {
    const runtimeDirectory = publishing.directory;
    const looping = stage().start("keeping_up", { key, runtimeDirectory, loop, abortAfter: 1500 });
    await looping.event("begun");
    looping.kill("SIGTERM");
    await looping.event("terminated");
    const { name, after, turns, ticks, echoes } = await looping.event<Record<string, number | string>>(
      "aborted",
    );
    expect(name).toBe("TimeoutError");
    // Not with the publisher's end, which does not come.
    expect(after).toBeLessThan(15_000);
    expect(turns).toBeGreaterThan(3);
    expect(ticks).toBeGreaterThan(3);
    expect(echoes).toBeGreaterThan(10);
    expect(await looping.exited).toEqual({ code: 0, signal: null });
  });
});
