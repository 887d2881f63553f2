//! This file lists the CUDA devices that this process sees. It creates no context: listing leaves no trace on a GPU.

const std = @import("std");
const assert = std.debug.assert;

const cuda = @import("driver.zig");
const abi = cuda.abi;
const Driver = cuda.Driver;
const Failure = cuda.Failure;

/// The most devices that are listed: what the driver calls a machine's limit.
pub const devices_max = 64;

/// A CUDA device that this process sees.
pub const Device = extern struct {
    /// Bytes of memory on the device.
    total_memory: u64,
    /// The same in every process, container and order of devices.
    uuid: abi.CUuuid,
    /// The driver's name for it, zero-terminated UTF-8.
    name: [128]u8,
    /// Its number in this process, which CUDA_VISIBLE_DEVICES changes.
    ordinal: u32,
    compute_capability_major: u32,
    compute_capability_minor: u32,
    /// The CUDA version that the driver is for: 1000 × major + 10 × minor.
    driver_version: u32,
    /// 1 where the device has it, else 0. Frames need the first two.
    virtual_memory_management: u8,
    posix_file_descriptors: u8,
    dma_buf: u8,
    reserved: [5]u8 = @splat(0),
};

comptime {
    assert(@sizeOf(Device) == 176);
    assert(@offsetOf(Device, "uuid") == 8);
    assert(@offsetOf(Device, "name") == 24);
    assert(@offsetOf(Device, "ordinal") == 152);
    assert(@offsetOf(Device, "virtual_memory_management") == 168);
}

/// Fills `devices` in the order of ordinals and returns how many were written: all of them when there
/// is room for `devices_max`.
pub fn list(driver: *const Driver, devices: []Device, failure: *Failure) error{CudaFailed}!u32 {
    const count = @min(try countOf(driver, failure), devices.len);
    for (devices[0..count], 0..) |*device, ordinal| device.* = try describe(driver, @intCast(ordinal), failure);
    return @intCast(count);
}

/// The device of an ordinal of this process, described.
pub fn describe(driver: *const Driver, ordinal: u32, failure: *Failure) error{CudaFailed}!Device {
    const handle = try get(driver, ordinal, failure);
    var device: Device = .{
        .total_memory = undefined,
        .uuid = try uuidOf(driver, handle, failure),
        .name = @splat(0),
        .ordinal = ordinal,
        .compute_capability_major = try attribute(driver, .COMPUTE_CAPABILITY_MAJOR, handle, failure),
        .compute_capability_minor = try attribute(driver, .COMPUTE_CAPABILITY_MINOR, handle, failure),
        .driver_version = driver.version,
        .virtual_memory_management = try flag(driver, .VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, handle, failure),
        .posix_file_descriptors = try flag(driver, .HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED, handle, failure),
        .dma_buf = if (driver.has(.cuMemGetHandleForAddressRange))
            try flag(driver, .DMA_BUF_SUPPORTED, handle, failure)
        else
            0,
    };
    var total_memory: usize = 0;
    try driver.call(.cuDeviceTotalMem_v2, .{ &total_memory, handle }, failure);
    device.total_memory = total_memory;
    try driver.call(.cuDeviceGetName, .{ &device.name, device.name.len, handle }, failure);
    device.name[device.name.len - 1] = 0;
    return device;
}

/// Fails with `CudaUnsupported` and `Failure.device_unsupported` where a device cannot share frames.
pub fn requireShareable(driver: *const Driver, ordinal: u32, failure: *Failure) cuda.Error!void {
    const device = try describe(driver, ordinal, failure);
    if (device.virtual_memory_management != 0 and device.posix_file_descriptors != 0) return;
    failure.* = .{ .device_unsupported = .{
        .ordinal = ordinal,
        .name = .from(std.mem.sliceTo(&device.name, 0)),
        .lacks = if (device.virtual_memory_management == 0) .virtual_memory_management else .posix_file_descriptors,
    } };
    return error.CudaUnsupported;
}

/// The UUID of the device of an ordinal of this process.
pub fn uuidAt(driver: *const Driver, ordinal: u32, failure: *Failure) error{CudaFailed}!abi.CUuuid {
    return uuidOf(driver, try get(driver, ordinal, failure), failure);
}

fn countOf(driver: *const Driver, failure: *Failure) error{CudaFailed}!u32 {
    var count: c_int = 0;
    try driver.call(.cuDeviceGetCount, .{&count}, failure);
    return @min(std.math.cast(u32, count) orelse 0, devices_max);
}

fn get(driver: *const Driver, ordinal: u32, failure: *Failure) error{CudaFailed}!abi.CUdevice {
    var handle: abi.CUdevice = undefined;
    const number = std.math.cast(c_int, ordinal) orelse std.math.maxInt(c_int);
    try driver.call(.cuDeviceGet, .{ &handle, number }, failure);
    return handle;
}

fn uuidOf(driver: *const Driver, handle: abi.CUdevice, failure: *Failure) error{CudaFailed}!abi.CUuuid {
    var uuid: abi.CUuuid = undefined;
    if (driver.has(.cuDeviceGetUuid_v2)) {
        try driver.call(.cuDeviceGetUuid_v2, .{ &uuid, handle }, failure);
    } else {
        try driver.call(.cuDeviceGetUuid, .{ &uuid, handle }, failure);
    }
    return uuid;
}

fn attribute(
    driver: *const Driver,
    comptime which: abi.CUdevice_attribute,
    handle: abi.CUdevice,
    failure: *Failure,
) error{CudaFailed}!u32 {
    var value: c_int = 0;
    try driver.call(.cuDeviceGetAttribute, .{ &value, which, handle }, failure);
    return std.math.cast(u32, value) orelse 0;
}

/// A driver older than an attribute calls it an invalid value, and has no such feature either.
fn flag(
    driver: *const Driver,
    comptime which: abi.CUdevice_attribute,
    handle: abi.CUdevice,
    failure: *Failure,
) error{CudaFailed}!u8 {
    var refusal: Failure = .none;
    const value = attribute(driver, which, handle, &refusal) catch |reason| {
        if (refusal.call_failed.result == .CUDA_ERROR_INVALID_VALUE) return 0;
        failure.* = refusal;
        return reason;
    };
    return @intFromBool(value > 0);
}
