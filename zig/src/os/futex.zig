//! Futexes on words that several processes map (never FUTEX_PRIVATE). Waiting works on a read-only mapping too.

const std = @import("std");
const linux = std.os.linux;
const clock = @import("clock.zig");

/// Sleeps while `word` holds `expected`, at most until the deadline. Returns early for any reason the kernel
/// likes: callers check their condition again.
pub fn wait(word: *const u32, expected: u32, deadline: clock.Deadline) void {
    var timeout: linux.timespec = undefined;
    var timeout_pointer: ?*const linux.timespec = null;
    if (deadline.remainingNs()) |remaining| {
        if (remaining == 0) return;
        timeout = .{
            .sec = @intCast(remaining / std.time.ns_per_s),
            .nsec = @intCast(remaining % std.time.ns_per_s),
        };
        timeout_pointer = &timeout;
    }
    const result = linux.futex_4arg(word, .{ .cmd = .WAIT, .private = false }, expected, timeout_pointer);
    switch (linux.errno(result)) {
        .SUCCESS, .AGAIN, .INTR, .TIMEDOUT => {},
        else => unreachable, // the word is mapped and aligned
    }
}

pub fn wakeAll(word: *const u32) void {
    const result = linux.futex_3arg(word, .{ .cmd = .WAKE, .private = false }, std.math.maxInt(i32));
    std.debug.assert(linux.errno(result) == .SUCCESS);
}
