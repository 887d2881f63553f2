/** This file keeps the parameter sets of H.264 and HEVC, each by its number: streams send them in parts. */
import { Buffer } from "node:buffer";
import { isParameterSet, leadingUnits, type NalUnit } from "./annexb.ts";
import { BitReader } from "./bits.ts";
import { CODEC_IDS } from "./codec.ts";

/** The most bytes of sets that are kept. Those of a stream have some hundreds; what nobody sends again goes first. */
const KEPT_SIZE_MAX = 64 * 1024;

/** A parameter set that is kept. */
interface KeptSet extends NalUnit {
  /** Its kind's place in a stream: no set comes before one that it refers to. */
  readonly rank: number;
  readonly id: number;
}

/** A kind of parameter sets. */
interface Kind {
  readonly rank: number;
  /** The highest number that one can have. */
  readonly last: number;
  /** Reads the number of one; negative where it is cut short. */
  idOf(unit: Uint8Array): number;
}

/** A number that stands `bytes` behind the beginning of the unit. */
const numberedAt = (bytes: number) => (unit: Uint8Array) => numberIn(new BitReader(unit.subarray(bytes)));

/** The number that comes next. */
function numberIn(bits: BitReader): number {
  const id = bits.unsigned();
  return bits.ended ? -1 : id;
}

/** H.264 table 7-1: SPS (whose profile and level come first), its extension, subset SPS, PPS. */
const H264_KINDS: Readonly<Record<number, Kind>> = {
  7: { rank: 0, last: 31, idOf: numberedAt(4) },
  13: { rank: 1, last: 31, idOf: numberedAt(1) },
  15: { rank: 2, last: 31, idOf: numberedAt(4) },
  8: { rank: 3, last: 255, idOf: numberedAt(1) },
};

/** H.265 table 7-1: VPS, SPS, PPS. */
const HEVC_KINDS: Readonly<Record<number, Kind>> = {
  32: { rank: 0, last: 15, idOf: (unit) => new BitReader(unit.subarray(2)).bits(4) },
  33: { rank: 1, last: 15, idOf: hevcSequenceId },
  34: { rank: 2, last: 63, idOf: numberedAt(2) },
};

/** An SPS's number is behind its profile_tier_level (H.265 7.3.2.2, 7.3.3). */
function hevcSequenceId(unit: Uint8Array): number {
  const bits = new BitReader(unit.subarray(2));
  bits.skip(4);
  const subLayers = bits.bits(3);
  bits.skip(1);
  skipProfileTierLevel(bits, subLayers);
  return numberIn(bits);
}

/** Leaves out HEVC's profile_tier_level. @param subLayers `sps_max_sub_layers_minus1` */
export function skipProfileTierLevel(bits: BitReader, subLayers: number): void {
  bits.skip(96);
  const present = Array.from({ length: subLayers }, () => ({ profile: bits.flag(), level: bits.flag() }));
  if (subLayers > 0) bits.skip(2 * (8 - subLayers));
  for (const { profile, level } of present) bits.skip((profile ? 88 : 0) + (level ? 8 : 0));
}

/** What tells a set from others of its stream; undefined for a unit that is none, or that is broken. */
function identify(
  codecId: number,
  { type, data }: NalUnit,
): { key: string; rank: number; id: number } | undefined {
  const kind = isParameterSet(codecId, type)
    ? (codecId === CODEC_IDS.h264 ? H264_KINDS : HEVC_KINDS)[type]
    : undefined;
  if (!kind || data.length > KEPT_SIZE_MAX) return undefined;
  const id = kind.idOf(data);
  if (id < 0 || id > kind.last) return undefined;
  // Of several layers each has its own.
  const layer = codecId === CODEC_IDS.hevc ? (data[0]! & 1) << 5 | data[1]! >> 3 : 0;
  return { key: `${layer} ${type} ${id}`, rank: kind.rank, id };
}

/** The parameter sets that hold at a place of a stream: a set takes the place of the one with its kind and number. */
export class ParameterSets {
  readonly #codecId: number;
  /** By kind and number; what was sent last is last. */
  readonly #kept = new Map<string, KeptSet>();

  constructor(codecId: number, units: readonly NalUnit[] = []) {
    this.#codecId = codecId;
    this.learn(units);
  }

  /** All of them, in an order in which a decoder can take them. */
  get units(): NalUnit[] {
    return [...this.#kept.values()].sort((one, other) => one.rank - other.rank || one.id - other.id);
  }

  /** As many of them as go into `size` bytes: the sets that others refer to, then those that were sent last. */
  fitting(size: number): NalUnit[] {
    const latestFirst = [...this.#kept.values()].reverse().sort((one, other) => one.rank - other.rank);
    const chosen = new Set<NalUnit>();
    let left = size;
    for (const unit of latestFirst) {
      const taken = unit.data.length + 4;
      if (taken > left) continue;
      left -= taken;
      chosen.add(unit);
    }
    return this.units.filter((unit) => chosen.has(unit));
  }

  /** Takes the sets among units that come next in the stream; whether these are others than were known. */
  learn(units: readonly NalUnit[]): boolean {
    let changed = false;
    for (const unit of units) {
      const identity = identify(this.#codecId, unit);
      if (!identity) continue;
      const { key, rank, id } = identity;
      const known = this.#kept.get(key);
      this.#kept.delete(key);
      if (known && isSame(known, unit)) {
        this.#kept.set(key, known);
      } else {
        changed = true;
        // The access unit's memory is its owner's.
        this.#kept.set(key, { type: unit.type, data: unit.data.slice(), rank, id });
      }
    }
    if (changed) this.#forget();
    return changed;
  }

  /** Whether this very set is among them. */
  has(unit: NalUnit): boolean {
    const key = identify(this.#codecId, unit)?.key;
    const kept = key === undefined ? undefined : this.#kept.get(key);
    return kept !== undefined && isSame(kept, unit);
  }

  /** Whether there is one of this set's kind and number: this one, or another that has taken its place. */
  covers(unit: NalUnit): boolean {
    const key = identify(this.#codecId, unit)?.key;
    return key !== undefined && this.#kept.has(key);
  }

  /** Whether a decoder that begins with these units gets all of them, each kind behind those that it refers to. */
  areIn(units: readonly NalUnit[]): boolean {
    const found = new Set<string>();
    const ranks = new Set<number>();
    let highest = 0;
    for (const unit of units) {
      const identity = identify(this.#codecId, unit);
      if (!identity || !this.has(unit)) continue;
      const { key, rank } = identity;
      if (rank < highest && !ranks.has(rank)) return false;
      highest = Math.max(highest, rank);
      found.add(key);
      ranks.add(rank);
    }
    return found.size === this.#kept.size;
  }

  /** Keeps memory bounded, whatever a stream sends. */
  #forget(): void {
    let size = 0;
    for (const { data } of this.#kept.values()) size += data.length;
    for (const [key, { data }] of this.#kept) {
      if (size <= KEPT_SIZE_MAX) return;
      this.#kept.delete(key);
      size -= data.length;
    }
  }
}

/**
 * The parameter sets alone, of a stream's extradata or of an access unit: each once, in an order that does not depend on the
 * one in which they come.
 */
export function parameterSets(codecId: number, data: Uint8Array): NalUnit[] {
  return new ParameterSets(codecId, leadingUnits(codecId, data).units).units;
}

function isSame(one: NalUnit, other: NalUnit): boolean {
  return Buffer.compare(one.data, other.data) === 0;
}
