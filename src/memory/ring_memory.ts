import {
  CuframesError,
  formatOfCode,
  MEMORY_KINDS,
  type PixelFormat,
  type PlaneCopy,
  type PlaneLayout,
  PLANES_MAX,
  UUID_SIZE,
} from "../core/mod.ts";
import { library, PlanePlace, RingInfo, type Struct } from "../ffi/mod.ts";

/**
 * Where frames live.
 *
 * @example
 * ```ts
 * import { Subscriber } from "@cuframes/core";
 *
 * using camera = await Subscriber.connect("cam-parking");
 * if (camera.memory === "cuda") console.log(camera.device);
 * ```
 */
export type MemoryKind = keyof typeof MEMORY_KINDS;

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

/**
 * A plane's place in every slot of a ring. Bytes.
 *
 * @example
 * ```ts
 * import { Publisher } from "@cuframes/core";
 *
 * using publisher = Publisher.create({ key: "cam-parking", width: 1280, height: 720 });
 * for (const { offset, stride, rows } of publisher.planes) console.log(offset, stride, rows);
 * ```
 */
export interface PlaneGeometry {
  /** From the slot's first byte to the plane's. */
  readonly offset: number;
  /** From one row to the next. */
  readonly stride: number;
  /** How many rows there are. */
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
  readonly memory: MemoryKind;
  /** `"GPU-<uuid>"`; undefined on host memory. */
  readonly device: string | undefined;
}

export function readGeometry(info: Struct): RingGeometry {
  const planes = Array.from(
    { length: Math.min(info.u32(RingInfo.geometryPlaneCount), PLANES_MAX) },
    (_, index) => {
      const base = RingInfo.geometryPlanes + index * PlanePlace.SIZE;
      return {
        offset: info.count(base + PlanePlace.offset),
        stride: info.u32(base + PlanePlace.stride),
        rows: info.u32(base + PlanePlace.rows),
      };
    },
  );
  return {
    format: formatOfCode(info.u32(RingInfo.geometryFormat)),
    codedWidth: info.u32(RingInfo.geometryWidth),
    codedHeight: info.u32(RingInfo.geometryHeight),
    slots: info.u32(RingInfo.slotCount),
    planes,
    frameSize: info.count(RingInfo.geometryFrameSize),
    publisherPid: info.count(RingInfo.publisherPid),
    ...(info.u32(RingInfo.memory) === MEMORY_KINDS.cuda
      ? {
        memory: "cuda",
        device: deviceName(info.bytes.subarray(RingInfo.device, RingInfo.device + UUID_SIZE)),
      }
      : { memory: "host", device: undefined }),
  };
}

/** A CUDA device's UUID as CUDA_VISIBLE_DEVICES and nvidia-smi write it. */
export function deviceName(uuid: Uint8Array): string {
  const digits = [...uuid].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `GPU-${digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-")}`;
}

/** A plane that the CPU cannot reach. */
class DevicePlane implements Plane {
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

/** Native memory as ArrayBuffers, made once each. */
export class NativeBuffers {
  readonly #buffers = new Map<number, ArrayBuffer>();
  #escaped = false;

  /** The one of that number; `address` is asked when it is to be made. */
  at(index: number, address: () => bigint, size: number): ArrayBuffer {
    const made = this.#buffers.get(index);
    if (made !== undefined && !made.detached) return made;
    if (made !== undefined) this.#escaped = true;
    const buffer = library().runtime.view(address(), size);
    this.#buffers.set(index, buffer);
    return buffer;
  }

  /**
   * Empties them, and every view that was ever taken of them, so that nothing can reach the memory after it is
   * unmapped. False where that cannot be: one was transferred, perhaps to another thread.
   */
  detach(): boolean {
    for (const buffer of this.#buffers.values()) {
      try {
        buffer.transfer(0);
      } catch {
        this.#escaped = true; // detached already, or marked as not to be
      }
    }
    this.#buffers.clear();
    return !this.#escaped;
  }
}

/** The slots of a ring in this process. */
export class SlotViews {
  readonly #geometry: RingGeometry;
  readonly #address: (slot: number) => bigint;
  readonly #buffers = new NativeBuffers();

  constructor(geometry: RingGeometry, address: (slot: number) => bigint) {
    this.#geometry = geometry;
    this.#address = address;
  }

  buffer(slot: number): ArrayBuffer {
    return this.#buffers.at(slot, () => this.#address(slot), this.#geometry.frameSize);
  }

  /** Where a slot is: a host or device address. */
  address(slot: number): bigint {
    return this.#address(slot);
  }

  planes(slot: number): Plane[] {
    if (this.#geometry.memory === "cuda") {
      const start = this.#address(slot);
      return this.#geometry.planes.map((plane) => new DevicePlane(plane, start + BigInt(plane.offset)));
    }
    return planesIn(this.buffer(slot), this.#geometry);
  }

  /** See {@linkcode NativeBuffers.detach}. */
  detach(): boolean {
    return this.#buffers.detach();
  }
}

/** The planes of a whole frame in host memory. */
export function planesIn(buffer: ArrayBuffer, geometry: RingGeometry): Plane[] {
  return geometry.planes.map(({ offset, stride, rows }) => ({
    offset,
    stride,
    rows,
    data: new Uint8Array(buffer, offset, stride * rows),
    devicePointer: undefined,
  }));
}

/** Copies parts of planes to their places in `target`, which has been checked to have room. */
export function copyPlanes(planes: readonly Plane[], copies: readonly PlaneCopy[], target: Uint8Array): void {
  for (const [index, copy] of copies.entries()) {
    const plane = planes[index];
    if (plane === undefined) return;
    const first = copy.sourceY * plane.stride + copy.sourceX;
    if (copy.rowBytes === plane.stride && copy.stride === plane.stride) {
      target.set(plane.data.subarray(first, first + copy.rows * plane.stride), copy.offset);
      continue;
    }
    for (let row = 0; row < copy.rows; row++) {
      const start = first + row * plane.stride;
      target.set(plane.data.subarray(start, start + copy.rowBytes), copy.offset + row * copy.stride);
    }
  }
}
