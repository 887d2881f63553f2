/** This is the door of the room that reads and writes media: what others may use of it. */
export { type ColourOptions, isKnownMatrix, MATRICES, type Matrix, RANGES } from "./frame_picture.ts";
export { encodeImage, type ImageFormat, imageSize } from "./image.ts";
export { isBrokenPipe, isDiskFull, loadNodeAv, redact } from "./node_av.ts";
export type { DestinationPlane } from "./picture.ts";
export { pictureSizeOf } from "./picture_size.ts";
export { type FrameRate, RawVideoWriter } from "./raw_video.ts";
export type { MediaEvent, MediaFrame, MediaPacket } from "./media_event.ts";
export type { OpenMediaOptions } from "./opening.ts";
export { MediaReader, openConnection, openMedia } from "./reader.ts";
export { Recorder, type RecorderOptions, type RecorderPacket } from "./recorder.ts";
export { type Segment, SegmentRecorder } from "./segments.ts";
export { Timeline } from "./time/timeline.ts";
export { isPictures, type VideoTrack } from "./track.ts";
