//! A folder is a directory by its descriptor: what is done to a file in it goes through that, follows no link, and
//! never waits for whoever else may write there.

const std = @import("std");
const linux = std.os.linux;
const errors = @import("../core/mod.zig").errors;
const os_fd = @import("fd.zig");
const Path = @import("directory.zig").Path;
const Error = errors.Error;

/// Which file it is, whatever its name. Nobody else has the same while it is open, or bound, somewhere.
pub const Identity = struct {
    device_major: u32,
    device_minor: u32,
    inode: u64,

    pub fn of(status: *const linux.Statx) Identity {
        return .{ .device_major = status.dev_major, .device_minor = status.dev_minor, .inode = status.ino };
    }

    pub fn ofDescriptor(fd: i32, subject: []const u8) Error!Identity {
        return .of(&try statusOf(fd, subject));
    }

    pub fn eql(identity: Identity, other: Identity) bool {
        return std.meta.eql(identity, other);
    }
};

const wanted: linux.STATX = .{ .TYPE = true, .MODE = true, .UID = true, .INO = true };

pub fn statusOf(fd: i32, subject: []const u8) Error!linux.Statx {
    var status: linux.Statx = undefined;
    _ = try errors.check(linux.statx(fd, "", linux.AT.EMPTY_PATH, wanted, &status), "statx", subject);
    return status;
}

/// What a file is, in words; null for a regular one.
pub fn oddityOf(status: *const linux.Statx) ?[]const u8 {
    return switch (status.mode & linux.S.IFMT) {
        linux.S.IFREG => null,
        linux.S.IFLNK => "a symbolic link",
        linux.S.IFDIR => "a directory",
        linux.S.IFIFO => "a FIFO",
        linux.S.IFSOCK => "a socket",
        else => "a device",
    };
}

pub const Folder = struct {
    fd: i32,
    path: Path,

    pub fn open(path: *const Path) Error!Folder {
        const flags: linux.O = .{ .PATH = true, .DIRECTORY = true, .CLOEXEC = true };
        return .{
            .fd = @intCast(try errors.check(linux.open(path.z(), flags, 0), "open", path.slice())),
            .path = path.*,
        };
    }

    pub fn close(folder: *const Folder) void {
        os_fd.close(folder.fd);
    }

    /// What has this name; null where nothing has.
    pub fn look(folder: *const Folder, name: *const Path) Error!?linux.Statx {
        var status: linux.Statx = undefined;
        const result = linux.statx(folder.fd, name.z(), linux.AT.SYMLINK_NOFOLLOW, wanted, &status);
        if (linux.errno(result) == .NOENT) return null;
        if (linux.errno(result) != .SUCCESS) return folder.failErrno(linux.errno(result), "statx", name);
        return status;
    }

    /// Whether the name is still that file's.
    pub fn has(folder: *const Folder, name: *const Path, identity: Identity) bool {
        const status = folder.look(name) catch return false;
        return if (status) |*now| Identity.of(now).eql(identity) else false;
    }

    /// Removes the name unless it has come to be another file's.
    pub fn remove(folder: *const Folder, name: *const Path, identity: Identity) linux.E {
        if (!folder.has(name, identity)) return .SUCCESS;
        return linux.errno(linux.unlinkat(folder.fd, name.z(), 0));
    }

    /// A new regular file of this mode, less the umask; null where the name is taken.
    pub fn create(folder: *const Folder, name: *const Path, mode: u32) Error!?i32 {
        const result = linux.openat(
            folder.fd,
            name.z(),
            .{ .ACCMODE = .RDWR, .CREAT = true, .EXCL = true, .CLOEXEC = true, .NOFOLLOW = true, .NONBLOCK = true },
            @intCast(mode),
        );
        return switch (linux.errno(result)) {
            .SUCCESS => @intCast(result),
            .EXIST => null,
            else => |errno| folder.failErrno(errno, "open", name),
        };
    }

    /// Opens a regular file, at once or not at all; null where the name has come to be another's, or nobody's.
    /// Permission, with its words, where this user may not.
    pub fn openFile(
        folder: *const Folder,
        name: *const Path,
        status: *const linux.Statx,
        access: std.posix.ACCMODE,
    ) Error!?i32 {
        if (oddityOf(status)) |what| return errors.fail(
            error.Io,
            "{s}/{s} is {s}, where this library has a regular file: remove it",
            .{ folder.path.slice(), name.slice(), what },
        );
        const result = linux.openat(
            folder.fd,
            name.z(),
            .{ .ACCMODE = access, .CLOEXEC = true, .NOFOLLOW = true, .NONBLOCK = true, .NOCTTY = true },
            0,
        );
        switch (linux.errno(result)) {
            .SUCCESS => {},
            .NOENT, .LOOP, .NXIO => return null,
            .AGAIN => return errors.fail(
                error.Io,
                "another process holds a lease (fcntl F_SETLEASE) on {s}/{s}, and opening it would wait for that: " ++
                    "end that process or remove the file",
                .{ folder.path.slice(), name.slice() },
            ),
            else => |errno| return folder.failErrno(errno, "open", name),
        }
        const fd: i32 = @intCast(result);
        errdefer os_fd.close(fd);
        if ((try Identity.ofDescriptor(fd, name.slice())).eql(.of(status))) return fd;
        os_fd.close(fd);
        return null;
    }

    pub fn failErrno(folder: *const Folder, errno: linux.E, comptime call: []const u8, name: *const Path) Error {
        var buffer: [2 * @typeInfo(@FieldType(Path, "buffer")).array.len]u8 = undefined;
        const text = std.fmt.bufPrint(&buffer, "{s}/{s}", .{ folder.path.slice(), name.slice() }) catch unreachable;
        return errors.failErrno(errno, call, text);
    }
};
