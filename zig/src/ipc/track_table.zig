//! A track table is what a connection has been told of its publisher's tracks, and their rings as this process has them
//! mapped. Everything in it is guarded by the reactor's lock, but for the count of its changes.

const std = @import("std");
const assert = std.debug.assert;
const errors = @import("../core/mod.zig").errors;
const layout = @import("../ring/mod.zig").layout;
const memfd = @import("../os/mod.zig").memfd;
const Identity = @import("../os/mod.zig").folder.Identity;
const protocol = @import("protocol.zig");
const reactor = @import("reactor.zig");
const track = @import("track.zig");
const Error = errors.Error;

const allocator = std.heap.c_allocator;

/// Rings of one track that are mapped at a time, for readers that have not come to their end. What comes beyond them is
/// lost to such readers, and counted.
pub const rings_max = 4;

/// One ring of a track. Who reads it holds a reference.
pub const Ring = struct {
    references: u32,
    table: *TrackTable,
    index: u3,
    info: track.TrackInfo,
    /// Packets that the track had before the first of this ring.
    base: u64,
    /// As it was when the ring came.
    cursor: u64,
    region: []align(std.heap.page_size_min) const u8,
    /// Of the shared memory: the same ring is known again over another connection.
    identity: Identity,
    /// The one that its track goes on in, where that is known; holds a reference.
    next: ?*Ring = null,
};

/// What this process lacked when a ring came.
pub const Lack = enum(u32) { none, descriptor, memory };

pub const TrackTable = struct {
    entries: [layout.tracks_max]Entry = @splat(.{}),
    /// Atomic. Grows with every change.
    changes: u32 = 0,

    const Entry = struct {
        newest: ?*Ring = null,
        rings: u32 = 0,
        lack: Lack = .none,
    };

    /// Whether these are tracks as a publisher has them: without a gap.
    pub fn arePossible(told: *const [layout.tracks_max]protocol.TrackRing) bool {
        var ended = false;
        for (told) |*ring| {
            if (ring.size == 0) ended = true else if (ended or !isPossible(ring)) return false;
        }
        return true;
    }

    fn isPossible(told: *const protocol.TrackRing) bool {
        return told.size >= 1 and told.size <= layout.region_size_max and told.info.fromPeer() != null and
            told.base <= std.math.maxInt(u63);
    }

    pub fn count(told: *const [layout.tracks_max]protocol.TrackRing) usize {
        var number: usize = 0;
        for (told) |*ring| number += @intFromBool(ring.size != 0);
        return number;
    }

    /// Takes a ring in; its descriptor stays the caller's. Protocol: it is none.
    pub fn add(table: *TrackTable, index: u32, told: *const protocol.TrackRing, fd: i32) Error!void {
        assert(reactor.isLocked());
        const is_new = index < layout.tracks_max and isPossible(told) and table.isNext(index, told);
        if (!is_new) return errors.fail(error.Protocol, "the publisher announced an impossible track", .{});
        const region = try memfd.mapForeign(fd, told.size, .read_only);
        errdefer memfd.unmap(region);
        // Of what is shared memory for certain: others may take their time to answer.
        const identity: Identity = try .ofDescriptor(fd, "a packet ring");
        const ring = allocator.create(Ring) catch return errors.fail(
            error.OutOfMemory,
            "no memory for a packet ring",
            .{},
        );
        ring.* = .{
            .references = 1,
            .table = table,
            .index = @intCast(index),
            .info = told.info.fromPeer().?,
            .base = told.base,
            .cursor = told.cursor,
            .region = region,
            .identity = identity,
        };
        ring.info.index = index;
        const entry = &table.entries[index];
        if (entry.newest) |before| {
            if (entry.rings < rings_max) {
                before.next = ring;
                ring.references += 1;
            }
            unref(before);
        }
        entry.newest = ring;
        entry.rings += 1;
        table.tell();
    }

    fn isNext(table: *const TrackTable, index: u32, told: *const protocol.TrackRing) bool {
        const newest = table.entries[index].newest orelse return true;
        // What was passed over is nobody's fault: a publisher sends what is newest.
        return told.base >= newest.base and told.info.kind == newest.info.kind;
    }

    /// Notes that a ring has come which this process had no room for.
    pub fn miss(table: *TrackTable, index: u32, lack: Lack) void {
        assert(reactor.isLocked() and index < layout.tracks_max and lack != .none);
        table.entries[index].lack = lack;
        table.tell();
    }

    fn tell(table: *TrackTable) void {
        _ = @atomicRmw(u32, &table.changes, .Add, 1, .seq_cst);
    }

    /// The newest ring of the first track that fits, with a reference for the caller; what was lacking, where that may
    /// have been the one.
    pub fn find(table: *TrackTable, selector: *const track.Selector) union(enum) { ring: *Ring, none, lacking: Lack } {
        assert(reactor.isLocked());
        var lack: Lack = .none;
        for (&table.entries, 0..) |*entry, index| {
            if (entry.newest) |ring| {
                if (!selector.fits(index, &ring.info)) continue;
                ring.references += 1;
                return .{ .ring = ring };
            }
            if (selector.index == null or selector.index.? == index) {
                if (entry.lack != .none) lack = entry.lack;
            }
        }
        return if (lack != .none) .{ .lacking = lack } else .none;
    }

    /// The ring that a track goes on in, in exchange for the caller's reference to the one that has ended.
    pub fn follow(table: *TrackTable, ring: *Ring) union(enum) { ring: *Ring, none, lacking: Lack } {
        assert(reactor.isLocked() and ring.table == table);
        const entry = &table.entries[ring.index];
        const next = ring.next orelse if (entry.newest.? != ring) entry.newest.? else {
            return if (entry.lack != .none) .{ .lacking = entry.lack } else .none;
        };
        next.references += 1;
        unref(ring);
        return .{ .ring = next };
    }

    pub fn deinit(table: *TrackTable) void {
        assert(reactor.isLocked());
        for (&table.entries) |*entry| {
            if (entry.newest) |ring| unref(ring);
            entry.newest = null;
            assert(entry.rings == 0);
        }
    }
};

/// Lets go of a ring.
pub fn unref(first: *Ring) void {
    assert(reactor.isLocked());
    var current: ?*Ring = first;
    while (current) |ring| {
        assert(ring.references >= 1);
        ring.references -= 1;
        if (ring.references > 0) return;
        current = ring.next;
        ring.table.entries[ring.index].rings -= 1;
        memfd.unmap(ring.region);
        allocator.destroy(ring);
    }
}
