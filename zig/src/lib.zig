//! The exported C ABI: argument checks and nothing else. docs/abi.md describes it for callers.
//!
//! Every function returns 0 or a positive value, or a negative errors.Code; cuframes_error_message then has the
//! sentence, for the same thread. Objects are handles; each is used by one thread at a time.

const std = @import("std");
const errors = @import("core/errors.zig");
const uuid = @import("core/uuid.zig");
const handles = @import("abi/handles.zig");
const packets = @import("ring/packets.zig");
const clock = @import("os/clock.zig");
const protocol = @import("ipc/protocol.zig");
const publishing = @import("ipc/publisher.zig");
const frame_publishing = @import("ipc/frames.zig");
const packet_tracks = @import("ipc/packet_tracks.zig");
const subscribing = @import("ipc/subscriber.zig");
const packet_reading = @import("ipc/packet_reader.zig");
const attempts = @import("ipc/attempt.zig");
const event_loop = @import("ipc/event_loop.zig");
const environment = @import("abi/environment.zig");
const connecting = @import("ipc/connect.zig");
const descriptor_socket = @import("ipc/descriptor_socket.zig");
const DescriptorSocket = descriptor_socket.DescriptorSocket;
const Place = @import("ipc/address.zig").Place;
const socket = @import("os/socket.zig");
const images = @import("image/image.zig");
const Image = images.Image;
const registration = @import("image/registration.zig");
const egl_display = @import("egl/display.zig");
const cuda = @import("memory/cuda.zig");
const cuda_context = @import("cuda/context.zig");
const cuda_driver = @import("cuda/driver.zig");
const cuda_devices = cuda_driver.devices;
const Error = errors.Error;

/// Without this, std gives every thread that loads the library a quarter of a megabyte for a signal stack.
pub const std_options: std.Options = .{ .signal_stack_size = null };

/// A failed assertion ends the process with a sentence; std's own way, with a stack trace, weighs half a megabyte.
pub const panic = std.debug.FullPanic(stop);

fn stop(message: []const u8, _: ?usize) noreturn {
    for ([_][]const u8{ "cuframes: assertion failed: ", message, "\n" }) |part| _ = std.os.linux.write(
        2,
        part.ptr,
        part.len,
    );
    std.c.abort();
}

/// Raised whenever a function, a struct or a code changes.
pub const abi_version: u32 = 6;

fn codeOf(result: Error!i32) i32 {
    return result catch |failure| @intFromEnum(errors.codeOf(failure));
}

fn done(result: Error!void) i32 {
    result catch |failure| return @intFromEnum(errors.codeOf(failure));
    return 0;
}

fn required(comptime T: type, pointer: ?*T) Error!*T {
    return pointer orelse errors.fail(error.InvalidArgument, "a required pointer is null", .{});
}

/// What the caller reads from.
fn input(comptime Item: type, pointer: ?[*]const Item, count: u32) Error![]const Item {
    if (count == 0) return &.{};
    const start = pointer orelse return errors.fail(error.InvalidArgument, "a required pointer is null", .{});
    return start[0..count];
}

/// What the caller wants filled.
fn output(comptime Item: type, pointer: ?[*]Item, count: u32) Error![]Item {
    return @constCast(try input(Item, pointer, count));
}

/// To be called first; also keeps the library in the process for good, because its threads never end.
pub export fn cuframes_abi_version() u32 {
    var location: DlInfo = undefined;
    if (dladdr(&cuframes_abi_version, &location) != 0) {
        _ = std.c.dlopen(location.file_name, .{ .LAZY = true, .NOLOAD = true, .NODELETE = true });
    }
    return abi_version;
}

/// Dl_info of <dlfcn.h>.
const DlInfo = extern struct {
    file_name: ?[*:0]const u8,
    file_base: ?*anyopaque,
    symbol_name: ?[*:0]const u8,
    symbol_address: ?*anyopaque,
};
extern fn dladdr(address: *const anyopaque, info: *DlInfo) c_int;

/// Copies the sentence for this thread's last failure, without a NUL; returns its size.
pub export fn cuframes_error_message(buffer: ?[*]u8, size: u32) i32 {
    const destination = output(u8, buffer, size) catch return 0;
    const message = errors.message();
    const copied = @min(message.len, destination.len);
    @memcpy(destination[0..copied], message[0..copied]);
    return @intCast(copied);
}

/// CLOCK_MONOTONIC in nanoseconds, the clock of every frame's published_ns.
pub export fn cuframes_now_ns() u64 {
    return clock.monotonicNs();
}

/// Lets the library's threads call this callback; to be called before it is given to any function.
pub export fn cuframes_callback_open(callback: ?event_loop.Callback) i32 {
    const function = requiredCallback(callback) catch |failure| return codeOf(failure);
    return done(openCallback(function));
}

fn openCallback(callback: event_loop.Callback) Error!void {
    try event_loop.open(callback);
    environment.callback = callback;
}

/// For a runtime whose callbacks only its own threads may call: writes the address of a callback that sends its token,
/// four bytes, through a stream socket, and returns the end to read it from. The callback is open already.
pub export fn cuframes_callback_socket(callback: ?*u64) i32 {
    return codeOf(callbackSocket(callback));
}

fn callbackSocket(address: ?*u64) Error!i32 {
    const destination = try required(u64, address);
    var callback: event_loop.Callback = undefined;
    const reader = try event_loop.openSocket(&callback);
    environment.callback = callback;
    destination.* = @intFromPtr(callback);
    return reader;
}

/// For an event loop that is about to end: no thread calls the callback afterwards.
pub export fn cuframes_callback_close(callback: ?event_loop.Callback) void {
    event_loop.close(callback orelse return, .asked);
}

/// Makes this thread an environment: everything that it makes from here on is closed when it ends, as a JavaScript
/// worker may at any moment, or by cuframes_environment_close.
pub export fn cuframes_environment_open() i32 {
    return done(environment.open());
}

/// Closes everything that this thread has made since cuframes_environment_open. Memory that it could reach can still be
/// read and written, but is nobody else's any more.
pub export fn cuframes_environment_close() void {
    environment.close(.asked);
}

/// Fills a table of at most `capacity` CUDA devices; returns how many there are in it. UNSUPPORTED, with the reason,
/// where CUDA cannot be used.
pub export fn cuframes_devices(devices: ?[*]cuda_devices.Device, capacity: u32) i32 {
    return codeOf(listDevices(devices, capacity));
}

fn listDevices(devices: ?[*]cuda_devices.Device, capacity: u32) Error!i32 {
    const table = try output(cuda_devices.Device, devices, capacity);
    const driver = try cuda_context.openDriver();
    var failure: cuda_driver.Failure = .none;
    const count = cuda_devices.list(driver, table, &failure) catch return cuda_context.explain(failure);
    return @intCast(count);
}

/// Holds the primary context of the device with this number, so that other libraries may use it; returns its handle.
pub export fn cuframes_context_open(ordinal: u32) i32 {
    return codeOf(openContext(ordinal));
}

fn openContext(ordinal: u32) Error!i32 {
    const context = std.heap.c_allocator.create(cuda_context.Context) catch return errors.fail(
        error.OutOfMemory,
        "no memory for a context",
        .{},
    );
    errdefer std.heap.c_allocator.destroy(context);
    context.* = try .open(.{ .ordinal = ordinal });
    errdefer context.deinit();
    return handles.add(.{ .context = context });
}

/// Makes a context current on this thread, until cuframes_context_leave.
pub export fn cuframes_context_enter(handle: u32) i32 {
    const context = handles.get(.context, handle) catch |failure| return codeOf(failure);
    return done(context.enter());
}

/// Makes current on this thread what was so before cuframes_context_enter.
pub export fn cuframes_context_leave(handle: u32) i32 {
    const context = handles.get(.context, handle) catch |failure| return codeOf(failure);
    context.leave();
    return 0;
}

/// Releases a context.
pub export fn cuframes_context_close(handle: u32) i32 {
    const context = handles.take(.context, handle) catch |failure| return codeOf(failure);
    context.deinit();
    std.heap.c_allocator.destroy(context);
    return 0;
}

// Publishers.

/// Takes the key, makes the ring and describes it; returns the publisher's handle.
pub export fn cuframes_publisher_create(options: ?*const publishing.Options, info: ?*publishing.Info) i32 {
    return codeOf(createPublisher(options, info));
}

fn createPublisher(options: ?*const publishing.Options, info: ?*publishing.Info) Error!i32 {
    const out = try required(publishing.Info, info);
    const wanted = options orelse return errors.fail(error.InvalidArgument, "a required pointer is null", .{});
    const publisher = try publishing.Publisher.create(wanted);
    errdefer publisher.close();
    out.* = publisher.info();
    return handles.add(.{ .publisher = publisher });
}

/// Where a slot is in this process, until the publisher is closed: a pointer, or a CUdeviceptr.
pub export fn cuframes_publisher_slot_address(handle: u32, slot: u32) u64 {
    const publisher = handles.get(.publisher, handle) catch return 0;
    if (slot >= publisher.writer.slot_count) return 0;
    return publisher.slots.address(slot);
}

/// Returns a slot to fill, the caller's until it is published or cancelled. WOULD_BLOCK, or TIMEOUT under the policy
/// wait.
pub export fn cuframes_publisher_acquire(handle: u32, timeout_ms: i32) i32 {
    const publisher = handles.get(.publisher, handle) catch |failure| return codeOf(failure);
    const slot = publisher.acquire(.fromMilliseconds(timeout_ms)) catch |failure| return codeOf(failure);
    return @intCast(slot);
}

/// Calls back once when a slot may be free.
pub export fn cuframes_publisher_arm(handle: u32, callback: ?event_loop.Callback) i32 {
    return done(armPublisher(handle, callback));
}

fn armPublisher(handle: u32, callback: ?event_loop.Callback) Error!void {
    const publisher = try handles.get(.publisher, handle);
    return publisher.arm(try requiredCallback(callback), handle);
}

fn requiredCallback(callback: ?event_loop.Callback) Error!event_loop.Callback {
    return callback orelse errors.fail(error.InvalidArgument, "a required callback is null", .{});
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

/// Gives a slot back unpublished.
pub export fn cuframes_publisher_cancel(handle: u32, slot: u32) i32 {
    const publisher = handles.get(.publisher, handle) catch |failure| return codeOf(failure);
    return done(publisher.cancel(slot));
}

/// Makes the packet ring, once, and hands it to the subscribers that are there and want it.
pub export fn cuframes_publisher_enable_packets(handle: u32, options: ?*const packet_tracks.PacketOptions) i32 {
    return done(enablePackets(handle, options));
}

fn enablePackets(handle: u32, options: ?*const packet_tracks.PacketOptions) Error!void {
    const publisher = try handles.get(.publisher, handle);
    const wanted = options orelse return errors.fail(error.InvalidArgument, "a required pointer is null", .{});
    return publisher.enablePackets(wanted);
}

/// Replaces the extradata that readers are given: at most 4096 bytes; 0 takes them away.
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

// Subscribers.

/// Blocks until connected: fills `info` and returns the subscriber's handle; or, where a report is all that is wanted,
/// fills `report` and returns 0. The pointer that is not needed may be null.
pub export fn cuframes_connect(
    options: ?*const subscribing.Options,
    info: ?*publishing.Info,
    report: ?*protocol.Report,
) i32 {
    return codeOf(connect(options, info, report));
}

fn connect(options: ?*const subscribing.Options, info: ?*publishing.Info, report: ?*protocol.Report) Error!i32 {
    const wanted = options orelse return errors.fail(error.InvalidArgument, "a required pointer is null", .{});
    var call: connecting.Call = try .init(wanted.timeout_ms);
    defer call.deinit();
    return deliver(try attempts.connect(wanted, &call), info, report);
}

/// A subscriber becomes a handle, a report is copied out: returns 0 for it.
fn deliver(result: attempts.Result, info: ?*publishing.Info, report: ?*protocol.Report) Error!i32 {
    switch (result) {
        .subscriber => |subscriber| {
            errdefer subscriber.close();
            const out = try required(publishing.Info, info);
            out.* = subscriber.info();
            return handles.add(.{ .subscriber = subscriber });
        },
        .report => |received| {
            defer std.heap.c_allocator.destroy(received);
            const out = try required(protocol.Report, report);
            out.* = received.*;
            return 0;
        },
        .socket => |connected| {
            errdefer connected.close();
            return handles.add(.{ .socket = connected });
        },
    }
}

/// Starts connecting on another thread; returns a handle for cuframes_connect_finish, and calls back once. Without a
/// callback: see cuframes_connect_arm and cuframes_connect_wait.
pub export fn cuframes_connect_start(
    options: ?*const subscribing.Options,
    callback: ?event_loop.Callback,
    token: u32,
) i32 {
    return codeOf(connectStart(options, callback, token));
}

fn connectStart(options: ?*const subscribing.Options, callback: ?event_loop.Callback, token: u32) Error!i32 {
    const wanted = options orelse return errors.fail(error.InvalidArgument, "a required pointer is null", .{});
    return startConnecting(.{ .publisher = wanted.* }, callback, token);
}

fn startConnecting(goal: attempts.Goal, callback: ?event_loop.Callback, token: u32) Error!i32 {
    const started = try attempts.Connecting.start(goal, callback, token);
    errdefer started.close();
    return handles.add(.{ .connecting = started });
}

/// Calls back once when cuframes_connect_finish has something to return. Returns 1 where it has already: no call comes.
/// Once for an attempt.
pub export fn cuframes_connect_arm(handle: u32, callback: ?event_loop.Callback, token: u32) i32 {
    return codeOf(armConnecting(handle, callback, token));
}

fn armConnecting(handle: u32, callback: ?event_loop.Callback, token: u32) Error!i32 {
    const started = try handles.get(.connecting, handle);
    return if (try started.arm(try requiredCallback(callback), token)) 0 else 1;
}

/// Blocks until cuframes_connect_finish has something to return. TIMEOUT, with how far it has come: it goes on.
pub export fn cuframes_connect_wait(handle: u32, timeout_ms: i32) i32 {
    const started = handles.get(.connecting, handle) catch |failure| return codeOf(failure);
    return done(started.wait(timeout_ms));
}

/// What cuframes_connect would have returned, or a connected socket's handle; after the callback.
pub export fn cuframes_connect_finish(handle: u32, info: ?*publishing.Info, report: ?*protocol.Report) i32 {
    const started = handles.get(.connecting, handle) catch |failure| return codeOf(failure);
    const result = started.finish() catch |failure| return codeOf(failure);
    return codeOf(deliver(result, info, report));
}

/// Cancels an attempt, or releases it after cuframes_connect_finish.
pub export fn cuframes_connect_close(handle: u32) i32 {
    const started = handles.take(.connecting, handle) catch |failure| return codeOf(failure);
    started.close();
    return 0;
}

/// Where a slot is in this process, until the subscriber is closed; only to be read.
pub export fn cuframes_subscriber_slot_address(handle: u32, slot: u32) u64 {
    const subscriber = handles.get(.subscriber, handle) catch return 0;
    return subscriber.slotAddress(slot) catch 0;
}

/// Leases the next frame, which does not change until it is released.
/// timeout_ms: 0 not at all (WOULD_BLOCK), negative for ever. The first spin_us of the wait are spent spinning.
pub export fn cuframes_subscriber_next(handle: u32, timeout_ms: i32, spin_us: u32, frame: ?*subscribing.FrameView) i32 {
    return done(next(handle, timeout_ms, spin_us, frame));
}

fn next(handle: u32, timeout_ms: i32, spin_us: u32, frame: ?*subscribing.FrameView) Error!void {
    const subscriber = try handles.get(.subscriber, handle);
    return subscriber.next(timeout_ms, spin_us, try required(subscribing.FrameView, frame));
}

/// Calls back once at the next frame or the connection's end.
pub export fn cuframes_subscriber_arm(handle: u32, callback: ?event_loop.Callback) i32 {
    return done(armSubscriber(handle, callback));
}

fn armSubscriber(handle: u32, callback: ?event_loop.Callback) Error!void {
    const subscriber = try handles.get(.subscriber, handle);
    return subscriber.arm(try requiredCallback(callback), handle);
}

/// Returns a second lease on a frame that is held.
pub export fn cuframes_subscriber_clone(handle: u32, lease: u32) i32 {
    const subscriber = handles.get(.subscriber, handle) catch |failure| return codeOf(failure);
    const copy = subscriber.clone(lease) catch |failure| return codeOf(failure);
    return @intCast(copy);
}

/// Ends a lease.
pub export fn cuframes_subscriber_release(handle: u32, lease: u32) i32 {
    const subscriber = handles.get(.subscriber, handle) catch |failure| return codeOf(failure);
    return done(subscriber.release(lease));
}

/// Ends a lease on a GPU frame when the CUstream's work so far is done.
pub export fn cuframes_subscriber_release_when_done(handle: u32, lease: u32, stream: u64) i32 {
    const subscriber = handles.get(.subscriber, handle) catch |failure| return codeOf(failure);
    return done(subscriber.releaseWhenDone(lease, @ptrFromInt(stream)));
}

/// Copies a held GPU frame to page-locked host memory, once unless `refresh` is 1; returns which of 8 buffers, and its
/// address. The bytes stay as they are for as long as the frame is held.
pub export fn cuframes_subscriber_to_host(handle: u32, lease: u32, refresh: u32, address: ?*u64) i32 {
    return codeOf(toHost(handle, lease, refresh, address));
}

fn toHost(handle: u32, lease: u32, refresh: u32, address: ?*u64) Error!i32 {
    const subscriber = try handles.get(.subscriber, handle);
    const out = try required(u64, address);
    const copy = try subscriber.toHost(lease, refresh != 0);
    out.* = copy.address;
    return @intCast(copy.index);
}

/// Fills in the counters.
pub export fn cuframes_subscriber_stats(handle: u32, stats: ?*subscribing.Stats) i32 {
    const subscriber = handles.get(.subscriber, handle) catch |failure| return codeOf(failure);
    const out = required(subscribing.Stats, stats) catch |failure| return codeOf(failure);
    out.* = subscriber.stats();
    return 0;
}

/// Ends the connection and all leases. keep_mapped: as for cuframes_publisher_close, the copies in host memory
/// included.
pub export fn cuframes_subscriber_close(handle: u32, keep_mapped: u32) i32 {
    const subscriber = handles.take(.subscriber, handle) catch |failure| return codeOf(failure);
    if (keep_mapped != 0) subscriber.ref();
    subscriber.close();
    return 0;
}

// Packet readers.

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

/// Copies the extradata into a buffer of 4096 bytes; returns their size.
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

// Images that other software made.

/// Imports a dma-buf or memfd, for the CPU or for CUDA; returns an image's handle. The descriptors stay the caller's.
pub export fn cuframes_image_import(options: ?*const images.Options, info: ?*images.Info) i32 {
    return codeOf(importImage(options, info));
}

fn importImage(options: ?*const images.Options, info: ?*images.Info) Error!i32 {
    const wanted = options orelse return errors.fail(error.InvalidArgument, "a required pointer is null", .{});
    return addImage(try .import(wanted), info);
}

fn addImage(image: *Image, info: ?*images.Info) Error!i32 {
    errdefer image.close();
    const out = try required(images.Info, info);
    out.* = image.info();
    return handles.add(.{ .image = image });
}

/// Registers an EGLImage of the caller's with CUDA; returns an image's handle. `fourcc` 0: what the driver takes it
/// for.
/// `device` names a GPU, as in cuframes_publisher_options.
pub export fn cuframes_image_import_egl(
    display: u64,
    egl_image: u64,
    fourcc: u32,
    device: ?[*]const u8,
    device_size: u32,
    info: ?*images.Info,
) i32 {
    return codeOf(importEglImage(display, egl_image, fourcc, device, device_size, info));
}

fn importEglImage(
    display: u64,
    egl_image: u64,
    fourcc: u32,
    device: ?[*]const u8,
    device_size: u32,
    info: ?*images.Info,
) Error!i32 {
    return addImage(try .importEgl(display, egl_image, fourcc, try deviceName(device, device_size)), info);
}

fn deviceName(device: ?[*]const u8, size: u32) Error![]const u8 {
    if (size > uuid.name_size) return errors.fail(error.InvalidArgument, "a device's name of {d} bytes", .{size});
    return input(u8, device, size);
}

/// Copies an image into an acquired slot; with `plane` from 0 on, an image of one plane into that plane of it. On a GPU
/// the copy is ordered by the CUstream, where `has_stream` is 1, else by the library's own.
pub export fn cuframes_publisher_copy_image(
    handle: u32,
    slot: u32,
    image: u32,
    plane: i32,
    stream: u64,
    has_stream: u32,
) i32 {
    return done(copyImage(handle, slot, image, plane, if (has_stream != 0) stream else null));
}

fn copyImage(handle: u32, slot: u32, image: u32, plane: i32, stream: ?u64) Error!void {
    const publisher = try handles.get(.publisher, handle);
    return publisher.copyImage(slot, try handles.get(.image, image), if (plane < 0) null else @intCast(plane), stream);
}

/// Ends an image. What was registered may be kept for the next import of the same buffer: see cuframes_images_trim.
pub export fn cuframes_image_close(handle: u32) i32 {
    const image = handles.take(.image, handle) catch |failure| return codeOf(failure);
    image.close();
    return 0;
}

/// Releases every registration that no image uses, and with it of the buffers.
pub export fn cuframes_images_trim() void {
    registration.trim();
}

/// Fills a table of at most `capacity` layouts that EGL imports on a GPU; returns how many there are in it.
pub export fn cuframes_dmabuf_formats(
    device: ?[*]const u8,
    device_size: u32,
    pairs: ?[*]egl_display.Pair,
    capacity: u32,
) i32 {
    return codeOf(dmabufFormats(device, device_size, pairs, capacity));
}

fn dmabufFormats(device: ?[*]const u8, device_size: u32, pairs: ?[*]egl_display.Pair, capacity: u32) Error!i32 {
    const table = try output(egl_display.Pair, pairs, capacity);
    return @intCast(try registration.pairs(try deviceName(device, device_size), table));
}

/// Returns a dma-buf of a held frame, the caller's to close: on a GPU of the slot itself, on the host of a copy.
pub export fn cuframes_subscriber_export_dmabuf(handle: u32, lease: u32) i32 {
    const subscriber = handles.get(.subscriber, handle) catch |failure| return codeOf(failure);
    return codeOf(subscriber.exportDmabuf(lease));
}

// Sockets that pass descriptors.

/// Starts connecting to a socket on another thread, as cuframes_connect_start. `address` is a path, or "@" and an
/// abstract name, of `size` bytes. timeout_ms: how long to wait for a listener; 0: it must be there.
pub export fn cuframes_socket_connect_start(
    address: ?[*]const u8,
    size: u32,
    timeout_ms: i32,
    callback: ?event_loop.Callback,
    token: u32,
) i32 {
    return codeOf(socketConnectStart(address, size, timeout_ms, callback, token));
}

fn socketConnectStart(
    address: ?[*]const u8,
    size: u32,
    timeout_ms: i32,
    callback: ?event_loop.Callback,
    token: u32,
) Error!i32 {
    const place: Place = try .parse(try input(u8, address, size));
    return startConnecting(.{ .socket = .{ .place = place, .timeout_ms = timeout_ms } }, callback, token);
}

/// Returns a listener's handle. ALREADY_EXISTS where somebody listens.
pub export fn cuframes_socket_listen(address: ?[*]const u8, size: u32, mode: u32) i32 {
    return codeOf(socketListen(address, size, mode));
}

fn socketListen(address: ?[*]const u8, size: u32, mode: u32) Error!i32 {
    const listener: *DescriptorSocket = try .listen(try .parse(try input(u8, address, size)), mode);
    errdefer listener.close();
    return handles.add(.{ .socket = listener });
}

/// Returns the handle of a listener's next connection. WOULD_BLOCK with a time-out of 0, else TIMEOUT.
pub export fn cuframes_socket_accept(listener_handle: u32, timeout_ms: i32) i32 {
    return codeOf(socketAccept(listener_handle, timeout_ms));
}

fn socketAccept(handle: u32, timeout_ms: i32) Error!i32 {
    const listener = try handles.get(.socket, handle);
    const accepted = try listener.accept(.fromMilliseconds(timeout_ms));
    errdefer accepted.close();
    return handles.add(.{ .socket = accepted });
}

/// Sends one message of 1 to 65 536 bytes with up to 253 descriptors, which stay the caller's.
pub export fn cuframes_socket_send(
    handle: u32,
    bytes: ?[*]const u8,
    size: u32,
    descriptors: ?[*]const i32,
    descriptor_count: u32,
    timeout_ms: i32,
) i32 {
    return done(socketSend(handle, bytes, size, descriptors, descriptor_count, timeout_ms));
}

fn socketSend(
    handle: u32,
    bytes: ?[*]const u8,
    size: u32,
    descriptors: ?[*]const i32,
    descriptor_count: u32,
    timeout_ms: i32,
) Error!void {
    const connected = try handles.get(.socket, handle);
    const list = try input(i32, descriptors, descriptor_count);
    return connected.send(try input(u8, bytes, size), list, .fromMilliseconds(timeout_ms));
}

/// Takes one message into a buffer of at least 65 536 bytes. The descriptors that came with it are the caller's; on
/// every error none of them is open.
pub export fn cuframes_socket_receive(
    handle: u32,
    bytes: ?[*]u8,
    capacity: u32,
    received: ?*descriptor_socket.Received,
    timeout_ms: i32,
) i32 {
    return done(socketReceive(handle, bytes, capacity, received, timeout_ms));
}

fn socketReceive(
    handle: u32,
    bytes: ?[*]u8,
    capacity: u32,
    received: ?*descriptor_socket.Received,
    timeout_ms: i32,
) Error!void {
    const connected = try handles.get(.socket, handle);
    const message = try required(descriptor_socket.Received, received);
    return connected.receive(try output(u8, bytes, capacity), message, .fromMilliseconds(timeout_ms));
}

/// Calls back once when there is something to receive or accept (direction 0), or room to send (1), or the end to tell.
pub export fn cuframes_socket_arm(handle: u32, direction: u32, callback: ?event_loop.Callback) i32 {
    return done(armSocket(handle, direction, callback));
}

fn armSocket(handle: u32, direction: u32, callback: ?event_loop.Callback) Error!void {
    const connected = try handles.get(.socket, handle);
    const known = std.enums.fromInt(descriptor_socket.Direction, direction) orelse return errors.fail(
        error.InvalidArgument,
        "direction {d}: 0 or 1",
        .{direction},
    );
    return connected.arm(known, try requiredCallback(callback), handle);
}

/// Who the peer was when it connected, or began to listen.
pub export fn cuframes_socket_peer(handle: u32, credentials: ?*socket.Credentials) i32 {
    return done(socketPeer(handle, credentials));
}

fn socketPeer(handle: u32, credentials: ?*socket.Credentials) Error!void {
    const connected = try handles.get(.socket, handle);
    const out = try required(socket.Credentials, credentials);
    out.* = try connected.peer();
}

/// Ends a connection, or the listening with its files.
pub export fn cuframes_socket_close(handle: u32) i32 {
    const taken = handles.take(.socket, handle) catch |failure| return codeOf(failure);
    taken.close();
    return 0;
}

/// Closes a descriptor that was received or exported; INVALID_ARGUMENT where it is not open.
pub export fn cuframes_descriptor_close(descriptor: i32) i32 {
    return done(descriptor_socket.closeDescriptor(descriptor));
}

test {
    _ = errors;
    _ = protocol;
    _ = event_loop;
    _ = environment;
    _ = @import("ipc/waiter.zig");
    _ = @import("core/format.zig");
    _ = @import("os/fd.zig");
    _ = @import("os/log.zig");
    _ = @import("os/memfd.zig");
    _ = @import("os/socket.zig");
    _ = @import("os/directory.zig");
    _ = @import("os/arrivals.zig");
    _ = @import("core/drm_format.zig");
    _ = @import("image/buffer.zig");
    _ = @import("egl/driver.zig");
    _ = egl_display;
    _ = @import("ring/frames.zig");
    _ = @import("ipc/admission.zig");
    _ = connecting;
    _ = attempts;
    _ = cuda_context;
    _ = cuda_driver;
    _ = packets;
}
