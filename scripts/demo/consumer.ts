// Holds every frame it is given, and hashes it before and after.

import { setTimeout } from "node:timers/promises";
import { type Frame, type Mode, monotonicNow, Subscriber } from "../../mod.ts";
import { digest, digestOf, equal, main, type Task, task, tell } from "./events.ts";

export interface ConsumerTask extends Task {
  name: string;
  mode: Mode;
  /** Milliseconds to hold each frame. */
  hold: number;
}

await main(async () => {
  const { key, runtimeDirectory, name, mode, hold } = task<ConsumerTask>();
  using camera = await Subscriber.connect(key, { name, mode, runtimeDirectory, packets: false });
  tell({ event: "ready" });

  const latencies: number[] = [];
  let torn = 0;
  let last = 0;
  for await (using frame of camera) {
    latencies.push(Number(monotonicNow() - frame.publishedNs) / 1000);
    const before = await look(frame);
    await setTimeout(hold);
    const after = await look(frame);
    if (!equal(before, frame.metadata) || !equal(after, frame.metadata)) torn++;
    last = Number(frame.sequence);
  }
  const { received, dropped } = camera.stats();
  latencies.sort((one, other) => one - other);
  const quantile = (share: number) => Math.round(latencies[Math.floor(latencies.length * share)] ?? 0);
  tell({ event: "consumed", received, dropped, torn, last, p50: quantile(0.5), p99: quantile(0.99) });
});

/** The hash of what the frame holds now. */
async function look(frame: Frame): Promise<Uint8Array> {
  if (frame.memory === "host") return digest(frame.planes);
  await frame.toHost({ refresh: true });
  const picture = new Uint8Array(frame.allocationSize());
  await frame.copyTo(picture);
  return digestOf(picture);
}
