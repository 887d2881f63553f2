export { type ColourOptions, isRgb, MATRICES, type Matrix, RANGES } from "./frame_picture.ts";
export { encodeImage, type ImageFormat } from "./image.ts";
export { isBrokenPipe, isDiskFull, loadNodeAv, redact } from "./node_av.ts";
export type { DestinationPlane } from "./picture.ts";
export { pictureSizeOf } from "./picture_size.ts";
export { type FrameRate, RawVideoWriter } from "./raw_video.ts";
export {
  type MediaEvent,
  type MediaFrame,
  type MediaPacket,
  MediaReader,
  openMedia,
  type OpenMediaOptions,
} from "./reader.ts";
export { Recorder, type RecorderOptions, type RecorderPacket } from "./recorder.ts";
export { type Segment, SegmentRecorder } from "./segments.ts";
export { StreamClock } from "./time/stream_clock.ts";
export type { ColorSpace, VideoTrack } from "./track.ts";
