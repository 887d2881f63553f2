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

const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;

fn wholeFile(kind: i16) linux.Flock {
    return .{ .type = kind, .whence = linux.SEEK.SET, .start = 0, .len = 0, .pid = 0, ._unused = {} };
}

/// Locks a file until its last descriptor is closed. It takes a descriptor that may write; false: somebody has a lock.
pub fn lockForWriting(fd: i32) bool {
    const lock = wholeFile(linux.F.WRLCK);
    return linux.errno(linux.fcntl(fd, F_OFD_SETLK, @intFromPtr(&lock))) == .SUCCESS;
}

/// Whether another process has locked it so. A lock for reading, which every reader can take, says nothing.
pub fn isLockedForWriting(fd: i32) bool {
    var lock = wholeFile(linux.F.RDLCK);
    const result = linux.fcntl(fd, F_OFD_GETLK, @intFromPtr(&lock));
    return linux.errno(result) == .SUCCESS and lock.type != linux.F.UNLCK;
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

test "a lock for writing is seen through another opening of the file, one for reading is not" {
    const testing = std.testing;
    const created = linux.memfd_create("lock", linux.MFD.CLOEXEC);
    const memfd: i32 = @intCast(try errors.check(created, "memfd_create", "a test"));
    defer close(memfd);
    var buffer: [32]u8 = undefined;
    const path = try std.fmt.bufPrintZ(&buffer, "/proc/self/fd/{d}", .{memfd});
    const other: i32 = @intCast(try errors.check(linux.open(path, .{ .CLOEXEC = true }, 0), "open", path));
    defer close(other);
    const reading = wholeFile(linux.F.RDLCK);
    _ = try errors.check(linux.fcntl(other, F_OFD_SETLK, @intFromPtr(&reading)), "fcntl", "F_OFD_SETLK");
    try testing.expect(!isLockedForWriting(memfd));
    try testing.expect(!lockForWriting(other));
    try testing.expect(!lockForWriting(memfd));
    const none = wholeFile(linux.F.UNLCK);
    _ = try errors.check(linux.fcntl(other, F_OFD_SETLK, @intFromPtr(&none)), "fcntl", "F_OFD_SETLK");
    try testing.expect(lockForWriting(memfd));
    try testing.expect(isLockedForWriting(other));
}
