//! A dma-buf or memfd of another program, by its descriptor: what it is, how large, and reading it without trusting it.

const std = @import("std");
const linux = std.os.linux;
const errors = @import("../errors.zig");
const memfd = @import("../os/memfd.zig");
const Error = errors.Error;

/// The same for every descriptor of a buffer, for as long as one of them is open.
pub const Identity = extern struct { device: u64, inode: u64 };

pub const Buffer = struct {
    /// A duplicate of our own: the caller may close its descriptor.
    fd: i32,
    kind: Kind,
    size: u64,
    identity: Identity,
    /// Which of the caller's planes it was given for.
    plane: usize,
    /// Null where the memory could shrink: it is read with pread then, which cannot end in SIGBUS.
    mapping: ?[]align(std.heap.page_size_min) u8 = null,

    const Kind = enum { dmabuf, memfd };

    pub fn open(caller_fd: i32, plane: usize) Error!Buffer {
        if (caller_fd < 0) return errors.fail(error.InvalidArgument, "planes[{d}].fd is {d}: it must be a descriptor", .{ plane, caller_fd });
        const duplicated = linux.fcntl(caller_fd, linux.F.DUPFD_CLOEXEC, 0);
        if (linux.errno(duplicated) == .BADF) return errors.fail(error.InvalidArgument, "planes[{d}].fd is {d}, which is not open", .{ plane, caller_fd });
        const fd: i32 = @intCast(try errors.check(duplicated, "fcntl", "F_DUPFD_CLOEXEC"));
        errdefer memfd.close(fd);
        const kind = kindOf(fd) orelse {
            return errors.fail(error.InvalidArgument, "planes[{d}].fd is {d}, which is neither a dma-buf nor a memfd", .{ plane, caller_fd });
        };
        var status: linux.Statx = undefined;
        _ = try errors.check(linux.statx(fd, "", linux.AT.EMPTY_PATH, .{ .SIZE = true, .INO = true }, &status), "statx", "planes[].fd");
        return .{
            .fd = fd,
            .kind = kind,
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
        memfd.close(buffer.fd);
    }

    fn kindOf(fd: i32) ?Kind {
        var filesystem: StatFs = undefined;
        if (linux.errno(linux.syscall2(.fstatfs, @as(usize, @intCast(fd)), @intFromPtr(&filesystem))) != .SUCCESS) return null;
        if (filesystem.kind == dma_buf_magic) return .dmabuf;
        // What can be sealed is anonymous or tmpfs memory.
        return if (linux.errno(linux.fcntl(fd, linux.F.GET_SEALS, 0)) == .SUCCESS) .memfd else null;
    }

    /// struct statfs of 64-bit Linux, of which only the type matters.
    const StatFs = extern struct { kind: c_long, rest: [14]c_long };
    const dma_buf_magic = 0x444d4142;

    /// Makes the first `size` bytes readable by the CPU.
    pub fn makeReadable(buffer: *Buffer, size: u64) Error!void {
        std.debug.assert(size <= buffer.size and buffer.mapping == null);
        const access = try errors.check(linux.fcntl(buffer.fd, linux.F.GETFL, 0), "fcntl", "F_GETFL") & 3;
        if (access == 1) return errors.fail(error.Permission, "planes[{d}].fd can only be written to", .{buffer.plane});
        if (buffer.kind == .memfd and linux.fcntl(buffer.fd, linux.F.GET_SEALS, 0) & linux.F.SEAL_SHRINK == 0) return;
        buffer.mapping = memfd.map(buffer.fd, size, .read_only) catch |failure| {
            if (buffer.kind == .memfd) return failure;
            return errors.fail(error.Unsupported, "planes[{d}].fd is a dma-buf that its exporter does not map for the CPU", .{buffer.plane});
        };
    }

    /// Copies rows out, inside what was made readable.
    pub fn copyRows(buffer: *const Buffer, offset: u64, stride: u64, row_bytes: usize, rows: usize, to: [*]u8, to_stride: usize) Error!void {
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
            if (count == 0) return errors.fail(error.Io, "planes[{d}]: its memory has become smaller since it was imported", .{buffer.plane});
            filled += count;
        }
    }

    /// The exporter makes the CPU's view of the buffer coherent between the two.
    fn sync(buffer: *const Buffer, when: enum(u64) { start = 0, end = 4 }) Error!void {
        const for_reading = 1;
        const flags: u64 = for_reading | @intFromEnum(when);
        while (true) {
            const result = linux.ioctl(buffer.fd, dma_buf_ioctl_sync, @intFromPtr(&flags));
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
