// Packet rings: writing encoded packets, and reading them.

export { Packet } from "./packet.ts";
export type { CodecName, PacketRingOptions } from "./packet_ring_options.ts";
export {
  type DecoderConfig,
  type PacketReaderStats,
  PacketRingReader,
  PACKETS_OPTIONS,
  type PacketsOptions,
} from "./packet_ring_reader.ts";
export { encodePacketRing, type PacketInit, PacketRingWriter } from "./packet_ring_writer.ts";
