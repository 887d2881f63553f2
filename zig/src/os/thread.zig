//! This file starts the threads of the library, which take no signals and carry a name.

const std = @import("std");
const linux = std.os.linux;
const errors = @import("../core/mod.zig").errors;

/// What Linux keeps of a thread's name.
const name_size_max = 15;

/// Starts a detached thread that takes no signals: they belong to the runtime that loaded the library.
pub fn spawn(comptime name: [:0]const u8, comptime function: anytype, arguments: anytype) errors.Error!void {
    comptime std.debug.assert(name.len <= name_size_max);
    // libc's functions leave out the signals of its own, by which setuid() and the like reach every thread.
    var blocked: std.c.sigset_t = undefined;
    var previous: std.c.sigset_t = undefined;
    _ = std.c.sigfillset(&blocked);
    _ = std.c.pthread_sigmask(std.c.SIG.BLOCK, &blocked, &previous);
    defer _ = std.c.pthread_sigmask(std.c.SIG.SETMASK, &previous, &blocked);
    const Named = struct {
        fn run(its_arguments: @TypeOf(arguments)) void {
            // Before it does anything that is told of it. For ps, debuggers and the log; it cannot fail.
            _ = linux.prctl(@intFromEnum(linux.PR.SET_NAME), @intFromPtr(name.ptr), 0, 0, 0);
            @call(.auto, function, its_arguments);
        }
    };
    // What a thread has by default with glibc, since the CUDA driver runs on some of these. Only reserved.
    const thread = std.Thread.spawn(.{ .stack_size = 8 << 20 }, Named.run, .{arguments}) catch |failure| {
        return errors.fail(error.OutOfMemory, "starting the thread {s} failed: {s}", .{ name, @errorName(failure) });
    };
    thread.detach();
}

test "a thread takes no signal but libc's own, and its starter's mask stays" {
    const testing = std.testing;
    const futex = @import("futex.zig");
    const Probe = struct {
        var mask: linux.sigset_t = undefined;
        var done: u32 = 0;

        // As the kernel has it: libc's own function would hide libc's signals.
        fn read(into: *linux.sigset_t) void {
            _ = linux.sigprocmask(linux.SIG.BLOCK, null, into);
        }

        fn run() void {
            read(&mask);
            @atomicStore(u32, &done, 1, .seq_cst);
            futex.wakeAll(&done);
        }
    };
    var before: linux.sigset_t = undefined;
    var after: linux.sigset_t = undefined;
    Probe.read(&before);
    try spawn("cuframes-test", Probe.run, .{});
    while (@atomicLoad(u32, &Probe.done, .seq_cst) == 0) futex.wait(&Probe.done, 0, .never);
    Probe.read(&after);
    try testing.expectEqual(before, after);

    try testing.expect(linux.sigismember(&Probe.mask, .TERM) and linux.sigismember(&Probe.mask, .PROF));
    // SIGCANCEL and SIGSETXID, which musl calls SIGSYNCCALL and has one further.
    const setxid: linux.SIG = @enumFromInt(if (@import("builtin").abi.isMusl()) 34 else 33);
    try testing.expect(!linux.sigismember(&Probe.mask, setxid));
}
