//! This file tells why a path is closed to this user: what on the way to it is, whose that is, its mode, and whether
//! joining a group opens it.

const std = @import("std");
const linux = std.os.linux;
const errors = @import("../core/mod.zig").errors;
const Path = @import("directory.zig").Path;
const Error = errors.Error;

/// AT_EACCESS of <fcntl.h>: by the effective user, as every other call.
const at_eaccess = 0x200;

/// What a user may do with a file or a directory, as the bits of a mode.
const Right = enum(u32) {
    /// To reach what is in a directory.
    search = linux.X_OK,
    /// To see which sockets are in a directory, and to reach them.
    list = linux.R_OK | linux.X_OK,
    /// Of a socket.
    connect = linux.W_OK,

    fn allowedBy(right: Right, mode: u32) bool {
        return mode & @intFromEnum(right) == @intFromEnum(right);
    }

    fn has(right: Right, path: [*:0]const u8) linux.E {
        return linux.errno(linux.faccessat(linux.AT.FDCWD, path, @intFromEnum(right), at_eaccess));
    }
};

/// Permission, with the reason, where this user may not connect to a socket; null where it is something else than a
/// mode that hinders it.
pub fn connectRefused(path: *const Path) ?Error {
    if (closedOnTheWay(path)) |closed| return refused(.search, &closed, path);
    return if (Right.connect.has(path.z()) == .ACCES) refused(.connect, path, path) else null;
}

/// Permission, with the reason, unless this user may see which sockets are in a directory, or there is none.
pub fn requireList(folder: *const Path) Error!void {
    if (closedOnTheWay(folder)) |closed| return refused(.search, &closed, folder);
    if (Right.list.has(folder.z()) == .ACCES) return refused(.list, folder, folder);
}

/// Whether a directory is there, and this user may not reach what is in it.
pub fn isClosed(folder: *const Path) bool {
    return Right.search.has(folder.z()) == .ACCES and closedOnTheWay(folder) == null;
}

/// The first directory above a path that this user may not search.
fn closedOnTheWay(path: *const Path) ?Path {
    for (path.slice(), 0..) |byte, index| {
        if (byte != '/') continue;
        var above: Path = path.*;
        above.size = @max(index, 1);
        above.buffer[above.size] = 0;
        if (Right.search.has(above.z()) == .ACCES) return above;
    }
    return null;
}

/// `closed`: what this user may not use on the way to `path`.
fn refused(right: Right, closed: *const Path, path: *const Path) Error {
    var status: linux.Statx = undefined;
    const wanted: linux.STATX = .{ .MODE = true, .UID = true, .GID = true };
    const result = linux.statx(linux.AT.FDCWD, closed.z(), 0, wanted, &status);
    _ = errors.check(result, "statx", closed.slice()) catch |failure| return failure;
    const mode: u32 = status.mode & 0o7777;
    var owner: Name = .{};
    var group: Name = .{};
    var advice_buffer: [128]u8 = undefined;
    const advice = if (right.allowedBy(mode >> 3 & 7)) std.fmt.bufPrint(
        &advice_buffer,
        "join the group {0s} (usermod -aG {0s} USER; in a container --group-add {1d})",
        .{ group.ofGroup(status.gid), status.gid },
    ) catch "join that group" else "its group may not either: its owner has to change the mode (chmod)";
    return errors.fail(
        error.Permission,
        "this user (uid {d}) may not {s} {s}{s}{s}: owner {s} (uid {d}), group {s} (gid {d}), mode 0{o}. To be " ++
            "let in, {s}",
        .{
            linux.geteuid(),
            switch (right) {
                .search => "search",
                .list => "list",
                .connect => "connect to",
            },
            closed.slice(),
            if (closed.size == path.size) "" else ", on the way to ",
            if (closed.size == path.size) "" else path.slice(),
            owner.ofUser(status.uid),
            status.uid,
            group.ofGroup(status.gid),
            status.gid,
            mode,
            advice,
        },
    );
}

/// A user's or a group's name, or its number where it has none here, as in a container.
const Name = struct {
    buffer: [32]u8 = undefined,

    fn ofUser(name: *Name, uid: u32) []const u8 {
        var entry: Passwd = undefined;
        var found: ?*Passwd = null;
        var buffer: [4096]u8 = undefined;
        if (getpwuid_r(uid, &entry, &buffer, buffer.len, &found) == 0 and found != null) return name.copy(entry.name);
        return name.number(uid);
    }

    fn ofGroup(name: *Name, gid: u32) []const u8 {
        var entry: Group = undefined;
        var found: ?*Group = null;
        var buffer: [16384]u8 = undefined; // the members are in it too
        if (getgrgid_r(gid, &entry, &buffer, buffer.len, &found) == 0 and found != null) return name.copy(entry.name);
        return name.number(gid);
    }

    fn copy(name: *Name, text: [*:0]const u8) []const u8 {
        const whole = std.mem.span(text);
        const size = @min(whole.len, name.buffer.len);
        @memcpy(name.buffer[0..size], whole[0..size]);
        return name.buffer[0..size];
    }

    fn number(name: *Name, id: u32) []const u8 {
        return std.fmt.bufPrint(&name.buffer, "{d}", .{id}) catch unreachable;
    }
};

/// struct passwd of <pwd.h>; what follows in it does not count here.
const Passwd = extern struct { name: [*:0]const u8, password: ?[*:0]u8, uid: u32, gid: u32, rest: [3]?[*:0]u8 };
/// struct group of <grp.h>.
const Group = extern struct { name: [*:0]const u8, password: ?[*:0]u8, gid: u32, members: ?[*]?[*:0]u8 };

extern "c" fn getpwuid_r(uid: u32, entry: *Passwd, buffer: [*]u8, size: usize, found: *?*Passwd) c_int;
extern "c" fn getgrgid_r(gid: u32, entry: *Group, buffer: [*]u8, size: usize, found: *?*Group) c_int;

const testing = std.testing;

test "a directory that is open, or not there, is no refusal" {
    const here: Path = try .init("/tmp", .{});
    try requireList(&here);
    try testing.expect(!isClosed(&here));
    const nowhere: Path = try .init("/tmp/cuframes-nowhere-{d}/cam.sock", .{linux.getpid()});
    try requireList(&nowhere);
    try testing.expect(connectRefused(&nowhere) == null);
}

test "a refusal has path, owner, group and mode, and says whether the group would help" {
    const path: Path = try .init("/tmp/cuframes-access-test-{d}", .{linux.getpid()});
    for ([_]u16{ 0o2750, 0o700 }, [_][]const u8{ "join the group", "its group may not either" }) |mode, advice| {
        _ = try errors.check(linux.mkdir(path.z(), 0o700), "mkdir", path.slice());
        defer _ = linux.rmdir(path.z());
        _ = try errors.check(linux.chmod(path.z(), mode), "chmod", path.slice());
        const entry: Path = try .init("{s}/cam.sock", .{path.slice()});
        try testing.expectEqual(error.Permission, refused(.search, &path, &entry));
        var owner: Name = .{};
        var expected_buffer: [64]u8 = undefined;
        const expected = try std.fmt.bufPrint(
            &expected_buffer,
            "owner {s} (uid {d})",
            .{ owner.ofUser(linux.geteuid()), linux.geteuid() },
        );
        const shown = if (mode == 0o700) "mode 0700" else "mode 02750";
        for ([_][]const u8{ entry.slice(), expected, advice, shown }) |text| {
            errdefer std.debug.print("{s}\nhas no {s}\n", .{ errors.message(), text });
            try testing.expect(std.mem.find(u8, errors.message(), text) != null);
        }
    }
}
