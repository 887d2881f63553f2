/**
 * A camera, published: {@linkcode CameraSource} opens an input for as long as it takes, decodes it once, and publishes its
 * frames and its packets under one key. The command `cuframes source` is made of it. Needs the optional package `node-av`,
 * which is loaded on first use.
 *
 * @module
 */
export {
  type CameraPacketsOptions,
  CameraSource,
  type CameraSourceEvent,
  type CameraSourceOptions,
  type CameraSourceStats,
} from "./src/source/mod.ts";
