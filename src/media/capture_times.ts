/** This file knows when a reader's pictures were taken: their packets say it, or came then. */
import type { Packet } from "node-av";
import type { NodeAv } from "./node_av.ts";

/** Packets whose frames have not come; a decoder keeps fewer. */
const PENDING_MAX = 64;

/** Carries the times of packets to the frames that are made of them, which have the packets' timestamps. */
export class CaptureTimes {
  readonly #av: NodeAv;
  readonly #arrival: () => bigint | undefined;
  readonly #pending = new Map<bigint, bigint>();
  /** From the newest packet's timestamp to its time. */
  #offset: bigint | undefined;

  /** @param live whether packets come when they are made, so that their arrival says when, where nothing else does */
  constructor(av: NodeAv, live: boolean) {
    this.#av = av;
    this.#arrival = live ? () => BigInt(Date.now()) * 1_000_000n : () => undefined;
  }

  /** Notes the next packet, in decode order. */
  packet(packet: Packet, timestampNs: bigint): void {
    const time = statedTime(this.#av, packet) ?? this.#arrival();
    if (time === undefined) return;
    this.#offset = time - timestampNs;
    this.#pending.set(timestampNs, time);
    if (this.#pending.size <= PENDING_MAX) return;
    for (const oldest of this.#pending.keys()) {
      this.#pending.delete(oldest);
      break;
    }
  }

  /** When the next frame, in display order, was taken, in ns of UTC; null: not known. */
  frame(timestampNs: bigint): bigint | null {
    const time = this.#pending.get(timestampNs) ??
      (this.#offset === undefined ? null : timestampNs + this.#offset);
    for (const other of this.#pending.keys()) if (other <= timestampNs) this.#pending.delete(other);
    return time !== null && time > 0n ? time : null;
  }
}

/** FFmpeg's `AVProducerReferenceTime`: what an RTCP sender report, or an MP4's `prft` box, says of the packet. */
function statedTime(av: NodeAv, packet: Packet): bigint | undefined {
  const reference = packet.getSideData(av.AV_PKT_DATA_PRFT);
  if (!reference || reference.length < 8) return undefined;
  const microseconds = reference.readBigInt64LE(0);
  // A sender without a clock counts from 1900, or from when it was switched on.
  return microseconds > EPOCH_OF_CLOCKS_US ? microseconds * 1000n : undefined;
}

/** No camera that has a clock is before this: 2000-01-01. */
const EPOCH_OF_CLOCKS_US = 946_684_800_000_000n;
