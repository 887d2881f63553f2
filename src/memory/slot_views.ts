// The slots of a ring as this process sees them.

import { NativeBuffers } from "./native_buffers.ts";
import type { RingGeometry } from "./geometry.ts";
import { DevicePlane, type Plane, planesIn } from "./planes.ts";

/** The slots of a ring in this process. */
export class SlotViews {
  readonly #geometry: RingGeometry;
  readonly #address: (slot: number) => bigint;
  readonly #buffers = new NativeBuffers();

  constructor(geometry: RingGeometry, address: (slot: number) => bigint) {
    this.#geometry = geometry;
    this.#address = address;
  }

  /** A slot's bytes, on host memory. */
  buffer(slot: number): ArrayBuffer {
    return this.#buffers.at(slot, () => this.#address(slot), this.#geometry.frameSize);
  }

  /** Where a slot is: an address of the host or of the device. */
  address(slot: number): bigint {
    return this.#address(slot);
  }

  /** A slot's planes, wherever they are. */
  planes(slot: number): Plane[] {
    if (this.#geometry.memory === "cuda") {
      const start = this.#address(slot);
      return this.#geometry.planes.map((plane) => new DevicePlane(plane, start + BigInt(plane.offset)));
    }
    return planesIn(this.buffer(slot), this.#geometry);
  }

  /** See {@linkcode NativeBuffers.handOut}. */
  handOut(buffer: ArrayBuffer, keeper: object): void {
    this.#buffers.handOut(buffer, keeper);
  }

  /** See {@linkcode NativeBuffers.detach}. */
  detach(): boolean {
    return this.#buffers.detach();
  }
}
