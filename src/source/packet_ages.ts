/**
 * This file keeps a file's packets from being overwritten before anybody can have read them: unlike a camera, a file can be
 * read faster than that.
 */

/** How long a packet stays in its ring at the least, in ms: a reader that is served within that misses none. */
const KEPT_MS = 2000;

/** How old the packets of a ring are, the oldest first. */
export class PacketAges {
  readonly #slots: number;
  readonly #dataSize: number;
  #packets: { readonly bytes: number; readonly atMs: number }[] = [];
  #bytes = 0;

  /** @param slots of the ring @param dataSize of the ring, in bytes */
  constructor(slots: number, dataSize: number) {
    this.#slots = slots;
    this.#dataSize = dataSize;
  }

  /** Milliseconds, at `nowMs`, until a packet of so many bytes overwrites none that is younger than it may be; 0 or less: now. */
  delay(bytes: number, nowMs: number): number {
    let [left, room] = [this.#packets.length, this.#dataSize - this.#bytes];
    let last: number | undefined;
    for (const packet of this.#packets) {
      if (left < this.#slots && room >= bytes) break;
      left--;
      room += packet.bytes;
      last = packet.atMs;
    }
    return last === undefined ? 0 : last + KEPT_MS - nowMs;
  }

  /** A packet has been written. */
  add(bytes: number, nowMs: number): void {
    while (
      this.#packets.length > 0 &&
      (this.#packets.length >= this.#slots || this.#bytes + bytes > this.#dataSize)
    ) this.#bytes -= this.#packets.shift()!.bytes;
    this.#packets.push({ bytes, atMs: nowMs });
    this.#bytes += bytes;
  }
}
