//! This file has the driver's functions, by name. Each runs with the lock held, its preconditions checked (see
//! `needsOf`), and outside of injected failures.

const std = @import("std");
const cuda = @import("cuda");
const abi = cuda.abi;
const CUresult = abi.CUresult;

const machine = @import("machine.zig");
const memory = @import("memory.zig");
const images = @import("images.zig");
const streams = @import("streams.zig");

const ok: CUresult = .CUDA_SUCCESS;
const invalid: CUresult = .CUDA_ERROR_INVALID_VALUE;

pub var initialized = false;
/// Set in a child of fork: CUDA does not survive one without exec, and neither do the streams' threads.
pub var forked = false;

/// What must be so before a function does anything. Work on a stream or an event happens in the context
/// of that handle, whatever is current; only the default stream is the current context's.
pub const Needs = enum { nothing, initialization, context };

pub fn needsOf(comptime function: abi.Function) Needs {
    return switch (function) {
        .cuInit,
        .cuDriverGetVersion,
        .cuGetErrorName,
        .cuGetErrorString,
        => .nothing,

        .cuDeviceGetCount,
        .cuDeviceGet,
        .cuDeviceGetName,
        .cuDeviceGetUuid,
        .cuDeviceGetUuid_v2,
        .cuDeviceGetAttribute,
        .cuDeviceTotalMem_v2,
        .cuDevicePrimaryCtxRetain,
        .cuDevicePrimaryCtxRelease_v2,
        .cuCtxPushCurrent_v2,
        .cuCtxPopCurrent_v2,
        .cuCtxSetCurrent,
        .cuCtxGetCurrent,
        .cuMemGetAllocationGranularity,
        .cuMemCreate,
        .cuMemRelease,
        .cuMemExportToShareableHandle,
        .cuMemImportFromShareableHandle,
        .cuMemAddressReserve,
        .cuMemAddressFree,
        .cuMemMap,
        .cuMemUnmap,
        .cuMemSetAccess,
        .cuMemFree_v2,
        .cuMemFreeHost,
        .cuPointerGetAttributes,
        .cuArrayGetDescriptor_v2,
        .cuGraphicsUnregisterResource,
        .cuGraphicsResourceGetMappedEglFrame,
        .cuMemcpy2DAsync_v2,
        .cuMemcpyDtoHAsync_v2,
        .cuMemcpyHtoDAsync_v2,
        .cuMemcpyDtoDAsync_v2,
        .cuMemsetD8Async,
        .cuMemsetD2D8Async,
        .cuStreamDestroy_v2,
        .cuStreamSynchronize,
        .cuStreamQuery,
        .cuStreamWaitEvent,
        .cuEventDestroy_v2,
        .cuEventRecord,
        .cuEventQuery,
        .cuEventSynchronize,
        => .initialization,

        .cuCtxGetDevice,
        .cuMemGetInfo_v2,
        .cuMemGetHandleForAddressRange,
        .cuMemAlloc_v2,
        .cuMemHostAlloc,
        .cuMemGetAddressRange_v2,
        .cuGraphicsEGLRegisterImage,
        .cuStreamCreateWithPriority,
        .cuEventCreate,
        => .context,
    };
}

// The driver

pub fn cuInit(flags: c_uint) CUresult {
    if (forked) return .CUDA_ERROR_NOT_INITIALIZED;
    if (flags != 0) return invalid;
    if (machine.visible.len == 0) return .CUDA_ERROR_NO_DEVICE;
    initialized = true;
    return ok;
}

pub fn cuDriverGetVersion(version: *c_int) CUresult {
    version.* = @intCast(machine.config.driver_version);
    return ok;
}

pub fn cuGetErrorName(code: CUresult, name: *?[*:0]const u8) CUresult {
    name.* = null;
    name.* = std.enums.tagName(CUresult, code) orelse return invalid;
    return ok;
}

pub fn cuGetErrorString(code: CUresult, text: *?[*:0]const u8) CUresult {
    text.* = switch (code) {
        .CUDA_SUCCESS => "no error",
        .CUDA_ERROR_INVALID_VALUE => "invalid argument",
        .CUDA_ERROR_OUT_OF_MEMORY => "out of memory",
        .CUDA_ERROR_NOT_INITIALIZED => "initialization error",
        .CUDA_ERROR_NO_DEVICE => "no CUDA-capable device is detected",
        .CUDA_ERROR_INVALID_DEVICE => "invalid device ordinal",
        .CUDA_ERROR_INVALID_CONTEXT => "invalid device context",
        .CUDA_ERROR_INVALID_HANDLE => "invalid resource handle",
        .CUDA_ERROR_NOT_READY => "device not ready",
        .CUDA_ERROR_ILLEGAL_ADDRESS => "an illegal memory access was encountered",
        .CUDA_ERROR_NOT_SUPPORTED => "operation not supported",
        .CUDA_ERROR_UNKNOWN => "unknown error",
        else => if (std.enums.tagName(CUresult, code) != null) "a failure of the double" else {
            text.* = null;
            return invalid;
        },
    };
    return ok;
}

// Devices

pub fn cuDeviceGetCount(count: *c_int) CUresult {
    count.* = @intCast(machine.visible.len);
    return ok;
}

pub fn cuDeviceGet(device: *abi.CUdevice, ordinal: c_int) CUresult {
    if (machine.physical(ordinal) == null) return .CUDA_ERROR_INVALID_DEVICE;
    device.* = ordinal;
    return ok;
}

pub fn cuDeviceGetName(name: [*]u8, size: c_int, device: abi.CUdevice) CUresult {
    const index = machine.physical(device) orelse return .CUDA_ERROR_INVALID_DEVICE;
    if (size <= 0) return invalid;
    var buffer: [32]u8 = undefined;
    const full = std.fmt.bufPrint(&buffer, "Test Double {d}", .{index}) catch unreachable;
    const length = @min(full.len, @as(usize, @intCast(size - 1)));
    @memcpy(name[0..length], full[0..length]);
    name[length] = 0;
    return ok;
}

pub fn cuDeviceGetUuid(uuid: *abi.CUuuid, device: abi.CUdevice) CUresult {
    uuid.* = machine.uuid(machine.physical(device) orelse return .CUDA_ERROR_INVALID_DEVICE);
    return ok;
}

pub const cuDeviceGetUuid_v2 = cuDeviceGetUuid;

pub fn cuDeviceGetAttribute(value: *c_int, attribute: abi.CUdevice_attribute, device: abi.CUdevice) CUresult {
    const index = machine.physical(device) orelse return .CUDA_ERROR_INVALID_DEVICE;
    value.* = switch (attribute) {
        .COMPUTE_CAPABILITY_MAJOR => 9,
        .COMPUTE_CAPABILITY_MINOR => 0,
        .VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED => @intFromBool(!machine.lacks(machine.config.no_vmm, index)),
        .HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED => @intFromBool(!machine.lacks(machine.config.no_posix_fd, index)),
        .DMA_BUF_SUPPORTED => @intFromBool(!machine.lacks(machine.config.no_dma_buf, index)),
        _ => return invalid,
    };
    return ok;
}

pub fn cuDeviceTotalMem_v2(bytes: *usize, device: abi.CUdevice) CUresult {
    if (machine.physical(device) == null) return .CUDA_ERROR_INVALID_DEVICE;
    bytes.* = machine.config.memory;
    return ok;
}

// Contexts

pub fn cuDevicePrimaryCtxRetain(context: *abi.CUcontext, device: abi.CUdevice) CUresult {
    const index = machine.physical(device) orelse return .CUDA_ERROR_INVALID_DEVICE;
    var handle: u64 = 0;
    const result = streams.retainPrimary(index, &handle);
    if (result == ok) context.* = @ptrFromInt(handle);
    return result;
}

pub fn cuDevicePrimaryCtxRelease_v2(device: abi.CUdevice) CUresult {
    return streams.releasePrimary(machine.physical(device) orelse return .CUDA_ERROR_INVALID_DEVICE);
}

pub fn cuCtxPushCurrent_v2(context: abi.CUcontext) CUresult {
    const handle = @intFromPtr(context);
    if (handle == 0) return invalid;
    if (streams.contexts.get(handle) == null) return .CUDA_ERROR_INVALID_CONTEXT;
    if (streams.stack_len == streams.stack.len) return .CUDA_ERROR_OUT_OF_MEMORY;
    streams.stack[streams.stack_len] = handle;
    streams.stack_len += 1;
    return ok;
}

pub fn cuCtxPopCurrent_v2(context: *abi.CUcontext) CUresult {
    if (streams.stack_len == 0) return .CUDA_ERROR_INVALID_CONTEXT;
    context.* = @ptrFromInt(streams.current());
    streams.stack_len -= 1;
    return ok;
}

pub fn cuCtxSetCurrent(context: abi.CUcontext) CUresult {
    if (streams.stack_len == 0) {
        return if (context == null) ok else cuCtxPushCurrent_v2(context);
    }
    const handle = @intFromPtr(context);
    if (handle != 0 and streams.contexts.get(handle) == null) return .CUDA_ERROR_INVALID_CONTEXT;
    if (handle == 0) streams.stack_len -= 1 else streams.stack[streams.stack_len - 1] = handle;
    return ok;
}

pub fn cuCtxGetCurrent(context: *abi.CUcontext) CUresult {
    context.* = @ptrFromInt(streams.current());
    return ok;
}

pub fn cuCtxGetDevice(device: *abi.CUdevice) CUresult {
    device.* = machine.ordinalOf(currentDevice()).?;
    return ok;
}

fn currentDevice() u32 {
    return streams.contexts.get(streams.current()).?.device;
}

// Memory that can be shared

pub fn cuMemGetInfo_v2(free: *usize, total: *usize) CUresult {
    total.* = machine.config.memory;
    free.* = machine.config.memory -| memory.used(currentDevice());
    return ok;
}

/// The physical device that a property or an access is about, or why there is none.
fn located(location: abi.CUmemLocation, device: *u32) CUresult {
    if (location.type != .DEVICE) return invalid;
    device.* = machine.physical(location.id) orelse return .CUDA_ERROR_INVALID_DEVICE;
    return if (machine.lacks(machine.config.no_vmm, device.*)) .CUDA_ERROR_NOT_SUPPORTED else ok;
}

fn checkProperties(properties: *const abi.CUmemAllocationProp, device: *u32) CUresult {
    if (properties.type != .PINNED or properties.win32HandleMetaData != null) return invalid;
    const result = located(properties.location, device);
    if (result != ok) return result;
    return switch (properties.requestedHandleTypes) {
        .NONE => ok,
        .POSIX_FILE_DESCRIPTOR => if (machine.lacks(
            machine.config.no_posix_fd,
            device.*,
        )) .CUDA_ERROR_NOT_SUPPORTED else ok,
        _ => .CUDA_ERROR_NOT_SUPPORTED,
    };
}

pub fn cuMemGetAllocationGranularity(
    granularity: *usize,
    properties: *const abi.CUmemAllocationProp,
    option: abi.CUmemAllocationGranularity_flags,
) CUresult {
    var device: u32 = undefined;
    const result = checkProperties(properties, &device);
    if (result != ok) return result;
    if (option != .MINIMUM and option != .RECOMMENDED) return invalid;
    granularity.* = machine.granularity;
    return ok;
}

pub fn cuMemCreate(
    handle: *abi.CUmemGenericAllocationHandle,
    size: usize,
    properties: *const abi.CUmemAllocationProp,
    flags: c_ulonglong,
) CUresult {
    var device: u32 = undefined;
    const result = checkProperties(properties, &device);
    if (result != ok) return result;
    if (size == 0 or size % machine.granularity != 0 or flags != 0) return invalid;
    return memory.create(device, size, properties.requestedHandleTypes == .POSIX_FILE_DESCRIPTOR, handle);
}

pub fn cuMemRelease(handle: abi.CUmemGenericAllocationHandle) CUresult {
    if (memory.held(handle) == null) return invalid;
    memory.releaseHandle(handle);
    return ok;
}

pub fn cuMemExportToShareableHandle(
    shareable: *anyopaque,
    handle: abi.CUmemGenericAllocationHandle,
    handle_type: abi.CUmemAllocationHandleType,
    flags: c_ulonglong,
) CUresult {
    const allocation = memory.held(handle) orelse return invalid;
    if (handle_type != .POSIX_FILE_DESCRIPTOR or flags != 0 or !allocation.exportable) return invalid;
    return memory.duplicate(allocation, @ptrCast(@alignCast(shareable)));
}

pub fn cuMemImportFromShareableHandle(
    handle: *abi.CUmemGenericAllocationHandle,
    os_handle: usize,
    handle_type: abi.CUmemAllocationHandleType,
) CUresult {
    if (handle_type != .POSIX_FILE_DESCRIPTOR) return invalid;
    return memory.import(std.math.cast(c_int, os_handle) orelse return .CUDA_ERROR_UNKNOWN, handle);
}

pub fn cuMemAddressReserve(
    address: *abi.CUdeviceptr,
    size: usize,
    alignment: usize,
    wanted: abi.CUdeviceptr,
    flags: c_ulonglong,
) CUresult {
    // A wanted address is a hint, which the driver may ignore.
    _ = wanted;
    if (size == 0 or size % machine.granularity != 0 or flags != 0) return invalid;
    if (alignment != 0 and !std.math.isPowerOfTwo(alignment)) return invalid;
    if (memory.reservations.isFull()) return .CUDA_ERROR_OUT_OF_MEMORY;
    const result = memory.reserve(size, @max(alignment, machine.granularity), address);
    if (result == ok) memory.reservations.add(.{ .start = address.*, .size = size });
    return result;
}

pub fn cuMemAddressFree(address: abi.CUdeviceptr, size: usize) CUresult {
    const reservation = memory.reservations.at(address) orelse return invalid;
    if (reservation.size != size or memory.mappings.overlaps(address, size)) return invalid;
    memory.unreserve(address, size);
    memory.reservations.remove(reservation);
    return ok;
}

pub fn cuMemMap(
    address: abi.CUdeviceptr,
    size: usize,
    offset: usize,
    handle: abi.CUmemGenericAllocationHandle,
    flags: c_ulonglong,
) CUresult {
    const allocation = memory.held(handle) orelse return invalid;
    if (size == 0 or size % machine.granularity != 0 or address % machine.granularity != 0) return invalid;
    if (flags != 0) return invalid;
    if (offset != 0 or size != allocation.alias.len) return .CUDA_ERROR_NOT_SUPPORTED;
    if (memory.reservations.find(address, size) == null or memory.mappings.overlaps(address, size)) return invalid;
    if (memory.mappings.isFull()) return .CUDA_ERROR_OUT_OF_MEMORY;
    memory.map(address, size, handle, 0);
    return ok;
}

/// Whether whole mappings fill a range to its last byte.
fn isTiled(address: abi.CUdeviceptr, size: usize) bool {
    var tiled: usize = 0;
    while (tiled < size) {
        const mapping = memory.mappings.at(address + tiled) orelse return false;
        if (mapping.linear_context != 0) return false;
        tiled += mapping.size;
    }
    return size > 0 and tiled == size;
}

pub fn cuMemUnmap(address: abi.CUdeviceptr, size: usize) CUresult {
    if (!isTiled(address, size)) return invalid;
    var unmapped: usize = 0;
    while (unmapped < size) {
        const mapping = memory.mappings.at(address + unmapped).?;
        unmapped += mapping.size;
        memory.unmap(mapping);
    }
    return ok;
}

pub fn cuMemSetAccess(
    address: abi.CUdeviceptr,
    size: usize,
    descriptions: [*]const abi.CUmemAccessDesc,
    count: usize,
) CUresult {
    if (!isTiled(address, size) or count == 0 or count > machine.devices_max) return invalid;
    for (descriptions[0..count]) |description| {
        if (description.location.type != .DEVICE or machine.physical(description.location.id) == null) return invalid;
        switch (description.flags) {
            .NONE, .READ, .READWRITE => {},
            _ => return invalid,
        }
    }
    for (descriptions[0..count]) |description| {
        const device = machine.physical(description.location.id).?;
        var done: usize = 0;
        while (done < size) {
            const mapping = memory.mappings.at(address + done).?;
            mapping.access[device] = description.flags;
            done += mapping.size;
        }
    }
    return ok;
}

pub fn cuMemGetHandleForAddressRange(
    handle: *anyopaque,
    address: abi.CUdeviceptr,
    size: usize,
    handle_type: abi.CUmemRangeHandleType,
    flags: c_ulonglong,
) CUresult {
    const mapping = memory.mappings.at(address) orelse return invalid;
    const allocation = memory.allocations.get(mapping.allocation).?;
    if (handle_type != .DMA_BUF_FD or flags > 1) return invalid;
    if (machine.lacks(machine.config.no_dma_buf, allocation.device)) return .CUDA_ERROR_NOT_SUPPORTED;
    // The double has no descriptor of a part.
    if (size != allocation.alias.len) return invalid;
    return memory.duplicate(allocation, @ptrCast(@alignCast(handle)));
}

// Memory of this process

pub fn cuMemAlloc_v2(address: *abi.CUdeviceptr, size: usize) CUresult {
    if (size == 0) return invalid;
    if (memory.mappings.isFull()) return .CUDA_ERROR_OUT_OF_MEMORY;
    const whole = std.mem.alignForward(usize, size, machine.granularity);
    const device = currentDevice();
    var handle: u64 = undefined;
    const created = memory.create(device, whole, false, &handle);
    if (created != ok) return created;
    const reserved = memory.reserve(whole, machine.granularity, address);
    if (reserved == ok) memory.map(address.*, size, handle, streams.current());
    memory.releaseHandle(handle);
    return reserved;
}

pub fn cuMemFree_v2(address: abi.CUdeviceptr) CUresult {
    if (address == 0) return ok;
    const context = (memory.mappings.at(address) orelse return invalid).linear_context;
    if (context == 0) return invalid;
    const state = streams.stateOf(context);
    if (state != ok) return state;
    // As on a GPU, memory is freed once nothing uses it.
    streams.drain(context);
    const mapping = memory.mappings.at(address) orelse return invalid;
    memory.unreserve(address, std.mem.alignForward(usize, mapping.size, machine.granularity));
    memory.unmap(mapping);
    return ok;
}

pub fn cuMemHostAlloc(address: *?*anyopaque, size: usize, flags: c_uint) CUresult {
    if (size == 0 or flags > 7) return invalid;
    var start: u64 = undefined;
    const result = memory.allocatePinned(size, streams.current(), &start);
    if (result == ok) address.* = @ptrFromInt(start);
    return result;
}

pub fn cuMemFreeHost(address: *anyopaque) CUresult {
    const context = (memory.pinned.at(@intFromPtr(address)) orelse return invalid).context;
    const state = streams.stateOf(context);
    if (state != ok) return state;
    streams.drain(context);
    memory.freePinned(memory.pinned.at(@intFromPtr(address)) orelse return invalid);
    return ok;
}

pub fn cuMemGetAddressRange_v2(start: ?*abi.CUdeviceptr, size: ?*usize, address: abi.CUdeviceptr) CUresult {
    // Memory that the device has no access to yet is not found.
    const mapping = if (memory.resolve(
        address,
        1,
        currentDevice(),
        false,
    ) == null) null else memory.mappings.find(address, 1);
    if (start) |out| out.* = if (mapping) |mapped| mapped.start else 0;
    if (size) |out| out.* = if (mapping) |mapped| mapped.size else 0;
    return if (mapping == null) .CUDA_ERROR_NOT_FOUND else ok;
}

pub fn cuPointerGetAttributes(
    count: c_uint,
    attributes: [*]const abi.CUpointer_attribute,
    values: [*]const *anyopaque,
    address: abi.CUdeviceptr,
) CUresult {
    const mapping = memory.mappings.find(address, 1);
    const pinned = memory.pinned.find(address, 1);
    // The whole reservation, where there is one.
    const range: ?memory.Reservation = if (pinned) |host|
        .{ .start = host.start, .size = host.size }
    else if (memory.reservations.find(address, 1)) |reservation|
        reservation.*
    else if (mapping) |mapped| .{ .start = mapped.start, .size = mapped.size } else null;
    // Where the pointer's memory is, and the context it belongs to.
    const device: ?u32 = if (mapping) |mapped|
        memory.allocations.get(mapped.allocation).?.device
    else if (pinned) |host| contextDevice(host.context) else null;
    const context = if (pinned) |host| host.context else if (mapping) |mapped| mapped.linear_context else 0;

    for (attributes[0..count], values[0..count]) |attribute, value| {
        switch (attribute) {
            .CONTEXT => put(value, u64, context),
            .MEMORY_TYPE => put(
                value,
                abi.CUmemorytype,
                if (pinned != null) .HOST else if (mapping != null) .DEVICE else .UNKNOWN,
            ),
            .DEVICE_POINTER => put(value, u64, if (mapping != null or pinned != null) address else 0),
            .HOST_POINTER => put(value, u64, if (pinned != null) address else 0),
            .IS_MANAGED => put(value, c_uint, 0),
            .DEVICE_ORDINAL => put(value, c_int, if (device) |index| machine.ordinalOf(index) orelse -2 else -2),
            // The driver leaves these two as they were for an address that it does not know.
            .RANGE_START_ADDR => if (range) |known| put(value, u64, known.start),
            .RANGE_SIZE => if (range) |known| put(value, usize, known.size),
            .MAPPED => put(value, c_uint, @intFromBool(mapping != null or pinned != null)),
            .ACCESS_FLAGS => put(value, abi.CUmemAccess_flags, if (mapping) |mapped|
                if (mapped.linear_context != 0) .READWRITE else mapped.access[
                    contextDevice(
                        streams.current(),
                    ) orelse device.?
                ]
            else if (pinned != null) .READWRITE else .NONE),
            .MAPPING_SIZE => put(
                value,
                usize,
                if (mapping) |mapped| std.mem.alignForward(usize, mapped.size, machine.granularity) else 0,
            ),
            .MAPPING_BASE_ADDR => put(value, u64, if (mapping) |mapped| mapped.start else 0),
            _ => return invalid,
        }
    }
    return ok;
}

fn put(out: *anyopaque, comptime T: type, value: T) void {
    @as(*T, @ptrCast(@alignCast(out))).* = value;
}

fn contextDevice(context: u64) ?u32 {
    return (streams.contexts.get(context) orelse return null).device;
}

// Copies and fills

const pitch_max = std.math.maxInt(i32);

pub fn cuMemcpy2DAsync_v2(copy: *const abi.CUDA_MEMCPY2D, stream: abi.CUstream) CUresult {
    if (copy.WidthInBytes == 0 or copy.Height == 0) return ok;
    var from: streams.Side = undefined;
    var to: streams.Side = undefined;
    const source = if (copy.srcMemoryType == .ARRAY) arraySide(copy, &from) else side(copy.srcMemoryType, @intFromPtr(
        copy.srcHost,
    ), copy.srcDevice, .{
        .x = copy.srcXInBytes,
        .y = copy.srcY,
        .pitch = copy.srcPitch,
    }, copy, &from);
    if (source != ok) return source;
    const destination = side(copy.dstMemoryType, @intFromPtr(copy.dstHost), copy.dstDevice, .{
        .x = copy.dstXInBytes,
        .y = copy.dstY,
        .pitch = copy.dstPitch,
    }, copy, &to);
    if (destination != ok) return destination;
    return submit(.{
        .width = copy.WidthInBytes,
        .height = copy.Height,
        .to = to,
        .from = .{ .memory = from },
        .delay_us = machine.config.delay_us,
    }, stream);
}

fn arraySide(copy: *const abi.CUDA_MEMCPY2D, result: *streams.Side) CUresult {
    const array = images.arrayOf(@intFromPtr(copy.srcArray)) orelse return .CUDA_ERROR_INVALID_HANDLE;
    if (copy.srcXInBytes + copy.WidthInBytes > array.row_bytes or copy.srcY + copy.Height > array.rows) return invalid;
    result.* = .{ .address = array.address + copy.srcY * array.pitch + copy.srcXInBytes, .pitch = array.pitch };
    return ok;
}

const Origin = struct { x: usize, y: usize, pitch: usize };

fn side(
    memory_type: abi.CUmemorytype,
    host: u64,
    device: u64,
    origin: Origin,
    copy: *const abi.CUDA_MEMCPY2D,
    result: *streams.Side,
) CUresult {
    const start = switch (memory_type) {
        .HOST => host,
        .DEVICE => device,
        // The double has arrays as sources only.
        .ARRAY, .UNIFIED => return .CUDA_ERROR_NOT_SUPPORTED,
        .UNKNOWN, _ => return invalid,
    };
    const width = std.math.add(usize, origin.x, copy.WidthInBytes) catch return invalid;
    if (origin.pitch > pitch_max or origin.pitch < width) return invalid;
    if (origin.y > pitch_max or copy.Height > pitch_max) return invalid;
    result.* = .{
        .address = start +% origin.y * origin.pitch +% origin.x,
        .pitch = origin.pitch,
        .host = memory_type == .HOST,
    };
    return ok;
}

pub fn cuMemcpyDtoHAsync_v2(to: *anyopaque, from: abi.CUdeviceptr, size: usize, stream: abi.CUstream) CUresult {
    return copyLinear(
        .{ .address = @intFromPtr(to), .pitch = size, .host = true },
        .{ .address = from, .pitch = size },
        size,
        stream,
    );
}

pub fn cuMemcpyHtoDAsync_v2(to: abi.CUdeviceptr, from: *const anyopaque, size: usize, stream: abi.CUstream) CUresult {
    return copyLinear(
        .{ .address = to, .pitch = size },
        .{ .address = @intFromPtr(from), .pitch = size, .host = true },
        size,
        stream,
    );
}

pub fn cuMemcpyDtoDAsync_v2(to: abi.CUdeviceptr, from: abi.CUdeviceptr, size: usize, stream: abi.CUstream) CUresult {
    return copyLinear(.{ .address = to, .pitch = size }, .{ .address = from, .pitch = size }, size, stream);
}

fn copyLinear(to: streams.Side, from: streams.Side, size: usize, stream: abi.CUstream) CUresult {
    if (size == 0) return ok;
    return submit(.{
        .width = size,
        .height = 1,
        .to = to,
        .from = .{ .memory = from },
        .delay_us = machine.config.delay_us,
    }, stream);
}

pub fn cuMemsetD8Async(to: abi.CUdeviceptr, value: u8, size: usize, stream: abi.CUstream) CUresult {
    return cuMemsetD2D8Async(to, size, value, size, 1, stream);
}

pub fn cuMemsetD2D8Async(
    to: abi.CUdeviceptr,
    pitch: usize,
    value: u8,
    width: usize,
    height: usize,
    stream: abi.CUstream,
) CUresult {
    if (width == 0 or height == 0) return ok;
    if (height > 1 and (pitch > pitch_max or pitch < width)) return invalid;
    if (height > pitch_max) return invalid;
    return submit(.{
        .width = width,
        .height = height,
        .to = .{ .address = to, .pitch = pitch },
        .from = .{ .value = value },
        .delay_us = machine.config.delay_us,
    }, stream);
}

/// Checks every address, queues the work, and waits for it where host memory is not pinned.
pub fn submit(transfer: streams.Transfer, stream: abi.CUstream) CUresult {
    var handle: u64 = undefined;
    const usable = useStream(stream, &handle);
    if (usable != ok) return usable;
    const context = streams.find(handle).?.context;
    const device = contextDevice(context).?;
    var pageable = false;
    const from: ?streams.Side = if (transfer.from == .memory) transfer.from.memory else null;
    for ([_]?streams.Side{ transfer.to, from }, 0..) |maybe, index| {
        const where = maybe orelse continue;
        const size = transfer.extent(where);
        if (where.host) {
            if (where.address == 0 or memory.isDeviceRange(where.address, size)) return invalid;
            if (memory.pinned.find(where.address, size) == null) pageable = true;
        } else {
            if (memory.resolve(where.address, size, device, index == 0) == null) return invalid;
        }
    }
    const queued = streams.enqueue(handle, .{ .transfer = transfer });
    if (queued != ok or !pageable) return queued;
    return streams.wait(streams.end(streams.find(handle) orelse return ok), context);
}

// Images

pub fn cuGraphicsEGLRegisterImage(resource: *abi.CUgraphicsResource, image: abi.EGLImage, flags: c_uint) CUresult {
    if (flags > 2) return invalid;
    return images.register(image, currentDevice(), resource);
}

pub fn cuGraphicsResourceGetMappedEglFrame(
    frame: *abi.CUeglFrame,
    resource: abi.CUgraphicsResource,
    index: c_uint,
    level: c_uint,
) CUresult {
    if (index != 0 or level != 0) return invalid;
    return images.frameOf(resource, frame);
}

pub fn cuGraphicsUnregisterResource(resource: abi.CUgraphicsResource) CUresult {
    return images.unregister(resource);
}

pub fn cuArrayGetDescriptor_v2(descriptor: *abi.CUDA_ARRAY_DESCRIPTOR, array: abi.CUarray) CUresult {
    const known = images.arrayOf(@intFromPtr(array)) orelse return .CUDA_ERROR_INVALID_HANDLE;
    descriptor.* = known.descriptor;
    return ok;
}

// Streams and events

/// The handle behind a CUstream whose context can still work. CU_STREAM_LEGACY is null by another name;
/// the double has no per-thread default stream.
fn useStream(stream: abi.CUstream, handle: *u64) CUresult {
    if (@intFromPtr(stream) <= 1) {
        const context = streams.current();
        if (context == 0) return .CUDA_ERROR_INVALID_CONTEXT;
        const state = streams.stateOf(context);
        if (state == ok) handle.* = streams.contexts.get(context).?.default_stream;
        return state;
    }
    const found = streams.find(@intFromPtr(stream)) orelse return .CUDA_ERROR_INVALID_HANDLE;
    handle.* = found.handle;
    return streams.stateOf(found.context);
}

fn useEvent(event: abi.CUevent, result: **streams.Event) CUresult {
    result.* = streams.events.get(@intFromPtr(event)) orelse return .CUDA_ERROR_INVALID_HANDLE;
    return streams.stateOf(result.*.context);
}

pub fn cuStreamCreateWithPriority(stream: *abi.CUstream, flags: c_uint, priority: c_int) CUresult {
    // A priority out of range is clamped, and the double's streams are all alike.
    _ = priority;
    if (flags & ~abi.CU_STREAM_NON_BLOCKING != 0) return invalid;
    const handle = streams.createStream(streams.current(), flags) orelse return .CUDA_ERROR_OUT_OF_MEMORY;
    stream.* = @ptrFromInt(handle);
    return ok;
}

pub fn cuStreamDestroy_v2(stream: abi.CUstream) CUresult {
    if (@intFromPtr(stream) <= 2) return .CUDA_ERROR_INVALID_HANDLE;
    var handle: u64 = undefined;
    const usable = useStream(stream, &handle);
    if (usable == ok) streams.destroy(handle);
    return usable;
}

pub fn cuStreamSynchronize(stream: abi.CUstream) CUresult {
    var handle: u64 = undefined;
    const usable = useStream(stream, &handle);
    if (usable != ok) return usable;
    const context = streams.find(handle).?.context;
    // In the default stream a marker comes after the work of the blocking streams too.
    const queued = streams.enqueue(handle, .marker);
    if (queued != ok) return queued;
    return streams.wait(streams.end(streams.find(handle) orelse return ok), context);
}

pub fn cuStreamQuery(stream: abi.CUstream) CUresult {
    var handle: u64 = undefined;
    const usable = useStream(stream, &handle);
    if (usable != ok) return usable;
    return if (streams.isIdle(streams.find(handle).?)) ok else .CUDA_ERROR_NOT_READY;
}

pub fn cuStreamWaitEvent(stream: abi.CUstream, event: abi.CUevent, flags: c_uint) CUresult {
    var handle: u64 = undefined;
    var waited: *streams.Event = undefined;
    const usable = useStream(stream, &handle);
    if (usable != ok) return usable;
    const known = useEvent(event, &waited);
    if (known != ok) return known;
    if (flags != 0) return invalid;
    return streams.enqueue(handle, .{ .wait = waited.recorded orelse return ok });
}

pub fn cuEventCreate(event: *abi.CUevent, flags: c_uint) CUresult {
    const interprocess = 4;
    if (flags > 7) return invalid;
    if (flags & interprocess != 0 and flags & abi.CU_EVENT_DISABLE_TIMING == 0) return invalid;
    const handle = streams.events.add(.{ .context = streams.current(), .recorded = null }) orelse
        return .CUDA_ERROR_OUT_OF_MEMORY;
    event.* = @ptrFromInt(handle);
    return ok;
}

pub fn cuEventDestroy_v2(event: abi.CUevent) CUresult {
    var destroyed: *streams.Event = undefined;
    const known = useEvent(event, &destroyed);
    if (known == ok) streams.events.remove(@intFromPtr(event));
    return known;
}

pub fn cuEventRecord(event: abi.CUevent, stream: abi.CUstream) CUresult {
    var handle: u64 = undefined;
    var recorded: *streams.Event = undefined;
    const usable = useStream(stream, &handle);
    if (usable != ok) return usable;
    const known = useEvent(event, &recorded);
    if (known != ok) return known;
    if (recorded.context != streams.find(handle).?.context) return .CUDA_ERROR_INVALID_HANDLE;
    const queued = streams.enqueue(handle, .marker);
    if (queued != ok) return queued;
    // Queuing may have waited for room, and either may be gone.
    const still_known = useEvent(event, &recorded);
    if (still_known != ok) return still_known;
    recorded.recorded = streams.end(streams.find(handle) orelse return .CUDA_ERROR_INVALID_HANDLE);
    return ok;
}

pub fn cuEventQuery(event: abi.CUevent) CUresult {
    var queried: *streams.Event = undefined;
    const known = useEvent(event, &queried);
    if (known != ok) return known;
    const recorded = queried.recorded orelse return ok;
    return if (recorded.isDone()) ok else .CUDA_ERROR_NOT_READY;
}

pub fn cuEventSynchronize(event: abi.CUevent) CUresult {
    var waited: *streams.Event = undefined;
    const known = useEvent(event, &waited);
    if (known != ok) return known;
    return streams.wait(waited.recorded orelse return ok, waited.context);
}
