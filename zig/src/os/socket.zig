//! This file speaks SOCK_SEQPACKET over Unix sockets: a message arrives whole, with the descriptors that ride on it.

const std = @import("std");
const linux = std.os.linux;
const errors = @import("../core/mod.zig").errors;
const os_fd = @import("fd.zig");
const clock = @import("clock.zig");
const memfd = @import("memfd.zig");
const closer = @import("closer.zig");
const Error = errors.Error;

/// What a handshake hands over at most: control region, lease page, 64 slots, packet ring; even, so that the kernel's
/// padding has no room for one more.
pub const descriptors_max = 76;
comptime {
    std.debug.assert(descriptors_max * @sizeOf(i32) % @sizeOf(usize) == 0);
}

/// SCM_MAX_FD: what the kernel lets one message carry.
pub const kernel_descriptors_max = 253;

/// sun_path with its terminating NUL.
pub const path_size_max = 108;

/// Ends a connection for both sides, and leaves the descriptor open.
pub fn shutdown(fd: i32) void {
    // The peer may have ended it already.
    _ = linux.shutdown(fd, linux.SHUT.RDWR);
}

/// The peer reads what was sent to it, then the end. What it says still comes.
pub fn endSending(fd: i32) void {
    // The peer may have gone already.
    _ = linux.shutdown(fd, linux.SHUT.WR);
}

/// Whether the peer is gone, whatever it has left to be read.
pub fn hasEnded(fd: i32) bool {
    var polled = [1]linux.pollfd{.{ .fd = fd, .events = 0, .revents = 0 }};
    return linux.poll(&polled, 1, 0) == 1 and polled[0].revents & (linux.POLL.HUP | linux.POLL.ERR) != 0;
}

pub const Address = struct {
    storage: linux.sockaddr.un,
    /// Of what counts in `storage`.
    size: linux.socklen_t = @sizeOf(linux.sockaddr.un),

    pub fn init(path: []const u8) Error!Address {
        if (path.len >= path_size_max) {
            return errors.fail(
                error.InvalidArgument,
                "the socket path {s} has {d} bytes; Linux allows {d}: choose a shorter directory",
                .{ path, path.len, path_size_max - 1 },
            );
        }
        var storage: linux.sockaddr.un = .{ .path = @splat(0) };
        @memcpy(storage.path[0..path.len], path);
        return .{ .storage = storage };
    }

    /// A name in the kernel's abstract namespace, which ends with its socket.
    pub fn initAbstract(name: []const u8) Error!Address {
        // The first byte of the path is a NUL; every other one counts, so the name needs none behind it.
        if (name.len < 1 or name.len > path_size_max - 1) {
            return errors.fail(
                error.InvalidArgument,
                "an abstract address has 1 to {d} bytes, not {d}",
                .{ path_size_max - 1, name.len },
            );
        }
        var storage: linux.sockaddr.un = .{ .path = @splat(0) };
        @memcpy(storage.path[1..][0..name.len], name);
        return .{ .storage = storage, .size = @intCast(@offsetOf(linux.sockaddr.un, "path") + 1 + name.len) };
    }

    pub fn pathZ(address: *const Address) [*:0]const u8 {
        return @ptrCast(&address.storage.path);
    }
};

/// A socket that is not bound or connected yet.
pub fn open() Error!i32 {
    const kind = linux.SOCK.SEQPACKET | linux.SOCK.CLOEXEC | linux.SOCK.NONBLOCK;
    return @intCast(try errors.check(linux.socket(linux.AF.UNIX, kind, 0), "socket", "AF_UNIX"));
}

/// Whether the peers of a listener may send descriptors.
pub const Rights = enum { taken, refused };

/// Connections that wait to be accepted.
pub const backlog = 128;

/// SO_PASSRIGHTS of Linux 6.16.
const SO_PASSRIGHTS = 83;

/// Off in tests that are to run as on a kernel without it.
pub var kernel_refuses = true;

/// Lets the kernel refuse what peers send with descriptors (EPERM, at the sender). For a listener: to each connection
/// from its beginning, since that inherits it. Older kernels do not have it; `receive` and `hangUp` do without.
pub fn refuseDescriptors(fd: i32) void {
    if (@import("builtin").is_test and !kernel_refuses) return;
    const off: u32 = 0;
    _ = linux.setsockopt(fd, linux.SOL.SOCKET, SO_PASSRIGHTS, std.mem.asBytes(&off), @sizeOf(u32));
}

/// Whether the peer has read all that was ever sent to it.
pub fn isAllRead(fd: i32) bool {
    var unread: i32 = 0;
    const result = linux.ioctl(fd, SIOCOUTQ, @intFromPtr(&unread));
    // Bytes of the kernel's. While it tells of a message that was read it still counts a few; one that was not has
    // hundreds.
    return linux.errno(result) != .SUCCESS or unread < 256;
}

const SIOCOUTQ = 0x5411;

/// Ends a connection and closes it. What the peer has sent and nobody has read is never closed on this thread.
pub fn hangUp(fd: i32) void {
    // Nothing more can be queued from here on.
    shutdown(fd);
    if (drain(fd)) os_fd.close(fd) else closer.close(fd);
}

/// Messages that hanging up reads: more than the kernel queues of the smallest ones, by default.
const drain_max = 1024;

/// Takes what is queued on a connection that was shut down, up to the first message with descriptors. False: there is
/// such a one, or more than one would expect.
fn drain(fd: i32) bool {
    // With it, every message comes with its sender's credentials. Else an empty one, with descriptors behind it, could
    // not be told from the end.
    const on: u32 = 1;
    const result = linux.setsockopt(fd, linux.SOL.SOCKET, linux.SO.PASSCRED, std.mem.asBytes(&on), @sizeOf(u32));
    if (linux.errno(result) != .SUCCESS) return false;
    for (0..drain_max) |_| {
        // Room for the credentials and nothing else.
        var control: [@sizeOf(ControlHeader) + 16]u8 align(@alignOf(ControlHeader)) = undefined;
        var message = std.mem.zeroes(linux.msghdr);
        message.control = &control;
        message.controllen = control.len;
        switch (linux.errno(linux.recvmsg(fd, &message, linux.MSG.DONTWAIT | linux.MSG.PEEK))) {
            .SUCCESS => {},
            // Said once, of a peer that closed without having read all.
            .INTR, .CONNRESET => continue,
            else => return false,
        }
        if (message.flags & linux.MSG.CTRUNC != 0) return false;
        if (message.controllen == 0) return true;
        take(fd);
    }
    return false;
}

/// Empties the queue of a connection that was shut down, and leaves it open. What rode on its messages goes to the
/// closer: one of them may be the connection's other end, which would keep it, and all that was sent to it, for ever.
/// False: the descriptors of this process do not suffice.
pub fn discardQueue(fd: i32) bool {
    var byte: [1]u8 = undefined;
    for (0..drain_max) |_| {
        var descriptors: Descriptors = .{ .limit = kernel_descriptors_max };
        _ = receive(fd, &byte, &descriptors) catch |failure| switch (failure) {
            error.WouldBlock, error.Disconnected => return true,
            error.Truncated => continue,
            error.DescriptorsExhausted => return false,
        };
        descriptors.deinit();
    }
    return false;
}

/// Takes the next message, whose descriptors are known not to be the last of their files, if it has any.
pub fn take(fd: i32) void {
    while (true) {
        var message = std.mem.zeroes(linux.msghdr);
        if (linux.errno(linux.recvmsg(fd, &message, linux.MSG.DONTWAIT)) != .INTR) return;
    }
}

/// Stops listening. Those who have connected and were not accepted are hung up on.
pub fn closeListener(listener: i32) void {
    // Nobody connects from here on.
    shutdown(listener);
    for (0..2 * backlog) |_| {
        const fd = accept(listener) catch |failure| switch (failure) {
            error.DescriptorsExhausted => break,
            // EAGAIN or EINVAL: its queue is empty, so closing it closes nothing of a peer's.
            error.WouldBlock, error.Aborted => return os_fd.close(listener),
        };
        hangUp(fd);
    }
    closer.close(listener);
}

/// Everybody on the machine in this network namespace may connect. AlreadyExists where somebody listens.
pub fn listenAbstract(name: []const u8) Error!i32 {
    const address = try Address.initAbstract(name);
    const fd = try open();
    errdefer os_fd.close(fd);
    const bound = linux.bind(fd, @ptrCast(&address.storage), address.size);
    if (linux.errno(bound) == .ADDRINUSE) return error.AlreadyExists;
    _ = try errors.check(bound, "bind", name);
    _ = try errors.check(linux.listen(fd, backlog), "listen", name);
    return fd;
}

/// NotFound where nobody listens. Waits in the kernel while the listener's queue is full; Timeout when it stays so.
/// `path` is the address in words.
pub fn connect(address: *const Address, path: []const u8, timeout_ms: u31) Error!i32 {
    const fd = try open();
    errdefer os_fd.close(fd);
    const begun_ns = clock.monotonicNs();
    const deadline: clock.Deadline = .fromMilliseconds(timeout_ms);
    const flags = try errors.check(linux.fcntl(fd, linux.F.GETFL, 0), "fcntl", path);
    const nonblocking: usize = @as(u32, @bitCast(linux.O{ .NONBLOCK = true }));
    _ = try errors.check(linux.fcntl(fd, linux.F.SETFL, flags & ~nonblocking), "fcntl", path);
    while (true) {
        // Anew after each signal; one microsecond more than none, which would be no limit.
        const left_us = deadline.remainingNs().? / std.time.ns_per_us + 1;
        const timeout: linux.timeval = .{
            .sec = @intCast(left_us / std.time.us_per_s),
            .usec = @intCast(left_us % std.time.us_per_s),
        };
        _ = try errors.check(
            linux.setsockopt(
                fd,
                linux.SOL.SOCKET,
                linux.SO.SNDTIMEO,
                std.mem.asBytes(&timeout),
                @sizeOf(linux.timeval),
            ),
            "setsockopt",
            path,
        );
        const result = linux.connect(fd, &address.storage, address.size);
        switch (linux.errno(result)) {
            .SUCCESS => break,
            .INTR => continue,
            .NOENT, .CONNREFUSED => return error.NotFound,
            .AGAIN => return errors.fail(
                error.Timeout,
                "{s} has not accepted the connection for {d} ms, its queue is full: its process is stopped or overrun",
                .{ path, (clock.monotonicNs() - begun_ns) / std.time.ns_per_ms },
            ),
            .PROTOTYPE => return errors.fail(
                error.Protocol,
                "{s} is a socket of another type than SOCK_SEQPACKET: its owner is not a cuframes publisher of " ++
                    "this generation",
                .{path},
            ),
            else => |errno| return errors.failErrno(errno, "connect", path),
        }
    }
    _ = try errors.check(linux.fcntl(fd, linux.F.SETFL, flags | nonblocking), "fcntl", path);
    return fd;
}

pub fn accept(listener: i32) error{ WouldBlock, DescriptorsExhausted, Aborted }!i32 {
    const result = linux.accept4(listener, null, null, linux.SOCK.CLOEXEC | linux.SOCK.NONBLOCK);
    return switch (linux.errno(result)) {
        .SUCCESS => @intCast(result),
        .AGAIN => error.WouldBlock,
        .MFILE, .NFILE, .NOMEM, .NOBUFS => error.DescriptorsExhausted,
        else => error.Aborted,
    };
}

/// Who the peer was, as the kernel saw it, when it connected or began to listen.
pub const Credentials = extern struct {
    /// 0 where its process has no name in our PID namespace.
    pid: i32,
    uid: u32,
    gid: u32,
};

pub fn peerCredentials(fd: i32) Error!Credentials {
    var credentials: Credentials = undefined;
    var size: linux.socklen_t = @sizeOf(Credentials);
    const result = linux.getsockopt(fd, linux.SOL.SOCKET, linux.SO.PEERCRED, @ptrCast(&credentials), &size);
    _ = try errors.check(result, "getsockopt", "SO_PEERCRED");
    return credentials;
}

/// A number that no other process has or had since the machine was started: that of its pidfd's inode. Null before
/// Linux 6.9.
pub fn peerProcess(fd: i32) ?u64 {
    var pidfd: i32 = -1;
    var size: linux.socklen_t = @sizeOf(i32);
    const result = linux.getsockopt(fd, linux.SOL.SOCKET, SO_PEERPIDFD, @ptrCast(&pidfd), &size);
    if (linux.errno(result) != .SUCCESS) return null;
    defer os_fd.close(pidfd);
    var status: linux.Statx = undefined;
    const found = linux.statx(pidfd, "", linux.AT.EMPTY_PATH, .{ .INO = true }, &status);
    // All pidfds were one anonymous inode before: that has no size and no number of its own.
    if (linux.errno(found) != .SUCCESS or memfd.filesystemOf(pidfd) != pidfs_magic) return null;
    return status.ino;
}

const SO_PEERPIDFD = 77;
/// <linux/magic.h>
const pidfs_magic = 0x50494446;

pub fn peerPid(fd: i32) i32 {
    const credentials = peerCredentials(fd) catch return 0;
    return credentials.pid;
}

/// As this user namespace calls it; the overflow user where it has no name for it.
pub fn peerUid(fd: i32) u32 {
    const credentials = peerCredentials(fd) catch return std.math.maxInt(u32);
    return credentials.uid;
}

// struct cmsghdr of <sys/socket.h>; its data follows, aligned to a size_t.
const ControlHeader = extern struct { len: usize, level: i32, kind: i32 };
const SCM_RIGHTS = 1;

fn controlSize(descriptor_count: usize) usize {
    return @sizeOf(ControlHeader) + descriptor_count * @sizeOf(i32);
}

const ControlBuffer = [std.mem.alignForward(usize, controlSize(kernel_descriptors_max), @sizeOf(usize))]u8;

/// Sends one whole message with its descriptors, never blocking. The caller keeps its descriptors.
pub fn send(fd: i32, bytes: []const u8, descriptors: []const i32) error{ WouldBlock, Disconnected, Refused }!void {
    std.debug.assert(fd >= 0);
    return switch (trySend(fd, bytes, descriptors)) {
        .SUCCESS => {},
        .AGAIN, .NOBUFS => error.WouldBlock,
        .PIPE, .CONNRESET, .NOTCONN => error.Disconnected,
        else => error.Refused, // ETOOMANYREFS, ENOMEM: this peer cannot be served now
    };
}

/// As `send`, with the kernel's own words.
pub fn trySend(fd: i32, bytes: []const u8, descriptors: []const i32) linux.E {
    // An empty message could not be told from the end of the connection.
    std.debug.assert(bytes.len > 0 and descriptors.len <= kernel_descriptors_max);
    var control: ControlBuffer align(@alignOf(ControlHeader)) = undefined;
    var vector = [1]std.posix.iovec_const{.{ .base = bytes.ptr, .len = bytes.len }};
    var message: linux.msghdr_const = .{
        .name = null,
        .namelen = 0,
        .iov = &vector,
        .iovlen = 1,
        .control = null,
        .controllen = 0,
        .flags = 0,
    };
    if (descriptors.len > 0) {
        const header: *ControlHeader = @ptrCast(&control);
        const payload = std.mem.sliceAsBytes(descriptors);
        header.* = .{ .len = @sizeOf(ControlHeader) + payload.len, .level = linux.SOL.SOCKET, .kind = SCM_RIGHTS };
        @memcpy(control[@sizeOf(ControlHeader)..][0..payload.len], payload);
        message.control = &control;
        message.controllen = @intCast(std.mem.alignForward(usize, header.len, @sizeOf(usize)));
    }
    while (true) {
        const errno = linux.errno(linux.sendmsg(fd, &message, linux.MSG.NOSIGNAL | linux.MSG.DONTWAIT));
        if (errno != .INTR) return errno;
    }
}

/// Descriptors received with a message. Each belongs to the receiver until taken; `deinit` has the closer close the
/// rest.
pub const Descriptors = struct {
    items: [kernel_descriptors_max]i32 = @splat(-1),
    count: usize = 0,
    /// More than so many never enter this process.
    limit: usize = descriptors_max,

    pub fn take(descriptors: *Descriptors, index: usize) i32 {
        std.debug.assert(index < descriptors.count);
        const fd = descriptors.items[index];
        std.debug.assert(fd >= 0);
        descriptors.items[index] = -1;
        return fd;
    }

    pub fn deinit(descriptors: *Descriptors) void {
        for (descriptors.items[0..descriptors.count]) |fd| {
            if (fd >= 0) closer.close(fd);
        }
        descriptors.* = undefined;
    }
};

pub const ReceiveError = error{ WouldBlock, Disconnected, Truncated, DescriptorsExhausted };

/// Receives one message without blocking, whatever its descriptors stand for: the kernel closes those that do not come
/// in, which may take as long as the peer likes, where theirs are the last ones. So the message is looked at first,
/// while the queue still has them, and only taken when none of them can be the last.
///
/// Truncated: it is longer than `buffer`, and was taken; or it has more descriptors than there may be, none with
/// `descriptors` null, and stays where it is: there is nothing left but to hang up.
/// DescriptorsExhausted: this process may not have as many as the peer sent. The message stays where it is.
pub fn receive(fd: i32, buffer: []u8, descriptors: ?*Descriptors) ReceiveError![]u8 {
    const seen = try look(fd, buffer, descriptors);
    if (seen.flags & linux.MSG.CTRUNC != 0) {
        const list = descriptors orelse return error.Truncated;
        // There was room in the buffer for those that did not come.
        const exhausted = list.count < list.limit;
        list.deinit();
        return if (exhausted) error.DescriptorsExhausted else error.Truncated;
    }
    // In front of the closer, which may be quick: the queue's must not become the last ones.
    take(fd);
    const oversized = seen.flags & linux.MSG.TRUNC != 0;
    // A message of no bytes cannot be told from the end of a SEQPACKET connection; no message of ours is empty.
    if (oversized or seen.size == 0) {
        if (descriptors) |list| list.deinit();
        return if (oversized) error.Truncated else error.Disconnected;
    }
    return buffer[0..seen.size];
}

/// As `receive` without descriptors, and leaves the message where it is in any case.
pub fn peek(fd: i32, buffer: []u8) error{ WouldBlock, Disconnected, Truncated }![]u8 {
    const seen = try look(fd, buffer, null);
    if (seen.flags & (linux.MSG.TRUNC | linux.MSG.CTRUNC) != 0) return error.Truncated;
    return if (seen.size == 0) error.Disconnected else buffer[0..seen.size];
}

/// Looks at the next message. Its descriptors, up to the limit, are in this process then, and in the queue too.
fn look(
    fd: i32,
    buffer: []u8,
    descriptors: ?*Descriptors,
) error{ WouldBlock, Disconnected }!struct { size: usize, flags: u32 } {
    var control: ControlBuffer align(@alignOf(ControlHeader)) = undefined;
    var vector = [1]std.posix.iovec{.{ .base = buffer.ptr, .len = buffer.len }};
    var message: linux.msghdr = .{
        .name = null,
        .namelen = 0,
        .iov = &vector,
        .iovlen = 1,
        .control = if (descriptors != null) &control else null,
        .controllen = if (descriptors) |list| @intCast(controlSize(list.limit)) else 0,
        .flags = 0,
    };
    var reset = false;
    const size = while (true) {
        const result = linux.recvmsg(fd, &message, linux.MSG.DONTWAIT | linux.MSG.CMSG_CLOEXEC | linux.MSG.PEEK);
        switch (linux.errno(result)) {
            .SUCCESS => break result,
            .INTR => continue,
            .AGAIN => return error.WouldBlock,
            .CONNRESET => {
                // Said once, of a peer that closed without having read all; what it sent before comes behind it.
                if (reset) return error.Disconnected;
                reset = true;
            },
            else => return error.Disconnected,
        }
    };
    if (descriptors) |list| {
        list.* = .{ .limit = list.limit };
        collect(control[0..@min(message.controllen, control.len)], list);
    }
    return .{ .size = size, .flags = message.flags };
}

fn collect(control: []align(@alignOf(ControlHeader)) u8, list: *Descriptors) void {
    var offset: usize = 0;
    while (offset + @sizeOf(ControlHeader) <= control.len) {
        const header: *const ControlHeader = @ptrCast(@alignCast(control[offset..].ptr));
        if (header.len < @sizeOf(ControlHeader) or header.len > control.len - offset) break;
        if (header.level == linux.SOL.SOCKET and header.kind == SCM_RIGHTS) {
            const payload = control[offset + @sizeOf(ControlHeader) .. offset + header.len];
            for (0..payload.len / @sizeOf(i32)) |index| {
                const fd = std.mem.readInt(i32, payload[index * @sizeOf(i32) ..][0..@sizeOf(i32)], .little);
                // The buffer holds at most `limit` of them.
                list.items[list.count] = fd;
                list.count += 1;
            }
        }
        offset += std.mem.alignForward(usize, header.len, @sizeOf(usize));
    }
}

/// Waits until one of up to four descriptors has something to read; returns its index, or Timeout.
pub fn pollReadable(fds: []const i32, deadline: clock.Deadline) Error!usize {
    std.debug.assert(fds.len <= 4);
    var polled: [4]linux.pollfd = undefined;
    for (fds, 0..) |fd, index| polled[index] = .{ .fd = fd, .events = linux.POLL.IN, .revents = 0 };
    while (true) {
        const result = linux.poll(&polled, fds.len, deadline.remainingMs());
        switch (linux.errno(result)) {
            .SUCCESS => {},
            .INTR => continue,
            else => |errno| return errors.failErrno(errno, "poll", "sockets"),
        }
        for (polled[0..fds.len], 0..) |entry, index| {
            if (entry.revents != 0) return index;
        }
        if (deadline.passed()) return error.Timeout;
    }
}

const testing = std.testing;

fn pair() Error![2]i32 {
    var fds: [2]i32 = undefined;
    const kind = linux.SOCK.SEQPACKET | linux.SOCK.CLOEXEC | linux.SOCK.NONBLOCK;
    _ = try errors.check(linux.socketpair(linux.AF.UNIX, kind, 0, &fds), "socketpair", "AF_UNIX");
    return fds;
}

test "a connection that was sent its own other end does not keep itself" {
    // QEMU (7.2) has neither the flags of a message that is looked at nor the newer options.
    if (@import("test_options").emulated) return error.SkipZigTest;
    const fds = try pair();
    defer os_fd.close(fds[0]);
    const file = try memfd.create("passed", 4096);
    defer os_fd.close(file);
    try send(fds[0], "not read", &.{file});
    try send(fds[1], "the other end", &.{fds[1]});
    os_fd.close(fds[1]);
    shutdown(fds[0]);
    try testing.expect(!isAllRead(fds[0]));
    try testing.expect(discardQueue(fds[0]));
    // By the closer, at some time.
    const deadline: clock.Deadline = .fromMilliseconds(30_000);
    while (!isAllRead(fds[0])) {
        try testing.expect(!deadline.passed());
        std.Thread.yield() catch {};
    }
}

test "a message and its descriptors arrive together" {
    const fds = try pair();
    defer os_fd.close(fds[0]);
    defer os_fd.close(fds[1]);
    const file = try memfd.create("passed", 4096);
    defer os_fd.close(file);

    try send(fds[0], "hello", &.{ file, file });
    var buffer: [16]u8 = undefined;
    var descriptors: Descriptors = .{};
    const bytes = try receive(fds[1], &buffer, &descriptors);
    defer descriptors.deinit();
    try testing.expectEqualStrings("hello", bytes);
    try testing.expectEqual(@as(usize, 2), descriptors.count);
    const sent = try memfd.map(file, 4096, .read_write);
    defer memfd.unmap(sent);
    sent[4095] = 42;
    const received = try memfd.map(descriptors.items[0], 4096, .read_only);
    defer memfd.unmap(received);
    try testing.expectEqual(42, received[4095]);
}

test "unwanted descriptors never enter, a long message is refused, silence is not an end" {
    // QEMU (7.2) has neither the flags of a message that is looked at nor the newer options.
    if (@import("test_options").emulated) return error.SkipZigTest;
    const fds = try pair();
    defer os_fd.close(fds[1]);
    const file = try memfd.create("passed", 4096);
    defer os_fd.close(file);
    var buffer: [8]u8 = undefined;

    try testing.expectError(error.WouldBlock, receive(fds[1], &buffer, null));
    const before = try memfd.create("probe", 1);
    os_fd.close(before);
    try send(fds[0], "hello", &.{file});
    for (0..2) |_| try testing.expectError(error.Truncated, receive(fds[1], &buffer, null));
    take(fds[1]);
    const after = try memfd.create("probe", 1);
    os_fd.close(after);
    try testing.expectEqual(before, after); // the lowest free descriptor is the same: nothing came in

    try send(fds[0], "longer than eight", &.{});
    try send(fds[0], "last", &.{});
    try send(fds[1], "unread", &.{});
    os_fd.close(fds[0]);
    try testing.expectError(error.Truncated, receive(fds[1], &buffer, null));
    try testing.expectEqualStrings("last", try receive(fds[1], &buffer, null));
    try testing.expectError(error.Disconnected, receive(fds[1], &buffer, null));
}

test "connecting to a full queue ends in time, however many signals come" {
    const path = try std.fmt.allocPrint(testing.allocator, "/tmp/cuframes-socket-test-{d}", .{linux.getpid()});
    defer testing.allocator.free(path);
    const address: Address = try .init(path);
    const listener = try open();
    defer os_fd.close(listener);
    _ = try errors.check(linux.bind(listener, @ptrCast(&address.storage), address.size), "bind", path);
    defer _ = linux.unlink(address.pathZ());
    _ = try errors.check(linux.listen(listener, 0), "listen", path);
    const queued = try connect(&address, path, 1000);
    defer os_fd.close(queued);

    const Interruption = struct {
        thread: i32,
        over: bool = false,
        failed: bool = false,

        fn ignore(_: linux.SIG) callconv(.c) void {}

        /// Until the connecting is over, or has had enough time for it and more.
        fn run(interruption: *@This()) void {
            const patience: clock.Deadline = .fromMilliseconds(5000);
            while (!@atomicLoad(bool, &interruption.over, .seq_cst)) {
                interruption.failed = patience.passed();
                if (interruption.failed) return;
                _ = linux.tgkill(linux.getpid(), interruption.thread, .USR1);
                _ = linux.nanosleep(&.{ .sec = 0, .nsec = 5 * std.time.ns_per_ms }, null);
            }
        }
    };
    var previous: linux.Sigaction = undefined;
    _ = linux.sigaction(
        .USR1,
        &.{ .handler = .{ .handler = Interruption.ignore }, .mask = linux.sigemptyset(), .flags = 0 },
        &previous,
    );
    defer _ = linux.sigaction(.USR1, &previous, null);
    var interruption: Interruption = .{ .thread = linux.gettid() };
    const thread: std.Thread = try .spawn(.{}, Interruption.run, .{&interruption});
    const result = connect(&address, path, 100);
    @atomicStore(bool, &interruption.over, true, .seq_cst);
    thread.join();
    try testing.expectError(error.Timeout, result);
    try testing.expect(!interruption.failed);
}

/// Fails where `what` holds its caller up.
fn expectAtOnce(comptime what: anytype, arguments: anytype) !void {
    const soon: clock.Deadline = .fromMilliseconds(2000);
    @call(.auto, what, arguments);
    try testing.expect(!soon.passed());
}

test "hanging up, receiving and closing a listener are not held up by what the peer has sent" {
    const lingering: closer.Lingering = try .init(60);
    defer lingering.deinit();
    var fds = try pair();
    // An empty message is no end: what is behind it is looked at.
    try testing.expectEqual(linux.E.SUCCESS, linux.errno(linux.sendto(fds[0], "", 0, linux.MSG.NOSIGNAL, null, 0)));
    try send(fds[0], "clean", &.{});
    try send(fds[0], "hello", &.{lingering.fd});
    os_fd.close(lingering.fd);
    os_fd.close(fds[0]);
    try expectAtOnce(hangUp, .{fds[1]});

    const second: closer.Lingering = try .init(60);
    defer second.deinit();
    fds = try pair();
    defer os_fd.close(fds[0]);
    try send(fds[0], "longer than eight", &.{ second.fd, second.fd });
    os_fd.close(second.fd);
    const Receiving = struct {
        fn oversized(fd: i32) void {
            var buffer: [8]u8 = undefined;
            var descriptors: Descriptors = .{};
            const result = receive(fd, &buffer, &descriptors);
            std.debug.assert(result == error.Truncated);
        }

        fn tooMany(fd: i32) void {
            var buffer: [8]u8 = undefined;
            for (0..2) |_| {
                var descriptors: Descriptors = .{ .limit = 2 };
                const result = receive(fd, &buffer, &descriptors);
                std.debug.assert(result == error.Truncated);
            }
            std.debug.assert(receive(fd, &buffer, null) == error.Truncated);
        }
    };
    try expectAtOnce(Receiving.oversized, .{fds[1]});
    const third: closer.Lingering = try .init(60);
    defer third.deinit();
    try send(fds[0], "hello", &.{ third.fd, third.fd, third.fd });
    os_fd.close(third.fd);
    try expectAtOnce(Receiving.tooMany, .{fds[1]});
    try expectAtOnce(hangUp, .{fds[1]});

    const fourth: closer.Lingering = try .init(60);
    defer fourth.deinit();
    const name = try std.fmt.allocPrint(testing.allocator, "cuframes-socket-test-{d}", .{linux.getpid()});
    defer testing.allocator.free(name);
    const listener = try listenAbstract(name);
    const queued = try connect(&try .initAbstract(name), name, 1000);
    try send(queued, "hello", &.{fourth.fd});
    os_fd.close(fourth.fd);
    os_fd.close(queued);
    try expectAtOnce(closeListener, .{listener});
}

test "what a clean connection has unread is taken when it is hung up, so that the peer reads the last words" {
    // QEMU (7.2) has neither the flags of a message that is looked at nor the newer options.
    if (@import("test_options").emulated) return error.SkipZigTest;
    const fds = try pair();
    defer os_fd.close(fds[0]);
    for (0..3) |_| try send(fds[0], "unread", &.{});
    try send(fds[1], "last", &.{});
    try testing.expect(!isAllRead(fds[1]));
    hangUp(fds[1]);
    try testing.expect(!os_fd.isOpen(fds[1]));
    var buffer: [8]u8 = undefined;
    try testing.expectEqualStrings("last", try receive(fds[0], &buffer, null));
    try testing.expectError(error.Disconnected, receive(fds[0], &buffer, null));
}

test "a kernel that can refuses what peers send with descriptors, from the connection's beginning" {
    // QEMU (7.2) has neither the flags of a message that is looked at nor the newer options.
    if (@import("test_options").emulated) return error.SkipZigTest;
    const path = try std.fmt.allocPrint(testing.allocator, "/tmp/cuframes-socket-test-{d}", .{linux.getpid()});
    defer testing.allocator.free(path);
    const address: Address = try .init(path);
    const listener = try open();
    _ = try errors.check(linux.bind(listener, @ptrCast(&address.storage), address.size), "bind", path);
    refuseDescriptors(listener);
    _ = try errors.check(linux.listen(listener, backlog), "listen", path);
    defer closeListener(listener);
    defer _ = linux.unlink(address.pathZ());
    var value: u32 = 1;
    var size: linux.socklen_t = @sizeOf(u32);
    const asked = linux.getsockopt(listener, linux.SOL.SOCKET, SO_PASSRIGHTS, @ptrCast(&value), &size);
    if (linux.errno(asked) == .NOPROTOOPT) return error.SkipZigTest;
    try testing.expectEqual(0, value);
    const fd = try connect(&address, path, 1000);
    defer os_fd.close(fd);
    try testing.expectEqual(linux.E.PERM, trySend(fd, "hello", &.{fd}));
    const accepted = try accept(listener);
    defer hangUp(accepted);
    try testing.expectEqual(linux.E.PERM, trySend(fd, "hello", &.{fd}));
    // The other way they go.
    try testing.expectEqual(linux.E.SUCCESS, trySend(accepted, "hello", &.{fd}));
}
