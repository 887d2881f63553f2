//! Waiting on behalf of an event loop: a thread that sleeps until its owner has news, then calls back once.

const std = @import("std");
const linux = std.os.linux;
const errors = @import("../errors.zig");
const futex = @import("../os/futex.zig");
const memfd = @import("../os/memfd.zig");
const thread = @import("../os/thread.zig");
const clock = @import("../os/clock.zig");
const Mutex = @import("../os/mutex.zig").Mutex;

/// Called on a thread of the library; the runtimes' callbacks queue it for their event loop.
pub const Callback = *const fn (token: u32) callconv(.c) void;

pub const Owner = struct {
    context: *anyopaque,
    /// Returns when there is news, or the owner closes.
    block: *const fn (context: *anyopaque) void,
    /// Drops the thread's reference to the owner, as its last act.
    unref: *const fn (context: *anyopaque) void,
};

const State = enum(u32) { idle, armed, stopping };

/// At most one callback per `arm`. A callback that nobody waits for any more is harmless: the receiver looks
/// at the ring again.
pub const Waiter = struct {
    state: u32 = @intFromEnum(State.idle),
    started: bool = false,
    callback: Callback = undefined,
    token: u32 = 0,

    /// Asks for one callback at the next news. The owner has counted a reference for the thread when this
    /// returns true: the thread was started by this call. InvalidArgument for another callback than the first one.
    pub fn arm(waiter: *Waiter, owner: Owner, callback: Callback, token: u32) errors.Error!bool {
        const first = !waiter.started;
        if (first) {
            waiter.callback = callback;
            waiter.token = token;
            waiter.state = @intFromEnum(State.armed);
            try thread.spawn("cuframes-wait", run, .{ waiter, owner });
            waiter.started = true;
            return true;
        }
        std.debug.assert(waiter.token == token);
        if (waiter.callback != callback) {
            return errors.fail(error.InvalidArgument, "this object was armed with another callback before: an object has one", .{});
        }
        if (@cmpxchgStrong(u32, &waiter.state, @intFromEnum(State.idle), @intFromEnum(State.armed), .seq_cst, .seq_cst) == null) {
            futex.wakeAll(&waiter.state);
        }
        return false;
    }

    /// Ends the thread; the caller then makes `block` return. No callback starts afterwards.
    pub fn stop(waiter: *Waiter) void {
        if (!waiter.started) return;
        @atomicStore(u32, &waiter.state, @intFromEnum(State.stopping), .seq_cst);
        futex.wakeAll(&waiter.state);
    }

    fn run(waiter: *Waiter, owner: Owner) void {
        defer owner.unref(owner.context);
        while (true) {
            const state: State = @enumFromInt(@atomicLoad(u32, &waiter.state, .seq_cst));
            switch (state) {
                .stopping => return,
                .idle => futex.wait(&waiter.state, @intFromEnum(State.idle), .never),
                .armed => {
                    owner.block(owner.context);
                    const previous = @cmpxchgStrong(u32, &waiter.state, @intFromEnum(State.armed), @intFromEnum(State.idle), .seq_cst, .seq_cst);
                    if (previous != null) return;
                    call(waiter.callback, waiter.token);
                },
            }
        }
    }
};

/// One event loop's callback. A process has one for each of its isolates.
const Loop = struct {
    callback: ?Callback = null,
    calling: u32 = 0,
    /// The writing end, for a loop that takes its tokens from a pipe.
    pipe: ?i32 = null,

    /// Closes the pipe once nobody writes into it. The mutex is held.
    fn closeUnused(loop: *Loop) void {
        if (loop.callback != null or loop.calling > 0) return;
        memfd.close(loop.pipe orelse return);
        loop.pipe = null;
    }
};

/// Workers come and go; this many at a time may use the library.
const loops_max = 256;

var mutex: Mutex = .{};
var loops: [loops_max]Loop = @splat(.{});

/// Lets threads call this callback, until `forget`.
pub fn remember(callback: Callback) errors.Error!void {
    mutex.lock();
    defer mutex.unlock();
    (try unused()).callback = callback;
}

/// For a runtime whose callbacks only its own threads may call: a callback that writes its token, four bytes, into a
/// pipe, until `forget`. Returns the reading end, which is the caller's.
pub fn rememberPipe(callback: *Callback) errors.Error!i32 {
    mutex.lock();
    defer mutex.unlock();
    const loop = try unused();
    var ends: [2]i32 = undefined;
    _ = try errors.check(linux.pipe2(&ends, .{ .CLOEXEC = true }), "pipe2", "wake-ups");
    const index = (@intFromPtr(loop) - @intFromPtr(&loops)) / @sizeOf(Loop);
    loop.* = .{ .callback = pipe_writers[index], .pipe = ends[1] };
    callback.* = pipe_writers[index];
    return ends[0];
}

/// One function for each place in `loops`, because a callback is told nothing but a token.
const pipe_writers: [loops_max]Callback = writers: {
    var functions: [loops_max]Callback = undefined;
    for (&functions, 0..) |*function, index| function.* = &PipeWriter(index).write;
    break :writers functions;
};

fn PipeWriter(comptime index: usize) type {
    return struct {
        fn write(token: u32) callconv(.c) void {
            // Waits while the pipe is full: a wake-up must not be lost. Fails when the reader is gone.
            while (linux.errno(linux.write(loops[index].pipe.?, std.mem.asBytes(&token), @sizeOf(u32))) == .INTR) {}
        }
    };
}

fn unused() errors.Error!*Loop {
    return find(null) orelse errors.fail(error.OutOfMemory, "{d} workers of this process use cuframes, the most that may", .{loops_max});
}

fn find(callback: ?Callback) ?*Loop {
    for (&loops) |*loop| {
        if (loop.callback == callback and (callback != null or loop.calling == 0)) return loop;
    }
    return null;
}

/// Calls into the runtime, unless that loop has ended or is about to.
pub fn call(callback: Callback, token: u32) void {
    mutex.lock();
    const loop = find(callback) orelse return mutex.unlock();
    // `forget` looks at it without the mutex.
    _ = @atomicRmw(u32, &loop.calling, .Add, 1, .seq_cst);
    mutex.unlock();
    callback(token);
    mutex.lock();
    _ = @atomicRmw(u32, &loop.calling, .Sub, 1, .seq_cst);
    loop.closeUnused();
    mutex.unlock();
}

/// For a loop that is about to end: no call to it begins afterwards, and those that were answered have returned.
/// One that still waits for the loop cannot be waited for; hence the bound.
pub fn forget(callback: Callback) void {
    mutex.lock();
    const loop = find(callback) orelse return mutex.unlock();
    loop.callback = null;
    loop.closeUnused();
    mutex.unlock();
    const deadline: clock.Deadline = .fromMilliseconds(20);
    while (@atomicLoad(u32, &loop.calling, .seq_cst) != 0 and !deadline.passed()) std.Thread.yield() catch {};
}

test "an object has one callback" {
    const testing = std.testing;
    const Sleeper = struct {
        var released: u32 = 0;

        fn block(_: *anyopaque) void {
            while (@atomicLoad(u32, &released, .seq_cst) == 0) futex.wait(&released, 0, .never);
        }

        fn unref(_: *anyopaque) void {
            @atomicStore(u32, &released, 2, .seq_cst);
            futex.wakeAll(&released);
        }

        fn one(_: u32) callconv(.c) void {}

        fn another(_: u32) callconv(.c) void {
            unreachable;
        }
    };
    var waiter: Waiter = .{};
    const owner: Owner = .{ .context = &waiter, .block = Sleeper.block, .unref = Sleeper.unref };
    try testing.expect(try waiter.arm(owner, Sleeper.one, 7));
    try testing.expect(!try waiter.arm(owner, Sleeper.one, 7));
    try testing.expectError(error.InvalidArgument, waiter.arm(owner, Sleeper.another, 7));

    waiter.stop();
    @atomicStore(u32, &Sleeper.released, 1, .seq_cst);
    futex.wakeAll(&Sleeper.released);
    while (@atomicLoad(u32, &Sleeper.released, .seq_cst) != 2) futex.wait(&Sleeper.released, 1, .never);
}

test "a loop with a pipe reads each token, and the end when it is forgotten" {
    const testing = std.testing;
    var first: Callback = undefined;
    var second: Callback = undefined;
    const reader = try rememberPipe(&first);
    defer memfd.close(reader);
    const other = try rememberPipe(&second);
    defer memfd.close(other);
    defer forget(second);
    try testing.expect(first != second);

    for ([_]u32{ 7, 0xFFFF_FFFF }) |token| {
        call(first, token);
        var read: u32 = 0;
        try testing.expectEqual(@sizeOf(u32), linux.read(reader, std.mem.asBytes(&read), @sizeOf(u32)));
        try testing.expectEqual(token, read);
    }
    forget(first);
    call(first, 1);
    var byte: [1]u8 = undefined;
    try testing.expectEqual(0, linux.read(reader, &byte, 1));
}

test "a full pipe makes its writer wait, and a reader that goes away lets it go" {
    const testing = std.testing;
    var callback: Callback = undefined;
    const reader = try rememberPipe(&callback);
    const loop = find(callback).?;
    const capacity = linux.fcntl(loop.pipe.?, linux.F.GETPIPE_SZ, 0);
    for (0..capacity / @sizeOf(u32)) |_| call(callback, 1);

    try thread.spawn("cuframes-test", call, .{ callback, 2 });
    while (@atomicLoad(u32, &loop.calling, .seq_cst) == 0) std.Thread.yield() catch {};
    forget(callback);
    mutex.lock();
    try testing.expect(loop.pipe != null);
    mutex.unlock();
    memfd.close(reader);
    while (@atomicLoad(u32, &loop.calling, .seq_cst) != 0) std.Thread.yield() catch {};
    mutex.lock();
    defer mutex.unlock();
    try testing.expectEqual(null, loop.pipe);
}
