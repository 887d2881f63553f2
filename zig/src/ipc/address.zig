//! An address says where a socket of the caller's own listens: at a path, or under "@" and a name in the kernel's
//! abstract namespace. A relative path is meant from where the process is when the address is read.

const std = @import("std");
const errors = @import("../core/mod.zig").errors;
const socket = @import("../os/mod.zig").socket;
const directory = @import("../os/mod.zig").directory;
const claims = @import("../os/mod.zig").claim;
const Error = errors.Error;

const lock_suffix = ".lock";

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
        if (address_text[0] == '@') return .{ .kind = .abstract, .path = try .init("{s}", .{address_text}) };
        return .{ .kind = .path, .path = try directory.absolute(address_text) };
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
        std.debug.assert(place.kind == .path);
        const end = std.mem.findScalarLast(u8, place.text(), '/').?;
        return .init("{s}", .{if (end == 0) "/" else place.text()[0..end]});
    }
};

/// A place that is taken, until it is released or its process dies.
pub const Listener = struct {
    fd: i32,
    /// Of a path; an abstract name needs none.
    claim: ?claims.Claim = null,

    /// A stale socket of a dead listener is replaced; AlreadyExists where one lives, or where something else is.
    pub fn open(place: Place, mode: u32) Error!Listener {
        if (place.kind == .abstract) {
            const fd = socket.listenAbstract(place.text()[1..]) catch |failure| switch (failure) {
                error.AlreadyExists => return errors.fail(
                    failure,
                    "somebody listens on {s} already: close it or choose another address",
                    .{place.text()},
                ),
                else => return failure,
            };
            return .{ .fd = fd };
        }
        if (place.text().len > listening_size_max) {
            return errors.fail(
                error.InvalidArgument,
                "the path to listen on has {d} bytes: at most {d}, since its lock has a longer name",
                .{ place.text().len, listening_size_max },
            );
        }
        const base = std.fs.path.basenamePosix(place.text());
        const names: claims.Names = .{
            .lock = try .init("{s}" ++ lock_suffix, .{base}),
            .socket = try .init("{s}", .{base}),
            .workshop = try .init("{s}~", .{base}),
        };
        var claim: claims.Claim = try .take(&try place.folder(), &names, .any);
        errdefer claim.release();
        return .{ .fd = try claim.listen(mode, .taken), .claim = claim };
    }

    /// Makes the place free. The socket stays its owner's to close, afterwards.
    pub fn release(listener: *Listener) void {
        if (listener.claim) |*claim| claim.release();
    }
};
