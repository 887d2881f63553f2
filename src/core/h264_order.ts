/** This file counts in which order H.264's pictures are shown (ITU-T H.264 8.2.1). */
import type { NalUnit } from "./annexb.ts";
import { BitReader } from "./bits.ts";
import { type H264Picture, type H264Sequence, readH264Picture, readH264Sequence } from "./h264_headers.ts";
import type { OrderCounter, PictureOrder } from "./picture_order.ts";

/** What a slice says of its picture. */
interface Slice {
  readonly sequence: H264Sequence;
  readonly isIdr: boolean;
  readonly isReference: boolean;
  readonly frameNum: number;
  readonly field: "none" | "top" | "bottom";
  readonly order: number;
  readonly deltas: readonly [number, number];
  /** Whether all before it is forgotten, as at an IDR picture, once it is decoded (`memory_management_control_operation` 5). */
  readonly resets: boolean;
}

/** The order counts of a stream's pictures, one after the other in decode order. */
export class H264Order implements OrderCounter {
  readonly #sequences = new Map<number, H264Sequence>();
  readonly #pictures = new Map<number, H264Picture>();
  #sequence = 0;
  /** The last reference picture's, of order type 0. */
  #last = { high: 0, low: 0 };
  /** The last picture's, of the order types 1 and 2. */
  #frame = { num: 0, offset: 0 };
  #hasReset = false;
  #hasFields = false;

  get hasFields(): boolean {
    return this.#hasFields;
  }

  /** Takes a parameter set. */
  set({ type, data }: NalUnit): number | undefined {
    const bits = new BitReader(data.subarray(1));
    if (type === 7) {
      const sequence = readH264Sequence(bits);
      if (sequence) this.#sequences.set(sequence.id, sequence);
      this.#hasFields ||= sequence?.framesOnly === false;
      return sequence?.reorderFrames;
    }
    const picture = type === 8 ? readH264Picture(bits) : undefined;
    if (picture) this.#pictures.set(picture.id, picture);
    return undefined;
  }

  /** Takes a picture's first slice; undefined where that does not say when it is shown. */
  picture(unit: Uint8Array): PictureOrder | undefined {
    const slice = this.#slice(unit);
    if (!slice) return undefined;
    if (slice.isIdr) this.#sequence++;
    const [top, bottom] = slice.sequence.orderType === 0 ? this.#byLowBits(slice) : this.#byFrames(slice);
    const count = slice.field === "top" ? top : slice.field === "bottom" ? bottom : Math.min(top, bottom);
    const isField = slice.field !== "none";
    const order = { sequence: this.#sequence, count, isField };
    this.#hasReset = slice.resets;
    if (!slice.resets) return order;
    // It is shown behind all before it, and counts as the first of a new sequence.
    this.#sequence++;
    this.#last = { high: 0, low: slice.field === "bottom" ? 0 : top - count };
    return { sequence: this.#sequence, count: 0, isField };
  }

  /** 8.2.1.1 */
  #byLowBits({ sequence, isIdr, isReference, field, order, deltas }: Slice): readonly [number, number] {
    const range = 2 ** sequence.orderBits;
    const { high, low } = isIdr ? { high: 0, low: 0 } : this.#last;
    const turned = order < low && low - order >= range / 2
      ? high + range
      : order > low && order - low > range / 2
      ? high - range
      : high;
    const top = turned + order;
    if (isReference) this.#last = { high: turned, low: order };
    return [top, field === "none" ? top + deltas[0] : top];
  }

  /** 8.2.1.2 and 8.2.1.3 */
  #byFrames({ sequence, isIdr, isReference, frameNum, field, deltas }: Slice): readonly [number, number] {
    const before = this.#hasReset ? { num: 0, offset: 0 } : this.#frame;
    const turn = before.num > frameNum ? 2 ** sequence.frameNumBits : 0;
    const offset = isIdr ? 0 : before.offset + turn;
    this.#frame = { num: frameNum, offset };
    if (sequence.orderType === 2) {
      const count = isIdr ? 0 : 2 * (offset + frameNum) - (isReference ? 0 : 1);
      return [count, count];
    }
    const { offsetsForReferences: cycle, offsetForNonReference, offsetTopToBottom } = sequence;
    let frames = cycle.length > 0 ? offset + frameNum : 0;
    if (!isReference && frames > 0) frames--;
    let expected = isReference ? 0 : offsetForNonReference;
    if (frames > 0) {
      const sum = (count: number) => cycle.slice(0, count).reduce((total, one) => total + one, 0);
      const cycles = Math.floor((frames - 1) / cycle.length);
      expected += cycles * sum(cycle.length) + sum((frames - 1) % cycle.length + 1);
    }
    const top = expected + deltas[0];
    return [top, field === "none" ? top + offsetTopToBottom + deltas[1] : top + offsetTopToBottom];
  }

  /** 7.3.3 */
  #slice(unit: Uint8Array): Slice | undefined {
    const bits = new BitReader(unit.subarray(1));
    const [type, isReference] = [unit[0]! & 31, (unit[0]! >> 5 & 3) !== 0];
    const isIdr = type === 5;
    bits.unsigned();
    const kind = bits.unsigned() % 5;
    const picture = this.#pictures.get(bits.unsigned());
    const sequence = picture && this.#sequences.get(picture.sequenceId);
    if (!sequence) return undefined;
    if (sequence.separatePlanes) bits.skip(2);
    const frameNum = bits.bits(sequence.frameNumBits);
    const isField = !sequence.framesOnly && bits.flag();
    const field = !isField ? "none" : bits.flag() ? "bottom" : "top";
    if (isIdr) bits.unsigned();
    const order = bits.bits(sequence.orderBits);
    const hasDelta = sequence.orderType === 0
      ? picture.hasBottomDelta && !isField
      : !sequence.deltaAlwaysZero;
    const first = hasDelta ? bits.signed() : 0;
    const second = hasDelta && sequence.orderType === 1 && picture.hasBottomDelta && !isField
      ? bits.signed()
      : 0;
    if (bits.ended) return undefined;
    const resets = isReference && !isIdr && readsReset(bits, kind, picture, sequence);
    return { sequence, isIdr, isReference, frameNum, field, order, deltas: [first, second], resets };
  }
}

const [P, B, SP] = [0, 1, 3];
/** A list of references has at most so many entries. */
const REFERENCES_MAX = 32;

/** Reads on to a slice's `dec_ref_pic_marking`; whether its operations have a 5. */
function readsReset(
  bits: BitReader,
  kind: number,
  picture: H264Picture,
  { hasColours }: H264Sequence,
): boolean {
  if (picture.hasRedundantCount) bits.unsigned();
  if (kind === B) bits.skip(1);
  const lists = kind === B ? 2 : kind === P || kind === SP ? 1 : 0;
  let references = picture.references.slice(0, lists);
  if (lists > 0) {
    if (bits.flag()) references = references.map(() => bits.unsigned() + 1);
    for (const _list of references) skipListChanges(bits);
    if (kind === B ? picture.weightedBipredictive : picture.weighted) {
      skipWeights(bits, references, hasColours);
    }
  }
  if (!bits.flag()) return false;
  while (!bits.ended) {
    const operation = bits.unsigned();
    if (operation === 0) return false;
    if (operation === 5) return !bits.ended;
    bits.unsigned();
    if (operation === 3) bits.unsigned();
  }
  return false;
}

/** 7.3.3.1 */
function skipListChanges(bits: BitReader): void {
  if (!bits.flag()) return;
  while (!bits.ended && bits.unsigned() !== 3) bits.unsigned();
}

/** 7.3.3.2 */
function skipWeights(bits: BitReader, references: readonly number[], hasColours: boolean): void {
  bits.unsigned();
  if (hasColours) bits.unsigned();
  for (const count of references) {
    for (let entry = 0; entry < Math.min(count, REFERENCES_MAX); entry++) {
      if (bits.flag()) skipSigned(bits, 2);
      if (hasColours && bits.flag()) skipSigned(bits, 4);
    }
  }
}

function skipSigned(bits: BitReader, count: number): void {
  for (let left = count; left > 0; left--) bits.signed();
}
