// A program that comes to its end while something of the library is pending, or that waits for it at its top level.

import process from "node:process";
import {
  type DescriptorListener,
  DescriptorSocket,
  Publisher,
  Subscriber,
  type SubscriberOptions,
  type WritableFrame,
} from "../../../mod.ts";
import { testMemory } from "../memory.ts";
import { optionsOf, report } from "./worker.ts";

export type Ending =
  // The script is over, while this is pending:
  | "next"
  | "a packet reader's next"
  | "connect"
  | "acquireAsync"
  | "receive"
  | "accept"
  | "reconnecting"
  // The script is over, and nobody waits:
  | "an idle subscriber"
  | "a frame held"
  | "reconnecting, and nobody waits any more"
  | "publisher"
  | "an idle listener"
  | "next again and again, until exit is called"
  | "frames that a handler of the exit closes"
  // The script waits at its top level:
  | "await connect"
  | "await next"
  | "await a packet"
  | "for await"
  // The commonest shape of a script:
  | "async function main";

export interface Options {
  key: string;
  runtimeDirectory: string;
  ending: Ending;
  /** Whatever waits is unreferenced. */
  unref?: boolean;
}

const { ending, unref = false, ...place } = optionsOf<Options>();
const { key, runtimeDirectory } = place;

async function connect(options: SubscriberOptions = {}): Promise<Subscriber> {
  const subscriber = await Subscriber.connect(key, { runtimeDirectory, mode: "ordered", ...options });
  return unref ? subscriber.unref() : subscriber;
}

/** Slots taken for good: one that is collected is given back. */
const held: WritableFrame[] = [];

/** A promise that nobody waits for. */
function leave(promise: Promise<unknown>): void {
  promise.then(() => report("settled"), () => report("settled"));
}

function create(): Publisher {
  const publisher = Publisher.create({
    ...{ memory: testMemory, ...place, width: 64, height: 48, slots: 2, policy: "wait" },
  });
  return unref ? publisher.unref() : publisher;
}

async function takeAgainAndAgain(subscriber: Subscriber): Promise<never> {
  while (true) (await subscriber.next()).close();
}

/** A reconnecting subscriber whose publisher is gone. */
async function leftAlone(): Promise<Subscriber> {
  const subscriber = await connect({ reconnect: true });
  report("connected");
  await subscriber.next().then((frame) => frame.close());
  while (subscriber.stats().connected) await new Promise((resolve) => setTimeout(resolve, 1));
  return subscriber;
}

async function sockets(): Promise<{ listener: DescriptorListener; socket: DescriptorSocket }> {
  const listener = DescriptorSocket.listen(`${runtimeDirectory}/sock`);
  const socket = await DescriptorSocket.connect(`${runtimeDirectory}/sock`);
  (await listener.accept()).unref();
  return unref ? { listener: listener.unref(), socket: socket.unref() } : { listener, socket };
}

const endings: Record<Ending, () => unknown> = {
  next: async () => leave((await connect()).next()),
  "a packet reader's next": async () => leave((await connect()).packets().next()),
  connect: () => leave(connect({ timeout: Infinity })),
  acquireAsync: () => {
    const publisher = create();
    held.push(publisher.acquire(), publisher.acquire());
    leave(publisher.acquireAsync({ timeout: unref ? 60_000 : 400 }));
  },
  receive: async () => leave((await sockets()).socket.receive({ timeout: unref ? 60_000 : 400 })),
  accept: async () => leave((await sockets()).listener.accept({ timeout: unref ? 60_000 : 400 })),
  reconnecting: async () => leave((await leftAlone()).next()),
  "an idle subscriber": async () => {
    const subscriber = await connect({ reconnect: true });
    subscriber.packets({ wait: true });
    await subscriber.next().then((frame) => frame.close());
  },
  "a frame held": async () => void await (await connect()).next(),
  "reconnecting, and nobody waits any more": async () => {
    await (await leftAlone()).next({ timeout: 1 }).catch(() => {}); // by now it looks for the next publisher
  },
  publisher: () => void create(),
  "an idle listener": () => void DescriptorSocket.listen(`${runtimeDirectory}/sock`),
  "next again and again, until exit is called": async () => {
    const subscriber = await connect();
    (await subscriber.next()).close();
    takeAgainAndAgain(subscriber);
    setImmediate(() => process.exit());
  },
  "frames that a handler of the exit closes": async () => {
    const subscriber = await connect();
    const publisher = Publisher.create({
      ...place,
      key: `${key}-2`,
      width: 64,
      height: 48,
      memory: testMemory,
    });
    const held = [await subscriber.next(), publisher.acquire()];
    process.on("exit", () => {
      for (const each of [...held, subscriber, publisher]) each.close();
    });
  },
  "await connect": async () => (await connect({ timeout: Infinity })).close(),
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
  "async function main": async () => {
    using camera = await connect({ timeout: 30_000 });
    report("waiting");
    for await (using frame of camera) report("took", { sequence: Number(frame.sequence) });
  },
};

if (ending === "async function main") {
  void endings[ending]();
} else {
  await endings[ending]();
}
report("over");
