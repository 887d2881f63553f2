// When a frame becomes visible, and when its slot is free again: after the GPU's work, whatever the caller does.

import { setTimeout as delay } from "node:timers/promises";
import { expect } from "vitest";
import type { Frame, Publisher } from "../../mod.ts";
import { library } from "../../src/ffi/library.ts";
import { SubscriberStats as StatsLayout } from "../../src/ffi/layout.ts";
import { claimsOf, createPublisher, refusalOf, runClaim, subscribe } from "../support/cuda.ts";
import { frameSize, Gpu, mismatches, nothing } from "../support/gpu.ts";
import { eventually, outcomeOf } from "../support/processes.ts";

const claim = claimsOf(import.meta.url);

/** Long enough that a call which waits for it cannot pass for one that does not. */
const slowMs = 500;
const atOnceMs = slowMs / 2;

function elapsed(act: () => void): number {
  const start = performance.now();
  act();
  return performance.now() - start;
}

/** Publishes a frame full of `value` and waits until it is visible. */
async function publishAtOnce(publisher: Publisher, gpu: Gpu, value: number): Promise<void> {
  const stream = gpu.stream();
  using frame = publisher.acquire();
  gpu.fill(frame.devicePointer!, value, frameSize(publisher), stream);
  const sequence = frame.publish({ stream });
  await eventually("the frame is visible", () => publisher.stats().published >= sequence);
  gpu.destroyStream(stream);
}

/** Publishes a frame that is filled over so many ms from now on. */
function publishSlowly(
  publisher: Publisher,
  gpu: Gpu,
  value: number,
  milliseconds: number,
  stream: bigint,
): bigint {
  using frame = publisher.acquire();
  gpu.slowFill(frame.devicePointer!, value, frameSize(publisher), milliseconds, stream);
  return frame.publish({ stream });
}

async function contentOf(frame: Frame): Promise<Uint8Array> {
  return (await frame.toHost()).slice();
}

async function isFilledWith(frame: Frame, value: number): Promise<boolean> {
  return mismatches(await contentOf(frame), value) === 0;
}

claim("publish returns while the GPU fills the frame, which nobody sees before it is full", async () => {
  using gpu = Gpu.open();
  using publisher = createPublisher({ slots: 3 });
  using subscriber = await subscribe(publisher);
  const stream = gpu.stream();
  gpu.slowFill(gpu.allocate(4), 0, 4, 1, stream); // what is loaded at the first use is loaded now
  gpu.synchronize(stream);
  for (let value = 1; value <= 2; value++) {
    const start = performance.now();
    const took = elapsed(() => publishSlowly(publisher, gpu, value, slowMs, stream));
    expect(took).toBeLessThan(atOnceMs);
    expect(gpu.isIdle(stream)).toBe(false);
    expect(refusalOf(() => subscriber.nextSync({ timeout: 0 })).code).toBe("WOULD_BLOCK");
    using frame = value % 2 === 0 ? subscriber.nextSync() : await subscriber.next();
    expect(performance.now() - start).toBeGreaterThan(slowMs * 0.9);
    expect(frame.sequence).toBe(BigInt(value));
    expect(await isFilledWith(frame, value)).toBe(true);
  }
});

claim("what a subscriber looks at all the time is never half-written", async () => {
  using gpu = Gpu.open();
  using publisher = createPublisher({ slots: 3 });
  using subscriber = await subscribe(publisher);
  const stream = gpu.stream();
  const last = 40;
  let torn = 0;
  const looking = (async () => {
    for await (using frame of subscriber) {
      const bytes = await contentOf(frame);
      if (mismatches(bytes, Number(frame.sequence)) > 0) torn++;
      if (Number(frame.sequence) === last) return;
    }
  })();
  for (let value = 1; value <= last; value++) {
    using frame = await publisher.acquireAsync({ timeout: 10_000 });
    gpu.slowFill(frame.devicePointer!, value, frameSize(publisher), 10, stream);
    frame.publish({ stream });
  }
  await looking;
  expect(torn).toBe(0);
});

claim("frames become visible in the order of publish, whichever stream is done first", async () => {
  using gpu = Gpu.open();
  using publisher = createPublisher({ slots: 4 });
  using ordered = await subscribe(publisher, { mode: "ordered" });
  using newest = await subscribe(publisher);
  const [long, short, idle] = [gpu.stream(), gpu.stream(), gpu.stream()];
  const whole = publisher.acquire();
  gpu.fill(whole.devicePointer!, 3, frameSize(publisher), idle);
  gpu.synchronize(idle);
  publishSlowly(publisher, gpu, 1, slowMs, long);
  publishSlowly(publisher, gpu, 2, 1, short);
  whole.publish({ stream: idle });
  gpu.synchronize(short);
  expect(gpu.isIdle(long)).toBe(false);
  for (const subscriber of [ordered, newest]) {
    expect(refusalOf(() => subscriber.nextSync({ timeout: 0 })).code).toBe("WOULD_BLOCK");
  }
  for (const value of [1, 2, 3]) {
    using frame = await ordered.next();
    expect(Number(frame.sequence)).toBe(value);
    expect(await isFilledWith(frame, value)).toBe(true);
  }
  expect(ordered.stats().dropped).toBe(0);
});

claim("frames of one stream and of none come in turn, all of them", async () => {
  using gpu = Gpu.open();
  using publisher = createPublisher({ slots: 8, policy: "wait" });
  using subscriber = await subscribe(publisher, { mode: "ordered" });
  const stream = gpu.stream();
  const bytes = new Uint8Array(32 * 16 * 3 / 2);
  const writing = (async () => {
    for (let value = 1; value <= 200; value++) {
      using frame = await publisher.acquireAsync({ timeout: 10_000 });
      if (value % 3 === 0) {
        frame.write(bytes.fill(value));
        frame.publish();
      } else {
        const on = value % 3 === 1 ? stream : 0n;
        gpu.fill(frame.devicePointer!, value, frameSize(publisher), on);
        frame.publish({ stream: on });
      }
    }
  })();
  for (let value = 1; value <= 200; value++) {
    using frame = await subscriber.next();
    expect(Number(frame.sequence)).toBe(value);
    const pixels = new Uint8Array(bytes.length);
    await frame.copyTo(pixels);
    expect(mismatches(pixels, value)).toBe(0);
  }
  await writing;
});

claim("a slot is not refilled while a queued read of its frame runs", async () => {
  using gpu = Gpu.open();
  using publisher = createPublisher({ slots: 2, policy: "wait", timeout: 0 });
  using subscriber = await subscribe(publisher);
  const size = frameSize(publisher);
  const [stream, copies] = [gpu.stream(), gpu.stream()];
  const destination = gpu.allocate(size);
  const copy = gpu.pinned(size);
  gpu.slowFill(gpu.allocate(4), 0, 4, 1, stream);
  gpu.slowCopy(destination, destination, 4, 1, stream);
  gpu.synchronize(stream);
  await publishAtOnce(publisher, gpu, 1);

  const frame = await subscriber.next();
  gpu.slowCopy(destination, frame.devicePointer!, size, slowMs, stream);
  expect(elapsed(() => frame.release({ stream }))).toBeLessThan(atOnceMs);
  expect(frame.closed).toBe(true);
  expect(subscriber.stats().held).toBe(1);

  // One slot is being read, the other one has the newest frame from here on.
  await publishAtOnce(publisher, gpu, 2);
  let refused = 0;
  while (!gpu.isIdle(stream)) {
    try {
      using next = publisher.acquire();
      if (!gpu.isIdle(stream)) throw new Error("a slot was free while it was read");
      next.close();
    } catch (error) {
      if ((error as { code?: string }).code !== "WOULD_BLOCK") throw error;
      refused++;
    }
    await delay(1);
  }
  expect(refused).toBeGreaterThan(5);
  gpu.download(copy, destination, size, copies);
  gpu.synchronize(copies);
  expect(mismatches(copy.bytes, 1)).toBe(0);
  await eventually("the lease has ended", () => subscriber.stats().held === 0);
  publisher.acquire().close();
});

claim("leases end one by one as the reads of each are done, clones on their own", async () => {
  using gpu = Gpu.open();
  using publisher = createPublisher({ slots: 8 });
  using subscriber = await subscribe(publisher, { mode: "ordered" });
  const size = frameSize(publisher);
  const destination = gpu.allocate(size);
  const [slow, fast] = [gpu.stream(), gpu.stream()];
  for (const value of [1, 2, 3]) await publishAtOnce(publisher, gpu, value);
  const frames = [await subscriber.next(), await subscriber.next(), await subscriber.next()];
  const clone = frames[0]!.clone();
  gpu.slowCopy(destination, frames[0]!.devicePointer!, size, slowMs, slow);
  frames[0]!.release({ stream: slow });
  frames[1]!.release({ stream: fast });
  frames[2]!.close();
  expect(publisher.stats().slotsLeased).toBeGreaterThanOrEqual(1);
  expect(await isFilledWith(clone, 1)).toBe(true);
  gpu.synchronize(slow);
  await eventually("both reads are seen to be done", () => subscriber.stats().held === 1);
  expect(await isFilledWith(clone, 1)).toBe(true);
  clone.close();
  expect(subscriber.stats().held).toBe(0);
  frames[0]!.release({ stream: slow }); // again: nothing
  expect(subscriber.stats().held).toBe(0);
});

claim("whoever gave all frames back to the GPU waits until it has read one", async () => {
  using gpu = Gpu.open();
  const double = gpu.double!;
  using publisher = createPublisher({ slots: 16 });
  using subscriber = await subscribe(publisher, { mode: "ordered" });
  const size = frameSize(publisher);
  const [stream, destination] = [gpu.stream(), gpu.allocate(size)];
  for (let value = 1; value <= 10; value++) await publishAtOnce(publisher, gpu, value);
  const held = [];
  for (let value = 1; value <= 8; value++) held.push(await subscriber.next());
  expect(refusalOf(() => subscriber.nextSync({ timeout: 0 }))).toMatchObject({
    code: "WOULD_BLOCK",
    message: expect.stringContaining("8 frames"),
  });
  double.hold();
  for (const frame of held) {
    gpu.copy(destination, frame.devicePointer!, size, stream);
    frame.release({ stream });
  }
  double.awaitHeld(1);
  expect(subscriber.stats().held).toBe(8);
  expect(refusalOf(() => subscriber.nextSync({ timeout: 0 })).message).toContain("no frame");
  expect(refusalOf(() => subscriber.nextSync({ timeout: 20 })).code).toBe("TIMEOUT");
  const waiting = subscriber.next();
  await expect(subscriber.next({ timeout: 20 })).rejects.toMatchObject({ code: "TIMEOUT" });
  // Nor is it over with the publisher, which left two frames.
  publisher.close();
  await eventually("its end is known", () => !subscriber.stats().connected);
  expect(refusalOf(() => subscriber.nextSync({ timeout: 20 })).code).toBe("TIMEOUT");
  double.resume();
  using ninth = await waiting;
  using tenth = subscriber.nextSync();
  expect([ninth.sequence, tenth.sequence]).toEqual([9n, 10n]);
  expect(refusalOf(() => subscriber.nextSync()).code).toBe("DISCONNECTED");
}, { needsDouble: true });

claim("a slot that a frame's completion makes free is offered to whoever waits for one", async () => {
  using gpu = Gpu.open();
  for (const policy of ["drop-oldest", "wait"] as const) {
    using publisher = createPublisher({ key: policy, slots: 2, policy });
    const stream = gpu.stream();
    await publishAtOnce(publisher, gpu, 1);
    publishSlowly(publisher, gpu, 2, slowMs, stream);
    expect(refusalOf(() => publisher.acquire({ timeout: 0 })).code).toBe("WOULD_BLOCK");
    (await publisher.acquireAsync({ timeout: 20 * slowMs })).close();
    expect(gpu.isIdle(stream)).toBe(true);
  }
  using publisher = createPublisher({ slots: 2, policy: "wait" });
  const stream = gpu.stream();
  await publishAtOnce(publisher, gpu, 1);
  publishSlowly(publisher, gpu, 2, slowMs, stream);
  publisher.acquire({ timeout: 20 * slowMs }).close();
  expect(gpu.isIdle(stream)).toBe(true);
});

claim("copies into a frame are part of it, whatever stream it is published on", async () => {
  using gpu = Gpu.open();
  using publisher = createPublisher({ slots: 3, format: "GRAY8", width: 256 });
  using subscriber = await subscribe(publisher);
  const size = frameSize(publisher);
  const [slow, other] = [gpu.stream(), gpu.stream()];
  const source = gpu.allocate(size);
  {
    using frame = publisher.acquire();
    gpu.slowFill(source, 1, size, slowMs, slow);
    frame.copyFrom({ devicePointer: source, stream: slow });
    frame.publish({ stream: other });
    expect(gpu.isIdle(slow)).toBe(false);
    using seen = await subscriber.next();
    expect(await isFilledWith(seen, 1)).toBe(true);
  }
  {
    // By default: on the stream of the copy.
    using frame = publisher.acquire();
    gpu.slowFill(source, 2, size, slowMs, slow);
    frame.copyFrom({ devicePointer: source, stream: slow });
    frame.publish();
    using seen = await subscriber.next();
    expect(await isFilledWith(seen, 2)).toBe(true);
  }
  {
    // The later one wins.
    using frame = publisher.acquire();
    gpu.slowFill(source, 3, size, slowMs, slow);
    frame.copyFrom({ devicePointer: source, stream: slow });
    frame.write(new Uint8Array(size).fill(4));
    frame.publish();
    using seen = await subscriber.next();
    expect(await isFilledWith(seen, 4)).toBe(true);
    gpu.synchronize(slow);
    const again = gpu.pinned(size);
    gpu.download(again, seen.devicePointer!, size, other);
    gpu.synchronize(other);
    expect(mismatches(again.bytes, 4)).toBe(0);
  }
});

claim("a slot given back while a copy into it is under way is not used before that is done", async () => {
  using gpu = Gpu.open();
  using publisher = createPublisher({ slots: 2, format: "GRAY8", width: 256 });
  using subscriber = await subscribe(publisher);
  const size = frameSize(publisher);
  const [slow, fast] = [gpu.stream(), gpu.stream()];
  await publishAtOnce(publisher, gpu, 1);
  (await subscriber.next()).close();
  const source = gpu.allocate(size);
  {
    using frame = publisher.acquire();
    gpu.slowFill(source, 2, size, slowMs, slow);
    frame.copyFrom({ devicePointer: source, stream: slow });
  }
  expect(refusalOf(() => publisher.acquire()).code).toBe("WOULD_BLOCK");
  using frame = await publisher.acquireAsync({ timeout: 20 * slowMs });
  expect(gpu.isIdle(slow)).toBe(true);
  gpu.fill(frame.devicePointer!, 3, size, fast);
  frame.publish({ stream: fast });
  using seen = await subscriber.next();
  expect(await isFilledWith(seen, 3)).toBe(true);
  expect(publisher.stats().failed).toBe(0);
});

claim("closing a publisher delivers what was published, once the GPU has made it", async () => {
  const gpu = Gpu.open();
  const publisher = createPublisher({ slots: 4 });
  const subscriber = await subscribe(publisher, { mode: "ordered" });
  const stream = gpu.stream();
  for (const value of [1, 2, 3]) publishSlowly(publisher, gpu, value, slowMs / 2, stream);
  publisher.close();
  for (const value of [1, 2, 3]) {
    using frame = await subscriber.next();
    expect(await isFilledWith(frame, value)).toBe(true);
  }
  expect((await outcomeOf(subscriber.next())).code).toBe("DISCONNECTED");
  subscriber.close();
  gpu.close();
  if (gpu.double) await eventually("nothing is left", () => isNothingLeft(gpu));
});

claim("closing a subscriber while its queued reads run lets them read what they were given", async () => {
  const gpu = Gpu.open();
  const publisher = createPublisher({ slots: 2 });
  const subscriber = await subscribe(publisher);
  const size = frameSize(publisher);
  const stream = gpu.stream();
  const destination = gpu.allocate(size);
  const copy = gpu.pinned(size);
  await publishAtOnce(publisher, gpu, 1);
  const frame = await subscriber.next();
  gpu.slowCopy(destination, frame.devicePointer!, size, slowMs, stream);
  frame.release({ stream });
  subscriber.close();
  await publishAtOnce(publisher, gpu, 2);
  using next = publisher.acquire(); // the slot that was read
  const other = gpu.stream();
  gpu.fill(next.devicePointer!, 3, size, other);
  gpu.synchronize(other);
  gpu.download(copy, destination, size, stream);
  gpu.synchronize(stream);
  expect(mismatches(copy.bytes, 1)).toBe(0);
  publisher.close();
  gpu.close();
  if (gpu.double) await eventually("nothing is left", () => isNothingLeft(gpu));
});

function isNothingLeft(gpu: Gpu): boolean {
  return JSON.stringify(gpu.double!.live()) === JSON.stringify(nothing);
}

claim("a frame whose GPU work fails is never seen; those after it are", async () => {
  using gpu = Gpu.open();
  using publisher = createPublisher({ slots: 3 });
  using subscriber = await subscribe(publisher, { mode: "ordered" });
  const stream = gpu.stream();
  await publishAtOnce(publisher, gpu, 1);
  gpu.double!.fail("cuEventSynchronize:1=719");
  publishSlowly(publisher, gpu, 2, slowMs, stream);
  publishSlowly(publisher, gpu, 3, 1, stream);
  using first = await subscriber.next();
  using second = await subscriber.next();
  expect([first.sequence, second.sequence]).toEqual([1n, 3n]);
  expect(await isFilledWith(second, 3)).toBe(true);
  expect(publisher.stats()).toMatchObject({ published: 3, failed: 1 });
  expect(subscriber.stats()).toMatchObject({ received: 2, dropped: 1 });
  // Its slot is free.
  using frame = publisher.acquire();
  expect(frame.closed).toBe(false);
}, { needsDouble: true });

claim("a stream that does not exist is refused, and costs the frame nothing", async () => {
  using gpu = Gpu.open();
  using publisher = createPublisher();
  using subscriber = await subscribe(publisher);
  using writable = publisher.acquire();
  writable.write(new Uint8Array(32 * 16 * 3 / 2).fill(9));
  const stream = gpu.stream();
  gpu.destroyStream(stream);
  const refusal = refusalOf(() => writable.publish({ stream }));
  expect(refusal.code).toBe("CUDA");
  expect(refusal.message).toMatch(/CUDA_ERROR_INVALID_HANDLE/);
  writable.publish();
  const frame = await subscriber.next();
  expect(refusalOf(() => frame.release({ stream }))).toMatchObject({
    code: "CUDA",
    message: expect.stringContaining("cuEventRecord failed: CUDA_ERROR_INVALID_HANDLE"),
  });
  expect(frame.closed).toBe(false);
  expect(subscriber.stats().held).toBe(1);
  frame.close();
  expect(subscriber.stats().held).toBe(0);
}, { needsDouble: true });

claim("a lease that the GPU is about to end is the caller's no more, in C either", async () => {
  using gpu = Gpu.open();
  using publisher = createPublisher({ slots: 3 });
  using subscriber = await subscribe(publisher);
  const { symbols } = library();
  const stats = new Uint8Array(StatsLayout.SIZE);
  const handle = Array.from({ length: 16 }, (_, index) => 1 << 12 | index).find((handle) =>
    symbols.cuframes_subscriber_stats(handle, stats) === 0
  )!;
  const address = new Uint8Array(8);
  const uses: Record<string, (lease: number) => number> = {
    clone: (lease) => symbols.cuframes_subscriber_clone(handle, lease),
    toHost: (lease) => symbols.cuframes_subscriber_to_host(handle, lease, 1, address),
    exportDmabuf: (lease) => symbols.cuframes_subscriber_export_dmabuf(handle, lease),
    release: (lease) => symbols.cuframes_subscriber_release(handle, lease),
    releaseWhenDone: (lease) => symbols.cuframes_subscriber_release_when_done(handle, lease, 0n),
  };
  const [lease, invalidArgument] = [0, -1];
  const stream = gpu.stream();
  const memory = gpu.allocate(4);
  for (let value = 1; value <= 2; value++) {
    await publishAtOnce(publisher, gpu, value);
    using frame = await subscriber.next();
    const copy = uses.clone!(lease);
    expect(copy).toBe(1);
    expect(uses.release!(copy)).toBe(0);
    expect(uses.toHost!(lease)).toBeGreaterThanOrEqual(0);

    gpu.slowFill(memory, 0, 4, slowMs, stream);
    frame.release({ stream });
    const results = Object.entries(uses).map(([name, use]) => [name, use(lease)]);
    expect(gpu.isIdle(stream)).toBe(false);
    expect(results).toEqual(Object.keys(uses).map((name) => [name, invalidArgument]));
    await eventually("the GPU has ended it", () => subscriber.stats().held === 0);
    for (const [name, use] of Object.entries(uses)) expect(use(lease), name).toBe(invalidArgument);
  }
});

claim("a stream that is no handle is refused before it is used", async () => {
  using publisher = createPublisher();
  using subscriber = await subscribe(publisher);
  using writable = publisher.acquire();
  writable.write(new Uint8Array(32 * 16 * 3 / 2));
  for (const stream of [5 as unknown as bigint, -1n, 2n ** 64n]) {
    const refusals = [
      refusalOf(() => writable.publish({ stream })),
      refusalOf(() => writable.copyFrom({ devicePointer: writable.devicePointer!, stream })),
    ];
    for (const { code, message } of refusals) {
      expect([code, message]).toEqual(["INVALID_ARGUMENT", expect.stringContaining("CUstream")]);
    }
  }
  writable.publish();
  using frame = await subscriber.next();
  for (const stream of [5 as unknown as bigint, -1n, 2n ** 64n]) {
    expect(refusalOf(() => frame.release({ stream })).code).toBe("INVALID_ARGUMENT");
  }
  expect(frame.closed).toBe(false);
});

await runClaim();
