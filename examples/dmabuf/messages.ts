// What the two processes say to each other, beside descriptors.

/** One picture in a buffer. The first message about a buffer brings its descriptor. */
export interface Picture {
  /** Which buffer; the sender's own number. */
  buffer: number;
  width: number;
  height: number;
  fourcc: "NV12";
  /** Bytes from row to row, of both planes. */
  stride: number;
  /** Where the chroma plane begins in the buffer; luma is at 0. */
  chroma: number;
  /** Microseconds. */
  timestamp: number;
}

/** The buffer may be drawn into again. */
export interface Released {
  released: number;
}

export function encode(message: Picture | Released): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(message));
}

export function decode<Message extends Picture | Released>(bytes: Uint8Array): Message {
  return JSON.parse(new TextDecoder().decode(bytes));
}
