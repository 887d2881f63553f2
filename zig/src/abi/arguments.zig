//! This file has what every exported function does with its arguments and its result: pointers that may be null become
//! slices or errors, and errors become codes.

const errors = @import("../core/mod.zig").errors;
const event_loop = @import("../ipc/mod.zig").event_loop;
const Error = errors.Error;

pub fn codeOf(result: Error!i32) i32 {
    return result catch |failure| @intFromEnum(errors.codeOf(failure));
}

pub fn done(result: Error!void) i32 {
    result catch |failure| return @intFromEnum(errors.codeOf(failure));
    return 0;
}

pub fn required(comptime T: type, pointer: ?*T) Error!*T {
    return pointer orelse errors.fail(error.InvalidArgument, "a required pointer is null", .{});
}

pub fn requiredInput(comptime T: type, pointer: ?*const T) Error!*const T {
    return pointer orelse errors.fail(error.InvalidArgument, "a required pointer is null", .{});
}

/// What the caller reads from.
pub fn input(comptime Item: type, pointer: ?[*]const Item, count: u32) Error![]const Item {
    if (count == 0) return &.{};
    const start = pointer orelse return errors.fail(error.InvalidArgument, "a required pointer is null", .{});
    return start[0..count];
}

/// What the caller wants filled.
pub fn output(comptime Item: type, pointer: ?[*]Item, count: u32) Error![]Item {
    return @constCast(try input(Item, pointer, count));
}

pub fn requiredCallback(callback: ?event_loop.Callback) Error!event_loop.Callback {
    return callback orelse errors.fail(error.InvalidArgument, "a required callback is null", .{});
}
