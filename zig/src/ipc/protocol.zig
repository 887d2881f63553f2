//! This file declares the messages on a publisher's socket. docs/protocol.md shows them as tables.

const std = @import("std");
const layout = @import("../ring/mod.zig").layout;
const format = @import("../core/mod.zig").format;
const TrackInfo = @import("track.zig").TrackInfo;
const Picture = @import("../core/mod.zig").picture.Picture;

pub const devices_max = 16;
/// Bytes of a GPU's UUID.
pub const uuid_size = @import("../core/mod.zig").uuid.size;
pub const refusal_message_size = 400;

pub const Kind = enum(u32) {
    hello = 1,
    welcome = 2,
    refusal = 3,
    track = 4,
    released = 5,
    report = 6,
    memory = 7,
    _,
};

/// What every message begins with.
pub const Prefix = extern struct {
    magic: u32 = layout.magic,
    version: u32 = layout.version,
    kind: u32,
    /// Of the whole message.
    size: u32,
};

/// Frames.
pub const want_frames: u32 = 1;
/// Packets, with frames or alone.
pub const want_packets: u32 = 2;
/// A report and nothing else.
pub const want_report: u32 = 4;

/// Subscriber to publisher, first and once.
pub const Hello = extern struct {
    prefix: Prefix = .{ .kind = @intFromEnum(Kind.hello), .size = @sizeOf(Hello) },
    wants: u32,
    mode: u32,
    /// NUL-padded.
    name: [layout.name_size_max + 1]u8,
    device_count: u32 = 0,
    reserved: u32 = 0,
    devices: [devices_max][uuid_size]u8 = @splat(@splat(0)),
};

/// Publisher to subscriber, with the descriptors: control region, lease page, those of `slots` if frames are wanted,
/// those of the packet rings of `tracks` if packets are wanted.
pub const Welcome = extern struct {
    prefix: Prefix = .{ .kind = @intFromEnum(Kind.welcome), .size = @sizeOf(Welcome) },
    memory: u32,
    /// Slots that the ring may have: all numbers of slots are below.
    max_slots: u32,
    geometry: format.Geometry,
    /// 1: the publisher has no frames, and what is said of them means nothing.
    packets_only: u32,
    reserved: u32 = 0,
    slot_size: u64,
    /// The slots whose memory comes with this message, as a mask; in the order of their numbers.
    slots: u64,
    /// Frames after this sequence are delivered.
    cursor: u64,
    publisher_pid: u64,
    device: [uuid_size]u8,
    /// Of the memory of each slot in `slots`; 0 for the others.
    generations: [layout.slots_max]u32,
    /// By their numbers; those that are not there have size 0.
    tracks: [layout.tracks_max]TrackRing,
};

/// One packet ring of a track.
pub const TrackRing = extern struct {
    /// Bytes of the region.
    size: u64,
    /// Packets that the track had before the first of this ring.
    base: u64,
    /// Packets from this one of the ring on can be decoded by whoever misses none published since: the last key
    /// packet, or 0.
    cursor: u64,
    info: TrackInfo,

    pub const none: TrackRing = std.mem.zeroes(TrackRing);
};

/// Publisher to subscriber, instead of a welcome.
pub const Refusal = extern struct {
    prefix: Prefix = .{ .kind = @intFromEnum(Kind.refusal), .size = @sizeOf(Refusal) },
    code: i32,
    /// NUL-padded UTF-8.
    message: [refusal_message_size]u8,
};

/// Publisher to subscriber, with the ring's descriptor: a track was added after the subscriber came, or goes on in
/// another ring.
pub const Track = extern struct {
    prefix: Prefix = .{ .kind = @intFromEnum(Kind.track), .size = @sizeOf(Track) },
    /// The track's number.
    index: u32,
    reserved: u32 = 0,
    ring: TrackRing,
};

/// What a publisher tells an inspector of a track.
pub const ReportTrack = extern struct {
    /// Packets published.
    published: u64,
    /// Payload of them, in bytes.
    bytes: u64,
    info: TrackInfo,
};

/// Publisher to subscriber, with the memory's descriptor where there is one: a slot has been given memory, or has lost
/// it.
pub const Memory = extern struct {
    prefix: Prefix = .{ .kind = @intFromEnum(Kind.memory), .size = @sizeOf(Memory) },
    slot: u32,
    /// As in the control region.
    generation: u32,
    /// 1: its descriptor comes with this message; 0: the slot has none any more.
    present: u32,
    reserved: u32 = 0,
};

/// Subscriber to publisher: a lease ended while the control region said that the publisher waits.
pub const Released = extern struct {
    prefix: Prefix = .{ .kind = @intFromEnum(Kind.released), .size = @sizeOf(Released) },
};

/// What a publisher knows of a subscriber.
pub const ReportSubscriber = extern struct {
    /// NUL-padded.
    name: [layout.name_size_max + 1]u8,
    /// 0 across PID namespaces.
    pid: i32,
    mode: u32,
    wants: u32,
    /// Frames that it holds.
    held: u32,
    /// As the subscriber wrote them in its lease page.
    received: u64,
    dropped: u64,
    cursor: u64,
    packets_received: u64,
    packets_lost: u64,
    /// CLOCK_MONOTONIC when it came.
    connected_ns: u64,
    /// How long ago the oldest frame that it holds was published; 0: it holds none.
    held_ns: u64,
};

/// How a reader lost its connection.
pub const Eviction = extern struct {
    /// NUL-padded.
    name: [layout.name_size_max + 1]u8,
    /// 0 across PID namespaces.
    pid: i32,
    /// Frames that it held.
    frames: u32,
    /// How long ago the oldest of them had been published.
    held_ns: u64,
    /// CLOCK_MONOTONIC when it was evicted; 0: nobody was yet.
    at_ns: u64,
};

/// Publisher to an inspector. The publisher's own view, answered by its control thread. `size` counts only the
/// subscribers that are there.
pub const Report = extern struct {
    prefix: Prefix,
    publisher_pid: u64,
    /// CLOCK_MONOTONIC when the ring was made, and when this was written.
    created_ns: u64,
    now_ns: u64,
    /// A kind of memory.
    memory: u32,
    /// Slots that have memory now.
    slot_count: u32,
    policy: u32,
    slots_leased: u32,
    geometry: format.Geometry,
    slot_size: u64,
    /// How many slots the ring may have.
    max_slots: u32,
    /// Memories outside the ring that evicted readers still hold.
    slots_outside: u32,
    /// Bytes that the memories of both kinds may take.
    memory_limit: u64,
    /// Readers evicted so far.
    evictions: u32,
    /// 1: there are no frames.
    packets_only: u32,
    last_eviction: Eviction,
    /// The newest frame's; nothing is said before there is one.
    picture: Picture,
    published: u64,
    newest_published_ns: u64,
    /// Frames per 1000 s over the frames that are in the ring; 0 with fewer than two.
    rate_millihertz: u64,
    /// Of all tracks.
    packets_published: u64,
    /// How many of `tracks` there are.
    track_count: u32,
    /// Connections dropped for what they sent or failed to send.
    rejected: u32,
    /// A GPU's UUID; all zero for the host.
    device: [uuid_size]u8,
    /// How many of `subscribers` there are.
    subscriber_count: u32,
    reserved: u32 = 0,
    /// By their numbers.
    tracks: [layout.tracks_max]ReportTrack,
    subscribers: [layout.subscribers_max]ReportSubscriber,

    pub fn sizeFor(subscriber_count: usize) usize {
        return @offsetOf(Report, "subscribers") + subscriber_count * @sizeOf(ReportSubscriber);
    }
};

/// A message larger than this is not one of ours.
pub const message_size_max = @sizeOf(Report);

/// The message of type T in `bytes`, or null when its size, magic, version or kind is another.
pub fn parse(comptime T: type, comptime kind: Kind, bytes: []const u8) ?T {
    if (bytes.len != @sizeOf(T)) return null;
    const message = std.mem.bytesToValue(T, bytes[0..@sizeOf(T)]);
    if (prefixProblem(bytes) != null or message.prefix.kind != @intFromEnum(kind)) return null;
    return message;
}

/// Why these bytes are not of this protocol, in words for the peer's user; null when they are.
pub fn prefixProblem(bytes: []const u8) ?enum { not_cuframes, other_version, wrong_size } {
    if (bytes.len < @sizeOf(Prefix)) return .not_cuframes;
    const prefix = std.mem.bytesToValue(Prefix, bytes[0..@sizeOf(Prefix)]);
    if (prefix.magic != layout.magic) return .not_cuframes;
    if (prefix.version != layout.version) return .other_version;
    if (prefix.size != bytes.len) return .wrong_size;
    return null;
}

comptime {
    const assert = std.debug.assert;
    assert(@sizeOf(Prefix) == 16);
    assert(@sizeOf(Hello) == 64 + devices_max * uuid_size);
    assert(@offsetOf(Welcome, "geometry") == 24);
    assert(@sizeOf(Welcome) == 24 + 104 + 40 + 16 + 4 * layout.slots_max + layout.tracks_max * @sizeOf(TrackRing));
    assert(@sizeOf(TrackRing) == 184);
    assert(@sizeOf(ReportTrack) == 176);
    assert(@sizeOf(Memory) == 32);
    assert(@sizeOf(Eviction) == 56);
    assert(@sizeOf(Refusal) == 20 + refusal_message_size);
    assert(@sizeOf(Track) == 208);
    assert(@sizeOf(ReportSubscriber) == 104);
}

const testing = std.testing;

test "parse takes exactly its own messages" {
    const released: Released = .{};
    const bytes = std.mem.asBytes(&released);
    try testing.expect(parse(Released, .released, bytes) != null);
    try testing.expect(parse(Released, .hello, bytes) == null);
    try testing.expect(parse(Released, .released, bytes[0..12]) == null);
    for (0..16) |index| {
        var changed = bytes.*;
        changed[index] ^= 0x40;
        try testing.expect(parse(Released, .released, &changed) == null);
    }
}
