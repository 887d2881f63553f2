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
    var message: protocol.Report = std.mem.zeroes(protocol.Report);
    fill(publisher, &message);
    // The inspector is gone or does not read: nothing is owed to it.
    socket.send(fd, std.mem.asBytes(&message)[0..message.prefix.size], &.{}) catch {};
}

fn fill(publisher: *Publisher, message: *protocol.Report) void {
    publisher.mutex.lock();
    defer publisher.mutex.unlock();
    const now = clock.monotonicNs();
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
    setRate(publisher, message, now);
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
}

/// Over the frames in the ring, and up to now when the next one is late.
fn setRate(publisher: *const Publisher, message: *protocol.Report, now: u64) void {
    var oldest_ns: u64 = std.math.maxInt(u64);
    var newest_ns: u64 = 0;
    var count: u64 = 0;
    for (publisher.writer.sequences[0..publisher.writer.slot_count], 0..) |sequence, slot| {
        if (sequence == layout.sequence_none) continue;
        const published_ns = publisher.control.slots[slot].record.published_ns;
        oldest_ns = @min(oldest_ns, published_ns);
        newest_ns = @max(newest_ns, published_ns);
        count += 1;
    }
    message.newest_published_ns = newest_ns;
    if (count < 2 or newest_ns <= oldest_ns) return;
    const interval_ns = @max((newest_ns - oldest_ns) / (count - 1), 1);
    const late_ns = now -| newest_ns;
    message.rate_millihertz = 1_000 * std.time.ns_per_s / @max(interval_ns, late_ns -| interval_ns);
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
