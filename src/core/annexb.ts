/** This file answers the few questions about access units of H.264 and HEVC that FFmpeg's bitstream filters do not. */
import { CODEC_IDS } from "./codec.ts";
import { unitBetween, unitStarts } from "./nal_units.ts";

/** A NAL unit in a byte stream. */
export interface NalUnit {
  /** `nal_unit_type` of the unit's codec. */
  readonly type: number;
  /** The unit without its start code and without trailing zeros. */
  readonly data: Uint8Array;
}

/** The units of an access unit that stand before its first slice. */
export interface Leading {
  readonly units: NalUnit[];
  /** Where the first slice's start code begins; the length of the data where there is no slice. */
  readonly end: number;
}

/** H.264 table 7-1: 1–5 are slices; HEVC table 7-1: 0–31 are. */
function isSlice(codecId: number, type: number): boolean {
  return codecId === CODEC_IDS.h264 ? type >= 1 && type <= 5 : type < 32;
}

/** SPS, PPS, SPS extension, subset SPS of H.264; VPS, SPS, PPS of HEVC. */
export function isParameterSet(codecId: number, type: number): boolean {
  return codecId === CODEC_IDS.h264
    ? type === 7 || type === 8 || type === 13 || type === 15
    : type >= 32 && type <= 34;
}

/** Splits what stands before the first slice into units; the slices themselves are not searched. */
export function leadingUnits(codecId: number, data: Uint8Array): Leading {
  const units: NalUnit[] = [];
  let begun: { header: number; type: number } | undefined;
  const finish = (end: number) => {
    if (begun) units.push({ type: begun.type, data: unitBetween(data, begun.header, end) });
  };
  for (const { code, header } of unitStarts(data)) {
    finish(code);
    const type = codecId === CODEC_IDS.h264 ? data[header]! & 0x1f : (data[header]! >> 1) & 0x3f;
    if (isSlice(codecId, type)) return { units, end: code };
    begun = { header, type };
  }
  finish(data.length);
  return { units, end: data.length };
}

/** Writes units as a byte stream with four-byte start codes, followed by `rest`. */
export function joinUnits(units: readonly NalUnit[], rest: Uint8Array = new Uint8Array(0)): Uint8Array {
  const size = units.reduce((sum, unit) => sum + 4 + unit.data.length, rest.length);
  const joined = new Uint8Array(size);
  let offset = 0;
  for (const unit of units) {
    joined[offset + 3] = 1;
    joined.set(unit.data, offset + 4);
    offset += 4 + unit.data.length;
  }
  joined.set(rest, offset);
  return joined;
}
