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
