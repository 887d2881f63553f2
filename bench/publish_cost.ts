import { ping } from "./floor.ts";
import type { Row } from "./report.ts";
import type { PacedRequest, ReceiveRequest } from "./worker_protocol.ts";
import { median, Samples, summarize } from "./statistics.ts";
import { type RuntimeName, Workers } from "./worker.ts";

const runtimes: RuntimeName[] = ["Deno", "Bun"];
const audiences = [0, 1, 8, 32];
const rounds = 6;
const batches = { batches: 40, size: 200 };
const warmup = 10;
const count = 150;
/** Milliseconds between frames where one at a time is timed: the one who waits is asleep again. */
const intervalMs = 2;

/** What publishing costs the publisher, by who listens. */
export async function measurePublishCost(directory: string): Promise<Row[]> {
  const samples = new Samples();
  await using workers = new Workers();
  const pairs = [];
  for (const runtime of runtimes) {
    const publisher = workers.start(runtime, "publisher.ts", directory);
    const subscriber = workers.start(runtime, "subscriber.ts", directory);
    const key = (audience: number) => `cost-${runtime}-${audience}`;
    for (const audience of audiences) {
      await publisher.call("create", { key: key(audience), width: 1920, height: 1080, format: "NV12" });
      await subscriber.call("connect", { key: key(audience), connections: audience });
    }
    pairs.push({ runtime, publisher, subscriber, key });
  }
  for (let round = 0; round < rounds; round++) {
    const gather = (name: string, values: number[]) => round > 0 && samples.add(name, values);
    gather("futex call", (await ping("futex", count, intervalMs)).callNs);
    for (const { runtime, publisher, subscriber, key } of pairs) {
      for (const audience of audiences) {
        const request = { key: key(audience), ...batches };
        gather(`${runtime} ${audience}`, await publisher.call<number[]>("publishBatches", request));
      }
      const publish: PacedRequest = { key: key(0), warmup, count, intervalMs };
      gather(
        `${runtime} paced`,
        (await publisher.call<{ callNs: number[] }>("publishPaced", publish)).callNs,
      );
      const receive: ReceiveRequest = { key: key(1), how: "nextSync", count, touch: "none" };
      const received = await subscriber.begin("receive", receive);
      const waking = await publisher.call<{ callNs: number[] }>("publishPaced", { ...publish, key: key(1) });
      gather(`${runtime} waking`, waking.callNs);
      await received.result();
    }
  }

  const row = (what: string, runtime: string, name: string): Row => {
    const { p50, p99 } = summarize(samples.get(name));
    return { section: "What publishing costs the publisher", what, runtime, unit: "ns", p50, p99 };
  };
  return [
    ...audiences.flatMap((audience) =>
      runtimes.map((runtime) => {
        const measured = row(
          `acquire + publish, ${audience} connected, none waits`,
          runtime,
          `${runtime} ${audience}`,
        );
        if (audience === 0) return measured;
        const alone = median(samples.get(`${runtime} 0`));
        const each = (measured.p50 - alone) / audience;
        const budget = { text: `≤ 50 ns each: ${each.toFixed(1)} ns`, met: each <= 50 };
        return { ...measured, against: { name: "nobody connected", value: alone }, budget };
      })
    ),
    row("system call of a bare futex wake, every 2 ms", "C", "futex call"),
    ...runtimes.flatMap((runtime) => [
      row("publish alone, every 2 ms, nobody connected", runtime, `${runtime} paced`),
      {
        ...row("publish alone, every 2 ms, one asleep in nextSync", runtime, `${runtime} waking`),
        against: { name: "nobody connected", value: median(samples.get(`${runtime} paced`)) },
      },
    ]),
  ];
}
