/** What the tests of the classes share. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll } from "vitest";
import {
  CuframesError,
  type CuframesErrorCode,
  type Frame,
  type FrameInit,
  Publisher,
  type PublisherOptions,
  Subscriber,
  type SubscriberOptions,
  type WritableFrame,
} from "../../mod.ts";
import { Child } from "../../scripts/lib/process.ts";
import { pixelsOf, testMemory } from "./memory.ts";
import { thisRuntime } from "./processes.ts";

/** Where this test file's sockets are; of its own, since files run side by side. */
export const runtimeDirectory: string = mkdtempSync(join(tmpdir(), "cuframes-"));
afterAll(() => rmSync(runtimeDirectory, { recursive: true, force: true }));

// A driver takes a moment to make a context: one that stays spares every test that.
const keeper = testMemory === "cuda"
  ? Publisher.create({ key: "keeper", width: 2, height: 2, slots: 2, memory: "cuda", runtimeDirectory })
  : undefined;
afterAll(() => keeper?.close());

let keys = 0;

/** A key that no other test uses, on the whole machine: `named` packet rings share one directory. */
export function uniqueKey(): string {
  return `test-${runtimeDirectory.slice(-6)}-${++keys}`;
}

/** A publisher of small NV12 frames under a key of its own, unless the options say otherwise. */
export function createPublisher(options: Partial<PublisherOptions> = {}): Publisher {
  return Publisher.create({
    key: uniqueKey(),
    width: 32,
    height: 16,
    memory: testMemory,
    runtimeDirectory,
    ...options,
  });
}

/** A subscriber to a publisher of this test file. */
export function subscribe(to: Publisher | string, options: SubscriberOptions = {}): Promise<Subscriber> {
  return Subscriber.connect(typeof to === "string" ? to : to.key, { runtimeDirectory, ...options });
}

/** Publishes a frame whose every byte is `value` modulo 256, and which is visible then; returns its sequence. */
export function publish(publisher: Publisher, value: number, init: FrameInit = {}): bigint {
  using frame = publisher.acquire();
  fill(frame, value);
  const sequence = frame.publish(init);
  untilVisible(publisher, sequence);
  return sequence;
}

/** Until that frame is visible: on host memory it is when it is published, on a GPU some microseconds later. */
export function untilVisible(publisher: Publisher, sequence: bigint | number): void {
  const deadline = performance.now() + 30_000;
  while (publisher.stats().published < sequence) {
    if (performance.now() > deadline) throw new Error(`frame ${sequence} is not visible after 30 s`);
  }
}

/** Makes every byte of a frame `value` modulo 256; on host memory the padding too. */
export function fill(frame: WritableFrame, value: number): void {
  if (frame.memory === "cuda") frame.write(new Uint8Array(frame.read().length).fill(value));
  else for (const { data } of frame.planes) data.fill(value);
}

/** Whether every byte of a frame is `value` modulo 256; on host memory the padding too. */
export async function isFilledWith(frame: Frame, value: number): Promise<boolean> {
  const planes = frame.memory === "cuda" ? [await pixelsOf(frame)] : frame.planes.map(({ data }) => data);
  return planes.every((bytes) => bytes.every((byte) => byte === (value & 0xff)));
}

/** That a call throws, or a promise rejects with, a `CuframesError` of this code and, if given, this text. */
export function expectCode(
  attempt: () => unknown,
  code: CuframesErrorCode,
  text?: string | RegExp,
): CuframesError;
export function expectCode(
  attempt: Promise<unknown>,
  code: CuframesErrorCode,
  text?: string | RegExp,
): Promise<CuframesError>;
export function expectCode(
  attempt: Promise<unknown> | (() => unknown),
  code: CuframesErrorCode,
  text: string | RegExp = "",
): CuframesError | Promise<CuframesError> {
  if (typeof attempt !== "function") {
    return attempt.then(() => missing(code), (error) => matching(error, code, text));
  }
  let result: unknown;
  try {
    result = attempt();
  } catch (error) {
    return matching(error, code, text);
  }
  if (result instanceof Promise) {
    throw new TypeError("expectCode: pass the promise, not a function that makes it");
  }
  return missing(code);
}

function missing(code: CuframesErrorCode): never {
  throw new Error(`expected a CuframesError ${code}, but nothing failed`);
}

function matching(error: unknown, code: CuframesErrorCode, text: string | RegExp): CuframesError {
  const fits = error instanceof CuframesError && error.code === code &&
    (typeof text === "string" ? error.message.includes(text) : text.test(error.message));
  if (fits) return error;
  throw new Error(`expected a CuframesError ${code} with ${JSON.stringify(String(text))}, got: ${error}`, {
    cause: error,
  });
}

/**
 * Waits for what another thread or process does without telling us, such as unmapping memory.
 * Fails after `timeout` milliseconds.
 */
export async function eventually(condition: () => boolean, timeout = 30_000): Promise<void> {
  const deadline = performance.now() + timeout;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`still not so after ${timeout} ms: ${condition}`);
    await delay(1);
  }
}

/** Whole numbers from 0 up to a limit, the same ones for the same seed in every run (mulberry32). */
export function randomNumbers(seed: number): (limit: number) => number {
  return (limit) => {
    seed = seed + 0x6d2b79f5 | 0;
    let word = Math.imul(seed ^ seed >>> 15, 1 | seed);
    word = word + Math.imul(word ^ word >>> 7, 61 | word) ^ word;
    return Math.floor(((word ^ word >>> 14) >>> 0) / 2 ** 32 * limit);
  };
}

/** What a process has taken from the kernel. */
interface Resources {
  /**
   * Open, but for stream sockets: Deno opens a pair of them, for a thread of its own, at a moment of its choice.
   * The library's are SOCK_SEQPACKET.
   */
  readonly descriptors: number;
  readonly mappings: number;
  /** Of the library's shared memory. */
  readonly ringMappings: number;
}

/** What a function has in a process of its own, besides the library. */
interface Surroundings {
  readonly fs: typeof import("node:fs");
  readonly process: typeof import("node:process");
  resources(): Resources;
}

function countResources({ readdirSync, readFileSync, readlinkSync }: typeof import("node:fs")): Resources {
  const lines = (path: string) => readFileSync(path, "utf8").split("\n");
  const sockets = lines("/proc/net/unix").map((line) => line.split(/\s+/));
  const streams = sockets.filter((fields) => fields[4] === "0001").map((fields) => `socket:[${fields[6]}]`);
  const isStream = (descriptor: string) => {
    try {
      return streams.includes(readlinkSync(`/proc/self/fd/${descriptor}`));
    } catch {
      return false; // the one that read the directory
    }
  };
  const maps = lines("/proc/self/maps");
  return {
    descriptors: readdirSync("/proc/self/fd").filter((descriptor) => !isStream(descriptor)).length,
    mappings: maps.length,
    ringMappings: maps.filter((line) => line.includes("/memfd:cuframes-")).length,
  };
}

const evalFlags = {
  bun: ["-e"],
  deno: ["eval"],
  node: ["--disable-warning=ExperimentalWarning", "--input-type=module", "--eval"],
} as const;

/**
 * Runs a function in a fresh process of this runtime, alone with its descriptors, mappings and environment, and
 * returns its result. The function is sent as text: it may use nothing but its parameters, and neither `using` nor
 * `import()`, which are compiled to helpers outside of it.
 */
export async function inProcess<Input, Result>(
  body: (
    library: typeof import("../../mod.ts"),
    input: Input,
    surroundings: Surroundings,
  ) => Promise<Result> | Result,
  input: Input,
  environment: Record<string, string> = {},
): Promise<Result> {
  const library = JSON.stringify(new URL("../../mod.ts", import.meta.url).href);
  const script = `import process from "node:process";
    import * as fs from "node:fs";
    const surroundings = { fs, process, resources: () => (${countResources})(fs) };
    const result = await (${body})(await import(${library}), ${JSON.stringify(input)}, surroundings);
    process.stdout.write("\\nresult:" + JSON.stringify(result ?? null));`;
  const command = [process.execPath, ...evalFlags[thisRuntime], script];
  const child = new Child(command, { name: "the process", env: environment });
  await child.succeeded();
  const result = child.text.split("\nresult:")[1];
  if (result === undefined) throw new Error(`the process has no result: ${child.errors}${child.text}`);
  return JSON.parse(result) as Result;
}
