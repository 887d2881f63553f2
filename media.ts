/**
 * Media in and out of the rings: demuxing and decoding with {@linkcode openMedia}, recording packets as they
 * are with {@linkcode Recorder}. Needs the optional package `node-av`, which is loaded on first use.
 *
 * @module
 */
export type { ColorSpace } from "./src/core/mod.ts";
export {
  AllTracks,
  type AllTracksOptions,
  type DestinationPlane,
  type EventInit,
  EventRecorder,
  type EventRecorderOptions,
  type LeftTrack,
  type MediaEvent,
  type MediaFrame,
  type MediaPacket,
  MediaReader,
  type MediaTrack,
  openMedia,
  type OpenMediaOptions,
  type RecordedEvent,
  Recorder,
  type RecorderOptions,
  type RecorderPacket,
  type RecorderTrack,
  type Segment,
  type TrackPacket,
  type VideoTrack,
} from "./src/media/mod.ts";
