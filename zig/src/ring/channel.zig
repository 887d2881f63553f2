//! A channel is what a side of a ring sleeps on and the other wakes it by; it lies in a lease page.

const barrier = @import("barrier.zig");
const layout = @import("layout.zig");
const futex = @import("../os/mod.zig").futex;
const Deadline = @import("../os/mod.zig").clock.Deadline;

/// A peer that lets more threads sleep does not get all of them woken: each costs its waker time.
const sleepers_max = 256;

/// Wakes the sleepers if there are any; a system call only then. The waker's condition was stored before,
/// sequentially consistent: either the sleeper's second look sees it or this sees the sleeper.
pub fn notify(channel: *layout.Channel) void {
    if (barrier.load(u32, &channel.waiting, .seq_cst) == 0) return;
    change(channel);
    futex.wake(&channel.wake, sleepers_max);
}

/// Wakes every sleeper of this process's own, and makes a sleeper about to sleep look again.
pub fn interrupt(channel: *layout.Channel) void {
    change(channel);
    futex.wakeAll(&channel.wake);
}

fn change(channel: *layout.Channel) void {
    barrier.store(u32, &channel.waiting, 0, .seq_cst);
    barrier.add(u32, &channel.wake, 1);
}

/// Sleeps until `ready` holds or the deadline has passed; returns whether it holds.
pub fn wait(
    channel: *layout.Channel,
    context: anytype,
    comptime ready: fn (@TypeOf(context)) bool,
    deadline: Deadline,
) bool {
    while (true) {
        const seen = barrier.load(u32, &channel.wake, .seq_cst);
        barrier.store(u32, &channel.waiting, 1, .seq_cst);
        if (ready(context)) return true;
        if (deadline.passed()) return false;
        futex.wait(&channel.wake, seen, deadline);
    }
}

test "a notification wakes as many sleepers as a channel may have, an interruption every one" {
    const std = @import("std");
    const linux = std.os.linux;
    const testing = std.testing;
    const count = sleepers_max + 8;
    const Sleeper = struct {
        var bed: u32 = 0;
        var woken: u32 = 0;

        fn run() void {
            futex.wait(&bed, 0, .never);
            _ = @atomicRmw(u32, &woken, .Add, 1, .seq_cst);
        }

        /// Lets those who sleep on one word sleep on another, and returns how many they are.
        fn move(from: *const u32, to: *const u32) usize {
            const operation: linux.FUTEX_OP = .{ .cmd = .REQUEUE, .private = false };
            return linux.syscall5(.futex, @intFromPtr(from), @as(u32, @bitCast(operation)), 0, count, @intFromPtr(to));
        }

        fn awaitWoken(expected: u32) void {
            while (@atomicLoad(u32, &woken, .seq_cst) < expected) std.Thread.yield() catch {};
        }
    };
    var threads: [count]std.Thread = undefined;
    for (&threads) |*thread| thread.* = try .spawn(.{ .stack_size = 1 << 20 }, Sleeper.run, .{});
    defer for (threads) |thread| thread.join();
    var channel: layout.Channel = .{ .waiting = 1, .wake = 0 };
    errdefer {
        interrupt(&channel);
        futex.wakeAll(&Sleeper.bed);
    }
    var asleep: usize = 0;
    while (asleep < count) {
        asleep += Sleeper.move(&Sleeper.bed, &channel.wake);
        std.Thread.yield() catch {};
    }

    notify(&channel);
    Sleeper.awaitWoken(sleepers_max);
    try testing.expectEqual(count - sleepers_max, Sleeper.move(&channel.wake, &Sleeper.bed));
    try testing.expectEqual(count - sleepers_max, Sleeper.move(&Sleeper.bed, &channel.wake));
    interrupt(&channel);
    Sleeper.awaitWoken(count);
}
