/** This file reads of H.264's headers what says in which order pictures are shown (ITU-T H.264 7.3). */
import type { BitReader } from "./bits.ts";

/** No more frames are held back than there are frames to refer to (A.3.1). */
const REORDER_FRAMES_MAX = 16;

/** What an SPS says. */
export interface H264Sequence {
  readonly id: number;
  readonly separatePlanes: boolean;
  /** Whether slices have weights for colours too. */
  readonly hasColours: boolean;
  readonly frameNumBits: number;
  readonly orderType: number;
  /** Of order type 0. */
  readonly orderBits: number;
  /** Of order type 1. */
  readonly deltaAlwaysZero: boolean;
  readonly offsetForNonReference: number;
  readonly offsetTopToBottom: number;
  readonly offsetsForReferences: readonly number[];
  readonly framesOnly: boolean;
  /** How many frames may come before a frame and be shown behind it. */
  readonly reorderFrames: number;
}

/** What a PPS says. */
export interface H264Picture {
  readonly id: number;
  readonly sequenceId: number;
  /** `bottom_field_pic_order_in_frame_present_flag` */
  readonly hasBottomDelta: boolean;
  readonly weighted: boolean;
  readonly weightedBipredictive: boolean;
  readonly references: readonly [number, number];
  readonly hasRedundantCount: boolean;
}

/** Profiles whose SPS states chroma and scaling (7.3.2.1.1). */
const HIGH_PROFILES: readonly number[] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/** @param bits behind the unit's header */
export function readH264Sequence(bits: BitReader): H264Sequence | undefined {
  const profile = bits.bits(8);
  bits.skip(16);
  const id = bits.unsigned();
  let separatePlanes = false;
  let chroma = 1;
  if (HIGH_PROFILES.includes(profile)) {
    chroma = bits.unsigned();
    if (chroma === 3) separatePlanes = bits.flag();
    bits.unsigned();
    bits.unsigned();
    bits.skip(1);
    if (bits.flag()) skipScalingLists(bits, chroma === 3 ? 12 : 8);
  }
  const frameNumBits = bits.unsigned() + 4;
  const orderType = bits.unsigned();
  const orderBits = orderType === 0 ? bits.unsigned() + 4 : 0;
  const cycle = orderType === 1 ? readOrderCycle(bits) : NO_CYCLE;
  bits.unsigned();
  bits.skip(1);
  bits.unsigned();
  bits.unsigned();
  const framesOnly = bits.flag();
  if (!framesOnly) bits.skip(1);
  bits.skip(1);
  if (bits.flag()) { for (let edge = 0; edge < 4; edge++) bits.unsigned(); }
  if (bits.ended || id > 31 || orderType > 2 || frameNumBits > 16 || orderBits > 16) return undefined;
  const stated = bits.flag() ? readReorderFrames(bits) : undefined;
  // What is decoded is shown at once with the order type 2.
  const reorderFrames = orderType === 2 ? 0 : stated ?? REORDER_FRAMES_MAX;
  const hasColours = chroma !== 0 && !separatePlanes;
  return {
    ...{ id, separatePlanes, hasColours, frameNumBits, orderType, orderBits },
    ...{ ...cycle, framesOnly, reorderFrames },
  };
}

type OrderCycle = Pick<
  H264Sequence,
  "deltaAlwaysZero" | "offsetForNonReference" | "offsetTopToBottom" | "offsetsForReferences"
>;

const NO_CYCLE: OrderCycle = {
  deltaAlwaysZero: true,
  offsetForNonReference: 0,
  offsetTopToBottom: 0,
  offsetsForReferences: [],
};

function readOrderCycle(bits: BitReader): OrderCycle {
  const deltaAlwaysZero = bits.flag();
  const offsetForNonReference = bits.signed();
  const offsetTopToBottom = bits.signed();
  const length = Math.min(bits.unsigned(), 255);
  const offsetsForReferences = Array.from({ length }, () => bits.signed());
  return { deltaAlwaysZero, offsetForNonReference, offsetTopToBottom, offsetsForReferences };
}

/** 7.3.2.1.1.1 */
function skipScalingLists(bits: BitReader, count: number): void {
  for (let list = 0; list < count; list++) {
    if (!bits.flag()) continue;
    let next = 8;
    for (let at = 0; at < (list < 6 ? 16 : 64) && next !== 0; at++) next = (next + bits.signed()) & 255;
  }
}

/** `max_num_reorder_frames`, from the VUI (E.1.1); undefined where it is not stated. */
function readReorderFrames(bits: BitReader): number | undefined {
  if (bits.flag() && bits.bits(8) === 255) bits.skip(32);
  if (bits.flag()) bits.skip(1);
  if (bits.flag()) {
    bits.skip(4);
    if (bits.flag()) bits.skip(24);
  }
  if (bits.flag()) {
    bits.unsigned();
    bits.unsigned();
  }
  if (bits.flag()) bits.skip(65);
  const nal = bits.flag();
  if (nal) skipHypotheticalDecoder(bits);
  const vcl = bits.flag();
  if (vcl) skipHypotheticalDecoder(bits);
  if (nal || vcl) bits.skip(1);
  bits.skip(1);
  if (!bits.flag()) return undefined;
  bits.skip(1);
  for (let field = 0; field < 4; field++) bits.unsigned();
  const frames = bits.unsigned();
  return bits.ended || frames > REORDER_FRAMES_MAX ? undefined : frames;
}

/** E.1.2 */
function skipHypotheticalDecoder(bits: BitReader): void {
  const buffers = Math.min(bits.unsigned(), 31) + 1;
  bits.skip(8);
  for (let buffer = 0; buffer < buffers; buffer++) {
    bits.unsigned();
    bits.unsigned();
    bits.skip(1);
  }
  bits.skip(20);
}

/** @param bits behind the unit's header */
export function readH264Picture(bits: BitReader): H264Picture | undefined {
  const [id, sequenceId] = [bits.unsigned(), bits.unsigned()];
  bits.skip(1);
  const hasBottomDelta = bits.flag();
  const groups = bits.unsigned() + 1;
  if (groups > 8) return undefined;
  if (groups > 1) skipSliceGroups(bits, groups);
  const references = [bits.unsigned() + 1, bits.unsigned() + 1] as const;
  const weighted = bits.flag();
  const weightedBipredictive = bits.bits(2) === 1;
  bits.signed();
  bits.signed();
  bits.signed();
  bits.skip(2);
  const hasRedundantCount = bits.flag();
  if (bits.ended || id > 255 || sequenceId > 31) return undefined;
  return { id, sequenceId, hasBottomDelta, weighted, weightedBipredictive, references, hasRedundantCount };
}

/** 7.3.2.2 */
function skipSliceGroups(bits: BitReader, groups: number): void {
  const type = bits.unsigned();
  const numbers = type === 0 ? groups : type === 2 ? 2 * (groups - 1) : 0;
  for (let number = 0; number < numbers; number++) bits.unsigned();
  if (type >= 3 && type <= 5) {
    bits.skip(1);
    bits.unsigned();
  } else if (type === 6) {
    const units = bits.unsigned() + 1;
    bits.skip(units * Math.ceil(Math.log2(groups)));
  }
}
