//! An attempt connects to a publisher or to a socket of the caller's own, or asks for a report, on a thread of its own.
//! It is for callers that have an event loop to keep going, and for those that wait for less time than a handshake
//! takes.

const std = @import("std");
const errors = @import("../core/mod.zig").errors;
const format = @import("../core/mod.zig").format;
const os_fd = @import("../os/mod.zig").fd;
const socket = @import("../os/mod.zig").socket;
const clock = @import("../os/mod.zig").clock;
const futex = @import("../os/mod.zig").futex;
const log = @import("../os/mod.zig").log;
const thread = @import("../os/mod.zig").thread;
const memory = @import("../memory/mod.zig").memory;
const protocol = @import("protocol.zig");
const texts = @import("text.zig");
const handshakes = @import("connect.zig");
const event_loop = @import("event_loop.zig");
const subscriber = @import("subscriber.zig");
const Subscriber = subscriber.Subscriber;
const DescriptorSocket = @import("descriptor_socket.zig").DescriptorSocket;
const Place = @import("address.zig").Place;
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

    fn timeoutMs(goal: *const Goal) i32 {
        return switch (goal.*) {
            .publisher => |*options| options.timeout_ms,
            .socket => |*wanted| wanted.timeout_ms,
        };
    }

    fn connectTo(goal: *const Goal, call: *handshakes.Call) Error!Result {
        switch (goal.*) {
            .publisher => |*options| return connect(options, call),
            .socket => |*wanted| {
                const fd = try handshakes.connect(&wanted.place, call);
                errdefer socket.hangUp(fd);
                return .{ .socket = try .adopt(fd) };
            },
        }
    }
};

/// One attempt. It goes on whoever waits for it, and for how long: a thread that is blocked, a callback, or nobody now.
pub const Connecting = struct {
    goal: Goal,
    call: handshakes.Call,
    /// The thread's and the owner's.
    references: u32 = 2,
    /// A futex; a State.
    state: u32 = @intFromEnum(State.running),
    /// Written before the state is `armed`.
    callback: event_loop.Callback = undefined,
    token: u32 = undefined,
    /// Written before the state is `finished`.
    outcome: Error!Result = error.Internal,
    message: [errors.message_size_max]u8 = undefined,
    message_size: usize = 0,

    const State = enum(u32) { running, armed, finished };

    /// The time-out begins now. With a callback: armed from the start.
    pub fn start(goal: Goal, callback: ?event_loop.Callback, token: u32) Error!*Connecting {
        var call: handshakes.Call = try .init(goal.timeoutMs());
        errdefer call.deinit();
        const connecting = allocator.create(Connecting) catch return errors.fail(
            error.OutOfMemory,
            "no memory to connect",
            .{},
        );
        errdefer allocator.destroy(connecting);
        connecting.* = .{ .goal = goal, .call = call };
        if (callback) |function| {
            const armed = connecting.arm(function, token) catch unreachable; // it has not begun
            std.debug.assert(armed);
        }
        try thread.spawn("cuframes-conn", run, .{connecting});
        return connecting;
    }

    fn run(connecting: *Connecting) void {
        defer connecting.unref();
        log.debug("connects to {s}", .{connecting.subject()});
        connecting.outcome = connecting.goal.connectTo(&connecting.call);
        if (connecting.outcome) |_| {
            log.debug("connected to {s}", .{connecting.subject()});
        } else |_| {
            log.debug("failed to connect to {s}: {s}", .{ connecting.subject(), errors.message() });
        }
        const message = errors.message();
        @memcpy(connecting.message[0..message.len], message);
        connecting.message_size = message.len;
        const before = @atomicRmw(u32, &connecting.state, .Xchg, @intFromEnum(State.finished), .seq_cst);
        futex.wakeAll(&connecting.state);
        // Cancelled in the meantime: nobody listens.
        if (@atomicLoad(u32, &connecting.references, .seq_cst) != 2) return;
        if (before == @intFromEnum(State.armed)) event_loop.call(connecting.callback, connecting.token);
    }

    /// Asks for one call back when `finish` has something to return. False: it has already, and no call comes.
    pub fn arm(connecting: *Connecting, callback: event_loop.Callback, token: u32) Error!bool {
        switch (connecting.stateNow()) {
            .running => {},
            .armed => return errors.fail(error.InvalidArgument, "this attempt has a callback already", .{}),
            .finished => return false,
        }
        connecting.callback = callback;
        connecting.token = token;
        const running = @intFromEnum(State.running);
        const armed = @intFromEnum(State.armed);
        return @cmpxchgStrong(u32, &connecting.state, running, armed, .seq_cst, .seq_cst) == null;
    }

    fn stateNow(connecting: *const Connecting) State {
        return @enumFromInt(@atomicLoad(u32, &connecting.state, .seq_cst));
    }

    /// Blocks until `finish` has something to return. Timeout, with how far it has come, leaves it going on.
    pub fn wait(connecting: *Connecting, timeout_ms: i32) Error!void {
        const deadline: clock.Deadline = .fromMilliseconds(timeout_ms);
        while (true) {
            const state = connecting.stateNow();
            if (state == .finished) return;
            if (deadline.passed()) return connecting.unfinished();
            futex.wait(&connecting.state, @intFromEnum(state), deadline);
        }
    }

    /// A publisher's key, or a listener's address.
    fn subject(connecting: *const Connecting) []const u8 {
        return switch (connecting.goal) {
            .publisher => |*options| texts.of(&options.key),
            .socket => |*wanted| wanted.place.text(),
        };
    }

    fn unfinished(connecting: *const Connecting) Error {
        const who = if (connecting.goal == .publisher) "publisher of" else "listener on";
        if (connecting.call.delayedMs()) |delayed_ms| return errors.fail(
            error.Timeout,
            "the next attempt to reach the {s} {s} is made in {d} ms, since the last ones came to nothing",
            .{ who, connecting.subject(), delayed_ms },
        );
        const unanswered_ms = connecting.call.unansweredMs() orelse
            return errors.fail(
                error.Timeout,
                "no {s} {s} has accepted a connection yet",
                .{ who, connecting.subject() },
            );
        return errors.fail(
            error.Timeout,
            "the {s} {s} accepted the connection but has not answered for {d} ms: its process is stopped or busy",
            .{ who, connecting.subject(), unanswered_ms },
        );
    }

    /// The outcome, once; WouldBlock before there is one.
    pub fn finish(connecting: *Connecting) Error!Result {
        if (connecting.stateNow() != .finished) return error.WouldBlock;
        const outcome = connecting.outcome;
        connecting.outcome = error.Internal;
        return outcome catch |failure| errors.fail(failure, "{s}", .{connecting.message[0..connecting.message_size]});
    }

    /// Cancels the attempt, or releases it after `finish`. What was connected and not taken is closed.
    pub fn close(connecting: *Connecting) void {
        connecting.call.cancel();
        connecting.unref();
    }

    fn unref(connecting: *Connecting) void {
        const before = @atomicRmw(u32, &connecting.references, .Sub, 1, .seq_cst);
        std.debug.assert(before >= 1);
        if (before != 1) return;
        if (connecting.outcome) |result| result.deinit() else |_| {}
        connecting.call.deinit();
        allocator.destroy(connecting);
    }
};

/// Connects, or fetches the publisher's report where that is what is wanted.
pub fn connect(options: *const subscriber.Options, call: *handshakes.Call) Error!Result {
    try call.delay(options.delay_ms);
    if (options.wants & protocol.want_report == 0) return .{ .subscriber = try Subscriber.connect(options, call) };

    const hello: protocol.Hello = .{ .wants = protocol.want_report, .mode = 0, .name = options.name };
    var reply = try handshakes.handshake(texts.of(&options.key), texts.of(&options.directory), &hello, call);
    defer reply.descriptors.deinit();
    defer socket.hangUp(reply.fd);
    const bytes = reply.bytes();
    const report = allocator.create(protocol.Report) catch return errors.fail(
        error.OutOfMemory,
        "no memory for a report",
        .{},
    );
    errdefer allocator.destroy(report);
    report.* = std.mem.zeroes(protocol.Report);
    const prefix = std.mem.bytesToValue(protocol.Prefix, bytes[0..@sizeOf(protocol.Prefix)]);
    const malformed = prefix.kind != @intFromEnum(protocol.Kind.report) or bytes.len > @sizeOf(protocol.Report) or
        bytes.len < protocol.Report.sizeFor(0);
    if (malformed) return errors.fail(error.Protocol, "the publisher answered with something else than a report", .{});
    @memcpy(std.mem.asBytes(report)[0..bytes.len], bytes);
    const told = report.geometry;
    const geometry = format.Geometry.init(told.format, told.width, told.height, memory.alignmentOf(.host));
    report.picture = if (geometry) |known| report.picture.bounded(&known) else |_| .{};
    if (bytes.len != protocol.Report.sizeFor(report.subscriber_count)) {
        return errors.fail(error.Protocol, "the publisher's report has another length than it says", .{});
    }
    for (report.subscribers[0..report.subscriber_count]) |*entry| texts.sanitize(&entry.name);
    return .{ .report = report };
}

const testing = std.testing;
const linux = std.os.linux;

/// It is told of, not found out at the end of the wait.
fn expectFinished(connecting: *Connecting) !void {
    const soon: clock.Deadline = .fromMilliseconds(20_000);
    try connecting.wait(30_000);
    try testing.expect(!soon.passed());
    const result = try connecting.finish();
    try testing.expect(result == .socket);
    result.deinit();
}

test "who waits for too short a time leaves the attempt going on, and is woken at once when it is there" {
    const Callbacks = struct {
        var count: u32 = 0;

        fn call(token: u32) callconv(.c) void {
            std.debug.assert(token == 7);
            _ = @atomicRmw(u32, &count, .Add, 1, .seq_cst);
            futex.wakeAll(&count);
        }
    };
    try event_loop.open(Callbacks.call);
    defer event_loop.close(Callbacks.call, .asked);
    const address = try std.fmt.allocPrint(testing.allocator, "@cuframes-connecting-test-{d}", .{linux.getpid()});
    defer testing.allocator.free(address);
    const goal: Goal = .{ .socket = .{ .place = try .parse(address), .timeout_ms = -1 } };
    const alone: *Connecting = try .start(goal, null, 0);
    defer alone.close();
    const armed: *Connecting = try .start(goal, Callbacks.call, 7);
    defer armed.close();
    for ([_]i32{ 0, 1, 30 }) |timeout_ms| {
        try testing.expectError(error.Timeout, alone.wait(timeout_ms));
        try testing.expect(std.mem.find(u8, errors.message(), "no listener on @cuframes-connecting-test-") != null);
        try testing.expectError(error.WouldBlock, alone.finish());
    }
    try testing.expectError(error.InvalidArgument, armed.arm(Callbacks.call, 7));

    const listener = try socket.listenAbstract(address[1..]);
    defer os_fd.close(listener);
    try expectFinished(alone);
    try expectFinished(armed);
    while (@atomicLoad(u32, &Callbacks.count, .seq_cst) == 0) futex.wait(&Callbacks.count, 0, .never);
    // There has been no call for the other one, nor will there be.
    try testing.expect(!try alone.arm(Callbacks.call, 7));
    try testing.expectEqual(1, @atomicLoad(u32, &Callbacks.count, .seq_cst));
    try testing.expectError(error.Internal, alone.finish());
}

test "cancelling ends the thread at once, whatever it waits for" {
    const address = try std.fmt.allocPrint(testing.allocator, "/tmp/cuframes-connecting-test-{d}", .{linux.getpid()});
    defer testing.allocator.free(address);
    for ([_][]const u8{ address, "@cuframes-connecting-test-nobody" }) |text| {
        const goal: Goal = .{ .socket = .{ .place = try .parse(text), .timeout_ms = -1 } };
        const cancelled: *Connecting = try .start(goal, null, 0);
        // So that it can be looked at behind its end.
        _ = @atomicRmw(u32, &cancelled.references, .Add, 1, .seq_cst);
        try testing.expectError(error.Timeout, cancelled.wait(20));
        cancelled.close();
        try cancelled.wait(30_000);
        try testing.expectError(error.Timeout, cancelled.finish());
        cancelled.unref();
    }
}
