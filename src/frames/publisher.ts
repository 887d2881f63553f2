// The publishing side's public object: options, waiting for a slot, counters.

import { WaitQueue } from "../connect/mod.ts";
import {
  checkChoice,
  checkOptions,
  CuframesError,
  ERROR_CODES,
  invalid,
  isCuframesError,
  MEMORY_KINDS,
  optionNames,
  type PixelFormat,
  WAIT_OPTIONS,
  type WaitOptions,
} from "../core/mod.ts";
import {
  closedInTime,
  closeWhenCollected,
  nativeError,
  openedHere,
  PublisherStats as StatsLayout,
} from "../ffi/mod.ts";
import type { MemoryKind, PlaneGeometry } from "../memory/mod.ts";
import {
  DataWriter,
  type EncodedTrack,
  encodeTrack,
  type PacketRingOptions,
  PacketRingWriter,
  type TrackOptions,
  VALUE_SIZE_MAX,
  videoTrack,
} from "../packets/mod.ts";
import type { FrameInit } from "./frame_init.ts";
import { Publication } from "./publication.ts";
import type { PublisherEvent } from "./publisher_event.ts";
import { PUBLISHER_OPTIONS, type PublisherOptions, type TrackPublisherOptions } from "./publisher_options.ts";
import { WritableFrame } from "./writable_frame.ts";

const ACQUIRE_OPTIONS = optionNames<{ timeout?: number }>({ timeout: true });

/** Counters of a publisher. */
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
  /** Slots in the ring now. */
  slots: number;
  /** Slots' memories that left the ring and that subscribers have not let go of. */
  slotsOutside: number;
  /** Subscribers evicted so far. */
  evictions: number;
  /** Bytes that both may take. */
  memoryLimit: number;
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
  readonly #publication: Publication;
  /** Milliseconds that `acquire` waits by default. */
  readonly #timeout: number;
  /** Milliseconds that `acquireAsync` waits by default. */
  readonly #patience: number;
  /** Those who wait for a free slot. */
  readonly #room: WaitQueue<WritableFrame>;
  readonly #onEvent: ((event: PublisherEvent) => void) | undefined;
  readonly #tracks: PacketRingWriter[] = [];
  readonly #data = new Map<string, DataWriter>();

  private constructor(options: PublisherOptions | TrackPublisherOptions, memory: MemoryKind) {
    const { policy = "drop-oldest", timeout = 1000, onEvent } = frameOptions(options);
    const opened = openedHere();
    const tracks = [
      ...(options.packets === undefined ? [] : [videoTrack(options.packets)]),
      ...(options.tracks ?? []),
    ].map(encodeTrack);
    const publication = new Publication(options, memory, tracks, opened);
    endWhenCollected(this, publication, opened);
    this.key = publication.key;
    this.memory = memory;
    this.#publication = publication;
    this.#onEvent = onEvent;
    for (const [index, track] of tracks.entries()) this.#writerOf(index, track);
    this.#timeout = policy === "wait" ? timeout : 0;
    this.#patience = policy === "wait" ? timeout : Infinity;
    this.#room = new WaitQueue(
      `free slot of ${this.key}`,
      () => this.#tryAcquire(),
      () => publication.arm(),
    );
    publication.onFreeSlot(this.#room);
  }

  /**
   * Takes the key and makes the ring.
   *
   * @throws {CuframesError} `INVALID_ARGUMENT`, `FORMAT`: an option is wrong; `ALREADY_EXISTS`: somebody
   * publishes under this key; `PERMISSION`, `NOT_FOUND`, `IO`: the runtime directory cannot be made or used; `OUT_OF_MEMORY`;
   * `UNSUPPORTED`, `CUDA`: CUDA was asked for and cannot be used
   */
  static create(options: PublisherOptions | TrackPublisherOptions): Publisher {
    options = checkOptions(options, PUBLISHER_OPTIONS);
    const { memory = "host" } = frameOptions(options);
    checkChoice("memory", memory, { ...MEMORY_KINDS, auto: -1 });
    if (memory !== "auto") return new Publisher(options, memory);
    try {
      return new Publisher(options, "cuda");
    } catch (error) {
      if (!isCuframesError(error, "UNSUPPORTED", "CUDA")) throw error;
      return new Publisher(options, "host");
    }
  }

  /** The GPU the frames are on, as `"GPU-<uuid>"`; undefined on host memory. */
  get device(): string | undefined {
    return this.#publication.geometry.device;
  }

  /** Pixel format of every frame. */
  get format(): PixelFormat {
    return this.#publication.geometry.format;
  }

  /** Width of every frame in pixels. */
  get codedWidth(): number {
    return this.#publication.geometry.codedWidth;
  }

  /** Height of every frame in pixels. */
  get codedHeight(): number {
    return this.#publication.geometry.codedHeight;
  }

  /** Slots in the ring now: it grows and shrinks with what subscribers hold. */
  get slots(): number {
    return this.stats().slots;
  }

  /** Slots that the ring may grow to. */
  get maxSlots(): number {
    return this.#publication.geometry.maxSlots;
  }

  /** Where the planes are in every frame. */
  get planes(): readonly PlaneGeometry[] {
    return this.#publication.geometry.planes;
  }

  /**
   * Leases a free slot to fill. Under the policy `"drop-oldest"` there is one, whatever subscribers hold: the ring grows, and
   * the subscriber that holds most, longest, is evicted at the end of that. Under the policy `"wait"` this blocks the thread
   * until there is one, at most for `timeout` milliseconds (default: the publisher's); {@linkcode Publisher.acquireAsync}
   * does not block.
   *
   * @throws {CuframesError} `WOULD_BLOCK`: every slot is held, by unpublished frames of this publisher under
   * `"drop-oldest"`, or no memory can be had; `TIMEOUT`: and stayed so; `DISCONNECTED`: closed.
   */
  acquire(options?: { timeout?: number }): WritableFrame {
    const { timeout = this.#timeout } = checkOptions(options, ACQUIRE_OPTIONS);
    const slot = this.#publication.acquire(timeout);
    if (slot < 0) throw this.#noSlot(slot, timeout);
    return this.#writable(slot);
  }

  /**
   * As {@linkcode Publisher.acquire}, without blocking the event loop, under either policy. While it waits the process
   * stays alive.
   *
   * @throws {CuframesError} `TIMEOUT`: every slot stayed held; `WOULD_BLOCK` with a time-out of 0; `DISCONNECTED`: closed.
   */
  async acquireAsync(options?: WaitOptions): Promise<WritableFrame> {
    const { timeout = this.#patience, signal } = checkOptions(options, WAIT_OPTIONS);
    return await this.#room.wait(signal === undefined ? { timeout } : { timeout, signal });
  }

  #tryAcquire(): WritableFrame | undefined {
    const slot = this.#publication.tryAcquire();
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
        `${held}: give the ring more slots (it has ${this.slots} of at most ${this.maxSlots}) or close frames sooner`,
      );
    }
    if (result === ERROR_CODES.TIMEOUT) return new CuframesError("TIMEOUT", `${held} for ${timeout} ms`);
    return nativeError(result, `acquiring a slot of ${this.key}`);
  }

  #writable(slot: number): WritableFrame {
    if (this.#onEvent) this.#tell(this.#onEvent, slot);
    const frame = new WritableFrame(this.#publication, slot, this);
    this.#publication.add(frame, slot);
    return frame;
  }

  /** A listener that throws costs no slot. */
  #tell(listener: (event: PublisherEvent) => void, slot: number): void {
    try {
      for (const event of this.#publication.events()) listener(event);
    } catch (error) {
      this.#publication.cancel(slot);
      throw error;
    }
  }

  /**
   * Makes a filled frame visible to every subscriber; the frame is closed by it. Same as `frame.publish(init)`.
   *
   * @returns the frame's sequence: 1 for the first, and one more each time
   * @throws {CuframesError} `INVALID_ARGUMENT`: published or closed already, or a wrong `init`; `DISCONNECTED`
   */
  publish(frame: WritableFrame, init?: FrameInit): bigint {
    if (frame.publisher !== this && !frame.closed) {
      throw invalid("this frame was acquired from another publisher");
    }
    return frame.publish(init);
  }

  /**
   * Adds a track: encoded pictures, sound or data, each in a ring of its own, for consumers that record, play or draw.
   * Subscribers that are connected get it too. A publisher has up to 8 tracks, as long as it lives.
   *
   * @throws {CuframesError} `INVALID_ARGUMENT`; `WOULD_BLOCK`: there are 8 already; `OUT_OF_MEMORY`; `DISCONNECTED`: closed
   *
   * @example
   * ```ts
   * import { Publisher } from "@cuframes/core";
   *
   * using publisher = Publisher.create({ key: "cam-parking", width: 1280, height: 720, packets: { codec: "h264" } });
   * const sound = publisher.addTrack({ kind: "audio", codec: "opus", sampleRate: 48_000, numberOfChannels: 2 });
   * sound.write({ type: "key", timestamp: 0, data: new Uint8Array([0xfc, 0xff, 0xfe]) });
   * ```
   */
  addTrack(options: TrackOptions): PacketRingWriter {
    const track = encodeTrack(options);
    return this.#writerOf(this.#publication.addTrack(track), track);
  }

  #writerOf(index: number, track: EncodedTrack): PacketRingWriter {
    return this.#tracks[index] = new PacketRingWriter(this.#publication, index, track, this);
  }

  /** Every track, by its number. */
  get tracks(): readonly PacketRingWriter[] {
    return [...this.#tracks];
  }

  /**
   * The data track of this label, which is made where there is none: values that JSON can say, of up to 1 MiB each.
   * Subscribers read them with `Subscriber.data`.
   *
   * @throws {CuframesError} as {@linkcode Publisher.addTrack}
   */
  data(label: string): DataWriter {
    const known = this.#data.get(label);
    if (known !== undefined) return known;
    if (label === "") throw invalid("a data track needs a label, which it is found by");
    const writer = this.addTrack({ kind: "data", codec: "json", label, maxPacketSize: VALUE_SIZE_MAX });
    const data = new DataWriter(label, writer);
    this.#data.set(label, data);
    return data;
  }

  /**
   * Adds the track of encoded pictures, where it was not made with the publisher ({@linkcode PublisherOptions.packets}).
   * Subscribers that are connected get it too.
   *
   * @throws {CuframesError} `ALREADY_EXISTS`: there is one; else as {@linkcode Publisher.addTrack}
   */
  enablePackets(options: PacketRingOptions): PacketRingWriter {
    const track = videoTrack(options);
    if (this.packets !== undefined) {
      throw new CuframesError(
        "ALREADY_EXISTS",
        `the publisher ${this.key} has a packet ring already: addTrack adds another`,
      );
    }
    return this.addTrack(track);
  }

  /** The first track of encoded pictures, where there is one: see {@linkcode PublisherOptions.packets}. */
  get packets(): PacketRingWriter | undefined {
    return this.#tracks.find(({ kind }) => kind === "video");
  }

  /** Counters so far. */
  stats(): PublisherStats {
    const struct = this.#publication.stats();
    return {
      published: struct.count(StatsLayout.published),
      packetsPublished: struct.count(StatsLayout.packetsPublished),
      subscribers: struct.u32(StatsLayout.subscribers),
      slotsLeased: struct.u32(StatsLayout.slotsLeased),
      rejected: struct.u32(StatsLayout.rejected),
      failed: struct.u32(StatsLayout.failed),
      slots: struct.u32(StatsLayout.slots),
      slotsOutside: struct.u32(StatsLayout.slotsOutside),
      evictions: struct.u32(StatsLayout.evictions),
      memoryLimit: struct.count(StatsLayout.memoryLimit),
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
    return this.#publication.closed;
  }

  /** Ends the ring: subscribers drain what is in it and are then told. Frames not published are lost. Idempotent. */
  close(): void {
    if (this.closed) return;
    closedInTime(this);
    this.#publication.close();
    this.#room.fail(this.#publication.disconnected());
  }

  /** Same as {@linkcode Publisher.close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** What concerns frames; nothing, where there are none. */
function frameOptions(options: PublisherOptions | TrackPublisherOptions): Partial<PublisherOptions> {
  return options.frames === false ? {} : options;
}

function endWhenCollected(publisher: Publisher, publication: Publication, opened: string): void {
  closeWhenCollected(publisher, "Publisher", opened, () => publication.close());
}
