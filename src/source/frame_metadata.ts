/** This file writes and reads what a source says about each frame, in the frame's own metadata: a line of JSON. */
import { type ColorSpace, isRgb } from "../core/mod.ts";
import type { ColourOptions, Matrix } from "../media/mod.ts";
import type { Frame } from "../frames/mod.ts";

/** What the camera's stream states about its pictures. */
export interface FrameMetadata {
  /** How samples map to colours, in WebCodecs' words; null where the stream does not say. */
  readonly colorSpace: ColorSpace;
}

/** The bytes for `FrameInit.metadata`. */
export function encodeMetadata(metadata: FrameMetadata): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(metadata));
}

/** WebCodecs' names of matrices, as ours. */
const MATRICES: Record<string, Matrix> = {
  "bt709": "bt709",
  "bt470bg": "bt601",
  "smpte170m": "bt601",
  "bt2020-ncl": "bt2020",
};

/** The colours of a frame: as was asked for, else as its metadata states. */
export function coloursOfFrame(
  { matrix = "auto", range }: ColourOptions,
  { format, metadata }: Pick<Frame, "format" | "metadata">,
): ColourOptions {
  // Whatever the stream has: these are converted to the whole range.
  const stated = isRgb(format) || format === "GRAY8" ? undefined : colorSpaceOf(metadata);
  if (matrix === "auto") matrix = MATRICES[stated?.matrix ?? ""] ?? "auto";
  if (typeof stated?.fullRange === "boolean") range ??= stated.fullRange ? "full" : "limited";
  return { matrix, range };
}

/** The colours that metadata states; undefined where it is another program's. Its bytes are another process's. */
function colorSpaceOf(metadata: Uint8Array): { matrix: string; fullRange: boolean | null } | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(metadata));
  } catch {
    return undefined;
  }
  const { colorSpace } = Object(value) as { colorSpace?: unknown };
  const { matrix, fullRange } = Object(colorSpace) as Record<string, unknown>;
  return {
    matrix: typeof matrix === "string" && Object.hasOwn(MATRICES, matrix) ? matrix : "",
    fullRange: typeof fullRange === "boolean" ? fullRange : null,
  };
}
