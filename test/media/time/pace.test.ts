// Waiting times that keep a stream at its own speed.

import { describe, expect, it } from "vitest";
import { Pace } from "../../../src/media/time/pace.ts";
import { SECOND } from "../../support/media.ts";

describe("a pace", () => {
  it("begins with its first event, and anew after a long delay", () => {
    const pace = new Pace();
    expect(pace.delay(0, 500_000_000n, 1000)).toBe(0);
    expect(pace.delay(0, 540_000_000n, 1010)).toBe(30);
    expect(pace.delay(0, 580_000_000n, 1100)).toBe(-20);
    expect(pace.delay(0, 620_000_000n, 5000)).toBe(0);
    expect(pace.delay(0, 660_000_000n, 5000)).toBe(40);
    pace.reset();
    expect(pace.delay(0, 10n, 6000)).toBe(0);
  });

  it("does not sleep through a jump of the clock, but through a pause", () => {
    const pace = new Pace();
    expect(pace.delay(0, 0n, 0)).toBe(0);
    expect(pace.delay(0, 60n * SECOND, 0)).toBe(60_000);
    expect(pace.delay(0, 26n * 3600n * SECOND, 60_000)).toBe(0);
    expect(pace.delay(0, 26n * 3600n * SECOND + 40_000_000n, 60_010)).toBe(30);
  });

  it("holds where the decoder is seconds behind the packets", () => {
    const pace = new Pace();
    let nowMs = 0;
    const happen = (kind: 0 | "frame", index: number) => {
      nowMs += Math.max(0, pace.delay(kind, BigInt(index) * SECOND / 2n, nowMs));
      return nowMs;
    };
    // Two frames a second; a frame comes out when the third packet behind it goes in.
    const packets: number[] = [];
    const frames: number[] = [];
    for (let index = 0; index < 10; index++) {
      packets.push(happen(0, index));
      if (index >= 3) frames.push(happen("frame", index - 3));
    }
    for (let index = 7; index < 10; index++) frames.push(happen("frame", index));
    expect(packets).toEqual(Array.from({ length: 10 }, (_, index) => 500 * index));
    expect(frames).toEqual(Array.from({ length: 10 }, (_, index) => 1500 + 500 * index));
    pace.reset();
    expect([pace.delay(0, SECOND, nowMs), pace.delay("frame", 0n, nowMs)]).toEqual([0, 0]);
  });
});
