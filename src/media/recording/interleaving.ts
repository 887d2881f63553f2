/** This file brings the packets of several tracks into one order. */
import type { RecordedTrack } from "./recorded_track.ts";

/** A track that has nothing holds the others for so long, in the stream's time. */
const INTERLEAVE_NS = 1_000_000_000n;
/** The most bytes that wait: for that, for another track, and for the end of a durable recording's piece. */
export const WAITING_BYTES: number = 8 << 20;

/** What may be written: what is due; besides, what waits for nothing but its successor or another track; or all. */
export type Which = "due" | "settled" | "all";

/** The track whose packet comes next; none where another may have one before it. */
export function nextTrack(tracks: readonly RecordedTrack[], which: Which): RecordedTrack | undefined {
  const waiting = tracks.filter((track) => track.nextNs !== undefined);
  if (waiting.length === 0) return undefined;
  const first = waiting.reduce((one, other) => other.nextNs! < one.nextNs! ? other : one);
  if (which === "all") return first;
  if (which === "settled") return first.isSettled ? first : undefined;
  if (!first.isReady) return undefined;
  if (waiting.length === tracks.length || bytesOf(tracks) >= WAITING_BYTES) return first;
  const late = first.nextNs! + INTERLEAVE_NS;
  return waiting.some((track) => track.newestNs! >= late) ? first : undefined;
}

/** Bytes that wait. */
export function bytesOf(tracks: readonly RecordedTrack[]): number {
  return tracks.reduce((sum, track) => sum + track.bytes, 0);
}
