// The receiving end of every measurement across processes.

import { type Frame, type Mode, monotonicNow, Subscriber } from "../../mod.ts";
import type { FloodRequest, ReceiveRequest } from "../worker_protocol.ts";
import { cpuMicroseconds, readEveryByte } from "./common.mjs";
import { memoryAfterCollection } from "./memory.ts";
import { ready, serve } from "./serve.mjs";

const spinMicroseconds = 20_000;
const subscribers = new Map<string, Subscriber[]>();

function subscriberOf(key: string): Subscriber {
  const subscriber = subscribers.get(key)?.[0];
  if (subscriber === undefined) throw new Error(`no subscriber to ${key}`);
  return subscriber;
}

/** Takes what an earlier measurement left. */
function drain(subscriber: Subscriber): void {
  while (subscriber.stats().lag > 0) subscriber.nextSync({ timeout: 0 }).close();
}

await serve({
  async connect(
    { key, mode = "newest", connections = 1 }: { key: string; mode?: Mode; connections?: number },
  ) {
    const connected = Array.from({ length: connections }, () => Subscriber.connect(key, { mode }));
    subscribers.set(key, await Promise.all(connected));
  },

  /**
   * Until the frame with timestamp 0. Returns the nanoseconds from publish to here; when each frame was here, by how many
   * follow, 0 where it never was; and the CPU time of the whole.
   */
  async receive({ key, how, count, touch }: ReceiveRequest) {
    const subscriber = subscriberOf(key);
    const latencyNs: number[] = [];
    const returnedNs = new Float64Array(count);
    let began: number | undefined;
    drain(subscriber);
    ready();
    for (let remaining = Infinity; remaining > 0;) {
      const frame: Frame = how === "next"
        ? await subscriber.next()
        : subscriber.nextSync(how === "spin" ? { spin: spinMicroseconds } : {});
      const now = monotonicNow();
      remaining = frame.timestamp;
      if (remaining < count) {
        latencyNs.push(Number(now - frame.publishedNs));
        returnedNs[remaining] = Number(now);
      }
      if (touch === "all") { for (const { data } of frame.planes) readEveryByte(data); }
      frame.close();
      if (remaining <= count) began ??= cpuMicroseconds();
    }
    const cpuUs = cpuMicroseconds() - (began ?? 0);
    return { latencyNs, returnedNs: [...returnedNs], cpuUs };
  },

  /** Every one of that many frames. Returns the memory after a tenth of them and after all. */
  async takeFlood({ key, count, settled }: FloodRequest) {
    const subscriber = subscriberOf(key);
    const samples = [];
    drain(subscriber);
    ready();
    for (let remaining = count - 1; remaining >= 0; remaining--) {
      const frame = await subscriber.next();
      if (frame.timestamp !== remaining) throw new Error(`frame ${frame.timestamp} in place of ${remaining}`);
      frame.close();
      if (remaining === count - settled) samples.push(memoryAfterCollection());
    }
    samples.push(memoryAfterCollection());
    return samples;
  },

  close() {
    for (const subscriber of [...subscribers.values()].flat()) subscriber.close();
    subscribers.clear();
  },
});
