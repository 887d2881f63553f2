//! Anonymous shared memory as sealed descriptors.

const std = @import("std");
const linux = std.os.linux;
const errors = @import("../errors.zig");
const Error = errors.Error;

pub const Access = enum { read_only, read_write };

pub fn close(fd: i32) void {
    std.debug.assert(fd >= 0);
    // Linux frees the descriptor even when close reports an error.
    _ = linux.close(fd);
}

/// A memfd of `size` bytes whose pages are reserved, so that a later store cannot fail with SIGBUS.
pub fn create(name: [*:0]const u8, size: usize) Error!i32 {
    std.debug.assert(size > 0);
    const flags = linux.MFD.CLOEXEC | linux.MFD.ALLOW_SEALING;
    const fd: i32 = @intCast(try errors.check(linux.memfd_create(name, flags), "memfd_create", std.mem.span(name)));
    errdefer close(fd);
    try reserve(fd, size, std.mem.span(name));
    return fd;
}

/// Makes a file of shared memory `size` bytes long, with its pages.
pub fn reserve(fd: i32, size: usize, subject: []const u8) Error!void {
    _ = try errors.check(linux.ftruncate(fd, @intCast(size)), "ftruncate", subject);
    var reserved: usize = 0;
    while (reserved < size) {
        const step = @min(size - reserved, reserve_step);
        const result = fallocate(fd, 0, @intCast(reserved), @intCast(step));
        if (linux.errno(result) == .INTR) continue;
        _ = try errors.check(result, "fallocate", subject);
        reserved += step;
    }
}

/// Kernels before 6.11 undo a whole call when a signal comes. This much takes some 65 µs, and is no slower than all at
/// once; a gigabyte would never be done under a profiler's timer.
const reserve_step = 256 << 10;

/// Such a kernel, at its worst, in tests.
const fallocate = if (@import("builtin").is_test) interrupting.fallocate else linux.fallocate;

pub const seals_fixed_size: usize = linux.F.SEAL_SHRINK | linux.F.SEAL_GROW | linux.F.SEAL_SEAL;

/// Fixes the size for good. A descriptor sealed against future writers can still be written through mappings
/// made before, and by nothing made after: not by mmap, pwrite or a reopened descriptor.
pub fn seal(fd: i32, writers: enum { keep_writable, no_future_writers }) Error!void {
    const seals = switch (writers) {
        .keep_writable => seals_fixed_size,
        .no_future_writers => seals_fixed_size | linux.F.SEAL_FUTURE_WRITE,
    };
    const result = linux.fcntl(fd, linux.F.ADD_SEALS, seals);
    if (linux.errno(result) == .INVAL) {
        return errors.fail(error.Unsupported, "this kernel cannot seal shared memory against writers; Linux 5.1 or later can", .{});
    }
    _ = try errors.check(result, "fcntl", "F_ADD_SEALS");
}

/// Maps a descriptor of another process only if it has at least `size` bytes and can never lose them:
/// without that, the peer could truncate it and every access here would end in SIGBUS.
pub fn mapForeign(fd: i32, size: usize, access: Access) Error![]align(std.heap.page_size_min) u8 {
    const seals = linux.fcntl(fd, linux.F.GET_SEALS, 0);
    if (linux.errno(seals) != .SUCCESS or seals & linux.F.SEAL_SHRINK == 0) {
        return errors.fail(error.Protocol, "the publisher handed over memory that is not sealed against shrinking", .{});
    }
    if (try sizeOf(fd) < size) {
        return errors.fail(error.Protocol, "the publisher handed over less memory than it announced", .{});
    }
    return map(fd, size, access);
}

pub fn sizeOf(fd: i32) Error!u64 {
    var status: linux.Statx = undefined;
    const result = linux.statx(fd, "", linux.AT.EMPTY_PATH, .{ .SIZE = true }, &status);
    _ = try errors.check(result, "statx", "memfd");
    return status.size;
}

pub fn map(fd: i32, size: usize, access: Access) Error![]align(std.heap.page_size_min) u8 {
    std.debug.assert(size > 0);
    const protection: linux.PROT = .{ .READ = true, .WRITE = access == .read_write };
    const address = try errors.check(linux.mmap(null, size, protection, .{ .TYPE = .SHARED }, fd, 0), "mmap", "shared memory");
    const pointer: [*]align(std.heap.page_size_min) u8 = @ptrFromInt(address);
    return pointer[0..size];
}

pub fn unmap(memory: []align(std.heap.page_size_min) const u8) void {
    // Fails for memory of huge pages, which a hostile peer may have handed over: it then stays mapped.
    _ = linux.munmap(memory.ptr, memory.len);
}

const testing = std.testing;

/// A signal comes within every 260 KiB, and now and then in a shorter call too.
const interrupting = struct {
    var calls: u32 = 0;
    /// So that a caller that never gets on is found out.
    const calls_max = 100;

    fn fallocate(fd: i32, mode: i32, offset: i64, length: i64) usize {
        const call = @atomicRmw(u32, &calls, .Add, 1, .seq_cst) + 1;
        const interrupted = length > 260 << 10 or call % 5 == 0;
        if (interrupted and call % calls_max != 0) return @bitCast(-@as(isize, @intFromEnum(linux.E.INTR)));
        return linux.fallocate(fd, mode, offset, length);
    }
};

test "memory is reserved to its last page while signals come" {
    const size = (1 << 20) + std.heap.page_size_max;
    interrupting.calls = 0;
    const fd = try create("test", size);
    defer close(fd);
    var status: linux.Statx = undefined;
    _ = try errors.check(linux.statx(fd, "", linux.AT.EMPTY_PATH, .{ .BLOCKS = true }, &status), "statx", "test");
    try testing.expectEqual(size, status.blocks * 512);
    try testing.expectEqual(6, interrupting.calls);
}

test "a sealed region refuses future writers and changes of size" {
    const fd = try create("test", 8192);
    defer close(fd);
    const writable = try map(fd, 8192, .read_write);
    defer unmap(writable);
    try seal(fd, .no_future_writers);

    writable[0] = 42;
    const readable = try mapForeign(fd, 8192, .read_only);
    defer unmap(readable);
    try testing.expectEqual(@as(u8, 42), readable[0]);

    try testing.expectError(error.Permission, map(fd, 8192, .read_write));
    try testing.expectEqual(linux.E.PERM, linux.errno(linux.ftruncate(fd, 4096)));
    try testing.expectEqual(linux.E.PERM, linux.errno(linux.pwrite(fd, "x", 1, 0)));
}

test "memory that could shrink, or is too small, is not mapped" {
    const fd = try create("test", 4096);
    defer close(fd);
    try testing.expectError(error.Protocol, mapForeign(fd, 4096, .read_only));
    try seal(fd, .keep_writable);
    try testing.expectError(error.Protocol, mapForeign(fd, 8192, .read_only));
}
