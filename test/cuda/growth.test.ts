// A ring on a GPU that grows, shrinks and gives its slots other memory, while frames are held and read there.

import { expect } from "vitest";
import type { Frame, Publisher, PublisherEvent } from "../../mod.ts";
import { claimsOf, createPublisher, runClaim, subscribe } from "../support/cuda.ts";
import { frameSize, Gpu, mismatches } from "../support/gpu.ts";
import { eventually, outcomeOf } from "../support/processes.ts";

const claim = claimsOf(import.meta.url);

/** Publishes a frame full of `value`, in a slot that is there at once, and waits until it is visible; returns its address. */
async function publish(publisher: Publisher, gpu: Gpu, stream: bigint, value: number): Promise<bigint> {
  using frame = publisher.acquire({ timeout: 0 });
  const address = frame.devicePointer!;
  gpu.fill(address, value, frameSize(publisher), stream);
  const sequence = frame.publish({ stream });
  await eventually("the frame is visible", () => publisher.stats().published >= sequence);
  return address;
}

async function expectFilled(frames: readonly Frame[]): Promise<void> {
  for (const frame of frames) {
    expect(mismatches((await frame.toHost({ refresh: true })).slice(), Number(frame.sequence) & 0xff)).toBe(
      0,
    );
  }
}

claim(
  "frames that are held stay as they are, in memory that is no slot's any more, and addresses stay",
  async () => {
    using gpu = Gpu.open();
    const stream = gpu.stream();
    const events: PublisherEvent["kind"][] = [];
    using publisher = createPublisher({
      slots: 3,
      maxSlots: 5,
      onEvent: ({ kind }) => events.push(kind),
    });
    using honest = await subscribe(publisher, { mode: "ordered" });
    let [hoarder, held] = [await subscribe(publisher, { mode: "ordered" }), [] as Frame[]];
    const [made, read] = [new Set<bigint>(), new Set<bigint>()];
    let value = 0;
    const next = async () => {
      made.add(await publish(publisher, gpu, stream, ++value));
      using frame = await honest.next({ timeout: 5000 });
      expect(Number(frame.sequence)).toBe(value);
      read.add(frame.devicePointer!);
      await expectFilled([frame]);
    };
    for (let round = 1; round <= 2; round++) {
      while (held.length < 5) {
        await next();
        held.push(await hoarder.next({ timeout: 5000 }));
      }
      expect(publisher.stats()).toMatchObject({ slots: 5, slotsOutside: 0, evictions: round - 1 });
      await next();
      expect(publisher.stats()).toMatchObject({ slots: 5, evictions: round });
      expect((await outcomeOf(hoarder.next({ timeout: 5000 }))).code).toBe("EVICTED");
      for (let times = 0; times < 30; times++) await next();
      await eventually("each is replaced", () => publisher.stats().slotsOutside === 5);
      await expectFilled(held);
      for (const frame of held.splice(0)) frame.close();
      hoarder.close();
      await eventually("all of it is given back", async () => {
        // Whoever looks for the next frame lets go of memory that was replaced.
        await next();
        return publisher.stats().slotsOutside === 0;
      });
      if (round === 2) break;
      hoarder = await subscribe(publisher, { mode: "ordered" });
      (await hoarder.next({ timeout: 5000 })).close();
    }
    expect(events).toEqual(["grown", "grown", "evicted", "evicted", "refused"]);
    expect([made.size, read.size]).toEqual([5, 5]);
    await eventually("nobody needs so many", () => publisher.stats().slots === 3);
    // And grows into addresses that it had.
    using again = await subscribe(publisher, { mode: "ordered" });
    (await again.next({ timeout: 5000 })).close();
    for (let times = 0; times < 5; times++) {
      await next();
      held.push(await again.next({ timeout: 5000 }));
    }
    await expectFilled(held);
    expect(publisher.stats()).toMatchObject({ slots: 5, evictions: 2 });
    expect([made.size, read.size]).toEqual([5, 5]);
  },
);

claim("a wait for the GPU to let go of a frame ends when the reader is evicted", async () => {
  using gpu = Gpu.open();
  const [stream, slow] = [gpu.stream(), gpu.stream()];
  gpu.slowFill(gpu.allocate(4), 0, 4, 1, slow); // what is loaded at the first use is loaded now
  gpu.synchronize(slow);
  using publisher = createPublisher({ slots: 3, maxSlots: 5 });
  using hoarder = await subscribe(publisher, { mode: "ordered" });
  const held: Frame[] = [];
  for (let value = 1; value <= 5; value++) {
    await publish(publisher, gpu, stream, value);
    held.push(await hoarder.next({ timeout: 5000 }));
  }
  const clones = [held[0]!.clone(), held[0]!.clone(), held[0]!.clone()];
  const slowMs = 2000;
  const start = performance.now();
  gpu.slowFill(gpu.allocate(4), 0, 4, slowMs, slow);
  held.pop()!.release({ stream: slow });
  const pending = outcomeOf(hoarder.next());
  await publish(publisher, gpu, stream, 6);
  expect((await pending).code).toBe("EVICTED");
  expect(performance.now() - start).toBeLessThan(slowMs / 2);
  for (let value = 7; value <= 20; value++) await publish(publisher, gpu, stream, value);
  expect(publisher.stats()).toMatchObject({ evictions: 1 });
  await expectFilled(held);
  gpu.synchronize(slow);
  await eventually("the GPU has let go of it", async () => {
    // Asking for a frame, in vain, lets go of memory in which none is held.
    expect((await outcomeOf(hoarder.next())).code).toBe("EVICTED");
    return publisher.stats().slotsOutside === 4;
  });
  for (const frame of [...held, ...clones]) frame.close();
  await eventually("nothing is held", () => publisher.stats().slotsOutside === 0);
});

await runClaim();
