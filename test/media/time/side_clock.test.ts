// Sound that comes later than its picture, over RTP: where it is before the sender has reported that.

import { expect, test } from "vitest";
import { Timeline } from "../../../src/media/time/timeline.ts";

const MS = 1_000_000n;
const FRAME = 40n * MS;
const UNIT = 64n * MS / 3n;

/** A camera whose picture was reported a second after it began, and has been shown up to 2.28 s. */
function camera(): Timeline {
  const timeline = new Timeline(FRAME, 0, () => 0n);
  timeline.describe({ frameNs: FRAME, reorderFrames: 0, paced: true, breaks: true, independent: true });
  for (let n = 0n; n < 58n; n++) {
    // It takes 30 ms to come.
    timeline.place(n * FRAME, n * FRAME, FRAME, { atNs: n * FRAME + 30n * MS, synced: n >= 25n });
  }
  return timeline;
}

/** Where each packet of late sound is placed; the sender reports its place a second after it has begun. */
function placesOf(timeline: Timeline, beginNs: bigint, reportedNs: bigint): bigint[] {
  return Array.from({ length: 100 }, (_, index) => {
    const passed = BigInt(index) * UNIT;
    const synced = index >= 47;
    const pts = (synced ? reportedNs : beginNs) + passed;
    // 20 ms later than the picture of its moment would.
    const times = { pts, dts: pts, duration: UNIT, atNs: 2375n * MS + passed };
    return timeline.placeBeside(1, times, synced).timestampNs;
  });
}

test("sound that counts from where the picture does is there from its first packet on", () => {
  const places = placesOf(camera(), 2325n * MS, 2325n * MS);
  expect(places).toEqual(places.map((_, index) => 2325n * MS + BigInt(index) * UNIT));
});

test("sound that counts from its first packet is where the picture is when it comes, until its place is reported", () => {
  const places = placesOf(camera(), 0n, 2325n * MS);
  const expected = places.map((_, index) => (index < 47 ? 2345n : 2325n) * MS + BigInt(index) * UNIT);
  expect(places[0]).toBe(expected[0]);
  expect(places.slice(50)).toEqual(expected.slice(50));
});
