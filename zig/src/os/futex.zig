//! A futex is a word that threads sleep on. Several processes map these words, so FUTEX_PRIVATE is never used; waiting
//! works on a read-only mapping too.

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
        // The peer has just taken the page away, and a new one comes with the next access. Nobody may wake us here.
        .FAULT => pause(deadline),
        else => unreachable, // the word is mapped and aligned
    }
}

/// So that a peer that takes the page away again and again keeps no thread busy.
fn pause(deadline: clock.Deadline) void {
    const time: linux.timespec = .{
        .sec = 0,
        .nsec = @intCast(@min(deadline.remainingNs() orelse pause_ns, pause_ns)),
    };
    _ = linux.nanosleep(&time, null);
}

const pause_ns = std.time.ns_per_ms;

pub fn wakeAll(word: *const u32) void {
    wake(word, std.math.maxInt(i32));
}

/// Wakes those who have slept the longest. Nothing is owed to a peer that takes away the page it sleeps on.
pub fn wake(word: *const u32, sleepers_max: u31) void {
    _ = linux.futex_3arg(word, .{ .cmd = .WAKE, .private = false }, sleepers_max);
}

test "a page that is taken away ends neither its waker nor its sleeper, and keeps neither busy" {
    const testing = std.testing;
    // The kernel says the same of it as of a shared page in the moment in which its peer punches a hole there.
    const address = linux.mmap(null, std.heap.page_size_max, .{}, .{ .TYPE = .PRIVATE, .ANONYMOUS = true }, -1, 0);
    try testing.expectEqual(.SUCCESS, linux.errno(address));
    const word: *const u32 = @ptrFromInt(address);
    defer _ = linux.munmap(@ptrFromInt(address), std.heap.page_size_max);

    wakeAll(word);
    const deadline: clock.Deadline = .fromMilliseconds(20);
    var waits: u32 = 0;
    while (!deadline.passed()) : (waits += 1) wait(word, 0, deadline);
    try testing.expect(waits > 0 and waits <= 21);
    wait(word, 0, .never);
}
