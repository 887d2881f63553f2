//! This file decides who comes to a publisher and who goes: it accepts, answers the hello, and sees the connection's
//! end. The reactor calls all of it, with its lock held.

const std = @import("std");
const linux = std.os.linux;
const assert = std.debug.assert;
const errors = @import("../core/mod.zig").errors;
const layout = @import("../ring/mod.zig").layout;
const frame_ring = @import("../ring/mod.zig").frames;
const packets = @import("../ring/mod.zig").packets;
const channel = @import("../ring/mod.zig").channel;
const memfd = @import("../os/mod.zig").memfd;
const os_fd = @import("../os/mod.zig").fd;
const socket = @import("../os/mod.zig").socket;
const clock = @import("../os/mod.zig").clock;
const directory = @import("../os/mod.zig").directory;
const log = @import("../os/mod.zig").log;
const format = @import("../core/mod.zig").format;
const protocol = @import("protocol.zig");
const reactor = @import("reactor.zig");
const report = @import("report.zig");
const Publisher = @import("publisher.zig").Publisher;
const Error = errors.Error;

/// A connection that has not said its hello by then is dropped.
const handshake_timeout_ms = 2000;
/// More silent connections than this push out the oldest of them.
const pending_max = 64;
/// How long nobody is accepted when not even one can be refused.
const exhaustion_pause_ms = 100;
/// Per wake-up, so that one connection cannot keep the reactor from the others.
const accepts_per_turn = 32;
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
    connected_ns: u64,
};

const Pending = struct { fd: i32, token: reactor.Token };

/// The connections that have not said their hello yet, and what is kept for those to come.
pub const Admission = struct {
    listener_token: reactor.Token = undefined,
    pending: [pending_max]Pending = undefined,
    pending_count: usize = 0,
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

/// Closes every connection that has said nothing yet.
pub fn dropAllPending(publisher: *Publisher) void {
    assert(reactor.isLocked());
    while (publisher.admission.pending_count > 0) os_fd.close(removePending(publisher, 0).fd);
}

/// Ends every connection, with both locks held.
pub fn dropAll(publisher: *Publisher) void {
    assert(reactor.isLocked() and publisher.mutex.isHeld());
    var indexes = indexesOf(publisher.subscribers.active);
    while (indexes.next()) |index| drop(publisher, @intCast(index));
    assert(publisher.subscribers.active == 0);
}

/// The indexes of the subscribers in a mask.
pub fn indexesOf(mask: u64) std.bit_set.IntegerBitSet(64).Iterator(.{}) {
    const set: std.bit_set.IntegerBitSet(64) = .{ .mask = mask };
    return set.iterator(.{});
}

fn onConnection(context: *anyopaque, _: reactor.Token, listener: i32) void {
    const publisher: *Publisher = @ptrCast(@alignCast(context));
    if (publisher.admission.spare_fd < 0) publisher.admission.spare_fd = openSpare();
    for (0..accepts_per_turn) |_| {
        const fd = socket.accept(listener) catch |failure| switch (failure) {
            error.WouldBlock => return,
            error.Aborted => continue,
            error.DescriptorsExhausted => {
                refuseForDescriptors(publisher, listener);
                return;
            },
        };
        log.debug("{s}: accepted connection {d}", .{ publisher.keyText(), fd });
        // An honest subscriber has sent its hello by now.
        handshake(publisher, fd) catch |failure| switch (failure) {
            error.WouldBlock => postpone(publisher, fd),
            error.Done => {},
        };
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
        // Read first: closing with its hello unread would take the refusal back.
        var hello: [hello_room]u8 = undefined;
        _ = socket.receive(fd, &hello, null) catch {};
        refuse(fd, error.OutOfMemory, "the publisher has no file descriptors left");
        os_fd.close(fd);
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

/// Gives a silent connection its time; the one that has been silent the longest makes room.
fn postpone(publisher: *Publisher, fd: i32) void {
    assert(reactor.isLocked() and publisher.admission.pending_count <= pending_max);
    if (publisher.admission.pending_count == pending_max) dropPending(publisher, 0);
    const deadline: clock.Deadline = .fromMilliseconds(handshake_timeout_ms);
    const handler: reactor.Handler = .{ .context = publisher, .ready = onPending, .expired = onExpired };
    const token = reactor.add(fd, handler, deadline) catch {
        countRejected(publisher);
        return os_fd.close(fd);
    };
    publisher.admission.pending[publisher.admission.pending_count] = .{ .fd = fd, .token = token };
    publisher.admission.pending_count += 1;
}

/// A hello that has come in the meantime is answered all the same.
fn dropPending(publisher: *Publisher, index: usize) void {
    const pending = removePending(publisher, index);
    handshake(publisher, pending.fd) catch |failure| switch (failure) {
        error.WouldBlock => {
            countRejected(publisher);
            log.debug("{s}: dropped connection {d}: it has said nothing", .{ publisher.keyText(), pending.fd });
            os_fd.close(pending.fd);
        },
        error.Done => {},
    };
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
    const pending = removePending(publisher, pendingIndex(publisher, token));
    handshake(publisher, pending.fd) catch |failure| switch (failure) {
        error.WouldBlock => postpone(publisher, pending.fd),
        error.Done => {},
    };
}

fn onExpired(context: *anyopaque, token: reactor.Token, _: i32) void {
    const publisher: *Publisher = @ptrCast(@alignCast(context));
    dropPending(publisher, pendingIndex(publisher, token));
}

const other_version_message = std.fmt.comptimePrint(
    "this publisher speaks protocol version {d} and the subscriber does not: use the same release on both sides",
    .{layout.version},
);

/// Takes the hello and answers it. WouldBlock: nothing was said yet, the descriptor is still the caller's.
/// Done: it is not, whatever happened.
fn handshake(publisher: *Publisher, fd: i32) error{ WouldBlock, Done }!void {
    assert(reactor.isLocked() and fd >= 0);
    var buffer: [hello_room]u8 = undefined;
    const bytes = socket.receive(fd, &buffer, null) catch |failure| switch (failure) {
        error.WouldBlock => return error.WouldBlock,
        error.Disconnected => return reject(publisher, fd, "it has gone", null),
        error.Truncated, error.DescriptorsExhausted => return reject(
            publisher,
            fd,
            "its hello has too much in it",
            null,
        ),
    };
    const hello = protocol.parse(protocol.Hello, .hello, bytes) orelse {
        const other_version = protocol.prefixProblem(bytes) == .other_version;
        if (other_version) return reject(publisher, fd, "it speaks another version", other_version_message);
        return reject(publisher, fd, "what it said is no hello", null);
    };
    const mode = std.enums.fromInt(frame_ring.Mode, hello.mode) orelse {
        return reject(publisher, fd, "its mode is not known", null);
    };
    const known_wants = protocol.want_frames | protocol.want_packets | protocol.want_report;
    const sensible = hello.wants != 0 and hello.wants & ~known_wants == 0 and
        hello.device_count <= protocol.devices_max;
    if (!sensible) return reject(publisher, fd, "its hello asks for what there is not", null);

    if (hello.wants & protocol.want_report != 0) {
        report.send(publisher, fd);
        log.debug("{s}: sent a report to connection {d}", .{ publisher.keyText(), fd });
        os_fd.close(fd);
        return error.Done;
    }
    if (admit(publisher, fd, &hello, mode)) {
        log.debug("{s}: shook hands with connection {d}, a subscriber now", .{ publisher.keyText(), fd });
    } else |failure| {
        log.debug("{s}: refused connection {d}: {s}", .{ publisher.keyText(), fd, errors.message() });
        refuse(fd, failure, errors.message());
        os_fd.close(fd);
    }
    return error.Done;
}

/// Drops a connection. It is told no more than `answer`, and the log `why`.
fn reject(publisher: *Publisher, fd: i32, why: []const u8, answer: ?[]const u8) error{Done} {
    countRejected(publisher);
    log.debug("{s}: dropped connection {d}: {s}", .{ publisher.keyText(), fd, why });
    if (answer) |text| refuse(fd, error.Protocol, text);
    os_fd.close(fd);
    return error.Done;
}

fn refuse(fd: i32, failure: Error, reason: []const u8) void {
    var refusal: protocol.Refusal = .{ .code = @intFromEnum(errors.codeOf(failure)), .message = undefined };
    protocol.setText(&refusal.message, reason);
    // The connection ends either way.
    socket.send(fd, std.mem.asBytes(&refusal), &.{}) catch {};
}

fn admit(publisher: *Publisher, fd: i32, hello: *const protocol.Hello, mode: frame_ring.Mode) Error!void {
    publisher.mutex.lock();
    defer publisher.mutex.unlock();
    const index: u6 = @intCast(@ctz(~publisher.subscribers.active) % layout.subscribers_max);
    if (~publisher.subscribers.active == 0) {
        return errors.fail(
            error.TooManySubscribers,
            "the publisher has {d} subscribers, the most it may have",
            .{layout.subscribers_max},
        );
    }
    const wants_frames = hello.wants & protocol.want_frames != 0;
    if (wants_frames) try publisher.slots.requireDevice(hello.devices[0..hello.device_count]);

    const page: SharedPage = try .create();
    errdefer page.deinit();
    // The frame that is there now is the first one delivered.
    page.address.cursor = publisher.writer.completed -| 1;
    const token = try reactor.add(fd, .{ .context = publisher, .ready = onSubscriber }, null);
    errdefer reactor.remove(token);
    try welcome(publisher, fd, hello, &page);
    var connection: Connection = .{
        .fd = fd,
        .token = token,
        .page = page,
        .name = hello.name,
        .mode = mode,
        .wants = hello.wants,
        .pid = socket.peerPid(fd),
        .connected_ns = clock.monotonicNs(),
    };
    protocol.sanitizeText(&connection.name);
    publisher.connections[index] = connection;
    publisher.subscribers.add(index, page.address, wants_frames and mode == .ordered);
}

/// A lease page, the publisher's side of it.
const SharedPage = struct {
    address: *layout.LeasePage,
    fd: i32,

    fn create() Error!SharedPage {
        const fd = try memfd.create("cuframes-lease", layout.lease_page_size);
        errdefer os_fd.close(fd);
        const mapping = try memfd.map(fd, layout.lease_page_size, .read_write);
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

/// Hands over what the hello asked for. With the mutex held.
fn welcome(publisher: *const Publisher, fd: i32, hello: *const protocol.Hello, page: *const SharedPage) Error!void {
    assert(publisher.mutex.isHeld());
    assert(page.address.cursor <= publisher.writer.completed);
    var message: protocol.Welcome = .{
        .memory = publisher.control.memory,
        .slot_count = publisher.writer.slot_count,
        .geometry = publisher.geometry,
        .slot_size = publisher.slot_size,
        .packets_size = 0,
        .cursor = page.address.cursor,
        .packet_cursor = 0,
        .publisher_pid = publisher.control.publisher_pid,
        .device = publisher.slots.device(),
    };
    var descriptors: [socket.descriptors_max]i32 = undefined;
    descriptors[0] = publisher.control_fd;
    descriptors[1] = page.fd;
    var count: usize = 2;
    if (hello.wants & protocol.want_frames != 0) {
        const slots = publisher.slots.descriptors();
        assert(slots.len == publisher.writer.slot_count);
        @memcpy(descriptors[count..][0..slots.len], slots);
        count += slots.len;
    }
    if (publisher.packet_ring) |*ring| if (hello.wants & protocol.want_packets != 0) {
        descriptors[count] = ring.fd;
        count += 1;
        message.packets_size = ring.region.len;
        message.packet_cursor = (packets.Reader.init(ring.region) catch unreachable).next; // a ring of our own
    };
    assert(count <= descriptors.len);
    socket.send(fd, std.mem.asBytes(&message), descriptors[0..count]) catch {
        return errors.fail(error.Io, "the publisher could not hand over its {d} descriptors", .{count});
    };
}

fn onSubscriber(context: *anyopaque, token: reactor.Token, fd: i32) void {
    const publisher: *Publisher = @ptrCast(@alignCast(context));
    const over = receiveFrom(publisher, token, fd) orelse return;
    // Behind the mutex, which acquire takes.
    log.debug("{s}: subscriber on connection {d} {s}", .{ publisher.keyText(), fd, switch (over) {
        .gone => "has gone",
        .misbehaved => "dropped: what it said is not of the protocol",
    } });
}

/// Takes a subscriber's messages. Returns why it was dropped, null where it was not.
fn receiveFrom(publisher: *Publisher, token: reactor.Token, fd: i32) ?enum { gone, misbehaved } {
    publisher.mutex.lock();
    defer publisher.mutex.unlock();
    for (0..messages_per_turn) |_| {
        var buffer: [@sizeOf(protocol.Released) + 1]u8 = undefined;
        const bytes = socket.receive(fd, &buffer, null) catch |failure| switch (failure) {
            error.WouldBlock => return null,
            error.Disconnected => {
                drop(publisher, indexOf(publisher, token));
                return .gone;
            },
            error.Truncated, error.DescriptorsExhausted => "",
        };
        // Leases are the protocol's: who breaks it has none. No subscriber of this library does.
        if (protocol.parse(protocol.Released, .released, bytes) == null) {
            countRejected(publisher);
            drop(publisher, indexOf(publisher, token));
            return .misbehaved;
        }
        channel.interrupt(&publisher.room);
    }
    return null;
}

fn indexOf(publisher: *const Publisher, token: reactor.Token) u6 {
    var indexes = indexesOf(publisher.subscribers.active);
    while (indexes.next()) |index| {
        if (publisher.connections[index].token == token) return @intCast(index);
    }
    unreachable;
}

/// Tells a subscriber that cannot be served that this is the end. What it holds stays as it is until it closes its
/// own side. With the mutex held.
pub fn dismiss(publisher: *Publisher, index: u6) void {
    assert(publisher.mutex.isHeld());
    publisher.subscribers.neglect(index);
    socket.endSending(publisher.connections[index].fd);
    channel.interrupt(&publisher.room);
}

/// Frees all that a subscriber held: it has let go of it, or forfeited it. With both locks held.
fn drop(publisher: *Publisher, index: u6) void {
    assert(reactor.isLocked() and publisher.mutex.isHeld());
    const connection = &publisher.connections[index];
    publisher.subscribers.remove(index);
    reactor.remove(connection.token);
    os_fd.close(connection.fd);
    connection.page.deinit();
    channel.interrupt(&publisher.room);
}

const testing = std.testing;

/// Of 1×1 pixel, in three slots; it waits for ordered subscribers.
fn createForTest(folder: *const directory.Path) !*Publisher {
    var options = std.mem.zeroes(@import("publisher.zig").Options);
    protocol.setText(&options.key, "crowd");
    protocol.setText(&options.directory, folder.slice());
    options.format = @intFromEnum(format.Format.GRAY8);
    options.width = 1;
    options.height = 1;
    options.slot_count = 3;
    options.policy = @intFromEnum(frame_ring.Policy.wait);
    options.socket_mode = 0o600;
    return .create(&options);
}

test "a hello that has come before its connection makes room is answered; silence is not" {
    const folder: directory.Path = try .init("/tmp/cuframes-publisher-test-{d}", .{linux.getpid()});
    defer _ = linux.rmdir(folder.z());
    const publisher = try createForTest(&folder);
    defer publisher.close();
    const address: socket.Address = try .init(publisher.paths.socket.slice());

    // Everything happens between two turns of the reactor's thread.
    reactor.lock();
    defer reactor.unlock();
    var connections: [2 + pending_max]i32 = undefined;
    defer for (connections) |fd| os_fd.close(fd);
    for (connections[0..2]) |*fd| fd.* = try socket.connect(&address, publisher.paths.socket.slice(), 1000);
    onConnection(publisher, publisher.admission.listener_token, publisher.listener);
    var hello: protocol.Hello = .{ .wants = protocol.want_frames, .mode = 0, .name = undefined };
    protocol.setText(&hello.name, "early enough");
    try socket.send(connections[0], std.mem.asBytes(&hello), &.{});
    for (connections[2..]) |*fd| fd.* = try socket.connect(&address, publisher.paths.socket.slice(), 1000);
    for (0..2) |_| onConnection(publisher, publisher.admission.listener_token, publisher.listener);

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

test "a subscriber that cannot be handed the packet ring keeps the frames it holds until it has gone" {
    const folder: directory.Path = try .init("/tmp/cuframes-publisher-test-{d}", .{linux.getpid()});
    defer _ = linux.rmdir(folder.z());
    const publisher = try createForTest(&folder);
    defer publisher.close();
    const address: socket.Address = try .init(publisher.paths.socket.slice());
    const fd = try socket.connect(&address, publisher.paths.socket.slice(), 1000);
    errdefer os_fd.close(fd);
    var hello: protocol.Hello = .{
        .wants = protocol.want_frames | protocol.want_packets,
        .mode = @intFromEnum(frame_ring.Mode.ordered),
        .name = undefined,
    };
    protocol.setText(&hello.name, "deaf");
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
    var record = std.mem.zeroes(@import("frames.zig").PublishRecord);
    for (0..3) |_| try publisher.publish(try publisher.tryAcquire(), &record);
    const held = (try reader.next()).?;
    try testing.expectError(error.WouldBlock, publisher.tryAcquire());

    // What is sent to it fails from now on; it says nothing by that.
    _ = linux.shutdown(fd, linux.SHUT.RD);
    try publisher.enablePackets(
        &.{ .ring_slots = 1, .data_size = 1, .max_packet_size = 1, .codec_id = 27, .named = 0 },
    );
    for (0..8) |_| {
        // Nobody waits for it any more.
        const slot = try publisher.tryAcquire();
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
