/**
 * Decode a camera stream once; let any number of other processes use the decoded frames in place and the encoded
 * packets, at the cost of a pointer.
 *
 * @module
 */

export {
  type AllowSharedBufferSource,
  type ChromaLocation,
  type ColorMatrix,
  type ColorPrimaries,
  type ColorSpace,
  type ColorTransfer,
  type CopyOptions,
  CuframesError,
  type CuframesErrorCode,
  type FieldOrder,
  isCuframesError,
  type PixelFormat,
  type PlaneLayout,
  type Ratio,
  type Rect,
  type Rotation,
  type WaitOptions,
} from "./src/core/mod.ts";

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
} from "./src/images/mod.ts";
export {
  type DevicePicture,
  type EvictionReport,
  Frame,
  type FrameInit,
  type ImageCopyOptions,
  inspect,
  type InspectOptions,
  type Mode,
  type PictureInit,
  type PictureView,
  type Policy,
  Publisher,
  type PublisherEvent,
  type PublisherOptions,
  type PublisherReport,
  type PublisherStats,
  Subscriber,
  type SubscriberOptions,
  type SubscriberReport,
  type SubscriberStats,
  type TrackPublisherOptions,
  type TrackReport,
  WritableFrame,
} from "./src/frames/mod.ts";
export {
  closeDescriptor,
  DescriptorListener,
  DescriptorMessage,
  DescriptorSocket,
  type ListenOptions,
  type PeerCredentials,
} from "./src/sockets/mod.ts";
export {
  type Device,
  devices,
  type MemoryKind,
  monotonicNow,
  type Plane,
  type PlaneGeometry,
} from "./src/memory/mod.ts";

export {
  type CodecName,
  type DataInit,
  type DataMessage,
  type DataOptions,
  DataReader,
  DataWriter,
  type DecoderConfig,
  Packet,
  type PacketInit,
  type PacketReaderStats,
  type PacketRingOptions,
  PacketRingReader,
  PacketRingWriter,
  type PacketsOptions,
  type SoundDecoderConfig,
  type Track,
  type TrackKind,
  type TrackOptions,
} from "./src/packets/mod.ts";
