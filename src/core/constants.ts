// Generated from the Zig sources by `npm run build`. Do not edit.

export const ABI_VERSION = 9 as const;
export const SLOTS_MIN = 2 as const;
export const SLOTS_MAX = 64 as const;
export const SUBSCRIBERS_MAX = 64 as const;
export const LEASES_MAX = 8 as const;
export const METADATA_SIZE_MAX = 1024 as const;
export const KEY_SIZE_MAX = 63 as const;
export const NAME_SIZE_MAX = 31 as const;
export const DIMENSION_MAX = 16384 as const;
export const ASPECT_MAX = 65535 as const;
export const PLANES_MAX = 3 as const;
export const UUID_SIZE = 16 as const;
export const DEVICES_MAX = 64 as const;
export const TRACKS_MAX = 8 as const;
export const TRACK_ANY = 4294967295 as const;
export const PACKETS_MAX = 1024 as const;
export const PACKET_DATA_SIZE_MAX = 1073741824 as const;
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
export const PACKET_FLAG_DISCARD = 16 as const;
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
  EVICTED: -13,
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

export const COLOR_PRIMARIES = { "bt709": 1, "bt470m": 4, "bt470bg": 5, "smpte170m": 6, "smpte240m": 7, "film": 8, "bt2020": 9, "smpte428": 10, "smpte431": 11, "smpte432": 12, "ebu3213": 22 } as const;

export const COLOR_TRANSFERS = { "bt709": 1, "bt470m": 4, "bt470bg": 5, "smpte170m": 6, "smpte240m": 7, "linear": 8, "log100": 9, "log316": 10, "iec61966-2-4": 11, "bt1361e": 12, "iec61966-2-1": 13, "bt2020-10": 14, "bt2020-12": 15, "pq": 16, "smpte428": 17, "hlg": 18 } as const;

export const COLOR_MATRICES = { "rgb": 0, "bt709": 1, "fcc": 4, "bt470bg": 5, "smpte170m": 6, "smpte240m": 7, "ycgco": 8, "bt2020-ncl": 9, "bt2020-cl": 10, "smpte2085": 11, "chroma-derived-nc": 12, "chroma-derived-c": 13, "ictcp": 14 } as const;

export const COLOR_RANGES = { "limited": 1, "full": 2 } as const;

export const CHROMA_LOCATIONS = { "left": 1, "center": 2, "topleft": 3, "top": 4, "bottomleft": 5, "bottom": 6 } as const;

export const FIELD_ORDERS = { "progressive": 1, "tff": 2, "bff": 3 } as const;

export const IMAGE_LAYOUTS = { "pitch": 0, "array": 1 } as const;

export const POLICIES = { "drop-oldest": 0, "wait": 1 } as const;

export const MODES = { "newest": 0, "ordered": 1 } as const;

export const TRACK_KINDS = { "video": 1, "audio": 2, "data": 3 } as const;

export const SINCE = { "key": 0, "oldest": 1, "ago": 2, "upcoming": 3, "connection": 4 } as const;

export const MEMORY_KINDS = { "host": 0, "cuda": 1 } as const;

export const PUBLISHER_EVENTS = { "grown": 1, "shrunk": 2, "evicted": 3, "refused": 4 } as const;

export const DIRECTIONS = { "readable": 0, "writable": 1 } as const;
