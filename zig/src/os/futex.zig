//! A futex is a word that threads sleep on. Other processes map some of these words: such a word is a shared futex, and
//! whoever can write it can also move those who sleep on it to a word of its own (FUTEX_REQUEUE). So nobody sleeps on
//! one alone: `waitEither` has a second, private word, which only this process knows. Waiting works on a read-only
//! mapping too.

const std = @import("std");
const builtin = @import("builtin");
const linux = std.os.linux;
const clock = @import("clock.zig");

/// Sleeps while `word`, which no other process maps, holds `expected`, at most until the deadline. Returns early for
/// any reason the kernel likes: callers check their condition again.
pub fn wait(word: *const u32, expected: u32, deadline: clock.Deadline) void {
    waitOn(word, expected, .private, deadline);
}

const Scope = enum { private, shared };

fn waitOn(word: *const u32, expected: u32, scope: Scope, deadline: clock.Deadline) void {
    var timeout: linux.timespec = undefined;
    var timeout_pointer: ?*const linux.timespec = null;
    if (deadline.remainingNs()) |remaining| {
        if (remaining == 0) return;
        timeout = timespecOf(remaining);
        timeout_pointer = &timeout;
    }
    const operation: linux.FUTEX_OP = .{ .cmd = .WAIT, .private = scope == .private };
    settle(linux.errno(linux.futex_4arg(word, operation, expected, timeout_pointer)), deadline);
}

/// A word and what it is expected to hold.
pub const Expected = struct { word: *const u32, value: u32 };

/// Sleeps while both words hold what is expected of them, at most until the deadline. `shared` is mapped by a peer,
/// which may take the sleeper off that word; a wake-up of `private` reaches it all the same. Where the kernel cannot
/// wait for two words, the sleep on the shared one ends after 20 ms at the latest. Returns early, as `wait` does.
pub fn waitEither(shared: Expected, private: Expected, deadline: clock.Deadline) void {
    if (!@atomicLoad(bool, &has_waitv, .monotonic)) return waitBounded(shared, private, deadline);
    const words = [_]linux.futex2_waitone{
        .{ .val = shared.value, .uaddr = @intFromPtr(shared.word), .flags = .{ .size = .U32, .private = false } },
        .{ .val = private.value, .uaddr = @intFromPtr(private.word), .flags = .{ .size = .U32, .private = true } },
    };
    // Absolute, unlike that of FUTEX_WAIT: it needs no look at the clock.
    const timeout: linux.kernel_timespec = .{
        .sec = @intCast(deadline.at_ns / std.time.ns_per_s),
        .nsec = @intCast(deadline.at_ns % std.time.ns_per_s),
    };
    const timeout_pointer = if (deadline.at_ns == clock.Deadline.never.at_ns) null else &timeout;
    const result = linux.errno(linux.futex2_waitv(&words, words.len, .{}, timeout_pointer, .MONOTONIC));
    switch (result) {
        // Older than Linux 5.16, or a filter of system calls that is.
        .NOSYS, .PERM, .ACCES => {
            @atomicStore(bool, &has_waitv, false, .monotonic);
            waitBounded(shared, private, deadline);
        },
        else => settle(result, deadline),
    }
}

/// Atomic. Whether the kernel lets this process sleep on two words at a time, as far as is known.
var has_waitv = true;

const bounded_ns = 20 * std.time.ns_per_ms;

fn waitBounded(shared: Expected, private: Expected, deadline: clock.Deadline) void {
    if (@atomicLoad(u32, private.word, .seq_cst) != private.value) return;
    const end: clock.Deadline = .{ .at_ns = clock.monotonicNs() + bounded_ns };
    waitOn(shared.word, shared.value, .shared, deadline.earlier(end));
}

pub const testing = if (builtin.is_test) struct {
    /// As on a kernel that cannot sleep on two words, or as it is.
    pub fn pretendOld(old: bool) void {
        @atomicStore(bool, &has_waitv, !old, .monotonic);
    }
} else struct {};

/// What to do about the end of a sleep that was none.
fn settle(result: linux.E, deadline: clock.Deadline) void {
    switch (result) {
        .SUCCESS, .AGAIN, .INTR, .TIMEDOUT => {},
        // EFAULT: the peer has just taken the page away, and a new one comes with the next access. ENOMEM: there is no
        // memory for that page now. Or whatever a filter of system calls says. Nobody may wake us here.
        else => pause(deadline),
    }
}

fn timespecOf(ns: u64) linux.timespec {
    return .{ .sec = @intCast(ns / std.time.ns_per_s), .nsec = @intCast(ns % std.time.ns_per_s) };
}

/// So that a page that is not there keeps no thread busy.
fn pause(deadline: clock.Deadline) void {
    const time = timespecOf(@min(deadline.remainingNs() orelse pause_ns, pause_ns));
    _ = linux.nanosleep(&time, null);
}

const pause_ns = std.time.ns_per_ms;

/// Wakes everybody who sleeps on a word that no other process maps.
pub fn wakeAll(word: *const u32) void {
    wakeOn(word, std.math.maxInt(i32), .private);
}

/// Wakes whoever has slept the longest on a word that no other process maps.
pub fn wakeOne(word: *const u32) void {
    wakeOn(word, 1, .private);
}

/// Wakes those who have slept the longest on a word that a peer maps. Nothing is owed to a peer that takes away the
/// page it sleeps on.
pub fn wakeShared(word: *const u32, sleepers_max: u31) void {
    wakeOn(word, sleepers_max, .shared);
}

fn wakeOn(word: *const u32, sleepers_max: u31, scope: Scope) void {
    _ = linux.futex_3arg(word, .{ .cmd = .WAKE, .private = scope == .private }, sleepers_max);
}

test "a page that is taken away ends neither its waker nor its sleeper, and keeps neither busy" {
    const testing_hooks = @This().testing;
    // The kernel says the same of it as of a shared page in the moment in which its peer punches a hole there.
    const address = linux.mmap(null, std.heap.page_size_max, .{}, .{ .TYPE = .PRIVATE, .ANONYMOUS = true }, -1, 0);
    try std.testing.expectEqual(.SUCCESS, linux.errno(address));
    const word: *const u32 = @ptrFromInt(address);
    defer _ = linux.munmap(@ptrFromInt(address), std.heap.page_size_max);

    var private: u32 = 0;
    const both = [_]Expected{ .{ .word = word, .value = 0 }, .{ .word = &private, .value = 0 } };
    wakeShared(word, 1);
    for ([_]bool{ false, true }) |old| {
        testing_hooks.pretendOld(old);
        defer testing_hooks.pretendOld(false);
        const deadline: clock.Deadline = .fromMilliseconds(20);
        var waits: u32 = 0;
        while (!deadline.passed()) : (waits += 1) waitEither(both[0], both[1], deadline);
        try std.testing.expect(waits > 0 and waits <= 21);
        waitEither(both[0], both[1], .never);
    }
}

test "no answer of the kernel's ends a sleeper, or keeps it busy" {
    for ([_]linux.E{ .FAULT, .NOMEM, .INVAL, .PERM, .NOSYS, .CONNRESET }) |answer| {
        const start = clock.monotonicNs();
        settle(answer, .never);
        try std.testing.expect(clock.monotonicNs() - start >= pause_ns);
    }
}
