// Tracks: writing encoded packets and data, and reading them.

export { type DataInit, DataWriter, VALUE_SIZE_MAX } from "./data_writer.ts";
export { type DataMessage, type DataOptions, DataReader, dataSelection } from "./data_reader.ts";
export { Packet } from "./packet.ts";
export {
  type DecoderConfig,
  type PacketReaderStats,
  PacketRingReader,
  type PacketSelection,
  packetSelection,
  type PacketsOptions,
  type SoundDecoderConfig,
} from "./packet_ring_reader.ts";
export { type PacketInit, PacketRingWriter } from "./packet_ring_writer.ts";
export { readTrack, type Track, type TrackKind } from "./track.ts";
export {
  type CodecName,
  type EncodedTrack,
  encodeTrack,
  type PacketRingOptions,
  type TrackOptions,
  videoTrack,
} from "./track_options.ts";
