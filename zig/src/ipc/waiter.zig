//! A waiter waits on behalf of an event loop: its thread sleeps until its owner has news, then it calls back once.

const std = @import("std");
const errors = @import("../core/mod.zig").errors;
const futex = @import("../os/mod.zig").futex;
const log = @import("../os/mod.zig").log;
const thread = @import("../os/mod.zig").thread;
const event_loop = @import("event_loop.zig");
const Callback = event_loop.Callback;

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
            return errors.fail(
                error.InvalidArgument,
                "this object was armed with another callback before: an object has one",
                .{},
            );
        }
        if (@cmpxchgStrong(
            u32,
            &waiter.state,
            @intFromEnum(State.idle),
            @intFromEnum(State.armed),
            .seq_cst,
            .seq_cst,
        ) == null) {
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
        log.debug("waits for object {d}", .{waiter.token});
        defer log.debug("ends", .{});
        while (true) {
            const state: State = @enumFromInt(@atomicLoad(u32, &waiter.state, .seq_cst));
            switch (state) {
                .stopping => return,
                .idle => futex.wait(&waiter.state, @intFromEnum(State.idle), .never),
                .armed => {
                    owner.block(owner.context);
                    const previous = @cmpxchgStrong(
                        u32,
                        &waiter.state,
                        @intFromEnum(State.armed),
                        @intFromEnum(State.idle),
                        .seq_cst,
                        .seq_cst,
                    );
                    if (previous != null) return;
                    log.debug("calls back for object {d}", .{waiter.token});
                    event_loop.call(waiter.callback, waiter.token);
                },
            }
        }
    }
};

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
