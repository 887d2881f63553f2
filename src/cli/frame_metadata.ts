/** What `cuframes source` says about each frame, in the frame's own metadata: a line of JSON. */
import type { ColorSpace } from "../media/mod.ts";

/** What the camera's stream states about its pictures. */
export interface FrameMetadata {
  /** How samples map to colours, in WebCodecs' words; null where the stream does not say. */
  readonly colorSpace: ColorSpace;
}

/** The bytes for `FrameInit.metadata`. */
export function encodeMetadata(metadata: FrameMetadata): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(metadata));
}

/** The colours that a frame's metadata states; undefined where it is another program's. */
export function colorSpaceOf(metadata: Uint8Array): ColorSpace | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(metadata));
  } catch {
    return undefined;
  }
  const { colorSpace } = Object(value) as { colorSpace?: unknown };
  if (typeof colorSpace !== "object" || colorSpace === null) return undefined;
  const { primaries, transfer, matrix, fullRange } = colorSpace as Record<string, unknown>;
  const name = (item: unknown) => typeof item === "string" ? item : null;
  return {
    primaries: name(primaries),
    transfer: name(transfer),
    matrix: name(matrix),
    fullRange: typeof fullRange === "boolean" ? fullRange : null,
  };
}
