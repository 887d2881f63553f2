//! These functions of the C ABI make a publisher and its frames.

const errors = @import("../core/mod.zig").errors;
const publishing = @import("../ipc/mod.zig").publisher;
const publisher_events = @import("../ipc/mod.zig").publisher_events;
const packet_tracks = @import("../ipc/mod.zig").packet_tracks;
const frame_publishing = @import("../ipc/mod.zig").frames;
const event_loop = @import("../ipc/mod.zig").event_loop;
const cuda = @import("../memory/mod.zig").cuda;
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

/// Takes the key, makes the ring and describes it; returns the publisher's handle.
/// tracks: those that are there from the beginning, one behind the other; cuframes_publisher_add_track adds more.
pub export fn cuframes_publisher_create(
    options: ?*const publishing.Options,
    tracks: ?[*]const packet_tracks.PacketOptions,
    track_count: u32,
    info: ?*publishing.Info,
) i32 {
    return codeOf(createPublisher(options, tracks, track_count, info));
}

fn createPublisher(
    options: ?*const publishing.Options,
    tracks: ?[*]const packet_tracks.PacketOptions,
    track_count: u32,
    info: ?*publishing.Info,
) Error!i32 {
    const out = try required(publishing.Info, info);
    const wanted = try requiredInput(publishing.Options, options);
    const first_tracks = try input(packet_tracks.PacketOptions, tracks, track_count);
    const publisher = try publishing.Publisher.create(wanted, first_tracks);
    errdefer publisher.close();
    out.* = publisher.info();
    return handles.add(.{ .publisher = publisher });
}

/// Where a slot that was acquired is in this process: a pointer, or a CUdeviceptr. It stays the same until the
/// publisher is closed.
pub export fn cuframes_publisher_slot_address(handle: u32, slot: u32) u64 {
    const publisher = handles.get(.publisher, handle) catch return 0;
    if (!publisher.slots.hasAddress(slot)) return 0;
    return publisher.slots.address(slot);
}

/// Returns a slot to fill, the caller's until it is published or cancelled. WOULD_BLOCK, or TIMEOUT under the policy
/// wait.
pub export fn cuframes_publisher_acquire(handle: u32, timeout_ms: i32) i32 {
    return codeOf(acquire(handle, timeout_ms));
}

fn acquire(handle: u32, timeout_ms: i32) Error!i32 {
    const publisher = try handles.get(.publisher, handle);
    try publisher.requireFrames();
    return @intCast(try publisher.acquire(.fromMilliseconds(timeout_ms)));
}

/// Calls back once when a slot may be free.
pub export fn cuframes_publisher_arm(handle: u32, callback: ?event_loop.Callback) i32 {
    return done(armPublisher(handle, callback));
}

fn armPublisher(handle: u32, callback: ?event_loop.Callback) Error!void {
    const publisher = try handles.get(.publisher, handle);
    return publisher.arm(try requiredCallback(callback), handle);
}

/// Makes an acquired slot visible to every subscriber, and writes the frame's sequence into the record.
pub export fn cuframes_publisher_publish(handle: u32, slot: u32, record: ?*frame_publishing.PublishRecord) i32 {
    return done(publish(handle, slot, record));
}

fn publish(handle: u32, slot: u32, record: ?*frame_publishing.PublishRecord) Error!void {
    const publisher = try handles.get(.publisher, handle);
    return publisher.publish(slot, try required(frame_publishing.PublishRecord, record));
}

/// Copies a picture without padding from host memory into an acquired slot on a GPU, ordered by the library's stream.
pub export fn cuframes_publisher_upload(handle: u32, slot: u32, bytes: ?[*]const u8, size: u32) i32 {
    return done(upload(handle, slot, bytes, size));
}

fn upload(handle: u32, slot: u32, bytes: ?[*]const u8, size: u32) Error!void {
    const publisher = try handles.get(.publisher, handle);
    return publisher.upload(slot, try input(u8, bytes, size));
}

/// Copies an acquired slot's picture without padding to host memory, after the work so far of the CUstream, where
/// `has_stream` is 1, else of the library's.
pub export fn cuframes_publisher_download(
    handle: u32,
    slot: u32,
    stream: u64,
    has_stream: u32,
    bytes: ?[*]u8,
    size: u32,
) i32 {
    return done(download(handle, slot, if (has_stream != 0) stream else null, bytes, size));
}

fn download(handle: u32, slot: u32, stream: ?u64, bytes: ?[*]u8, size: u32) Error!void {
    const publisher = try handles.get(.publisher, handle);
    return publisher.download(slot, stream, try output(u8, bytes, size));
}

/// Copies a picture that is on the same GPU into an acquired slot, ordered by the source's stream.
pub export fn cuframes_publisher_copy_from(handle: u32, slot: u32, source: ?*const cuda.CopySource) i32 {
    return done(copyFrom(handle, slot, source));
}

fn copyFrom(handle: u32, slot: u32, source: ?*const cuda.CopySource) Error!void {
    const publisher = try handles.get(.publisher, handle);
    const from = source orelse return errors.fail(error.InvalidArgument, "a required pointer is null", .{});
    return publisher.copyFrom(slot, from);
}

/// Cancels a slot: it is free again, and nobody sees it.
pub export fn cuframes_publisher_cancel(handle: u32, slot: u32) i32 {
    const publisher = handles.get(.publisher, handle) catch |failure| return codeOf(failure);
    return done(publisher.cancel(slot));
}

/// Tells what has happened to the ring and was not told yet: the oldest of it. WOULD_BLOCK when there is nothing.
pub export fn cuframes_publisher_next_event(handle: u32, event: ?*publisher_events.PublisherEvent) i32 {
    return done(nextEvent(handle, event));
}

fn nextEvent(handle: u32, event: ?*publisher_events.PublisherEvent) Error!void {
    const publisher = try handles.get(.publisher, handle);
    const out = try required(publisher_events.PublisherEvent, event);
    out.* = publisher.nextEvent() orelse return error.WouldBlock;
}

/// Fills in the counters.
pub export fn cuframes_publisher_stats(handle: u32, stats: ?*publishing.Stats) i32 {
    const publisher = handles.get(.publisher, handle) catch |failure| return codeOf(failure);
    const out = required(publishing.Stats, stats) catch |failure| return codeOf(failure);
    out.* = publisher.stats();
    return 0;
}

/// Ends the ring; subscribers keep what they hold. keep_mapped: 1 where somebody may still reach the slots, which then
/// stay mapped until the process ends.
pub export fn cuframes_publisher_close(handle: u32, keep_mapped: u32) i32 {
    const publisher = handles.take(.publisher, handle) catch |failure| return codeOf(failure);
    if (keep_mapped != 0) publisher.ref();
    publisher.close();
    return 0;
}
