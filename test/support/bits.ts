// Headers of H.264 and HEVC, written bit by bit.

/** Writes a header; a byte 3 keeps start codes out, as in a stream. */
export class Bits {
  #bits = "";

  /** A number of so many bits. */
  u(count: number, value: number): this {
    this.#bits += value.toString(2).padStart(count, "0").slice(-count);
    return this;
  }

  /** Exp-Golomb codes. */
  ue(...values: number[]): this {
    for (const value of values) {
      const bits = (value + 1).toString(2);
      this.#bits += "0".repeat(bits.length - 1) + bits;
    }
    return this;
  }

  /** The same, signed. */
  se(...values: number[]): this {
    return this.ue(...values.map((value) => value > 0 ? 2 * value - 1 : -2 * value));
  }

  /** Whole bytes, which begin at one. */
  bytes(bytes: Iterable<number>): this {
    this.#bits = this.#bits.padEnd(Math.ceil(this.#bits.length / 8) * 8, "0");
    for (const byte of bytes) this.u(8, byte);
    return this;
  }

  /** The unit, with its end, behind the header's bytes. */
  unit(...header: number[]): Uint8Array {
    const bits = `${this.#bits}1`.padEnd(Math.ceil((this.#bits.length + 1) / 8) * 8, "0");
    const bytes = [...header];
    let zeros = 0;
    for (let at = 0; at < bits.length; at += 8) {
      const byte = parseInt(bits.slice(at, at + 8), 2);
      if (zeros >= 2 && byte <= 3) {
        bytes.push(3);
        zeros = 0;
      }
      bytes.push(byte);
      zeros = byte === 0 ? zeros + 1 : 0;
    }
    return Uint8Array.from(bytes);
  }
}

/** Nothing yet. */
export const bits = (): Bits => new Bits();
