//! This file decides who comes to a publisher and who goes: it accepts, answers the hello, and sees the connection's
//! end. The reactor calls all of it, with its lock held. Nothing that takes a peer's memory or socket happens under the
//! publisher's mutex, which `acquire` takes: that is held to copy what is known, and to change it.
//!
//! What is bounded by what: connections that have not been served by `pending_max`, their time by
//! `handshake_timeout_ms`; subscribers by their places; descriptors on their way by the welcomes that are not taken
//! (`untaken_max`, `unread_max_per_user`) and by the outbox; what one turn does by `accepts_per_turn` and
//! `messages_per_turn`; descriptors that peers sent and that are not closed yet by `unclosed_max`.

const std = @import("std");
const linux = std.os.linux;
const assert = std.debug.assert;
const errors = @import("../core/mod.zig").errors;
const layout = @import("../ring/mod.zig").layout;
const frame_ring = @import("../ring/mod.zig").frames;
const leases = @import("../ring/mod.zig").leases;
const memfd = @import("../os/mod.zig").memfd;
const os_fd = @import("../os/mod.zig").fd;
const socket = @import("../os/mod.zig").socket;
const closer = @import("../os/mod.zig").closer;
const clock = @import("../os/mod.zig").clock;
const directory = @import("../os/mod.zig").directory;
const log = @import("../os/mod.zig").log;
const format = @import("../core/mod.zig").format;
const protocol = @import("protocol.zig");
const texts = @import("text.zig");
const reactor = @import("reactor.zig");
const report = @import("report.zig");
const outbox = @import("outbox.zig");
const supply = @import("supply.zig");
const eviction = @import("eviction.zig");
const Publisher = @import("publisher.zig").Publisher;
const Error = errors.Error;

/// A connection that has not said its hello by then is dropped.
const handshake_timeout_ms = 2000;
/// And one that has not taken its welcome: descriptors that are on their way count against the publisher's user, who
/// may have few (RLIMIT_NOFILE), over all publishers.
const welcome_timeout_ms = 2000;
/// More connections than this that were not served push one out.
const pending_max = 64;
/// Welcomes of one user that are not taken yet. Whoever comes then keeps its place in the line.
const untaken_max = 2;
/// With them, connections of one user that were dropped and whose messages with descriptors it has still not read:
/// these are on their way until it reads them or closes its side.
const unread_max_per_user = 4;
/// Of all users; with the subscribers, evicted ones too, of whom each may become one of them.
const unread_max = layout.subscribers_max + served_max;
/// Subscribers, with those that were evicted and have not closed their side.
const served_max = leases.evicted_max;
/// How long nobody is accepted when not even one can be refused, or while too much waits to be closed.
const exhaustion_pause_ms = 100;
/// Descriptors that peers have sent and that nobody has begun to close.
const unclosed_max = 64;
/// Per wake-up, so that one connection cannot keep the reactor from the others.
const accepts_per_turn = 8;
const messages_per_turn = 32;
/// Bytes to receive a hello in. A later version's may be larger, and is told apart from noise.
const hello_room = 4096;
comptime {
    assert(hello_room > @sizeOf(protocol.Hello));
}

pub const Connection = struct {
    fd: i32,
    token: reactor.Token,
    page: SharedPage,
    name: [layout.name_size_max + 1]u8,
    mode: frame_ring.Mode,
    wants: u32,
    pid: i32,
    uid: u32,
    peer: eviction.Peer,
    connected_ns: u64,
    out: outbox.Outbox = .{},
};

const Pending = struct {
    fd: i32,
    token: reactor.Token,
    uid: u32,
    /// It has said its hello, which is still unread, and waits for others of its user to take their welcome.
    in_line: bool,
};

/// A connection that was dropped while its peer had not read descriptors that it was sent.
const Unread = struct { fd: i32, token: reactor.Token, uid: u32 };

/// The connections that are no subscribers, and what is kept for those to come. The reactor's lock guards it.
pub const Admission = struct {
    listener_token: reactor.Token = undefined,
    pending: [pending_max]Pending = undefined,
    pending_count: usize = 0,
    unread: [unread_max]Unread = undefined,
    unread_count: usize = 0,
    /// Closed for a moment when descriptors run out, so that a connection can be refused. -1: another thread of the
    /// process was faster to take it.
    spare_fd: i32,
    /// Atomic. Connections dropped for what they sent or failed to send.
    rejected: u32 = 0,
};

/// A descriptor to be closed when there are no others.
pub fn requireSpare() Error!i32 {
    return @intCast(try errors.check(linux.eventfd(0, linux.EFD.CLOEXEC), "eventfd", "spare descriptor"));
}

/// For the reactor: what serves the publisher's listener.
pub fn handlerOf(publisher: *Publisher) reactor.Handler {
    return .{ .context = publisher, .ready = onConnection, .expired = onPauseOver };
}

/// Every connection of a publisher that closes; nobody else knows of them any more.
pub const Leftovers = struct {
    subscribers: [layout.subscribers_max + leases.evicted_max]Connection = undefined,
    subscriber_count: usize = 0,
    fds: [pending_max + unread_max]i32 = undefined,
    fd_count: usize = 0,

    /// Takes them all from the publisher, with the reactor's lock held.
    pub fn take(leftovers: *Leftovers, publisher: *Publisher) void {
        assert(reactor.isLocked());
        const admission = &publisher.admission;
        while (admission.pending_count > 0) leftovers.add(removePending(publisher, 0).fd);
        while (admission.unread_count > 0) leftovers.add(removeUnread(publisher, 0).fd);
        publisher.mutex.lock();
        defer publisher.mutex.unlock();
        var indexes = indexesOf(publisher.connected);
        while (indexes.next()) |index| leftovers.addSubscriber(&publisher.connections[index]);
        for (publisher.evicted[0..publisher.evicted_count]) |*connection| leftovers.addSubscriber(connection);
        publisher.connected = 0;
        publisher.evicted_count = 0;
        publisher.subscribers.clear();
        publisher.custody.holder_count = 0;
    }

    fn addSubscriber(leftovers: *Leftovers, connection: *const Connection) void {
        reactor.remove(connection.token);
        leftovers.subscribers[leftovers.subscriber_count] = connection.*;
        leftovers.subscriber_count += 1;
    }

    fn add(leftovers: *Leftovers, fd: i32) void {
        leftovers.fds[leftovers.fd_count] = fd;
        leftovers.fd_count += 1;
    }

    /// Ends those that are no subscribers; then, by `endSubscribers`, those that are.
    pub fn endOthers(leftovers: *const Leftovers) void {
        for (leftovers.fds[0..leftovers.fd_count]) |fd| socket.hangUp(fd);
    }

    pub fn endSubscribers(leftovers: *const Leftovers) void {
        for (leftovers.subscribers[0..leftovers.subscriber_count]) |*connection| {
            socket.hangUp(connection.fd);
            connection.page.deinit();
        }
    }
};

/// The indexes of the subscribers in a mask.
pub fn indexesOf(mask: u64) std.bit_set.IntegerBitSet(64).Iterator(.{}) {
    const set: std.bit_set.IntegerBitSet(64) = .{ .mask = mask };
    return set.iterator(.{});
}

fn onConnection(context: *anyopaque, token: reactor.Token, listener: i32) void {
    const publisher: *Publisher = @ptrCast(@alignCast(context));
    if (publisher.admission.spare_fd < 0) publisher.admission.spare_fd = openSpare();
    for (0..accepts_per_turn) |_| {
        if (closer.waiting() > unclosed_max) {
            log.debug("{s}: accepts nobody for {d} ms: what peers sent is still to be closed", .{
                publisher.keyText(),
                exhaustion_pause_ms,
            });
            return reactor.pause(token, .fromMilliseconds(exhaustion_pause_ms));
        }
        const fd = socket.accept(listener) catch |failure| switch (failure) {
            error.WouldBlock => return,
            error.Aborted => continue,
            error.DescriptorsExhausted => {
                refuseForDescriptors(publisher, listener);
                return;
            },
        };
        log.debug("{s}: accepted connection {d}", .{ publisher.keyText(), fd });
        const uid = socket.peerUid(fd);
        // An honest subscriber has sent its hello by now.
        switch (judge(publisher, fd, uid)) {
            .silent => postpone(publisher, fd, uid, false),
            .in_line => postpone(publisher, fd, uid, true),
            else => |verdict| execute(publisher, fd, uid, &verdict),
        }
    }
}

fn countRejected(publisher: *Publisher) void {
    _ = @atomicRmw(u32, &publisher.admission.rejected, .Add, 1, .monotonic);
}

fn refuseForDescriptors(publisher: *Publisher, listener: i32) void {
    if (publisher.admission.spare_fd >= 0) os_fd.close(publisher.admission.spare_fd);
    if (socket.accept(listener)) |fd| {
        countRejected(publisher);
        log.debug("{s}: dropped connection {d}: no file descriptors are left", .{ publisher.keyText(), fd });
        refuse(fd, error.OutOfMemory, "the publisher has no file descriptors left");
        socket.hangUp(fd);
    } else |_| {
        log.debug("{s}: accepts nobody for {d} ms: no file descriptors are left", .{
            publisher.keyText(),
            exhaustion_pause_ms,
        });
        // It stays readable: without a pause this would be called again and again.
        reactor.pause(publisher.admission.listener_token, .fromMilliseconds(exhaustion_pause_ms));
    }
    publisher.admission.spare_fd = openSpare();
}

fn openSpare() i32 {
    const result = linux.eventfd(0, linux.EFD.CLOEXEC);
    return if (linux.errno(result) == .SUCCESS) @intCast(result) else -1;
}

fn onPauseOver(_: *anyopaque, token: reactor.Token, _: i32) void {
    reactor.unpause(token);
}

/// Gives a connection its time. Where there are too many, one makes room.
fn postpone(publisher: *Publisher, fd: i32, uid: u32, in_line: bool) void {
    assert(reactor.isLocked() and publisher.admission.pending_count <= pending_max);
    if (publisher.admission.pending_count == pending_max) dropPending(publisher, leastDeserving(publisher, uid));
    const deadline: clock.Deadline = .fromMilliseconds(handshake_timeout_ms);
    const handler: reactor.Handler = .{
        .context = publisher,
        .ready = onPending,
        .expired = onExpired,
        .watch = .changes,
    };
    const token = reactor.add(fd, handler, deadline) catch {
        countRejected(publisher);
        return socket.hangUp(fd);
    };
    publisher.admission.pending[publisher.admission.pending_count] = .{
        .fd = fd,
        .token = token,
        .uid = uid,
        .in_line = in_line,
    };
    publisher.admission.pending_count += 1;
}

/// The one that has been silent the longest; else of the newcomer's own user, else of all, the one that came first.
fn leastDeserving(publisher: *const Publisher, uid: u32) usize {
    const pending = publisher.admission.pending[0..publisher.admission.pending_count];
    for (pending, 0..) |*one, index| if (!one.in_line) return index;
    for (pending, 0..) |*one, index| if (one.uid == uid) return index;
    return 0;
}

/// A hello that has come in the meantime is answered all the same.
fn dropPending(publisher: *Publisher, index: usize) void {
    const pending = removePending(publisher, index);
    const verdict = judge(publisher, pending.fd, pending.uid);
    switch (verdict) {
        .silent => reject(publisher, pending.fd, "it has said nothing"),
        .in_line => {
            refuse(pending.fd, error.Io, "other subscribers of this user do not read what they are sent");
            reject(publisher, pending.fd, "others of its user do not take their welcome");
        },
        else => execute(publisher, pending.fd, pending.uid, &verdict),
    }
}

fn removePending(publisher: *Publisher, index: usize) Pending {
    assert(reactor.isLocked() and index < publisher.admission.pending_count);
    const pending = publisher.admission.pending[index];
    reactor.remove(pending.token);
    std.mem.copyForwards(
        Pending,
        publisher.admission.pending[index..],
        publisher.admission.pending[index + 1 .. publisher.admission.pending_count],
    );
    publisher.admission.pending_count -= 1;
    return pending;
}

fn pendingIndex(publisher: *const Publisher, token: reactor.Token) usize {
    for (publisher.admission.pending[0..publisher.admission.pending_count], 0..) |pending, index| {
        if (pending.token == token) return index;
    }
    unreachable;
}

fn onPending(context: *anyopaque, token: reactor.Token, _: i32) void {
    const publisher: *Publisher = @ptrCast(@alignCast(context));
    serve(publisher, pendingIndex(publisher, token));
}

/// Answers a pending connection, if there is something to answer and it may come; else it keeps its place and its time.
fn serve(publisher: *Publisher, index: usize) void {
    const pending = &publisher.admission.pending[index];
    const verdict = judge(publisher, pending.fd, pending.uid);
    switch (verdict) {
        .silent, .in_line => pending.in_line = verdict == .in_line,
        else => {
            const removed = removePending(publisher, index);
            execute(publisher, removed.fd, removed.uid, &verdict);
        },
    }
}

/// Lets those come who had to wait for others of their user, in their order.
fn serveLine(publisher: *Publisher) void {
    var index: usize = 0;
    while (index < publisher.admission.pending_count) {
        const before = publisher.admission.pending_count;
        if (publisher.admission.pending[index].in_line) serve(publisher, index);
        if (publisher.admission.pending_count == before) index += 1;
    }
}

fn onExpired(context: *anyopaque, token: reactor.Token, _: i32) void {
    const publisher: *Publisher = @ptrCast(@alignCast(context));
    dropPending(publisher, pendingIndex(publisher, token));
}

const other_version_message = std.fmt.comptimePrint(
    "this publisher speaks protocol version {d} and the subscriber does not: use the same release on both sides",
    .{layout.version},
);

/// What becomes of a connection that is no subscriber yet.
const Verdict = union(enum) {
    silent,
    /// Its hello stays unread until others of its user have taken their welcome.
    in_line,
    rejected: struct { why: []const u8, answer: ?[]const u8 = null },
    asks_for_report,
    asks_to_subscribe: struct { hello: protocol.Hello, mode: frame_ring.Mode },
};

/// Looks at what a connection has said. Everything stays as it is.
fn judge(publisher: *const Publisher, fd: i32, uid: u32) Verdict {
    assert(reactor.isLocked() and fd >= 0);
    var buffer: [hello_room]u8 = undefined;
    const bytes = socket.peek(fd, &buffer) catch |failure| switch (failure) {
        error.WouldBlock => return .silent,
        error.Disconnected => return .{ .rejected = .{ .why = "it has gone" } },
        error.Truncated => return .{ .rejected = .{ .why = "its hello has too much in it" } },
    };
    const hello = protocol.parse(protocol.Hello, .hello, bytes) orelse {
        if (protocol.prefixProblem(bytes) == .other_version) return .{ .rejected = .{
            .why = "it speaks another version",
            .answer = other_version_message,
        } };
        return .{ .rejected = .{ .why = "what it said is no hello" } };
    };
    const mode = std.enums.fromInt(frame_ring.Mode, hello.mode) orelse {
        return .{ .rejected = .{ .why = "its mode is not known" } };
    };
    const known_wants = protocol.want_frames | protocol.want_packets | protocol.want_report;
    const sensible = hello.wants != 0 and hello.wants & ~known_wants == 0 and
        hello.device_count <= protocol.devices_max;
    if (!sensible) return .{ .rejected = .{ .why = "its hello asks for what there is not" } };
    if (hello.wants & protocol.want_report != 0) return .asks_for_report;
    if (!mayBeWelcomed(publisher, uid)) return .in_line;
    return .{ .asks_to_subscribe = .{ .hello = hello, .mode = mode } };
}

/// Whether a user has so few descriptors on their way that more can be sent.
fn mayBeWelcomed(publisher: *const Publisher, uid: u32) bool {
    var unread: usize = 0;
    for (publisher.admission.unread[0..publisher.admission.unread_count]) |*one| unread += @intFromBool(one.uid == uid);
    var untaken: usize = 0;
    var indexes = indexesOf(publisher.connected);
    while (indexes.next()) |index| {
        const connection = &publisher.connections[index];
        untaken += @intFromBool(connection.uid == uid and !connection.out.welcomed);
    }
    // Each subscriber may become one of them.
    const room = publisher.admission.unread_count + servedBy(publisher) < publisher.admission.unread.len;
    return room and untaken < untaken_max and untaken + unread < unread_max_per_user;
}

/// Subscribers, with those that were evicted and have not closed their side.
fn servedBy(publisher: *const Publisher) usize {
    return @popCount(publisher.connected) + publisher.evicted_count;
}

/// Answers a hello, or what was said in its place. The descriptor is not the caller's afterwards.
fn execute(publisher: *Publisher, fd: i32, uid: u32, verdict: *const Verdict) void {
    switch (verdict.*) {
        .silent, .in_line => unreachable,
        .rejected => |*rejected| {
            if (rejected.answer) |text| refuse(fd, error.Protocol, text);
            reject(publisher, fd, rejected.why);
        },
        .asks_for_report => {
            report.send(publisher, fd);
            log.debug("{s}: sent a report to connection {d}", .{ publisher.keyText(), fd });
            socket.hangUp(fd);
        },
        .asks_to_subscribe => |*wish| {
            // Its hello, which had no descriptors.
            socket.take(fd);
            if (admit(publisher, fd, uid, &wish.hello, wish.mode)) {
                log.debug("{s}: shook hands with connection {d}, a subscriber now", .{ publisher.keyText(), fd });
            } else |failure| {
                log.debug("{s}: refused connection {d}: {s}", .{ publisher.keyText(), fd, errors.message() });
                refuse(fd, failure, errors.message());
                socket.hangUp(fd);
            }
        },
    }
}

/// Drops a connection that is no subscriber.
fn reject(publisher: *Publisher, fd: i32, why: []const u8) void {
    countRejected(publisher);
    log.debug("{s}: dropped connection {d}: {s}", .{ publisher.keyText(), fd, why });
    socket.hangUp(fd);
}

fn refuse(fd: i32, failure: Error, reason: []const u8) void {
    var refusal: protocol.Refusal = .{ .code = @intFromEnum(errors.codeOf(failure)), .message = undefined };
    texts.set(&refusal.message, reason);
    // The connection ends either way.
    socket.send(fd, std.mem.asBytes(&refusal), &.{}) catch {};
}

/// Makes a connection a subscriber and sends its welcome. Memory is made for it only when it has a place.
fn admit(publisher: *Publisher, fd: i32, uid: u32, hello: *const protocol.Hello, mode: frame_ring.Mode) Error!void {
    if (~publisher.connected == 0) return errors.fail(
        error.TooManySubscribers,
        "the publisher has {d} subscribers, the most it may have",
        .{layout.subscribers_max},
    );
    if (servedBy(publisher) >= served_max) return errors.fail(
        error.TooManySubscribers,
        "the publisher has evicted {d} subscribers that still hold frames, the most it can keep",
        .{publisher.evicted_count},
    );
    const index: u6 = @intCast(@ctz(~publisher.connected));
    const wants_frames = hello.wants & protocol.want_frames != 0 and !publisher.packets_only;
    const pid = socket.peerPid(fd);
    const peer: eviction.Peer = .of(fd, uid, pid, &hello.name);
    if (wants_frames) try requireGoodStanding(publisher, uid, peer);
    if (wants_frames) try publisher.slots.requireDevice(hello.devices[0..hello.device_count]);

    const page: SharedPage = try .create();
    errdefer page.deinit();
    const handler: reactor.Handler = .{
        .context = publisher,
        .ready = onSubscriber,
        .expired = onWelcomeExpired,
        .watch = .changes,
    };
    const token = try reactor.add(fd, handler, .fromMilliseconds(welcome_timeout_ms));
    errdefer reactor.remove(token);
    var connection: Connection = .{
        .fd = fd,
        .token = token,
        .page = page,
        .name = hello.name,
        .mode = mode,
        .wants = hello.wants,
        .pid = pid,
        .uid = uid,
        .peer = peer,
        .connected_ns = clock.monotonicNs(),
    };
    texts.sanitize(&connection.name);
    // What comes later is owed to it, from the moment in which this is written.
    const welcome = enter(publisher, index, &connection);
    errdefer leave(publisher, index);
    socket.send(fd, std.mem.asBytes(&welcome.message), welcome.descriptors[0..welcome.count]) catch {
        return errors.fail(error.Io, "the publisher could not hand over its {d} descriptors", .{welcome.count});
    };
}

/// Whoever was evicted again and again is refused for a while, and everybody while evicted readers hold as much memory
/// as there may be.
fn requireGoodStanding(publisher: *Publisher, uid: u32, peer: eviction.Peer) Error!void {
    publisher.mutex.lock();
    defer publisher.mutex.unlock();
    const refused_ns = eviction.refusedFor(publisher, peer);
    if (refused_ns > 0) return errors.fail(
        error.Evicted,
        "the publisher refuses this {s} for {d} ms more: it was evicted again and again for frames that it held too " ++
            "long. Close frames as soon as they are done with, hold fewer at a time, or copy what is needed for longer",
        .{ whatIs(peer), refused_ns / std.time.ns_per_ms + 1 },
    );
    if (peer.process == 0 and hasShare(publisher, uid)) return errors.fail(
        error.TooManySubscribers,
        "user {d} has {d} subscribers to the frames of this publisher, the most that another user may have with " ++
            "this limit on memory (memoryLimit)",
        .{ uid, shareOf(publisher) },
    );
    if (eviction.keepsAnything(publisher, peer)) return errors.fail(
        error.Evicted,
        "this {s} still holds frames of a connection that the publisher has ended for them: close them first",
        .{whatIs(peer)},
    );
    if (!supply.mayAdmit(publisher)) return errors.fail(
        error.OutOfMemory,
        "subscribers still have the memory of {d} slots that this publisher has replaced or taken away, all that " ++
            "its limit leaves (memoryLimit): close the frames of those that were evicted, or wait until they end",
        .{publisher.custody.count()},
    );
}

/// How many subscribers to frames another user may have: what they can hold, all of it lost to eviction, leaves half of
/// the memory to others.
fn shareOf(publisher: *const Publisher) u32 {
    return @max(1, publisher.supply.memories_max / 2 / layout.leases_max);
}

fn hasShare(publisher: *const Publisher, uid: u32) bool {
    var count: u32 = 0;
    var indexes = indexesOf(publisher.connected);
    while (indexes.next()) |index| count += @intFromBool(countsFor(&publisher.connections[index], uid));
    for (publisher.evicted[0..publisher.evicted_count]) |*connection| count += @intFromBool(countsFor(connection, uid));
    return count >= shareOf(publisher);
}

fn countsFor(connection: *const Connection, uid: u32) bool {
    return connection.uid == uid and connection.wants & protocol.want_frames != 0;
}

fn whatIs(peer: eviction.Peer) []const u8 {
    return if (peer.process != 0) "process" else "user";
}

/// A welcome and what goes with it.
const Welcome = struct {
    message: protocol.Welcome,
    descriptors: [socket.descriptors_max]i32 = undefined,
    count: usize = 0,

    fn add(welcome: *Welcome, descriptors: []const i32) void {
        @memcpy(welcome.descriptors[welcome.count..][0..descriptors.len], descriptors);
        welcome.count += descriptors.len;
    }
};

/// Adds a subscriber, together with the account of the ring as it is in that moment.
fn enter(publisher: *Publisher, index: u6, connection: *const Connection) Welcome {
    publisher.mutex.lock();
    defer publisher.mutex.unlock();
    const page = connection.page;
    // The frame that is there now is the first one delivered.
    page.address.cursor = publisher.writer.completed -| 1;
    var welcome: Welcome = .{ .message = .{
        .memory = publisher.control.memory,
        .max_slots = publisher.control.max_slots,
        .geometry = publisher.geometry,
        .packets_only = @intFromBool(publisher.packets_only),
        .slot_size = publisher.slot_size,
        .slots = 0,
        .cursor = page.address.cursor,
        .publisher_pid = publisher.control.publisher_pid,
        .device = publisher.slots.device(),
        .generations = @splat(0),
        .tracks = @splat(.none),
    } };
    welcome.add(&.{ publisher.control_fd, page.fd });
    const wants_frames = connection.wants & protocol.want_frames != 0 and !publisher.packets_only;
    if (wants_frames) {
        // What is being changed is owed to it when that is done.
        welcome.message.slots = publisher.writer.present & ~publisher.supply.changing;
        var slots = indexesOf(welcome.message.slots);
        while (slots.next()) |slot| {
            welcome.add(&.{publisher.slots.descriptor(@intCast(slot))});
            welcome.message.generations[slot] = publisher.writer.generations[slot];
        }
        publisher.custody.enter(page.address);
        slots = indexesOf(welcome.message.slots);
        while (slots.next()) |slot| {
            publisher.custody.hand(page.address, @intCast(slot), publisher.writer.generations[slot]);
        }
    }
    if (connection.wants & protocol.want_packets != 0) {
        for (publisher.tracks.all(), welcome.message.tracks[0..publisher.tracks.count]) |*track, *ring| {
            welcome.add(&.{track.ring.fd});
            ring.* = track.describe();
        }
    }
    publisher.connections[index] = connection.*;
    publisher.connected |= leases.bitOf(index);
    publisher.subscribers.add(index, page.address, if (!wants_frames) .packets_only else switch (connection.mode) {
        .newest => .newest,
        .ordered => .ordered,
    });
    return welcome;
}

/// Removes a subscriber, with all that it held.
fn leave(publisher: *Publisher, index: u6) void {
    {
        publisher.mutex.lock();
        defer publisher.mutex.unlock();
        const is_active = publisher.subscribers.active & leases.bitOf(index) != 0;
        // It may have been evicted in this moment.
        if (is_active) {
            publisher.subscribers.remove(index);
        } else publisher.subscribers.forget(publisher.connections[index].page.address);
        publisher.custody.leave(publisher.connections[index].page.address);
        publisher.connected &= ~leases.bitOf(index);
    }
    publisher.room.interrupt();
}

/// A lease page, the publisher's side of it.
const SharedPage = struct {
    address: *layout.LeasePage,
    fd: i32,

    fn create() Error!SharedPage {
        const fd = try memfd.create("cuframes-lease", layout.lease_page_size);
        errdefer os_fd.close(fd);
        const mapping = try memfd.mapNew(fd, layout.lease_page_size);
        errdefer memfd.unmap(mapping);
        try memfd.seal(fd, .keep_writable);
        return .{ .address = @ptrCast(mapping.ptr), .fd = fd };
    }

    fn deinit(page: *const SharedPage) void {
        const mapping: [*]align(std.heap.page_size_min) u8 = @ptrCast(@alignCast(page.address));
        memfd.unmap(mapping[0..layout.lease_page_size]);
        os_fd.close(page.fd);
    }
};

fn onSubscriber(context: *anyopaque, token: reactor.Token, fd: i32) void {
    const publisher: *Publisher = @ptrCast(@alignCast(context));
    for (publisher.evicted[0..publisher.evicted_count], 0..) |*connection, index| {
        // What it says does not matter any more, only that it goes.
        if (connection.token != token) continue;
        if (receiveFrom(publisher, token, fd) != null) dropEvicted(publisher, index);
        return;
    }
    const index = indexOf(publisher, token);
    if (receiveFrom(publisher, token, fd)) |over| {
        log.debug("{s}: subscriber on connection {d} {s}", .{ publisher.keyText(), fd, switch (over) {
            .gone => "has gone",
            .misbehaved => "dropped: what it said is not of the protocol",
        } });
        if (over == .misbehaved) countRejected(publisher);
        return drop(publisher, index);
    }
    const welcomed = publisher.connections[index].out.welcomed;
    outbox.flush(publisher, index);
    if (!welcomed and publisher.connections[index].out.welcomed) {
        reactor.settle(token);
        serveLine(publisher);
    }
}

/// Takes a subscriber's messages. Returns why it is to be dropped, null where it is not.
fn receiveFrom(publisher: *Publisher, token: reactor.Token, fd: i32) ?enum { gone, misbehaved } {
    for (0..messages_per_turn) |_| {
        var buffer: [@sizeOf(protocol.Released) + 1]u8 = undefined;
        const bytes = socket.receive(fd, &buffer, null) catch |failure| switch (failure) {
            error.WouldBlock => return null,
            error.Disconnected => return .gone,
            error.Truncated, error.DescriptorsExhausted => return .misbehaved,
        };
        // Leases are the protocol's: who breaks it has none. No subscriber of this library does.
        if (protocol.parse(protocol.Released, .released, bytes) == null) return .misbehaved;
        publisher.room.interrupt();
    }
    // The rest of them is no change.
    reactor.watchAgain(token);
    return null;
}

fn onWelcomeExpired(context: *anyopaque, token: reactor.Token, fd: i32) void {
    const publisher: *Publisher = @ptrCast(@alignCast(context));
    const index = indexOf(publisher, token);
    outbox.flush(publisher, index);
    if (!publisher.connections[index].out.welcomed) {
        countRejected(publisher);
        log.debug("{s}: dropped subscriber on connection {d}: it has not taken its welcome", .{
            publisher.keyText(),
            fd,
        });
        drop(publisher, index);
    } else serveLine(publisher);
}

fn indexOf(publisher: *const Publisher, token: reactor.Token) u6 {
    var indexes = indexesOf(publisher.connected);
    while (indexes.next()) |index| {
        if (publisher.connections[index].token == token) return @intCast(index);
    }
    unreachable;
}

/// Tells a subscriber that cannot be served that this is the end. What it holds stays as it is until it closes its
/// own side.
pub fn dismiss(publisher: *Publisher, index: u6) void {
    assert(reactor.isLocked());
    {
        publisher.mutex.lock();
        defer publisher.mutex.unlock();
        if (publisher.subscribers.active & leases.bitOf(index) != 0) publisher.subscribers.neglect(index);
    }
    socket.endSending(publisher.connections[index].fd);
    publisher.room.interrupt();
}

/// Frees all that a subscriber held: it has let go of it, or forfeited it.
fn drop(publisher: *Publisher, index: u6) void {
    assert(reactor.isLocked());
    const connection = publisher.connections[index];
    leave(publisher, index);
    end(publisher, &connection);
}

/// As `drop`, of one that was evicted.
pub fn dropEvicted(publisher: *Publisher, index: usize) void {
    assert(reactor.isLocked() and index < publisher.evicted_count);
    const connection = publisher.evicted[index];
    publisher.evicted_count -= 1;
    publisher.evicted[index] = publisher.evicted[publisher.evicted_count];
    {
        publisher.mutex.lock();
        defer publisher.mutex.unlock();
        publisher.subscribers.forget(connection.page.address);
        publisher.custody.leave(connection.page.address);
    }
    end(publisher, &connection);
}

fn end(publisher: *Publisher, connection: *const Connection) void {
    reactor.remove(connection.token);
    connection.page.deinit();
    if (connection.out.mayBeUnread(connection.fd)) {
        keepUnread(publisher, connection.fd, connection.uid);
    } else {
        socket.hangUp(connection.fd);
    }
    serveLine(publisher);
}

/// Keeps a connection that has ended, for as long as its peer has not read the descriptors that it was sent: nobody can
/// take them back, and they count.
fn keepUnread(publisher: *Publisher, fd: i32, uid: u32) void {
    const admission = &publisher.admission;
    socket.shutdown(fd);
    if (!socket.discardQueue(fd)) return closer.close(fd);
    assert(admission.unread_count < admission.unread.len);
    const handler: reactor.Handler = .{ .context = publisher, .ready = onUnread, .watch = .changes };
    const token = reactor.add(fd, handler, null) catch return socket.hangUp(fd);
    admission.unread[admission.unread_count] = .{ .fd = fd, .token = token, .uid = uid };
    admission.unread_count += 1;
}

fn onUnread(context: *anyopaque, token: reactor.Token, fd: i32) void {
    const publisher: *Publisher = @ptrCast(@alignCast(context));
    if (!socket.isAllRead(fd)) return;
    const index = for (publisher.admission.unread[0..publisher.admission.unread_count], 0..) |*one, index| {
        if (one.token == token) break index;
    } else unreachable;
    socket.hangUp(removeUnread(publisher, index).fd);
    serveLine(publisher);
}

fn removeUnread(publisher: *Publisher, index: usize) Unread {
    const admission = &publisher.admission;
    assert(reactor.isLocked() and index < admission.unread_count);
    const unread = admission.unread[index];
    reactor.remove(unread.token);
    admission.unread_count -= 1;
    admission.unread[index] = admission.unread[admission.unread_count];
    return unread;
}

const testing = std.testing;

/// Of 1×1 pixel, in three slots; it waits for ordered subscribers.
fn createForTest(folder: *const directory.Path) !*Publisher {
    var options = std.mem.zeroes(@import("publisher.zig").Options);
    texts.set(&options.key, "crowd");
    texts.set(&options.directory, folder.slice());
    options.format = @intFromEnum(format.Format.GRAY8);
    options.width = 1;
    options.height = 1;
    options.slots = 3;
    options.max_slots = 3;
    options.policy = @intFromEnum(frame_ring.Policy.wait);
    options.socket_mode = 0o600;
    return .create(&options, &.{});
}

test "a hello that has come before its connection makes room is answered; silence is not" {
    const folder: directory.Path = try .init("/tmp/cuframes-publisher-test-{d}", .{linux.getpid()});
    defer _ = linux.rmdir(folder.z());
    const publisher = try createForTest(&folder);
    defer publisher.close();
    const path = publisher.claim.path();
    const address: socket.Address = try .init(path.slice());

    // Everything happens between two turns of the reactor's thread.
    reactor.lock();
    defer reactor.unlock();
    var connections: [2 + pending_max]i32 = undefined;
    defer for (connections) |fd| os_fd.close(fd);
    for (connections[0..2]) |*fd| fd.* = try socket.connect(&address, path.slice(), 1000);
    onConnection(publisher, publisher.admission.listener_token, publisher.listener);
    var hello: protocol.Hello = .{ .wants = protocol.want_frames, .mode = 0, .name = undefined };
    texts.set(&hello.name, "early enough");
    try socket.send(connections[0], std.mem.asBytes(&hello), &.{});
    for (connections[2..]) |*fd| fd.* = try socket.connect(&address, path.slice(), 1000);
    for (0..pending_max / accepts_per_turn) |_| {
        onConnection(publisher, publisher.admission.listener_token, publisher.listener);
    }

    var buffer: [@sizeOf(protocol.Welcome) + 1]u8 = undefined;
    var descriptors: socket.Descriptors = .{};
    const answer = try socket.receive(connections[0], &buffer, &descriptors);
    defer descriptors.deinit();
    try testing.expect(protocol.parse(protocol.Welcome, .welcome, answer) != null);
    try testing.expectError(error.Disconnected, socket.receive(connections[1], &buffer, null));
    try testing.expectError(error.WouldBlock, socket.receive(connections[2], &buffer, null));
    try testing.expectEqual(1, publisher.admission.rejected);
    try testing.expectEqual(pending_max, publisher.admission.pending_count);
}

/// Connects and says hello.
fn connectForTest(publisher: *const Publisher, wants: u32, mode: frame_ring.Mode) !i32 {
    const claimed = publisher.claim.path();
    const path = claimed.slice();
    const fd = try socket.connect(&try .init(path), path, 1000);
    errdefer os_fd.close(fd);
    var hello: protocol.Hello = .{ .wants = wants, .mode = @intFromEnum(mode), .name = undefined };
    texts.set(&hello.name, "test");
    try socket.send(fd, std.mem.asBytes(&hello), &.{});
    return fd;
}

/// Takes the welcome, without what came with it.
fn expectWelcome(fd: i32) !void {
    _ = try socket.pollReadable(&.{fd}, .fromMilliseconds(30_000));
    var buffer: [@sizeOf(protocol.Report)]u8 = undefined;
    var descriptors: socket.Descriptors = .{};
    const bytes = try socket.receive(fd, &buffer, &descriptors);
    defer descriptors.deinit();
    try testing.expect(protocol.parse(protocol.Welcome, .welcome, bytes) != null);
}

/// Sends a descriptor and keeps none, before the reactor sees it: else who closes it last would be this thread.
fn sendLast(fd: i32, bytes: []const u8, descriptor: i32) !void {
    reactor.lock();
    defer reactor.unlock();
    try socket.send(fd, bytes, &.{descriptor});
    os_fd.close(descriptor);
}

fn awaitSubscribers(publisher: *Publisher, count: u32) !void {
    const deadline: clock.Deadline = .fromMilliseconds(30_000);
    while (publisher.stats().subscribers != count) {
        try testing.expect(!deadline.passed());
        std.Thread.yield() catch {};
    }
}

test "where the kernel lets descriptors through, those of peers hold up nobody: in a hello, in a message, unread" {
    // QEMU (7.2) knows neither SIOCOUTQ nor SO_PASSRIGHTS.
    if (@import("test_options").emulated) return error.SkipZigTest;
    // What takes a minute to close holds up whoever closes it for that long.
    const soon: clock.Deadline = .fromMilliseconds(20_000);
    const folder: directory.Path = try .init("/tmp/cuframes-publisher-test-{d}", .{linux.getpid()});
    defer _ = linux.rmdir(folder.z());
    socket.kernel_refuses = false;
    defer socket.kernel_refuses = true;
    const publisher = try createForTest(&folder);
    const claimed = publisher.claim.path();
    const path = claimed.slice();
    var lingering: [4]closer.Lingering = undefined;
    for (&lingering) |*one| one.* = try .init(60);
    defer for (lingering) |one| one.deinit();
    var hello: protocol.Hello = .{ .wants = protocol.want_frames, .mode = 0, .name = @splat(0) };
    const released: protocol.Released = .{};

    const greeting = try socket.connect(&try .init(path), path, 1000);
    defer os_fd.close(greeting);
    try sendLast(greeting, std.mem.asBytes(&hello), lingering[0].fd);
    _ = try socket.pollReadable(&.{greeting}, soon);
    try testing.expectEqual(1, publisher.stats().rejected);

    const subscriber = try connectForTest(publisher, protocol.want_frames, .newest);
    defer os_fd.close(subscriber);
    try expectWelcome(subscriber);
    try sendLast(subscriber, std.mem.asBytes(&released), lingering[1].fd);
    try awaitSubscribers(publisher, 0);
    try testing.expectEqual(2, publisher.stats().rejected);

    // Behind what the reactor has read, and on one that nobody has accepted: nobody but the end sees to these.
    const last = try connectForTest(publisher, protocol.want_frames, .newest);
    try expectWelcome(last);
    reactor.lock();
    for (0..2) |_| try socket.send(last, std.mem.asBytes(&released), &.{});
    try socket.send(last, std.mem.asBytes(&released), &.{lingering[2].fd});
    os_fd.close(lingering[2].fd);
    os_fd.close(last);
    const queued = try socket.connect(&try .init(path), path, 1000);
    try socket.send(queued, "hello", &.{lingering[3].fd});
    os_fd.close(lingering[3].fd);
    os_fd.close(queued);
    reactor.unlock();
    publisher.cancel(try publisher.acquire(.fromMilliseconds(1000))) catch unreachable;
    publisher.close();
    reactor.lock();
    reactor.unlock();
    try testing.expect(!soon.passed());
}

test "a welcome that is not taken is given its time, and the line moves when one is" {
    // QEMU (7.2) knows neither SIOCOUTQ nor SO_PASSRIGHTS.
    if (@import("test_options").emulated) return error.SkipZigTest;
    const folder: directory.Path = try .init("/tmp/cuframes-publisher-test-{d}", .{linux.getpid()});
    defer _ = linux.rmdir(folder.z());
    const publisher = try createForTest(&folder);
    defer publisher.close();
    var fds: [untaken_max + 2]i32 = undefined;
    for (&fds) |*fd| fd.* = try connectForTest(publisher, protocol.want_frames, .newest);
    defer for (fds[1..]) |fd| os_fd.close(fd);
    for (fds[0..untaken_max]) |fd| _ = try socket.pollReadable(&.{fd}, .fromMilliseconds(30_000));
    // A report costs no descriptors, so that nobody waits for it, and it comes behind what was said before.
    const inspector = try connectForTest(publisher, protocol.want_report, .newest);
    defer os_fd.close(inspector);
    _ = try socket.pollReadable(&.{inspector}, .fromMilliseconds(30_000));
    try testing.expectEqual(untaken_max, publisher.stats().subscribers);
    for (fds[untaken_max..]) |fd| {
        var byte: [1]u8 = undefined;
        try testing.expectError(error.WouldBlock, socket.receive(fd, &byte, null));
    }
    // One is taken, then one goes: each time the next one comes.
    try expectWelcome(fds[1]);
    _ = try socket.pollReadable(&.{fds[2]}, .fromMilliseconds(30_000));
    os_fd.close(fds[0]);
    for (fds[untaken_max..]) |fd| try expectWelcome(fd);
    try awaitSubscribers(publisher, untaken_max + 1);
    try testing.expectEqual(0, publisher.stats().rejected);
}

test "a subscriber that has gone without having read what it was sent has gone, and is not counted" {
    // QEMU (7.2) knows neither SIOCOUTQ nor SO_PASSRIGHTS.
    if (@import("test_options").emulated) return error.SkipZigTest;
    const folder: directory.Path = try .init("/tmp/cuframes-publisher-test-{d}", .{linux.getpid()});
    defer _ = linux.rmdir(folder.z());
    const publisher = try createForTest(&folder);
    defer publisher.close();
    const fd = try connectForTest(publisher, protocol.want_frames, .newest);
    try awaitSubscribers(publisher, 1);
    // It says something that the publisher has not read, which the kernel tells as a reset.
    os_fd.close(fd);
    try awaitSubscribers(publisher, 0);
    try testing.expectEqual(0, publisher.stats().rejected);
}

test "a subscriber that cannot be handed the packet ring keeps the frames it holds until it has gone" {
    // QEMU (7.2) knows neither SIOCOUTQ nor SO_PASSRIGHTS.
    if (@import("test_options").emulated) return error.SkipZigTest;
    const folder: directory.Path = try .init("/tmp/cuframes-publisher-test-{d}", .{linux.getpid()});
    defer _ = linux.rmdir(folder.z());
    const publisher = try createForTest(&folder);
    defer publisher.close();
    const path = publisher.claim.path();
    const address: socket.Address = try .init(path.slice());
    const fd = try socket.connect(&address, path.slice(), 1000);
    errdefer os_fd.close(fd);
    var hello: protocol.Hello = .{
        .wants = protocol.want_frames | protocol.want_packets,
        .mode = @intFromEnum(frame_ring.Mode.ordered),
        .name = undefined,
    };
    texts.set(&hello.name, "deaf");
    try socket.send(fd, std.mem.asBytes(&hello), &.{});
    _ = try socket.pollReadable(&.{fd}, .fromMilliseconds(30_000));
    var buffer: [@sizeOf(protocol.Welcome) + 1]u8 = undefined;
    var descriptors: socket.Descriptors = .{};
    _ = try socket.receive(fd, &buffer, &descriptors);
    defer descriptors.deinit();
    const page = try memfd.map(descriptors.items[1], layout.lease_page_size, .read_write);
    defer memfd.unmap(page);
    const control = try memfd.map(descriptors.items[0], layout.control_size, .read_only);
    defer memfd.unmap(control);
    var reader: frame_ring.Reader = .init(@ptrCast(control.ptr), @ptrCast(page.ptr), 3, .ordered, 0);
    for (0..3) |slot| reader.setMemory(@intCast(slot), 1);
    var record = std.mem.zeroes(@import("frames.zig").PublishRecord);
    for (0..3) |_| try publisher.publish(try publisher.tryAcquire(), &record);
    const held = (try reader.next()).?;
    try testing.expectError(error.WouldBlock, publisher.tryAcquire());

    // What is sent to it fails from now on; it says nothing by that.
    _ = linux.shutdown(fd, linux.SHUT.RD);
    var packet_options = std.mem.zeroes(@import("packet_tracks.zig").PacketOptions);
    packet_options.ring_slots = 1;
    packet_options.data_size = 1;
    packet_options.max_packet_size = 1;
    packet_options.track = .{ .kind = @intFromEnum(@import("track.zig").Kind.video), .codec_id = 27 };
    _ = try publisher.addTrack(&packet_options);
    for (0..8) |_| {
        // Nobody waits for it any more, once the reactor has tried.
        const slot = try publisher.acquire(.fromMilliseconds(30_000));
        try testing.expect(slot != held.slot);
        try publisher.publish(slot, &record);
    }
    try testing.expectEqual(1, publisher.stats().slots_leased);

    os_fd.close(fd);
    const deadline: clock.Deadline = .fromMilliseconds(30_000);
    while (publisher.stats().subscribers > 0) {
        try testing.expect(!deadline.passed());
        std.Thread.yield() catch {};
    }
    _ = try publisher.tryAcquire();
}

test "a process has 8192 sockets: one more is refused, to a new publisher and to a connection, until one is closed" {
    // QEMU (7.2) knows neither SIOCOUTQ nor SO_PASSRIGHTS.
    if (@import("test_options").emulated) return error.SkipZigTest;
    const sockets_max = 8192; // as docs/protocol.md has it
    var limit: linux.rlimit = undefined;
    _ = try errors.check(linux.getrlimit(.NOFILE, &limit), "getrlimit", "NOFILE");
    const before = limit;
    limit.cur = @max(limit.cur, sockets_max + 256);
    if (limit.cur > limit.max) return error.SkipZigTest; // there is no room for so many descriptors
    _ = try errors.check(linux.setrlimit(.NOFILE, &limit), "setrlimit", "NOFILE");
    defer _ = linux.setrlimit(.NOFILE, &before);

    const Idle = struct {
        fn ready(_: *anyopaque, _: reactor.Token, _: i32) void {}

        fn remove(token: reactor.Token, fd: i32) void {
            reactor.remove(token);
            os_fd.close(fd);
        }
    };
    const folder: directory.Path = try .init("/tmp/cuframes-publisher-test-{d}", .{linux.getpid()});
    defer _ = linux.rmdir(folder.z());
    var fds: [sockets_max + 1]i32 = undefined;
    var tokens: [sockets_max + 1]reactor.Token = undefined;
    var count: usize = 0;
    reactor.lock();
    defer {
        for (tokens[0..count], fds[0..count]) |token, fd| Idle.remove(token, fd);
        reactor.unlock();
    }
    while (count <= sockets_max) : (count += 1) {
        const fd: i32 = @intCast(try errors.check(linux.eventfd(0, linux.EFD.CLOEXEC), "eventfd", "test"));
        errdefer os_fd.close(fd);
        fds[count] = fd;
        tokens[count] = reactor.add(fd, .{ .context = &count, .ready = Idle.ready }, null) catch |refusal| {
            try testing.expectEqual(error.OutOfMemory, refusal);
            os_fd.close(fd);
            break;
        };
    }
    try testing.expectEqual(sockets_max, count);
    try testing.expect(std.mem.find(u8, errors.message(), "8192 cuframes connections") != null);

    // A publisher has two.
    for (0..2) |_| {
        reactor.unlock();
        defer reactor.lock();
        try testing.expectError(error.OutOfMemory, createForTest(&folder));
        reactor.lock();
        defer reactor.unlock();
        count -= 1;
        Idle.remove(tokens[count], fds[count]);
    }
    reactor.unlock();
    defer reactor.lock();
    const publisher = try createForTest(&folder);
    defer publisher.close();
    const path = publisher.claim.path();
    const refused = try socket.connect(&try .init(path.slice()), path.slice(), 1000);
    defer os_fd.close(refused);
    _ = try socket.pollReadable(&.{refused}, .fromMilliseconds(30_000));
    var byte: [1]u8 = undefined;
    try testing.expectError(error.Disconnected, socket.receive(refused, &byte, null));
    try testing.expectEqual(1, publisher.stats().rejected);

    {
        reactor.lock();
        defer reactor.unlock();
        count -= 1;
        Idle.remove(tokens[count], fds[count]);
    }
    const fd = try connectForTest(publisher, protocol.want_frames, .newest);
    defer os_fd.close(fd);
    try expectWelcome(fd);
    try awaitSubscribers(publisher, 1);
}
