//! The reactor is the one thread of a process that serves its sockets: it accepts, shakes hands and notices who has
//! gone. It runs whatever the JavaScript is doing. Its handlers run one at a time, with its lock held.

const std = @import("std");
const linux = std.os.linux;
const assert = std.debug.assert;
const errors = @import("../core/mod.zig").errors;
const os_fd = @import("../os/mod.zig").fd;
const clock = @import("../os/mod.zig").clock;
const Mutex = @import("../os/mod.zig").mutex.Mutex;
const log = @import("../os/mod.zig").log;
const thread = @import("../os/mod.zig").thread;
const Error = errors.Error;

/// Names one registration. A token of a removed one never matches again.
pub const Token = packed struct(u64) { index: u32, generation: u32 };

pub const Handler = struct {
    context: *anyopaque,
    /// The descriptor can be read, or its peer is gone.
    ready: *const fn (context: *anyopaque, token: Token, fd: i32) void,
    /// The deadline given to `add` or `pause` has passed.
    expired: ?*const fn (context: *anyopaque, token: Token, fd: i32) void = null,
    watch: Watch = .readable,
};

/// When `ready` is called.
pub const Watch = enum {
    /// Again and again, while the descriptor can be read or its peer is gone.
    readable,
    /// Once when it is added, and once for each change: something has come, the peer has read something or is gone.
    changes,

    fn events(watch: Watch) u32 {
        return switch (watch) {
            .readable => linux.EPOLL.IN | linux.EPOLL.RDHUP,
            .changes => linux.EPOLL.ET | linux.EPOLL.IN | linux.EPOLL.OUT | linux.EPOLL.RDHUP,
        };
    }
};

/// All zero when free, so that the table takes no room in the library's file.
const Entry = struct {
    handler: ?Handler = null,
    fd: i32 = 0,
    generation: u32 = 0,
    deadline: ?clock.Deadline = null,
};

/// Publishers, their connections and handshakes, subscribers.
const entries_max = 8192;

var mutex: Mutex = .{};
/// Held by whoever is next. Without it the reactor's thread, which takes the lock again and again while peers keep it
/// busy, would be faster each time than one that has to be woken.
var next: Mutex = .{};
var entries: [entries_max]Entry = @splat(.{});
var epoll: i32 = -1;
var expiring: u32 = 0;
var search_from: u32 = 0;

pub fn lock() void {
    next.lock();
    defer next.unlock();
    mutex.lock();
}

pub fn unlock() void {
    mutex.unlock();
}

/// Whether the calling thread has the lock; for assertions.
pub fn isLocked() bool {
    return mutex.isHeld();
}

/// Registers a descriptor, which stays its owner's. With the lock held. A deadline may only be set by a handler:
/// the thread computes how long to sleep after its handlers have run.
pub fn add(fd: i32, handler: Handler, deadline: ?clock.Deadline) Error!Token {
    assert(isLocked() and fd >= 0);
    assert(deadline == null or handler.expired != null);
    try ensureStarted();
    const index = for (0..entries_max) |offset| {
        const index = (search_from + offset) % entries_max;
        if (entries[index].handler == null) break index;
    } else return errors.fail(
        error.OutOfMemory,
        "this process has {d} cuframes connections, the most it may have",
        .{entries_max},
    );
    search_from = @intCast((index + 1) % entries_max);

    const entry = &entries[index];
    const token: Token = .{ .index = @intCast(index), .generation = entry.generation };
    var event: linux.epoll_event = .{ .events = handler.watch.events(), .data = .{ .u64 = @bitCast(token) } };
    _ = try errors.check(linux.epoll_ctl(epoll, linux.EPOLL.CTL_ADD, fd, &event), "epoll_ctl", "add");
    entry.handler = handler;
    entry.fd = fd;
    entry.deadline = deadline;
    if (deadline != null) expiring += 1;
    return token;
}

/// Looks away from a descriptor until the deadline, when `expired` is called. For handlers, as `add` with a deadline.
pub fn pause(token: Token, deadline: clock.Deadline) void {
    assert(isLocked());
    const entry = &entries[token.index];
    assert(entry.generation == token.generation and entry.handler != null);
    assert(entry.deadline == null and entry.handler.?.expired != null);
    setEvents(token, 0);
    entry.deadline = deadline;
    expiring += 1;
}

/// Looks at a paused descriptor again.
pub fn unpause(token: Token) void {
    watchAgain(token);
}

/// Has `ready` called at once if there is anything to see. For handlers that watch changes and have not looked at all
/// of them.
pub fn watchAgain(token: Token) void {
    setEvents(token, entries[token.index].handler.?.watch.events());
}

/// Has `expired` called at a time, whatever comes before; a time that was set before does not count. For handlers, as
/// `add` with a deadline.
pub fn remind(token: Token, deadline: clock.Deadline) void {
    assert(isLocked());
    const entry = &entries[token.index];
    assert(entry.generation == token.generation and entry.handler.?.expired != null);
    if (entry.deadline == null) expiring += 1;
    entry.deadline = deadline;
}

/// The deadline given to `add` holds no longer.
pub fn settle(token: Token) void {
    assert(isLocked());
    const entry = &entries[token.index];
    assert(entry.generation == token.generation and entry.handler != null);
    if (entry.deadline != null) expiring -= 1;
    entry.deadline = null;
}

fn setEvents(token: Token, events: u32) void {
    assert(isLocked() and entries[token.index].generation == token.generation);
    var event: linux.epoll_event = .{ .events = events, .data = .{ .u64 = @bitCast(token) } };
    const result = linux.epoll_ctl(epoll, linux.EPOLL.CTL_MOD, entries[token.index].fd, &event);
    assert(linux.errno(result) == .SUCCESS);
}

/// With the lock held; the descriptor is still open.
pub fn remove(token: Token) void {
    assert(isLocked());
    const entry = &entries[token.index];
    assert(entry.generation == token.generation and entry.handler != null);
    _ = linux.epoll_ctl(epoll, linux.EPOLL.CTL_DEL, entry.fd, null);
    if (entry.deadline != null) expiring -= 1;
    entry.* = .{ .generation = entry.generation +% 1 };
}

fn ensureStarted() Error!void {
    if (epoll >= 0) return;
    const fd: i32 = @intCast(try errors.check(linux.epoll_create1(linux.EPOLL.CLOEXEC), "epoll_create1", "reactor"));
    errdefer _ = os_fd.close(fd);
    try thread.spawn("cuframes", run, .{fd});
    epoll = fd;
}

fn run(fd: i32) void {
    log.debug("serves the sockets of this process", .{});
    var events: [64]linux.epoll_event = undefined;
    var timeout_ms: i32 = -1;
    while (true) {
        const result = linux.epoll_wait(fd, &events, events.len, timeout_ms);
        const count = if (linux.errno(result) == .SUCCESS) result else 0;
        // Others get their turn in between: peers may keep every connection busy.
        for (events[0..count]) |event| serve(@bitCast(event.data.u64));
        lock();
        defer unlock();
        timeout_ms = expire();
    }
}

fn serve(token: Token) void {
    lock();
    defer unlock();
    serveLocked(token);
}

fn serveLocked(token: Token) void {
    assert(isLocked());
    const entry = &entries[token.index];
    // It may have been removed since the kernel told of it, and another may have its place.
    if (entry.generation != token.generation) return;
    const handler = entry.handler orelse return;
    handler.ready(handler.context, token, entry.fd);
}

/// Runs what is due; returns how long the next one has, for epoll_wait.
fn expire() i32 {
    assert(isLocked());
    if (expiring == 0) return -1;
    for (&entries, 0..) |*entry, index| {
        const handler = entry.handler orelse continue;
        const deadline = entry.deadline orelse continue;
        if (!deadline.passed()) continue;
        entry.deadline = null;
        expiring -= 1;
        handler.expired.?(handler.context, .{ .index = @intCast(index), .generation = entry.generation }, entry.fd);
    }
    // Behind all of them: each may have set another deadline.
    var soonest: clock.Deadline = .never;
    for (&entries) |*entry| {
        if (entry.deadline) |deadline| soonest = soonest.earlier(deadline);
    }
    return soonest.remainingMs();
}

const testing = std.testing;

test "what the kernel tells of a descriptor that was removed is not taken for the one that has its place since" {
    const Counter = struct {
        calls: u32 = 0,

        fn ready(context: *anyopaque, _: Token, _: i32) void {
            const counter: *@This() = @ptrCast(@alignCast(context));
            counter.calls += 1;
        }
    };
    var ends: [2]i32 = undefined;
    _ = try errors.check(linux.pipe2(&ends, .{ .CLOEXEC = true, .NONBLOCK = true }), "pipe2", "test");
    defer for (ends) |fd| os_fd.close(fd);
    lock();
    defer unlock();
    var first: Counter = .{};
    const removed = try add(ends[0], .{ .context = &first, .ready = Counter.ready }, null);
    remove(removed);
    search_from = removed.index;
    var second: Counter = .{};
    const token = try add(ends[0], .{ .context = &second, .ready = Counter.ready }, null);
    defer remove(token);
    try testing.expectEqual(removed.index, token.index);
    // As the thread would with an event that it fetched before the lock was its own.
    serveLocked(removed);
    try testing.expectEqual(0, first.calls + second.calls);
    serveLocked(token);
    try testing.expectEqual(1, second.calls);
}
