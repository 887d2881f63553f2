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

/** Times of packets by when they came, from 0 on; each is shown as long as it took the one before it to come. */
export class Arrivals {
  readonly #firstNs: bigint;
  #lastNs: bigint;
  #durationNs: bigint;

  /** @param measured when the first packets came, in ns: two at least */
  constructor(measured: readonly bigint[]) {
    this.#firstNs = this.#lastNs = measured[0]!;
    this.#durationNs = (measured.at(-1)! - measured[0]!) / BigInt(measured.length - 1);
  }

  /** How long a packet is shown, as far as is known. */
  get durationNs(): bigint {
    return this.#durationNs;
  }

  /** The next packet's time. */
  place(stamp: bigint): { timeNs: bigint; durationNs: bigint } {
    // The machine's clock may be set back; what parts of a packet came at is the same for several of them.
    if (stamp > this.#lastNs) {
      this.#durationNs = stamp - this.#lastNs;
      this.#lastNs = stamp;
    }
    return { timeNs: this.#lastNs - this.#firstNs, durationNs: this.#durationNs };
  }
}
