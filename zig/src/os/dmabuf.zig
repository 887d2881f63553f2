//! This file tells a dma-buf from what is none, without asking a file system: a descriptor may be of a file whose file
//! system is another process, which answers when it likes, or never.

const std = @import("std");
const linux = std.os.linux;
const errors = @import("../core/mod.zig").errors;
const os_fd = @import("fd.zig");
const memfd = @import("memfd.zig");
const Error = errors.Error;

const magic = 0x444d4142;
/// Of what the kernel says of a descriptor; a dma-buf's own lines are behind few others.
const text_size_max = 4096;

/// Neither `fstat`, `fstatfs`, `lseek`, `ioctl`, `mmap` nor `close` can be called on any descriptor: FUSE asks its
/// server, and `lseek` waits for whoever reads. What /proc says of a descriptor comes from the kernel alone.
/// Unsupported where that is not mounted.
pub fn is(fd: i32) Error!bool {
    var buffer: [text_size_max]u8 = undefined;
    const text = try describe(fd, &buffer);
    // The text has no words of another process before this one. Its file system, the kernel's own, can be asked then.
    return hasExporter(text) and memfd.filesystemOf(fd) == magic;
}

/// proc_pid_fdinfo(5).
fn describe(fd: i32, buffer: []u8) Error![]const u8 {
    var path_buffer: [64]u8 = undefined;
    const path = std.fmt.bufPrintZ(&path_buffer, "/proc/thread-self/fdinfo/{d}", .{fd}) catch unreachable;
    const opened = linux.open(path, .{ .CLOEXEC = true }, 0);
    if (linux.errno(opened) == .NOENT) return errors.fail(
        error.Unsupported,
        "{s} is not there to tell a dma-buf by: mount /proc",
        .{path},
    );
    const file: i32 = @intCast(try errors.check(opened, "open", path));
    defer os_fd.close(file);
    var filled: usize = 0;
    while (filled < buffer.len) {
        const result = linux.read(file, buffer[filled..].ptr, buffer.len - filled);
        if (linux.errno(result) == .INTR) continue;
        const count = try errors.check(result, "read", path);
        if (count == 0) break;
        filled += count;
    }
    return buffer[0..filled];
}

/// Linux 5.3 or later says of every dma-buf, and of nothing else, who exports it.
fn hasExporter(text: []const u8) bool {
    return std.mem.find(u8, text, "\nexp_name:\t") != null;
}

const testing = std.testing;

test "a dma-buf is told by its exporter" {
    try testing.expect(hasExporter("pos:\t0\nflags:\t02000002\nmnt_id:\t14\nino:\t9\nsize:\t4096\ncount:\t1\n" ++
        "exp_name:\tudmabuf\nname:\tcamera\n"));
    try testing.expect(!hasExporter("pos:\t0\nflags:\t02\nmnt_id:\t14\nino:\t9\n"));
}

test "memory is no dma-buf, nor is what is not open" {
    const fd = try memfd.create("exp_name:", 4096);
    try testing.expect(!try is(fd));
    var buffer: [text_size_max]u8 = undefined;
    try testing.expect(std.mem.startsWith(u8, try describe(fd, &buffer), "pos:\t0\n"));
    os_fd.close(fd);
    try testing.expectError(error.Unsupported, is(fd));
}
