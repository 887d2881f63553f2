// The publishing side's native object, as connect/connection.ts is the reading side's.

import { waitInSlices } from "../connect/mod.ts";
import {
  checkChoice,
  checkDimension,
  checkHandle,
  checkInteger,
  CuframesError,
  FLAG_CORRUPT,
  FLAG_DISCONTINUITY,
  formatCode,
  invalid,
  MEMORY_KINDS,
  METADATA_SIZE_MAX,
  nanoseconds,
  POLICIES,
  shown,
  SLOTS_MAX,
  SLOTS_MIN,
  timeoutMilliseconds,
} from "../core/mod.ts";
import {
  checked,
  isOver,
  library,
  type NativeSymbols,
  offWake,
  onWake,
  PacketOptions,
  PublisherEvent as EventLayout,
  PublisherOptions as Layout,
  PublisherStats as StatsLayout,
  PublishRecord,
  RingInfo,
  Struct,
  type Wakeable,
} from "../ffi/mod.ts";
import type { ImportedImage } from "../images/mod.ts";
import {
  type HeldFrame,
  HeldFrames,
  type MemoryKind,
  readGeometry,
  type RingGeometry,
  setDevice,
  setPlace,
  SlotViews,
} from "../memory/mod.ts";
import type { EncodedTrack } from "../packets/mod.ts";
import type { FrameInit, ImageCopyOptions } from "./frame_init.ts";
import { PictureEncoder } from "./picture_init.ts";
import { type PublisherEvent, readEvent } from "./publisher_event.ts";
import type { PublisherOptions, TrackPublisherOptions } from "./publisher_options.ts";

/** A ring of frames under its key, from the native library's publisher: its slots, and every call that concerns one. */
export class Publication {
  /** The name subscribers connect to. */
  readonly key: string;
  readonly geometry: RingGeometry;
  readonly views: SlotViews;
  readonly #symbols: NativeSymbols;
  /** What each publish passes to native code, and is passed back. */
  readonly #record: Struct = new Struct(PublishRecord.SIZE);
  readonly #picture: PictureEncoder;
  /** The frames that are acquired and neither published nor closed, by slot. */
  readonly #frames: HeldFrames;
  #handle: number | undefined;

  /**
   * Takes the key and makes the ring.
   *
   * @param memory where the frames live; `options.memory` may have left that open
   * @param tracks the options of those that it begins with
   * @param opened where the publisher was made
   */
  constructor(
    options: PublisherOptions | TrackPublisherOptions,
    memory: MemoryKind,
    tracks: readonly EncodedTrack[],
    opened: string,
  ) {
    const { key } = options;
    const { symbols } = library();
    const struct = encodeOptions(options, memory);
    const info = new Struct(RingInfo.SIZE);
    const begun = new Uint8Array(tracks.length * PacketOptions.SIZE);
    for (const [index, track] of tracks.entries()) begun.set(track.struct.bytes, index * PacketOptions.SIZE);
    const handle = checked(
      symbols.cuframes_publisher_create(
        struct.bytes,
        tracks.length === 0 ? null : begun,
        tracks.length,
        info.bytes,
      ),
      `creating the publisher ${key}`,
    );
    this.key = key;
    this.geometry = readGeometry(info);
    this.#picture = new PictureEncoder(this.#record, this.geometry);
    this.views = new SlotViews(
      this.geometry,
      (slot) => symbols.cuframes_publisher_slot_address(handle, slot),
    );
    this.#symbols = symbols;
    this.#handle = handle;
    this.#frames = new HeldFrames("WritableFrame", opened, (slot) => {
      this.#frames.remove(slot);
      this.cancel(slot);
    });
  }

  /** The native publisher; throws when it is closed. */
  get handle(): number {
    if (this.#handle === undefined) throw this.disconnected();
    return this.#handle;
  }

  /** Whether `close` was called. */
  get closed(): boolean {
    return this.#handle === undefined;
  }

  /** Throws when the publisher is closed. */
  check(): void {
    if (this.#handle === undefined) throw this.disconnected();
  }

  /** The error of whatever is asked of a closed publisher. */
  disconnected(): CuframesError {
    return new CuframesError(
      "DISCONNECTED",
      `the publisher ${this.key} is closed, and its frames with it: create one again to go on`,
    );
  }

  /** Counts a frame as acquired, so that it ends with the publisher. */
  add(frame: HeldFrame, slot: number): void {
    this.#frames.add(slot, frame);
  }

  /** Says that a frame was published or closed. */
  remove(slot: number): void {
    this.#frames.remove(slot);
  }

  /** Leases a free slot, blocking for so many milliseconds at most. Returns its number, or a native error. */
  acquire(timeout: number): number {
    if (timeout === 0) return this.tryAcquire();
    const { handle } = this;
    this.#frames.loosen();
    return waitInSlices(
      timeoutMilliseconds("timeout", timeout),
      (milliseconds) => this.#symbols.cuframes_publisher_acquire(handle, milliseconds),
    );
  }

  /** Leases a slot if one is free now. Returns its number, or a native error. */
  tryAcquire(): number {
    this.#frames.loosen();
    return this.#symbols.cuframes_publisher_acquire(this.handle, 0);
  }

  /** Notifies `listener` on the event loop whenever a slot may be free, once for each `arm`. */
  onFreeSlot(listener: Wakeable): void {
    onWake(this.handle, listener);
  }

  /** Asks for the listener to be called when a slot may be free. */
  arm(): void {
    checked(
      this.#symbols.cuframes_publisher_arm(this.handle, library().wake),
      `waiting for a slot of ${this.key}`,
    );
  }

  /** Makes a slot visible to subscribers. Returns the frame's sequence. */
  publish(slot: number, init: FrameInit): bigint {
    const { handle } = this;
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
    record.setI64(PublishRecord.captureTimeNs, captureTimeOf(init));
    this.#picture.encode(init);
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

  /** Cancels a slot that was acquired: it is free again, unpublished. */
  cancel(slot: number): void {
    if (isOver()) return;
    checked(
      this.#symbols.cuframes_publisher_cancel(this.handle, slot),
      `cancelling a frame of ${this.key}`,
    );
  }

  /** Copies bytes to a slot that is on a GPU. */
  upload(slot: number, bytes: Uint8Array): void {
    checked(
      this.#symbols.cuframes_publisher_upload(this.handle, slot, bytes, bytes.length),
      `writing a frame of ${this.key}`,
    );
  }

  /** Copies a slot that is on a GPU to `bytes`, once the stream's work so far is done. */
  download(slot: number, stream: bigint | undefined, bytes: Uint8Array): void {
    checked(
      this.#symbols.cuframes_publisher_download(
        this.handle,
        slot,
        stream ?? 0n,
        stream === undefined ? 0 : 1,
        bytes,
        bytes.length,
      ),
      `reading back a frame of ${this.key}`,
    );
  }

  /** Queues a copy of planes that are on the same GPU. */
  copyFrom(slot: number, source: Struct): void {
    checked(
      this.#symbols.cuframes_publisher_copy_from(this.handle, slot, source.bytes),
      `copying into a frame of ${this.key}`,
    );
  }

  /** Copies an imported image to a slot. */
  copyImage(slot: number, image: ImportedImage, { plane = -1, stream }: ImageCopyOptions): void {
    checked(
      this.#symbols.cuframes_publisher_copy_image(
        this.handle,
        slot,
        image.handle,
        plane,
        stream ?? 0n,
        stream === undefined ? 0 : 1,
      ),
      `copying an image into a frame of ${this.key}`,
    );
  }

  /** Adds a track; returns its number. */
  addTrack({ struct }: EncodedTrack): number {
    return checked(
      this.#symbols.cuframes_publisher_add_track(this.handle, struct.bytes),
      `adding a track to ${this.key}`,
    );
  }

  /** What has happened to the ring and was not told yet, in order. */
  *events(): Generator<PublisherEvent, void, void> {
    const struct = new Struct(EventLayout.SIZE);
    while (this.#symbols.cuframes_publisher_next_event(this.handle, struct.bytes) === 0) {
      yield readEvent(struct);
    }
  }

  /** The publisher's counters, as the C struct. */
  stats(): Struct {
    const struct = new Struct(StatsLayout.SIZE);
    checked(
      this.#symbols.cuframes_publisher_stats(this.handle, struct.bytes),
      `reading the counters of ${this.key}`,
    );
    return struct;
  }

  /** Ends the ring and every frame that is acquired. Idempotent. */
  close(): void {
    const handle = this.#handle;
    if (handle === undefined) return;
    this.#frames.close();
    this.#handle = undefined;
    offWake(handle);
    const unreachable = this.views.detach();
    this.#symbols.cuframes_publisher_close(handle, unreachable ? 0 : 1);
  }
}

/** As the record has it: 0 is not known. */
function captureTimeOf({ captureTime, captureTimeNs }: FrameInit): bigint {
  if (captureTime === undefined && captureTimeNs === undefined) return 0n;
  const time = nanoseconds("captureTime", captureTime ?? undefined, captureTimeNs ?? undefined) ?? 0n;
  if (time < 0n) throw invalid(`captureTime is ${time} ns: it must be UTC since 1970`);
  return time;
}

/** Slots that a ring begins with, and that it grows to, where the options leave that open. */
const SLOTS = 8;
const MAX_SLOTS = 32;

/** Checks the options and writes them as the C struct. */
function encodeOptions(options: PublisherOptions | TrackPublisherOptions, memory: MemoryKind): Struct {
  const struct = new Struct(Layout.SIZE);
  setPlace(struct, Layout, Layout.format - Layout.directory, options.key, options.runtimeDirectory);
  struct.setU32(Layout.socketMode, checkInteger("socketMode", options.socketMode ?? 0o660, 0, 0o777));
  const { frames = true } = options;
  if (typeof frames !== "boolean") throw invalid(`frames is ${shown(frames)}: it must be true or false`);
  if (options.frames === false) struct.setU32(Layout.packetsOnly, 1);
  else encodeFrames(struct, options, memory);
  return struct;
}

function encodeFrames(struct: Struct, options: PublisherOptions, memory: MemoryKind): void {
  const { width, height, format = "NV12", policy = "drop-oldest", memoryLimit = 0 } = options;
  const maxSlots = options.maxSlots ?? Math.max(options.slots ?? 0, MAX_SLOTS);
  const slots = options.slots ?? Math.min(SLOTS, maxSlots);
  struct.setU32(Layout.format, formatCode(format));
  struct.setU32(Layout.width, checkDimension("width", width));
  struct.setU32(Layout.height, checkDimension("height", height));
  struct.setU32(Layout.slots, checkInteger("slots", slots, SLOTS_MIN, SLOTS_MAX));
  struct.setU32(Layout.maxSlots, checkInteger("maxSlots", maxSlots, slots, SLOTS_MAX));
  struct.setU64(
    Layout.memoryLimit,
    BigInt(checkInteger("memoryLimit", memoryLimit, 0, Number.MAX_SAFE_INTEGER)),
  );
  struct.setU32(Layout.policy, checkChoice("policy", policy, POLICIES));
  struct.setU32(Layout.memory, MEMORY_KINDS[memory]);
  setDevice(struct, Layout.device, Layout.memoryLimit - Layout.device, options.device);
  timeoutMilliseconds("timeout", options.timeout ?? 0);
}
