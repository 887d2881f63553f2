import { checkDescriptor } from "../sockets/mod.ts";
import {
  checkChoice,
  checkDimension,
  checkHandle,
  checkInteger,
  CuframesError,
  DMABUF_PAIRS_MAX,
  DRM_FORMATS,
  IMAGE_LAYOUTS,
  IMAGE_PLANES_MAX,
  invalid,
  MEMORY_KINDS,
  shown,
  UUID_SIZE,
} from "../core/mod.ts";
import {
  checked,
  DmabufPair,
  ImageInfo,
  ImageOptions,
  ImagePlane,
  ImageSourcePlane,
  library,
  Struct,
} from "../ffi/mod.ts";

import { deviceName, type MemoryKind, setDevice } from "../memory/mod.ts";

/**
 * A pixel format of dma-bufs that can be imported, as drm_fourcc.h names it without `DRM_FORMAT_`.
 *
 * @example
 * ```ts
 * import { type DrmFormat } from "@cuframes/core";
 *
 * const fourcc: DrmFormat = "NV12";
 * ```
 */
export type DrmFormat = keyof typeof DRM_FORMATS;

/** DRM_FORMAT_MOD_LINEAR: rows one behind the other. */
const LINEAR = 0n;

/**
 * One plane of a dma-buf picture. Bytes.
 *
 * @example
 * ```ts
 * import { type DmabufPlane } from "@cuframes/core";
 *
 * export function planesOf(fd: number): DmabufPlane[] {
 *   return [{ fd, offset: 0, stride: 1280 }, { fd, offset: 1280 * 720, stride: 1280 }];
 * }
 * ```
 */
export interface DmabufPlane {
  /** Descriptor of a dma-buf or memfd. It stays the caller's, which may close it once the image is imported. */
  fd: number;
  /** Of the plane's first byte in the buffer. */
  offset: number;
  /** From one row to the next. */
  stride: number;
}

/**
 * What {@linkcode importDmabuf} is told of a picture.
 *
 * @example
 * ```ts
 * import { type DmabufOptions, importDmabuf } from "@cuframes/core";
 *
 * export function size(options: DmabufOptions): [number, number] {
 *   using image = importDmabuf(options);
 *   return [image.width, image.height];
 * }
 * ```
 */
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

/**
 * Options of {@linkcode importEglImage}.
 *
 * @example
 * ```ts
 * import { type EglImageOptions, importEglImage } from "@cuframes/core";
 *
 * export function register(display: bigint, image: bigint, options: EglImageOptions): void {
 *   using _image = importEglImage(display, image, options);
 * }
 * ```
 */
export interface EglImageOptions {
  /** As in {@linkcode DmabufOptions}; default: what the CUDA driver takes the image for. */
  fourcc?: DmabufOptions["fourcc"];
  /** As in {@linkcode DmabufOptions}. */
  device?: number | string;
}

/**
 * Where a plane of an {@linkcode ImportedImage} is.
 *
 * @example
 * ```ts
 * import { type ImportedImage } from "@cuframes/core";
 *
 * export function strides(image: ImportedImage): number[] {
 *   return image.planes.map(({ stride }) => stride);
 * }
 * ```
 */
export interface ImportedPlane {
  /** On the host: of the first byte in its buffer; on a GPU 0. */
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
 * A layout of pixels that {@linkcode importDmabuf} takes.
 *
 * @example
 * ```ts
 * import { type DmabufFormat, dmabufFormats } from "@cuframes/core";
 *
 * const formats: DmabufFormat[] = dmabufFormats();
 * console.log(formats.length);
 * ```
 */
export interface DmabufFormat {
  /** The format. */
  readonly fourcc: DrmFormat;
  /** The modifier; undefined where the format is taken without one only. */
  readonly modifier: bigint | undefined;
}

const formatsByCode: ReadonlyMap<number, DrmFormat> = new Map(
  Object.entries(DRM_FORMATS).map(([name, { code }]) => [code, name as DrmFormat]),
);

function fourccCode(fourcc: DmabufOptions["fourcc"]): number {
  const code = typeof fourcc === "number"
    ? fourcc
    : Object.hasOwn(DRM_FORMATS, fourcc)
    ? DRM_FORMATS[fourcc as DrmFormat].code
    : codeOfCharacters(String(fourcc));
  if (formatsByCode.has(code)) return code;
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

const pairInvalid = 0x00ff_ffff_ffff_ffffn;

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
  { memory = "auto", device }: Pick<DmabufOptions, "memory" | "device"> = {},
): DmabufFormat[] {
  return onceOrOnHost(memory, (kind) => kind === "host" ? hostFormats() : eglFormats(device));
}

function hostFormats(): DmabufFormat[] {
  return [...formatsByCode.values()].map((fourcc) => ({ fourcc, modifier: LINEAR }));
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
      fourcc: formatsByCode.get(table.u32(base + DmabufPair.fourcc))!,
      modifier: modifier === pairInvalid ? undefined : modifier,
    };
  });
}

function encodeDevice(device: number | string | undefined): Uint8Array {
  return new TextEncoder().encode(String(device ?? ""));
}

const memoryChoices = { ...MEMORY_KINDS, auto: -1 };

/** With `"auto"`, CUDA where that works, else the host. */
function onceOrOnHost<T>(memory: MemoryKind | "auto", make: (kind: MemoryKind) => T): T {
  checkChoice("memory", memory, memoryChoices);
  if (memory !== "auto") return make(memory);
  try {
    return make("cuda");
  } catch (error) {
    if (!(error instanceof CuframesError)) throw error;
    try {
      return make("host");
    } catch (other) {
      if (!(other instanceof CuframesError) || error.code !== "UNSUPPORTED") throw error;
      // Without a GPU its error says nothing about the caller's picture, unless the host cannot do it either.
      if (other.code !== "UNSUPPORTED" && other.code !== "FORMAT") throw other;
      throw new CuframesError(other.code, `${other.message}; nor can the GPU: ${error.message}`, {
        cause: error,
      });
    }
  }
}

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
  const { modifier, planes, memory = "auto" } = options;
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
    const { fd, offset, stride } = plane;
    const base = ImageOptions.planes + index * ImageSourcePlane.SIZE;
    struct.setI32(base + ImageSourcePlane.fd, checkDescriptor(`planes[${index}].fd`, fd));
    struct.setU64(
      base + ImageSourcePlane.offset,
      BigInt(checkInteger(`planes[${index}].offset`, offset, 0, Number.MAX_SAFE_INTEGER)),
    );
    struct.setU32(
      base + ImageSourcePlane.stride,
      checkInteger(`planes[${index}].stride`, stride, 1, 0x7fffffff),
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
  if (!(error instanceof CuframesError) || error.code !== "FORMAT") return error;
  const list = dmabufFormats({ memory, ...(device === undefined ? {} : { device }) })
    .map(({ fourcc, modifier }) => modifier === undefined ? fourcc : `${fourcc}:0x${modifier.toString(16)}`);
  return new CuframesError(
    error.code,
    `${error.message}. Taken are, as fourcc:modifier: ${list.join(", ") || "none"}`,
    { cause: error },
  );
}

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
  options: EglImageOptions = {},
): ImportedImage {
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

/**
 * Lets go of the registrations that are kept for images imported again, hence of their buffers: when a capture ends.
 * Images that are open stay.
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
    this.fourcc = formatsByCode.get(info.u32(ImageInfo.fourcc))!;
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

  /** Lets go of the buffer. Copies that are queued on a GPU are still made. Idempotent. */
  close(): void {
    const handle = this.#handle;
    if (handle === undefined) return;
    this.#handle = undefined;
    library().symbols.cuframes_image_close(handle);
  }

  /** Same as {@linkcode ImportedImage.close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}
