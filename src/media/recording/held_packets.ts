/** This file keeps packets for a moment, until it is known which file they belong to. */
import type { RecorderPacket, RecorderTrack } from "./recorder_track.ts";

const HELD_BYTES = 8 << 20;

/** A packet beside the picture: of sound, of data. */
export interface HeldPacket {
  readonly packet: RecorderPacket;
  readonly track: number;
  /** What its track was when it came. */
  readonly as: RecorderTrack;
}

/** Packets in the order they came. */
export class HeldPackets {
  #held: HeldPacket[] = [];
  #bytes = 0;

  get isEmpty(): boolean {
    return this.#held.length === 0;
  }

  /** Whether no more may be kept. */
  get isFull(): boolean {
    return this.#bytes > HELD_BYTES;
  }

  /** Keeps a packet with a copy of its bytes. */
  push({ packet, track, as }: HeldPacket): void {
    const { type, timestampNs, decodeTimestampNs, durationNs, hidden } = packet;
    const data = packet.data.slice();
    this.#held.push({
      track,
      as,
      packet: { data, type, timestampNs, decodeTimestampNs, durationNs, hidden },
    });
    this.#bytes += data.byteLength;
  }

  /** Takes out those that are due. Of a track none overtakes another. */
  take(isDue: (held: HeldPacket) => boolean): HeldPacket[] {
    const kept: HeldPacket[] = [];
    const taken: HeldPacket[] = [];
    const waiting = new Set<number>();
    for (const held of this.#held) {
      if (waiting.has(held.track) || !isDue(held)) {
        waiting.add(held.track);
        kept.push(held);
      } else taken.push(held);
    }
    this.#held = kept;
    this.#bytes = kept.reduce((sum, { packet }) => sum + packet.data.byteLength, 0);
    return taken;
  }
}
