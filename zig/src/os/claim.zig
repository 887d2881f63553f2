//! A claim makes a path this process's to listen at: by a lock beside it, then by a socket in its place. Others may
//! write to the same directory, publishers of other users among them.

const std = @import("std");
const linux = std.os.linux;
const errors = @import("../core/mod.zig").errors;
const os_fd = @import("fd.zig");
const clock = @import("clock.zig");
const directory = @import("directory.zig");
const folders = @import("folder.zig");
const socket = @import("socket.zig");
const Folder = folders.Folder;
const Identity = folders.Identity;
const Path = directory.Path;
const Error = errors.Error;

/// How often others may get in between before that is an error.
const attempts_max = 16;
/// A process that dies has closed its lock when it still listens; not for longer than this.
const dying_ms = 250;

/// What the files are called in their directory.
pub const Names = struct {
    lock: Path,
    socket: Path,
    /// With a digit behind it: of the directory in which the socket is made. At most three bytes shorter than the
    /// socket's name.
    workshop: Path,

    /// Of a publisher.
    pub fn ofKey(key: []const u8) Error!Names {
        return .{
            .lock = try .init("{s}.lock", .{key}),
            .socket = try .init("{s}.sock", .{key}),
            .workshop = try .init(".{s}.", .{key}),
        };
    }
};

/// Whose sockets there may be in the claim's place.
const Others = enum {
    /// Those of lock holders alone: whoever has taken over a dead holder's lock need not ask its socket.
    with_lock,
    any,
};

pub const Claim = struct {
    folder: Folder,
    names: Names,
    /// Descriptor of the lock file.
    lock: i32,
    /// Of the socket that was made here.
    socket: ?Identity = null,

    /// AlreadyExists where somebody else's lives: holds the lock, or listens.
    pub fn take(directory_path: *const Path, names: *const Names, whose: Others) Error!Claim {
        _ = try pathOf(directory_path, &names.socket);
        const folder: Folder = try .open(directory_path);
        errdefer folder.close();
        const lock = try acquire(&folder, names);
        const claim: Claim = .{ .folder = folder, .names = names.*, .lock = lock.fd };
        errdefer {
            claim.removeLock();
            os_fd.close(lock.fd);
        }
        // Whoever listens without this lock has lost it: its file was removed, or replaced.
        if (lock.created or whose == .any) try requireDead(&folder, &names.socket);
        return claim;
    }

    /// What a dead holder has left, to be released; null where there is nothing that is certainly nobody's. No lock is
    /// made or replaced: whoever has that may be about to listen. Permission for a lock of another user.
    pub fn takeLeft(directory_path: *const Path, names: *const Names) Error!?Claim {
        const folder = Folder.open(directory_path) catch |failure| {
            return if (failure == error.NotFound) null else failure;
        };
        var claim: ?Claim = null;
        defer if (claim == null) folder.close();
        // A holder is not troubled.
        if (try deadSocketOf(&folder, &names.socket) == null) return null;
        const lock = try acquireLeft(&folder, &names.lock) orelse return null;
        defer if (claim == null) os_fd.close(lock);
        // What was looked at before the lock was had may have been replaced since.
        const left = try deadSocketOf(&folder, &names.socket) orelse return null;
        claim = .{ .folder = folder, .names = names.*, .lock = lock, .socket = left };
        return claim;
    }

    /// Makes the socket in a directory of this user's alone, where nobody can put anything else in its place, then
    /// renames it: whoever sees the final name can connect. A dead listener's socket is replaced.
    pub fn listen(claim: *Claim, mode: u32, rights: socket.Rights) Error!i32 {
        std.debug.assert(claim.socket == null);
        const folder = &claim.folder;
        const name = &claim.names.socket;
        const at = claim.path();
        const fd = try socket.open();
        errdefer os_fd.close(fd);
        const workshop: Workshop = try .make(folder, &claim.names.workshop);
        defer workshop.remove(folder);
        others.act(.bind);
        try workshop.bind(folder, fd);
        others.act(.chmod);
        _ = try errors.check(linux.fchmodat(workshop.fd, Workshop.entry.z(), @intCast(mode)), "chmod", at.slice());
        if (rights == .refused) socket.refuseDescriptors(fd);
        _ = try errors.check(linux.listen(fd, socket.backlog), "listen", at.slice());
        var status: linux.Statx = undefined;
        const result = linux.statx(
            workshop.fd,
            Workshop.entry.z(),
            linux.AT.SYMLINK_NOFOLLOW,
            .{ .INO = true },
            &status,
        );
        _ = try errors.check(result, "statx", at.slice());
        try claim.requireLock();
        others.act(.rename);
        const renamed = linux.renameat(workshop.fd, Workshop.entry.z(), folder.fd, name.z());
        if (linux.errno(renamed) != .SUCCESS) return folder.failErrno(linux.errno(renamed), "rename", name);
        claim.socket = .of(&status);
        errdefer claim.removeSocket();
        // Nobody who looks for a listener from now on misses this one: whoever took the lock before is known by that.
        try claim.requireLock();
        return fd;
    }

    /// Of the socket.
    pub fn path(claim: *const Claim) Path {
        return pathOf(&claim.folder.path, &claim.names.socket) catch unreachable; // looked at when it was taken
    }

    fn requireLock(claim: *const Claim) Error!void {
        if (claim.holdsLock()) return;
        return errors.fail(
            error.AlreadyExists,
            "another process has replaced {s}/{s} while this one was about to listen: close that one, or choose " ++
                "another name",
            .{ claim.folder.path.slice(), claim.names.lock.slice() },
        );
    }

    fn holdsLock(claim: *const Claim) bool {
        const identity = Identity.ofDescriptor(claim.lock, "a lock") catch return false;
        return claim.folder.has(&claim.names.lock, identity);
    }

    /// Before its descriptor is closed, which keeps the socket's identity from being given to another file.
    pub fn removeSocket(claim: *Claim) void {
        // Where the directory has become read-only for us it is left, as after a death.
        claim.requireRemoved() catch {};
    }

    /// Its socket is gone; Permission where this user may not remove it.
    pub fn requireRemoved(claim: *Claim) Error!void {
        const identity = claim.socket orelse return;
        claim.socket = null;
        switch (claim.folder.remove(&claim.names.socket, identity)) {
            .SUCCESS, .NOENT => {},
            else => |errno| return claim.folder.failErrno(errno, "unlink", &claim.names.socket),
        }
    }

    fn removeLock(claim: *const Claim) void {
        const identity = Identity.ofDescriptor(claim.lock, "a lock") catch return;
        _ = claim.folder.remove(&claim.names.lock, identity);
    }

    /// What is still this claim's goes. The socket stays its owner's to close, afterwards.
    pub fn release(claim: *Claim) void {
        claim.removeSocket();
        claim.removeLock();
        os_fd.close(claim.lock);
        claim.folder.close();
    }
};

/// InvalidArgument where it is too long for a socket.
fn pathOf(folder: *const Path, name: *const Path) Error!Path {
    return .init("{s}/{s}", .{ folder.slice(), name.slice() });
}

/// What others can get in before.
const Step = enum { open, bind, chmod, rename };

/// In tests they do.
const others = if (@import("builtin").is_test) meddler else struct {
    fn act(_: Step) void {}
};

const Acquired = struct { fd: i32, created: bool };

/// The file is of this user and mode 0600, so that nobody else can have opened it: else a lock on it proves nothing,
/// and would outlast its holder in the hands of whoever may read it.
fn acquire(folder: *const Folder, names: *const Names) Error!Acquired {
    for (0..attempts_max) |_| {
        if (try folder.create(&names.lock, 0o600)) |fd| {
            // The umask may have taken the owner's bits, which its next holder needs.
            _ = linux.fchmod(fd, 0o600);
            if (try holdNow(folder, &names.lock, fd)) return .{ .fd = fd, .created = true };
            continue;
        }
        const status = try folder.look(&names.lock) orelse continue;
        const fd = openPrivate(folder, &names.lock, &status) catch |failure| switch (failure) {
            error.Permission => {
                try replace(folder, names, &status);
                continue;
            },
            else => return failure,
        } orelse continue;
        if (!try holdNow(folder, &names.lock, fd)) continue;
        if (status.uid == linux.geteuid()) return .{ .fd = fd, .created = false };
        // Its owner could open it, and lock it behind us.
        defer os_fd.close(fd);
        try removeLockOf(folder, &names.lock, &status);
    }
    return errors.fail(
        error.Io,
        "{s}/{s} is being replaced again and again by another process",
        .{ folder.path.slice(), names.lock.slice() },
    );
}

/// The lock that a dead holder has left; null where there is none, or it is held.
fn acquireLeft(folder: *const Folder, name: *const Path) Error!?i32 {
    const status = try folder.look(name) orelse return null;
    const fd = try folder.openFile(name, &status, .RDWR) orelse return null;
    const held = holdNow(folder, name, fd) catch |failure| {
        return if (failure == error.AlreadyExists) null else failure;
    };
    return if (held) fd else null;
}

/// Which socket of that name refuses connections; null where none does.
fn deadSocketOf(folder: *const Folder, name: *const Path) Error!?Identity {
    const status = try folder.look(name) orelse return null;
    if (status.mode & linux.S.IFMT != linux.S.IFSOCK) return null;
    const path = try pathOf(&folder.path, name);
    const address: socket.Address = try .init(path.slice());
    const listener = socket.connect(&address, path.slice(), 1) catch |failure| {
        const dead = failure == error.NotFound and folder.has(name, .of(&status));
        return if (dead) .of(&status) else null;
    };
    socket.hangUp(listener);
    return null;
}

/// Permission for a file that others than its owner can open, too.
fn openPrivate(folder: *const Folder, name: *const Path, status: *const linux.Statx) Error!?i32 {
    if (folders.oddityOf(status) == null and status.mode & 0o077 != 0) return error.Permission;
    others.act(.open);
    return folder.openFile(name, status, .RDWR);
}

/// True: it is locked, and still the file of that name. Otherwise it is closed.
fn holdNow(folder: *const Folder, name: *const Path, fd: i32) Error!bool {
    errdefer os_fd.close(fd);
    const result = linux.flock(fd, std.c.LOCK.EX | std.c.LOCK.NB);
    if (linux.errno(result) == .AGAIN) return errors.fail(
        error.AlreadyExists,
        "the lock {s}/{s} is held: close whoever listens there or choose another name",
        .{ folder.path.slice(), name.slice() },
    );
    if (linux.errno(result) != .SUCCESS) return folder.failErrno(linux.errno(result), "flock", name);
    // A holder that ends removes the file: a lock on a removed file is a lock on nothing.
    if (folder.has(name, try .ofDescriptor(fd, name.slice()))) return true;
    os_fd.close(fd);
    return false;
}

/// Removes a lock file that says nothing, where nobody listens.
fn replace(folder: *const Folder, names: *const Names, status: *const linux.Statx) Error!void {
    try requireDead(folder, &names.socket);
    try removeLockOf(folder, &names.lock, status);
}

fn removeLockOf(folder: *const Folder, name: *const Path, status: *const linux.Statx) Error!void {
    const errno = folder.remove(name, .of(status));
    if (errno == .SUCCESS or errno == .NOENT) return;
    return errors.fail(
        error.Permission,
        "{s}/{s} is left by user {d}, and this user may not remove it from the directory (E{t}): remove it as that " ++
            "user, or give the directory to a group of both (chmod 2770, without a sticky bit)",
        .{ folder.path.slice(), name.slice(), status.uid, errno },
    );
}

/// AlreadyExists where somebody listens, or may, or where there is no socket but something else.
fn requireDead(folder: *const Folder, name: *const Path) Error!void {
    const path = try pathOf(&folder.path, name);
    const address: socket.Address = try .init(path.slice());
    for (0..attempts_max) |_| {
        const status = try folder.look(name) orelse return;
        if (status.mode & linux.S.IFMT != linux.S.IFSOCK) return errors.fail(
            error.AlreadyExists,
            "{s} is there and is not a socket: remove it or choose another name",
            .{path.slice()},
        );
        const probe = socket.connect(&address, path.slice(), 1) catch |failure| switch (failure) {
            error.NotFound => return,
            error.Permission => return errors.fail(
                error.Permission,
                "{s} is left by user {d}, or its owner lives: this user may not connect to it and cannot tell. If " ++
                    "nobody listens there, remove it",
                .{ path.slice(), status.uid },
            ),
            error.Timeout, error.Protocol => break,
            else => return failure,
        };
        defer socket.hangUp(probe);
        // The end of a process closes its listener later than its lock, and with it this connection.
        if (!endsWithin(probe, .fromMilliseconds(dying_ms))) break;
    }
    return errors.fail(
        error.AlreadyExists,
        "somebody listens on {s}: close it or choose another name",
        .{path.slice()},
    );
}

fn endsWithin(connection: i32, deadline: clock.Deadline) bool {
    var polled = [1]linux.pollfd{.{ .fd = connection, .events = 0, .revents = 0 }};
    while (true) {
        const result = linux.poll(&polled, 1, deadline.remainingMs());
        if (linux.errno(result) == .SUCCESS and result == 1) return true;
        if (deadline.passed()) return false;
    }
}

/// A directory of this user's alone, for as long as a socket is made in it.
const Workshop = struct {
    name: Path,
    fd: i32,

    const entry = Path.init("s", .{}) catch unreachable;

    /// What a process has left that died in here goes, where this user can remove it; where not, another digit serves.
    fn make(folder: *const Folder, prefix: *const Path) Error!Workshop {
        for (0..10) |digit| {
            const name: Path = try .init("{s}{d}", .{ prefix.slice(), digit });
            for (0..2) |_| {
                const made = linux.mkdirat(folder.fd, name.z(), 0o700);
                switch (linux.errno(made)) {
                    .SUCCESS => {
                        errdefer _ = linux.unlinkat(folder.fd, name.z(), linux.AT.REMOVEDIR);
                        return .{ .name = name, .fd = try enter(folder, &name) orelse break };
                    },
                    .EXIST => clear(folder, &name),
                    else => |errno| return folder.failErrno(errno, "mkdir", &name),
                }
            }
        }
        return errors.fail(
            error.Io,
            "{s}/{s}0 to 9 are other processes': remove them",
            .{ folder.path.slice(), prefix.slice() },
        );
    }

    fn openAt(folder: *const Folder, name: *const Path) usize {
        return linux.openat(
            folder.fd,
            name.z(),
            .{ .DIRECTORY = true, .NOFOLLOW = true, .NONBLOCK = true, .CLOEXEC = true },
            0,
        );
    }

    /// Null where it was replaced meanwhile by what others can write to.
    fn enter(folder: *const Folder, name: *const Path) Error!?i32 {
        const result = openAt(folder, name);
        switch (linux.errno(result)) {
            .SUCCESS => {},
            .NOENT, .NOTDIR, .LOOP, .ACCES => return null,
            else => |errno| return folder.failErrno(errno, "open", name),
        }
        const fd: i32 = @intCast(result);
        errdefer os_fd.close(fd);
        const status = try folders.statusOf(fd, name.slice());
        if (status.uid == linux.geteuid() and status.mode & 0o022 == 0) return fd;
        os_fd.close(fd);
        return null;
    }

    fn clear(folder: *const Folder, name: *const Path) void {
        const result = openAt(folder, name);
        if (linux.errno(result) != .SUCCESS) return;
        defer os_fd.close(@intCast(result));
        _ = linux.unlinkat(@intCast(result), entry.z(), 0);
        _ = linux.unlinkat(folder.fd, name.z(), linux.AT.REMOVEDIR);
    }

    /// A name to bind to can only be given by its path. Through /proc it begins at our descriptor; where that is not
    /// mounted, a link in between could lead elsewhere, and then there is nothing in here.
    fn bind(workshop: *const Workshop, folder: *const Folder, fd: i32) Error!void {
        var place: Path = try .init("/proc/thread-self/fd/{d}", .{workshop.fd});
        if (linux.errno(linux.access(place.z(), linux.F_OK)) != .SUCCESS) {
            place = try .init("{s}/{s}", .{ folder.path.slice(), workshop.name.slice() });
        }
        const path: Path = try .init("{s}/{s}", .{ place.slice(), entry.slice() });
        const address: socket.Address = try .init(path.slice());
        const result = linux.bind(fd, @ptrCast(&address.storage), address.size);
        if (linux.errno(result) != .SUCCESS) return folder.failErrno(linux.errno(result), "bind", &workshop.name);
    }

    fn remove(workshop: *const Workshop, folder: *const Folder) void {
        _ = linux.unlinkat(workshop.fd, entry.z(), 0);
        os_fd.close(workshop.fd);
        _ = linux.unlinkat(folder.fd, workshop.name.z(), linux.AT.REMOVEDIR);
    }
};

const testing = std.testing;

const meddler = struct {
    var plan: ?Plan = null;

    const Plan = struct {
        before: Step,
        /// Moved aside, and a link put in its place.
        path: *const Path,
        aside: *const Path,
        link_to: *const Path,
    };

    fn act(step: Step) void {
        const deed = plan orelse return;
        if (deed.before != step) return;
        plan = null;
        std.debug.assert(linux.errno(linux.rename(deed.path.z(), deed.aside.z())) == .SUCCESS);
        std.debug.assert(linux.errno(linux.symlink(deed.link_to.z(), deed.path.z())) == .SUCCESS);
    }
};

/// A directory of a test, and what a publisher calls its files there.
const Scene = struct {
    path: Path,
    names: Names,

    fn init() !Scene {
        const path: Path = try .init("/tmp/cuframes-claim-test-{d}", .{linux.getpid()});
        try directory.create(&path);
        return .{ .path = path, .names = .{
            .lock = try .init("cam.lock", .{}),
            .socket = try .init("cam.sock", .{}),
            .workshop = try .init(".cam.", .{}),
        } };
    }

    fn in(scene: *const Scene, comptime name: []const u8) !Path {
        return .init("{s}/" ++ name, .{scene.path.slice()});
    }

    /// Nothing is left in it.
    fn deinit(scene: *const Scene) void {
        std.debug.assert(linux.errno(linux.rmdir(scene.path.z())) == .SUCCESS);
    }

    fn take(scene: *const Scene) Error!Claim {
        return .take(&scene.path, &scene.names, .with_lock);
    }

    fn statusOf(scene: *const Scene, name: *const Path) !?linux.Statx {
        const folder: Folder = try .open(&scene.path);
        defer folder.close();
        return folder.look(name);
    }
};

fn expectSaid(text: []const u8) !void {
    errdefer std.debug.print("said: {s}\n", .{errors.message()});
    try testing.expect(std.mem.find(u8, errors.message(), text) != null);
}

test "a claim excludes, and can be taken again after its holder has gone" {
    const scene: Scene = try .init();
    defer scene.deinit();
    var first = try scene.take();
    try testing.expectError(error.AlreadyExists, scene.take());
    try expectSaid("cam.lock is held");
    const fd = try first.listen(0o640, .taken);
    try testing.expectEqual(0o640, (try scene.statusOf(&scene.names.socket)).?.mode & 0o777);
    try testing.expectEqual(0o600, (try scene.statusOf(&scene.names.lock)).?.mode & 0o777);
    first.release();
    os_fd.close(fd);
    var second = try scene.take();
    second.release();
}

test "a socket is made where nobody can put a link, whatever is in the way, and its directory goes" {
    const scene: Scene = try .init();
    defer scene.deinit();
    const elsewhere: Path = try .init("{s}-elsewhere", .{scene.path.slice()});
    try directory.create(&elsewhere);
    defer _ = linux.rmdir(elsewhere.z());
    const precious: Path = try .init("{s}/s", .{elsewhere.slice()});
    try directory.create(&precious);
    const file: Path = try .init("{s}/s/s", .{elsewhere.slice()});
    _ = try errors.check(linux.symlink("here", file.z()), "symlink", file.slice());
    // A link, and what a process has left that died there.
    const link = try scene.in(".cam.0");
    _ = try errors.check(linux.symlink(precious.z(), link.z()), "symlink", link.slice());
    defer _ = linux.unlink(link.z());
    const left = try scene.in(".cam.1");
    try directory.create(&left);
    const entry = try scene.in(".cam.1/s");
    _ = try errors.check(linux.symlink(elsewhere.z(), entry.z()), "symlink", entry.slice());

    var claim = try scene.take();
    const fd = try claim.listen(0o666, .taken);
    try testing.expectEqual(0o666, (try scene.statusOf(&scene.names.socket)).?.mode & 0o777);
    try testing.expectEqual(linux.E.NOENT, linux.errno(linux.access(left.z(), linux.F_OK)));
    claim.release();
    os_fd.close(fd);
    // What is behind the link is still there, and nothing else.
    try testing.expectEqual(linux.E.SUCCESS, linux.errno(linux.unlink(file.z())));
    try testing.expectEqual(linux.E.SUCCESS, linux.errno(linux.rmdir(precious.z())));
    try testing.expectEqual(linux.E.SUCCESS, linux.errno(linux.rmdir(elsewhere.z())));
}

test "where every directory is in others' hands there is no socket" {
    const scene: Scene = try .init();
    defer scene.deinit();
    for (0..10) |digit| {
        const link: Path = try .init("{s}/.cam.{d}", .{ scene.path.slice(), digit });
        _ = try errors.check(linux.symlink("/tmp", link.z()), "symlink", link.slice());
    }
    defer for (0..10) |digit| {
        const link = Path.init("{s}/.cam.{d}", .{ scene.path.slice(), digit }) catch unreachable;
        _ = linux.unlink(link.z());
    };
    var claim = try scene.take();
    defer claim.release();
    try testing.expectError(error.Io, claim.listen(0o600, .taken));
    try expectSaid(".cam.0 to 9 are other processes'");
}

test "what others have put in the place of a claim's files is theirs to keep" {
    const scene: Scene = try .init();
    defer scene.deinit();
    var first = try scene.take();
    const first_fd = try first.listen(0o600, .taken);
    const lock = try scene.in("cam.lock");
    const sock = try scene.in("cam.sock");
    for ([_]Path{ lock, sock }) |path| _ = try errors.check(linux.unlink(path.z()), "unlink", path.slice());
    var second = try scene.take();
    const second_fd = try second.listen(0o600, .taken);
    first.release();
    os_fd.close(first_fd);
    try testing.expect(second.holdsLock());
    try testing.expect(second.folder.has(&scene.names.socket, second.socket.?));
    second.release();
    os_fd.close(second_fd);
}

test "a listener that has lost its lock still has its place" {
    const scene: Scene = try .init();
    defer scene.deinit();
    var first = try scene.take();
    const fd = try first.listen(0o600, .taken);
    const lock = try scene.in("cam.lock");
    _ = try errors.check(linux.unlink(lock.z()), "unlink", lock.slice());
    try testing.expectError(error.AlreadyExists, scene.take());
    try expectSaid("somebody listens on");
    try testing.expectEqual(null, try scene.statusOf(&scene.names.lock));
    first.release();
    os_fd.close(fd);
}

test "a lock that was replaced before the socket is there loses" {
    const scene: Scene = try .init();
    defer scene.deinit();
    var first = try scene.take();
    const lock = try scene.in("cam.lock");
    _ = try errors.check(linux.unlink(lock.z()), "unlink", lock.slice());
    var second = try scene.take();
    const fd = try second.listen(0o600, .taken);
    try testing.expectError(error.AlreadyExists, first.listen(0o600, .taken));
    try expectSaid("has replaced");
    first.release();
    try testing.expect(second.holdsLock());
    try testing.expect(second.folder.has(&scene.names.socket, second.socket.?));
    second.release();
    os_fd.close(fd);
}

test "a lock that is lost while the socket gets its name loses, and the socket goes" {
    const scene: Scene = try .init();
    defer scene.deinit();
    var claim = try scene.take();
    const lock = try scene.in("cam.lock");
    const aside = try scene.in("aside");
    meddler.plan = .{ .before = .rename, .path = &lock, .aside = &aside, .link_to = &aside };
    try testing.expectError(error.AlreadyExists, claim.listen(0o600, .taken));
    try testing.expectEqual(null, try scene.statusOf(&scene.names.socket));
    claim.release();
    for ([_]*const Path{ &lock, &aside }) |path| {
        try testing.expectEqual(linux.E.SUCCESS, linux.errno(linux.unlink(path.z())));
    }
}

test "a link that takes the place of the socket's directory changes no other file's mode, and makes none elsewhere" {
    const scene: Scene = try .init();
    defer scene.deinit();
    const elsewhere: Path = try .init("{s}-elsewhere", .{scene.path.slice()});
    try directory.create(&elsewhere);
    const folder: Folder = try .open(&elsewhere);
    defer folder.close();
    const entry = Workshop.entry;
    const workshop = try scene.in(".cam.0");
    const aside = try scene.in("aside");
    for ([_]Step{ .bind, .chmod }) |step| {
        if (step == .chmod) os_fd.close((try folder.create(&entry, 0o600)).?);
        meddler.plan = .{ .before = step, .path = &workshop, .aside = &aside, .link_to = &elsewhere };
        var claim = try scene.take();
        const fd = try claim.listen(0o666, .taken);
        try testing.expectEqual(null, meddler.plan);
        try testing.expectEqual(0o666, (try scene.statusOf(&scene.names.socket)).?.mode & 0o777);
        const there = try folder.look(&entry);
        if (step == .chmod) {
            try testing.expectEqual(linux.S.IFREG | 0o600, there.?.mode);
        } else {
            try testing.expectEqual(null, there);
        }
        claim.release();
        os_fd.close(fd);
        try testing.expectEqual(linux.E.SUCCESS, linux.errno(linux.unlink(workshop.z())));
        try testing.expectEqual(linux.E.SUCCESS, linux.errno(linux.rmdir(aside.z())));
    }
    try testing.expectEqual(linux.E.SUCCESS, linux.errno(linux.unlinkat(folder.fd, entry.z(), 0)));
    try testing.expectEqual(linux.E.SUCCESS, linux.errno(linux.rmdir(elsewhere.z())));
}

test "a lock that becomes a link before it is opened is not followed" {
    const scene: Scene = try .init();
    defer scene.deinit();
    const folder: Folder = try .open(&scene.path);
    defer folder.close();
    os_fd.close((try folder.create(&scene.names.lock, 0o600)).?);
    const lock = try scene.in("cam.lock");
    const aside = try scene.in("aside");
    // Opening a directory for writing has an error of its own.
    meddler.plan = .{ .before = .open, .path = &lock, .aside = &aside, .link_to = &scene.path };
    try testing.expectError(error.Io, scene.take());
    try expectSaid("cam.lock is a symbolic link");
    for ([_]*const Path{ &lock, &aside }) |path| {
        try testing.expectEqual(linux.E.SUCCESS, linux.errno(linux.unlink(path.z())));
    }
}

test "a lock on a file that has lost its name, or whose name another one has, is none" {
    const scene: Scene = try .init();
    defer scene.deinit();
    const folder: Folder = try .open(&scene.path);
    defer folder.close();
    const lock = try scene.in("cam.lock");
    defer _ = linux.unlink(lock.z());
    for (0..2) |round| {
        const fd = (try folder.create(&scene.names.lock, 0o600)).?;
        _ = try errors.check(linux.unlink(lock.z()), "unlink", lock.slice());
        const other = if (round == 1) try folder.create(&scene.names.lock, 0o600) else null;
        try testing.expect(!try holdNow(&folder, &scene.names.lock, fd));
        try testing.expect(!os_fd.isOpen(fd));
        if (other) |open| os_fd.close(open);
    }
}

test "a lock that others could open is replaced, and no other file is" {
    const scene: Scene = try .init();
    defer scene.deinit();
    const lock = try scene.in("cam.lock");
    const create: linux.O = .{ .ACCMODE = .RDWR, .CREAT = true, .CLOEXEC = true };
    const wide: i32 = @intCast(try errors.check(linux.open(lock.z(), create, 0o644), "open", lock.slice()));
    defer os_fd.close(wide);
    // Somebody who may read it, and waits for the end of whoever has locked it.
    _ = try errors.check(linux.flock(wide, std.c.LOCK.EX), "flock", lock.slice());
    var claim = try scene.take();
    try testing.expectEqual(0o600, (try scene.statusOf(&scene.names.lock)).?.mode & 0o777);
    claim.release();

    _ = try errors.check(linux.mknodat(linux.AT.FDCWD, lock.z(), linux.S.IFIFO | 0o600, 0), "mknod", lock.slice());
    try testing.expectError(error.Io, scene.take());
    try expectSaid("cam.lock is a FIFO");
    _ = linux.unlink(lock.z());
    _ = try errors.check(linux.symlink("/etc/passwd", lock.z()), "symlink", lock.slice());
    try testing.expectError(error.Io, scene.take());
    try expectSaid("cam.lock is a symbolic link");
    _ = linux.unlink(lock.z());
    try directory.create(&lock);
    try testing.expectError(error.Io, scene.take());
    try expectSaid("cam.lock is a directory");
    _ = linux.rmdir(lock.z());
}
