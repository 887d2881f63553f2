// Access units of H.264 and HEVC, taken apart and put together.

import { describe, expect, it } from "vitest";
import {
  HeaderUnits,
  joinUnits,
  leadingUnits,
  parameterSets,
  withParameterSets,
} from "../../src/core/annexb.ts";
import { CODEC_IDS } from "../../src/core/codec.ts";

describe("Annex B", () => {
  const unit = (type: number, ...rest: number[]) => ({ type, data: new Uint8Array([0x60 | type, ...rest]) });
  const [sps, pps, sei, delimiter, slice] = [
    unit(7, 1, 2, 3),
    unit(8, 0x84),
    unit(6, 5),
    unit(9, 0xf0),
    unit(5, 9, 9),
  ];
  const join = joinUnits;
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

  it("gets parameter sets where a key packet has none, behind the delimiter", () => {
    const data = join([delimiter, sei, slice]);
    const whole = withParameterSets(h264, data, [sps, pps]);
    expect(whole).toEqual(join([delimiter, sps, pps, sei, slice]));
    expect(withParameterSets(h264, whole, [sps, pps])).toBe(whole);
  });

  it("loses what the header says, and becomes the header where it says otherwise", () => {
    const header = new HeaderUnits(h264, join([sps, pps]));
    expect(header.take(join([sei, sps, pps, slice]))).toEqual({
      data: join([sei, slice]),
      header: undefined,
    });
    const plain = join([sei, slice]);
    expect(header.take(plain).data).toBe(plain);
    // The number 1, which 0x40 begins, where the first one's is 0.
    const [otherSps, otherPps] = [unit(7, 9, 9, 9), unit(8, 0x47)];
    expect(header.take(join([otherSps, pps, slice]))).toEqual({
      data: join([slice]),
      header: join([otherSps, pps]),
    });
    expect(header.take(join([otherSps, pps, slice]))).toEqual({ data: join([slice]), header: undefined });
    expect(header.take(join([otherPps, slice])).header).toEqual(join([otherSps, pps, otherPps]));
    expect(header.take(join([sps, pps, slice])).header).toEqual(join([sps, pps]));
    expect(parameterSets(h264, join([sei, sps, pps, slice]))).toHaveLength(2);
  });

  it("gets the header's parameter sets, and tells where they are others", () => {
    const header = new HeaderUnits(h264, join([sps, pps]));
    expect(header.put(join([delimiter, sei, slice]))).toEqual({
      data: join([delimiter, sps, pps, sei, slice]),
      header: undefined,
    });
    const whole = join([sps, pps, slice]);
    expect(header.put(whole).data).toBe(whole);
    const otherSps = unit(7, 9, 9, 9);
    const changed = join([otherSps, pps, slice]);
    expect(header.put(changed)).toEqual({ data: changed, header: join([otherSps, pps]) });
    // Its memory is used again.
    changed.fill(0);
    expect(header.put(join([slice])).data).toEqual(join([otherSps, pps, slice]));
  });

  it("says again which picture parameter set holds where one of its number returns", () => {
    for (
      const [codecId, set, [a, b, other]] of [
        [h264, sps, [[0x68, 0x84], [0x68, 0x87], [0x68, 0x00, 0x80, 0x80]]],
        [CODEC_IDS.hevc, { type: 33, data: new Uint8Array([66, 1, 9]) }, [[68, 1, 0x64], [68, 1, 0x67], [
          68,
          1,
          0x84,
        ]]],
      ] as const
    ) {
      const type = codecId === h264 ? 8 : 34;
      const units = [a, b, other].map((bytes) => ({ type, data: new Uint8Array(bytes) }));
      const [first, second, another] = units as [typeof units[0], typeof units[0], typeof units[0]];
      const header = new HeaderUnits(codecId, join([set, first, another]));
      const picture = codecId === h264 ? slice : { type: 19, data: new Uint8Array([38, 1, 9]) };
      const take = (...sets: typeof units) => header.take(join([...sets, picture])).header;
      expect(take(second)).toEqual(join([set, another, second]));
      expect(take(second)).toBeUndefined();
      expect(take(first)).toEqual(join([set, another, first]));
      expect(take(another)).toBeUndefined();
    }
  });
});
