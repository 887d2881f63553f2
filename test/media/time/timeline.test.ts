// Times as sources give them, put on one line.

import { describe, expect, it } from "vitest";
import { type Cadence, Timeline } from "../../../src/media/time/timeline.ts";

describe("a timeline", () => {
  const place = (timeline: Timeline, pts?: number, dts?: number, duration = 10) => {
    const at = (time?: number) => time === undefined ? undefined : BigInt(time) * 1_000_000n;
    const placed = timeline.place(at(pts), at(dts), BigInt(duration) * 1_000_000n);
    return [Number(placed.timestampNs) / 1e6, Number(placed.decodeTimestampNs) / 1e6, placed.discontinuity];
  };

  it("fills in decode times that are missing at the start", () => {
    const timeline = new Timeline(10_000_000n, 2);
    expect(place(timeline, 0)).toEqual([0, -20, false]);
    expect(place(timeline, 40)).toEqual([40, -10, false]);
    expect(place(timeline, 20, 0)).toEqual([20, 0, false]);
  });

  it("keeps decode times increasing where the source repeats one or steps back a little", () => {
    const timeline = new Timeline(10_000_000n, 0);
    place(timeline, 0, 0);
    expect(place(timeline, 10, 0)).toEqual([10, 1e-6, false]);
    place(timeline, 20, 20);
    expect(place(timeline, 15, 15)).toEqual([20 + 1e-6, 20 + 1e-6, false]);
  });

  it("goes on where a clock that starts anew stopped", () => {
    const timeline = new Timeline(10_000_000n, 0);
    place(timeline, 5000, 5000);
    expect(place(timeline, 100, 100)).toEqual([5010, 5010, true]);
    expect(place(timeline, 110, 110)).toEqual([5020, 5020, false]);
  });

  it("keeps a pause", () => {
    const timeline = new Timeline(10_000_000n, 0);
    place(timeline, 0, 0);
    expect(place(timeline, 60_000, 60_000)).toEqual([60_000, 60_000, false]);
  });

  it("does not believe a presentation time far from the decode time", () => {
    const timeline = new Timeline(10_000_000n, 0);
    expect(place(timeline, 100_000, 0)).toEqual([0, 0, false]);
    expect(place(timeline, -5000, 10)).toEqual([10, 10, false]);
  });
});

describe("a timeline across connections", () => {
  const MS = 1_000_000n;
  const cadence = { frameNs: 40n * MS, reorderFrames: 0 };

  /** A line on a clock of the test's, and the placing of a packet at a time of that clock. */
  function lineOf() {
    let nowNs = 0n;
    const line = new Timeline(cadence.frameNs, 0, () => nowNs);
    const place = (atMs: bigint, decodeMs: bigint, presentMs = decodeMs) => {
      nowNs = atMs * MS;
      return line.place(presentMs * MS, decodeMs * MS, 40n * MS);
    };
    return { line, place };
  }

  it("has the gap that was on the clock, and never goes back", () => {
    const { line, place } = lineOf();
    line.reconnect(cadence);
    expect(place(0n, 5000n)).toMatchObject({ decodeTimestampNs: 5000n * MS, discontinuity: false });
    place(40n, 5040n);
    line.reconnect(cadence);
    // Three seconds later another connection counts from 0.
    expect(place(3040n, 0n, 80n)).toMatchObject({
      timestampNs: 8120n * MS,
      decodeTimestampNs: 8040n * MS,
      discontinuity: true,
    });
    line.reconnect(cadence);
    // At once, and far ahead: it goes on where the last packet ends.
    expect(place(3041n, 900_000n).decodeTimestampNs).toBe(8160n * MS);
  });

  it("tells a decoder the times of the line", () => {
    const { line, place } = lineOf();
    place(0n, 5000n);
    place(40n, 5040n);
    line.reconnect(cadence);
    place(3040n, 0n, 80n);
    expect(place(3080n, 40n, 120n)).toMatchObject({ statedNs: 8160n * MS, discontinuity: false });
  });

  it("takes the cadence of each", () => {
    const { line } = lineOf();
    line.place(0n, 0n, 0n);
    line.reconnect({ frameNs: 100n * MS, reorderFrames: 2 });
    expect(line.place(1000n * MS, undefined, 0n)).toMatchObject({
      timestampNs: 240n * MS,
      decodeTimestampNs: 40n * MS,
      durationNs: 100n * MS,
    });
  });
});

describe("a timeline of a camera", () => {
  const MS = 1_000_000n;
  const FRAME = 40;

  /**
   * Packets of a camera, by their source's decode times and when they came, both in ms, placed with what is read on for;
   * what is not told comes as the frame rate says.
   */
  function placed(
    sources: readonly number[],
    arrivals: (index: number) => number = (index) => index * FRAME,
    cadence: Partial<Cadence> = {},
  ) {
    const line = new Timeline(40n * MS, 0, () => 0n);
    line.describe({ frameNs: 40n * MS, reorderFrames: 0, paced: true, breaks: true, ...cadence });
    const all = sources.map((time, index) => ({
      pts: BigInt(time) * MS,
      dts: BigInt(time) * MS,
      duration: 40n * MS,
      atNs: BigInt(arrivals(index)) * MS,
    }));
    let mostRead = 0;
    const times = all.map((one, index) => {
      let read = index + 1;
      while (read < all.length && line.isUndecided(one, all.slice(index + 1, read))) read++;
      const following = all.slice(index + 1, read);
      mostRead = Math.max(mostRead, following.length);
      return line.place(one.pts, one.dts, one.duration, { atNs: one.atNs, following });
    });
    return {
      times: times.map(({ decodeTimestampNs }) => Number(decodeTimestampNs / MS)),
      marked: times.flatMap(({ discontinuity }, index) => discontinuity ? [index] : []),
      mostRead,
    };
  }
  const regular = Array.from({ length: 30 }, (_, index) => index * FRAME);
  const from = (first: number, offset: number) =>
    regular.map((time, index) => index < first ? time : time + offset);

  it("never waits for packets where its clock is right", () => {
    expect(placed(regular)).toEqual({ times: regular, marked: [], mostRead: 0 });
  });

  it.each([37_600_000, -9_800_000, 600_000, 3000])(
    "goes on by its own rate over one that is %i ms off",
    (offset) => {
      const sources = regular.map((time, index) => index === 12 ? time + offset : time);
      expect(placed(sources)).toEqual({ times: regular, marked: [], mostRead: 1 });
    },
  );

  it.each([37_600_000, -9_800_000, 600_000])(
    "goes on where it was, when the clock has moved by %i ms",
    (offset) => {
      expect(placed(from(12, offset))).toMatchObject({ times: regular, marked: [12] });
    },
  );

  it("keeps a silence of 30 s, and does not wait to know", () => {
    const pause = placed(from(12, 30_000), (index) => index * FRAME + (index < 12 ? 0 : 30_000));
    expect(pause).toEqual({ times: from(12, 30_000), marked: [], mostRead: 0 });
  });

  it("has a silence as long as it was, when the clock starts anew behind it", () => {
    const sources = regular.map((time, index) => index < 12 ? 7_000_000 + time : time);
    const silence = placed(sources, (index) => index * FRAME + (index < 12 ? 0 : 30_000));
    expect(silence.marked).toEqual([12]);
    expect(silence.times).toEqual(from(12, 30_000).map((time) => 7_000_000 + time));
  });

  it("reads on for one packet only, where they come slowly", () => {
    const slow = placed(from(12, -600_000), (index) => index * 1000, { frameNs: 1000n * MS });
    expect(slow).toMatchObject({ marked: [12], mostRead: 1 });
  });

  it("believes the arrival of packets from a pipe once they have come at their own pace", () => {
    const sources = Array.from({ length: 60 }, (_, index) => index * FRAME + (index < 50 ? 0 : 600_000));
    const atOnce = placed(sources, () => 0, { paced: "unknown" });
    expect(atOnce).toMatchObject({ times: sources, marked: [] });
    const inTime = placed(sources, undefined, { paced: "unknown" });
    expect(inTime).toMatchObject({ times: sources.map((_, index) => index * FRAME), marked: [50] });
  });
});
