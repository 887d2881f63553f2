//! A machine for tests: it runs a few threads of real code in every interleaving, on the memory of a processor that
//! reorders. Nothing of it is in the library.
//!
//! Threads are fibers of one system thread, and all of `barrier`'s accesses come here (`barrier.Memory`). A run is a
//! list of choices: which thread goes on, which buffered store becomes visible, which of its values a location is seen
//! with. At each choice everything is kept, stacks too, and put back to go on with the next alternative; where a run
//! comes to a state that was there before, it ends. A thread's state is what it has loaded so far, since all else
//! follows from that: so threads may share nothing but what they access through `barrier`, and may hold no resource.
//!
//! The memory, which all processors see in one order (both architectures are multi-copy atomic):
//!
//! - Stores wait in their processor's buffer, whose loads are served from it.
//! - x86_64: the buffer is a queue, but `unordered` stores stand for memcpy's non-temporal ones and pass others until
//!   a barrier. A sequentially consistent store, or an addition, waits until the buffer is empty. Loads are in order.
//! - aarch64: stores leave the buffer in any order, but for those to one location, release stores (after all in front
//!   of them) and barriers. A sequentially consistent store (`stlr`) waits in the buffer too; only a sequentially
//!   consistent load (`ldar`) waits until these have left it, an acquire load (`ldapr`) does not. A release store is
//!   taken by its word, which promises less than the `stlr` that it becomes. What is behind a plain load may be loaded
//!   before it: later loads see any value since the last acquire load. A plain load whose value decides nothing may
//!   also be done late, up to the next release store (`expect`).
//!
//! What it does not have: runs in which accesses overtake others more often than `overtakings_max` times (to wait in
//! the buffer in order, as all of x86's stores but the non-temporal ones do, is none), and more than `buffer_max`
//! stores in a buffer.

const std = @import("std");
const assert = std.debug.assert;
const barrier = @import("barrier.zig");
const fiber = std.Io.fiber;

pub const Processor = enum { x86_64, aarch64 };

pub const processors = [_]Processor{ .x86_64, .aarch64 };

const threads_max = 4;
const buffer_max = 12;
const locations_max = 256;
const log_max = 1024;
const stack_size = 256 << 10;
/// How often an access may be done before others that it is behind: each bug that is known needs one time.
const overtakings_max = 1;
/// Scheduled accesses of a run: more are a thread that goes round without end.
const steps_max = 2_000;

/// What a thread is about to do.
const Access = struct {
    kind: enum { load, store, add, load_load, expect, end },
    location: u32 = 0,
    value: u64 = 0,
    order: std.builtin.AtomicOrder = .seq_cst,
};

/// A store that is not visible yet; or a load whose value is not known yet, and must be `value`.
const Buffered = struct {
    location: u32,
    value: u64,
    order: std.builtin.AtomicOrder,
    is_load: bool,
    /// Barriers in front of it.
    epoch: u32,
    /// Something behind it has left already.
    overtaken: bool = false,
};

const Location = struct {
    address: usize,
    size: u8,
    initial: u64,
    /// The thread that accesses it, and whether another does too. Accesses of the only one need not be interleaved.
    owner: usize,
    shared: bool = false,
};

const Visible = struct { location: u32, value: u64 };

const Thread = struct {
    context: fiber.Context = undefined,
    stack: []align(16) u8 = &.{},
    pending: Access = undefined,
    result: u64 = 0,
    buffer: [buffer_max]Buffered = undefined,
    buffered: usize = 0,
    epoch: u32 = 0,
    /// Of all that it has loaded.
    digest: u64 = 0,
    /// Loads may be done from here on, an index of the log; `floor_after_stores`: sequentially consistent ones.
    floor: usize = 0,
    floor_after_stores: usize = 0,
    /// A plain load has been made since `floor`.
    passed_load: bool = false,
    /// Where in the log each location's value is that was seen last: older ones are not seen any more.
    seen: [locations_max]u32 = @splat(0),
};

const Choice = union(enum) {
    /// The thread's pending access; a load's value is the one that is stored in front of `log[at]`.
    step: struct { thread: usize, at: ?usize = null },
    /// A late `expect` is left in the buffer.
    defer_expect: usize,
    drain: struct { thread: usize, index: usize },
};

/// A state that several choices lead on from, and those that have not been taken.
const Branch = struct {
    choices: []Choice,
    next: usize = 0,
    log_size: usize,
    overtakings: usize,
    trace_size: usize,
    /// Bytes of all threads, their stacks, the scenario, and the values of all locations that were known.
    kept: []u8,
    locations: usize,
};

pub const Statistics = struct { states: usize, runs: usize };

/// Runs the machine that is running.
threadlocal var running: ?*Machine = null;

const Machine = struct {
    processor: Processor,
    threads: []Thread,
    /// Runs thread `index` of the scenario.
    body: *const fn (scenario: *anyopaque, index: usize) anyerror!void,
    scenario: []u8,
    scheduler: fiber.Context = undefined,
    current: usize = 0,
    locations: std.ArrayList(Location) = .empty,
    by_address: std.AutoHashMapUnmanaged(usize, u32) = .empty,
    log: [log_max]Visible = undefined,
    log_size: usize = 0,
    branches: std.ArrayList(Branch) = .empty,
    runs: usize = 0,
    visited: std.AutoHashMapUnmanaged(u64, void) = .empty,
    choices: std.ArrayList(Choice) = .empty,
    state: std.ArrayList(u64) = .empty,
    trace: std.ArrayList(Event) = .empty,
    overtakings: usize = 0,
    failure: ?anyerror = null,
    /// A location has turned out to be shared: begin again.
    restart: bool = false,

    const gpa = std.testing.allocator;
    /// There are many of these, and a leak of one would be one of the list.
    const branch_gpa = std.heap.c_allocator;

    fn deinit(machine: *Machine) void {
        for (machine.threads) |*thread| gpa.free(thread.stack);
        gpa.free(machine.threads);
        machine.locations.deinit(gpa);
        machine.by_address.deinit(gpa);
        while (machine.branches.items.len > 0) machine.dropBranch();
        machine.branches.deinit(gpa);
        machine.visited.deinit(gpa);
        machine.choices.deinit(gpa);
        machine.state.deinit(gpa);
        machine.trace.deinit(gpa);
    }

    // ---- Runs.

    /// Goes on from where the threads are, until all have ended, the state is known, or something failed.
    fn run(machine: *Machine) !enum { complete, known, failed } {
        machine.runs += 1;
        while (machine.failure == null and !machine.restart) {
            try machine.collectChoices();
            const choices = machine.choices.items;
            if (choices.len == 0) return .complete;
            if (choices.len > 1) {
                if ((try machine.visited.getOrPut(gpa, try machine.stateDigest())).found_existing) return .known;
                try machine.keepBranch();
                machine.branches.items[machine.branches.items.len - 1].next = 1;
            }
            try machine.take(choices[0]);
        }
        return .failed;
    }

    fn install(machine: *Machine) void {
        barrier.testing.memory = .{
            .context = machine,
            .load = onLoad,
            .store = onStore,
            .add = onAdd,
            .fence = onFence,
        };
    }

    fn start(machine: *Machine) void {
        machine.log_size = 0;
        machine.overtakings = 0;
        machine.trace.clearRetainingCapacity();
        for (machine.locations.items) |*location| write(location, location.initial);
        for (machine.threads, 0..) |*thread, index| {
            thread.* = .{ .stack = thread.stack, .context = entryContext(thread.stack) };
            machine.resumeThread(index);
        }
    }

    /// Goes to the next alternative of the last branch that has one; false: all have been taken.
    fn backtrack(machine: *Machine) !bool {
        while (machine.branches.items.len > 0) {
            const branch = &machine.branches.items[machine.branches.items.len - 1];
            if (branch.next < branch.choices.len) {
                machine.putBack(branch);
                branch.next += 1;
                try machine.take(branch.choices[branch.next - 1]);
                return true;
            }
            machine.dropBranch();
        }
        return false;
    }

    fn dropBranch(machine: *Machine) void {
        const branch = machine.branches.pop().?;
        branch_gpa.free(branch.choices);
        branch_gpa.free(branch.kept);
    }

    fn keepBranch(machine: *Machine) !void {
        var size = std.mem.sliceAsBytes(machine.threads).len + machine.scenario.len;
        for (machine.threads) |*thread| size += usedStack(thread).len;
        size += machine.locations.items.len * @sizeOf(u64);
        const kept = try branch_gpa.alloc(u8, size);
        var writer: std.Io.Writer = .fixed(kept);
        writer.writeAll(std.mem.sliceAsBytes(machine.threads)) catch unreachable;
        writer.writeAll(machine.scenario) catch unreachable;
        for (machine.threads) |*thread| writer.writeAll(usedStack(thread)) catch unreachable;
        for (machine.locations.items) |*location| {
            writer.writeAll(std.mem.asBytes(&read(location))) catch unreachable;
        }
        try machine.branches.append(gpa, .{
            .choices = try branch_gpa.dupe(Choice, machine.choices.items),
            .log_size = machine.log_size,
            .overtakings = machine.overtakings,
            .trace_size = machine.trace.items.len,
            .kept = kept,
            .locations = machine.locations.items.len,
        });
    }

    fn putBack(machine: *Machine, branch: *const Branch) void {
        machine.log_size = branch.log_size;
        machine.overtakings = branch.overtakings;
        machine.trace.items.len = branch.trace_size;
        var reader: std.Io.Reader = .fixed(branch.kept);
        reader.readSliceAll(std.mem.sliceAsBytes(machine.threads)) catch unreachable;
        reader.readSliceAll(machine.scenario) catch unreachable;
        for (machine.threads) |*thread| reader.readSliceAll(usedStack(thread)) catch unreachable;
        for (machine.locations.items, 0..) |*location, index| {
            // One that was not known yet had not been written to.
            var value = location.initial;
            if (index < branch.locations) reader.readSliceAll(std.mem.asBytes(&value)) catch unreachable;
            write(location, value);
        }
    }

    /// With the red zone below it.
    fn usedStack(thread: *const Thread) []u8 {
        const pointer: usize = switch (@import("builtin").cpu.arch) {
            .x86_64 => thread.context.rsp,
            .aarch64 => thread.context.sp,
            else => comptime unreachable,
        };
        return thread.stack[pointer - 256 - @intFromPtr(thread.stack.ptr) ..];
    }

    // ---- Threads.

    fn entryContext(stack: []align(16) u8) fiber.Context {
        const top = @intFromPtr(stack.ptr) + stack.len;
        return switch (@import("builtin").cpu.arch) {
            // As after a call: the return address that nobody returns to is on the stack.
            .x86_64 => .{ .rsp = top - 8, .rbp = 0, .rip = @intFromPtr(&entry) },
            .aarch64 => .{ .sp = top, .fp = 0, .pc = @intFromPtr(&entry) },
            else => @compileError("no fibers known for this CPU"),
        };
    }

    fn entry() callconv(.c) noreturn {
        const machine = running.?;
        machine.body(machine.scenario.ptr, machine.current) catch |err| {
            machine.failure = err;
        };
        _ = machine.schedule(.{ .kind = .end });
        unreachable;
    }

    noinline fn switchTo(old: *fiber.Context, new: *fiber.Context) void {
        const change: fiber.Switch = .{ .old = old, .new = new };
        _ = fiber.contextSwitch(&change);
    }

    fn resumeThread(machine: *Machine, index: usize) void {
        machine.current = index;
        switchTo(&machine.scheduler, &machine.threads[index].context);
    }

    /// The current thread stops in front of an access, and returns from here with its result.
    fn schedule(machine: *Machine, access: Access) u64 {
        const thread = &machine.threads[machine.current];
        thread.pending = access;
        switchTo(&thread.context, &machine.scheduler);
        return thread.result;
    }

    // ---- Accesses, in the thread that makes them.

    fn onLoad(context: *anyopaque, address: usize, size: u8, order: std.builtin.AtomicOrder) u64 {
        const machine: *Machine = @ptrCast(@alignCast(context));
        const location = machine.locate(address, size);
        const thread = &machine.threads[machine.current];
        if (newestBuffered(thread, location)) |value| {
            if (machine.processor == .x86_64 or order != .seq_cst) return value;
        } else if (machine.isOwn(location)) return read(&machine.locations.items[location]);
        return machine.schedule(.{ .kind = .load, .location = location, .order = order });
    }

    fn onStore(context: *anyopaque, address: usize, size: u8, value: u64, order: std.builtin.AtomicOrder) void {
        const machine: *Machine = @ptrCast(@alignCast(context));
        const location = machine.locate(address, size);
        const thread = &machine.threads[machine.current];
        const orders = order == .seq_cst and thread.buffered > 0;
        if (machine.isOwn(location) and !orders and newestBuffered(thread, location) == null) {
            return write(&machine.locations.items[location], value);
        }
        const waits = machine.processor == .x86_64 and order == .seq_cst;
        if (waits or thread.buffered == buffer_max) {
            _ = machine.schedule(.{ .kind = .store, .location = location, .value = value, .order = order });
        } else {
            // Nobody sees it yet.
            push(thread, .{
                .location = location,
                .value = value,
                .order = order,
                .is_load = false,
                .epoch = thread.epoch,
            });
        }
    }

    fn onAdd(context: *anyopaque, address: usize, size: u8, value: u64) void {
        const machine: *Machine = @ptrCast(@alignCast(context));
        const location = machine.locate(address, size);
        _ = machine.schedule(.{ .kind = .add, .location = location, .value = value });
    }

    fn onFence(context: *anyopaque, fence: barrier.Memory.Fence) void {
        const machine: *Machine = @ptrCast(@alignCast(context));
        const thread = &machine.threads[machine.current];
        switch (fence) {
            .store_store => thread.epoch += 1,
            .load_load => if (machine.processor == .aarch64) {
                _ = machine.schedule(.{ .kind = .load_load });
            },
        }
    }

    fn locate(machine: *Machine, address: usize, size: u8) u32 {
        const found = machine.by_address.getOrPut(gpa, address) catch unreachable;
        if (!found.found_existing) {
            var location: Location = .{ .address = address, .size = size, .initial = 0, .owner = machine.current };
            location.initial = read(&location);
            found.value_ptr.* = @intCast(machine.locations.items.len);
            machine.locations.append(gpa, location) catch unreachable;
            assert(machine.locations.items.len <= locations_max);
        }
        const location = &machine.locations.items[found.value_ptr.*];
        assert(location.size == size);
        if (location.owner != machine.current and !location.shared) {
            location.shared = true;
            machine.restart = true;
        }
        return found.value_ptr.*;
    }

    fn isOwn(machine: *const Machine, location: u32) bool {
        return !machine.locations.items[location].shared;
    }

    fn push(thread: *Thread, buffered: Buffered) void {
        thread.buffer[thread.buffered] = buffered;
        thread.buffered += 1;
    }

    fn newestBuffered(thread: *const Thread, location: u32) ?u64 {
        var index = thread.buffered;
        while (index > 0) {
            index -= 1;
            const buffered = &thread.buffer[index];
            if (buffered.location == location and !buffered.is_load) return buffered.value;
        }
        return null;
    }

    fn read(location: *const Location) u64 {
        return switch (location.size) {
            inline 1, 2, 4, 8 => |size| @as(*const @Int(.unsigned, 8 * size), @ptrFromInt(location.address)).*,
            else => unreachable,
        };
    }

    fn write(location: *const Location, value: u64) void {
        switch (location.size) {
            inline 1, 2, 4, 8 => |size| {
                const T = @Int(.unsigned, 8 * size);
                @as(*T, @ptrFromInt(location.address)).* = @intCast(value);
            },
            else => unreachable,
        }
    }

    // ---- Choices.

    fn collectChoices(machine: *Machine) !void {
        machine.choices.clearRetainingCapacity();
        for (machine.threads, 0..) |*thread, index| {
            // Where no plain load comes next, the next access sets the floor; a store in front of one does it by its
            // own delay.
            if (!machine.mayLoadEarly(thread)) thread.floor = machine.log_size;
            try machine.collectSteps(thread, index);
            for (0..thread.buffered) |buffered| {
                if (!machine.mayLeave(thread, buffered)) continue;
                try machine.choices.append(gpa, .{ .drain = .{ .thread = index, .index = buffered } });
            }
        }
    }

    fn mayLoadEarly(machine: *const Machine, thread: *const Thread) bool {
        if (machine.processor == .x86_64 or machine.overtakings == overtakings_max) return false;
        const access = &thread.pending;
        const loads = access.kind == .load or access.kind == .expect;
        return thread.passed_load or (loads and access.order != .acquire and access.order != .seq_cst);
    }

    fn collectSteps(machine: *Machine, thread: *const Thread, index: usize) !void {
        const access = &thread.pending;
        switch (access.kind) {
            .end => return,
            .add => if (thread.buffered > 0) return,
            .load_load => if (contains(thread, isLateLoad)) return,
            .store => {
                if (thread.buffered == buffer_max) return;
                if (machine.processor == .x86_64 and access.order == .seq_cst and thread.buffered > 0) return;
            },
            .load => {
                if (machine.processor == .aarch64) {
                    if (access.order == .seq_cst and contains(thread, isConsistentStore)) return;
                    if (newestBuffered(thread, access.location) != null) return;
                    return machine.collectLoads(thread, index);
                }
            },
            .expect => {
                if (machine.processor == .aarch64) {
                    if (thread.buffered < buffer_max) try machine.choices.append(gpa, .{ .defer_expect = index });
                    return machine.collectLoads(thread, index);
                }
            },
        }
        try machine.choices.append(gpa, .{ .step = .{ .thread = index } });
    }

    /// The values that a load may see: the newest one, and those that it had since the load may have been done.
    fn collectLoads(machine: *Machine, thread: *const Thread, index: usize) !void {
        const access = &thread.pending;
        var floor = thread.floor;
        if (access.order == .seq_cst) floor = @max(floor, thread.floor_after_stores);
        const oldest = thread.seen[access.location];
        var end = machine.log_size;
        while (true) {
            const at = machine.versionBefore(access.location, end);
            try machine.choices.append(gpa, .{ .step = .{ .thread = index, .at = at } });
            if (!machine.mayLoadEarly(thread) or !thread.passed_load or at <= floor or at <= oldest) return;
            end = at - 1;
        }
    }

    /// The location's value at `end` was stored by `log[result - 1]`; 0: never.
    fn versionBefore(machine: *const Machine, location: u32, end: usize) usize {
        var at = end;
        while (at > 0) : (at -= 1) {
            if (machine.log[at - 1].location == location) return at;
        }
        return 0;
    }

    fn mayLeave(machine: *const Machine, thread: *const Thread, index: usize) bool {
        if (machine.overtakings == overtakings_max and overtakesAnew(thread, index)) return false;
        const buffered = &thread.buffer[index];
        for (thread.buffer[0..index]) |*earlier| {
            if (earlier.location == buffered.location) return false;
            if (buffered.is_load) continue;
            if (earlier.epoch < buffered.epoch and !earlier.is_load) return false;
            const ordered = switch (machine.processor) {
                .x86_64 => earlier.order != .unordered and buffered.order != .unordered,
                .aarch64 => isRelease(buffered.order),
            };
            if (ordered) return false;
        }
        return true;
    }

    /// It overtakes something that has not been overtaken: what is held up is held up once, however much passes it.
    fn overtakesAnew(thread: *const Thread, index: usize) bool {
        for (thread.buffer[0..index]) |*earlier| if (!earlier.overtaken) return true;
        return false;
    }

    fn isRelease(order: std.builtin.AtomicOrder) bool {
        return order == .release or order == .seq_cst;
    }

    fn isLateLoad(buffered: *const Buffered) bool {
        return buffered.is_load;
    }

    fn isConsistentStore(buffered: *const Buffered) bool {
        return !buffered.is_load and buffered.order == .seq_cst;
    }

    fn contains(thread: *const Thread, comptime is: fn (*const Buffered) bool) bool {
        for (thread.buffer[0..thread.buffered]) |*buffered| if (is(buffered)) return true;
        return false;
    }

    // ---- What is chosen.

    fn take(machine: *Machine, choice: Choice) !void {
        try machine.trace.append(gpa, machine.describe(choice));
        if (machine.trace.items.len > steps_max) machine.failure = error.GoesRoundWithoutEnd;
        switch (choice) {
            .drain => |drain| {
                machine.overtakings += @intFromBool(overtakesAnew(&machine.threads[drain.thread], drain.index));
                for (machine.threads[drain.thread].buffer[0..drain.index]) |*earlier| earlier.overtaken = true;
                machine.leave(&machine.threads[drain.thread], drain.index);
            },
            .defer_expect => |index| {
                const thread = &machine.threads[index];
                const access = thread.pending;
                push(thread, .{
                    .location = access.location,
                    .value = access.value,
                    .order = .monotonic,
                    .is_load = true,
                    .epoch = thread.epoch,
                });
                noteLoad(thread, 0);
                machine.resumeThread(index);
            },
            .step => |step| {
                machine.perform(&machine.threads[step.thread], step.at);
                if (machine.failure == null) machine.resumeThread(step.thread);
            },
        }
    }

    fn perform(machine: *Machine, thread: *Thread, at: ?usize) void {
        const access = thread.pending;
        const now = machine.log_size;
        switch (access.kind) {
            .end => unreachable,
            .load_load => {
                thread.floor = now;
                thread.passed_load = false;
            },
            .load, .expect => {
                const newest = machine.versionBefore(access.location, now);
                const version = at orelse newest;
                machine.overtakings += @intFromBool(version != newest);
                const value = if (version == 0)
                    machine.locations.items[access.location].initial
                else
                    machine.log[version - 1].value;
                thread.seen[access.location] = @intCast(version);
                machine.noteOrder(thread, access.order, version);
                thread.result = value;
                noteLoad(thread, value);
                if (access.kind == .expect and value != access.value) machine.failure = error.Unexpected;
            },
            .store => {
                push(thread, .{
                    .location = access.location,
                    .value = access.value,
                    .order = access.order,
                    .is_load = false,
                    .epoch = thread.epoch,
                });
                if (machine.processor == .x86_64 and access.order == .seq_cst) machine.leave(thread, 0);
                noteLoad(thread, 0);
            },
            .add => {
                const location = &machine.locations.items[access.location];
                const bits: u7 = @intCast(8 * @as(u8, location.size));
                const sum = read(location) +% access.value;
                const value = if (bits == 64) sum else sum & ((@as(u64, 1) << @intCast(bits)) - 1);
                machine.show(thread, access.location, value);
                thread.floor = machine.log_size;
                thread.passed_load = false;
                noteLoad(thread, value);
            },
        }
    }

    /// From when on later loads may be done.
    fn noteOrder(machine: *const Machine, thread: *Thread, order: std.builtin.AtomicOrder, version: usize) void {
        if (order != .acquire and order != .seq_cst) {
            thread.passed_load = true;
        } else if (thread.passed_load) {
            thread.floor = @max(thread.floor, version);
            if (order == .seq_cst) thread.floor = @max(thread.floor, thread.floor_after_stores);
        } else {
            thread.floor = machine.log_size;
        }
    }

    fn noteLoad(thread: *Thread, value: u64) void {
        thread.digest = std.math.rotl(u64, (thread.digest ^ value ^ 0x9E3779B97F4A7C15) *% 0xBF58476D1CE4E5B9, 29);
    }

    fn leave(machine: *Machine, thread: *Thread, index: usize) void {
        const buffered = thread.buffer[index];
        thread.buffered -= 1;
        std.mem.copyForwards(
            Buffered,
            thread.buffer[index..thread.buffered],
            thread.buffer[index + 1 .. thread.buffered + 1],
        );
        if (buffered.is_load) {
            if (read(&machine.locations.items[buffered.location]) != buffered.value) machine.failure = error.Unexpected;
            return;
        }
        machine.show(thread, buffered.location, buffered.value);
        if (buffered.order == .seq_cst) thread.floor_after_stores = machine.log_size;
    }

    fn show(machine: *Machine, thread: *Thread, location: u32, value: u64) void {
        machine.log[machine.log_size] = .{ .location = location, .value = value };
        machine.log_size += 1;
        thread.seen[location] = @intCast(machine.log_size);
        write(&machine.locations.items[location], value);
    }

    // ---- States.

    fn stateDigest(machine: *Machine) !u64 {
        var history = machine.log_size;
        for (machine.threads) |*thread| history = @min(history, thread.floor);
        // What may still be seen of the past counts only where somebody may see it.
        const past = history < machine.log_size;
        const state = &machine.state;
        state.clearRetainingCapacity();
        try state.append(gpa, machine.overtakings);
        for (machine.threads) |*thread| {
            try state.appendSlice(gpa, &.{
                thread.digest,          @intFromBool(thread.passed_load),
                thread.floor - history, if (past) thread.floor_after_stores -| history else 0,
                thread.buffered,        if (thread.buffered > 0) thread.epoch - thread.buffer[0].epoch else 0,
            });
            for (thread.buffer[0..thread.buffered]) |*buffered| {
                const marks: u64 = @intFromEnum(buffered.order);
                try state.appendSlice(gpa, &.{
                    buffered.location,
                    buffered.value,
                    marks << 2 | @as(u64, @intFromBool(buffered.is_load)) << 1 | @intFromBool(buffered.overtaken),
                    buffered.epoch - thread.buffer[0].epoch,
                });
            }
        }
        for (machine.locations.items, 0..) |*location, index| {
            if (!location.shared) continue;
            try state.append(gpa, read(location));
            if (!past) continue;
            const version = machine.versionBefore(@intCast(index), history);
            try state.append(gpa, if (version == 0) location.initial else machine.log[version - 1].value);
            for (machine.threads) |*thread| try state.append(gpa, thread.seen[index] -| history);
        }
        for (machine.log[history..machine.log_size]) |*visible| {
            if (machine.locations.items[visible.location].shared) {
                try state.appendSlice(gpa, &.{ visible.location, visible.value });
            } else try state.append(gpa, std.math.maxInt(u64));
        }
        return std.hash.Wyhash.hash(0, std.mem.sliceAsBytes(state.items));
    }

    // ---- What is said of a failure.

    fn describe(machine: *const Machine, choice: Choice) Event {
        switch (choice) {
            .drain => |drain| {
                const buffered = machine.threads[drain.thread].buffer[drain.index];
                const what: []const u8 = if (buffered.is_load) "late load of" else "now visible:";
                return .{
                    .thread = drain.thread,
                    .what = what,
                    .location = buffered.location,
                    .value = buffered.value,
                };
            },
            .defer_expect => |index| {
                const access = machine.threads[index].pending;
                return .{ .thread = index, .what = "puts off", .location = access.location, .value = access.value };
            },
            .step => |step| {
                const access = machine.threads[step.thread].pending;
                const version = step.at orelse machine.versionBefore(access.location, machine.log_size);
                const is_load = access.kind == .load or access.kind == .expect;
                const seen = if (version > 0)
                    machine.log[version - 1].value
                else
                    machine.locations.items[access.location].initial;
                return .{
                    .thread = step.thread,
                    .what = @tagName(access.kind),
                    .location = access.location,
                    .value = if (is_load) seen else access.value,
                };
            },
        }
    }

    fn print(machine: *const Machine, regions: []const Region) void {
        std.debug.print("on {t}:\n", .{machine.processor});
        for (machine.trace.items) |event| {
            const address = machine.locations.items[event.location].address;
            var nearest: Region = .{ .name = "", .start = 0 };
            for (regions) |region| {
                if (region.start <= address and region.start > nearest.start) nearest = region;
            }
            std.debug.print("  thread {d}: {s} {s}+0x{x} = 0x{x}\n", .{
                event.thread, event.what, nearest.name, address - nearest.start, event.value,
            });
        }
    }
};

const Event = struct { thread: usize, what: []const u8, location: u32, value: u64 };

/// What a failure calls the memory from `start` on.
pub const Region = struct {
    name: []const u8,
    start: usize,

    pub fn of(name: []const u8, pointer: anytype) Region {
        return .{ .name = name, .start = @intFromPtr(pointer) };
    }
};

/// A load whose value must be this, and decides nothing: so it may be done late. In a thread of `explore` only.
pub fn expect(comptime T: type, shared: *const T, value: T) void {
    const machine = running.?;
    const location = machine.locate(@intFromPtr(shared), @sizeOf(T));
    _ = machine.schedule(.{ .kind = .expect, .location = location, .value = value, .order = .monotonic });
}

/// Whether what a thread has loaded from there last is what is there at the end. In a `check` only.
pub fn hasSeenLast(thread: usize, shared: anytype) bool {
    const machine = running.?;
    const location = machine.by_address.get(@intFromPtr(shared)) orelse return true;
    return machine.threads[thread].seen[location] == machine.versionBefore(location, machine.log_size);
}

/// Runs `Scenario.threads`, functions of a `*Scenario`, in every interleaving; each run begins with a copy of
/// `initial` and with the shared memory as it is now, and ends with `Scenario.check`. The error is a thread's or a
/// check's, `Unexpected` of an `expect`, or `GoesRoundWithoutEnd`; what led to it is printed where the
/// scenario has a `ring`, whose `regions` give its memory names.
pub fn explore(comptime Scenario: type, processor: Processor, initial: *const Scenario) !Statistics {
    const threads = Scenario.threads;
    const Body = struct {
        fn run(context: *anyopaque, index: usize) anyerror!void {
            const scenario: *Scenario = @ptrCast(@alignCast(context));
            inline for (threads, 0..) |thread, other| if (index == other) return thread(scenario);
            unreachable;
        }
    };
    comptime assert(threads.len <= threads_max);
    var scenario: Scenario = undefined;
    var machine: Machine = .{
        .processor = processor,
        .scenario = std.mem.asBytes(&scenario),
        .threads = try Machine.gpa.alloc(Thread, threads.len),
        .body = Body.run,
    };
    defer machine.deinit();
    for (machine.threads) |*thread| thread.* = .{};
    for (machine.threads) |*thread| thread.stack = try Machine.gpa.alignedAlloc(u8, .@"16", stack_size);
    defer for (machine.locations.items) |*location| Machine.write(location, location.initial);
    running = &machine;
    defer running = null;

    scenario = initial.*;
    machine.install();
    defer barrier.testing.memory = null;
    machine.start();
    while (true) {
        const outcome = try machine.run();
        if (machine.restart) {
            machine.restart = false;
            while (machine.branches.items.len > 0) machine.dropBranch();
            machine.visited.clearRetainingCapacity();
            scenario = initial.*;
            machine.start();
            continue;
        }
        if (outcome == .complete) {
            barrier.testing.memory = null;
            defer machine.install();
            scenario.check() catch |err| {
                machine.failure = err;
            };
        }
        if (machine.failure) |failure| {
            const regions: []const Region = if (@hasField(Scenario, "ring")) &scenario.ring.regions() else &.{};
            if (regions.len > 0) machine.print(regions);
            return failure;
        }
        if (!try machine.backtrack()) break;
    }
    return .{ .states = machine.visited.count(), .runs = machine.runs };
}

/// Both processors are modelled on x86-64 alone, where std's fibers keep what they have to; on AArch64 they lose
/// registers of optimised code. ThreadSanitizer does not know fibers, and would see one thread only.
pub const supported = @import("builtin").cpu.arch == .x86_64 and !@import("builtin").sanitize_thread;

const testing = std.testing;

/// Two threads of two accesses each, and which of the four outcomes there are: `outcomes[2 * first + second]`.
fn Litmus(comptime first: fn (*[3]u64) u64, comptime second: fn (*[3]u64) u64) type {
    return struct {
        shared: *[3]u64,
        outcomes: *[4]bool,
        results: [2]u64 = @splat(0),

        const threads = .{ runFirst, runSecond };

        fn runFirst(litmus: *@This()) !void {
            litmus.results[0] = first(litmus.shared);
        }

        fn runSecond(litmus: *@This()) !void {
            litmus.results[1] = second(litmus.shared);
        }

        fn check(litmus: *@This()) !void {
            litmus.outcomes[2 * litmus.results[0] + litmus.results[1]] = true;
        }
    };
}

/// Whether the machine lets the outcome happen, and the others that an order of the accesses explains.
fn expectOutcome(comptime T: type, processor: Processor, outcome: usize, possible: bool) !void {
    var shared: [3]u64 = @splat(0);
    var outcomes: [4]bool = @splat(false);
    _ = try explore(T, processor, &.{ .shared = &shared, .outcomes = &outcomes });
    testing.expectEqual(possible, outcomes[outcome]) catch |err| {
        std.debug.print("{t}: outcome {d}\n", .{ processor, outcome });
        return err;
    };
    var count: usize = 0;
    for (outcomes) |there| count += @intFromBool(there);
    try testing.expect(count >= 2);
}

fn StoreThenLoad(comptime store: usize, comptime stored: anytype, comptime loaded: anytype) type {
    return struct {
        fn run(shared: *[3]u64) u64 {
            barrier.store(u64, &shared[store], 1, stored);
            return barrier.load(u64, &shared[1 - store], loaded);
        }
    };
}

fn StoreBuffering(comptime stored: std.builtin.AtomicOrder, comptime loaded: std.builtin.AtomicOrder) type {
    return Litmus(StoreThenLoad(0, stored, loaded).run, StoreThenLoad(1, stored, loaded).run);
}

/// The second thread's result is 1 where it sees the flag and not the data.
fn MessagePassing(
    comptime data: std.builtin.AtomicOrder,
    comptime fence: bool,
    comptime stored: std.builtin.AtomicOrder,
    comptime loaded: std.builtin.AtomicOrder,
    comptime load_fence: bool,
) type {
    const Threads = struct {
        fn send(shared: *[3]u64) u64 {
            barrier.store(u64, &shared[0], 1, data);
            if (fence) barrier.storeStore();
            barrier.store(u64, &shared[1], 1, stored);
            return 0;
        }

        fn receive(shared: *[3]u64) u64 {
            const flag = barrier.load(u64, &shared[1], loaded);
            if (load_fence) barrier.loadLoad();
            return flag & ~barrier.load(u64, &shared[0], .monotonic);
        }
    };
    return Litmus(Threads.send, Threads.receive);
}

test "store buffering: only where both sides are sequentially consistent does one of them see the other" {
    if (!supported) return error.SkipZigTest;
    for (processors) |processor| {
        try expectOutcome(StoreBuffering(.seq_cst, .seq_cst), processor, 0, false);
        try expectOutcome(StoreBuffering(.release, .seq_cst), processor, 0, true);
        try expectOutcome(StoreBuffering(.release, .acquire), processor, 0, true);
        try expectOutcome(StoreBuffering(.monotonic, .monotonic), processor, 0, true);
        // One side is not enough.
        const Half = Litmus(StoreThenLoad(0, .seq_cst, .seq_cst).run, StoreThenLoad(1, .release, .seq_cst).run);
        try expectOutcome(Half, processor, 0, true);
    }
    try expectOutcome(StoreBuffering(.seq_cst, .acquire), .x86_64, 0, false);
    try expectOutcome(StoreBuffering(.seq_cst, .acquire), .aarch64, 0, true);
    try expectOutcome(StoreBuffering(.seq_cst, .monotonic), .aarch64, 0, true);
}

fn expectTorn(comptime T: type, processor: Processor, possible: bool) !void {
    var shared: [3]u64 = @splat(0);
    var outcomes: [4]bool = @splat(false);
    _ = try explore(T, processor, &.{ .shared = &shared, .outcomes = &outcomes });
    try testing.expectEqual(possible, outcomes[1]);
    try testing.expect(outcomes[0]);
}

test "message passing: release and acquire, or barriers; copies need them on x86 too" {
    if (!supported) return error.SkipZigTest;
    for (processors) |processor| {
        try expectTorn(MessagePassing(.monotonic, false, .release, .acquire, false), processor, false);
        try expectTorn(MessagePassing(.unordered, true, .release, .acquire, false), processor, false);
        try expectTorn(MessagePassing(.unordered, true, .monotonic, .monotonic, true), processor, false);
        try expectTorn(MessagePassing(.unordered, false, .monotonic, .monotonic, true), processor, true);
    }
    try expectTorn(MessagePassing(.unordered, false, .seq_cst, .acquire, false), .x86_64, false);
    try expectTorn(MessagePassing(.unordered, false, .release, .acquire, false), .x86_64, true);
    try expectTorn(MessagePassing(.unordered, false, .release, .acquire, false), .aarch64, false);
    try expectTorn(MessagePassing(.monotonic, false, .monotonic, .acquire, false), .x86_64, false);
    try expectTorn(MessagePassing(.monotonic, false, .monotonic, .acquire, false), .aarch64, true);
    try expectTorn(MessagePassing(.monotonic, false, .release, .monotonic, false), .x86_64, false);
    try expectTorn(MessagePassing(.monotonic, false, .release, .monotonic, false), .aarch64, true);
}

/// A thread reads what it holds and lets go of it; the other overwrites what it finds free.
fn Release(comptime order: std.builtin.AtomicOrder) type {
    return struct {
        shared: *[3]u64,

        const threads = .{ read, overwrite };

        fn read(scenario: *@This()) !void {
            expect(u64, &scenario.shared[0], 0);
            barrier.store(u64, &scenario.shared[1], 1, order);
        }

        fn overwrite(scenario: *@This()) !void {
            if (barrier.load(u64, &scenario.shared[1], .acquire) == 0) return;
            barrier.store(u64, &scenario.shared[0], 1, .monotonic);
        }

        fn check(_: *@This()) !void {}
    };
}

test "a late load: done before a release store, on aarch64 not before a plain one" {
    if (!supported) return error.SkipZigTest;
    var shared: [3]u64 = @splat(0);
    for (processors) |processor| _ = try explore(Release(.release), processor, &.{ .shared = &shared });
    _ = try explore(Release(.monotonic), .x86_64, &.{ .shared = &shared });
    try testing.expectError(error.Unexpected, explore(Release(.monotonic), .aarch64, &.{ .shared = &shared }));
}
