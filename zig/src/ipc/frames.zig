//! A publisher's frames are made by its owner's thread: it acquires a slot, fills it, and publishes or cancels it. On a
//! GPU the last step waits, on the completion thread, for the work that fills the slot.

const std = @import("std");
const assert = std.debug.assert;
const errors = @import("../core/mod.zig").errors;
const format = @import("../core/mod.zig").format;
const Picture = @import("../core/mod.zig").picture.Picture;
const layout = @import("../ring/mod.zig").layout;
const clock = @import("../os/mod.zig").clock;
const cuda = @import("../memory/mod.zig").cuda;
const Image = @import("../image/mod.zig").image.Image;
const completion = @import("../cuda/mod.zig").completion;
const Context = @import("../cuda/mod.zig").context.Context;
const CUstream = @import("../cuda/mod.zig").driver.abi.CUstream;
const supply = @import("supply.zig");
const waiters = @import("waiter.zig");
const event_loop = @import("event_loop.zig");
const Publisher = @import("publisher.zig").Publisher;
const Error = errors.Error;

/// What a frame is published with.
pub const PublishRecord = extern struct {
    /// On any clock.
    timestamp_ns: i64,
    duration_ns: u64,
    /// Flags of a frame.
    flags: u32,
    /// Bytes of `metadata` that are used.
    metadata_size: u32,
    /// Out: the frame's number, from 1.
    sequence: u64,
    /// For memory on a GPU: the CUstream whose work so far fills the frame, where `has_stream` is 1; else the
    /// library's own.
    stream: u64,
    has_stream: u32,
    reserved: u32,
    /// In UTC since 1970; 0: not known.
    capture_time_ns: i64,
    picture: Picture,
    metadata: [layout.metadata_size_max]u8,
};

/// The slot to fill. WouldBlock when none is free now, under the policy "wait"; under "drop_oldest" when all are the
/// owner's own, or no memory for another can be had.
pub fn tryAcquire(publisher: *Publisher) error{WouldBlock}!u32 {
    if (publisher.writer.policy == .drop_oldest) return try supply.acquire(publisher);
    publisher.mutex.lock();
    defer publisher.mutex.unlock();
    return publisher.writer.acquire(&publisher.subscribers) orelse error.WouldBlock;
}

/// As tryAcquire, but under the policy "wait" it sleeps until a slot is free, Timeout after the deadline.
pub fn acquire(publisher: *Publisher, deadline: clock.Deadline) error{ WouldBlock, Timeout }!u32 {
    while (true) {
        return tryAcquire(publisher) catch {
            if (publisher.writer.policy == .drop_oldest) return error.WouldBlock;
            if (!waitForRoom(publisher, deadline)) return error.Timeout;
            continue;
        };
    }
}

fn waitForRoom(publisher: *Publisher, deadline: clock.Deadline) bool {
    // Subscribers announce releases only while this is not 0; it is set before the condition is looked at.
    publisher.writer.beginWait();
    defer publisher.writer.endWait();
    return publisher.room.wait(publisher, hasRoom, deadline);
}

fn hasRoom(publisher: *Publisher) bool {
    if (@atomicLoad(bool, &publisher.closing, .seq_cst)) return true;
    publisher.mutex.lock();
    defer publisher.mutex.unlock();
    return publisher.writer.hasFree(&publisher.subscribers);
}

pub fn publish(publisher: *Publisher, slot: u32, record: *PublishRecord) Error!void {
    if (record.metadata_size > layout.metadata_size_max) {
        return errors.fail(
            error.InvalidArgument,
            "{d} bytes of metadata: a frame carries at most {d}",
            .{ record.metadata_size, layout.metadata_size_max },
        );
    }
    publisher.mutex.lock();
    defer publisher.mutex.unlock();
    if (!isAcquired(publisher, slot)) return notAcquired(slot);
    const shared = &publisher.control.slots[slot].record;
    shared.timestamp_ns = record.timestamp_ns;
    shared.duration_ns = record.duration_ns;
    shared.capture_time_ns = record.capture_time_ns;
    shared.flags = record.flags;
    shared.picture = record.picture.bounded(&publisher.geometry);
    shared.metadata_size = record.metadata_size;
    @memcpy(shared.metadata[0..record.metadata_size], record.metadata[0..record.metadata_size]);
    shared.published_ns = clock.monotonicNs();
    switch (publisher.slots) {
        .host => {
            record.sequence = publisher.writer.number();
            complete(publisher, @intCast(slot), record.sequence);
        },
        .cuda => |*slots| try publishWhenDone(publisher, slots, @intCast(slot), record),
    }
}

/// Makes a frame visible. With the mutex held.
fn complete(publisher: *Publisher, slot: u6, sequence: u64) void {
    assert(publisher.mutex.isHeld());
    publisher.writer.complete(slot, sequence);
    publisher.meter.add(publisher.control.slots[slot].record.published_ns);
    publisher.subscribers.notifyFrames();
    // The frame that was the newest may be overwritten now.
    publisher.room.notify();
}

/// The frame becomes visible when the stream's work so far is done, and never before an earlier one.
fn publishWhenDone(publisher: *Publisher, slots: *cuda.Slots, slot: u6, record: *PublishRecord) Error!void {
    assert(isAcquired(publisher, slot));
    const context = &slots.context;
    try context.enter();
    defer context.leave();
    const stream = if (record.has_stream != 0) @as(CUstream, @ptrFromInt(record.stream)) else context.stream;
    try slots.follow(slot, stream);
    const done = try publisher.completions.announce(context, stream, slot);
    slots.releaseCopies(slot);
    record.sequence = publisher.writer.number();
    if (done) return complete(publisher, slot, record.sequence);
    publisher.pending_sequences[slot] = record.sequence;
    try completeLater(publisher, context, slot);
}

fn completeLater(publisher: *Publisher, context: *const Context, slot: u6) Error!void {
    assert(publisher.mutex.isHeld() and publisher.writer.owns(slot));
    const owner: completion.Owner = .{ .context = publisher, .done = onCompletion, .unref = Publisher.unrefOpaque };
    if (try publisher.completions.push(context, owner, slot)) publisher.ref();
    assert(publisher.under_way & @as(u64, 1) << slot == 0);
    publisher.under_way |= @as(u64, 1) << slot;
}

fn onCompletion(context: *anyopaque, slot: u32, succeeded: bool) void {
    const publisher: *Publisher = @ptrCast(@alignCast(context));
    publisher.mutex.lock();
    defer publisher.mutex.unlock();
    const bit = @as(u64, 1) << @intCast(slot);
    assert(publisher.under_way & bit != 0 and publisher.writer.owns(slot));
    const cancelled = publisher.cancelled & bit != 0;
    publisher.cancelled &= ~bit;
    publisher.under_way &= ~bit;
    if (succeeded and !cancelled) {
        complete(publisher, @intCast(slot), publisher.pending_sequences[slot]);
    } else {
        if (!cancelled) publisher.failed += 1;
        publisher.writer.cancel(@intCast(slot));
    }
    // Some slot is free now: this one, or the one that was the newest.
    publisher.room.notify();
}

/// Copies a picture that is on the same GPU into an acquired slot.
pub fn copyFrom(publisher: *Publisher, slot: u32, source: *const cuda.CopySource) Error!void {
    if (source.plane_count > format.planes_max) return errors.fail(
        error.InvalidArgument,
        "the source has {d} planes",
        .{source.plane_count},
    );
    const slots = try slotsOnDevice(publisher, slot);
    return slots.copyFrom(slot, &publisher.geometry, source);
}

/// Copies an imported image into an acquired slot, or one plane of it. The stream is for GPUs; null: the library's own.
pub fn copyImage(publisher: *Publisher, slot: u32, image: *const Image, plane: ?u32, stream: ?u64) Error!void {
    try requireAcquired(publisher, slot);
    switch (publisher.slots) {
        .host => |*slots| try image.copyToHost(&publisher.geometry, plane, @ptrFromInt(slots.address(@intCast(slot)))),
        .cuda => |*slots| try image.copyToDevice(slots, slot, &publisher.geometry, plane, stream),
    }
}

/// Copies a picture without padding from host memory into an acquired slot on a GPU.
pub fn upload(publisher: *Publisher, slot: u32, bytes: []const u8) Error!void {
    const slots = try slotsOnDevice(publisher, slot);
    const size = publisher.geometry.packedSize();
    if (bytes.len != size) return errors.fail(
        error.InvalidArgument,
        "{d} bytes for a frame that has {d} without padding",
        .{ bytes.len, size },
    );
    return slots.upload(slot, &publisher.geometry, bytes);
}

/// Copies an acquired slot's picture without padding to host memory, after the stream's work so far.
pub fn download(publisher: *Publisher, slot: u32, stream: ?u64, bytes: []u8) Error!void {
    const slots = try slotsOnDevice(publisher, slot);
    const size = publisher.geometry.packedSize();
    if (bytes.len != size) return errors.fail(
        error.InvalidArgument,
        "room for {d} bytes; a frame has {d} without padding",
        .{ bytes.len, size },
    );
    return slots.download(
        slot,
        &publisher.geometry,
        if (stream) |handle| @ptrFromInt(handle) else slots.context.stream,
        bytes,
    );
}

fn slotsOnDevice(publisher: *Publisher, slot: u32) Error!*cuda.Slots {
    if (publisher.slots != .cuda) return errors.fail(
        error.Unsupported,
        "this ring is in host memory: write to its planes",
        .{},
    );
    try requireAcquired(publisher, slot);
    return &publisher.slots.cuda;
}

fn requireAcquired(publisher: *Publisher, slot: u32) Error!void {
    publisher.mutex.lock();
    defer publisher.mutex.unlock();
    if (!isAcquired(publisher, slot)) return notAcquired(slot);
}

/// Cancels a slot: it is free again, and nobody sees it.
pub fn cancel(publisher: *Publisher, slot: u32) Error!void {
    publisher.mutex.lock();
    defer publisher.mutex.unlock();
    if (!isAcquired(publisher, slot)) return notAcquired(slot);
    if (publisher.slots == .cuda and publisher.slots.cuda.copies[slot].pending) {
        if (cancelWhenDone(publisher, &publisher.slots.cuda, @intCast(slot))) return;
    }
    publisher.writer.cancel(@intCast(slot));
    publisher.room.notify();
}

/// False: the copies into the slot are over already.
fn cancelWhenDone(publisher: *Publisher, slots: *cuda.Slots, slot: u6) bool {
    defer slots.releaseCopies(slot);
    return announceCancelled(publisher, slots, slot) catch {
        slots.awaitCopies(slot);
        return false;
    };
}

fn announceCancelled(publisher: *Publisher, slots: *cuda.Slots, slot: u6) Error!bool {
    assert(isAcquired(publisher, slot));
    assert(publisher.cancelled & @as(u64, 1) << slot == 0);
    const context = &slots.context;
    try context.enter();
    defer context.leave();
    try slots.follow(slot, context.stream);
    if (try publisher.completions.announce(context, context.stream, slot)) return false;
    try completeLater(publisher, context, slot);
    publisher.cancelled |= @as(u64, 1) << slot;
    return true;
}

fn isAcquired(publisher: *const Publisher, slot: u32) bool {
    assert(publisher.mutex.isHeld());
    return publisher.writer.owns(slot) and publisher.under_way & @as(u64, 1) << @intCast(slot) == 0;
}

fn notAcquired(slot: u32) Error {
    return errors.fail(error.InvalidArgument, "slot {d} was not acquired, or is published already", .{slot});
}

/// Calls back once when a slot may be free.
pub fn arm(publisher: *Publisher, callback: event_loop.Callback, token: u32) Error!void {
    const owner: waiters.Owner = .{ .context = publisher, .block = blockForRoom, .unref = Publisher.unrefOpaque };
    if (try publisher.waiter.arm(owner, callback, token)) publisher.ref();
}

fn blockForRoom(context: *anyopaque) void {
    const publisher: *Publisher = @ptrCast(@alignCast(context));
    assert(waitForRoom(publisher, .never));
}
