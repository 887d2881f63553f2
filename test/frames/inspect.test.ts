import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { inspect as inspectAt, type InspectOptions, type PublisherReport } from "../../mod.ts";
import { testMemory } from "../support/memory.ts";
import {
  createPublisher,
  expectCode,
  publish,
  runtimeDirectory,
  subscribe,
  uniqueKey,
} from "../support/ring.ts";

const inspect = (key: string, options: InspectOptions = {}): Promise<PublisherReport> =>
  inspectAt(key, { runtimeDirectory, ...options });

test("a publisher that has done nothing yet is reported in full", async () => {
  const started = performance.now();
  using publisher = createPublisher({ width: 31, height: 17, format: "I420", slots: 5, policy: "wait" });
  await delay(20);
  const { publishingFor, slotSize, ...report } = await inspect(publisher.key);
  expect(report).toEqual({
    key: publisher.key,
    pid: process.pid,
    format: "I420",
    codedWidth: 31,
    codedHeight: 17,
    memory: testMemory,
    device: publisher.device,
    policy: "wait",
    slots: 5,
    maxSlots: 5,
    slotsOutside: 0,
    memoryLimit: expect.any(Number),
    evictions: 0,
    lastEviction: undefined,
    slotsLeased: 0,
    picture: undefined,
    published: 0,
    frameRate: 0,
    lastFrameAge: undefined,
    hasFrames: true,
    packets: undefined,
    tracks: [],
    rejected: 0,
    subscribers: [],
  });
  const { offset, stride, rows } = publisher.planes[2]!;
  expect(slotSize).toBeGreaterThanOrEqual(offset + stride * rows);
  expect(publishingFor).toBeGreaterThanOrEqual(0.019);
  expect(publishingFor).toBeLessThanOrEqual((performance.now() - started) / 1000);
});

test("each subscriber is reported with what it has had, holds and is behind", async () => {
  using publisher = createPublisher({ slots: 4 });
  const packets = publisher.enablePackets({ codec: "h264", slots: 2 });
  using ordered = await subscribe(publisher, { name: "räkorder", mode: "ordered" });
  using _newest = await subscribe(publisher, { packets: false });
  using recorder = await subscribe(publisher, { name: "packets\x1b[31m", frames: false });
  using reader = recorder.packets();
  for (let value = 1; value <= 6; value++) publish(publisher, value);
  using held = ordered.nextSync();
  expect(held.sequence).toBe(3n);
  ordered.nextSync().close();
  for (let sequence = 0; sequence < 5; sequence++) {
    packets.write({
      data: Uint8Array.of(1),
      type: sequence % 4 === 0 ? "key" : "delta",
      timestamp: sequence,
    });
    if (sequence === 0) reader.nextSync();
  }
  expectCode(() => reader.nextSync({ timeout: 0 }), "PACKET_OVERRUN");
  reader.nextSync();

  const { published, slotsLeased, packets: ring, subscribers } = await inspect(publisher.key);
  expect({ published, slotsLeased, ring }).toEqual({
    published: 6,
    slotsLeased: 1,
    ring: { codecId: 27, published: 5 },
  });
  const common = {
    pid: process.pid,
    connectedFor: expect.any(Number),
    packetsReceived: 0,
    packetsLost: 0,
    wantsPackets: true,
    heldFor: 0,
  };
  expect(subscribers).toEqual([
    {
      ...common,
      name: "räkorder",
      mode: "ordered",
      received: 2,
      dropped: 2,
      lag: 2,
      held: 1,
      heldFor: expect.any(Number),
    },
    {
      ...common,
      name: `pid-${process.pid}`,
      mode: "newest",
      received: 0,
      dropped: 0,
      lag: 6,
      held: 0,
      wantsPackets: false,
    },
    // A peer's text is made safe to print.
    {
      ...common,
      name: "packets?[31m",
      mode: "newest",
      received: 0,
      dropped: 0,
      lag: 0,
      held: 0,
      packetsReceived: 2,
      packetsLost: 3,
    },
  ]);
  expect(subscribers[0]!.heldFor).toBeGreaterThan(0);
  for (const { connectedFor } of subscribers) expect(connectedFor).toBeGreaterThan(0);
  ordered.close();
  const { subscribers: [first, ...others], slotsLeased: leased } = await inspect(publisher.key);
  expect([first!.name, others.length, leased]).toEqual([`pid-${process.pid}`, 1, 0]);
});

test("the frame rate is that of two seconds: not of a burst, and not of the last frames", async () => {
  using publisher = createPublisher({ slots: 4 });
  for (let value = 1; value <= 30; value++) publish(publisher, value);
  // Thirty frames in a few ms are no rate.
  const burst = await inspect(publisher.key);
  expect(burst.publishingFor < 0.25 ? burst.frameRate : 0).toBe(0);
  await delay(1000);
  const later = await inspect(publisher.key);
  expect(later.frameRate).toBeGreaterThan(0);
  expect(later.frameRate).toBeLessThanOrEqual(30 / (later.lastFrameAge! - 0.001));
  expect(later.lastFrameAge).toBeLessThan(later.publishingFor);
});

test("a steady publisher's frame rate stays what it is, whatever its last frames did", async () => {
  using publisher = createPublisher({ slots: 8 });
  const begun = performance.now();
  const rates: number[] = [];
  // 25 a second in pairs: the mean of any eight frames is from 22 to 40.
  for (let value = 0; value < 75; value++) {
    const due = begun + Math.floor(value / 2) * 80 + (value % 2) * 5;
    await delay(Math.max(0, due - performance.now()));
    publish(publisher, value);
    if (value >= 55) rates.push((await inspect(publisher.key)).frameRate);
  }
  for (const rate of rates) expect(Math.abs(rate - 25)).toBeLessThan(1.5);
});

test("an inspector takes no subscriber's place", async () => {
  using publisher = createPublisher({ slots: 2, width: 2, height: 2 });
  using subscribers = new DisposableStack();
  for (let index = 0; index < 64; index++) {
    subscribers.use(await subscribe(publisher, { name: `number-${index}` }));
  }
  for (let round = 0; round < 20; round++) {
    const report = await inspect(publisher.key);
    expect(report.subscribers.map(({ name }) => name)).toEqual(
      Array.from({ length: 64 }, (_, index) => `number-${index}`),
    );
  }
  expect(publisher.stats()).toMatchObject({ subscribers: 64, rejected: 0 });
});

test("looking for a publisher fails as connecting does", async () => {
  const key = uniqueKey();
  await expectCode(inspect(key), "NOT_FOUND", key);
  await expectCode(inspect(key, { timeout: 10 }), "TIMEOUT", key);
  await expectCode(inspect("no key"), "INVALID_ARGUMENT", '"no key"');
  await expectCode(inspect(key, { timeout: NaN }), "INVALID_ARGUMENT", "timeout is NaN");
  const reason = new Error("enough");
  await expect(inspect(key, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  const controller = new AbortController();
  const waiting = inspect(key, { timeout: Infinity, signal: controller.signal });
  controller.abort(reason);
  await expect(waiting).rejects.toBe(reason);
  const found = inspect(key, { timeout: Infinity });
  using publisher = createPublisher({ key });
  expect((await found).key).toBe(publisher.key);
});

test("the newest frame's picture is reported", async () => {
  using publisher = createPublisher({ width: 32, height: 16 });
  publish(publisher, 1, { rotation: 180 });
  publish(publisher, 2, {
    ...{
      rotation: 90,
      sampleAspectRatio: { num: 2, den: 1 },
      colorSpace: { matrix: "bt709", fullRange: true },
    },
    ...{ fieldOrder: "tff" },
  });
  expect((await inspect(publisher.key)).picture).toEqual({
    colorSpace: { primaries: null, transfer: null, matrix: "bt709", fullRange: true },
    visibleRect: { x: 0, y: 0, width: 32, height: 16 },
    sampleAspectRatio: { num: 2, den: 1 },
    displayWidth: 16,
    displayHeight: 64,
    rotation: 90,
    flip: false,
    fieldOrder: "tff",
    chromaLocation: null,
  });
});
