//! Connecting, to a publisher or to a socket of the caller's own, or asking for a report, on a thread of its own, for
//! callers that have an event loop to keep going.

const std = @import("std");
const linux = std.os.linux;
const errors = @import("../errors.zig");
const memfd = @import("../os/memfd.zig");
const thread = @import("../os/thread.zig");
const protocol = @import("protocol.zig");
const dial = @import("dial.zig");
const event_loop = @import("event_loop.zig");
const subscriber = @import("subscriber.zig");
const Subscriber = subscriber.Subscriber;
const DescriptorSocket = @import("descriptor_socket.zig").DescriptorSocket;
const Place = @import("place.zig").Place;
const Error = errors.Error;

const allocator = std.heap.c_allocator;

pub const Result = union(enum) {
    subscriber: *Subscriber,
    report: *protocol.Report,
    socket: *DescriptorSocket,

    fn deinit(result: Result) void {
        switch (result) {
            .subscriber => |connected| connected.close(),
            .report => |report| allocator.destroy(report),
            .socket => |connected| connected.close(),
        }
    }
};

/// What to connect to.
pub const Goal = union(enum) {
    publisher: subscriber.Options,
    socket: struct { place: Place, timeout_ms: i32 },

    fn reach(goal: *const Goal, cancel: ?i32) Error!Result {
        switch (goal.*) {
            .publisher => |*options| return connect(options, cancel),
            .socket => |*wanted| {
                const fd = try dial.reach(&wanted.place, wanted.timeout_ms, cancel);
                errdefer memfd.close(fd);
                return .{ .socket = try .adopt(fd) };
            },
        }
    }
};

pub const Connecting = struct {
    goal: Goal,
    callback: event_loop.Callback,
    token: u32,
    /// An eventfd; written once to give up.
    cancel: i32,
    /// The thread's and the owner's.
    references: u32 = 2,
    finished: bool = false,
    outcome: Error!Result = error.Internal,
    message: [errors.message_size_max]u8 = undefined,
    message_size: usize = 0,

    /// Calls back once when `finish` has something to return.
    pub fn start(goal: Goal, callback: event_loop.Callback, token: u32) Error!*Connecting {
        const cancel: i32 = @intCast(try errors.check(linux.eventfd(0, linux.EFD.CLOEXEC), "eventfd", "connect"));
        errdefer memfd.close(cancel);
        const connecting = allocator.create(Connecting) catch return errors.fail(error.OutOfMemory, "no memory to connect", .{});
        errdefer allocator.destroy(connecting);
        connecting.* = .{ .goal = goal, .callback = callback, .token = token, .cancel = cancel };
        try thread.spawn("cuframes-dial", run, .{connecting});
        return connecting;
    }

    fn run(connecting: *Connecting) void {
        connecting.outcome = connecting.goal.reach(connecting.cancel);
        const message = errors.message();
        @memcpy(connecting.message[0..message.len], message);
        connecting.message_size = message.len;
        @atomicStore(bool, &connecting.finished, true, .seq_cst);
        // Given up in the meantime: nobody listens.
        if (@atomicLoad(u32, &connecting.references, .seq_cst) == 2) event_loop.call(connecting.callback, connecting.token);
        connecting.unref();
    }

    /// The outcome, once; WouldBlock before there is one.
    pub fn finish(connecting: *Connecting) Error!Result {
        if (!@atomicLoad(bool, &connecting.finished, .seq_cst)) return error.WouldBlock;
        const outcome = connecting.outcome;
        connecting.outcome = error.Internal;
        return outcome catch |failure| errors.fail(failure, "{s}", .{connecting.message[0..connecting.message_size]});
    }

    /// Gives up, or lets go after `finish`. What was connected and not taken is closed.
    pub fn close(connecting: *Connecting) void {
        const one: u64 = 1;
        _ = linux.write(connecting.cancel, std.mem.asBytes(&one), @sizeOf(u64));
        connecting.unref();
    }

    fn unref(connecting: *Connecting) void {
        if (@atomicRmw(u32, &connecting.references, .Sub, 1, .seq_cst) != 1) return;
        if (connecting.outcome) |result| result.deinit() else |_| {}
        memfd.close(connecting.cancel);
        allocator.destroy(connecting);
    }
};

/// Connects, or fetches the publisher's report where that is what is wanted.
pub fn connect(options: *const subscriber.Options, cancel: ?i32) Error!Result {
    if (options.wants & protocol.want_report == 0) return .{ .subscriber = try Subscriber.connect(options, cancel) };

    const hello: protocol.Hello = .{ .wants = protocol.want_report, .mode = 0, .name = options.name };
    var reply = try dial.greet(protocol.text(&options.key), protocol.text(&options.directory), &hello, options.timeout_ms, cancel);
    defer reply.descriptors.deinit();
    defer memfd.close(reply.fd);
    const bytes = reply.bytes();
    const report = allocator.create(protocol.Report) catch return errors.fail(error.OutOfMemory, "no memory for a report", .{});
    errdefer allocator.destroy(report);
    report.* = std.mem.zeroes(protocol.Report);
    const prefix = std.mem.bytesToValue(protocol.Prefix, bytes[0..@sizeOf(protocol.Prefix)]);
    const malformed = prefix.kind != @intFromEnum(protocol.Kind.report) or bytes.len > @sizeOf(protocol.Report) or
        bytes.len < protocol.Report.sizeFor(0);
    if (malformed) return errors.fail(error.Protocol, "the publisher answered with something else than a report", .{});
    @memcpy(std.mem.asBytes(report)[0..bytes.len], bytes);
    if (bytes.len != protocol.Report.sizeFor(report.subscriber_count)) {
        return errors.fail(error.Protocol, "the publisher's report has another length than it says", .{});
    }
    for (report.subscribers[0..report.subscriber_count]) |*entry| protocol.sanitizeText(&entry.name);
    return .{ .report = report };
}
