// Readers of the soak: `subscribers.ts TASK`, a ReadersTask as JSON. They read until their standard input ends.

import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { type Frame, isCuframesError, Subscriber } from "../../../mod.ts";
import { type Area, wrongByte, wrongStamp } from "./content.ts";
import type { ReaderResult, ReadersTask } from "./protocol.ts";
import { randomFrom } from "./random.ts";

const task: ReadersTask = JSON.parse(process.argv[2]!);
const say = (message: object) => void process.stdout.write(`${JSON.stringify(message)}\n`);

/** Where there is nothing to be had for now, before it is looked for again. */
const PAUSE_MS = 200;
const PATIENCE_MS = 2000;
/** A frame whose every byte is looked at, at the beginning and at the end. */
const WHOLE_EVERY = 61;
const TORN_SHOWN = 5;
/** Frames that a subscriber may hold. */
const LEASES_MAX = 8;

const end = new AbortController();
const { signal } = end;
process.stdin.on("end", () => end.abort()).on("error", () => end.abort()).resume();

/** Ends early when all ends. */
const pause = (milliseconds: number) => sleep(milliseconds, undefined, { signal }).catch(() => {});

/** A frame that is held, and what it must show. */
class Held {
  readonly frame: Frame;
  readonly #reader: Reader;
  readonly #whole: boolean;

  constructor(frame: Frame, reader: Reader) {
    this.frame = frame;
    this.#reader = reader;
    this.#whole = Number(frame.sequence) % WHOLE_EVERY === 0;
  }

  async check(): Promise<void> {
    const { frame } = this;
    const sequence = Number(frame.sequence);
    const look = this.#whole ? wrongByte : wrongStamp;
    this.#reader.checked(this.#whole, look(await areasOf(frame), frame.codedWidth, sequence));
  }
}

async function areasOf(frame: Frame): Promise<readonly Area[]> {
  if (frame.memory === "host") return frame.planes;
  const bytes = await frame.toHost({ refresh: true });
  return frame.planes.map(({ offset, stride, rows }) => ({
    data: bytes.subarray(offset, offset + stride * rows),
    stride,
    rows,
  }));
}

class Reader {
  readonly name: string;
  readonly random: () => number;
  readonly result: ReaderResult = {
    ...{
      received: 0,
      checks: 0,
      wholeChecks: 0,
      torn: [],
      tornCount: 0,
      errors: {},
      reconnects: 0,
      longestGap: 0,
    },
  };
  #subscriber: Subscriber | undefined;
  #last = performance.now();

  constructor(index: number) {
    this.name = `${task.name} ${index}`;
    this.random = randomFrom(task.seed + index);
  }

  /** @param least the smallest, and @param most the largest of whole numbers */
  integer(least: number, most: number): number {
    return least + Math.floor(this.random() * (most - least + 1));
  }

  checked(whole: boolean, wrong: string | undefined): void {
    const { result } = this;
    if (whole) result.wholeChecks++;
    else result.checks++;
    if (wrong === undefined) return;
    result.tornCount++;
    if (result.torn.length < TORN_SHOWN) result.torn.push(wrong);
  }

  async connect(): Promise<void> {
    const mode = this.random() < 0.5 ? "newest" : "ordered";
    while (!signal.aborted && this.#subscriber === undefined) {
      await this.#counted(async () => {
        const options = { name: this.name, mode, reconnect: true, timeout: 10_000, signal } as const;
        this.#subscriber = await Subscriber.connect(task.key, options);
      });
    }
    this.#last = performance.now();
  }

  /** The next frame, looked at; undefined: there is none for now. */
  async take(): Promise<Held | undefined> {
    const frame = await this.#counted(() => this.#subscriber!.next({ timeout: PATIENCE_MS, signal }));
    if (frame === undefined) return undefined;
    this.result.received++;
    this.#gap();
    const held = new Held(frame, this);
    await held.check();
    return held;
  }

  #gap(): void {
    const now = performance.now();
    this.result.longestGap = Math.max(this.result.longestGap, now - this.#last);
    this.#last = now;
  }

  /** What is thrown is counted, and followed by a pause. */
  async #counted<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (signal.aborted) return undefined;
      if (!isCuframesError(error)) throw error;
      const { errors } = this.result;
      errors[error.code] = (errors[error.code] ?? 0) + 1;
      await pause(PAUSE_MS);
      return undefined;
    }
  }

  /** Takes up to so many frames, and holds them all together for so long. */
  async hold(frames: number, milliseconds: number): Promise<void> {
    const held: Held[] = [];
    while (held.length < frames && !signal.aborted) {
      const taken = await this.take();
      if (taken === undefined) break;
      held.push(taken);
    }
    if (held.length > 0 && task.kind === "mortal") say({ event: "holding", frames: held.length });
    if (milliseconds > 0 && held.length > 0) await pause(milliseconds);
    for (const each of held) {
      await each.check();
      each.frame.close();
    }
  }

  async quick(milliseconds: number): Promise<void> {
    const until = performance.now() + milliseconds;
    while (performance.now() < until && !signal.aborted) await this.hold(1, this.random() * 50);
  }

  /** Takes frames and closes none, until it has been evicted for some seconds. */
  async leak(): Promise<void> {
    const held: Held[] = [];
    let gives = Infinity;
    while (performance.now() < gives && !signal.aborted) {
      const taken = await this.take();
      if (taken !== undefined) held.push(taken);
      for (const each of held) await each.check();
      if (gives === Infinity && this.#wasEvicted()) gives = performance.now() + this.integer(2000, 8000);
      if (held.length >= LEASES_MAX) await pause(1000);
    }
    for (const each of held) await each.check();
    this.close();
  }

  /** Its publisher lives for as long as the soak. */
  #wasEvicted(): boolean {
    const { connected, reconnects } = this.#subscriber!.stats();
    return !connected || reconnects > 0;
  }

  close(): void {
    if (this.#subscriber === undefined) return;
    this.result.reconnects += this.#subscriber.stats().reconnects;
    this.#subscriber.close();
    this.#subscriber = undefined;
  }

  async run(): Promise<void> {
    await this.connect();
    say({ event: "connected" });
    while (!signal.aborted) await this.#once();
    this.#gap();
    this.close();
  }

  async #once(): Promise<void> {
    switch (task.kind) {
      case "quick":
        return await this.quick(1000);
      case "holder":
        await this.hold(this.integer(1, LEASES_MAX), this.random() * 5000);
        return await this.quick(this.random() * 5000);
      case "mortal":
        return await this.hold(this.integer(1, 4), this.integer(1000, 3000));
      case "leaker":
        await this.leak();
        return await this.connect();
    }
  }
}

const readers = Array.from({ length: task.count }, (_, index) => new Reader(index));
await Promise.all(readers.map((reader) => reader.run()));
const line = `${JSON.stringify({ event: "read", readers: readers.map(({ result }) => result) })}\n`;
process.stdout.write(line, () => process.exit(0));
