/** This file counts in which order HEVC's pictures are shown (ITU-T H.265 8.3.1). */
import type { NalUnit } from "./annexb.ts";
import { BitReader } from "./bits.ts";
import { skipProfileTierLevel } from "./parameter_sets.ts";
import type { OrderCounter, PictureOrder } from "./picture_order.ts";

/** What an SPS says (7.3.2.2). */
interface Sequence {
  readonly separatePlanes: boolean;
  readonly orderBits: number;
}

/** What a PPS says (7.3.2.3). */
interface Picture {
  readonly sequenceId: number;
  readonly hasOutputFlag: boolean;
  readonly extraBits: number;
}

/** Types of units (table 7-1). */
const [RADL_N, RASL_R, BLA, IDR, IDR_N, CRA, SPS, PPS] = [6, 9, 16, 19, 20, 21, 33, 34] as const;

/** The order counts of a stream's pictures, one after the other in decode order. */
export class HevcOrder implements OrderCounter {
  readonly #sequences = new Map<number, Sequence>();
  readonly #pictures = new Map<number, Picture>();
  #sequence = 0;
  /** Those of the last picture of temporal layer 0 that others can refer to. */
  #last = { high: 0, low: 0 };
  #begins = true;
  /** HEVC's fields are pictures by themselves, and frames to a decoder. */
  readonly hasFields = false;

  set({ type, data }: NalUnit): number | undefined {
    const bits = new BitReader(data.subarray(2));
    // Those of further layers have numbers of their own.
    if (data[0]! & 1 || (data[1] ?? 0) >> 3) return undefined;
    if (type === SPS) return this.#setSequence(bits);
    if (type === PPS) this.#setPicture(bits);
    return undefined;
  }

  /** The next picture begins a sequence, as the stream's first does. */
  end(): void {
    this.#begins = true;
  }

  picture(unit: Uint8Array): PictureOrder | undefined {
    const type = unit[0]! >> 1 & 63;
    const isIdr = type === IDR || type === IDR_N;
    const isRandomAccess = type >= BLA && type <= 23;
    const bits = new BitReader(unit.subarray(2));
    bits.skip(1);
    if (isRandomAccess) bits.skip(1);
    const picture = this.#pictures.get(bits.unsigned());
    const sequence = picture && this.#sequences.get(picture.sequenceId);
    if (!sequence) return undefined;
    bits.skip(picture.extraBits);
    bits.unsigned();
    if (picture.hasOutputFlag) bits.skip(1);
    if (sequence.separatePlanes) bits.skip(2);
    const low = isIdr ? 0 : bits.bits(sequence.orderBits);
    if (bits.ended) return undefined;

    const begins = isRandomAccess && (this.#begins || type < CRA);
    if (begins) this.#sequence++;
    this.#begins = false;
    const high = begins ? 0 : this.#highBits(low, 2 ** sequence.orderBits);
    const temporalId = (unit[1]! & 7) - 1;
    const isLeading = type >= RADL_N && type <= RASL_R;
    const isReference = type > 14 || type % 2 === 1;
    if (temporalId === 0 && isReference && !isLeading) this.#last = { high, low };
    return { sequence: this.#sequence, count: high + low, isField: false };
  }

  #highBits(low: number, range: number): number {
    const { high, low: before } = this.#last;
    if (low < before && before - low >= range / 2) return high + range;
    return low > before && low - before > range / 2 ? high - range : high;
  }

  #setSequence(bits: BitReader): number | undefined {
    bits.skip(4);
    const subLayers = bits.bits(3);
    bits.skip(1);
    skipProfileTierLevel(bits, subLayers);
    const id = bits.unsigned();
    const separatePlanes = bits.unsigned() === 3 && bits.flag();
    bits.unsigned();
    bits.unsigned();
    if (bits.flag()) { for (let edge = 0; edge < 4; edge++) bits.unsigned(); }
    bits.unsigned();
    bits.unsigned();
    const orderBits = bits.unsigned() + 4;
    let reorderFrames = 0;
    for (let layer = bits.flag() ? 0 : subLayers; layer <= subLayers; layer++) {
      bits.unsigned();
      reorderFrames = bits.unsigned();
      bits.unsigned();
    }
    if (bits.ended || id > 15 || orderBits > 16) return undefined;
    this.#sequences.set(id, { separatePlanes, orderBits });
    return Math.min(reorderFrames, 16);
  }

  #setPicture(bits: BitReader): void {
    const [id, sequenceId] = [bits.unsigned(), bits.unsigned()];
    bits.skip(1);
    const hasOutputFlag = bits.flag();
    const extraBits = bits.bits(3);
    if (!bits.ended && id <= 63) this.#pictures.set(id, { sequenceId, hasOutputFlag, extraBits });
  }
}
