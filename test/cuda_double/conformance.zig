//! This program tests the double of libcuda.so.1 through the library's own driver table, across real processes; `zig
//! build test` runs it. Every scenario has a process of its own: `conformance --hardware` runs only those that must
//! hold on a real GPU too, `conformance NAME` one. The exit status is 0 when all have passed.

const std = @import("std");
const linux = std.os.linux;
const cuda = @import("cuda");
const devices = cuda.devices;
const abi = cuda.abi;
const Control = @import("control.zig").Control;
const Live = @import("control.zig").Live;
const contract = @import("driver_contract.zig");
const rig_ = @import("rig.zig");
const Rig = rig_.Rig;
const Shared = rig_.Shared;
const Peer = rig_.Peer;
const expect = rig_.expect;
const expectEqual = rig_.expectEqual;
const granule = rig_.granule;

// A crash must be the signal's own.
pub const std_options: std.Options = .{ .enable_segfault_handler = false, .signal_stack_size = null };

const Scenario = struct {
    name: [:0]const u8,
    run: *const fn () anyerror!void,
    settings: []const [:0]const u8 = &.{},
    /// How its process must end.
    ends: u32 = 0,
};

const on_any_machine = [_]Scenario{
    .{ .name = "devices are listed", .run = contract.devicesAreListed },
    .{ .name = "memory keeps what is written", .run = contract.memoryKeepsWhatIsWritten },
    .{ .name = "pointers are told apart", .run = contract.pointersAreToldApart },
    .{ .name = "read-only memory is not written", .run = contract.readOnlyMemoryIsNotWritten },
    .{ .name = "another process uses the same memory", .run = contract.anotherProcessUsesTheSameMemory },
    .{ .name = "a descriptor that is no memory is refused", .run = contract.aDescriptorThatIsNoMemoryIsRefused },
    .{ .name = "events follow their stream", .run = contract.eventsFollowTheirStream },
    .{ .name = "streams of one context know each other", .run = contract.streamsOfOneContextKnowEachOther },
    .{ .name = "threads work at once", .run = contract.threadsWorkAtOnce },
    .{ .name = "work needs a context", .run = contract.workNeedsAContext },
    .{ .name = "wrong arguments are refused", .run = contract.wrongArgumentsAreRefused },
    .{ .name = "a fork is not initialized", .run = contract.aForkIsNotInitialized },
};

const on_the_double = [_]Scenario{
    .{ .name = "everything alive is counted", .run = everythingAliveIsCounted },
    .{ .name = "the CPU cannot read device memory", .run = theCpuCannotRead, .ends = 128 + 11 },
    .{ .name = "the CPU cannot follow a handle", .run = theCpuCannotFollowAHandle, .ends = 128 + 11 },
    .{ .name = "stale handles are refused", .run = staleHandlesAreRefused },
    .{ .name = "work can be stopped half-way", .run = workCanBeStoppedHalfWay },
    .{ .name = "half a frame is seen by another process", .run = halfAFrameIsSeen },
    .{ .name = "slow work takes its time", .run = slowWorkTakesItsTime },
    .{ .name = "every copy can be slow", .run = everyCopyCanBeSlow, .settings = &.{"CUDA_DOUBLE_DELAY_US=100000"} },
    .{ .name = "the default stream waits for blocking streams only", .run = theDefaultStreamWaits },
    .{ .name = "pageable copies are done on return", .run = pageableCopiesAreDone },
    .{ .name = "a queue that is full makes the caller wait", .run = aFullQueueWaits },
    .{ .name = "freeing waits for the work", .run = freeingWaitsForTheWork },
    .{ .name = "unmapping under work poisons the context", .run = unmappingUnderWorkPoisons },
    .{ .name = "the last release ends the context", .run = theLastReleaseEndsTheContext },
    .{ .name = "every function can be made to fail", .run = everyFunctionCanFail },
    .{
        .name = "the chosen call fails and no other",
        .run = theChosenCallFails,
        .settings = &.{"CUDA_DOUBLE_FAIL=cuMemCreate:3=2,cuEventCreate:*=304"},
    },
    .{
        .name = "a rule that cannot be read stops the test",
        .run = openFails,
        .settings = &.{"CUDA_DOUBLE_FAIL=cuMemCrate:3=2"},
        .ends = 128 + 6,
    },
    .{
        .name = "memory runs out, and comes back from the dead",
        .run = memoryRunsOut,
        .settings = &.{"CUDA_DOUBLE_MEMORY=8388608"},
    },
    .{ .name = "descriptors run out", .run = descriptorsRunOut },
    .{ .name = "machines do not share memory", .run = machinesDoNotShareMemory },
    .{
        .name = "ordinals follow CUDA_VISIBLE_DEVICES",
        .run = ordinalsFollowVisibility,
        .settings = &.{"CUDA_DOUBLE_DEVICES=3"},
    },
    .{
        .name = "memory of a device that is not visible is refused",
        .run = memoryOfAnInvisibleDevice,
        .settings = &.{"CUDA_DOUBLE_DEVICES=2"},
    },
    .{ .name = "no visible device", .run = noDevice, .settings = &.{"CUDA_VISIBLE_DEVICES="} },
    .{ .name = "no device at all", .run = noDevice, .settings = &.{"CUDA_DOUBLE_DEVICES=0"} },
    .{ .name = "an old driver", .run = oldDriver, .settings = &.{"CUDA_DOUBLE_DRIVER_VERSION=10010"} },
    .{
        .name = "a missing function",
        .run = missingFunction,
        .settings = &.{"CUDA_DOUBLE_MISSING=cuMemUnmap,cuMemSetAccess"},
    },
    .{
        .name = "missing optional functions",
        .run = missingOptionalFunctions,
        .settings = &.{"CUDA_DOUBLE_MISSING=cuDeviceGetUuid_v2,cuMemGetHandleForAddressRange"},
    },
    .{ .name = "no permission", .run = noPermission, .settings = &.{"CUDA_DOUBLE_FAIL=cuInit:*=800"} },
    .{ .name = "driver mismatch", .run = driverMismatch, .settings = &.{"CUDA_DOUBLE_FAIL=cuInit:*=803"} },
    .{
        .name = "initialization fails once",
        .run = initializationFailsOnce,
        .settings = &.{"CUDA_DOUBLE_FAIL=cuInit:1=999"},
    },
    .{
        .name = "devices that cannot share",
        .run = devicesThatCannotShare,
        .settings = &.{
            "CUDA_DOUBLE_DEVICES=3",
            "CUDA_DOUBLE_NO_VMM=0",
            "CUDA_DOUBLE_NO_POSIX_FD=1",
            "CUDA_DOUBLE_NO_DMA_BUF=0,1",
        },
    },
    .{ .name = "a dma-buf is the memory", .run = aDmaBufIsTheMemory },
};

/// What other processes play in these scenarios.
const parts = [_]Scenario{
    .{ .name = "reader", .run = contract.reader },
    .{ .name = "watcher", .run = watcher },
    .{ .name = "holder", .run = holder },
    .{ .name = "importer", .run = importer },
    .{ .name = "lister", .run = lister },
};

pub fn main(init: std.process.Init.Minimal) !void {
    const arguments = init.args.vector;
    const wanted: []const u8 = if (arguments.len > 1) std.mem.span(arguments[1]) else "";
    inline for (.{ &on_any_machine, &on_the_double, &parts }) |list| {
        for (list) |scenario| if (std.mem.eql(u8, scenario.name, wanted)) return scenario.run();
    }
    var machine_buffer: [64]u8 = undefined;
    const own_machine = try std.fmt.bufPrintZ(
        &machine_buffer,
        "CUDA_DOUBLE_MACHINE=conformance-{d}",
        .{linux.getpid()},
    );
    var failed = try runAll(&on_any_machine, own_machine);
    if (std.mem.eql(u8, wanted, "--hardware")) {
        std.debug.print("{d} failed\n", .{failed});
    } else {
        if (wanted.len > 0) return error.NoSuchScenario;
        failed += try runAll(&on_the_double, own_machine);
        std.debug.print("{d} of {d} failed\n", .{ failed, on_any_machine.len + on_the_double.len });
    }
    if (failed > 0) std.process.exit(1);
}

fn runAll(scenarios: []const Scenario, own_machine: [:0]const u8) !u32 {
    var failed: u32 = 0;
    for (scenarios) |scenario| {
        var settings: [8][:0]const u8 = undefined;
        settings[0] = own_machine;
        @memcpy(settings[1..][0..scenario.settings.len], scenario.settings);
        const peer: Peer = try .start(scenario.name, settings[0 .. scenario.settings.len + 1]);
        const ended = peer.wait();
        const passed = ended == scenario.ends;
        failed += @intFromBool(!passed);
        std.debug.print("{s} {s}", .{ if (passed) "ok    " else "FAILED", scenario.name });
        if (!passed) std.debug.print(" (status {d}, expected {d})", .{ ended, scenario.ends });
        std.debug.print("\n", .{});
    }
    return failed;
}

fn liveNow(control: Control) Live {
    var live: Live = undefined;
    control.cudoubleLive(&live);
    return live;
}

fn everythingAliveIsCounted() !void {
    var rig: Rig = try .init();
    const control = Control.open().?;
    const shared: Shared = try .create(&rig, granule);
    const pinned = try rig.allocatePinned(10);
    const stream = try rig.createStream(0);
    const event = try rig.createEvent();
    var linear: abi.CUdeviceptr = 0;
    try rig.call(.cuMemAlloc_v2, .{ &linear, 10 });
    try expectEqual(Live{
        .allocations = 1,
        .reservations = 1,
        .mappings = 1,
        .linear = 1,
        .pinned = 1,
        .streams = 1,
        .events = 1,
        .contexts = 1,
        .context_depth = 1,
        .failed_calls = 0,
    }, liveNow(control));
    try rig.refused(.CUDA_ERROR_INVALID_VALUE, .cuMemFree_v2, .{shared.address});
    try rig.call(.cuMemFree_v2, .{linear});
    try rig.call(.cuMemFreeHost, .{pinned.ptr});
    try rig.call(.cuStreamDestroy_v2, .{stream});
    try rig.call(.cuEventDestroy_v2, .{event});
    try shared.destroy(&rig);
    rig.deinit();
    var none = std.mem.zeroes(Live);
    none.failed_calls = 1;
    try expectEqual(none, liveNow(control));
}

fn theCpuCannotRead() !void {
    var rig: Rig = try .init();
    const shared: Shared = try .create(&rig, granule);
    const pointer: *volatile u8 = @ptrFromInt(shared.address);
    _ = pointer.*;
}

fn theCpuCannotFollowAHandle() !void {
    var rig: Rig = try .init();
    const stream = try rig.createStream(0);
    const pointer: *volatile u8 = @ptrCast(stream.?);
    _ = pointer.*;
}

fn staleHandlesAreRefused() !void {
    var rig: Rig = try .init();
    defer rig.deinit();
    const stream = try rig.createStream(0);
    const event = try rig.createEvent();
    const shared: Shared = try .create(&rig, granule);
    try rig.call(.cuStreamDestroy_v2, .{stream});
    try rig.call(.cuEventDestroy_v2, .{event});
    try shared.destroy(&rig);
    const other_stream = try rig.createStream(0);
    // As many as there can be: one of them has the place of the old one, which must not reach it.
    var events: [4095]abi.CUevent = undefined;
    for (&events) |*one| one.* = try rig.createEvent();
    var one_too_many: abi.CUevent = null;
    try rig.refused(.CUDA_ERROR_OUT_OF_MEMORY, .cuEventCreate, .{ &one_too_many, 0 });
    const other_event = events[0];
    try rig.refused(.CUDA_ERROR_INVALID_HANDLE, .cuEventQuery, .{event});
    try rig.refused(.CUDA_ERROR_INVALID_HANDLE, .cuStreamDestroy_v2, .{stream});
    try rig.refused(.CUDA_ERROR_INVALID_HANDLE, .cuStreamSynchronize, .{stream});
    try rig.refused(.CUDA_ERROR_INVALID_HANDLE, .cuEventDestroy_v2, .{event});
    try rig.refused(.CUDA_ERROR_INVALID_HANDLE, .cuEventRecord, .{ event, other_stream });
    try rig.refused(.CUDA_ERROR_INVALID_HANDLE, .cuEventRecord, .{ other_event, stream });
    try rig.refused(.CUDA_ERROR_INVALID_HANDLE, .cuStreamWaitEvent, .{ other_stream, event, 0 });
    try rig.refused(.CUDA_ERROR_INVALID_VALUE, .cuMemRelease, .{shared.handle});
    try rig.refused(.CUDA_ERROR_INVALID_VALUE, .cuMemUnmap, .{ shared.address, shared.size });
    try rig.refused(.CUDA_ERROR_INVALID_VALUE, .cuMemAddressFree, .{ shared.address, shared.size });
    try rig.refused(.CUDA_ERROR_INVALID_VALUE, .cuMemsetD8Async, .{ shared.address, 0, 16, null });
    try rig.refused(.CUDA_ERROR_INVALID_HANDLE, .cuEventQuery, .{@ptrFromInt(0x1234560)});
    try rig.call(.cuStreamDestroy_v2, .{other_stream});
    for (events) |one| try rig.call(.cuEventDestroy_v2, .{one});
}

fn workCanBeStoppedHalfWay() !void {
    var rig: Rig = try .init();
    defer rig.deinit();
    const control = Control.open().?;
    const shared: Shared = try .create(&rig, granule);
    const stream = try rig.createStream(abi.CU_STREAM_NON_BLOCKING);
    const event = try rig.createEvent();
    try rig.call(.cuMemsetD8Async, .{ shared.address, 1, granule, stream });
    try rig.call(.cuStreamSynchronize, .{stream});

    control.cudoubleHold(1);
    try rig.call(.cuMemsetD8Async, .{ shared.address, 2, granule, stream });
    try rig.call(.cuEventRecord, .{ event, stream });
    try expectEqual(1, control.cudoubleWaitHeld(1, 10_000));
    try expectEqual(0, control.cudoubleWaitHeld(2, 1));
    try expect(!try rig.isComplete(event));
    try expect(!try rig.driver.isComplete(.cuStreamQuery, .{stream}, &rig.failure));
    var bytes: [granule]u8 = undefined;
    try expectEqual(.CUDA_SUCCESS, control.cudoublePeek(&bytes, shared.address, granule));
    try expectEqual(2, bytes[granule / 2 - 1]);
    try expectEqual(1, bytes[granule / 2]);

    control.cudoubleHold(0);
    try rig.call(.cuEventSynchronize, .{event});
    try expectEqual(.CUDA_SUCCESS, control.cudoublePeek(&bytes, shared.address, granule));
    for (bytes) |byte| try expectEqual(2, byte);
    try rig.call(.cuStreamDestroy_v2, .{stream});
    try rig.call(.cuEventDestroy_v2, .{event});
    try shared.destroy(&rig);
}

fn halfAFrameIsSeen() !void {
    const peer: Peer = try .start("watcher", &.{});
    var rig: Rig = try .init();
    defer rig.deinit();
    const control = Control.open().?;
    const shared: Shared = try .create(&rig, granule);
    const descriptor = try shared.exported(&rig);
    control.cudoubleHold(1);
    try rig.call(.cuMemsetD8Async, .{ shared.address, 9, granule, null });
    try expectEqual(1, control.cudoubleWaitHeld(1, 10_000));
    try rig_.send(peer.socket, 'a', descriptor);
    rig_.close(descriptor);
    _ = try rig_.receive(peer.socket, 'b');
    control.cudoubleHold(0);
    try expectEqual(0, peer.wait());
    try shared.destroy(&rig);
}

fn watcher() !void {
    var rig: Rig = try .init();
    defer rig.deinit();
    const descriptor = try rig_.receive(rig_.peer_socket, 'a');
    const shared: Shared = try .import(&rig, descriptor, granule, .READ);
    rig_.close(descriptor);
    try rig.expectFilled(shared.address, 4096, 9);
    try rig.expectFilled(shared.address + granule - 4096, 4096, 0);
    try shared.destroy(&rig);
    try rig_.send(rig_.peer_socket, 'b', -1);
}

fn milliseconds() i64 {
    var now: linux.timespec = undefined;
    _ = linux.clock_gettime(.MONOTONIC, &now);
    return now.sec * 1000 + @divTrunc(now.nsec, 1_000_000);
}

fn slowWorkTakesItsTime() !void {
    var rig: Rig = try .init();
    defer rig.deinit();
    const control = Control.open().?;
    const from: Shared = try .create(&rig, granule);
    const to: Shared = try .create(&rig, granule);
    const event = try rig.createEvent();
    const started = milliseconds();
    try expectEqual(.CUDA_SUCCESS, control.cudoubleSlowFill(from.address, 3, granule, 100, null));
    try expectEqual(.CUDA_SUCCESS, control.cudoubleSlowCopy(to.address, from.address, granule, 100, null));
    try rig.call(.cuEventRecord, .{ event, null });
    try expect(!try rig.isComplete(event));
    try rig.call(.cuEventSynchronize, .{event});
    try expect(milliseconds() - started >= 200);
    try rig.expectFilled(to.address + granule - 64, 64, 3);
    try expectEqual(.CUDA_ERROR_INVALID_VALUE, control.cudoubleSlowFill(to.address + granule, 3, 1, 1, null));
    try rig.call(.cuEventDestroy_v2, .{event});
    try from.destroy(&rig);
    try to.destroy(&rig);
}

fn everyCopyCanBeSlow() !void {
    var rig: Rig = try .init();
    defer rig.deinit();
    const shared: Shared = try .create(&rig, granule);
    const started = milliseconds();
    try rig.call(.cuMemsetD8Async, .{ shared.address, 1, granule, null });
    try rig.call(.cuStreamSynchronize, .{null});
    try expect(milliseconds() - started >= 100);
    Control.open().?.cudoubleSetDelay(0);
    try rig.expectFilled(shared.address, 64, 1);
    try shared.destroy(&rig);
}

fn theDefaultStreamWaits() !void {
    var rig: Rig = try .init();
    defer rig.deinit();
    const control = Control.open().?;
    const shared: Shared = try .create(&rig, granule);
    const blocking = try rig.createStream(0);
    const free = try rig.createStream(abi.CU_STREAM_NON_BLOCKING);
    control.cudoubleHold(1);
    try rig.call(.cuMemsetD8Async, .{ shared.address, 1, granule, blocking });
    try expectEqual(1, control.cudoubleWaitHeld(1, 10_000));
    const in_default = try rig.createEvent();
    const in_free = try rig.createEvent();
    const after_default = try rig.createEvent();
    try rig.call(.cuEventRecord, .{ in_default, null });
    try rig.call(.cuEventRecord, .{ after_default, blocking });
    try rig.call(.cuEventRecord, .{ in_free, free });
    try rig.call(.cuEventSynchronize, .{in_free});
    try expect(!try rig.isComplete(in_default));
    try expect(!try rig.isComplete(after_default));
    control.cudoubleHold(0);
    try rig.call(.cuEventSynchronize, .{after_default});
    try expect(try rig.isComplete(in_default));

    // And the other way round: blocking streams wait for the default stream.
    control.cudoubleHold(1);
    try rig.call(.cuMemsetD8Async, .{ shared.address, 2, granule, null });
    try expectEqual(1, control.cudoubleWaitHeld(1, 10_000));
    try rig.call(.cuEventRecord, .{ after_default, blocking });
    try rig.call(.cuEventRecord, .{ in_free, free });
    try rig.call(.cuEventSynchronize, .{in_free});
    try expect(!try rig.isComplete(after_default));
    control.cudoubleHold(0);
    try rig.call(.cuEventSynchronize, .{after_default});

    for ([_]abi.CUevent{ in_default, in_free, after_default }) |event| try rig.call(.cuEventDestroy_v2, .{event});
    try rig.call(.cuStreamDestroy_v2, .{blocking});
    try rig.call(.cuStreamDestroy_v2, .{free});
    try shared.destroy(&rig);
}

fn pageableCopiesAreDone() !void {
    var rig: Rig = try .init();
    defer rig.deinit();
    const control = Control.open().?;
    const shared: Shared = try .create(&rig, granule);
    control.cudoubleSetDelay(20_000);
    var bytes: [4096]u8 = @splat(7);
    try rig.call(.cuMemcpyHtoDAsync_v2, .{ shared.address, &bytes, bytes.len, null });
    bytes = @splat(8);
    try rig.call(.cuMemcpyDtoHAsync_v2, .{ &bytes, shared.address, bytes.len, null });
    for (bytes) |byte| try expectEqual(7, byte);
    // Pinned memory is copied later.
    const pinned = try rig.allocatePinned(4096);
    control.cudoubleHold(1);
    try rig.call(.cuMemcpyDtoHAsync_v2, .{ pinned.ptr, shared.address, 4096, null });
    try expectEqual(1, control.cudoubleWaitHeld(1, 10_000));
    try expectEqual(0, pinned[4095]);
    control.cudoubleHold(0);
    try rig.call(.cuStreamSynchronize, .{null});
    try expectEqual(7, pinned[4095]);
    // Device memory is no host memory.
    const as_host: *anyopaque = @ptrFromInt(shared.address);
    try rig.refused(.CUDA_ERROR_INVALID_VALUE, .cuMemcpyDtoHAsync_v2, .{ as_host, shared.address, 16, null });
    try rig.call(.cuMemFreeHost, .{pinned.ptr});
    try shared.destroy(&rig);
}

fn aFullQueueWaits() !void {
    var rig: Rig = try .init();
    defer rig.deinit();
    const shared: Shared = try .create(&rig, granule);
    for (0..5000) |index| {
        try rig.call(.cuMemsetD8Async, .{ shared.address, @as(u8, @truncate(index)), 256, null });
    }
    try rig.expectFilled(shared.address, 256, @truncate(4999));
    try shared.destroy(&rig);
}

fn freeingWaitsForTheWork() !void {
    var rig: Rig = try .init();
    defer rig.deinit();
    const control = Control.open().?;
    var linear: abi.CUdeviceptr = 0;
    try rig.call(.cuMemAlloc_v2, .{ &linear, granule });
    const started = milliseconds();
    try expectEqual(.CUDA_SUCCESS, control.cudoubleSlowFill(linear, 1, granule, 100, null));
    try rig.call(.cuMemFree_v2, .{linear});
    try expect(milliseconds() - started >= 100);
    try rig.call(.cuStreamSynchronize, .{null});
}

fn unmappingUnderWorkPoisons() !void {
    var rig: Rig = try .init();
    const control = Control.open().?;
    const shared: Shared = try .create(&rig, granule);
    control.cudoubleHold(1);
    try rig.call(.cuMemsetD8Async, .{ shared.address, 1, granule, null });
    try expectEqual(1, control.cudoubleWaitHeld(1, 10_000));
    try shared.destroy(&rig);
    control.cudoubleHold(0);
    try rig.refused(.CUDA_ERROR_ILLEGAL_ADDRESS, .cuStreamSynchronize, .{null});
    // For good, in this context.
    var event: abi.CUevent = null;
    try rig.refused(.CUDA_ERROR_ILLEGAL_ADDRESS, .cuEventCreate, .{ &event, 0 });
}

fn theLastReleaseEndsTheContext() !void {
    var rig: Rig = try .init();
    var again: abi.CUcontext = null;
    try rig.call(.cuDevicePrimaryCtxRetain, .{ &again, 0 });
    try expectEqual(rig.context, again);
    try rig.call(.cuDevicePrimaryCtxRelease_v2, .{0});
    const event = try rig.createEvent();
    try rig.call(.cuDevicePrimaryCtxRelease_v2, .{0});
    try rig.refused(.CUDA_ERROR_CONTEXT_IS_DESTROYED, .cuEventQuery, .{event});
    try rig.refused(.CUDA_ERROR_INVALID_CONTEXT, .cuCtxPushCurrent_v2, .{rig.context});
    try rig.refused(.CUDA_ERROR_INVALID_CONTEXT, .cuDevicePrimaryCtxRelease_v2, .{0});
    const live = liveNow(Control.open().?);
    try expectEqual(0, live.contexts);
    // Not destroyed before its context: a leak.
    try expectEqual(1, live.events);
}

fn everyFunctionCanFail() !void {
    var failure: cuda.Failure = .none;
    const driver = try cuda.open(&failure);
    const control = Control.open().?;
    var scratch: [256]u8 align(16) = @splat(0);
    inline for (abi.functions, 0..) |declaration, index| {
        if (comptime std.mem.startsWith(u8, declaration.name, "cuGetError")) continue;
        const function: abi.Function = @enumFromInt(index);
        try expectEqual(.CUDA_SUCCESS, control.cudoubleFail(declaration.name ++ ":1=719"));
        var arguments: abi.Arguments(function) = undefined;
        inline for (declaration.parameters, 0..) |Parameter, position| {
            arguments[position] = switch (@typeInfo(Parameter)) {
                .pointer => @ptrCast(&scratch),
                .optional => null,
                .@"enum" => @enumFromInt(0),
                else => 0,
            };
        }
        try std.testing.expectError(error.CudaFailed, driver.call(function, arguments, &failure));
        try std.testing.expectEqualStrings(declaration.name, failure.call_failed.function);
        try std.testing.expectEqualStrings("CUDA_ERROR_LAUNCH_FAILED", failure.call_failed.name);
        try expectEqual(1, control.cudoubleCalls(declaration.name));
    }
    const malformed = [_][*:0]const u8{
        "cuMemCreate", "cuNothing:1=2", "cuMemCreate:x=2", "cuMemCreate:1=", "cuInit:1=2,", "=:",
    };
    for (malformed) |rules| {
        try expectEqual(.CUDA_ERROR_INVALID_VALUE, control.cudoubleFail(rules));
    }
    try expectEqual(std.math.maxInt(u64), control.cudoubleCalls("cuNothing"));
}

fn theChosenCallFails() !void {
    var rig: Rig = try .init();
    defer rig.deinit();
    const control = Control.open().?;
    var handles: [4]abi.CUmemGenericAllocationHandle = @splat(0);
    for (&handles, 1..) |*handle, nth| {
        const arguments = .{ handle, granule, &rig_.properties(0), 0 };
        if (nth == 3) {
            try rig.refused(.CUDA_ERROR_OUT_OF_MEMORY, .cuMemCreate, arguments);
            var buffer: [128]u8 = undefined;
            try std.testing.expectEqualStrings(
                "cuMemCreate failed: CUDA_ERROR_OUT_OF_MEMORY (out of memory)",
                try std.fmt.bufPrint(&buffer, "{f}", .{rig.failure}),
            );
        } else {
            try rig.call(.cuMemCreate, arguments);
            try rig.call(.cuMemRelease, .{handle.*});
        }
    }
    try expectEqual(0, handles[2]);
    try expectEqual(4, control.cudoubleCalls("cuMemCreate"));
    var event: abi.CUevent = null;
    for (0..3) |_| try rig.refused(.CUDA_ERROR_OPERATING_SYSTEM, .cuEventCreate, .{ &event, 0 });
    try expectEqual(0, liveNow(control).failed_calls);
    try expectEqual(.CUDA_SUCCESS, control.cudoubleFail(""));
    try rig.call(.cuEventCreate, .{ &event, 0 });
    try rig.call(.cuEventDestroy_v2, .{event});
}

fn memoryRunsOut() !void {
    var rig: Rig = try .init();
    defer rig.deinit();
    const whole = try rig.freeMemory();
    try expectEqual(4 * granule, whole);
    const own: Shared = try .create(&rig, granule);
    const peer: Peer = try .start("holder", &.{});
    _ = try rig_.receive(peer.socket, 'a');
    try expectEqual(granule, try rig.freeMemory());
    var handle: abi.CUmemGenericAllocationHandle = 0;
    try rig.refused(.CUDA_ERROR_OUT_OF_MEMORY, .cuMemCreate, .{ &handle, 2 * granule, &rig_.properties(0), 0 });
    var linear: abi.CUdeviceptr = 0;
    try rig.refused(.CUDA_ERROR_OUT_OF_MEMORY, .cuMemAlloc_v2, .{ &linear, granule + 1 });
    peer.kill();
    try expectEqual(128 + 9, peer.wait());
    try expectEqual(3 * granule, try rig.freeMemory());
    try own.destroy(&rig);
    try expectEqual(whole, try rig.freeMemory());
}

fn holder() !void {
    var rig: Rig = try .init();
    _ = try Shared.create(&rig, 2 * granule);
    try rig_.send(rig_.peer_socket, 'a', -1);
    _ = try rig_.receive(rig_.peer_socket, 'b');
}

fn descriptorsRunOut() !void {
    var rig: Rig = try .init();
    defer rig.deinit();
    const shared: Shared = try .create(&rig, granule);
    var before: linux.rlimit = undefined;
    _ = linux.prlimit(0, .NOFILE, null, &before);
    _ = linux.prlimit(0, .NOFILE, &.{ .cur = 0, .max = before.max }, null);
    var descriptor: c_int = -1;
    var handle: abi.CUmemGenericAllocationHandle = 0;
    try rig.refused(
        .CUDA_ERROR_OPERATING_SYSTEM,
        .cuMemExportToShareableHandle,
        .{ &descriptor, shared.handle, .POSIX_FILE_DESCRIPTOR, 0 },
    );
    _ = linux.prlimit(0, .NOFILE, &before, null);
    try expectEqual(-1, descriptor);
    const count = rig_.descriptorCount();
    try rig.call(.cuMemCreate, .{ &handle, granule, &rig_.properties(0), 0 });
    try rig.call(.cuMemRelease, .{handle});
    try expectEqual(count, rig_.descriptorCount());
    try shared.destroy(&rig);
    try expectEqual(count - 1, rig_.descriptorCount());
}

fn machinesDoNotShareMemory() !void {
    var rig: Rig = try .init();
    defer rig.deinit();
    const before = try rig.freeMemory();
    const peer: Peer = try .start("holder", &.{"CUDA_DOUBLE_MACHINE=another"});
    _ = try rig_.receive(peer.socket, 'a');
    try expectEqual(before, try rig.freeMemory());
    peer.kill();
    _ = peer.wait();
}

fn uuidOf(driver: *const cuda.Driver, ordinal: u32) !abi.CUuuid {
    var failure: cuda.Failure = .none;
    return (try devices.describe(driver, ordinal, &failure)).uuid;
}

fn ordinalsFollowVisibility() !void {
    var failure: cuda.Failure = .none;
    const driver = try cuda.open(&failure);
    const last = std.fmt.bytesToHex(try uuidOf(driver, 2), .lower);
    var buffer: [96]u8 = undefined;
    const by_uuid = try std.fmt.bufPrintZ(&buffer, "CUDA_VISIBLE_DEVICES=GPU-{s}-{s}-{s},0,9,1", .{
        last[0..8], last[8..12], last[12..16],
    });
    for ([_][:0]const u8{ "CUDA_VISIBLE_DEVICES=2,0", by_uuid, "CUDA_VISIBLE_DEVICES=2, 0,2,1" }) |setting| {
        const peer: Peer = try .start("lister", &.{setting});
        for ([_]u32{ 2, 0 }) |physical| {
            for (try uuidOf(driver, physical)) |byte| _ = try rig_.receive(peer.socket, byte);
        }
        try std.testing.expectError(error.PeerGone, rig_.receive(peer.socket, 0));
        try expectEqual(0, peer.wait());
    }
}

fn lister() !void {
    var failure: cuda.Failure = .none;
    const driver = try cuda.open(&failure);
    var all: [8]devices.Device = undefined;
    for (all[0..try devices.list(driver, &all, &failure)]) |device| {
        for (device.uuid) |byte| try rig_.send(rig_.peer_socket, byte, -1);
    }
}

fn memoryOfAnInvisibleDevice() !void {
    var rig: Rig = try .init();
    defer rig.deinit();
    const shared: Shared = try .create(&rig, granule);
    const descriptor = try shared.exported(&rig);
    const peer: Peer = try .start("importer", &.{"CUDA_VISIBLE_DEVICES=1"});
    try rig_.send(peer.socket, 'a', descriptor);
    try expectEqual(0, peer.wait());
    rig_.close(descriptor);
    try shared.destroy(&rig);
}

fn importer() !void {
    var rig: Rig = try .init();
    defer rig.deinit();
    const descriptor = try rig_.receive(rig_.peer_socket, 'a');
    var handle: abi.CUmemGenericAllocationHandle = 0;
    try rig.refused(.CUDA_ERROR_INVALID_DEVICE, .cuMemImportFromShareableHandle, .{
        &handle, @as(usize, @intCast(descriptor)), .POSIX_FILE_DESCRIPTOR,
    });
}

fn openFails() !void {
    var failure: cuda.Failure = .none;
    try std.testing.expectError(error.CudaUnsupported, cuda.open(&failure));
    std.debug.print("{f}\n", .{failure});
}

fn failureOfOpen() !cuda.Failure {
    var failure: cuda.Failure = .none;
    try std.testing.expectError(error.CudaUnsupported, cuda.open(&failure));
    std.debug.print("{f}\n", .{failure});
    return failure;
}

fn noDevice() !void {
    try expectEqual(abi.CUresult.CUDA_ERROR_NO_DEVICE, (try failureOfOpen()).no_device.result);
}

fn oldDriver() !void {
    const missing = (try failureOfOpen()).symbol_missing;
    try expectEqual(10010, missing.version);
    try expect(missing.since > missing.version);
}

fn missingFunction() !void {
    const missing = (try failureOfOpen()).symbol_missing;
    try std.testing.expectEqualStrings("cuMemUnmap", missing.symbol);
    try expectEqual(10020, missing.since);
    try expectEqual(13000, missing.version);
}

fn missingOptionalFunctions() !void {
    try contract.devicesAreListed();
    var failure: cuda.Failure = .none;
    const driver = try cuda.open(&failure);
    try expect(!driver.has(.cuDeviceGetUuid_v2) and !driver.has(.cuMemGetHandleForAddressRange));
    try expectEqual(0, (try devices.describe(driver, 0, &failure)).dma_buf);
}

fn noPermission() !void {
    try expectEqual(abi.CUresult.CUDA_ERROR_NOT_PERMITTED, (try failureOfOpen()).no_permission.result);
}

fn driverMismatch() !void {
    try expectEqual(abi.CUresult.CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, (try failureOfOpen()).driver_mismatch.result);
}

fn initializationFailsOnce() !void {
    try expectEqual(abi.CUresult.CUDA_ERROR_UNKNOWN, (try failureOfOpen()).initialization_failed.result);
    try contract.devicesAreListed();
    // The one that failed and the one that did not, whatever was opened since.
    try expectEqual(2, Control.open().?.cudoubleCalls("cuInit"));
}

fn devicesThatCannotShare() !void {
    var failure: cuda.Failure = .none;
    const driver = try cuda.open(&failure);
    try std.testing.expectError(error.CudaUnsupported, devices.requireShareable(driver, 0, &failure));
    try expectEqual(.virtual_memory_management, failure.device_unsupported.lacks);
    std.debug.print("{f}\n", .{failure});
    try std.testing.expectError(error.CudaUnsupported, devices.requireShareable(driver, 1, &failure));
    try expectEqual(.posix_file_descriptors, failure.device_unsupported.lacks);
    try devices.requireShareable(driver, 2, &failure);
    try expectEqual(0, (try devices.describe(driver, 1, &failure)).dma_buf);
    try expectEqual(1, (try devices.describe(driver, 2, &failure)).dma_buf);
    var handle: abi.CUmemGenericAllocationHandle = 0;
    for (0..2) |device| {
        const result = driver.functions.cuMemCreate(&handle, granule, &rig_.properties(@intCast(device)), 0);
        try expectEqual(.CUDA_ERROR_NOT_SUPPORTED, result);
    }
}

fn aDmaBufIsTheMemory() !void {
    var rig: Rig = try .init();
    defer rig.deinit();
    const shared: Shared = try .create(&rig, granule);
    try rig.call(.cuMemsetD8Async, .{ shared.address, 0x3c, granule, null });
    try rig.call(.cuStreamSynchronize, .{null});
    var descriptor: c_int = -1;
    try rig.call(.cuMemGetHandleForAddressRange, .{ &descriptor, shared.address, granule, .DMA_BUF_FD, 0 });
    try expectEqual(granule, linux.lseek(descriptor, 0, linux.SEEK.END));
    var byte: u8 = 0;
    try expectEqual(1, linux.pread(descriptor, @ptrCast(&byte), 1, granule - 1));
    try expectEqual(0x3c, byte);
    rig_.close(descriptor);
    try shared.destroy(&rig);
}
