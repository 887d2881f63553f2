/** This file answers the few questions about access units of H.264 and HEVC that FFmpeg's bitstream filters do not. */
import { Buffer } from "node:buffer";
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

/** Picture parameter sets of H.264 and of HEVC. */
function isPictureSet(codecId: number, type: number): boolean {
  return type === (codecId === CODEC_IDS.h264 ? 8 : 34);
}

/** A picture parameter set's number, its first field behind the header: at most 255, as an Exp-Golomb code (H.264 9.1). */
function pictureSetId(codecId: number, { data }: NalUnit): number {
  const begin = codecId === CODEC_IDS.h264 ? 1 : 2;
  const bits = (data[begin] ?? 0) << 16 | (data[begin + 1] ?? 0) << 8 | (data[begin + 2] ?? 0);
  const zeros = Math.clz32(bits) - 8;
  return (bits >>> (23 - 2 * zeros)) - 1;
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

/** The parameter sets alone, of a stream's extradata or of an access unit. */
export function parameterSets(codecId: number, data: Uint8Array): NalUnit[] {
  return leadingUnits(codecId, data).units.filter((unit) => isParameterSet(codecId, unit.type));
}

/** Puts `sets` before a key access unit that carries no parameter sets (RTSP sends them in its SDP alone). */
export function withParameterSets(codecId: number, data: Uint8Array, sets: readonly NalUnit[]): Uint8Array {
  return sets.length === 0 ? data : withSets(codecId, data, leadingUnits(codecId, data), sets);
}

function withSets(
  codecId: number,
  data: Uint8Array,
  { units, end }: Leading,
  sets: readonly NalUnit[],
): Uint8Array {
  if (sets.length === 0 || units.some((unit) => isParameterSet(codecId, unit.type))) return data;
  // An access unit delimiter stays first.
  const delimiter = codecId === CODEC_IDS.h264 ? 9 : 35;
  const head = units.filter((unit) => unit.type === delimiter);
  const tail = units.filter((unit) => unit.type !== delimiter);
  return joinUnits([...head, ...sets, ...tail], data.subarray(end));
}

/** An access unit, and the header that it is behind. */
export interface WithHeader {
  readonly data: Uint8Array;
  /** The units of a new header, as Annex B, where the access unit has other parameter sets. */
  readonly header: Uint8Array | undefined;
}

/**
 * What a stream's header says, access unit after access unit: each may have other parameter sets, which then are the
 * header.
 */
export class HeaderUnits {
  readonly #codecId: number;
  #units: NalUnit[];

  /** @param description the header's units, as Annex B */
  constructor(codecId: number, description: Uint8Array) {
    this.#codecId = codecId;
    this.#units = leadingUnits(codecId, description).units;
  }

  /**
   * Takes the header's units out of an access unit, so that a packet of a recording is byte for byte the one that was in
   * the source file.
   */
  take(data: Uint8Array): WithHeader {
    const { units, end } = leadingUnits(this.#codecId, data);
    const unknown = units.filter((unit) => !this.#isKnown(unit));
    if (unknown.length === units.length && !unknown.some((unit) => this.#isSet(unit))) {
      return { data, header: undefined };
    }
    const rest = joinUnits(unknown.filter((unit) => !this.#isSet(unit)), data.subarray(end));
    return { data: rest, header: this.#learn(units) };
  }

  /** Puts the header's parameter sets into a key access unit that has none, so that a decoder can begin with it. */
  put(data: Uint8Array): WithHeader {
    const leading = leadingUnits(this.#codecId, data);
    const header = this.#learn(leading.units);
    const sets = this.#units.filter((unit) => this.#isSet(unit));
    return { data: withSets(this.#codecId, data, leading, sets), header };
  }

  /** The header, where units of an access unit make it another one. */
  #learn(units: readonly NalUnit[]): Uint8Array | undefined {
    const sets = units.filter((unit) => this.#isSet(unit));
    const added = sets.filter((unit) => !this.#isKnown(unit));
    if (added.length === 0) return undefined;
    // A picture parameter set alone joins the sequence's sets, in the place of one with its number.
    const complete = sets.some((unit) => unit.type === (this.#codecId === CODEC_IDS.h264 ? 7 : 33));
    const kept = this.#units.filter((unit) => !added.some((other) => this.#replaces(other, unit)));
    // The access unit's memory is its owner's.
    this.#units = (complete ? sets : [...kept, ...added]).map(({ type, data }) => ({
      type,
      data: data.slice(),
    }));
    return joinUnits(this.#units);
  }

  #replaces(one: NalUnit, other: NalUnit): boolean {
    const codecId = this.#codecId;
    return isPictureSet(codecId, one.type) && isPictureSet(codecId, other.type) &&
      pictureSetId(codecId, one) === pictureSetId(codecId, other);
  }

  #isKnown(unit: NalUnit): boolean {
    return this.#units.some((known) => Buffer.compare(known.data, unit.data) === 0);
  }

  #isSet(unit: NalUnit): boolean {
    return isParameterSet(this.#codecId, unit.type);
  }
}
