// What runs in a JavaScript worker: it makes something of the library, says so, and is ended by its parent or by itself.

import process from "node:process";
import { setImmediate } from "node:timers";
import { parentPort, workerData } from "node:worker_threads";
import { CuframesError, Publisher, type PublisherOptions, Subscriber } from "../../../mod.ts";
import { testMemory } from "../memory.ts";

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** What a thread does. */
export interface Task {
  key: string;
  runtimeDirectory: string;
  does:
    | "subscribe and wait"
    | "subscribe and hold"
    | "subscribe and block"
    | "subscribe and stop"
    | "read packets"
    | "publish"
    | "wait for a publisher";
}

/** What it says to its parent. */
export interface Said {
  /** What it has come to. */
  said: "ready" | "took" | "failed";
  detail?: string;
}

type Port = { postMessage(message: Said): void };
const self = globalThis as unknown as Port & { onmessage: ((event: { data: Task }) => void) | null };

function say(said: Said["said"], detail = ""): void {
  const port = parentPort as unknown as Port | null;
  (port ?? self).postMessage({ said, detail });
}

const tasks: Record<Task["does"], (task: Task) => Promise<void>> = {
  async "subscribe and wait"(task) {
    const camera = await connect(task);
    say("ready");
    for await (using frame of camera) say("took", String(frame.sequence));
  },
  async "subscribe and hold"(task) {
    const camera = await connect(task);
    const frames = [await camera.next(), await camera.next()];
    say("ready", String((await frames[0]!.toHost())[0]));
    setInterval(() => {}, 1000);
    await new Promise(() => {});
  },
  async "subscribe and block"(task) {
    const camera = await connect(task);
    camera.nextSync().close();
    say("ready");
    while (true) camera.nextSync().close();
  },
  async "subscribe and stop"(task) {
    await connect(task);
    say("ready");
    process.exit(0);
  },
  async "read packets"(task) {
    const packets = (await connect(task)).packets();
    say("ready");
    for await (const packet of packets) say("took", String(packet.sequence));
  },
  async publish({ key, runtimeDirectory }) {
    const publisher = await createOnceFree({
      ...{ key: `${key}-worker`, runtimeDirectory, memory: testMemory },
      ...{ width: 64, height: 48, slots: 3, policy: "wait" },
    });
    publisher.enablePackets({ codec: "h264" });
    publisher.acquire().publish({});
    const held = [publisher.acquire(), publisher.acquire()];
    say("ready", String(held.length));
    await publisher.acquireAsync({ timeout: Infinity });
  },
  async "wait for a publisher"({ key, runtimeDirectory }) {
    const connecting = Subscriber.connect(`${key}-nobody`, { runtimeDirectory, timeout: Infinity });
    say("ready");
    await connecting;
  },
};

function connect({ key, runtimeDirectory }: Task): Promise<Subscriber> {
  return Subscriber.connect(key, { runtimeDirectory, mode: "ordered", timeout: 30_000 });
}

/** The worker before this one may still be ending: Bun's `terminate` does not tell when. */
async function createOnceFree(options: PublisherOptions): Promise<Publisher> {
  while (true) {
    try {
      return Publisher.create(options);
    } catch (error) {
      if (!(error instanceof CuframesError) || error.code !== "ALREADY_EXISTS") throw error;
      await turn();
    }
  }
}

function perform(task: Task): Promise<void> {
  return tasks[task.does](task).catch((error) => say("failed", String(error)));
}

function given(): Promise<Task> {
  if (workerData?.does !== undefined) return Promise.resolve(workerData);
  return new Promise((resolve) => self.onmessage = ({ data }) => resolve(data));
}

const performed = given().then(perform);
// A pending wait keeps a worker alive at its top level, too. Not on Deno, which leaves descriptors of its own behind where it
// ends a worker that is waiting there.
if (!("Deno" in globalThis)) await performed;
