//! This file declares the shared bytes of the frame ring: control region and lease page. docs/protocol.md shows them as
//! tables.

const std = @import("std");
const format = @import("../core/mod.zig").format;
const Picture = @import("../core/mod.zig").picture.Picture;

pub const magic: u32 = 0xCC7C1DCF;
pub const version: u32 = 6;

/// Slots of a frame ring.
pub const slots_min = 2;
pub const slots_max = 64;
/// Subscribers of one publisher at a time.
pub const subscribers_max = 64;
/// Frames that one subscriber can hold at a time.
pub const leases_max = 8;
/// Packet tracks of one publisher.
pub const tracks_max = 8;
/// Bytes of a frame's metadata.
pub const metadata_size_max = 1024;
/// Characters of a key, and of a subscriber's name.
pub const key_size_max = 63;
pub const name_size_max = 31;

/// Bytes of a slot, and of a packet ring: whoever announces more is broken.
pub const region_size_max: u64 = 1 << 40;

/// Frames are numbered from 1; 0 is no frame.
pub const sequence_none: u64 = 0;
pub const sequence_max: u64 = (1 << 58) - 1;

/// A sequence and its slot in one word, so that one atomic access carries both. 0 is none.
pub const Ticket = packed struct(u64) {
    slot: u6,
    sequence: u58,

    pub const none: u64 = 0;

    pub fn init(sequence: u64, slot: u32) u64 {
        std.debug.assert(sequence >= 1 and sequence <= sequence_max);
        return @bitCast(Ticket{ .slot = @intCast(slot), .sequence = @intCast(sequence) });
    }

    pub fn from(word: u64) Ticket {
        return @bitCast(word);
    }
};

/// Frames are missing in front of this one.
pub const flag_discontinuity: u32 = 1;
/// Known to be damaged.
pub const flag_corrupt: u32 = 2;

/// What travels with a frame. Valid while the slot's sequence is not 0 and the frame is leased.
pub const FrameRecord = extern struct {
    /// The publisher's, on any clock.
    timestamp_ns: i64,
    duration_ns: u64,
    /// CLOCK_MONOTONIC at publish.
    published_ns: u64,
    /// When the picture was taken, in UTC since 1970, by the camera's clock where it tells, else when it arrived; 0:
    /// not known.
    capture_time_ns: i64,
    /// Flags of a frame.
    flags: u32,
    /// Bytes of `metadata` that are used.
    metadata_size: u32,
    picture: Picture,
    metadata: [metadata_size_max]u8,
};

pub const Slot = extern struct {
    /// Atomic. 0 while the slot holds no frame that may be read.
    sequence: u64 align(64),
    /// Atomic. Counts the slot's memories: each one that is given to it, and each that is taken away. Changes only
    /// while `sequence` is 0.
    generation: u32,
    reserved: u32,
    record: FrameRecord,
};

/// Written by the publisher only; subscribers map it read-only.
pub const Control = extern struct {
    magic: u32,
    version: u32,
    /// Slots that the ring may have: all numbers of slots are below.
    max_slots: u32,
    memory: u32,
    geometry: format.Geometry,
    slot_size: u64,
    publisher_pid: u64,
    /// Atomic Ticket of the newest completed frame.
    newest: u64 align(64),
    /// Atomic. How many of the publisher's threads wait for a slot: releases are then announced on the socket.
    publisher_waiting: u32 align(64),
    /// Atomic. 1 once the publisher has closed.
    closed: u32,
    slots: [slots_max]Slot align(64),
};

/// One reason to sleep. The sleeper reads `wake`, sets `waiting`, looks at its condition again and sleeps
/// while `wake` is unchanged; the waker changes its condition and then looks at `waiting`.
pub const Channel = extern struct {
    waiting: u32,
    wake: u32,
};

/// One per subscriber, writable by it and by the publisher. The publisher believes nothing in it:
/// any value of `leases` protects at most the slots it names, the counters are for display.
pub const LeasePage = extern struct {
    /// Atomic Tickets of the frames held; 0 is a free entry.
    leases: [leases_max]u64 align(64),
    /// Atomic. The sequence of the last frame delivered.
    cursor: u64 align(64),
    received: u64,
    dropped: u64,
    packets_received: u64,
    packets_lost: u64,
    /// Atomic. 1: the reader was evicted, and gets no lease any more. Written by the publisher, behind the two that
    /// follow.
    revoked: u32,
    /// How many frames it held then, and for how long the one that it held the longest.
    revoked_frames: u32,
    revoked_after_ns: u64,
    frames: Channel align(64),
    /// For each track.
    tracks: [tracks_max]Channel align(64),
    /// Atomic. For each slot, up to which generation the subscriber has followed what it was told of the slot's memory:
    /// what was there before is not mapped any more. `settled_all`: nor is what will be there.
    settled: [slots_max]u32 align(64),
};

/// Of a subscriber that takes no memory any more.
pub const settled_all: u32 = std.math.maxInt(u32);

pub const control_size = std.mem.alignForward(usize, @sizeOf(Control), std.heap.page_size_max);
pub const lease_page_size = std.heap.page_size_max;

comptime {
    const assert = std.debug.assert;
    assert(@sizeOf(FrameRecord) == 88 + metadata_size_max);
    assert(@offsetOf(FrameRecord, "picture") == 40);
    assert(@sizeOf(Slot) == 1152);
    assert(@offsetOf(Slot, "record") == 16);
    assert(@offsetOf(Control, "geometry") == 0x10);
    assert(@offsetOf(Control, "newest") == 0xC0);
    assert(@offsetOf(Control, "publisher_waiting") == 0x100);
    assert(@offsetOf(Control, "slots") == 0x140);
    assert(@sizeOf(Control) == 0x140 + slots_max * 1152);
    assert(@offsetOf(LeasePage, "cursor") == 0x40);
    assert(@offsetOf(LeasePage, "revoked") == 0x68);
    assert(@offsetOf(LeasePage, "frames") == 0x80);
    assert(@offsetOf(LeasePage, "tracks") == 0xC0);
    assert(@offsetOf(LeasePage, "settled") == 0x100);
    assert(@sizeOf(LeasePage) == 0x200);
    assert(@sizeOf(LeasePage) <= lease_page_size);
    assert(slots_max <= std.math.maxInt(u6) + 1);
}
