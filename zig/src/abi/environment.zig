//! An environment is a thread whose objects end with it. A JavaScript worker is a thread that may be ended at any
//! moment, without a word to its libraries: what it has made goes with it, or its subscriptions would hold a publisher
//! up for as long as the process lives.

const std = @import("std");
const errors = @import("../core/mod.zig").errors;
const handles = @import("handles.zig");
const event_loop = @import("../ipc/mod.zig").event_loop;
const Mutex = @import("../os/mod.zig").mutex.Mutex;
const done = @import("arguments.zig").done;
const Error = errors.Error;

var mutex: Mutex = .{};
/// Its destructor is the one thing that runs on a thread that is being ended.
var key: ?std.c.pthread_key_t = null;
var opened: u32 = 0;

/// What this thread makes from here on is closed when it ends, or by `close`.
pub fn open() Error!void {
    if (handles.owner != handles.nobody) return;
    mutex.lock();
    defer mutex.unlock();
    if (key == null) {
        var created: std.c.pthread_key_t = undefined;
        if (std.c.pthread_key_create(&created, onThreadEnd) != .SUCCESS) return outOfKeys();
        key = created;
    }
    const owner = opened + 1;
    // Any value but null makes the destructor run.
    if (std.c.pthread_setspecific(key.?, @ptrFromInt(owner)) != 0) return outOfKeys();
    opened = owner;
    handles.owner = owner;
}

fn outOfKeys() Error {
    return errors.fail(
        error.OutOfMemory,
        "this process has no room for another thread-specific value (PTHREAD_KEYS_MAX)",
        .{},
    );
}

/// Closes everything that this thread has made since `open`.
pub fn close(reason: event_loop.Reason) void {
    // None is called behind the end of its loop.
    event_loop.closeOfThread(reason);
    if (handles.owner == handles.nobody) return;
    // Of two that need each other, such as a reader and its subscriber, each keeps the other alive as long as it must.
    while (handles.takeOwned(handles.owner)) |object| handles.vacate(object);
}

fn onThreadEnd(_: *anyopaque) callconv(.c) void {
    close(.thread_ended);
    handles.owner = handles.nobody;
}

/// Makes this thread an environment: everything that it makes from here on is closed when it ends, as a JavaScript
/// worker may at any moment, or by cuframes_environment_close.
pub export fn cuframes_environment_open() i32 {
    return done(open());
}

/// Closes everything that this thread has made since cuframes_environment_open. Memory that it could reach can still be
/// read and written, but is nobody else's any more.
pub export fn cuframes_environment_close() void {
    close(.asked);
}

test "what a thread has made in an environment goes with the thread, what it made before does not" {
    const testing = std.testing;
    const DescriptorSocket = @import("../ipc/mod.zig").descriptor_socket.DescriptorSocket;
    const Place = @import("../ipc/mod.zig").address.Place;
    const Maker = struct {
        var made: [2]u32 = undefined;

        fn listen(name: []const u8) !u32 {
            const listener: *DescriptorSocket = try .listen(try Place.parse(name), 0o600);
            return @bitCast(try handles.add(.{ .socket = listener }));
        }

        fn run() !void {
            made[0] = try listen("@cuframes-environment-before");
            try open();
            made[1] = try listen("@cuframes-environment-within");
        }
    };
    const thread = try std.Thread.spawn(.{}, Maker.run, .{});
    thread.join();
    try testing.expectError(error.InvalidArgument, handles.get(.socket, Maker.made[1]));
    const kept = try handles.take(.socket, Maker.made[0]);
    kept.close();
    // The name is free again.
    const listener: *DescriptorSocket = try .listen(try Place.parse("@cuframes-environment-within"), 0o600);
    listener.close();
}
