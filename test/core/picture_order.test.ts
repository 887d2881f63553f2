// The places of pictures, from headers that are written here bit by bit, by the rules of H.264 8.2.1 and H.265 8.3.1.

import { describe, expect, it } from "vitest";
import { joinUnits, type NalUnit } from "../../src/core/annexb.ts";
import { CODEC_IDS } from "../../src/core/codec.ts";
import { type Bits, bits } from "../support/bits.ts";
import { PictureOrders } from "../../src/core/picture_order.ts";

const { h264, hevc } = CODEC_IDS;

const typed = (codecId: number, data: Uint8Array): NalUnit => ({
  type: codecId === h264 ? data[0]! & 31 : data[0]! >> 1 & 63,
  data,
});

/** Places of pictures, given as units. */
function placesOf(
  codecId: number,
  sets: Uint8Array[],
  pictures: Uint8Array[][],
): ([number, number, "field"?] | undefined)[] {
  const orders = new PictureOrders(codecId, joinUnits(sets.map((set) => typed(codecId, set))));
  return pictures.map((units) => {
    const place = orders.next(joinUnits(units.map((unit) => typed(codecId, unit))));
    return place && (place.isField ? [place.sequence, place.count, "field"] : [place.sequence, place.count]);
  });
}

describe("H.264", () => {
  /** Main profile; what the order type needs comes behind it. */
  const sps = (order: (one: Bits) => Bits, framesOnly = 1) => {
    const one = order(bits().u(8, 77).u(8, 0).u(8, 30).ue(0).ue(0)).ue(2).u(1, 0).ue(9, 8).u(1, framesOnly);
    if (!framesOnly) one.u(1, 0);
    return one.u(1, 1).u(1, 0).u(1, 0).unit(0x67);
  };
  const pps = (hasBottomDelta = 0) =>
    bits().ue(0, 0).u(1, 0).u(1, hasBottomDelta).ue(0).ue(0, 0).u(1, 0).u(2, 0).se(0, 0, 0).u(3, 0).unit(
      0x68,
    );
  /** Sixteen frame numbers and sixteen counts. */
  const low = (one: Bits) => one.ue(0).ue(0);
  const [I, P, B] = [7, 5, 6];
  const idr = (count = 0) => bits().ue(0, I, 0).u(4, 0).ue(0).u(4, count).u(2, 0).unit(0x65);
  const reference = (frame: number, count: number) =>
    bits().ue(0, P, 0).u(4, frame).u(4, count).u(1, 0).u(1, 0).u(1, 0).unit(0x61);
  const other = (frame: number, count: number) => bits().ue(0, B, 0).u(4, frame).u(4, count).unit(0x01);

  it("counts on where the count's few bits turn over, in either direction, and begins anew at an IDR picture", () => {
    const pictures = [
      idr(),
      reference(1, 8),
      other(2, 4),
      reference(2, 0),
      other(3, 12),
      reference(3, 8),
      idr(),
      idr(),
    ];
    expect(placesOf(h264, [sps(low), pps()], pictures.map((one) => [one])))
      .toEqual([[1, 0], [1, 8], [1, 4], [1, 16], [1, 12], [1, 24], [2, 0], [3, 0]]);
  });

  it("begins anew behind an operation 5, wherever lists and weights stand before it", () => {
    const forget = bits().ue(0, P, 0).u(4, 2).u(4, 12).u(1, 1).ue(1)
      // Two changes of the list, then the operations 1 and 5.
      .u(1, 1).ue(0, 4).ue(2, 1).ue(3)
      .u(1, 1).ue(1, 3).ue(5).ue(0).unit(0x61);
    const pictures = [idr(), reference(1, 8), forget, reference(1, 2), other(2, 1)];
    expect(placesOf(h264, [sps(low), pps()], pictures.map((one) => [one])))
      .toEqual([[1, 0], [1, 8], [2, 0], [2, 2], [2, 1]]);
    const weighted = bits().ue(0, 0).u(1, 0).u(1, 0).ue(0).ue(1, 0).u(1, 1).u(2, 0).se(0, 0, 0).u(3, 0).unit(
      0x68,
    );
    const forgetWeighted = bits().ue(0, P, 0).u(4, 2).u(4, 12).u(1, 0).u(1, 0)
      // The weights of two references: luma and colours, then luma alone.
      .ue(5, 5).u(1, 1).se(30, -1).u(1, 1).se(30, 1, 30, -1).u(1, 1).se(20, 0).u(1, 0)
      .u(1, 1).ue(5).ue(0).unit(0x61);
    const weightedReference = bits().ue(0, P, 0).u(4, 1).u(4, 8).u(1, 0).u(1, 0).ue(5, 5).u(4, 0).u(1, 0)
      .unit(0x61);
    expect(placesOf(h264, [sps(low), weighted], [[idr()], [weightedReference], [forgetWeighted]]))
      .toEqual([[1, 0], [1, 8], [2, 0]]);
  });

  it("counts fields, and the second one's distance", () => {
    const sets = [sps(low, 0), pps(1)];
    const field = (kind: number, header: number, frame: number, count: number, bottom: number) => {
      const one = bits().ue(0, kind, 0).u(4, frame).u(1, 1).u(1, bottom);
      if (header === 0x65) one.ue(0);
      return one.u(4, count).u(header === 0x65 ? 2 : 3, 0).unit(header);
    };
    const frame = bits().ue(0, B, 0).u(4, 2).u(1, 0).u(4, 7).se(-3).unit(0x01);
    const pictures = [field(I, 0x65, 0, 0, 0), field(P, 0x61, 0, 1, 1), field(P, 0x61, 1, 9, 1), frame];
    expect(placesOf(h264, sets, pictures.map((one) => [one]))).toEqual([
      [1, 0, "field"],
      [1, 1, "field"],
      [1, 9, "field"],
      [1, 4],
    ]);
  });

  it("counts by frame numbers where the sequence says how", () => {
    // Each reference is 4 and 2 in turn behind the one before it; what is none is 3 before its place.
    const cycle = (one: Bits) => one.ue(1).u(1, 1).se(-3, 1).ue(2).se(4, 2);
    const picture = (header: number, kind: number, frame: number) => {
      const one = bits().ue(0, kind, 0).u(4, frame);
      if (header === 0x65) one.ue(0).u(2, 0);
      else if (header === 0x61) one.u(3, 0);
      return one.unit(header);
    };
    const pictures = [0, 1, 2, 3].map((frame) =>
      picture(frame === 0 ? 0x65 : 0x61, frame === 0 ? I : P, frame)
    );
    pictures.splice(2, 0, picture(0x01, B, 2));
    expect(placesOf(h264, [sps(cycle), pps()], pictures.map((one) => [one])))
      .toEqual([[1, 0], [1, 4], [1, 1], [1, 6], [1, 10]]);
    const inTurn = (one: Bits) => one.ue(2);
    const turning = [15, 0, 1].map((frame) => picture(0x61, P, frame));
    const all = [picture(0x65, I, 0), ...turning, picture(0x01, P, 2)];
    expect(placesOf(h264, [sps(inTurn), pps()], all.map((one) => [one])))
      .toEqual([[1, 0], [1, 30], [1, 32], [1, 34], [1, 35]]);
  });

  it("tells how many frames are held back, and no more than there can be", () => {
    const framesOf = (set: Uint8Array) =>
      new PictureOrders(h264, joinUnits([typed(h264, set)])).reorderFrames;
    expect(framesOf(sps(low))).toBe(16);
    expect(framesOf(sps((one) => one.ue(2)))).toBe(0);
    const stated = (frames: number) =>
      bits().u(8, 100).u(8, 0).u(8, 30).ue(0).ue(1, 0, 0).u(1, 0)
        // Two lists of scaling factors: a flat one and one that ends early.
        .u(1, 1).u(1, 1).se(-8).u(1, 1).se(1, -9).u(6, 0)
        .ue(0).ue(0).ue(0).ue(2).u(1, 0).ue(9, 8).u(1, 1).u(1, 1).u(1, 1).ue(1, 2, 3, 4)
        // A VUI with all that it can have.
        .u(1, 1).u(1, 1).u(8, 255).u(16, 4).u(16, 3).u(1, 1).u(1, 0).u(1, 1).u(3, 5).u(1, 0).u(1, 1).u(
          24,
          0x010101,
        )
        .u(1, 1).ue(1, 1).u(1, 1).u(32, 1).u(32, 50).u(1, 1)
        .u(1, 1).ue(1).u(8, 0).ue(3, 4).u(1, 0).ue(5, 6).u(1, 1).u(20, 0).u(1, 0).u(1, 0).u(1, 1)
        .u(1, 1).u(1, 1).ue(0, 0, 9, 9).ue(frames, 4).unit(0x67);
    expect(framesOf(stated(3))).toBe(3);
    expect(framesOf(stated(17))).toBe(16);
  });

  it("says nothing of a picture whose headers are broken or missing", () => {
    const sets = [sps(low), pps()];
    const elsewhere = bits().ue(0, P, 9).u(4, 1).u(4, 8).unit(0x61);
    const cut = reference(1, 8).subarray(0, 2);
    const broken = [[elsewhere], [cut], [Uint8Array.of(0x61)], [bits().u(8, 0).u(8, 0).unit(0x61)], []];
    expect(placesOf(h264, sets, [[idr()], ...broken, [reference(1, 8)]])).toEqual([
      [1, 0],
      ...broken.map(() => undefined),
      [1, 8],
    ]);
    expect(placesOf(h264, [], [[idr()]])).toEqual([undefined]);
  });
});

describe("HEVC", () => {
  const sps = bits().u(4, 0).u(3, 1).u(1, 1)
    .u(32, 0x01600000).u(32, 0x00b00000).u(32, 0x0000005d)
    // Its lower layer has a level of its own.
    .u(1, 0).u(1, 1).u(14, 0).u(8, 90)
    .ue(0).ue(1, 64, 64).u(1, 0).ue(0, 0).ue(0).u(1, 1).ue(2, 0, 0).ue(4, 3, 0).unit(0x42, 1);
  const pps = bits().ue(0, 0).u(1, 0).u(1, 1).u(3, 2).u(4, 0).unit(0x44, 1);
  const picture = (type: number, count: number, layer = 1) => {
    const one = bits().u(1, 1);
    if (type >= 16) one.u(1, 0);
    one.ue(0).u(2, 0).ue(1).u(1, 1);
    if (type !== 19 && type !== 20) one.u(4, count & 15);
    return one.unit(type << 1, layer);
  };
  const end = Uint8Array.of(36 << 1, 1);
  const [TRAIL_N, TRAIL_R, RASL_N, RADL_R, IDR, CRA] = [0, 1, 8, 7, 19, 21];

  it("counts on over CRA pictures, and begins anew at IDR pictures and behind the end of a sequence", () => {
    const pictures: Uint8Array[][] = [
      [picture(CRA, 3)],
      [picture(TRAIL_R, 11)],
      [picture(TRAIL_R, 19)],
      // What nothing in its layer refers to is not counted from.
      [picture(TRAIL_N, 26)],
      [picture(TRAIL_R, 25, 2)],
      [picture(TRAIL_R, 24)],
      [picture(CRA, 30)],
      [picture(RASL_N, 28)],
      [picture(IDR, 0)],
      [picture(RADL_R, -2)],
      [picture(TRAIL_R, 4), end],
      [picture(CRA, 9)],
      [end, picture(CRA, 2)],
    ];
    expect(placesOf(hevc, [sps, pps], pictures)).toEqual([
      ...[[1, 3], [1, 11], [1, 19], [1, 26], [1, 25], [1, 24], [1, 30], [1, 28]],
      ...[[2, 0], [2, -2], [2, 4], [3, 9], [4, 2]],
    ]);
  });

  it("is not misled by the sets of another layer", () => {
    const other = bits().u(4, 0).u(3, 7).u(1, 1).ue(0).ue(1, 32, 32).u(8, 0xff).unit(0x42, 1 | 1 << 3);
    const wrong = bits().ue(0, 1).u(8, 0xff).unit(0x44, 1 | 1 << 3);
    expect(placesOf(hevc, [sps, other, pps, wrong], [[picture(IDR, 0)], [picture(TRAIL_R, 4)]]))
      .toEqual([[1, 0], [1, 4]]);
  });

  it("tells how many frames are held back", () => {
    const sets = joinUnits([sps, pps].map((set) => typed(hevc, set)));
    expect(new PictureOrders(hevc, sets).reorderFrames).toBe(3);
    expect(new PictureOrders(hevc, new Uint8Array(0)).reorderFrames).toBe(0);
  });

  it("says nothing of a picture whose headers are broken or missing", () => {
    const broken = [[picture(TRAIL_R, 4).subarray(0, 3)], [bits().u(1, 1).ue(9).unit(2, 1)], []];
    expect(placesOf(hevc, [sps, pps], broken)).toEqual([undefined, undefined, undefined]);
  });
});
