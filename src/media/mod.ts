/** This is the door of the room that reads and writes media: what others may use of it. */
export { type ColourOptions, isKnownMatrix, MATRICES, type Matrix, RANGES } from "./frame_picture.ts";
export { AllTracks, type AllTracksOptions, type TrackPacket } from "./all_tracks.ts";
export {
  type EventInit,
  EventRecorder,
  type EventRecorderOptions,
  type RecordedEvent,
} from "./event_recorder.ts";
export { encodeImage, type ImageFormat, imageSize } from "./image.ts";
export { isBrokenPipe, isDiskFull, loadNodeAv } from "./node_av.ts";
export type { DestinationPlane } from "./picture.ts";
export { pictureSizeOf } from "./picture_size.ts";
export { type FrameRate, RawVideoWriter } from "./raw_video.ts";
export type { MediaEvent, MediaFrame, MediaPacket } from "./media_event.ts";
export type { OpenMediaOptions } from "./opening.ts";
export { MediaReader, openConnection, openMedia } from "./reader.ts";
export { Recorder } from "./recorder.ts";
export type { RecorderOptions } from "./recording/recorder_options.ts";
export type { LeftTrack } from "./recording/taken_tracks.ts";
export type { RecorderPacket, RecorderTrack } from "./recording/recorder_track.ts";
export { recordable, type Segment, type SegmentPacket, SegmentRecorder } from "./segments.ts";
export { RingTimeline, type RingTimes } from "./time/ring_timeline.ts";
export { Timeline } from "./time/timeline.ts";
export { hasSameDecoder, isPictures, type MediaTrack, type VideoTrack } from "./track.ts";
