// The packets of one publisher's ring after another, put on one line.

import { describe, expect, it } from "vitest";
import { RingTimeline } from "../../../src/media/time/ring_timeline.ts";

const MS = 1_000_000n;

/** A line on a clock of the test's; times in ms. */
function lineOf() {
  let nowMs = 0;
  const line = new RingTimeline(() => BigInt(nowMs) * MS);
  /** Places a packet of a track that comes at a time of that clock. */
  const place = (
    track: number,
    atMs: number,
    decodeMs: number,
    { epoch, presentMs = decodeMs, discontinuity = false }: {
      epoch?: number;
      presentMs?: number;
      discontinuity?: boolean;
    } = {},
  ) => {
    nowMs = atMs;
    const placed = line.place(track, {
      timestampNs: BigInt(presentMs) * MS,
      decodeTimestampNs: BigInt(decodeMs) * MS,
      discontinuity,
      epoch,
    });
    return [Number(placed.timestampNs) / 1e6, Number(placed.decodeTimestampNs) / 1e6];
  };
  return { place };
}

describe("a ring's timeline", () => {
  it("leaves the times of a publisher as they are, gaps and a negative beginning included", () => {
    const { place } = lineOf();
    expect(place(0, 0, -80, { presentMs: 0 })).toEqual([0, -80]);
    expect(place(1, 0, -21)).toEqual([-21, -21]);
    expect(place(0, 40, -40, { presentMs: 120 })).toEqual([120, -40]);
    expect(place(0, 5040, 5040, { discontinuity: true })).toEqual([5040, 5040]);
    expect(place(0, 3_600_000, 3_600_000, { discontinuity: true })).toEqual([3_600_000, 3_600_000]);
  });

  it("goes on where it was, when another clock is behind a break", () => {
    const { place } = lineOf();
    place(0, 0, 0);
    place(0, 40, 40);
    // Hours ahead, a second later.
    expect(place(0, 1040, 9_000_000, { discontinuity: true })).toEqual([80, 80]);
    expect(place(0, 1080, 9_000_040)).toEqual([120, 120]);
    // Back, which needs no word of the publisher's.
    expect(place(0, 1120, 10)).toEqual([160, 160]);
  });

  it("decodes what is behind a break after what was before it, where frames are reordered", () => {
    const { place } = lineOf();
    place(0, 0, 0, { presentMs: 80 });
    place(0, 40, 40, { presentMs: 40 });
    expect(place(0, 80, 9_000_000, { presentMs: 9_000_080, discontinuity: true })).toEqual([160, 80]);
    expect(place(0, 120, 9_000_040, { presentMs: 9_000_240 })).toEqual([320, 120]);
  });

  it("moves all tracks of another publisher by the same, whichever comes first", () => {
    for (const [first, second] of [[0, 1], [1, 0]] as const) {
      const { place } = lineOf();
      place(0, 0, 100_000, { epoch: 1 });
      place(1, 0, 100_010, { epoch: 1 });
      const [moved] = place(first, 1000, 500, { epoch: 2 });
      const [other] = place(second, 1000, 493, { epoch: 2 });
      expect(moved! - other!).toBeCloseTo(7, 5);
      expect(place(first, 1040, 540, { epoch: 2 })[0]! - moved!).toBeCloseTo(40, 5);
    }
  });

  it("keeps the offset of a publisher for a track that is behind with it", () => {
    const { place } = lineOf();
    place(0, 0, 50_000, { epoch: 1 });
    place(1, 0, 49_980, { epoch: 1 });
    const [video] = place(0, 100, 10, { epoch: 2, discontinuity: true });
    expect(place(1, 100, 50_000, { epoch: 1 })).toEqual([50_000, 50_000]);
    expect(place(1, 110, 20, { epoch: 2, discontinuity: true })[0]! - video!).toBeCloseTo(10, 5);
  });

  it("keeps tracks in sync that meet a break of one publisher's clock one after the other", () => {
    const { place } = lineOf();
    place(0, 0, 80_000);
    place(1, 0, 80_005);
    const [video] = place(0, 40, 0, { discontinuity: true });
    expect(place(1, 40, 80_025)).toEqual([80_025, 80_025]);
    expect(place(1, 60, 15, { discontinuity: true })[0]! - video!).toBeCloseTo(15, 5);
  });

  it("believes another publisher whose times go on", () => {
    const { place } = lineOf();
    place(0, 0, 1000, { epoch: 1 });
    place(1, 0, 1000, { epoch: 1 });
    expect(place(1, 7000, 8010, { epoch: 2 })).toEqual([8010, 8010]);
    expect(place(0, 7000, 8000, { epoch: 2 })).toEqual([8000, 8000]);
  });

  it("has decode times that increase, and none behind its presentation time", () => {
    const { place } = lineOf();
    place(0, 0, 100);
    expect(place(0, 0, 100)).toEqual([100.000001, 100.000001]);
    expect(place(0, 0, 90, { presentMs: 95 })).toEqual([100.000002, 100.000002]);
    expect(place(0, 0, 200, { presentMs: 150 })).toEqual([200, 200]);
  });

  it("holds the sync of two tracks over a day of publishers that come and go", () => {
    const { place } = lineOf();
    for (let epoch = 1; epoch <= 500; epoch++) {
      const begin = (epoch * 7919) % 100_003 * 1000;
      const at = epoch * 172_800;
      const [video] = place(0, at, begin, { epoch });
      const [audio] = place(1, at + 20, begin + 13, { epoch });
      expect(audio! - video!).toBeCloseTo(13, 4);
    }
  });
});
