// Those that bench/rivals.ts compares.

import { ping } from "./floor.ts";
import type { RuntimeName, Worker, Workers } from "./worker.ts";
import type {
  Exchange,
  How,
  PacedRequest,
  ReceiveRequest,
  RivalBatchRequest,
  RivalHow,
  RivalName,
  RivalPacedRequest,
  TimedCalls,
} from "./worker_protocol.ts";

const size = 1920 * 1080 * 3 / 2;
const count = 250;
/** Of each measurement, before those that count. */
const warmup = 10;
const batches = { batches: 20, size: 200 };
/** Once, so that every path is compiled as in a process that has run for a while. */
const compiling = { count: 2000, intervalMs: 0.05, batches: 200 };

/** What a reader does until the next frame. */
export type Kind = "blocking" | "spinning";

/** A reader that waits in one way, and what publishes to it. */
export interface Way {
  what: string;
  kind: Kind;
  exchange(intervalMs: number): Promise<Exchange>;
  /** While the reader is connected, and elsewhere: nanoseconds of acquire or loan, and publish, means of batches. */
  publishPastReader?(): Promise<number[]>;
}

/** Ours on one runtime, a rival, or what the system allows. */
export interface Side {
  what: string;
  runtime: string;
  role: "ours" | "rival" | "floor";
  ways: Way[];
  /** As `publishPastReader`, while nobody is connected. */
  publishAlone?(): Promise<number[]>;
}

/** A word that another process waits for: no picture, no library. */
export const floor: Side = {
  what: "bare wake",
  runtime: "C",
  role: "floor",
  ways: [
    { what: "bare futex wake", kind: "blocking", exchange: (intervalMs) => ping("futex", count, intervalMs) },
    { what: "bare spinning", kind: "spinning", exchange: (intervalMs) => ping("spin", count, intervalMs) },
  ],
};

/** Starts a publisher and a reader on one runtime. */
export async function ours(workers: Workers, runtime: RuntimeName, directory: string): Promise<Side> {
  const publisher = workers.start(runtime, "publisher.ts", directory);
  const subscriber = workers.start(runtime, "subscriber.ts", directory);
  const key = `rivals-${runtime}`;
  const lonely = `${key}-alone`;
  const picture = { width: 1920, height: 1080, format: "NV12" };
  await publisher.call("create", { key, ...picture });
  await publisher.call("create", { key: lonely, ...picture });
  await subscriber.call("connect", { key });

  async function exchange(
    how: How,
    { count, intervalMs }: { count: number; intervalMs: number },
  ): Promise<Exchange> {
    const receive: ReceiveRequest = { key, how, count, touch: "none" };
    const publish: PacedRequest = { key, warmup, count, intervalMs };
    const receiving = await subscriber.begin<{ returnedNs: number[] }>("receive", receive);
    const { calledNs, callNs } = await publisher.call<TimedCalls>("publishTimed", publish);
    const { returnedNs } = await receiving.result();
    const latencyNs = returnedNs.flatMap((ns, index) => ns === 0 ? [] : [ns - calledNs[index]!]);
    return { latencyNs, callNs };
  }
  const publish = (key: string, several = batches) =>
    publisher.call<number[]>("publishBatches", { key, ...several });
  const way = (what: string, kind: Kind, how: How): Way => ({
    what,
    kind,
    exchange: (intervalMs) => exchange(how, { count, intervalMs }),
    publishPastReader: () => publish(key),
  });

  for (const how of ["nextSync", "spin"] as const) await exchange(how, compiling);
  await publish(lonely, { ...batches, batches: compiling.batches });
  return {
    what: "cuframes",
    runtime,
    role: "ours",
    ways: [
      way("cuframes, nextSync()", "blocking", "nextSync"),
      way("cuframes, nextSync({ spin })", "spinning", "spin"),
    ],
    publishAlone: () => publish(lonely),
  };
}

/** What bench/workers/rival.ts has started; each measurement has a publisher and a reader of its own. */
export function rival(worker: Worker, name: RivalName, what: string): Side {
  const publish = (how: RivalHow | "none") => {
    const request: RivalBatchRequest = { how, batches: batches.batches, batch: batches.size, size };
    return worker.call<number[]>("publishBatches", request);
  };
  const way = (how: RivalHow, kind: Kind, words: string): Way => ({
    what: `${what}, ${words}`,
    kind,
    exchange: (intervalMs) => {
      const request: RivalPacedRequest = { how, warmup, count, intervalMs, size };
      return worker.call<Exchange>("exchange", request);
    },
    publishPastReader: () => publish(how),
  });
  return {
    what,
    runtime: name === "iceoryx2" ? "Rust" : "C++",
    role: "rival",
    ways: [
      way("waitset", "blocking", "WaitSet"),
      ...(name === "iceoryx2" ? [way("listener", "blocking", "listener alone")] : []),
      way("spin", "spinning", "polling"),
    ],
    publishAlone: () => publish("none"),
  };
}
