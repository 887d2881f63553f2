//! These scenarios hold on a GPU as they do on the double: they are the contract that makes it a double.

const std = @import("std");
const cuda = @import("cuda");
const devices = cuda.devices;
const abi = cuda.abi;
const rig_ = @import("rig.zig");
const Rig = rig_.Rig;
const Shared = rig_.Shared;
const Peer = rig_.Peer;
const expect = rig_.expect;
const expectEqual = rig_.expectEqual;
const granule = rig_.granule;

pub fn devicesAreListed() !void {
    var failure: cuda.Failure = .none;
    const driver = try cuda.open(&failure);
    try expectEqual(driver, try cuda.open(&failure));
    var all: [devices.devices_max]devices.Device = undefined;
    const count = try devices.list(driver, &all, &failure);
    try expect(count > 0);
    for (all[0..count], 0..) |device, ordinal| {
        try expectEqual(ordinal, device.ordinal);
        try expectEqual(driver.version, device.driver_version);
        try expect(device.total_memory > 0 and device.compute_capability_major > 0);
        try expect(device.name[0] != 0 and std.mem.findScalar(u8, &device.name, 0) != null);
        try devices.requireShareable(driver, device.ordinal, &failure);
    }
    try std.testing.expectError(error.CudaFailed, devices.describe(driver, count, &failure));
    try expectEqual(abi.CUresult.CUDA_ERROR_INVALID_DEVICE, failure.call_failed.result);
}

pub fn memoryKeepsWhatIsWritten() !void {
    var rig: Rig = try .init();
    defer rig.deinit();
    var granularity: usize = 0;
    try rig.call(.cuMemGetAllocationGranularity, .{ &granularity, &rig_.properties(0), .MINIMUM });
    try expectEqual(granule, granularity);

    const before = try rig.freeMemory();
    const shared: Shared = try .create(&rig, 4 * granule);
    try expect(try rig.freeMemory() <= before - 4 * granule);
    try rig.call(.cuMemsetD8Async, .{ shared.address, 0x11, shared.size, null });

    // A picture of 100 × 6 in the middle of a pitched plane, from the host and back.
    const stream = try rig.createStream(abi.CU_STREAM_NON_BLOCKING);
    try rig.call(.cuStreamSynchronize, .{null});
    const picture = try rig.allocatePinned(100 * 6);
    for (picture, 0..) |*byte, index| byte.* = @truncate(index);
    try rig.call(.cuMemcpy2DAsync_v2, .{ &.{
        .srcMemoryType = .HOST,
        .srcHost = picture.ptr,
        .srcPitch = 100,
        .dstMemoryType = .DEVICE,
        .dstDevice = shared.address,
        .dstPitch = 256,
        .dstXInBytes = 16,
        .dstY = 2,
        .WidthInBytes = 100,
        .Height = 6,
    }, stream });
    try rig.call(.cuMemsetD2D8Async, .{ shared.address + 3 * 256 + 16, 256, 0x77, 10, 2, stream });
    var plane: [10 * 256]u8 = undefined;
    try rig.call(.cuStreamSynchronize, .{stream});
    try rig.read(shared.address, &plane);
    for (plane, 0..) |byte, index| {
        const row = index / 256;
        const column = index % 256;
        const inside = row >= 2 and row < 8 and column >= 16 and column < 116;
        const overwritten = inside and (row == 3 or row == 4) and column < 26;
        const expected: u8 = if (overwritten) 0x77 else if (inside) @truncate((row - 2) * 100 + column - 16) else 0x11;
        try expectEqual(expected, byte);
    }

    // Device to device, into memory of cuMemAlloc.
    var linear: abi.CUdeviceptr = 0;
    try rig.call(.cuMemAlloc_v2, .{ &linear, 1000 });
    try rig.call(.cuMemcpyDtoDAsync_v2, .{ linear, shared.address + 2 * 256 + 16, 100, null });
    var row: [100]u8 = undefined;
    try rig.read(linear, &row);
    try rig_.expectEqualSlices(u8, picture[0..100], &row);

    try rig.call(.cuMemFree_v2, .{linear});
    try rig.call(.cuMemFreeHost, .{picture.ptr});
    try rig.call(.cuStreamDestroy_v2, .{stream});
    try shared.destroy(&rig);
    try expectEqual(before, try rig.freeMemory());
}

/// What a publisher checks a foreign pointer by.
pub fn pointersAreToldApart() !void {
    var rig: Rig = try .init();
    defer rig.deinit();
    const shared: Shared = try .create(&rig, 2 * granule);
    const pinned = try rig.allocatePinned(4096);
    var linear: abi.CUdeviceptr = 0;
    try rig.call(.cuMemAlloc_v2, .{ &linear, 5000 });
    var on_stack: u8 = 0;

    const Seen = struct {
        memory_type: abi.CUmemorytype = undefined,
        ordinal: c_int = undefined,
        start: abi.CUdeviceptr = undefined,
        size: usize = undefined,
        access: c_uint = undefined,

        fn of(with: *Rig, address: u64) !@This() {
            // The driver leaves the range as it was for an address that it does not know.
            var seen: @This() = .{ .start = 7, .size = 7 };
            const attributes = [_]abi.CUpointer_attribute{
                .MEMORY_TYPE, .DEVICE_ORDINAL, .RANGE_START_ADDR, .RANGE_SIZE, .ACCESS_FLAGS,
            };
            const values = [_]*anyopaque{ &seen.memory_type, &seen.ordinal, &seen.start, &seen.size, &seen.access };
            try with.call(.cuPointerGetAttributes, .{ attributes.len, &attributes, &values, address });
            return seen;
        }
    };
    const of_shared: Seen = try .of(&rig, shared.address + 100);
    try expectEqual(.DEVICE, of_shared.memory_type);
    try expectEqual(0, of_shared.ordinal);
    try expectEqual(shared.address, of_shared.start);
    try expectEqual(shared.size, of_shared.size);
    try expectEqual(3, of_shared.access);
    const of_linear: Seen = try .of(&rig, linear + 4999);
    try expectEqual(.DEVICE, of_linear.memory_type);
    try expectEqual(linear, of_linear.start);
    try expectEqual(5000, of_linear.size);
    try expectEqual(.HOST, (try Seen.of(&rig, @intFromPtr(pinned.ptr))).memory_type);
    const unknown: Seen = try .of(&rig, @intFromPtr(&on_stack));
    try expectEqual(.UNKNOWN, unknown.memory_type);
    try expectEqual(-2, unknown.ordinal);
    try expectEqual(7, unknown.start);
    try expectEqual(7, unknown.size);
    try shared.setAccess(&rig, .READ);
    try expectEqual(1, (try Seen.of(&rig, shared.address)).access);

    var start: abi.CUdeviceptr = 0;
    var size: usize = 0;
    try rig.call(.cuMemGetAddressRange_v2, .{ &start, &size, linear + 10 });
    try expectEqual(linear, start);
    try expectEqual(5000, size);
    try rig.refused(.CUDA_ERROR_NOT_FOUND, .cuMemGetAddressRange_v2, .{ &start, &size, @intFromPtr(&on_stack) });
    try expectEqual(0, size);
    // Of a reservation: what is mapped there, where the attribute says all that is reserved.
    var wide: abi.CUdeviceptr = 0;
    try rig.call(.cuMemAddressReserve, .{ &wide, 4 * granule, 0, 0, 0 });
    try rig.call(.cuMemMap, .{ wide + granule, 2 * granule, 0, shared.handle, 0 });
    try rig.refused(.CUDA_ERROR_NOT_FOUND, .cuMemGetAddressRange_v2, .{ &start, &size, wide + granule + 5 });
    const inside: Shared = .{ .handle = shared.handle, .address = wide + granule, .size = 2 * granule };
    try inside.setAccess(&rig, .READ);
    try rig.call(.cuMemGetAddressRange_v2, .{ &start, &size, wide + granule + 5 });
    try expectEqual(wide + granule, start);
    try expectEqual(2 * granule, size);
    const of_wide: Seen = try .of(&rig, wide + granule + 5);
    try expectEqual(wide, of_wide.start);
    try expectEqual(4 * granule, of_wide.size);
    try rig.call(.cuMemUnmap, .{ wide + granule, 2 * granule });
    try rig.call(.cuMemAddressFree, .{ wide, 4 * granule });

    try rig.call(.cuMemFree_v2, .{linear});
    try rig.call(.cuMemFreeHost, .{pinned.ptr});
    try shared.destroy(&rig);
}

pub fn readOnlyMemoryIsNotWritten() !void {
    var rig: Rig = try .init();
    defer rig.deinit();
    const writable: Shared = try .create(&rig, granule);
    try rig.call(.cuMemsetD8Async, .{ writable.address, 0x42, granule, null });
    try rig.call(.cuStreamSynchronize, .{null});
    const descriptor = try writable.exported(&rig);
    const readable: Shared = try .import(&rig, descriptor, granule, .READ);
    rig_.close(descriptor);
    const bytes = try rig.allocatePinned(64);

    try rig.refused(.CUDA_ERROR_INVALID_VALUE, .cuMemsetD8Async, .{ readable.address, 1, 64, null });
    try rig.refused(.CUDA_ERROR_INVALID_VALUE, .cuMemsetD2D8Async, .{ readable.address, 64, 1, 32, 2, null });
    try rig.refused(.CUDA_ERROR_INVALID_VALUE, .cuMemcpyHtoDAsync_v2, .{ readable.address, bytes.ptr, 64, null });
    try rig.refused(
        .CUDA_ERROR_INVALID_VALUE,
        .cuMemcpyDtoDAsync_v2,
        .{ readable.address, writable.address, 64, null },
    );
    try rig.refused(.CUDA_ERROR_INVALID_VALUE, .cuMemcpy2DAsync_v2, .{ &.{
        .srcMemoryType = .DEVICE,
        .srcDevice = writable.address,
        .srcPitch = 64,
        .dstMemoryType = .DEVICE,
        .dstDevice = readable.address,
        .dstPitch = 64,
        .WidthInBytes = 32,
        .Height = 2,
    }, null });
    try rig.expectFilled(readable.address, 4096, 0x42);
    // Reading is allowed every way.
    try rig.call(.cuMemcpyDtoDAsync_v2, .{ writable.address + 4096, readable.address, 64, null });
    try rig.call(.cuStreamSynchronize, .{null});

    try rig.call(.cuMemFreeHost, .{bytes.ptr});
    try readable.destroy(&rig);
    try writable.destroy(&rig);
}

pub fn anotherProcessUsesTheSameMemory() !void {
    const peer: Peer = try .start("reader", &.{});
    var rig: Rig = try .init();
    defer rig.deinit();
    const shared: Shared = try .create(&rig, 2 * granule);
    try rig.call(.cuMemsetD8Async, .{ shared.address, 0xa5, shared.size, null });
    try rig.call(.cuStreamSynchronize, .{null});
    const descriptor = try shared.exported(&rig);
    try rig_.send(peer.socket, 'a', descriptor);
    rig_.close(descriptor);
    _ = try rig_.receive(peer.socket, 'b');
    try rig.call(.cuMemsetD8Async, .{ shared.address + granule, 0x5a, granule, null });
    try rig.call(.cuStreamSynchronize, .{null});
    try rig_.send(peer.socket, 'c', -1);
    _ = try rig_.receive(peer.socket, 'd');
    // What was freed here stays whole there.
    try shared.destroy(&rig);
    try rig_.send(peer.socket, 'e', -1);
    _ = try rig_.receive(peer.socket, 'f');
    try expectEqual(0, peer.wait());
}

pub fn reader() !void {
    var rig: Rig = try .init();
    defer rig.deinit();
    const descriptor = try rig_.receive(rig_.peer_socket, 'a');
    const shared: Shared = try .import(&rig, descriptor, 2 * granule, .READ);
    rig_.close(descriptor);
    try rig.expectFilled(shared.address, 8192, 0xa5);
    try rig.expectFilled(shared.address + shared.size - 8192, 8192, 0xa5);
    try rig.refused(.CUDA_ERROR_INVALID_VALUE, .cuMemsetD8Async, .{ shared.address, 0, 16, null });
    try rig_.send(rig_.peer_socket, 'b', -1);
    _ = try rig_.receive(rig_.peer_socket, 'c');
    try rig.expectFilled(shared.address, 8192, 0xa5);
    try rig.expectFilled(shared.address + granule, 8192, 0x5a);
    try rig_.send(rig_.peer_socket, 'd', -1);
    _ = try rig_.receive(rig_.peer_socket, 'e');
    try rig.expectFilled(shared.address + granule - 4096, 4096, 0xa5);
    try rig.expectFilled(shared.address + granule, 4096, 0x5a);
    try shared.destroy(&rig);
    try rig_.send(rig_.peer_socket, 'f', -1);
}

/// The default stream is busy while a blocking stream is. Destroying a stream lets its work finish.
pub fn streamsOfOneContextKnowEachOther() !void {
    var rig: Rig = try .init();
    defer rig.deinit();
    const shared: Shared = try .create(&rig, 32 * granule);
    const blocking = try rig.createStream(0);
    const event = try rig.createEvent();
    for (0..20) |_| try rig.call(.cuMemsetD8Async, .{ shared.address, 6, shared.size, blocking });
    try expect(!try rig.driver.isComplete(.cuStreamQuery, .{null}, &rig.failure));
    try rig.call(.cuEventRecord, .{ event, null });
    try expect(!try rig.isComplete(event));
    try rig.call(.cuStreamDestroy_v2, .{blocking});
    try rig.call(.cuEventSynchronize, .{event});
    try rig.expectFilled(shared.address + shared.size - 64, 64, 6);
    try rig.call(.cuEventDestroy_v2, .{event});
    try shared.destroy(&rig);
}

pub fn aDescriptorThatIsNoMemoryIsRefused() !void {
    var rig: Rig = try .init();
    defer rig.deinit();
    const before = rig_.descriptorCount();
    var handle: abi.CUmemGenericAllocationHandle = 0;
    const memfd: c_int = @intCast(std.os.linux.memfd_create("not of the GPU", 0));
    _ = std.os.linux.ftruncate(memfd, granule);
    for ([_]c_int{ memfd, 0, 999 }) |descriptor| {
        const imported = rig.driver.call(.cuMemImportFromShareableHandle, .{
            &handle, @as(usize, @intCast(descriptor)), .POSIX_FILE_DESCRIPTOR,
        }, &rig.failure);
        try std.testing.expectError(error.CudaFailed, imported);
    }
    rig_.close(memfd);
    try expectEqual(before, rig_.descriptorCount());
}

pub fn eventsFollowTheirStream() !void {
    var rig: Rig = try .init();
    defer rig.deinit();
    const shared: Shared = try .create(&rig, granule);
    const writer = try rig.createStream(abi.CU_STREAM_NON_BLOCKING);
    const copier = try rig.createStream(abi.CU_STREAM_NON_BLOCKING);
    const event = try rig.createEvent();
    try expect(try rig.isComplete(event));
    const bytes = try rig.allocatePinned(granule);
    for (0..50) |round| {
        const value: u8 = @truncate(round + 1);
        try rig.call(.cuMemsetD8Async, .{ shared.address, value, granule, writer });
        try rig.call(.cuEventRecord, .{ event, writer });
        try rig.call(.cuStreamWaitEvent, .{ copier, event, 0 });
        try rig.call(.cuMemcpyDtoHAsync_v2, .{ bytes.ptr, shared.address, granule, copier });
        try rig.call(.cuEventRecord, .{ event, copier });
        try rig.call(.cuEventSynchronize, .{event});
        try expect(try rig.isComplete(event));
        for (bytes) |byte| try expectEqual(value, byte);
    }
    try expect(try rig.driver.isComplete(.cuStreamQuery, .{writer}, &rig.failure));
    try rig.call(.cuEventDestroy_v2, .{event});
    try rig.call(.cuStreamDestroy_v2, .{writer});
    try rig.call(.cuStreamDestroy_v2, .{copier});
    try rig.call(.cuMemFreeHost, .{bytes.ptr});
    try shared.destroy(&rig);
}

/// Contexts are a stack of each thread's own. Shareable memory needs none; work does.
pub fn workNeedsAContext() !void {
    var rig: Rig = try .init();
    const shared: Shared = try .create(&rig, granule);
    const own_stream = try rig.createStream(abi.CU_STREAM_NON_BLOCKING);
    const own_event = try rig.createEvent();
    var device: abi.CUdevice = -1;
    try rig.call(.cuCtxGetDevice, .{&device});
    try expectEqual(0, device);
    var context: abi.CUcontext = null;
    try rig.call(.cuCtxPopCurrent_v2, .{&context});
    try expectEqual(rig.context, context);
    try rig.call(.cuCtxGetCurrent, .{&context});
    try expectEqual(null, context);
    try rig.refused(.CUDA_ERROR_INVALID_CONTEXT, .cuCtxPopCurrent_v2, .{&context});

    var size: usize = 0;
    var address: abi.CUdeviceptr = 0;
    var stream: abi.CUstream = null;
    var event: abi.CUevent = null;
    var pinned: ?*anyopaque = null;
    try rig.refused(.CUDA_ERROR_INVALID_CONTEXT, .cuCtxGetDevice, .{&device});
    try rig.refused(.CUDA_ERROR_INVALID_CONTEXT, .cuMemGetInfo_v2, .{ &size, &size });
    try rig.refused(.CUDA_ERROR_INVALID_CONTEXT, .cuMemAlloc_v2, .{ &address, 100 });
    try rig.refused(.CUDA_ERROR_INVALID_CONTEXT, .cuMemHostAlloc, .{ &pinned, 100, 0 });
    try rig.refused(.CUDA_ERROR_INVALID_CONTEXT, .cuStreamCreateWithPriority, .{ &stream, 0, 0 });
    try rig.refused(.CUDA_ERROR_INVALID_CONTEXT, .cuEventCreate, .{ &event, 0 });
    try rig.refused(.CUDA_ERROR_INVALID_CONTEXT, .cuMemsetD8Async, .{ shared.address, 0, 100, null });
    try rig.refused(.CUDA_ERROR_INVALID_CONTEXT, .cuStreamSynchronize, .{null});
    try rig.refused(.CUDA_ERROR_INVALID_CONTEXT, .cuMemGetAddressRange_v2, .{ null, &size, shared.address });
    try rig.refused(.CUDA_ERROR_INVALID_VALUE, .cuCtxPushCurrent_v2, .{null});
    // A stream's or an event's own context is enough.
    try rig.call(.cuMemsetD8Async, .{ shared.address, 0, 100, own_stream });
    try rig.call(.cuEventRecord, .{ own_event, own_stream });
    try rig.call(.cuStreamWaitEvent, .{ own_stream, own_event, 0 });
    try rig.call(.cuEventSynchronize, .{own_event});
    try expect(try rig.isComplete(own_event));
    try rig.call(.cuStreamSynchronize, .{own_stream});
    var memory_type: abi.CUmemorytype = .UNKNOWN;
    const attribute = [_]abi.CUpointer_attribute{.MEMORY_TYPE};
    const value = [_]*anyopaque{&memory_type};
    try rig.call(.cuPointerGetAttributes, .{ 1, &attribute, &value, shared.address });
    try expectEqual(.DEVICE, memory_type);
    try rig.call(.cuStreamDestroy_v2, .{own_stream});
    try rig.call(.cuEventDestroy_v2, .{own_event});
    const without: Shared = try .create(&rig, granule);
    rig_.close(try without.exported(&rig));
    try without.destroy(&rig);

    const thread = try std.Thread.spawn(.{}, otherThread, .{rig.driver});
    try rig.call(.cuCtxSetCurrent, .{rig.context});
    thread.join();
    try rig.call(.cuMemsetD8Async, .{ shared.address, 0, 100, null });
    try rig.call(.cuStreamSynchronize, .{null});
    try shared.destroy(&rig);
    rig.deinit();
}

fn otherThread(driver: *const cuda.Driver) void {
    var context: abi.CUcontext = null;
    std.debug.assert(driver.functions.cuCtxGetCurrent(&context) == .CUDA_SUCCESS);
    std.debug.assert(context == null);
}

/// Each thread in streams and memory of its own, and each one's work waiting for the next one's.
pub fn threadsWorkAtOnce() !void {
    var rig: Rig = try .init();
    defer rig.deinit();
    var threads: [4]std.Thread = undefined;
    var done: [threads.len]bool = @splat(false);
    const event = try rig.createEvent();
    for (&threads, &done) |*thread, *flag| thread.* = try .spawn(.{}, workAlone, .{ rig, event, flag });
    for (0..100) |_| try rig.call(.cuEventRecord, .{ event, null });
    for (threads) |thread| thread.join();
    for (done) |flag| try expect(flag);
    try rig.call(.cuEventDestroy_v2, .{event});
}

fn workAlone(common: Rig, event: abi.CUevent, done: *bool) void {
    workAloneOrFail(common, event) catch |reason| return std.debug.print("{t}\n", .{reason});
    done.* = true;
}

fn workAloneOrFail(common: Rig, event: abi.CUevent) !void {
    var rig = common;
    try rig.call(.cuCtxPushCurrent_v2, .{rig.context});
    for (0..20) |round| {
        const value: u8 = @truncate(round + 1);
        const shared: Shared = try .create(&rig, granule);
        const stream = try rig.createStream(abi.CU_STREAM_NON_BLOCKING);
        const own = try rig.createEvent();
        const bytes = try rig.allocatePinned(4096);
        try rig.call(.cuStreamWaitEvent, .{ stream, event, 0 });
        try rig.call(.cuMemsetD8Async, .{ shared.address, value, granule, stream });
        try rig.call(.cuMemcpyDtoHAsync_v2, .{ bytes.ptr, shared.address + granule - 4096, 4096, stream });
        try rig.call(.cuEventRecord, .{ own, stream });
        if (round % 2 == 0) {
            try rig.call(.cuEventSynchronize, .{own});
        } else {
            while (!try rig.isComplete(own)) std.atomic.spinLoopHint();
        }
        for (bytes) |byte| try expectEqual(value, byte);
        try rig.call(.cuMemFreeHost, .{bytes.ptr});
        try rig.call(.cuEventDestroy_v2, .{own});
        try rig.call(.cuStreamDestroy_v2, .{stream});
        try shared.destroy(&rig);
    }
    var context: abi.CUcontext = null;
    try rig.call(.cuCtxPopCurrent_v2, .{&context});
}

pub fn wrongArgumentsAreRefused() !void {
    var rig: Rig = try .init();
    defer rig.deinit();
    const shared: Shared = try .create(&rig, granule);
    const bytes = try rig.allocatePinned(4096);
    var handle: abi.CUmemGenericAllocationHandle = 0;
    var descriptor: c_int = -1;
    try rig.refused(.CUDA_ERROR_INVALID_VALUE, .cuMemCreate, .{ &handle, granule + 1, &rig_.properties(0), 0 });
    try rig.refused(.CUDA_ERROR_INVALID_VALUE, .cuMemMap, .{ shared.address, granule, 0, shared.handle, 0 });
    try rig.refused(.CUDA_ERROR_INVALID_VALUE, .cuMemUnmap, .{ shared.address, granule / 2 });
    try rig.refused(.CUDA_ERROR_INVALID_VALUE, .cuMemAddressFree, .{ shared.address + granule, granule });
    const nowhere = [1]abi.CUmemAccessDesc{.{ .location = .{ .type = .DEVICE, .id = 99 }, .flags = .READ }};
    try rig.refused(.CUDA_ERROR_INVALID_VALUE, .cuMemSetAccess, .{ shared.address, granule, &nowhere, 1 });
    // A part of an allocation cannot be mapped.
    const whole: Shared = try .create(&rig, 2 * granule);
    var part: abi.CUdeviceptr = 0;
    try rig.call(.cuMemAddressReserve, .{ &part, 4 * granule, 0, 0, 0 });
    try rig.refused(.CUDA_ERROR_NOT_SUPPORTED, .cuMemMap, .{ part, granule, 0, whole.handle, 0 });
    try rig.refused(.CUDA_ERROR_NOT_SUPPORTED, .cuMemMap, .{ part, granule, granule, whole.handle, 0 });
    try rig.refused(.CUDA_ERROR_NOT_SUPPORTED, .cuMemMap, .{ part, 4 * granule, 0, whole.handle, 0 });
    try rig.call(.cuMemAddressFree, .{ part, 4 * granule });
    try whole.destroy(&rig);
    // Past the end of what is mapped.
    try rig.refused(.CUDA_ERROR_INVALID_VALUE, .cuMemsetD8Async, .{ shared.address + granule - 10, 0, 11, null });
    // Memory that was not made to be shared.
    var private = rig_.properties(0);
    private.requestedHandleTypes = .NONE;
    try rig.call(.cuMemCreate, .{ &handle, granule, &private, 0 });
    try rig.refused(
        .CUDA_ERROR_INVALID_VALUE,
        .cuMemExportToShareableHandle,
        .{ &descriptor, handle, .POSIX_FILE_DESCRIPTOR, 0 },
    );
    try rig.call(.cuMemRelease, .{handle});
    // A pitch narrower than the rows.
    try rig.refused(.CUDA_ERROR_INVALID_VALUE, .cuMemcpy2DAsync_v2, .{ &.{
        .srcMemoryType = .HOST,
        .srcHost = bytes.ptr,
        .srcPitch = 63,
        .dstMemoryType = .DEVICE,
        .dstDevice = shared.address,
        .dstPitch = 64,
        .WidthInBytes = 64,
        .Height = 4,
    }, null });
    // No access yet: mapped is not enough.
    try shared.setAccess(&rig, .NONE);
    try rig.refused(.CUDA_ERROR_INVALID_VALUE, .cuMemcpyDtoHAsync_v2, .{ bytes.ptr, shared.address, 64, null });
    try rig.call(.cuMemFreeHost, .{bytes.ptr});
    try shared.destroy(&rig);
}

pub fn aForkIsNotInitialized() !void {
    var rig: Rig = try .init();
    defer rig.deinit();
    const child = std.c.fork();
    if (child == 0) {
        const result = rig.driver.functions.cuInit(0);
        std.c._exit(if (result == .CUDA_ERROR_NOT_INITIALIZED) 0 else 1);
    }
    const peer: Peer = .{ .pid = child, .socket = -1 };
    try expectEqual(0, peer.wait());
}
