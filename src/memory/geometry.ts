// What both ends of a ring know of it: the format, the size, and where the planes are in every slot.

import { formatOfCode, MEMORY_KINDS, type PixelFormat, PLANES_MAX, UUID_SIZE } from "../core/mod.ts";
import { PlanePlace, RingInfo, type Struct } from "../ffi/mod.ts";
import { deviceName } from "./device_name.ts";

/** Where frames live. */
export type MemoryKind = keyof typeof MEMORY_KINDS;

/** A plane's place in every slot of a ring. Bytes. */
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
  /** 0 where there are no frames. */
  readonly codedWidth: number;
  readonly codedHeight: number;
  /** How many slots the ring may have. */
  readonly maxSlots: number;
  readonly planes: readonly PlaneGeometry[];
  /** Bytes from the first plane's begin to the last one's end. */
  readonly frameSize: number;
  readonly publisherPid: number;
  readonly memory: MemoryKind;
  /** `"GPU-<uuid>"`; undefined on host memory. */
  readonly device: string | undefined;
}

/** Reads the geometry that the native library gives with a publisher or a subscriber. */
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
  const hasFrames = info.u32(RingInfo.packetsOnly) === 0;
  return {
    format: formatOfCode(info.u32(RingInfo.geometryFormat)),
    codedWidth: hasFrames ? info.u32(RingInfo.geometryWidth) : 0,
    codedHeight: hasFrames ? info.u32(RingInfo.geometryHeight) : 0,
    maxSlots: info.u32(RingInfo.maxSlots),
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
