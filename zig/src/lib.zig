//! This is the library's root: it collects the files of the C ABI, and answers what std asks of a root. docs/abi.md
//! describes the ABI for callers.
//!
//! Every function returns 0 or a positive value, or a negative errors.Code; cuframes_error_message then has the
//! sentence, for the same thread. Objects are handles; each is used by one thread at a time.

const std = @import("std");

/// The files whose functions are exported, in the order in which other languages see them.
pub const exporting = .{
    @import("abi/mod.zig").library,
    @import("abi/mod.zig").callback,
    @import("abi/mod.zig").environment,
    @import("abi/mod.zig").device,
    @import("abi/mod.zig").publisher,
    @import("abi/mod.zig").connect,
    @import("abi/mod.zig").subscriber,
    @import("abi/mod.zig").packets,
    @import("abi/mod.zig").image,
    @import("abi/mod.zig").socket,
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
    _ = @import("cuda/mod.zig").context;
    _ = @import("cuda/mod.zig").driver;
    _ = @import("core/mod.zig").drm_format;
    _ = @import("core/mod.zig").errors;
    _ = @import("core/mod.zig").format;
    _ = @import("egl/mod.zig").display;
    _ = @import("egl/mod.zig").driver;
    _ = @import("image/mod.zig").buffer;
    _ = @import("ipc/mod.zig").admission;
    _ = @import("ipc/mod.zig").attempt;
    _ = @import("ipc/mod.zig").connect;
    _ = @import("ipc/mod.zig").event_loop;
    _ = @import("ipc/mod.zig").protocol;
    _ = @import("ipc/mod.zig").reactor;
    _ = @import("ipc/mod.zig").waiter;
    _ = @import("ipc/mod.zig").rate;
    _ = @import("os/mod.zig").access;
    _ = @import("os/mod.zig").arrivals;
    _ = @import("os/mod.zig").claim;
    _ = @import("os/mod.zig").closer;
    _ = @import("os/mod.zig").directory;
    _ = @import("os/mod.zig").dmabuf;
    _ = @import("os/mod.zig").fd;
    _ = @import("os/mod.zig").folder;
    _ = @import("os/mod.zig").futex;
    _ = @import("os/mod.zig").leftovers;
    _ = @import("os/mod.zig").log;
    _ = @import("os/mod.zig").memfd;
    _ = @import("os/mod.zig").mutex;
    _ = @import("os/mod.zig").socket;
    _ = @import("os/mod.zig").thread;
    _ = @import("ring/mod.zig").channel;
    _ = @import("ring/mod.zig").frames;
    _ = @import("ring/mod.zig").packets;
}
