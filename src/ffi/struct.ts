// C structs as bytes.

/** Memory of one C struct, for passing to and fro. Little-endian, as every machine this library runs on. */
export class Struct {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView<ArrayBuffer>;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.#view = new DataView(this.bytes.buffer);
  }

  u8(offset: number): number {
    return this.#view.getUint8(offset);
  }

  setU8(offset: number, value: number): void {
    this.#view.setUint8(offset, value);
  }

  u32(offset: number): number {
    return this.#view.getUint32(offset, true);
  }

  setU32(offset: number, value: number): void {
    this.#view.setUint32(offset, value, true);
  }

  i32(offset: number): number {
    return this.#view.getInt32(offset, true);
  }

  setI32(offset: number, value: number): void {
    this.#view.setInt32(offset, value, true);
  }

  u64(offset: number): bigint {
    return this.#view.getBigUint64(offset, true);
  }

  setU64(offset: number, value: bigint): void {
    this.#view.setBigUint64(offset, value, true);
  }

  i64(offset: number): bigint {
    return this.#view.getBigInt64(offset, true);
  }

  setI64(offset: number, value: bigint): void {
    this.#view.setBigInt64(offset, value, true);
  }

  /** A counter, as a number: exact up to 2^53. */
  count(offset: number): number {
    return Number(this.#view.getBigUint64(offset, true));
  }

  /** The text of a NUL-padded field. */
  text(offset: number, size: number): string {
    const field = this.bytes.subarray(offset, offset + size);
    const end = field.indexOf(0);
    return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
  }

  /** Fills a NUL-padded field; false when the text does not fit or has a NUL. */
  setText(offset: number, size: number, text: string): boolean {
    const encoded = new TextEncoder().encode(text);
    if (encoded.length >= size || encoded.includes(0)) return false;
    this.bytes.fill(0, offset, offset + size);
    this.bytes.set(encoded, offset);
    return true;
  }
}
