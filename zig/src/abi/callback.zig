//! These functions of the C ABI tell the library how its threads reach an event loop.

const errors = @import("../core/mod.zig").errors;
const event_loop = @import("../ipc/mod.zig").event_loop;
const arguments = @import("arguments.zig");
const codeOf = arguments.codeOf;
const done = arguments.done;
const required = arguments.required;
const requiredCallback = arguments.requiredCallback;
const Error = errors.Error;

/// Lets the library's threads call this callback; to be called before it is given to any function.
pub export fn cuframes_callback_open(callback: ?event_loop.Callback) i32 {
    const function = requiredCallback(callback) catch |failure| return codeOf(failure);
    return done(event_loop.open(function));
}

/// For a runtime whose callbacks only its own threads may call: writes the address of a callback that sends its token,
/// four bytes, through a stream socket, and returns the end to read it from. The callback is open already.
pub export fn cuframes_callback_socket(callback: ?*u64) i32 {
    return codeOf(callbackSocket(callback));
}

fn callbackSocket(address: ?*u64) Error!i32 {
    const destination = try required(u64, address);
    var callback: event_loop.Callback = undefined;
    const reader = try event_loop.openSocket(&callback);
    destination.* = @intFromPtr(callback);
    return reader;
}

/// For an event loop that is about to end: no thread calls the callback afterwards.
pub export fn cuframes_callback_close(callback: ?event_loop.Callback) void {
    event_loop.close(callback orelse return, .asked);
}
