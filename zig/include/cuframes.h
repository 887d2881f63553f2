/*
 * The C ABI of libcuframes.so. Generated from the Zig sources by `npm run build`: do not edit.
 *
 * A function that returns int32_t returns 0 or a positive value, or a negative enum cuframes_error;
 * cuframes_error_message then has a sentence for it, on the same thread. A function that returns an address
 * returns 0 when it fails. Publishers, subscribers and all other objects are handles: numbers, each used by one
 * thread at a time. Call cuframes_abi_version first and compare it with CUFRAMES_ABI_VERSION.
 *
 * docs/abi.md of the repository has these rules in full, and what every function does.
 */

#ifndef CUFRAMES_H
#define CUFRAMES_H

#include <stddef.h>
#include <stdint.h>

/** Raised whenever a function, a struct or a code changes. */
#define CUFRAMES_ABI_VERSION 9
/** Slots of a frame ring. */
#define CUFRAMES_SLOTS_MIN 2
#define CUFRAMES_SLOTS_MAX 64
/** Subscribers of one publisher at a time. */
#define CUFRAMES_SUBSCRIBERS_MAX 64
/** Frames that one subscriber can hold at a time. */
#define CUFRAMES_LEASES_MAX 8
/** Bytes of a frame's metadata. */
#define CUFRAMES_METADATA_SIZE_MAX 1024
/** Characters of a key, and of a subscriber's name. */
#define CUFRAMES_KEY_SIZE_MAX 63
#define CUFRAMES_NAME_SIZE_MAX 31
/** Pixels of a frame's width, and of its height. */
#define CUFRAMES_DIMENSION_MAX 16384
/** Of either part of a pixel's aspect. */
#define CUFRAMES_ASPECT_MAX 65535
/** Planes of a frame. */
#define CUFRAMES_PLANES_MAX 3
/** Bytes of a GPU's UUID. */
#define CUFRAMES_UUID_SIZE 16
/** The most devices that are listed: what the driver calls a machine's limit. */
#define CUFRAMES_DEVICES_MAX 64
/** Packet tracks of one publisher. */
#define CUFRAMES_TRACKS_MAX 8
/** For PacketReaderOptions.track. */
#define CUFRAMES_TRACK_ANY 4294967295
/** Packets of a ring. */
#define CUFRAMES_PACKETS_MAX 1024
/** Bytes; some 18 minutes of a stream of 8 Mbit/s. */
#define CUFRAMES_PACKET_DATA_SIZE_MAX 1073741824
/** Bytes of codec parameters. */
#define CUFRAMES_EXTRADATA_SIZE_MAX 4096
/** Bytes of an address to connect to: a path needs a NUL behind it, an abstract name its "@". */
#define CUFRAMES_ADDRESS_SIZE_MAX 107
/** Bytes of a message; well inside what the kernel queues by default (net.core.wmem_default, 212 992). */
#define CUFRAMES_SOCKET_MESSAGE_SIZE_MAX 65536
/** Descriptors of a message: as many as the kernel passes. */
#define CUFRAMES_SOCKET_DESCRIPTORS_MAX 253
/** Planes of an image: with a modifier, those of the format may have others beside them. */
#define CUFRAMES_IMAGE_PLANES_MAX 4
/** Pairs of a format that this library knows and a modifier. */
#define CUFRAMES_DMABUF_PAIRS_MAX 832

/**
 * What every exported function returns when it fails; 0 and positive values are success.
 * The numbers that the C library had are kept.
 */
enum cuframes_error {
  /** An argument is wrong, or the object is closed. */
  CUFRAMES_ERROR_INVALID_ARGUMENT = -1,
  /** Memory, or a table of this library, is full. */
  CUFRAMES_ERROR_OUT_OF_MEMORY = -2,
  /** Nobody publishes under the key, or listens there. */
  CUFRAMES_ERROR_NOT_FOUND = -3,
  /** Another publisher has the key, or the address; or there is a packet ring already. */
  CUFRAMES_ERROR_ALREADY_EXISTS = -4,
  /** The peer broke the protocol, or speaks another version of it. */
  CUFRAMES_ERROR_PROTOCOL = -5,
  /** A call of the CUDA driver failed. */
  CUFRAMES_ERROR_CUDA = -6,
  /** It did not happen within the time-out. */
  CUFRAMES_ERROR_TIMEOUT = -7,
  /** A system call failed, for want of descriptors among other reasons. */
  CUFRAMES_ERROR_IO = -8,
  /** The publisher is gone, and all that it left was delivered; or the peer is. */
  CUFRAMES_ERROR_DISCONNECTED = -9,
  /** The pixel format is not known, or is another than the one that is needed. */
  CUFRAMES_ERROR_FORMAT = -10,
  /** There is nothing now; or as many frames are held as can be. */
  CUFRAMES_ERROR_WOULD_BLOCK = -11,
  /** The publisher has as many as it can have. */
  CUFRAMES_ERROR_TOO_MANY_SUBSCRIBERS = -12,
  /**
   * The publisher has ended the connection, since too many frames were held for too long; or it refuses whoever lost
   * one so again and again.
   */
  CUFRAMES_ERROR_EVICTED = -13,
  /** The packet is larger than `max_packet_size`. */
  CUFRAMES_ERROR_PACKET_OVERSIZED = -20,
  /** The publisher has no packet ring, or the connection did not ask for it. */
  CUFRAMES_ERROR_NO_PACKET_RING = -21,
  /** The publisher has set none. */
  CUFRAMES_ERROR_NO_CODEC_PARAMETERS = -22,
  /** Packets were lost; reading goes on at the next key packet. */
  CUFRAMES_ERROR_PACKET_OVERRUN = -23,
  /** The frames are on a GPU that this process does not see. */
  CUFRAMES_ERROR_DEVICE_MISMATCH = -30,
  /** The directory, the socket, the lock or /dev/shm does not let this user. */
  CUFRAMES_ERROR_PERMISSION = -31,
  /** The kernel, the driver, the GPU or the kind of memory cannot do it. */
  CUFRAMES_ERROR_UNSUPPORTED = -32,
  /** A defect of this library. */
  CUFRAMES_ERROR_INTERNAL = -100
};

/** Pixel formats, by their codes on the wire; names as in WebCodecs' VideoPixelFormat where it has them. */
enum cuframes_format {
  CUFRAMES_NV12 = 1,
  CUFRAMES_I420 = 2,
  CUFRAMES_P010 = 3,
  CUFRAMES_RGBA = 4,
  CUFRAMES_RGBX = 5,
  CUFRAMES_BGRA = 6,
  CUFRAMES_BGRX = 7,
  CUFRAMES_GRAY8 = 8
};

/** Values are drm_fourcc.h's. Names have the highest bits first: the bytes in memory are in the reverse order. */
enum cuframes_drm_format {
  CUFRAMES_DRM_XRGB8888 = 875713112,
  CUFRAMES_DRM_ARGB8888 = 875713089,
  CUFRAMES_DRM_XBGR8888 = 875709016,
  CUFRAMES_DRM_ABGR8888 = 875708993,
  CUFRAMES_DRM_R8 = 538982482,
  CUFRAMES_DRM_GR88 = 943215175,
  CUFRAMES_DRM_NV12 = 842094158,
  CUFRAMES_DRM_P010 = 808530000,
  CUFRAMES_DRM_YUYV = 1448695129,
  CUFRAMES_DRM_XRGB2101010 = 808669784,
  CUFRAMES_DRM_ARGB2101010 = 808669761,
  CUFRAMES_DRM_XBGR2101010 = 808665688,
  CUFRAMES_DRM_ABGR2101010 = 808665665
};

/** What red, green and blue are: ColourPrimaries of H.273. */
enum cuframes_primaries {
  CUFRAMES_PRIMARIES_BT709 = 1,
  CUFRAMES_PRIMARIES_BT470M = 4,
  CUFRAMES_PRIMARIES_BT470BG = 5,
  CUFRAMES_PRIMARIES_SMPTE170M = 6,
  CUFRAMES_PRIMARIES_SMPTE240M = 7,
  CUFRAMES_PRIMARIES_FILM = 8,
  CUFRAMES_PRIMARIES_BT2020 = 9,
  CUFRAMES_PRIMARIES_SMPTE428 = 10,
  CUFRAMES_PRIMARIES_SMPTE431 = 11,
  CUFRAMES_PRIMARIES_SMPTE432 = 12,
  CUFRAMES_PRIMARIES_EBU3213 = 22
};

/** From samples to light: TransferCharacteristics of H.273. */
enum cuframes_transfer {
  CUFRAMES_TRANSFER_BT709 = 1,
  CUFRAMES_TRANSFER_BT470M = 4,
  CUFRAMES_TRANSFER_BT470BG = 5,
  CUFRAMES_TRANSFER_SMPTE170M = 6,
  CUFRAMES_TRANSFER_SMPTE240M = 7,
  CUFRAMES_TRANSFER_LINEAR = 8,
  CUFRAMES_TRANSFER_LOG100 = 9,
  CUFRAMES_TRANSFER_LOG316 = 10,
  CUFRAMES_TRANSFER_IEC61966_2_4 = 11,
  CUFRAMES_TRANSFER_BT1361E = 12,
  CUFRAMES_TRANSFER_IEC61966_2_1 = 13,
  CUFRAMES_TRANSFER_BT2020_10 = 14,
  CUFRAMES_TRANSFER_BT2020_12 = 15,
  CUFRAMES_TRANSFER_PQ = 16,
  CUFRAMES_TRANSFER_SMPTE428 = 17,
  CUFRAMES_TRANSFER_HLG = 18
};

/** From YUV to RGB: MatrixCoefficients of H.273. `rgb` is of formats that are RGB; with any other it says nothing. */
enum cuframes_matrix {
  CUFRAMES_MATRIX_RGB = 0,
  CUFRAMES_MATRIX_BT709 = 1,
  CUFRAMES_MATRIX_FCC = 4,
  CUFRAMES_MATRIX_BT470BG = 5,
  CUFRAMES_MATRIX_SMPTE170M = 6,
  CUFRAMES_MATRIX_SMPTE240M = 7,
  CUFRAMES_MATRIX_YCGCO = 8,
  CUFRAMES_MATRIX_BT2020_NCL = 9,
  CUFRAMES_MATRIX_BT2020_CL = 10,
  CUFRAMES_MATRIX_SMPTE2085 = 11,
  CUFRAMES_MATRIX_CHROMA_DERIVED_NC = 12,
  CUFRAMES_MATRIX_CHROMA_DERIVED_C = 13,
  CUFRAMES_MATRIX_ICTCP = 14
};

/** How far samples span: AVColorRange. */
enum cuframes_range {
  /** Luma from 16 to 235, at 8 bits. */
  CUFRAMES_RANGE_LIMITED = 1,
  /** From 0 to 255. */
  CUFRAMES_RANGE_FULL = 2
};

/**
 * Where the chroma samples of 4:2:0 lie among those of luma: AVChromaLocation, which is ChromaLocType of H.273 plus 1.
 */
enum cuframes_chroma_location {
  CUFRAMES_CHROMA_LOCATION_LEFT = 1,
  CUFRAMES_CHROMA_LOCATION_CENTER = 2,
  CUFRAMES_CHROMA_LOCATION_TOPLEFT = 3,
  CUFRAMES_CHROMA_LOCATION_TOP = 4,
  CUFRAMES_CHROMA_LOCATION_BOTTOMLEFT = 5,
  CUFRAMES_CHROMA_LOCATION_BOTTOM = 6
};

/**
 * Whether the rows are of one moment, or those of two fields in turn: tff has the field of the first row first, bff
 * the other one.
 */
enum cuframes_field_order {
  CUFRAMES_FIELD_ORDER_PROGRESSIVE = 1,
  CUFRAMES_FIELD_ORDER_TFF = 2,
  CUFRAMES_FIELD_ORDER_BFF = 3
};

/** How the planes of an image are in a GPU's memory: rows at a distance, or an array of CUDA's. */
enum cuframes_image_layout {
  CUFRAMES_PITCH = 0,
  CUFRAMES_ARRAY = 1
};

/** What a publisher does where every slot is held: publish nothing, or wait for one. */
enum cuframes_policy {
  CUFRAMES_DROP_OLDEST = 0,
  CUFRAMES_WAIT = 1
};

/** Which frame a subscriber is given next: the newest one, or every one in turn that is still there. */
enum cuframes_mode {
  CUFRAMES_NEWEST = 0,
  CUFRAMES_ORDERED = 1
};

/** What a track carries. */
enum cuframes_track_kind {
  CUFRAMES_TRACK_VIDEO = 1,
  CUFRAMES_TRACK_AUDIO = 2,
  CUFRAMES_TRACK_DATA = 3
};

/** Where a reader begins. */
enum cuframes_since {
  /** At what is the last key packet now. */
  CUFRAMES_SINCE_KEY = 0,
  /** At the oldest key packet that can be read. */
  CUFRAMES_SINCE_OLDEST = 1,
  /** At the last key packet that is at least `ago_ns` older than the newest packet. */
  CUFRAMES_SINCE_AGO = 2,
  /** At the first key packet to come. */
  CUFRAMES_SINCE_UPCOMING = 3,
  /**
   * At what was the last key packet when the connection was made: every packet from there on is delivered or counted
   * as lost.
   */
  CUFRAMES_SINCE_CONNECTION = 4
};

/** Where frames are, by its code on the wire. */
enum cuframes_memory {
  CUFRAMES_HOST = 0,
  CUFRAMES_CUDA = 1
};

/** What happened to a publisher's ring. */
enum cuframes_publisher_event_kind {
  /** The ring has got a slot. */
  CUFRAMES_PUBLISHER_EVENT_GROWN = 1,
  /** The ring has lost a slot that nobody needed. */
  CUFRAMES_PUBLISHER_EVENT_SHRUNK = 2,
  /** A reader lost its connection for what it held. */
  CUFRAMES_PUBLISHER_EVENT_EVICTED = 3,
  /** A reader that was evicted again and again was not let in. */
  CUFRAMES_PUBLISHER_EVENT_REFUSED = 4
};

/** What a socket's callback is to tell: something to receive or accept, or room to send. */
enum cuframes_direction {
  CUFRAMES_READABLE = 0,
  CUFRAMES_WRITABLE = 1
};

/** Flags of a frame. */
enum cuframes_frame_flags {
  /** Frames are missing in front of this one. */
  CUFRAMES_DISCONTINUITY = 1,
  /** Known to be damaged. */
  CUFRAMES_CORRUPT = 2
};

/** Flags of a packet. */
enum cuframes_packet_flags {
  /** Decoding can start at this packet. */
  CUFRAMES_PACKET_KEY = 1,
  /** Known to be damaged. */
  CUFRAMES_PACKET_CORRUPT = 2,
  /** Packets are missing in front of this one. */
  CUFRAMES_PACKET_DISCONTINUITY = 4,
  /** The last packet of its access unit. */
  CUFRAMES_PACKET_LAST_IN_AU = 8,
  /** Decoded for those that refer to it, and not shown: FFmpeg's `AV_PKT_FLAG_DISCARD`. */
  CUFRAMES_PACKET_DISCARD = 16
};

/** What a connection is for. */
enum cuframes_wants {
  /** Frames. */
  CUFRAMES_FRAMES = 1,
  /** Packets, with frames or alone. */
  CUFRAMES_PACKETS = 2,
  /** A report and nothing else. */
  CUFRAMES_REPORT = 4
};

/** Where a plane of a frame is. */
struct cuframes_plane {
  /** Bytes from the slot's address to the plane's first row. */
  uint64_t offset;
  /** Bytes from row to row. */
  uint32_t stride;
  uint32_t rows;
  /** Bytes of a row that are picture; the rest, up to the stride, is padding. */
  uint32_t row_bytes;
  uint32_t reserved;
};

/**
 * A frame's size and the planes' places in its slot. Both sides compute it from the first five fields; nobody
 * believes a peer's offsets.
 */
struct cuframes_geometry {
  /** A pixel format. */
  uint32_t format;
  /** Pixels. */
  uint32_t width;
  uint32_t height;
  /** Strides are multiples of this: 64 on the host (vector loads), 256 on CUDA (NVDEC, NPP, textures). */
  uint32_t alignment;
  /** How many of `planes` there are. */
  uint32_t plane_count;
  uint32_t reserved;
  /** Bytes of the planes, their padding included. */
  uint64_t frame_size;
  struct cuframes_plane planes[3];
};

/** What a publisher is to be. Text is NUL-padded. */
struct cuframes_publisher_options {
  /** 1 to KEY_SIZE_MAX of A-Z, a-z, 0-9, _ and -. */
  char key[64];
  /** The runtime directory. Empty: the first that can be used, by docs/protocol.md. */
  char directory[108];
  /** A pixel format. */
  uint32_t format;
  /** Pixels. */
  uint32_t width;
  uint32_t height;
  /** How many slots the ring begins with: SLOTS_MIN to SLOTS_MAX. */
  uint32_t slots;
  /** How many it may grow to: `slots` to SLOTS_MAX. The policy wait does not let it grow. */
  uint32_t max_slots;
  uint32_t policy;
  /** A kind of memory. */
  uint32_t memory;
  /** Permission bits of the socket. */
  uint32_t socket_mode;
  /** 1: there are no frames, and format, size, slots, policy and memory say nothing. */
  uint32_t packets_only;
  uint32_t reserved;
  /** For memory on a GPU: its number or UUID; empty: the first. */
  char device[48];
  /**
   * Bytes that the slots' memory may take, with what left the ring and subscribers still have: at least that of
   * `slots` and two more. 0: four times that of `max_slots`.
   */
  uint64_t memory_limit;
};

/** A frame ring, as its publisher made it. */
struct cuframes_ring_info {
  struct cuframes_geometry geometry;
  /** Bytes of a slot that are mapped. */
  uint64_t slot_size;
  uint64_t publisher_pid;
  /** A kind of memory. */
  uint32_t memory;
  /** How many slots there may be. */
  uint32_t max_slots;
  /** 1: there are no frames, and nothing of the above but the publisher's pid says anything. */
  uint32_t packets_only;
  uint32_t reserved;
  /** The GPU's UUID; all zero for the host. */
  uint8_t device[16];
};

/** What a frame's picture is. 0 is what is not known, and whole or square pixels where those are the question. */
struct cuframes_picture {
  /** Pixels, the part that is seen. 0 as width and height: all. `x` and `y` are on chroma samples. */
  uint32_t visible_x;
  uint32_t visible_y;
  uint32_t visible_width;
  uint32_t visible_height;
  /** Square pixels of the picture as it is shown, turned: 1 to 16384 each. 0: as the shape of its pixels says. */
  uint32_t display_width;
  uint32_t display_height;
  /**
   * Width to height of a pixel of the frame, before it is turned: 1 to 65535 each. 0: as the size that it is shown
   * in says, and where that is not known either, they are square.
   */
  uint32_t aspect_num;
  uint32_t aspect_den;
  /** Degrees clockwise that the picture is turned by to be shown: 0, 90, 180 or 270. */
  uint32_t rotation;
  /** 1: left and right are swapped to show it, once it is turned. */
  uint8_t flip;
  /** A field order. */
  uint8_t field_order;
  /** Primaries. */
  uint8_t primaries;
  /** A transfer. */
  uint8_t transfer;
  /** A matrix. */
  uint8_t matrix;
  /** A range. */
  uint8_t range;
  /** A chroma location. */
  uint8_t chroma_location;
  uint8_t reserved[5];
};

/** What a frame is published with. */
struct cuframes_publish_record {
  /** On any clock. */
  int64_t timestamp_ns;
  uint64_t duration_ns;
  /** Flags of a frame. */
  uint32_t flags;
  /** Bytes of `metadata` that are used. */
  uint32_t metadata_size;
  /** Out: the frame's number, from 1. */
  uint64_t sequence;
  /**
   * For memory on a GPU: the CUstream whose work so far fills the frame, where `has_stream` is 1; else the
   * library's own.
   */
  uint64_t stream;
  uint32_t has_stream;
  uint32_t reserved;
  /** In UTC since 1970; 0: not known. */
  int64_t capture_time_ns;
  struct cuframes_picture picture;
  uint8_t metadata[1024];
};

/** A publisher's counters. */
struct cuframes_publisher_stats {
  /** Frames. */
  uint64_t published;
  uint64_t packets_published;
  /** Subscribers that are there now. */
  uint32_t subscribers;
  /** Slots that somebody holds now. */
  uint32_t slots_leased;
  /** Connections dropped for what they sent or failed to send. */
  uint32_t rejected;
  /** Frames whose GPU work failed: they were never visible. */
  uint32_t failed;
  /** Slots that have memory now. */
  uint32_t slots;
  /** Memories that left the ring and that subscribers have not let go of. */
  uint32_t slots_outside;
  /** Readers that lost their connection for what they held. */
  uint32_t evictions;
  uint32_t reserved;
  /** Bytes that both kinds of memory may take. */
  uint64_t memory_limit;
};

/** One thing that happened. */
struct cuframes_publisher_event {
  /** What happened. */
  uint32_t kind;
  /** Slots that have memory, where it grew or shrank. */
  uint32_t slots;
  /** Of the reader, or of the one that holds most where the ring grew; 0 across PID namespaces. */
  int32_t pid;
  /** Frames that it holds. */
  uint32_t frames;
  /** How long ago the oldest of them was published; or how long the reader is refused from now on. */
  uint64_t duration_ns;
  /** CLOCK_MONOTONIC. */
  uint64_t at_ns;
  /** The reader's name, NUL-padded. */
  char name[32];
};

/** What a track's packets are. Text is NUL-padded UTF-8. */
struct cuframes_track_info {
  /** A kind of track. */
  uint32_t kind;
  /** FFmpeg's AVCodecID. */
  uint32_t codec_id;
  /** Counts what the track has been, from 1: each codec that it changes to. */
  uint32_t generation;
  /** Of audio, in Hz; 0: not known. */
  uint32_t sample_rate;
  /** Of audio; 0: not known. */
  uint32_t channels;
  /** Of video, in pixels; 0: not known. */
  uint32_t width;
  uint32_t height;
  /** The track's number. */
  uint32_t index;
  /** BCP 47 or ISO 639-2; empty: not known. */
  char language[16];
  /** For people, and to find a track by; empty: none. */
  char label[64];
  /** Of what FFmpeg has no number for, as `json`; else empty. */
  char codec_name[48];
};

/** What a track and its ring are to be. */
struct cuframes_packet_options {
  /** What the packets are. Its generation is counted by the publisher. */
  struct cuframes_track_info track;
  /** Packets that the ring remembers, 1 to PACKETS_MAX. */
  uint32_t ring_slots;
  /** Bytes of them together, at most 1 GiB. */
  uint32_t data_size;
  /** Bytes of one, 1 to `data_size`. */
  uint32_t max_packet_size;
  /** 1: also as /dev/shm/cuframes-<key>-packets, which track 0 alone can be. */
  uint32_t named;
  uint32_t reserved;
  /** Bytes of `extradata` that are used; 0: there is none yet. */
  uint32_t extradata_size;
  /** What readers are given from the beginning; cuframes_publisher_set_extradata replaces it. */
  uint8_t extradata[4096];
};

/** What a packet is published with. */
struct cuframes_packet_record {
  int64_t timestamp_ns;
  int64_t decode_timestamp_ns;
  /** Flags of a packet. */
  uint32_t flags;
  /** Bytes of the packet. */
  uint32_t size;
  /** Out: the packet's number, from 0. */
  uint64_t sequence;
};

/** What a connection is for. Text is NUL-padded. */
struct cuframes_subscriber_options {
  /** The publisher's. */
  char key[64];
  /** The runtime directory. Empty: the first where somebody publishes under the key, by docs/protocol.md. */
  char directory[108];
  /** For the publisher's reports. */
  char name[32];
  uint32_t mode;
  uint32_t wants;
  /** How long to wait for a publisher: 0 not at all, negative for ever. */
  int32_t timeout_ms;
  /**
   * Milliseconds to wait before the first attempt, which count as time waited; for those who connect again and
   * again.
   */
  uint32_t delay_ms;
};

/** A frame that is held. */
struct cuframes_frame {
  /** For cuframes_subscriber_clone and cuframes_subscriber_release. */
  uint32_t lease;
  /** Where it is: see cuframes_subscriber_slot_address. */
  uint32_t slot;
  /** The frame's number, from 1. */
  uint64_t sequence;
  /** The publisher's, on any clock. */
  int64_t timestamp_ns;
  uint64_t duration_ns;
  /** CLOCK_MONOTONIC at publish. */
  uint64_t published_ns;
  /**
   * When the picture was taken, in UTC since 1970, by the camera's clock where it tells, else when it arrived; 0:
   * not known.
   */
  int64_t capture_time_ns;
  /** Flags of a frame. */
  uint32_t flags;
  /** Bytes of `metadata` that are used. */
  uint32_t metadata_size;
  struct cuframes_picture picture;
  uint8_t metadata[1024];
};

/** A subscriber's counters. */
struct cuframes_subscriber_stats {
  /** Frames delivered. */
  uint64_t received;
  /** Frames that were gone before it was their turn, in ordered mode; that a newer one overtook, in newest mode. */
  uint64_t dropped;
  /** Published after the last frame delivered. */
  uint64_t lag;
  /** Leases that are not released yet. */
  uint32_t held;
  /** 1 once the publisher is gone. */
  uint32_t disconnected;
  /** Slots that this process has mapped. */
  uint32_t slots;
  /** 1 once the publisher has ended the connection for what was held. */
  uint32_t evicted;
};

/** What a packet reader is to read. Text is NUL-padded. */
struct cuframes_packet_reader_options {
  /** The track's number; TRACK_ANY: the first that is of `kind` and `label`. */
  uint32_t track;
  /** A kind of track; 0: any. */
  uint32_t kind;
  uint32_t since;
  /** 1: where the track is still to come, cuframes_packet_reader_next waits for it; 0: NO_PACKET_RING. */
  uint32_t wait;
  /** For Since.ago. */
  uint64_t ago_ns;
  /**
   * The handle of a reader of an earlier connection, which this one goes on from: behind it where the publisher is
   * the same, at its first packet where it is another; 0: there is none.
   */
  uint32_t after;
  uint32_t reserved;
  /** Empty: any. */
  char label[64];
};

/** A packet that can be copied. */
struct cuframes_packet {
  int64_t timestamp_ns;
  int64_t decode_timestamp_ns;
  /** The packet's number on its track, from 0. */
  uint64_t sequence;
  /** Bytes of the packet. */
  uint32_t size;
  /** Flags of a packet. */
  uint32_t flags;
  /** Of the track that it belongs to: when this changes, so has what cuframes_packet_reader_track says. */
  uint32_t generation;
  uint32_t reserved;
};

/** A packet reader's counters. */
struct cuframes_packet_stats {
  /** Packets delivered. */
  uint64_t received;
  /** Packets that were overwritten before they could be read. */
  uint64_t lost;
  /** Published after the last packet delivered. */
  uint64_t lag;
  /** FFmpeg's AVCodecID; 0 while there is no such track. */
  uint32_t codec_id;
  uint32_t reserved;
};

/** What every message begins with. */
struct cuframes_prefix {
  uint32_t magic;
  uint32_t version;
  uint32_t kind;
  /** Of the whole message. */
  uint32_t size;
};

/** What a publisher knows of a subscriber. */
struct cuframes_report_subscriber {
  /** NUL-padded. */
  char name[32];
  /** 0 across PID namespaces. */
  int32_t pid;
  uint32_t mode;
  uint32_t wants;
  /** Frames that it holds. */
  uint32_t held;
  /** As the subscriber wrote them in its lease page. */
  uint64_t received;
  uint64_t dropped;
  uint64_t cursor;
  uint64_t packets_received;
  uint64_t packets_lost;
  /** CLOCK_MONOTONIC when it came. */
  uint64_t connected_ns;
  /** How long ago the oldest frame that it holds was published; 0: it holds none. */
  uint64_t held_ns;
};

/** How a reader lost its connection. */
struct cuframes_eviction {
  /** NUL-padded. */
  char name[32];
  /** 0 across PID namespaces. */
  int32_t pid;
  /** Frames that it held. */
  uint32_t frames;
  /** How long ago the oldest of them had been published. */
  uint64_t held_ns;
  /** CLOCK_MONOTONIC when it was evicted; 0: nobody was yet. */
  uint64_t at_ns;
};

/** What a publisher tells an inspector of a track. */
struct cuframes_report_track {
  /** Packets published. */
  uint64_t published;
  /** Payload of them, in bytes. */
  uint64_t bytes;
  struct cuframes_track_info info;
};

/**
 * Publisher to an inspector. The publisher's own view, answered by its control thread. `size` counts only the
 * subscribers that are there.
 */
struct cuframes_report {
  struct cuframes_prefix prefix;
  uint64_t publisher_pid;
  /** CLOCK_MONOTONIC when the ring was made, and when this was written. */
  uint64_t created_ns;
  uint64_t now_ns;
  /** A kind of memory. */
  uint32_t memory;
  /** Slots that have memory now. */
  uint32_t slot_count;
  uint32_t policy;
  uint32_t slots_leased;
  struct cuframes_geometry geometry;
  uint64_t slot_size;
  /** How many slots the ring may have. */
  uint32_t max_slots;
  /** Memories outside the ring that evicted readers still hold. */
  uint32_t slots_outside;
  /** Bytes that the memories of both kinds may take. */
  uint64_t memory_limit;
  /** Readers evicted so far. */
  uint32_t evictions;
  /** 1: there are no frames. */
  uint32_t packets_only;
  struct cuframes_eviction last_eviction;
  /** The newest frame's; nothing is said before there is one. */
  struct cuframes_picture picture;
  uint64_t published;
  uint64_t newest_published_ns;
  /** Frames per 1000 s over the frames that are in the ring; 0 with fewer than two. */
  uint64_t rate_millihertz;
  /** Of all tracks. */
  uint64_t packets_published;
  /** How many of `tracks` there are. */
  uint32_t track_count;
  /** Connections dropped for what they sent or failed to send. */
  uint32_t rejected;
  /** A GPU's UUID; all zero for the host. */
  uint8_t device[16];
  /** How many of `subscribers` there are. */
  uint32_t subscriber_count;
  uint32_t reserved;
  /** By their numbers. */
  struct cuframes_report_track tracks[8];
  struct cuframes_report_subscriber subscribers[64];
};

/** A CUdeviceptr, and the bytes from row to row. */
struct cuframes_source_plane {
  uint64_t address;
  uint64_t stride;
};

/** Where the planes of somebody else's picture are, on the same device. */
struct cuframes_copy_source {
  /** CUstream that orders the copy, where `has_stream` is 1; else the library's own. */
  uint64_t stream;
  uint32_t has_stream;
  uint32_t plane_count;
  struct cuframes_source_plane planes[3];
};

/** A CUDA device that this process sees. */
struct cuframes_device {
  /** Bytes of memory on the device. */
  uint64_t total_memory;
  /** The same in every process, container and order of devices. */
  uint8_t uuid[16];
  /** The driver's name for it, zero-terminated UTF-8. */
  char name[128];
  /** Its number in this process, which CUDA_VISIBLE_DEVICES changes. */
  uint32_t ordinal;
  uint32_t compute_capability_major;
  uint32_t compute_capability_minor;
  /** The CUDA version that the driver is for: 1000 × major + 10 × minor. */
  uint32_t driver_version;
  /** 1 where the device has it, else 0. Frames need the first two. */
  uint8_t virtual_memory_management;
  uint8_t posix_file_descriptors;
  uint8_t dma_buf;
  uint8_t reserved[5];
};

/** Who the peer was, as the kernel saw it, when it connected or began to listen. */
struct cuframes_credentials {
  /** 0 where its process has no name in our PID namespace. */
  int32_t pid;
  uint32_t uid;
  uint32_t gid;
};

/** What came with a message, beside its bytes. The descriptors are the caller's, each to be closed once. */
struct cuframes_received {
  /** Bytes of the message. */
  uint32_t size;
  /** How many of `descriptors` there are. */
  uint32_t descriptor_count;
  int32_t descriptors[253];
};

/** One plane of somebody else's picture. */
struct cuframes_image_source_plane {
  /** A dma-buf or memfd; stays the caller's. */
  int32_t fd;
  /** Bytes from row to row, 1 to 2^31 - 1. */
  uint32_t stride;
  /** Bytes from the buffer's first to the plane's. */
  uint64_t offset;
};

/** What is to be imported. */
struct cuframes_image_options {
  /** Pixels, 1 to DIMENSION_MAX. */
  uint32_t width;
  uint32_t height;
  /** Of drm_fourcc.h. */
  uint32_t fourcc;
  uint32_t plane_count;
  /**
   * Of drm_fourcc.h, where `has_modifier` is 1 and it is not DRM_FORMAT_MOD_INVALID; else the exporter's own choice,
   * which on the host is linear.
   */
  uint64_t modifier;
  uint32_t has_modifier;
  /** A kind of memory: host, to be read by the CPU, or CUDA, to be registered with it. */
  uint32_t memory;
  struct cuframes_image_source_plane planes[4];
  /** For CUDA: its number or UUID; empty: the first. */
  char device[48];
};

/** Where a plane of an image is. */
struct cuframes_image_plane {
  /** A CUdeviceptr, or by the image's layout a CUarray; 0 on the host. */
  uint64_t address;
  /** On the host: bytes from the buffer's first to the plane's. */
  uint64_t offset;
  /** Bytes from row to row; 0 for an array. */
  uint32_t stride;
  uint32_t rows;
  /** Bytes of a row that are picture. */
  uint32_t row_bytes;
  uint32_t reserved;
};

/** An image, as it was imported. */
struct cuframes_image_info {
  /** Pixels. */
  uint32_t width;
  uint32_t height;
  /** Of drm_fourcc.h. */
  uint32_t fourcc;
  uint32_t plane_count;
  /** A kind of memory. */
  uint32_t memory;
  /** An image layout. */
  uint32_t layout;
  struct cuframes_image_plane planes[2];
  /** The GPU's UUID; all zero for the host. */
  uint8_t device[16];
};

/** A layout of pixels that can be imported. */
struct cuframes_dmabuf_pair {
  /** Of drm_fourcc.h; 0x00ffffffffffffff: the format without one. */
  uint64_t modifier;
  /** Of drm_fourcc.h. */
  uint32_t fourcc;
  /** 1: EGL cannot render to it; CUDA reads it all the same. */
  uint32_t external_only;
};

/* The layout that the library was compiled with. */
#if defined(__cplusplus) && __cplusplus >= 201103L
#define CUFRAMES_ASSERT(condition) static_assert(condition, #condition)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define CUFRAMES_ASSERT(condition) _Static_assert(condition, #condition)
#else
#define CUFRAMES_ASSERT(condition) extern char cuframes_assertion[(condition) ? 1 : -1]
#endif

CUFRAMES_ASSERT(sizeof(struct cuframes_plane) == 24);
CUFRAMES_ASSERT(offsetof(struct cuframes_plane, offset) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_plane, stride) == 8);
CUFRAMES_ASSERT(offsetof(struct cuframes_plane, rows) == 12);
CUFRAMES_ASSERT(offsetof(struct cuframes_plane, row_bytes) == 16);
CUFRAMES_ASSERT(offsetof(struct cuframes_plane, reserved) == 20);
CUFRAMES_ASSERT(sizeof(struct cuframes_geometry) == 104);
CUFRAMES_ASSERT(offsetof(struct cuframes_geometry, format) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_geometry, width) == 4);
CUFRAMES_ASSERT(offsetof(struct cuframes_geometry, height) == 8);
CUFRAMES_ASSERT(offsetof(struct cuframes_geometry, alignment) == 12);
CUFRAMES_ASSERT(offsetof(struct cuframes_geometry, plane_count) == 16);
CUFRAMES_ASSERT(offsetof(struct cuframes_geometry, reserved) == 20);
CUFRAMES_ASSERT(offsetof(struct cuframes_geometry, frame_size) == 24);
CUFRAMES_ASSERT(offsetof(struct cuframes_geometry, planes) == 32);
CUFRAMES_ASSERT(sizeof(struct cuframes_publisher_options) == 272);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_options, key) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_options, directory) == 64);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_options, format) == 172);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_options, width) == 176);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_options, height) == 180);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_options, slots) == 184);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_options, max_slots) == 188);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_options, policy) == 192);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_options, memory) == 196);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_options, socket_mode) == 200);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_options, packets_only) == 204);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_options, reserved) == 208);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_options, device) == 212);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_options, memory_limit) == 264);
CUFRAMES_ASSERT(sizeof(struct cuframes_ring_info) == 152);
CUFRAMES_ASSERT(offsetof(struct cuframes_ring_info, geometry) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_ring_info, slot_size) == 104);
CUFRAMES_ASSERT(offsetof(struct cuframes_ring_info, publisher_pid) == 112);
CUFRAMES_ASSERT(offsetof(struct cuframes_ring_info, memory) == 120);
CUFRAMES_ASSERT(offsetof(struct cuframes_ring_info, max_slots) == 124);
CUFRAMES_ASSERT(offsetof(struct cuframes_ring_info, packets_only) == 128);
CUFRAMES_ASSERT(offsetof(struct cuframes_ring_info, reserved) == 132);
CUFRAMES_ASSERT(offsetof(struct cuframes_ring_info, device) == 136);
CUFRAMES_ASSERT(sizeof(struct cuframes_picture) == 48);
CUFRAMES_ASSERT(offsetof(struct cuframes_picture, visible_x) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_picture, visible_y) == 4);
CUFRAMES_ASSERT(offsetof(struct cuframes_picture, visible_width) == 8);
CUFRAMES_ASSERT(offsetof(struct cuframes_picture, visible_height) == 12);
CUFRAMES_ASSERT(offsetof(struct cuframes_picture, display_width) == 16);
CUFRAMES_ASSERT(offsetof(struct cuframes_picture, display_height) == 20);
CUFRAMES_ASSERT(offsetof(struct cuframes_picture, aspect_num) == 24);
CUFRAMES_ASSERT(offsetof(struct cuframes_picture, aspect_den) == 28);
CUFRAMES_ASSERT(offsetof(struct cuframes_picture, rotation) == 32);
CUFRAMES_ASSERT(offsetof(struct cuframes_picture, flip) == 36);
CUFRAMES_ASSERT(offsetof(struct cuframes_picture, field_order) == 37);
CUFRAMES_ASSERT(offsetof(struct cuframes_picture, primaries) == 38);
CUFRAMES_ASSERT(offsetof(struct cuframes_picture, transfer) == 39);
CUFRAMES_ASSERT(offsetof(struct cuframes_picture, matrix) == 40);
CUFRAMES_ASSERT(offsetof(struct cuframes_picture, range) == 41);
CUFRAMES_ASSERT(offsetof(struct cuframes_picture, chroma_location) == 42);
CUFRAMES_ASSERT(offsetof(struct cuframes_picture, reserved) == 43);
CUFRAMES_ASSERT(sizeof(struct cuframes_publish_record) == 1128);
CUFRAMES_ASSERT(offsetof(struct cuframes_publish_record, timestamp_ns) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_publish_record, duration_ns) == 8);
CUFRAMES_ASSERT(offsetof(struct cuframes_publish_record, flags) == 16);
CUFRAMES_ASSERT(offsetof(struct cuframes_publish_record, metadata_size) == 20);
CUFRAMES_ASSERT(offsetof(struct cuframes_publish_record, sequence) == 24);
CUFRAMES_ASSERT(offsetof(struct cuframes_publish_record, stream) == 32);
CUFRAMES_ASSERT(offsetof(struct cuframes_publish_record, has_stream) == 40);
CUFRAMES_ASSERT(offsetof(struct cuframes_publish_record, reserved) == 44);
CUFRAMES_ASSERT(offsetof(struct cuframes_publish_record, capture_time_ns) == 48);
CUFRAMES_ASSERT(offsetof(struct cuframes_publish_record, picture) == 56);
CUFRAMES_ASSERT(offsetof(struct cuframes_publish_record, metadata) == 104);
CUFRAMES_ASSERT(sizeof(struct cuframes_publisher_stats) == 56);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_stats, published) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_stats, packets_published) == 8);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_stats, subscribers) == 16);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_stats, slots_leased) == 20);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_stats, rejected) == 24);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_stats, failed) == 28);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_stats, slots) == 32);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_stats, slots_outside) == 36);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_stats, evictions) == 40);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_stats, reserved) == 44);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_stats, memory_limit) == 48);
CUFRAMES_ASSERT(sizeof(struct cuframes_publisher_event) == 64);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_event, kind) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_event, slots) == 4);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_event, pid) == 8);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_event, frames) == 12);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_event, duration_ns) == 16);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_event, at_ns) == 24);
CUFRAMES_ASSERT(offsetof(struct cuframes_publisher_event, name) == 32);
CUFRAMES_ASSERT(sizeof(struct cuframes_track_info) == 160);
CUFRAMES_ASSERT(offsetof(struct cuframes_track_info, kind) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_track_info, codec_id) == 4);
CUFRAMES_ASSERT(offsetof(struct cuframes_track_info, generation) == 8);
CUFRAMES_ASSERT(offsetof(struct cuframes_track_info, sample_rate) == 12);
CUFRAMES_ASSERT(offsetof(struct cuframes_track_info, channels) == 16);
CUFRAMES_ASSERT(offsetof(struct cuframes_track_info, width) == 20);
CUFRAMES_ASSERT(offsetof(struct cuframes_track_info, height) == 24);
CUFRAMES_ASSERT(offsetof(struct cuframes_track_info, index) == 28);
CUFRAMES_ASSERT(offsetof(struct cuframes_track_info, language) == 32);
CUFRAMES_ASSERT(offsetof(struct cuframes_track_info, label) == 48);
CUFRAMES_ASSERT(offsetof(struct cuframes_track_info, codec_name) == 112);
CUFRAMES_ASSERT(sizeof(struct cuframes_packet_options) == 4280);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet_options, track) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet_options, ring_slots) == 160);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet_options, data_size) == 164);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet_options, max_packet_size) == 168);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet_options, named) == 172);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet_options, reserved) == 176);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet_options, extradata_size) == 180);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet_options, extradata) == 184);
CUFRAMES_ASSERT(sizeof(struct cuframes_packet_record) == 32);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet_record, timestamp_ns) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet_record, decode_timestamp_ns) == 8);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet_record, flags) == 16);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet_record, size) == 20);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet_record, sequence) == 24);
CUFRAMES_ASSERT(sizeof(struct cuframes_subscriber_options) == 220);
CUFRAMES_ASSERT(offsetof(struct cuframes_subscriber_options, key) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_subscriber_options, directory) == 64);
CUFRAMES_ASSERT(offsetof(struct cuframes_subscriber_options, name) == 172);
CUFRAMES_ASSERT(offsetof(struct cuframes_subscriber_options, mode) == 204);
CUFRAMES_ASSERT(offsetof(struct cuframes_subscriber_options, wants) == 208);
CUFRAMES_ASSERT(offsetof(struct cuframes_subscriber_options, timeout_ms) == 212);
CUFRAMES_ASSERT(offsetof(struct cuframes_subscriber_options, delay_ms) == 216);
CUFRAMES_ASSERT(sizeof(struct cuframes_frame) == 1128);
CUFRAMES_ASSERT(offsetof(struct cuframes_frame, lease) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_frame, slot) == 4);
CUFRAMES_ASSERT(offsetof(struct cuframes_frame, sequence) == 8);
CUFRAMES_ASSERT(offsetof(struct cuframes_frame, timestamp_ns) == 16);
CUFRAMES_ASSERT(offsetof(struct cuframes_frame, duration_ns) == 24);
CUFRAMES_ASSERT(offsetof(struct cuframes_frame, published_ns) == 32);
CUFRAMES_ASSERT(offsetof(struct cuframes_frame, capture_time_ns) == 40);
CUFRAMES_ASSERT(offsetof(struct cuframes_frame, flags) == 48);
CUFRAMES_ASSERT(offsetof(struct cuframes_frame, metadata_size) == 52);
CUFRAMES_ASSERT(offsetof(struct cuframes_frame, picture) == 56);
CUFRAMES_ASSERT(offsetof(struct cuframes_frame, metadata) == 104);
CUFRAMES_ASSERT(sizeof(struct cuframes_subscriber_stats) == 40);
CUFRAMES_ASSERT(offsetof(struct cuframes_subscriber_stats, received) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_subscriber_stats, dropped) == 8);
CUFRAMES_ASSERT(offsetof(struct cuframes_subscriber_stats, lag) == 16);
CUFRAMES_ASSERT(offsetof(struct cuframes_subscriber_stats, held) == 24);
CUFRAMES_ASSERT(offsetof(struct cuframes_subscriber_stats, disconnected) == 28);
CUFRAMES_ASSERT(offsetof(struct cuframes_subscriber_stats, slots) == 32);
CUFRAMES_ASSERT(offsetof(struct cuframes_subscriber_stats, evicted) == 36);
CUFRAMES_ASSERT(sizeof(struct cuframes_packet_reader_options) == 96);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet_reader_options, track) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet_reader_options, kind) == 4);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet_reader_options, since) == 8);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet_reader_options, wait) == 12);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet_reader_options, ago_ns) == 16);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet_reader_options, after) == 24);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet_reader_options, reserved) == 28);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet_reader_options, label) == 32);
CUFRAMES_ASSERT(sizeof(struct cuframes_packet) == 40);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet, timestamp_ns) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet, decode_timestamp_ns) == 8);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet, sequence) == 16);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet, size) == 24);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet, flags) == 28);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet, generation) == 32);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet, reserved) == 36);
CUFRAMES_ASSERT(sizeof(struct cuframes_packet_stats) == 32);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet_stats, received) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet_stats, lost) == 8);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet_stats, lag) == 16);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet_stats, codec_id) == 24);
CUFRAMES_ASSERT(offsetof(struct cuframes_packet_stats, reserved) == 28);
CUFRAMES_ASSERT(sizeof(struct cuframes_prefix) == 16);
CUFRAMES_ASSERT(offsetof(struct cuframes_prefix, magic) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_prefix, version) == 4);
CUFRAMES_ASSERT(offsetof(struct cuframes_prefix, kind) == 8);
CUFRAMES_ASSERT(offsetof(struct cuframes_prefix, size) == 12);
CUFRAMES_ASSERT(sizeof(struct cuframes_report_subscriber) == 104);
CUFRAMES_ASSERT(offsetof(struct cuframes_report_subscriber, name) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_report_subscriber, pid) == 32);
CUFRAMES_ASSERT(offsetof(struct cuframes_report_subscriber, mode) == 36);
CUFRAMES_ASSERT(offsetof(struct cuframes_report_subscriber, wants) == 40);
CUFRAMES_ASSERT(offsetof(struct cuframes_report_subscriber, held) == 44);
CUFRAMES_ASSERT(offsetof(struct cuframes_report_subscriber, received) == 48);
CUFRAMES_ASSERT(offsetof(struct cuframes_report_subscriber, dropped) == 56);
CUFRAMES_ASSERT(offsetof(struct cuframes_report_subscriber, cursor) == 64);
CUFRAMES_ASSERT(offsetof(struct cuframes_report_subscriber, packets_received) == 72);
CUFRAMES_ASSERT(offsetof(struct cuframes_report_subscriber, packets_lost) == 80);
CUFRAMES_ASSERT(offsetof(struct cuframes_report_subscriber, connected_ns) == 88);
CUFRAMES_ASSERT(offsetof(struct cuframes_report_subscriber, held_ns) == 96);
CUFRAMES_ASSERT(sizeof(struct cuframes_eviction) == 56);
CUFRAMES_ASSERT(offsetof(struct cuframes_eviction, name) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_eviction, pid) == 32);
CUFRAMES_ASSERT(offsetof(struct cuframes_eviction, frames) == 36);
CUFRAMES_ASSERT(offsetof(struct cuframes_eviction, held_ns) == 40);
CUFRAMES_ASSERT(offsetof(struct cuframes_eviction, at_ns) == 48);
CUFRAMES_ASSERT(sizeof(struct cuframes_report_track) == 176);
CUFRAMES_ASSERT(offsetof(struct cuframes_report_track, published) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_report_track, bytes) == 8);
CUFRAMES_ASSERT(offsetof(struct cuframes_report_track, info) == 16);
CUFRAMES_ASSERT(sizeof(struct cuframes_report) == 8424);
CUFRAMES_ASSERT(offsetof(struct cuframes_report, prefix) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_report, publisher_pid) == 16);
CUFRAMES_ASSERT(offsetof(struct cuframes_report, created_ns) == 24);
CUFRAMES_ASSERT(offsetof(struct cuframes_report, now_ns) == 32);
CUFRAMES_ASSERT(offsetof(struct cuframes_report, memory) == 40);
CUFRAMES_ASSERT(offsetof(struct cuframes_report, slot_count) == 44);
CUFRAMES_ASSERT(offsetof(struct cuframes_report, policy) == 48);
CUFRAMES_ASSERT(offsetof(struct cuframes_report, slots_leased) == 52);
CUFRAMES_ASSERT(offsetof(struct cuframes_report, geometry) == 56);
CUFRAMES_ASSERT(offsetof(struct cuframes_report, slot_size) == 160);
CUFRAMES_ASSERT(offsetof(struct cuframes_report, max_slots) == 168);
CUFRAMES_ASSERT(offsetof(struct cuframes_report, slots_outside) == 172);
CUFRAMES_ASSERT(offsetof(struct cuframes_report, memory_limit) == 176);
CUFRAMES_ASSERT(offsetof(struct cuframes_report, evictions) == 184);
CUFRAMES_ASSERT(offsetof(struct cuframes_report, packets_only) == 188);
CUFRAMES_ASSERT(offsetof(struct cuframes_report, last_eviction) == 192);
CUFRAMES_ASSERT(offsetof(struct cuframes_report, picture) == 248);
CUFRAMES_ASSERT(offsetof(struct cuframes_report, published) == 296);
CUFRAMES_ASSERT(offsetof(struct cuframes_report, newest_published_ns) == 304);
CUFRAMES_ASSERT(offsetof(struct cuframes_report, rate_millihertz) == 312);
CUFRAMES_ASSERT(offsetof(struct cuframes_report, packets_published) == 320);
CUFRAMES_ASSERT(offsetof(struct cuframes_report, track_count) == 328);
CUFRAMES_ASSERT(offsetof(struct cuframes_report, rejected) == 332);
CUFRAMES_ASSERT(offsetof(struct cuframes_report, device) == 336);
CUFRAMES_ASSERT(offsetof(struct cuframes_report, subscriber_count) == 352);
CUFRAMES_ASSERT(offsetof(struct cuframes_report, reserved) == 356);
CUFRAMES_ASSERT(offsetof(struct cuframes_report, tracks) == 360);
CUFRAMES_ASSERT(offsetof(struct cuframes_report, subscribers) == 1768);
CUFRAMES_ASSERT(sizeof(struct cuframes_source_plane) == 16);
CUFRAMES_ASSERT(offsetof(struct cuframes_source_plane, address) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_source_plane, stride) == 8);
CUFRAMES_ASSERT(sizeof(struct cuframes_copy_source) == 64);
CUFRAMES_ASSERT(offsetof(struct cuframes_copy_source, stream) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_copy_source, has_stream) == 8);
CUFRAMES_ASSERT(offsetof(struct cuframes_copy_source, plane_count) == 12);
CUFRAMES_ASSERT(offsetof(struct cuframes_copy_source, planes) == 16);
CUFRAMES_ASSERT(sizeof(struct cuframes_device) == 176);
CUFRAMES_ASSERT(offsetof(struct cuframes_device, total_memory) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_device, uuid) == 8);
CUFRAMES_ASSERT(offsetof(struct cuframes_device, name) == 24);
CUFRAMES_ASSERT(offsetof(struct cuframes_device, ordinal) == 152);
CUFRAMES_ASSERT(offsetof(struct cuframes_device, compute_capability_major) == 156);
CUFRAMES_ASSERT(offsetof(struct cuframes_device, compute_capability_minor) == 160);
CUFRAMES_ASSERT(offsetof(struct cuframes_device, driver_version) == 164);
CUFRAMES_ASSERT(offsetof(struct cuframes_device, virtual_memory_management) == 168);
CUFRAMES_ASSERT(offsetof(struct cuframes_device, posix_file_descriptors) == 169);
CUFRAMES_ASSERT(offsetof(struct cuframes_device, dma_buf) == 170);
CUFRAMES_ASSERT(offsetof(struct cuframes_device, reserved) == 171);
CUFRAMES_ASSERT(sizeof(struct cuframes_credentials) == 12);
CUFRAMES_ASSERT(offsetof(struct cuframes_credentials, pid) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_credentials, uid) == 4);
CUFRAMES_ASSERT(offsetof(struct cuframes_credentials, gid) == 8);
CUFRAMES_ASSERT(sizeof(struct cuframes_received) == 1020);
CUFRAMES_ASSERT(offsetof(struct cuframes_received, size) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_received, descriptor_count) == 4);
CUFRAMES_ASSERT(offsetof(struct cuframes_received, descriptors) == 8);
CUFRAMES_ASSERT(sizeof(struct cuframes_image_source_plane) == 16);
CUFRAMES_ASSERT(offsetof(struct cuframes_image_source_plane, fd) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_image_source_plane, stride) == 4);
CUFRAMES_ASSERT(offsetof(struct cuframes_image_source_plane, offset) == 8);
CUFRAMES_ASSERT(sizeof(struct cuframes_image_options) == 144);
CUFRAMES_ASSERT(offsetof(struct cuframes_image_options, width) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_image_options, height) == 4);
CUFRAMES_ASSERT(offsetof(struct cuframes_image_options, fourcc) == 8);
CUFRAMES_ASSERT(offsetof(struct cuframes_image_options, plane_count) == 12);
CUFRAMES_ASSERT(offsetof(struct cuframes_image_options, modifier) == 16);
CUFRAMES_ASSERT(offsetof(struct cuframes_image_options, has_modifier) == 24);
CUFRAMES_ASSERT(offsetof(struct cuframes_image_options, memory) == 28);
CUFRAMES_ASSERT(offsetof(struct cuframes_image_options, planes) == 32);
CUFRAMES_ASSERT(offsetof(struct cuframes_image_options, device) == 96);
CUFRAMES_ASSERT(sizeof(struct cuframes_image_plane) == 32);
CUFRAMES_ASSERT(offsetof(struct cuframes_image_plane, address) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_image_plane, offset) == 8);
CUFRAMES_ASSERT(offsetof(struct cuframes_image_plane, stride) == 16);
CUFRAMES_ASSERT(offsetof(struct cuframes_image_plane, rows) == 20);
CUFRAMES_ASSERT(offsetof(struct cuframes_image_plane, row_bytes) == 24);
CUFRAMES_ASSERT(offsetof(struct cuframes_image_plane, reserved) == 28);
CUFRAMES_ASSERT(sizeof(struct cuframes_image_info) == 104);
CUFRAMES_ASSERT(offsetof(struct cuframes_image_info, width) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_image_info, height) == 4);
CUFRAMES_ASSERT(offsetof(struct cuframes_image_info, fourcc) == 8);
CUFRAMES_ASSERT(offsetof(struct cuframes_image_info, plane_count) == 12);
CUFRAMES_ASSERT(offsetof(struct cuframes_image_info, memory) == 16);
CUFRAMES_ASSERT(offsetof(struct cuframes_image_info, layout) == 20);
CUFRAMES_ASSERT(offsetof(struct cuframes_image_info, planes) == 24);
CUFRAMES_ASSERT(offsetof(struct cuframes_image_info, device) == 88);
CUFRAMES_ASSERT(sizeof(struct cuframes_dmabuf_pair) == 16);
CUFRAMES_ASSERT(offsetof(struct cuframes_dmabuf_pair, modifier) == 0);
CUFRAMES_ASSERT(offsetof(struct cuframes_dmabuf_pair, fourcc) == 8);
CUFRAMES_ASSERT(offsetof(struct cuframes_dmabuf_pair, external_only) == 12);

#undef CUFRAMES_ASSERT

#ifdef __cplusplus
extern "C" {
#endif

/** Called on a thread of the library; the runtimes' callbacks queue it for their event loop. */
typedef void (*cuframes_callback)(uint32_t token);

/** To be called first; also keeps the library in the process for good, because its threads never end. */
uint32_t cuframes_abi_version(void);

/** Copies the sentence for this thread's last failure, without a NUL; returns its size. */
int32_t cuframes_error_message(void *buffer, uint32_t size);

/** CLOCK_MONOTONIC in nanoseconds, the clock of every frame's published_ns. */
uint64_t cuframes_now_ns(void);

/**
 * Writes the directories where publishers of this user may be, best first, each with a NUL behind it; returns how many
 * bytes that are. `option` is a directory that the caller names, which is then the only one; of size 0 there is none.
 */
int32_t cuframes_runtime_directories(const void *option, uint32_t option_size, void *buffer, uint32_t size);

/**
 * Whether this user may see which sockets are in a directory: 0, also where there is no such directory; else
 * Permission, with the reason.
 */
int32_t cuframes_runtime_directory_check(const void *folder, uint32_t folder_size);

/**
 * Removes the socket and the lock's file that a dead publisher of a key has left in a directory. Returns 1; 0 where
 * there is nothing that is certainly nobody's.
 */
int32_t cuframes_runtime_directory_clean(const void *folder, uint32_t folder_size, const void *key, uint32_t key_size);

/** Lets the library's threads call this callback; to be called before it is given to any function. */
int32_t cuframes_callback_open(cuframes_callback callback);

/**
 * For a runtime whose callbacks only its own threads may call: writes the address of a callback that sends its token,
 * four bytes, through a stream socket, and returns the end to read it from. The callback is open already.
 */
int32_t cuframes_callback_socket(uint64_t *callback);

/** For an event loop that is about to end: no thread calls the callback afterwards. */
void cuframes_callback_close(cuframes_callback callback);

/**
 * Makes this thread an environment: everything that it makes from here on is closed when it ends, as a JavaScript
 * worker may at any moment, or by cuframes_environment_close.
 */
int32_t cuframes_environment_open(void);

/**
 * Closes everything that this thread has made since cuframes_environment_open. Memory that it could reach can still be
 * read and written, but is nobody else's any more.
 */
void cuframes_environment_close(void);

/**
 * Fills a table of at most `capacity` CUDA devices; returns how many there are in it. UNSUPPORTED, with the reason,
 * where CUDA cannot be used.
 */
int32_t cuframes_devices(struct cuframes_device *devices, uint32_t capacity);

/** Holds the primary context of the device with this number, so that other libraries may use it; returns its handle. */
int32_t cuframes_context_open(uint32_t ordinal);

/** Makes a context current on this thread, until cuframes_context_leave. */
int32_t cuframes_context_enter(uint32_t context);

/** Makes current on this thread what was so before cuframes_context_enter. */
int32_t cuframes_context_leave(uint32_t context);

/** Releases a context. */
int32_t cuframes_context_close(uint32_t context);

/**
 * Takes the key, makes the ring and describes it; returns the publisher's handle.
 * tracks: those that are there from the beginning, one behind the other; cuframes_publisher_add_track adds more.
 */
int32_t cuframes_publisher_create(const struct cuframes_publisher_options *options,
                                  const struct cuframes_packet_options *tracks, uint32_t track_count,
                                  struct cuframes_ring_info *info);

/**
 * Where a slot that was acquired is in this process: a pointer, or a CUdeviceptr. It stays the same until the
 * publisher is closed.
 */
uint64_t cuframes_publisher_slot_address(uint32_t publisher, uint32_t slot);

/**
 * Returns a slot to fill, the caller's until it is published or cancelled. WOULD_BLOCK, or TIMEOUT under the policy
 * wait.
 */
int32_t cuframes_publisher_acquire(uint32_t publisher, int32_t timeout_ms);

/** Calls back once when a slot may be free. */
int32_t cuframes_publisher_arm(uint32_t publisher, cuframes_callback callback);

/** Makes an acquired slot visible to every subscriber, and writes the frame's sequence into the record. */
int32_t cuframes_publisher_publish(uint32_t publisher, uint32_t slot, struct cuframes_publish_record *record);

/**
 * Copies a picture without padding from host memory into an acquired slot on a GPU, ordered by the library's stream.
 */
int32_t cuframes_publisher_upload(uint32_t publisher, uint32_t slot, const void *bytes, uint32_t size);

/**
 * Copies an acquired slot's picture without padding to host memory, after the work so far of the CUstream, where
 * `has_stream` is 1, else of the library's.
 */
int32_t cuframes_publisher_download(uint32_t publisher, uint32_t slot, uint64_t stream, uint32_t has_stream,
                                    void *bytes, uint32_t size);

/** Copies a picture that is on the same GPU into an acquired slot, ordered by the source's stream. */
int32_t cuframes_publisher_copy_from(uint32_t publisher, uint32_t slot, const struct cuframes_copy_source *source);

/** Cancels a slot: it is free again, and nobody sees it. */
int32_t cuframes_publisher_cancel(uint32_t publisher, uint32_t slot);

/** Tells what has happened to the ring and was not told yet: the oldest of it. WOULD_BLOCK when there is nothing. */
int32_t cuframes_publisher_next_event(uint32_t publisher, struct cuframes_publisher_event *event);

/** Fills in the counters. */
int32_t cuframes_publisher_stats(uint32_t publisher, struct cuframes_publisher_stats *stats);

/**
 * Ends the ring; subscribers keep what they hold. keep_mapped: 1 where somebody may still reach the slots, which then
 * stay mapped until the process ends.
 */
int32_t cuframes_publisher_close(uint32_t publisher, uint32_t keep_mapped);

/**
 * Blocks until connected: fills `info` and returns the subscriber's handle; or, where a report is all that is wanted,
 * fills `report` and returns 0. The pointer that is not needed may be null.
 */
int32_t cuframes_connect(const struct cuframes_subscriber_options *options, struct cuframes_ring_info *info,
                         struct cuframes_report *report);

/**
 * Starts connecting on another thread; returns a handle for cuframes_connect_finish, and calls back once. Without a
 * callback: see cuframes_connect_arm and cuframes_connect_wait.
 */
int32_t cuframes_connect_start(const struct cuframes_subscriber_options *options, cuframes_callback callback,
                               uint32_t token);

/**
 * Calls back once when cuframes_connect_finish has something to return. Returns 1 where it has already: no call comes.
 * Once for an attempt.
 */
int32_t cuframes_connect_arm(uint32_t attempt, cuframes_callback callback, uint32_t token);

/** Blocks until cuframes_connect_finish has something to return. TIMEOUT, with how far it has come: it goes on. */
int32_t cuframes_connect_wait(uint32_t attempt, int32_t timeout_ms);

/** What cuframes_connect would have returned, or a connected socket's handle; after the callback. */
int32_t cuframes_connect_finish(uint32_t attempt, struct cuframes_ring_info *info, struct cuframes_report *report);

/** Cancels an attempt, or releases it after cuframes_connect_finish. */
int32_t cuframes_connect_close(uint32_t attempt);

/** Where a slot is in this process, until the subscriber is closed; only to be read. */
uint64_t cuframes_subscriber_slot_address(uint32_t subscriber, uint32_t slot);

/**
 * Leases the next frame, which does not change until it is released.
 * timeout_ms: 0 not at all (WOULD_BLOCK), negative for ever. The first spin_us of the wait are spent spinning.
 */
int32_t cuframes_subscriber_next(uint32_t subscriber, int32_t timeout_ms, uint32_t spin_us,
                                 struct cuframes_frame *frame);

/** Calls back once at the next frame or the connection's end. */
int32_t cuframes_subscriber_arm(uint32_t subscriber, cuframes_callback callback);

/** Returns a second lease on a frame that is held. */
int32_t cuframes_subscriber_clone(uint32_t subscriber, uint32_t lease);

/** Ends a lease. */
int32_t cuframes_subscriber_release(uint32_t subscriber, uint32_t lease);

/** Ends a lease on a GPU frame when the CUstream's work so far is done. */
int32_t cuframes_subscriber_release_when_done(uint32_t subscriber, uint32_t lease, uint64_t stream);

/**
 * Copies a held GPU frame to page-locked host memory, once unless `refresh` is 1; returns which of
 * LEASES_MAX buffers, and its address. The bytes stay as they are for as long as the frame is held.
 */
int32_t cuframes_subscriber_to_host(uint32_t subscriber, uint32_t lease, uint32_t refresh, uint64_t *address);

/** Fills in the counters. */
int32_t cuframes_subscriber_stats(uint32_t subscriber, struct cuframes_subscriber_stats *stats);

/**
 * Ends the connection and all leases. keep_mapped: as for cuframes_publisher_close, the copies in host memory
 * included.
 */
int32_t cuframes_subscriber_close(uint32_t subscriber, uint32_t keep_mapped);

/**
 * Adds a track of packets, and hands it to the subscribers that are there and want packets; returns its number.
 * WOULD_BLOCK: there are TRACKS_MAX already.
 */
int32_t cuframes_publisher_add_track(uint32_t publisher, const struct cuframes_packet_options *options);

/**
 * Lets a track go on with packets of another codec, or of other parameters, in another ring. Readers finish the ring
 * before, and find the new generation in the first packet of this one.
 */
int32_t cuframes_publisher_configure_track(uint32_t publisher, uint32_t track,
                                           const struct cuframes_packet_options *options);

/** Replaces the extradata that a track's readers are given: at most EXTRADATA_SIZE_MAX bytes; 0 takes them away. */
int32_t cuframes_publisher_set_extradata(uint32_t publisher, uint32_t track, const void *bytes, uint32_t size);

/** Copies as many bytes as the record says into a track's ring, and writes the packet's sequence into the record. */
int32_t cuframes_publisher_publish_packet(uint32_t publisher, uint32_t track, struct cuframes_packet_record *record,
                                          const void *bytes);

/**
 * Says what a track of the connection is now, with its extradata in a buffer of EXTRADATA_SIZE_MAX bytes; returns
 * their size. NO_PACKET_RING: there is no track of that number.
 */
int32_t cuframes_subscriber_track(uint32_t subscriber, uint32_t track, struct cuframes_track_info *info,
                                  uint8_t extradata[4096]);

/** Returns the handle of a reader of one of the connection's tracks. */
int32_t cuframes_packet_reader_open(uint32_t subscriber, const struct cuframes_packet_reader_options *options);

/** Describes the next packet; cuframes_packet_reader_copy takes it. */
int32_t cuframes_packet_reader_next(uint32_t reader, int32_t timeout_ms, struct cuframes_packet *packet);

/**
 * Copies the packet that was just described, and moves on. PACKET_OVERRUN when the writer was faster: the bytes are
 * then worth nothing.
 */
int32_t cuframes_packet_reader_copy(uint32_t reader, void *destination, uint32_t size);

/**
 * Says what the track is at the packet that was described last, with its extradata in a buffer of EXTRADATA_SIZE_MAX
 * bytes; returns their size. NO_CODEC_PARAMETERS: there are none.
 */
int32_t cuframes_packet_reader_track(uint32_t reader, struct cuframes_track_info *info, uint8_t extradata[4096]);

/** Calls back once at the next packet or the connection's end. */
int32_t cuframes_packet_reader_arm(uint32_t reader, cuframes_callback callback);

/** Fills in the counters. */
int32_t cuframes_packet_reader_stats(uint32_t reader, struct cuframes_packet_stats *stats);

/** Ends a reader; before its subscriber is closed. */
int32_t cuframes_packet_reader_close(uint32_t reader);

/**
 * Imports a dma-buf or memfd, for the CPU or for CUDA; returns an image's handle. The descriptors stay the caller's.
 */
int32_t cuframes_image_import(const struct cuframes_image_options *options, struct cuframes_image_info *info);

/**
 * Registers an EGLImage of the caller's with CUDA; returns an image's handle. `fourcc` 0: what the driver takes it
 * for.
 * `device` names a GPU, as in cuframes_publisher_options.
 */
int32_t cuframes_image_import_egl(uint64_t display, uint64_t egl_image, uint32_t fourcc, const void *device,
                                  uint32_t device_size, struct cuframes_image_info *info);

/**
 * Copies an image into an acquired slot; with `plane` from 0 on, an image of one plane into that plane of it. On a GPU
 * the copy is ordered by the CUstream, where `has_stream` is 1, else by the library's own.
 */
int32_t cuframes_publisher_copy_image(uint32_t publisher, uint32_t slot, uint32_t image, int32_t plane,
                                      uint64_t stream, uint32_t has_stream);

/** Ends an image. What was registered may be kept for the next import of the same buffer: see cuframes_images_trim. */
int32_t cuframes_image_close(uint32_t image);

/** Releases every registration that no image uses, and with it of the buffers. */
void cuframes_images_trim(void);

/** Fills a table of at most `capacity` layouts that EGL imports on a GPU; returns how many there are in it. */
int32_t cuframes_dmabuf_formats(const void *device, uint32_t device_size, struct cuframes_dmabuf_pair *pairs,
                                uint32_t capacity);

/** Returns a dma-buf of a held frame, the caller's to close: on a GPU of the slot itself, on the host of a copy. */
int32_t cuframes_subscriber_export_dmabuf(uint32_t subscriber, uint32_t lease);

/**
 * Starts connecting to a socket on another thread, as cuframes_connect_start. `address` is a path, or "@" and an
 * abstract name, of `size` bytes. timeout_ms: how long to wait for a listener; 0: it must be there.
 */
int32_t cuframes_socket_connect_start(const void *address, uint32_t size, int32_t timeout_ms,
                                      cuframes_callback callback, uint32_t token);

/** Returns a listener's handle. ALREADY_EXISTS where somebody listens. */
int32_t cuframes_socket_listen(const void *address, uint32_t size, uint32_t mode);

/** Returns the handle of a listener's next connection. WOULD_BLOCK with a time-out of 0, else TIMEOUT. */
int32_t cuframes_socket_accept(uint32_t listener, int32_t timeout_ms);

/**
 * Sends one message of 1 to SOCKET_MESSAGE_SIZE_MAX bytes with up to SOCKET_DESCRIPTORS_MAX descriptors, which stay
 * the caller's.
 */
int32_t cuframes_socket_send(uint32_t socket, const void *bytes, uint32_t size, const int32_t *descriptors,
                             uint32_t descriptor_count, int32_t timeout_ms);

/**
 * Takes one message into a buffer of at least SOCKET_MESSAGE_SIZE_MAX bytes. The descriptors that came with it are the
 * caller's; on every error none of them is open.
 */
int32_t cuframes_socket_receive(uint32_t socket, void *bytes, uint32_t capacity, struct cuframes_received *received,
                                int32_t timeout_ms);

/**
 * Calls back once when there is something to receive or accept (direction 0), or room to send (1), or the end to tell.
 */
int32_t cuframes_socket_arm(uint32_t socket, uint32_t direction, cuframes_callback callback);

/** Who the peer was when it connected, or began to listen. */
int32_t cuframes_socket_peer(uint32_t socket, struct cuframes_credentials *credentials);

/** Ends a connection, or the listening with its files. */
int32_t cuframes_socket_close(uint32_t socket);

/** Closes a descriptor that was received or exported; INVALID_ARGUMENT where it is not open. */
int32_t cuframes_descriptor_close(int32_t descriptor);

#ifdef __cplusplus
}
#endif

#endif
