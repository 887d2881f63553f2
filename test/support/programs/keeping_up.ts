// A loop that always finds something ready, because it works longer than the next one takes to come. Meanwhile a timer ticks,
// and the test may send a signal.

import process from "node:process";
import { Publisher, Subscriber } from "../../../mod.ts";
import { testMemory } from "../memory.ts";
import { optionsOf, report } from "./worker.ts";

export type Loop = "values" | "next" | "next that does not wait" | "packets" | "acquireAsync";

export interface Options {
  key: string;
  runtimeDirectory: string;
  loop: Loop;
  /** Milliseconds after which the loop's signal is aborted. */
  abortAfter: number;
}

const { loop, abortAfter, ...place } = optionsOf<Options>();
const { key, ...where } = place;
const signal = AbortSignal.timeout(abortAfter);
const counts = { turns: 0, ticks: 0 };
setInterval(() => counts.ticks++, 1).unref();
process.on("SIGTERM", () => report("terminated", counts));

/** Longer than there is between two frames. */
function work(): void {
  if (counts.turns++ === 0) report("begun");
  for (const end = performance.now() + 15; performance.now() < end;);
}

function connect(): Promise<Subscriber> {
  return Subscriber.connect(key, { ...where, mode: "ordered", timeout: 10_000 });
}

const loops: Record<Loop, () => Promise<void>> = {
  async values() {
    for await (using _ of (await connect()).values({ signal })) work();
  },
  async next() {
    const camera = await connect();
    while (true) {
      using _ = await camera.next({ signal });
      work();
    }
  },
  async "next that does not wait"() {
    const camera = await connect();
    while (true) {
      try {
        using _ = await camera.next({ signal, timeout: 0 });
      } catch {
        signal.throwIfAborted();
      }
      work();
    }
  },
  async packets() {
    for await (const _ of (await connect()).packets().values({ signal })) work();
  },
  async acquireAsync() {
    using publisher = Publisher.create({
      ...place,
      key: `${key}-2`,
      width: 64,
      height: 48,
      memory: testMemory,
    });
    while (true) {
      (await publisher.acquireAsync({ signal })).publish({});
      work();
    }
  },
};

const begun = performance.now();
await loops[loop]().then(
  () => report("ended"),
  (error) => report("aborted", { name: error.name, after: performance.now() - begun, ...counts }),
);
process.exit();
