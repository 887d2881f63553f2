// Parameter sets on their way between a stream's header and its access units.

import { describe, expect, it, test } from "vitest";
import { joinUnits as join, type NalUnit } from "../../src/core/annexb.ts";
import { CODEC_IDS } from "../../src/core/codec.ts";
import { EXTRADATA_SIZE_MAX } from "../../src/core/constants.ts";
import { HeaderUnits, withParameterSets } from "../../src/core/header_units.ts";
import { parameterSets } from "../../src/core/parameter_sets.ts";

const { h264, hevc } = CODEC_IDS;

/** A number as an Exp-Golomb code, in bits. */
function golomb(value: number): string {
  const bits = (value + 1).toString(2);
  return "0".repeat(bits.length - 1) + bits;
}

/** A unit: its header, whole bytes, then bits; what it says besides makes it this one. */
function unit(type: number, header: number[], bits: string, tail: readonly number[] = []): NalUnit {
  const padded = bits.padEnd(Math.ceil(bits.length / 8) * 8, "1");
  const bytes = Array.from(
    { length: padded.length / 8 },
    (_, at) => parseInt(padded.slice(8 * at, 8 * at + 8), 2),
  );
  return { type, data: Uint8Array.from([...header, ...bytes, ...tail, 0x80]) };
}

const sps = (id: number, ...tail: number[]) => unit(7, [0x67, 66, 0, 30], golomb(id), tail);
const pps = (id: number, ...tail: number[]) => unit(8, [0x68], golomb(id), tail);
const sei = { type: 6, data: Uint8Array.of(6, 5, 1, 0x80) };
const delimiter = { type: 9, data: Uint8Array.of(9, 0xf0) };
const slice = { type: 5, data: Uint8Array.of(0x65, 9, 9) };

/** HEVC's. The profile's zeros have the byte 3 between them, which keeps start codes out. */
const profile = [1, 0x60, 0, 0, 3, 0, 0xb0, 0, 0, 3, 0, 0, 3, 0, 93];
const hevcVps = (id: number, ...tail: number[]) => unit(32, [0x40, 1], id.toString(2).padStart(4, "0"), tail);
const hevcSps = (id: number, ...tail: number[]) => unit(33, [0x42, 1, 1, ...profile], golomb(id), tail);
const hevcPps = (id: number, ...tail: number[]) => unit(34, [0x44, 1], golomb(id), tail);
const hevcSlice = { type: 19, data: Uint8Array.of(38, 1, 9) };

describe("parameter sets of a description", () => {
  it("stand before a key packet that has none, behind the delimiter", () => {
    const data = join([delimiter, sei, slice]);
    const whole = withParameterSets(h264, data, [sps(0), pps(0)]);
    expect(whole).toEqual(join([delimiter, sps(0), pps(0), sei, slice]));
    expect(withParameterSets(h264, whole, [sps(0), pps(0)])).toBe(whole);
  });

  it("stand before a key packet where it has others or a part, and its own come first", () => {
    const data = join([delimiter, pps(0, 7), sei, slice]);
    expect(withParameterSets(h264, data, [sps(0), pps(0), pps(1)]))
      .toEqual(join([delimiter, sps(0), pps(0, 7), pps(1), sei, slice]));
  });
});

test("parameter sets of an access unit are in one order, each once", () => {
  const data = join([delimiter, sps(0), pps(1), sei, sps(1), pps(0, 7), pps(0), slice]);
  expect(join(parameterSets(h264, data))).toEqual(join([sps(0), sps(1), pps(0), pps(1)]));
});

describe("the units of a header", () => {
  it("are taken out of packets, and others are the header from there on", () => {
    const header = new HeaderUnits(h264, join([sps(0), pps(0), sei]));
    expect(header.take(join([sei, sps(0), pps(0), slice]))).toEqual({
      data: join([slice]),
      header: undefined,
    });
    const plain = join([delimiter, slice]);
    expect(header.take(plain).data).toBe(plain);
    expect(header.take(join([sps(0, 9), pps(0), slice]))).toEqual({
      data: join([sps(0, 9), slice]),
      header: join([sps(0, 9), pps(0)]),
    });
    expect(header.take(join([sps(0, 9), pps(0), sei, slice]))).toEqual({
      data: join([sei, slice]),
      header: undefined,
    });
  });

  it("are put into key packets that lack them, one by one", () => {
    const header = new HeaderUnits(h264, join([sps(0), pps(0)]));
    expect(header.put(join([delimiter, sei, slice]))).toEqual({
      data: join([delimiter, sps(0), pps(0), sei, slice]),
      header: undefined,
    });
    const whole = join([sps(0), pps(0), slice]);
    expect(header.put(whole).data).toBe(whole);
    const changed = join([delimiter, sps(0, 9), sei, slice]);
    expect(header.put(changed)).toEqual({
      data: join([delimiter, sps(0, 9), pps(0), sei, slice]),
      header: join([sps(0, 9), pps(0)]),
    });
    // Its memory is used again.
    changed.fill(0);
    expect(header.put(join([slice])).data).toEqual(join([sps(0, 9), pps(0), slice]));
    expect(header.put(join([pps(0, 5), slice]))).toEqual({
      data: join([sps(0, 9), pps(0, 5), slice]),
      header: join([sps(0, 9), pps(0, 5)]),
    });
  });

  it("are in an order in which a decoder can take them", () => {
    const header = new HeaderUnits(h264, join([pps(0)]));
    expect(header.put(join([pps(0), sps(0), slice])).data).toEqual(join([sps(0), pps(0), slice]));
    const interleaved = join([sps(0), pps(0), sps(1), pps(1), slice]);
    expect(header.put(interleaved)).toEqual({
      data: interleaved,
      header: join([sps(0), sps(1), pps(0), pps(1)]),
    });
  });

  it("come once, where FFmpeg has put the header's before others", () => {
    const [vps, sps, pps] = [hevcVps(0), hevcSps(0), hevcPps(0)];
    const header = () => new HeaderUnits(hevc, join([vps, sps, pps]));
    const other = hevcSps(0, 1);
    const doubled = join([vps, sps, pps, vps, other, pps, hevcSlice]);
    expect(header().put(doubled)).toEqual({
      data: join([vps, other, pps, hevcSlice]),
      header: join([vps, other, pps]),
    });
    expect(header().take(doubled)).toEqual({ data: join([hevcSlice]), header: join([vps, other, pps]) });
  });

  it("are noted where they come before another picture", () => {
    const header = new HeaderUnits(h264, join([sps(0), pps(0)]));
    const delta = join([pps(3), { type: 1, data: Uint8Array.of(0x41, 9) }]);
    expect(header.pass(delta)).toEqual({ data: delta, header: join([sps(0), pps(0), pps(3)]) });
    expect(header.pass(delta).header).toBeUndefined();
    expect(header.put(join([slice])).data).toEqual(join([sps(0), pps(0), pps(3), slice]));
  });

  it("of HEVC are VPS, SPS and PPS, each by its own number", () => {
    const header = new HeaderUnits(hevc, join([hevcVps(2)]));
    const first = join([hevcSps(3), hevcPps(40), hevcSlice]);
    expect(header.put(first)).toEqual({
      data: join([hevcVps(2), hevcSps(3), hevcPps(40), hevcSlice]),
      header: join([hevcVps(2), hevcSps(3), hevcPps(40)]),
    });
    expect(header.put(join([hevcPps(40, 1), hevcPps(7), hevcSlice])).header)
      .toEqual(join([hevcVps(2), hevcSps(3), hevcPps(7), hevcPps(40, 1)]));
    expect(header.put(join([hevcSps(3, 1), hevcSlice])).header)
      .toEqual(join([hevcVps(2), hevcSps(3, 1), hevcPps(7), hevcPps(40, 1)]));
    expect(header.put(join([hevcVps(2, 1), hevcSps(1), hevcSlice])).data)
      .toEqual(join([hevcVps(2, 1), hevcSps(1), hevcSps(3, 1), hevcPps(7), hevcPps(40, 1), hevcSlice]));
  });

  it("are not what has a number that no set has, or none", () => {
    const header = new HeaderUnits(h264, join([sps(0), pps(0)]));
    for (
      const broken of [
        sps(32),
        pps(256),
        { type: 8, data: Uint8Array.of(0x68) },
        unit(8, [0x68], "0".repeat(80)),
      ]
    ) {
      const data = join([broken, slice]);
      expect(header.put(data)).toEqual({ data: join([sps(0), pps(0), broken, slice]), header: undefined });
      expect(header.take(data)).toEqual({ data, header: undefined });
    }
    const sequences = [hevcSps(16), { type: 33, data: hevcSps(0).data.subarray(0, 12) }, hevcPps(64)];
    for (const broken of sequences) {
      expect(new HeaderUnits(hevc, join([])).take(join([broken, hevcSlice])).header).toBeUndefined();
    }
  });

  it("fit a packet ring's description, the ones that others refer to first, then the latest", () => {
    const header = new HeaderUnits(h264, join([]));
    const large = (id: number) => pps(id, ...new Array(900).fill(1 + id));
    const sets = [large(0), large(1), large(2), sps(0, ...new Array(900).fill(9)), large(3), large(4)];
    const { data, header: description } = header.put(join([...sets, slice]));
    const ordered = [sets[3]!, large(0), large(1), large(2), large(3), large(4)];
    expect(data).toEqual(join([...ordered, slice]));
    expect(description).toEqual(join([sets[3]!, large(2), large(3), large(4)]));
    expect(description!.length).toBeLessThanOrEqual(EXTRADATA_SIZE_MAX);
    // A recording's header has them all.
    expect(new HeaderUnits(h264, join([])).take(join([...sets, slice])).header).toEqual(join(ordered));
    expect(new HeaderUnits(h264, join([sps(0, ...new Array(5000).fill(1))])).description).toEqual(join([]));
  });

  it("take so much memory and no more: what was not sent for longest is forgotten", () => {
    const header = new HeaderUnits(h264, join([sps(0)]));
    for (let id = 0; id < 100; id++) header.pass(join([pps(id, ...new Array(1000).fill(1)), sps(0), slice]));
    const { data } = header.put(join([slice]));
    expect(data.length).toBeLessThan(70_000);
    expect(data.length).toBeGreaterThan(60_000);
    expect(data.subarray(0, 10)).toEqual(join([sps(0)]).subarray(0, 10));
    const huge = pps(0, ...new Array(70_000).fill(1));
    const key = join([huge, slice]);
    expect(new HeaderUnits(h264, join([sps(0)])).put(key).data).toEqual(join([sps(0), huge, slice]));
    expect(new HeaderUnits(h264, join([sps(0)])).take(key)).toEqual({ data: key, header: undefined });
  });
});
