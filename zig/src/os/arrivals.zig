//! This file tells a thread when a name appears in a directory. All who wait in this process share one inotify
//! instance, since a user may have few of them (fs.inotify.max_user_instances, 128 by default). It is there while
//! somebody waits, with a thread of its own that reads it: what is told to hundreds of waiters takes a while, and
//! delays no socket.

const std = @import("std");
const linux = std.os.linux;
const errors = @import("../core/mod.zig").errors;
const os_fd = @import("fd.zig");
const memfd = @import("memfd.zig");
const log = @import("log.zig");
const thread = @import("thread.zig");
const directory = @import("directory.zig");
const Event = @import("event.zig").Event;
const Mutex = @import("mutex.zig").Mutex;
const Error = errors.Error;

/// Guards what follows, and each watcher's `wd`. Only those who wait for a publisher or a listener take it, and the
/// thread that tells them. Held while a watch is made, since what the kernel says of it must not be read before it is
/// known here; the path has just been walked by the caller.
var mutex: Mutex = .{};
/// The inotify instance, while somebody waits or its thread has not seen yet that nobody does.
var instance: ?i32 = null;
/// Everybody who waits, of every directory. A directory's watch lives while there is one of them with its `wd`.
var watchers: std.DoublyLinkedList = .{};

const appearing = linux.IN.CREATE | linux.IN.MOVED_TO;
const removed_or_renamed = linux.IN.DELETE_SELF | linux.IN.MOVE_SELF;
/// What the kernel adds unasked when it ends a watch.
const ended = linux.IN.UNMOUNT | linux.IN.IGNORED;

/// Somebody who waits for a name in a directory. It stays where it is in memory while it watches.
pub const Watcher = struct {
    name: []const u8,
    /// Posted when something of that name was created or renamed into place, and when the directory is watched no more.
    news: Event,
    /// The kernel's number for the directory, the same for all who watch it; -1: it is not watched.
    wd: i32 = -1,
    node: std.DoublyLinkedList.Node = .{},

    /// Begins to watch. Look for the name after that: it may have come before. False where the system has no instance,
    /// no watch or no thread left for it: look again every now and then, and try this again.
    pub fn watch(watcher: *Watcher, folder: *const directory.Path) Error!bool {
        // Closed without the mutex: the kernel takes its time for that.
        var unused: ?i32 = null;
        defer if (unused) |fd| os_fd.close(fd);
        mutex.lock();
        defer mutex.unlock();
        std.debug.assert(watcher.wd < 0);
        if (instance == null) unused = try open(folder) orelse return false;
        const fd = instance orelse unused.?;
        const wd = try addWatch(fd, folder) orelse return false;
        if (instance == null) {
            thread.spawn("cuframes-watch", serve, .{fd}) catch return false;
            instance = fd;
            unused = null;
        }
        watcher.wd = wd;
        watchers.append(&watcher.node);
        return true;
    }

    pub fn isWatching(watcher: *const Watcher) bool {
        mutex.lock();
        defer mutex.unlock();
        return watcher.wd >= 0;
    }

    /// Nothing is posted when this has returned.
    pub fn stop(watcher: *Watcher) void {
        mutex.lock();
        defer mutex.unlock();
        if (watcher.wd >= 0) watcher.leave(instance.?);
    }

    fn leave(watcher: *Watcher, fd: i32) void {
        const wd = watcher.wd;
        watcher.wd = -1;
        watchers.remove(&watcher.node);
        // The thread reads that the watch has ended, and that was the last one if nobody waits any more. It fails where
        // the directory has gone, which the thread reads as well.
        if (!isWatched(wd)) _ = linux.inotify_rm_watch(fd, wd);
    }
};

fn watcherOf(node: *std.DoublyLinkedList.Node) *Watcher {
    return @fieldParentPtr("node", node);
}

fn isWatched(wd: i32) bool {
    var node = watchers.first;
    while (node) |current| : (node = current.next) if (watcherOf(current).wd == wd) return true;
    return false;
}

/// Null where this user, this process or the system has no instance left.
fn open(folder: *const directory.Path) Error!?i32 {
    const result = linux.inotify_init1(linux.IN.CLOEXEC);
    return switch (linux.errno(result)) {
        .SUCCESS => @intCast(result),
        .MFILE, .NFILE, .NOMEM => null,
        else => |errno| errors.failErrno(errno, "inotify_init1", folder.slice()),
    };
}

/// Null where this user has no watch left, or the system no memory.
fn addWatch(fd: i32, folder: *const directory.Path) Error!?i32 {
    // Of a directory that is watched already the kernel would otherwise forget for a moment what it is watched for, and
    // lose what appears in that moment for everybody else.
    const kept = linux.IN.MASK_ADD;
    const result = linux.inotify_add_watch(fd, folder.z(), appearing | removed_or_renamed | kept);
    return switch (linux.errno(result)) {
        .SUCCESS => @intCast(result),
        .NOSPC, .NOMEM => null,
        else => |errno| errors.failErrno(errno, "inotify_add_watch", folder.slice()),
    };
}

/// Reads the instance until nobody waits any more.
fn serve(fd: i32) void {
    log.debug("watches directories", .{});
    while (readOnce(fd)) {}
    log.debug("ends: nobody waits for a name", .{});
    os_fd.close(fd);
}

/// False when nobody waits: the instance is no longer everybody's.
fn readOnce(fd: i32) bool {
    var buffer: [4096]u8 align(@alignOf(linux.inotify_event)) = undefined;
    const result = linux.read(fd, &buffer, buffer.len);
    mutex.lock();
    defer mutex.unlock();
    switch (linux.errno(result)) {
        .SUCCESS => tell(fd, buffer[0..result]),
        .INTR => {},
        // It cannot be read any more: they begin anew with another one.
        else => tellAll(fd),
    }
    if (watchers.first != null) return true;
    instance = null;
    return false;
}

fn tell(fd: i32, bytes: []align(@alignOf(linux.inotify_event)) const u8) void {
    var offset: usize = 0;
    while (offset < bytes.len) {
        const event: *const linux.inotify_event = @ptrCast(@alignCast(bytes[offset..].ptr));
        offset += @sizeOf(linux.inotify_event) + event.len;
        // Events were lost, and that a directory has gone may have been one of them.
        if (event.mask & linux.IN.Q_OVERFLOW != 0) tellAll(fd) else tellOf(fd, event);
    }
}

fn tellOf(fd: i32, event: *const linux.inotify_event) void {
    const over = event.mask & (removed_or_renamed | ended) != 0;
    var node = watchers.first;
    while (node) |current| {
        node = current.next; // before it leaves
        const watcher = watcherOf(current);
        if (watcher.wd != event.wd) continue;
        if (over) watcher.leave(fd);
        if (over or std.mem.eql(u8, event.getName() orelse "", watcher.name)) watcher.news.post();
    }
}

/// Everybody is to look, and to watch anew.
fn tellAll(fd: i32) void {
    while (watchers.first) |first| {
        const watcher = watcherOf(first);
        watcher.leave(fd);
        watcher.news.post();
    }
}

const testing = std.testing;

/// Directories of a test, gone after it.
const Folders = struct {
    a: directory.Path,
    b: directory.Path,

    fn init() Error!Folders {
        const folders: Folders = .{
            .a = try .init("/tmp/cuframes-arrivals-test-{d}-a", .{linux.getpid()}),
            .b = try .init("/tmp/cuframes-arrivals-test-{d}-b", .{linux.getpid()}),
        };
        for ([_]*const directory.Path{ &folders.a, &folders.b }) |path| try directory.create(path);
        return folders;
    }

    fn deinit(folders: *const Folders) void {
        for ([_]*const directory.Path{ &folders.a, &folders.b }) |path| _ = linux.rmdir(path.z());
    }
};

fn watcherForTest(name: []const u8) Error!Watcher {
    return .{ .name = name, .news = try .init("a test") };
}

/// Creates a file, and removes it again.
fn touch(folder: *const directory.Path, name: []const u8) Error!void {
    const path: directory.Path = try .init("{s}/{s}", .{ folder.slice(), name });
    const flags: linux.O = .{ .ACCMODE = .WRONLY, .CREAT = true, .CLOEXEC = true };
    os_fd.close(@intCast(try errors.check(linux.open(path.z(), flags, 0o600), "open", path.slice())));
    _ = linux.unlink(path.z());
}

const patience_ms = 30_000;

/// Posted, or not within half a minute; not posted any more.
fn told(watcher: *const Watcher) bool {
    var polled = [1]linux.pollfd{.{ .fd = watcher.news.fd, .events = linux.POLL.IN, .revents = 0 }};
    defer watcher.news.clear();
    return linux.poll(&polled, 1, patience_ms) == 1;
}

fn instanceNow() ?i32 {
    mutex.lock();
    defer mutex.unlock();
    return instance;
}

/// The thread closes the instance on its own time.
fn expectNoInstance() !void {
    const deadline: @import("clock.zig").Deadline = .fromMilliseconds(patience_ms);
    while (instanceNow() != null) {
        try testing.expect(!deadline.passed());
        std.Thread.yield() catch {};
    }
    try testing.expectEqual(null, watchers.first);
}

/// How many directories the kernel watches for the instance, proc_pid_fdinfo(5).
fn watchesOfInstance() !usize {
    const path: directory.Path = try .init("/proc/self/fdinfo/{d}", .{instanceNow().?});
    const flags: linux.O = .{ .ACCMODE = .RDONLY, .CLOEXEC = true };
    const fd: i32 = @intCast(try errors.check(linux.open(path.z(), flags, 0), "open", path.slice()));
    defer os_fd.close(fd);
    var buffer: [4096]u8 = undefined;
    const size = try errors.check(linux.read(fd, &buffer, buffer.len), "read", path.slice());
    return std.mem.count(u8, buffer[0..size], "inotify wd:");
}

test "all share one instance, those of a directory one watch of it, and each is told of its own name alone" {
    const folders: Folders = try .init();
    defer folders.deinit();
    var watching: [3]Watcher = undefined;
    for (&watching, [_][]const u8{ "one", "two", "one" }) |*watcher, name| watcher.* = try watcherForTest(name);
    defer for (&watching) |*watcher| watcher.news.deinit();
    const one, const two, const elsewhere = .{ &watching[0], &watching[1], &watching[2] };

    try testing.expect(try one.watch(&folders.a));
    const first = instanceNow().?;
    try testing.expect(try two.watch(&folders.a));
    try testing.expectEqual(1, try watchesOfInstance());
    try testing.expect(try elsewhere.watch(&folders.b));
    try testing.expectEqual(2, try watchesOfInstance());
    try testing.expectEqual(first, instanceNow().?);

    try touch(&folders.a, "one");
    try testing.expect(told(one));
    // The events are told in turn: what was before this one has been.
    try touch(&folders.a, "two");
    try testing.expect(told(two));
    try testing.expect(!one.news.isPosted() and !elsewhere.news.isPosted());

    // The watch stays for as long as somebody is left.
    one.stop();
    one.stop();
    try testing.expect(!one.isWatching());
    try testing.expectEqual(2, try watchesOfInstance());
    try touch(&folders.a, "one");
    try touch(&folders.a, "two");
    try testing.expect(told(two));
    try testing.expect(!one.news.isPosted());
    two.stop();
    try testing.expectEqual(1, try watchesOfInstance());
    try touch(&folders.b, "one");
    try testing.expect(told(elsewhere));
    elsewhere.stop();
    try expectNoInstance();
}

test "a directory that is removed or renamed is told, and can be watched again when it has come again" {
    const folders: Folders = try .init();
    defer folders.deinit();
    var here = try watcherForTest("name");
    defer here.news.deinit();
    var elsewhere = try watcherForTest("name");
    defer elsewhere.news.deinit();
    const moved: directory.Path = try .init("{s}.moved", .{folders.a.slice()});
    defer _ = linux.rmdir(moved.z());

    try testing.expect(try elsewhere.watch(&folders.b));
    for (0..4) |round| {
        try testing.expect(try here.watch(&folders.a));
        if (round % 2 == 0) _ = linux.rmdir(folders.a.z()) else _ = linux.rename(folders.a.z(), moved.z());
        try testing.expect(told(&here));
        try testing.expect(!here.isWatching());
        try testing.expectEqual(1, try watchesOfInstance());
        try testing.expectError(error.NotFound, here.watch(&folders.a));
        try directory.create(&folders.a);
        try testing.expect(try here.watch(&folders.a));
        try touch(&folders.a, "name");
        try testing.expect(told(&here));
        try testing.expect(elsewhere.isWatching() and !elsewhere.news.isPosted());
        here.stop();
    }
    elsewhere.stop();
    try expectNoInstance();

    // The last one of all, too: nothing is left of it.
    try testing.expect(try here.watch(&folders.a));
    _ = linux.rmdir(folders.a.z());
    try testing.expect(told(&here));
    try expectNoInstance();
    here.stop();
}

test "where no instance can be had nobody is watched, and later it works" {
    const folders: Folders = try .init();
    defer folders.deinit();
    var watcher = try watcherForTest("name");
    defer watcher.news.deinit();
    var before: linux.rlimit = undefined;
    _ = try errors.check(linux.getrlimit(.NOFILE, &before), "getrlimit", "NOFILE");
    {
        // No number below this one is free where it has just been the lowest.
        const lowest = try memfd.create("a test", 1);
        os_fd.close(lowest);
        const limit: linux.rlimit = .{ .cur = @intCast(lowest), .max = before.max };
        _ = try errors.check(linux.setrlimit(.NOFILE, &limit), "setrlimit", "NOFILE");
        defer _ = linux.setrlimit(.NOFILE, &before);
        try testing.expect(!try watcher.watch(&folders.a));
        try testing.expect(!watcher.isWatching());
        watcher.stop();
    }
    try testing.expect(try watcher.watch(&folders.a));
    try touch(&folders.a, "name");
    try testing.expect(told(&watcher));
    watcher.stop();
    try expectNoInstance();
}

test "many begin and end at the same time, and each is told" {
    const folders: Folders = try .init();
    defer folders.deinit();
    const Waiting = struct {
        folder: *const directory.Path,
        index: usize,
        failure: ?anyerror = null,

        fn run(waiting: *@This()) void {
            for (0..20) |round| waiting.once(round) catch |failure| {
                waiting.failure = failure;
                return;
            };
        }

        fn once(waiting: *@This(), round: usize) !void {
            var buffer: [32]u8 = undefined;
            var watcher = try watcherForTest(try std.fmt.bufPrint(&buffer, "{d}-{d}", .{ waiting.index, round }));
            defer watcher.news.deinit();
            defer watcher.stop();
            if (!try watcher.watch(waiting.folder)) return error.NoWatch;
            try touch(waiting.folder, watcher.name);
            if (!told(&watcher)) return error.NotTold;
        }
    };
    var waiting: [8]Waiting = undefined;
    var threads: [waiting.len]std.Thread = undefined;
    for (&waiting, &threads, 0..) |*each, *running, index| {
        each.* = .{ .folder = if (index % 2 == 0) &folders.a else &folders.b, .index = index };
        running.* = try .spawn(.{}, Waiting.run, .{each});
    }
    for (threads) |running| running.join();
    for (waiting) |each| if (each.failure) |failure| return failure;
    try expectNoInstance();
}

/// fs.inotify.max_queued_events; null where it is not known.
fn queueSize() !?usize {
    const fd = linux.open("/proc/sys/fs/inotify/max_queued_events", .{ .ACCMODE = .RDONLY, .CLOEXEC = true }, 0);
    if (linux.errno(fd) != .SUCCESS) return null;
    defer os_fd.close(@intCast(fd));
    var buffer: [32]u8 = undefined;
    const size = try errors.check(linux.read(@intCast(fd), &buffer, buffer.len), "read", "max_queued_events");
    return try std.fmt.parseInt(usize, std.mem.trim(u8, buffer[0..size], "\n"), 10);
}

test "when events were lost everybody is told, and watches anew" {
    const queued = try queueSize() orelse return error.SkipZigTest;
    if (queued > 1 << 15) return error.SkipZigTest; // it would take too long
    const folders: Folders = try .init();
    defer folders.deinit();
    var watcher = try watcherForTest("name");
    defer watcher.news.deinit();
    try testing.expect(try watcher.watch(&folders.a));
    {
        // The thread cannot read on.
        mutex.lock();
        defer mutex.unlock();
        // One like the one before it would not count.
        for (0..queued + 1000) |index| try touch(&folders.a, if (index % 2 == 0) "a" else "b");
        try touch(&folders.a, "name");
    }
    try testing.expect(told(&watcher));
    try testing.expect(!watcher.isWatching());
    try testing.expect(try watcher.watch(&folders.a));
    watcher.stop();
    try expectNoInstance();
}

test "somebody who begins to wait in a directory makes nobody else miss what appears there" {
    const folders: Folders = try .init();
    defer folders.deinit();
    const Churn = struct {
        folder: *const directory.Path,
        over: bool = false,

        fn run(churn: *@This()) void {
            var watcher = watcherForTest("another") catch return;
            defer watcher.news.deinit();
            while (!@atomicLoad(bool, &churn.over, .seq_cst)) {
                const watching = watcher.watch(churn.folder) catch return;
                if (watching) watcher.stop();
            }
        }
    };
    var watcher = try watcherForTest("name");
    defer watcher.news.deinit();
    try testing.expect(try watcher.watch(&folders.a));
    defer watcher.stop();
    var churn: Churn = .{ .folder = &folders.a };
    const thread_of_churn: std.Thread = try .spawn(.{}, Churn.run, .{&churn});
    defer thread_of_churn.join();
    defer @atomicStore(bool, &churn.over, true, .seq_cst);
    for (0..10_000) |_| {
        try touch(&folders.a, "name");
        try testing.expect(told(&watcher));
    }
}
