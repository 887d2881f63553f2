/** This file reads bits and Exp-Golomb codes, as H.264 and HEVC write their headers (H.264 9.1). */

/**
 * Bits from the front of a NAL unit's payload, without the bytes that keep start codes out of it. Behind the end there are
 * zeros: a unit that is cut short reads as whatever it would be with them, and {@linkcode BitReader.ended} says so.
 */
export class BitReader {
  readonly #bytes: Uint8Array;
  #byte = 0;
  /** Bits of the byte that are read. */
  #used = 0;
  /** Zero bytes in a row before this one. */
  #zeros = 0;
  #ended: boolean;

  constructor(payload: Uint8Array) {
    this.#bytes = payload;
    this.#ended = payload.length === 0;
  }

  /** Whether more was read than there is. */
  get ended(): boolean {
    return this.#ended;
  }

  /** One bit. */
  bit(): number {
    const byte = this.#bytes[this.#byte];
    if (byte === undefined) {
      this.#ended = true;
      return 0;
    }
    const bit = byte >> (7 - this.#used) & 1;
    if (++this.#used === 8) this.#next(byte);
    return bit;
  }

  /** Whether a one-bit flag is set. */
  flag(): boolean {
    return this.bit() === 1;
  }

  /** An unsigned number of so many bits, at most 32. */
  bits(count: number): number {
    let value = 0;
    for (let left = count; left > 0; left--) value = value * 2 + this.bit();
    return value;
  }

  /** Leaves bits out. */
  skip(count: number): void {
    for (let left = count; left > 0 && !this.#ended; left--) this.bit();
  }

  /** `ue(v)`: an unsigned number; one of more than 32 bits, which no header has, ends the reading. */
  unsigned(): number {
    let zeros = 0;
    while (this.bit() === 0) {
      if (this.#ended || ++zeros > 32) {
        this.#ended = true;
        return 0;
      }
    }
    return 2 ** zeros - 1 + this.bits(zeros);
  }

  /** `se(v)`: a signed number. */
  signed(): number {
    const code = this.unsigned();
    return code % 2 === 1 ? (code + 1) / 2 : 0 - code / 2;
  }

  #next(byte: number): void {
    this.#used = 0;
    this.#byte++;
    this.#zeros = byte === 0 ? this.#zeros + 1 : 0;
    if (this.#zeros < 2 || this.#bytes[this.#byte] !== 3) return;
    this.#byte++;
    this.#zeros = 0;
  }
}
