// One publisher, three consumers and a recorder, each a process of its own, on one input.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Mode } from "../../mod.ts";
import { redact } from "../../src/core/mod.ts";
import { onJsonLine } from "../lib/json_lines.ts";
import { Child } from "../lib/process.ts";
import { tool } from "../toolchain.mjs";
import type { ConsumerTask } from "./consumer.ts";
import type { DemoEvent, EventOf, Task } from "./events.ts";
import { broken, type Outcome } from "./outcome.ts";
import type { PublisherTask } from "./publisher.ts";
import type { RecorderTask } from "./recorder.ts";

type Runtime = "deno" | "bun";

const help = `Decodes a video once and shares it with four other processes.

  npm run demo [-- options]

  --input FILE_OR_URL  what to decode; default: the project's own clip
  --memory KIND        where frames live: host (default), cuda, or auto
  --fast               as fast as it goes, instead of at the input's own pace
  --output FILE        where to record; default: a new file in the temporary directory
  --json               the result as one line of JSON, last
  --help`;

/** A process of the demo and what it tells. */
class Part {
  readonly name: string;
  readonly #child: Child;
  readonly #events = new Map<string, DemoEvent>();
  readonly #waiting = new Map<string, (event: DemoEvent) => void>();
  readonly #listener: (event: DemoEvent) => void;
  readonly #failed: Promise<never>;
  #fail: (error: Error) => void = () => {};

  constructor(
    name: string,
    runtime: Runtime,
    script: string,
    task: Task,
    listener: (event: DemoEvent) => void = () => {},
  ) {
    this.name = name;
    this.#listener = listener;
    this.#failed = new Promise((_, reject) => this.#fail = reject);
    this.#failed.catch(() => {});
    const path = fileURLToPath(new URL(script, import.meta.url).href);
    const prefix = runtime === "deno" ? ["run", "-A"] : [];
    this.#child = new Child([tool(runtime), ...prefix, path, JSON.stringify(task)], {
      stdin: "pipe",
      stdout: "read",
      stderr: "inherit",
    });
    this.#child.ended.then(
      ({ code, signal }) => this.#fail(new Error(`${name} ended with ${signal ?? code} before it was done`)),
      (error) => this.#fail(error),
    );
    onJsonLine<DemoEvent>(this.#child.stdout, (event) => this.#take(event));
  }

  #take(event: DemoEvent): void {
    if (event.event === "failed") return this.#fail(new Error(`${this.name}: ${event.message}`));
    this.#events.set(event.event, event);
    this.#listener(event);
    this.#waiting.get(event.event)?.(event);
  }

  async told<Name extends DemoEvent["event"]>(name: Name): Promise<EventOf<Name>> {
    const event = this.#events.get(name) ?? await Promise.race([
      new Promise<DemoEvent>((resolve) => this.#waiting.set(name, resolve)),
      this.#failed,
    ]);
    return event as EventOf<Name>;
  }

  go(): void {
    this.#child.stdin.end();
  }

  async kill(): Promise<void> {
    await this.#child[Symbol.asyncDispose]();
  }
}

function parse() {
  return parseArgs({
    options: {
      input: {
        type: "string",
        default: fileURLToPath(new URL("../../test/fixtures/clip.mp4", import.meta.url).href),
      },
      memory: { type: "string", default: "host" },
      fast: { type: "boolean", default: false },
      output: { type: "string" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  }).values;
}

/** The options as they were typed; what is wrong with them is said in a line. */
function options(): ReturnType<typeof parse> {
  try {
    return parse();
  } catch (error) {
    console.error(
      `${(error as Error).message.replace(/\. .*$/s, "")}: npm run demo -- --help lists the options`,
    );
    process.exit(2);
  }
}

const values = options();
if (values.help) {
  console.log(help);
  process.exit(0);
}

const { fast } = values;
const memory = values.memory as PublisherTask["memory"]; // Publisher.create refuses others
/** npm changes to the package's directory; a path is meant from where the command was typed. */
const fromHere = (path: string) => resolve(process.env.INIT_CWD ?? ".", path);
const isUrl = /^[a-z][a-z0-9+.-]*:/i.test(values.input);
const input = isUrl ? values.input : fromHere(values.input);
const runtimeDirectory = await mkdtemp(join(tmpdir(), "cuframes-demo-"));
const file = values.output === undefined
  ? join(await mkdtemp(join(tmpdir(), "cuframes-recording-")), "recording.mp4")
  : fromHere(values.output);
const place: Task = { key: "demo", runtimeDirectory };
const parts: Part[] = [];

function start<T extends Task>(
  name: string,
  runtime: Runtime,
  script: string,
  task: T,
  listener?: (event: DemoEvent) => void,
): Part {
  const part = new Part(name, runtime, script, task, listener);
  parts.push(part);
  return part;
}

function showProgress(event: DemoEvent): void {
  if (event.event !== "progress") return;
  const line = `${event.decoded} frames decoded, ${event.published} published`;
  process.stderr.write(process.stderr.isTTY ? `\r${line}` : `${line}\n`);
}

async function play(): Promise<Outcome> {
  const publisher = start<PublisherTask>(
    "publisher",
    "deno",
    "publisher.ts",
    { ...place, input, fast, memory },
    showProgress,
  );
  await publisher.told("ready");
  const consumers = ([
    ["newest", "bun", "newest", 0],
    ["ordered", "deno", "ordered", 0],
    ["slow", "bun", "newest", 150],
  ] as [string, Runtime, Mode, number][]).map(([name, runtime, mode, hold]) => ({
    name,
    runtime,
    mode,
    part: start<ConsumerTask>(name, runtime, "consumer.ts", { ...place, name, mode, hold }),
  }));
  const recorder = start<RecorderTask>("recorder", "deno", "recorder.ts", { ...place, file });
  await Promise.all([...consumers.map(({ part }) => part), recorder].map((part) => part.told("ready")));
  publisher.go();

  const { decoded, published, packets, memory: used, decodedOnGpu } = await publisher.told("published");
  const subscribers = await Promise.all(consumers.map(async ({ name, runtime, mode, part }) => {
    const { received, dropped, torn, last, p50, p99 } = await part.told("consumed");
    return { name, runtime, mode, received, dropped, torn, latencyUs: { p50, p99 }, last };
  }));
  const recorded = await recorder.told("recorded");
  if (process.stderr.isTTY) process.stderr.write("\n");
  return { decoded, published, packets, subscribers, recorded, used, decodedOnGpu };
}

try {
  const outcome = await play();
  const { decoded, published, packets, recorded, used, decodedOnGpu } = outcome;
  const subscribers = outcome.subscribers.map(({ last: _last, ...subscriber }) => subscriber);
  const decoder = decodedOnGpu > 0 ? `, ${decodedOnGpu} decoded on the GPU` : "";
  console.log(
    `${
      redact(values.input)
    }: ${decoded} frames decoded, ${published} published in ${used} memory${decoder}; ` +
      `${packets} packets, ${recorded.packets} recorded in ${file}`,
  );
  console.table(
    Object.fromEntries(
      subscribers.map((
        { name, latencyUs, ...rest },
      ) => [name, { ...rest, "p50 µs": latencyUs.p50, "p99 µs": latencyUs.p99 }]),
    ),
  );
  const problems = broken(outcome);
  for (const problem of problems) console.error(problem);
  process.exitCode = problems.length === 0 ? 0 : 1;
  if (values.json) {
    console.log(JSON.stringify({
      input: redact(values.input),
      decoded,
      published,
      subscribers,
      packets: { published: packets, recorded: recorded.packets, file },
    }));
  }
} catch (error) {
  console.error(`the demo failed: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  await Promise.all(parts.map((part) => part.kill()));
  await rm(runtimeDirectory, { recursive: true, force: true });
}
