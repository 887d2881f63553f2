/**
 * This file reads in which order a stream's pictures are shown from their headers: containers without presentation times
 * do not say it.
 */
import { isParameterSet, leadingUnits, type NalUnit } from "./annexb.ts";
import { CODEC_IDS } from "./codec.ts";
import { H264Order } from "./h264_order.ts";
import { HevcOrder } from "./hevc_order.ts";

/** A picture's place among those that are shown. */
export interface PictureOrder {
  /** All pictures of a sequence are shown before those of the next one. */
  readonly sequence: number;
  /** The picture order count: among the pictures of the sequence. */
  readonly count: number;
  /** Whether the picture is a field: half a frame, in a packet of its own where a raw stream is taken apart. */
  readonly isField: boolean;
}

/** What counts a codec's pictures, in decode order. */
export interface OrderCounter {
  /**
   * Takes a parameter set. Returns how many frames may come before a frame and be shown behind it; undefined for a set
   * that says nothing of it.
   */
  set(unit: NalUnit): number | undefined;
  /** Takes the unit of a picture's first slice; undefined where it does not say when the picture is shown. */
  picture(unit: Uint8Array): PictureOrder | undefined;
  /** Takes the end of a sequence. */
  end?(): void;
  /** Whether pictures may be fields, by the sets so far. */
  readonly hasFields: boolean;
}

/** The places of a stream's pictures, access unit after access unit, as Annex B. */
export class PictureOrders {
  readonly #codecId: number;
  readonly #counter: OrderCounter;
  #reorderFrames = 0;

  /** @param description the stream's parameter sets */
  constructor(codecId: number, description: Uint8Array) {
    this.#codecId = codecId;
    this.#counter = codecId === CODEC_IDS.h264 ? new H264Order() : new HevcOrder();
    this.#learn(leadingUnits(codecId, description).units);
  }

  /** How many frames may come before a frame and be shown behind it, by the sets so far. */
  get reorderFrames(): number {
    return this.#reorderFrames;
  }

  /** Whether pictures may be fields, by the sets so far. */
  get hasFields(): boolean {
    return this.#counter.hasFields;
  }

  /** The place of the next access unit; undefined where it cannot be read. */
  next(data: Uint8Array): PictureOrder | undefined {
    const { units, end } = leadingUnits(this.#codecId, data);
    this.#learn(units);
    const slice = data.subarray(end + (data[end + 2] === 1 ? 3 : 4));
    const place = slice.length > 2 ? this.#counter.picture(slice) : undefined;
    if (this.#endsSequence(data)) this.#counter.end?.();
    return place;
  }

  #learn(units: readonly NalUnit[]): void {
    for (const unit of units) {
      if (isParameterSet(this.#codecId, unit.type)) {
        const frames = this.#counter.set(unit);
        this.#reorderFrames = Math.max(frames ?? 0, this.#reorderFrames);
      } else if (this.#codecId === CODEC_IDS.hevc && unit.type === END_OF_SEQUENCE) {
        this.#counter.end?.();
      }
    }
  }

  /** Behind its slices an access unit may say that the next one begins a sequence. */
  #endsSequence(data: Uint8Array): boolean {
    if (this.#codecId !== CODEC_IDS.hevc) return false;
    const [zero, other, one, header] = data.subarray(-5);
    return zero === 0 && other === 0 && one === 1 && header === END_OF_SEQUENCE << 1;
  }
}

/** HEVC's type of the unit (table 7-1). */
const END_OF_SEQUENCE = 36;
