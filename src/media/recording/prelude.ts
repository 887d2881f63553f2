/** This file is what comes before a recording has begun: sound and data that may belong to it. */
import type { RecorderPacket } from "./recorder_track.ts";

/** How long it is kept, in the stream's time. */
const KEPT_NS = 1_000_000_000n;
const KEPT_BYTES = 8 << 20;
/**
 * What an encoder of sound puts before its first sample is at most so long: 2112 samples of AAC, or 1024 at 8 kHz. A stream
 * that begins this little before the picture begins with it.
 */
export const PRIMING_NS = 150_000_000n;

/** A packet of a track. */
export interface Held {
  readonly packet: RecorderPacket;
  readonly track: number;
}

/** The packets before a recording's first key packet, and which of them belong to it. */
export class Prelude {
  #held: Held[] = [];
  #bytes = 0;
  /** When each track begins. */
  readonly #firsts = new Map<number, bigint>();

  /** A packet of a track is there, whether it is held or not. */
  note(track: number, { timestampNs }: RecorderPacket): void {
    if (!this.#firsts.has(track)) this.#firsts.set(track, timestampNs);
  }

  /** Keeps a copy for a while. */
  hold(track: number, packet: RecorderPacket): void {
    const { type, timestampNs, decodeTimestampNs, durationNs } = packet;
    const data = packet.data.slice();
    this.#held.push({ track, packet: { data, type, timestampNs, decodeTimestampNs, durationNs } });
    this.#bytes += data.byteLength;
    const isOld = (held: Held) => timestampNs - held.packet.timestampNs > KEPT_NS;
    while (this.#held.length > 0 && (this.#bytes > KEPT_BYTES || isOld(this.#held[0]!))) {
      this.#bytes -= this.#held.shift()!.packet.data.byteLength;
    }
  }

  /** What was kept, in the order it came; nothing afterwards. */
  take(): Held[] {
    const held = this.#held;
    this.#held = [];
    this.#bytes = 0;
    return held;
  }

  /** Whether a packet belongs to a recording that begins at a time: it does not begin before it, or all of its track does so. */
  belongs(track: number, { timestampNs }: RecorderPacket, originNs: bigint): boolean {
    return timestampNs >= originNs || this.#firsts.get(track)! >= originNs - PRIMING_NS;
  }
}
