// A frame on the reading side, from delivery to close.

import {
  type AllowSharedBufferSource,
  bytesOf,
  checkHandle,
  checkOptions,
  type ChromaLocation,
  type ColorSpace,
  type CopyOptions,
  type FieldOrder,
  invalid,
  microseconds,
  optionNames,
  type PixelFormat,
  planCopy,
  type PlaneCopy,
  type PlaneLayout,
  type Ratio,
  type Rect,
  type Rotation,
} from "../core/mod.ts";
import type { Connection } from "../connect/mod.ts";
import {
  copyPlanes,
  type HeldFrame,
  type MemoryKind,
  NativeBuffers,
  type Plane,
  planesIn,
} from "../memory/mod.ts";
import type { FrameContent } from "./frame_content.ts";

const RELEASE_OPTIONS = optionNames<{ stream: bigint }>({ stream: true });

/**
 * A frame that this process holds a lease on: its pixels do not change before {@linkcode Frame.close}, whatever
 * the publisher does. Named as WebCodecs' `VideoFrame` where that has a name.
 *
 * @example
 * ```ts
 * import { Subscriber } from "@cuframes/core";
 *
 * using camera = await Subscriber.connect("cam-parking");
 * using frame = await camera.next();
 * const pixels = new Uint8Array(frame.allocationSize());
 * await frame.copyTo(pixels);
 * ```
 */
export class Frame implements HeldFrame {
  readonly #connection: Connection;
  readonly #lease: number;
  readonly #content: FrameContent;
  #planes: Plane[] | undefined;
  /** The last buffer of pixels that was handed out. */
  #buffer: ArrayBuffer | undefined;
  #guarded = false;
  #closed = false;

  /** @internal Made by {@linkcode Subscriber}. */
  constructor(connection: Connection, lease: number, content: FrameContent) {
    this.#connection = connection;
    this.#lease = lease;
    this.#content = content;
  }

  /** Pixel format. */
  get format(): PixelFormat {
    return this.#connection.geometry.format;
  }

  /** Width in pixels. */
  get codedWidth(): number {
    return this.#connection.geometry.codedWidth;
  }

  /** Height in pixels. */
  get codedHeight(): number {
    return this.#connection.geometry.codedHeight;
  }

  /** What its samples stand for; null where that is not known. */
  get colorSpace(): ColorSpace {
    return this.#content.picture.colorSpace;
  }

  /** The part that is seen, in pixels of the coded picture. */
  get visibleRect(): Readonly<Rect> {
    return this.#content.picture.visibleRect;
  }

  /** Width to height of a pixel, before it is turned. */
  get sampleAspectRatio(): Ratio {
    return this.#content.picture.sampleAspectRatio;
  }

  /** Width of the visible part as it is shown, turned, in square pixels. */
  get displayWidth(): number {
    return this.#content.picture.displayWidth;
  }

  /** Height of the visible part as it is shown, turned, in square pixels. */
  get displayHeight(): number {
    return this.#content.picture.displayHeight;
  }

  /** Degrees clockwise that the picture is turned by to be shown. */
  get rotation(): Rotation {
    return this.#content.picture.rotation;
  }

  /** Whether left and right are swapped to show it, once it is turned. */
  get flip(): boolean {
    return this.#content.picture.flip;
  }

  /** Whether its rows are of one moment; null where that is not known. */
  get fieldOrder(): FieldOrder | null {
    return this.#content.picture.fieldOrder;
  }

  /** Where its chroma samples lie; null where that is not known. */
  get chromaLocation(): ChromaLocation | null {
    return this.#content.picture.chromaLocation;
  }

  /** Where the pixels are. */
  get memory(): MemoryKind {
    return this.#connection.geometry.memory;
  }

  /** On a GPU the frame's CUdeviceptr, where plane 0 begins, read-only; undefined on host memory. */
  get devicePointer(): bigint | undefined {
    this.#check();
    return this.memory === "cuda" ? this.#connection.views.address(this.#content.slot) : undefined;
  }

  /** From 1, in the order of publishing; starts again with a new publisher. */
  get sequence(): bigint {
    return this.#content.sequence;
  }

  /** Presentation time in microseconds. */
  get timestamp(): number {
    return microseconds(this.#content.timestampNs);
  }

  /** Presentation time in nanoseconds. */
  get timestampNs(): bigint {
    return this.#content.timestampNs;
  }

  /** Microseconds; 0 where the publisher gave none. */
  get duration(): number {
    return microseconds(this.#content.durationNs);
  }

  /** Nanoseconds; 0 where the publisher gave none. */
  get durationNs(): bigint {
    return this.#content.durationNs;
  }

  /**
   * When the picture was taken, in µs of UTC since 1970: by the camera's clock where it tells, else when it arrived; null
   * where that is not known.
   */
  get captureTime(): number | null {
    const { captureTimeNs } = this.#content;
    return captureTimeNs === null ? null : microseconds(captureTimeNs);
  }

  /** As {@linkcode Frame.captureTime}, in nanoseconds. */
  get captureTimeNs(): bigint | null {
    return this.#content.captureTimeNs;
  }

  /** When it was published, by the clock of `monotonicNow()`. */
  get publishedNs(): bigint {
    return this.#content.publishedNs;
  }

  /** It does not continue the one before it: the publisher says so, or this is the first after a reconnect. */
  get discontinuity(): boolean {
    return this.#content.discontinuity;
  }

  /** The publisher's decoder concealed errors in it. */
  get corrupt(): boolean {
    return this.#content.corrupt;
  }

  /** The publisher's own bytes; a copy. */
  get metadata(): Uint8Array<ArrayBuffer> {
    return this.#content.metadata;
  }

  /**
   * The pixels in place, not copied: read-only shared memory. Writing to it ends the process with SIGSEGV. Not to
   * be used after {@linkcode Frame.close}.
   *
   * @throws {CuframesError} `INVALID_ARGUMENT`: the frame is closed
   */
  get planes(): readonly Plane[] {
    this.#check();
    if (this.#planes !== undefined) return this.#planes;
    if (this.memory === "host") return this.#planes = planesIn(this.#hostBuffer(), this.#connection.geometry);
    return this.#planes = this.#connection.views.planes(this.#content.slot);
  }

  /** Bytes that {@linkcode Frame.copyTo} writes with these options; without a `rect` it copies `visibleRect`. */
  allocationSize(options?: CopyOptions): number {
    this.#check();
    return this.#plan(options).size;
  }

  #plan(options: CopyOptions | undefined): { planes: PlaneCopy[]; size: number } {
    return planCopy(this.format, this.codedWidth, this.codedHeight, options, this.visibleRect);
  }

  /**
   * Copies pixels out, as WebCodecs' `VideoFrame.copyTo`.
   *
   * @returns where each plane was put
   * @throws {CuframesError} `INVALID_ARGUMENT`: closed, `destination` too small, a `rect` not inside the frame or
   * not on chroma samples, a `layout` whose planes overlap or rows do not fit; `UNSUPPORTED`: a `format` that is not
   * the frame's
   */
  // deno-lint-ignore require-await -- a promise, as in WebCodecs; other kinds of memory need it
  async copyTo(destination: AllowSharedBufferSource, options?: CopyOptions): Promise<PlaneLayout[]> {
    const target = bytesOf(destination);
    const { planes: copies, size } = this.#plan(options);
    this.#check();
    const planes = planesIn(this.#hostBuffer(), this.#connection.geometry);
    if (target.length < size) {
      throw invalid(`the destination has ${target.length} bytes, the copy needs ${size}`);
    }
    copyPlanes(planes, copies, target);
    return copies.map(({ offset, stride }) => ({ offset, stride }));
  }

  /**
   * The whole frame in host memory, its planes at their `offset` and `stride`. On host memory that is the frame
   * itself; on a GPU a copy in page-locked memory, made once and shared by clones. Not to be used after
   * {@linkcode Frame.close}.
   *
   * @param options `refresh`: copy again what is on the GPU now
   * @throws {CuframesError} `INVALID_ARGUMENT`: closed; `CUDA`, `OUT_OF_MEMORY`: the copy failed
   */
  // deno-lint-ignore require-await -- a promise, so that the copy may become asynchronous
  async toHost({ refresh = false }: { refresh?: boolean } = {}): Promise<Uint8Array<ArrayBuffer>> {
    this.#check();
    return new Uint8Array(this.#hostBuffer(refresh));
  }

  /**
   * A dma-buf, for devices and programs that want one. On a GPU it is the slot itself, all of its bytes, with the planes at
   * their `offset` and `stride`: it changes once the frame is closed. On the host it is a copy, made by /dev/udmabuf.
   *
   * @returns a descriptor, the caller's: to be closed once, with {@linkcode closeDescriptor}
   * @throws {CuframesError} `UNSUPPORTED`: this machine, GPU or driver makes none; `INVALID_ARGUMENT`: closed; `PERMISSION`; `CUDA`
   */
  exportDmabuf(): number {
    this.#check();
    return this.#connection.exportDmabuf(this.#lease);
  }

  #hostBuffer(refresh: boolean = false): ArrayBuffer {
    const earlier = this.#guarded && this.#buffer?.detached === false ? this.#buffer : undefined;
    if (earlier !== undefined && !refresh) return earlier;
    const buffer = this.#connection.hostBuffer(this.#content.slot, this.#lease, refresh);
    if (earlier !== undefined) return earlier; // the same memory
    this.#buffer = buffer;
    if (this.#guarded) this.#connection.handOut(buffer, this);
    return buffer;
  }

  /** @internal Its pixels keep it alive from now on. */
  guard(): void {
    this.#guarded = true;
    if (this.#buffer !== undefined) this.#connection.handOut(this.#buffer, this);
  }

  /**
   * A second lease on the same frame, to be closed on its own.
   *
   * @throws {CuframesError} `WOULD_BLOCK`: 8 frames are held; `INVALID_ARGUMENT`: this one is closed
   */
  clone(): Frame {
    this.#check();
    const lease = this.#connection.clone(this.#lease);
    const copy = new Frame(this.#connection, lease, this.#content);
    this.#connection.keep(copy, lease);
    return copy;
  }

  /** Whether {@linkcode Frame.close} was called. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Ends the lease: the publisher may write the slot again. Idempotent. */
  close(): void {
    this.#end(undefined);
  }

  /**
   * As {@linkcode Frame.close}, on a GPU: the lease ends when the work queued on `stream` so far, which reads the
   * frame, is done. This call does not wait for it.
   *
   * @param options `stream`: a CUstream; 0n is the legacy default stream
   * @throws {CuframesError} `UNSUPPORTED`: on host memory; `CUDA`
   */
  release(options: { stream: bigint }): void {
    const { stream } = checkOptions(options, RELEASE_OPTIONS);
    this.#end(checkHandle("stream", "a CUstream", stream));
  }

  #end(stream: bigint | undefined): void {
    if (this.#closed) return;
    this.#connection.release(this.#lease, stream);
    this.#closed = true;
    this.#planes = undefined;
    if (this.#guarded && this.#buffer !== undefined) NativeBuffers.letGo(this.#buffer, this);
    this.#buffer = undefined;
  }

  /** Same as {@linkcode Frame.close}. */
  [Symbol.dispose](): void {
    this.close();
  }

  #check(): void {
    if (this.#closed) {
      throw invalid(
        "this frame is closed, and its memory may hold another one by now: clone or copy it first",
      );
    }
  }
}
