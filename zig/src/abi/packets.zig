//! These functions of the C ABI publish packets and read them.

const errors = @import("../core/mod.zig").errors;
const packets = @import("../ring/mod.zig").packets;
const packet_tracks = @import("../ipc/mod.zig").packet_tracks;
const packet_reading = @import("../ipc/mod.zig").packet_reader;
const event_loop = @import("../ipc/mod.zig").event_loop;
const handles = @import("handles.zig");
const arguments = @import("arguments.zig");
const codeOf = arguments.codeOf;
const done = arguments.done;
const required = arguments.required;
const input = arguments.input;
const output = arguments.output;
const requiredCallback = arguments.requiredCallback;
const Error = errors.Error;

/// Makes the packet ring, once, and hands it to the subscribers that are there and want it.
pub export fn cuframes_publisher_enable_packets(handle: u32, options: ?*const packet_tracks.PacketOptions) i32 {
    return done(enablePackets(handle, options));
}

fn enablePackets(handle: u32, options: ?*const packet_tracks.PacketOptions) Error!void {
    const publisher = try handles.get(.publisher, handle);
    const wanted = options orelse return errors.fail(error.InvalidArgument, "a required pointer is null", .{});
    return publisher.enablePackets(wanted);
}

/// Replaces the extradata that readers are given: at most EXTRADATA_SIZE_MAX bytes; 0 takes them away.
pub export fn cuframes_publisher_set_extradata(handle: u32, bytes: ?[*]const u8, size: u32) i32 {
    return done(setExtradata(handle, bytes, size));
}

fn setExtradata(handle: u32, bytes: ?[*]const u8, size: u32) Error!void {
    const publisher = try handles.get(.publisher, handle);
    return publisher.setExtradata(try input(u8, bytes, size));
}

/// Copies as many bytes as the record says into the packet ring, and writes the packet's sequence into the record.
pub export fn cuframes_publisher_publish_packet(
    handle: u32,
    record: ?*packet_tracks.PacketRecord,
    bytes: ?[*]const u8,
) i32 {
    return done(publishPacket(handle, record, bytes));
}

fn publishPacket(handle: u32, record: ?*packet_tracks.PacketRecord, bytes: ?[*]const u8) Error!void {
    const publisher = try handles.get(.publisher, handle);
    const packet = try required(packet_tracks.PacketRecord, record);
    return publisher.publishPacket(try input(u8, bytes, packet.size), packet);
}

/// Returns the handle of a reader of the connection's packets.
/// wait: 1 to wait for a ring that is still to come, in cuframes_packet_reader_next; 0 for NO_PACKET_RING.
/// since_connection: 1 to begin at what was the last key packet when the connection was made; 0 for what is it now.
pub export fn cuframes_packet_reader_open(subscriber_handle: u32, wait: u32, since_connection: u32) i32 {
    return codeOf(openPacketReader(subscriber_handle, wait, since_connection));
}

fn openPacketReader(subscriber_handle: u32, wait: u32, since_connection: u32) Error!i32 {
    const subscriber = try handles.get(.subscriber, subscriber_handle);
    const reader = try packet_reading.PacketReader.open(subscriber, wait != 0, since_connection != 0);
    errdefer reader.close();
    return handles.add(.{ .packet_reader = reader });
}

/// Describes the next packet; cuframes_packet_reader_copy takes it.
pub export fn cuframes_packet_reader_next(handle: u32, timeout_ms: i32, packet: ?*packet_reading.PacketView) i32 {
    return done(nextPacket(handle, timeout_ms, packet));
}

fn nextPacket(handle: u32, timeout_ms: i32, packet: ?*packet_reading.PacketView) Error!void {
    const reader = try handles.get(.packet_reader, handle);
    return reader.next(timeout_ms, try required(packet_reading.PacketView, packet));
}

/// Copies the packet that was just described, and moves on. PACKET_OVERRUN when the writer was faster: the bytes are
/// then worth nothing.
pub export fn cuframes_packet_reader_copy(handle: u32, destination: ?[*]u8, size: u32) i32 {
    return done(copyPacket(handle, destination, size));
}

fn copyPacket(handle: u32, destination: ?[*]u8, size: u32) Error!void {
    const reader = try handles.get(.packet_reader, handle);
    return reader.copy(try output(u8, destination, size));
}

/// Copies the extradata into a buffer of EXTRADATA_SIZE_MAX bytes; returns their size.
pub export fn cuframes_packet_reader_extradata(handle: u32, destination: ?*[packets.extradata_size_max]u8) i32 {
    return codeOf(readExtradata(handle, destination));
}

fn readExtradata(handle: u32, destination: ?*[packets.extradata_size_max]u8) Error!i32 {
    const reader = try handles.get(.packet_reader, handle);
    return @intCast(try reader.extradata(try required([packets.extradata_size_max]u8, destination)));
}

/// Calls back once at the next packet or the connection's end.
pub export fn cuframes_packet_reader_arm(handle: u32, callback: ?event_loop.Callback) i32 {
    return done(armPacketReader(handle, callback));
}

fn armPacketReader(handle: u32, callback: ?event_loop.Callback) Error!void {
    const reader = try handles.get(.packet_reader, handle);
    return reader.arm(try requiredCallback(callback), handle);
}

/// Fills in the counters.
pub export fn cuframes_packet_reader_stats(handle: u32, stats: ?*packet_reading.PacketStats) i32 {
    const reader = handles.get(.packet_reader, handle) catch |failure| return codeOf(failure);
    const out = required(packet_reading.PacketStats, stats) catch |failure| return codeOf(failure);
    out.* = reader.stats() catch |failure| return codeOf(failure);
    return 0;
}

/// Ends a reader; before its subscriber is closed.
pub export fn cuframes_packet_reader_close(handle: u32) i32 {
    const reader = handles.take(.packet_reader, handle) catch |failure| return codeOf(failure);
    reader.close();
    return 0;
}
