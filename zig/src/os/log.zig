//! This file tells what the library's threads do, one line each on standard error, where CUFRAMES_LOG is "debug": the
//! monotonic time, the thread's name and a sentence. Elsewhere a line costs the look at one byte.

const std = @import("std");
const linux = std.os.linux;
const clock = @import("clock.zig");

const variable = "CUFRAMES_LOG";
const standard_error = 2;

/// At most what the kernel writes to a pipe in one piece (PIPE_BUF), so that lines of several threads do not mix.
const line_size_max = 512;
comptime {
    std.debug.assert(line_size_max <= 4096);
}

const State = enum(u8) { unread, off, on };

/// Atomic. The environment is read once, since another thread may change it at any moment.
var state: State = .unread;

pub fn isOn() bool {
    const known = @atomicLoad(State, &state, .monotonic);
    return if (known == .unread) read() else known == .on;
}

fn read() bool {
    @branchHint(.cold);
    const value = std.c.getenv(variable);
    const on = if (value) |text| std.mem.eql(u8, std.mem.span(text), "debug") else false;
    @atomicStore(State, &state, if (on) .on else .off, .monotonic);
    return on;
}

/// Says what the calling thread does. Holds nothing up: what nobody reads is dropped. Not to be called with a lock that
/// a frame's way takes.
pub inline fn debug(comptime format: []const u8, arguments: anytype) void {
    if (isOn()) write(standard_error, format, arguments);
}

fn write(fd: i32, comptime format: []const u8, arguments: anytype) void {
    @branchHint(.cold);
    var name: [16]u8 = @splat(0); // TASK_COMM_LEN
    _ = linux.prctl(@intFromEnum(linux.PR.GET_NAME), @intFromPtr(&name), 0, 0, 0);
    var buffer: [line_size_max]u8 = undefined;
    const text = line(&buffer, clock.monotonicNs(), std.mem.sliceTo(&name, 0), format, arguments);
    // A terminal that is stopped, or a pipe that is full, must not stop this thread: the line is lost then.
    var polled = [1]linux.pollfd{.{ .fd = fd, .events = linux.POLL.OUT, .revents = 0 }};
    if (linux.poll(&polled, 1, 0) != 1 or polled[0].revents != linux.POLL.OUT) return;
    _ = linux.write(fd, text.ptr, text.len);
}

/// A sentence that is too long is cut.
fn line(
    buffer: *[line_size_max]u8,
    now_ns: u64,
    name: []const u8,
    comptime format: []const u8,
    arguments: anytype,
) []const u8 {
    var writer: std.Io.Writer = .fixed(buffer[0 .. line_size_max - 1]);
    const microseconds = now_ns / std.time.ns_per_us;
    const seconds = microseconds / std.time.us_per_s;
    writer.print("{d}.{d:0>6} {s}: ", .{ seconds, microseconds % std.time.us_per_s, name }) catch {};
    writer.print(format, arguments) catch {};
    buffer[writer.end] = '\n';
    return buffer[0 .. writer.end + 1];
}

const testing = std.testing;

test "a line has the time, the thread and the sentence, and an end however long it is" {
    var buffer: [line_size_max]u8 = undefined;
    try testing.expectEqualStrings(
        "12.003045 cuframes: accepted 7\n",
        line(&buffer, 12_003_045_678, "cuframes", "accepted {d}", .{7}),
    );
    const long: [line_size_max]u8 = @splat('x');
    const cut = line(&buffer, 1, "cuframes", "{s}", .{&long});
    try testing.expectEqual(line_size_max, cut.len);
    try testing.expect(std.mem.endsWith(u8, cut, "xx\n"));
}

test "lines that nobody reads are dropped, and hold nobody up" {
    const os_fd = @import("fd.zig");
    var ends: [2]i32 = undefined;
    try testing.expectEqual(.SUCCESS, linux.errno(linux.pipe2(&ends, .{ .CLOEXEC = true })));
    defer os_fd.close(ends[1]);
    const long: [400]u8 = @splat('x');
    // More than a pipe of the default size takes.
    for (0..1000) |_| write(ends[1], "{s}", .{&long});
    var read_back: [line_size_max]u8 = undefined;
    const size = linux.read(ends[0], &read_back, read_back.len);
    try testing.expect(std.mem.findScalar(u8, read_back[0..size], '\n') != null);
    os_fd.close(ends[0]);
}

test "nothing is written where the variable is not set" {
    if (std.c.getenv(variable) != null) return error.SkipZigTest;
    try testing.expect(!isOn());
    try testing.expectEqual(.off, state);
}
