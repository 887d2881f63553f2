//! This file chooses the directory in which sockets and locks live.

const std = @import("std");
const linux = std.os.linux;
const errors = @import("../core/mod.zig").errors;
const access = @import("access.zig");
const socket = @import("socket.zig");
const Error = errors.Error;

pub const Path = struct {
    buffer: [socket.path_size_max]u8 = @splat(0),
    size: usize = 0,

    pub fn init(comptime format: []const u8, arguments: anytype) Error!Path {
        var path: Path = .{};
        const written = std.fmt.bufPrint(path.buffer[0 .. path.buffer.len - 1], format, arguments) catch {
            return errors.fail(
                error.InvalidArgument,
                "the path " ++ format ++ " is longer than the {d} bytes that Linux allows for a socket: choose a " ++
                    "shorter directory",
                arguments ++ .{socket.path_size_max - 1},
            );
        };
        path.size = written.len;
        return path;
    }

    pub fn slice(path: *const Path) []const u8 {
        return path.buffer[0..path.size];
    }

    pub fn z(path: *const Path) [*:0]const u8 {
        return path.buffer[0..path.size :0];
    }
};

const system_directory = "/run/cuframes";

fn environment(name: [*:0]const u8) ?[]const u8 {
    const value = std.mem.span(std.c.getenv(name) orelse return null);
    return if (value.len == 0) null else value;
}

fn usable(path: *const Path) bool {
    return linux.errno(linux.access(path.z(), linux.R_OK | linux.W_OK | linux.X_OK)) == .SUCCESS;
}

/// The places to look in when no directory is named, best first.
const Candidates = struct {
    paths: [3]Path,
    count: usize,

    fn init() Error!Candidates {
        var candidates: Candidates = .{ .paths = undefined, .count = 0 };
        candidates.add(try Path.init(system_directory, .{}));
        if (environment("XDG_RUNTIME_DIR")) |directory| {
            // Too long for a socket: not usable.
            if (Path.init("{s}/cuframes", .{directory})) |path| candidates.add(path) else |_| {}
        }
        candidates.add(try Path.init("/tmp/cuframes-{d}", .{linux.geteuid()}));
        return candidates;
    }

    fn add(candidates: *Candidates, path: Path) void {
        candidates.paths[candidates.count] = path;
        candidates.count += 1;
    }
};

/// Where a key may be, best first, each with a NUL behind it: as `forSubscriber` looks. Returns how many bytes that
/// are; InvalidArgument where they do not fit.
pub fn list(option: []const u8, buffer: []u8) Error!usize {
    var candidates: Candidates = if (try named(option)) |path|
        .{ .paths = .{ path, undefined, undefined }, .count = 1 }
    else
        try .init();
    var size: usize = 0;
    for (candidates.paths[0..candidates.count]) |*path| {
        const text = path.buffer[0 .. path.size + 1];
        if (text.len > buffer.len - size) {
            return errors.fail(error.InvalidArgument, "{d} bytes are too few for the directories", .{buffer.len});
        }
        @memcpy(buffer[size..][0..text.len], text);
        size += text.len;
    }
    return size;
}

/// The directory to publish in, created 0750 where it is missing: `option`, else $CUFRAMES_RUNTIME_DIR, else the
/// first usable of /run/cuframes, $XDG_RUNTIME_DIR/cuframes and /tmp/cuframes-<uid>.
pub fn forPublisher(option: []const u8) Error!Path {
    if (try named(option)) |path| {
        try create(&path);
        return path;
    }
    const candidates: Candidates = try .init();
    for (candidates.paths[0 .. candidates.count - 1]) |path| {
        create(&path) catch continue;
        if (usable(&path)) return path;
    }
    const last = candidates.paths[candidates.count - 1];
    try create(&last);
    try requirePrivate(&last);
    return last;
}

/// The directory to connect in: as named, else the first standard one that has this key's socket, else the one
/// a publisher of this user would choose. `closed` becomes the first one that this user may not look into, where one
/// is there.
pub fn forSubscriber(option: []const u8, key: []const u8, closed: *?Path) Error!Path {
    closed.* = null;
    if (try named(option)) |path| return path;
    const candidates: Candidates = try .init();
    for (candidates.paths[0..candidates.count], 1..) |path, number| {
        const entry = Path.init("{s}/{s}.sock", .{ path.slice(), key }) catch continue;
        switch (linux.errno(linux.access(entry.z(), linux.F_OK))) {
            .SUCCESS => {},
            .ACCES => {
                if (closed.* == null and access.isClosed(&path)) closed.* = path;
                continue;
            },
            else => continue,
        }
        if (number == candidates.count) try requirePrivate(&path);
        return path;
    }
    return forPublisher("");
}

fn named(option: []const u8) Error!?Path {
    return try absolute(if (option.len > 0) option else environment("CUFRAMES_RUNTIME_DIR") orelse return null);
}

/// A path as it is meant now: the process may go elsewhere before what is made there is reached, or removed.
pub fn absolute(path: []const u8) Error!Path {
    if (path[0] == '/') return .init("{s}", .{path});
    var buffer: [linux.PATH_MAX]u8 = undefined;
    const size = try errors.check(linux.getcwd(&buffer, buffer.len), "getcwd", "the working directory");
    const working = std.mem.trimEnd(u8, buffer[0 .. size - 1], "/");
    return .init("{s}/{s}", .{ working, path });
}

pub fn create(path: *const Path) Error!void {
    const result = linux.mkdir(path.z(), 0o750);
    if (linux.errno(result) == .EXIST) return;
    _ = try errors.check(result, "mkdir", path.slice());
}

/// /tmp is everybody's: a directory there that another user made could feed us frames.
fn requirePrivate(path: *const Path) Error!void {
    var status: linux.Statx = undefined;
    const result = linux.statx(
        linux.AT.FDCWD,
        path.z(),
        linux.AT.SYMLINK_NOFOLLOW,
        .{ .TYPE = true, .MODE = true, .UID = true },
        &status,
    );
    _ = try errors.check(result, "statx", path.slice());
    const is_directory = status.mode & linux.S.IFMT == linux.S.IFDIR;
    if (is_directory and status.uid == linux.geteuid() and status.mode & 0o022 == 0) return;
    return errors.fail(
        error.Permission,
        "{s} is not a directory that only this user can write: remove it or set CUFRAMES_RUNTIME_DIR",
        .{path.slice()},
    );
}

const testing = std.testing;

test "the directories are listed with a NUL behind each, or the one that was named" {
    var buffer: [3 * socket.path_size_max]u8 = undefined;
    const all = buffer[0..try list("", &buffer)];
    try testing.expect(std.mem.startsWith(u8, all, "/run/cuframes\x00"));
    try testing.expect(std.mem.endsWith(u8, all, "\x00"));
    try testing.expectEqualStrings("/somewhere\x00", buffer[0..try list("/somewhere", &buffer)]);
    try testing.expectError(error.InvalidArgument, list("/somewhere", buffer[0..10]));
}

test "a relative directory is meant from where the process is now" {
    var buffer: [2 * socket.path_size_max]u8 = undefined;
    var before: [linux.PATH_MAX]u8 = undefined;
    const size = linux.getcwd(&before, before.len);
    defer _ = linux.chdir(before[0 .. size - 1 :0]);
    for ([_][:0]const u8{ "/tmp", "/" }, [_][]const u8{ "/tmp/./run\x00", "/./run\x00" }) |working, expected| {
        try testing.expectEqual(.SUCCESS, linux.errno(linux.chdir(working)));
        try testing.expectEqualStrings(expected, buffer[0..try list("./run", &buffer)]);
    }
}

test "an XDG_RUNTIME_DIR too long for a socket is passed over" {
    const before = std.c.getenv("XDG_RUNTIME_DIR");
    defer if (before) |value| {
        _ = setenv("XDG_RUNTIME_DIR", value, 1);
    } else {
        _ = unsetenv("XDG_RUNTIME_DIR");
    };
    for ([_]struct { [:0]const u8, usize }{ .{ "/x" ** 49, 3 }, .{ "/x" ** 60, 2 } }) |case| {
        const directory, const count = case;
        _ = setenv("XDG_RUNTIME_DIR", directory, 1);
        const candidates: Candidates = try .init();
        try testing.expectEqual(count, candidates.count);
        try testing.expect(std.mem.startsWith(u8, candidates.paths[count - 1].slice(), "/tmp/cuframes-"));
    }
}

extern "c" fn setenv(name: [*:0]const u8, value: [*:0]const u8, replace: c_int) c_int;
extern "c" fn unsetenv(name: [*:0]const u8) c_int;

test "a path that does not fit a socket address is refused by name" {
    try testing.expectError(error.InvalidArgument, Path.init("/{s}", .{"x" ** 200}));
    try testing.expect(std.mem.indexOf(u8, errors.message(), "shorter directory") != null);
}
