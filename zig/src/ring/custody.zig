//! Custody says which memories of slots are still with subscribers after they have left the ring. A subscriber says in
//! its page what it has let go of; until it does, or its connection ends, the memory counts.

const std = @import("std");
const assert = std.debug.assert;
const layout = @import("layout.zig");
const leases = @import("leases.zig");

/// Subscribers to frames, with those that were evicted.
const holders_max = layout.subscribers_max + leases.evicted_max;
/// As many as the ring and all subscribers together can have.
pub const memories_max = layout.slots_max + holders_max * layout.leases_max;

/// A slot's memory, of which the slot may have had many.
const Memory = struct { slot: u6, generation: u32 };

const Holder = struct {
    page: *const layout.LeasePage,
    /// The generation of each slot's memory that it was handed last; 0: none.
    handed: [layout.slots_max]u32 = @splat(0),

    /// Whether it has mapped a memory, by its own account, or was handed it last and has not followed yet. Of what came
    /// in between it keeps nothing.
    fn mayHave(holder: *const Holder, memory: Memory) bool {
        const handed = holder.handed[memory.slot];
        if (handed == 0) return false;
        const has_settled = holder.settled(memory.slot);
        return has_settled == memory.generation or (handed == memory.generation and has_settled < handed);
    }

    fn settled(holder: *const Holder, slot: u6) u32 {
        return @atomicLoad(u32, &holder.page.settled[slot], .acquire);
    }

    /// It has nothing, and will have nothing.
    fn isDone(holder: *const Holder) bool {
        for (holder.handed, 0..) |generation, slot| {
            if (generation != 0 and holder.settled(@intCast(slot)) != layout.settled_all) return false;
        }
        return true;
    }
};

pub const Custody = struct {
    holders: [holders_max]Holder = undefined,
    holder_count: usize = 0,
    outside: [memories_max]Memory = undefined,
    outside_count: usize = 0,

    /// A subscriber to frames has come, evicted or not until it goes.
    pub fn enter(custody: *Custody, page: *const layout.LeasePage) void {
        custody.holders[custody.holder_count] = .{ .page = page };
        custody.holder_count += 1;
    }

    /// It has gone, and what it had with it. Does nothing for who is not there.
    pub fn leave(custody: *Custody, page: *const layout.LeasePage) void {
        const index = custody.indexOf(page) orelse return;
        custody.holder_count -= 1;
        custody.holders[index] = custody.holders[custody.holder_count];
    }

    /// A subscriber is being sent a slot's memory.
    pub fn hand(custody: *Custody, page: *const layout.LeasePage, slot: u6, generation: u32) void {
        assert(generation != 0);
        custody.holders[custody.indexOf(page).?].handed[slot] = generation;
    }

    /// Whether a subscriber has nothing any more, and takes nothing.
    pub fn isDone(custody: *const Custody, page: *const layout.LeasePage) bool {
        return custody.holders[custody.indexOf(page).?].isDone();
    }

    /// A slot's memory has left the ring.
    pub fn retire(custody: *Custody, slot: u6, generation: u32) void {
        const memory: Memory = .{ .slot = slot, .generation = generation };
        if (!custody.isHad(memory)) return;
        // There are as many places as memories can be made.
        if (custody.outside_count == memories_max) _ = custody.count();
        custody.outside[custody.outside_count] = memory;
        custody.outside_count += 1;
    }

    /// Memories outside the ring that somebody may still have.
    pub fn count(custody: *Custody) u32 {
        var index: usize = 0;
        while (index < custody.outside_count) {
            if (custody.isHad(custody.outside[index])) {
                index += 1;
                continue;
            }
            custody.outside_count -= 1;
            custody.outside[index] = custody.outside[custody.outside_count];
        }
        return @intCast(custody.outside_count);
    }

    fn isHad(custody: *const Custody, memory: Memory) bool {
        for (custody.holders[0..custody.holder_count]) |*holder| {
            if (holder.mayHave(memory)) return true;
        }
        return false;
    }

    fn indexOf(custody: *const Custody, page: *const layout.LeasePage) ?usize {
        for (custody.holders[0..custody.holder_count], 0..) |*holder, index| {
            if (holder.page == page) return index;
        }
        return null;
    }
};

const testing = std.testing;

test "memory that left the ring counts once, until all who were handed it have let go or have gone" {
    const custody = try testing.allocator.create(Custody);
    defer testing.allocator.destroy(custody);
    custody.* = .{};
    var pages: [3]layout.LeasePage = @splat(std.mem.zeroes(layout.LeasePage));
    for (&pages) |*page| custody.enter(page);
    for (pages[0..2]) |*page| custody.hand(page, 5, 3);
    custody.retire(5, 3);
    // Nobody has had what was there before, nor that of another slot.
    custody.retire(6, 1);
    try testing.expectEqual(1, custody.count());
    pages[0].settled[5] = 3;
    try testing.expectEqual(1, custody.count());
    pages[0].settled[5] = 4;
    try testing.expectEqual(1, custody.count());
    custody.leave(&pages[1]);
    try testing.expectEqual(0, custody.count());

    // What it has mapped counts, and the last that it was handed; it closes what came in between.
    custody.hand(&pages[0], 5, 5);
    pages[0].settled[5] = 5;
    for ([_]u32{ 7, 9 }) |generation| {
        custody.retire(5, generation - 2);
        custody.hand(&pages[0], 5, generation);
    }
    custody.retire(5, 9);
    try testing.expectEqual(2, custody.count());
    pages[0].settled[5] = 9;
    try testing.expectEqual(1, custody.count());
    pages[0].settled[5] = 10;
    try testing.expectEqual(0, custody.count());
    try testing.expect(!custody.isDone(&pages[0]));
    pages[0].settled[5] = layout.settled_all;
    try testing.expect(custody.isDone(&pages[0]) and custody.isDone(&pages[2]));
    custody.leave(&pages[1]);
}
