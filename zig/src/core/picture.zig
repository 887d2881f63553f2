//! This file says what a frame's picture is: which colours its samples stand for, which part of them is seen, and how
//! it is shown. A record of zeros says nothing. Names are WebCodecs' where it has them, else FFmpeg's; the numbers of
//! colours are those of ITU-T H.273.

const std = @import("std");
const format = @import("format.zig");

/// What red, green and blue are: ColourPrimaries of H.273.
pub const Primaries = enum(u8) {
    bt709 = 1,
    bt470m = 4,
    bt470bg = 5,
    smpte170m = 6,
    smpte240m = 7,
    film = 8,
    bt2020 = 9,
    smpte428 = 10,
    smpte431 = 11,
    smpte432 = 12,
    ebu3213 = 22,
};

/// From samples to light: TransferCharacteristics of H.273.
pub const Transfer = enum(u8) {
    bt709 = 1,
    bt470m = 4,
    bt470bg = 5,
    smpte170m = 6,
    smpte240m = 7,
    linear = 8,
    log100 = 9,
    log316 = 10,
    iec61966_2_4 = 11,
    bt1361e = 12,
    iec61966_2_1 = 13,
    bt2020_10 = 14,
    bt2020_12 = 15,
    pq = 16,
    smpte428 = 17,
    hlg = 18,
};

/// From YUV to RGB: MatrixCoefficients of H.273. `rgb` is of formats that are RGB; with any other it says nothing.
pub const Matrix = enum(u8) {
    rgb = 0,
    bt709 = 1,
    fcc = 4,
    bt470bg = 5,
    smpte170m = 6,
    smpte240m = 7,
    ycgco = 8,
    bt2020_ncl = 9,
    bt2020_cl = 10,
    smpte2085 = 11,
    chroma_derived_nc = 12,
    chroma_derived_c = 13,
    ictcp = 14,
};

/// How far samples span: AVColorRange.
pub const Range = enum(u8) {
    /// Luma from 16 to 235, at 8 bits.
    limited = 1,
    /// From 0 to 255.
    full = 2,
};

/// Where the chroma samples of 4:2:0 lie among those of luma: AVChromaLocation, which is ChromaLocType of H.273 plus 1.
pub const ChromaLocation = enum(u8) { left = 1, center = 2, topleft = 3, top = 4, bottomleft = 5, bottom = 6 };

/// Whether the rows are of one moment, or those of two fields in turn: tff has the field of the first row first, bff
/// the other one.
pub const FieldOrder = enum(u8) { progressive = 1, tff = 2, bff = 3 };

/// Of either part of a pixel's aspect.
pub const aspect_max = 65535;

/// What a frame's picture is. 0 is what is not known, and whole or square pixels where those are the question.
pub const Picture = extern struct {
    /// Pixels, the part that is seen. 0 as width and height: all. `x` and `y` are on chroma samples.
    visible_x: u32 = 0,
    visible_y: u32 = 0,
    visible_width: u32 = 0,
    visible_height: u32 = 0,
    /// Square pixels of the picture as it is shown, turned: 1 to 16384 each. 0: as the shape of its pixels says.
    display_width: u32 = 0,
    display_height: u32 = 0,
    /// Width to height of a pixel of the frame, before it is turned: 1 to 65535 each. 0: as the size that it is shown
    /// in says, and where that is not known either, they are square.
    aspect_num: u32 = 0,
    aspect_den: u32 = 0,
    /// Degrees clockwise that the picture is turned by to be shown: 0, 90, 180 or 270.
    rotation: u32 = 0,
    /// 1: left and right are swapped to show it, once it is turned.
    flip: u8 = 0,
    /// A field order.
    field_order: u8 = 0,
    /// Primaries.
    primaries: u8 = 0,
    /// A transfer.
    transfer: u8 = 0,
    /// A matrix.
    matrix: u8 = 0,
    /// A range.
    range: u8 = 0,
    /// A chroma location.
    chroma_location: u8 = 0,
    reserved: [5]u8 = @splat(0),

    /// The picture as a reader may use it, whatever its publisher wrote: with a visible part inside of the frame and on
    /// chroma samples, one of four rotations, and a size that can be shown. Numbers of colours are passed on: those
    /// that a reader does not know say nothing to it.
    pub fn bounded(stated: Picture, geometry: *const format.Geometry) Picture {
        var picture = stated;
        picture.boundVisible(geometry);
        if (!isDimension(picture.display_width) or !isDimension(picture.display_height)) {
            picture.display_width = 0;
            picture.display_height = 0;
        }
        if (!isAspect(picture.aspect_num) or !isAspect(picture.aspect_den)) {
            picture.aspect_num = 0;
            picture.aspect_den = 0;
        }
        if (picture.rotation >= 360 or picture.rotation % 90 != 0) picture.rotation = 0;
        picture.flip = @intFromBool(picture.flip != 0);
        picture.reserved = @splat(0);
        return picture;
    }

    fn boundVisible(picture: *Picture, geometry: *const format.Geometry) void {
        const code = std.enums.fromInt(format.Format, geometry.format) orelse unreachable; // a geometry was checked
        picture.visible_x, picture.visible_width = span(
            picture.visible_x,
            picture.visible_width,
            geometry.width,
            chromaStep(code, "x"),
        );
        picture.visible_y, picture.visible_height = span(
            picture.visible_y,
            picture.visible_height,
            geometry.height,
            chromaStep(code, "y"),
        );
    }
};

/// The part of `whole` pixels that is between two edges, its first one on a chroma sample; where nothing is, all of it.
fn span(start: u32, size: u32, whole: u32, step: u32) struct { u32, u32 } {
    if (size == 0 or start >= whole) return .{ 0, whole };
    const first = start - start % step;
    return .{ first, @min(@as(u64, start) + size, whole) - first };
}

/// Pixels between a format's chroma samples.
fn chromaStep(code: format.Format, comptime axis: []const u8) u32 {
    var step: u32 = 1;
    for (format.planesOf(code)) |plane| step = @max(step, @field(plane, axis));
    return step;
}

fn isDimension(value: u32) bool {
    return value >= 1 and value <= format.dimension_max;
}

fn isAspect(value: u32) bool {
    return value >= 1 and value <= aspect_max;
}

test "a picture that says nothing is all of the frame" {
    const geometry = try format.Geometry.init(@intFromEnum(format.Format.NV12), 61, 35, 64);
    const bounded = (Picture{}).bounded(&geometry);
    try std.testing.expectEqual(Picture{ .visible_width = 61, .visible_height = 35 }, bounded);
}

test "a picture stays as it is where it can be" {
    const geometry = try format.Geometry.init(@intFromEnum(format.Format.NV12), 64, 48, 64);
    const stated: Picture = .{
        .visible_x = 2,
        .visible_y = 4,
        .visible_width = 61,
        .visible_height = 44,
        .display_width = 16384,
        .display_height = 1,
        .aspect_num = 1,
        .aspect_den = 65535,
        .rotation = 270,
        .flip = 1,
        .field_order = 200,
        .primaries = 1,
        .transfer = 2,
        .matrix = 3,
        .range = 4,
        .chroma_location = 5,
    };
    try std.testing.expectEqual(stated, stated.bounded(&geometry));
}

test "any picture: its visible part is in the frame and on chroma samples, and it can be shown" {
    var random = std.Random.DefaultPrng.init(1);
    const edges = [_]u32{ 0, 1, 2, 3, 33, 34, 35, 36, 60, 61, 62, 16384, 16385, std.math.maxInt(u32) };
    for ([_]format.Format{ .NV12, .GRAY8 }) |code| {
        const geometry = try format.Geometry.init(@intFromEnum(code), 61, 35, 64);
        const step: u32 = if (code == .NV12) 2 else 1;
        for (0..20_000) |_| {
            var stated: Picture = undefined;
            random.random().bytes(std.mem.asBytes(&stated));
            inline for (.{ "visible_x", "visible_y", "visible_width", "visible_height", "display_width" }) |name| {
                @field(stated, name) = edges[random.random().uintLessThan(usize, edges.len)];
            }
            const picture = stated.bounded(&geometry);
            try std.testing.expect(picture.visible_width >= 1 and picture.visible_height >= 1);
            try std.testing.expect(picture.visible_x + picture.visible_width <= 61);
            try std.testing.expect(picture.visible_y + picture.visible_height <= 35);
            try std.testing.expect(picture.visible_x % step == 0 and picture.visible_y % step == 0);
            try std.testing.expect((picture.display_width == 0) == (picture.display_height == 0));
            try std.testing.expect((picture.aspect_num == 0) == (picture.aspect_den == 0));
            try std.testing.expect(picture.aspect_num <= 65535 and picture.aspect_den <= 65535);
            try std.testing.expect(picture.display_width <= 16384 and picture.display_height <= 16384);
            try std.testing.expect(picture.rotation % 90 == 0 and picture.rotation < 360 and picture.flip <= 1);
        }
    }
}

comptime {
    std.debug.assert(@sizeOf(Picture) == 48);
    std.debug.assert(@offsetOf(Picture, "rotation") == 32);
    std.debug.assert(@offsetOf(Picture, "flip") == 36);
    std.debug.assert(@offsetOf(Picture, "chroma_location") == 42);
}
