//! A descriptor socket is a caller's own connection for messages with descriptors, or a listener for such: the sockets
//! of the handshake, without its protocol.

const std = @import("std");
const linux = std.os.linux;
const errors = @import("../core/mod.zig").errors;
const os_fd = @import("../os/mod.zig").fd;
const clock = @import("../os/mod.zig").clock;
const socket = @import("../os/mod.zig").socket;
const place = @import("address.zig");
const waiters = @import("waiter.zig");
const event_loop = @import("event_loop.zig");
const Waiter = waiters.Waiter;
const Error = errors.Error;

const allocator = std.heap.c_allocator;

/// Bytes of a message; well inside what the kernel queues by default (net.core.wmem_default, 212 992).
pub const message_size_max = 65_536;
/// Descriptors of a message: as many as the kernel passes.
pub const descriptors_max = socket.kernel_descriptors_max;

/// What came with a message, beside its bytes. The descriptors are the caller's, each to be closed once.
pub const Received = extern struct {
    /// Bytes of the message.
    size: u32,
    /// How many of `descriptors` there are.
    descriptor_count: u32,
    descriptors: [descriptors_max]i32,
};

/// What a socket's callback is to tell: something to receive or accept, or room to send.
pub const Direction = enum(u32) { readable = 0, writable = 1 };

pub const DescriptorSocket = struct {
    fd: i32,
    listener: ?place.Listener = null,
    /// The handle's, and each waiting thread's.
    references: u32 = 1,
    readable: Waiter = .{},
    writable: Waiter = .{},

    /// Takes a connected socket over when it succeeds.
    pub fn adopt(fd: i32) Error!*DescriptorSocket {
        return create(.{ .fd = fd });
    }

    pub fn listen(at: place.Place, mode: u32) Error!*DescriptorSocket {
        if (mode & ~@as(u32, 0o777) != 0) return errors.fail(
            error.InvalidArgument,
            "mode 0o{o}: only permission bits",
            .{mode},
        );
        var listener: place.Listener = try .open(at, mode);
        errdefer {
            listener.release();
            socket.closeListener(listener.fd);
        }
        return create(.{ .fd = listener.fd, .listener = listener });
    }

    fn create(value: DescriptorSocket) Error!*DescriptorSocket {
        const self = allocator.create(DescriptorSocket) catch return errors.fail(
            error.OutOfMemory,
            "no memory for a socket",
            .{},
        );
        self.* = value;
        return self;
    }

    /// WouldBlock with a deadline of now, else Timeout.
    pub fn accept(self: *DescriptorSocket, deadline: clock.Deadline) Error!*DescriptorSocket {
        if (self.listener == null) return errors.fail(
            error.InvalidArgument,
            "this socket is connected: only a listener accepts",
            .{},
        );
        while (true) {
            const fd = socket.accept(self.fd) catch |failure| switch (failure) {
                error.WouldBlock => {
                    try self.wait(.readable, deadline);
                    continue;
                },
                error.Aborted => continue, // that peer has gone; the queue is one shorter
                error.DescriptorsExhausted => return errors.fail(
                    error.Io,
                    "this process has no file descriptor left to accept a connection (ulimit -n)",
                    .{},
                ),
            };
            errdefer socket.hangUp(fd);
            return adopt(fd);
        }
    }

    /// The descriptors stay the caller's, whatever happens.
    pub fn send(
        self: *DescriptorSocket,
        bytes: []const u8,
        descriptors: []const i32,
        deadline: clock.Deadline,
    ) Error!void {
        try self.requireConnected();
        if (bytes.len < 1 or bytes.len > message_size_max) {
            return errors.fail(
                error.InvalidArgument,
                "a message of {d} bytes: 1 to {d}",
                .{ bytes.len, message_size_max },
            );
        }
        if (descriptors.len > descriptors_max) {
            return errors.fail(
                error.InvalidArgument,
                "{d} descriptors: the kernel passes at most {d} with a message",
                .{ descriptors.len, descriptors_max },
            );
        }
        for (descriptors, 0..) |fd, index| {
            if (os_fd.isOpen(fd)) continue;
            return errors.fail(error.InvalidArgument, "fds[{d}] is {d}, which is not open", .{ index, fd });
        }
        while (true) switch (socket.trySend(self.fd, bytes, descriptors)) {
            .SUCCESS => return,
            .AGAIN, .NOBUFS => try self.wait(.writable, deadline),
            .PIPE, .CONNRESET, .NOTCONN => return errors.fail(
                error.Disconnected,
                "the peer has closed the connection",
                .{},
            ),
            .TOOMANYREFS => return errors.fail(
                error.Io,
                "too many descriptors are on their way and not received yet (ulimit -n)",
                .{},
            ),
            else => |errno| return errors.failErrno(errno, "sendmsg", "SCM_RIGHTS"),
        };
    }

    /// One message. On every error no descriptor of it stays open here. One for which there are too few left can be
    /// received later.
    pub fn receive(self: *DescriptorSocket, buffer: []u8, received: *Received, deadline: clock.Deadline) Error!void {
        try self.requireConnected();
        if (buffer.len < message_size_max) return errors.fail(
            error.InvalidArgument,
            "room for {d} bytes: a message may have {d}",
            .{ buffer.len, message_size_max },
        );
        var descriptors: socket.Descriptors = .{ .limit = descriptors_max };
        const bytes = while (true) {
            break socket.receive(self.fd, buffer[0..message_size_max], &descriptors) catch |failure| switch (failure) {
                error.WouldBlock => {
                    try self.wait(.readable, deadline);
                    continue;
                },
                error.Disconnected => return errors.fail(error.Disconnected, "the peer has closed the connection", .{}),
                error.Truncated => return errors.fail(
                    error.Protocol,
                    "the peer sent a message of more than {d} bytes: it was dropped, its descriptors are closed",
                    .{message_size_max},
                ),
                error.DescriptorsExhausted => return errors.fail(
                    error.Io,
                    "this process has too few file descriptors left for those of a message (ulimit -n): it can be " ++
                        "received when there are more",
                    .{},
                ),
            };
        };
        received.size = @intCast(bytes.len);
        received.descriptor_count = @intCast(descriptors.count);
        @memcpy(received.descriptors[0..descriptors.count], descriptors.items[0..descriptors.count]);
    }

    pub fn peer(self: *const DescriptorSocket) Error!socket.Credentials {
        try self.requireConnected();
        return socket.peerCredentials(self.fd);
    }

    fn requireConnected(self: *const DescriptorSocket) Error!void {
        if (self.listener != null) return errors.fail(
            error.InvalidArgument,
            "this socket listens: accept a connection from it",
            .{},
        );
    }

    fn wait(self: *const DescriptorSocket, direction: Direction, deadline: clock.Deadline) Error!void {
        if (deadline.at_ns == 0) return error.WouldBlock;
        if (!poll(self.fd, direction, deadline)) return errors.fail(
            error.Timeout,
            "the other side did nothing in time",
            .{},
        );
    }

    /// Calls back once when the next receive, accept or send has something to do, or the end to tell.
    pub fn arm(self: *DescriptorSocket, direction: Direction, callback: event_loop.Callback, token: u32) Error!void {
        const started = switch (direction) {
            .readable => try self.readable.arm(
                .{ .context = self, .block = blockReadable, .unref = unrefOpaque },
                callback,
                token,
            ),
            .writable => try self.writable.arm(
                .{ .context = self, .block = blockWritable, .unref = unrefOpaque },
                callback,
                token,
            ),
        };
        if (started) _ = @atomicRmw(u32, &self.references, .Add, 1, .seq_cst);
    }

    fn blockReadable(context: *anyopaque) void {
        const self: *DescriptorSocket = @ptrCast(@alignCast(context));
        _ = poll(self.fd, .readable, .never);
    }

    fn blockWritable(context: *anyopaque) void {
        const self: *DescriptorSocket = @ptrCast(@alignCast(context));
        _ = poll(self.fd, .writable, .never);
    }

    /// False when the deadline passes first.
    fn poll(fd: i32, direction: Direction, deadline: clock.Deadline) bool {
        var polled = [1]linux.pollfd{.{
            .fd = fd,
            .events = if (direction == .readable) linux.POLL.IN else linux.POLL.OUT,
            .revents = 0,
        }};
        while (true) {
            const result = linux.poll(&polled, 1, deadline.remainingMs());
            if (linux.errno(result) == .SUCCESS and result > 0) return true;
            if (deadline.passed()) return false;
        }
    }

    /// Ends the connection, or the listening, at once; what the peer has not read yet it still can.
    pub fn close(self: *DescriptorSocket) void {
        if (self.listener) |*listener| listener.release();
        self.readable.stop();
        self.writable.stop();
        // The waiting threads' poll returns with that; the number stays taken until they have left.
        socket.shutdown(self.fd);
        unrefOpaque(self);
    }

    fn unrefOpaque(context: *anyopaque) void {
        const self: *DescriptorSocket = @ptrCast(@alignCast(context));
        if (@atomicRmw(u32, &self.references, .Sub, 1, .seq_cst) != 1) return;
        if (self.listener == null) socket.hangUp(self.fd) else socket.closeListener(self.fd);
        allocator.destroy(self);
    }
};

/// Closes a descriptor that was received or exported.
pub fn closeDescriptor(fd: i32) Error!void {
    if (!os_fd.isOpen(fd)) return errors.fail(error.InvalidArgument, "descriptor {d} is not open", .{fd});
    os_fd.close(fd);
}
