// A picture of other software, imported.

import { IMAGE_LAYOUTS, invalid, MEMORY_KINDS, UUID_SIZE } from "../core/mod.ts";
import {
  closedInTime,
  closeWhenCollected,
  ImageInfo,
  ImagePlane,
  library,
  openedHere,
  type Struct,
} from "../ffi/mod.ts";
import { deviceName, type MemoryKind } from "../memory/mod.ts";
import { type DrmFormat, drmFormatsByCode } from "./drm_formats.ts";

/** Where a plane of an {@linkcode ImportedImage} is. */
export interface ImportedPlane {
  /** On the host, bytes from its buffer's first byte to the plane's; on a GPU 0. */
  readonly offset: number;
  /** Bytes from one row to the next; 0 for an array. */
  readonly stride: number;
  /** Rows of this plane. */
  readonly rows: number;
  /** Bytes of a row that are picture. */
  readonly rowBytes: number;
  /** CUdeviceptr of the plane, where the layout is `"pitch"` on a GPU. Not to be written to. */
  readonly devicePointer: bigint | undefined;
  /** CUarray of the plane, where the layout is `"array"`. */
  readonly array: bigint | undefined;
}

/**
 * A picture that other software made, to be copied into frames by {@linkcode WritableFrame.copyFrom}. It shows what its
 * buffer holds at the time of each copy.
 *
 * @example
 * ```ts
 * import { type ImportedImage, type Publisher } from "@cuframes/core";
 *
 * export function publish(publisher: Publisher, image: ImportedImage): void {
 *   using frame = publisher.acquire();
 *   frame.copyFrom(image);
 *   frame.publish();
 * }
 * ```
 */
export class ImportedImage implements Disposable {
  /** Pixel format. */
  readonly fourcc: DrmFormat;
  /** Width in pixels. */
  readonly width: number;
  /** Height in pixels. */
  readonly height: number;
  /** Where copies out of it are made. */
  readonly memory: MemoryKind;
  /** How CUDA sees the pixels: rows at addresses, or arrays. On the host always `"pitch"`. */
  readonly layout: keyof typeof IMAGE_LAYOUTS;
  /** The GPU it is registered on, as `"GPU-<uuid>"`; undefined on the host. */
  readonly device: string | undefined;
  /** Where each plane is. */
  readonly planes: readonly ImportedPlane[];
  #handle: number | undefined;

  /** @internal Made by {@linkcode importDmabuf} and {@linkcode importEglImage}. */
  constructor(handle: number, info: Struct) {
    this.#handle = handle;
    closeWhenCollected(
      this,
      "ImportedImage",
      openedHere(),
      () => void library().symbols.cuframes_image_close(handle),
    );
    this.fourcc = drmFormatsByCode.get(info.u32(ImageInfo.fourcc))!;
    this.width = info.u32(ImageInfo.width);
    this.height = info.u32(ImageInfo.height);
    this.memory = info.u32(ImageInfo.memory) === MEMORY_KINDS.cuda ? "cuda" : "host";
    this.layout = info.u32(ImageInfo.layout) === IMAGE_LAYOUTS.array ? "array" : "pitch";
    this.device = this.memory === "cuda"
      ? deviceName(info.bytes.subarray(ImageInfo.device, ImageInfo.device + UUID_SIZE))
      : undefined;
    this.planes = Array.from({ length: info.u32(ImageInfo.planeCount) }, (_, index) => {
      const base = ImageInfo.planes + index * ImagePlane.SIZE;
      const address = info.u64(base + ImagePlane.address);
      const at = (layout: string) => this.memory === "cuda" && this.layout === layout ? address : undefined;
      return {
        offset: info.count(base + ImagePlane.offset),
        stride: info.u32(base + ImagePlane.stride),
        rows: info.u32(base + ImagePlane.rows),
        rowBytes: info.u32(base + ImagePlane.rowBytes),
        devicePointer: at("pitch"),
        array: at("array"),
      };
    });
  }

  /** The first plane's CUdeviceptr, where the layout is `"pitch"` on a GPU. */
  get devicePointer(): bigint | undefined {
    return this.planes[0]?.devicePointer;
  }

  /** @internal The native object; throws when it is closed. */
  get handle(): number {
    if (this.#handle === undefined) throw invalid("this image is closed: import it again");
    return this.#handle;
  }

  /** Whether {@linkcode ImportedImage.close} was called. */
  get closed(): boolean {
    return this.#handle === undefined;
  }

  /** Releases the buffer. Copies that are queued on a GPU are still made. Idempotent. */
  close(): void {
    const handle = this.#handle;
    if (handle === undefined) return;
    this.#handle = undefined;
    closedInTime(this);
    library().symbols.cuframes_image_close(handle);
  }

  /** Same as {@linkcode ImportedImage.close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}
