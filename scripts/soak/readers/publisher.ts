// The publisher of the soak of readers: `publisher.ts TASK`, a PublisherTask as JSON. It publishes from its start on, at an
// absolute schedule, and measures from the order "measure" on its standard input for so many seconds. It ends with its input.

import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { onJsonLine } from "../../lib/json_lines.ts";
import {
  inspect,
  isCuframesError,
  Publisher,
  type PublisherEvent,
  type WritableFrame,
} from "../../../mod.ts";
import { type Area, paint } from "./content.ts";
import {
  type Durations,
  type Order,
  type PublisherResult,
  type PublisherTask,
  type Step,
  STEPS,
} from "./protocol.ts";

const LOOK_MS = 100;

const task: PublisherTask = JSON.parse(process.argv[2]!);
const period = 1000 / task.rate;
const count = (counts: Record<string, number>, what: string) => counts[what] = (counts[what] ?? 0) + 1;
const say = (message: object) => void process.stdout.write(`${JSON.stringify(message)}\n`);

/** What is counted in the measured time. */
class Measure {
  readonly start: number = performance.now();
  readonly expected: number = Math.round(task.seconds * task.rate);
  readonly #milliseconds: Record<Step, number[]> = { acquire: [], paint: [], publish: [], stats: [] };
  readonly failures: Record<string, number> = {};
  readonly events: PublisherResult["events"] = { grown: 0, shrunk: 0, evicted: 0, refused: 0 };
  readonly evicted: Record<string, number> = {};
  frames = 0;
  published = 0;
  late = 0;
  latest = 0;
  looks = 0;
  slots = 0;
  outside = 0;
  leased = 0;

  take(event: PublisherEvent): void {
    this.events[event.kind]++;
    if (event.kind === "evicted") count(this.evicted, event.name.split(" ")[0]!);
  }

  look(): void {
    const { slots, slotsOutside, slotsLeased } = timed("stats", () => publisher.stats());
    this.looks++;
    this.leased = Math.max(this.leased, slotsLeased);
    if (slots + slotsOutside <= this.slots + this.outside) return;
    this.slots = slots;
    this.outside = slotsOutside;
  }

  frame(lateness: number): void {
    this.frames++;
    if (lateness > period) this.late++;
    this.latest = Math.max(this.latest, lateness);
  }

  took(step: Step, milliseconds: number): void {
    this.#milliseconds[step].push(milliseconds);
  }

  #durations(step: Step): Durations {
    const sorted = this.#milliseconds[step].toSorted((one, other) => one - other);
    const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
    return { p50: at(0.5), p99: at(0.99), max: at(1) };
  }

  result(): PublisherResult {
    const { expected, published, failures, late, latest, looks, slots, outside, leased, events, evicted } =
      this;
    return {
      event: "measured",
      ...{ expected, published, failures, late, latest, looks, slots, outside, leased, events, evicted },
      overtime: performance.now() - this.start - task.seconds * 1000,
      steps: Object.fromEntries(
        STEPS.map((step) => [step, this.#durations(step)]),
      ) as PublisherResult["steps"],
      stats: publisher.stats(),
    };
  }
}

function timed<T>(step: Step, work: () => T): T {
  const before = performance.now();
  const result = work();
  measure?.took(step, performance.now() - before);
  return result;
}

let measure: Measure | undefined;
let wanted = false;
let ending = false;
onJsonLine<Order>(process.stdin, ({ order }) => wanted ||= order === "measure");
process.stdin.on("end", () => ending = true);

const { key, width, height, maxSlots, memory } = task;
const onEvent = (event: PublisherEvent) => measure?.take(event);
using publisher = Publisher.create({ key, width, height, format: "NV12", maxSlots, memory, onEvent });

/** For frames on a GPU: what is uploaded, without padding. */
const picture = new Uint8Array(width * height * 3 / 2);
const pictureAreas: Area[] = [
  { data: picture.subarray(0, width * height), stride: width, rows: height },
  { data: picture.subarray(width * height), stride: width, rows: height / 2 },
];

function fill(frame: WritableFrame, sequence: number): void {
  if (memory === "host") return paint(frame.planes, width, sequence);
  paint(pictureAreas, width, sequence);
  frame.write(picture);
}

function publish(sequence: number): boolean {
  try {
    using frame = timed("acquire", () => publisher.acquire());
    timed("paint", () => fill(frame, sequence));
    const given = timed("publish", () => frame.publish({ timestamp: sequence * period * 1000 }));
    if (given !== BigInt(sequence)) throw new Error(`frame ${sequence} was published as ${given}`);
    if (measure) measure.published++;
    return true;
  } catch (error) {
    if (!isCuframesError(error)) throw error;
    if (measure) count(measure.failures, error.code);
    return false;
  }
}

const { slotSize } = await inspect(key);
const { slots, memoryLimit } = publisher.stats();
const timer = setInterval(() => measure?.look(), LOOK_MS);
say({ event: "ready", slots, slotSize, memoryLimit });

let sequence = 1;
let start = performance.now();
for (let frames = 0; !ending; frames++) {
  if (wanted) {
    wanted = false;
    measure = new Measure();
    start = measure.start;
    frames = 0;
  }
  const due = start + frames * period;
  const ahead = due - performance.now();
  // Timers have their turn, also where it has to catch up.
  await sleep(Math.max(0, ahead));
  measure?.frame(performance.now() - due);
  if (publish(sequence)) sequence++;
  if (measure && measure.frames === measure.expected) {
    say(measure.result());
    measure = undefined;
  }
}
clearInterval(timer);
