//! Sleeping and waking on a lease page's channel, on both sides of it.

const layout = @import("layout.zig");
const futex = @import("../os/futex.zig");
const Deadline = @import("../os/clock.zig").Deadline;

/// Wakes every sleeper if there is one; a system call only then. The waker's condition was stored before,
/// sequentially consistent: either the sleeper's second look sees it or this sees the sleeper.
pub fn notify(channel: *layout.Channel) void {
    if (@atomicLoad(u32, &channel.waiting, .seq_cst) == 0) return;
    interrupt(channel);
}

/// Wakes every sleeper, and makes a sleeper about to sleep look again.
pub fn interrupt(channel: *layout.Channel) void {
    @atomicStore(u32, &channel.waiting, 0, .seq_cst);
    _ = @atomicRmw(u32, &channel.wake, .Add, 1, .seq_cst);
    futex.wakeAll(&channel.wake);
}

/// Sleeps until `ready` holds or the deadline has passed; returns whether it holds.
pub fn wait(channel: *layout.Channel, context: anytype, comptime ready: fn (@TypeOf(context)) bool, deadline: Deadline) bool {
    while (true) {
        const seen = @atomicLoad(u32, &channel.wake, .seq_cst);
        @atomicStore(u32, &channel.waiting, 1, .seq_cst);
        if (ready(context)) return true;
        if (deadline.passed()) return false;
        futex.wait(&channel.wake, seen, deadline);
    }
}
