//! The scenarios of the conformance run are made of this: an open driver, shareable memory, other processes.

const std = @import("std");
const linux = std.os.linux;
const cuda = @import("cuda");
const abi = cuda.abi;

pub const expect = std.testing.expect;
pub const expectEqual = std.testing.expectEqual;
pub const expectEqualSlices = std.testing.expectEqualSlices;

pub const granule = 2 << 20;

/// The driver, and the primary context of device 0 current on this thread.
pub const Rig = struct {
    driver: *const cuda.Driver,
    failure: cuda.Failure,
    context: abi.CUcontext,

    pub fn init() !Rig {
        var failure: cuda.Failure = .none;
        const driver = cuda.open(&failure) catch |reason| {
            std.debug.print("{f}\n", .{failure});
            return reason;
        };
        var rig: Rig = .{ .driver = driver, .failure = .none, .context = null };
        try rig.call(.cuDevicePrimaryCtxRetain, .{ &rig.context, 0 });
        try rig.call(.cuCtxPushCurrent_v2, .{rig.context});
        return rig;
    }

    pub fn deinit(rig: *Rig) void {
        var popped: abi.CUcontext = null;
        rig.call(.cuCtxPopCurrent_v2, .{&popped}) catch unreachable;
        rig.call(.cuDevicePrimaryCtxRelease_v2, .{0}) catch unreachable;
    }

    pub fn call(rig: *Rig, comptime function: abi.Function, arguments: abi.Arguments(function)) !void {
        rig.driver.call(function, arguments, &rig.failure) catch |reason| {
            std.debug.print("{f}\n", .{rig.failure});
            return reason;
        };
    }

    /// The call must fail, and in this way.
    pub fn refused(
        rig: *Rig,
        expected: abi.CUresult,
        comptime function: abi.Function,
        arguments: abi.Arguments(function),
    ) !void {
        if (rig.driver.call(function, arguments, &rig.failure)) |_| {
            std.debug.print("{s} succeeded\n", .{@tagName(function)});
            return error.NotRefused;
        } else |_| {
            errdefer std.debug.print("{f}\n", .{rig.failure});
            try expectEqual(expected, rig.failure.call_failed.result);
        }
    }

    pub fn isComplete(rig: *Rig, event: abi.CUevent) !bool {
        return rig.driver.isComplete(.cuEventQuery, .{event}, &rig.failure);
    }

    pub fn createStream(rig: *Rig, flags: c_uint) !abi.CUstream {
        var stream: abi.CUstream = null;
        try rig.call(.cuStreamCreateWithPriority, .{ &stream, flags, 0 });
        return stream;
    }

    pub fn createEvent(rig: *Rig) !abi.CUevent {
        var event: abi.CUevent = null;
        try rig.call(.cuEventCreate, .{ &event, abi.CU_EVENT_DISABLE_TIMING });
        return event;
    }

    pub fn allocatePinned(rig: *Rig, size: usize) ![]u8 {
        var address: ?*anyopaque = null;
        try rig.call(.cuMemHostAlloc, .{ &address, size, 0 });
        return @as([*]u8, @ptrCast(address.?))[0..size];
    }

    pub fn freeMemory(rig: *Rig) !usize {
        var free: usize = 0;
        var total: usize = 0;
        try rig.call(.cuMemGetInfo_v2, .{ &free, &total });
        try expect(free <= total);
        return free;
    }

    /// What a device address holds, when all work queued in the default stream is done.
    pub fn read(rig: *Rig, address: abi.CUdeviceptr, bytes: []u8) !void {
        try rig.call(.cuMemcpyDtoHAsync_v2, .{ bytes.ptr, address, bytes.len, null });
        try rig.call(.cuStreamSynchronize, .{null});
    }

    pub fn expectFilled(rig: *Rig, address: abi.CUdeviceptr, comptime size: usize, value: u8) !void {
        var bytes: [size]u8 = undefined;
        try rig.read(address, &bytes);
        try expectEqualSlices(u8, &@as([size]u8, @splat(value)), &bytes);
    }
};

pub fn properties(device: c_int) abi.CUmemAllocationProp {
    return .{
        .type = .PINNED,
        .requestedHandleTypes = .POSIX_FILE_DESCRIPTOR,
        .location = .{ .type = .DEVICE, .id = device },
    };
}

/// Memory of `cuMemCreate`, mapped.
pub const Shared = struct {
    handle: abi.CUmemGenericAllocationHandle,
    address: abi.CUdeviceptr,
    size: usize,

    pub fn create(rig: *Rig, size: usize) !Shared {
        var handle: abi.CUmemGenericAllocationHandle = 0;
        try rig.call(.cuMemCreate, .{ &handle, size, &properties(0), 0 });
        return map(rig, handle, size, .READWRITE);
    }

    /// Takes the handle.
    pub fn map(rig: *Rig, handle: u64, size: usize, access: abi.CUmemAccess_flags) !Shared {
        var address: abi.CUdeviceptr = 0;
        try rig.call(.cuMemAddressReserve, .{ &address, size, 0, 0, 0 });
        try rig.call(.cuMemMap, .{ address, size, 0, handle, 0 });
        const shared: Shared = .{ .handle = handle, .address = address, .size = size };
        try shared.setAccess(rig, access);
        return shared;
    }

    pub fn setAccess(shared: Shared, rig: *Rig, access: abi.CUmemAccess_flags) !void {
        const description = [1]abi.CUmemAccessDesc{.{ .location = .{ .type = .DEVICE, .id = 0 }, .flags = access }};
        try rig.call(.cuMemSetAccess, .{ shared.address, shared.size, &description, 1 });
    }

    pub fn import(rig: *Rig, descriptor: c_int, size: usize, access: abi.CUmemAccess_flags) !Shared {
        var handle: abi.CUmemGenericAllocationHandle = 0;
        const os_handle: usize = @intCast(descriptor);
        try rig.call(.cuMemImportFromShareableHandle, .{ &handle, os_handle, .POSIX_FILE_DESCRIPTOR });
        return map(rig, handle, size, access);
    }

    pub fn exported(shared: Shared, rig: *Rig) !c_int {
        var descriptor: c_int = -1;
        try rig.call(.cuMemExportToShareableHandle, .{ &descriptor, shared.handle, .POSIX_FILE_DESCRIPTOR, 0 });
        return descriptor;
    }

    pub fn destroy(shared: Shared, rig: *Rig) !void {
        try rig.call(.cuMemUnmap, .{ shared.address, shared.size });
        try rig.call(.cuMemAddressFree, .{ shared.address, shared.size });
        try rig.call(.cuMemRelease, .{shared.handle});
    }
};

pub fn close(descriptor: c_int) void {
    _ = linux.close(descriptor);
}

/// Descriptors that this process has open.
pub fn descriptorCount() usize {
    var count: usize = 0;
    for (0..1024) |descriptor| {
        count += @intFromBool(linux.errno(linux.fcntl(@intCast(descriptor), linux.F.GETFD, 0)) == .SUCCESS);
    }
    return count;
}

/// Another process: this program again, playing a part.
pub const Peer = struct {
    pid: linux.pid_t,
    socket: c_int,

    /// The part finds its end of the socket as descriptor `peer_socket`.
    pub fn start(part: [*:0]const u8, settings: []const [:0]const u8) !Peer {
        var sockets: [2]i32 = undefined;
        const kind = linux.SOCK.SEQPACKET | linux.SOCK.CLOEXEC;
        if (linux.errno(linux.socketpair(linux.AF.UNIX, kind, 0, &sockets)) != .SUCCESS) return error.NoSocket;
        defer close(sockets[1]);
        errdefer close(sockets[0]);

        var environment: [512:null]?[*:0]const u8 = @splat(null);
        var count: usize = 0;
        for (settings) |setting| {
            environment[count] = setting;
            count += 1;
        }
        var inherited: usize = 0;
        while (std.c.environ[inherited]) |entry| : (inherited += 1) {
            if (isSet(settings, std.mem.span(entry))) continue;
            if (count == environment.len) return error.EnvironmentTooLarge;
            environment[count] = entry;
            count += 1;
        }
        const arguments = [_:null]?[*:0]const u8{ "smoke", part };

        const forked = linux.fork();
        if (linux.errno(forked) != .SUCCESS) return error.NoProcess;
        if (forked == 0) {
            // A part that hangs is a part that fails.
            _ = alarm(60);
            _ = linux.dup2(sockets[1], peer_socket);
            _ = linux.execve("/proc/self/exe", &arguments, &environment);
            linux.exit(127);
        }
        return .{ .pid = @intCast(forked), .socket = sockets[0] };
    }

    fn isSet(settings: []const [:0]const u8, entry: []const u8) bool {
        const name_length = (std.mem.findScalar(u8, entry, '=') orelse return false) + 1;
        for (settings) |setting| if (std.mem.startsWith(u8, setting, entry[0..name_length])) return true;
        return false;
    }

    pub fn kill(peer: Peer) void {
        _ = linux.kill(peer.pid, .KILL);
    }

    /// How it ended: 0 when all went well, 128 + the signal's number where one killed it.
    pub fn wait(peer: Peer) u32 {
        close(peer.socket);
        var status: u32 = 0;
        while (linux.errno(linux.wait4(peer.pid, &status, 0, null)) == .INTR) {}
        return if (linux.W.IFEXITED(status)) linux.W.EXITSTATUS(status) else 128 + @as(
            u32,
            @intFromEnum(linux.W.TERMSIG(status)),
        );
    }
};

pub const peer_socket = 200;
extern "c" fn alarm(seconds: c_uint) c_uint;

const Message = extern struct {
    header: linux.cmsghdr,
    descriptor: c_int,
    padding: c_int = 0,
};

/// Sends one byte, with a descriptor where it is not −1.
pub fn send(socket: c_int, byte: u8, descriptor: c_int) !void {
    const vector = [1]std.posix.iovec_const{.{ .base = @ptrCast(&byte), .len = 1 }};
    const control: Message = .{
        .header = .{ .len = @offsetOf(Message, "padding"), .level = linux.SOL.SOCKET, .type = linux.SCM.RIGHTS },
        .descriptor = descriptor,
    };
    const message: linux.msghdr_const = .{
        .name = null,
        .namelen = 0,
        .iov = &vector,
        .iovlen = 1,
        .control = if (descriptor >= 0) &control else null,
        .controllen = if (descriptor >= 0) @sizeOf(Message) else 0,
        .flags = 0,
    };
    if (linux.errno(linux.sendmsg(socket, &message, linux.MSG.NOSIGNAL)) != .SUCCESS) return error.PeerGone;
}

/// Waits for the byte expected; the descriptor that came with it, or −1.
pub fn receive(socket: c_int, expected: u8) !c_int {
    var byte: u8 = 0;
    var vector = [1]std.posix.iovec{.{ .base = @ptrCast(&byte), .len = 1 }};
    var control: Message = undefined;
    var message: linux.msghdr = .{
        .name = null,
        .namelen = 0,
        .iov = &vector,
        .iovlen = 1,
        .control = &control,
        .controllen = @sizeOf(Message),
        .flags = 0,
    };
    const received = linux.recvmsg(socket, &message, linux.MSG.CMSG_CLOEXEC);
    if (linux.errno(received) != .SUCCESS or received != 1) return error.PeerGone;
    try expectEqual(expected, byte);
    return if (message.controllen > 0) control.descriptor else -1;
}
