//! The closer closes descriptors that another process has chosen. Closing the last one of a file can take as long as
//! its maker likes: a socket lingers until its data is sent, a file of FUSE asks its server. So it is never done by a
//! thread that somebody waits for, but by a few that do nothing else.
//!
//! What is bounded by what: files that take their time hold up at most `threads_max` threads; what waits behind them is
//! at most `queue_max` descriptors, and those who let peers in stop doing so long before, by `waiting`.

const std = @import("std");
const linux = std.os.linux;
const assert = std.debug.assert;
const errors = @import("../core/mod.zig").errors;
const os_fd = @import("fd.zig");
const clock = @import("clock.zig");
const futex = @import("futex.zig");
const log = @import("log.zig");
const thread = @import("thread.zig");
const Mutex = @import("mutex.zig").Mutex;

/// Started one by one, when the others are busy; they stay.
const threads_max = 4;
const queue_max = 16_384;

var mutex: Mutex = .{};
/// A ring of what is to be closed.
var queue: [queue_max]i32 = @splat(0);
var first: usize = 0;
var count: usize = 0;
var threads: usize = 0;
/// Those that sleep or are about to.
var idle: usize = 0;
/// A futex; changes whenever something is queued.
var news: u32 = 0;

/// Closes a descriptor some time. Never blocks.
pub fn close(fd: i32) void {
    assert(fd >= 0);
    mutex.lock();
    // Descriptors run out before the queue does, unless a process may have very many: what is left stays open.
    const queued = count < queue_max;
    if (queued) {
        queue[(first + count) % queue_max] = fd;
        count += 1;
    }
    const wanted = count > idle and threads < threads_max;
    if (wanted) threads += 1;
    mutex.unlock();
    if (!queued) log.debug("leaves descriptor {d} open: {d} others wait to be closed", .{ fd, queue_max });
    if (wanted) thread.spawn("cuframes-close", run, .{}) catch {
        // The threads that are there do it, or the next call starts one.
        mutex.lock();
        defer mutex.unlock();
        threads -= 1;
    };
    _ = @atomicRmw(u32, &news, .Add, 1, .seq_cst);
    futex.wakeOne(&news);
}

/// How many descriptors nobody has begun to close yet.
pub fn waiting() usize {
    mutex.lock();
    defer mutex.unlock();
    return count;
}

fn run() void {
    while (true) os_fd.close(take());
}

fn take() i32 {
    mutex.lock();
    defer mutex.unlock();
    while (count == 0) {
        idle += 1;
        const seen = @atomicLoad(u32, &news, .seq_cst);
        mutex.unlock();
        futex.wait(&news, seen, .never);
        mutex.lock();
        idle -= 1;
    }
    const fd = queue[first];
    first = (first + 1) % queue_max;
    count -= 1;
    return fd;
}

const testing = std.testing;

/// A socket whose close takes so many seconds: it has data to send, and nobody reads it.
pub const Lingering = struct {
    /// What is to be closed; its owner's.
    fd: i32,
    peer: i32,

    const linux_linger = extern struct { on: i32 = 1, seconds: i32 };

    pub fn init(seconds: i32) !Lingering {
        const kind = linux.SOCK.STREAM | linux.SOCK.CLOEXEC;
        const listener: i32 = @intCast(try errors.check(linux.socket(linux.AF.INET, kind, 0), "socket", "test"));
        defer os_fd.close(listener);
        var address: linux.sockaddr.in = .{ .port = 0, .addr = std.mem.nativeToBig(u32, 0x7f00_0001) };
        var size: linux.socklen_t = @sizeOf(linux.sockaddr.in);
        _ = try errors.check(linux.bind(listener, @ptrCast(&address), size), "bind", "test");
        _ = try errors.check(linux.listen(listener, 1), "listen", "test");
        _ = try errors.check(linux.getsockname(listener, @ptrCast(&address), &size), "getsockname", "test");
        const fd: i32 = @intCast(try errors.check(linux.socket(linux.AF.INET, kind, 0), "socket", "test"));
        errdefer os_fd.close(fd);
        _ = try errors.check(linux.connect(fd, @ptrCast(&address), size), "connect", "test");
        const peer: i32 = @intCast(
            try errors.check(linux.accept4(listener, null, null, linux.SOCK.CLOEXEC), "accept4", "test"),
        );
        errdefer os_fd.close(peer);
        const linger: linux_linger = .{ .seconds = seconds };
        _ = try errors.check(
            linux.setsockopt(fd, linux.SOL.SOCKET, linux.SO.LINGER, std.mem.asBytes(&linger), @sizeOf(linux_linger)),
            "setsockopt",
            "test",
        );
        const bytes: [65_536]u8 = @splat(1);
        while (linux.errno(linux.sendto(fd, &bytes, bytes.len, linux.MSG.DONTWAIT, null, 0)) == .SUCCESS) {}
        return .{ .fd = fd, .peer = peer };
    }

    /// Lets it end: whoever closes it now, or does so already, is let go.
    pub fn deinit(lingering: Lingering) void {
        os_fd.close(lingering.peer);
    }
};

test "whoever hands a descriptor over is not held up, and neither are the next ones" {
    const lingering: Lingering = try .init(60);
    defer lingering.deinit();
    const other: i32 = @intCast(try errors.check(linux.eventfd(0, linux.EFD.CLOEXEC), "eventfd", "test"));
    const deadline: clock.Deadline = .fromMilliseconds(10_000);
    close(lingering.fd);
    close(other);
    while (os_fd.isOpen(other)) {
        try testing.expect(!deadline.passed());
        std.Thread.yield() catch {};
    }
}

test "where every thread is held up, what comes behind waits, counted" {
    var held: [threads_max]Lingering = undefined;
    for (&held) |*lingering| lingering.* = try .init(60);
    for (held) |lingering| close(lingering.fd);
    const deadline: clock.Deadline = .fromMilliseconds(10_000);
    while (waiting() > 0) {
        try testing.expect(!deadline.passed());
        std.Thread.yield() catch {};
    }
    const other: i32 = @intCast(try errors.check(linux.eventfd(0, linux.EFD.CLOEXEC), "eventfd", "test"));
    close(other);
    try testing.expectEqual(1, waiting());
    try testing.expect(os_fd.isOpen(other));
    for (held) |lingering| lingering.deinit();
    while (os_fd.isOpen(other)) {
        try testing.expect(!deadline.passed());
        std.Thread.yield() catch {};
    }
    try testing.expectEqual(0, waiting());
}
