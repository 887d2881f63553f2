// A loop that always finds something ready, because it works longer than the next one takes to come. Meanwhile a timer ticks,
// and the test may send a signal.

import { connect as dial, createServer } from "node:net";
import process from "node:process";
import { Publisher, Subscriber } from "../../../mod.ts";
import { testMemory } from "../memory.ts";
import { optionsOf, report } from "./worker.ts";

export type Loop = "values" | "next" | "next that does not wait" | "packets" | "acquireAsync" | "three loops";

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
const counts = { turns: 0, ticks: 0, echoes: 0 };
setInterval(() => counts.ticks++, 1).unref();
process.on("SIGTERM", () => report("terminated", counts));

/** A socket of this program's own, whose ends answer each other. */
async function echo(): Promise<void> {
  const path = `${place.runtimeDirectory}/echo-${process.pid}`;
  const server = createServer((end) => end.on("data", (bytes) => end.write(bytes)).on("error", () => {}));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const end = dial(path, () => end.write("a"));
  end.on("error", () => {}).on("data", (bytes) => {
    counts.echoes++;
    end.write(bytes);
  });
}

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
  async "three loops"() {
    const loop = async () => {
      for await (using _ of (await connect()).values({ signal })) work();
    };
    await Promise.all([loop(), loop(), loop()]);
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

await echo();
const begun = performance.now();
await loops[loop]().then(
  () => report("ended"),
  (error) => report("aborted", { name: error.name, after: performance.now() - begun, ...counts }),
);
process.exit();
