//! A buffer is a dma-buf or memfd of another program, known by its descriptor. This file tells what it is and how
//! large, and reads it without trusting it.

const std = @import("std");
const linux = std.os.linux;
const errors = @import("../core/mod.zig").errors;
const os_fd = @import("../os/mod.zig").fd;
const memfd = @import("../os/mod.zig").memfd;
const dmabuf = @import("../os/mod.zig").dmabuf;
const Error = errors.Error;

/// The same for every descriptor of a buffer, for as long as one of them is open.
pub const Identity = extern struct { device: u64, inode: u64 };

pub const Buffer = struct {
    /// A duplicate of our own: the caller may close its descriptor.
    fd: i32,
    kind: Kind,
    mappable: bool,
    size: u64,
    identity: Identity,
    /// Which of the caller's planes it was given for.
    plane: usize,
    /// Null where touching the memory could end in SIGBUS: it is read with pread then, which returns instead.
    mapping: ?[]align(std.heap.page_size_min) u8 = null,

    const Kind = enum { dmabuf, memfd };

    pub fn open(caller_fd: i32, plane: usize) Error!Buffer {
        if (caller_fd < 0) return errors.fail(
            error.InvalidArgument,
            "planes[{d}].fd is {d}: it must be a descriptor",
            .{ plane, caller_fd },
        );
        if (!os_fd.isOpen(caller_fd)) return errors.fail(
            error.InvalidArgument,
            "planes[{d}].fd is {d}, which is not open",
            .{ plane, caller_fd },
        );
        // Before anything else is done with it, a duplicate closed included: what is neither may never answer.
        const kind = try kindOf(caller_fd) orelse return errors.fail(
            error.InvalidArgument,
            "planes[{d}].fd is {d}, which is neither a dma-buf nor a memfd",
            .{ plane, caller_fd },
        );
        const duplicated = linux.fcntl(caller_fd, linux.F.DUPFD_CLOEXEC, 0);
        const fd: i32 = @intCast(try errors.check(duplicated, "fcntl", "F_DUPFD_CLOEXEC"));
        errdefer os_fd.close(fd);
        var status: linux.Statx = undefined;
        _ = try errors.check(
            linux.statx(fd, "", linux.AT.EMPTY_PATH, .{ .SIZE = true, .INO = true }, &status),
            "statx",
            "planes[].fd",
        );
        return .{
            .fd = fd,
            .kind = kind,
            // Memory that can shrink could be cut off under the mapping, and huge pages may not be there to be had.
            .mappable = kind == .dmabuf or (memfd.filesystemOf(fd) == memfd.tmpfs_magic and
                linux.fcntl(fd, linux.F.GET_SEALS, 0) & linux.F.SEAL_SHRINK != 0),
            // A dma-buf's inode has no size; its end can be sought.
            .size = switch (kind) {
                .memfd => status.size,
                .dmabuf => try errors.check(linux.lseek(fd, 0, linux.SEEK.END), "lseek", "planes[].fd"),
            },
            .identity = .{ .device = @as(u64, status.dev_major) << 32 | status.dev_minor, .inode = status.ino },
            .plane = plane,
        };
    }

    pub fn deinit(buffer: *Buffer) void {
        if (buffer.mapping) |mapping| memfd.unmap(mapping);
        os_fd.close(buffer.fd);
    }

    fn kindOf(fd: i32) Error!?Kind {
        // What can be sealed is anonymous or tmpfs memory.
        if (linux.errno(linux.fcntl(fd, linux.F.GET_SEALS, 0)) == .SUCCESS) return .memfd;
        return if (try dmabuf.is(fd)) .dmabuf else null;
    }

    /// Makes the first `size` bytes readable by the CPU.
    pub fn makeReadable(buffer: *Buffer, size: u64) Error!void {
        std.debug.assert(size <= buffer.size and buffer.mapping == null);
        const access = try errors.check(linux.fcntl(buffer.fd, linux.F.GETFL, 0), "fcntl", "F_GETFL") & 3;
        if (access == 1) return errors.fail(error.Permission, "planes[{d}].fd can only be written to", .{buffer.plane});
        if (!buffer.mappable) return;
        buffer.mapping = memfd.map(buffer.fd, size, .read_only) catch |failure| {
            if (buffer.kind == .memfd) return failure;
            return errors.fail(
                error.Unsupported,
                "planes[{d}].fd is a dma-buf that its exporter does not map for the CPU",
                .{buffer.plane},
            );
        };
    }

    /// Copies rows out, inside what was made readable.
    pub fn copyRows(
        buffer: *const Buffer,
        offset: u64,
        stride: u64,
        row_bytes: usize,
        rows: usize,
        to: [*]u8,
        to_stride: usize,
    ) Error!void {
        const whole = stride == row_bytes and to_stride == row_bytes;
        const run = if (whole) row_bytes * rows else row_bytes;
        if (buffer.kind == .dmabuf) try buffer.sync(.start);
        defer if (buffer.kind == .dmabuf) buffer.sync(.end) catch {}; // nothing was written that could be lost
        for (0..if (whole) 1 else rows) |row| {
            const start = offset + row * stride;
            const target = to[row * to_stride ..][0..run];
            if (buffer.mapping) |mapping| @memcpy(target, mapping[start..][0..run]) else try buffer.read(start, target);
        }
    }

    fn read(buffer: *const Buffer, start: u64, target: []u8) Error!void {
        var filled: usize = 0;
        while (filled < target.len) {
            const result = linux.pread(buffer.fd, target.ptr + filled, target.len - filled, @intCast(start + filled));
            if (linux.errno(result) == .INTR) continue;
            const count = try errors.check(result, "pread", "planes[].fd");
            if (count == 0) return errors.fail(
                error.Io,
                "planes[{d}]: its memory has become smaller since it was imported",
                .{buffer.plane},
            );
            filled += count;
        }
    }

    /// The exporter makes the CPU's view of the buffer coherent between the two.
    fn sync(buffer: *const Buffer, when: enum(u64) { start = 0, end = 4 }) Error!void {
        const for_reading = 1;
        const flags: u64 = for_reading | @intFromEnum(when);
        while (true) {
            const result = ioctl(buffer.fd, dma_buf_ioctl_sync, @intFromPtr(&flags));
            switch (linux.errno(result)) {
                .INTR, .AGAIN => continue,
                else => _ = try errors.check(result, "ioctl", "DMA_BUF_IOCTL_SYNC"),
            }
            return;
        }
    }

    /// _IOW('b', 0, struct dma_buf_sync) of <linux/dma-buf.h>.
    const dma_buf_ioctl_sync = 0x40086200;
};

/// A test's own exporter in tests: few machines that build this have one.
const ioctl = if (@import("builtin").is_test) exporter.ioctl else linux.ioctl;

const testing = std.testing;

/// An exporter whose memory the CPU sees between the two ends of a bracket, and not outside.
const exporter = struct {
    var memory: []u8 = &.{};
    var requests: [8]u64 = undefined;
    var count: usize = 0;
    var answer: linux.E = .SUCCESS;

    fn ioctl(_: i32, request: u32, argument: usize) usize {
        std.debug.assert(request == 0x40086200);
        if (answer != .SUCCESS) {
            const errno: isize = @intFromEnum(answer);
            // Interrupted once.
            if (answer == .INTR) answer = .SUCCESS;
            return @bitCast(-errno);
        }
        const flags: *const u64 = @ptrFromInt(argument);
        requests[count] = flags.*;
        count += 1;
        @memset(memory, if (flags.* & 4 == 0) 'f' else '-');
        return 0;
    }
};

test "a dma-buf is read between the start and the end of a CPU access" {
    const fd = try memfd.create("dmabuf", 4096);
    defer os_fd.close(fd);
    exporter.memory = try memfd.map(fd, 4096, .read_write);
    defer memfd.unmap(@alignCast(exporter.memory));
    @memset(exporter.memory, '-');
    var buffer: Buffer = .{
        .fd = fd,
        .kind = .dmabuf,
        .mappable = true,
        .size = 4096,
        .identity = undefined,
        .plane = 0,
    };
    try buffer.makeReadable(100);
    defer memfd.unmap(buffer.mapping.?);

    var rows: [3][8]u8 = @splat(@splat(0));
    exporter.answer = .INTR;
    try buffer.copyRows(10, 20, 6, 3, @ptrCast(&rows), 8);
    for (rows) |row| try testing.expectEqualStrings("ffffff\x00\x00", &row);
    // DMA_BUF_SYNC_READ with DMA_BUF_SYNC_START, then with DMA_BUF_SYNC_END.
    try testing.expectEqualSlices(u64, &.{ 1, 5 }, exporter.requests[0..exporter.count]);

    // Where the exporter cannot make it readable nothing is read.
    @memset(std.mem.asBytes(&rows), 0);
    exporter.answer = .IO;
    try testing.expectError(error.Io, buffer.copyRows(10, 20, 6, 3, @ptrCast(&rows), 8));
    try testing.expect(std.mem.allEqual(u8, std.mem.asBytes(&rows), 0));
    try testing.expect(std.mem.find(u8, errors.message(), "DMA_BUF_IOCTL_SYNC") != null);
}
