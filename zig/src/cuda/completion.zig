//! A thread of its own waits for GPU work, in the order in which it was announced: it spins first, then it sleeps.

const std = @import("std");
const errors = @import("../core/mod.zig").errors;
const clock = @import("../os/mod.zig").clock;
const futex = @import("../os/mod.zig").futex;
const log = @import("../os/mod.zig").log;
const thread = @import("../os/mod.zig").thread;
const Mutex = @import("../os/mod.zig").mutex.Mutex;
const Context = @import("context.zig").Context;
const abi = @import("driver.zig").abi;
const Error = errors.Error;

/// A frame's copy takes some microseconds: spinning finds it done 14 µs sooner than a blocking wait (H200).
const spin_ns = 100 * std.time.ns_per_us;

pub const Owner = struct {
    context: *anyopaque,
    /// The work is done, or failed and never will be.
    done: *const fn (context: *anyopaque, item: u32, succeeded: bool) void,
    unref: *const fn (context: *anyopaque) void,
};

/// How long closing waits for work that is under way.
pub const drain_timeout_ms = 10_000;

/// Items in flight; each is a slot or a lease, so there are at most 64.
const capacity = 64;

/// One more: an item that `done` has made available may come back before it has left the queue.
const queue_size = capacity + 1;

pub const Completions = struct {
    mutex: Mutex = .{},
    events: [capacity]abi.CUevent = @splat(null),
    queue: [queue_size]u32 = undefined,
    first: usize = 0,
    count: usize = 0,
    started: bool = false,
    stopping: bool = false,
    /// Changes with every push, completion and stop.
    signal: u32 = 0,

    /// Records the stream's work so far as what `item` waits for. True when it is done already and nothing is
    /// before it: then `done` is not called.
    pub fn announce(completions: *Completions, context: *const Context, stream: abi.CUstream, item: u32) Error!bool {
        std.debug.assert(item < capacity);
        const event = &completions.events[item];
        if (event.* == null) {
            try context.call(.cuEventCreate, .{ event, abi.CU_EVENT_DISABLE_TIMING | abi.CU_EVENT_BLOCKING_SYNC });
        }
        try context.call(.cuEventRecord, .{ event.*, stream });
        return completions.isIdle() and try context.isComplete(event.*);
    }

    /// Queues an announced item for the thread. True when the thread was started by this call: the owner counts
    /// a reference for it.
    pub fn push(completions: *Completions, context: *const Context, owner: Owner, item: u32) Error!bool {
        std.debug.assert(item < capacity and completions.events[item] != null);
        const first = !completions.started;
        if (first) try thread.spawn("cuframes-gpu", run, .{ completions, context, owner });
        completions.started = true;
        completions.mutex.lock();
        std.debug.assert(completions.count < queue_size);
        completions.queue[(completions.first + completions.count) % queue_size] = item;
        completions.count += 1;
        completions.mutex.unlock();
        completions.announceChange();
        return first;
    }

    pub fn isIdle(completions: *Completions) bool {
        completions.mutex.lock();
        defer completions.mutex.unlock();
        return completions.count == 0;
    }

    /// Waits until nothing is in flight; false when the deadline passes first.
    pub fn drain(completions: *Completions, deadline: clock.Deadline) bool {
        while (true) {
            const seen = @atomicLoad(u32, &completions.signal, .seq_cst);
            if (completions.isIdle()) return true;
            if (deadline.passed()) return false;
            futex.wait(&completions.signal, seen, deadline);
        }
    }

    /// Ends the thread once nothing is in flight.
    pub fn stop(completions: *Completions) void {
        @atomicStore(bool, &completions.stopping, true, .seq_cst);
        completions.announceChange();
    }

    /// After the thread has ended, or when there was none.
    pub fn deinit(completions: *Completions, context: *const Context) void {
        context.enter() catch return;
        defer context.leave();
        for (completions.events) |event| {
            if (event != null) _ = context.driver.functions.cuEventDestroy_v2(event);
        }
    }

    fn announceChange(completions: *Completions) void {
        _ = @atomicRmw(u32, &completions.signal, .Add, 1, .seq_cst);
        futex.wakeAll(&completions.signal);
    }

    fn next(completions: *Completions) ?u32 {
        completions.mutex.lock();
        defer completions.mutex.unlock();
        return if (completions.count == 0) null else completions.queue[completions.first];
    }

    fn run(completions: *Completions, context: *const Context, owner: Owner) void {
        const current = if (context.enter()) true else |_| false;
        log.debug("waits for the GPU's work", .{});
        defer log.debug("ends", .{});
        while (true) {
            const seen = @atomicLoad(u32, &completions.signal, .seq_cst);
            const item = completions.next() orelse {
                if (@atomicLoad(bool, &completions.stopping, .seq_cst)) break;
                futex.wait(&completions.signal, seen, .never);
                continue;
            };
            const succeeded = current and await_(context, completions.events[item]);
            log.debug("the GPU's work on {d} is {s}", .{ item, if (succeeded) "done" else "lost: it failed" });
            owner.done(owner.context, item, succeeded);
            completions.mutex.lock();
            std.debug.assert(completions.count >= 1 and completions.queue[completions.first] == item);
            completions.first = (completions.first + 1) % queue_size;
            completions.count -= 1;
            completions.mutex.unlock();
            completions.announceChange();
        }
        if (current) context.leave();
        owner.unref(owner.context);
    }

    fn await_(context: *const Context, event: abi.CUevent) bool {
        const until = clock.monotonicNs() + spin_ns;
        while (clock.monotonicNs() < until) {
            if (context.isComplete(event) catch return false) return true;
            std.atomic.spinLoopHint();
        }
        context.call(.cuEventSynchronize, .{event}) catch return false;
        return true;
    }
};
