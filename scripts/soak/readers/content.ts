// What the frames of the soak show: cheap to paint, and cheap to check in every page and every row of a frame.

/** Rows of a plane of NV12, whose samples fill `width` bytes of each row. */
export interface Area {
  data: Uint8Array;
  /** Bytes from one row to the next; a multiple of 4. */
  stride: number;
  rows: number;
}

/** A stamp is two words at a row's begin, and again behind each 2 KiB of it: so every page of memory has one. */
const STAMP_EVERY = 512;

const mix = (one: number, other: number) => Math.imul(one ^ Math.imul(other, 0x9e3779b1), 0x85ebca6b) >>> 0;

/** A byte that fills what is between the stamps. */
const fillOf = (sequence: number) => mix(sequence, 0x51ed270b) >>> 24;

const stampOf = (sequence: number, plane: number, row: number, word: number) =>
  mix(sequence, plane << 28 | row << 12 | word);

function wordsOf({ data, stride, rows }: Area): Uint32Array {
  return new Uint32Array(data.buffer, data.byteOffset, stride * rows >> 2);
}

/** Paints a whole frame. @param width of the picture in pixels, a multiple of 8 */
export function paint(areas: readonly Area[], width: number, sequence: number): void {
  for (const [plane, area] of areas.entries()) {
    area.data.fill(fillOf(sequence));
    const words = wordsOf(area);
    const stride = area.stride >> 2;
    for (let row = 0; row < area.rows; row++) {
      for (let word = 0; word < width >> 2; word += STAMP_EVERY) {
        words[row * stride + word] = sequence;
        words[row * stride + word + 1] = stampOf(sequence, plane, row, word);
      }
    }
  }
}

/** Where a frame is not what was painted for its sequence; undefined: all is right. Looks at the stamps. */
export function wrongStamp(areas: readonly Area[], width: number, sequence: number): string | undefined {
  for (const [plane, area] of areas.entries()) {
    const words = wordsOf(area);
    const stride = area.stride >> 2;
    for (let row = 0; row < area.rows; row++) {
      for (let word = 0; word < width >> 2; word += STAMP_EVERY) {
        const index = row * stride + word;
        if (words[index] === sequence && words[index + 1] === stampOf(sequence, plane, row, word)) continue;
        return `${sequence}: plane ${plane}, row ${row}, byte ${word * 4} is of ${words[index]}`;
      }
    }
  }
}

/** As {@linkcode wrongStamp}, of every byte. */
export function wrongByte(areas: readonly Area[], width: number, sequence: number): string | undefined {
  const fill = Math.imul(fillOf(sequence), 0x01010101) >>> 0;
  for (const [plane, area] of areas.entries()) {
    const words = wordsOf(area);
    const stride = area.stride >> 2;
    for (let row = 0; row < area.rows; row++) {
      for (let word = 0; word < width >> 2; word++) {
        const inStamp = word % STAMP_EVERY;
        if (inStamp < 2 || words[row * stride + word] === fill) continue;
        return `${sequence}: plane ${plane}, row ${row}, byte ${word * 4} is ${words[row * stride + word]}`;
      }
    }
  }
  return wrongStamp(areas, width, sequence);
}
