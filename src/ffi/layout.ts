// Generated from the Zig sources by `npm run build`. Do not edit.

export const ABI_VERSION = 6 as const;
export const SLOTS_MIN = 2 as const;
export const SLOTS_MAX = 64 as const;
export const SUBSCRIBERS_MAX = 64 as const;
export const LEASES_MAX = 8 as const;
export const METADATA_SIZE_MAX = 1024 as const;
export const KEY_SIZE_MAX = 63 as const;
export const NAME_SIZE_MAX = 31 as const;
export const DIMENSION_MAX = 16384 as const;
export const PLANES_MAX = 3 as const;
export const UUID_SIZE = 16 as const;
export const DEVICES_MAX = 64 as const;
export const EXTRADATA_SIZE_MAX = 4096 as const;
export const ADDRESS_SIZE_MAX = 107 as const;
export const SOCKET_MESSAGE_SIZE_MAX = 65536 as const;
export const SOCKET_DESCRIPTORS_MAX = 253 as const;
export const IMAGE_PLANES_MAX = 4 as const;
export const DMABUF_PAIRS_MAX = 832 as const;
export const FLAG_DISCONTINUITY = 1 as const;
export const FLAG_CORRUPT = 2 as const;
export const PACKET_FLAG_KEY = 1 as const;
export const PACKET_FLAG_CORRUPT = 2 as const;
export const PACKET_FLAG_DISCONTINUITY = 4 as const;
export const PACKET_FLAG_LAST_IN_AU = 8 as const;
export const WANT_FRAMES = 1 as const;
export const WANT_PACKETS = 2 as const;
export const WANT_REPORT = 4 as const;

/** Negative results of the C ABI, by name. */
export const ERROR_CODES = {
  INVALID_ARGUMENT: -1,
  OUT_OF_MEMORY: -2,
  NOT_FOUND: -3,
  ALREADY_EXISTS: -4,
  PROTOCOL: -5,
  CUDA: -6,
  TIMEOUT: -7,
  IO: -8,
  DISCONNECTED: -9,
  FORMAT: -10,
  WOULD_BLOCK: -11,
  TOO_MANY_SUBSCRIBERS: -12,
  PACKET_OVERSIZED: -20,
  NO_PACKET_RING: -21,
  NO_CODEC_PARAMETERS: -22,
  PACKET_OVERRUN: -23,
  DEVICE_MISMATCH: -30,
  PERMISSION: -31,
  UNSUPPORTED: -32,
  INTERNAL: -100,
} as const;

/** Codes on the wire and, per plane, the bytes of a sample position and the pixels it covers. */
export const PIXEL_FORMATS = {
  NV12: { code: 1, planes: [{ bytes: 1, x: 1, y: 1 }, { bytes: 2, x: 2, y: 2 }] },
  I420: { code: 2, planes: [{ bytes: 1, x: 1, y: 1 }, { bytes: 1, x: 2, y: 2 }, { bytes: 1, x: 2, y: 2 }] },
  P010: { code: 3, planes: [{ bytes: 2, x: 1, y: 1 }, { bytes: 4, x: 2, y: 2 }] },
  RGBA: { code: 4, planes: [{ bytes: 4, x: 1, y: 1 }] },
  RGBX: { code: 5, planes: [{ bytes: 4, x: 1, y: 1 }] },
  BGRA: { code: 6, planes: [{ bytes: 4, x: 1, y: 1 }] },
  BGRX: { code: 7, planes: [{ bytes: 4, x: 1, y: 1 }] },
  GRAY8: { code: 8, planes: [{ bytes: 1, x: 1, y: 1 }] },
} as const;

/** drm_fourcc.h's codes of the dma-bufs that can be imported; their planes as above. */
export const DRM_FORMATS = {
  XRGB8888: { code: 875713112, planes: [{ bytes: 4, x: 1, y: 1 }] },
  ARGB8888: { code: 875713089, planes: [{ bytes: 4, x: 1, y: 1 }] },
  XBGR8888: { code: 875709016, planes: [{ bytes: 4, x: 1, y: 1 }] },
  ABGR8888: { code: 875708993, planes: [{ bytes: 4, x: 1, y: 1 }] },
  R8: { code: 538982482, planes: [{ bytes: 1, x: 1, y: 1 }] },
  GR88: { code: 943215175, planes: [{ bytes: 2, x: 1, y: 1 }] },
  NV12: { code: 842094158, planes: [{ bytes: 1, x: 1, y: 1 }, { bytes: 2, x: 2, y: 2 }] },
  P010: { code: 808530000, planes: [{ bytes: 2, x: 1, y: 1 }, { bytes: 4, x: 2, y: 2 }] },
  YUYV: { code: 1448695129, planes: [{ bytes: 4, x: 2, y: 1 }] },
  XRGB2101010: { code: 808669784, planes: [{ bytes: 4, x: 1, y: 1 }] },
  ARGB2101010: { code: 808669761, planes: [{ bytes: 4, x: 1, y: 1 }] },
  XBGR2101010: { code: 808665688, planes: [{ bytes: 4, x: 1, y: 1 }] },
  ABGR2101010: { code: 808665665, planes: [{ bytes: 4, x: 1, y: 1 }] },
} as const;

export const IMAGE_LAYOUTS = { "pitch": 0, "array": 1 } as const;

export const POLICIES = { "drop-oldest": 0, "wait": 1 } as const;

export const MODES = { "newest": 0, "ordered": 1 } as const;

export const MEMORY_KINDS = { "host": 0, "cuda": 1 } as const;

export const DIRECTIONS = { "readable": 0, "writable": 1 } as const;

// Byte offsets of the fields of each struct, and its size.

export const PlanePlace = {
  SIZE: 24,
  offset: 0,
  stride: 8,
  rows: 12,
  rowBytes: 16,
} as const;

export const PublisherOptions = {
  SIZE: 248,
  key: 0,
  directory: 64,
  format: 172,
  width: 176,
  height: 180,
  slotCount: 184,
  policy: 188,
  memory: 192,
  socketMode: 196,
  device: 200,
} as const;

export const RingInfo = {
  SIZE: 144,
  geometryFormat: 0,
  geometryWidth: 4,
  geometryHeight: 8,
  geometryAlignment: 12,
  geometryPlaneCount: 16,
  geometryFrameSize: 24,
  geometryPlanes: 32,
  slotSize: 104,
  publisherPid: 112,
  memory: 120,
  slotCount: 124,
  device: 128,
} as const;

export const PublishRecord = {
  SIZE: 1072,
  timestampNs: 0,
  durationNs: 8,
  flags: 16,
  metadataSize: 20,
  sequence: 24,
  stream: 32,
  hasStream: 40,
  metadata: 48,
} as const;

export const PublisherStats = {
  SIZE: 32,
  published: 0,
  packetsPublished: 8,
  subscribers: 16,
  slotsLeased: 20,
  rejected: 24,
  failed: 28,
} as const;

export const PacketOptions = {
  SIZE: 20,
  ringSlots: 0,
  dataSize: 4,
  maxPacketSize: 8,
  codecId: 12,
  named: 16,
} as const;

export const PacketRecord = {
  SIZE: 32,
  timestampNs: 0,
  decodeTimestampNs: 8,
  flags: 16,
  size: 20,
  sequence: 24,
} as const;

export const SubscriberOptions = {
  SIZE: 216,
  key: 0,
  directory: 64,
  name: 172,
  mode: 204,
  wants: 208,
  timeoutMs: 212,
} as const;

export const FrameView = {
  SIZE: 1072,
  lease: 0,
  slot: 4,
  sequence: 8,
  recordTimestampNs: 16,
  recordDurationNs: 24,
  recordPublishedNs: 32,
  recordFlags: 40,
  recordMetadataSize: 44,
  recordMetadata: 48,
} as const;

export const SubscriberStats = {
  SIZE: 32,
  received: 0,
  dropped: 8,
  lag: 16,
  held: 24,
  disconnected: 28,
} as const;

export const PacketView = {
  SIZE: 32,
  timestampNs: 0,
  decodeTimestampNs: 8,
  sequence: 16,
  size: 24,
  flags: 28,
} as const;

export const PacketStats = {
  SIZE: 32,
  received: 0,
  lost: 8,
  lag: 16,
  codecId: 24,
} as const;

export const ReportSubscriber = {
  SIZE: 96,
  name: 0,
  pid: 32,
  mode: 36,
  wants: 40,
  held: 44,
  received: 48,
  dropped: 56,
  cursor: 64,
  packetsReceived: 72,
  packetsLost: 80,
  connectedNs: 88,
} as const;

export const Report = {
  SIZE: 6376,
  prefixMagic: 0,
  prefixVersion: 4,
  prefixKind: 8,
  prefixSize: 12,
  publisherPid: 16,
  createdNs: 24,
  nowNs: 32,
  memory: 40,
  slotCount: 44,
  policy: 48,
  slotsLeased: 52,
  geometryFormat: 56,
  geometryWidth: 60,
  geometryHeight: 64,
  geometryAlignment: 68,
  geometryPlaneCount: 72,
  geometryFrameSize: 80,
  geometryPlanes: 88,
  slotSize: 160,
  published: 168,
  newestPublishedNs: 176,
  rateMillihertz: 184,
  packetsPublished: 192,
  packetCodecId: 200,
  rejected: 204,
  device: 208,
  subscriberCount: 224,
  subscribers: 232,
} as const;

export const SourcePlane = {
  SIZE: 16,
  address: 0,
  stride: 8,
} as const;

export const CopySource = {
  SIZE: 64,
  stream: 0,
  hasStream: 8,
  planeCount: 12,
  planes: 16,
} as const;

export const Device = {
  SIZE: 176,
  totalMemory: 0,
  uuid: 8,
  name: 24,
  ordinal: 152,
  computeCapabilityMajor: 156,
  computeCapabilityMinor: 160,
  driverVersion: 164,
  virtualMemoryManagement: 168,
  posixFileDescriptors: 169,
  dmaBuf: 170,
} as const;

export const Credentials = {
  SIZE: 12,
  pid: 0,
  uid: 4,
  gid: 8,
} as const;

export const Received = {
  SIZE: 1020,
  size: 0,
  descriptorCount: 4,
  descriptors: 8,
} as const;

export const ImageSourcePlane = {
  SIZE: 16,
  fd: 0,
  stride: 4,
  offset: 8,
} as const;

export const ImageOptions = {
  SIZE: 144,
  width: 0,
  height: 4,
  fourcc: 8,
  planeCount: 12,
  modifier: 16,
  hasModifier: 24,
  memory: 28,
  planes: 32,
  device: 96,
} as const;

export const ImagePlane = {
  SIZE: 32,
  address: 0,
  offset: 8,
  stride: 16,
  rows: 20,
  rowBytes: 24,
} as const;

export const ImageInfo = {
  SIZE: 104,
  width: 0,
  height: 4,
  fourcc: 8,
  planeCount: 12,
  memory: 16,
  layout: 20,
  planes: 24,
  device: 88,
} as const;

export const DmabufPair = {
  SIZE: 16,
  modifier: 0,
  fourcc: 8,
  externalOnly: 12,
} as const;
