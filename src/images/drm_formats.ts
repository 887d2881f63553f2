// Pixel formats of dma-bufs, as drm_fourcc.h names and numbers them.

import { CuframesError, DRM_FORMATS, shown } from "../core/mod.ts";

/** A pixel format of dma-bufs that can be imported, as drm_fourcc.h names it without `DRM_FORMAT_`. */
export type DrmFormat = keyof typeof DRM_FORMATS;

/** The formats that can be imported, by drm_fourcc.h's codes. */
export const drmFormatsByCode: ReadonlyMap<number, DrmFormat> = new Map(
  Object.entries(DRM_FORMATS).map(([name, { code }]) => [code, name as DrmFormat]),
);

/** The code of a format, however it is given; refuses every format that cannot be imported. */
export function fourccCode(fourcc: number | string): number {
  const code = typeof fourcc === "number"
    ? fourcc
    : Object.hasOwn(DRM_FORMATS, fourcc)
    ? DRM_FORMATS[fourcc as DrmFormat].code
    : codeOfCharacters(String(fourcc));
  if (drmFormatsByCode.has(code)) return code;
  throw new CuframesError(
    "FORMAT",
    `fourcc ${shown(fourcc)} cannot be imported: use one of ${Object.keys(DRM_FORMATS).join(", ")}`,
  );
}

/** Four characters, the first in the lowest byte; a shorter code is filled with spaces. */
function codeOfCharacters(text: string): number {
  const bytes = new TextEncoder().encode(text.padEnd(4));
  return bytes.length === 4 ? new DataView(bytes.buffer).getUint32(0, true) : 0;
}
