export { monotonicNow } from "./clock.ts";
export { type Device, devices } from "./devices.ts";
export { setDevice, setPlace } from "./native_options.ts";
export {
  copyPlanes,
  deviceName,
  type MemoryKind,
  NativeBuffers,
  type Plane,
  type PlaneGeometry,
  planesIn,
  readGeometry,
  type RingGeometry,
  SlotViews,
} from "./ring_memory.ts";
