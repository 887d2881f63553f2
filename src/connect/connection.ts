// One connection of this process to one publisher, and what is held through it.

import { LEASES_MAX } from "../core/mod.ts";
import {
  checked,
  isOver,
  library,
  type NativeSymbols,
  offWake,
  Struct,
  SubscriberStats as StatsLayout,
} from "../ffi/mod.ts";
import {
  type HeldFrame,
  HeldFrames,
  NativeBuffers,
  readGeometry,
  type RingGeometry,
  SlotViews,
} from "../memory/mod.ts";
import type { Connected } from "./connect.ts";

/** A connection that lasts so long was none that its publisher hung up at once. */
const LASTING_MS = 1000;

/**
 * One connection to a publisher. It outlives its publisher for as long as somebody uses it: whoever reads its frames
 * or packets, and every frame that is held.
 */
export class Connection {
  readonly handle: number;
  readonly geometry: RingGeometry;
  readonly views: SlotViews;
  readonly #symbols: NativeSymbols;
  /** The frames that are held, by lease. */
  readonly #frames: HeldFrames;
  /** The library's page-locked copies of GPU frames, made once each. */
  readonly #hostBuffers = new NativeBuffers();
  /** Whether it has delivered a frame or a packet. */
  delivered = false;
  readonly #madeAt = performance.now();
  #readers = 0;
  #closed = false;

  /** How many connections its subscriber had before it. */
  readonly ordinal: number;

  /** @param opened where its subscriber was connected @param ordinal as {@linkcode Connection.ordinal} */
  constructor({ handle, info }: Connected, opened: string, ordinal: number) {
    const { symbols } = library();
    this.handle = handle;
    this.ordinal = ordinal;
    this.geometry = readGeometry(info);
    this.views = new SlotViews(
      this.geometry,
      (slot) => symbols.cuframes_subscriber_slot_address(handle, slot),
    );
    this.#symbols = symbols;
    this.#frames = new HeldFrames("frame", opened, (lease) => this.release(lease));
  }

  /** Whether it was worth making: it has delivered something, or has lasted. */
  get worthwhile(): boolean {
    return this.delivered || performance.now() - this.#madeAt >= LASTING_MS;
  }

  /** Counts a reader of its frames or packets. */
  join(): this {
    this.#readers++;
    return this;
  }

  /** Says that a reader is done with this connection. */
  leave(): void {
    this.#readers--;
    this.#closeIfUnused();
  }

  /** Says that all its readers were collected. */
  abandon(): void {
    this.#readers = 0;
    this.#closeIfUnused();
  }

  /** Remembers a frame, to close it with the connection. */
  keep(frame: HeldFrame, lease: number): void {
    this.#frames.add(lease, frame);
  }

  /** Says that the next frame is asked for: one that nobody can reach any more is closed from now on. */
  loosen(): void {
    this.#frames.loosen();
  }

  /** Lets a buffer of pixels, and every view of it, keep a frame alive. */
  handOut(buffer: ArrayBuffer, frame: HeldFrame): void {
    if (this.geometry.memory === "host") this.views.handOut(buffer, frame);
    else this.#hostBuffers.handOut(buffer, frame);
  }

  /** Whether as many frames are held as may be, not counting those that are held only until the GPU has read them. */
  get full(): boolean {
    return this.#frames.size === LEASES_MAX;
  }

  /** A second lease on the same frame. */
  clone(lease: number): number {
    return checked(this.#symbols.cuframes_subscriber_clone(this.handle, lease), "cloning a frame");
  }

  /** Ends a lease; with a stream, once the stream's work so far is done. */
  release(lease: number, stream?: bigint): void {
    if (this.#closed || isOver()) return;
    const result = stream === undefined
      ? this.#symbols.cuframes_subscriber_release(this.handle, lease)
      : this.#symbols.cuframes_subscriber_release_when_done(this.handle, lease, stream);
    checked(result, "releasing a frame");
    this.#frames.remove(lease);
    this.#closeIfUnused();
  }

  /** Makes a dma-buf of a held frame; its descriptor is the caller's. */
  exportDmabuf(lease: number): number {
    return checked(
      this.#symbols.cuframes_subscriber_export_dmabuf(this.handle, lease),
      "exporting a frame as a dma-buf",
    );
  }

  /** A whole frame in host memory: the slot itself, or a copy that stays as it is while the lease lasts. */
  hostBuffer(slot: number, lease: number, refresh: boolean): ArrayBuffer {
    if (this.geometry.memory === "host") return this.views.buffer(slot);
    const address = new BigUint64Array(1);
    const result = this.#symbols.cuframes_subscriber_to_host(
      this.handle,
      lease,
      refresh ? 1 : 0,
      new Uint8Array(address.buffer),
    );
    const index = checked(result, "copying a frame from the GPU");
    return this.#hostBuffers.at(index, () => address[0]!, this.geometry.frameSize);
  }

  /** The subscriber's counters, as the C struct. */
  stats(): Struct {
    const struct = new Struct(StatsLayout.SIZE);
    checked(
      this.#symbols.cuframes_subscriber_stats(this.handle, struct.bytes),
      "reading the counters of a subscriber",
    );
    return struct;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** How many of its frames are held, those included whose release waits for the GPU. */
  get leases(): number {
    return this.#closed ? 0 : this.stats().u32(StatsLayout.held);
  }

  #closeIfUnused(): void {
    if (this.#readers === 0 && this.#frames.size === 0) this.close();
  }

  /** Closes the connection and its frames. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true; // first: the frames' leases end with the connection
    this.#frames.close();
    offWake(this.handle);
    const unreachable = [this.views, this.#hostBuffers].map((buffers) => buffers.detach()).every(Boolean);
    this.#symbols.cuframes_subscriber_close(this.handle, unreachable ? 0 : 1);
  }
}
