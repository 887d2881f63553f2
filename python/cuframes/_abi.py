"""The C ABI of libcuframes.so for ctypes: structures, codes, constants and functions.

Generated from the Zig sources by `npm run build`: do not edit. docs/abi.md of the repository has the rules, and
what every function does.
"""

from ctypes import CDLL, CFUNCTYPE, POINTER, Structure, sizeof
from ctypes import c_char, c_int32, c_int64, c_uint8, c_uint32, c_uint64, c_void_p
from enum import IntEnum, IntFlag

# Raised whenever a function, a struct or a code changes.
ABI_VERSION = 9
# Slots of a frame ring.
SLOTS_MIN = 2
SLOTS_MAX = 64
# Subscribers of one publisher at a time.
SUBSCRIBERS_MAX = 64
# Frames that one subscriber can hold at a time.
LEASES_MAX = 8
# Bytes of a frame's metadata.
METADATA_SIZE_MAX = 1024
# Characters of a key, and of a subscriber's name.
KEY_SIZE_MAX = 63
NAME_SIZE_MAX = 31
# Pixels of a frame's width, and of its height.
DIMENSION_MAX = 16384
# Of either part of a pixel's aspect.
ASPECT_MAX = 65535
# Planes of a frame.
PLANES_MAX = 3
# Bytes of a GPU's UUID.
UUID_SIZE = 16
# The most devices that are listed: what the driver calls a machine's limit.
DEVICES_MAX = 64
# Packet tracks of one publisher.
TRACKS_MAX = 8
# For PacketReaderOptions.track.
TRACK_ANY = 4294967295
# Packets of a ring.
PACKETS_MAX = 1024
# Bytes; some 18 minutes of a stream of 8 Mbit/s.
PACKET_DATA_SIZE_MAX = 1073741824
# Bytes of codec parameters.
EXTRADATA_SIZE_MAX = 4096
# Bytes of an address to connect to: a path needs a NUL behind it, an abstract name its "@".
ADDRESS_SIZE_MAX = 107
# Bytes of a message; well inside what the kernel queues by default (net.core.wmem_default, 212 992).
SOCKET_MESSAGE_SIZE_MAX = 65536
# Descriptors of a message: as many as the kernel passes.
SOCKET_DESCRIPTORS_MAX = 253
# Planes of an image: with a modifier, those of the format may have others beside them.
IMAGE_PLANES_MAX = 4
# Pairs of a format that this library knows and a modifier.
DMABUF_PAIRS_MAX = 832


class ErrorCode(IntEnum):
    """What every exported function returns when it fails; 0 and positive values are success.
    The numbers that the C library had are kept.
    """
    # An argument is wrong, or the object is closed.
    INVALID_ARGUMENT = -1
    # Memory, or a table of this library, is full.
    OUT_OF_MEMORY = -2
    # Nobody publishes under the key, or listens there.
    NOT_FOUND = -3
    # Another publisher has the key, or the address; or there is a packet ring already.
    ALREADY_EXISTS = -4
    # The peer broke the protocol, or speaks another version of it.
    PROTOCOL = -5
    # A call of the CUDA driver failed.
    CUDA = -6
    # It did not happen within the time-out.
    TIMEOUT = -7
    # A system call failed, for want of descriptors among other reasons.
    IO = -8
    # The publisher is gone, and all that it left was delivered; or the peer is.
    DISCONNECTED = -9
    # The pixel format is not known, or is another than the one that is needed.
    FORMAT = -10
    # There is nothing now; or as many frames are held as can be.
    WOULD_BLOCK = -11
    # The publisher has as many as it can have.
    TOO_MANY_SUBSCRIBERS = -12
    # The publisher has ended the connection, since too many frames were held for too long; or it refuses whoever lost
    # one so again and again.
    EVICTED = -13
    # The packet is larger than `max_packet_size`.
    PACKET_OVERSIZED = -20
    # The publisher has no packet ring, or the connection did not ask for it.
    NO_PACKET_RING = -21
    # The publisher has set none.
    NO_CODEC_PARAMETERS = -22
    # Packets were lost; reading goes on at the next key packet.
    PACKET_OVERRUN = -23
    # The frames are on a GPU that this process does not see.
    DEVICE_MISMATCH = -30
    # The directory, the socket, the lock or /dev/shm does not let this user.
    PERMISSION = -31
    # The kernel, the driver, the GPU or the kind of memory cannot do it.
    UNSUPPORTED = -32
    # A defect of this library.
    INTERNAL = -100


class PixelFormat(IntEnum):
    """Pixel formats, by their codes on the wire; names as in WebCodecs' VideoPixelFormat where it has them."""
    NV12 = 1
    I420 = 2
    P010 = 3
    RGBA = 4
    RGBX = 5
    BGRA = 6
    BGRX = 7
    GRAY8 = 8


class DrmFormat(IntEnum):
    """Values are drm_fourcc.h's. Names have the highest bits first: the bytes in memory are in the reverse order."""
    XRGB8888 = 875713112
    ARGB8888 = 875713089
    XBGR8888 = 875709016
    ABGR8888 = 875708993
    R8 = 538982482
    GR88 = 943215175
    NV12 = 842094158
    P010 = 808530000
    YUYV = 1448695129
    XRGB2101010 = 808669784
    ARGB2101010 = 808669761
    XBGR2101010 = 808665688
    ABGR2101010 = 808665665


class ColorPrimaries(IntEnum):
    """What red, green and blue are: ColourPrimaries of H.273."""
    BT709 = 1
    BT470M = 4
    BT470BG = 5
    SMPTE170M = 6
    SMPTE240M = 7
    FILM = 8
    BT2020 = 9
    SMPTE428 = 10
    SMPTE431 = 11
    SMPTE432 = 12
    EBU3213 = 22


class ColorTransfer(IntEnum):
    """From samples to light: TransferCharacteristics of H.273."""
    BT709 = 1
    BT470M = 4
    BT470BG = 5
    SMPTE170M = 6
    SMPTE240M = 7
    LINEAR = 8
    LOG100 = 9
    LOG316 = 10
    IEC61966_2_4 = 11
    BT1361E = 12
    IEC61966_2_1 = 13
    BT2020_10 = 14
    BT2020_12 = 15
    PQ = 16
    SMPTE428 = 17
    HLG = 18


class ColorMatrix(IntEnum):
    """From YUV to RGB: MatrixCoefficients of H.273. `rgb` is of formats that are RGB; with any other it says nothing."""
    RGB = 0
    BT709 = 1
    FCC = 4
    BT470BG = 5
    SMPTE170M = 6
    SMPTE240M = 7
    YCGCO = 8
    BT2020_NCL = 9
    BT2020_CL = 10
    SMPTE2085 = 11
    CHROMA_DERIVED_NC = 12
    CHROMA_DERIVED_C = 13
    ICTCP = 14


class ColorRange(IntEnum):
    """How far samples span: AVColorRange."""
    # Luma from 16 to 235, at 8 bits.
    LIMITED = 1
    # From 0 to 255.
    FULL = 2


class ChromaLocation(IntEnum):
    """Where the chroma samples of 4:2:0 lie among those of luma: AVChromaLocation, which is ChromaLocType of H.273 plus 1."""
    LEFT = 1
    CENTER = 2
    TOPLEFT = 3
    TOP = 4
    BOTTOMLEFT = 5
    BOTTOM = 6


class FieldOrder(IntEnum):
    """Whether the rows are of one moment, or those of two fields in turn: tff has the field of the first row first, bff
    the other one.
    """
    PROGRESSIVE = 1
    TFF = 2
    BFF = 3


class ImageLayout(IntEnum):
    """How the planes of an image are in a GPU's memory: rows at a distance, or an array of CUDA's."""
    PITCH = 0
    ARRAY = 1


class Policy(IntEnum):
    """What a publisher does where every slot is held: publish nothing, or wait for one."""
    DROP_OLDEST = 0
    WAIT = 1


class Mode(IntEnum):
    """Which frame a subscriber is given next: the newest one, or every one in turn that is still there."""
    NEWEST = 0
    ORDERED = 1


class TrackKind(IntEnum):
    """What a track carries."""
    VIDEO = 1
    AUDIO = 2
    DATA = 3


class Since(IntEnum):
    """Where a reader begins."""
    # At what is the last key packet now.
    KEY = 0
    # At the oldest key packet that can be read.
    OLDEST = 1
    # At the last key packet that is at least `ago_ns` older than the newest packet.
    AGO = 2
    # At the first key packet to come.
    UPCOMING = 3
    # At what was the last key packet when the connection was made: every packet from there on is delivered or counted
    # as lost.
    CONNECTION = 4


class MemoryKind(IntEnum):
    """Where frames are, by its code on the wire."""
    HOST = 0
    CUDA = 1


class PublisherEventKind(IntEnum):
    """What happened to a publisher's ring."""
    # The ring has got a slot.
    GROWN = 1
    # The ring has lost a slot that nobody needed.
    SHRUNK = 2
    # A reader lost its connection for what it held.
    EVICTED = 3
    # A reader that was evicted again and again was not let in.
    REFUSED = 4


class Direction(IntEnum):
    """What a socket's callback is to tell: something to receive or accept, or room to send."""
    READABLE = 0
    WRITABLE = 1


class FrameFlag(IntFlag):
    """Flags of a frame."""
    # Frames are missing in front of this one.
    DISCONTINUITY = 1
    # Known to be damaged.
    CORRUPT = 2


class PacketFlag(IntFlag):
    """Flags of a packet."""
    # Decoding can start at this packet.
    KEY = 1
    # Known to be damaged.
    CORRUPT = 2
    # Packets are missing in front of this one.
    DISCONTINUITY = 4
    # The last packet of its access unit.
    LAST_IN_AU = 8
    # Decoded for those that refer to it, and not shown: FFmpeg's `AV_PKT_FLAG_DISCARD`.
    DISCARD = 16


class Want(IntFlag):
    """What a connection is for."""
    # Frames.
    FRAMES = 1
    # Packets, with frames or alone.
    PACKETS = 2
    # A report and nothing else.
    REPORT = 4


class PlanePlace(Structure):
    """Where a plane of a frame is."""

    _fields_ = (
        # Bytes from the slot's address to the plane's first row.
        ("offset", c_uint64),
        # Bytes from row to row.
        ("stride", c_uint32),
        ("rows", c_uint32),
        # Bytes of a row that are picture; the rest, up to the stride, is padding.
        ("row_bytes", c_uint32),
        ("reserved", c_uint32),
    )


class Geometry(Structure):
    """A frame's size and the planes' places in its slot. Both sides compute it from the first five fields; nobody
    believes a peer's offsets.
    """

    _fields_ = (
        # A pixel format.
        ("format", c_uint32),
        # Pixels.
        ("width", c_uint32),
        ("height", c_uint32),
        # Strides are multiples of this: 64 on the host (vector loads), 256 on CUDA (NVDEC, NPP, textures).
        ("alignment", c_uint32),
        # How many of `planes` there are.
        ("plane_count", c_uint32),
        ("reserved", c_uint32),
        # Bytes of the planes, their padding included.
        ("frame_size", c_uint64),
        ("planes", PlanePlace * 3),
    )


class PublisherOptions(Structure):
    """What a publisher is to be. Text is NUL-padded."""

    _fields_ = (
        # 1 to KEY_SIZE_MAX of A-Z, a-z, 0-9, _ and -.
        ("key", c_char * 64),
        # The runtime directory. Empty: the first that can be used, by docs/protocol.md.
        ("directory", c_char * 108),
        # A pixel format.
        ("format", c_uint32),
        # Pixels.
        ("width", c_uint32),
        ("height", c_uint32),
        # How many slots the ring begins with: SLOTS_MIN to SLOTS_MAX.
        ("slots", c_uint32),
        # How many it may grow to: `slots` to SLOTS_MAX. The policy wait does not let it grow.
        ("max_slots", c_uint32),
        ("policy", c_uint32),
        # A kind of memory.
        ("memory", c_uint32),
        # Permission bits of the socket.
        ("socket_mode", c_uint32),
        # 1: there are no frames, and format, size, slots, policy and memory say nothing.
        ("packets_only", c_uint32),
        ("reserved", c_uint32),
        # For memory on a GPU: its number or UUID; empty: the first.
        ("device", c_char * 48),
        # Bytes that the slots' memory may take, with what left the ring and subscribers still have: at least that of
        # `slots` and two more. 0: four times that of `max_slots`.
        ("memory_limit", c_uint64),
    )


class RingInfo(Structure):
    """A frame ring, as its publisher made it."""

    _fields_ = (
        ("geometry", Geometry),
        # Bytes of a slot that are mapped.
        ("slot_size", c_uint64),
        ("publisher_pid", c_uint64),
        # A kind of memory.
        ("memory", c_uint32),
        # How many slots there may be.
        ("max_slots", c_uint32),
        # 1: there are no frames, and nothing of the above but the publisher's pid says anything.
        ("packets_only", c_uint32),
        ("reserved", c_uint32),
        # The GPU's UUID; all zero for the host.
        ("device", c_uint8 * 16),
    )


class Picture(Structure):
    """What a frame's picture is. 0 is what is not known, and whole or square pixels where those are the question."""

    _fields_ = (
        # Pixels, the part that is seen. 0 as width and height: all. `x` and `y` are on chroma samples.
        ("visible_x", c_uint32),
        ("visible_y", c_uint32),
        ("visible_width", c_uint32),
        ("visible_height", c_uint32),
        # Square pixels of the picture as it is shown, turned: 1 to 16384 each. 0: as the shape of its pixels says.
        ("display_width", c_uint32),
        ("display_height", c_uint32),
        # Width to height of a pixel of the frame, before it is turned: 1 to 65535 each. 0: as the size that it is shown
        # in says, and where that is not known either, they are square.
        ("aspect_num", c_uint32),
        ("aspect_den", c_uint32),
        # Degrees clockwise that the picture is turned by to be shown: 0, 90, 180 or 270.
        ("rotation", c_uint32),
        # 1: left and right are swapped to show it, once it is turned.
        ("flip", c_uint8),
        # A field order.
        ("field_order", c_uint8),
        # Primaries.
        ("primaries", c_uint8),
        # A transfer.
        ("transfer", c_uint8),
        # A matrix.
        ("matrix", c_uint8),
        # A range.
        ("range", c_uint8),
        # A chroma location.
        ("chroma_location", c_uint8),
        ("reserved", c_uint8 * 5),
    )


class PublishRecord(Structure):
    """What a frame is published with."""

    _fields_ = (
        # On any clock.
        ("timestamp_ns", c_int64),
        ("duration_ns", c_uint64),
        # Flags of a frame.
        ("flags", c_uint32),
        # Bytes of `metadata` that are used.
        ("metadata_size", c_uint32),
        # Out: the frame's number, from 1.
        ("sequence", c_uint64),
        # For memory on a GPU: the CUstream whose work so far fills the frame, where `has_stream` is 1; else the
        # library's own.
        ("stream", c_uint64),
        ("has_stream", c_uint32),
        ("reserved", c_uint32),
        # In UTC since 1970; 0: not known.
        ("capture_time_ns", c_int64),
        ("picture", Picture),
        ("metadata", c_uint8 * 1024),
    )


class PublisherStats(Structure):
    """A publisher's counters."""

    _fields_ = (
        # Frames.
        ("published", c_uint64),
        ("packets_published", c_uint64),
        # Subscribers that are there now.
        ("subscribers", c_uint32),
        # Slots that somebody holds now.
        ("slots_leased", c_uint32),
        # Connections dropped for what they sent or failed to send.
        ("rejected", c_uint32),
        # Frames whose GPU work failed: they were never visible.
        ("failed", c_uint32),
        # Slots that have memory now.
        ("slots", c_uint32),
        # Memories that left the ring and that subscribers have not let go of.
        ("slots_outside", c_uint32),
        # Readers that lost their connection for what they held.
        ("evictions", c_uint32),
        ("reserved", c_uint32),
        # Bytes that both kinds of memory may take.
        ("memory_limit", c_uint64),
    )


class PublisherEvent(Structure):
    """One thing that happened."""

    _fields_ = (
        # What happened.
        ("kind", c_uint32),
        # Slots that have memory, where it grew or shrank.
        ("slots", c_uint32),
        # Of the reader, or of the one that holds most where the ring grew; 0 across PID namespaces.
        ("pid", c_int32),
        # Frames that it holds.
        ("frames", c_uint32),
        # How long ago the oldest of them was published; or how long the reader is refused from now on.
        ("duration_ns", c_uint64),
        # CLOCK_MONOTONIC.
        ("at_ns", c_uint64),
        # The reader's name, NUL-padded.
        ("name", c_char * 32),
    )


class TrackInfo(Structure):
    """What a track's packets are. Text is NUL-padded UTF-8."""

    _fields_ = (
        # A kind of track.
        ("kind", c_uint32),
        # FFmpeg's AVCodecID.
        ("codec_id", c_uint32),
        # Counts what the track has been, from 1: each codec that it changes to.
        ("generation", c_uint32),
        # Of audio, in Hz; 0: not known.
        ("sample_rate", c_uint32),
        # Of audio; 0: not known.
        ("channels", c_uint32),
        # Of video, in pixels; 0: not known.
        ("width", c_uint32),
        ("height", c_uint32),
        # The track's number.
        ("index", c_uint32),
        # BCP 47 or ISO 639-2; empty: not known.
        ("language", c_char * 16),
        # For people, and to find a track by; empty: none.
        ("label", c_char * 64),
        # Of what FFmpeg has no number for, as `json`; else empty.
        ("codec_name", c_char * 48),
    )


class PacketOptions(Structure):
    """What a track and its ring are to be."""

    _fields_ = (
        # What the packets are. Its generation is counted by the publisher.
        ("track", TrackInfo),
        # Packets that the ring remembers, 1 to PACKETS_MAX.
        ("ring_slots", c_uint32),
        # Bytes of them together, at most 1 GiB.
        ("data_size", c_uint32),
        # Bytes of one, 1 to `data_size`.
        ("max_packet_size", c_uint32),
        # 1: also as /dev/shm/cuframes-<key>-packets, which track 0 alone can be.
        ("named", c_uint32),
        ("reserved", c_uint32),
        # Bytes of `extradata` that are used; 0: there is none yet.
        ("extradata_size", c_uint32),
        # What readers are given from the beginning; cuframes_publisher_set_extradata replaces it.
        ("extradata", c_uint8 * 4096),
    )


class PacketRecord(Structure):
    """What a packet is published with."""

    _fields_ = (
        ("timestamp_ns", c_int64),
        ("decode_timestamp_ns", c_int64),
        # Flags of a packet.
        ("flags", c_uint32),
        # Bytes of the packet.
        ("size", c_uint32),
        # Out: the packet's number, from 0.
        ("sequence", c_uint64),
    )


class SubscriberOptions(Structure):
    """What a connection is for. Text is NUL-padded."""

    _fields_ = (
        # The publisher's.
        ("key", c_char * 64),
        # The runtime directory. Empty: the first where somebody publishes under the key, by docs/protocol.md.
        ("directory", c_char * 108),
        # For the publisher's reports.
        ("name", c_char * 32),
        ("mode", c_uint32),
        ("wants", c_uint32),
        # How long to wait for a publisher: 0 not at all, negative for ever.
        ("timeout_ms", c_int32),
        # Milliseconds to wait before the first attempt, which count as time waited; for those who connect again and
        # again.
        ("delay_ms", c_uint32),
    )


class FrameView(Structure):
    """A frame that is held."""

    _fields_ = (
        # For cuframes_subscriber_clone and cuframes_subscriber_release.
        ("lease", c_uint32),
        # Where it is: see cuframes_subscriber_slot_address.
        ("slot", c_uint32),
        # The frame's number, from 1.
        ("sequence", c_uint64),
        # The publisher's, on any clock.
        ("timestamp_ns", c_int64),
        ("duration_ns", c_uint64),
        # CLOCK_MONOTONIC at publish.
        ("published_ns", c_uint64),
        # When the picture was taken, in UTC since 1970, by the camera's clock where it tells, else when it arrived; 0:
        # not known.
        ("capture_time_ns", c_int64),
        # Flags of a frame.
        ("flags", c_uint32),
        # Bytes of `metadata` that are used.
        ("metadata_size", c_uint32),
        ("picture", Picture),
        ("metadata", c_uint8 * 1024),
    )


class SubscriberStats(Structure):
    """A subscriber's counters."""

    _fields_ = (
        # Frames delivered.
        ("received", c_uint64),
        # Frames that were gone before it was their turn, in ordered mode; that a newer one overtook, in newest mode.
        ("dropped", c_uint64),
        # Published after the last frame delivered.
        ("lag", c_uint64),
        # Leases that are not released yet.
        ("held", c_uint32),
        # 1 once the publisher is gone.
        ("disconnected", c_uint32),
        # Slots that this process has mapped.
        ("slots", c_uint32),
        # 1 once the publisher has ended the connection for what was held.
        ("evicted", c_uint32),
    )


class PacketReaderOptions(Structure):
    """What a packet reader is to read. Text is NUL-padded."""

    _fields_ = (
        # The track's number; TRACK_ANY: the first that is of `kind` and `label`.
        ("track", c_uint32),
        # A kind of track; 0: any.
        ("kind", c_uint32),
        ("since", c_uint32),
        # 1: where the track is still to come, cuframes_packet_reader_next waits for it; 0: NO_PACKET_RING.
        ("wait", c_uint32),
        # For Since.ago.
        ("ago_ns", c_uint64),
        # The handle of a reader of an earlier connection, which this one goes on from: behind it where the publisher is
        # the same, at its first packet where it is another; 0: there is none.
        ("after", c_uint32),
        ("reserved", c_uint32),
        # Empty: any.
        ("label", c_char * 64),
    )


class PacketView(Structure):
    """A packet that can be copied."""

    _fields_ = (
        ("timestamp_ns", c_int64),
        ("decode_timestamp_ns", c_int64),
        # The packet's number on its track, from 0.
        ("sequence", c_uint64),
        # Bytes of the packet.
        ("size", c_uint32),
        # Flags of a packet.
        ("flags", c_uint32),
        # Of the track that it belongs to: when this changes, so has what cuframes_packet_reader_track says.
        ("generation", c_uint32),
        ("reserved", c_uint32),
    )


class PacketStats(Structure):
    """A packet reader's counters."""

    _fields_ = (
        # Packets delivered.
        ("received", c_uint64),
        # Packets that were overwritten before they could be read.
        ("lost", c_uint64),
        # Published after the last packet delivered.
        ("lag", c_uint64),
        # FFmpeg's AVCodecID; 0 while there is no such track.
        ("codec_id", c_uint32),
        ("reserved", c_uint32),
    )


class Prefix(Structure):
    """What every message begins with."""

    _fields_ = (
        ("magic", c_uint32),
        ("version", c_uint32),
        ("kind", c_uint32),
        # Of the whole message.
        ("size", c_uint32),
    )


class ReportSubscriber(Structure):
    """What a publisher knows of a subscriber."""

    _fields_ = (
        # NUL-padded.
        ("name", c_char * 32),
        # 0 across PID namespaces.
        ("pid", c_int32),
        ("mode", c_uint32),
        ("wants", c_uint32),
        # Frames that it holds.
        ("held", c_uint32),
        # As the subscriber wrote them in its lease page.
        ("received", c_uint64),
        ("dropped", c_uint64),
        ("cursor", c_uint64),
        ("packets_received", c_uint64),
        ("packets_lost", c_uint64),
        # CLOCK_MONOTONIC when it came.
        ("connected_ns", c_uint64),
        # How long ago the oldest frame that it holds was published; 0: it holds none.
        ("held_ns", c_uint64),
    )


class Eviction(Structure):
    """How a reader lost its connection."""

    _fields_ = (
        # NUL-padded.
        ("name", c_char * 32),
        # 0 across PID namespaces.
        ("pid", c_int32),
        # Frames that it held.
        ("frames", c_uint32),
        # How long ago the oldest of them had been published.
        ("held_ns", c_uint64),
        # CLOCK_MONOTONIC when it was evicted; 0: nobody was yet.
        ("at_ns", c_uint64),
    )


class ReportTrack(Structure):
    """What a publisher tells an inspector of a track."""

    _fields_ = (
        # Packets published.
        ("published", c_uint64),
        # Payload of them, in bytes.
        ("bytes", c_uint64),
        ("info", TrackInfo),
    )


class Report(Structure):
    """Publisher to an inspector. The publisher's own view, answered by its control thread. `size` counts only the
    subscribers that are there.
    """

    _fields_ = (
        ("prefix", Prefix),
        ("publisher_pid", c_uint64),
        # CLOCK_MONOTONIC when the ring was made, and when this was written.
        ("created_ns", c_uint64),
        ("now_ns", c_uint64),
        # A kind of memory.
        ("memory", c_uint32),
        # Slots that have memory now.
        ("slot_count", c_uint32),
        ("policy", c_uint32),
        ("slots_leased", c_uint32),
        ("geometry", Geometry),
        ("slot_size", c_uint64),
        # How many slots the ring may have.
        ("max_slots", c_uint32),
        # Memories outside the ring that evicted readers still hold.
        ("slots_outside", c_uint32),
        # Bytes that the memories of both kinds may take.
        ("memory_limit", c_uint64),
        # Readers evicted so far.
        ("evictions", c_uint32),
        # 1: there are no frames.
        ("packets_only", c_uint32),
        ("last_eviction", Eviction),
        # The newest frame's; nothing is said before there is one.
        ("picture", Picture),
        ("published", c_uint64),
        ("newest_published_ns", c_uint64),
        # Frames per 1000 s over the frames that are in the ring; 0 with fewer than two.
        ("rate_millihertz", c_uint64),
        # Of all tracks.
        ("packets_published", c_uint64),
        # How many of `tracks` there are.
        ("track_count", c_uint32),
        # Connections dropped for what they sent or failed to send.
        ("rejected", c_uint32),
        # A GPU's UUID; all zero for the host.
        ("device", c_uint8 * 16),
        # How many of `subscribers` there are.
        ("subscriber_count", c_uint32),
        ("reserved", c_uint32),
        # By their numbers.
        ("tracks", ReportTrack * 8),
        ("subscribers", ReportSubscriber * 64),
    )


class SourcePlane(Structure):
    """A CUdeviceptr, and the bytes from row to row."""

    _fields_ = (
        ("address", c_uint64),
        ("stride", c_uint64),
    )


class CopySource(Structure):
    """Where the planes of somebody else's picture are, on the same device."""

    _fields_ = (
        # CUstream that orders the copy, where `has_stream` is 1; else the library's own.
        ("stream", c_uint64),
        ("has_stream", c_uint32),
        ("plane_count", c_uint32),
        ("planes", SourcePlane * 3),
    )


class Device(Structure):
    """A CUDA device that this process sees."""

    _fields_ = (
        # Bytes of memory on the device.
        ("total_memory", c_uint64),
        # The same in every process, container and order of devices.
        ("uuid", c_uint8 * 16),
        # The driver's name for it, zero-terminated UTF-8.
        ("name", c_char * 128),
        # Its number in this process, which CUDA_VISIBLE_DEVICES changes.
        ("ordinal", c_uint32),
        ("compute_capability_major", c_uint32),
        ("compute_capability_minor", c_uint32),
        # The CUDA version that the driver is for: 1000 × major + 10 × minor.
        ("driver_version", c_uint32),
        # 1 where the device has it, else 0. Frames need the first two.
        ("virtual_memory_management", c_uint8),
        ("posix_file_descriptors", c_uint8),
        ("dma_buf", c_uint8),
        ("reserved", c_uint8 * 5),
    )


class Credentials(Structure):
    """Who the peer was, as the kernel saw it, when it connected or began to listen."""

    _fields_ = (
        # 0 where its process has no name in our PID namespace.
        ("pid", c_int32),
        ("uid", c_uint32),
        ("gid", c_uint32),
    )


class Received(Structure):
    """What came with a message, beside its bytes. The descriptors are the caller's, each to be closed once."""

    _fields_ = (
        # Bytes of the message.
        ("size", c_uint32),
        # How many of `descriptors` there are.
        ("descriptor_count", c_uint32),
        ("descriptors", c_int32 * 253),
    )


class ImageSourcePlane(Structure):
    """One plane of somebody else's picture."""

    _fields_ = (
        # A dma-buf or memfd; stays the caller's.
        ("fd", c_int32),
        # Bytes from row to row, 1 to 2^31 - 1.
        ("stride", c_uint32),
        # Bytes from the buffer's first to the plane's.
        ("offset", c_uint64),
    )


class ImageOptions(Structure):
    """What is to be imported."""

    _fields_ = (
        # Pixels, 1 to DIMENSION_MAX.
        ("width", c_uint32),
        ("height", c_uint32),
        # Of drm_fourcc.h.
        ("fourcc", c_uint32),
        ("plane_count", c_uint32),
        # Of drm_fourcc.h, where `has_modifier` is 1 and it is not DRM_FORMAT_MOD_INVALID; else the exporter's own choice,
        # which on the host is linear.
        ("modifier", c_uint64),
        ("has_modifier", c_uint32),
        # A kind of memory: host, to be read by the CPU, or CUDA, to be registered with it.
        ("memory", c_uint32),
        ("planes", ImageSourcePlane * 4),
        # For CUDA: its number or UUID; empty: the first.
        ("device", c_char * 48),
    )


class ImagePlane(Structure):
    """Where a plane of an image is."""

    _fields_ = (
        # A CUdeviceptr, or by the image's layout a CUarray; 0 on the host.
        ("address", c_uint64),
        # On the host: bytes from the buffer's first to the plane's.
        ("offset", c_uint64),
        # Bytes from row to row; 0 for an array.
        ("stride", c_uint32),
        ("rows", c_uint32),
        # Bytes of a row that are picture.
        ("row_bytes", c_uint32),
        ("reserved", c_uint32),
    )


class ImageInfo(Structure):
    """An image, as it was imported."""

    _fields_ = (
        # Pixels.
        ("width", c_uint32),
        ("height", c_uint32),
        # Of drm_fourcc.h.
        ("fourcc", c_uint32),
        ("plane_count", c_uint32),
        # A kind of memory.
        ("memory", c_uint32),
        # An image layout.
        ("layout", c_uint32),
        ("planes", ImagePlane * 2),
        # The GPU's UUID; all zero for the host.
        ("device", c_uint8 * 16),
    )


class DmabufPair(Structure):
    """A layout of pixels that can be imported."""

    _fields_ = (
        # Of drm_fourcc.h; 0x00ffffffffffffff: the format without one.
        ("modifier", c_uint64),
        # Of drm_fourcc.h.
        ("fourcc", c_uint32),
        # 1: EGL cannot render to it; CUDA reads it all the same.
        ("external_only", c_uint32),
    )


# Of each structure the size, and the offsets of its fields.
_LAYOUT = (
    (PlanePlace, 24, (0, 8, 12, 16, 20)),
    (Geometry, 104, (0, 4, 8, 12, 16, 20, 24, 32)),
    (PublisherOptions, 272, (0, 64, 172, 176, 180, 184, 188, 192, 196, 200, 204, 208, 212, 264)),
    (RingInfo, 152, (0, 104, 112, 120, 124, 128, 132, 136)),
    (Picture, 48, (0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 37, 38, 39, 40, 41, 42, 43)),
    (PublishRecord, 1128, (0, 8, 16, 20, 24, 32, 40, 44, 48, 56, 104)),
    (PublisherStats, 56, (0, 8, 16, 20, 24, 28, 32, 36, 40, 44, 48)),
    (PublisherEvent, 64, (0, 4, 8, 12, 16, 24, 32)),
    (TrackInfo, 160, (0, 4, 8, 12, 16, 20, 24, 28, 32, 48, 112)),
    (PacketOptions, 4280, (0, 160, 164, 168, 172, 176, 180, 184)),
    (PacketRecord, 32, (0, 8, 16, 20, 24)),
    (SubscriberOptions, 220, (0, 64, 172, 204, 208, 212, 216)),
    (FrameView, 1128, (0, 4, 8, 16, 24, 32, 40, 48, 52, 56, 104)),
    (SubscriberStats, 40, (0, 8, 16, 24, 28, 32, 36)),
    (PacketReaderOptions, 96, (0, 4, 8, 12, 16, 24, 28, 32)),
    (PacketView, 40, (0, 8, 16, 24, 28, 32, 36)),
    (PacketStats, 32, (0, 8, 16, 24, 28)),
    (Prefix, 16, (0, 4, 8, 12)),
    (ReportSubscriber, 104, (0, 32, 36, 40, 44, 48, 56, 64, 72, 80, 88, 96)),
    (Eviction, 56, (0, 32, 36, 40, 48)),
    (ReportTrack, 176, (0, 8, 16)),
    (Report, 8424, (0, 16, 24, 32, 40, 44, 48, 52, 56, 160, 168, 172, 176, 184, 188, 192, 248, 296, 304, 312, 320, 328, 332, 336, 352, 356, 360, 1768)),
    (SourcePlane, 16, (0, 8)),
    (CopySource, 64, (0, 8, 12, 16)),
    (Device, 176, (0, 8, 24, 152, 156, 160, 164, 168, 169, 170, 171)),
    (Credentials, 12, (0, 4, 8)),
    (Received, 1020, (0, 4, 8)),
    (ImageSourcePlane, 16, (0, 4, 8)),
    (ImageOptions, 144, (0, 4, 8, 12, 16, 24, 28, 32, 96)),
    (ImagePlane, 32, (0, 8, 16, 20, 24, 28)),
    (ImageInfo, 104, (0, 4, 8, 12, 16, 20, 24, 88)),
    (DmabufPair, 16, (0, 8, 12)),
)

for _structure, _size, _offsets in _LAYOUT:
    if sizeof(_structure) != _size:
        raise ImportError(f"{_structure.__name__} has {sizeof(_structure)} bytes here, {_size} in the library")
    for (_name, *_), _offset in zip(_structure._fields_, _offsets):
        if getattr(_structure, _name).offset != _offset:
            raise ImportError(f"{_structure.__name__}.{_name} is not at {_offset}, where the library has it")

# Called on a thread of the library; the runtimes' callbacks queue it for their event loop.
Callback = CFUNCTYPE(None, c_uint32)

# Of each function what it returns and what it takes.
FUNCTIONS = {
    # cuframes_abi_version()
    # To be called first; also keeps the library in the process for good, because its threads never end.
    "cuframes_abi_version": (c_uint32, ()),
    # cuframes_error_message(buffer, size)
    # Copies the sentence for this thread's last failure, without a NUL; returns its size.
    "cuframes_error_message": (c_int32, (c_void_p, c_uint32)),
    # cuframes_now_ns()
    # CLOCK_MONOTONIC in nanoseconds, the clock of every frame's published_ns.
    "cuframes_now_ns": (c_uint64, ()),
    # cuframes_runtime_directories(option, option_size, buffer, size)
    # Writes the directories where publishers of this user may be, best first, each with a NUL behind it; returns how many
    # bytes that are. `option` is a directory that the caller names, which is then the only one; of size 0 there is none.
    "cuframes_runtime_directories": (c_int32, (c_void_p, c_uint32, c_void_p, c_uint32)),
    # cuframes_runtime_directory_check(folder, folder_size)
    # Whether this user may see which sockets are in a directory: 0, also where there is no such directory; else
    # Permission, with the reason.
    "cuframes_runtime_directory_check": (c_int32, (c_void_p, c_uint32)),
    # cuframes_runtime_directory_clean(folder, folder_size, key, key_size)
    # Removes the socket and the lock's file that a dead publisher of a key has left in a directory. Returns 1; 0 where
    # there is nothing that is certainly nobody's.
    "cuframes_runtime_directory_clean": (c_int32, (c_void_p, c_uint32, c_void_p, c_uint32)),
    # cuframes_callback_open(callback)
    # Lets the library's threads call this callback; to be called before it is given to any function.
    "cuframes_callback_open": (c_int32, (Callback,)),
    # cuframes_callback_socket(callback)
    # For a runtime whose callbacks only its own threads may call: writes the address of a callback that sends its token,
    # four bytes, through a stream socket, and returns the end to read it from. The callback is open already.
    "cuframes_callback_socket": (c_int32, (POINTER(c_uint64),)),
    # cuframes_callback_close(callback)
    # For an event loop that is about to end: no thread calls the callback afterwards.
    "cuframes_callback_close": (None, (Callback,)),
    # cuframes_environment_open()
    # Makes this thread an environment: everything that it makes from here on is closed when it ends, as a JavaScript
    # worker may at any moment, or by cuframes_environment_close.
    "cuframes_environment_open": (c_int32, ()),
    # cuframes_environment_close()
    # Closes everything that this thread has made since cuframes_environment_open. Memory that it could reach can still be
    # read and written, but is nobody else's any more.
    "cuframes_environment_close": (None, ()),
    # cuframes_devices(devices, capacity)
    # Fills a table of at most `capacity` CUDA devices; returns how many there are in it. UNSUPPORTED, with the reason,
    # where CUDA cannot be used.
    "cuframes_devices": (c_int32, (POINTER(Device), c_uint32)),
    # cuframes_context_open(ordinal)
    # Holds the primary context of the device with this number, so that other libraries may use it; returns its handle.
    "cuframes_context_open": (c_int32, (c_uint32,)),
    # cuframes_context_enter(context)
    # Makes a context current on this thread, until cuframes_context_leave.
    "cuframes_context_enter": (c_int32, (c_uint32,)),
    # cuframes_context_leave(context)
    # Makes current on this thread what was so before cuframes_context_enter.
    "cuframes_context_leave": (c_int32, (c_uint32,)),
    # cuframes_context_close(context)
    # Releases a context.
    "cuframes_context_close": (c_int32, (c_uint32,)),
    # cuframes_publisher_create(options, tracks, track_count, info)
    # Takes the key, makes the ring and describes it; returns the publisher's handle.
    # tracks: those that are there from the beginning, one behind the other; cuframes_publisher_add_track adds more.
    "cuframes_publisher_create": (c_int32, (POINTER(PublisherOptions), POINTER(PacketOptions), c_uint32, POINTER(RingInfo))),
    # cuframes_publisher_slot_address(publisher, slot)
    # Where a slot that was acquired is in this process: a pointer, or a CUdeviceptr. It stays the same until the
    # publisher is closed.
    "cuframes_publisher_slot_address": (c_uint64, (c_uint32, c_uint32)),
    # cuframes_publisher_acquire(publisher, timeout_ms)
    # Returns a slot to fill, the caller's until it is published or cancelled. WOULD_BLOCK, or TIMEOUT under the policy
    # wait.
    "cuframes_publisher_acquire": (c_int32, (c_uint32, c_int32)),
    # cuframes_publisher_arm(publisher, callback)
    # Calls back once when a slot may be free.
    "cuframes_publisher_arm": (c_int32, (c_uint32, Callback)),
    # cuframes_publisher_publish(publisher, slot, record)
    # Makes an acquired slot visible to every subscriber, and writes the frame's sequence into the record.
    "cuframes_publisher_publish": (c_int32, (c_uint32, c_uint32, POINTER(PublishRecord))),
    # cuframes_publisher_upload(publisher, slot, bytes, size)
    # Copies a picture without padding from host memory into an acquired slot on a GPU, ordered by the library's stream.
    "cuframes_publisher_upload": (c_int32, (c_uint32, c_uint32, c_void_p, c_uint32)),
    # cuframes_publisher_download(publisher, slot, stream, has_stream, bytes, size)
    # Copies an acquired slot's picture without padding to host memory, after the work so far of the CUstream, where
    # `has_stream` is 1, else of the library's.
    "cuframes_publisher_download": (c_int32, (c_uint32, c_uint32, c_uint64, c_uint32, c_void_p, c_uint32)),
    # cuframes_publisher_copy_from(publisher, slot, source)
    # Copies a picture that is on the same GPU into an acquired slot, ordered by the source's stream.
    "cuframes_publisher_copy_from": (c_int32, (c_uint32, c_uint32, POINTER(CopySource))),
    # cuframes_publisher_cancel(publisher, slot)
    # Cancels a slot: it is free again, and nobody sees it.
    "cuframes_publisher_cancel": (c_int32, (c_uint32, c_uint32)),
    # cuframes_publisher_next_event(publisher, event)
    # Tells what has happened to the ring and was not told yet: the oldest of it. WOULD_BLOCK when there is nothing.
    "cuframes_publisher_next_event": (c_int32, (c_uint32, POINTER(PublisherEvent))),
    # cuframes_publisher_stats(publisher, stats)
    # Fills in the counters.
    "cuframes_publisher_stats": (c_int32, (c_uint32, POINTER(PublisherStats))),
    # cuframes_publisher_close(publisher, keep_mapped)
    # Ends the ring; subscribers keep what they hold. keep_mapped: 1 where somebody may still reach the slots, which then
    # stay mapped until the process ends.
    "cuframes_publisher_close": (c_int32, (c_uint32, c_uint32)),
    # cuframes_connect(options, info, report)
    # Blocks until connected: fills `info` and returns the subscriber's handle; or, where a report is all that is wanted,
    # fills `report` and returns 0. The pointer that is not needed may be null.
    "cuframes_connect": (c_int32, (POINTER(SubscriberOptions), POINTER(RingInfo), POINTER(Report))),
    # cuframes_connect_start(options, callback, token)
    # Starts connecting on another thread; returns a handle for cuframes_connect_finish, and calls back once. Without a
    # callback: see cuframes_connect_arm and cuframes_connect_wait.
    "cuframes_connect_start": (c_int32, (POINTER(SubscriberOptions), Callback, c_uint32)),
    # cuframes_connect_arm(attempt, callback, token)
    # Calls back once when cuframes_connect_finish has something to return. Returns 1 where it has already: no call comes.
    # Once for an attempt.
    "cuframes_connect_arm": (c_int32, (c_uint32, Callback, c_uint32)),
    # cuframes_connect_wait(attempt, timeout_ms)
    # Blocks until cuframes_connect_finish has something to return. TIMEOUT, with how far it has come: it goes on.
    "cuframes_connect_wait": (c_int32, (c_uint32, c_int32)),
    # cuframes_connect_finish(attempt, info, report)
    # What cuframes_connect would have returned, or a connected socket's handle; after the callback.
    "cuframes_connect_finish": (c_int32, (c_uint32, POINTER(RingInfo), POINTER(Report))),
    # cuframes_connect_close(attempt)
    # Cancels an attempt, or releases it after cuframes_connect_finish.
    "cuframes_connect_close": (c_int32, (c_uint32,)),
    # cuframes_subscriber_slot_address(subscriber, slot)
    # Where a slot is in this process, until the subscriber is closed; only to be read.
    "cuframes_subscriber_slot_address": (c_uint64, (c_uint32, c_uint32)),
    # cuframes_subscriber_next(subscriber, timeout_ms, spin_us, frame)
    # Leases the next frame, which does not change until it is released.
    # timeout_ms: 0 not at all (WOULD_BLOCK), negative for ever. The first spin_us of the wait are spent spinning.
    "cuframes_subscriber_next": (c_int32, (c_uint32, c_int32, c_uint32, POINTER(FrameView))),
    # cuframes_subscriber_arm(subscriber, callback)
    # Calls back once at the next frame or the connection's end.
    "cuframes_subscriber_arm": (c_int32, (c_uint32, Callback)),
    # cuframes_subscriber_clone(subscriber, lease)
    # Returns a second lease on a frame that is held.
    "cuframes_subscriber_clone": (c_int32, (c_uint32, c_uint32)),
    # cuframes_subscriber_release(subscriber, lease)
    # Ends a lease.
    "cuframes_subscriber_release": (c_int32, (c_uint32, c_uint32)),
    # cuframes_subscriber_release_when_done(subscriber, lease, stream)
    # Ends a lease on a GPU frame when the CUstream's work so far is done.
    "cuframes_subscriber_release_when_done": (c_int32, (c_uint32, c_uint32, c_uint64)),
    # cuframes_subscriber_to_host(subscriber, lease, refresh, address)
    # Copies a held GPU frame to page-locked host memory, once unless `refresh` is 1; returns which of
    # LEASES_MAX buffers, and its address. The bytes stay as they are for as long as the frame is held.
    "cuframes_subscriber_to_host": (c_int32, (c_uint32, c_uint32, c_uint32, POINTER(c_uint64))),
    # cuframes_subscriber_stats(subscriber, stats)
    # Fills in the counters.
    "cuframes_subscriber_stats": (c_int32, (c_uint32, POINTER(SubscriberStats))),
    # cuframes_subscriber_close(subscriber, keep_mapped)
    # Ends the connection and all leases. keep_mapped: as for cuframes_publisher_close, the copies in host memory
    # included.
    "cuframes_subscriber_close": (c_int32, (c_uint32, c_uint32)),
    # cuframes_publisher_add_track(publisher, options)
    # Adds a track of packets, and hands it to the subscribers that are there and want packets; returns its number.
    # WOULD_BLOCK: there are TRACKS_MAX already.
    "cuframes_publisher_add_track": (c_int32, (c_uint32, POINTER(PacketOptions))),
    # cuframes_publisher_configure_track(publisher, track, options)
    # Lets a track go on with packets of another codec, or of other parameters, in another ring. Readers finish the ring
    # before, and find the new generation in the first packet of this one.
    "cuframes_publisher_configure_track": (c_int32, (c_uint32, c_uint32, POINTER(PacketOptions))),
    # cuframes_publisher_set_extradata(publisher, track, bytes, size)
    # Replaces the extradata that a track's readers are given: at most EXTRADATA_SIZE_MAX bytes; 0 takes them away.
    "cuframes_publisher_set_extradata": (c_int32, (c_uint32, c_uint32, c_void_p, c_uint32)),
    # cuframes_publisher_publish_packet(publisher, track, record, bytes)
    # Copies as many bytes as the record says into a track's ring, and writes the packet's sequence into the record.
    "cuframes_publisher_publish_packet": (c_int32, (c_uint32, c_uint32, POINTER(PacketRecord), c_void_p)),
    # cuframes_subscriber_track(subscriber, track, info, extradata)
    # Says what a track of the connection is now, with its extradata in a buffer of EXTRADATA_SIZE_MAX bytes; returns
    # their size. NO_PACKET_RING: there is no track of that number.
    "cuframes_subscriber_track": (c_int32, (c_uint32, c_uint32, POINTER(TrackInfo), c_void_p)),
    # cuframes_packet_reader_open(subscriber, options)
    # Returns the handle of a reader of one of the connection's tracks.
    "cuframes_packet_reader_open": (c_int32, (c_uint32, POINTER(PacketReaderOptions))),
    # cuframes_packet_reader_next(reader, timeout_ms, packet)
    # Describes the next packet; cuframes_packet_reader_copy takes it.
    "cuframes_packet_reader_next": (c_int32, (c_uint32, c_int32, POINTER(PacketView))),
    # cuframes_packet_reader_copy(reader, destination, size)
    # Copies the packet that was just described, and moves on. PACKET_OVERRUN when the writer was faster: the bytes are
    # then worth nothing.
    "cuframes_packet_reader_copy": (c_int32, (c_uint32, c_void_p, c_uint32)),
    # cuframes_packet_reader_track(reader, info, extradata)
    # Says what the track is at the packet that was described last, with its extradata in a buffer of EXTRADATA_SIZE_MAX
    # bytes; returns their size. NO_CODEC_PARAMETERS: there are none.
    "cuframes_packet_reader_track": (c_int32, (c_uint32, POINTER(TrackInfo), c_void_p)),
    # cuframes_packet_reader_arm(reader, callback)
    # Calls back once at the next packet or the connection's end.
    "cuframes_packet_reader_arm": (c_int32, (c_uint32, Callback)),
    # cuframes_packet_reader_stats(reader, stats)
    # Fills in the counters.
    "cuframes_packet_reader_stats": (c_int32, (c_uint32, POINTER(PacketStats))),
    # cuframes_packet_reader_close(reader)
    # Ends a reader; before its subscriber is closed.
    "cuframes_packet_reader_close": (c_int32, (c_uint32,)),
    # cuframes_image_import(options, info)
    # Imports a dma-buf or memfd, for the CPU or for CUDA; returns an image's handle. The descriptors stay the caller's.
    "cuframes_image_import": (c_int32, (POINTER(ImageOptions), POINTER(ImageInfo))),
    # cuframes_image_import_egl(display, egl_image, fourcc, device, device_size, info)
    # Registers an EGLImage of the caller's with CUDA; returns an image's handle. `fourcc` 0: what the driver takes it
    # for.
    # `device` names a GPU, as in cuframes_publisher_options.
    "cuframes_image_import_egl": (c_int32, (c_uint64, c_uint64, c_uint32, c_void_p, c_uint32, POINTER(ImageInfo))),
    # cuframes_publisher_copy_image(publisher, slot, image, plane, stream, has_stream)
    # Copies an image into an acquired slot; with `plane` from 0 on, an image of one plane into that plane of it. On a GPU
    # the copy is ordered by the CUstream, where `has_stream` is 1, else by the library's own.
    "cuframes_publisher_copy_image": (c_int32, (c_uint32, c_uint32, c_uint32, c_int32, c_uint64, c_uint32)),
    # cuframes_image_close(image)
    # Ends an image. What was registered may be kept for the next import of the same buffer: see cuframes_images_trim.
    "cuframes_image_close": (c_int32, (c_uint32,)),
    # cuframes_images_trim()
    # Releases every registration that no image uses, and with it of the buffers.
    "cuframes_images_trim": (None, ()),
    # cuframes_dmabuf_formats(device, device_size, pairs, capacity)
    # Fills a table of at most `capacity` layouts that EGL imports on a GPU; returns how many there are in it.
    "cuframes_dmabuf_formats": (c_int32, (c_void_p, c_uint32, POINTER(DmabufPair), c_uint32)),
    # cuframes_subscriber_export_dmabuf(subscriber, lease)
    # Returns a dma-buf of a held frame, the caller's to close: on a GPU of the slot itself, on the host of a copy.
    "cuframes_subscriber_export_dmabuf": (c_int32, (c_uint32, c_uint32)),
    # cuframes_socket_connect_start(address, size, timeout_ms, callback, token)
    # Starts connecting to a socket on another thread, as cuframes_connect_start. `address` is a path, or "@" and an
    # abstract name, of `size` bytes. timeout_ms: how long to wait for a listener; 0: it must be there.
    "cuframes_socket_connect_start": (c_int32, (c_void_p, c_uint32, c_int32, Callback, c_uint32)),
    # cuframes_socket_listen(address, size, mode)
    # Returns a listener's handle. ALREADY_EXISTS where somebody listens.
    "cuframes_socket_listen": (c_int32, (c_void_p, c_uint32, c_uint32)),
    # cuframes_socket_accept(listener, timeout_ms)
    # Returns the handle of a listener's next connection. WOULD_BLOCK with a time-out of 0, else TIMEOUT.
    "cuframes_socket_accept": (c_int32, (c_uint32, c_int32)),
    # cuframes_socket_send(socket, bytes, size, descriptors, descriptor_count, timeout_ms)
    # Sends one message of 1 to SOCKET_MESSAGE_SIZE_MAX bytes with up to SOCKET_DESCRIPTORS_MAX descriptors, which stay
    # the caller's.
    "cuframes_socket_send": (c_int32, (c_uint32, c_void_p, c_uint32, POINTER(c_int32), c_uint32, c_int32)),
    # cuframes_socket_receive(socket, bytes, capacity, received, timeout_ms)
    # Takes one message into a buffer of at least SOCKET_MESSAGE_SIZE_MAX bytes. The descriptors that came with it are the
    # caller's; on every error none of them is open.
    "cuframes_socket_receive": (c_int32, (c_uint32, c_void_p, c_uint32, POINTER(Received), c_int32)),
    # cuframes_socket_arm(socket, direction, callback)
    # Calls back once when there is something to receive or accept (direction 0), or room to send (1), or the end to tell.
    "cuframes_socket_arm": (c_int32, (c_uint32, c_uint32, Callback)),
    # cuframes_socket_peer(socket, credentials)
    # Who the peer was when it connected, or began to listen.
    "cuframes_socket_peer": (c_int32, (c_uint32, POINTER(Credentials))),
    # cuframes_socket_close(socket)
    # Ends a connection, or the listening with its files.
    "cuframes_socket_close": (c_int32, (c_uint32,)),
    # cuframes_descriptor_close(descriptor)
    # Closes a descriptor that was received or exported; INVALID_ARGUMENT where it is not open.
    "cuframes_descriptor_close": (c_int32, (c_int32,)),
}


def declare(library: CDLL) -> CDLL:
    """Sets the types of every function of the library; ImportError where it is of another ABI version."""
    library.cuframes_abi_version.restype = c_uint32
    version = library.cuframes_abi_version()
    if version != ABI_VERSION:
        raise ImportError(f"the library has version {version} of the C ABI, and this module is for {ABI_VERSION}")
    for name, (result, parameters) in FUNCTIONS.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = parameters
    return library
