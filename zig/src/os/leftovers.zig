//! A publisher that died left its socket and its lock's file. They do no harm; this file removes them.

const std = @import("std");
const linux = std.os.linux;
const errors = @import("../core/mod.zig").errors;
const os_fd = @import("fd.zig");
const socket = @import("socket.zig");
const directory = @import("directory.zig");
const Path = directory.Path;
const Error = errors.Error;

/// The longest that a remover holds the lock, unless it is stopped.
pub const hold_ms_max = 50;

/// Removes what the dead publisher of a key has left. False where there is nothing that is certainly nobody's: no
/// socket, or somebody holds the lock, or listens. Permission where the files are not this user's to remove.
pub fn remove(folder: *const Path, key: []const u8) Error!bool {
    const socket_path: Path = try .init("{s}/{s}.sock", .{ folder.slice(), key });
    const lock_path: Path = try .init("{s}/{s}.lock", .{ folder.slice(), key });
    if (!isDeadSocket(&socket_path)) return false;
    // While it is held here there is no publisher: each holds it from before its socket is made until it is removed.
    const lock = directory.Lock.acquire(&lock_path) catch |failure| {
        return if (failure == error.AlreadyExists) false else failure;
    };
    defer lock.release(&lock_path);
    // What was looked at before the lock was taken may have been replaced since.
    if (!isDeadSocket(&socket_path)) return false;
    _ = try errors.check(linux.unlink(socket_path.z()), "unlink", socket_path.slice());
    return true;
}

/// Whether there is a socket, and not anything else of that name, that nobody listens on.
fn isDeadSocket(path: *const Path) bool {
    var status: linux.Statx = undefined;
    const flags = linux.AT.SYMLINK_NOFOLLOW;
    const result = linux.statx(linux.AT.FDCWD, path.z(), flags, .{ .TYPE = true }, &status);
    if (linux.errno(result) != .SUCCESS or status.mode & linux.S.IFMT != linux.S.IFSOCK) return false;
    const address = socket.Address.init(path.slice()) catch return false;
    const listener = socket.connect(&address, path.slice(), 1) catch |failure| return failure == error.NotFound;
    os_fd.close(listener);
    return false;
}

const testing = std.testing;

const Folder = struct {
    path: Path,
    socket: Path,
    lock: Path,

    fn init() !Folder {
        const path: Path = try .init("/tmp/cuframes-leftovers-test-{d}", .{linux.getpid()});
        try directory.create(&path);
        return .{
            .path = path,
            .socket = try .init("{s}/cam.sock", .{path.slice()}),
            .lock = try .init("{s}/cam.lock", .{path.slice()}),
        };
    }

    fn deinit(folder: *const Folder) void {
        for ([_]*const Path{ &folder.socket, &folder.lock }) |path| _ = linux.unlink(path.z());
        _ = linux.rmdir(folder.path.z());
    }

    fn listen(folder: *const Folder) !i32 {
        const temporary: Path = try .init("{s}.new", .{folder.socket.slice()});
        return socket.listen(folder.socket.slice(), temporary.slice(), 0o600);
    }

    fn has(path: *const Path) bool {
        return linux.errno(linux.access(path.z(), linux.F_OK)) == .SUCCESS;
    }
};

test "what is left of a dead publisher is removed" {
    const folder: Folder = try .init();
    defer folder.deinit();
    try testing.expect(!try remove(&folder.path, "cam"));
    os_fd.close(try folder.listen());
    const lock: directory.Lock = try .acquire(&folder.lock);
    os_fd.close(lock.fd);
    try testing.expect(Folder.has(&folder.socket) and Folder.has(&folder.lock));
    try testing.expect(try remove(&folder.path, "cam"));
    try testing.expect(!Folder.has(&folder.socket) and !Folder.has(&folder.lock));
}

test "what may be somebody's stays: of a held lock, of a listener without one, and what is no socket" {
    const folder: Folder = try .init();
    defer folder.deinit();
    const listener = try folder.listen();
    try testing.expect(!try remove(&folder.path, "cam"));
    os_fd.close(listener);
    const lock: directory.Lock = try .acquire(&folder.lock);
    try testing.expect(!try remove(&folder.path, "cam"));
    try testing.expect(Folder.has(&folder.socket) and Folder.has(&folder.lock));
    lock.release(&folder.lock);

    _ = linux.unlink(folder.socket.z());
    const flags: linux.O = .{ .ACCMODE = .WRONLY, .CREAT = true, .CLOEXEC = true };
    const file = try errors.check(linux.open(folder.socket.z(), flags, 0o600), "open", folder.socket.slice());
    os_fd.close(@intCast(file));
    try testing.expect(!try remove(&folder.path, "cam"));
    try testing.expect(Folder.has(&folder.socket));
}
