/**
 * Decode a camera stream once; let any number of other processes use the decoded frames in place and the encoded
 * packets, at the cost of a pointer.
 *
 * @module
 */

export { CuframesError, type CuframesErrorCode } from "./src/errors.ts";
export type { CopyOptions, PixelFormat, PlaneLayout, Rect } from "./src/format.ts";
export {
  type DmabufFormat,
  dmabufFormats,
  type DmabufOptions,
  type DmabufPlane,
  type DrmFormat,
  type EglImageOptions,
  importDmabuf,
  ImportedImage,
  type ImportedPlane,
  importEglImage,
  trimImports,
} from "./src/imported_image.ts";
export { inspect, type InspectOptions, type PublisherReport, type SubscriberReport } from "./src/inspect.ts";
export {
  closeDescriptor,
  DescriptorListener,
  DescriptorMessage,
  DescriptorSocket,
  type ListenOptions,
  type PeerCredentials,
} from "./src/descriptor_socket.ts";
export { monotonicNow } from "./src/clock.ts";
export { type Device, devices } from "./src/devices.ts";
export type { WaitOptions } from "./src/options.ts";
export {
  type AllowSharedBufferSource,
  type CodecName,
  type DecoderConfig,
  Packet,
  type PacketInit,
  type PacketReaderStats,
  type PacketRingOptions,
  PacketRingReader,
  PacketRingWriter,
  type PacketsOptions,
} from "./src/packet_ring.ts";
export {
  type DevicePicture,
  type FrameInit,
  type ImageCopyOptions,
  type Policy,
  Publisher,
  type PublisherOptions,
  type PublisherStats,
  WritableFrame,
} from "./src/publisher.ts";
export type { MemoryKind, Plane, PlaneGeometry } from "./src/ring_memory.ts";
export {
  Frame,
  type Mode,
  Subscriber,
  type SubscriberOptions,
  type SubscriberStats,
} from "./src/subscriber.ts";
