// Times as sources give them, put on one line.

import { describe, expect, it } from "vitest";
import { Timeline } from "../../../src/media/time/timeline.ts";

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
