/** This file brings a track's packets into the form that they have in a file. */
import { Buffer } from "node:buffer";
import { HeaderUnits, isAnnexB, type NalUnit, parameterSets, withParameterSets } from "../../core/mod.ts";
import type { NodeAv } from "../node_av.ts";

/** A packet's bytes in a file. */
export interface Formed {
  readonly data: Uint8Array;
  /** The parameter sets that are valid from this packet on, where they are new. */
  readonly header: Uint8Array | undefined;
}

/** What a file's format does with parameter sets. */
export interface HeaderPlace {
  /** Whether the file's header carries them (not so in MPEG-TS). */
  readonly global: boolean;
  /** Whether they can change on the way. */
  readonly changes: boolean;
}

/**
 * The form of one track: a packet of an MP4, a MOV or a Matroska file has its parameter sets in the file's header, one of
 * MPEG-TS and of a bare stream has them before each key picture.
 */
export class PacketForm {
  readonly #codecId: number;
  readonly #changes: boolean;
  /** For a format without a header: what key packets must carry. */
  readonly #sets: readonly NalUnit[];
  /** The same of MPEG-4, whose header an MP4 or a camera's SDP has instead of its packets. */
  readonly #leading: Uint8Array;
  #headerUnits: HeaderUnits | undefined;

  /** What the file's header says of the codec; empty where nothing is known. */
  readonly header: Uint8Array;

  /** @param description as `RecorderTrack.description` @param first the first key packet, where it is there */
  constructor(
    av: NodeAv,
    codecId: number,
    description: Uint8Array | undefined,
    first: Uint8Array | undefined,
    { global, changes }: HeaderPlace,
  ) {
    this.#codecId = codecId;
    this.#changes = changes;
    let header = description ?? new Uint8Array(0);
    // Sets that the first key packet has besides, or instead.
    if (isAnnexB(codecId) && first) header = new HeaderUnits(codecId, header).take(first).header ?? header;
    this.header = header;
    this.#leading = codecId === av.AV_CODEC_ID_MPEG4 && !global ? header : new Uint8Array(0);
    this.#sets = isAnnexB(codecId) && !global ? parameterSets(codecId, header) : [];
    if (isAnnexB(codecId) && global) this.#headerUnits = new HeaderUnits(codecId, header);
  }

  /** A copy of a packet's bytes, in the file's form. */
  take(data: Uint8Array, type: "key" | "delta"): Formed {
    if (type === "key") {
      data = withParameterSets(this.#codecId, data, this.#sets);
      const { length } = this.#leading;
      const leads = Buffer.compare(data.subarray(0, length), this.#leading) === 0;
      if (!leads) data = Buffer.concat([this.#leading, data]);
    }
    const { data: rest, header } = this.#headerUnits?.take(data) ?? { data, header: undefined };
    if (header === undefined || this.#changes) return { data: rest.slice(), header };
    // Matroska has one header: what differs from it stays in the packets, and all that comes after.
    this.#headerUnits = undefined;
    return { data: data.slice(), header: undefined };
  }
}
