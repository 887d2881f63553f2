//! A publisher reports to an inspector what it knows of itself and of its subscribers.

const std = @import("std");
const layout = @import("../ring/mod.zig").layout;
const clock = @import("../os/mod.zig").clock;
const socket = @import("../os/mod.zig").socket;
const protocol = @import("protocol.zig");
const admission = @import("admission.zig");
const eviction = @import("eviction.zig");
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
    message.slot_count = @popCount(publisher.writer.present);
    message.max_slots = publisher.control.max_slots;
    message.slots_outside = publisher.custody.count();
    message.memory_limit = publisher.supply.memories_max * publisher.slot_size;
    message.packets_only = @intFromBool(publisher.packets_only);
    message.evictions = publisher.evictions.count;
    message.last_eviction = publisher.evictions.last;
    message.policy = @intFromEnum(publisher.writer.policy);
    message.slots_leased = @popCount(publisher.subscribers.leased(&publisher.writer.sequences));
    message.geometry = publisher.geometry;
    message.slot_size = publisher.slot_size;
    if (publisher.writer.newest_slot) |newest| message.picture = publisher.control.slots[newest].record.picture;
    message.published = publisher.writer.completed;
    message.rejected = @atomicLoad(u32, &publisher.admission.rejected, .monotonic);
    message.device = publisher.slots.device();
    message.newest_published_ns = publisher.meter.newestNs();
    message.rate_millihertz = publisher.meter.millihertz(now);
    message.packets_published = publisher.tracks.published();
    message.track_count = publisher.tracks.count;
    for (publisher.tracks.all(), message.tracks[0..publisher.tracks.count]) |*track, *told| told.* = track.report();
    var count: u32 = 0;
    var indexes = admission.indexesOf(publisher.subscribers.active);
    while (indexes.next()) |index| {
        const holding: eviction.Holding = .of(publisher, @intCast(index), now);
        message.subscribers[count] = describe(&publisher.connections[index], &holding);
        count += 1;
    }
    message.subscriber_count = count;
    const size = protocol.Report.sizeFor(count);
    message.prefix = .{ .kind = @intFromEnum(protocol.Kind.report), .size = @intCast(size) };
}

fn describe(connection: *const Connection, holding: *const eviction.Holding) protocol.ReportSubscriber {
    const page = connection.page.address;
    return .{
        .name = connection.name,
        .pid = connection.pid,
        .mode = @intFromEnum(connection.mode),
        .wants = connection.wants,
        .held = holding.frames,
        .held_ns = holding.oldest_ns,
        .received = @atomicLoad(u64, &page.received, .monotonic),
        .dropped = @atomicLoad(u64, &page.dropped, .monotonic),
        .cursor = @atomicLoad(u64, &page.cursor, .monotonic),
        .packets_received = @atomicLoad(u64, &page.packets_received, .monotonic),
        .packets_lost = @atomicLoad(u64, &page.packets_lost, .monotonic),
        .connected_ns = connection.connected_ns,
    };
}
