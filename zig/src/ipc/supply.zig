//! A publisher is supplied with slots, whatever its readers hold: the ring grows while they hold many, the reader that
//! holds most is evicted at the end of that, and the ring shrinks again. Memory is made and let go of under no lock;
//! the mutex is held to choose a slot and to say what became of it.

const std = @import("std");
const assert = std.debug.assert;
const layout = @import("../ring/mod.zig").layout;
const bitOf = @import("../ring/mod.zig").leases.bitOf;
const clock = @import("../os/mod.zig").clock;
const log = @import("../os/mod.zig").log;
const os_fd = @import("../os/mod.zig").fd;
const errors = @import("../core/mod.zig").errors;
const reactor = @import("reactor.zig");
const admission = @import("admission.zig");
const eviction = @import("eviction.zig");
const events = @import("publisher_events.zig");
const outbox = @import("outbox.zig");
const Publisher = @import("publisher.zig").Publisher;

/// A slot that nobody needed for so long loses its memory.
const shrink_after_s = 10;
const shrink_patience_max_ns = 3600 * std.time.ns_per_s;
/// How often the reactor looks after a ring that is larger than it was, or that evicted readers still hold frames of.
const interval_ms = 1000;

/// Guarded by the publisher's mutex.
pub const Supply = struct {
    /// How many slots the ring begins with, and goes back to.
    slots_initial: u32,
    /// How many memories there may be: in the ring, and outside of it with readers that were evicted. The ring grows to
    /// half of what the latter leave, so that each of its memories can be replaced once.
    memories_max: u32,
    /// Slots whose memory is being changed, as a mask. Nobody is handed it meanwhile.
    changing: u64 = 0,
    need: Need = .{},
    /// Not before this is memory taken away again. Who keeps what was handed over, against the protocol, has the
    /// publisher make it again and again; so each time that the ring grows soon after it shrank, it waits for twice as
    /// long.
    shrink_not_before_ns: u64 = 0,
    shrink_patience_ns: u64 = shrink_after_s * std.time.ns_per_s,
    shrunk_ns: u64 = 0,
    /// Descriptors of memory that has left the ring. Only the reactor closes them: it may be sending one.
    left: [left_max]i32 = undefined,
    left_count: usize = 0,
};

const left_max = 2 * layout.slots_max;

/// How many slots were needed at a time, at most, in each of the last seconds.
const Need = struct {
    peaks: [shrink_after_s]u32 = @splat(0),
    second: u64 = 0,

    fn note(need: *Need, slots: u32, now_ns: u64) void {
        need.turnTo(now_ns / std.time.ns_per_s);
        const peak = &need.peaks[@intCast(need.second % shrink_after_s)];
        peak.* = @max(peak.*, slots);
    }

    fn turnTo(need: *Need, second: u64) void {
        if (second >= need.second + shrink_after_s) need.peaks = @splat(0);
        while (need.second < second) {
            need.second = @max(need.second + 1, second -| shrink_after_s);
            need.peaks[@intCast(need.second % shrink_after_s)] = 0;
        }
    }

    fn most(need: *const Need) u32 {
        return std.mem.max(u32, &need.peaks);
    }
};

/// A slot for the owner to fill. WouldBlock: as many as the ring began with are the owner's own, filled or being
/// filled, or there is no memory for more.
pub fn acquire(publisher: *Publisher) error{WouldBlock}!u6 {
    var can_make = true;
    // Each round ends with a slot, with a reader less, or without hope for memory.
    for (0..layout.subscribers_max + 2) |_| {
        const choice = choose(publisher, can_make);
        switch (choice) {
            .ready => |slot| return slot,
            .empty => |slot| {
                if (fill(publisher, slot)) return slot;
                can_make = false;
            },
            .evicted => publisher.owed.post(),
            .none => break,
        }
    }
    return error.WouldBlock;
}

const Choice = union(enum) { ready: u6, empty: u6, evicted, none };

fn choose(publisher: *Publisher, can_make: bool) Choice {
    publisher.mutex.lock();
    defer publisher.mutex.unlock();
    const writer = &publisher.writer;
    const subscribers = &publisher.subscribers;
    const supply = &publisher.supply;
    if (writer.acquire(subscribers)) |slot| {
        if (@popCount(writer.present) > supply.slots_initial) noteNeed(publisher);
        return .{ .ready = slot };
    }
    // What the owner holds itself, and the GPU for it, is no reader's fault: it has as many slots as at first.
    const own = @popCount(writer.busy) + @intFromBool(writer.newest_slot != null);
    if (!can_make or own >= supply.slots_initial) return .none;
    const room = roomOf(publisher);
    const replaceable = if (room > 0) writer.acquireKept(subscribers) else null;
    const slot = replaceable orelse (if (mayGrow(publisher)) writer.reserve() else null) orelse {
        const evicted = room > 0 and eviction.evict(publisher, .{ .everyone = room <= reserve });
        return if (evicted) .evicted else .none;
    };
    supply.changing |= bitOf(slot);
    return .{ .empty = slot };
}

/// Memories that may still be made.
fn roomOf(publisher: *Publisher) u32 {
    assert(publisher.mutex.isHeld());
    const made = @popCount(publisher.writer.present) + publisher.subscribers.memoriesOutside();
    return publisher.supply.memories_max -| made;
}

/// The last memories that are made: one for the frame that is filled, one for the newest. Before that all readers are
/// evicted at once, so that nobody can hold them: the limit on memory is kept, and the camera goes on.
pub const reserve = 2;

fn mayGrow(publisher: *Publisher) bool {
    return roomOf(publisher) >= @popCount(publisher.writer.present) + 2;
}

/// Whether there is memory enough for one reader more to hold what it may, and to be evicted for it. While there is
/// not, those who were evicted hold too much.
pub fn mayAdmit(publisher: *Publisher) bool {
    return publisher.subscribers.memoriesOutside() == 0 or roomOf(publisher) >= layout.leases_max + reserve;
}

fn noteGrowth(supply: *Supply, now_ns: u64) void {
    const least = shrink_after_s * std.time.ns_per_s;
    const since_ns = now_ns -| supply.shrunk_ns;
    if (supply.shrunk_ns != 0 and since_ns < supply.shrink_patience_ns) {
        supply.shrink_patience_ns = @min(2 * supply.shrink_patience_ns, shrink_patience_max_ns);
        // Once for all the slots that it grows by now.
        supply.shrunk_ns = 0;
    } else if (supply.shrunk_ns != 0 and since_ns > 4 * supply.shrink_patience_ns) supply.shrink_patience_ns = least;
    supply.shrink_not_before_ns = now_ns +| supply.shrink_patience_ns;
}

fn noteNeed(publisher: *Publisher) void {
    assert(publisher.mutex.isHeld());
    const writer = &publisher.writer;
    const own = writer.busy | if (writer.newest_slot) |newest| bitOf(newest) else 0;
    const leased = publisher.subscribers.leased(&writer.sequences) & ~own;
    // The owner takes what is there, and more than it would have at first is nobody's need.
    const needed = @popCount(leased) + @min(@popCount(own), publisher.supply.slots_initial);
    publisher.supply.need.note(needed, clock.monotonicNs());
}

/// Gives a slot of the caller's memory, in the place of what evicted readers keep or for the first time. False: there
/// is none to be had, and the slot is nobody's.
fn fill(publisher: *Publisher, slot: u6) bool {
    const made = publisher.slots.make(slot);
    var overflow: ?i32 = null;
    {
        publisher.mutex.lock();
        defer publisher.mutex.unlock();
        const writer = &publisher.writer;
        const grown = writer.present & bitOf(slot) == 0;
        publisher.supply.changing &= ~bitOf(slot);
        if (made) |before| {
            if (before) |fd| overflow = leave(publisher, fd);
            writer.equip(slot);
            publisher.subscribers.replaced(slot);
            oweToAll(publisher, slot);
            if (grown) {
                noteGrowth(&publisher.supply, clock.monotonicNs());
                noteNeed(publisher);
                eviction.tellGrowth(publisher, @popCount(writer.present));
            }
        } else |_| {
            // On a GPU what was there may be gone before the new failed.
            const lost = !grown and !publisher.slots.hasMemory(slot);
            if (lost) {
                publisher.subscribers.replaced(slot);
                writer.strip(slot);
                oweToAll(publisher, slot);
            } else writer.cancel(slot);
        }
    }
    publisher.owed.post();
    if (overflow) |fd| {
        // The reactor has not come to it for long. It does not send now.
        const is_reactor = reactor.isLocked();
        if (!is_reactor) reactor.lock();
        defer if (!is_reactor) reactor.unlock();
        closeLeft(publisher);
        os_fd.close(fd);
    }
    if (made) |_| return true else |_| {}
    log.debug("{s}: no memory for slot {d}: {s}", .{ publisher.keyText(), slot, errors.message() });
    return false;
}

/// Returns the descriptor where there is no room for it.
fn leave(publisher: *Publisher, fd: i32) ?i32 {
    assert(publisher.mutex.isHeld());
    const supply = &publisher.supply;
    if (supply.left_count == left_max) return fd;
    supply.left[supply.left_count] = fd;
    supply.left_count += 1;
    return null;
}

/// Closes the descriptors of memory that has left the ring. By the reactor, or by the publisher's end.
pub fn closeLeft(publisher: *Publisher) void {
    var left: [left_max]i32 = undefined;
    const count = count: {
        publisher.mutex.lock();
        defer publisher.mutex.unlock();
        left = publisher.supply.left;
        defer publisher.supply.left_count = 0;
        break :count publisher.supply.left_count;
    };
    for (left[0..count]) |fd| os_fd.close(fd);
}

fn oweToAll(publisher: *Publisher, slot: u6) void {
    assert(publisher.mutex.isHeld());
    var indexes = admission.indexesOf(publisher.subscribers.active);
    while (indexes.next()) |index| publisher.connections[index].out.oweMemory(slot);
}

/// For the reactor: called whenever somebody says that something is owed or was evicted, and each second while there is
/// something to look after.
pub fn handlerOf(publisher: *Publisher) reactor.Handler {
    return .{ .context = publisher, .ready = onOwed, .expired = onOwed };
}

fn onOwed(context: *anyopaque, token: reactor.Token, _: i32) void {
    const publisher: *Publisher = @ptrCast(@alignCast(context));
    publisher.owed.clear();
    const again = tend(publisher);
    outbox.flushAll(publisher);
    closeLeft(publisher);
    if (again) reactor.remind(token, .fromMilliseconds(interval_ms));
}

/// Replaces what evicted readers keep, and takes away what nobody needs. Returns whether there is more to look after.
fn tend(publisher: *Publisher) bool {
    assert(reactor.isLocked());
    eviction.settle(publisher);
    for (0..layout.slots_max) |_| {
        switch (chooseChange(publisher)) {
            .replace => |slot| if (!replace(publisher, slot)) break,
            .strip => |slot| strip(publisher, slot),
            .none => break,
        }
    }
    publisher.mutex.lock();
    defer publisher.mutex.unlock();
    return @popCount(publisher.writer.present) > publisher.supply.slots_initial or
        publisher.subscribers.evicted_count > 0;
}

/// Gives a slot that only evicted readers keep other memory, and lets go of it.
fn replace(publisher: *Publisher, slot: u6) bool {
    if (!fill(publisher, slot)) return false;
    publisher.mutex.lock();
    defer publisher.mutex.unlock();
    publisher.writer.cancel(slot);
    return true;
}

const Change = union(enum) { replace: u6, strip: u6, none };

fn chooseChange(publisher: *Publisher) Change {
    publisher.mutex.lock();
    defer publisher.mutex.unlock();
    const writer = &publisher.writer;
    const subscribers = &publisher.subscribers;
    const supply = &publisher.supply;
    const present = @popCount(writer.present);
    const is_large = present > supply.slots_initial;
    if (is_large) noteNeed(publisher);
    // One more, to be filled.
    const wanted = @max(supply.slots_initial, supply.need.most() + 1);
    if (present > wanted and clock.monotonicNs() >= supply.shrink_not_before_ns) {
        const slot = writer.acquireKept(subscribers) orelse writer.acquire(subscribers) orelse return .none;
        supply.changing |= bitOf(slot);
        return .{ .strip = slot };
    }
    if (roomOf(publisher) <= reserve) return .none;
    const slot = writer.acquireKept(subscribers) orelse return .none;
    supply.changing |= bitOf(slot);
    return .{ .replace = slot };
}

/// Lets go of a slot's memory, which is this thread's to change.
fn strip(publisher: *Publisher, slot: u6) void {
    publisher.slots.remove(slot);
    publisher.mutex.lock();
    defer publisher.mutex.unlock();
    publisher.supply.changing &= ~bitOf(slot);
    publisher.supply.shrunk_ns = clock.monotonicNs();
    publisher.subscribers.replaced(slot);
    publisher.writer.strip(slot);
    oweToAll(publisher, slot);
    publisher.events.add(.{ .kind = @intFromEnum(events.Kind.shrunk), .slots = @popCount(publisher.writer.present) });
}

test "a ring that grows again as soon as it has shrunk keeps its memory for longer each time, and is forgiven" {
    const testing = std.testing;
    const second = std.time.ns_per_s;
    var supply: Supply = .{ .slots_initial = 2, .memories_max = 8 };
    var now: u64 = 1000 * second;
    for ([_]u64{ 10, 20, 40, 80 }) |patience| {
        for (0..3) |_| noteGrowth(&supply, now);
        try testing.expectEqual(now + patience * second, supply.shrink_not_before_ns);
        now = supply.shrink_not_before_ns;
        supply.shrunk_ns = now;
        now += 1;
    }
    now += 4 * 80 * second;
    noteGrowth(&supply, now);
    try testing.expectEqual(now + 10 * second, supply.shrink_not_before_ns);
    for (0..20) |_| {
        supply.shrunk_ns = now;
        noteGrowth(&supply, now);
    }
    try testing.expectEqual(now + shrink_patience_max_ns, supply.shrink_not_before_ns);
}

test "the need of the last ten seconds" {
    const testing = std.testing;
    var need: Need = .{};
    const second = std.time.ns_per_s;
    need.note(5, 1000 * second);
    need.note(9, 1001 * second);
    need.note(7, 1001 * second + 1);
    try testing.expectEqual(9, need.most());
    need.note(3, 1010 * second);
    try testing.expectEqual(9, need.most());
    need.note(2, 1011 * second);
    try testing.expectEqual(3, need.most());
    need.note(1, 5000 * second);
    try testing.expectEqual(1, need.most());
}
