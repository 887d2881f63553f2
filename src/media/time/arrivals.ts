/** This file has the time of a source that has none of its own: when its packets come. */

/** So many packets are looked at, to know whether they come when they are made. */
export const MEASURED_PACKETS = 8;
/** Packets that come so many times as fast as the stream's own rate come from a file, however they come. */
const FASTER_THAN_ANY_CAMERA = 8n;
/** Packets that are this long apart, and no less than half of what the rate says, are a camera's: ns. */
const SURELY_APART = 100_000_000n;

/**
 * Whether packets come when they are made, or as fast as they can be read; undefined: more have to be seen.
 *
 * @param stamps when they came, in ns @param frameNs how long each is shown at the stream's own rate
 */
export function isMadeNow(stamps: readonly bigint[], frameNs: bigint): boolean | undefined {
  const passed = stamps.length === 0 ? 0n : stamps.at(-1)! - stamps[0]!;
  const shown = frameNs * BigInt(Math.max(0, stamps.length - 1));
  if (passed >= SURELY_APART && 2n * passed >= shown) return true;
  if (stamps.length < MEASURED_PACKETS) return undefined;
  return FASTER_THAN_ANY_CAMERA * passed >= shown;
}

/** A stamp that is earlier by more is of a clock that was set back: ns. */
const SET_BACK = 1_000_000_000n;
/** A packet is shown as long as it took the last ones to come, of which each counts for one in so many. */
const SMOOTHING = 8n;

/** Times of packets by when they came, from 0 on. A silence does not make those behind it be shown for longer. */
export class Arrivals {
  readonly #firstNs: bigint;
  #lastNs: bigint;
  #durationNs: bigint;
  /** What is added to stamps, since the clock was set back. */
  #shiftNs = 0n;
  #placed = false;

  /** @param measured when the first packets came, in ns: two at least */
  constructor(measured: readonly bigint[]) {
    this.#firstNs = this.#lastNs = measured[0]!;
    this.#durationNs = (measured.at(-1)! - measured[0]!) / BigInt(measured.length - 1);
  }

  /** How long a packet is shown, as far as is known. */
  get durationNs(): bigint {
    return this.#durationNs;
  }

  /** The next packet's time: later than the one before. What came in one piece with that may have no stamp. */
  place(stamp: bigint | undefined): { timeNs: bigint; durationNs: bigint } {
    let time = stamp === undefined ? this.#lastNs : stamp + this.#shiftNs;
    // FFmpeg stamps by the wall clock, which somebody may have set back.
    if (time < this.#lastNs - SET_BACK) {
      const goesOn = this.#lastNs + this.#durationNs;
      this.#shiftNs += goesOn - time;
      time = goesOn;
    }
    const step = time - this.#lastNs;
    if (step > 0n) {
      const shown = step > 2n * this.#durationNs ? 2n * this.#durationNs : step;
      this.#durationNs += (shown - this.#durationNs) / SMOOTHING;
    } else if (this.#placed) {
      time = this.#lastNs + 1n;
    }
    this.#placed = true;
    this.#lastNs = time;
    return { timeNs: time - this.#firstNs, durationNs: this.#durationNs };
  }
}
