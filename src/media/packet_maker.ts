/** This file makes a reader's packets of a demuxer's, with their times on the one line of all tracks. */
import { HeaderUnits, isAnnexB } from "../core/mod.ts";
import { payload } from "./av_packet.ts";
import type { Judgeable } from "./lookahead.ts";
import type { MediaPacket } from "./media_event.ts";
import type { NodeAv } from "./node_av.ts";
import type { Placed, Timeline } from "./time/timeline.ts";
import type { MediaTrack } from "./track.ts";

/** A packet for the reader's user, and where its times are. */
export interface Made {
  readonly packet: MediaPacket;
  readonly placed: Placed;
  /** Whether its data is not what was read: parameter sets were added, or taken away. */
  readonly isRewritten: boolean;
}

/** Packets of all tracks of an input. */
export class PacketMaker {
  readonly #av: NodeAv;
  readonly #timeline: Timeline;
  /** The video's parameter sets that hold now, of H.264 and HEVC. */
  #header: HeaderUnits | undefined;
  /** Whether the first track is video. */
  readonly #hasVideo: boolean;

  /** @param first the first track */
  constructor(av: NodeAv, timeline: Timeline, first: MediaTrack) {
    this.#av = av;
    this.#timeline = timeline;
    this.#hasVideo = first.kind === "video";
    this.#follow(first);
  }

  /** The packet of what was read. */
  make(read: Judgeable): Made {
    const { packet, track, config, lost } = read;
    const placed = this.#place(read);
    const isVideo = this.#hasVideo && track === 0;
    if (isVideo && config) this.#follow(config);
    const isKey = !isVideo || packet.isKeyframe;
    const bytes = payload(packet);
    const { data, header } = (isVideo ? this.#header?.[isKey ? "put" : "pass"](bytes) : undefined) ??
      { data: bytes, header: undefined };
    const { timestampNs, decodeTimestampNs, durationNs } = placed;
    return {
      placed,
      isRewritten: data !== bytes,
      packet: {
        kind: "packet",
        track,
        data,
        type: isKey ? "key" : "delta",
        timestampNs,
        decodeTimestampNs,
        durationNs,
        corrupt: packet.hasFlags(this.#av.AV_PKT_FLAG_CORRUPT),
        discontinuity: placed.discontinuity || lost,
        hidden: packet.hasFlags(this.#av.AV_PKT_FLAG_DISCARD),
        ...(header && { description: header }),
        ...(config && { config }),
      },
    };
  }

  #place({ packet, track, times, following, synced }: Judgeable): Placed {
    if (track !== 0) return this.#timeline.placeBeside(track, times, synced);
    const { pts, dts, duration, atNs } = times;
    const hidden = packet.hasFlags(this.#av.AV_PKT_FLAG_DISCARD);
    return this.#timeline.place(pts, dts, duration, { atNs, following, hidden, synced });
  }

  #follow({ codecId, description }: MediaTrack): void {
    this.#header = isAnnexB(codecId) ? new HeaderUnits(codecId, description) : undefined;
  }
}
