//! This file has the EGLImages of libEGL.so.1's double as CUDA sees them: their memory at device addresses, as pitched
//! planes or as arrays, whichever that double says.

const std = @import("std");
const cuda = @import("cuda");
const abi = cuda.abi;
const CUresult = abi.CUresult;

const machine = @import("machine.zig");
const memory = @import("memory.zig");
const streams = @import("streams.zig");
const Description = @import("egl_image.zig").Description;

pub const Array = struct { address: u64, pitch: u64, row_bytes: u64, rows: u64, descriptor: abi.CUDA_ARRAY_DESCRIPTOR };

const Resource = struct {
    used: bool = false,
    plane_count: usize = 0,
    /// Where the buffer of each plane begins, and the plane in it.
    buffers: [2]u64 = undefined,
    arrays: [2]Array = undefined,
    frame: abi.CUeglFrame = undefined,
};

var resources: [512]Resource = @splat(.{});

/// A number that is no address.
fn handleOf(index: usize) usize {
    return 0x5e50_0000_0000 + index * 16;
}

fn find(handle: usize) ?*Resource {
    for (&resources, 0..) |*resource, index| if (resource.used and handleOf(index) == handle) return resource;
    return null;
}

pub fn live() u64 {
    var count: u64 = 0;
    for (&resources) |*resource| count += @intFromBool(resource.used);
    return count;
}

const DescribeImage = *const fn (image: ?*anyopaque, description: *Description) callconv(.c) c_uint;

fn describe(image: abi.EGLImage) ?Description {
    const library = std.c.dlopen("libEGL.so.1", .{ .NOW = true, .NOLOAD = true }) orelse return null;
    const describeImage: DescribeImage = @ptrCast(
        @alignCast(std.c.dlsym(library, "egldoubleDescribe") orelse return null),
    );
    var description: Description = undefined;
    return if (describeImage(@ptrCast(image), &description) != 0) description else null;
}

pub fn register(image: abi.EGLImage, device: u32, handle: *abi.CUgraphicsResource) CUresult {
    const description = describe(image) orelse return .CUDA_ERROR_INVALID_VALUE;
    const index = for (&resources, 0..) |*resource, index| {
        if (!resource.used) break index;
    } else return .CUDA_ERROR_OUT_OF_MEMORY;
    const resource = &resources[index];
    resource.* = .{ .used = true };
    for (description.planes[0..description.plane_count], 0..) |plane, number| {
        const result = memory.borrow(plane.fd, plane.buffer_size, device, streams.current(), &resource.buffers[number]);
        if (result != .CUDA_SUCCESS) {
            free(resource);
            return result;
        }
        resource.plane_count += 1;
        const channels = if (number == 0) description.channels else 2;
        resource.arrays[number] = .{
            .address = resource.buffers[number] + plane.offset,
            .pitch = plane.pitch,
            .row_bytes = plane.row_bytes,
            .rows = plane.rows,
            .descriptor = .{
                .Width = plane.row_bytes / (channels * description.channel_bytes),
                .Height = plane.rows,
                .Format = if (description.channel_bytes == 1) .UNSIGNED_INT8 else .UNSIGNED_INT16,
                .NumChannels = channels,
            },
        };
    }
    resource.frame = .{
        .frame = @splat(0),
        .width = description.width,
        .height = description.height,
        .depth = 0,
        .pitch = description.planes[0].pitch,
        .planeCount = @intCast(resource.plane_count),
        .numChannels = description.channels,
        .frameType = if (description.is_pitch != 0) .PITCH else .ARRAY,
        .eglColorFormat = @enumFromInt(description.color_format),
        .cuFormat = resource.arrays[0].descriptor.Format,
    };
    for (resource.arrays[0..resource.plane_count], 0..) |*array, number| {
        resource.frame.frame[number] = if (description.is_pitch != 0) array.address else handleOf(index) + 1 + number;
    }
    handle.* = @ptrFromInt(handleOf(index));
    return .CUDA_SUCCESS;
}

fn free(resource: *Resource) void {
    for (resource.buffers[0..resource.plane_count]) |start| {
        const mapping = memory.mappings.at(start).?;
        memory.unreserve(start, std.mem.alignForward(usize, mapping.size, machine.granularity));
        memory.unmap(mapping);
    }
    resource.* = .{};
}

pub fn frameOf(handle: abi.CUgraphicsResource, frame: *abi.CUeglFrame) CUresult {
    const resource = find(@intFromPtr(handle)) orelse return .CUDA_ERROR_INVALID_HANDLE;
    frame.* = resource.frame;
    return .CUDA_SUCCESS;
}

/// As on a GPU, once nothing uses it.
pub fn unregister(handle: abi.CUgraphicsResource) CUresult {
    const resource = find(@intFromPtr(handle)) orelse return .CUDA_ERROR_INVALID_HANDLE;
    streams.drain(memory.mappings.at(resource.buffers[0]).?.linear_context);
    free(find(@intFromPtr(handle)) orelse return .CUDA_SUCCESS);
    return .CUDA_SUCCESS;
}

pub fn arrayOf(handle: usize) ?*const Array {
    const number = handle % 16 -% 1;
    const resource = find(handle - handle % 16) orelse return null;
    if (number >= resource.plane_count or resource.frame.frameType != .ARRAY) return null;
    return &resource.arrays[number];
}
