/** This file finds the NAL units of a byte stream: H.264 and HEVC call that form their Annex B. */
import { Buffer } from "node:buffer";

const START_CODE = Buffer.from([0, 0, 1]);

/** Where a unit begins. */
export interface UnitStart {
  /** Its start code's first byte: a start code of four bytes begins with one zero more. */
  readonly code: number;
  /** Its own first byte, which says what it is. */
  readonly header: number;
}

/** The units' beginnings, in order. Each is searched for when it is asked for: what nobody asks for is not looked at. */
export function* unitStarts(bytes: Uint8Array): Generator<UnitStart, void, void> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let code = buffer.indexOf(START_CODE); code >= 0; code = buffer.indexOf(START_CODE, code + 3)) {
    if (code + 3 === bytes.length) return; // nothing is behind it
    yield { code: code > 0 && bytes[code - 1] === 0 ? code - 1 : code, header: code + 3 };
  }
}

/** A unit's bytes, which end where the next start code begins, or with the stream: zeros behind it are padding. */
export function unitBetween(bytes: Uint8Array, header: number, end: number): Uint8Array {
  while (end > header && bytes[end - 1] === 0) end--;
  return bytes.subarray(header, end);
}

/** All units, without start codes and trailing zeros. */
export function* nalUnits(bytes: Uint8Array): Generator<Uint8Array, void, void> {
  let begun: number | undefined;
  for (const { code, header } of unitStarts(bytes)) {
    if (begun !== undefined) yield unitBetween(bytes, begun, code);
    begun = header;
  }
  if (begun !== undefined) yield unitBetween(bytes, begun, bytes.length);
}
