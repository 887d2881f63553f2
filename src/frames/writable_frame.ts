// A slot on the publishing side, from acquire to publish.

import { checkHandle, checkInteger, checkOptions, invalid, type PixelFormat, planCopy } from "../core/mod.ts";
import { CopySource, SourcePlane, Struct } from "../ffi/mod.ts";
import { ImportedImage } from "../images/mod.ts";
import {
  copyPlanes,
  type HeldFrame,
  type MemoryKind,
  NativeBuffers,
  type Plane,
  planesIn,
} from "../memory/mod.ts";
import {
  DEVICE_PICTURE,
  type DevicePicture,
  FRAME_INIT,
  type FrameInit,
  IMAGE_COPY_OPTIONS,
  type ImageCopyOptions,
} from "./frame_init.ts";
import type { Publication } from "./publication.ts";

/**
 * A slot that nobody else can see yet. Fill it, then publish it, once; or close it to cancel it.
 *
 * @example
 * ```ts
 * import { Publisher } from "@cuframes/core";
 *
 * using publisher = Publisher.create({ key: "cam-parking", width: 1280, height: 720 });
 * using frame = publisher.acquire();
 * for (const { data } of frame.planes) data.fill(128);
 * frame.publish({ timestamp: 0 });
 * ```
 */
export class WritableFrame implements HeldFrame {
  /** @internal Where it was acquired; not collected before it. */
  readonly publisher: object;
  readonly #publication: Publication;
  readonly #slot: number;
  #planes: Plane[] | undefined;
  /** The buffer of its pixels, where that was handed out. */
  #buffer: ArrayBuffer | undefined;
  #guarded = false;
  #stream: bigint | undefined;
  #closed = false;

  /** @internal Made by {@linkcode Publisher.acquire}. */
  constructor(publication: Publication, slot: number, publisher: object) {
    this.publisher = publisher;
    this.#publication = publication;
    this.#slot = slot;
  }

  /** Pixel format. */
  get format(): PixelFormat {
    return this.#publication.geometry.format;
  }

  /** Width in pixels. */
  get codedWidth(): number {
    return this.#publication.geometry.codedWidth;
  }

  /** Height in pixels. */
  get codedHeight(): number {
    return this.#publication.geometry.codedHeight;
  }

  /**
   * The slot's memory, to be written in place. It holds what an earlier frame left there. Not to be touched after
   * publish: subscribers read it then.
   */
  get planes(): readonly Plane[] {
    this.#check("use");
    if (this.#planes !== undefined) return this.#planes;
    if (this.memory === "cuda") return this.#planes = this.#publication.views.planes(this.#slot);
    this.#buffer = this.#publication.views.buffer(this.#slot);
    if (this.#guarded) this.#publication.views.handOut(this.#buffer, this);
    return this.#planes = planesIn(this.#buffer, this.#publication.geometry);
  }

  /** @internal Its pixels keep it alive from now on. */
  guard(): void {
    this.#guarded = true;
    if (this.#buffer !== undefined) this.#publication.views.handOut(this.#buffer, this);
  }

  /** On a GPU the slot's CUdeviceptr, where plane 0 begins; undefined on host memory. */
  get devicePointer(): bigint | undefined {
    this.#check("use");
    return this.memory === "cuda" ? this.#publication.views.address(this.#slot) : undefined;
  }

  /** Where the pixels are. */
  get memory(): MemoryKind {
    return this.#publication.geometry.memory;
  }

  /**
   * Copies a picture that is on the same GPU into the slot, as pitched 2-D copies on the stream. The source must stay as
   * it is until the stream has passed. Copies into one frame follow each other, on whatever streams they are.
   *
   * @throws {CuframesError} `INVALID_ARGUMENT`: a null pointer, a stride too small, an allocation too small for the
   * declared picture, not device memory; `DEVICE_MISMATCH`: on another GPU; `UNSUPPORTED`: this ring is on host memory
   */
  copyFrom(picture: DevicePicture): void;
  /**
   * Copies an imported image into the slot, plane by plane, without conversion: XRGB8888 becomes BGRX, ARGB8888 BGRA or BGRX,
   * XBGR8888 RGBX, ABGR8888 RGBA or RGBX, R8 GRAY8, NV12 NV12 or GRAY8, P010 P010. From GPU to GPU it is queued on the
   * stream, and the image must stay as it is until the stream has passed; every other copy is done, as far as the image is
   * concerned, when this returns.
   *
   * @throws {CuframesError} `FORMAT`: the image's size or format is not the frame's; `INVALID_ARGUMENT`: the image is closed;
   * `DEVICE_MISMATCH`: on another GPU; `IO`: the image's memory has become smaller; `CUDA`
   */
  copyFrom(image: ImportedImage, options?: ImageCopyOptions): void;
  copyFrom(picture: DevicePicture | ImportedImage, options?: ImageCopyOptions): void {
    this.#check("use");
    options = checkOptions(options, IMAGE_COPY_OPTIONS);
    if (picture instanceof ImportedImage) return this.#copyImage(picture, options);
    const { stream } = checkOptions(picture, DEVICE_PICTURE);
    const devicePointer = checkHandle("devicePointer", "a CUdeviceptr", picture.devicePointer);
    const { format, codedWidth, codedHeight } = this.#publication.geometry;
    const { planes } = planCopy(
      format,
      codedWidth,
      codedHeight,
      picture.planes === undefined ? {} : { layout: picture.planes },
    );
    const source = new Struct(CopySource.SIZE);
    source.setU32(CopySource.hasStream, stream === undefined ? 0 : 1);
    if (stream !== undefined) source.setU64(CopySource.stream, checkHandle("stream", "a CUstream", stream));
    source.setU32(CopySource.planeCount, planes.length);
    for (const [index, plane] of planes.entries()) {
      const base = CopySource.planes + index * SourcePlane.SIZE;
      source.setU64(
        base + SourcePlane.address,
        devicePointer === 0n ? 0n : devicePointer + BigInt(plane.offset),
      );
      source.setU64(base + SourcePlane.stride, BigInt(plane.stride));
    }
    this.#publication.copyFrom(this.#slot, source);
    this.#stream = stream;
  }

  #copyImage(image: ImportedImage, options: ImageCopyOptions): void {
    const { plane, stream } = options;
    if (plane !== undefined) checkInteger("plane", plane, 0, this.#publication.geometry.planes.length - 1);
    if (stream !== undefined) checkHandle("stream", "a CUstream", stream);
    this.#publication.copyImage(this.#slot, image, options);
    this.#stream = image.memory === "cuda" ? stream : undefined;
  }

  /**
   * Copies a picture into the slot: the planes one behind the other without padding, as WebCodecs' `copyTo` lays
   * them out by default.
   *
   * @throws {CuframesError} `INVALID_ARGUMENT`: not exactly that many bytes
   */
  write(bytes: Uint8Array): void {
    this.#check("use");
    const { format, codedWidth, codedHeight } = this.#publication.geometry;
    const { planes: copies, size } = planCopy(format, codedWidth, codedHeight);
    if (bytes.length !== size) {
      throw invalid(
        `${bytes.length} bytes for a frame: ${format} of ${codedWidth}×${codedHeight} without padding has ${size}`,
      );
    }
    if (this.memory === "cuda") {
      this.#publication.upload(this.#slot, bytes);
      this.#stream = undefined;
      return;
    }
    for (const [index, plane] of this.planes.entries()) {
      const copy = copies[index];
      if (copy === undefined) break;
      for (let row = 0; row < copy.rows; row++) {
        const start = copy.offset + row * copy.stride;
        plane.data.set(bytes.subarray(start, start + copy.rowBytes), row * plane.stride);
      }
    }
  }

  /**
   * Reads the slot back: the planes one behind the other without padding, as `write` takes them. On a GPU it waits for
   * the work so far of the stream that filled the slot (`copyFrom`'s, else the library's own).
   *
   * @returns the bytes, a copy
   * @throws {CuframesError} `INVALID_ARGUMENT`: published or closed; `CUDA`
   */
  read(): Uint8Array<ArrayBuffer> {
    this.#check("read");
    const { format, codedWidth, codedHeight } = this.#publication.geometry;
    const { planes: copies, size } = planCopy(format, codedWidth, codedHeight);
    const bytes = new Uint8Array(size);
    if (this.memory === "cuda") this.#publication.download(this.#slot, this.#stream, bytes);
    else copyPlanes(this.planes, copies, bytes);
    return bytes;
  }

  /**
   * Makes the frame visible to every subscriber, and closes it.
   *
   * @returns the frame's sequence: 1 for the first, and one more each time
   * @throws {CuframesError} `INVALID_ARGUMENT`: published or closed already, or a wrong `init`; `DISCONNECTED`:
   * its publisher is closed
   */
  publish(init?: FrameInit): bigint {
    this.#check("publish");
    init = checkOptions(init, FRAME_INIT);
    const stream = init.stream ?? this.#stream;
    const sequence = this.#publication.publish(this.#slot, stream === undefined ? init : { ...init, stream });
    this.#end();
    return sequence;
  }

  /** Whether it was published or closed. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Cancels a frame that was not published: its slot is free again. After publish it does nothing. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#end();
    this.#publication.cancel(this.#slot);
  }

  /** Same as {@linkcode WritableFrame.close}. */
  [Symbol.dispose](): void {
    this.close();
  }

  #end(): void {
    this.#closed = true;
    this.#planes = undefined;
    if (this.#guarded && this.#buffer !== undefined) NativeBuffers.letGo(this.#buffer, this);
    this.#buffer = undefined;
    this.#publication.remove(this.#slot);
  }

  #check(verb: string): void {
    this.#publication.check();
    if (!this.#closed) return;
    throw invalid(`cannot ${verb} this frame: it was published or closed; acquire another`);
  }
}
