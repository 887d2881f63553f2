/**
 * Media in and out of the rings: demuxing and decoding with {@linkcode openMedia}, recording packets as they
 * are with {@linkcode Recorder}. Needs the optional package `node-av`, which is loaded on first use.
 *
 * @module
 */
export {
  type MediaEvent,
  type MediaFrame,
  type MediaPacket,
  MediaReader,
  openMedia,
  type OpenMediaOptions,
} from "./reader.ts";
export type { DestinationPlane } from "./picture.ts";
export type { ColorSpace, VideoTrack } from "./track.ts";
export { Recorder, type RecorderOptions, type RecorderPacket } from "./recorder.ts";
