//! This file makes anonymous shared memory, and maps it: memfds whose seals say what their other side can rely on.

const std = @import("std");
const linux = std.os.linux;
const errors = @import("../core/mod.zig").errors;
const os_fd = @import("fd.zig");
const Error = errors.Error;

pub const Access = enum { read_only, read_write };

/// Mapped memory.
pub const Memory = []align(std.heap.page_size_min) u8;

/// A memfd of `size` bytes whose pages are reserved, so that a later store cannot fail with SIGBUS.
pub fn create(name: [*:0]const u8, size: usize) Error!i32 {
    std.debug.assert(size > 0);
    const flags = linux.MFD.CLOEXEC | linux.MFD.ALLOW_SEALING;
    const fd: i32 = @intCast(try errors.check(linux.memfd_create(name, flags), "memfd_create", std.mem.span(name)));
    errdefer os_fd.close(fd);
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
        return errors.fail(
            error.Unsupported,
            "this kernel cannot seal shared memory against writers; Linux 5.1 or later can",
            .{},
        );
    }
    _ = try errors.check(result, "fcntl", "F_ADD_SEALS");
}

/// Maps a descriptor of another process only if it has at least `size` bytes and all of their pages, and can never lose
/// them: else the peer could take them away, and every access here would end in SIGBUS. Memory that the peer shall
/// write and we too, it can still take away; the next access then gets a new page.
pub fn mapForeign(fd: i32, size: usize, access: Access) Error!Memory {
    const result = linux.fcntl(fd, linux.F.GET_SEALS, 0);
    if (linux.errno(result) != .SUCCESS) {
        return errors.fail(error.Protocol, "the publisher handed over something else than memory that is sealed", .{});
    }
    const seals = result;
    if (seals & linux.F.SEAL_SHRINK == 0) {
        return errors.fail(
            error.Protocol,
            "the publisher handed over memory that is not sealed against shrinking",
            .{},
        );
    }
    // Either of them keeps holes from being punched.
    if (access == .read_only and seals & (linux.F.SEAL_WRITE | linux.F.SEAL_FUTURE_WRITE) == 0) {
        return errors.fail(error.Protocol, "the publisher handed over memory that is not sealed against writers", .{});
    }
    // From here on it is known to be memory: of a file of FUSE, any of these questions goes to its server.
    if (filesystemOf(fd) == hugetlbfs_magic) {
        return errors.fail(
            error.Protocol,
            "the publisher handed over memory of huge pages, which may not be there to be had",
            .{},
        );
    }
    const status = try statusOf(fd);
    if (status.size < size) {
        return errors.fail(error.Protocol, "the publisher handed over less memory than it announced", .{});
    }
    // Of all of it: the kernel counts pages, wherever they are, and those that were only reserved and never filled.
    // Each of them would be made at our expense when we read it.
    if (linux.lseek(fd, 0, SEEK_HOLE) < status.size) {
        return errors.fail(error.Protocol, "the publisher handed over memory with holes", .{});
    }
    return map(fd, size, access);
}

/// From where on a file has no data. Data that was swapped out counts as there.
const SEEK_HOLE = 4;

pub const tmpfs_magic = 0x01021994;
const hugetlbfs_magic = 0x958458f6;

/// The magic number of <linux/magic.h>; 0 for a descriptor that has no file system.
pub fn filesystemOf(fd: i32) c_long {
    var filesystem: StatFs = undefined;
    const result = linux.syscall2(.fstatfs, @as(usize, @intCast(fd)), @intFromPtr(&filesystem));
    return if (linux.errno(result) == .SUCCESS) filesystem.kind else 0;
}

/// struct statfs of 64-bit Linux, of which only the type matters.
const StatFs = extern struct { kind: c_long, rest: [14]c_long };

fn statusOf(fd: i32) Error!linux.Statx {
    var status: linux.Statx = undefined;
    _ = try errors.check(
        linux.statx(fd, "", linux.AT.EMPTY_PATH, .{ .SIZE = true }, &status),
        "statx",
        "memfd",
    );
    return status;
}

pub fn map(fd: i32, size: usize, access: Access) Error!Memory {
    std.debug.assert(size > 0);
    const protection: linux.PROT = .{ .READ = true, .WRITE = access == .read_write };
    const address = try errors.check(
        linux.mmap(null, size, protection, .{ .TYPE = .SHARED }, fd, 0),
        "mmap",
        "shared memory",
    );
    const pointer: [*]align(std.heap.page_size_min) u8 = @ptrFromInt(address);
    return pointer[0..size];
}

/// Maps memory of this process's own making for writing, and fills it with zeros: pages that are only reserved are
/// holes to whoever asks.
pub fn mapNew(fd: i32, size: usize) Error![]align(std.heap.page_size_min) u8 {
    const memory = try map(fd, size, .read_write);
    errdefer unmap(memory);
    while (true) {
        const result = linux.madvise(memory.ptr, memory.len, MADV_POPULATE_WRITE);
        switch (linux.errno(result)) {
            .SUCCESS => return memory,
            .INTR, .AGAIN => {},
            .INVAL => break, // Linux before 5.14
            else => |errno| return errors.failErrno(errno, "madvise", "shared memory"),
        }
    }
    fill(memory);
    return memory;
}

const MADV_POPULATE_WRITE = 23;

/// A store to each page, none of which can fail: they are reserved.
fn fill(memory: []align(std.heap.page_size_min) u8) void {
    var offset: usize = 0;
    while (offset < memory.len) : (offset += std.heap.page_size_min) @atomicStore(u8, &memory[offset], 0, .monotonic);
}

pub fn unmap(memory: []align(std.heap.page_size_min) const u8) void {
    _ = linux.munmap(memory.ptr, memory.len);
}

/// Moves a mapping to the place of another, which ends by that: whoever looks there meets the one or the other.
pub fn move(memory: Memory, place: Memory) Error!void {
    std.debug.assert(memory.len == place.len and memory.ptr != place.ptr);
    const flags: usize = mremap_maymove | mremap_fixed;
    const result = linux.syscall5(
        .mremap,
        @intFromPtr(memory.ptr),
        memory.len,
        memory.len,
        flags,
        @intFromPtr(place.ptr),
    );
    if (linux.errno(result) == .SUCCESS) return;
    // The kernel may have emptied the place already.
    vacate(place);
    return errors.failErrno(linux.errno(result), "mremap", "shared memory");
}

// <linux/mman.h>
const mremap_maymove = 1;
const mremap_fixed = 2;

/// Gives the memory up, and keeps the addresses, at which there are zeros from now on: for whoever may still look
/// there.
pub fn vacate(memory: []align(std.heap.page_size_min) const u8) void {
    const protection: linux.PROT = .{ .READ = true, .WRITE = true };
    const flags: linux.MAP = .{ .TYPE = .PRIVATE, .ANONYMOUS = true, .FIXED = true, .NORESERVE = true };
    const result = linux.mmap(@constCast(memory.ptr), memory.len, protection, flags, -1, 0);
    // Short of memory for its own tables, the kernel leaves the mapping as it was.
    std.debug.assert(linux.errno(result) != .SUCCESS or result == @intFromPtr(memory.ptr));
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

/// Bytes of the pages that a file has.
fn reservedIn(fd: i32) !u64 {
    var status: linux.Statx = undefined;
    const mask: linux.STATX = .{ .BLOCKS = true };
    _ = try errors.check(linux.statx(fd, "", linux.AT.EMPTY_PATH, mask, &status), "statx", "test");
    return status.blocks * 512;
}

test "memory is reserved to its last page while signals come" {
    const size = (1 << 20) + std.heap.page_size_max;
    interrupting.calls = 0;
    const fd = try create("test", size);
    defer os_fd.close(fd);
    try testing.expectEqual(size, try reservedIn(fd));
    try testing.expectEqual(6, interrupting.calls);
}

test "a sealed region refuses future writers and changes of size" {
    // QEMU (7.2) takes MADV_POPULATE_WRITE for done.
    if (@import("test_options").emulated) return error.SkipZigTest;
    const fd = try create("test", 8192);
    defer os_fd.close(fd);
    const writable = try mapNew(fd, 8192);
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

test "memory that could shrink, lose a page or fault is not mapped, nor is too little" {
    // QEMU (7.2) takes MADV_POPULATE_WRITE for done.
    if (@import("test_options").emulated) return error.SkipZigTest;
    const fd = try create("test", 4096);
    defer os_fd.close(fd);
    unmap(try mapNew(fd, 4096));
    try expectRefused(fd, 4096, .read_only, "against shrinking");
    try seal(fd, .keep_writable);
    try expectRefused(fd, 8192, .read_write, "less memory");
    unmap(try mapForeign(fd, 4096, .read_write));
    try expectRefused(fd, 4096, .read_only, "against writers");

    const sparse: i32 = @intCast(
        try errors.check(
            linux.memfd_create("test", linux.MFD.CLOEXEC | linux.MFD.ALLOW_SEALING),
            "memfd_create",
            "test",
        ),
    );
    defer os_fd.close(sparse);
    const page = std.heap.pageSize();
    _ = try errors.check(linux.ftruncate(sparse, @intCast(2 * page)), "ftruncate", "test");
    _ = try errors.check(linux.pwrite(sparse, "x", 1, 0), "pwrite", "test");
    try seal(sparse, .no_future_writers);
    try expectRefused(sparse, page, .read_only, "holes");
}

test "pages behind the end do not make up for missing ones, nor do those that were reserved and never filled" {
    const page = std.heap.pageSize();
    const KEEP_SIZE = 1;
    const created = linux.memfd_create("test", linux.MFD.CLOEXEC | linux.MFD.ALLOW_SEALING);
    const behind: i32 = @intCast(try errors.check(created, "memfd_create", "test"));
    defer os_fd.close(behind);
    _ = try errors.check(linux.ftruncate(behind, @intCast(2 * page)), "ftruncate", "test");
    const reserved = linux.fallocate(behind, KEEP_SIZE, @intCast(2 * page), @intCast(4 * page));
    _ = try errors.check(reserved, "fallocate", "test");
    try testing.expect(try reservedIn(behind) >= 2 * page);
    try seal(behind, .no_future_writers);
    try expectRefused(behind, 2 * page, .read_only, "holes");

    const unfilled = try create("test", 4 * page);
    defer os_fd.close(unfilled);
    const memory = try map(unfilled, 4 * page, .read_write);
    defer unmap(memory);
    try seal(unfilled, .no_future_writers);
    try expectRefused(unfilled, 4 * page, .read_only, "holes");
    // As on a kernel that cannot do it at once.
    fill(memory);
    unmap(try mapForeign(unfilled, 4 * page, .read_only));
}

test "of what is no memory nothing else is asked" {
    const fd: i32 = @intCast(try errors.check(linux.eventfd(0, linux.EFD.CLOEXEC), "eventfd", "test"));
    defer os_fd.close(fd);
    try expectRefused(fd, 4096, .read_only, "something else than memory");
}

test "memory that was vacated reads as zeros, and is nobody else's" {
    const fd = try create("test", 8192);
    defer os_fd.close(fd);
    const shared = try map(fd, 8192, .read_write);
    defer unmap(shared);
    const left = try map(fd, 8192, .read_write);
    defer unmap(left);
    shared[4096] = 42;
    vacate(left);
    try testing.expectEqual(0, left[4096]);
    left[4096] = 7;
    try testing.expectEqual(42, shared[4096]);
}

test "memory takes the place of other" {
    const old = try create("test", 8192);
    defer os_fd.close(old);
    const place = try map(old, 8192, .read_write);
    defer unmap(place);
    place[0] = 1;
    const new = try create("test", 8192);
    defer os_fd.close(new);
    const mapping = try map(new, 8192, .read_write);
    mapping[0] = 2;
    try move(mapping, place);
    try testing.expectEqual(2, place[0]);
    const before = try map(old, 8192, .read_only);
    defer unmap(before);
    try testing.expectEqual(1, before[0]);
}

test "memory of huge pages is not mapped" {
    const created = linux.memfd_create("test", linux.MFD.CLOEXEC | linux.MFD.ALLOW_SEALING | linux.MFD.HUGETLB);
    if (linux.errno(created) != .SUCCESS) return error.SkipZigTest; // a kernel without them
    const fd: i32 = @intCast(created);
    defer os_fd.close(fd);
    _ = try errors.check(linux.ftruncate(fd, 1 << 30), "ftruncate", "test");
    try seal(fd, .no_future_writers);
    try expectRefused(fd, 4096, .read_only, "huge pages");
}

fn expectRefused(fd: i32, size: usize, access: Access, why: []const u8) !void {
    try testing.expectError(error.Protocol, mapForeign(fd, size, access));
    try testing.expect(std.mem.find(u8, errors.message(), why) != null);
}
