// Readers of every kind on one publisher: those that hold many frames for long, that never close them, that are stopped in
// the middle of a lease or killed. The publisher must not miss a frame, no frame may change while it is held, everybody who
// is honest is served, and memory stays under its limit.

import { setTimeout as sleep } from "node:timers/promises";
import { inspect } from "../../../mod.ts";
import { type CpuShare, cpuShare, usageOf } from "../../measure/process_usage.ts";
import type { Runtime } from "../../measure/subject.ts";
import { Program } from "./program.ts";
import type {
  Kind,
  Order,
  PublisherResult,
  PublisherTask,
  ReaderResult,
  ReadersResult,
  ReadersTask,
} from "./protocol.ts";
import { randomFrom } from "./random.ts";
import { type Handles, handlesOf, moreDescriptors, slotMemory } from "./slot_memory.ts";

export interface SoakOptions extends Omit<PublisherTask, "key"> {
  /** How many. */
  readers: number;
  seed: number;
  /** What runs the programs, in turn. */
  runtimes: readonly Runtime[];
  /** For sockets. */
  directory: string;
  /** Told what happens now. */
  progress: (what: string) => void;
}

/** All readers of a kind. */
export interface KindResult extends ReaderResult {
  kind: Kind;
  readers: number;
  processes: number;
}

export interface SoakResult {
  options: Omit<SoakOptions, "directory" | "progress">;
  publisher: PublisherResult;
  /** The publisher's, in the measured time: where it waited for long, a late frame is the machine's. */
  cpu: CpuShare;
  slotSize: number;
  memoryLimit: number;
  slotsAtFirst: number;
  /** Looks at the memory of all processes, and the most that one found. */
  physical: { looks: number; memories: number; bytes: number; shared: number };
  /**
   * Readers that were stopped, those of them that held frames then, as the publisher says too, and that took frames when they
   * went on; and readers that were killed while they held frames.
   */
  stops: { stopped: number; inLease: number; killed: number; readOn: number };
  kinds: KindResult[];
  /** Milliseconds from the last reader's end until the ring was as large as at first; undefined: it was not in time. */
  shrunkIn: number | undefined;
  slotsAtLast: number;
  outsideAtLast: number;
  before: Handles;
  after: Handles;
  memoriesAtLast: number;
  problems: string[];
}

const KEY = "soak";
const SETTLE_MS = 2000;
const LOOK_MS = 1000;
/** The library takes away what was not needed for 10 s. */
export const SHRINK_MS = 12_000;
/** What is expected of each kind, and how many share a process: eviction is a process's fault. */
const KINDS: readonly { kind: Kind; part: number; together: number }[] = [
  { kind: "mortal", part: 6 / 64, together: 1 },
  { kind: "leaker", part: 6 / 64, together: 3 },
  { kind: "holder", part: 12 / 64, together: 4 },
  { kind: "quick", part: 1, together: 10 },
];

export async function soakReaders({ directory, progress, ...options }: SoakOptions): Promise<SoakResult> {
  const { readers: _, seed: __, runtimes, ...task } = options;
  await using publisher = new Program("publisher.ts", { ...task, key: KEY } satisfies PublisherTask, {
    name: "the publisher",
    runtime: runtimes[0]!,
    sockets: directory,
  });
  const ready = await publisher.heard<Ready>("ready");
  await sleep(SETTLE_MS);
  const before = handlesOf(publisher.pid);
  progress(`${options.readers} readers start`);
  await using crowd = new Crowd(options, directory);
  await crowd.connected();

  progress(`${options.seconds} s are measured`);
  publisher.say({ order: "measure" } satisfies Order);
  const usage = usageOf(publisher.pid);
  crowd.torment();
  const physical = { looks: 0, memories: 0, bytes: 0, shared: 0 };
  const looks = setInterval(() => {
    const { memories, bytes } = slotMemory([publisher.pid, ...crowd.pids]);
    physical.looks++;
    physical.memories = Math.max(physical.memories, memories);
    physical.bytes = Math.max(physical.bytes, bytes);
    physical.shared = Math.max(physical.shared, handlesOf(publisher.pid).shared);
  }, LOOK_MS);
  const patience = options.seconds * 2000 + 60_000;
  const measured = await publisher.heard<PublisherResult>("measured", { patience }).finally(() =>
    clearInterval(looks)
  );
  const cpu = cpuShare(usage, usageOf(publisher.pid));

  progress("the readers end");
  const kinds = await crowd.end();
  const ended = performance.now();
  const last = await shrunk(directory, ready.slots, ended + SHRINK_MS);
  const after = await letGo(publisher.pid, before, ended + SHRINK_MS);
  const memoriesAtLast = slotMemory([publisher.pid]).memories;
  publisher.end();
  await publisher.ended();
  return {
    options,
    publisher: measured,
    cpu,
    slotSize: ready.slotSize,
    memoryLimit: ready.memoryLimit,
    slotsAtFirst: ready.slots,
    physical,
    stops: crowd.stops,
    kinds,
    shrunkIn: last.at === undefined ? undefined : last.at - ended,
    slotsAtLast: last.slots,
    outsideAtLast: last.outside,
    before,
    after,
    memoriesAtLast,
    problems: crowd.problems,
  };
}

interface Ready {
  event: "ready";
  slots: number;
  slotSize: number;
  memoryLimit: number;
}

/** Waits until the ring is as at first, at most until then. */
async function shrunk(runtimeDirectory: string, first: number, deadline: number) {
  while (true) {
    const { slots, slotsOutside: outside } = await inspect(KEY, { runtimeDirectory });
    const now = performance.now();
    if (slots === first && outside === 0) return { at: now, slots, outside };
    if (now > deadline) return { at: undefined, slots, outside };
    await sleep(100);
  }
}

/** What it has when it has no more than before, at most until then: the last question for its slots is a connection, too. */
async function letGo(pid: number, before: Handles, deadline: number): Promise<Handles> {
  while (true) {
    const handles = handlesOf(pid);
    if (moreDescriptors(before, handles).length === 0 || performance.now() > deadline) return handles;
    await sleep(100);
  }
}

/** All readers. */
class Crowd implements AsyncDisposable {
  readonly problems: string[] = [];
  readonly stops: SoakResult["stops"] = { stopped: 0, inLease: 0, killed: 0, readOn: 0 };
  readonly #groups: Group[] = [];
  readonly #random: () => number;
  readonly #sockets: string;
  #ending = false;
  #timers = new Set<ReturnType<typeof setTimeout>>();

  constructor({ readers, seed, runtimes }: Omit<SoakOptions, "directory" | "progress">, sockets: string) {
    this.#random = randomFrom(seed);
    this.#sockets = sockets;
    let left = readers;
    for (const { kind, part, together } of KINDS) {
      let ofKind = Math.min(left, Math.round(readers * part));
      left -= ofKind;
      for (let index = 0; ofKind > 0; index++) {
        const count = Math.min(together, ofKind);
        ofKind -= count;
        const runtime = runtimes[this.#groups.length % runtimes.length]!;
        this.#groups.push(
          new Group({ kind, count, runtime, sockets, seed: seed + this.#groups.length * 1000 }),
        );
      }
    }
  }

  get pids(): number[] {
    return this.#groups.map(({ program }) => program).filter((program) => !program.hasEnded).map(({ pid }) =>
      pid
    );
  }

  async connected(): Promise<void> {
    await Promise.all(this.#groups.map((group) => group.connected()));
  }

  /** From now on mortal readers are stopped while they hold frames, and killed. */
  torment(): void {
    for (const group of this.#groups.filter(({ kind }) => kind === "mortal")) this.#tormentOne(group);
  }

  #tormentOne(group: Group): void {
    const calmUntil = performance.now() + 1000 + this.#random() * 5000;
    let done = false;
    group.program.onMessage(({ event }) => {
      if (event !== "holding" || this.#ending || done || performance.now() < calmUntil) return;
      done = true;
      if (this.#random() < 0.25) this.#kill(group);
      else this.#stop(group);
    });
  }

  #kill(group: Group): void {
    group.program.signal("SIGKILL");
    this.stops.killed++;
    const again = async () => {
      await group.program.ended();
      if (this.#ending) return;
      group.restart();
      await group.connected();
      this.#tormentOne(group);
    };
    again().catch((error: Error) => this.problems.push(error.message));
  }

  #stop(group: Group): void {
    const { program } = group;
    program.signal("SIGSTOP");
    this.stops.stopped++;
    this.#lookAt(program.pid).catch((error: Error) => this.problems.push(error.message));
    const goOn = () => {
      this.#timers.delete(timer);
      program.signal("SIGCONT");
      let heard = false;
      program.onMessage(({ event }) => {
        if (heard || event !== "holding") return;
        heard = true;
        this.stops.readOn++;
      });
      this.#tormentOne(group);
    };
    const timer = setTimeout(goOn, 1000 + this.#random() * 9000);
    this.#timers.add(timer);
  }

  /** Whether the publisher, too, says that a stopped reader holds frames, or that it did and was evicted. */
  async #lookAt(pid: number): Promise<void> {
    const { subscribers, lastEviction } = await inspect(KEY, { runtimeDirectory: this.#sockets });
    const reader = subscribers.find((subscriber) => subscriber.pid === pid);
    if (reader === undefined ? lastEviction?.pid === pid : reader.held > 0) this.stops.inLease++;
  }

  /** Lets all come to their ends. */
  async end(): Promise<KindResult[]> {
    this.#ending = true;
    for (const timer of this.#timers) clearTimeout(timer);
    const ofKinds = new Map<Kind, KindResult>();
    for (const { program } of this.#groups) program.signal("SIGCONT");
    for (const { program } of this.#groups) program.end();
    for (const group of this.#groups) {
      try {
        add(ofKinds, group, await group.result());
      } catch (error) {
        this.problems.push((error as Error).message);
      }
    }
    return [...ofKinds.values()];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    await Promise.all(this.#groups.map(({ program }) => program[Symbol.asyncDispose]()));
  }
}

interface GroupOptions {
  kind: Kind;
  count: number;
  runtime: Runtime;
  sockets: string;
  seed: number;
}

/** Readers in one process. */
class Group {
  readonly kind: Kind;
  readonly count: number;
  program: Program;
  readonly #options: GroupOptions;
  #starts = 0;

  constructor(options: GroupOptions) {
    this.kind = options.kind;
    this.count = options.count;
    this.#options = options;
    this.program = this.#start();
  }

  #start(): Program {
    const { kind, count, runtime, sockets, seed } = this.#options;
    const task: ReadersTask = {
      key: KEY,
      kind,
      count,
      name: `${kind} ${seed % 100_000}`,
      seed: seed + this.#starts++,
    };
    return new Program("subscribers.ts", task, { name: `${count} × ${kind}`, runtime, sockets });
  }

  restart(): void {
    this.program = this.#start();
  }

  async connected(): Promise<void> {
    await this.program.heard("connected", { count: this.count });
  }

  async result(): Promise<ReadersResult> {
    const result = await this.program.heard<ReadersResult>("read");
    await this.program.ended();
    return result;
  }
}

function add(kinds: Map<Kind, KindResult>, { kind, count }: Group, { readers }: ReadersResult): void {
  const of = kinds.get(kind) ??
    {
      ...{ kind, readers: 0, processes: 0, received: 0, checks: 0, wholeChecks: 0 },
      ...{ torn: [], tornCount: 0, errors: {}, reconnects: 0, longestGap: 0 },
    };
  kinds.set(kind, of);
  of.readers += count;
  of.processes++;
  for (const reader of readers) {
    of.received += reader.received;
    of.checks += reader.checks;
    of.wholeChecks += reader.wholeChecks;
    of.torn.push(...reader.torn);
    of.tornCount += reader.tornCount;
    of.reconnects += reader.reconnects;
    of.longestGap = Math.max(of.longestGap, reader.longestGap);
    for (const [code, times] of Object.entries(reader.errors)) {
      of.errors[code] = (of.errors[code] ?? 0) + times;
    }
  }
}
