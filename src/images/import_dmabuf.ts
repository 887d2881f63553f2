// Importing a dma-buf or a memfd.

import {
  checkDimension,
  checkHandle,
  checkInteger,
  checkOptions,
  CuframesError,
  IMAGE_PLANES_MAX,
  INT32_MAX,
  invalid,
  isCuframesError,
  MEMORY_KINDS,
  optionNames,
} from "../core/mod.ts";
import { checked, ImageInfo, ImageOptions, ImageSourcePlane, library, Struct } from "../ffi/mod.ts";
import { type MemoryKind, setDevice } from "../memory/mod.ts";
import { checkDescriptor } from "../sockets/mod.ts";
import { dmabufFormats } from "./dmabuf_formats.ts";
import { type DrmFormat, fourccCode } from "./drm_formats.ts";
import { ImportedImage } from "./imported_image.ts";
import { onceOrOnHost } from "./memory_choice.ts";

/** One plane of a dma-buf picture. Bytes. */
export interface DmabufPlane {
  /** Descriptor of a dma-buf or memfd. It stays the caller's, which may close it once the image is imported. */
  fd: number;
  /** From the buffer's first byte to the plane's. */
  offset: number;
  /** From one row to the next. */
  stride: number;
}

/** What {@linkcode importDmabuf} is told of a picture. */
export interface DmabufOptions {
  /** Pixels, 1 to 16384. */
  width: number;
  /** Pixels, 1 to 16384. */
  height: number;
  /** A name (`"XRGB8888"`), four characters (`"XR24"`), or drm_fourcc.h's and V4L2's number for them. */
  fourcc: DrmFormat | number | (string & Record<never, never>);
  /**
   * The layout of the pixels, of drm_fourcc.h; 0n is linear. Default, and with `DRM_FORMAT_MOD_INVALID`: none is named, and
   * the buffer is what its exporter says (GPU), or linear (host).
   */
  modifier?: bigint;
  /** As many as the format has: NV12 and P010 two, on one descriptor or on two, the others one. */
  planes: DmabufPlane[];
  /**
   * `"cuda"`: registered with CUDA through EGL, to be copied on the GPU; `"host"`: read by the CPU; `"auto"` (default): CUDA
   * where EGL takes the buffer, which a memfd never is, else the host. See {@linkcode ImportedImage.memory}.
   */
  memory?: MemoryKind | "auto";
  /** For CUDA: a device's number in this process, or its UUID (`"GPU-…"`); default: the first. The ring's must be the same. */
  device?: number | string;
}

const DMABUF_OPTIONS = optionNames<DmabufOptions>({
  width: true,
  height: true,
  fourcc: true,
  modifier: true,
  planes: true,
  memory: true,
  device: true,
});
const DMABUF_PLANE = optionNames<DmabufPlane>({ fd: true, offset: true, stride: true });

/**
 * Imports a picture that other software made: a camera's, a compositor's, a decoder's dma-buf, or a memfd. It is not
 * copied; {@linkcode WritableFrame.copyFrom} does that, as often as the buffer is filled again. The buffer stays alive
 * until the image is closed, also when its exporter dies.
 *
 * On a GPU the registration is kept for the next import of the same buffer (32 of them; see {@linkcode trimImports}), so
 * importing each frame of a capture pool costs little.
 *
 * @throws {CuframesError} `INVALID_ARGUMENT`: names the field that is wrong: a descriptor that is closed or of another kind,
 * a size, an offset or stride outside the buffer, a count of planes that does not fit the format; `FORMAT`: a format, or a
 * format with this modifier, that cannot be imported, with a list of those that can; `UNSUPPORTED`: EGL, CUDA or an
 * extension is missing (`memory: "cuda"`), or the exporter does not map the buffer for the CPU; `PERMISSION`;
 * `OUT_OF_MEMORY`; `CUDA`; `IO`
 * @example
 * ```ts
 * import { importDmabuf, type Publisher } from "@cuframes/core";
 *
 * export function publish(publisher: Publisher, fd: number): void {
 *   using image = importDmabuf({
 *     width: 1280,
 *     height: 720,
 *     fourcc: "NV12",
 *     planes: [{ fd, offset: 0, stride: 1280 }, { fd, offset: 1280 * 720, stride: 1280 }],
 *   });
 *   using frame = publisher.acquire();
 *   frame.copyFrom(image);
 *   frame.publish();
 * }
 * ```
 */
export function importDmabuf(options: DmabufOptions): ImportedImage {
  const { modifier, planes, memory = "auto" } = checkOptions(options, DMABUF_OPTIONS);
  const struct = new Struct(ImageOptions.SIZE);
  struct.setU32(ImageOptions.width, checkDimension("width", options.width));
  struct.setU32(ImageOptions.height, checkDimension("height", options.height));
  struct.setU32(ImageOptions.fourcc, fourccCode(options.fourcc));
  struct.setU32(ImageOptions.hasModifier, modifier === undefined ? 0 : 1);
  if (modifier !== undefined) {
    struct.setU64(ImageOptions.modifier, checkHandle("modifier", "a DRM format modifier", modifier));
  }
  if (!Array.isArray(planes) || planes.length > IMAGE_PLANES_MAX) {
    throw invalid(`planes has ${planes?.length} entries: it must be an array of 1 to ${IMAGE_PLANES_MAX}`);
  }
  struct.setU32(ImageOptions.planeCount, planes.length);
  for (const [index, plane] of planes.entries()) {
    if (typeof plane !== "object" || plane === null) {
      throw invalid(`planes[${index}] is ${plane}: it must have fd, offset and stride`);
    }
    const { fd, offset, stride } = checkOptions(plane, DMABUF_PLANE);
    const base = ImageOptions.planes + index * ImageSourcePlane.SIZE;
    struct.setI32(base + ImageSourcePlane.fd, checkDescriptor(`planes[${index}].fd`, fd));
    struct.setU64(
      base + ImageSourcePlane.offset,
      BigInt(checkInteger(`planes[${index}].offset`, offset, 0, Number.MAX_SAFE_INTEGER)),
    );
    struct.setU32(
      base + ImageSourcePlane.stride,
      checkInteger(`planes[${index}].stride`, stride, 1, INT32_MAX),
    );
  }
  setDevice(struct, ImageOptions.device, ImageOptions.SIZE - ImageOptions.device, options.device);
  return onceOrOnHost(memory, (kind) => {
    struct.setU32(ImageOptions.memory, MEMORY_KINDS[kind]);
    const info = new Struct(ImageInfo.SIZE);
    try {
      const handle = checked(
        library().symbols.cuframes_image_import(struct.bytes, info.bytes),
        `importing a dma-buf (${kind})`,
      );
      return new ImportedImage(handle, info);
    } catch (error) {
      throw withFormats(error, kind, options.device);
    }
  });
}

/** Adds to the refusal of a layout those that are taken. */
function withFormats(error: unknown, memory: MemoryKind, device: number | string | undefined): unknown {
  if (!isCuframesError(error, "FORMAT")) return error;
  const list = dmabufFormats({ memory, ...(device === undefined ? {} : { device }) })
    .map(({ fourcc, modifier }) => modifier === undefined ? fourcc : `${fourcc}:0x${modifier.toString(16)}`);
  return new CuframesError(
    error.code,
    `${error.message}. Taken are, as fourcc:modifier: ${list.join(", ") || "none"}`,
    { cause: error },
  );
}

/**
 * Releases the registrations that are kept for images imported again, and with them their buffers. To be called when a
 * capture ends. Images that are open stay.
 *
 * @example
 * ```ts
 * import { trimImports } from "@cuframes/core";
 *
 * trimImports();
 * ```
 */
export function trimImports(): void {
  library().symbols.cuframes_images_trim();
}
