/** This file knows which frames are damaged, or do not continue the one before, from what happened to their packets. */

/** What a packet was like. */
export interface PacketState {
  readonly timestampNs: bigint;
  readonly decodeTimestampNs: bigint;
  /** Whether a decoder can begin with it, be it that its pictures are whole some time later. */
  readonly key: boolean;
  /** Whether the demuxer found it damaged. */
  readonly corrupt: boolean;
  /** Whether data is missing before it. */
  readonly lost: boolean;
  /** Whether it does not continue the packet before it. */
  readonly discontinuity: boolean;
}

/** What a frame of them is like. */
export interface FrameState {
  readonly corrupt: boolean;
  readonly discontinuity: boolean;
}

/** What is damaged. */
interface DamagedSpan {
  readonly fromNs: bigint;
  readonly untilKeyAfterNs: bigint;
  /** Key packets since then. */
  keys: number;
  /** Frames from here on are whole, whatever they are. */
  wholeFromNs: bigint | undefined;
}

/**
 * Damage from where it begins to the key frame that ends it, and the breaks between frames. A stream with intra refresh has no
 * key frames: each of its key packets begins to replace the picture, which is done when the next one comes.
 */
export class Damage {
  /** The first frame from this time on is a discontinuity. */
  #breakNs: bigint | undefined;
  #damage: DamagedSpan | undefined;

  /** Notes the next packet, in decode order. */
  packet({ timestampNs, decodeTimestampNs, key, corrupt, lost, discontinuity }: PacketState): void {
    if (discontinuity) this.#breakNs ??= timestampNs;
    // Frames decoded from here on build upon it, even those that are shown before it.
    if (corrupt) this.begin(decodeTimestampNs, timestampNs);
    else if (lost) this.begin(decodeTimestampNs, timestampNs - 1n);
    const damage = this.#damage;
    if (!key || !damage || timestampNs <= damage.untilKeyAfterNs) return;
    if (++damage.keys === 2) damage.wholeFromNs = timestampNs;
  }

  /** Frames from `fromNs` on are damaged, up to a key frame after `untilKeyAfterNs`. */
  begin(fromNs: bigint, untilKeyAfterNs: bigint): void {
    this.#damage = {
      fromNs: this.#damage?.fromNs ?? fromNs,
      untilKeyAfterNs,
      keys: 0,
      wholeFromNs: undefined,
    };
  }

  /** What the next frame is like, in display order. */
  frame(timestampNs: bigint, isKey: boolean): FrameState {
    const discontinuity = this.#breakNs !== undefined && timestampNs >= this.#breakNs;
    if (discontinuity) this.#breakNs = undefined;
    const damage = this.#damage;
    if (!damage) return { corrupt: false, discontinuity };
    const isWhole = damage.wholeFromNs !== undefined && timestampNs >= damage.wholeFromNs;
    if (isWhole || (isKey && timestampNs > damage.untilKeyAfterNs)) this.#damage = undefined;
    return { corrupt: this.#damage !== undefined && timestampNs >= damage.fromNs, discontinuity };
  }
}
