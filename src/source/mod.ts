/** This is the door of the room that publishes cameras: what others may use of it. */
export { CameraSource, type CameraSourceStats } from "./camera_source.ts";
export type { CameraSourceEvent } from "./event.ts";
export type { CameraPacketsOptions, CameraSourceOptions } from "./options.ts";
