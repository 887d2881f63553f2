//! A file descriptor is closed here and nowhere else, whatever it stands for.

const std = @import("std");
const linux = std.os.linux;
const errors = @import("../core/mod.zig").errors;

/// Closes a descriptor that is open and the caller's.
pub fn close(fd: i32) void {
    std.debug.assert(fd >= 0);
    // Linux frees the descriptor even when close reports an error.
    _ = linux.close(fd);
}

/// Whether a number stands for an open descriptor.
pub fn isOpen(fd: i32) bool {
    return fd >= 0 and linux.errno(linux.fcntl(fd, linux.F.GETFD, 0)) != .BADF;
}

/// Keeps a descriptor of others' making from a child process, which would inherit it.
pub fn closeOnExec(fd: i32) errors.Error!void {
    std.debug.assert(fd >= 0);
    _ = try errors.check(linux.fcntl(fd, linux.F.SETFD, linux.FD_CLOEXEC), "fcntl", "F_SETFD");
}

test "a descriptor is open until it is closed" {
    const testing = std.testing;
    const fd: i32 = @intCast(try errors.check(linux.eventfd(0, 0), "eventfd", "a test"));
    try testing.expect(isOpen(fd));
    try closeOnExec(fd);
    try testing.expectEqual(linux.FD_CLOEXEC, linux.fcntl(fd, linux.F.GETFD, 0));
    close(fd);
    try testing.expect(!isOpen(fd));
    try testing.expect(!isOpen(-1));
}
