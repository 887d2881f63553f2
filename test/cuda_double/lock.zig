//! This is the one lock of the double, held for the whole of every driver call, and the one condition on
//! which everything that waits, waits.

const std = @import("std");
const assert = std.debug.assert;

var mutex: std.c.pthread_mutex_t = .{};
var changed: std.c.pthread_cond_t = .{};

pub fn acquire() void {
    assert(std.c.pthread_mutex_lock(&mutex) == .SUCCESS);
}

pub fn release() void {
    assert(std.c.pthread_mutex_unlock(&mutex) == .SUCCESS);
}

/// Wakes all that wait, because state has changed.
pub fn notify() void {
    assert(std.c.pthread_cond_broadcast(&changed) == .SUCCESS);
}

/// Lets go of the lock until something has changed.
pub fn wait() void {
    assert(std.c.pthread_cond_wait(&changed, &mutex) == .SUCCESS);
}

/// The same, until `deadline` on CLOCK_REALTIME at the latest: false then.
pub fn waitUntil(deadline: std.c.timespec) bool {
    return std.c.pthread_cond_timedwait(&changed, &mutex, &deadline) == .SUCCESS;
}

pub fn deadlineIn(milliseconds: u32) std.c.timespec {
    var now: std.c.timespec = undefined;
    assert(std.c.clock_gettime(.REALTIME, &now) == 0);
    const nanoseconds: i64 = now.nsec + @as(i64, milliseconds % 1000) * std.time.ns_per_ms;
    return .{
        .sec = now.sec + milliseconds / 1000 + @divFloor(nanoseconds, std.time.ns_per_s),
        .nsec = @mod(nanoseconds, std.time.ns_per_s),
    };
}
