// What nobody closed is closed when it has been collected, with one warning; and nothing that is still in use.

import { expect, test } from "vitest";
import { runFlags, stages, thisRuntime } from "../support/processes.ts";
import type { Subject } from "../support/programs/collected.ts";

const stage = stages();

const gcFlags = {
  bun: [],
  deno: ["--v8-flags=--expose-gc"],
  node: ["--expose-gc"],
} as const;

/** Each with the kinds of objects that are warned of. */
const subjects: [subject: Subject, kinds: string[]][] = [
  ["frames", ["frame"]],
  ["a view of a frame that is forgotten", []],
  ["a frame of a subscriber that is forgotten", ["Subscriber"]],
  ["subscribers", ["Subscriber"]],
  ["a pending next", []],
  ["a pending connect", []],
  ["publishers", ["Publisher"]],
  ["a frame and a packet ring of a publisher that is forgotten", []],
  ["writable frames", ["WritableFrame"]],
  ["packet readers", ["PacketRingReader"]],
  ["sockets", ["DescriptorSocket"]],
  ["what is closed in time", []],
];

test.each(subjects)("%s", async (subject, kinds) => {
  const flags = [...runFlags(thisRuntime), ...gcFlags[thisRuntime]];
  const program = stage().start("collected", { subject }, { flags });
  const { warnings } = await program.event<{ warnings: string[] }>("done");
  expect(warnings.map((warning) => /a (\w+) was collected/.exec(warning)?.[1])).toEqual(kinds);
  for (const warning of warnings) expect(warning).toMatch(/opened here:\n[^]*programs\/collected\.ts/);
  expect(await program.exited).toEqual({ code: 0, signal: null });
});
