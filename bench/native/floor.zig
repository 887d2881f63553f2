//! What the operating system allows, in C terms: the figures that the benchmarks put beside the library's own.
//!
//!     floor futex|spin COUNT INTERVAL_US             one process wakes another through a shared futex, or a shared word
//!     floor socket|pipe COUNT INTERVAL_US SIZE all|none   one process sends another COUNT pictures of SIZE bytes
//!
//! Prints one line of JSON: for a wake-up the nanoseconds of each, for a transport the CPU time of both ends.

const std = @import("std");
const linux = std.os.linux;

/// Not recorded: the first of each run find cold caches and a receiver that is not asleep yet.
const warmup_count = 10;
const count_max = 100_000;
const size_max = 1 << 28;

pub fn main(init: std.process.Init.Minimal) !void {
    var arguments = init.args.iterate();
    _ = arguments.skip();
    const kind = std.meta.stringToEnum(enum { futex, spin, socket, pipe }, arguments.next() orelse return usage()) orelse return usage();
    const count = try number(&arguments, count_max);
    const interval_ns = try number(&arguments, 10_000_000) * std.time.ns_per_us;
    switch (kind) {
        .futex, .spin => try ping(count, interval_ns, kind == .spin),
        .socket, .pipe => {
            const size = try number(&arguments, size_max);
            const touch = std.meta.stringToEnum(Touch, arguments.next() orelse return usage()) orelse return usage();
            const ends = if (kind == .socket) try openSocket() else try openPipe();
            try transport(ends, count, interval_ns, size, touch);
        },
    }
}

fn usage() error{Usage} {
    std.debug.print("usage: floor futex|spin COUNT INTERVAL_US, floor socket|pipe COUNT INTERVAL_US SIZE all|none\n", .{});
    return error.Usage;
}

fn number(arguments: *std.process.Args.Iterator, limit: u64) !u64 {
    const value = std.fmt.parseInt(u64, arguments.next() orelse return usage(), 10) catch return usage();
    return if (value > limit) usage() else value;
}

// Wake-ups.

const Shared = extern struct {
    /// The number of the last wake-up.
    word: u32 align(64),
    ready: u32 align(64),
    sent_ns: u64,
    latencies_ns: [count_max]u64,
    calls_ns: [count_max]u64,
};

fn ping(count: usize, interval_ns: u64, spin: bool) !void {
    const shared: *Shared = @ptrCast(try sharedMemory(@sizeOf(Shared)));
    const total = count + warmup_count;
    const child = try check(linux.fork());
    if (child == 0) {
        @atomicStore(u32, &shared.ready, 1, .seq_cst);
        for (0..total) |index| {
            awaitChange(&shared.word, @intCast(index), spin);
            const now = monotonicNs();
            if (index >= warmup_count) shared.latencies_ns[index - warmup_count] = now - shared.sent_ns;
        }
        linux.exit_group(0);
    }
    while (@atomicLoad(u32, &shared.ready, .seq_cst) == 0) sleep(100_000);
    for (0..total) |index| {
        sleep(interval_ns);
        shared.sent_ns = monotonicNs();
        @atomicStore(u32, &shared.word, @intCast(index + 1), .seq_cst);
        if (!spin) _ = linux.futex_3arg(&shared.word, .{ .cmd = .WAKE, .private = false }, 1);
        if (index >= warmup_count) shared.calls_ns[index - warmup_count] = monotonicNs() - shared.sent_ns;
    }
    try join(child);
    try print("{{\"latencyNs\":{f},\"callNs\":{f}}}\n", .{ list(shared.latencies_ns[0..count]), list(shared.calls_ns[0..count]) });
}

fn awaitChange(word: *const u32, seen: u32, spin: bool) void {
    while (@atomicLoad(u32, word, .seq_cst) == seen) {
        if (spin) std.atomic.spinLoopHint() else _ = linux.futex_4arg(word, .{ .cmd = .WAIT, .private = false }, seen, null);
    }
}

// Transports.

const Touch = enum { none, all };
const Ends = struct { read: i32, write: i32 };

fn openSocket() !Ends {
    var fds: [2]i32 = undefined;
    _ = try check(linux.socketpair(linux.AF.UNIX, linux.SOCK.STREAM, 0, &fds));
    // As much as the system allows: fewer switches between the two.
    const size: i32 = 1 << 22;
    for (fds) |fd| _ = linux.setsockopt(fd, linux.SOL.SOCKET, linux.SO.SNDBUF, std.mem.asBytes(&size), @sizeOf(i32));
    return .{ .read = fds[0], .write = fds[1] };
}

fn openPipe() !Ends {
    var fds: [2]i32 = undefined;
    _ = try check(linux.pipe2(&fds, .{}));
    // The most that an unprivileged process may ask for.
    _ = linux.fcntl(fds[1], linux.F.SETPIPE_SZ, 1 << 20);
    return .{ .read = fds[0], .write = fds[1] };
}

fn transport(ends: Ends, count: usize, interval_ns: u64, size: usize, touch: Touch) !void {
    const picture = try sharedMemory(size);
    for (picture, 0..) |*byte, index| byte.* = @truncate(index *% 31);
    const report: *[2]u64 = @ptrCast(@alignCast(try sharedMemory(16)));
    const child = try check(linux.fork());
    if (child == 0) {
        const frame = try sharedMemory(size);
        var began: u64 = 0;
        for (0..count + warmup_count) |index| {
            if (index == warmup_count) began = cpuNs();
            try readAll(ends.read, frame);
            if (touch == .all) std.mem.doNotOptimizeAway(sum(frame));
        }
        report[0] = cpuNs() - began;
        linux.exit_group(0);
    }
    var began: u64 = 0;
    for (0..count + warmup_count) |index| {
        if (index == warmup_count) began = cpuNs();
        sleep(interval_ns);
        try writeAll(ends.write, picture);
    }
    report[1] = cpuNs() - began;
    try join(child);
    try print("{{\"cpuNs\":{d}}}\n", .{report[0] + report[1]});
}

fn readAll(fd: i32, buffer: []u8) !void {
    var done: usize = 0;
    while (done < buffer.len) {
        const got = try check(linux.read(fd, buffer[done..].ptr, buffer.len - done));
        if (got == 0) return error.Ended;
        done += got;
    }
}

fn writeAll(fd: i32, buffer: []const u8) !void {
    var done: usize = 0;
    while (done < buffer.len) done += try check(linux.write(fd, buffer[done..].ptr, buffer.len - done));
}

fn sum(bytes: []align(std.heap.page_size_min) const u8) u32 {
    var total: u32 = 0;
    for (std.mem.bytesAsSlice(u32, bytes[0 .. bytes.len & ~@as(usize, 3)])) |word| total +%= word;
    return total;
}

// The system.

fn check(result: usize) !usize {
    return switch (linux.errno(result)) {
        .SUCCESS => result,
        else => |code| {
            std.debug.print("floor: system call failed: {t}\n", .{code});
            return error.SystemCall;
        },
    };
}

/// Zeroed, and seen by a forked child too.
fn sharedMemory(size: usize) ![]align(std.heap.page_size_min) u8 {
    const address = try check(linux.mmap(null, size, .{ .READ = true, .WRITE = true }, .{ .TYPE = .SHARED, .ANONYMOUS = true, .POPULATE = true }, -1, 0));
    return @as([*]align(std.heap.page_size_min) u8, @ptrFromInt(address))[0..size];
}

fn join(child: usize) !void {
    var status: u32 = 0;
    _ = try check(linux.wait4(@intCast(child), &status, 0, null));
    if (status != 0) return error.ChildFailed;
}

fn monotonicNs() u64 {
    var now: std.c.timespec = undefined;
    std.debug.assert(std.c.clock_gettime(.MONOTONIC, &now) == 0);
    return @as(u64, @intCast(now.sec)) * std.time.ns_per_s + @as(u64, @intCast(now.nsec));
}

/// 0 does not.
fn sleep(interval_ns: u64) void {
    if (interval_ns == 0) return;
    const interval: linux.timespec = .{ .sec = @intCast(interval_ns / std.time.ns_per_s), .nsec = @intCast(interval_ns % std.time.ns_per_s) };
    _ = linux.clock_nanosleep(.MONOTONIC, .{ .ABSTIME = false }, &interval, null);
}

/// User and system time of this process.
fn cpuNs() u64 {
    var usage_now: linux.rusage = undefined;
    std.debug.assert(linux.errno(linux.getrusage(linux.rusage.SELF, &usage_now)) == .SUCCESS);
    var total: u64 = 0;
    for ([_]linux.timeval{ usage_now.utime, usage_now.stime }) |time| {
        total += @as(u64, @intCast(time.sec)) * std.time.ns_per_s + @as(u64, @intCast(time.usec)) * std.time.ns_per_us;
    }
    return total;
}

/// A JSON array of numbers.
const List = struct {
    items: []const u64,

    pub fn format(self: List, writer: *std.Io.Writer) std.Io.Writer.Error!void {
        try writer.writeByte('[');
        for (self.items, 0..) |item, index| try writer.print("{s}{d}", .{ if (index == 0) "" else ",", item });
        try writer.writeByte(']');
    }
};

fn list(items: []const u64) List {
    return .{ .items = items };
}

fn print(comptime format: []const u8, arguments: anytype) !void {
    const line = try std.fmt.allocPrint(std.heap.c_allocator, format, arguments);
    defer std.heap.c_allocator.free(line);
    try writeAll(1, line);
}
