"""Publishes a frame and reads it, by python/cuframes/_abi.py: round_trip.py LIBRARY DIRECTORY"""

import ctypes
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python"))
from cuframes import _abi

library = _abi.declare(ctypes.CDLL(sys.argv[1]))
assert library.cuframes_abi_version() == _abi.ABI_VERSION


def checked(result):
    """The result of a call that succeeded."""
    if result >= 0:
        return result
    buffer = ctypes.create_string_buffer(512)
    size = library.cuframes_error_message(buffer, len(buffer))
    raise RuntimeError(f"{_abi.ErrorCode(result).name}: {buffer.raw[:size].decode()}")


directory = sys.argv[2].encode()
options = _abi.PublisherOptions(
    key=b"python",
    directory=directory,
    format=_abi.PixelFormat.GRAY8,
    width=64,
    height=48,
    slots=4,
    max_slots=4,
    policy=_abi.Policy.DROP_OLDEST,
    memory=_abi.MemoryKind.HOST,
    socket_mode=0o660,
)
ring = _abi.RingInfo()
publisher = checked(library.cuframes_publisher_create(options, None, 0, ring))
plane = ring.geometry.planes[0]
assert (ring.geometry.plane_count, plane.rows, plane.row_bytes) == (1, 48, 64)

wanted = _abi.SubscriberOptions(
    key=b"python", directory=directory, name=b"a test", mode=_abi.Mode.ORDERED, wants=_abi.Want.FRAMES
)
seen = _abi.RingInfo()
subscriber = checked(library.cuframes_connect(wanted, seen, None))
assert bytes(seen) == bytes(ring)

picture = bytes(index % 251 for index in range(plane.stride * plane.rows))
slot = checked(library.cuframes_publisher_acquire(publisher, 0))
ctypes.memmove(library.cuframes_publisher_slot_address(publisher, slot) + plane.offset, picture, len(picture))
record = _abi.PublishRecord(timestamp_ns=-7, duration_ns=40_000_000, flags=_abi.FrameFlag.DISCONTINUITY, metadata_size=5)
record.metadata[:5] = b"hello"
record.capture_time_ns = 1_700_000_000_000_000_000
record.picture.matrix = _abi.ColorMatrix.SMPTE240M
record.picture.rotation = 90
record.picture.visible_width = record.picture.visible_height = 1_000_000
checked(library.cuframes_publisher_publish(publisher, slot, record))
assert record.sequence == 1

frame = _abi.FrameView()
checked(library.cuframes_subscriber_next(subscriber, 5000, 0, frame))
assert (frame.sequence, frame.timestamp_ns, frame.duration_ns) == (1, -7, 40_000_000)
assert frame.flags == _abi.FrameFlag.DISCONTINUITY
assert bytes(frame.metadata[: frame.metadata_size]) == b"hello"
assert frame.capture_time_ns == 1_700_000_000_000_000_000
assert (frame.picture.matrix, frame.picture.rotation) == (_abi.ColorMatrix.SMPTE240M, 90)
assert (frame.picture.visible_width, frame.picture.visible_height) == (64, 48)
assert frame.published_ns <= library.cuframes_now_ns()
address = library.cuframes_subscriber_slot_address(subscriber, frame.slot) + plane.offset
assert ctypes.string_at(address, len(picture)) == picture
checked(library.cuframes_subscriber_release(subscriber, frame.lease))
assert library.cuframes_subscriber_next(subscriber, 0, 0, frame) == _abi.ErrorCode.WOULD_BLOCK

stats = _abi.SubscriberStats()
checked(library.cuframes_subscriber_stats(subscriber, stats))
assert (stats.received, stats.dropped, stats.held) == (1, 0, 0)
try:
    checked(library.cuframes_subscriber_release(subscriber, frame.lease))
except RuntimeError as error:
    assert str(error).startswith("INVALID_ARGUMENT: "), error
else:
    raise AssertionError("a lease was released twice")
checked(library.cuframes_subscriber_close(subscriber, 0))
checked(library.cuframes_publisher_close(publisher, 0))
print("read what was published")
