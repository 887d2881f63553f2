// The publishing end of every measurement across processes. Frames count down: the last one's timestamp is 0.

import { monotonicNow, Publisher, type PublisherOptions } from "../../mod.ts";
import type { FloodRequest, PacedRequest, TimedCalls } from "../worker_protocol.ts";
import { cpuMicroseconds, picture, sleep } from "./common.mjs";
import { memoryAfterCollection } from "./memory.ts";
import { serve } from "./serve.mjs";

const publishers = new Map<string, Publisher>();

function publisherOf(key: string): Publisher {
  const publisher = publishers.get(key);
  if (publisher === undefined) throw new Error(`no publisher ${key}`);
  return publisher;
}

await serve({
  create(options: PublisherOptions) {
    const publisher = Publisher.create(options);
    publishers.set(options.key, publisher);
    // Until a slot is written for the first time it has no memory.
    for (let slot = 0; slot < publisher.slots; slot++) {
      using frame = publisher.acquire();
      for (const { data } of frame.planes) data.fill(slot);
      frame.publish();
    }
  },

  /** One frame after each pause. Returns what the calls took in nanoseconds, and the CPU time of the whole. */
  publishPaced({ key, warmup, count, intervalMs, copy }: PacedRequest) {
    const publisher = publisherOf(key);
    const bytes = copy ? picture(publisher.codedWidth * publisher.codedHeight * 3 / 2) : undefined;
    const callNs: number[] = [];
    let began = 0;
    for (let remaining = count + warmup - 1; remaining >= 0; remaining--) {
      if (remaining === count - 1) began = cpuMicroseconds();
      sleep(intervalMs);
      const frame = publisher.acquire();
      if (bytes !== undefined) frame.write(bytes);
      const before = monotonicNow();
      frame.publish({ timestamp: remaining });
      if (remaining < count) callNs.push(Number(monotonicNow() - before));
    }
    return { callNs, cpuUs: cpuMicroseconds() - began };
  },

  /**
   * One frame after each pause. Returns in nanoseconds when each publish was called, by how many frames follow, and what
   * acquire and publish took together.
   */
  publishTimed({ key, warmup, count, intervalMs }: PacedRequest): TimedCalls {
    const publisher = publisherOf(key);
    const calledNs = new Float64Array(count);
    const callNs: number[] = [];
    for (let remaining = count + warmup - 1; remaining >= 0; remaining--) {
      sleep(intervalMs);
      const before = monotonicNow();
      const frame = publisher.acquire();
      const called = monotonicNow();
      frame.publish({ timestamp: remaining });
      const after = monotonicNow();
      if (remaining >= count) continue;
      calledNs[remaining] = Number(called);
      callNs.push(Number(after - before));
    }
    return { calledNs: [...calledNs], callNs };
  },

  /** Nanoseconds for one acquire and publish, the mean of each batch. */
  publishBatches({ key, batches, size }: { key: string; batches: number; size: number }) {
    const publisher = publisherOf(key);
    return Array.from({ length: batches }, () => {
      const before = monotonicNow();
      for (let index = 0; index < size; index++) publisher.acquire().publish();
      return Number(monotonicNow() - before) / size;
    });
  },

  /** As many frames as go. Returns the memory after a tenth of them and after all. */
  flood({ key, count, settled }: FloodRequest) {
    const publisher = publisherOf(key);
    const samples = [];
    for (let remaining = count - 1; remaining >= 0; remaining--) {
      publisher.acquire().publish({ timestamp: remaining });
      if (remaining === count - settled) samples.push(memoryAfterCollection());
    }
    samples.push(memoryAfterCollection());
    return samples;
  },

  close() {
    for (const publisher of publishers.values()) publisher.close();
    publishers.clear();
  },
});
