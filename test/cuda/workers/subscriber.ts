// A subscriber that checks every byte of every frame it gets, and reports when its publisher is gone or it is told to
// stop.

import process from "node:process";
import { CuframesError, type Frame, Subscriber, type SubscriberOptions } from "../../../mod.ts";
import { commands, optionsOf, report, turn } from "../../support/programs/worker.ts";
import { frameSize, Gpu, mismatches } from "../../support/gpu.ts";
import { valueOf } from "./content.ts";
import { stateOf } from "./state.ts";

/** Where a frame is looked at: in the library's copies, or on the GPU until it is released by its stream. */
export type How = "toHost" | "copyTo" | "gpu";

export interface Options extends SubscriberOptions {
  key: string;
  how?: How;
  /** With "gpu": reads each frame bit by bit over so many ms. */
  slowMs?: number;
  /** Connects, and looks at nothing. */
  idle?: boolean;
  /** Frames after which it reports "ended" by itself. */
  last?: number;
  /** Subscribers in this process; default 1. */
  count?: number;
}

/** "stop": "ended"; "state": see stateOf. */
export type Command = { do: "stop" } | { do: "state" };

/** What one subscriber saw. */
export interface Result {
  received: number;
  dropped: number;
  /** Frames, or with "gpu" words, whose content was not that of their sequence. */
  torn: number;
  /** Frames that did not come after the one before. */
  disordered: number;
  /** Sequence of the last frame. */
  last: number;
}

const options = optionsOf<Options>();
const { how = "toHost", slowMs = 0, last = Infinity } = options;
const gpu = options.idle ? undefined : Gpu.open();

function hostLook(): (frame: Frame, value: number) => Promise<boolean> {
  let pixels = new Uint8Array(0);
  return async (frame, value) => {
    if (how === "toHost") return mismatches(await frame.toHost(), value) === 0;
    if (pixels.length === 0) pixels = new Uint8Array(frame.allocationSize());
    await frame.copyTo(pixels);
    return mismatches(pixels, value) === 0;
  };
}

/** Queues the look at a frame behind a copy of it, and lets it go when the GPU has done both. */
function deviceLook(frameBytes: number) {
  const stream = gpu!.stream();
  const verifier = gpu!.verifier(frameBytes, stream);
  const copy = gpu!.allocate(frameBytes);
  return {
    look(frame: Frame, value: number): void {
      if (slowMs > 0) gpu!.slowCopy(copy, frame.devicePointer!, frameBytes, slowMs, stream);
      verifier.check(slowMs > 0 ? copy : frame.devicePointer!, value, frameBytes);
      frame.release({ stream });
    },
    settle: () => gpu!.synchronize(stream),
    torn: () => verifier.mismatches(),
  };
}

async function follow(subscriber: Subscriber): Promise<Result> {
  const result: Result = { received: 0, dropped: 0, torn: 0, disordered: 0, last: 0 };
  const host = hostLook();
  let device: ReturnType<typeof deviceLook> | undefined;
  while (result.last < last) {
    let frame: Frame;
    try {
      frame = await subscriber.next();
    } catch (error) {
      if (!(error instanceof CuframesError)) throw error;
      // All 8 leases are under reads that run, or whose end is about to be seen.
      if (error.code === "WOULD_BLOCK") {
        device?.settle();
        await turn();
        continue;
      }
      if (error.code === "DISCONNECTED") break;
      throw error;
    }
    if (result.last === 0) report("frame");
    if (Number(frame.sequence) <= result.last && !frame.discontinuity) result.disordered++;
    result.last = Number(frame.sequence);
    const value = valueOf(frame.sequence);
    if (how === "gpu") {
      device ??= deviceLook(frameSize(frame));
      device.look(frame, value);
    } else {
      if (!(await host(frame, value))) result.torn++;
      frame.close();
    }
    const stats = subscriber.stats();
    result.received = stats.received;
    result.dropped = stats.dropped;
  }
  result.torn += device?.torn() ?? 0;
  return result;
}

async function obey(subscribers: readonly Subscriber[]): Promise<void> {
  for await (const command of commands<Command>()) {
    if (command.do === "stop") subscribers.forEach((subscriber) => subscriber.close());
    else report("state", stateOf(gpu));
  }
  process.exit(0);
}

try {
  const subscribers: Subscriber[] = [];
  for (let index = 0; index < (options.count ?? 1); index++) {
    subscribers.push(await Subscriber.connect(options.key, options));
  }
  report("connected", { device: subscribers[0]!.device });
  obey(subscribers);
  if (!options.idle) {
    const results = await Promise.all(subscribers.map(follow));
    for (const subscriber of subscribers) subscriber.close();
    report("ended", { results });
  }
} catch (error) {
  if (!(error instanceof CuframesError)) throw error;
  report("failed", { code: error.code, message: error.message });
  process.exit(1);
}
