//! This file has the error codes of the C ABI, and keeps the sentence that goes with the last failure of each thread.

const std = @import("std");
const linux = std.os.linux;

/// What every exported function returns when it fails; 0 and positive values are success.
/// The numbers that the C library had are kept.
pub const Code = enum(i32) {
    /// An argument is wrong, or the object is closed.
    INVALID_ARGUMENT = -1,
    /// Memory, or a table of this library, is full.
    OUT_OF_MEMORY = -2,
    /// Nobody publishes under the key, or listens there.
    NOT_FOUND = -3,
    /// Another publisher has the key, or the address; or there is a packet ring already.
    ALREADY_EXISTS = -4,
    /// The peer broke the protocol, or speaks another version of it.
    PROTOCOL = -5,
    /// A call of the CUDA driver failed.
    CUDA = -6,
    /// It did not happen within the time-out.
    TIMEOUT = -7,
    /// A system call failed, for want of descriptors among other reasons.
    IO = -8,
    /// The publisher is gone, and all that it left was delivered; or the peer is.
    DISCONNECTED = -9,
    /// The pixel format is not known, or is another than the one that is needed.
    FORMAT = -10,
    /// There is nothing now; or as many frames are held as can be.
    WOULD_BLOCK = -11,
    /// The publisher has as many as it can have.
    TOO_MANY_SUBSCRIBERS = -12,
    /// The publisher has ended the connection, since too many frames were held for too long; or it refuses whoever lost
    /// one so again and again.
    EVICTED = -13,
    /// The packet is larger than `max_packet_size`.
    PACKET_OVERSIZED = -20,
    /// The publisher has no packet ring, or the connection did not ask for it.
    NO_PACKET_RING = -21,
    /// The publisher has set none.
    NO_CODEC_PARAMETERS = -22,
    /// Packets were lost; reading goes on at the next key packet.
    PACKET_OVERRUN = -23,
    /// The frames are on a GPU that this process does not see.
    DEVICE_MISMATCH = -30,
    /// The directory, the socket, the lock or /dev/shm does not let this user.
    PERMISSION = -31,
    /// The kernel, the driver, the GPU or the kind of memory cannot do it.
    UNSUPPORTED = -32,
    /// A defect of this library.
    INTERNAL = -100,
    _,
};

pub const Error = error{
    InvalidArgument,
    OutOfMemory,
    NotFound,
    AlreadyExists,
    Protocol,
    Cuda,
    Timeout,
    Io,
    Disconnected,
    Format,
    WouldBlock,
    TooManySubscribers,
    Evicted,
    PacketOversized,
    NoPacketRing,
    NoCodecParameters,
    PacketOverrun,
    DeviceMismatch,
    Permission,
    Unsupported,
    Internal,
};

pub fn codeOf(failure: Error) Code {
    return switch (failure) {
        error.InvalidArgument => .INVALID_ARGUMENT,
        error.OutOfMemory => .OUT_OF_MEMORY,
        error.NotFound => .NOT_FOUND,
        error.AlreadyExists => .ALREADY_EXISTS,
        error.Protocol => .PROTOCOL,
        error.Cuda => .CUDA,
        error.Timeout => .TIMEOUT,
        error.Io => .IO,
        error.Disconnected => .DISCONNECTED,
        error.Format => .FORMAT,
        error.WouldBlock => .WOULD_BLOCK,
        error.TooManySubscribers => .TOO_MANY_SUBSCRIBERS,
        error.Evicted => .EVICTED,
        error.PacketOversized => .PACKET_OVERSIZED,
        error.NoPacketRing => .NO_PACKET_RING,
        error.NoCodecParameters => .NO_CODEC_PARAMETERS,
        error.PacketOverrun => .PACKET_OVERRUN,
        error.DeviceMismatch => .DEVICE_MISMATCH,
        error.Permission => .PERMISSION,
        error.Unsupported => .UNSUPPORTED,
        error.Internal => .INTERNAL,
    };
}

/// The error for a code that came over a socket; an unknown one is a protocol error.
pub fn errorOf(code: i32) Error {
    inline for (@typeInfo(Error).error_set.?) |field| {
        const candidate = @field(Error, field.name);
        if (@intFromEnum(codeOf(candidate)) == code) return candidate;
    }
    return error.Protocol;
}

pub const message_size_max = 512;

threadlocal var message_buffer: [message_size_max]u8 = undefined;
threadlocal var message_size: usize = 0;

/// Records a sentence for the caller's thread and returns the error, so that a failure is one expression.
/// A sentence too long for the buffer is cut.
pub fn fail(failure: Error, comptime format: []const u8, arguments: anytype) Error {
    var writer: std.Io.Writer = .fixed(&message_buffer);
    writer.print(format, arguments) catch {};
    message_size = writer.end;
    return failure;
}

pub fn message() []const u8 {
    return message_buffer[0..message_size];
}

/// Turns the result of a Linux system call into a value or an error that names the call and its subject.
pub fn check(result: usize, comptime call: []const u8, subject: []const u8) Error!usize {
    const errno = linux.errno(result);
    if (errno == .SUCCESS) return result;
    return failErrno(errno, call, subject);
}

pub fn failErrno(errno: linux.E, comptime call: []const u8, subject: []const u8) Error {
    const failure: Error = switch (errno) {
        .NOMEM, .NOSPC, .DQUOT => error.OutOfMemory,
        .ACCES, .PERM, .ROFS => error.Permission,
        .NOENT => error.NotFound,
        else => error.Io,
    };
    const hint: []const u8 = switch (errno) {
        .MFILE => "; this process has as many open files as it may (ulimit -n)",
        .NFILE => "; the system has as many open files as it may (fs.file-max)",
        .NOSPC, .NOMEM => "; no memory is left for it",
        .NOENT => "; it, or a directory on the way to it, does not exist",
        .ACCES, .PERM => "; this user may not: look at the owner and mode of it and of the directories on the way",
        .ROFS => "; the file system is read-only",
        .NOTDIR => "; something on the way to it is not a directory",
        else => "",
    };
    // Drivers return numbers that no user space header has, such as 524.
    const name = std.enums.tagName(linux.E, errno) orelse
        return fail(failure, "{s}({s}) failed: errno {d}{s}", .{ call, subject, @intFromEnum(errno), hint });
    return fail(failure, "{s}({s}) failed: E{s}{s}", .{ call, subject, name, hint });
}

test "an error number without a name is told as a number" {
    try std.testing.expectEqual(error.Io, failErrno(@enumFromInt(524), "mmap", "a buffer"));
    try std.testing.expect(std.mem.find(u8, message(), "mmap(a buffer) failed: errno 524") != null);
}

test "every error has its own code and back" {
    inline for (@typeInfo(Error).error_set.?) |field| {
        const failure = @field(Error, field.name);
        try std.testing.expectEqual(failure, errorOf(@intFromEnum(codeOf(failure))));
    }
    try std.testing.expectEqual(error.Protocol, errorOf(-12345));
}
