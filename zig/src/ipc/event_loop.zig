//! The library's threads wake a JavaScript event loop by a callback, or by a socket that the loop reads. A callback may
//! only be called while its event loop lives, which is what this file sees to.

const std = @import("std");
const linux = std.os.linux;
const errors = @import("../core/mod.zig").errors;
const os_fd = @import("../os/mod.zig").fd;
const memfd = @import("../os/mod.zig").memfd;
const thread = @import("../os/mod.zig").thread;
const clock = @import("../os/mod.zig").clock;
const Mutex = @import("../os/mod.zig").mutex.Mutex;

/// Called on a thread of the library; the runtimes' callbacks queue it for their event loop.
pub const Callback = *const fn (token: u32) callconv(.c) void;

/// One event loop's callback. A process has one for each of its isolates, or more: an isolate may have loaded the
/// JavaScript of this library twice.
const Loop = struct {
    callback: ?Callback = null,
    /// The thread that has opened it; see `here`.
    thread: u32 = 0,
    calling: u32 = 0,
    /// The library's end, for a loop that takes its tokens from a socket.
    socket: ?i32 = null,
    /// The loop's end of it.
    reader: ?Reader = null,

    /// Closes the socket once nobody writes into it. The mutex is held.
    fn closeUnused(loop: *Loop) void {
        std.debug.assert(mutex.isHeld());
        if (loop.callback != null or loop.calling > 0) return;
        os_fd.close(loop.socket orelse return);
        loop.socket = null;
    }
};

/// A descriptor that is a runtime's to close. Deno leaves it open when it ends a worker from outside.
const Reader = struct {
    fd: i32,
    inode: u64,

    fn of(fd: i32) errors.Error!Reader {
        return .{
            .fd = fd,
            .inode = inodeOf(fd) orelse return errors.fail(error.Io, "fstat of a new socket failed", .{}),
        };
    }

    /// Closes it, unless the runtime has done so.
    fn closeIfOpen(reader: Reader) void {
        if (inodeOf(reader.fd) == reader.inode) os_fd.close(reader.fd);
    }

    /// Every open socket of a machine has another one.
    fn inodeOf(fd: i32) ?u64 {
        var status: linux.Statx = undefined;
        const result = linux.statx(fd, "", linux.AT.EMPTY_PATH, .{ .INO = true }, &status);
        return if (linux.errno(result) == .SUCCESS) status.ino else null;
    }
};

/// Workers come and go; this many at a time may use the library.
const loops_max = 256;

var mutex: Mutex = .{};
var loops: [loops_max]Loop = @splat(.{});

/// The number of this thread, of those that have opened a callback: the kernel's are used again.
threadlocal var here: u32 = 0;
var threads: u32 = 0;

/// With the mutex held.
fn thisThread() u32 {
    if (here == 0) {
        threads += 1;
        here = threads;
    }
    return here;
}

/// Lets threads call this callback, until `close`.
pub fn open(callback: Callback) errors.Error!void {
    mutex.lock();
    defer mutex.unlock();
    const loop = try unused();
    loop.callback = callback;
    loop.thread = thisThread();
}

/// For a runtime whose callbacks foreign threads had better not call: a callback that sends its token, four bytes,
/// through a socket, until `close`. Returns the other end, which is the caller's to read and to close.
pub fn openSocket(callback: *Callback) errors.Error!i32 {
    mutex.lock();
    defer mutex.unlock();
    const loop = try unused();
    var ends: [2]i32 = undefined;
    const kind = linux.SOCK.STREAM | linux.SOCK.CLOEXEC;
    _ = try errors.check(linux.socketpair(linux.AF.UNIX, kind, 0, &ends), "socketpair", "wake-ups");
    errdefer for (ends) |end| os_fd.close(end);
    const reader: Reader = try .of(ends[0]);
    const index = (@intFromPtr(loop) - @intFromPtr(&loops)) / @sizeOf(Loop);
    loop.* = .{ .callback = senders[index], .thread = thisThread(), .socket = ends[1], .reader = reader };
    callback.* = senders[index];
    return ends[0];
}

/// One function for each place in `loops`, because a callback is told nothing but a token.
const senders: [loops_max]Callback = senders: {
    var functions: [loops_max]Callback = undefined;
    for (&functions, 0..) |*function, index| function.* = &Sender(index).send;
    break :senders functions;
};

fn Sender(comptime index: usize) type {
    return struct {
        fn send(token: u32) callconv(.c) void {
            const bytes = std.mem.asBytes(&token);
            var sent: usize = 0;
            // Waits while the socket is full: a wake-up must not be lost. Fails when the reader has gone, or `close`
            // came.
            while (sent < bytes.len) {
                const result = linux.sendto(
                    loops[index].socket.?,
                    bytes[sent..].ptr,
                    bytes.len - sent,
                    linux.MSG.NOSIGNAL,
                    null,
                    0,
                );
                switch (linux.errno(result)) {
                    .SUCCESS => sent += result,
                    .INTR => {},
                    else => return,
                }
            }
        }
    };
}

fn unused() errors.Error!*Loop {
    return find(null) orelse errors.fail(
        error.OutOfMemory,
        "{d} workers of this process use cuframes, the most that may",
        .{loops_max},
    );
}

fn find(callback: ?Callback) ?*Loop {
    std.debug.assert(mutex.isHeld());
    for (&loops) |*loop| {
        if (loop.callback == callback and (callback != null or loop.calling == 0)) return loop;
    }
    return null;
}

/// Calls into the runtime, unless that loop has ended or is about to.
pub fn call(callback: Callback, token: u32) void {
    mutex.lock();
    const loop = find(callback) orelse return mutex.unlock();
    // `close` looks at it without the mutex.
    _ = @atomicRmw(u32, &loop.calling, .Add, 1, .seq_cst);
    mutex.unlock();
    callback(token);
    mutex.lock();
    const calling = @atomicRmw(u32, &loop.calling, .Sub, 1, .seq_cst);
    std.debug.assert(calling >= 1);
    loop.closeUnused();
    mutex.unlock();
}

/// Why a loop is closed: its thread says so, or has come to its end without a word.
pub const Reason = enum { asked, thread_ended };

/// For a loop that is about to end: no call to it begins afterwards, and those that were answered have returned.
/// One that still waits for the loop cannot be waited for; hence the bound.
pub fn close(callback: Callback, reason: Reason) void {
    mutex.lock();
    const loop = find(callback) orelse return mutex.unlock();
    loop.callback = null;
    const reader = loop.reader;
    loop.reader = null;
    // Ends the wait of a thread that waits for room in it, whoever still holds the other end.
    if (loop.socket) |socket| _ = linux.shutdown(socket, linux.SHUT.RDWR);
    if (reason == .thread_ended) if (reader) |left| left.closeIfOpen();
    loop.closeUnused();
    mutex.unlock();
    const deadline: clock.Deadline = .fromMilliseconds(20);
    while (@atomicLoad(u32, &loop.calling, .seq_cst) != 0 and !deadline.passed()) std.Thread.yield() catch {};
}

/// As `close`, each that this thread has opened.
pub fn closeOfThread(reason: Reason) void {
    if (here == 0) return;
    for (&loops) |*loop| {
        mutex.lock();
        const callback = if (loop.thread == here) loop.callback else null;
        mutex.unlock();
        if (callback) |opened| close(opened, reason);
    }
}

const testing = std.testing;

test "a loop is not closed before a call that is under way has returned" {
    const Ending = struct {
        var entered: bool = false;
        var returned: bool = false;

        fn isClosing() bool {
            mutex.lock();
            defer mutex.unlock();
            return find(callback) == null;
        }

        /// Goes on for a while behind the moment in which the loop is closed.
        fn callback(_: u32) callconv(.c) void {
            @atomicStore(bool, &entered, true, .seq_cst);
            while (!isClosing()) std.Thread.yield() catch {};
            const until: clock.Deadline = .fromMilliseconds(2);
            while (!until.passed()) std.atomic.spinLoopHint();
            @atomicStore(bool, &returned, true, .seq_cst);
        }
    };
    try open(Ending.callback);
    const caller: std.Thread = try .spawn(.{}, call, .{ Ending.callback, 1 });
    defer caller.join();
    while (!@atomicLoad(bool, &Ending.entered, .seq_cst)) std.Thread.yield() catch {};
    close(Ending.callback, .asked);
    try testing.expect(@atomicLoad(bool, &Ending.returned, .seq_cst));
}

test "a thread that ends closes each callback that it has opened, and nobody else's" {
    const Opener = struct {
        var readers: [2]i32 = undefined;
        var callbacks: [2]Callback = undefined;

        fn run() !void {
            for (&readers, &callbacks) |*reader, *callback| reader.* = try openSocket(callback);
            closeOfThread(.thread_ended);
        }
    };
    var other: Callback = undefined;
    const reader = try openSocket(&other);
    defer os_fd.close(reader);
    defer close(other, .asked);
    const opener = try std.Thread.spawn(.{}, Opener.run, .{});
    opener.join();
    mutex.lock();
    defer mutex.unlock();
    for (Opener.readers, Opener.callbacks) |left, callback| {
        try testing.expectEqual(null, find(callback));
        try testing.expectEqual(null, Reader.inodeOf(left));
    }
    try testing.expect(find(other) != null);
}

test "a loop with a socket reads each token, and the end when it is closed" {
    var first: Callback = undefined;
    var second: Callback = undefined;
    const reader = try openSocket(&first);
    defer os_fd.close(reader);
    const other = try openSocket(&second);
    defer os_fd.close(other);
    defer close(second, .asked);
    try testing.expect(first != second);

    for ([_]u32{ 7, 0xFFFF_FFFF }) |token| {
        call(first, token);
        var read: u32 = 0;
        try testing.expectEqual(@sizeOf(u32), linux.read(reader, std.mem.asBytes(&read), @sizeOf(u32)));
        try testing.expectEqual(token, read);
    }
    close(first, .asked);
    call(first, 1);
    var byte: [1]u8 = undefined;
    try testing.expectEqual(0, linux.read(reader, &byte, 1));
}

/// A thread that is about to wait for room in a loop's full socket.
fn startWaiting(callback: Callback) !*Loop {
    mutex.lock();
    const loop = find(callback).?;
    mutex.unlock();
    const bytes: [4]u8 = @splat(1);
    while (linux.errno(linux.sendto(loop.socket.?, &bytes, bytes.len, linux.MSG.DONTWAIT, null, 0)) == .SUCCESS) {}
    try thread.spawn("cuframes-test", call, .{ callback, 2 });
    while (@atomicLoad(u32, &loop.calling, .seq_cst) == 0) std.Thread.yield() catch {};
    return loop;
}

fn expectUnused(loop: *Loop) !void {
    while (@atomicLoad(u32, &loop.calling, .seq_cst) != 0) std.Thread.yield() catch {};
    mutex.lock();
    defer mutex.unlock();
    try testing.expectEqual(null, loop.socket);
}

test "a full socket makes its writer wait, and a reader that goes away lets it go" {
    var callback: Callback = undefined;
    const reader = try openSocket(&callback);
    const loop = try startWaiting(callback);
    os_fd.close(reader);
    while (@atomicLoad(u32, &loop.calling, .seq_cst) != 0) std.Thread.yield() catch {};
    close(callback, .asked);
    try expectUnused(loop);
}

test "closing lets go of a writer that waits, though somebody keeps the other end and does not read" {
    var callback: Callback = undefined;
    const reader = try openSocket(&callback);
    defer os_fd.close(reader);
    const loop = try startWaiting(callback);
    close(callback, .asked);
    try expectUnused(loop);
}

test "what a thread that has ended left open is closed, and nothing that took its number" {
    var callback: Callback = undefined;
    const left = try openSocket(&callback);
    close(callback, .thread_ended);
    try testing.expectEqual(null, Reader.inodeOf(left));

    const closed = try openSocket(&callback);
    os_fd.close(closed);
    const other = try memfd.create("test", 4096);
    defer os_fd.close(other);
    try testing.expectEqual(closed, other);
    close(callback, .thread_ended);
    try testing.expect(Reader.inodeOf(other) != null);
}
