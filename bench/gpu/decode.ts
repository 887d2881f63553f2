// Frames per second from a file to another process through a ring on the GPU, beside the same decode with no sharing.
// Prints one JSON line. The second process is this file again.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Publisher, Subscriber } from "../../mod.ts";
import { openMedia } from "../../media.ts";
import { jsonLines } from "../../scripts/lib/json_lines.ts";
import { Child } from "../../scripts/lib/process.ts";

const key = "bench-decode";
const rounds = 5;

async function decodeOnly(input: string): Promise<number> {
  await using media = await openMedia(input, { hardware: "cuda" });
  let frames = 0;
  const start = performance.now();
  for await (const event of media) if (event.kind === "frame") frames++;
  return frames / (performance.now() - start) * 1000;
}

/** Until the subscriber has had every frame. */
async function decodeAndShare(input: string): Promise<number> {
  const runtimeDirectory = mkdtempSync(join(tmpdir(), "cuframes-bench-"));
  await using media = await openMedia(input, { hardware: "cuda" });
  const publisher = Publisher.create({
    key,
    width: media.width,
    height: media.height,
    format: media.format,
    memory: "cuda",
    policy: "wait",
    timeout: 10_000,
    runtimeDirectory,
  });
  const self = fileURLToPath(import.meta.url);
  const prefix = "Deno" in globalThis ? ["run", "-A", "--no-check"] : [];
  const command = [process.execPath, ...prefix, self, "subscribe", runtimeDirectory];
  await using child = new Child(command, { stdout: "read", stderr: "inherit" });
  const told = jsonLines<{ received: number }>(child.stdout);
  await told.next(); // connected
  let frames = 0;
  const start = performance.now();
  for await (const event of media) {
    if (event.kind !== "frame") continue;
    using slot = await publisher.acquireAsync();
    event.writeTo(slot);
    slot.publish({ timestampNs: event.timestampNs });
    frames++;
  }
  publisher.close();
  const { received = 0 } = (await told.next()).value ?? {};
  const rate = frames / (performance.now() - start) * 1000;
  await child.ended;
  rmSync(runtimeDirectory, { recursive: true });
  if (received !== frames) throw new Error(`${received} of ${frames} frames arrived`);
  return rate;
}

async function subscribe(runtimeDirectory: string): Promise<void> {
  using camera = await Subscriber.connect(key, { mode: "ordered", runtimeDirectory });
  let received = 0;
  console.log(JSON.stringify({ received }));
  for await (using _frame of camera) received++;
  console.log(JSON.stringify({ received }));
}

function median(values: number[]): number {
  return values.toSorted((one, other) => one - other)[values.length >> 1]!;
}

const [first = "", second = ""] = process.argv.slice(2);
if (first === "subscribe") {
  await subscribe(second);
} else {
  const alone: number[] = [];
  const shared: number[] = [];
  for (let round = 0; round < rounds; round++) {
    alone.push(await decodeOnly(first));
    shared.push(await decodeAndShare(first));
  }
  console.log(JSON.stringify({
    input: first.split("/").at(-1),
    decodeOnlyFps: Math.round(median(alone)),
    decodeToSubscriberFps: Math.round(median(shared)),
  }));
}
