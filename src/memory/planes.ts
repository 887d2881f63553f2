// The planes of a frame, in host memory or on a GPU.

import { CuframesError, type PlaneLayout } from "../core/mod.ts";
import type { PlaneGeometry, RingGeometry } from "./geometry.ts";

/**
 * One plane of a frame, in place.
 *
 * @example
 * ```ts
 * import { Subscriber } from "@cuframes/core";
 *
 * using camera = await Subscriber.connect("cam-parking");
 * using frame = await camera.next();
 * for (const { data, stride, rows } of frame.planes) console.log(data.length, stride, rows);
 * ```
 */
export interface Plane extends PlaneLayout {
  /** Rows of this plane: for 4:2:0 chroma half the frame's, rounded up. */
  readonly rows: number;
  /**
   * On host memory the plane's `stride × rows` bytes; empty once the frame is closed and its ring is gone. Not to be
   * transferred (`postMessage`, `structuredClone`): the other thread would see the slot's next frames, and the ring would
   * stay in memory until the process ends. Reading it on a GPU throws `UNSUPPORTED`.
   */
  readonly data: Uint8Array<ArrayBuffer>;
  /** On a GPU the plane's CUdeviceptr; undefined on host memory. */
  readonly devicePointer: bigint | undefined;
}

/** A plane that the CPU cannot reach. */
export class DevicePlane implements Plane {
  readonly offset: number;
  readonly stride: number;
  readonly rows: number;
  readonly devicePointer: bigint;

  constructor({ offset, stride, rows }: PlaneGeometry, devicePointer: bigint) {
    this.offset = offset;
    this.stride = stride;
    this.rows = rows;
    this.devicePointer = devicePointer;
  }

  get data(): never {
    throw new CuframesError(
      "UNSUPPORTED",
      "this plane is on a GPU: use devicePointer there, or toHost() or copyTo() for a copy here",
    );
  }
}

/** The planes of a whole frame, which is in host memory. */
export function planesIn(buffer: ArrayBuffer, geometry: RingGeometry): Plane[] {
  return geometry.planes.map(({ offset, stride, rows }) => ({
    offset,
    stride,
    rows,
    data: new Uint8Array(buffer, offset, stride * rows),
    devicePointer: undefined,
  }));
}
