//! These functions of the C ABI connect to a publisher, at once or on another thread.

const std = @import("std");
const errors = @import("../core/mod.zig").errors;
const protocol = @import("../ipc/mod.zig").protocol;
const publishing = @import("../ipc/mod.zig").publisher;
const subscribing = @import("../ipc/mod.zig").subscriber;
const attempts = @import("../ipc/mod.zig").attempt;
const event_loop = @import("../ipc/mod.zig").event_loop;
const connecting = @import("../ipc/mod.zig").connect;
const handles = @import("handles.zig");
const arguments = @import("arguments.zig");
const codeOf = arguments.codeOf;
const done = arguments.done;
const required = arguments.required;
const requiredCallback = arguments.requiredCallback;
const Error = errors.Error;

/// Blocks until connected: fills `info` and returns the subscriber's handle; or, where a report is all that is wanted,
/// fills `report` and returns 0. The pointer that is not needed may be null.
pub export fn cuframes_connect(
    options: ?*const subscribing.Options,
    info: ?*publishing.Info,
    report: ?*protocol.Report,
) i32 {
    return codeOf(connect(options, info, report));
}

fn connect(options: ?*const subscribing.Options, info: ?*publishing.Info, report: ?*protocol.Report) Error!i32 {
    const wanted = options orelse return errors.fail(error.InvalidArgument, "a required pointer is null", .{});
    var call: connecting.Call = try .init(wanted.timeout_ms);
    defer call.deinit();
    return deliver(try attempts.connect(wanted, &call), info, report);
}

/// A subscriber becomes a handle, a report is copied out: returns 0 for it.
fn deliver(result: attempts.Result, info: ?*publishing.Info, report: ?*protocol.Report) Error!i32 {
    switch (result) {
        .subscriber => |subscriber| {
            errdefer subscriber.close();
            const out = try required(publishing.Info, info);
            out.* = subscriber.info();
            return handles.add(.{ .subscriber = subscriber });
        },
        .report => |received| {
            defer std.heap.c_allocator.destroy(received);
            const out = try required(protocol.Report, report);
            out.* = received.*;
            return 0;
        },
        .socket => |connected| {
            errdefer connected.close();
            return handles.add(.{ .socket = connected });
        },
    }
}

/// Starts connecting on another thread; returns a handle for cuframes_connect_finish, and calls back once. Without a
/// callback: see cuframes_connect_arm and cuframes_connect_wait.
pub export fn cuframes_connect_start(
    options: ?*const subscribing.Options,
    callback: ?event_loop.Callback,
    token: u32,
) i32 {
    return codeOf(connectStart(options, callback, token));
}

fn connectStart(options: ?*const subscribing.Options, callback: ?event_loop.Callback, token: u32) Error!i32 {
    const wanted = options orelse return errors.fail(error.InvalidArgument, "a required pointer is null", .{});
    return startConnecting(.{ .publisher = wanted.* }, callback, token);
}

/// Starts an attempt; returns its handle.
pub fn startConnecting(goal: attempts.Goal, callback: ?event_loop.Callback, token: u32) Error!i32 {
    const started = try attempts.Connecting.start(goal, callback, token);
    errdefer started.close();
    return handles.add(.{ .connecting = started });
}

/// Calls back once when cuframes_connect_finish has something to return. Returns 1 where it has already: no call comes.
/// Once for an attempt.
pub export fn cuframes_connect_arm(handle: u32, callback: ?event_loop.Callback, token: u32) i32 {
    return codeOf(armConnecting(handle, callback, token));
}

fn armConnecting(handle: u32, callback: ?event_loop.Callback, token: u32) Error!i32 {
    const started = try handles.get(.connecting, handle);
    return if (try started.arm(try requiredCallback(callback), token)) 0 else 1;
}

/// Blocks until cuframes_connect_finish has something to return. TIMEOUT, with how far it has come: it goes on.
pub export fn cuframes_connect_wait(handle: u32, timeout_ms: i32) i32 {
    const started = handles.get(.connecting, handle) catch |failure| return codeOf(failure);
    return done(started.wait(timeout_ms));
}

/// What cuframes_connect would have returned, or a connected socket's handle; after the callback.
pub export fn cuframes_connect_finish(handle: u32, info: ?*publishing.Info, report: ?*protocol.Report) i32 {
    const started = handles.get(.connecting, handle) catch |failure| return codeOf(failure);
    const result = started.finish() catch |failure| return codeOf(failure);
    return codeOf(deliver(result, info, report));
}

/// Cancels an attempt, or releases it after cuframes_connect_finish.
pub export fn cuframes_connect_close(handle: u32) i32 {
    const started = handles.take(.connecting, handle) catch |failure| return codeOf(failure);
    started.close();
    return 0;
}
