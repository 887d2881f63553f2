/** This file moves parameter sets between a stream's header and its access units. */
import { Buffer } from "node:buffer";
import { joinUnits, type Leading, leadingUnits, type NalUnit } from "./annexb.ts";
import { CODEC_IDS } from "./codec.ts";
import { EXTRADATA_SIZE_MAX } from "./constants.ts";
import { ParameterSets } from "./parameter_sets.ts";

/** Puts those of `sets` before a key access unit that it does not bring itself (RTSP may send them in its SDP alone). */
export function withParameterSets(codecId: number, data: Uint8Array, sets: readonly NalUnit[]): Uint8Array {
  if (sets.length === 0) return data;
  const leading = leadingUnits(codecId, data);
  return withSets(codecId, data, leading, new ParameterSets(codecId, [...sets, ...leading.units]));
}

/** @param sets those of the access unit among them */
function withSets(
  codecId: number,
  data: Uint8Array,
  { units, end }: Leading,
  sets: ParameterSets,
): Uint8Array {
  if (sets.areIn(units)) return data;
  // An access unit delimiter stays first.
  const delimiter = codecId === CODEC_IDS.h264 ? 9 : 35;
  const head = units.filter((unit) => unit.type === delimiter);
  const tail = units.filter((unit) => unit.type !== delimiter && !sets.covers(unit));
  return joinUnits([...head, ...sets.units, ...tail], data.subarray(end));
}

/** An access unit, and the header that it is behind. */
export interface WithHeader {
  readonly data: Uint8Array;
  /** The units of a new header, as Annex B, where the access unit has other parameter sets. */
  readonly header: Uint8Array | undefined;
}

/**
 * What a stream's header says, access unit after access unit: each may bring parameter sets, all of them or a part, which
 * take the place of those with their numbers. The others go on to hold.
 */
export class HeaderUnits {
  readonly #codecId: number;
  readonly #sets: ParameterSets;
  /** What else the header has, such as an encoder's settings. */
  #others: readonly NalUnit[];

  /** @param description the header's units, as Annex B */
  constructor(codecId: number, description: Uint8Array) {
    const { units } = leadingUnits(codecId, description);
    this.#codecId = codecId;
    this.#sets = new ParameterSets(codecId, units);
    this.#others = units.filter((unit) => !this.#sets.has(unit));
  }

  /**
   * The parameter sets as a packet ring's description, which has `EXTRADATA_SIZE_MAX` bytes: where they are more, those
   * that nothing refers to and that were sent long ago are left out. Key packets have them all the same.
   */
  get description(): Uint8Array {
    return joinUnits(this.#sets.fitting(EXTRADATA_SIZE_MAX));
  }

  /**
   * Takes the header's units out of an access unit, so that a packet of a recording is byte for byte the one that was in
   * the source file. H.264's sets that change the header stay where they came: FFmpeg's parser, which reads recordings,
   * knows the first header alone. HEVC's are nowhere but in the header, as the name of that form in an MP4 says (hvc1).
   */
  take(data: Uint8Array): WithHeader {
    const { units, end } = leadingUnits(this.#codecId, data);
    const news = units.filter((unit) => !this.#isKnown(unit));
    const changed = this.#learn(units);
    const rest = this.#codecId === CODEC_IDS.h264 ? news : news.filter((unit) => !this.#sets.covers(unit));
    return {
      data: rest.length === units.length ? data : joinUnits(rest, data.subarray(end)),
      header: changed ? joinUnits(this.#sets.units) : undefined,
    };
  }

  /** Puts the parameter sets into a key access unit that it does not bring, so that a decoder can begin with it. */
  put(data: Uint8Array): WithHeader {
    const leading = leadingUnits(this.#codecId, data);
    const changed = this.#learn(leading.units);
    return {
      data: withSets(this.#codecId, data, leading, this.#sets),
      header: changed ? this.description : undefined,
    };
  }

  /** Notes what an access unit brings with which no decoder begins: it holds for those behind it. */
  pass(data: Uint8Array): WithHeader {
    const changed = this.#learn(leadingUnits(this.#codecId, data).units);
    return { data, header: changed ? this.description : undefined };
  }

  #learn(units: readonly NalUnit[]): boolean {
    const changed = this.#sets.learn(units);
    // What the header said besides was of the sets that it had.
    if (changed) this.#others = [];
    return changed;
  }

  #isKnown(unit: NalUnit): boolean {
    return this.#sets.has(unit) || this.#others.some(({ data }) => Buffer.compare(data, unit.data) === 0);
  }
}
