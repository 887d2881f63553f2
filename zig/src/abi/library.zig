//! These functions of the C ABI are about the library as a whole: its version, its last error, its clock.

const std = @import("std");
const errors = @import("../core/mod.zig").errors;
const clock = @import("../os/mod.zig").clock;
const access = @import("../os/mod.zig").access;
const directory = @import("../os/mod.zig").directory;
const leftovers = @import("../os/mod.zig").leftovers;
const requireKey = @import("../ipc/mod.zig").publisher.requireKey;
const arguments = @import("arguments.zig");
const input = arguments.input;
const output = arguments.output;

/// Raised whenever a function, a struct or a code changes.
pub const abi_version: u32 = 8;

/// To be called first; also keeps the library in the process for good, because its threads never end.
pub export fn cuframes_abi_version() u32 {
    var location: DlInfo = undefined;
    if (dladdr(&cuframes_abi_version, &location) != 0) {
        _ = std.c.dlopen(location.file_name, .{ .LAZY = true, .NOLOAD = true, .NODELETE = true });
    }
    return abi_version;
}

/// Dl_info of <dlfcn.h>.
const DlInfo = extern struct {
    file_name: ?[*:0]const u8,
    file_base: ?*anyopaque,
    symbol_name: ?[*:0]const u8,
    symbol_address: ?*anyopaque,
};

extern fn dladdr(address: *const anyopaque, info: *DlInfo) c_int;

/// Copies the sentence for this thread's last failure, without a NUL; returns its size.
pub export fn cuframes_error_message(buffer: ?[*]u8, size: u32) i32 {
    const destination = output(u8, buffer, size) catch return 0;
    const message = errors.message();
    const copied = @min(message.len, destination.len);
    @memcpy(destination[0..copied], message[0..copied]);
    return @intCast(copied);
}

/// CLOCK_MONOTONIC in nanoseconds, the clock of every frame's published_ns.
pub export fn cuframes_now_ns() u64 {
    return clock.monotonicNs();
}

/// Writes the directories where publishers of this user may be, best first, each with a NUL behind it; returns how many
/// bytes that are. `option` is a directory that the caller names, which is then the only one; of size 0 there is none.
pub export fn cuframes_runtime_directories(option: ?[*]const u8, option_size: u32, buffer: ?[*]u8, size: u32) i32 {
    return arguments.codeOf(runtimeDirectories(option, option_size, buffer, size));
}

fn runtimeDirectories(option: ?[*]const u8, option_size: u32, buffer: ?[*]u8, size: u32) errors.Error!i32 {
    const named = try input(u8, option, option_size);
    return @intCast(try directory.list(named, try output(u8, buffer, size)));
}

/// Whether this user may see which sockets are in a directory: 0, also where there is no such directory; else
/// Permission, with the reason.
pub export fn cuframes_runtime_directory_check(folder: ?[*]const u8, folder_size: u32) i32 {
    return arguments.done(checkDirectory(folder, folder_size));
}

fn checkDirectory(folder: ?[*]const u8, folder_size: u32) errors.Error!void {
    const path: directory.Path = try .init("{s}", .{try input(u8, folder, folder_size)});
    return access.requireList(&path);
}

/// Removes the socket and the lock's file that a dead publisher of a key has left in a directory. Returns 1; 0 where
/// there is nothing that is certainly nobody's.
pub export fn cuframes_runtime_directory_clean(
    folder: ?[*]const u8,
    folder_size: u32,
    key: ?[*]const u8,
    key_size: u32,
) i32 {
    return arguments.codeOf(cleanDirectory(folder, folder_size, key, key_size));
}

fn cleanDirectory(folder: ?[*]const u8, folder_size: u32, key: ?[*]const u8, key_size: u32) errors.Error!i32 {
    const name = try input(u8, key, key_size);
    try requireKey(name);
    const path: directory.Path = try .init("{s}", .{try input(u8, folder, folder_size)});
    return @intFromBool(try leftovers.remove(&path, name));
}
