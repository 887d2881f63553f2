// Recording events: what was before one is still in the rings.

import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { EventRecorder, type RecordedEvent, type Segment } from "../../media.ts";
import { Publisher, type Subscriber } from "../../mod.ts";
import { FilmedCamera, soundFilm } from "../support/filmed_camera.ts";
import { CARS, directory, hasFfmpeg, SECOND } from "../support/media.ts";
import { expectCode, runtimeDirectory, subscribe, uniqueKey } from "../support/ring.ts";
import { type Tracks, tracksOf } from "../support/tracks.ts";

let recordings = 0;

/** An event recorder, and what it told. */
function begin(camera: Subscriber, options: { pre: number; post: number }) {
  const folder = join(directory, `events-${++recordings}`);
  const ended: { segment: Segment; event: RecordedEvent }[] = [];
  const recorder = EventRecorder.start(camera, {
    pathOf: ({ reason }) => join(folder, `${reason}.mp4`),
    ...options,
    onEnd: (segment, event) => ended.push({ segment, event }),
  });
  const files = () => existsSync(folder) ? readdirSync(folder).sort() : [];
  return { recorder, ended, files, path: (name: string) => join(folder, name) };
}

const count = (tracks: Tracks, track: number) => tracks.packets.filter((one) => one.track === track).length;
const secondsOf = (tracks: Tracks, track: number) => {
  const packets = tracks.packets.filter((one) => one.track === track);
  const ends = packets.map(({ timestampNs, durationNs }) => timestampNs + durationNs);
  const first = packets.map(({ timestampNs }) => timestampNs).reduce((a, b) => (a < b ? a : b));
  return Number(ends.reduce((a, b) => (a > b ? a : b)) - first) / 1e9;
};

describe.skipIf(!hasFfmpeg())("a camera of 25 frames a second, a key frame each second, and sound", () => {
  let film: Tracks;

  beforeAll(async () => {
    film = await soundFilm(join(directory, "events.mp4"));
  });

  test("an event has the time before it, from a key packet on, and the time behind it", async () => {
    using camera = new FilmedCamera(film);
    using subscriber = await subscribe(camera.publisher, { frames: false });
    const { recorder, ended, path } = begin(subscriber, { pre: 3.5, post: 4 });
    camera.until(15.01); // the newest is at 15 s
    recorder.trigger({ reason: "bell" });
    camera.until(30);
    await recorder.finished();
    // From the last key packet at 11.5 s or before to 19 s.
    expect(ended.map(({ segment, event }) => [segment.path, event.reason])).toEqual([[
      path("bell.mp4"),
      "bell",
    ]]);
    const file = await tracksOf(path("bell.mp4"));
    expect(count(file, 0)).toBe(camera.pictures(11, 19));
    expect(file.packets.find(({ track }) => track === 0)).toMatchObject({ type: "key", timestampNs: 0n });
    expect(secondsOf(file, 0)).toBeCloseTo(8, 1);
    expect(secondsOf(file, 1)).toBeCloseTo(8, 1);
    await recorder.close();
  });

  test("an event of a known time is recorded around that", async () => {
    using camera = new FilmedCamera(film);
    using subscriber = await subscribe(camera.publisher, { frames: false });
    const { recorder, path } = begin(subscriber, { pre: 2, post: 3 });
    camera.until(20);
    recorder.trigger({ reason: "known", timestampNs: 12n * SECOND });
    await recorder.finished();
    expect(count(await tracksOf(path("known.mp4")), 0)).toBe(camera.pictures(10, 15));
    // One that the ring does not have is now.
    recorder.trigger({ reason: "other clock", timestampNs: 10_000n * SECOND });
    camera.until(30);
    await recorder.finished();
    expect(count(await tracksOf(path("other clock.mp4")), 0)).toBe(camera.pictures(17, 22.96));
    await recorder.close();
  });

  test("another event lets it go on; one behind its end has a file of its own", async () => {
    using camera = new FilmedCamera(film);
    using subscriber = await subscribe(camera.publisher, { frames: false });
    const { recorder, files, path } = begin(subscriber, { pre: 1, post: 2 });
    camera.until(5.01);
    recorder.trigger({ reason: "first" });
    recorder.trigger({ reason: "at once" });
    recorder.trigger({ reason: "later", timestampNs: 5n * SECOND + SECOND / 2n });
    expect(recorder.recording).toBe(true);
    camera.until(20.01);
    await recorder.finished();
    expect(recorder.recording).toBe(false);
    recorder.trigger({ reason: "second" });
    camera.until(30);
    await recorder.finished();
    expect(files()).toEqual(["first.mp4", "second.mp4"]);
    expect(count(await tracksOf(path("first.mp4")), 0)).toBe(camera.pictures(4, 7.5));
    expect(count(await tracksOf(path("second.mp4")), 0)).toBe(camera.pictures(19, 22));
    await recorder.close();
  });

  test("a ring that does not go back so far gives what it has", async () => {
    using camera = new FilmedCamera(film, 64);
    using subscriber = await subscribe(camera.publisher, { frames: false });
    const { recorder, path } = begin(subscriber, { pre: 10, post: 1 });
    camera.until(15.01);
    recorder.trigger({ reason: "short" });
    await recorder.close(); // as it is by now
    const file = await tracksOf(path("short.mp4"));
    // 64 packets, of which the first key packet is at 13 s.
    expect(count(file, 0)).toBe(camera.pictures(13, 15.01));
  });

  test("closing completes the file as it is; afterwards there is nothing to trigger", async () => {
    using camera = new FilmedCamera(film);
    using subscriber = await subscribe(camera.publisher, { frames: false });
    const { recorder, files } = begin(subscriber, { pre: 1, post: 60 });
    camera.until(5);
    recorder.trigger({ reason: "long" });
    camera.publisher.close();
    await recorder.finished();
    expect(files()).toEqual(["long.mp4"]);
    await recorder.close();
    await recorder.close();
    expectCode(() => recorder.trigger(), "INVALID_ARGUMENT", "closed");
  });
});

test("options that are none, and a camera without packets", async () => {
  using publisher = Publisher.create({ key: uniqueKey(), frames: false, runtimeDirectory });
  using subscriber = await subscribe(publisher, { frames: false });
  for (const wrong of [{ pre: -1 }, { post: NaN }, { pre: 1e6 }, { pathOf: "x.mp4" }, { prae: 1 }]) {
    expectCode(
      () => EventRecorder.start(subscriber, { pathOf: () => "x.mp4", ...wrong } as never),
      "INVALID_ARGUMENT",
    );
  }
  await using recorder = EventRecorder.start(subscriber, { pathOf: () => "x.mp4" });
  recorder.trigger();
  await expectCode(recorder.finished(), "NO_PACKET_RING", "without packets");
});

test.skipIf(!existsSync(CARS))("car-detection.mp4, with its sound", async () => {
  const film = await tracksOf(CARS);
  using camera = new FilmedCamera(film);
  using subscriber = await subscribe(camera.publisher, { frames: false });
  const { recorder, path } = begin(subscriber, { pre: 2, post: 3 });
  camera.until(8);
  recorder.trigger({ reason: "car" });
  camera.until(20);
  await recorder.finished();
  const file = await tracksOf(path("car.mp4"));
  const [first] = file.packets.filter(({ track }) => track === 0);
  expect(first!.type).toBe("key");
  expect(file.tracks.map(({ kind }) => kind)).toEqual(["video", "audio"]);
  expect(Math.abs(secondsOf(file, 0) - secondsOf(file, 1))).toBeLessThan(0.1);
  await recorder.close();
});
