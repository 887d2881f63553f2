//! These tests run both sides of each ring in every interleaving, on the memory of an x86-64 and of an AArch64
//! processor: machine.zig says how. It is the real code that runs, so its memory orders and the order of its steps are
//! what is tested; no stress test on one processor could tell most of them from weaker ones.
//!
//! Some accesses have a stronger order than they need, since docs/protocol.md gives all of them one, and since on both
//! processors it costs nothing that counts. No test can tell these from weaker ones:
//!
//! - A sequence that is put back after a lease was found: late, it costs a reader an attempt.
//! - A generation: the sequence stored behind it is a release, and `newest`, loaded in front of it, an acquire.
//! - The look at `revoked` behind a lease: it is ordered by the look at the sequence in front of it.
//! - `waiting` cleared by a waker: the addition behind it orders it.
//! - The reader's cursor: the clearing of a lease behind it orders it, as the look at the leases does the publisher's.
//! - The search for the next sequence: the look behind the lease decides.
//! - The first load of a packet's `seq`: `global_seq` in front of it is an acquire, and the second look decides.

const std = @import("std");
const barrier = @import("barrier.zig");
const channel = @import("channel.zig");
const frames = @import("frames.zig");
const layout = @import("layout.zig");
const leases = @import("leases.zig");
const machine = @import("machine.zig");
const packets = @import("packets.zig");
const Deadline = @import("../os/mod.zig").clock.Deadline;
const testing = std.testing;

/// A wait until then ends where it would have slept.
const now: Deadline = .{ .at_ns = 0 };

/// Looks once, as whoever is about to sleep; returns whether there is no reason to.
fn sleepOn(on: *layout.Channel, context: anytype, comptime ready: fn (@TypeOf(context)) bool) bool {
    var sleepers: channel.Sleepers = .{ .channel = on };
    var pace: channel.Pace = .{};
    return sleepers.wait(&pace, context, ready, now);
}

/// Explores on every processor.
fn exploreAll(comptime Scenario: type) !void {
    if (!machine.supported) return error.SkipZigTest;
    for (machine.processors) |processor| {
        var scenario: Scenario = undefined;
        try scenario.setup();
        defer scenario.ring.deinit();
        defer if (@hasDecl(Scenario, "deinit")) scenario.deinit();
        const statistics = try machine.explore(Scenario, processor, &scenario);
        // More than one order of things.
        try testing.expect(statistics.states > 1);
    }
}

const slots_max = 4;
const memories_max = 4;

/// A frame ring with one reader. A frame's pixels are one word, its sequence.
const Ring = struct {
    control: *layout.Control,
    page: *layout.LeasePage,
    /// What is in each memory that a slot has had, by its generation.
    pixels: *[memories_max][slots_max]u64,
    writer: frames.Writer,
    subscribers: leases.Subscribers = .{},
    reader: frames.Reader,
    /// The memory that the reader has mapped for each slot.
    mapped: [slots_max]u32 = @splat(1),

    const Options = struct {
        slots: u32,
        policy: frames.Policy = .drop_oldest,
        mode: frames.Mode,
        /// Published before the reader comes, which begins with the newest of them.
        published: u32 = 0,
    };

    fn init(options: Options) !Ring {
        const control = try testing.allocator.create(layout.Control);
        @memset(std.mem.asBytes(control), 0);
        control.max_slots = slots_max;
        const page = try testing.allocator.create(layout.LeasePage);
        page.* = std.mem.zeroes(layout.LeasePage);
        const pixels = try testing.allocator.create([memories_max][slots_max]u64);
        pixels.* = @splat(@splat(0));
        var ring: Ring = .{
            .control = control,
            .page = page,
            .pixels = pixels,
            .writer = .init(control, options.policy),
            .reader = undefined,
        };
        for (0..options.slots) |_| {
            const slot = ring.writer.reserve().?;
            ring.writer.equip(slot);
            ring.writer.cancel(slot);
        }
        ring.subscribers.add(0, page, options.mode == .ordered);
        for (0..options.published) |_| ring.publish();
        ring.reader = .init(control, page, slots_max, options.mode, ring.writer.completed -| 1);
        for (0..options.slots) |slot| ring.reader.setMemory(@intCast(slot), 1);
        return ring;
    }

    fn deinit(ring: *Ring) void {
        testing.allocator.destroy(ring.control);
        testing.allocator.destroy(ring.page);
        testing.allocator.destroy(ring.pixels);
    }

    pub fn regions(ring: *const Ring) [3]machine.Region {
        return .{ .of("control", ring.control), .of("page", ring.page), .of("pixels", ring.pixels) };
    }

    /// Nothing, where there is no slot.
    fn publish(ring: *Ring) void {
        ring.fill(ring.writer.acquire(&ring.subscribers) orelse return);
    }

    fn fill(ring: *Ring, slot: u6) void {
        const sequence = ring.writer.number();
        barrier.store(u64, &ring.pixels[ring.writer.generations[slot]][slot], sequence, .unordered);
        ring.writer.complete(slot, sequence);
        ring.subscribers.notifyFrames();
    }

    /// The next frame, looked at; null: none.
    fn take(ring: *Ring) !?frames.Reader.Lease {
        const lease = (try ring.reader.next()) orelse return null;
        const pixel = ring.pixelOf(lease);
        if (barrier.load(u64, pixel, .monotonic) != lease.sequence) return error.TornFrame;
        return lease;
    }

    /// Every sequence was delivered or counted.
    fn expectAccount(ring: *const Ring, options: Options) !void {
        const reader = &ring.reader;
        try testing.expectEqual(reader.cursor - (options.published -| 1), reader.received + reader.dropped);
    }

    fn pixelOf(ring: *const Ring, lease: frames.Reader.Lease) *u64 {
        return &ring.pixels[ring.mapped[lease.slot]][lease.slot];
    }

    /// A frame that is held is looked at once more.
    fn release(ring: *Ring, lease: frames.Reader.Lease) !void {
        machine.expect(u64, ring.pixelOf(lease), lease.sequence);
        try ring.reader.release(lease.index);
    }
};

fn Leases(comptime options: Ring.Options, comptime writes: usize, comptime reads: usize) type {
    return struct {
        ring: Ring,
        /// A bit for each sequence.
        taken: u64 = 0,

        pub const threads = .{ write, read };

        pub fn setup(scenario: *@This()) !void {
            scenario.* = .{ .ring = try .init(options) };
        }

        fn write(scenario: *@This()) !void {
            for (0..writes) |_| scenario.ring.publish();
        }

        fn read(scenario: *@This()) !void {
            for (0..reads) |_| {
                const lease = (try scenario.ring.take()) orelse continue;
                scenario.taken |= leases.bitOf(@intCast(lease.sequence));
                try scenario.ring.release(lease);
            }
        }

        pub fn check(scenario: *@This()) !void {
            const ring = &scenario.ring;
            try ring.expectAccount(options);
            for (ring.page.leases) |word| try testing.expectEqual(layout.Ticket.none, word);
            // Every slot but the newest is free again.
            if (options.policy == .drop_oldest) try testing.expect(ring.writer.hasFree(&ring.subscribers));
            // Where the writer tried to take a frame and found the reader's lease, the reader may have passed it over.
            if (ring.reader.withdrew) return;
            if (options.mode == .ordered) for (ring.control.slots[0..options.slots]) |*slot| {
                const passed = slot.sequence >= options.published and slot.sequence <= ring.reader.cursor;
                const taken = scenario.taken & leases.bitOf(@intCast(slot.sequence)) != 0;
                if (passed and !taken) return error.DroppedThoughThere;
            };
        }
    };
}

test "model: what a reader holds does not change" {
    try exploreAll(Leases(.{ .slots = 2, .mode = .newest, .published = 1 }, 2, 2));
    try exploreAll(Leases(.{ .slots = 2, .mode = .ordered, .published = 1 }, 2, 2));
    try exploreAll(Leases(.{ .slots = 3, .mode = .ordered, .published = 2 }, 2, 2));
}

/// Somebody who knows the protocol and looks at slots alone, without `newest`.
const Onlooker = struct {
    ring: Ring,

    const options: Ring.Options = .{ .slots = 2, .mode = .newest, .published = 1 };

    pub const threads = .{ write, read };

    pub fn setup(scenario: *Onlooker) !void {
        scenario.* = .{ .ring = try .init(options) };
    }

    fn write(scenario: *Onlooker) !void {
        scenario.ring.publish();
    }

    fn read(scenario: *Onlooker) !void {
        const ring = &scenario.ring;
        if (barrier.load(u64, &ring.control.slots[1].sequence, .acquire) != 2) return;
        if (barrier.load(u64, &ring.pixels[1][1], .monotonic) != 2) return error.TornFrame;
    }

    pub fn check(_: *Onlooker) !void {}
};

test "model: a sequence in a slot says that the frame is there" {
    try exploreAll(Onlooker);
}

test "model: a frame completed while a reader looks for the next one makes none look dropped" {
    try exploreAll(Leases(.{ .slots = 2, .mode = .ordered, .published = 1 }, 3, 1));
    try exploreAll(Leases(.{ .slots = 3, .mode = .ordered, .policy = .wait }, 3, 2));
}

/// A reader is evicted while it takes frames, and what it holds goes out of the ring.
fn Eviction(comptime mode: frames.Mode, comptime releases: bool) type {
    const options: Ring.Options = .{ .slots = 2, .mode = mode, .published = 2 };
    return struct {
        ring: Ring,
        held: ?frames.Reader.Lease = null,

        pub const threads = .{ write, read };

        pub fn setup(scenario: *@This()) !void {
            scenario.* = .{ .ring = try .init(options) };
        }

        fn write(scenario: *@This()) !void {
            const ring = &scenario.ring;
            ring.subscribers.evict(0, &ring.writer.sequences, 1, 1);
            for (0..2) |_| {
                ring.publish();
                const slot = ring.writer.acquireKept(&ring.subscribers) orelse continue;
                ring.writer.equip(slot);
                ring.subscribers.replaced(slot);
                ring.fill(slot);
            }
        }

        fn read(scenario: *@This()) !void {
            const ring = &scenario.ring;
            for (0..2) |_| {
                const lease = ring.take() catch |err| switch (err) {
                    error.Evicted => break,
                    else => return err,
                } orelse continue;
                if (releases) try ring.release(lease) else scenario.held = lease;
            }
        }

        pub fn check(scenario: *@This()) !void {
            const ring = &scenario.ring;
            try ring.expectAccount(options);
            for (0..layout.leases_max) |index| {
                const lease = ring.reader.held(@intCast(index)) orelse continue;
                try testing.expectEqual(lease.sequence, ring.pixelOf(lease).*);
            }
            try testing.expectError(error.Evicted, ring.reader.next());
        }
    };
}

test "model: what an evicted reader holds does not change, and it is given no more" {
    try exploreAll(Eviction(.newest, false));
    try exploreAll(Eviction(.newest, true));
    try exploreAll(Eviction(.ordered, false));
    try exploreAll(Eviction(.ordered, true));
}

/// A slot is given other memory, whose message comes to the reader at some time.
const Replacement = struct {
    ring: Ring,
    /// The newest generation that a message has told the reader of. Not on the stack: the scenario is copied.
    message: *u32,

    const options: Ring.Options = .{ .slots = 2, .mode = .newest, .published = 1 };

    pub const threads = .{ write, read };

    pub fn setup(scenario: *Replacement) !void {
        scenario.* = .{ .ring = try .init(options), .message = try testing.allocator.create(u32) };
        scenario.message.* = 1;
    }

    pub fn deinit(scenario: *Replacement) void {
        testing.allocator.destroy(scenario.message);
    }

    fn write(scenario: *Replacement) !void {
        const ring = &scenario.ring;
        for (0..2) |_| {
            const slot = ring.writer.acquire(&ring.subscribers) orelse return;
            ring.writer.strip(slot);
            ring.writer.busy |= leases.bitOf(slot);
            ring.writer.equip(slot);
            // The message may be there before the frame: slot and generation in one word.
            const generation = ring.writer.generations[slot];
            barrier.store(u32, scenario.message, generation << 8 | slot, .release);
            ring.fill(slot);
        }
    }

    fn read(scenario: *Replacement) !void {
        const ring = &scenario.ring;
        for (0..2) |_| {
            const message = barrier.load(u32, scenario.message, .acquire);
            if (message > 1) {
                const slot: u6 = @truncate(message);
                ring.reader.setMemory(slot, message >> 8);
                ring.mapped[slot] = message >> 8;
            }
            const lease = (try ring.take()) orelse continue;
            try ring.release(lease);
        }
    }

    pub fn check(scenario: *Replacement) !void {
        try scenario.ring.expectAccount(options);
    }
};

test "model: a reader looks at a frame only in the memory that it is in" {
    try exploreAll(Replacement);
}

/// A thread of the reader that sleeps until there is a frame, as often as it is woken.
fn Sleeping(comptime publications: usize, comptime sleepers: usize) type {
    const options: Ring.Options = .{ .slots = 2, .mode = .newest, .published = 1 };
    return struct {
        ring: Ring,
        asleep: [2]bool = @splat(false),

        pub const threads = if (sleepers == 1) .{ write, sleepFirst } else .{ write, sleepFirst, sleepSecond };

        pub fn setup(scenario: *@This()) !void {
            scenario.* = .{ .ring = try .init(options) };
            const lease = (try scenario.ring.reader.next()).?;
            try scenario.ring.reader.release(lease.index);
        }

        fn write(scenario: *@This()) !void {
            for (0..publications) |_| scenario.ring.publish();
        }

        fn sleepFirst(scenario: *@This()) !void {
            const ring = &scenario.ring;
            for (0..publications) |_| {
                if (!sleepOn(&ring.page.frames, &ring.reader, frames.Reader.hasNews)) {
                    scenario.asleep[0] = true;
                    return;
                }
                if (sleepers > 1) return;
                const lease = (try ring.take()) orelse return error.NoNews;
                try ring.release(lease);
            }
        }

        fn sleepSecond(scenario: *@This()) !void {
            const ring = &scenario.ring;
            scenario.asleep[1] = !sleepOn(&ring.page.frames, &ring.reader, frames.Reader.hasNews);
        }

        pub fn check(scenario: *@This()) !void {
            const ring = &scenario.ring;
            if (!ring.reader.hasNews()) return;
            for (scenario.asleep, 1..) |asleep, thread| {
                // The kernel puts nobody to sleep on a word that has changed, and wakes those who sleep on it.
                if (asleep and machine.hasSeenLast(thread, &ring.page.frames.wake)) return error.SleepsForEver;
            }
        }
    };
}

test "model: no reader sleeps while there is a frame" {
    try exploreAll(Sleeping(1, 1));
    try exploreAll(Sleeping(2, 1));
    try exploreAll(Sleeping(1, 2));
}

/// A publisher of the policy "wait" waits for a slot, and a reader lets go of a frame, or takes back a lease on one
/// that was just being taken from it. `mapped`: the reader has the memory of the next frame.
fn Room(comptime mode: frames.Mode, comptime reads: usize, comptime mapped: bool) type {
    const options: Ring.Options = .{ .slots = 2, .mode = mode, .policy = .wait, .published = 1 };
    return struct {
        ring: Ring,
        asleep: bool = false,
        told: bool = false,

        pub const threads = .{ write, read };

        pub fn setup(scenario: *@This()) !void {
            scenario.* = .{ .ring = try .init(options) };
            if (!mapped) scenario.ring.reader.setMemory(1, 0);
        }

        fn write(scenario: *@This()) !void {
            const ring = &scenario.ring;
            for (0..2) |_| {
                const slot = ring.writer.acquire(&ring.subscribers) orelse {
                    ring.writer.beginWait();
                    if (!ring.writer.hasFree(&ring.subscribers)) {
                        scenario.asleep = true;
                        return;
                    }
                    ring.writer.endWait();
                    continue;
                };
                ring.fill(slot);
            }
        }

        /// As `ipc` does it.
        fn read(scenario: *@This()) !void {
            const ring = &scenario.ring;
            for (0..reads) |_| {
                const lease = try ring.take();
                if (ring.reader.withdrew) scenario.tell();
                ring.reader.withdrew = false;
                try ring.release(lease orelse continue);
                scenario.tell();
            }
        }

        fn tell(scenario: *@This()) void {
            if (scenario.ring.reader.isAwaited()) scenario.told = true;
        }

        pub fn check(scenario: *@This()) !void {
            const ring = &scenario.ring;
            if (scenario.asleep and !scenario.told and ring.writer.hasFree(&ring.subscribers)) {
                return error.SleepsForEver;
            }
        }
    };
}

test "model: no publisher sleeps while there is a slot" {
    try exploreAll(Room(.newest, 1, true));
    try exploreAll(Room(.newest, 2, true));
    try exploreAll(Room(.newest, 1, false));
    try exploreAll(Room(.ordered, 1, true));
}

/// A packet ring of two slots and four bytes, one writer and one reader. A packet has two bytes.
const Packets = struct {
    region: []align(64) u8,
    writer: packets.Writer,
    reader: packets.Reader,

    /// With so many packets, of which the reader begins with the first.
    fn init(published: u32) !Packets {
        const options: packets.Options = .{
            .ring_slots = 2,
            .data_size = 4,
            .max_packet_size = 4,
            .codec_id = 27,
            .producer_pid = 1,
        };
        const region = try testing.allocator.alignedAlloc(u8, .@"64", try packets.regionSize(options));
        var both: Packets = .{ .region = region, .writer = try .init(region, options), .reader = undefined };
        both.reader = try .init(region);
        for (0..published) |_| try both.write();
        return both;
    }

    fn deinit(both: *Packets) void {
        testing.allocator.free(both.region);
    }

    pub fn regions(both: *const Packets) [1]machine.Region {
        return .{.of("packets", both.region.ptr)};
    }

    fn byte(sequence: u64, index: u64) u8 {
        return @intCast(16 * (sequence + 1) + index);
    }

    fn write(both: *Packets) !void {
        const sequence = both.writer.next;
        const time: i64 = @intCast(sequence + 1);
        const payload: [2]u8 = .{ byte(sequence, 0), byte(sequence, 1) };
        _ = try both.writer.write(&payload, time, -time, packets.flag.key);
    }

    /// False: there is none, or it was lost.
    fn take(both: *Packets) !bool {
        const info = switch (both.reader.peek()) {
            .packet => |info| info,
            .empty, .overrun, .disconnected => return false,
        };
        var destination: [4]u8 = undefined;
        const time: i64 = @intCast(info.sequence + 1);
        if (info.size != 2 or info.pts_ns != time or info.dts_ns != -time) return error.TornSlot;
        both.reader.copy(&destination) catch |err| switch (err) {
            error.PacketOverrun => return false,
            else => return err,
        };
        for (destination[0..2], 0..) |copied, index| {
            if (copied != byte(info.sequence, index)) return error.TornPacket;
        }
        return true;
    }
};

fn Overtaking(comptime published: u32, comptime writes: usize, comptime reads: usize) type {
    return struct {
        ring: Packets,
        taken: u64 = 0,

        pub const threads = .{ write, read };

        pub fn setup(scenario: *@This()) !void {
            scenario.* = .{ .ring = try .init(published) };
        }

        fn write(scenario: *@This()) !void {
            for (0..writes) |_| try scenario.ring.write();
        }

        fn read(scenario: *@This()) !void {
            for (0..reads) |_| scenario.taken += @intFromBool(try scenario.ring.take());
        }

        pub fn check(scenario: *@This()) !void {
            const reader = &scenario.ring.reader;
            // What was passed over to begin with is neither.
            if (scenario.taken > 0) try testing.expect(scenario.taken + reader.lost <= reader.next);
            while (try scenario.ring.take()) {}
            try testing.expectEqual(scenario.ring.writer.next, reader.next);
        }
    };
}

test "model: a packet that is delivered is whole" {
    try exploreAll(Overtaking(0, 2, 1));
    try exploreAll(Overtaking(2, 1, 1));
}

/// Somebody who knows the protocol and has seen a slot's sequence, or how much was written, alone.
fn PacketOnlooker(comptime looks_at: enum { sequence, write_offset }) type {
    return struct {
        ring: Packets,

        pub const threads = .{ write, read };

        pub fn setup(scenario: *@This()) !void {
            scenario.* = .{ .ring = try .init(1) };
        }

        fn write(scenario: *@This()) !void {
            try scenario.ring.write();
        }

        fn read(scenario: *@This()) !void {
            const reader = &scenario.ring.reader;
            const slot = &reader.slots[1];
            switch (looks_at) {
                .sequence => if (barrier.load(u64, &slot.seq, .acquire) != 1) return,
                .write_offset => {
                    if (barrier.load(u64, &reader.header.write_offset, .acquire) != 4) return;
                    if (barrier.load(u64, &slot.seq, .acquire) != 1) return error.TornSlot;
                },
            }
            if (barrier.load(i64, &slot.dts_ns, .monotonic) != -2) return error.TornSlot;
            for (reader.data[2..4], 0..) |*shared, index| {
                if (barrier.load(u8, shared, .unordered) != Packets.byte(1, index)) return error.TornPacket;
            }
        }

        pub fn check(_: *@This()) !void {}
    };
}

test "model: a packet's sequence, and what was written, say that its bytes are there" {
    try exploreAll(PacketOnlooker(.sequence));
    try exploreAll(PacketOnlooker(.write_offset));
}

/// A thread sleeps until there is a packet or the end.
fn PacketSleeping(comptime shutdown: bool) type {
    return struct {
        ring: Packets,
        channel: *layout.Channel,
        asleep: bool = false,

        pub const threads = .{ write, sleep };

        pub fn setup(scenario: *@This()) !void {
            const shared = try testing.allocator.create(layout.Channel);
            shared.* = .{ .waiting = 0, .wake = 0 };
            scenario.* = .{ .ring = try .init(1), .channel = shared };
        }

        pub fn deinit(scenario: *@This()) void {
            testing.allocator.destroy(scenario.channel);
        }

        fn write(scenario: *@This()) !void {
            if (shutdown) scenario.ring.writer.shutdown() else try scenario.ring.write();
            channel.notify(scenario.channel);
        }

        fn hasNews(scenario: *@This()) bool {
            return scenario.ring.reader.hasNewsFrom(1);
        }

        fn sleep(scenario: *@This()) !void {
            scenario.asleep = !sleepOn(scenario.channel, scenario, hasNews);
        }

        pub fn check(scenario: *@This()) !void {
            if (scenario.asleep and machine.hasSeenLast(1, &scenario.channel.wake)) return error.SleepsForEver;
        }
    };
}

test "model: no reader sleeps while there is a packet, or at the end" {
    try exploreAll(PacketSleeping(false));
    try exploreAll(PacketSleeping(true));
}

/// The codec's parameters are replaced by as many bytes, or others.
fn Extradata(comptime size: usize) type {
    return struct {
        ring: Packets,

        pub const threads = .{ write, read };

        pub fn setup(scenario: *@This()) !void {
            scenario.* = .{ .ring = try .init(1) };
            try scenario.ring.writer.setCodecExtradata(&.{ 1, 1 });
        }

        fn write(scenario: *@This()) !void {
            const bytes: [size]u8 = @splat(2);
            try scenario.ring.writer.setCodecExtradata(&bytes);
        }

        fn read(scenario: *@This()) !void {
            var destination: [packets.extradata_size_max]u8 = undefined;
            const found = scenario.ring.reader.extradata(&destination) catch |err| switch (err) {
                error.NoCodecParameters => return,
                else => return err,
            };
            const is_old = std.mem.eql(u8, found, &.{ 1, 1 });
            const is_new = found.len == size and std.mem.allEqual(u8, found, 2);
            if (!is_old and !is_new) return error.TornExtradata;
        }

        pub fn check(_: *@This()) !void {}
    };
}

test "model: codec parameters are the old ones, or the new ones" {
    try exploreAll(Extradata(2));
    try exploreAll(Extradata(3));
    try exploreAll(Extradata(1));
}
