//! An outbox is what a subscriber's connection is still owed: flags, never a queue. Whoever owes it something sets a
//! flag under the publisher's mutex and posts `Publisher.owed`; the reactor sends, then and whenever the peer has read.

const std = @import("std");
const assert = std.debug.assert;
const bitOf = @import("../ring/mod.zig").leases.bitOf;
const socket = @import("../os/mod.zig").socket;
const protocol = @import("protocol.zig");
const reactor = @import("reactor.zig");
const admission = @import("admission.zig");
const Publisher = @import("publisher.zig").Publisher;

/// Messages with descriptors that a peer has not read; with these it gets no more. Its welcome is one by itself.
const unread_max = 4;

/// Of one connection.
pub const Outbox = struct {
    /// Guarded by the publisher's mutex.
    owed: Owed = .{},
    /// The rest is the reactor's. Messages with descriptors that were sent since the peer had read everything: at first
    /// the welcome.
    unread: u32 = 1,
    /// The peer has taken its welcome.
    welcomed: bool = false,
    /// It cannot be served any more.
    dismissed: bool = false,

    /// With the publisher's mutex held.
    pub fn oweTrack(outbox: *Outbox, index: u3) void {
        outbox.owed.tracks |= maskOf(index);
    }

    /// With the publisher's mutex held.
    pub fn oweMemory(outbox: *Outbox, slot: u6) void {
        outbox.owed.memory |= bitOf(slot);
    }

    /// Whether the peer has not read descriptors that it was sent.
    pub fn mayBeUnread(outbox: *const Outbox, fd: i32) bool {
        return outbox.unread > 0 and !socket.isAllRead(fd);
    }
};

/// What is owed to one connection.
const Owed = struct {
    /// Tracks whose rings were made after it came, as a mask.
    tracks: u8 = 0,
    /// Slots of whose memory it is to be told, as a mask.
    memory: u64 = 0,
};

fn maskOf(track: u3) u8 {
    return @as(u8, 1) << track;
}

/// Sends to all what they are owed.
pub fn flushAll(publisher: *Publisher) void {
    var indexes = admission.indexesOf(publisher.connected);
    while (indexes.next()) |index| flush(publisher, @intCast(index));
}

/// Sends a connection what it is owed, as far as it reads. What is left is sent when it has read: each such change
/// calls this.
pub fn flush(publisher: *Publisher, index: u6) void {
    assert(reactor.isLocked());
    const connection = &publisher.connections[index];
    const outbox = &connection.out;
    if (outbox.dismissed) return;
    if (outbox.unread > 0 and socket.isAllRead(connection.fd)) {
        outbox.unread = 0;
        outbox.welcomed = true;
    }
    if (!outbox.welcomed) return;
    while (outbox.unread < unread_max) {
        const next = Next.take(publisher, index) orelse return;
        socket.send(connection.fd, next.bytes(), next.descriptors()) catch |failure| {
            next.putBack(publisher, index);
            if (failure == error.WouldBlock) return;
            outbox.dismissed = true;
            return admission.dismiss(publisher, index);
        };
        if (next.fd != null) outbox.unread += 1;
    }
}

/// The next message that a connection is owed.
const Next = struct {
    message: union(enum) { track: protocol.Track, memory: protocol.Memory },
    /// Open for as long as the reactor's lock is held: nobody else closes what a publisher hands over.
    fd: ?i32,

    fn take(publisher: *Publisher, index: u6) ?Next {
        publisher.mutex.lock();
        defer publisher.mutex.unlock();
        const owed = &publisher.connections[index].out.owed;
        const settled = owed.memory & ~publisher.supply.changing;
        if (settled != 0) {
            const slot: u6 = @intCast(@ctz(settled));
            const present = publisher.writer.present & bitOf(slot) != 0;
            owed.memory &= ~bitOf(slot);
            const page = publisher.connections[index].page.address;
            if (present) publisher.custody.hand(page, slot, publisher.writer.generations[slot]);
            return .{
                .message = .{ .memory = .{
                    .slot = slot,
                    .generation = publisher.writer.generations[slot],
                    .present = @intFromBool(present),
                } },
                .fd = if (present) publisher.slots.descriptor(slot) else null,
            };
        }
        if (owed.tracks == 0) return null;
        const number: u3 = @intCast(@ctz(owed.tracks));
        owed.tracks &= ~maskOf(number);
        const track = &publisher.tracks.items[number];
        return .{
            .message = .{ .track = .{ .index = number, .ring = track.describe() } },
            .fd = track.ring.fd,
        };
    }

    fn putBack(next: *const Next, publisher: *Publisher, index: u6) void {
        publisher.mutex.lock();
        defer publisher.mutex.unlock();
        const owed = &publisher.connections[index].out.owed;
        switch (next.message) {
            .track => |*track| owed.tracks |= maskOf(@intCast(track.index)),
            .memory => |*memory| owed.memory |= bitOf(@intCast(memory.slot)),
        }
    }

    fn bytes(next: *const Next) []const u8 {
        return switch (next.message) {
            inline else => |*message| std.mem.asBytes(message),
        };
    }

    fn descriptors(next: *const Next) []const i32 {
        return if (next.fd) |*fd| @as(*const [1]i32, fd) else &.{};
    }
};
