import { join } from "node:path";
import { ping } from "./floor.ts";
import type { Row } from "./report.ts";
import type { How, PacedRequest, PingRequest, ReceiveRequest } from "./worker_protocol.ts";
import { Samples, summarize } from "./statistics.ts";
import { type RuntimeName, type Worker, Workers } from "./worker.ts";

const runtimes: RuntimeName[] = ["Deno", "Bun"];
const rounds = 4;
const count = 250;
/** Of each round, before those that count. */
const warmup = 10;
/** Once, so that every path is compiled as in a process that has run for a while. */
const compiling = { count: 2000, intervalMs: 0.05 };
const names = { next: "await next()", nextSync: "nextSync()", spin: "nextSync({ spin })" } as const;
/**
 * Milliseconds between frames. The receiver sleeps again before the next one, or spins. After 2 ms the machine's CPUs
 * sleep too, and what they knew of the code is gone: the second pace shows what of a latency is that.
 */
const paces = [2, 0.3];
const spinPace = 0.5;
const cases: { how: How; pace: number }[] = [
  ...paces.flatMap((pace) => (["next", "nextSync"] as const).map((how) => ({ how, pace }))),
  { how: "spin", pace: spinPace },
];

const keyOf = (publisher: Worker) => `wake-${publisher.runtime}`;
const cell = (publisher: string, subscriber: string, how: How, pace: number) =>
  `${publisher} → ${subscriber} ${how} ${pace}`;

/** From publish in one process to the frame in another one's hands. */
export async function measureWake(directory: string): Promise<Row[]> {
  const samples = new Samples();
  await using workers = new Workers();
  const start = (runtime: RuntimeName, script: string) => workers.start(runtime, script, directory);
  const publishers = runtimes.map((runtime) => start(runtime, "publisher.ts"));
  const subscribers = runtimes.map((runtime) => start(runtime, "subscriber.ts"));
  const sockets = runtimes.map((runtime) => ({
    runtime,
    sender: start(runtime, "socket.ts"),
    receiver: start(runtime, "socket.ts"),
  }));
  const pairs = publishers.flatMap((publisher) =>
    subscribers.map((subscriber) => ({ publisher, subscriber }))
  );
  for (const publisher of publishers) {
    await publisher.call("create", { key: keyOf(publisher), width: 1920, height: 1080, format: "NV12" });
    for (const subscriber of subscribers) await subscriber.call("connect", { key: keyOf(publisher) });
  }
  for (const how of Object.keys(names) as How[]) {
    for (const { publisher, subscriber } of pairs) await measure(publisher, subscriber, how, compiling);
  }
  for (let round = 0; round < rounds; round++) {
    for (const pace of paces) samples.add(`futex ${pace}`, (await ping("futex", count, pace)).latencyNs);
    samples.add("spin", (await ping("spin", count, spinPace)).latencyNs);
    for (const { how, pace } of cases) {
      for (const { publisher, subscriber } of pairs) {
        samples.add(
          cell(publisher.runtime, subscriber.runtime, how, pace),
          await measure(publisher, subscriber, how, { count, intervalMs: pace }),
        );
      }
    }
    for (const pace of paces) {
      for (const { runtime, sender, receiver } of sockets) {
        const request: PingRequest = {
          path: join(directory, "ping.sock"),
          warmup,
          count,
          intervalMs: pace,
        };
        const received = await receiver.begin<{ latencyNs: number[] }>("receivePings", request);
        await sender.call("sendPings", request);
        samples.add(`socket ${runtime} ${pace}`, (await received.result()).latencyNs);
      }
    }
  }

  const row = (what: string, runtime: string, name: string): Row => {
    const { p50, p99 } = summarize(samples.get(name));
    return {
      section: "Wake-up across processes, publish to resumed",
      what,
      runtime,
      unit: "µs",
      p50: p50 / 1000,
      p99: p99 / 1000,
    };
  };
  const every = (pace: number) => `every ${pace} ms`;
  const futex = paces.map((pace) => row(`bare futex wake, ${every(pace)}`, "C → C", `futex ${pace}`));
  const spin = row("bare spinning", "C → C", "spin");
  const floor = ({ what, p50 }: Row) => ({ name: what, value: p50 });
  const futexAt = (pace: number) => floor(futex[paces.indexOf(pace)]!);
  return [
    ...futex,
    spin,
    ...paces.flatMap((pace) =>
      runtimes.map((runtime): Row => ({
        ...row(
          `8 bytes through node:net, ${every(pace)}`,
          `${runtime} → ${runtime}`,
          `socket ${runtime} ${pace}`,
        ),
        against: futexAt(pace),
      }))
    ),
    ...cases.flatMap(({ how, pace }) =>
      pairs.map(({ publisher, subscriber }): Row => {
        const what = how === "spin" ? names[how] : `${names[how]}, ${every(pace)}`;
        const pair = `${publisher.runtime} → ${subscriber.runtime}`;
        const against = how === "spin" ? floor(spin) : futexAt(pace);
        const measured = {
          ...row(what, pair, cell(publisher.runtime, subscriber.runtime, how, pace)),
          against,
        };
        return { ...measured, budget: budget(how, measured) };
      })
    ),
  ];
}

async function measure(
  publisher: Worker,
  subscriber: Worker,
  how: How,
  { count, intervalMs }: { count: number; intervalMs: number },
): Promise<number[]> {
  const key = keyOf(publisher);
  const receive: ReceiveRequest = { key, how, count, touch: "none" };
  const publish: PacedRequest = { key, warmup, count, intervalMs };
  const received = await subscriber.begin<{ latencyNs: number[] }>("receive", receive);
  await publisher.call("publishPaced", publish);
  return (await received.result()).latencyNs;
}

function budget(
  how: How,
  { p50, p99, against }: Row & { against: { value: number } },
): NonNullable<Row["budget"]> {
  if (how === "next") return { text: "p50 ≤ 35 µs, p99 ≤ 200 µs", met: p50 <= 35 && p99! <= 200 };
  if (how === "nextSync") return { text: "p50 ≤ 2× bare futex wake", met: p50 <= 2 * against.value };
  return { text: "p50 ≤ 1.5 µs", met: p50 <= 1.5 };
}
