//! This program is a process on the other end of a cuframes socket. It sends exactly what a test says, which neither
//! runtime can: their own sockets do not speak SOCK_SEQPACKET or pass descriptors.
//!
//! One command a line on standard input, one answer a line on standard output. Descriptors are named by their numbers
//! in this process; bytes are written in hexadecimal. A system call that fails is answered with `error <errno>`.
//!
//!     connect PATH                            -> fd
//!     connect-many PATH COUNT                 -> how many; they stay open until the process ends
//!     listen PATH seqpacket|stream            -> fd
//!     accept FD                               -> fd
//!     send FD BYTES|- [FD...]                 -> ok
//!     send-last FD BYTES FD COUNT             -> ok; so many descriptors of one file, of which none is kept
//!     send-credentials FD BYTES               -> ok; SCM_CREDENTIALS instead of descriptors
//!     send-truncated FD BYTES FD              -> ok; a control message longer than the control data
//!     send-many FD BYTES MILLISECONDS         -> how many messages were taken
//!     receive FD                              -> BYTES [FD...] | closed
//!     connect-flood PATH BYTES MILLISECONDS   -> how many connected, said BYTES and left
//!     linger SECONDS                          -> fd; closing the last one of it takes that long
//!     memfd SIZE SEALS [HOLE]                 -> fd; from HOLE on it has no pages
//!     memfd-hollow SIZE SEALS behind|reserved -> fd; its pages lie behind its end, or were never filled
//!     write FD OFFSET BYTES                   -> ok
//!     read FD OFFSET SIZE                     -> BYTES
//!     scribble FD SIZE MILLISECONDS [BYTE]    -> how often the mapping was filled: with random bytes, or with BYTE
//!     punch FD SIZE MILLISECONDS              -> how often it was filled with ones and its pages taken away
//!     requeue FD OFFSET MILLISECONDS          -> how many sleepers of the futex were moved to a word of its own;
//!                                                ends with the first
//!     stir FD OFFSET MILLISECONDS             -> how often the futex was changed and its sleepers woken
//!     claim CONTROL MILLISECONDS PAGE...      -> how often the pages were made to name all that is in the slots: the
//!                                                first eight in the first page, and so on
//!     attack FD                               -> the ways in which the file could be changed
//!     become UID GID                          -> ok; it has no other group
//!     open PATH                               -> fd, to read
//!     flock FD                                -> ok; exclusive, at once or not at all
//!     lock-for-reading FD                     -> ok; as every reader of a file can (F_OFD_SETLK)
//!     lease PATH                              -> fd; whoever opens the file waits (F_SETLEASE)
//!     swap FOLDER TARGET MILLISECONDS NAME... -> how often a link to TARGET took the place of something of such a name
//!     serve FOLDER                            -> fd of a file of a file system that answers nothing any more (FUSE)
//!     requests                                -> the numbers of what that file system was asked since
//!     relent                                  -> ok; all that was answered, and the file is closed here
//!     close FD                                -> ok

const std = @import("std");
const linux = std.os.linux;

/// Longer than the kernel takes as one message.
const line_size_max = 1 << 20;
const descriptors_max = 253; // SCM_MAX_FD of the kernel
/// For what the other side should have done at once.
const patience_ms = 10_000;

var line_buffer: [line_size_max]u8 = undefined;
var message_buffer: [line_size_max / 2]u8 = undefined;
var reply_buffer: [line_size_max + 4096]u8 = undefined;

const Reply = std.Io.Writer;
const Failure = error{ System, Usage, WriteFailed };
var failed_errno: linux.E = .SUCCESS;

pub fn main() void {
    var filled: usize = 0;
    while (true) {
        while (std.mem.indexOfScalar(u8, line_buffer[0..filled], '\n')) |end| {
            answer(line_buffer[0..end]);
            std.mem.copyForwards(u8, &line_buffer, line_buffer[end + 1 .. filled]);
            filled -= end + 1;
        }
        const result = linux.read(0, line_buffer[filled..].ptr, line_buffer.len - filled);
        if (linux.errno(result) != .SUCCESS or result == 0) return;
        filled += result;
    }
}

fn answer(line: []const u8) void {
    var reply: Reply = .fixed(&reply_buffer);
    obey(line, &reply) catch |failure| {
        reply = .fixed(&reply_buffer);
        switch (failure) {
            error.System => reply.print("error {t}", .{failed_errno}) catch unreachable,
            error.Usage, error.WriteFailed => reply.print(
                "error usage: {s}",
                .{line[0..@min(line.len, 100)]},
            ) catch unreachable,
        }
    };
    reply.writeByte('\n') catch unreachable;
    var rest = reply.buffered();
    while (rest.len > 0) {
        const result = linux.write(1, rest.ptr, rest.len);
        if (linux.errno(result) != .SUCCESS) return;
        rest = rest[result..];
    }
}

fn check(result: usize) Failure!usize {
    failed_errno = linux.errno(result);
    return if (failed_errno == .SUCCESS) result else error.System;
}

const Command = enum {
    connect,
    @"connect-many",
    @"connect-flood",
    linger,
    @"memfd-hollow",
    listen,
    accept,
    send,
    @"send-many",
    @"send-last",
    @"send-credentials",
    @"send-truncated",
    receive,
    memfd,
    write,
    read,
    scribble,
    punch,
    requeue,
    stir,
    claim,
    attack,
    become,
    open,
    flock,
    @"lock-for-reading",
    lease,
    swap,
    serve,
    requests,
    relent,
    close,
};

const Words = struct {
    iterator: std.mem.TokenIterator(u8, .scalar),

    fn optional(words: *Words) ?[]const u8 {
        return words.iterator.next();
    }

    fn text(words: *Words) Failure![]const u8 {
        return words.optional() orelse error.Usage;
    }

    fn number(words: *Words, comptime T: type) Failure!T {
        return std.fmt.parseInt(T, try words.text(), 0) catch error.Usage;
    }

    fn fd(words: *Words) Failure!i32 {
        return words.number(i32);
    }

    fn bytes(words: *Words) Failure![]u8 {
        const hex = try words.text();
        if (std.mem.eql(u8, hex, "-")) return message_buffer[0..0];
        return std.fmt.hexToBytes(&message_buffer, hex) catch error.Usage;
    }
};

fn obey(line: []const u8, reply: *Reply) Failure!void {
    var words: Words = .{ .iterator = std.mem.tokenizeScalar(u8, line, ' ') };
    const command = std.meta.stringToEnum(Command, try words.text()) orelse return error.Usage;
    switch (command) {
        .connect => try reply.print("{d}", .{try connect(try words.text())}),
        .@"connect-many" => {
            const path = try words.text();
            const count = try words.number(u32);
            for (0..count) |_| _ = try connect(path);
            try reply.print("{d}", .{count});
        },
        .@"connect-flood" => {
            const path = try words.text();
            const bytes = try words.bytes();
            try reply.print("{d}", .{try connectFlood(path, bytes, try words.number(u64))});
        },
        .linger => try reply.print("{d}", .{try linger(try words.number(i32))}),
        .@"memfd-hollow" => {
            const size = try words.number(i64);
            const seals = try words.number(usize);
            const behind = std.mem.eql(u8, try words.text(), "behind");
            const fd: i32 = @intCast(
                try check(linux.memfd_create("peer", linux.MFD.CLOEXEC | linux.MFD.ALLOW_SEALING)),
            );
            _ = try check(linux.ftruncate(fd, size));
            const keep_size = 1;
            _ = try check(linux.fallocate(fd, keep_size, if (behind) size else 0, size));
            _ = try check(linux.fcntl(fd, linux.F.ADD_SEALS, seals));
            try reply.print("{d}", .{fd});
        },
        .listen => try reply.print("{d}", .{try listen(try words.text(), try words.text())}),
        .accept => {
            const listener = try words.fd();
            try readable(listener);
            try reply.print("{d}", .{try check(linux.accept4(listener, null, null, linux.SOCK.CLOEXEC))});
        },
        .send => {
            const fd = try words.fd();
            const bytes = try words.bytes();
            var descriptors: [descriptors_max]i32 = undefined;
            var count: usize = 0;
            while (words.optional()) |word| : (count += 1) {
                if (count == descriptors_max) return error.Usage;
                descriptors[count] = std.fmt.parseInt(i32, word, 10) catch return error.Usage;
            }
            try send(fd, bytes, descriptors[0..count], 0);
            try reply.writeAll("ok");
        },
        .@"send-many" => {
            const fd = try words.fd();
            const bytes = try words.bytes();
            try reply.print("{d}", .{try sendMany(fd, bytes, try words.number(u64))});
        },
        .@"send-last" => {
            const fd = try words.fd();
            const bytes = try words.bytes();
            const descriptor = try words.fd();
            const count = try words.number(usize);
            if (count > descriptors_max) return error.Usage;
            const copies: [descriptors_max]i32 = @splat(descriptor);
            try send(fd, bytes, copies[0..count], 0);
            // Before the other side can have closed them, or it is here that closing the last one takes its time.
            _ = try check(linux.close(descriptor));
            try reply.writeAll("ok");
        },
        .@"send-credentials" => {
            const fd = try words.fd();
            const bytes = try words.bytes();
            const credentials = [3]i32{ linux.getpid(), @bitCast(linux.getuid()), @bitCast(linux.getgid()) };
            try sendControl(fd, bytes, SCM_CREDENTIALS, &credentials, 0, 0);
            try reply.writeAll("ok");
        },
        .@"send-truncated" => {
            const fd = try words.fd();
            const bytes = try words.bytes();
            try sendControl(fd, bytes, SCM_RIGHTS, &.{try words.fd()}, 64, 0);
            try reply.writeAll("ok");
        },
        .receive => try receive(try words.fd(), reply),
        .memfd => {
            const size = try words.number(i64);
            const fd: i32 = @intCast(
                try check(linux.memfd_create("peer", linux.MFD.CLOEXEC | linux.MFD.ALLOW_SEALING)),
            );
            _ = try check(linux.ftruncate(fd, size));
            const seals = try words.number(usize);
            const reserved = if (words.optional()) |word| std.fmt.parseInt(
                i64,
                word,
                0,
            ) catch return error.Usage else size;
            // Before the seal that forbids it, as a publisher does; the other one forbids that there is any.
            const mapping = try map(fd, @intCast(size), true);
            var offset: usize = 0;
            while (offset < reserved) : (offset += std.heap.page_size_min) @as(*volatile u8, &mapping[offset]).* = 0;
            if (seals & linux.F.SEAL_WRITE == 0 and fd < mappings.len) {
                mappings[@intCast(fd)] = mapping;
            } else {
                _ = linux.munmap(mapping.ptr, mapping.len);
            }
            _ = try check(linux.fcntl(fd, linux.F.ADD_SEALS, seals));
            try reply.print("{d}", .{fd});
        },
        .write => {
            const fd = try words.fd();
            const offset = try words.number(i64);
            const bytes = try words.bytes();
            if (mappingOf(fd)) |mapping| {
                if (offset < 0 or offset + @as(i64, @intCast(bytes.len)) > mapping.len) return error.Usage;
                @memcpy(mapping[@intCast(offset)..][0..bytes.len], bytes);
            } else {
                _ = try check(linux.pwrite(fd, bytes.ptr, bytes.len, offset));
            }
            try reply.writeAll("ok");
        },
        .read => {
            const fd = try words.fd();
            const offset = try words.number(i64);
            const size = @min(try words.number(usize), message_buffer.len);
            const count = try check(linux.pread(fd, &message_buffer, size, offset));
            try reply.print("{x}", .{message_buffer[0..count]});
        },
        .scribble => {
            const fd = try words.fd();
            const size = try words.number(usize);
            const milliseconds = try words.number(u64);
            const byte: ?u8 = if (words.optional()) |word|
                std.fmt.parseInt(u8, word, 0) catch return error.Usage
            else
                null;
            try reply.print("{d}", .{try scribble(fd, size, milliseconds, byte)});
        },
        .punch => {
            const fd = try words.fd();
            const size = try words.number(usize);
            try reply.print("{d}", .{try punchAgain(fd, size, try words.number(u64))});
        },
        .requeue => {
            const fd = try words.fd();
            const offset = try words.number(usize);
            try reply.print("{d}", .{try requeue(fd, offset, try words.number(u64))});
        },
        .stir => {
            const fd = try words.fd();
            const offset = try words.number(usize);
            try reply.print("{d}", .{try stir(fd, offset, try words.number(u64))});
        },
        .claim => {
            const control = try words.fd();
            const milliseconds = try words.number(u64);
            var pages: [pages_max]i32 = undefined;
            var count: usize = 0;
            while (words.optional()) |word| : (count += 1) {
                if (count == pages_max) return error.Usage;
                pages[count] = std.fmt.parseInt(i32, word, 10) catch return error.Usage;
            }
            try reply.print("{d}", .{try claim(control, milliseconds, pages[0..count])});
        },
        .attack => try attack(try words.fd(), reply),
        .become => {
            const uid = try words.number(u32);
            try become(uid, try words.number(u32));
            try reply.writeAll("ok");
        },
        .open => try reply.print("{d}", .{try open(try words.text())}),
        .flock => {
            _ = try check(linux.flock(try words.fd(), std.c.LOCK.EX | std.c.LOCK.NB));
            try reply.writeAll("ok");
        },
        .@"lock-for-reading" => {
            const F_OFD_SETLK = 37;
            const lock: linux.Flock = .{
                .type = linux.F.RDLCK,
                .whence = linux.SEEK.SET,
                .start = 0,
                .len = 0,
                .pid = 0,
                ._unused = {},
            };
            _ = try check(linux.fcntl(try words.fd(), F_OFD_SETLK, @intFromPtr(&lock)));
            try reply.writeAll("ok");
        },
        .lease => try reply.print("{d}", .{try lease(try words.text())}),
        .swap => try reply.print("{d}", .{try swap(&words)}),
        .serve => try reply.print("{d}", .{try fuse.serve(try words.text())}),
        .requests => try fuse.list(reply),
        .relent => {
            fuse.relent();
            try reply.writeAll("ok");
        },
        .close => {
            const fd = try words.fd();
            if (mappingOf(fd)) |mapping| {
                _ = linux.munmap(mapping.ptr, mapping.len);
                mappings[@intCast(fd)] = null;
            }
            _ = try check(linux.close(fd));
            try reply.writeAll("ok");
        },
    }
}

/// Of what was made here, by descriptor: it can be written whatever it is sealed against since.
var mappings: [256]?[]align(std.heap.page_size_min) u8 = @splat(null);

fn mappingOf(fd: i32) ?[]align(std.heap.page_size_min) u8 {
    return if (fd >= 0 and fd < mappings.len) mappings[@intCast(fd)] else null;
}

fn nowNs() u64 {
    var now: linux.timespec = undefined;
    _ = linux.clock_gettime(.MONOTONIC, &now);
    return @as(u64, @intCast(now.sec)) * std.time.ns_per_s + @as(u64, @intCast(now.nsec));
}

fn addressOf(path: []const u8) Failure!linux.sockaddr.un {
    var address: linux.sockaddr.un = .{ .path = @splat(0) };
    if (path.len >= address.path.len) return error.Usage;
    @memcpy(address.path[0..path.len], path);
    return address;
}

fn connect(path: []const u8) Failure!i32 {
    const address = try addressOf(path);
    const fd: i32 = @intCast(try check(linux.socket(linux.AF.UNIX, linux.SOCK.SEQPACKET | linux.SOCK.CLOEXEC, 0)));
    errdefer _ = linux.close(fd);
    _ = try check(linux.connect(fd, &address, @sizeOf(linux.sockaddr.un)));
    return fd;
}

/// Comes, says something and goes, again and again.
fn connectFlood(path: []const u8, bytes: []const u8, milliseconds: u64) Failure!u64 {
    const end = nowNs() + milliseconds * std.time.ns_per_ms;
    var count: u64 = 0;
    while (nowNs() < end) : (count += 1) {
        const fd = try connect(path);
        defer _ = linux.close(fd);
        send(fd, bytes, &.{}, linux.MSG.DONTWAIT) catch {};
    }
    return count;
}

/// A socket that has something to send, to somebody who does not read it.
fn linger(seconds: i32) Failure!i32 {
    const kind = linux.SOCK.STREAM | linux.SOCK.CLOEXEC;
    const listener: i32 = @intCast(try check(linux.socket(linux.AF.INET, kind, 0)));
    defer _ = linux.close(listener);
    var address: linux.sockaddr.in = .{ .port = 0, .addr = std.mem.nativeToBig(u32, 0x7f00_0001) };
    var size: linux.socklen_t = @sizeOf(linux.sockaddr.in);
    _ = try check(linux.bind(listener, @ptrCast(&address), size));
    _ = try check(linux.listen(listener, 1));
    _ = try check(linux.getsockname(listener, @ptrCast(&address), &size));
    const fd: i32 = @intCast(try check(linux.socket(linux.AF.INET, kind, 0)));
    _ = try check(linux.connect(fd, &address, size));
    _ = try check(linux.accept4(listener, null, null, linux.SOCK.CLOEXEC)); // stays open, unread
    const value = [2]i32{ 1, seconds }; // struct linger
    _ = try check(
        linux.setsockopt(fd, linux.SOL.SOCKET, linux.SO.LINGER, std.mem.asBytes(&value), @sizeOf(@TypeOf(value))),
    );
    const bytes = message_buffer[0..65_536];
    while (linux.errno(linux.sendto(fd, bytes.ptr, bytes.len, linux.MSG.DONTWAIT, null, 0)) == .SUCCESS) {}
    return fd;
}

fn listen(path: []const u8, kind: []const u8) Failure!i32 {
    const address = try addressOf(path);
    const number: u32 = if (std.mem.eql(u8, kind, "stream")) linux.SOCK.STREAM else linux.SOCK.SEQPACKET;
    const fd: i32 = @intCast(try check(linux.socket(linux.AF.UNIX, number | linux.SOCK.CLOEXEC, 0)));
    errdefer _ = linux.close(fd);
    _ = linux.unlink(@ptrCast(&address.path));
    _ = try check(linux.bind(fd, @ptrCast(&address), @sizeOf(linux.sockaddr.un)));
    _ = try check(linux.listen(fd, 16));
    return fd;
}

fn readable(fd: i32) Failure!void {
    var polled = [1]linux.pollfd{.{ .fd = fd, .events = linux.POLL.IN, .revents = 0 }};
    if (try check(linux.poll(&polled, 1, patience_ms)) == 1) return;
    failed_errno = .TIME;
    return error.System;
}

const ControlHeader = extern struct { len: usize, level: i32, kind: i32 };
const ControlBuffer = [@sizeOf(ControlHeader) + (descriptors_max + 1) * @sizeOf(i32)]u8;
const SCM_RIGHTS = 1;
const SCM_CREDENTIALS = 2;

fn send(fd: i32, bytes: []const u8, descriptors: []const i32, flags: u32) Failure!void {
    return sendControl(fd, bytes, SCM_RIGHTS, descriptors, 0, flags);
}

/// `announced`: bytes that the control message says it has besides.
fn sendControl(
    fd: i32,
    bytes: []const u8,
    kind: i32,
    descriptors: []const i32,
    announced: usize,
    flags: u32,
) Failure!void {
    var control: ControlBuffer align(@alignOf(ControlHeader)) = @splat(0);
    const payload = std.mem.sliceAsBytes(descriptors);
    const header: *ControlHeader = @ptrCast(&control);
    header.* = .{ .len = @sizeOf(ControlHeader) + payload.len, .level = linux.SOL.SOCKET, .kind = kind };
    const sent_size = header.len;
    header.len += announced;
    @memcpy(control[@sizeOf(ControlHeader)..][0..payload.len], payload);
    var vector = [1]std.posix.iovec_const{.{ .base = bytes.ptr, .len = bytes.len }};
    const message: linux.msghdr_const = .{
        .name = null,
        .namelen = 0,
        .iov = &vector,
        .iovlen = 1,
        .control = if (descriptors.len > 0) &control else null,
        .controllen = if (descriptors.len > 0) @intCast(sent_size) else 0,
        .flags = 0,
    };
    _ = try check(linux.sendmsg(fd, &message, linux.MSG.NOSIGNAL | flags));
}

/// As fast as the other side takes them.
fn sendMany(fd: i32, bytes: []const u8, milliseconds: u64) Failure!u64 {
    const end = nowNs() + milliseconds * std.time.ns_per_ms;
    var count: u64 = 0;
    while (nowNs() < end) {
        send(fd, bytes, &.{}, linux.MSG.DONTWAIT) catch |failure| {
            if (failed_errno == .AGAIN) continue;
            return failure;
        };
        count += 1;
    }
    return count;
}

fn receive(fd: i32, reply: *Reply) Failure!void {
    try readable(fd);
    var control: ControlBuffer align(@alignOf(ControlHeader)) = undefined;
    var vector = [1]std.posix.iovec{.{ .base = &message_buffer, .len = message_buffer.len }};
    var message: linux.msghdr = .{
        .name = null,
        .namelen = 0,
        .iov = &vector,
        .iovlen = 1,
        .control = &control,
        .controllen = control.len,
        .flags = 0,
    };
    const size = check(linux.recvmsg(fd, &message, linux.MSG.CMSG_CLOEXEC)) catch |failure| {
        if (failed_errno == .CONNRESET) return reply.writeAll("closed");
        return failure;
    };
    if (size == 0) return reply.writeAll("closed");
    try reply.print("{x}", .{message_buffer[0..size]});
    if (message.controllen < @sizeOf(ControlHeader)) return;
    const header: *const ControlHeader = @ptrCast(&control);
    const descriptors: []align(1) const i32 = @ptrCast(control[@sizeOf(ControlHeader)..header.len]);
    for (descriptors) |descriptor| try reply.print(" {d}", .{descriptor});
}

fn map(fd: i32, size: usize, writable: bool) Failure![]align(std.heap.page_size_min) u8 {
    const protection: linux.PROT = .{ .READ = true, .WRITE = writable };
    const pointer: [*]align(std.heap.page_size_min) u8 = @ptrFromInt(
        try check(linux.mmap(null, size, protection, .{ .TYPE = .SHARED }, fd, 0)),
    );
    return pointer[0..size];
}

fn scribble(fd: i32, size: usize, milliseconds: u64, byte: ?u8) Failure!u64 {
    const own = mappingOf(fd);
    const mapping = if (own) |whole| whole[0..@min(size, whole.len)] else try map(fd, size, true);
    defer if (own == null) {
        _ = linux.munmap(mapping.ptr, mapping.len);
    };
    var random: std.Random.DefaultPrng = .init(nowNs());
    const end = nowNs() + milliseconds * std.time.ns_per_ms;
    var count: u64 = 0;
    while (nowNs() < end) : (count += 1) {
        for (mapping) |*target| @as(*volatile u8, target).* = byte orelse random.random().int(u8);
    }
    return count;
}

/// Fills the mapping and punches a hole there, in turn.
fn punchAgain(fd: i32, size: usize, milliseconds: u64) Failure!u64 {
    const mapping = try map(fd, size, true);
    defer _ = linux.munmap(mapping.ptr, mapping.len);
    const end = nowNs() + milliseconds * std.time.ns_per_ms;
    var count: u64 = 0;
    while (nowNs() < end) : (count += 1) {
        for (mapping) |*target| @as(*volatile u8, target).* = 1;
        try punch(fd);
    }
    return count;
}

/// Where sleepers are moved to: nobody else can wake them there.
var own_word: u32 = 0;

fn requeue(fd: i32, offset: usize, milliseconds: u64) Failure!usize {
    const mapping = try map(fd, page, true);
    defer _ = linux.munmap(mapping.ptr, mapping.len);
    const operation: linux.FUTEX_OP = .{ .cmd = .REQUEUE, .private = false };
    const end = nowNs() + milliseconds * std.time.ns_per_ms;
    while (nowNs() < end) {
        const moved = try check(linux.syscall5(
            .futex,
            @intFromPtr(&mapping[offset]),
            @as(u32, @bitCast(operation)),
            0,
            std.math.maxInt(i32),
            @intFromPtr(&own_word),
        ));
        if (moved > 0) return moved;
        std.Thread.yield() catch {};
    }
    return 0;
}

fn stir(fd: i32, offset: usize, milliseconds: u64) Failure!u64 {
    const mapping = try map(fd, page, true);
    defer _ = linux.munmap(mapping.ptr, mapping.len);
    const word: *u32 = @ptrCast(@alignCast(&mapping[offset]));
    const end = nowNs() + milliseconds * std.time.ns_per_ms;
    var count: u64 = 0;
    while (nowNs() < end) : (count += 1) {
        _ = @atomicRmw(u32, word, .Add, 1, .seq_cst);
        _ = linux.futex_3arg(word, .{ .cmd = .WAKE, .private = false }, std.math.maxInt(i32));
    }
    return count;
}

const page = std.heap.page_size_max;

/// The lease pages that name eight slots each, of all there can be.
const pages_max = 8;
/// Of docs/protocol.md, "Control region" and "Lease page".
const control_slots = 0x140;
const control_slot_size = 1152;
const leases_max = 8;

/// Names whatever is in the slots, over and over.
fn claim(control_fd: i32, milliseconds: u64, page_fds: []const i32) Failure!u64 {
    const control = try map(control_fd, control_slots + pages_max * leases_max * control_slot_size, false);
    defer _ = linux.munmap(control.ptr, control.len);
    var pages: [pages_max][]align(std.heap.page_size_min) u8 = undefined;
    for (page_fds, pages[0..page_fds.len]) |fd, *mapping| mapping.* = try map(fd, page, true);
    defer for (pages[0..page_fds.len]) |mapping| {
        _ = linux.munmap(mapping.ptr, mapping.len);
    };
    const end = nowNs() + milliseconds * std.time.ns_per_ms;
    var count: u64 = 0;
    while (count == 0 or nowNs() < end) : (count += 1) {
        for (0..page_fds.len * leases_max) |slot| {
            const shared: *u64 = @ptrCast(@alignCast(&control[control_slots + slot * control_slot_size]));
            const sequence = @atomicLoad(u64, shared, .seq_cst);
            const entry: *u64 = @ptrCast(@alignCast(&pages[slot / leases_max][slot % leases_max * @sizeOf(u64)]));
            if (sequence != 0) @atomicStore(u64, entry, sequence << 6 | slot, .seq_cst);
        }
    }
    return count;
}

/// Tries every way to change a file of shared memory that somebody else made.
fn attack(fd: i32, reply: *Reply) Failure!void {
    const ways = .{ writeTo, shrink, grow, punch, mapWritable, makeWritable, remove };
    const names = .{ "write", "shrink", "grow", "punch", "map", "mprotect", "madvise" };
    var path_buffer: [64]u8 = undefined;
    const path = std.fmt.bufPrintZ(&path_buffer, "/proc/self/fd/{d}", .{fd}) catch unreachable;
    const reopened = linux.open(path, .{ .ACCMODE = .RDWR, .CLOEXEC = true }, 0);
    try reply.writeAll("ways:");
    inline for (ways, names) |way, name| {
        if (way(fd)) try reply.print(" {s}", .{name}) else |_| {}
        if (linux.errno(reopened) == .SUCCESS) {
            if (way(@intCast(reopened))) try reply.print(" reopened-{s}", .{name}) else |_| {}
        }
    }
    if (linux.errno(reopened) == .SUCCESS) _ = linux.close(@intCast(reopened));
}

fn writeTo(fd: i32) Failure!void {
    _ = try check(linux.pwrite(fd, "\xff", 1, 0));
}

fn shrink(fd: i32) Failure!void {
    _ = try check(linux.ftruncate(fd, 0));
}

fn grow(fd: i32) Failure!void {
    _ = try check(linux.ftruncate(fd, 1 << 32));
}

fn punch(fd: i32) Failure!void {
    const keep_size = 1;
    const punch_hole = 2;
    _ = try check(linux.fallocate(fd, keep_size | punch_hole, 0, page));
}

fn mapWritable(fd: i32) Failure!void {
    const mapping = try map(fd, page, true);
    _ = linux.munmap(mapping.ptr, mapping.len);
}

fn makeWritable(fd: i32) Failure!void {
    const mapping = try map(fd, page, false);
    defer _ = linux.munmap(mapping.ptr, mapping.len);
    _ = try check(linux.mprotect(mapping.ptr, mapping.len, .{ .READ = true, .WRITE = true }));
}

/// Frees the pages, which zeroes them.
fn remove(fd: i32) Failure!void {
    const mapping = try map(fd, page, false);
    defer _ = linux.munmap(mapping.ptr, mapping.len);
    _ = try check(linux.madvise(mapping.ptr, mapping.len, linux.MADV.REMOVE));
}

const PathBuffer = [4096:0]u8;

fn pathZ(buffer: *PathBuffer, path: []const u8) Failure![:0]const u8 {
    return std.fmt.bufPrintZ(buffer, "{s}", .{path}) catch error.Usage;
}

fn become(uid: u32, gid: u32) Failure!void {
    _ = try check(linux.setgroups(1, &[_]linux.gid_t{gid}));
    _ = try check(linux.setresgid(gid, gid, gid));
    _ = try check(linux.setresuid(uid, uid, uid));
}

fn open(path: []const u8) Failure!i32 {
    var buffer: PathBuffer = undefined;
    return @intCast(try check(linux.open(try pathZ(&buffer, path), .{ .CLOEXEC = true }, 0)));
}

fn lease(path: []const u8) Failure!i32 {
    const F_SETLEASE = 1024;
    var buffer: PathBuffer = undefined;
    const flags: linux.O = .{ .ACCMODE = .RDWR, .CREAT = true, .CLOEXEC = true };
    const fd: i32 = @intCast(try check(linux.open(try pathZ(&buffer, path), flags, 0o600)));
    // Told of whoever opens it, by a signal that would end this process.
    const ignored: linux.Sigaction = .{
        .handler = .{ .handler = linux.SIG.IGN },
        .mask = linux.sigemptyset(),
        .flags = 0,
    };
    _ = linux.sigaction(.IO, &ignored, null);
    _ = try check(linux.fcntl(fd, F_SETLEASE, linux.F.WRLCK));
    return fd;
}

/// Puts a link in the place of whatever comes to have one of the names, at once.
fn swap(words: *Words) Failure!u64 {
    var buffers: [3]PathBuffer = undefined;
    const folder = try open(try words.text());
    defer _ = linux.close(folder);
    const target = try pathZ(&buffers[0], try words.text());
    const end = nowNs() + try words.number(u64) * std.time.ns_per_ms;
    var names: [8][:0]const u8 = undefined;
    var name_buffers: [8]PathBuffer = undefined;
    var name_count: usize = 0;
    while (words.optional()) |name| : (name_count += 1) {
        if (name_count == names.len) return error.Usage;
        names[name_count] = try pathZ(&name_buffers[name_count], name);
    }
    var count: u64 = 0;
    while (nowNs() < end) for (names[0..name_count]) |name| {
        // A directory that its maker is still busy in cannot be removed, and would be in the way of the next one.
        const aside = std.fmt.bufPrintZ(&buffers[1], "{s}-{d}", .{ name, nowNs() }) catch return error.Usage;
        if (linux.errno(linux.renameat(folder, name, folder, aside)) != .SUCCESS) continue;
        if (linux.errno(linux.symlinkat(target, folder, name)) == .SUCCESS) count += 1;
        _ = linux.unlinkat(folder, aside, 0);
        _ = linux.unlinkat(folder, aside, linux.AT.REMOVEDIR);
    };
    return count;
}

/// A file system with one file, of this process's own, in its own mount namespace.
const fuse = struct {
    const Header = extern struct {
        size: u32,
        opcode: u32,
        unique: u64,
        node: u64,
        uid: u32,
        gid: u32,
        pid: u32,
        extensions: u32,
    };
    const AnswerHeader = extern struct { size: u32, failure: i32 = 0, unique: u64 };
    const Attributes = extern struct {
        inode: u64,
        size: u64 = 4096,
        blocks: u64 = 8,
        times: [3]u64 = @splat(0),
        nanoseconds: [3]u32 = @splat(0),
        mode: u32,
        links: u32 = 1,
        uid: u32 = 0,
        gid: u32 = 0,
        device: u32 = 0,
        block_size: u32 = 4096,
        flags: u32 = 0,
    };
    const file: Attributes = .{ .inode = 2, .mode = linux.S.IFREG | 0o644 };
    const root: Attributes = .{ .inode = 1, .mode = linux.S.IFDIR | 0o755 };

    const opcode = struct {
        const lookup = 1;
        const forget = 2;
        const getattr = 3;
        const open = 14;
        const init = 26;
        const interrupt = 36;
    };

    var device: i32 = -1;
    /// From now on nothing is answered.
    var silent: bool = false;
    var asked: [256]Header = undefined;
    var asked_count: usize = 0;
    var opened: i32 = -1;

    fn serve(folder: []const u8) Failure!i32 {
        var buffers: [2]PathBuffer = undefined;
        const path = try pathZ(&buffers[0], folder);
        device = @intCast(try check(linux.open("/dev/fuse", .{ .ACCMODE = .RDWR, .CLOEXEC = true }, 0)));
        _ = try check(linux.unshare(linux.CLONE.NEWNS));
        _ = try check(linux.mount("none", "/", null, linux.MS.REC | linux.MS.PRIVATE, 0));
        const options = std.fmt.bufPrintZ(
            &buffers[1],
            "fd={d},rootmode=40755,user_id=0,group_id=0",
            .{device},
        ) catch unreachable;
        _ = try check(linux.mount("peer", path, "fuse", 0, @intFromPtr(options.ptr)));
        const thread = std.Thread.spawn(.{}, answerAll, .{}) catch return error.Usage;
        thread.detach();
        const name = std.fmt.bufPrintZ(&buffers[1], "{s}/dmabuf:file", .{folder}) catch return error.Usage;
        opened = @intCast(try check(linux.open(name, .{ .CLOEXEC = true }, 0)));
        @atomicStore(bool, &silent, true, .seq_cst);
        return opened;
    }

    fn list(reply: *Reply) Failure!void {
        try reply.writeAll("requests:");
        for (asked[0..@atomicLoad(usize, &asked_count, .seq_cst)]) |*header| try reply.print(" {d}", .{header.opcode});
    }

    /// Without this no process that waits for an answer, or has the file open, could end: not even when it is killed.
    fn relent() void {
        @atomicStore(bool, &silent, false, .seq_cst);
        for (asked[0..@atomicLoad(usize, &asked_count, .seq_cst)]) |*header| refuse(header);
        // Asks to flush once, and is told that no closing needs to.
        _ = linux.close(opened);
    }

    fn answerAll() void {
        var buffer: [(1 << 20) + 4096]u8 align(8) = undefined;
        while (true) {
            const result = linux.read(device, &buffer, buffer.len);
            if (linux.errno(result) == .INTR or linux.errno(result) == .NOENT) continue;
            if (linux.errno(result) != .SUCCESS) return;
            const header: *const Header = @ptrCast(&buffer);
            if (header.opcode == opcode.forget or header.opcode == opcode.interrupt) continue;
            if (@atomicLoad(bool, &silent, .seq_cst)) {
                const count = @atomicLoad(usize, &asked_count, .seq_cst);
                if (count == asked.len) continue;
                asked[count] = header.*;
                @atomicStore(usize, &asked_count, count + 1, .seq_cst);
            } else answerOne(header);
        }
    }

    fn answerOne(header: *const Header) void {
        switch (header.opcode) {
            opcode.init => {
                const Init = extern struct {
                    major: u32 = 7,
                    minor: u32 = 31,
                    max_readahead: u32 = 0,
                    flags: u32 = 0,
                    background: u32 = 0,
                    max_write: u32 = 4096,
                    granularity: u32 = 1,
                    rest: [9]u32 = @splat(0),
                };
                tell(header, Init{});
            },
            opcode.lookup => {
                const Entry = extern struct {
                    node: u64 = 2,
                    generation: u64 = 0,
                    valid: [2]u64 = @splat(0),
                    valid_ns: [2]u32 = @splat(0),
                    attributes: Attributes = file,
                };
                tell(header, Entry{});
            },
            opcode.getattr => {
                const Answer = extern struct {
                    valid: u64 = 0,
                    valid_ns: u32 = 0,
                    dummy: u32 = 0,
                    attributes: Attributes,
                };
                tell(header, Answer{ .attributes = if (header.node == 1) root else file });
            },
            opcode.open => tell(header, extern struct { handle: u64 = 1, flags: u32 = 0, padding: u32 = 0 }{}),
            else => refuse(header),
        }
    }

    fn refuse(header: *const Header) void {
        const refusal: AnswerHeader = .{
            .size = @sizeOf(AnswerHeader),
            .failure = -@as(i32, @intFromEnum(linux.E.NOSYS)),
            .unique = header.unique,
        };
        _ = linux.write(device, std.mem.asBytes(&refusal), @sizeOf(AnswerHeader));
    }

    fn tell(header: *const Header, body: anytype) void {
        const Answer = extern struct { header: AnswerHeader, body: @TypeOf(body) };
        const whole: Answer = .{ .header = .{ .size = @sizeOf(Answer), .unique = header.unique }, .body = body };
        _ = linux.write(device, std.mem.asBytes(&whole), @sizeOf(Answer));
    }
};
