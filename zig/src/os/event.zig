//! An event wakes a thread that sleeps on descriptors: it is one itself, an eventfd(2).

const std = @import("std");
const linux = std.os.linux;
const errors = @import("../core/mod.zig").errors;
const os_fd = @import("fd.zig");

/// A descriptor that becomes readable when another thread says so, for a thread that sleeps on sockets too: eventfd(2).
pub const Event = struct {
    fd: i32,

    pub fn init(subject: []const u8) errors.Error!Event {
        const flags = linux.EFD.CLOEXEC | linux.EFD.NONBLOCK;
        return .{ .fd = @intCast(try errors.check(linux.eventfd(0, flags), "eventfd", subject)) };
    }

    pub fn deinit(event: Event) void {
        os_fd.close(event.fd);
    }

    /// Any number of times; the sleeper sees one or more of them as one.
    pub fn post(event: Event) void {
        const one: u64 = 1;
        // It only fails where it is readable already.
        _ = linux.write(event.fd, std.mem.asBytes(&one), @sizeOf(u64));
    }

    /// Not readable until it is posted again.
    pub fn clear(event: Event) void {
        var count: u64 = undefined;
        _ = linux.read(event.fd, std.mem.asBytes(&count), @sizeOf(u64));
    }

    pub fn isPosted(event: Event) bool {
        var polled = [1]linux.pollfd{.{ .fd = event.fd, .events = linux.POLL.IN, .revents = 0 }};
        return linux.poll(&polled, 1, 0) == 1;
    }
};
