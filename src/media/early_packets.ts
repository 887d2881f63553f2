/** This file looks for parameter sets that a stream's header lacks before FFmpeg looks at the stream: it would not find them. */
import type { FormatContext, Packet, Stream } from "node-av";
import { Buffer } from "node:buffer";
import { CODEC_IDS, HeaderUnits, isAnnexB, parameterSets } from "../core/mod.ts";
import type { NodeAv } from "./node_av.ts";

/** Packets that are looked at: a key packet comes every few seconds. */
const LOOKED_AT = 500;

/** The packets that were read before the stream was looked at, which come first. */
export class EarlyPackets {
  readonly #packets: Packet[] = [];

  /**
   * Reads on where a stream's header has parameter sets, but not one of each kind: an SDP can have the PPS alone. FFmpeg drops
   * a set that refers to one that it does not have, and never finds out the picture's size. So the header is made whole with
   * what packets bring.
   *
   * @param read reads the next packet, as `FormatContext.readFrame`
   */
  async complete(
    av: NodeAv,
    format: FormatContext,
    read: (packet: Packet) => Promise<number>,
  ): Promise<void> {
    for (const stream of format.streams) {
      const { codecpar } = stream;
      const header = new Uint8Array(codecpar.extradata ?? []);
      if (!isAnnexB(codecpar.codecId) || !isPartial(codecpar.codecId, header)) continue;
      const whole = await this.#find(av, stream, header, read);
      if (whole) codecpar.extradata = Buffer.from(whole);
    }
  }

  /** Whether one was moved into `packet`, which is empty before. */
  take(packet: Packet): boolean {
    const early = this.#packets.shift();
    if (!early) return false;
    packet.ref(early);
    early.free();
    return true;
  }

  /** Frees what nobody took. */
  close(): void {
    for (const packet of this.#packets.splice(0)) packet.free();
  }

  /** The header with what packets add to it, once it is whole. */
  async #find(
    av: NodeAv,
    { index, codecpar: { codecId } }: Stream,
    header: Uint8Array,
    read: (packet: Packet) => Promise<number>,
  ): Promise<Uint8Array | undefined> {
    const units = new HeaderUnits(codecId, header);
    for (let seen = 0; seen < LOOKED_AT; seen++) {
      const packet = new av.Packet();
      packet.alloc();
      if (await read(packet) !== 0) {
        packet.free();
        return undefined;
      }
      this.#packets.push(packet);
      if (packet.streamIndex !== index) continue;
      const { header: whole } = units.take(packet.data ?? new Uint8Array(0));
      if (whole && !isPartial(codecId, whole)) return whole;
    }
    return undefined;
  }
}

/** Whether a header has parameter sets, but none of some kind. */
function isPartial(codecId: number, header: Uint8Array): boolean {
  const types = new Set(parameterSets(codecId, header).map(({ type }) => type));
  const wanted = codecId === CODEC_IDS.h264 ? [7, 8] : [32, 33, 34];
  // A header that begins otherwise is an MP4's.
  return header[0] === 0 && types.size > 0 && wanted.some((type) => !types.has(type));
}
