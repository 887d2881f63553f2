import {
  checkChoice,
  checkDimension,
  checkHandle,
  checkInteger,
  CuframesError,
  ERROR_CODES,
  FLAG_CORRUPT,
  FLAG_DISCONTINUITY,
  formatCode,
  invalid,
  MEMORY_KINDS,
  METADATA_SIZE_MAX,
  nanoseconds,
  type PixelFormat,
  planCopy,
  POLICIES,
  SLOTS_MAX,
  SLOTS_MIN,
  timeoutMilliseconds,
  type WaitOptions,
} from "../core/mod.ts";
import {
  checked,
  CopySource,
  library,
  nativeError,
  type NativeSymbols,
  offWake,
  onWake,
  PublisherOptions as Layout,
  PublisherStats as StatsLayout,
  PublishRecord,
  RingInfo,
  SourcePlane,
  Struct,
} from "../ffi/mod.ts";

import { ImportedImage } from "../images/mod.ts";
import {
  copyPlanes,
  type MemoryKind,
  type Plane,
  type PlaneGeometry,
  readGeometry,
  type RingGeometry,
  setDevice,
  setPlace,
  SlotViews,
} from "../memory/mod.ts";
import { type PacketRingOptions, PacketRingWriter } from "../packets/mod.ts";

import { waitInSlices, Waits } from "../connect/mod.ts";

/**
 * What a publisher does when no slot of its ring is free.
 *
 * @example
 * ```ts
 * import { Publisher } from "@cuframes/core";
 *
 * using publisher = Publisher.create({ key: "file", width: 1280, height: 720, policy: "wait" });
 * ```
 */
export type Policy = keyof typeof POLICIES;

/**
 * Options of {@linkcode Publisher.create}.
 *
 * @example
 * ```ts
 * import { Publisher, type PublisherOptions } from "@cuframes/core";
 *
 * const options: PublisherOptions = { key: "cam-parking", width: 1280, height: 720, slots: 8, memory: "auto" };
 * using publisher = Publisher.create(options);
 * ```
 */
export interface PublisherOptions {
  /** The name that subscribers connect to: 1–63 characters of `A–Z a–z 0–9 _ -`. */
  key: string;
  /** Pixels, 1 to 16384. */
  width: number;
  /** Pixels, 1 to 16384. */
  height: number;
  /** Default: `"NV12"`. */
  format?: PixelFormat;
  /** Frames in the ring, 2 to 64; default 8. A slot that a subscriber holds is not available to write. */
  slots?: number;
  /**
   * `"drop-oldest"` (default): the oldest frame that nobody holds is overwritten; ordered subscribers count what
   * they miss. `"wait"`: no frame is overwritten before every ordered subscriber has had it; `acquire` waits.
   */
  policy?: Policy;
  /** With the policy `"wait"`: how long `acquire` waits by default. Milliseconds; default 1000. */
  timeout?: number;
  /**
   * `"host"` (default), `"cuda"`, or `"auto"`: CUDA where it works, else host memory.
   */
  memory?: MemoryKind | "auto";
  /** For CUDA: a device's number in this process, or its UUID (`"GPU-…"`); default: the first. */
  device?: number | string;
  /** Where the socket is made; default: see docs/protocol.md, "Runtime directory". */
  runtimeDirectory?: string;
  /** Permission bits of the socket; default `0o660`. */
  socketMode?: number;
}

/**
 * What travels with a frame; see {@linkcode WritableFrame.publish}.
 *
 * @example
 * ```ts
 * import { Publisher } from "@cuframes/core";
 *
 * using publisher = Publisher.create({ key: "cam-parking", width: 1280, height: 720 });
 * using frame = publisher.acquire();
 * frame.publish({ timestamp: 40_000, duration: 40_000, metadata: new TextEncoder().encode("pan=12") });
 * ```
 */
export interface FrameInit {
  /** Presentation time in microseconds; default: the monotonic clock at publish. */
  timestamp?: number;
  /** Presentation time in nanoseconds, instead of `timestamp`. */
  timestampNs?: bigint;
  /** Microseconds. */
  duration?: number;
  /** Nanoseconds, instead of `duration`. */
  durationNs?: bigint;
  /** Up to 1024 bytes of the publisher's own; copied. */
  metadata?: Uint8Array;
  /** This frame does not continue the one before it. */
  discontinuity?: boolean;
  /** The decoder concealed errors in this frame. */
  corrupt?: boolean;
  /**
   * On a GPU: the CUstream whose work so far fills the frame, which becomes visible when that is done, and whatever
   * `copyFrom` and `write` have queued; 0n is the legacy default stream. Default: the stream of the frame's last copy,
   * else the library's own. Ignored on host memory.
   */
  stream?: bigint;
}

/**
 * A picture on the GPU that a frame is on; see {@linkcode WritableFrame.copyFrom}.
 *
 * @example
 * ```ts
 * import { type DevicePicture, type Publisher } from "@cuframes/core";
 *
 * export function publish(publisher: Publisher, picture: DevicePicture): void {
 *   using frame = publisher.acquire();
 *   frame.copyFrom(picture);
 *   frame.publish();
 * }
 * ```
 */
export interface DevicePicture {
  /** CUdeviceptr of the first plane. */
  devicePointer: bigint;
  /** Bytes; default: rows and planes one behind the other without padding. */
  planes?: { offset: number; stride: number }[];
  /** CUstream that orders the copy; default: the library's own. */
  stream?: bigint;
}

/**
 * How {@linkcode WritableFrame.copyFrom} copies an imported image.
 *
 * @example
 * ```ts
 * import { type ImportedImage, type Publisher } from "@cuframes/core";
 *
 * export function publish(publisher: Publisher, image: ImportedImage, stream: bigint): void {
 *   using frame = publisher.acquire();
 *   frame.copyFrom(image, { stream });
 *   frame.publish({ stream });
 * }
 * ```
 */
export interface ImageCopyOptions {
  /** On a GPU: the CUstream that orders the copy; default: the library's own. Ignored on host memory. */
  stream?: bigint;
  /**
   * Fills this plane of the frame from an image of one plane: R8 and GR88 make an NV12 frame's planes 0 and 1; R8 of as many
   * bytes a row makes any. Default: the image fills the frame.
   */
  plane?: number;
}

/**
 * Counters of a publisher.
 *
 * @example
 * ```ts
 * import { Publisher } from "@cuframes/core";
 *
 * using publisher = Publisher.create({ key: "cam-parking", width: 1280, height: 720 });
 * console.log(publisher.stats().published, publisher.stats().subscribers);
 * ```
 */
export interface PublisherStats {
  /** Frames published. */
  published: number;
  /** Packets published. */
  packetsPublished: number;
  /** Subscribers connected now. */
  subscribers: number;
  /** Slots that some subscriber holds now. */
  slotsLeased: number;
  /** Connections dropped for what they sent or failed to send. */
  rejected: number;
  /** Frames whose GPU work failed, and which nobody saw. */
  failed: number;
}

/**
 * The one writer of a ring of frames. Everything that other processes see of it disappears with
 * {@linkcode Publisher.close} or with the process; frames they hold stay theirs.
 *
 * @example
 * ```ts
 * import { Publisher } from "@cuframes/core";
 *
 * using publisher = Publisher.create({ key: "cam-parking", width: 1280, height: 720, format: "NV12" });
 * using frame = publisher.acquire();
 * frame.planes[0]!.data.fill(128);
 * frame.publish({ timestamp: 0 });
 * ```
 */
export class Publisher implements Disposable {
  /** The name subscribers connect to. */
  readonly key: string;
  /** Where the frames live. */
  readonly memory: MemoryKind;
  readonly #symbols: NativeSymbols;
  readonly #geometry: RingGeometry;
  readonly #views: SlotViews;
  readonly #record: Struct = new Struct(PublishRecord.SIZE);
  /** Milliseconds that `acquire` and `acquireAsync` wait by default. */
  readonly #timeout: number;
  readonly #patience: number;
  readonly #room: Waits<WritableFrame>;
  readonly #frames = new Set<WritableFrame>();
  readonly #owner: Owner;
  #handle: number | undefined;
  #packets: PacketRingWriter | undefined;

  private constructor(options: PublisherOptions, memory: MemoryKind) {
    const { key, width, height, format = "NV12", slots = 8, policy = "drop-oldest" } = options;
    const struct = new Struct(Layout.SIZE);
    setPlace(struct, Layout, Layout.format - Layout.directory, key, options.runtimeDirectory);
    struct.setU32(Layout.format, formatCode(format));
    struct.setU32(Layout.width, checkDimension("width", width));
    struct.setU32(Layout.height, checkDimension("height", height));
    struct.setU32(Layout.slotCount, checkInteger("slots", slots, SLOTS_MIN, SLOTS_MAX));
    struct.setU32(Layout.policy, checkChoice("policy", policy, POLICIES));
    struct.setU32(Layout.memory, MEMORY_KINDS[memory]);
    struct.setU32(Layout.socketMode, checkInteger("socketMode", options.socketMode ?? 0o660, 0, 0o777));
    setDevice(struct, Layout.device, Layout.SIZE - Layout.device, options.device);
    timeoutMilliseconds("timeout", options.timeout ?? 0);

    const { symbols, wake } = library();
    const info = new Struct(RingInfo.SIZE);
    const handle = checked(
      symbols.cuframes_publisher_create(struct.bytes, info.bytes),
      `creating the publisher ${key}`,
    );
    this.key = key;
    this.memory = memory;
    this.#handle = handle;
    this.#symbols = symbols;
    this.#geometry = readGeometry(info);
    this.#views = new SlotViews(
      this.#geometry,
      (slot) => symbols.cuframes_publisher_slot_address(handle, slot),
    );
    this.#owner = {
      geometry: this.#geometry,
      check: () => this.#open(),
      planes: (slot) => this.#views.planes(slot),
      address: (slot) => this.#views.address(slot),
      upload: (slot, bytes) =>
        checked(
          symbols.cuframes_publisher_upload(this.#open(), slot, bytes, bytes.length),
          `writing a frame of ${key}`,
        ),
      download: (slot, stream, bytes) =>
        checked(
          symbols.cuframes_publisher_download(
            this.#open(),
            slot,
            stream ?? 0n,
            stream === undefined ? 0 : 1,
            bytes,
            bytes.length,
          ),
          `reading back a frame of ${key}`,
        ),
      copyFrom: (slot, source) =>
        checked(
          symbols.cuframes_publisher_copy_from(this.#open(), slot, source.bytes),
          `copying into a frame of ${key}`,
        ),
      copyImage: (slot, image, { plane = -1, stream }) =>
        checked(
          symbols.cuframes_publisher_copy_image(
            this.#open(),
            slot,
            image.handle,
            plane,
            stream ?? 0n,
            stream === undefined ? 0 : 1,
          ),
          `copying an image into a frame of ${key}`,
        ),
      publish: (slot, init) => this.#publish(slot, init),
      abandon: (slot) =>
        checked(symbols.cuframes_publisher_cancel(this.#open(), slot), "giving a slot back"),
      forget: (frame) => this.#frames.delete(frame),
    };
    this.#timeout = policy === "wait" ? options.timeout ?? 1000 : 0;
    this.#patience = policy === "wait" ? this.#timeout : Infinity;
    this.#room = new Waits(
      `free slot of ${key}`,
      () => this.#tryAcquire(),
      () => checked(symbols.cuframes_publisher_arm(handle, wake), `waiting for a slot of ${key}`),
    );
    onWake(handle, () => this.#room.poke());
  }

  /**
   * Takes the key and makes the ring.
   *
   * @throws {CuframesError} `INVALID_ARGUMENT`, `FORMAT`: an option is wrong; `ALREADY_EXISTS`: somebody
   * publishes under this key; `PERMISSION`, `NOT_FOUND`, `IO`: the runtime directory cannot be made or used; `OUT_OF_MEMORY`;
   * `UNSUPPORTED`, `CUDA`: CUDA was asked for and cannot be used
   */
  static create(options: PublisherOptions): Publisher {
    const { memory = "host" } = options;
    checkChoice("memory", memory, { ...MEMORY_KINDS, auto: -1 });
    if (memory !== "auto") return new Publisher(options, memory);
    try {
      return new Publisher(options, "cuda");
    } catch (error) {
      const unusable = error instanceof CuframesError &&
        (error.code === "UNSUPPORTED" || error.code === "CUDA");
      if (!unusable) throw error;
      return new Publisher(options, "host");
    }
  }

  /** The GPU the frames are on, as `"GPU-<uuid>"`; undefined on host memory. */
  get device(): string | undefined {
    return this.#geometry.device;
  }

  /** Pixel format of every frame. */
  get format(): PixelFormat {
    return this.#geometry.format;
  }

  /** Width of every frame in pixels. */
  get codedWidth(): number {
    return this.#geometry.codedWidth;
  }

  /** Height of every frame in pixels. */
  get codedHeight(): number {
    return this.#geometry.codedHeight;
  }

  /** Frames in the ring. */
  get slots(): number {
    return this.#geometry.slots;
  }

  /** Where the planes are in every frame. */
  get planes(): readonly PlaneGeometry[] {
    return this.#geometry.planes;
  }

  /**
   * Leases a free slot to fill. Under the policy `"wait"` this blocks the thread until there is one, at most for
   * `timeout` milliseconds (default: the publisher's); {@linkcode Publisher.acquireAsync} does not block.
   *
   * @throws {CuframesError} `WOULD_BLOCK`: every slot is held; `TIMEOUT`: and stayed so; `DISCONNECTED`: closed.
   */
  acquire({ timeout = this.#timeout }: { timeout?: number } = {}): WritableFrame {
    const handle = this.#open();
    const slot = waitInSlices(
      timeoutMilliseconds("timeout", timeout),
      (milliseconds) => this.#symbols.cuframes_publisher_acquire(handle, milliseconds),
    );
    if (slot < 0) throw this.#noSlot(slot, timeout);
    return this.#writable(slot);
  }

  /**
   * As {@linkcode Publisher.acquire}, without blocking the event loop, under either policy. While it waits the process
   * stays alive.
   *
   * @throws {CuframesError} `TIMEOUT`: every slot stayed held; `WOULD_BLOCK` with a time-out of 0; `DISCONNECTED`: closed.
   */
  acquireAsync({ timeout = this.#patience, signal }: WaitOptions = {}): Promise<WritableFrame> {
    return this.#room.wait(signal === undefined ? { timeout } : { timeout, signal });
  }

  #tryAcquire(): WritableFrame | undefined {
    const slot = this.#symbols.cuframes_publisher_acquire(this.#open(), 0);
    if (slot >= 0) return this.#writable(slot);
    if (slot === ERROR_CODES.WOULD_BLOCK || slot === ERROR_CODES.TIMEOUT) return undefined;
    throw nativeError(slot, `acquiring a slot of ${this.key}`);
  }

  #noSlot(result: number, timeout: number): CuframesError {
    const held =
      `every slot of ${this.key} is held by a subscriber, by an unpublished frame, or not yet delivered`;
    if (result === ERROR_CODES.WOULD_BLOCK || (result === ERROR_CODES.TIMEOUT && timeout === 0)) {
      return new CuframesError(
        "WOULD_BLOCK",
        `${held}: give the ring more slots (it has ${this.slots}) or close frames sooner`,
      );
    }
    if (result === ERROR_CODES.TIMEOUT) return new CuframesError("TIMEOUT", `${held} for ${timeout} ms`);
    return nativeError(result, `acquiring a slot of ${this.key}`);
  }

  #writable(slot: number): WritableFrame {
    const frame = new WritableFrame(this.#owner, slot);
    this.#frames.add(frame);
    return frame;
  }

  /**
   * Makes a filled frame visible to every subscriber; the frame is closed by it. Same as `frame.publish(init)`.
   *
   * @returns the frame's sequence: 1 for the first, and one more each time
   * @throws {CuframesError} `INVALID_ARGUMENT`: published or closed already, or a wrong `init`; `DISCONNECTED`
   */
  publish(frame: WritableFrame, init: FrameInit = {}): bigint {
    if (!this.#frames.has(frame) && !frame.closed) {
      throw invalid("this frame was acquired from another publisher");
    }
    return frame.publish(init);
  }

  #publish(slot: number, init: FrameInit): bigint {
    const handle = this.#open();
    const record = this.#record;
    const metadata = init.metadata;
    if (metadata !== undefined && !(metadata instanceof Uint8Array)) {
      throw invalid("a frame's metadata must be a Uint8Array");
    }
    if (metadata !== undefined && metadata.length > METADATA_SIZE_MAX) {
      throw invalid(`metadata has ${metadata.length} bytes: a frame carries at most ${METADATA_SIZE_MAX}`);
    }
    const duration = nanoseconds("duration", init.duration, init.durationNs) ?? 0n;
    if (duration < 0n) throw invalid(`duration is ${duration} ns: it must not be negative`);
    record.setI64(
      PublishRecord.timestampNs,
      nanoseconds("timestamp", init.timestamp, init.timestampNs) ?? this.#symbols.cuframes_now_ns(),
    );
    record.setU64(PublishRecord.durationNs, duration);
    record.setU32(
      PublishRecord.flags,
      (init.discontinuity ? FLAG_DISCONTINUITY : 0) | (init.corrupt ? FLAG_CORRUPT : 0),
    );
    record.setU32(PublishRecord.hasStream, init.stream === undefined ? 0 : 1);
    if (init.stream !== undefined) {
      record.setU64(PublishRecord.stream, checkHandle("stream", "a CUstream", init.stream));
    }
    record.setU32(PublishRecord.metadataSize, metadata?.length ?? 0);
    if (metadata !== undefined) record.bytes.set(metadata, PublishRecord.metadata);
    checked(
      this.#symbols.cuframes_publisher_publish(handle, slot, record.bytes),
      `publishing a frame of ${this.key}`,
    );
    return record.u64(PublishRecord.sequence);
  }

  /**
   * Adds a ring of encoded packets beside the frames, for consumers that record or remux. Subscribers that are
   * connected get it too.
   *
   * @throws {CuframesError} `ALREADY_EXISTS`: it was called before; `INVALID_ARGUMENT`; `OUT_OF_MEMORY`
   */
  enablePackets(options: PacketRingOptions): PacketRingWriter {
    return this.#packets = new PacketRingWriter(this.key, () => this.#open(), options);
  }

  /** The packet ring, once {@linkcode Publisher.enablePackets} has made it. */
  get packets(): PacketRingWriter | undefined {
    return this.#packets;
  }

  /** Counters so far. */
  stats(): PublisherStats {
    const struct = new Struct(StatsLayout.SIZE);
    checked(
      this.#symbols.cuframes_publisher_stats(this.#open(), struct.bytes),
      `reading the counters of ${this.key}`,
    );
    return {
      published: struct.count(StatsLayout.published),
      packetsPublished: struct.count(StatsLayout.packetsPublished),
      subscribers: struct.u32(StatsLayout.subscribers),
      slotsLeased: struct.u32(StatsLayout.slotsLeased),
      rejected: struct.u32(StatsLayout.rejected),
      failed: struct.u32(StatsLayout.failed),
    };
  }

  /** Undoes {@linkcode Publisher.unref}. */
  ref(): this {
    this.#room.ref();
    return this;
  }

  /** From now on no pending {@linkcode Publisher.acquireAsync} keeps the process alive. */
  unref(): this {
    this.#room.unref();
    return this;
  }

  /** Whether {@linkcode Publisher.close} was called. */
  get closed(): boolean {
    return this.#handle === undefined;
  }

  /** Ends the ring: subscribers drain what is in it and are then told. Frames not published are lost. Idempotent. */
  close(): void {
    const handle = this.#handle;
    if (handle === undefined) return;
    for (const frame of this.#frames) frame.close();
    this.#handle = undefined;
    offWake(handle);
    const unreachable = this.#views.detach();
    this.#symbols.cuframes_publisher_close(handle, unreachable ? 0 : 1);
    this.#room.fail(this.#isClosed());
  }

  /** Same as {@linkcode Publisher.close}. */
  [Symbol.dispose](): void {
    this.close();
  }

  #open(): number {
    if (this.#handle === undefined) throw this.#isClosed();
    return this.#handle;
  }

  #isClosed(): CuframesError {
    return new CuframesError(
      "DISCONNECTED",
      `the publisher ${this.key} is closed, and its frames with it: create one again to go on`,
    );
  }
}

/** What a frame asks of its publisher. */
interface Owner {
  readonly geometry: RingGeometry;
  /** Throws when the publisher is closed. */
  check(): void;
  planes(slot: number): Plane[];
  address(slot: number): bigint;
  upload(slot: number, bytes: Uint8Array): void;
  download(slot: number, stream: bigint | undefined, bytes: Uint8Array): void;
  copyFrom(slot: number, source: Struct): void;
  copyImage(slot: number, image: ImportedImage, options: ImageCopyOptions): void;
  publish(slot: number, init: FrameInit): bigint;
  abandon(slot: number): void;
  forget(frame: WritableFrame): void;
}

/**
 * A slot that nobody else can see yet. Fill it, then publish it, once; or close it to give it back.
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
export class WritableFrame implements Disposable {
  readonly #owner: Owner;
  readonly #slot: number;
  #planes: Plane[] | undefined;
  #stream: bigint | undefined;
  #closed = false;

  /** @internal Made by {@linkcode Publisher.acquire}. */
  constructor(owner: Owner, slot: number) {
    this.#owner = owner;
    this.#slot = slot;
  }

  /** Pixel format. */
  get format(): PixelFormat {
    return this.#owner.geometry.format;
  }

  /** Width in pixels. */
  get codedWidth(): number {
    return this.#owner.geometry.codedWidth;
  }

  /** Height in pixels. */
  get codedHeight(): number {
    return this.#owner.geometry.codedHeight;
  }

  /**
   * The slot's memory, to be written in place. It holds what an earlier frame left there. Not to be touched after
   * publish: subscribers read it then.
   */
  get planes(): readonly Plane[] {
    this.#check("use");
    return this.#planes ??= this.#owner.planes(this.#slot);
  }

  /** On a GPU the slot's CUdeviceptr, where plane 0 begins; undefined on host memory. */
  get devicePointer(): bigint | undefined {
    this.#check("use");
    return this.memory === "cuda" ? this.#owner.address(this.#slot) : undefined;
  }

  /** Where the pixels are. */
  get memory(): MemoryKind {
    return this.#owner.geometry.memory;
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
  copyFrom(picture: DevicePicture | ImportedImage, options: ImageCopyOptions = {}): void {
    this.#check("use");
    if (picture instanceof ImportedImage) return this.#copyImage(picture, options);
    const { stream } = picture;
    const devicePointer = checkHandle("devicePointer", "a CUdeviceptr", picture.devicePointer);
    const { format, codedWidth, codedHeight } = this.#owner.geometry;
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
    this.#owner.copyFrom(this.#slot, source);
    this.#stream = stream;
  }

  #copyImage(image: ImportedImage, options: ImageCopyOptions): void {
    const { plane, stream } = options;
    if (plane !== undefined) checkInteger("plane", plane, 0, this.#owner.geometry.planes.length - 1);
    if (stream !== undefined) checkHandle("stream", "a CUstream", stream);
    this.#owner.copyImage(this.#slot, image, options);
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
    const { format, codedWidth, codedHeight } = this.#owner.geometry;
    const { planes: copies, size } = planCopy(format, codedWidth, codedHeight);
    if (bytes.length !== size) {
      throw invalid(
        `${bytes.length} bytes for a frame: ${format} of ${codedWidth}×${codedHeight} without padding has ${size}`,
      );
    }
    if (this.memory === "cuda") {
      this.#owner.upload(this.#slot, bytes);
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
    const { format, codedWidth, codedHeight } = this.#owner.geometry;
    const { planes: copies, size } = planCopy(format, codedWidth, codedHeight);
    const bytes = new Uint8Array(size);
    if (this.memory === "cuda") this.#owner.download(this.#slot, this.#stream, bytes);
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
  publish(init: FrameInit = {}): bigint {
    this.#check("publish");
    const stream = init.stream ?? this.#stream;
    const sequence = this.#owner.publish(this.#slot, stream === undefined ? init : { ...init, stream });
    this.#end();
    return sequence;
  }

  /** Whether it was published or closed. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Gives the slot back unpublished; nothing after publish. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#end();
    this.#owner.abandon(this.#slot);
  }

  /** Same as {@linkcode WritableFrame.close}. */
  [Symbol.dispose](): void {
    this.close();
  }

  #end(): void {
    this.#closed = true;
    this.#planes = undefined;
    this.#owner.forget(this);
  }

  #check(verb: string): void {
    this.#owner.check();
    if (!this.#closed) return;
    throw invalid(`cannot ${verb} this frame: it was published or closed; acquire another`);
  }
}
