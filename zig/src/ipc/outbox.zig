//! An outbox is what a subscriber's connection is still owed: flags, never a queue. Whoever owes it something sets a
//! flag under the publisher's mutex and posts `Publisher.owed`; the reactor sends, then and whenever the peer has read.

const std = @import("std");
const assert = std.debug.assert;
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

    /// Whether the peer has not read descriptors that it was sent.
    pub fn mayBeUnread(outbox: *const Outbox, fd: i32) bool {
        return outbox.unread > 0 and !socket.isAllRead(fd);
    }
};

/// What is owed to one connection.
const Owed = packed struct {
    /// The packet ring, which was made after it came.
    packets: bool = false,
};

/// For the reactor: sends what is owed, where somebody said that something is.
pub fn handlerOf(publisher: *Publisher) reactor.Handler {
    return .{ .context = publisher, .ready = onOwed };
}

fn onOwed(context: *anyopaque, _: reactor.Token, _: i32) void {
    const publisher: *Publisher = @ptrCast(@alignCast(context));
    publisher.owed.clear();
    var indexes = admission.indexesOf(admission.activeOf(publisher));
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
        const next = Next.of(publisher, index) orelse return;
        socket.send(connection.fd, std.mem.asBytes(&next.message), &.{next.fd}) catch |failure| switch (failure) {
            error.WouldBlock => return,
            error.Disconnected, error.Refused => {
                outbox.dismissed = true;
                return admission.dismiss(publisher, index);
            },
        };
        outbox.unread += 1;
        publisher.mutex.lock();
        defer publisher.mutex.unlock();
        outbox.owed.packets = false;
    }
}

/// The next message that a connection is owed.
const Next = struct {
    message: protocol.Packets,
    /// Open for as long as the reactor's lock is held.
    fd: i32,

    fn of(publisher: *Publisher, index: u6) ?Next {
        publisher.mutex.lock();
        defer publisher.mutex.unlock();
        if (!publisher.connections[index].out.owed.packets) return null;
        const ring = &publisher.packet_ring.?;
        return .{ .message = .{ .size = ring.region.len }, .fd = ring.fd };
    }
};
