// A program that closes nothing, and has its garbage collected.

import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { DescriptorSocket, type Frame, Publisher, Subscriber, type WritableFrame } from "../../../mod.ts";
import { optionsOf, report } from "./worker.ts";

export type Subject =
  | "frames"
  | "a view of a frame that is forgotten"
  | "a frame of a subscriber that is forgotten"
  | "subscribers"
  | "a pending next"
  | "a pending connect"
  | "publishers"
  | "a frame and a packet ring of a publisher that is forgotten"
  | "writable frames"
  | "packet readers"
  | "sockets"
  | "what is closed in time";

export interface Options {
  subject: Subject;
  runtimeDirectory: string;
}

const { subject, runtimeDirectory } = optionsOf<Options>();
const place = { key: "cam", runtimeDirectory };
const size = { width: 64, height: 48, format: "GRAY8" } as const;

const warnings: string[] = [];
process.on("warning", ({ name, message }) => {
  if (name === "CuframesWarning") warnings.push(message);
});
if ("Deno" in globalThis) {
  console.warn = (message: string) => void warnings.push(message);
}

async function collect(): Promise<void> {
  const { Bun, gc } = globalThis as unknown as { Bun?: { gc(full: boolean): void }; gc?: () => void };
  if (Bun !== undefined) Bun.gc(true);
  else gc!();
  await delay(10); // a finalizer is a task of the event loop
}

/** Collects until the condition holds; fails after 20 s. */
async function collectUntil(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not collected: ${condition}`);
    await collect();
    overwriteStack(40);
  }
}

/** Collects so often that whatever can be collected has been. */
async function collectAll(): Promise<void> {
  for (let round = 0; round < 30; round++) await collect().then(() => overwriteStack(40));
}

/** A stack that is scanned without knowing what is on it may have old addresses. */
function overwriteStack(depth: number): number {
  return depth === 0 ? 0 : 1 + overwriteStack(depth - 1);
}

function create(options: { slots?: number } = {}): Publisher {
  return Publisher.create({ ...place, ...size, slots: 4, ...options });
}

function publish(publisher: Publisher, value: number): void {
  const frame = publisher.acquire();
  for (const { data } of frame.planes) data.fill(value);
  frame.publish();
}

/** Whatever is left in registers and on the stack by one is overwritten by the next. */
async function forget(make: () => Promise<unknown> | unknown): Promise<void> {
  for (let round = 0; round < 3; round++) await make();
}

async function framesTaken(publisher: Publisher, subscriber: Subscriber): Promise<void> {
  await forget(async () => {
    publish(publisher, 1);
    const frame = await subscriber.next();
    if (frame.planes[0]!.data[0] !== 1) throw new Error("another frame");
  });
}

const subjects: Record<Subject, () => Promise<void>> = {
  async frames() {
    const publisher = create({ slots: 16 });
    const subscriber = await Subscriber.connect("cam", { runtimeDirectory });
    await framesTaken(publisher, subscriber);
    await subscriber.next({ timeout: 1 }).catch(() => {});
    await collectUntil(() => subscriber.stats().held === 0);
    // It goes on, also far beyond what can be held.
    for (let round = 0; round < 20; round++) {
      publish(publisher, 2);
      await collectUntil(() => subscriber.stats().held < 8);
      await subscriber.next();
    }
    subscriber.close();
    publisher.close();
  },

  async "a view of a frame that is forgotten"() {
    const publisher = create({ slots: 4 });
    const subscriber = await Subscriber.connect("cam", { runtimeDirectory });
    publish(publisher, 7);
    const view = await subscriber.next().then((frame) => frame.planes[0]!.data.subarray(0, 100));
    // And one that is taken late, of a frame that is known to be held by then.
    publish(publisher, 8);
    let late: Frame | undefined = await subscriber.next();
    publish(publisher, 9);
    (await subscriber.next()).close();
    const clone = late.clone();
    const lateView = late.planes[0]!.data.subarray(5, 50);
    late = undefined;
    clone.close();
    await collectAll();
    for (let lap = 0; lap < 20; lap++) publish(publisher, 100 + lap);
    if (subscriber.stats().held !== 2) throw new Error(`${subscriber.stats().held} frames are held`);
    if (!view.every((byte) => byte === 7)) throw new Error(`the view has changed: ${view[0]}`);
    if (!lateView.every((byte) => byte === 8)) throw new Error(`the late view has changed: ${lateView[0]}`);
    // With the ring nothing can be reached through them.
    subscriber.close();
    if (view.length + lateView.length !== 0) throw new Error("a view outlives its ring");
    publisher.close();
  },

  async "a frame of a subscriber that is forgotten"() {
    const publisher = create();
    publish(publisher, 7);
    const frames: Frame[] = [];
    await forget(async () => {
      const subscriber = await Subscriber.connect("cam", { runtimeDirectory });
      publish(publisher, 7);
      frames.push(await subscriber.next());
    });
    await collectAll();
    await collectUntil(() => warnings.length > 0);
    for (const frame of frames) {
      if (!frame.planes[0]!.data.every((byte) => byte === 7)) throw new Error("it has changed");
      frame.close();
    }
    await collectUntil(() => publisher.stats().subscribers === 0);
    publisher.close();
  },

  async subscribers() {
    const publisher = create();
    await forget(() => Subscriber.connect("cam", { runtimeDirectory, reconnect: true }));
    await collectUntil(() => publisher.stats().subscribers === 0);
    publisher.close();
  },

  async "a pending next"() {
    const publisher = create();
    publisher.enablePackets({ codec: "h264" });
    const pending: Promise<unknown>[] = [];
    await forget(async () => {
      const subscriber = await Subscriber.connect("cam", { runtimeDirectory });
      pending.push(subscriber.next());
      pending.push((await Subscriber.connect("cam", { runtimeDirectory })).packets().next());
    });
    await collectAll();
    publish(publisher, 1);
    publisher.packets!.write({ type: "key", timestamp: 0, data: Uint8Array.of(1) });
    await Promise.all(pending);
    publisher.close();
  },

  async "a pending connect"() {
    const pending: Promise<unknown>[] = [];
    await forget(() => void pending.push(Subscriber.connect("cam", { runtimeDirectory, timeout: 60_000 })));
    await collectAll();
    const publisher = create();
    await Promise.all(pending);
    publisher.close();
  },

  async publishers() {
    const subscribers: Subscriber[] = [];
    let ended = 0;
    await forget(async () => {
      const key = `cam-${subscribers.length}`;
      const publisher = Publisher.create({ ...place, ...size, key });
      const subscriber = await Subscriber.connect(key, { runtimeDirectory });
      // Not to be collected before.
      if (publisher.closed) throw new Error("it is closed");
      subscribers.push(subscriber);
      subscriber.next().catch(() => ended++);
    });
    await collectUntil(() => ended === 3);
    Publisher.create({ ...place, ...size, key: "cam-0" }).close();
    for (const subscriber of subscribers) subscriber.close();
  },

  async "a frame and a packet ring of a publisher that is forgotten"() {
    const frames: WritableFrame[] = [];
    const rings: { write(packet: object): bigint }[] = [];
    await forget(() => {
      frames.push(Publisher.create({ ...place, ...size, key: `cam-${frames.length}` }).acquire());
      const publisher = Publisher.create({ ...place, ...size, key: `rec-${rings.length}` });
      rings.push(publisher.enablePackets({ codec: "h264" }) as unknown as { write(packet: object): bigint });
    });
    await collectAll();
    for (const frame of frames) if (frame.publish() !== 1n) throw new Error("not the first");
    for (const ring of rings) ring.write({ type: "key", timestamp: 0, data: Uint8Array.of(1) });
  },

  async "writable frames"() {
    const publisher = create({ slots: 8 });
    publish(publisher, 1);
    const free = () => {
      try {
        publisher.acquire().close();
        return true;
      } catch {
        return false;
      }
    };
    const slots = 7; // one has the newest frame
    for (let slot = 0; slot < slots; slot++) publisher.acquire().planes[0]!.data.fill(slot);
    if (free()) throw new Error("there is a slot left");
    await collectUntil(free);
    publisher.close();
  },

  async "packet readers"() {
    const publisher = create();
    publisher.enablePackets({ codec: "h264" });
    const subscriber = await Subscriber.connect("cam", { runtimeDirectory });
    await forget(async () => {
      await subscriber.packets().next({ timeout: 1 }).catch(() => {});
    });
    await collectUntil(() => warnings.length > 0);
    subscriber.close();
    publisher.close();
  },

  async sockets() {
    const listener = DescriptorSocket.listen(`${runtimeDirectory}/sock`);
    let ended = 0;
    const accepted: DescriptorSocket[] = [];
    await forget(async () => {
      await DescriptorSocket.connect(`${runtimeDirectory}/sock`);
      const socket = await listener.accept();
      accepted.push(socket);
      socket.receive().catch(() => ended++);
    });
    await collectUntil(() => ended === 3);
    for (const socket of accepted) socket.close();
    listener.close();
  },

  async "what is closed in time"() {
    await forget(async () => {
      const publisher = create();
      publisher.enablePackets({ codec: "h264" });
      const subscriber = await Subscriber.connect("cam", { runtimeDirectory });
      const reader = subscriber.packets();
      publish(publisher, 1);
      const first = await subscriber.next();
      publish(publisher, 2);
      const second = await subscriber.next();
      for (const each of [first, second, reader, subscriber, publisher]) each.close();
    });
    await collectAll();
  },
};

await subjects[subject]();
await delay(10); // a warning is told later
report("done", { warnings });
process.exit(0);
