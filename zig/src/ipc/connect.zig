//! This file finds a publisher by its key, waits for it where that is wanted, and shakes hands with it.

const std = @import("std");
const errors = @import("../core/mod.zig").errors;
const layout = @import("../ring/mod.zig").layout;
const os_fd = @import("../os/mod.zig").fd;
const closer = @import("../os/mod.zig").closer;
const socket = @import("../os/mod.zig").socket;
const access = @import("../os/mod.zig").access;
const directory = @import("../os/mod.zig").directory;
const arrivals = @import("../os/mod.zig").arrivals;
const clock = @import("../os/mod.zig").clock;
const log = @import("../os/mod.zig").log;
const Deadline = clock.Deadline;
const Path = directory.Path;
const Event = @import("../os/mod.zig").event.Event;
const protocol = @import("protocol.zig");
const texts = @import("text.zig");
const requireKey = @import("publisher.zig").requireKey;
const Place = @import("address.zig").Place;
const Error = errors.Error;

/// A publisher whose reactor does not answer in this time is stopped or broken.
pub const answer_timeout_ms = 2000;
/// Publishers that hang up before they answer: one that is closing does so once.
const hangups_max = 8;
/// Descriptors of publishers that wait to be closed: nobody connects while they are more. One answer has up to
/// `socket.descriptors_max`.
const unclosed_max = 256;
/// How often to look where nothing tells: an abstract address, and a directory that the kernel cannot watch for us.
const abstract_interval_ms = 20;
const unwatched_interval_ms = 200;
/// And where the kernel does tell, but of another directory by now: one above it was renamed, a link leads elsewhere,
/// or something was mounted there. Nothing is told of that.
const watched_interval_ms = 1000;

/// One wait for a publisher or a listener: until when, and what its thread and its owner tell each other.
pub const Call = struct {
    /// Somebody must be there already.
    at_once: bool,
    /// The end of the caller's time-out; never where there is none, and where somebody must be there.
    deadline: Deadline,
    /// Posted at the two kinds of news: something has appeared, or the owner has cancelled the call.
    news: Event,
    /// Atomic.
    cancelled: bool = false,
    /// Atomic. Since when a publisher has the hello and has not answered it; 0: there is none.
    unanswered_since_ns: u64 = 0,
    /// Atomic. When the first attempt is made.
    delayed_until_ns: u64 = 0,

    /// The time begins. 0: somebody must be there; negative: for ever.
    pub fn init(timeout_ms: i32) Error!Call {
        return .{
            .at_once = timeout_ms == 0,
            .deadline = if (timeout_ms == 0) .never else .fromMilliseconds(timeout_ms),
            .news = try .init("connect"),
        };
    }

    pub fn deinit(call: *Call) void {
        call.news.deinit();
    }

    /// Ends the wait at once. Called by the owner, as `unansweredMs`.
    pub fn cancel(call: *Call) void {
        @atomicStore(bool, &call.cancelled, true, .seq_cst);
        call.news.post();
    }

    /// How long a publisher has not answered for; null: there is none to answer.
    pub fn unansweredMs(call: *const Call) ?u64 {
        const since_ns = @atomicLoad(u64, &call.unanswered_since_ns, .seq_cst);
        return if (since_ns == 0) null else millisecondsSince(since_ns);
    }

    /// Lets a time pass before the first attempt.
    pub fn delay(call: *Call, milliseconds: u32) Error!void {
        if (milliseconds == 0) return;
        const until: Deadline = .fromMilliseconds(@intCast(@min(milliseconds, std.math.maxInt(i32))));
        @atomicStore(u64, &call.delayed_until_ns, until.at_ns, .seq_cst);
        while (!until.passed() and try call.pause(until)) {}
    }

    /// How long it is to the first attempt; null: it was made.
    pub fn delayedMs(call: *const Call) ?u64 {
        const left_ns = @atomicLoad(u64, &call.delayed_until_ns, .seq_cst) -| clock.monotonicNs();
        return if (left_ns == 0) null else (left_ns + std.time.ns_per_ms - 1) / std.time.ns_per_ms;
    }

    /// Whoever must be there has the time of an answer; else no step outlasts the caller's time-out.
    fn end(call: *const Call) Deadline {
        return if (call.at_once) .fromMilliseconds(answer_timeout_ms) else call.deadline;
    }

    /// Sleeps until a descriptor can be read, if it is not -1, or until there is news. A call that was cancelled ends
    /// with an error that nobody sees.
    fn sleep(call: *Call, fd: i32, until: Deadline) Error!enum { readable, news, late } {
        // poll ignores a negative descriptor.
        const index = socket.pollReadable(&.{ fd, call.news.fd }, until) catch |failure| switch (failure) {
            error.Timeout => return .late,
            else => return failure,
        };
        if (index == 0) return .readable;
        call.news.clear();
        const cancelled = @atomicLoad(bool, &call.cancelled, .seq_cst);
        return if (cancelled) errors.fail(error.Timeout, "the wait was cancelled", .{}) else .news;
    }

    /// Sleeps until there is news, or it is time to look without. False when the caller's time-out has ended.
    fn pause(call: *Call, until: Deadline) Error!bool {
        return switch (try call.sleep(-1, until.earlier(call.deadline))) {
            .readable, .news => true,
            .late => !call.deadline.passed(),
        };
    }
};

fn millisecondsSince(since_ns: u64) u64 {
    return (clock.monotonicNs() -| since_ns + std.time.ns_per_ms / 2) / std.time.ns_per_ms;
}

/// The answer, the connection, and the descriptors that came with it; all the caller's.
pub const Reply = struct {
    fd: i32,
    buffer: [protocol.message_size_max + 1]u8 = undefined,
    size: usize = 0,
    descriptors: socket.Descriptors = .{},

    pub fn bytes(reply: *const Reply) []const u8 {
        return reply.buffer[0..reply.size];
    }
};

/// Says hello to the publisher of a key, and waits for one to appear where the call has a time-out. NotFound, Timeout,
/// Permission, Protocol, or what the publisher refused with.
pub fn handshake(key: []const u8, directory_option: []const u8, hello: *const protocol.Hello, call: *Call) Error!Reply {
    try requireKey(key);
    var closed: ?Path = null;
    const folder = try directory.forSubscriber(directory_option, key, &closed);
    const path: Path = try .init("{s}/{s}.sock", .{ folder.slice(), key });
    const address: socket.Address = try .init(path.slice());
    const begun_ns = clock.monotonicNs();
    const end = call.end();

    var arrival: Arrival = .init(call, &path);
    defer arrival.watcher.stop();
    var hangups: u32 = 0;
    var waiting = false;
    while (true) {
        if (closer.waiting() > unclosed_max) return errors.fail(
            error.Io,
            "{d} descriptors that publishers have sent, and that cannot be closed, are in the way of any more: " ++
                "end the processes that publish so",
            .{closer.waiting()},
        );
        if (connectSocket(&address, path.slice(), end)) |fd| {
            if (try exchangeOrClose(fd, &path, hello, call, end)) |reply| return reply;
            // It ends, which the next attempt will see; or others who connected since have pushed us out.
            hangups += 1;
            if (hangups == hangups_max) return hungUp(error.Protocol, &path);
            if (end.passed()) return hungUp(error.Timeout, &path);
            continue;
        } else |failure| switch (failure) {
            error.NotFound => {},
            else => return failure,
        }
        if (call.at_once) return absentOrClosed(error.NotFound, key, &path, begun_ns, closed);
        if (!waiting) log.debug("waits for somebody to listen on {s}", .{path.slice()});
        waiting = true;
        if (!arrival.watcher.isWatching()) try directory.create(&folder);
        if (!try arrival.wait(&folder)) return absentOrClosed(error.Timeout, key, &path, begun_ns, closed);
        hangups = 0;
    }
}

/// As socket.connect: until a time, for no longer than a publisher may take to answer.
fn connectSocket(address: *const socket.Address, path: []const u8, end: Deadline) Error!i32 {
    const timeout_ms: u31 = @intCast(end.earlier(.fromMilliseconds(answer_timeout_ms)).remainingMs());
    return socket.connect(address, path, timeout_ms) catch |failure| {
        if (failure != error.Permission or path[0] == '@') return failure;
        const refused: Path = try .init("{s}", .{path});
        // Another reason, such as a security module, stays as the kernel has it.
        return access.connectRefused(&refused) orelse failure;
    };
}

/// Sleeping until a path appears.
const Arrival = struct {
    call: *Call,
    watcher: arrivals.Watcher,

    fn init(call: *Call, path: *const Path) Arrival {
        return .{ .call = call, .watcher = .{ .name = std.fs.path.basename(path.slice()), .news = call.news } };
    }

    /// False when the caller's time-out ends first; else look again. `folder` is what the path is in.
    fn wait(arrival: *Arrival, folder: *const Path) Error!bool {
        if (arrival.watcher.isWatching()) return arrival.call.pause(.fromMilliseconds(watched_interval_ms));
        // Watch first, then look again: it may have come in between.
        if (try arrival.watcher.watch(folder)) return true;
        return arrival.call.pause(.fromMilliseconds(unwatched_interval_ms));
    }
};

/// Connects to whoever listens, and waits for somebody to do so where the call has a time-out. NotFound, Timeout,
/// Permission, Protocol.
pub fn connect(place: *const Place, call: *Call) Error!i32 {
    const address = try place.address();
    const begun_ns = clock.monotonicNs();
    const end = call.end();
    var arrival: Arrival = .init(call, &place.path);
    defer arrival.watcher.stop();
    while (true) {
        return connectSocket(&address, place.text(), end) catch |failure| {
            if (failure != error.NotFound) return failure;
            if (call.at_once) return unheard(error.NotFound, place, begun_ns);
            const look_again = switch (place.kind) {
                .path => try arrival.wait(&try place.folder()),
                .abstract => try call.pause(.fromMilliseconds(abstract_interval_ms)),
            };
            if (!look_again) return unheard(error.Timeout, place, begun_ns);
            continue;
        };
    }
}

fn unheard(failure: Error, place: *const Place, begun_ns: u64) Error {
    if (failure == error.NotFound) return errors.fail(
        failure,
        "nobody listens on {s}: start its owner, or give a time-out to wait for it",
        .{place.text()},
    );
    return errors.fail(
        failure,
        "nobody came to listen on {s} within {d} ms: start its owner, or give a longer time-out",
        .{ place.text(), millisecondsSince(begun_ns) },
    );
}

/// As `exchange`; closes the connection unless it returns a reply.
fn exchangeOrClose(fd: i32, path: *const Path, hello: *const protocol.Hello, call: *Call, end: Deadline) Error!?Reply {
    errdefer socket.hangUp(fd);
    const reply = try exchange(fd, path, hello, call, end) orelse {
        socket.hangUp(fd);
        return null;
    };
    return reply;
}

/// Nobody is where a publisher of this user would be; but one of somebody else may be where this user may not look.
fn absentOrClosed(failure: Error, key: []const u8, path: *const Path, begun_ns: u64, closed: ?Path) Error {
    if (closed) |folder| {
        const there: Path = try .init("{s}/{s}.sock", .{ folder.slice(), key });
        if (access.connectRefused(&there)) |refused| return refused;
    }
    return absent(failure, key, path, begun_ns);
}

fn absent(failure: Error, key: []const u8, path: *const Path, begun_ns: u64) Error {
    if (failure == error.NotFound) return errors.fail(
        failure,
        "nobody publishes as {s}: no one listens on {s}. Start its publisher, or give a time-out to wait for it",
        .{ key, path.slice() },
    );
    return errors.fail(
        failure,
        "nobody publishes as {s}: no one came to listen on {s} within {d} ms. Start its publisher, or give a longer " ++
            "time-out",
        .{ key, path.slice(), millisecondsSince(begun_ns) },
    );
}

fn hungUp(failure: Error, path: *const Path) Error {
    return errors.fail(failure, "{s} hangs up without an answer", .{path.slice()});
}

/// The caller's time-out may have been too short for any publisher.
fn unanswered(path: *const Path, since_ns: u64, call: *const Call) Error {
    const waited_ms = millisecondsSince(since_ns);
    if (call.deadline.passed()) return errors.fail(
        error.Timeout,
        "{s} accepted the connection but has not answered for {d} ms, all that was left of the time-out: its " ++
            "process is stopped or busy. A publisher may take up to {d} ms",
        .{ path.slice(), waited_ms, answer_timeout_ms },
    );
    return errors.fail(
        error.Timeout,
        "{s} accepted the connection but has not answered for {d} ms: its process is stopped or is not a cuframes " ++
            "publisher",
        .{ path.slice(), waited_ms },
    );
}

/// Null when the publisher hung up.
fn exchange(fd: i32, path: *const Path, hello: *const protocol.Hello, call: *Call, end: Deadline) Error!?Reply {
    // A publisher that refuses everyone hangs up before it has read, but not before it has said why.
    socket.send(fd, std.mem.asBytes(hello), &.{}) catch {};
    try waitForAnswer(fd, path, call, end);
    var reply: Reply = .{ .fd = fd };
    const bytes = socket.receive(fd, &reply.buffer, &reply.descriptors) catch |failure| switch (failure) {
        error.Disconnected, error.WouldBlock => return null,
        error.Truncated => return errors.fail(
            error.Protocol,
            "{s} sent more than a cuframes publisher would",
            .{path.slice()},
        ),
        error.DescriptorsExhausted => return errors.fail(
            error.Io,
            "this process has too few file descriptors left for those that {s} hands over (ulimit -n)",
            .{path.slice()},
        ),
    };
    reply.size = bytes.len;
    errdefer reply.descriptors.deinit();
    if (protocol.prefixProblem(bytes)) |problem| return switch (problem) {
        .other_version => errors.fail(
            error.Protocol,
            "the publisher at {s} speaks another protocol version than {d}: use the same release on both sides",
            .{ path.slice(), layout.version },
        ),
        .not_cuframes, .wrong_size => errors.fail(
            error.Protocol,
            "{s} is not the socket of a cuframes publisher",
            .{path.slice()},
        ),
    };
    if (protocol.parse(protocol.Refusal, .refusal, bytes)) |refusal| {
        var message = refusal.message;
        texts.sanitize(&message);
        const failure = switch (errors.errorOf(refusal.code)) {
            // Not a publisher's to say: callers would take them for what became of their own wait.
            error.WouldBlock, error.Timeout, error.NotFound, error.Disconnected => error.Protocol,
            else => |said| said,
        };
        return errors.fail(failure, "the publisher refused: {s}", .{texts.of(&message)});
    }
    return reply;
}

fn waitForAnswer(fd: i32, path: *const Path, call: *Call, end: Deadline) Error!void {
    const since_ns = clock.monotonicNs();
    @atomicStore(u64, &call.unanswered_since_ns, since_ns, .seq_cst);
    defer @atomicStore(u64, &call.unanswered_since_ns, 0, .seq_cst);
    const until = end.earlier(.fromMilliseconds(answer_timeout_ms));
    while (true) switch (try call.sleep(fd, until)) {
        .readable => return,
        // Of another socket that has this name since; or it came before this one was connected to.
        .news => {},
        .late => return unanswered(path, since_ns, call),
    };
}

const testing = std.testing;
const linux = std.os.linux;

/// Somebody who listens and never accepts, as a publisher that is stopped. The queue of `full` ones is full.
const Deaf = struct {
    folder: Path,
    path: Path,
    listener: i32,
    queued: ?i32 = null,

    const key = "deaf";

    fn init(kind: enum { silent, full }) !Deaf {
        const folder: Path = try .init("/tmp/cuframes-connect-test-{d}", .{linux.getpid()});
        try directory.create(&folder);
        const path: Path = try .init("{s}/{s}.sock", .{ folder.slice(), key });
        const address: socket.Address = try .init(path.slice());
        const listener = try socket.open();
        _ = try errors.check(linux.bind(listener, @ptrCast(&address.storage), address.size), "bind", path.slice());
        _ = try errors.check(linux.listen(listener, socket.backlog), "listen", path.slice());
        var deaf: Deaf = .{ .folder = folder, .path = path, .listener = listener };
        if (kind == .full) {
            _ = try errors.check(linux.listen(deaf.listener, 0), "listen", path.slice());
            deaf.queued = try socket.connect(&try .init(path.slice()), path.slice(), 1000);
        }
        return deaf;
    }

    fn deinit(deaf: *const Deaf) void {
        if (deaf.queued) |fd| os_fd.close(fd);
        os_fd.close(deaf.listener);
        _ = linux.unlink(deaf.path.z());
        _ = linux.rmdir(deaf.folder.z());
    }

    /// Connects to it in vain; returns how many milliseconds that took.
    fn tryFor(deaf: *const Deaf, comptime way: enum { handshake, connect }, timeout_ms: i32) !u64 {
        const begun_ns = clock.monotonicNs();
        var call: Call = try .init(timeout_ms);
        defer call.deinit();
        const hello: protocol.Hello = .{ .wants = protocol.want_report, .mode = 0, .name = @splat(0) };
        switch (way) {
            .handshake => try testing.expectError(error.Timeout, handshake(key, deaf.folder.slice(), &hello, &call)),
            .connect => try testing.expectError(error.Timeout, connect(&try .parse(deaf.path.slice()), &call)),
        }
        return millisecondsSince(begun_ns);
    }
};

fn expectWithin(low: u64, high: u64, value: u64) !void {
    errdefer std.debug.print("{d} ms, not {d} to {d}\n", .{ value, low, high });
    try testing.expect(value >= low and value < high);
}

fn expectSaid(text: []const u8) !void {
    errdefer std.debug.print("said: {s}\n", .{errors.message()});
    try testing.expect(std.mem.find(u8, errors.message(), text) != null);
}

test "a publisher that does not answer takes no longer than the time-out; one that must be there has two seconds" {
    const deaf: Deaf = try .init(.silent);
    defer deaf.deinit();
    for ([_]i32{ 1, 50 }) |timeout_ms| {
        try expectWithin(@intCast(timeout_ms), 1000, try deaf.tryFor(.handshake, timeout_ms));
        try expectSaid("deaf.sock accepted the connection but has not answered for ");
        try expectSaid("all that was left of the time-out");
    }
    for ([_]i32{ 0, -1 }) |timeout_ms| {
        try expectWithin(1990, 30_000, try deaf.tryFor(.handshake, timeout_ms));
        try expectSaid("is stopped or is not a cuframes publisher");
    }
}

test "a full queue takes no longer than the time-out; one that must be there has two seconds" {
    const deaf: Deaf = try .init(.full);
    defer deaf.deinit();
    inline for (.{ .handshake, .connect }) |way| {
        for ([_]i32{ 1, 50 }) |timeout_ms| {
            try expectWithin(@intCast(timeout_ms), 1000, try deaf.tryFor(way, timeout_ms));
            try expectSaid("deaf.sock has not accepted the connection for ");
        }
    }
    try expectWithin(1990, 30_000, try deaf.tryFor(.connect, 0));
}

test "an abstract address is waited for until the time-out, not until the next look" {
    // The quickest of some: others use this machine too.
    var quickest_ms: u64 = std.math.maxInt(u64);
    for (0..50) |_| {
        var call: Call = try .init(1);
        defer call.deinit();
        const begun_ns = clock.monotonicNs();
        try testing.expectError(error.Timeout, connect(&try .parse("@cuframes-connect-test-nobody"), &call));
        quickest_ms = @min(quickest_ms, millisecondsSince(begun_ns));
    }
    try expectWithin(1, abstract_interval_ms, quickest_ms);
    try expectSaid("nobody came to listen on @cuframes-connect-test-nobody within ");
}
