//! The leases of a ring's readers say which slots may not be written. Their pages are written by other processes: only
//! the masks and copies here are trusted.

const std = @import("std");
const assert = std.debug.assert;
const barrier = @import("barrier.zig");
const layout = @import("layout.zig");
const channel = @import("channel.zig");
const Ticket = layout.Ticket;

/// What is in each slot, by the writer's own account: a lease of anything else protects nothing.
pub const Sequences = *const [layout.slots_max]u64;

/// Readers that were evicted and have not closed their connection yet. With those that are connected they fill two
/// tables, since each place of a subscriber is free again when its reader is evicted.
pub const evicted_max = 2 * layout.subscribers_max;

/// The lease pages that the writer must respect.
pub const Subscribers = struct {
    pages: [layout.subscribers_max]*layout.LeasePage = undefined,
    active: u64 = 0,
    /// Those that may hold frames. What the others write in their pages protects nothing.
    holders: u64 = 0,
    /// Those that are to get every frame: the policy "wait" waits for them.
    ordered: u64 = 0,
    evicted: [evicted_max]Evicted = undefined,
    evicted_count: u32 = 0,

    /// What a subscriber is given.
    pub const Wants = enum { packets_only, newest, ordered };

    pub fn add(subscribers: *Subscribers, index: u6, page: *layout.LeasePage, wants: Wants) void {
        const bit = bitOf(index);
        assert(subscribers.active & bit == 0);
        subscribers.pages[index] = page;
        subscribers.active |= bit;
        if (wants != .packets_only) subscribers.holders |= bit;
        if (wants == .ordered) subscribers.ordered |= bit;
    }

    pub fn remove(subscribers: *Subscribers, index: u6) void {
        const bit = bitOf(index);
        assert(subscribers.active & bit != 0);
        subscribers.active &= ~bit;
        subscribers.holders &= ~bit;
        subscribers.ordered &= ~bit;
    }

    /// Its leases still count, and nothing waits for what it has not been given.
    pub fn neglect(subscribers: *Subscribers, index: u6) void {
        assert(subscribers.active & bitOf(index) != 0);
        subscribers.ordered &= ~bitOf(index);
    }

    /// Slots that some lease of a connected reader names, as a mask.
    pub fn leased(subscribers: *const Subscribers, sequences: Sequences) u64 {
        var slots: u64 = 0;
        var indexes = bitsOf(subscribers.holders);
        while (indexes.next()) |index| slots |= leasedIn(subscribers.pages[index], sequences);
        return slots;
    }

    /// Slots that evicted readers still hold, as a mask: nothing may be written there while they do, but such a slot
    /// can be given other memory.
    pub fn kept(subscribers: *Subscribers) u64 {
        var slots: u64 = 0;
        for (subscribers.evicted[0..subscribers.evicted_count]) |*reader| slots |= reader.kept();
        return slots;
    }

    /// A slot has other memory from now on: what was there is outside the ring, with whoever keeps it.
    pub fn replaced(subscribers: *Subscribers, slot: u6) void {
        for (subscribers.evicted[0..subscribers.evicted_count]) |*reader| reader.replaced(slot);
    }

    /// What a connected reader holds.
    pub fn holding(subscribers: *const Subscribers, index: u6, sequences: Sequences) u64 {
        assert(subscribers.active & bitOf(index) != 0);
        if (subscribers.holders & bitOf(index) == 0) return 0;
        return leasedIn(subscribers.pages[index], sequences);
    }

    /// Takes a reader's leases for the future away. What it has is its own, in memory that the writer does not touch.
    pub fn evict(subscribers: *Subscribers, index: u6, sequences: Sequences, frames: u32, after_ns: u64) void {
        const page = subscribers.pages[index];
        subscribers.remove(index);
        subscribers.evicted[subscribers.evicted_count] = .init(page, sequences, frames, after_ns);
        subscribers.evicted_count += 1;
    }

    /// Everybody is gone.
    pub fn clear(subscribers: *Subscribers) void {
        subscribers.active = 0;
        subscribers.holders = 0;
        subscribers.ordered = 0;
        subscribers.evicted_count = 0;
    }

    /// Whether an evicted reader holds something still.
    pub fn holdsAny(subscribers: *Subscribers, page: *const layout.LeasePage) bool {
        for (subscribers.evicted[0..subscribers.evicted_count]) |*reader| {
            if (reader.page == page) return reader.holdsAny();
        }
        unreachable;
    }

    /// An evicted reader has gone, or it does not matter any more.
    pub fn forget(subscribers: *Subscribers, page: *const layout.LeasePage) void {
        const index = for (subscribers.evicted[0..subscribers.evicted_count], 0..) |*reader, index| {
            if (reader.page == page) break index;
        } else unreachable;
        subscribers.evicted_count -= 1;
        subscribers.evicted[index] = subscribers.evicted[subscribers.evicted_count];
    }

    /// The sequence that every ordered subscriber has been given.
    pub fn deliveredToAll(subscribers: *const Subscribers) u64 {
        var lowest: u64 = layout.sequence_max;
        var indexes = bitsOf(subscribers.ordered);
        while (indexes.next()) |index| {
            lowest = @min(lowest, barrier.load(u64, &subscribers.pages[index].cursor, .seq_cst));
        }
        return lowest;
    }

    pub fn notifyFrames(subscribers: *const Subscribers) void {
        var indexes = bitsOf(subscribers.active);
        while (indexes.next()) |index| channel.notify(&subscribers.pages[index].frames);
    }

    pub fn notifyPackets(subscribers: *const Subscribers, track: usize) void {
        var indexes = bitsOf(subscribers.active);
        while (indexes.next()) |index| channel.notify(&subscribers.pages[index].tracks[track]);
    }
};

/// A reader that gets no lease any more. What it held stays as it is until it lets go.
pub const Evicted = struct {
    page: *layout.LeasePage,
    /// What it held; Ticket.none where it has let go.
    tickets: [layout.leases_max]u64 = @splat(Ticket.none),
    /// Those of `tickets` whose memory is no slot's any more, as a mask.
    outside: u8 = 0,

    /// Revokes first and looks at the leases then, all of it sequentially consistent; the reader stores its lease first
    /// and looks whether it was revoked then. So each lease that the reader believes in is seen here.
    fn init(page: *layout.LeasePage, sequences: Sequences, frames: u32, after_ns: u64) Evicted {
        barrier.store(u32, &page.revoked_frames, frames, .monotonic);
        barrier.store(u64, &page.revoked_after_ns, after_ns, .monotonic);
        barrier.store(u32, &page.revoked, 1, .seq_cst);
        var evicted: Evicted = .{ .page = page };
        for (&page.leases, &evicted.tickets) |*lease, *ticket| {
            const word = barrier.load(u64, lease, .seq_cst);
            if (isLeased(word, sequences)) ticket.* = word;
        }
        return evicted;
    }

    fn kept(evicted: *Evicted) u64 {
        evicted.refresh();
        var slots: u64 = 0;
        for (evicted.tickets, 0..) |ticket, index| {
            const is_outside = evicted.outside & @as(u8, 1) << @intCast(index) != 0;
            if (ticket != Ticket.none and !is_outside) slots |= bitOf(Ticket.from(ticket).slot);
        }
        return slots;
    }

    fn holdsAny(evicted: *Evicted) bool {
        evicted.refresh();
        return std.mem.indexOfNone(u64, &evicted.tickets, &.{Ticket.none}) != null;
    }

    fn replaced(evicted: *Evicted, slot: u6) void {
        for (evicted.tickets, 0..) |ticket, index| {
            if (ticket == Ticket.none or Ticket.from(ticket).slot != slot) continue;
            evicted.outside |= @as(u8, 1) << @intCast(index);
        }
    }

    /// Whoever has let go of a frame once has no claim to it: it may be somebody else's by now.
    fn refresh(evicted: *Evicted) void {
        for (&evicted.tickets) |*ticket| {
            if (ticket.* == Ticket.none) continue;
            const named = for (&evicted.page.leases) |*lease| {
                if (barrier.load(u64, lease, .seq_cst) == ticket.*) break true;
            } else false;
            if (!named) ticket.* = Ticket.none;
        }
    }
};

fn leasedIn(page: *const layout.LeasePage, sequences: Sequences) u64 {
    var slots: u64 = 0;
    for (&page.leases) |*lease| {
        const word = barrier.load(u64, lease, .seq_cst);
        if (isLeased(word, sequences)) slots |= bitOf(Ticket.from(word).slot);
    }
    return slots;
}

/// A lease whose check can have gone well, or can still.
fn isLeased(word: u64, sequences: Sequences) bool {
    if (word == Ticket.none) return false;
    const ticket = Ticket.from(word);
    return ticket.sequence == sequences[ticket.slot] and ticket.sequence != layout.sequence_none;
}

pub fn bitOf(index: u6) u64 {
    return @as(u64, 1) << index;
}

/// The numbers of the bits in a mask.
pub fn bitsOf(mask: u64) std.bit_set.IntegerBitSet(64).Iterator(.{}) {
    const set: std.bit_set.IntegerBitSet(64) = .{ .mask = mask };
    return set.iterator(.{});
}

const testing = std.testing;

test "a lease of what is not in the slot protects nothing" {
    var sequences: [layout.slots_max]u64 = @splat(layout.sequence_none);
    sequences[3] = 7;
    try testing.expect(isLeased(Ticket.init(7, 3), &sequences));
    for ([_]u64{ Ticket.none, Ticket.init(8, 3), Ticket.init(6, 3), Ticket.init(7, 4), 4 }) |word| {
        try testing.expect(!isLeased(word, &sequences));
    }
}

test "an evicted reader keeps what it held until it lets go, and can claim nothing afterwards" {
    var sequences: [layout.slots_max]u64 = @splat(layout.sequence_none);
    for (1..6) |sequence| sequences[sequence] = sequence;
    var page = std.mem.zeroes(layout.LeasePage);
    for (1..4) |sequence| page.leases[sequence] = Ticket.init(sequence, @intCast(sequence));
    page.leases[4] = Ticket.init(3, 3);
    var subscribers: Subscribers = .{};
    subscribers.add(9, &page, .ordered);
    try testing.expectEqual(0b1110, subscribers.holding(9, &sequences));
    subscribers.evict(9, &sequences, 3, 5_000);
    try testing.expectEqual(1, page.revoked);
    try testing.expectEqual(0, subscribers.leased(&sequences));
    try testing.expectEqual(0b1110, subscribers.kept());

    subscribers.replaced(3);
    try testing.expectEqual(0b0110, subscribers.kept());
    page.leases[1] = Ticket.none;
    try testing.expectEqual(0b0100, subscribers.kept());
    page.leases[1] = Ticket.init(1, 1);
    page.leases[5] = Ticket.init(5, 5);
    try testing.expectEqual(0b0100, subscribers.kept());
    for ([_]usize{ 1, 2, 5 }) |entry| page.leases[entry] = Ticket.none;
    try testing.expect(subscribers.holdsAny(&page));
    // One frame was leased twice, and is held in memory that is no slot's any more.
    for ([_]usize{ 3, 4 }) |entry| page.leases[entry] = Ticket.none;
    try testing.expect(!subscribers.holdsAny(&page));
    subscribers.forget(&page);
    try testing.expectEqual(0, subscribers.kept());
}

test "what a subscriber that is given no frames writes in its page protects nothing" {
    var sequences: [layout.slots_max]u64 = @splat(layout.sequence_none);
    sequences[3] = 7;
    var page = std.mem.zeroes(layout.LeasePage);
    page.leases[0] = Ticket.init(7, 3);
    var subscribers: Subscribers = .{};
    subscribers.add(0, &page, .packets_only);
    try testing.expectEqual(0, subscribers.leased(&sequences) | subscribers.holding(0, &sequences));
    subscribers.remove(0);
    subscribers.add(0, &page, .newest);
    try testing.expectEqual(0b1000, subscribers.leased(&sequences));
}
