//! The frame ring on plain memory decides which slot may be written and which frame may be read. It makes no system
//! call.
//!
//! A lease is a hazard pointer. Reader: store the ticket in the lease page, then check that the slot still has
//! that sequence. Writer: set the slot's sequence to 0, then look at the leases. All four accesses are
//! sequentially consistent, so at least one side sees the other.

const std = @import("std");
const assert = std.debug.assert;
const barrier = @import("barrier.zig");
const layout = @import("layout.zig");
const leases = @import("leases.zig");
const bitOf = leases.bitOf;
const Subscribers = leases.Subscribers;
const Ticket = layout.Ticket;

/// What a publisher does where every slot is held: publish nothing, or wait for one.
pub const Policy = enum(u32) { drop_oldest = 0, wait = 1 };

pub const Writer = struct {
    control: *layout.Control,
    policy: Policy,
    /// Slots that have memory, as a mask.
    present: u64 = 0,
    /// idle: completed or empty, may be taken; busy: being filled, or published and not completed.
    busy: u64 = 0,
    /// The writer's own copy of what is in the slots.
    sequences: [layout.slots_max]u64 = @splat(layout.sequence_none),
    generations: [layout.slots_max]u32 = @splat(0),
    newest_slot: ?u6 = null,
    /// Sequences given out by `number`; the newest completed one is `completed`.
    numbered: u64 = 0,
    completed: u64 = 0,

    /// A ring without memory: `reserve` and `equip` give it some.
    pub fn init(control: *layout.Control, policy: Policy) Writer {
        assert(control.max_slots >= layout.slots_min and control.max_slots <= layout.slots_max);
        return .{ .control = control, .policy = policy };
    }

    /// A slot that nobody reads, invalidated and owned by the caller until `complete` or `cancel`; null when
    /// every slot is leased, busy, the newest, or (policy "wait") not yet delivered to every ordered subscriber.
    pub fn acquire(writer: *Writer, subscribers: *Subscribers) ?u6 {
        const excluded, const overwritable = writer.limits(subscribers);
        return writer.take(excluded | subscribers.kept(), overwritable, subscribers);
    }

    /// A slot that only evicted readers hold, to be given other memory before it is written.
    pub fn acquireKept(writer: *Writer, subscribers: *Subscribers) ?u6 {
        const excluded, const overwritable = writer.limits(subscribers);
        return writer.take(excluded | ~subscribers.kept(), overwritable, subscribers);
    }

    /// A slot without memory, the caller's until it is equipped or cancelled; null: the ring has all that it may have.
    pub fn reserve(writer: *Writer) ?u6 {
        const free = ~(writer.present | writer.busy);
        if (free == 0 or @ctz(free) >= writer.control.max_slots) return null;
        const slot: u6 = @intCast(@ctz(free));
        writer.busy |= bitOf(slot);
        return slot;
    }

    /// A slot of the caller's has new memory. It stays the caller's.
    pub fn equip(writer: *Writer, slot: u6) void {
        assert(writer.busy & bitOf(slot) != 0);
        writer.present |= bitOf(slot);
        writer.changeMemory(slot);
    }

    /// A slot of the caller's has no memory any more, and is nobody's.
    pub fn strip(writer: *Writer, slot: u6) void {
        assert(writer.owns(slot));
        writer.present &= ~bitOf(slot);
        writer.busy &= ~bitOf(slot);
        writer.changeMemory(slot);
    }

    fn changeMemory(writer: *Writer, slot: u6) void {
        assert(writer.sequences[slot] == layout.sequence_none);
        writer.generations[slot] +%= 1;
        barrier.store(u32, &writer.control.slots[slot].generation, writer.generations[slot], .seq_cst);
    }

    /// Whether `acquire` would find a slot; takes none.
    pub fn hasFree(writer: *const Writer, subscribers: *Subscribers) bool {
        const excluded, const overwritable = writer.limits(subscribers);
        return writer.oldest(excluded | subscribers.kept(), overwritable) != null;
    }

    /// The slots that must not be written, and the highest sequence that may be overwritten.
    fn limits(writer: *const Writer, subscribers: *const Subscribers) struct { u64, u64 } {
        var excluded = subscribers.leased(&writer.sequences) | writer.busy | ~writer.present;
        if (writer.newest_slot) |newest| excluded |= bitOf(newest);
        return .{ excluded, switch (writer.policy) {
            .drop_oldest => layout.sequence_max,
            .wait => subscribers.deliveredToAll(),
        } };
    }

    fn take(writer: *Writer, unavailable: u64, overwritable: u64, subscribers: *const Subscribers) ?u6 {
        var excluded = unavailable;
        // A slot more is excluded each time.
        while (writer.oldest(excluded, overwritable)) |slot| {
            assert(writer.present & bitOf(slot) != 0 and writer.busy & bitOf(slot) == 0);
            if (writer.invalidate(slot, subscribers)) {
                writer.busy |= bitOf(slot);
                return slot;
            }
            excluded |= bitOf(slot);
        }
        return null;
    }

    fn oldest(writer: *const Writer, excluded: u64, overwritable: u64) ?u6 {
        var found: ?u6 = null;
        var slots = leases.bitsOf(~excluded);
        while (slots.next()) |index| {
            const sequence = writer.sequences[index];
            if (sequence > overwritable) continue;
            if (found == null or sequence < writer.sequences[found.?]) found = @intCast(index);
        }
        return found;
    }

    fn invalidate(writer: *Writer, slot: u6, subscribers: *const Subscribers) bool {
        const sequence = writer.sequences[slot];
        // An empty slot has no sequence that a lease could have been checked against.
        if (sequence == layout.sequence_none) return true;
        const shared = &writer.control.slots[slot].sequence;
        barrier.store(u64, shared, layout.sequence_none, .seq_cst);
        if (subscribers.leased(&writer.sequences) & bitOf(slot) != 0) {
            // A lease came first: its frame is whole and stays.
            barrier.store(u64, shared, sequence, .seq_cst);
            return false;
        }
        writer.sequences[slot] = layout.sequence_none;
        return true;
    }

    pub fn owns(writer: *const Writer, slot: u32) bool {
        return slot < layout.slots_max and writer.busy & writer.present & bitOf(@intCast(slot)) != 0;
    }

    /// The next sequence. Frames must be completed in the order in which they were numbered.
    pub fn number(writer: *Writer) u64 {
        assert(writer.numbered < layout.sequence_max);
        writer.numbered += 1;
        return writer.numbered;
    }

    /// Makes a filled slot visible. Its record has been written.
    pub fn complete(writer: *Writer, slot: u6, sequence: u64) void {
        assert(writer.owns(slot));
        assert(sequence > writer.completed and sequence <= writer.numbered);
        writer.busy &= ~bitOf(slot);
        writer.sequences[slot] = sequence;
        writer.newest_slot = slot;
        writer.completed = sequence;
        barrier.store(u64, &writer.control.slots[slot].sequence, sequence, .seq_cst);
        barrier.store(u64, &writer.control.newest, Ticket.init(sequence, slot), .seq_cst);
    }

    /// Somebody is about to wait for a slot, and looks for one behind this: releases are announced until `endWait`.
    pub fn beginWait(writer: *Writer) void {
        barrier.add(u32, &writer.control.publisher_waiting, 1);
    }

    pub fn endWait(writer: *Writer) void {
        barrier.add(u32, &writer.control.publisher_waiting, std.math.maxInt(u32));
    }

    /// Gives a slot back unpublished.
    pub fn cancel(writer: *Writer, slot: u6) void {
        assert(writer.busy & bitOf(slot) != 0);
        writer.busy &= ~bitOf(slot);
    }
};

/// Which frame a subscriber is given next: the newest one, or every one in turn that is still there.
pub const Mode = enum(u32) { newest = 0, ordered = 1 };

pub const ReadError = error{ Protocol, TooManyLeases, Evicted };

/// One subscriber's view. `control` may be written at any moment by a publisher that nobody trusts.
pub const Reader = struct {
    control: *const layout.Control,
    page: *layout.LeasePage,
    max_slots: u32,
    mode: Mode,
    /// The generation of each slot's memory that is there to be read; 0: none. Atomic: another thread may wait for
    /// them.
    generations: [layout.slots_max]u32 = @splat(0),
    /// Frames after this one are news. Atomic: another thread may wait for them.
    cursor: u64,
    /// The reader's own copy of what it holds. Atomic: a lease may be released by the thread that saw the GPU's last
    /// read of it; taking one is the owner's alone.
    leases: [layout.leases_max]u64 = @splat(Ticket.none),
    /// The page's entry that stands for each lease, and how many leases it stands for. Clones share one: a ticket that
    /// moved from one entry to another could be missed by a writer that looks at them in turn.
    entries: [layout.leases_max]u32 = undefined,
    shares: [layout.leases_max]u32 = @splat(0),
    /// Atomic.
    memory_is_final: bool = false,
    /// A ticket was stored and taken back: a writer may have seen it, and wait for its release.
    withdrew: bool = false,
    received: u64 = 0,
    dropped: u64 = 0,

    /// A publisher that laps a reader this often within one call is hostile or broken.
    const attempts_max = 1024;

    pub const Lease = struct { index: u32, slot: u6, sequence: u64 };

    pub fn init(
        control: *const layout.Control,
        page: *layout.LeasePage,
        max_slots: u32,
        mode: Mode,
        cursor: u64,
    ) Reader {
        assert(max_slots <= layout.slots_max);
        barrier.store(u64, &page.cursor, cursor, .seq_cst);
        return .{ .control = control, .page = page, .max_slots = max_slots, .mode = mode, .cursor = cursor };
    }

    /// From now on a slot's memory is the one of this generation; 0: there is none. Safe from another thread.
    pub fn setMemory(reader: *Reader, slot: u6, generation: u32) void {
        @atomicStore(u32, &reader.generations[slot], generation, .seq_cst);
    }

    /// Whether the memory that a frame is in has come. Behind a load of the frame's sequence from its slot: the memory
    /// is changed before a sequence is stored, and not while it is there.
    fn hasMemory(reader: *const Reader, slot: u6) bool {
        const generation = @atomicLoad(u32, &reader.generations[slot], .seq_cst);
        return generation != 0 and generation == barrier.load(u32, &reader.control.slots[slot].generation, .seq_cst);
    }

    /// Whether the publisher has ended the connection for what the reader held: it must not look at another frame.
    pub fn isEvicted(reader: *const Reader) bool {
        return barrier.load(u32, &reader.page.revoked, .seq_cst) != 0;
    }

    /// Whether the publisher wants to be told of the lease that has just been given back: either this sees that it
    /// waits, or it sees the lease gone, since both are sequentially consistent on both sides.
    pub fn isAwaited(reader: *const Reader) bool {
        return barrier.load(u32, &reader.control.publisher_waiting, .seq_cst) != 0;
    }

    /// Whether one more frame can be held. Safe from another thread.
    pub fn hasRoom(reader: *const Reader) bool {
        return reader.freeLease() != null;
    }

    /// Whether `next` has something to return. Safe from another thread. The page's copy of the cursor does not
    /// count: the publisher could have written it.
    pub fn hasNews(reader: *const Reader) bool {
        const newest = Ticket.from(barrier.load(u64, &reader.control.newest, .seq_cst));
        if (newest.sequence <= @atomicLoad(u64, &reader.cursor, .acquire)) return false;
        // Where nothing follows, `next` says why.
        const wanted = reader.choose(newest) orelse return true;
        return wanted.slot >= reader.max_slots or reader.hasMemory(wanted.slot);
    }

    /// Leases the next frame of the reader's mode; null when there is none yet, or its memory has not come. Protocol:
    /// what the control region announces is not there. Evicted: there will be none.
    pub fn next(reader: *Reader) ReadError!?Lease {
        if (reader.isEvicted()) return error.Evicted;
        const index = reader.freeLease() orelse return error.TooManyLeases;
        const entry = reader.freeEntry();
        for (0..attempts_max) |_| {
            const newest = Ticket.from(barrier.load(u64, &reader.control.newest, .seq_cst));
            if (newest.sequence <= reader.cursor) return null;
            const wanted = reader.choose(newest) orelse {
                if (reader.memory_is_final) return null;
                continue;
            };
            if (wanted.slot >= reader.max_slots) return error.Protocol;
            if (!reader.hasMemory(wanted.slot)) {
                // In another frame's memory, where this one has been overwritten in the meantime.
                const sequence = barrier.load(u64, &reader.control.slots[wanted.slot].sequence, .seq_cst);
                if (sequence == wanted.sequence) return null;
                continue;
            }
            if (!reader.lease(index, entry, wanted)) {
                if (reader.isEvicted()) return error.Evicted;
                continue;
            }
            assert(wanted.sequence > reader.cursor and wanted.slot < reader.max_slots);
            reader.dropped += wanted.sequence - reader.cursor - 1;
            reader.received += 1;
            @atomicStore(u64, &reader.cursor, wanted.sequence, .release);
            barrier.store(u64, &reader.page.cursor, wanted.sequence, .seq_cst);
            barrier.store(u64, &reader.page.received, reader.received, .monotonic);
            barrier.store(u64, &reader.page.dropped, reader.dropped, .monotonic);
            return .{ .index = index, .slot = wanted.slot, .sequence = wanted.sequence };
        }
        return error.Protocol;
    }

    /// No memory will come any more: a frame that is not in what is there is lost.
    pub fn expectNoMemory(reader: *Reader) void {
        @atomicStore(bool, &reader.memory_is_final, true, .seq_cst);
    }

    fn choose(reader: *const Reader, newest: Ticket) ?Ticket {
        const is_final = @atomicLoad(bool, &reader.memory_is_final, .seq_cst);
        if (is_final) return reader.following(newest.sequence, reader.mode, true);
        // There is nothing in between where it is the next one: the slots need not be looked through.
        const is_next = newest.sequence == @atomicLoad(u64, &reader.cursor, .acquire) + 1;
        if (reader.mode == .newest or is_next) return newest;
        return reader.following(newest.sequence, .ordered, false);
    }

    /// The lowest sequence after the cursor that is still in a slot, or the highest one. Bounded by what was complete
    /// before the scan began: a frame stored during it must not make an earlier one look dropped.
    fn following(reader: *const Reader, newest: u64, mode: Mode, needs_memory: bool) ?Ticket {
        var found: ?Ticket = null;
        const cursor = @atomicLoad(u64, &reader.cursor, .acquire);
        for (reader.control.slots[0..reader.max_slots], 0..) |*slot, index| {
            const sequence = barrier.load(u64, &slot.sequence, .seq_cst);
            if (sequence <= cursor or sequence > newest) continue;
            if (needs_memory and !reader.hasMemory(@intCast(index))) continue;
            const is_better = found == null or switch (mode) {
                .newest => sequence > found.?.sequence,
                .ordered => sequence < found.?.sequence,
            };
            if (is_better) {
                found = .{ .sequence = @intCast(sequence), .slot = @intCast(index) };
            }
        }
        return found;
    }

    fn lease(reader: *Reader, index: u32, entry: u32, wanted: Ticket) bool {
        const word: u64 = @bitCast(wanted);
        barrier.store(u64, &reader.page.leases[entry], word, .seq_cst);
        const sequence = barrier.load(u64, &reader.control.slots[wanted.slot].sequence, .seq_cst);
        // The publisher revokes first and then looks at the leases: either it has seen this one, or this is seen.
        if (sequence != wanted.sequence or reader.isEvicted()) {
            barrier.store(u64, &reader.page.leases[entry], Ticket.none, .seq_cst);
            reader.withdrew = true;
            return false;
        }
        reader.entries[index] = entry;
        @atomicStore(u32, &reader.shares[entry], 1, .release);
        @atomicStore(u64, &reader.leases[index], word, .release);
        return true;
    }

    fn freeLease(reader: *const Reader) ?u32 {
        for (&reader.leases, 0..) |*word, index| {
            if (@atomicLoad(u64, word, .acquire) == Ticket.none) return @intCast(index);
        }
        return null;
    }

    /// There is one for every free lease.
    fn freeEntry(reader: *const Reader) u32 {
        for (&reader.shares, 0..) |*shares, entry| {
            if (@atomicLoad(u32, shares, .acquire) == 0) return @intCast(entry);
        }
        unreachable;
    }

    pub fn held(reader: *const Reader, index: u32) ?Lease {
        if (index >= layout.leases_max) return null;
        const word = @atomicLoad(u64, &reader.leases[index], .acquire);
        if (word == Ticket.none) return null;
        const ticket = Ticket.from(word);
        return .{ .index = index, .slot = ticket.slot, .sequence = ticket.sequence };
    }

    /// Whether some frame in a slot is held.
    pub fn holds(reader: *const Reader, slot: u6) bool {
        for (0..layout.leases_max) |index| {
            const lease_held = reader.held(@intCast(index)) orelse continue;
            if (lease_held.slot == slot) return true;
        }
        return false;
    }

    /// A second lease on a frame that is held; needs no check, since the first one protects the slot.
    pub fn clone(reader: *Reader, index: u32) error{ InvalidArgument, TooManyLeases }!Lease {
        const original = reader.held(index) orelse return error.InvalidArgument;
        const copy = reader.freeLease() orelse return error.TooManyLeases;
        const entry = reader.entries[index];
        _ = @atomicRmw(u32, &reader.shares[entry], .Add, 1, .acq_rel);
        reader.entries[copy] = entry;
        @atomicStore(u64, &reader.leases[copy], Ticket.init(original.sequence, original.slot), .release);
        return .{ .index = copy, .slot = original.slot, .sequence = original.sequence };
    }

    pub fn release(reader: *Reader, index: u32) error{InvalidArgument}!void {
        if (reader.held(index) == null) return error.InvalidArgument;
        reader.releaseEntry(reader.entries[index]);
        @atomicStore(u64, &reader.leases[index], Ticket.none, .release);
    }

    /// The last share clears the entry: in the page first, since then it can be taken again.
    fn releaseEntry(reader: *Reader, entry: u32) void {
        const shares = &reader.shares[entry];
        while (true) {
            const count = @atomicLoad(u32, shares, .acquire);
            assert(count >= 1);
            if (count == 1) {
                barrier.store(u64, &reader.page.leases[entry], Ticket.none, .seq_cst);
                return @atomicStore(u32, shares, 0, .release);
            }
            if (@cmpxchgWeak(u32, shares, count, count - 1, .acq_rel, .acquire) == null) return;
        }
    }
};

const testing = std.testing;

/// A ring in one process: control region and some lease pages on the heap.
const TestRing = struct {
    control: *layout.Control,
    writer: Writer,
    subscribers: Subscribers = .{},
    pages: []layout.LeasePage,

    fn init(slot_count: u32, readers: usize, policy: Policy) !TestRing {
        const control = try testing.allocator.create(layout.Control);
        @memset(std.mem.asBytes(control), 0);
        const pages = try testing.allocator.alloc(layout.LeasePage, readers);
        @memset(std.mem.sliceAsBytes(pages), 0);
        control.max_slots = layout.slots_max;
        var ring: TestRing = .{ .control = control, .writer = .init(control, policy), .pages = pages };
        for (0..slot_count) |_| ring.grow();
        return ring;
    }

    fn grow(ring: *TestRing) void {
        const slot = ring.writer.reserve().?;
        ring.writer.equip(slot);
        ring.writer.cancel(slot);
    }

    fn deinit(ring: *TestRing) void {
        testing.allocator.destroy(ring.control);
        testing.allocator.free(ring.pages);
    }

    fn reader(ring: *TestRing, index: u6, mode: Mode) Reader {
        ring.subscribers.add(index, &ring.pages[index], mode == .ordered);
        var new: Reader = .init(ring.control, &ring.pages[index], layout.slots_max, mode, ring.writer.completed);
        ring.handOver(&new);
        return new;
    }

    /// The memory messages come.
    fn handOver(ring: *TestRing, to: *Reader) void {
        for (0..layout.slots_max) |slot| {
            const present = ring.writer.present & bitOf(@intCast(slot)) != 0;
            to.setMemory(@intCast(slot), if (present) ring.writer.generations[slot] else 0);
        }
    }

    fn publish(ring: *TestRing) ?u64 {
        const slot = ring.writer.acquire(&ring.subscribers) orelse return null;
        const sequence = ring.writer.number();
        ring.writer.complete(slot, sequence);
        return sequence;
    }
};

test "a leased slot and the newest one are never handed out" {
    var ring: TestRing = try .init(3, 1, .drop_oldest);
    defer ring.deinit();
    var reader = ring.reader(0, .newest);
    _ = ring.publish();
    const lease = (try reader.next()).?;
    for (0..100) |_| {
        const slot = ring.writer.acquire(&ring.subscribers).?;
        try testing.expect(slot != lease.slot);
        try testing.expect(slot != ring.writer.newest_slot.?);
        ring.writer.complete(slot, ring.writer.number());
        try testing.expectEqual(lease.sequence, ring.control.slots[lease.slot].sequence);
    }
    try reader.release(lease.index);
    try testing.expectEqual(@as(u64, 101), (try reader.next()).?.sequence);
}

test "no slot is free when all are leased, busy or the newest; and again after a release" {
    var ring: TestRing = try .init(2, 1, .drop_oldest);
    defer ring.deinit();
    var reader = ring.reader(0, .ordered);
    try testing.expectEqual(@as(?u64, 1), ring.publish());
    const first = (try reader.next()).?;
    try testing.expectEqual(@as(?u64, 2), ring.publish());
    try testing.expectEqual(@as(?u64, null), ring.publish());
    try reader.release(first.index);
    const slot = ring.writer.acquire(&ring.subscribers).?;
    try testing.expectEqual(@as(?u6, null), ring.writer.acquire(&ring.subscribers));
    ring.writer.cancel(slot);
    try testing.expectEqual(@as(?u64, 3), ring.publish());
}

test "a lease that lands between the writer's two looks keeps its frame" {
    var ring: TestRing = try .init(2, 1, .drop_oldest);
    defer ring.deinit();
    var reader = ring.reader(0, .ordered);
    _ = ring.publish();
    _ = ring.publish();
    // The reader stored its ticket and checked it; the writer had computed its mask before that.
    const victim = ring.writer.oldest(bitOf(ring.writer.newest_slot.?) | ~ring.writer.present, layout.sequence_max).?;
    const lease = (try reader.next()).?;
    try testing.expectEqual(victim, lease.slot);
    try testing.expect(!ring.writer.invalidate(victim, &ring.subscribers));
    try testing.expectEqual(lease.sequence, ring.control.slots[victim].sequence);
}

test "ordered: every sequence is delivered or counted; newest: the newest is delivered" {
    var ring: TestRing = try .init(4, 2, .drop_oldest);
    defer ring.deinit();
    var ordered = ring.reader(0, .ordered);
    var newest = ring.reader(1, .newest);
    var random: std.Random.DefaultPrng = .init(7);
    var last: u64 = 0;
    for (0..5000) |_| {
        for (0..random.random().uintLessThan(u32, 7)) |_| _ = ring.publish().?;
        for (0..random.random().uintLessThan(u32, 7)) |_| {
            const lease = (try ordered.next()) orelse break;
            try testing.expect(lease.sequence > last);
            last = lease.sequence;
            try testing.expectEqual(last, ordered.received + ordered.dropped);
            try ordered.release(lease.index);
        }
        if (try newest.next()) |lease| {
            try testing.expectEqual(ring.writer.completed, lease.sequence);
            try newest.release(lease.index);
        }
    }
    try testing.expect(ordered.dropped > 0);
}

test "a frame in memory that has not come is not there yet, and is not dropped" {
    var ring: TestRing = try .init(2, 2, .drop_oldest);
    defer ring.deinit();
    var ordered = ring.reader(0, .ordered);
    var newest = ring.reader(1, .newest);
    _ = ring.publish();
    const first = (try ordered.next()).?;
    _ = ring.publish();
    try testing.expectEqual(@as(?u64, null), ring.publish());
    ring.grow();
    try testing.expectEqual(@as(?u64, 3), ring.publish());
    try testing.expectEqual(@as(u64, 2), (try ordered.next()).?.sequence);
    for ([_]*Reader{ &ordered, &newest }) |reader| {
        try testing.expect(!reader.hasNews());
        try testing.expectEqual(@as(?Reader.Lease, null), try reader.next());
        ring.handOver(reader);
        try testing.expect(reader.hasNews());
        try testing.expectEqual(@as(u64, 3), (try reader.next()).?.sequence);
    }
    try testing.expectEqual(@as(u64, 0), ordered.dropped);
    try testing.expectEqual(first.sequence, ring.writer.sequences[first.slot]);
}

test "at the end a frame in memory that never came is dropped, and those behind it are delivered" {
    var ring: TestRing = try .init(3, 2, .drop_oldest);
    defer ring.deinit();
    var ordered = ring.reader(0, .ordered);
    var newest = ring.reader(1, .newest);
    ring.grow();
    for (0..4) |_| _ = ring.publish();
    const unseen = ring.writer.sequences[3];
    for ([_]*Reader{ &ordered, &newest }) |reader| {
        reader.expectNoMemory();
        while (try reader.next()) |lease| {
            try testing.expect(lease.sequence != unseen);
            try reader.release(lease.index);
        }
        try testing.expectEqual(@as(u64, if (unseen == 4) 3 else 4), reader.cursor);
        try testing.expectEqual(reader.cursor, reader.received + reader.dropped);
    }
    try testing.expectEqual(@as(u64, 3), ordered.received);
}

test "a slot loses its memory and gets other: what a reader has of the old one is worth nothing" {
    var ring: TestRing = try .init(3, 1, .drop_oldest);
    defer ring.deinit();
    var reader = ring.reader(0, .newest);
    _ = ring.publish();
    const slot = ring.writer.acquire(&ring.subscribers).?;
    ring.writer.strip(slot);
    try testing.expectEqual(2, @popCount(ring.writer.present));
    try testing.expectEqual(slot, ring.writer.reserve().?);
    ring.writer.equip(slot);
    ring.writer.complete(slot, ring.writer.number());
    try testing.expectEqual(@as(?Reader.Lease, null), try reader.next());
    // The message of the time in between says nothing of this memory.
    reader.setMemory(slot, ring.writer.generations[slot] - 1);
    try testing.expectEqual(@as(?Reader.Lease, null), try reader.next());
    ring.handOver(&reader);
    try testing.expectEqual(@as(u64, 2), (try reader.next()).?.sequence);
}

test "an evicted reader gets no frame; what it held is not written, and its slots are given other memory" {
    var ring: TestRing = try .init(4, 2, .drop_oldest);
    defer ring.deinit();
    var hoarder = ring.reader(0, .ordered);
    var other = ring.reader(1, .ordered);
    for (0..3) |_| _ = ring.publish();
    for (0..3) |_| _ = (try hoarder.next()).?;
    const shared = (try other.next()).?;
    _ = ring.publish();
    _ = (try hoarder.next()).?;
    try testing.expectEqual(@as(?u64, null), ring.publish());
    ring.subscribers.evict(0, &ring.writer.sequences, 4, 1);
    try testing.expectError(error.Evicted, hoarder.next());
    try testing.expectEqual(@as(?u64, null), ring.publish());
    // Two of the four are neither the other reader's nor the newest.
    for (0..2) |_| {
        const slot = ring.writer.acquireKept(&ring.subscribers).?;
        try testing.expect(slot != shared.slot and slot != ring.writer.newest_slot.?);
        ring.writer.equip(slot);
        ring.subscribers.replaced(slot);
        ring.writer.cancel(slot);
    }
    try testing.expectEqual(@as(?u6, null), ring.writer.acquireKept(&ring.subscribers));
    try testing.expectEqual(@as(u32, 2), ring.subscribers.memoriesOutside());
    for (0..10) |_| _ = ring.publish().?;
    // And what it lets go of can be written again.
    for (0..4) |index| try hoarder.release(@intCast(index));
    try other.release(shared.index);
    try testing.expectEqual(@as(u64, 0), ring.subscribers.kept());
    for (0..3) |_| try testing.expect(ring.writer.acquire(&ring.subscribers) != null);
}

test "a lease that lands after the eviction is taken back, one that landed before it counts" {
    var ring: TestRing = try .init(3, 2, .drop_oldest);
    defer ring.deinit();
    var late = ring.reader(0, .newest);
    var early = ring.reader(1, .newest);
    _ = ring.publish();
    const lease = (try early.next()).?;
    const wanted: Ticket = .{ .slot = lease.slot, .sequence = @intCast(lease.sequence) };
    for ([_]u6{ 0, 1 }) |index| ring.subscribers.evict(index, &ring.writer.sequences, 1, 1);
    // It had chosen its frame before it was evicted.
    try testing.expect(!late.lease(0, 0, wanted));
    try testing.expectEqual(Ticket.none, ring.pages[0].leases[0]);
    try testing.expectEqual(bitOf(lease.slot), ring.subscribers.kept());
}

test "policy wait: nothing is overwritten before every ordered subscriber had it" {
    var ring: TestRing = try .init(3, 2, .wait);
    defer ring.deinit();
    var ordered = ring.reader(0, .ordered);
    _ = ring.reader(1, .newest); // never reads, and is not waited for
    for (1..4) |sequence| try testing.expectEqual(@as(?u64, sequence), ring.publish());
    try testing.expectEqual(@as(?u64, null), ring.publish());
    for (1..100) |expected| {
        const lease = (try ordered.next()).?;
        try testing.expectEqual(@as(u64, expected), lease.sequence);
        try ordered.release(lease.index);
        _ = ring.publish().?;
    }
    try testing.expectEqual(@as(u64, 0), ordered.dropped);
    ring.subscribers.remove(0);
    for (0..10) |_| _ = ring.publish().?;
}

test "several leases, clones, one too many, and a double release" {
    var ring: TestRing = try .init(16, 1, .drop_oldest);
    defer ring.deinit();
    var reader = ring.reader(0, .ordered);
    _ = ring.publish();
    const first = (try reader.next()).?;
    for (1..layout.leases_max) |_| {
        const copy = try reader.clone(first.index);
        try testing.expectEqual(first.slot, copy.slot);
    }
    try testing.expectError(error.TooManyLeases, reader.clone(first.index));
    try testing.expectError(error.TooManyLeases, reader.next());
    for (0..layout.leases_max - 1) |index| try reader.release(@intCast(index));
    try testing.expectError(error.InvalidArgument, reader.release(0));
    try testing.expectError(error.InvalidArgument, reader.release(layout.leases_max));
    for (0..100) |_| {
        const slot = ring.writer.acquire(&ring.subscribers).?;
        try testing.expect(slot != first.slot);
        ring.writer.complete(slot, ring.writer.number());
    }
}

test "a clone outlives its original without leaving its entry, which the writer may have passed already" {
    var ring: TestRing = try .init(4, 1, .drop_oldest);
    defer ring.deinit();
    var reader = ring.reader(0, .newest);
    _ = ring.publish();
    const original = (try reader.next()).?;
    const entry = reader.entries[original.index];
    const word = ring.pages[0].leases[entry];
    const copy = try reader.clone(original.index);
    try reader.release(original.index);
    // A writer that looks at the entries in turn, however slowly, finds the ticket where it was.
    try testing.expectEqual(word, ring.pages[0].leases[entry]);
    const second = try reader.clone(copy.index);
    try reader.release(copy.index);
    try testing.expectEqual(word, ring.pages[0].leases[entry]);
    try reader.release(second.index);
    for (ring.pages[0].leases) |lease| try testing.expectEqual(Ticket.none, lease);
}

test "a lease that comes too late is taken back, and remembered for those who wait for a slot" {
    var ring: TestRing = try .init(4, 1, .drop_oldest);
    defer ring.deinit();
    var reader = ring.reader(0, .newest);
    const sequence = ring.publish().?;
    const slot = ring.writer.newest_slot.?;
    try testing.expect(!reader.lease(0, 0, .{ .sequence = @intCast(sequence + 1), .slot = slot }));
    try testing.expectEqual(Ticket.none, ring.pages[0].leases[0]);
    try testing.expect(reader.withdrew);

    reader.withdrew = false;
    try testing.expect(reader.lease(0, 0, .{ .sequence = @intCast(sequence), .slot = slot }));
    try testing.expect(!reader.withdrew);
}

test "any bytes in a lease page: the writer goes on with the slots they do not name" {
    var ring: TestRing = try .init(8, 1, .drop_oldest);
    defer ring.deinit();
    _ = ring.reader(0, .ordered);
    var random: std.Random.DefaultPrng = .init(1);
    for (0..20_000) |_| {
        random.random().bytes(std.mem.asBytes(&ring.pages[0]));
        if (ring.writer.acquire(&ring.subscribers)) |slot| {
            if (random.random().boolean()) {
                ring.writer.complete(slot, ring.writer.number());
            } else {
                ring.writer.cancel(slot);
            }
        }
    }
    // Once the hostile subscriber is removed, every slot but the newest is free.
    ring.subscribers.remove(0);
    for (0..7) |_| try testing.expect(ring.writer.acquire(&ring.subscribers) != null);
    try testing.expectEqual(@as(?u6, null), ring.writer.acquire(&ring.subscribers));
}

test "any bytes in the control region: the reader gets an error, a frame in bounds or nothing" {
    var ring: TestRing = try .init(8, 1, .drop_oldest);
    defer ring.deinit();
    var reader = ring.reader(0, .ordered);
    var random: std.Random.DefaultPrng = .init(2);
    for (0..20_000) |round| {
        reader.mode = if (round % 2 == 0) .ordered else .newest;
        random.random().bytes(std.mem.asBytes(&ring.control.newest));
        for (ring.control.slots[0..8]) |*slot| slot.sequence = random.random().int(u64) >> random.random().int(u6);
        reader.cursor = random.random().uintLessThan(u64, 1 << 30);
        const lease = reader.next() catch continue orelse continue;
        try testing.expect(lease.slot < 8);
        try reader.release(lease.index);
    }
}

test "a frame that is announced and in no slot is an error, not something to wait for" {
    var ring: TestRing = try .init(4, 1, .drop_oldest);
    defer ring.deinit();
    var reader = ring.reader(0, .ordered);
    ring.control.newest = Ticket.init(1, 0);
    for ([_]Mode{ .ordered, .newest }) |mode| {
        reader.mode = mode;
        try testing.expectError(error.Protocol, reader.next());
    }
    // The lease tried for is not left behind.
    for (ring.pages[0].leases) |lease| try testing.expectEqual(Ticket.none, lease);
    // And the cursor in the page, which the publisher can write, decides nothing.
    ring.control.newest = Ticket.none;
    ring.pages[0].cursor = 0;
    reader.cursor = 5;
    ring.control.newest = Ticket.init(5, 0);
    try testing.expect(!reader.hasNews());
}

// The stress test's frames: every word of the payload is the sequence.
const payload_words = 512;

const Stress = struct {
    ring: *TestRing,
    payloads: *[layout.slots_max][payload_words]u64,
    done: bool = false,
    torn: u64 = 0,

    fn read(stress: *Stress, reader: *Reader, hold: usize) void {
        var held: [layout.leases_max]Reader.Lease = undefined;
        var held_count: usize = 0;
        var last: u64 = 0;
        while (true) {
            const finished = @atomicLoad(bool, &stress.done, .acquire);
            if (reader.next() catch unreachable) |lease| {
                if (lease.sequence <= last) _ = @atomicRmw(u64, &stress.torn, .Add, 1, .monotonic);
                last = lease.sequence;
                stress.verify(lease);
                held[held_count] = lease;
                held_count += 1;
            } else if (finished) break;
            if (held_count > hold) {
                // Held for a while, then looked at again.
                for (held[0..held_count]) |lease| {
                    stress.verify(lease);
                    reader.release(lease.index) catch unreachable;
                }
                held_count = 0;
            }
        }
        for (held[0..held_count]) |lease| reader.release(lease.index) catch unreachable;
    }

    fn verify(stress: *Stress, lease: Reader.Lease) void {
        for (stress.payloads[lease.slot]) |word| {
            if (word != lease.sequence) _ = @atomicRmw(u64, &stress.torn, .Add, 1, .monotonic);
        }
    }
};

test "stress: one writer, three readers, no torn frame" {
    // QEMU (7.2, on x86-64) lets an `ldar` pass the `stlr` before it, which the architecture and leases forbid.
    if (@import("test_options").emulated) return error.SkipZigTest;
    var ring: TestRing = try .init(8, 3, .drop_oldest);
    defer ring.deinit();
    const payloads = try testing.allocator.create([layout.slots_max][payload_words]u64);
    defer testing.allocator.destroy(payloads);
    var stress: Stress = .{ .ring = &ring, .payloads = payloads };
    var readers = [_]Reader{ ring.reader(0, .ordered), ring.reader(1, .newest), ring.reader(2, .ordered) };
    var threads: [readers.len]std.Thread = undefined;
    for (&threads, &readers, 0..) |*thread, *reader, index| {
        thread.* = try std.Thread.spawn(.{}, Stress.read, .{ &stress, reader, index });
    }
    var published: u64 = 0;
    for (0..20_000) |_| {
        const slot = ring.writer.acquire(&ring.subscribers) orelse continue;
        const sequence = ring.writer.number();
        @memset(&payloads[slot], sequence);
        ring.writer.complete(slot, sequence);
        published = sequence;
    }
    @atomicStore(bool, &stress.done, true, .release);
    for (threads) |thread| thread.join();
    try testing.expectEqual(@as(u64, 0), stress.torn);
    for (&readers) |*reader| {
        try testing.expectEqual(published, reader.cursor);
        try testing.expectEqual(published, reader.received + reader.dropped);
    }
}
