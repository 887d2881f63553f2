//! What a publisher tells its owner of its ring: that it grew or shrank, and who was evicted or refused.

const std = @import("std");
const layout = @import("../ring/mod.zig").layout;
const clock = @import("../os/mod.zig").clock;

/// What happened to a publisher's ring.
pub const Kind = enum(u32) {
    /// The ring has got a slot.
    grown = 1,
    /// The ring has lost a slot that nobody needed.
    shrunk = 2,
    /// A reader lost its connection for what it held.
    evicted = 3,
    /// A reader that was evicted again and again was not let in.
    refused = 4,
};

/// One thing that happened.
pub const PublisherEvent = extern struct {
    /// What happened.
    kind: u32,
    /// Slots that have memory, where it grew or shrank.
    slots: u32 = 0,
    /// Of the reader, or of the one that holds most where the ring grew; 0 across PID namespaces.
    pid: i32 = 0,
    /// Frames that it holds.
    frames: u32 = 0,
    /// How long ago the oldest of them was published; or how long the reader is refused from now on.
    duration_ns: u64 = 0,
    /// CLOCK_MONOTONIC.
    at_ns: u64 = 0,
    /// The reader's name, NUL-padded.
    name: [layout.name_size_max + 1]u8 = @splat(0),
};

/// The newest that were not taken yet. Guarded by the publisher's mutex.
pub const Events = struct {
    items: [capacity]PublisherEvent = undefined,
    first: usize = 0,
    count: usize = 0,

    /// Who does not take them in time misses the oldest.
    const capacity = 64;

    pub fn add(events: *Events, event: PublisherEvent) void {
        if (events.count == capacity) _ = events.take();
        const place = &events.items[(events.first + events.count) % capacity];
        place.* = event;
        place.at_ns = clock.monotonicNs();
        events.count += 1;
    }

    pub fn take(events: *Events) ?PublisherEvent {
        if (events.count == 0) return null;
        const event = events.items[events.first];
        events.first = (events.first + 1) % capacity;
        events.count -= 1;
        return event;
    }
};

test "the oldest event makes room for the newest" {
    const testing = std.testing;
    var events: Events = .{};
    for (0..Events.capacity + 3) |slots| events.add(.{ .kind = @intFromEnum(Kind.grown), .slots = @intCast(slots) });
    for (3..Events.capacity + 3) |slots| try testing.expectEqual(slots, events.take().?.slots);
    try testing.expectEqual(@as(?PublisherEvent, null), events.take());
}
