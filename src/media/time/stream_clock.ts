/** The packets of one publisher after another on one line of time. */
import type { RecorderPacket } from "../recorder.ts";
import { Timeline } from "./timeline.ts";

/** A packet as a ring has it. */
export interface RingPacket extends RecorderPacket {
  /** Packets before this one are missing, or the stream itself was interrupted. */
  readonly discontinuity: boolean;
}

/** Until the packets themselves tell. */
const FRAME_NS = 40_000_000n;
/** A break may be this much longer in the stream than on this machine's clock: packets wait in buffers. */
const SLACK_NS = 10_000_000_000n;

/**
 * Makes timestamps that never go back. A break is as long as the packets say, unless that is longer than this machine
 * saw it last: then the source's clock is another one, and the line goes on where it was.
 */
export class StreamClock {
  readonly #timeline = new Timeline(FRAME_NS, 0);
  readonly #nowMs: () => number;
  #last: { decodeNs: bigint; atMs: number } | undefined;

  /** @param nowMs a clock that never goes back, in ms */
  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  /** Places the next packet, in decode order. */
  place<P extends RingPacket>(packet: P): RecorderPacket {
    const atMs = this.#nowMs();
    const { timestampNs, decodeTimestampNs, data, type } = packet;
    if (packet.discontinuity && this.#last !== undefined) {
      const elapsed = BigInt(Math.round((atMs - this.#last.atMs) * 1e6));
      if (decodeTimestampNs - this.#last.decodeNs > elapsed + SLACK_NS) this.#timeline.restart();
    }
    this.#last = { decodeNs: decodeTimestampNs, atMs };
    const placed = this.#timeline.place(timestampNs, decodeTimestampNs, 0n);
    return {
      data,
      type,
      timestampNs: placed.timestampNs,
      decodeTimestampNs: placed.decodeTimestampNs,
      durationNs: undefined,
    };
  }
}
