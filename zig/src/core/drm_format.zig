//! This file knows the pixel formats of dma-bufs that can be imported, as drm_fourcc.h names them, and the frames that
//! they can become. The table is also written into the TypeScript side.

const std = @import("std");
const errors = @import("errors.zig");
const format = @import("format.zig");
const Error = errors.Error;

fn fourcc(comptime text: *const [4:0]u8) u32 {
    return std.mem.readInt(u32, text, .little);
}

/// Values are drm_fourcc.h's. Names have the highest bits first: the bytes in memory are in the reverse order.
pub const DrmFormat = enum(u32) {
    XRGB8888 = fourcc("XR24"),
    ARGB8888 = fourcc("AR24"),
    XBGR8888 = fourcc("XB24"),
    ABGR8888 = fourcc("AB24"),
    R8 = fourcc("R8  "),
    GR88 = fourcc("GR88"),
    NV12 = fourcc("NV12"),
    P010 = fourcc("P010"),
    YUYV = fourcc("YUYV"),
    XRGB2101010 = fourcc("XR30"),
    ARGB2101010 = fourcc("AR30"),
    XBGR2101010 = fourcc("XB30"),
    ABGR2101010 = fourcc("AB30"),
};

/// DRM_FORMAT_MOD_LINEAR: rows one behind the other.
pub const modifier_linear: u64 = 0;

/// DRM_FORMAT_MOD_INVALID: none is named, the exporter's driver knows.
pub const modifier_invalid: u64 = 0x00ff_ffff_ffff_ffff;

/// Planes of the formats; modifiers may add planes of their own.
pub const planes_max = 2;

pub fn of(code: u32) Error!DrmFormat {
    return std.enums.fromInt(DrmFormat, code) orelse errors.fail(
        error.Format,
        "fourcc 0x{x:0>8} is not one that can be imported",
        .{code},
    );
}

pub fn planesOf(drm_format: DrmFormat) []const format.PlaneShape {
    return switch (drm_format) {
        .XRGB8888, .ARGB8888, .XBGR8888, .ABGR8888 => &.{.{ .bytes = 4, .x = 1, .y = 1 }},
        .XRGB2101010, .ARGB2101010, .XBGR2101010, .ABGR2101010 => &.{.{ .bytes = 4, .x = 1, .y = 1 }},
        .R8 => &.{.{ .bytes = 1, .x = 1, .y = 1 }},
        .GR88 => &.{.{ .bytes = 2, .x = 1, .y = 1 }},
        .YUYV => &.{.{ .bytes = 4, .x = 2, .y = 1 }},
        .NV12 => format.planesOf(.NV12),
        .P010 => format.planesOf(.P010),
    };
}

/// Whether a whole image becomes a frame as it is: frame plane i is image plane i. An alpha may be ignored, and chroma
/// left out; nothing is computed.
pub fn becomes(drm_format: DrmFormat, frame: format.Format) bool {
    return switch (drm_format) {
        .XRGB8888 => frame == .BGRX,
        .ARGB8888 => frame == .BGRA or frame == .BGRX,
        .XBGR8888 => frame == .RGBX,
        .ABGR8888 => frame == .RGBA or frame == .RGBX,
        .R8 => frame == .GRAY8,
        .NV12 => frame == .NV12 or frame == .GRAY8,
        .P010 => frame == .P010,
        .GR88, .YUYV, .XRGB2101010, .ARGB2101010, .XBGR2101010, .ABGR2101010 => false,
    };
}

/// The bytes and rows of a plane that are picture.
pub const Extent = struct { row_bytes: u32, rows: u32 };

pub fn extentOf(shape: format.PlaneShape, width: u32, height: u32) Extent {
    return .{
        .row_bytes = (std.math.divCeil(u32, width, shape.x) catch unreachable) * shape.bytes,
        .rows = std.math.divCeil(u32, height, shape.y) catch unreachable,
    };
}

/// One plane of an image to one of a frame.
pub const PlaneCopy = struct { from: u32, to: u32 };

/// What to copy so that an image fills a frame, or that plane of it which `plane` names.
pub fn planCopies(
    drm_format: DrmFormat,
    width: u32,
    height: u32,
    geometry: *const format.Geometry,
    plane: ?u32,
    copies: *[format.planes_max]PlaneCopy,
) Error![]PlaneCopy {
    const frame: format.Format = @enumFromInt(geometry.format);
    if (plane) |index| {
        if (index >= geometry.plane_count) return errors.fail(
            error.InvalidArgument,
            "plane {d}: a frame in {t} has {d}",
            .{ index, frame, geometry.plane_count },
        );
        const shapes = planesOf(drm_format);
        const extent = extentOf(shapes[0], width, height);
        const to = geometry.planes[index];
        // Bytes (R8) can be those of any plane: not every driver has images of two channels.
        const same_bytes = drm_format == .R8 or shapes[0].bytes == format.planesOf(frame)[index].bytes;
        const fits = shapes.len == 1 and same_bytes and
            extent.row_bytes == to.row_bytes and extent.rows == to.rows;
        if (!fits) return errors.fail(
            error.Format,
            "an image in {t} of {d}×{d} is not plane {d} of a frame in {t} of {d}×{d}, which has {d} rows of {d} bytes",
            .{ drm_format, width, height, index, frame, geometry.width, geometry.height, to.rows, to.row_bytes },
        );
        copies[0] = .{ .from = 0, .to = index };
        return copies[0..1];
    }
    if (width != geometry.width or height != geometry.height) {
        return errors.fail(
            error.Format,
            "an image of {d}×{d} does not fill a frame of {d}×{d}",
            .{ width, height, geometry.width, geometry.height },
        );
    }
    if (!becomes(drm_format, frame)) {
        return errors.fail(
            error.Format,
            "an image in {t} cannot become a frame in {t} without conversion: give the ring another format",
            .{ drm_format, frame },
        );
    }
    for (copies[0..geometry.plane_count], 0..) |*copy, index| copy.* = .{
        .from = @intCast(index),
        .to = @intCast(index),
    };
    return copies[0..geometry.plane_count];
}

const testing = std.testing;

test "an image becomes a frame only where each row of the frame is a row of the image" {
    inline for (@typeInfo(DrmFormat).@"enum".fields) |drm| inline for (@typeInfo(
        format.Format,
    ).@"enum".fields) |frame| {
        const from: DrmFormat = @enumFromInt(drm.value);
        const to: format.Format = @enumFromInt(frame.value);
        if (becomes(from, to)) {
            const geometry = try format.Geometry.init(frame.value, 63, 31, 64);
            for (geometry.planes[0..geometry.plane_count], planesOf(from)[0..geometry.plane_count]) |plane, shape| {
                try testing.expectEqual(
                    Extent{ .row_bytes = plane.row_bytes, .rows = plane.rows },
                    extentOf(shape, 63, 31),
                );
            }
        }
    };
}

test "single planes fill a frame's planes where they have their size" {
    const geometry = try format.Geometry.init(@intFromEnum(format.Format.NV12), 63, 31, 64);
    var copies: [format.planes_max]PlaneCopy = undefined;
    try testing.expectEqual(PlaneCopy{ .from = 0, .to = 1 }, (try planCopies(.GR88, 32, 16, &geometry, 1, &copies))[0]);
    try testing.expectError(error.Format, planCopies(.GR88, 31, 16, &geometry, 1, &copies));
    try testing.expectEqual(PlaneCopy{ .from = 0, .to = 1 }, (try planCopies(.R8, 64, 16, &geometry, 1, &copies))[0]);
    try testing.expectError(error.Format, planCopies(.R8, 63, 16, &geometry, 1, &copies));
    try testing.expectError(error.Format, planCopies(.GR88, 32, 31, &geometry, 0, &copies));
    try testing.expectError(error.InvalidArgument, planCopies(.R8, 63, 31, &geometry, 2, &copies));
    try testing.expectError(error.Format, planCopies(.YUYV, 63, 31, &geometry, null, &copies));
    try testing.expectError(error.Format, planCopies(.NV12, 62, 31, &geometry, null, &copies));
}
