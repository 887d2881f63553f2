// A program that comes to its end while something of the library is pending, or that waits for it at its top level.

import process from "node:process";
import { Publisher, Subscriber } from "../../../mod.ts";
import { testMemory } from "../../support/memory.ts";
import { optionsOf, report } from "./worker.ts";

export type Ending =
  // The script is over:
  | "next"
  | "a packet reader's next"
  | "next again and again"
  | "next again and again, until exit is called"
  | "a frame held"
  | "reconnecting"
  | "reconnecting, and nobody waits any more"
  | "connect"
  | "publisher"
  | "acquire"
  // The script waits:
  | "await connect"
  | "await next"
  | "await a packet"
  | "for await";

export interface Options {
  key: string;
  runtimeDirectory: string;
  ending: Ending;
}

const { ending, ...place } = optionsOf<Options>();
const { key, runtimeDirectory } = place;

function connect(timeout: number = 0): Promise<Subscriber> {
  return Subscriber.connect(key, { runtimeDirectory, mode: "ordered", timeout });
}

/** A promise that nobody waits for. */
function leave(promise: Promise<unknown>): void {
  promise.then(() => report("settled"), () => report("settled"));
}

function create(): Publisher {
  return Publisher.create({ memory: testMemory, ...place, width: 64, height: 48, slots: 2, policy: "wait" });
}

async function takeAgainAndAgain(subscriber: Subscriber): Promise<never> {
  while (true) (await subscriber.next()).close();
}

const endings: Record<Ending, () => unknown> = {
  next: async () => leave((await connect()).next()),
  "a packet reader's next": async () => leave((await connect()).packets().next()),
  "next again and again": async () => {
    const subscriber = await connect();
    (await subscriber.next()).close();
    takeAgainAndAgain(subscriber);
  },
  "next again and again, until exit is called": async () => {
    const subscriber = await connect();
    (await subscriber.next()).close();
    takeAgainAndAgain(subscriber);
    setImmediate(() => process.exit());
  },
  "a frame held": async () => void await (await connect()).next(),
  reconnecting: async () => {
    const subscriber = await Subscriber.connect(key, { runtimeDirectory, reconnect: true });
    report("connected");
    await subscriber.next().then((frame) => frame.close());
    leave(subscriber.next());
    while (subscriber.stats().connected) await new Promise((resolve) => setTimeout(resolve, 1));
  },
  "reconnecting, and nobody waits any more": async () => {
    const subscriber = await Subscriber.connect(key, { runtimeDirectory, reconnect: true });
    report("connected");
    await subscriber.next().then((frame) => frame.close());
    while (subscriber.stats().connected) await new Promise((resolve) => setTimeout(resolve, 1));
    await subscriber.next({ timeout: 1 }).catch(() => {}); // by now it looks for the next publisher
  },
  connect: () => leave(connect(Infinity)),
  publisher: () => void create(),
  acquire: () => {
    const publisher = create();
    publisher.acquire();
    publisher.acquire();
    leave(publisher.acquireAsync({ timeout: 60_000 }));
  },
  "await connect": async () => (await connect(Infinity)).close(),
  "await next": async () => {
    const subscriber = await connect();
    report("waiting");
    report("took", { sequence: Number((await subscriber.next()).sequence) });
  },
  "await a packet": async () => {
    const subscriber = await connect();
    report("waiting");
    report("took", { sequence: Number((await subscriber.packets().next()).sequence) });
  },
  "for await": async () => {
    const subscriber = await connect();
    report("waiting");
    for await (const frame of subscriber) {
      report("took", { sequence: Number(frame.sequence) });
      frame.close();
    }
  },
};

await endings[ending]();
report("over");
