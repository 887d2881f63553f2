//! A reader that holds so many frames for so long that its publisher has no slot left loses its connection. What it
//! holds stays as it is until it lets go. Who loses its connection so again and again is refused for a while.

const std = @import("std");
const assert = std.debug.assert;
const layout = @import("../ring/mod.zig").layout;
const leases = @import("../ring/mod.zig").leases;
const clock = @import("../os/mod.zig").clock;
const log = @import("../os/mod.zig").log;
const socket = @import("../os/mod.zig").socket;
const linux = std.os.linux;
const protocol = @import("protocol.zig");
const texts = @import("text.zig");
const reactor = @import("reactor.zig");
const admission = @import("admission.zig");
const events = @import("publisher_events.zig");
const Publisher = @import("publisher.zig").Publisher;

/// The second time within memory is refused for so long, and each one after it for twice as long.
const refusal_first_ns = std.time.ns_per_s;
/// A process of the publisher's own user may be an honest program with many subscribers, whose evictions add up, and
/// could do worse to the publisher anyway; another user may do it on purpose.
const refusal_max_process_ns = 5 * std.time.ns_per_s;
const refusal_max_user_ns = 600 * std.time.ns_per_s;

/// Guarded by the publisher's mutex.
pub const Record = struct {
    /// Readers evicted so far.
    count: u32 = 0,
    last: protocol.Eviction = std.mem.zeroes(protocol.Eviction),
    offenders: Offenders = .{},
};

/// Whoever was evicted lately.
const Offenders = struct {
    items: [capacity]Offender = @splat(.{}),

    const capacity = 64;

    const Offender = struct {
        peer: Peer = .{ .uid = 0, .process = 0 },
        evictions: u32 = 0,
        evicted_ns: u64 = 0,
        refused_until_ns: u64 = 0,

        /// It is as good as anybody then.
        fn isForgotten(offender: *const Offender, now_ns: u64) bool {
            const memory_ns = 2 * @max(penalty(offender.peer, offender.evictions), 10 * refusal_first_ns);
            return offender.evictions == 0 or now_ns >= offender.evicted_ns +| memory_ns;
        }
    };

    /// Counts an eviction; returns how long the peer is refused, 0 the first time.
    fn add(offenders: *Offenders, peer: Peer, now_ns: u64) u64 {
        const offender = offenders.find(peer) orelse offenders.oldest();
        if (!std.meta.eql(offender.peer, peer) or offender.isForgotten(now_ns)) offender.* = .{ .peer = peer };
        offender.evictions +|= 1;
        offender.evicted_ns = now_ns;
        const refused_ns = penalty(peer, offender.evictions);
        offender.refused_until_ns = now_ns +| refused_ns;
        return refused_ns;
    }

    fn penalty(peer: Peer, evictions: u32) u64 {
        if (evictions < 2) return 0;
        const doublings: u6 = @intCast(@min(evictions - 2, 20));
        const max_ns: u64 = if (peer.isUser()) refusal_max_user_ns else refusal_max_process_ns;
        return @min(@as(u64, refusal_first_ns) << doublings, max_ns);
    }

    fn find(offenders: *Offenders, peer: Peer) ?*Offender {
        for (&offenders.items) |*offender| {
            if (offender.evictions > 0 and std.meta.eql(offender.peer, peer)) return offender;
        }
        return null;
    }

    fn oldest(offenders: *Offenders) *Offender {
        var found = &offenders.items[0];
        for (&offenders.items) |*offender| {
            if (offender.evicted_ns < found.evicted_ns) found = offender;
        }
        return found;
    }
};

/// Who is answerable for a connection: a process of the publisher's own user, who could do anything to it anyway; or
/// another user with all of that user's processes, since there can be any number of them.
pub const Peer = struct {
    uid: u32,
    /// Unlike that of any other process, in whatever PID namespace; 0: the user as a whole.
    process: u64,

    pub fn of(fd: i32, uid: u32, pid: i32, name: []const u8) Peer {
        if (uid != linux.geteuid()) return .{ .uid = uid, .process = 0 };
        if (socket.peerProcess(fd)) |process| return .{ .uid = uid, .process = process };
        if (pid != 0) return .{ .uid = uid, .process = @intCast(pid) };
        // On Linux before 6.9, from another PID namespace: the name is all that tells two containers apart.
        return .{ .uid = uid, .process = std.hash.Wyhash.hash(1, name) | 1 };
    }

    fn isUser(peer: Peer) bool {
        return peer.process == 0;
    }
};

/// How long a peer is refused from now on, in nanoseconds; 0: it is not. With the mutex held.
pub fn refusedFor(publisher: *Publisher, peer: Peer) u64 {
    assert(publisher.mutex.isHeld());
    const offender = publisher.evictions.offenders.find(peer) orelse return 0;
    return offender.refused_until_ns -| clock.monotonicNs();
}

/// Whether a peer still holds frames that it was evicted for: with more of them in its hands it would take the memory
/// that others need. By the reactor, with the mutex held.
pub fn keepsAnything(publisher: *Publisher, peer: Peer) bool {
    assert(reactor.isLocked() and publisher.mutex.isHeld());
    for (publisher.evicted[0..publisher.evicted_count]) |*connection| {
        if (!std.meta.eql(connection.peer, peer)) continue;
        if (publisher.subscribers.holdsAny(connection.page.address)) return true;
    }
    return false;
}

/// Evicts the reader that holds most, longest, or everyone who is to have frames. False: there is nobody to evict. With
/// the mutex held; the reactor does the rest, by `settle`.
pub fn evict(publisher: *Publisher, who: struct { everyone: bool }) bool {
    assert(publisher.mutex.isHeld());
    const now_ns = clock.monotonicNs();
    if (!who.everyone) {
        const worst = worstOf(publisher, now_ns) orelse return false;
        revoke(publisher, worst, now_ns);
        blame(publisher, worst.index, now_ns);
        return true;
    }
    var any = false;
    var indexes = leases.bitsOf(publisher.subscribers.holders);
    while (indexes.next()) |index| {
        revoke(publisher, .of(publisher, @intCast(index), now_ns), now_ns);
        any = true;
    }
    return any;
}

/// What a reader holds.
pub const Holding = struct {
    index: u6,
    frames: u32 = 0,
    /// How long ago its frames were published: of the oldest, and added up over all.
    oldest_ns: u64 = 0,
    total_ns: u64 = 0,

    pub fn of(publisher: *const Publisher, index: u6, now_ns: u64) Holding {
        assert(publisher.mutex.isHeld());
        var holding: Holding = .{ .index = index };
        var slots = leases.bitsOf(publisher.subscribers.holding(index, &publisher.writer.sequences));
        while (slots.next()) |slot| {
            const age_ns = now_ns -| publisher.control.slots[slot].record.published_ns;
            holding.frames += 1;
            holding.oldest_ns = @max(holding.oldest_ns, age_ns);
            holding.total_ns +|= age_ns;
        }
        return holding;
    }
};

/// Tells the owner that the ring has grown, and because of whom.
pub fn tellGrowth(publisher: *Publisher, slots: u32) void {
    var event: events.PublisherEvent = .{ .kind = @intFromEnum(events.Kind.grown), .slots = slots };
    if (worstOf(publisher, clock.monotonicNs())) |worst| {
        const connection = &publisher.connections[worst.index];
        event.pid = connection.pid;
        event.frames = worst.frames;
        event.duration_ns = worst.oldest_ns;
        event.name = connection.name;
    }
    publisher.events.add(event);
}

fn worstOf(publisher: *const Publisher, now_ns: u64) ?Holding {
    var worst: ?Holding = null;
    var indexes = leases.bitsOf(publisher.subscribers.holders);
    while (indexes.next()) |index| {
        const holding: Holding = .of(publisher, @intCast(index), now_ns);
        if (holding.frames == 0) continue;
        if (worst == null or holding.total_ns > worst.?.total_ns) worst = holding;
    }
    return worst;
}

fn revoke(publisher: *Publisher, holding: Holding, now_ns: u64) void {
    const connection = &publisher.connections[holding.index];
    publisher.subscribers.evict(holding.index, &publisher.writer.sequences, holding.frames, holding.oldest_ns);
    const record = &publisher.evictions;
    record.count +|= 1;
    record.last = .{
        .name = connection.name,
        .pid = connection.pid,
        .frames = holding.frames,
        .held_ns = holding.oldest_ns,
        .at_ns = now_ns,
    };
    publisher.events.add(.{
        .kind = @intFromEnum(events.Kind.evicted),
        .pid = connection.pid,
        .frames = holding.frames,
        .duration_ns = holding.oldest_ns,
        .name = connection.name,
    });
}

/// Whoever was evicted for itself, and not with all the others.
fn blame(publisher: *Publisher, index: u6, now_ns: u64) void {
    const connection = &publisher.connections[index];
    const refused_ns = publisher.evictions.offenders.add(connection.peer, now_ns);
    if (refused_ns > 0) publisher.events.add(.{
        .kind = @intFromEnum(events.Kind.refused),
        .pid = connection.pid,
        .duration_ns = refused_ns,
        .name = connection.name,
    });
}

/// Ends the connections of those who were evicted since, and closes those who hold nothing any more. By the reactor.
pub fn settle(publisher: *Publisher) void {
    assert(reactor.isLocked());
    const evicted = publisher.connected & ~activeNow(publisher);
    var indexes = leases.bitsOf(evicted);
    while (indexes.next()) |index| {
        const connection = publisher.connections[index];
        publisher.connected &= ~leases.bitOf(@intCast(index));
        publisher.evicted[publisher.evicted_count] = connection;
        publisher.evicted_count += 1;
        log.debug("{s}: evicted the reader on connection {d}, {s}", .{
            publisher.keyText(),
            connection.fd,
            texts.of(&connection.name),
        });
        // It reads that this is the end, and why in its lease page. Its own end says that it holds nothing any more.
        socket.endSending(connection.fd);
        reactor.settle(connection.token);
    }
    var remaining: usize = publisher.evicted_count;
    while (remaining > 0) {
        remaining -= 1;
        if (!hasAny(publisher, &publisher.evicted[remaining])) admission.dropEvicted(publisher, remaining);
    }
}

fn activeNow(publisher: *Publisher) u64 {
    publisher.mutex.lock();
    defer publisher.mutex.unlock();
    return publisher.subscribers.active;
}

/// Whether an evicted reader holds a frame, or has memory in which it could look at one.
fn hasAny(publisher: *Publisher, connection: *const admission.Connection) bool {
    publisher.mutex.lock();
    defer publisher.mutex.unlock();
    const page = connection.page.address;
    return publisher.subscribers.holdsAny(page) or !publisher.custody.isDone(page);
}

test "a peer is refused for longer each time, and forgotten in the end" {
    const testing = std.testing;
    const second = std.time.ns_per_s;
    var offenders: Offenders = .{};
    const user: Peer = .{ .uid = 1, .process = 0 };
    var now: u64 = 1000 * second;
    for ([_]u64{ 0, 1, 2, 4, 8, 16 }) |seconds| {
        try testing.expectEqual(seconds * second, offenders.add(user, now));
        now += seconds * second + 1;
    }
    for (0..20) |_| _ = offenders.add(user, now);
    try testing.expectEqual(refusal_max_user_ns, offenders.add(user, now));
    try testing.expectEqual(0, offenders.add(.{ .uid = 2, .process = 0 }, now));
    try testing.expectEqual(0, offenders.add(user, now + 2 * refusal_max_user_ns));
    // More of them than there are places: the oldest makes room.
    for (0..2 * Offenders.capacity) |pid| {
        _ = offenders.add(.{ .uid = 7, .process = 1 + pid }, now + 3 * refusal_max_user_ns + pid);
    }
    try testing.expectEqual(@as(?*Offenders.Offender, null), offenders.find(user));
}

test "a process of the publisher's user is never refused for long" {
    const testing = std.testing;
    const second = std.time.ns_per_s;
    var offenders: Offenders = .{};
    const process: Peer = .{ .uid = 1, .process = 2 };
    const now: u64 = 1000 * second;
    for ([_]u64{ 0, 1, 2, 4, 5, 5, 5 }) |seconds| {
        try testing.expectEqual(seconds * second, offenders.add(process, now));
    }
    try testing.expectEqual(0, offenders.add(.{ .uid = 1, .process = 3 }, now));
    // Its last refusal counts for 20 s at least.
    try testing.expectEqual(5 * second, offenders.add(process, now + 19 * second));
    try testing.expectEqual(0, offenders.add(process, now + 39 * second));
}
