export { Backoff } from "./backoff.ts";
export { Camera, type CameraEvent, type CameraSettings } from "./camera.ts";
export { coloursOfFrame } from "./frame_metadata.ts";
export { redact, redactText } from "./redact.ts";
