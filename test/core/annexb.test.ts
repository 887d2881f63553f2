// Access units of H.264 and HEVC, taken apart and put together.

import { describe, expect, it } from "vitest";
import { leadingUnits } from "../../src/core/annexb.ts";
import { CODEC_IDS } from "../../src/core/codec.ts";

describe("Annex B", () => {
  const h264 = CODEC_IDS.h264;

  it("is taken apart up to the first slice, with either start code", () => {
    const bytes = new Uint8Array([0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x68, 2, 0, 0, 1, 0x65, 0, 0, 1, 0x67]);
    const { units, end } = leadingUnits(h264, bytes);
    expect(units.map(({ type, data }) => [type, ...data])).toEqual([[7, 0x67, 1], [8, 0x68, 2]]);
    expect(end).toBe(12);
    for (const broken of [[], [0], [0, 0, 1], [0, 0, 0, 1], [1, 2, 3]]) {
      expect(leadingUnits(h264, new Uint8Array(broken)).units).toEqual([]);
    }
  });
});
