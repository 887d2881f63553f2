// Calls inside one process, with tinybench. Where a call takes less than a microsecond or two, a sample is the
// mean of a batch: the clock would be most of it otherwise.

import { Bench, type FnOptions } from "tinybench";
import process from "node:process";
import { setImmediate } from "node:timers";
import { type Frame, monotonicNow, Publisher, Subscriber } from "../../mod.ts";
import { library } from "../../src/ffi/library.ts";
import type { CallTimes } from "../worker_protocol.ts";
import { serve } from "./serve.mjs";

const size = { width: 1920, height: 1080, format: "NV12" } as const;

/** CLOCK_MONOTONIC for tinybench, since the runtimes' own clocks differ in what they resolve. */
const clock = {
  name: "CLOCK_MONOTONIC",
  fn: monotonicNow,
  fromMs: (milliseconds: number): bigint => BigInt(Math.round(milliseconds * 1e6)),
  toMs: (nanoseconds: number | bigint): number => Number(nanoseconds) / 1e6,
};

await serve({
  async run({ milliseconds }: { milliseconds: number }): Promise<CallTimes> {
    const { symbols } = library();
    const key = `calls-${process.pid}`;
    using alone = Publisher.create({ key: `${key}-alone`, ...size });
    using publisher = Publisher.create({ key, ...size, slots: 16 });
    using subscriber = await Subscriber.connect(key, { mode: "ordered" });
    for (let slot = 0; slot < publisher.slots; slot++) {
      const frame = publisher.acquire();
      for (const { data } of frame.planes) data.fill(slot);
      frame.publish();
    }
    // One slot is held for copyTo.
    const waiting = publisher.slots - 1;
    const publishAll = () => {
      for (let index = 0; index < waiting; index++) publisher.acquire().publish();
    };
    const takeAll = () => {
      while (subscriber.stats().lag > 0) subscriber.nextSync({ timeout: 0 }).close();
    };
    const prepared: FnOptions = { beforeEach: publishAll, afterEach: takeAll };
    takeAll();
    publishAll();
    using held: Frame = subscriber.nextSync();
    const bytes = new Uint8Array(held.allocationSize());
    const source = new Uint8Array(bytes.length).fill(1);

    const bench = new Bench({
      time: milliseconds,
      warmupTime: milliseconds,
      retainSamples: true,
      timestampProvider: clock,
      throws: true,
    });
    const batches = new Map<string, number>();
    const add = (name: string, batch: number, call: () => unknown, options: FnOptions = {}) => {
      batches.set(name, batch);
      // Said here, or tinybench calls once to find out, without the hooks.
      bench.add(name, call, { async: false, ...options });
    };
    const repeat = (name: string, batch: number, call: () => unknown, options?: FnOptions) => {
      add(name, batch, () => {
        for (let index = 0; index < batch; index++) call();
      }, options);
    };
    repeat("bare FFI call (reads the clock)", 1000, () => symbols.cuframes_now_ns());
    repeat("acquire + publish, nobody connected", 100, () => alone.acquire().publish());
    repeat("acquire + planes + publish", 100, () => {
      const frame = alone.acquire();
      void frame.planes;
      frame.publish();
    });
    repeat("nextSync + close, frame waiting", waiting, () => subscriber.nextSync().close(), prepared);
    add("await next + close, frame waiting", waiting, async () => {
      for (let index = 0; index < waiting; index++) (await subscriber.next()).close();
    }, { ...prepared, async: true });
    // What a wait spends once in 5 ms, where it never has to wait: src/connect/event_loop_turn.ts.
    add(
      "a turn of the event loop, once in 5 ms of waits",
      1,
      () => new Promise((done) => setImmediate(done)),
      {
        async: true,
      },
    );
    add("copyTo, 1080p NV12", 1, () => held.copyTo(bytes), { async: true });
    add("memcpy of as many bytes", 1, () => bytes.set(source));

    await bench.run();
    return Object.fromEntries(bench.tasks.map(({ name, result }) => {
      if (!("latency" in result)) throw new Error(`${name}: ${result.state}`);
      const nanoseconds = 1e6 / batches.get(name)!;
      return [name, result.latency.samples!.map((milliseconds) => milliseconds * nanoseconds)];
    }));
  },
});
