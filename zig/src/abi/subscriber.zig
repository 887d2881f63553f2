//! These functions of the C ABI take frames from a publisher, hold them and release them.

const errors = @import("../core/mod.zig").errors;
const subscribing = @import("../ipc/mod.zig").subscriber;
const event_loop = @import("../ipc/mod.zig").event_loop;
const handles = @import("handles.zig");
const arguments = @import("arguments.zig");
const codeOf = arguments.codeOf;
const done = arguments.done;
const required = arguments.required;
const requiredCallback = arguments.requiredCallback;
const Error = errors.Error;

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

/// Copies a held GPU frame to page-locked host memory, once unless `refresh` is 1; returns which of
/// LEASES_MAX buffers, and its address. The bytes stay as they are for as long as the frame is held.
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
