import { setTimeout as sleep } from "node:timers/promises";
import type { CpuShare } from "./process_usage.ts";
import { countOf, type Kind, until } from "./progress.ts";
import type { Subject } from "./subject.ts";

/** Behind the first frame: what a process compiles at its beginning is not what it costs. */
const WARM_UP_MS = 3000;

/** What a process takes once it is in its stride. */
export interface SteadyShare extends CpuShare {
  /** Frames or packets a second, published or read; undefined where nothing is. */
  rate: number | undefined;
}

/** What a subject publishes or reads, if anything. */
export interface Stream {
  key: string;
  sockets: string;
  /** Undefined for a publisher. */
  reads: Kind | undefined;
}

/** Waits until a subject has published, read or, without a stream, printed something, and looks at it for a while then. */
export async function steadyShare(
  subject: Subject,
  milliseconds: number,
  stream?: Stream,
): Promise<SteadyShare> {
  const count = () => stream ? countOf(subject, stream.key, stream.sockets, stream.reads) : subject.printed;
  await until(subject, "it has not begun", async () => await count() > 0);
  await sleep(WARM_UP_MS);
  const [before, since] = [await count(), performance.now()];
  const share = await subject.cpuShare(milliseconds);
  const seconds = (performance.now() - since) / 1000;
  return { ...share, rate: stream && (await count() - before) / seconds };
}
