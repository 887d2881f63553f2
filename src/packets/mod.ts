export {
  type AllowSharedBufferSource,
  bytesOf,
  type CodecName,
  type DecoderConfig,
  Packet,
  type PacketInit,
  type PacketReaderStats,
  type PacketRingOptions,
  PacketRingReader,
  PacketRingWriter,
  type PacketsOptions,
} from "./packet_ring.ts";
