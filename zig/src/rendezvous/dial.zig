//! Finding a publisher by key, waiting for it where asked to, and the first exchange with it.

const std = @import("std");
const errors = @import("../errors.zig");
const layout = @import("../ring/layout.zig");
const socket = @import("../os/socket.zig");
const directory = @import("../os/directory.zig");
const memfd = @import("../os/memfd.zig");
const clock = @import("../os/clock.zig");
const protocol = @import("protocol.zig");
const isKey = @import("publisher.zig").isKey;
const Place = @import("place.zig").Place;
const Error = errors.Error;

/// A publisher whose reactor does not answer in this time is stopped or broken.
const answer_timeout_ms = 2000;
/// Publishers that hang up before they answer: one that is closing does so once.
const hangups_max = 8;

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

/// Says hello to the publisher of a key. With a time-out it waits for one to appear, as long as `cancel` is not
/// readable. NotFound, Timeout, Permission, Protocol, or what the publisher refused with.
pub fn greet(key: []const u8, directory_option: []const u8, hello: *const protocol.Hello, timeout_ms: i32, cancel: ?i32) Error!Reply {
    if (!isKey(key)) {
        return errors.fail(error.InvalidArgument, "a key is 1 to {d} characters of A–Z a–z 0–9 _ -", .{layout.key_size_max});
    }
    const folder = try directory.forSubscriber(directory_option, key);
    const path: directory.Path = try .init("{s}/{s}.sock", .{ folder.slice(), key });
    const address: socket.Address = try .init(path.slice());
    const deadline: clock.Deadline = .fromMilliseconds(timeout_ms);

    var arrival: Arrival = .{ .folder = folder };
    defer arrival.deinit();
    var hangups: u32 = 0;
    while (true) {
        if (socket.connect(&address, path.slice(), answer_timeout_ms)) |fd| {
            if (try ask(fd, &path, hello, cancel)) |reply| return reply;
            // It ends, which the next attempt will see; or others who connected since have pushed us out.
            hangups += 1;
            if (hangups == hangups_max) return errors.fail(error.Protocol, "{s} hangs up without an answer", .{path.slice()});
            continue;
        } else |failure| switch (failure) {
            error.NotFound => {},
            else => return failure,
        }
        if (timeout_ms == 0) return absent(error.NotFound, key, &path);
        if (arrival.watch == null) try directory.create(&folder) else hangups = 0;
        if (!try arrival.wait(cancel, deadline)) return absent(error.Timeout, key, &path);
    }
}

/// Sleeping until something appears in a directory.
const Arrival = struct {
    folder: directory.Path,
    watch: ?i32 = null,

    /// False when the deadline passes first; else look again.
    fn wait(arrival: *Arrival, cancel: ?i32, deadline: clock.Deadline) Error!bool {
        const fd = arrival.watch orelse {
            // Watch first, then look again: it may have come in between.
            arrival.watch = try directory.watch(&arrival.folder);
            return true;
        };
        try readable(fd, cancel, deadline) orelse return false;
        if (directory.drain(fd) == .gone) arrival.deinit();
        return true;
    }

    fn deinit(arrival: *Arrival) void {
        if (arrival.watch) |fd| memfd.close(fd);
        arrival.watch = null;
    }
};

/// How often an abstract address is tried: nothing tells when one appears.
const abstract_interval_ms = 20;

/// Connects to whoever listens. With a time-out it waits for somebody to do so, as long as `cancel` is not readable.
/// NotFound, Timeout, Permission, Protocol.
pub fn reach(place: *const Place, timeout_ms: i32, cancel: ?i32) Error!i32 {
    const address = try place.address();
    const deadline: clock.Deadline = .fromMilliseconds(timeout_ms);
    var arrival: Arrival = .{ .folder = try place.folder() };
    defer arrival.deinit();
    while (true) {
        return socket.connect(&address, place.text(), answer_timeout_ms) catch |failure| {
            if (failure != error.NotFound) return failure;
            if (timeout_ms == 0) return unheard(error.NotFound, place);
            const look_again = switch (place.kind) {
                .path => try arrival.wait(cancel, deadline),
                .abstract => look: {
                    const pause: clock.Deadline = .fromMilliseconds(abstract_interval_ms);
                    try readable(-1, cancel, pause) orelse {};
                    break :look !deadline.passed();
                },
            };
            if (!look_again) return unheard(error.Timeout, place);
            continue;
        };
    }
}

fn unheard(failure: Error, place: *const Place) Error {
    return errors.fail(failure, "nobody listens on {s}: start its owner, or give connect a time-out to wait for it", .{place.text()});
}

/// As `exchange`; closes the connection unless it returns a reply.
fn ask(fd: i32, path: *const directory.Path, hello: *const protocol.Hello, cancel: ?i32) Error!?Reply {
    errdefer socket.close(fd);
    const reply = try exchange(fd, path, hello, cancel) orelse {
        socket.close(fd);
        return null;
    };
    return reply;
}

fn absent(failure: Error, key: []const u8, path: *const directory.Path) Error {
    return errors.fail(failure, "nobody publishes as {s}: no one listens on {s}. Start its publisher, or give connect a time-out to wait for it", .{ key, path.slice() });
}

/// Null when the deadline passes first. Cancelled waits end with an error that nobody sees.
fn readable(fd: i32, cancel: ?i32, deadline: clock.Deadline) Error!?void {
    // poll ignores a negative descriptor.
    const polled: [2]i32 = .{ fd, cancel orelse -1 };
    const index = socket.pollReadable(&polled, deadline) catch |failure| switch (failure) {
        error.Timeout => return null,
        else => return failure,
    };
    if (index == 1) return errors.fail(error.Timeout, "the wait was cancelled", .{});
}

/// Null when the publisher hung up.
fn exchange(fd: i32, path: *const directory.Path, hello: *const protocol.Hello, cancel: ?i32) Error!?Reply {
    // A publisher that refuses everyone hangs up before it has read, but not before it has said why.
    socket.send(fd, std.mem.asBytes(hello), &.{}) catch {};
    const deadline: clock.Deadline = .fromMilliseconds(answer_timeout_ms);
    try readable(fd, cancel, deadline) orelse {
        return errors.fail(error.Timeout, "{s} accepted the connection but has not answered for {d} ms: its process is stopped or is not a cuframes publisher", .{ path.slice(), answer_timeout_ms });
    };
    var reply: Reply = .{ .fd = fd };
    const bytes = socket.receive(fd, &reply.buffer, &reply.descriptors) catch |failure| switch (failure) {
        error.Disconnected, error.WouldBlock => return null,
        error.Truncated => return errors.fail(error.Protocol, "{s} sent more than a cuframes publisher would", .{path.slice()}),
        error.DescriptorsExhausted => return errors.fail(error.Io, "this process has too few file descriptors left for those that {s} hands over (ulimit -n)", .{path.slice()}),
    };
    reply.size = bytes.len;
    errdefer reply.descriptors.deinit();
    if (protocol.prefixProblem(bytes)) |problem| return switch (problem) {
        .other_version => errors.fail(error.Protocol, "the publisher at {s} speaks another protocol version than {d}: use the same release on both sides", .{ path.slice(), layout.version }),
        .not_cuframes, .wrong_size => errors.fail(error.Protocol, "{s} is not the socket of a cuframes publisher", .{path.slice()}),
    };
    if (protocol.parse(protocol.Refusal, .refusal, bytes)) |refusal| {
        var message = refusal.message;
        protocol.sanitizeText(&message);
        const failure = switch (errors.errorOf(refusal.code)) {
            // Not a publisher's to say: callers would take them for what became of their own wait.
            error.WouldBlock, error.Timeout, error.NotFound, error.Disconnected => error.Protocol,
            else => |said| said,
        };
        return errors.fail(failure, "the publisher refused: {s}", .{protocol.text(&message)});
    }
    return reply;
}
