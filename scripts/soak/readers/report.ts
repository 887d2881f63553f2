// What the soak of readers prints and writes, and what it must find.

import { markdownTable } from "../../measure/markdown.ts";
import { STEPS } from "./protocol.ts";
import { megabytes, whenAndWhere } from "../report.ts";
import { type Handles, moreDescriptors } from "./slot_memory.ts";
import { SHRINK_MS, type SoakResult } from "./soak.ts";

/** An honest reader has a frame in every window of so many milliseconds. */
const SERVED_MS = 10_000;
const HONEST = new Set(["quick", "holder"]);

interface Finding {
  what: string;
  figure: string;
  /** What it must be. */
  wanted: string;
  good: boolean;
}

const counts = (of: Readonly<Record<string, number>>) =>
  Object.entries(of).map(([what, times]) => `${what} ${times}`).join(", ") || "none";

function findings(result: SoakResult): Finding[] {
  const { publisher, options, kinds, physical, before, after, memoryLimit, slotSize } = result;
  const sum = (of: (kind: (typeof kinds)[number]) => number) =>
    kinds.reduce((total, kind) => total + of(kind), 0);
  const honest = kinds.filter(({ kind }) => HONEST.has(kind));
  const gap = Math.max(...honest.map(({ longestGap }) => longestGap));
  const torn = sum(({ tornCount }) => tornCount);
  const most = (publisher.slots + publisher.outside) * slotSize;
  const more = moreDescriptors(before, after);
  const total = ({ descriptors }: Handles) =>
    Object.values(descriptors).reduce((sum, count) => sum + count, 0);
  const limit = `≤ ${megabytes(memoryLimit)}`;
  const list: Finding[] = [
    {
      what: "published of expected",
      figure: `${publisher.published} of ${publisher.expected}, failed: ${counts(publisher.failures)}`,
      wanted: "100 %",
      good: publisher.published === publisher.expected,
    },
    {
      what: "behind the schedule at the end",
      figure: `${publisher.overtime.toFixed(0)} ms`,
      wanted: "≤ 1 s",
      good: publisher.overtime <= 1000,
    },
    {
      what: "torn, of frames looked at",
      figure: `${torn} of ${sum(({ checks, wholeChecks }) => checks + wholeChecks)}`,
      wanted: "0",
      good: torn === 0 && sum(({ checks }) => checks) > 0 && sum(({ wholeChecks }) => wholeChecks) > 0,
    },
    {
      what: "longest time of an honest reader without a frame",
      figure: `${(gap / 1000).toFixed(1)} s`,
      wanted: `≤ ${SERVED_MS / 1000} s`,
      good: gap <= SERVED_MS && honest.every(({ received }) => received > 0),
    },
    {
      what: "memory of slots, as the publisher says",
      figure: `${
        megabytes(most)
      }: ${publisher.slots} in the ring and ${publisher.outside} outside, ${publisher.looks} looks`,
      wanted: limit,
      good: most <= memoryLimit && publisher.looks > 0,
    },
  ];
  if (options.memory === "host") {
    list.push({
      what: "memory of slots, as the kernel says, in all processes",
      figure: `${megabytes(physical.bytes)}: ${physical.memories} memories, ${physical.looks} looks`,
      wanted: limit,
      good: physical.bytes <= memoryLimit && physical.memories > 0,
    }, {
      what: "shared memory of the publisher",
      figure: megabytes(physical.shared),
      wanted: limit,
      good: physical.shared <= memoryLimit,
    }, {
      what: "memories of slots that the publisher has at the end",
      figure: String(result.memoriesAtLast),
      wanted: String(result.slotsAtFirst),
      good: result.memoriesAtLast === result.slotsAtFirst,
    });
  }
  list.push({
    what: "slots at the end",
    figure: result.shrunkIn === undefined
      ? `${result.slotsAtLast}, and ${result.outsideAtLast} outside`
      : `${result.slotsAtLast} after ${(result.shrunkIn / 1000).toFixed(1)} s`,
    wanted: `${result.slotsAtFirst} within ${SHRINK_MS / 1000} s`,
    good: result.shrunkIn !== undefined,
  }, {
    what: "descriptors of the publisher",
    figure: [`${total(before)} → ${total(after)}`, ...more].join(", "),
    wanted: "no more",
    good: more.length === 0,
  }, {
    what: "mappings of the publisher",
    figure: `${before.mappings} → ${after.mappings}`,
    wanted: "no more",
    good: after.mappings <= before.mappings,
  }, {
    what: "readers stopped while they held frames",
    figure: `${result.stops.inLease} of ${result.stops.stopped}`,
    wanted: "all",
    good: result.stops.inLease === result.stops.stopped,
  });
  return list;
}

export function isGoodSoak(result: SoakResult): boolean {
  return result.problems.length === 0 && findings(result).every(({ good }) => good);
}

export function readersTables(result: SoakResult): string {
  const { publisher, stops, before, after } = result;
  const judged = markdownTable(
    ["what", "found", "wanted", ""],
    findings(result).map(({ what, figure, wanted, good }) => [what, figure, wanted, good ? "met" : "missed"]),
  );
  const readers = markdownTable(
    [
      "readers",
      "of them",
      "processes",
      "frames",
      "looks",
      "of every byte",
      "longest gap",
      "reconnects",
      "errors",
    ],
    result.kinds.map((kind) => [
      kind.kind,
      ...[kind.readers, kind.processes, kind.received, kind.checks, kind.wholeChecks].map(String),
      `${(kind.longestGap / 1000).toFixed(1)} s`,
      String(kind.reconnects),
      counts(kind.errors),
    ]),
  );
  const steps = STEPS.map((step) => {
    const { p50, p99, max } = publisher.steps[step];
    return `\`${step}\` ${p50.toFixed(3)}, ${p99.toFixed(1)}, ${max.toFixed(0)}`;
  });
  const told = [
    `Late by more than a period: ${publisher.late} frames, ${publisher.latest.toFixed(0)} ms at most.`,
    `Milliseconds of the publisher's steps (p50, p99, at most): ${steps.join("; ")}.`,
    `CPU time of the publisher: ${result.cpu.cpu.toFixed(0)} % of a core; it waited for one for ${
      result.cpu.waited.toFixed(0)
    } % of the time.`,
    `Events: ${counts(publisher.events)}. Evicted: ${counts(publisher.evicted)}.`,
    `Slots that somebody held at a time: ${publisher.leased} at most.`,
    `Stopped: ${stops.stopped} times, of which ${stops.readOn} had taken frames again before the end. Killed: ${stops.killed}.`,
    `Memory of the publisher's own: ${megabytes(before.own)} → ${megabytes(after.own)}.`,
    ...result.kinds.flatMap(({ kind, torn }) => torn.map((frame) => `Torn, ${kind}: ${frame}.`)),
    ...result.problems.map((problem) => `Problem: ${problem}.`),
  ];
  return [judged, readers, told.join("\n")].join("\n\n");
}

/** A page of docs/results. */
export function readersPage(tables: string, { options }: SoakResult, load: number): string {
  const { readers, seconds, width, height, rate, memory, maxSlots, seed } = options;
  return `# Readers that hold, leak, stop and die

${whenAndWhere(load)}

\`npm run soak -- readers\`: ${readers} readers in processes on ${
    options.runtimes.join(", ")
  }, on a publisher of ${width}×${height} NV12
at ${rate} frames a second in ${memory} memory, for ${seconds} s. Its ring may grow to ${maxSlots} slots; the seed was ${seed}. Quick
readers hold a frame for up to 50 ms. Holders are as quick for up to 5 s, then hold 1 to 8 frames for up to 5 s, and so on. Leakers
take frames and close none until they have been evicted for some seconds, then connect again. Mortal ones hold 1 to 4 frames for 1
to 3 s, and are stopped meanwhile for 1 to 10 s, or killed. Each look at a frame, when it is taken and before it is closed, reads
stamps in all its rows and pages, or every byte. What is stopped or leaks is not honest, and its gaps are not judged.

${tables}
`;
}
