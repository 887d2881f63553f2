// Generated from the Zig sources by `npm run build`. Do not edit.

// Byte offsets of the fields of each struct, and its size.

export const PlanePlace = {
  SIZE: 24,
  offset: 0,
  stride: 8,
  rows: 12,
  rowBytes: 16,
} as const;

export const PublisherOptions = {
  SIZE: 272,
  key: 0,
  directory: 64,
  format: 172,
  width: 176,
  height: 180,
  slots: 184,
  maxSlots: 188,
  policy: 192,
  memory: 196,
  socketMode: 200,
  packetsOnly: 204,
  device: 212,
  memoryLimit: 264,
} as const;

export const RingInfo = {
  SIZE: 152,
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
  maxSlots: 124,
  packetsOnly: 128,
  device: 136,
} as const;

export const Picture = {
  SIZE: 48,
  visibleX: 0,
  visibleY: 4,
  visibleWidth: 8,
  visibleHeight: 12,
  displayWidth: 16,
  displayHeight: 20,
  aspectNum: 24,
  aspectDen: 28,
  rotation: 32,
  flip: 36,
  fieldOrder: 37,
  primaries: 38,
  transfer: 39,
  matrix: 40,
  range: 41,
  chromaLocation: 42,
} as const;

export const PublishRecord = {
  SIZE: 1128,
  timestampNs: 0,
  durationNs: 8,
  flags: 16,
  metadataSize: 20,
  sequence: 24,
  stream: 32,
  hasStream: 40,
  captureTimeNs: 48,
  pictureVisibleX: 56,
  pictureVisibleY: 60,
  pictureVisibleWidth: 64,
  pictureVisibleHeight: 68,
  pictureDisplayWidth: 72,
  pictureDisplayHeight: 76,
  pictureAspectNum: 80,
  pictureAspectDen: 84,
  pictureRotation: 88,
  pictureFlip: 92,
  pictureFieldOrder: 93,
  picturePrimaries: 94,
  pictureTransfer: 95,
  pictureMatrix: 96,
  pictureRange: 97,
  pictureChromaLocation: 98,
  metadata: 104,
} as const;

export const PublisherStats = {
  SIZE: 56,
  published: 0,
  packetsPublished: 8,
  subscribers: 16,
  slotsLeased: 20,
  rejected: 24,
  failed: 28,
  slots: 32,
  slotsOutside: 36,
  evictions: 40,
  memoryLimit: 48,
} as const;

export const PublisherEvent = {
  SIZE: 64,
  kind: 0,
  slots: 4,
  pid: 8,
  frames: 12,
  durationNs: 16,
  atNs: 24,
  name: 32,
} as const;

export const TrackInfo = {
  SIZE: 160,
  kind: 0,
  codecId: 4,
  generation: 8,
  sampleRate: 12,
  channels: 16,
  width: 20,
  height: 24,
  index: 28,
  language: 32,
  label: 48,
  codecName: 112,
} as const;

export const PacketOptions = {
  SIZE: 4280,
  trackKind: 0,
  trackCodecId: 4,
  trackGeneration: 8,
  trackSampleRate: 12,
  trackChannels: 16,
  trackWidth: 20,
  trackHeight: 24,
  trackIndex: 28,
  trackLanguage: 32,
  trackLabel: 48,
  trackCodecName: 112,
  ringSlots: 160,
  dataSize: 164,
  maxPacketSize: 168,
  named: 172,
  extradataSize: 180,
  extradata: 184,
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
  SIZE: 220,
  key: 0,
  directory: 64,
  name: 172,
  mode: 204,
  wants: 208,
  timeoutMs: 212,
  delayMs: 216,
} as const;

export const FrameView = {
  SIZE: 1128,
  lease: 0,
  slot: 4,
  sequence: 8,
  recordTimestampNs: 16,
  recordDurationNs: 24,
  recordPublishedNs: 32,
  recordCaptureTimeNs: 40,
  recordFlags: 48,
  recordMetadataSize: 52,
  recordPictureVisibleX: 56,
  recordPictureVisibleY: 60,
  recordPictureVisibleWidth: 64,
  recordPictureVisibleHeight: 68,
  recordPictureDisplayWidth: 72,
  recordPictureDisplayHeight: 76,
  recordPictureAspectNum: 80,
  recordPictureAspectDen: 84,
  recordPictureRotation: 88,
  recordPictureFlip: 92,
  recordPictureFieldOrder: 93,
  recordPicturePrimaries: 94,
  recordPictureTransfer: 95,
  recordPictureMatrix: 96,
  recordPictureRange: 97,
  recordPictureChromaLocation: 98,
  recordMetadata: 104,
} as const;

export const SubscriberStats = {
  SIZE: 40,
  received: 0,
  dropped: 8,
  lag: 16,
  held: 24,
  disconnected: 28,
  slots: 32,
  evicted: 36,
} as const;

export const PacketReaderOptions = {
  SIZE: 96,
  track: 0,
  kind: 4,
  since: 8,
  wait: 12,
  agoNs: 16,
  after: 24,
  label: 32,
} as const;

export const PacketView = {
  SIZE: 40,
  timestampNs: 0,
  decodeTimestampNs: 8,
  sequence: 16,
  size: 24,
  flags: 28,
  generation: 32,
} as const;

export const PacketStats = {
  SIZE: 32,
  received: 0,
  lost: 8,
  lag: 16,
  codecId: 24,
} as const;

export const ReportSubscriber = {
  SIZE: 104,
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
  heldNs: 96,
} as const;

export const ReportTrack = {
  SIZE: 176,
  published: 0,
  bytes: 8,
  infoKind: 16,
  infoCodecId: 20,
  infoGeneration: 24,
  infoSampleRate: 28,
  infoChannels: 32,
  infoWidth: 36,
  infoHeight: 40,
  infoIndex: 44,
  infoLanguage: 48,
  infoLabel: 64,
  infoCodecName: 128,
} as const;

export const Report = {
  SIZE: 8424,
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
  maxSlots: 168,
  slotsOutside: 172,
  memoryLimit: 176,
  evictions: 184,
  packetsOnly: 188,
  lastEvictionName: 192,
  lastEvictionPid: 224,
  lastEvictionFrames: 228,
  lastEvictionHeldNs: 232,
  lastEvictionAtNs: 240,
  pictureVisibleX: 248,
  pictureVisibleY: 252,
  pictureVisibleWidth: 256,
  pictureVisibleHeight: 260,
  pictureDisplayWidth: 264,
  pictureDisplayHeight: 268,
  pictureAspectNum: 272,
  pictureAspectDen: 276,
  pictureRotation: 280,
  pictureFlip: 284,
  pictureFieldOrder: 285,
  picturePrimaries: 286,
  pictureTransfer: 287,
  pictureMatrix: 288,
  pictureRange: 289,
  pictureChromaLocation: 290,
  published: 296,
  newestPublishedNs: 304,
  rateMillihertz: 312,
  packetsPublished: 320,
  trackCount: 328,
  rejected: 332,
  device: 336,
  subscriberCount: 352,
  tracks: 360,
  subscribers: 1768,
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
