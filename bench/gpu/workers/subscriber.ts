// The receiving end of every GPU measurement.

import { type Mode, monotonicNow, Subscriber } from "../../../mod.ts";
import { frameSize, Gpu, type Pinned } from "../../../test/support/gpu.ts";
import { ready, serve } from "../../workers/serve.mjs";

/** How a subscriber waits, and what it does then. */
export type How = "next" | "nextSync" | "spin" | "copy";

const spinMicroseconds = 20_000;
const gpu = Gpu.open();
const stream = gpu.stream();
let subscribers: Subscriber[] = [];

function first(): Subscriber {
  const [subscriber] = subscribers;
  if (subscriber === undefined) throw new Error("not connected");
  return subscriber;
}

await serve({
  async connect(
    { key, mode = "newest", connections = 1 }: { key: string; mode?: Mode; connections?: number },
  ) {
    subscribers = await Promise.all(
      Array.from({ length: connections }, () => Subscriber.connect(key, { mode })),
    );
  },

  /** Until the frame with timestamp 0. Nanoseconds from publish to having it, or to having a copy of it on the GPU. */
  async receive({ how, count }: { how: How; count: number }) {
    const subscriber = first();
    let copy: bigint | undefined;
    const latencyNs: number[] = [];
    ready();
    for (let remaining = Infinity; remaining > 0;) {
      const frame = how === "next" || how === "copy"
        ? await subscriber.next()
        : subscriber.nextSync(how === "spin" ? { spin: spinMicroseconds } : {});
      if (how === "copy") {
        const size = frameSize(frame);
        gpu.copy(copy ??= gpu.allocate(size), frame.devicePointer!, size, stream);
        gpu.synchronize(stream);
      }
      const now = monotonicNow();
      remaining = frame.timestamp;
      if (remaining < count) latencyNs.push(Number(now - frame.publishedNs));
      frame.close();
    }
    return latencyNs;
  },

  /** Nanoseconds of `toHost`, each for a new frame, and of a bare copy of the same frame to page-locked memory. */
  async toHost({ count }: { count: number }) {
    const subscriber = first();
    const toHostNs: number[] = [];
    const bareNs: number[] = [];
    let pinned: Pinned | undefined;
    ready();
    for (let remaining = Infinity; remaining > 0;) {
      using frame = await subscriber.next();
      remaining = frame.timestamp;
      const size = frameSize(frame);
      pinned ??= gpu.pinned(size);
      const before = monotonicNow();
      await frame.toHost();
      const between = monotonicNow();
      gpu.download(pinned, frame.devicePointer!, size, stream);
      gpu.synchronize(stream);
      const after = monotonicNow();
      if (remaining >= count) continue;
      toHostNs.push(Number(between - before));
      bareNs.push(Number(after - between));
    }
    return { toHostNs, bareNs };
  },

  /** Each of the connections takes every frame until the one with timestamp 0. */
  async takeAll() {
    ready();
    await Promise.all(subscribers.map(async (subscriber) => {
      for (let remaining = Infinity; remaining > 0;) {
        using frame = await subscriber.next();
        remaining = frame.timestamp;
      }
    }));
    return subscribers.map((subscriber) => subscriber.stats().dropped);
  },
});
