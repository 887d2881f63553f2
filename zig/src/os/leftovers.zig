//! A publisher that died left its socket and its lock's file. They do no harm; this file removes them.

const std = @import("std");
const linux = std.os.linux;
const errors = @import("../core/mod.zig").errors;
const os_fd = @import("fd.zig");
const claims = @import("claim.zig");
const directory = @import("directory.zig");
const Path = directory.Path;
const Error = errors.Error;

/// The longest that a remover holds the lock, unless it is stopped.
pub const hold_ms_max = 50;

/// Removes what the dead publisher of a key has left. False where there is nothing that is certainly nobody's: no
/// socket or no lock, or somebody holds the lock, or listens. Permission where the files are not this user's to remove.
pub fn remove(folder: *const Path, key: []const u8) Error!bool {
    var left = try claims.Claim.takeLeft(folder, &try .ofKey(key)) orelse return false;
    defer left.release();
    try left.requireRemoved();
    return true;
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

    /// Nothing is left in it.
    fn deinit(folder: *const Folder) void {
        std.debug.assert(linux.errno(linux.rmdir(folder.path.z())) == .SUCCESS);
    }

    fn take(folder: *const Folder) Error!claims.Claim {
        return .take(&folder.path, &try .ofKey("cam"), .with_lock);
    }

    /// As the death of a publisher leaves it.
    fn leave(folder: *const Folder) !void {
        var claim = try folder.take();
        os_fd.close(try claim.listen(0o600, .taken));
        os_fd.close(claim.lock);
        claim.folder.close();
        try testing.expect(has(&folder.socket) and has(&folder.lock));
    }

    fn has(path: *const Path) bool {
        return linux.errno(linux.access(path.z(), linux.F_OK)) == .SUCCESS;
    }
};

test "what is left of a dead publisher is removed" {
    const folder: Folder = try .init();
    defer folder.deinit();
    try testing.expect(!try remove(&folder.path, "cam"));
    try folder.leave();
    try testing.expect(try remove(&folder.path, "cam"));
    try testing.expect(!Folder.has(&folder.socket) and !Folder.has(&folder.lock));
    const nowhere: Path = try .init("{s}/nowhere", .{folder.path.slice()});
    try testing.expect(!try remove(&nowhere, "cam"));
}

test "what may be somebody's stays: of a held lock, of none, of a listener without one, and what is no socket" {
    const folder: Folder = try .init();
    defer folder.deinit();
    try folder.leave();
    var successor = try folder.take();
    try testing.expect(!try remove(&folder.path, "cam"));
    // It listens, and has lost its lock.
    const listener = try successor.listen(0o600, .taken);
    os_fd.close(successor.lock);
    try testing.expect(!try remove(&folder.path, "cam"));
    os_fd.close(listener);
    successor.folder.close();
    try testing.expect(Folder.has(&folder.socket) and Folder.has(&folder.lock));
    // Somebody's who has bound it, and is about to listen.
    _ = try errors.check(linux.unlink(folder.lock.z()), "unlink", folder.lock.slice());
    try testing.expect(!try remove(&folder.path, "cam"));
    try testing.expect(Folder.has(&folder.socket) and !Folder.has(&folder.lock));

    const flags: linux.O = .{ .ACCMODE = .WRONLY, .CREAT = true, .CLOEXEC = true };
    _ = try errors.check(linux.unlink(folder.socket.z()), "unlink", folder.socket.slice());
    for ([_]*const Path{ &folder.socket, &folder.lock }) |path| {
        os_fd.close(@intCast(try errors.check(linux.open(path.z(), flags, 0o600), "open", path.slice())));
    }
    defer for ([_]*const Path{ &folder.socket, &folder.lock }) |path| {
        _ = linux.unlink(path.z());
    };
    try testing.expect(!try remove(&folder.path, "cam"));
    try testing.expect(Folder.has(&folder.socket) and Folder.has(&folder.lock));
}
