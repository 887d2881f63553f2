//! This file knows the pixel formats of frames, and where their planes lie. The table is also written into the
//! TypeScript side.

const std = @import("std");
const errors = @import("errors.zig");

/// Pixels of a frame's width, and of its height.
pub const dimension_max = 16384;
/// Planes of a frame.
pub const planes_max = 3;

/// Pixel formats, by their codes on the wire; names as in WebCodecs' VideoPixelFormat where it has them.
pub const Format = enum(u32) { NV12 = 1, I420 = 2, P010 = 3, RGBA = 4, RGBX = 5, BGRA = 6, BGRX = 7, GRAY8 = 8 };

/// One plane's samples: `bytes` for each sample position, which covers `x` × `y` pixels.
pub const PlaneShape = struct { bytes: u32, x: u32, y: u32 };

pub fn planesOf(format: Format) []const PlaneShape {
    return switch (format) {
        .NV12 => &.{ .{ .bytes = 1, .x = 1, .y = 1 }, .{ .bytes = 2, .x = 2, .y = 2 } },
        .I420 => &.{
            .{ .bytes = 1, .x = 1, .y = 1 },
            .{ .bytes = 1, .x = 2, .y = 2 },
            .{ .bytes = 1, .x = 2, .y = 2 },
        },
        .P010 => &.{ .{ .bytes = 2, .x = 1, .y = 1 }, .{ .bytes = 4, .x = 2, .y = 2 } },
        .RGBA, .RGBX, .BGRA, .BGRX => &.{.{ .bytes = 4, .x = 1, .y = 1 }},
        .GRAY8 => &.{.{ .bytes = 1, .x = 1, .y = 1 }},
    };
}

/// Where a plane of a frame is.
pub const Plane = extern struct {
    /// Bytes from the slot's address to the plane's first row.
    offset: u64 = 0,
    /// Bytes from row to row.
    stride: u32 = 0,
    rows: u32 = 0,
    /// Bytes of a row that are picture; the rest, up to the stride, is padding.
    row_bytes: u32 = 0,
    reserved: u32 = 0,
};

/// A frame's size and the planes' places in its slot. Both sides compute it from the first five fields; nobody
/// believes a peer's offsets.
pub const Geometry = extern struct {
    /// A pixel format.
    format: u32,
    /// Pixels.
    width: u32,
    height: u32,
    /// Strides are multiples of this: 64 on the host (vector loads), 256 on CUDA (NVDEC, NPP, textures).
    alignment: u32,
    /// How many of `planes` there are.
    plane_count: u32,
    reserved: u32 = 0,
    /// Bytes of the planes, their padding included.
    frame_size: u64,
    planes: [planes_max]Plane,

    pub fn init(format_code: u32, width: u32, height: u32, alignment: u32) errors.Error!Geometry {
        std.debug.assert(std.math.isPowerOfTwo(alignment));
        const format = std.enums.fromInt(Format, format_code) orelse {
            return errors.fail(error.Format, "pixel format code {d} is not known", .{format_code});
        };
        if (width < 1 or width > dimension_max or height < 1 or height > dimension_max) {
            return errors.fail(
                error.InvalidArgument,
                "a frame of {d}×{d}: each side must be 1 to {d}",
                .{ width, height, dimension_max },
            );
        }
        var geometry: Geometry = .{
            .format = format_code,
            .width = width,
            .height = height,
            .alignment = alignment,
            .plane_count = 0,
            .frame_size = 0,
            .planes = @splat(.{}),
        };
        for (planesOf(format)) |shape| {
            const row_bytes = std.math.divCeil(u32, width, shape.x) catch unreachable;
            const plane: Plane = .{
                .offset = geometry.frame_size,
                .stride = std.mem.alignForward(u32, row_bytes * shape.bytes, alignment),
                .rows = std.math.divCeil(u32, height, shape.y) catch unreachable,
                .row_bytes = row_bytes * shape.bytes,
            };
            geometry.planes[geometry.plane_count] = plane;
            geometry.plane_count += 1;
            geometry.frame_size += @as(u64, plane.stride) * plane.rows;
        }
        return geometry;
    }

    /// Bytes of the picture with its rows and planes one behind the other.
    pub fn packedSize(geometry: *const Geometry) u64 {
        var size: u64 = 0;
        for (geometry.planes[0..geometry.plane_count]) |plane| size += @as(u64, plane.row_bytes) * plane.rows;
        return size;
    }
};

const testing = std.testing;

test "odd sizes round chroma up" {
    const nv12 = try Geometry.init(@intFromEnum(Format.NV12), 3, 5, 64);
    try testing.expectEqual(@as(u32, 2), nv12.plane_count);
    try testing.expectEqual(@as(u32, 4), nv12.planes[1].row_bytes);
    try testing.expectEqual(@as(u32, 3), nv12.planes[1].rows);
    try testing.expectEqual(@as(u64, 64 * 5), nv12.planes[1].offset);
    try testing.expectEqual(@as(u64, 64 * 8), nv12.frame_size);
}

test "every format from 1×1 to the largest size" {
    inline for (@typeInfo(Format).@"enum".fields) |field| {
        const smallest = try Geometry.init(field.value, 1, 1, 64);
        try testing.expect(smallest.frame_size >= 64);
        const largest = try Geometry.init(field.value, dimension_max, dimension_max, 256);
        const last = largest.planes[largest.plane_count - 1];
        try testing.expectEqual(largest.frame_size, last.offset + @as(u64, last.stride) * last.rows);
        try testing.expect(largest.frame_size <= 1 << 30);
    }
    try testing.expectError(error.InvalidArgument, Geometry.init(1, 0, 1, 64));
    try testing.expectError(error.InvalidArgument, Geometry.init(1, 1, dimension_max + 1, 64));
    try testing.expectError(error.Format, Geometry.init(0, 1, 1, 64));
    try testing.expectError(error.Format, Geometry.init(99, 1, 1, 64));
}
