//! An address says where a socket of the caller's own listens: at a path, or under "@" and a name in the kernel's
//! abstract namespace.

const std = @import("std");
const linux = std.os.linux;
const errors = @import("../core/mod.zig").errors;
const os_fd = @import("../os/mod.zig").fd;
const socket = @import("../os/mod.zig").socket;
const directory = @import("../os/mod.zig").directory;
const Error = errors.Error;

const lock_suffix = ".lock";
const temporary_suffix = ".new";

/// Bytes of an address to connect to: a path needs a NUL behind it, an abstract name its "@".
pub const size_max = socket.path_size_max - 1;
/// Bytes of a path to listen on: its lock has a longer name.
pub const listening_size_max = size_max - lock_suffix.len;

pub const Place = struct {
    kind: enum { path, abstract },
    path: directory.Path,

    pub fn parse(address_text: []const u8) Error!Place {
        if (address_text.len == 0 or address_text.len > size_max or std.mem.findScalar(u8, address_text, 0) != null) {
            return errors.fail(
                error.InvalidArgument,
                "an address has 1 to {d} bytes without NUL: a path, or \"@\" and an abstract name; this one has {d}",
                .{ size_max, address_text.len },
            );
        }
        if (address_text.len == 1 and address_text[0] == '@') {
            return errors.fail(error.InvalidArgument, "the address \"@\" has no name behind it", .{});
        }
        return .{ .kind = if (address_text[0] == '@') .abstract else .path, .path = try .init("{s}", .{address_text}) };
    }

    pub fn text(place: *const Place) []const u8 {
        return place.path.slice();
    }

    pub fn address(place: *const Place) Error!socket.Address {
        return switch (place.kind) {
            .path => .init(place.text()),
            .abstract => .initAbstract(place.text()[1..]),
        };
    }

    /// The directory that the path is in.
    pub fn folder(place: *const Place) Error!directory.Path {
        const end = std.mem.findScalarLast(u8, place.text(), '/') orelse return .init(".", .{});
        return .init("{s}", .{if (end == 0) "/" else place.text()[0..end]});
    }

    fn beside(place: *const Place, comptime suffix: []const u8) Error!directory.Path {
        return .init("{s}" ++ suffix, .{place.text()});
    }
};

/// A place that is taken, until it is released or its process dies.
pub const Listener = struct {
    fd: i32,
    place: Place,
    /// Held on `<path>.lock`; an abstract name needs none.
    lock: ?directory.Lock = null,

    /// A stale socket of a dead listener is replaced; AlreadyExists where one lives, or where something else is.
    pub fn open(place: Place, mode: u32) Error!Listener {
        if (place.kind == .abstract) {
            const fd = socket.listenAbstract(place.text()[1..]) catch |failure| return explain(failure, &place);
            return .{ .fd = fd, .place = place };
        }
        if (place.text().len > listening_size_max) {
            return errors.fail(
                error.InvalidArgument,
                "the path to listen on has {d} bytes: at most {d}, since its lock has a longer name",
                .{ place.text().len, listening_size_max },
            );
        }
        const lock_path = try place.beside(lock_suffix);
        const temporary = try place.beside(temporary_suffix);
        const lock = directory.Lock.acquire(&lock_path) catch |failure| return explain(failure, &place);
        errdefer lock.release(&lock_path);
        try requireStale(&place);
        const fd = try socket.listen(place.text(), temporary.slice(), mode, .taken);
        return .{ .fd = fd, .place = place, .lock = lock };
    }

    /// Somebody else's socket, or file, is left alone.
    fn requireStale(place: *const Place) Error!void {
        var status: linux.Statx = undefined;
        const result = linux.statx(
            linux.AT.FDCWD,
            place.path.z(),
            linux.AT.SYMLINK_NOFOLLOW,
            .{ .TYPE = true },
            &status,
        );
        if (linux.errno(result) == .NOENT) return;
        _ = try errors.check(result, "statx", place.text());
        if (status.mode & linux.S.IFMT != linux.S.IFSOCK) {
            return errors.fail(
                error.AlreadyExists,
                "{s} is there and is not a socket: remove it or choose another path",
                .{place.text()},
            );
        }
        const probe = socket.connect(&try place.address(), place.text(), 1) catch |failure| return switch (failure) {
            error.NotFound => {},
            error.Timeout, error.Protocol => taken(place),
            else => failure,
        };
        socket.hangUp(probe);
        return taken(place);
    }

    fn explain(failure: Error, place: *const Place) Error {
        return if (failure == error.AlreadyExists) taken(place) else failure;
    }

    fn taken(place: *const Place) Error {
        return errors.fail(
            error.AlreadyExists,
            "somebody listens on {s} already: close it or choose another address",
            .{place.text()},
        );
    }

    /// Makes the place free. The socket stays its owner's to close.
    pub fn release(listener: *const Listener) void {
        const lock = listener.lock orelse return;
        _ = linux.unlink(listener.place.path.z());
        const lock_path = listener.place.beside(lock_suffix) catch unreachable;
        lock.release(&lock_path);
    }
};
