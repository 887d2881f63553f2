//! These functions of the C ABI publish packets and read them.

const errors = @import("../core/mod.zig").errors;
const packets = @import("../ring/mod.zig").packets;
const packet_tracks = @import("../ipc/mod.zig").packet_tracks;
const packet_reading = @import("../ipc/mod.zig").packet_reader;
const tracks = @import("../ipc/mod.zig").track;
const event_loop = @import("../ipc/mod.zig").event_loop;
const handles = @import("handles.zig");
const arguments = @import("arguments.zig");
const codeOf = arguments.codeOf;
const done = arguments.done;
const required = arguments.required;
const requiredInput = arguments.requiredInput;
const input = arguments.input;
const output = arguments.output;
const requiredCallback = arguments.requiredCallback;
const Error = errors.Error;

/// Adds a track of packets, and hands it to the subscribers that are there and want packets; returns its number.
/// WOULD_BLOCK: there are TRACKS_MAX already.
pub export fn cuframes_publisher_add_track(handle: u32, options: ?*const packet_tracks.PacketOptions) i32 {
    return codeOf(addTrack(handle, options));
}

fn addTrack(handle: u32, options: ?*const packet_tracks.PacketOptions) Error!i32 {
    const publisher = try handles.get(.publisher, handle);
    return @intCast(try publisher.addTrack(try requiredInput(packet_tracks.PacketOptions, options)));
}

/// Lets a track go on with packets of another codec, or of other parameters, in another ring. Readers finish the ring
/// before, and find the new generation in the first packet of this one.
pub export fn cuframes_publisher_configure_track(
    handle: u32,
    track: u32,
    options: ?*const packet_tracks.PacketOptions,
) i32 {
    return done(configureTrack(handle, track, options));
}

fn configureTrack(handle: u32, track: u32, options: ?*const packet_tracks.PacketOptions) Error!void {
    const publisher = try handles.get(.publisher, handle);
    return publisher.configureTrack(track, try requiredInput(packet_tracks.PacketOptions, options));
}

/// Replaces the extradata that a track's readers are given: at most EXTRADATA_SIZE_MAX bytes; 0 takes them away.
pub export fn cuframes_publisher_set_extradata(handle: u32, track: u32, bytes: ?[*]const u8, size: u32) i32 {
    return done(setExtradata(handle, track, bytes, size));
}

fn setExtradata(handle: u32, track: u32, bytes: ?[*]const u8, size: u32) Error!void {
    const publisher = try handles.get(.publisher, handle);
    return publisher.setExtradata(track, try input(u8, bytes, size));
}

/// Copies as many bytes as the record says into a track's ring, and writes the packet's sequence into the record.
pub export fn cuframes_publisher_publish_packet(
    handle: u32,
    track: u32,
    record: ?*packet_tracks.PacketRecord,
    bytes: ?[*]const u8,
) i32 {
    return done(publishPacket(handle, track, record, bytes));
}

fn publishPacket(handle: u32, track: u32, record: ?*packet_tracks.PacketRecord, bytes: ?[*]const u8) Error!void {
    const publisher = try handles.get(.publisher, handle);
    const packet = try required(packet_tracks.PacketRecord, record);
    return publisher.publishPacket(track, try input(u8, bytes, packet.size), packet);
}

/// Says what a track of the connection is now, with its extradata in a buffer of EXTRADATA_SIZE_MAX bytes; returns
/// their size. NO_PACKET_RING: there is no track of that number.
pub export fn cuframes_subscriber_track(
    subscriber_handle: u32,
    track: u32,
    info: ?*tracks.TrackInfo,
    extradata: ?*[packets.extradata_size_max]u8,
) i32 {
    return codeOf(describeTrack(subscriber_handle, track, info, extradata));
}

fn describeTrack(
    subscriber_handle: u32,
    track: u32,
    info: ?*tracks.TrackInfo,
    extradata: ?*[packets.extradata_size_max]u8,
) Error!i32 {
    const subscriber = try handles.get(.subscriber, subscriber_handle);
    const out = try required(tracks.TrackInfo, info);
    const bytes = try required([packets.extradata_size_max]u8, extradata);
    if (track < tracks.tracks_max) {
        if (try subscriber.describeTrack(track, out, bytes)) |size| return @intCast(size);
    }
    return errors.fail(error.NoPacketRing, "the publisher has no track {d}", .{track});
}

/// Returns the handle of a reader of one of the connection's tracks.
pub export fn cuframes_packet_reader_open(
    subscriber_handle: u32,
    options: ?*const packet_reading.PacketReaderOptions,
) i32 {
    return codeOf(openPacketReader(subscriber_handle, options));
}

fn openPacketReader(subscriber_handle: u32, options: ?*const packet_reading.PacketReaderOptions) Error!i32 {
    const subscriber = try handles.get(.subscriber, subscriber_handle);
    const wanted = try requiredInput(packet_reading.PacketReaderOptions, options);
    const after = if (wanted.after == 0) null else try handles.get(.packet_reader, wanted.after);
    const reader = try packet_reading.PacketReader.open(subscriber, wanted, after);
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

/// Says what the track is at the packet that was described last, with its extradata in a buffer of EXTRADATA_SIZE_MAX
/// bytes; returns their size. NO_CODEC_PARAMETERS: there are none.
pub export fn cuframes_packet_reader_track(
    handle: u32,
    info: ?*tracks.TrackInfo,
    extradata: ?*[packets.extradata_size_max]u8,
) i32 {
    return codeOf(describeRead(handle, info, extradata));
}

fn describeRead(handle: u32, info: ?*tracks.TrackInfo, extradata: ?*[packets.extradata_size_max]u8) Error!i32 {
    const reader = try handles.get(.packet_reader, handle);
    return @intCast(try reader.describe(
        try required(tracks.TrackInfo, info),
        try required([packets.extradata_size_max]u8, extradata),
    ));
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
