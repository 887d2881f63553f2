//! This is the library's root: it collects the files of the C ABI, and answers what std asks of a root. docs/abi.md
//! describes the ABI for callers.
//!
//! Every function returns 0 or a positive value, or a negative errors.Code; cuframes_error_message then has the
//! sentence, for the same thread. Objects are handles; each is used by one thread at a time.

const std = @import("std");

/// The files whose functions are exported, in the order in which other languages see them.
pub const exporting = .{
    @import("abi/library.zig"),
    @import("abi/callback.zig"),
    @import("abi/environment.zig"),
    @import("abi/device.zig"),
    @import("abi/publisher.zig"),
    @import("abi/connect.zig"),
    @import("abi/subscriber.zig"),
    @import("abi/packets.zig"),
    @import("abi/image.zig"),
    @import("abi/socket.zig"),
};

/// Without this, std gives every thread that loads the library a quarter of a megabyte for a signal stack.
pub const std_options: std.Options = .{ .signal_stack_size = null };

/// A failed assertion ends the process with a sentence; std's own way, with a stack trace, weighs half a megabyte.
pub const panic = std.debug.FullPanic(stop);

fn stop(message: []const u8, _: ?usize) noreturn {
    for ([_][]const u8{ "cuframes: assertion failed: ", message, "\n" }) |part| {
        _ = std.os.linux.write(2, part.ptr, part.len);
    }
    std.c.abort();
}

comptime {
    // A file's functions are exported once it is looked at.
    for (exporting) |file| _ = file;
}

test {
    _ = @import("cuda/context.zig");
    _ = @import("cuda/driver.zig");
    _ = @import("core/drm_format.zig");
    _ = @import("core/errors.zig");
    _ = @import("core/format.zig");
    _ = @import("egl/display.zig");
    _ = @import("egl/driver.zig");
    _ = @import("image/buffer.zig");
    _ = @import("ipc/admission.zig");
    _ = @import("ipc/attempt.zig");
    _ = @import("ipc/connect.zig");
    _ = @import("ipc/event_loop.zig");
    _ = @import("ipc/protocol.zig");
    _ = @import("ipc/waiter.zig");
    _ = @import("os/arrivals.zig");
    _ = @import("os/directory.zig");
    _ = @import("os/fd.zig");
    _ = @import("os/futex.zig");
    _ = @import("os/log.zig");
    _ = @import("os/memfd.zig");
    _ = @import("os/mutex.zig");
    _ = @import("os/socket.zig");
    _ = @import("os/thread.zig");
    _ = @import("ring/channel.zig");
    _ = @import("ring/frames.zig");
    _ = @import("ring/packets.zig");
}
