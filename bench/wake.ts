import { join } from "node:path";
import { ping } from "./floor.ts";
import type { Row } from "./report.ts";
import type { How, PacedRequest, PingRequest, ReceiveRequest } from "./requests.ts";
import { quantile, Samples, summarize } from "./statistics.ts";
import { type RuntimeName, type Worker, Workers } from "./worker.ts";

const runtimes: RuntimeName[] = ["Deno", "Bun"];
const hows: How[] = ["next", "nextSync", "spin"];
const rounds = 4;
const count = 250;
/** Of each round, before those that count. */
const warmup = 10;
/** Once, so that every path is compiled as in a process that has run for a while. */
const compiling = { count: 2000, intervalMs: 0.05 };
/** Milliseconds between frames: the receiver sleeps again long before the next one, or spins. */
const pace = { next: 2, nextSync: 2, spin: 0.5 } as const;
const names = { next: "await next()", nextSync: "nextSync()", spin: "nextSync({ spin })" } as const;

const keyOf = (publisher: Worker) => `wake-${publisher.runtime}`;
const cell = (publisher: string, subscriber: string, how: How) => `${publisher} → ${subscriber} ${how}`;

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
  for (const how of hows) {
    for (const { publisher, subscriber } of pairs) await measure(publisher, subscriber, how, compiling);
  }
  for (let round = 0; round < rounds; round++) {
    for (const how of hows) {
      const kind = how === "spin" ? "spin" : "futex";
      const request = { count, intervalMs: pace[how] };
      if (how !== "nextSync") samples.add(kind, (await ping(kind, count, pace[how])).latencyNs);
      for (const { publisher, subscriber } of pairs) {
        samples.add(
          cell(publisher.runtime, subscriber.runtime, how),
          await measure(publisher, subscriber, how, request),
        );
      }
    }
    for (const { runtime, sender, receiver } of sockets) {
      const request: PingRequest = {
        path: join(directory, "ping.sock"),
        warmup,
        count,
        intervalMs: pace.next,
      };
      const received = await receiver.begin<{ latencyNs: number[] }>("receivePings", request);
      await sender.call("sendPings", request);
      samples.add(`socket ${runtime}`, (await received.result()).latencyNs);
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
  const floors = {
    futex: { name: "bare futex wake", value: quantile(samples.get("futex"), 0.5) / 1000 },
    spin: { name: "bare spinning", value: quantile(samples.get("spin"), 0.5) / 1000 },
  };
  return [
    row(floors.futex.name, "C → C", "futex"),
    row(floors.spin.name, "C → C", "spin"),
    ...runtimes.map((runtime) => ({
      ...row("8 bytes through node:net", `${runtime} → ${runtime}`, `socket ${runtime}`),
      against: floors.futex,
    })),
    ...hows.flatMap((how) =>
      pairs.map(({ publisher, subscriber }): Row => {
        const against = how === "spin" ? floors.spin : floors.futex;
        const pair = `${publisher.runtime} → ${subscriber.runtime}`;
        const measured = {
          ...row(names[how], pair, cell(publisher.runtime, subscriber.runtime, how)),
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
