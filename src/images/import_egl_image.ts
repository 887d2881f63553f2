// Importing an EGLImage of the caller's own GL code.

import { checkHandle, checkOptions, optionNames } from "../core/mod.ts";
import { checked, ImageInfo, library, Struct } from "../ffi/mod.ts";
import { fourccCode } from "./drm_formats.ts";
import type { DmabufOptions } from "./import_dmabuf.ts";
import { ImportedImage } from "./imported_image.ts";
import { encodeDevice } from "./memory_choice.ts";

/** Options of {@linkcode importEglImage}. */
export interface EglImageOptions {
  /** As in {@linkcode DmabufOptions}; default: what the CUDA driver takes the image for. */
  fourcc?: DmabufOptions["fourcc"];
  /** As in {@linkcode DmabufOptions}. */
  device?: number | string;
}

const EGL_OPTIONS = optionNames<EglImageOptions>({ fourcc: true, device: true });

/**
 * Registers an EGLImage of the caller's own GL code with CUDA. Image and display stay the caller's: close this before the
 * image is destroyed. GL's work on it must be done (`glFinish`, or a fence that was waited for) before a copy out of it is
 * queued.
 *
 * @param display EGLDisplay that the image was made on
 * @param image EGLImage
 * @throws {CuframesError} `INVALID_ARGUMENT`: not a display, or no image; `FORMAT`: its pixels are not in a format that can be
 * imported, or `fourcc` says something else than it has; `UNSUPPORTED`, `CUDA`: CUDA, EGL or the driver cannot do it
 * @example
 * ```ts
 * import { importEglImage, type Publisher } from "@cuframes/core";
 *
 * export function publish(publisher: Publisher, display: bigint, eglImage: bigint): void {
 *   using image = importEglImage(display, eglImage);
 *   using frame = publisher.acquire();
 *   frame.copyFrom(image);
 *   frame.publish();
 * }
 * ```
 */
export function importEglImage(
  display: bigint,
  image: bigint,
  options?: EglImageOptions,
): ImportedImage {
  options = checkOptions(options, EGL_OPTIONS);
  const info = new Struct(ImageInfo.SIZE);
  const device = encodeDevice(options.device);
  const handle = checked(
    library().symbols.cuframes_image_import_egl(
      checkHandle("display", "an EGLDisplay", display),
      checkHandle("image", "an EGLImage", image),
      options.fourcc === undefined ? 0 : fourccCode(options.fourcc),
      device,
      device.length,
      info.bytes,
    ),
    "importing an EGLImage",
  );
  return new ImportedImage(handle, info);
}
