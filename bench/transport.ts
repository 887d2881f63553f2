import { join } from "node:path";
import { transport } from "./floor.ts";
import type { Row } from "./report.ts";
import type { How, PacedRequest, ReceiveRequest, Touch, TransferRequest } from "./worker_protocol.ts";
import { median, Samples } from "./statistics.ts";
import { run } from "../scripts/lib/process.ts";
import { type RuntimeName, type Worker, Workers } from "./worker.ts";

const runtimes: RuntimeName[] = ["Deno", "Bun"];
const size = 1920 * 1080 * 3 / 2;
/** The first round only warms up. */
const rounds = 4;
/** Of each round, before those that count. */
const warmup = 5;
const count = 40;
/** Milliseconds between a camera's frames, and how many of them: they take their time. */
const cameraPace = { intervalMs: 40, count: 25 };
/** In place and unread, frames go so fast that a few of them would be lost in the clock. */
const countUnread = 10_000;

/** What is compared: how much the consumer reads, and the milliseconds that the sender sleeps between frames. */
interface Setting {
  touch: Touch;
  intervalMs: number;
}

const settings: Setting[] = [
  { touch: "none", intervalMs: 0 },
  { touch: "all", intervalMs: 0 },
  { touch: "none", intervalMs: 5 },
  { touch: "all", intervalMs: 5 },
  { touch: "none", intervalMs: cameraPace.intervalMs },
];

/** CPU microseconds for a frame. */
interface Cost {
  both: number;
  /** Of each process, where the ends are two. */
  ends?: { publisher: number; consumer: number };
}

interface Variant {
  what: string;
  runtime: string;
  kind: "in place" | "copied in" | "rival";
  /** Moves pictures once. */
  measure(setting: Setting): Promise<Cost>;
}

/** CPU time of both ends for a 1080p NV12 frame with one consumer: in place, and through the rivals. */
export async function measureTransport(directory: string): Promise<Row[]> {
  await using workers = new Workers();
  const start = (runtime: RuntimeName, script: string) => workers.start(runtime, script, directory);
  const variants: Variant[] = [];
  for (const runtime of runtimes) {
    const publisher = start(runtime, "publisher.ts");
    const subscriber = start(runtime, "subscriber.ts");
    const key = `transport-${runtime}`;
    // Nothing is dropped, as nothing is by the rivals.
    await publisher.call("create", {
      key,
      width: 1920,
      height: 1080,
      format: "NV12",
      policy: "wait",
      timeout: 60_000,
    });
    await subscriber.call("connect", { key, mode: "ordered" });
    const add = (what: string, how: How, copy = false) =>
      variants.push({
        what,
        runtime,
        kind: copy ? "copied in" : "in place",
        measure: (setting) => share(publisher, subscriber, { key, how, copy }, setting),
      });
    add("cuframes, await next()", "next");
    add("cuframes, nextSync()", "nextSync");
    add("cuframes, await next(), the picture copied into its slot first", "next", true);
  }
  const path = join(directory, "transport");
  await run("mkfifo", [`${path}.pipe`]);
  const rival = (what: string, runtime: RuntimeName, script: string, at: string) => {
    const [sender, receiver] = [start(runtime, script), start(runtime, script)];
    variants.push({
      what,
      runtime,
      kind: "rival",
      measure: (setting) => transfer(sender, receiver, at, setting),
    });
  };
  for (const kind of ["socket", "pipe"] as const) {
    const what = kind === "socket" ? "Unix stream socket, read and write" : "pipe of 1 MiB, read and write";
    variants.push({ what, runtime: "C", kind: "rival", measure: (setting) => bare(kind, setting) });
  }
  for (const runtime of runtimes) rival("Unix stream socket, node:net", runtime, "socket.ts", `${path}.sock`);
  for (const runtime of runtimes) rival("pipe, readSync and writeSync", runtime, "pipe.ts", `${path}.pipe`);
  rival("ZeroMQ, ipc://", "Node", "zeromq.mjs", `${path}.zmq`);

  const samples = new Samples();
  const name = ({ what, runtime }: Variant, { touch, intervalMs }: Setting) =>
    `${what} ${runtime} ${touch} ${intervalMs}`;
  for (let round = 0; round < rounds; round++) {
    for (const setting of settings) {
      for (const variant of variants) {
        const { both, ends } = await variant.measure(setting);
        if (round === 0) continue;
        samples.add(name(variant, setting), [both]);
        for (const [end, cost] of Object.entries(ends ?? {})) {
          samples.add(`${name(variant, setting)} ${end}`, [cost]);
        }
      }
    }
  }

  const both = settings.flatMap((setting) => {
    const section = `CPU time of both ends for a 1080p NV12 frame, ${describe(setting)}`;
    const cost = (variant: Variant) => median(samples.get(name(variant, setting)));
    // The rivals are held against the slowest way of ours.
    const inPlace = variants.filter(({ kind }) => kind === "in place");
    const reference = inPlace.reduce((slowest, variant) => cost(variant) > cost(slowest) ? variant : slowest);
    return variants.map((variant): Row => {
      const row: Row = {
        section,
        what: variant.what,
        runtime: variant.runtime,
        unit: "µs",
        p50: cost(variant),
      };
      if (variant === reference) return row;
      row.against = { name: `${reference.what} on ${reference.runtime}`, value: cost(reference) };
      const isBudgeted = variant.kind === "rival" && setting.touch === "none";
      if (isBudgeted) row.budget = { text: "≥ 50×", met: row.p50 >= 50 * row.against.value };
      return row;
    });
  });
  const atCamera = settings.at(-1)!;
  const each = variants.filter(({ runtime }) => runtime !== "C").flatMap((variant) =>
    (["publisher", "consumer"] as const).map((end): Row => {
      const cost = median(samples.get(`${name(variant, atCamera)} ${end}`));
      const percent = cost / (atCamera.intervalMs * 1000) * 100;
      const isBudgeted = variant.kind === "in place" && end === "consumer";
      return {
        section: `CPU time of each process, in percent of a core, ${describe(atCamera)}`,
        what: `${variant.what}: the ${end}`,
        runtime: variant.runtime,
        unit: "%",
        p50: percent,
        ...(isBudgeted && { budget: { text: "≤ 1 %", met: percent <= 1 } }),
      };
    })
  );
  return [...both, ...each];
}

/** Frames that count, of one round. */
function countOf({ intervalMs }: Setting): number {
  return intervalMs === cameraPace.intervalMs ? cameraPace.count : count;
}

function describe({ touch, intervalMs }: Setting): string {
  const pace = intervalMs === 0 ? "as fast as they go" : `one every ${intervalMs} ms`;
  return `${pace}, the consumer reads ${touch === "all" ? "every byte" : "none of it"}`;
}

async function share(
  publisher: Worker,
  subscriber: Worker,
  { key, how, copy }: { key: string; how: How; copy: boolean },
  setting: Setting,
): Promise<Cost> {
  const { touch, intervalMs } = setting;
  const frames = touch === "none" && intervalMs === 0 && !copy ? countUnread : countOf(setting);
  const receive: ReceiveRequest = { key, how, count: frames, touch };
  const publish: PacedRequest = { key, warmup, count: frames, intervalMs, copy };
  const received = await subscriber.begin<{ cpuUs: number; latencyNs: number[] }>("receive", receive);
  const published = await publisher.call<{ cpuUs: number }>("publishPaced", publish);
  const { cpuUs, latencyNs } = await received.result();
  if (latencyNs.length !== frames) throw new Error(`${latencyNs.length} frames of ${frames} were received`);
  return costOf(published.cpuUs, cpuUs, frames);
}

async function transfer(
  sender: Worker,
  receiver: Worker,
  path: string,
  setting: Setting,
): Promise<Cost> {
  const frames = countOf(setting);
  const request: TransferRequest = { path, warmup, count: frames, size, ...setting };
  const receiving = await receiver.begin<{ cpuUs: number; received: number }>("receive", request);
  const sent = await sender.call<{ cpuUs: number }>("send", request);
  const { cpuUs, received } = await receiving.result();
  if (received !== (warmup + frames) * size) throw new Error(`${received} bytes were received`);
  return costOf(sent.cpuUs, cpuUs, frames);
}

function costOf(publisherUs: number, consumerUs: number, frames: number): Cost {
  return {
    both: (publisherUs + consumerUs) / frames,
    ends: { publisher: publisherUs / frames, consumer: consumerUs / frames },
  };
}

async function bare(kind: "socket" | "pipe", setting: Setting): Promise<Cost> {
  const { touch, intervalMs } = setting;
  const frames = countOf(setting);
  return { both: (await transport(kind, frames, intervalMs, size, touch)).cpuNs / 1000 / frames };
}
