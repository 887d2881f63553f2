//! The kernel's udmabuf driver makes dma-bufs of host memory.

const std = @import("std");
const linux = std.os.linux;
const errors = @import("../core/mod.zig").errors;
const os_fd = @import("fd.zig");
const memfd = @import("memfd.zig");
const Error = errors.Error;

const device = "/dev/udmabuf";

/// struct udmabuf_create of <linux/udmabuf.h>.
const Create = extern struct { memfd: u32, flags: u32, offset: u64, size: u64 };
/// _IOW('u', 0x42, struct udmabuf_create)
const ioctl_create = 0x40187542;
const flag_close_on_exec = 1;

/// A dma-buf of new memory with these bytes, in whole pages. Unsupported without /dev/udmabuf.
pub fn copyOf(bytes: []const u8) Error!i32 {
    const opened = linux.open(device, .{ .ACCMODE = .RDWR, .CLOEXEC = true }, 0);
    switch (linux.errno(opened)) {
        .NOENT, .NXIO, .NODEV => return errors.fail(
            error.Unsupported,
            "this machine has no " ++ device ++ " to make a dma-buf of host memory (kernel option CONFIG_UDMABUF; " ++
                "in a container, the device node)",
            .{},
        ),
        else => {},
    }
    const driver: i32 = @intCast(try errors.check(opened, "open", device));
    defer os_fd.close(driver);
    const size = std.mem.alignForward(usize, bytes.len, std.heap.pageSize());
    const fd = try memfd.create("cuframes-dmabuf", size);
    // The dma-buf keeps the pages.
    defer os_fd.close(fd);
    const memory = try memfd.map(fd, size, .read_write);
    defer memfd.unmap(memory);
    @memcpy(memory[0..bytes.len], bytes);
    // The driver wants memory that cannot shrink, and refuses any that is sealed against writing.
    _ = try errors.check(linux.fcntl(fd, linux.F.ADD_SEALS, linux.F.SEAL_SHRINK), "fcntl", "F_ADD_SEALS");
    const request: Create = .{ .memfd = @intCast(fd), .flags = flag_close_on_exec, .offset = 0, .size = size };
    return @intCast(
        try errors.check(linux.ioctl(driver, ioctl_create, @intFromPtr(&request)), "ioctl", "UDMABUF_CREATE"),
    );
}
