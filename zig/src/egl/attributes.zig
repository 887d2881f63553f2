//! This file builds the attribute list of EGL_EXT_image_dma_buf_import and EGL_EXT_image_dma_buf_import_modifiers.

const std = @import("std");
const abi = @import("abi.zig");

pub const Plane = struct { fd: i32, offset: u32, pitch: u32 };

/// Width, height and fourcc, up to five pairs for each plane, and the end.
pub const List = [2 * (3 + 5 * abi.plane_attributes.len) + 1]abi.EGLint;

pub fn list(width: u32, height: u32, fourcc: u32, planes: []const Plane, modifier: ?u64) List {
    var result: List = @splat(abi.NONE);
    var size: usize = 0;
    const writer: Writer = .{ .list = &result, .size = &size };
    writer.add(abi.WIDTH, width);
    writer.add(abi.HEIGHT, height);
    writer.add(abi.LINUX_DRM_FOURCC, fourcc);
    for (planes, abi.plane_attributes[0..planes.len]) |plane, names| {
        writer.add(names.fd, @bitCast(plane.fd));
        writer.add(names.offset, plane.offset);
        writer.add(names.pitch, plane.pitch);
        // The same for every plane, which the extension demands.
        const value = modifier orelse continue;
        writer.add(names.modifier_lo, @truncate(value));
        writer.add(names.modifier_hi, @intCast(value >> 32));
    }
    return result;
}

const Writer = struct {
    list: *List,
    size: *usize,

    fn add(writer: Writer, name: abi.EGLint, value: u32) void {
        writer.list[writer.size.*] = name;
        writer.list[writer.size.* + 1] = @bitCast(value);
        writer.size.* += 2;
    }
};
