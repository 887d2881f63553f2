/** This file knows when a reader's pictures were taken: their packets say it, or arrived then. */
import type { Packet } from "node-av";
import type { NodeAv } from "./node_av.ts";

/** Packets whose frames have not come; a decoder keeps fewer. */
const PENDING_MAX = 64;
/** A packet that is later than the others by more was not delayed: the source's time has jumped. */
const LATEST_NS = 1_000_000_000n;
/** A clock that is slower than ours by one part in so many is followed. */
const DRIFT = 1000n;
/** No camera that has a clock is before this: 2000-01-01. One without counts from 1900, or from when it was switched on. */
const FIRST_CLOCK_US = 946_684_800_000_000n;

/** From packets to the frames that are made of them, which have the packets' timestamps. */
export class CaptureTimes {
  readonly #av: NodeAv;
  readonly #live: boolean;
  readonly #now: () => number;
  /** What packets said, by their timestamps. */
  readonly #stated = new Map<bigint, bigint>();
  /** From timestamps to times: what the newest packet said, else of those that arrived, how it was when least delayed. */
  #offset: bigint | undefined;
  #isStated = false;
  #lastNs = 0n;

  /**
   * @param live whether packets arrive when they are made, which counts where nothing else is known
   * @param now ms of UTC since 1970
   */
  constructor(av: NodeAv, live: boolean, now: () => number = Date.now) {
    this.#av = av;
    this.#live = live;
    this.#now = now;
  }

  /** Notes the next packet, in decode order, when it has been read. */
  packet(packet: Packet, timestampNs: bigint): void {
    const stated = statedTime(this.#av, packet);
    if (stated !== undefined) this.#state(timestampNs, stated);
    // A camera's clock that was told goes on by itself.
    else if (this.#live && !this.#isStated) this.#arrive(timestampNs);
  }

  #state(timestampNs: bigint, time: bigint): void {
    this.#isStated = true;
    this.#offset = time - timestampNs;
    this.#stated.set(timestampNs, time);
    if (this.#stated.size <= PENDING_MAX) return;
    const [oldest] = this.#stated.keys();
    this.#stated.delete(oldest!);
  }

  /** Packets are delayed on their way, and where the streams of an input are looked for: never too early. */
  #arrive(timestampNs: bigint): void {
    const offset = BigInt(Math.round(this.#now())) * 1_000_000n - timestampNs;
    const since = timestampNs > this.#lastNs ? timestampNs - this.#lastNs : 0n;
    const known = this.#offset === undefined ? offset : this.#offset + since / DRIFT;
    this.#offset = offset < known || offset - known > LATEST_NS ? offset : known;
    this.#lastNs = timestampNs;
  }

  /** When the next frame, in display order, was taken, in ns of UTC; null: not known. */
  frame(timestampNs: bigint): bigint | null {
    const offset = this.#offset;
    if (offset === undefined) return null;
    const time = this.#stated.get(timestampNs) ?? timestampNs + offset;
    for (const earlier of this.#stated.keys()) if (earlier <= timestampNs) this.#stated.delete(earlier);
    return time > 0n ? time : null;
  }
}

/** FFmpeg's `AVProducerReferenceTime`: what an RTCP sender report, or an MP4's `prft` box, says of the packet. */
function statedTime(av: NodeAv, packet: Packet): bigint | undefined {
  const reference = packet.getSideData(av.AV_PKT_DATA_PRFT);
  if (!reference || reference.length < 8) return undefined;
  const microseconds = reference.readBigInt64LE(0);
  return microseconds >= FIRST_CLOCK_US ? microseconds * 1000n : undefined;
}
