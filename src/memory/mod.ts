// Native memory as this process sees it: geometry, planes and copies of them, devices, the clock.

export { monotonicNow } from "./clock.ts";
export { deviceName } from "./device_name.ts";
export { type Device, devices } from "./devices.ts";
export { type MemoryKind, type PlaneGeometry, readGeometry, type RingGeometry } from "./geometry.ts";
export { type HeldFrame, HeldFrames } from "./held_frames.ts";
export { NativeBuffers } from "./native_buffers.ts";
export { setDevice, setPlace } from "./native_options.ts";
export { copyPlanes } from "./plane_copies.ts";
export { type Plane, planesIn } from "./planes.ts";
export { SlotViews } from "./slot_views.ts";
export {
  checkRuntimeDirectory,
  removeLeftovers,
  resolveRuntimeDirectory,
  runtimeDirectories,
} from "./runtime_directories.ts";
