/**
 * Media in and out of the rings: demuxing and decoding with {@linkcode openMedia}, recording packets as they
 * are with {@linkcode Recorder}. Needs the optional package `node-av`, which is loaded on first use.
 *
 * @module
 */
export {
  type ColorSpace,
  type DestinationPlane,
  type LeftTrack,
  type MediaEvent,
  type MediaFrame,
  type MediaPacket,
  MediaReader,
  openMedia,
  type OpenMediaOptions,
  Recorder,
  type RecorderOptions,
  type RecorderPacket,
  type RecorderTrack,
  type VideoTrack,
} from "./src/media/mod.ts";
