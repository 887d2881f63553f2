// Which dma-bufs can be imported on this machine.

import { checkOptions, DMABUF_PAIRS_MAX, optionNames } from "../core/mod.ts";
import { checked, DmabufPair, library, Struct } from "../ffi/mod.ts";
import type { MemoryKind } from "../memory/mod.ts";
import { type DrmFormat, drmFormatsByCode } from "./drm_formats.ts";
import { encodeDevice, onceOrOnHost } from "./memory_choice.ts";

/** DRM_FORMAT_MOD_LINEAR: rows one behind the other. */
const LINEAR = 0n;

/** A layout of pixels that {@linkcode importDmabuf} takes. */
export interface DmabufFormat {
  /** The format. */
  readonly fourcc: DrmFormat;
  /** The modifier; undefined where the format is taken without one only. */
  readonly modifier: bigint | undefined;
}

const FORMATS_OPTIONS = optionNames<{ memory?: MemoryKind | "auto"; device?: number | string }>({
  memory: true,
  device: true,
});

/** DRM_FORMAT_MOD_INVALID: the format is taken without a modifier only. */
const MODIFIER_INVALID = 0x00ff_ffff_ffff_ffffn;

/**
 * The pairs of a format and a modifier that {@linkcode importDmabuf} takes with these options.
 *
 * @throws {CuframesError} with `memory: "cuda"`, `UNSUPPORTED`: EGL or CUDA cannot be used, and why
 * @example
 * ```ts
 * import { dmabufFormats } from "@cuframes/core";
 *
 * for (const { fourcc, modifier } of dmabufFormats()) console.log(fourcc, modifier);
 * ```
 */
export function dmabufFormats(
  options?: { memory?: MemoryKind | "auto"; device?: number | string },
): DmabufFormat[] {
  const { memory = "auto", device } = checkOptions(options, FORMATS_OPTIONS);
  return onceOrOnHost(memory, (kind) => kind === "host" ? hostFormats() : eglFormats(device));
}

function hostFormats(): DmabufFormat[] {
  return [...drmFormatsByCode.values()].map((fourcc) => ({ fourcc, modifier: LINEAR }));
}

function eglFormats(device: number | string | undefined): DmabufFormat[] {
  const name = encodeDevice(device);
  const table = new Struct(DmabufPair.SIZE * DMABUF_PAIRS_MAX);
  const count = checked(
    library().symbols.cuframes_dmabuf_formats(name, name.length, table.bytes, DMABUF_PAIRS_MAX),
    "listing the dma-bufs that EGL imports",
  );
  return Array.from({ length: count }, (_, index) => {
    const base = index * DmabufPair.SIZE;
    const modifier = table.u64(base + DmabufPair.modifier);
    return {
      fourcc: drmFormatsByCode.get(table.u32(base + DmabufPair.fourcc))!,
      modifier: modifier === MODIFIER_INVALID ? undefined : modifier,
    };
  });
}
