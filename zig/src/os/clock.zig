//! The library counts time by CLOCK_MONOTONIC; a deadline is a point on it that a wait may not pass.

const std = @import("std");

/// CLOCK_MONOTONIC in nanoseconds: one clock for every process on the machine. libc's call, because it
/// stays in user space (vDSO).
pub fn monotonicNs() u64 {
    var now: std.c.timespec = undefined;
    const result = std.c.clock_gettime(.MONOTONIC, &now);
    std.debug.assert(result == 0);
    return @as(u64, @intCast(now.sec)) * std.time.ns_per_s + @as(u64, @intCast(now.nsec));
}

/// A point in time that a wait may not pass.
pub const Deadline = struct {
    at_ns: u64,

    pub const never: Deadline = .{ .at_ns = std.math.maxInt(u64) };

    /// Negative: never; 0: now; else that many milliseconds from now.
    pub fn fromMilliseconds(timeout_ms: i32) Deadline {
        if (timeout_ms < 0) return never;
        if (timeout_ms == 0) return .{ .at_ns = 0 };
        return .{ .at_ns = monotonicNs() + @as(u64, @intCast(timeout_ms)) * std.time.ns_per_ms };
    }

    pub fn earlier(deadline: Deadline, other: Deadline) Deadline {
        return .{ .at_ns = @min(deadline.at_ns, other.at_ns) };
    }

    /// Nanoseconds left, null for never.
    pub fn remainingNs(deadline: Deadline) ?u64 {
        if (deadline.at_ns == never.at_ns) return null;
        if (deadline.at_ns == 0) return 0;
        return deadline.at_ns -| monotonicNs();
    }

    /// For poll(2) and epoll_wait(2): rounded up, so that a wait never ends early.
    pub fn remainingMs(deadline: Deadline) i32 {
        const remaining = deadline.remainingNs() orelse return -1;
        const rounded = (remaining +| (std.time.ns_per_ms - 1)) / std.time.ns_per_ms;
        return @intCast(@min(rounded, std.math.maxInt(i32)));
    }

    pub fn passed(deadline: Deadline) bool {
        return if (deadline.remainingNs()) |remaining| remaining == 0 else false;
    }
};
