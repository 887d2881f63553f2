import { join } from "node:path";
import { transport } from "./floor.ts";
import type { Row } from "./report.ts";
import type { How, PacedRequest, ReceiveRequest, Touch, TransferRequest } from "./requests.ts";
import { median, Samples } from "./statistics.ts";
import { run } from "../scripts/toolchain.mjs";
import { type RuntimeName, type Worker, Workers } from "./worker.ts";

const runtimes: RuntimeName[] = ["Deno", "Bun"];
const touches: Touch[] = ["none", "all"];
const size = 1920 * 1080 * 3 / 2;
/** The first round only warms up. */
const rounds = 4;
const warmup = 5;
const count = 60;
/** Milliseconds from the end of one frame's sending to the next one's. */
const intervalMs = 5;

/** Moves `count` pictures once; returns the CPU microseconds of both ends for each. */
type Measure = (touch: Touch) => Promise<number>;

interface Variant {
  what: string;
  runtime: string;
  kind: "in place" | "copied in" | "rival";
  measure: Measure;
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
        measure: (touch) => share(publisher, subscriber, { key, how, copy, touch }),
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
      measure: (touch) => transfer(sender, receiver, at, touch),
    });
  };
  for (const kind of ["socket", "pipe"] as const) {
    const what = kind === "socket" ? "Unix stream socket, read and write" : "pipe of 1 MiB, read and write";
    variants.push({ what, runtime: "C", kind: "rival", measure: (touch) => bare(kind, touch) });
  }
  for (const runtime of runtimes) rival("Unix stream socket, node:net", runtime, "socket.ts", `${path}.sock`);
  for (const runtime of runtimes) rival("pipe, readSync and writeSync", runtime, "pipe.ts", `${path}.pipe`);
  rival("ZeroMQ, ipc://", "Node", "zeromq.mjs", `${path}.zmq`);

  const samples = new Samples();
  const name = ({ what, runtime }: Variant, touch: Touch) => `${what} ${runtime} ${touch}`;
  for (let round = 0; round < rounds; round++) {
    for (const variant of variants) {
      for (const touch of touches) {
        const cpuUs = await variant.measure(touch);
        if (round > 0) samples.add(name(variant, touch), [cpuUs]);
      }
    }
  }

  return touches.flatMap((touch) => {
    const section = `CPU time of both ends for a 1080p NV12 frame, the consumer reads ${
      touch === "all" ? "every byte" : "none of it"
    }`;
    const cost = (variant: Variant) => median(samples.get(name(variant, touch)));
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
      if (variant.kind === "rival" && touch === "none") {
        row.budget = { text: "≥ 50×", met: row.p50 >= 50 * row.against.value };
      }
      return row;
    });
  });
}

async function share(
  publisher: Worker,
  subscriber: Worker,
  { key, how, copy, touch }: { key: string; how: How; copy: boolean; touch: Touch },
): Promise<number> {
  const receive: ReceiveRequest = { key, how, count, touch };
  const publish: PacedRequest = { key, warmup, count, intervalMs, copy };
  const received = await subscriber.begin<{ cpuUs: number; latencyNs: number[] }>("receive", receive);
  const published = await publisher.call<{ cpuUs: number }>("publishPaced", publish);
  const { cpuUs, latencyNs } = await received.result();
  if (latencyNs.length !== count) throw new Error(`${latencyNs.length} frames of ${count} were received`);
  return (published.cpuUs + cpuUs) / count;
}

async function transfer(sender: Worker, receiver: Worker, path: string, touch: Touch): Promise<number> {
  const request: TransferRequest = { path, warmup, count, size, intervalMs, touch };
  const receiving = await receiver.begin<{ cpuUs: number; received: number }>("receive", request);
  const sent = await sender.call<{ cpuUs: number }>("send", request);
  const { cpuUs, received } = await receiving.result();
  if (received !== (warmup + count) * size) throw new Error(`${received} bytes were received`);
  return (sent.cpuUs + cpuUs) / count;
}

async function bare(kind: "socket" | "pipe", touch: Touch): Promise<number> {
  return (await transport(kind, count, intervalMs, size, touch)).cpuNs / 1000 / count;
}
