/** This file turns timestamps into waiting times, so that a stream goes at its own speed. */

/** How late a paced event may be before the pace starts anew instead of hurrying to catch up. */
const TOO_LATE_MS = 1000;
/** A longer wait is a jump of the source's clock: the slowest cameras and time lapses have a frame a minute. */
const JUMP_MS = 60_000;

/**
 * What is paced on its own. Frames come behind their packets by as long as the decoder takes, which may be seconds, and
 * the packets of a track, by its number, behind those of another.
 */
export type PacedKind = "frame" | number;

/** Turns timestamps into waiting times: the stream at its own speed. */
export class Pace {
  readonly #origins = new Map<PacedKind, { timestampNs: bigint; atMs: number }>();

  /**
   * Milliseconds to wait, at `nowMs`, for what is due at `timestampNs`; 0 or less where it is due already.
   * The first call of a kind, one after `reset()`, one that is more than a second late and one that is more than a
   * minute ahead start its pace.
   */
  delay(kind: PacedKind, timestampNs: bigint, nowMs: number): number {
    const origin = this.#origins.get(kind);
    if (origin) {
      const wait = origin.atMs + Number(timestampNs - origin.timestampNs) / 1e6 - nowMs;
      if (wait >= -TOO_LATE_MS && wait <= JUMP_MS) return wait;
    }
    this.#origins.set(kind, { timestampNs, atMs: nowMs });
    return 0;
  }

  /** The next timestamp of each kind is due at once. */
  reset(): void {
    this.#origins.clear();
  }
}
