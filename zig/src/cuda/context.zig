//! A context is one device as this library uses it: its primary context, which it shares with other CUDA users of the
//! process, and a stream of the library's own.

const std = @import("std");
const errors = @import("../core/mod.zig").errors;
const Mutex = @import("../os/mod.zig").mutex.Mutex;
const cuda = @import("driver.zig");
const abi = cuda.abi;
const Error = errors.Error;

/// Which device to use, as text: "" the first, "1" by its number in this process, "GPU-<uuid>" or a bare UUID.
pub const Selection = union(enum) {
    ordinal: u32,
    uuid: abi.CUuuid,

    pub fn parse(text: []const u8) Error!Selection {
        if (text.len == 0) return .{ .ordinal = 0 };
        if (std.fmt.parseInt(u32, text, 10)) |ordinal| return .{ .ordinal = ordinal } else |_| {}
        const digits = if (std.mem.startsWith(u8, text, "GPU-")) text[4..] else text;
        var compact: [32]u8 = undefined;
        var count: usize = 0;
        for (digits) |digit| {
            if (digit == '-') continue;
            if (count == compact.len) return notADevice(text);
            compact[count] = digit;
            count += 1;
        }
        var uuid: abi.CUuuid = undefined;
        if (count != compact.len) return notADevice(text);
        _ = std.fmt.hexToBytes(&uuid, &compact) catch return notADevice(text);
        return .{ .uuid = uuid };
    }

    fn notADevice(text: []const u8) Error {
        return errors.fail(error.InvalidArgument, "device \"{s}\": it must be a device's number or its UUID", .{text});
    }
};

/// The error and sentence for a failure of the driver table.
pub fn explain(failure: cuda.Failure) Error {
    const kind: Error = switch (failure) {
        .call_failed => |call| if (call.result == .CUDA_ERROR_OUT_OF_MEMORY) error.OutOfMemory else error.Cuda,
        else => error.Unsupported,
    };
    return errors.fail(kind, "{f}", .{failure});
}

pub fn openDriver() Error!*const cuda.Driver {
    var failure: cuda.Failure = .none;
    return cuda.open(&failure) catch explain(failure);
}

/// Every visible device's UUID: none where the driver works and shows none.
pub fn visibleUuids(uuids: []abi.CUuuid) Error!u32 {
    var failure: cuda.Failure = .none;
    const driver = cuda.open(&failure) catch return if (failure == .no_device) 0 else explain(failure);
    var described: [cuda.devices.devices_max]cuda.devices.Device = undefined;
    const count = cuda.devices.list(driver, &described, &failure) catch return explain(failure);
    const copied = @min(count, uuids.len);
    for (described[0..copied], uuids[0..copied]) |device, *uuid| uuid.* = device.uuid;
    return @intCast(copied);
}

fn ordinalOf(driver: *const cuda.Driver, selection: Selection) Error!u32 {
    var described: [cuda.devices.devices_max]cuda.devices.Device = undefined;
    var failure: cuda.Failure = .none;
    const count = cuda.devices.list(driver, &described, &failure) catch return explain(failure);
    switch (selection) {
        .ordinal => |ordinal| {
            if (ordinal < count) return ordinal;
            return errors.fail(
                error.InvalidArgument,
                "there is no CUDA device {d}: this process sees {d}",
                .{ ordinal, count },
            );
        },
        .uuid => |uuid| {
            for (described[0..count]) |device| if (std.mem.eql(u8, &device.uuid, &uuid)) return device.ordinal;
            return errors.fail(
                error.DeviceMismatch,
                "the CUDA device GPU-{x} is not visible to this process, which sees {d} (CUDA_VISIBLE_DEVICES, " ++
                    "container device access)",
                .{ uuid, count },
            );
        },
    }
}

/// The UUID of a device, of which no context is opened.
pub fn uuidOf(selection: Selection) Error!abi.CUuuid {
    const driver = try openDriver();
    const ordinal = try ordinalOf(driver, selection);
    var failure: cuda.Failure = .none;
    return cuda.devices.uuidAt(driver, ordinal, &failure) catch explain(failure);
}

/// The primary context of a device, held once however many use it.
const Primary = struct {
    uuid: abi.CUuuid = @splat(0),
    handle: abi.CUcontext = null,
    /// 0: the entry is free.
    users: u32 = 0,
};

/// Guards `primaries`.
var mutex: Mutex = .{};
/// Keyed by UUID. All zero when free, so that the table takes no room in the library's file.
var primaries: [cuda.devices.devices_max]Primary = @splat(.{});

fn primaryOf(uuid: abi.CUuuid) ?*Primary {
    std.debug.assert(mutex.isHeld());
    for (&primaries) |*primary| if (primary.users > 0 and std.mem.eql(u8, &primary.uuid, &uuid)) return primary;
    return null;
}

fn unusedPrimary() *Primary {
    for (&primaries) |*primary| if (primary.users == 0) return primary;
    unreachable; // there are no more devices
}

pub const Context = struct {
    driver: *const cuda.Driver,
    device: abi.CUdevice,
    uuid: abi.CUuuid,
    handle: abi.CUcontext,
    /// Orders the library's own copies. Does not wait for the legacy default stream.
    stream: abi.CUstream = null,

    /// Unsupported without a driver or where the device cannot share memory; DeviceMismatch where it is not visible.
    pub fn open(selection: Selection) Error!Context {
        const driver = try openDriver();
        const ordinal = try ordinalOf(driver, selection);
        var failure: cuda.Failure = .none;
        cuda.devices.requireShareable(driver, ordinal, &failure) catch return explain(failure);
        const described = cuda.devices.describe(driver, ordinal, &failure) catch return explain(failure);
        var context: Context = .{
            .driver = driver,
            .device = @intCast(ordinal),
            .uuid = described.uuid,
            .handle = null,
        };
        try context.call(.cuDeviceGet, .{ &context.device, @as(c_int, @intCast(ordinal)) });
        try context.retainPrimary();
        errdefer context.releasePrimary();
        try context.enter();
        defer context.leave();
        try context.call(.cuStreamCreateWithPriority, .{ &context.stream, abi.CU_STREAM_NON_BLOCKING, @as(c_int, 0) });
        return context;
    }

    fn retainPrimary(context: *Context) Error!void {
        mutex.lock();
        defer mutex.unlock();
        const primary = primaryOf(context.uuid) orelse new: {
            var handle: abi.CUcontext = null;
            try context.call(.cuDevicePrimaryCtxRetain, .{ &handle, context.device });
            const unused = unusedPrimary();
            unused.* = .{ .uuid = context.uuid, .handle = handle };
            break :new unused;
        };
        primary.users += 1;
        context.handle = primary.handle;
    }

    fn releasePrimary(context: *const Context) void {
        mutex.lock();
        defer mutex.unlock();
        const primary = primaryOf(context.uuid).?;
        std.debug.assert(primary.handle == context.handle);
        primary.users -= 1;
        if (primary.users > 0) return;
        primary.* = .{};
        _ = context.driver.functions.cuDevicePrimaryCtxRelease_v2(context.device);
    }

    pub fn deinit(context: *Context) void {
        if (context.enter()) {
            _ = context.driver.functions.cuStreamDestroy_v2(context.stream);
            context.leave();
        } else |_| {}
        context.releasePrimary();
    }

    /// Makes the context current on this thread, until `leave`; what was current before is so again then.
    pub fn enter(context: *const Context) Error!void {
        try context.call(.cuCtxPushCurrent_v2, .{context.handle});
    }

    pub fn leave(context: *const Context) void {
        var popped: abi.CUcontext = null;
        _ = context.driver.functions.cuCtxPopCurrent_v2(&popped);
    }

    pub fn call(
        context: *const Context,
        comptime function: abi.Function,
        arguments: abi.Arguments(function),
    ) Error!void {
        var failure: cuda.Failure = .none;
        context.driver.call(function, arguments, &failure) catch return explain(failure);
    }

    pub fn isComplete(context: *const Context, event: abi.CUevent) Error!bool {
        var failure: cuda.Failure = .none;
        return context.driver.isComplete(.cuEventQuery, .{event}, &failure) catch explain(failure);
    }
};

const testing = std.testing;

test "a device is named by number or UUID" {
    try testing.expectEqual(Selection{ .ordinal = 0 }, try Selection.parse(""));
    try testing.expectEqual(Selection{ .ordinal = 3 }, try Selection.parse("3"));
    const expected: abi.CUuuid = .{ 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0, 1, 2, 3, 4, 5, 6, 7 };
    const parsed = try Selection.parse("GPU-12345678-9abc-def0-0001-020304050607");
    try testing.expectEqualSlices(u8, &expected, &parsed.uuid);
    try testing.expectError(error.InvalidArgument, Selection.parse("GPU-12"));
    try testing.expectError(error.InvalidArgument, Selection.parse("first"));
}

/// A driver whose one device counts how often its primary context is held.
const Counting = struct {
    var held: u32 = 0;

    fn retain(handle: *abi.CUcontext, _: abi.CUdevice) callconv(.c) abi.CUresult {
        held += 1;
        handle.* = @ptrFromInt(0x1000);
        return .CUDA_SUCCESS;
    }

    fn release(_: abi.CUdevice) callconv(.c) abi.CUresult {
        held -= 1;
        return .CUDA_SUCCESS;
    }
};

test "however many use a device, its primary context is held once" {
    var driver: cuda.Driver = .{ .functions = undefined, .version = 0 };
    driver.functions.cuDevicePrimaryCtxRetain = Counting.retain;
    driver.functions.cuDevicePrimaryCtxRelease_v2 = Counting.release;
    const unheld: Context = .{ .driver = &driver, .device = 0, .uuid = @splat(0), .handle = null };
    var contexts: [3]Context = @splat(unheld);
    contexts[2].uuid = @splat(1);
    for (0..2) |_| {
        for (&contexts) |*context| try context.retainPrimary();
        // Two devices.
        try testing.expectEqual(2, Counting.held);
        try testing.expectEqual(contexts[0].handle, contexts[1].handle);
        contexts[0].releasePrimary();
        try testing.expectEqual(2, Counting.held);
        contexts[1].releasePrimary();
        try testing.expectEqual(1, Counting.held);
        contexts[2].releasePrimary();
        try testing.expectEqual(0, Counting.held);
    }
}
