//! A publisher reports to an inspector what it knows of itself and of its subscribers.

const std = @import("std");
const layout = @import("../ring/mod.zig").layout;
const clock = @import("../os/mod.zig").clock;
const socket = @import("../os/mod.zig").socket;
const protocol = @import("protocol.zig");
const admission = @import("admission.zig");
const Connection = admission.Connection;
const Publisher = @import("publisher.zig").Publisher;

/// Answers a connection that asked for a report and nothing else.
pub fn send(publisher: *Publisher, fd: i32) void {
    publisher.mutex.lock();
    defer publisher.mutex.unlock();
    const now = clock.monotonicNs();
    var message: protocol.Report = std.mem.zeroes(protocol.Report);
    message.publisher_pid = publisher.control.publisher_pid;
    message.created_ns = publisher.created_ns;
    message.now_ns = now;
    message.memory = publisher.control.memory;
    message.slot_count = publisher.writer.slot_count;
    message.policy = @intFromEnum(publisher.writer.policy);
    message.slots_leased = @popCount(publisher.subscribers.leased());
    message.geometry = publisher.geometry;
    message.slot_size = publisher.slot_size;
    message.published = publisher.writer.completed;
    message.rejected = @atomicLoad(u32, &publisher.admission.rejected, .monotonic);
    message.device = publisher.slots.device();
    message.newest_published_ns = publisher.meter.newestNs();
    message.rate_millihertz = publisher.meter.millihertz(now);
    if (publisher.packet_ring) |*ring| {
        message.packets_published = ring.published;
        message.packet_codec_id = ring.codec_id;
    }
    var count: u32 = 0;
    var indexes = admission.indexesOf(publisher.subscribers.active);
    while (indexes.next()) |index| {
        message.subscribers[count] = describe(&publisher.connections[index]);
        count += 1;
    }
    message.subscriber_count = count;
    const size = protocol.Report.sizeFor(count);
    message.prefix = .{ .kind = @intFromEnum(protocol.Kind.report), .size = @intCast(size) };
    // The inspector is gone or does not read: nothing is owed to it.
    socket.send(fd, std.mem.asBytes(&message)[0..size], &.{}) catch {};
}

fn describe(connection: *const Connection) protocol.ReportSubscriber {
    const page = connection.page.address;
    var held: u32 = 0;
    for (&page.leases) |*lease| held += @intFromBool(@atomicLoad(u64, lease, .monotonic) != layout.Ticket.none);
    return .{
        .name = connection.name,
        .pid = connection.pid,
        .mode = @intFromEnum(connection.mode),
        .wants = connection.wants,
        .held = held,
        .received = @atomicLoad(u64, &page.received, .monotonic),
        .dropped = @atomicLoad(u64, &page.dropped, .monotonic),
        .cursor = @atomicLoad(u64, &page.cursor, .monotonic),
        .packets_received = @atomicLoad(u64, &page.packets_received, .monotonic),
        .packets_lost = @atomicLoad(u64, &page.packets_lost, .monotonic),
        .connected_ns = connection.connected_ns,
    };
}
