//! This file has contexts, streams and events. Each stream is a queue and a thread, so that GPU work really is
//! asynchronous.

const std = @import("std");
const assert = std.debug.assert;
const cuda = @import("cuda");
const abi = cuda.abi;
const CUresult = abi.CUresult;

const lock = @import("lock.zig");
const machine = @import("machine.zig");
const memory = @import("memory.zig");
const Table = @import("handles.zig").Table;

// Contexts

pub const Context = struct {
    /// Physical index.
    device: u32,
    retained: u32,
    /// Once work has gone wrong, every call in the context returns this.
    poison: CUresult,
    /// The legacy default stream.
    default_stream: u64,
};

pub var contexts: Table(.context, Context, machine.devices_max) = .{};
/// Each physical device's primary context; 0 where it is not retained.
pub var primary: [machine.devices_max]u64 = @splat(0);

/// What a call in a context returns before it does anything: CUDA_SUCCESS while the context can work.
pub fn stateOf(context: u64) CUresult {
    return (contexts.get(context) orelse return .CUDA_ERROR_CONTEXT_IS_DESTROYED).poison;
}

/// The calling thread's stack of contexts.
pub threadlocal var stack: [64]u64 = undefined;
pub threadlocal var stack_len: usize = 0;

pub fn current() u64 {
    return if (stack_len == 0) 0 else stack[stack_len - 1];
}

pub fn retainPrimary(device: u32, handle: *u64) CUresult {
    if (primary[device] == 0) {
        const context = contexts.add(.{
            .device = device,
            .retained = 0,
            .poison = .CUDA_SUCCESS,
            .default_stream = 0,
        }) orelse return .CUDA_ERROR_OUT_OF_MEMORY;
        const stream = create(context, .default) orelse {
            contexts.remove(context);
            return .CUDA_ERROR_OUT_OF_MEMORY;
        };
        contexts.get(context).?.default_stream = stream;
        primary[device] = context;
    }
    contexts.get(primary[device]).?.retained += 1;
    handle.* = primary[device];
    return .CUDA_SUCCESS;
}

/// The last release ends the context, work and all. What was not destroyed in it before stays counted
/// as live: it is a leak.
pub fn releasePrimary(device: u32) CUresult {
    const context = contexts.get(primary[device]) orelse return .CUDA_ERROR_INVALID_CONTEXT;
    context.retained -= 1;
    if (context.retained > 0) return .CUDA_SUCCESS;
    destroy(context.default_stream);
    contexts.remove(primary[device]);
    primary[device] = 0;
    lock.notify();
    return .CUDA_SUCCESS;
}

// Streams

const Ordering = enum {
    /// The legacy default stream: waits for all blocking streams of its context, and they for it.
    default,
    blocking,
    non_blocking,
};

const Stream = struct {
    handle: u64,
    context: u64,
    ordering: Ordering,
    destroyed: bool = false,
    queue: [queue_max]Work = undefined,
    head: usize = 0,
    len: usize = 0,
    /// The ticket of the last piece of work that is done.
    completed: u64 = 0,

    fn first(stream: *Stream) *Work {
        assert(stream.len > 0);
        return &stream.queue[stream.head];
    }

    /// The ticket of the oldest work that is not done.
    fn oldest(stream: *Stream) u64 {
        return if (stream.len > 0) stream.first().ticket else std.math.maxInt(u64);
    }

    fn newest(stream: *Stream) u64 {
        return if (stream.len > 0)
            stream.queue[(stream.head + stream.len - 1) % queue_max].ticket
        else
            stream.completed;
    }
};

/// As on a GPU, a call that would queue more waits for room.
const queue_max = 1024;

pub var streams: Table(.stream, *Stream, 256) = .{};
var tickets: u64 = 0;

pub fn createStream(context: u64, flags: c_uint) ?u64 {
    return create(context, if (flags & abi.CU_STREAM_NON_BLOCKING != 0) .non_blocking else .blocking);
}

fn create(context: u64, ordering: Ordering) ?u64 {
    const stream = std.heap.c_allocator.create(Stream) catch return null;
    stream.* = .{ .handle = 0, .context = context, .ordering = ordering };
    stream.handle = streams.add(stream) orelse {
        std.heap.c_allocator.destroy(stream);
        return null;
    };
    const thread = std.Thread.spawn(.{ .stack_size = 1 << 20 }, work, .{stream}) catch {
        streams.remove(stream.handle);
        std.heap.c_allocator.destroy(stream);
        return null;
    };
    thread.detach();
    return stream.handle;
}

/// Its queued work is still done, as on a GPU; the handle is dead at once.
pub fn destroy(handle: u64) void {
    find(handle).?.destroyed = true;
    lock.notify();
}

/// A stream that has not been destroyed.
pub fn find(handle: u64) ?*Stream {
    const stream = (streams.get(handle) orelse return null).*;
    return if (stream.destroyed) null else stream;
}

/// Streams that the caller made and has not destroyed.
pub fn liveStreams() u64 {
    var count: u64 = 0;
    for (&streams.slots) |*slot| {
        if (slot.value) |stream| count += @intFromBool(!stream.destroyed and stream.ordering != .default);
    }
    return count;
}

// Events and points in a stream's work

pub const Event = struct { context: u64, recorded: ?Point };
pub var events: Table(.event, Event, 4095) = .{};

pub const Point = struct {
    stream: u64,
    ticket: u64,

    pub fn isDone(point: Point) bool {
        // A stream goes when it is destroyed and all its work is done.
        const stream = streams.get(point.stream) orelse return true;
        return stream.*.completed >= point.ticket;
    }
};

/// Where a stream's work, as queued so far, ends.
pub fn end(stream: *Stream) Point {
    return .{ .stream = stream.handle, .ticket = stream.newest() };
}

/// Whether all work is done; for the default stream, that of the blocking streams too.
pub fn isIdle(stream: *Stream) bool {
    if (stream.len > 0) return false;
    if (stream.ordering != .default) return true;
    for (&streams.slots) |*slot| {
        const other = slot.value orelse continue;
        if (other.context == stream.context and other.ordering == .blocking and other.len > 0) return false;
    }
    return true;
}

/// Blocks until the work is done or its context has gone wrong.
pub fn wait(point: Point, context: u64) CUresult {
    while (!point.isDone()) lock.wait();
    return stateOf(context);
}

/// Blocks until a context has nothing left to do.
pub fn drain(context: u64) void {
    while (busy(context)) lock.wait();
}

fn busy(context: u64) bool {
    for (&streams.slots) |*slot| {
        if (slot.value) |stream| if (stream.context == context and stream.len > 0) return true;
    }
    return false;
}

// Work

pub const Side = struct {
    /// A device address, or a host address where `host`.
    address: u64,
    /// Bytes from one row to the next.
    pitch: usize,
    host: bool = false,
};

pub const Transfer = struct {
    /// Bytes in a row, and rows: neither 0.
    width: usize,
    height: usize,
    to: Side,
    from: union(enum) { memory: Side, value: u8 },
    delay_us: u32,

    /// Bytes from the first to the last that a side touches.
    pub fn extent(transfer: *const Transfer, side: Side) usize {
        return (transfer.height - 1) * side.pitch + transfer.width;
    }
};

const Task = union(enum) {
    /// Nothing: a place in the queue.
    marker,
    wait: Point,
    transfer: Transfer,
};

const Work = struct { ticket: u64, task: Task };

/// Queues work. Blocks while the queue is full.
pub fn enqueue(handle: u64, task: Task) CUresult {
    while (true) {
        const stream = find(handle) orelse return .CUDA_ERROR_INVALID_HANDLE;
        if (stream.len < queue_max) {
            tickets += 1;
            stream.queue[(stream.head + stream.len) % queue_max] = .{ .ticket = tickets, .task = task };
            stream.len += 1;
            lock.notify();
            return .CUDA_SUCCESS;
        }
        lock.wait();
    }
}

fn work(stream: *Stream) void {
    lock.acquire();
    defer lock.release();
    while (true) {
        while (!canStart(stream)) {
            if (stream.destroyed and stream.len == 0) {
                streams.remove(stream.handle);
                std.heap.c_allocator.destroy(stream);
                lock.notify();
                return;
            }
            lock.wait();
        }
        const next = stream.first();
        if (next.task == .transfer) transferNow(stream.context, &next.task.transfer);
        stream.completed = next.ticket;
        stream.head = (stream.head + 1) % queue_max;
        stream.len -= 1;
        lock.notify();
    }
}

fn canStart(stream: *Stream) bool {
    if (stream.len == 0) return false;
    const next = stream.first();
    if (next.task == .wait and !next.task.wait.isDone()) return false;
    if (stream.ordering == .non_blocking) return true;
    for (&streams.slots) |*slot| {
        const other = slot.value orelse continue;
        if (other == stream or other.context != stream.context) continue;
        const ordered = switch (stream.ordering) {
            .default => other.ordering == .blocking,
            .blocking => other.ordering == .default,
            .non_blocking => unreachable,
        };
        if (ordered and other.oldest() < next.ticket) return false;
    }
    return true;
}

/// While set, each copy or fill stops when half of it is done.
var hold = false;
/// How many are stopped so.
var stopped: u32 = 0;

pub fn setHold(on: bool) void {
    hold = on;
    lock.notify();
}

/// Blocks until so many are stopped; false when that takes too long.
pub fn waitStopped(count: u32, milliseconds: u32) bool {
    const deadline = lock.deadlineIn(milliseconds);
    while (stopped < count) if (!lock.waitUntil(deadline)) return stopped >= count;
    return true;
}

/// Runs on a stream's thread, with the lock, which it lets go of while bytes move.
fn transferNow(context_handle: u64, transfer: *const Transfer) void {
    // Work of a context that is gone or has gone wrong is thrown away.
    const context = contexts.get(context_handle) orelse return;
    if (context.poison != .CUDA_SUCCESS) return;
    const device = context.device;

    const to = Claim.pin(transfer, transfer.to, device, true) orelse return poisonContext(context_handle);
    defer to.unpin();
    const from: ?Claim = switch (transfer.from) {
        .value => null,
        .memory => |side| Claim.pin(transfer, side, device, false) orelse return poisonContext(context_handle),
    };
    defer if (from) |source| source.unpin();

    const total = transfer.width * transfer.height;
    const steps: usize = if (transfer.delay_us > 0) 16 else 2;
    for (0..steps) |step| {
        if (step == steps / 2) {
            stopped += 1;
            lock.notify();
            while (hold) lock.wait();
            stopped -= 1;
        }
        lock.release();
        defer lock.acquire();
        if (transfer.delay_us > 0) sleep(transfer.delay_us * std.time.ns_per_us / steps);
        move(
            transfer,
            to.bytes,
            if (from) |source| source.bytes else null,
            total * step / steps,
            total * (step + 1) / steps,
        );
    }

    // Memory that was unmapped under the work is a fault too, though the pin kept it.
    if (!isMapped(transfer, transfer.to, device, true)) return poisonContext(context_handle);
    if (transfer.from == .memory and !isMapped(transfer, transfer.from.memory, device, false)) {
        return poisonContext(context_handle);
    }
}

fn poisonContext(handle: u64) void {
    const context = contexts.get(handle) orelse return;
    context.poison = .CUDA_ERROR_ILLEGAL_ADDRESS;
    lock.notify();
}

fn isMapped(transfer: *const Transfer, side: Side, device: u32, write: bool) bool {
    return side.host or memory.resolve(side.address, transfer.extent(side), device, write) != null;
}

/// One side's bytes, kept for as long as the work lasts.
const Claim = struct {
    bytes: [*]u8,
    /// 0 for host memory.
    allocation: u64,

    fn pin(transfer: *const Transfer, side: Side, device: u32, write: bool) ?Claim {
        if (side.host) return .{ .bytes = @ptrFromInt(side.address), .allocation = 0 };
        const span = memory.resolve(side.address, transfer.extent(side), device, write) orelse return null;
        memory.pin(span.allocation);
        return .{ .bytes = span.bytes, .allocation = span.allocation };
    }

    fn unpin(claim: Claim) void {
        if (claim.allocation != 0) memory.unpin(claim.allocation);
    }
};

/// Bytes first to last (not included) of the transfer's width × height, in order.
fn move(transfer: *const Transfer, to: [*]u8, from: ?[*]const u8, first: usize, last: usize) void {
    var index = first;
    while (index < last) {
        const row = index / transfer.width;
        const column = index % transfer.width;
        const length = @min(transfer.width - column, last - index);
        const target = to[row * transfer.to.pitch + column ..][0..length];
        switch (transfer.from) {
            .value => |value| @memset(target, value),
            .memory => |side| @memmove(target, from.?[row * side.pitch + column ..][0..length]),
        }
        index += length;
    }
}

fn sleep(nanoseconds: u64) void {
    var left: std.c.timespec = .{
        .sec = @intCast(nanoseconds / std.time.ns_per_s),
        .nsec = @intCast(nanoseconds % std.time.ns_per_s),
    };
    while (std.c.nanosleep(&left, &left) != 0) {}
}
