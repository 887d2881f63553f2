/** This file has what a timeline is told of a stream and of its packets, and what it makes of them. */
import type { SourceTimes } from "./source_times.ts";

/** What a stream says of its times before its first packet. */
export interface Cadence {
  /** How long a packet is shown that states no duration, in ns. */
  readonly frameNs: bigint;
  /** How many frames the stream's encoder held back. */
  readonly reorderFrames: number;
  /**
   * Whether packets come when they are made, so that this machine's clock is a witness; `"unknown"`: where they have
   * done so until now. Default: false.
   */
  readonly paced?: boolean | "unknown";
  /** The source's times begin again at so many ns, as MPEG-TS's do after a day; undefined: they do not. */
  readonly wrapNs?: bigint | undefined;
  /** Whether the format knows clocks that start anew in the middle: then a track that is far off is on another. */
  readonly breaks?: boolean;
  /** Whether each track counts from anywhere, until the source says how they belong together: RTP. */
  readonly independent?: boolean;
}

/** What else is known of a packet that is placed. */
export interface Circumstances {
  /** When it came, by the timeline's clock; default: now. */
  readonly atNs?: bigint;
  /**
   * The times of those that came behind it, as far as {@linkcode Timeline.isUndecided} wanted them; undefined: what
   * goes back is believed at once, and so is what goes ahead.
   */
  readonly following?: readonly SourceTimes[];
  /** Whether the source has said where this track is on the clock of all of them. */
  readonly synced?: boolean;
  /** Whether it is decoded and not shown: what is shown begins at 0 of the source's clock. */
  readonly hidden?: boolean;
}

/** A packet's times on the timeline. */
export interface Placed {
  /** Not before the decode time. */
  readonly timestampNs: bigint;
  readonly decodeTimestampNs: bigint;
  readonly durationNs: bigint;
  /** The presentation time that the source gives, even where it is before the decode time. */
  readonly statedNs: bigint | undefined;
  /** What comes here does not continue what was placed last; the times go on all the same. */
  readonly discontinuity: boolean;
}
