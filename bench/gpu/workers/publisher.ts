// The publishing end of every GPU measurement. Frames count down: the last one's timestamp is 0.

import { monotonicNow, Publisher, type PublisherOptions } from "../../../mod.ts";
import { frameSize, Gpu } from "../../../test/support/gpu.ts";
import { sleep } from "../../workers/common.mjs";
import { serve } from "../../workers/serve.mjs";

/** What is measured of a call. */
export type Work = "memset" | "copy" | "synchronize";

const warmup = 200;
const gpu = Gpu.open();
const stream = gpu.stream();
let publisher: Publisher;

function nanosecondsOf(act: () => void): number {
  const before = monotonicNow();
  act();
  return Number(monotonicNow() - before);
}

/** Until the next frame is due, or the last one is done where that takes longer. */
function pause(milliseconds: number): void {
  sleep(milliseconds);
  gpu.synchronize(stream);
}

await serve({
  create(options: PublisherOptions) {
    publisher = Publisher.create({ ...options, memory: "cuda" });
    return { device: publisher.device };
  },

  /**
   * Nanoseconds that `publish` keeps the caller for, right behind a memset or a copy of the whole frame on a stream; or,
   * for comparison, what waiting for the memset on the caller's thread would.
   */
  callCost({ work, count }: { work: Work; count: number }) {
    const size = frameSize(publisher);
    const source = gpu.allocate(size);
    const planes = publisher.planes.map(({ offset, stride }) => ({ offset, stride }));
    const callNs: number[] = [];
    for (let index = -warmup; index < count; index++) {
      pause(1);
      using frame = publisher.acquire();
      if (work === "copy") frame.copyFrom({ devicePointer: source, planes, stream });
      else gpu.fill(frame.devicePointer!, index & 0xff, size, stream);
      const elapsed = nanosecondsOf(() => {
        if (work === "synchronize") gpu.synchronize(stream);
        else frame.publish({ stream });
      });
      if (index >= 0) callNs.push(elapsed);
    }
    return callNs;
  },

  /** One frame after each pause. */
  publishPaced({ count, intervalMs }: { count: number; intervalMs: number }) {
    const size = frameSize(publisher);
    for (let remaining = count + warmup - 1; remaining >= 0; remaining--) {
      pause(intervalMs);
      using frame = publisher.acquire();
      gpu.fill(frame.devicePointer!, remaining & 0xff, size, stream);
      frame.publish({ stream, timestamp: remaining });
    }
  },

  /** As many as go. Nanoseconds from each publish to the next. */
  flood({ count }: { count: number }) {
    const size = frameSize(publisher);
    const periodNs: number[] = [];
    let last: bigint | undefined;
    for (let remaining = count + warmup - 1; remaining >= 0; remaining--) {
      using frame = publisher.acquire();
      gpu.fill(frame.devicePointer!, remaining & 0xff, size, stream);
      frame.publish({ stream, timestamp: remaining });
      const now = monotonicNow();
      if (last !== undefined && remaining < count) periodNs.push(Number(now - last));
      last = now;
    }
    return periodNs;
  },
});
