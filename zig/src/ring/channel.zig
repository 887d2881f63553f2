//! A channel is what a side of a ring sleeps on and the other wakes it by; it lies in a lease page, which both can
//! write. `Sleepers` is the sleeping side, `notify` the waking one. An `EventCount` is the same inside one process.

const barrier = @import("barrier.zig");
const layout = @import("layout.zig");
const futex = @import("../os/mod.zig").futex;
const clock = @import("../os/mod.zig").clock;
const Deadline = clock.Deadline;

/// A peer that lets more threads sleep does not get all of them woken: each costs its waker time.
const sleepers_max = 256;

/// Wakes the peer's sleepers if there are any; a system call only then. The waker's condition was stored before,
/// sequentially consistent: either the sleeper's second look sees it or this sees the sleeper.
pub fn notify(channel: *layout.Channel) void {
    if (barrier.load(u32, &channel.waiting, .seq_cst) == 0) return;
    change(channel);
    futex.wakeShared(&channel.wake, sleepers_max);
}

fn change(channel: *layout.Channel) void {
    barrier.store(u32, &channel.waiting, 0, .seq_cst);
    barrier.add(u32, &channel.wake, 1);
}

/// The threads of this process that sleep on a channel. The peer can write its words and move those who sleep on them,
/// so everybody also sleeps on a word that the peer cannot reach.
pub const Sleepers = struct {
    channel: *layout.Channel,
    /// Changes with every interruption.
    interruptions: u32 = 0,

    /// Ends every sleep, and makes a sleeper about to sleep look again, whatever the peer has done.
    pub fn interrupt(sleepers: *Sleepers) void {
        _ = @atomicRmw(u32, &sleepers.interruptions, .Add, 1, .seq_cst);
        futex.wakeAll(&sleepers.interruptions);
        // For those who sleep on the channel alone, since their kernel knows no other way.
        change(sleepers.channel);
        futex.wakeShared(&sleepers.channel.wake, std.math.maxInt(i32));
    }

    /// Sleeps until `ready` holds or the deadline has passed; returns whether it holds.
    pub fn wait(
        sleepers: *Sleepers,
        pace: *Pace,
        context: anytype,
        comptime ready: fn (@TypeOf(context)) bool,
        deadline: Deadline,
    ) bool {
        const channel = sleepers.channel;
        while (true) {
            const interruptions = @atomicLoad(u32, &sleepers.interruptions, .seq_cst);
            const seen = barrier.load(u32, &channel.wake, .seq_cst);
            barrier.store(u32, &channel.waiting, 1, .seq_cst);
            const rest = pace.count();
            if (rest == null and ready(context)) return true;
            if (deadline.passed()) return false;
            if (rest) |end| {
                futex.wait(&sleepers.interruptions, interruptions, deadline.earlier(end));
            } else {
                futex.waitEither(
                    .{ .word = &channel.wake, .value = seen },
                    .{ .word = &sleepers.interruptions, .value = interruptions },
                    deadline,
                );
            }
        }
    }
};

/// How often a thread may wake up for nothing: a peer that writes to a channel all the time, or announces and takes
/// back, keeps nobody busy. One for each thread that waits.
pub const Pace = struct {
    looks: u32 = 0,
    since_ns: u64 = 0,

    const looks_max = 16;
    const period_ns = 10 * std.time.ns_per_ms;

    /// Counts a look that may be in vain. The end of a rest, where there were too many of them lately.
    fn count(pace: *Pace) ?Deadline {
        pace.looks += 1;
        if (pace.looks <= looks_max) return null;
        const now = clock.monotonicNs();
        const end = pace.since_ns +| period_ns;
        const hurried = pace.since_ns != 0 and now < end;
        pace.* = .{ .since_ns = if (hurried) end else now };
        return if (hurried) .{ .at_ns = end } else null;
    }

    /// Something came of it.
    pub fn reset(pace: *Pace) void {
        pace.looks = 0;
    }
};

/// A reason to sleep inside this process, which no other one maps.
pub const EventCount = struct {
    waiting: u32 = 0,
    events: u32 = 0,

    /// Wakes everybody if anybody sleeps, by the same rule as the channel's `notify`.
    pub fn notify(event_count: *EventCount) void {
        if (@atomicLoad(u32, &event_count.waiting, .seq_cst) != 0) event_count.interrupt();
    }

    /// Wakes everybody, and makes a sleeper about to sleep look again.
    pub fn interrupt(event_count: *EventCount) void {
        @atomicStore(u32, &event_count.waiting, 0, .seq_cst);
        _ = @atomicRmw(u32, &event_count.events, .Add, 1, .seq_cst);
        futex.wakeAll(&event_count.events);
    }

    /// Sleeps until `ready` holds or the deadline has passed; returns whether it holds.
    pub fn wait(
        event_count: *EventCount,
        context: anytype,
        comptime ready: fn (@TypeOf(context)) bool,
        deadline: Deadline,
    ) bool {
        while (true) {
            const seen = @atomicLoad(u32, &event_count.events, .seq_cst);
            @atomicStore(u32, &event_count.waiting, 1, .seq_cst);
            if (ready(context)) return true;
            if (deadline.passed()) return false;
            futex.wait(&event_count.events, seen, deadline);
        }
    }
};

const std = @import("std");
const linux = std.os.linux;
const testing = std.testing;

/// What a peer does by FUTEX_REQUEUE: lets those who sleep on one word sleep on another, and returns how many they are.
fn move(from: *const u32, to: *const u32) usize {
    const operation: linux.FUTEX_OP = .{ .cmd = .REQUEUE, .private = false };
    const number: linux.SYS = if (@hasField(linux.SYS, "futex")) .futex else .futex_time64;
    return linux.syscall5(
        number,
        @intFromPtr(from),
        @as(u32, @bitCast(operation)),
        0,
        std.math.maxInt(i32),
        @intFromPtr(to),
    );
}

test "a notification wakes as many sleepers as a channel may have, an interruption every one" {
    // QEMU (7.2) has no futex_waitv, without which nobody sleeps for long.
    if (@import("test_options").emulated) return error.SkipZigTest;
    const count = sleepers_max + 8;
    const Sleeper = struct {
        var bed: u32 = 0;
        var woken: u32 = 0;
        var never: u32 = 0;

        fn run() void {
            futex.waitEither(.{ .word = &bed, .value = 0 }, .{ .word = &never, .value = 0 }, .never);
            _ = @atomicRmw(u32, &woken, .Add, 1, .seq_cst);
        }

        fn awaitWoken(expected: u32) void {
            while (@atomicLoad(u32, &woken, .seq_cst) < expected) std.Thread.yield() catch {};
        }
    };
    var threads: [count]std.Thread = undefined;
    for (&threads) |*thread| thread.* = try .spawn(.{ .stack_size = 1 << 20 }, Sleeper.run, .{});
    defer for (threads) |thread| thread.join();
    var channel: layout.Channel = .{ .waiting = 1, .wake = 0 };
    var sleepers: Sleepers = .{ .channel = &channel };
    errdefer {
        sleepers.interrupt();
        futex.wakeShared(&Sleeper.bed, count);
    }
    var asleep: usize = 0;
    while (asleep < count) {
        asleep += move(&Sleeper.bed, &channel.wake);
        std.Thread.yield() catch {};
    }

    notify(&channel);
    Sleeper.awaitWoken(sleepers_max);
    try testing.expectEqual(count - sleepers_max, move(&channel.wake, &Sleeper.bed));
    try testing.expectEqual(count - sleepers_max, move(&Sleeper.bed, &channel.wake));
    sleepers.interrupt();
    Sleeper.awaitWoken(count);
}

/// A thread that waits at a channel for its end.
const Waiting = struct {
    channel: layout.Channel = .{ .waiting = 0, .wake = 0 },
    sleepers: Sleepers,
    ended: bool = false,
    looks: u32 = 0,
    pace: Pace = .{},

    fn isReady(waiting: *Waiting) bool {
        _ = @atomicRmw(u32, &waiting.looks, .Add, 1, .seq_cst);
        return @atomicLoad(bool, &waiting.ended, .seq_cst);
    }

    fn run(waiting: *Waiting) void {
        std.debug.assert(waiting.sleepers.wait(&waiting.pace, waiting, isReady, .never));
    }

    fn end(waiting: *Waiting) void {
        @atomicStore(bool, &waiting.ended, true, .seq_cst);
        waiting.sleepers.interrupt();
    }
};

test "an interruption reaches a sleeper that the peer has moved to a word of its own" {
    for ([_]bool{ false, true }) |old| {
        futex.testing.pretendOld(old);
        defer futex.testing.pretendOld(false);
        for (0..20) |_| {
            var own: u32 = 0;
            var waiting: Waiting = .{ .sleepers = undefined };
            waiting.sleepers = .{ .channel = &waiting.channel };
            const thread: std.Thread = try .spawn(.{}, Waiting.run, .{&waiting});
            while (move(&waiting.channel.wake, &own) == 0) std.Thread.yield() catch {};
            waiting.end();
            thread.join();
        }
    }
}

test "a peer that writes to a channel all the time keeps no sleeper busy, nor from its end" {
    for ([_]bool{ false, true }) |old| {
        futex.testing.pretendOld(old);
        defer futex.testing.pretendOld(false);
        var waiting: Waiting = .{ .sleepers = undefined };
        waiting.sleepers = .{ .channel = &waiting.channel };
        const thread: std.Thread = try .spawn(.{}, Waiting.run, .{&waiting});
        const start = clock.monotonicNs();
        const attack_ns = 100 * std.time.ns_per_ms;
        while (clock.monotonicNs() - start < attack_ns) {
            change(&waiting.channel);
            futex.wakeShared(&waiting.channel.wake, sleepers_max);
        }
        waiting.end();
        thread.join();
        const periods = (clock.monotonicNs() - start) / Pace.period_ns + 1;
        try testing.expect(waiting.looks <= (periods + 2) * (Pace.looks_max + 1));
    }
}

test "looks in vain are counted over many waits, until something comes of one" {
    const Announced = struct {
        fn isReady(_: void) bool {
            return true;
        }
    };
    var channel: layout.Channel = .{ .waiting = 0, .wake = 0 };
    var sleepers: Sleepers = .{ .channel = &channel };
    var pace: Pace = .{};
    const start = clock.monotonicNs();
    const looks = 10 * Pace.looks_max;
    for (0..looks) |_| try testing.expect(sleepers.wait(&pace, {}, Announced.isReady, .never));
    try testing.expect(clock.monotonicNs() - start >= 8 * Pace.period_ns);

    const undisturbed = clock.monotonicNs();
    for (0..looks) |_| {
        pace.reset();
        try testing.expect(sleepers.wait(&pace, {}, Announced.isReady, .never));
    }
    try testing.expect(clock.monotonicNs() - undisturbed < 8 * Pace.period_ns);
}
