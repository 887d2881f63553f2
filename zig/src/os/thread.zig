const std = @import("std");
const errors = @import("../errors.zig");

/// Starts a detached thread that takes no signals: they belong to the runtime that loaded the library.
pub fn spawn(comptime name: [:0]const u8, comptime function: anytype, arguments: anytype) errors.Error!void {
    var blocked = std.os.linux.sigfillset();
    var previous: std.os.linux.sigset_t = undefined;
    _ = std.os.linux.sigprocmask(std.os.linux.SIG.BLOCK, &blocked, &previous);
    defer _ = std.os.linux.sigprocmask(std.os.linux.SIG.SETMASK, &previous, null);
    // What a thread has by default with glibc, since the CUDA driver runs on some of these. Only reserved.
    const thread = std.Thread.spawn(.{ .stack_size = 8 << 20 }, function, arguments) catch |failure| {
        return errors.fail(error.OutOfMemory, "starting the thread {s} failed: {s}", .{ name, @errorName(failure) });
    };
    _ = std.c.pthread_setname_np(thread.getHandle(), name); // for ps and debuggers; an unnamed thread works as well
    thread.detach();
}
