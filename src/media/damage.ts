/** This file knows which frames are damaged, or do not continue the one before, from what happened to their packets. */

/** What a packet was like. */
export interface PacketState {
  readonly timestampNs: bigint;
  readonly decodeTimestampNs: bigint;
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

/** Damage from where it begins to the key frame that ends it, and the breaks between frames. */
export class Damage {
  /** The first frame from this time on is a discontinuity. */
  #breakNs: bigint | undefined;
  #damage: { readonly fromNs: bigint; readonly untilKeyAfterNs: bigint } | undefined;

  /** Notes the next packet, in decode order. */
  packet({ timestampNs, decodeTimestampNs, corrupt, lost, discontinuity }: PacketState): void {
    if (discontinuity) this.#breakNs ??= timestampNs;
    // Frames decoded from here on build upon it, even those that are shown before it.
    if (corrupt) this.begin(decodeTimestampNs, timestampNs);
    else if (lost) this.begin(decodeTimestampNs, timestampNs - 1n);
  }

  /** Frames from `fromNs` on are damaged, up to a key frame after `untilKeyAfterNs`. */
  begin(fromNs: bigint, untilKeyAfterNs: bigint): void {
    this.#damage = { fromNs: this.#damage?.fromNs ?? fromNs, untilKeyAfterNs };
  }

  /** What the next frame is like, in display order. */
  frame(timestampNs: bigint, isKey: boolean): FrameState {
    const discontinuity = this.#breakNs !== undefined && timestampNs >= this.#breakNs;
    if (discontinuity) this.#breakNs = undefined;
    if (this.#damage && isKey && timestampNs > this.#damage.untilKeyAfterNs) this.#damage = undefined;
    return { corrupt: this.#damage !== undefined && timestampNs >= this.#damage.fromNs, discontinuity };
  }
}
