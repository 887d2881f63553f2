import { library } from "./ffi/library.ts";
import { PLANES_MAX, PlanePlace, RingInfo } from "./ffi/layout.ts";
import type { Struct } from "./ffi/struct.ts";
import { formatOfCode, type PixelFormat, type PlaneLayout } from "./format.ts";

/** One plane of a frame on host memory. */
export interface Plane extends PlaneLayout {
  /** Rows of this plane: for 4:2:0 chroma half the frame's, rounded up. */
  readonly rows: number;
  /** The plane's `stride × rows` bytes, in place. Empty once the frame is closed and its ring is gone. */
  readonly data: Uint8Array<ArrayBuffer>;
}

/** A plane's place in every slot of a ring. Bytes. */
export interface PlaneGeometry {
  readonly offset: number;
  readonly stride: number;
  readonly rows: number;
}

/** What both ends of a ring know of it. */
export interface RingGeometry {
  readonly format: PixelFormat;
  readonly codedWidth: number;
  readonly codedHeight: number;
  readonly slots: number;
  readonly planes: readonly PlaneGeometry[];
  /** Bytes from the first plane's begin to the last one's end. */
  readonly frameSize: number;
  readonly publisherPid: number;
}

export function readGeometry(info: Struct): RingGeometry {
  const planes = Array.from({ length: Math.min(info.u32(RingInfo.geometryPlaneCount), PLANES_MAX) }, (_, index) => {
    const base = RingInfo.geometryPlanes + index * PlanePlace.SIZE;
    return {
      offset: info.count(base + PlanePlace.offset),
      stride: info.u32(base + PlanePlace.stride),
      rows: info.u32(base + PlanePlace.rows),
    };
  });
  return {
    format: formatOfCode(info.u32(RingInfo.geometryFormat)),
    codedWidth: info.u32(RingInfo.geometryWidth),
    codedHeight: info.u32(RingInfo.geometryHeight),
    slots: info.u32(RingInfo.slotCount),
    planes,
    frameSize: info.count(RingInfo.geometryFrameSize),
    publisherPid: info.count(RingInfo.publisherPid),
  };
}

/**
 * The slots of a ring as ArrayBuffers, made once each. `detach` empties them, and every view that was ever taken
 * of them, so that nothing can reach the memory after it is unmapped.
 */
export class SlotViews {
  readonly #geometry: RingGeometry;
  readonly #address: (slot: number) => bigint;
  readonly #buffers: (ArrayBuffer | undefined)[];

  constructor(geometry: RingGeometry, address: (slot: number) => bigint) {
    this.#geometry = geometry;
    this.#address = address;
    this.#buffers = new Array(geometry.slots).fill(undefined);
  }

  buffer(slot: number): ArrayBuffer {
    return this.#buffers[slot] ??= library().runtime.view(this.#address(slot), this.#geometry.frameSize);
  }

  planes(slot: number): Plane[] {
    const buffer = this.buffer(slot);
    return this.#geometry.planes.map(({ offset, stride, rows }) => ({
      offset,
      stride,
      rows,
      data: new Uint8Array(buffer, offset, stride * rows),
    }));
  }

  detach(): void {
    for (const [slot, buffer] of this.#buffers.entries()) {
      buffer?.transfer(0);
      this.#buffers[slot] = undefined;
    }
  }
}
