//! An image is a picture that other software made and that is to be copied into frames: a dma-buf that the CPU reads or
//! that is registered with CUDA through EGL, or an EGLImage of the caller's.

const std = @import("std");
const errors = @import("../core/mod.zig").errors;
const format = @import("../core/mod.zig").format;
const uuid = @import("../core/mod.zig").uuid;
const memory = @import("../memory/mod.zig").memory;
const cuda = @import("../memory/mod.zig").cuda;
const drm_format = @import("../core/mod.zig").drm_format;
const Buffer = @import("buffer.zig").Buffer;
const registration = @import("registration.zig");
const Registration = registration.Registration;
const Error = errors.Error;

const allocator = std.heap.c_allocator;

/// Planes of an image: with a modifier, those of the format may have others beside them.
pub const planes_max = 4;

/// One plane of somebody else's picture.
pub const SourcePlane = extern struct {
    /// A dma-buf or memfd; stays the caller's.
    fd: i32,
    /// Bytes from row to row, 1 to 2^31 - 1.
    stride: u32,
    /// Bytes from the buffer's first to the plane's.
    offset: u64,
};

/// What is to be imported.
pub const Options = extern struct {
    /// Pixels, 1 to DIMENSION_MAX.
    width: u32,
    height: u32,
    /// Of drm_fourcc.h.
    fourcc: u32,
    plane_count: u32,
    /// Of drm_fourcc.h, where `has_modifier` is 1 and it is not DRM_FORMAT_MOD_INVALID; else the exporter's own choice,
    /// which on the host is linear.
    modifier: u64,
    has_modifier: u32,
    /// A kind of memory: host, to be read by the CPU, or CUDA, to be registered with it.
    memory: u32,
    planes: [planes_max]SourcePlane,
    /// For CUDA: its number or UUID; empty: the first.
    device: [uuid.name_size]u8,
};

/// How the planes of an image are in a GPU's memory: rows at a distance, or an array of CUDA's.
pub const Layout = enum(u32) { pitch = 0, array = 1 };

/// Where a plane of an image is.
pub const Plane = extern struct {
    /// A CUdeviceptr, or by the image's layout a CUarray; 0 on the host.
    address: u64,
    /// On the host: bytes from the buffer's first to the plane's.
    offset: u64,
    /// Bytes from row to row; 0 for an array.
    stride: u32,
    rows: u32,
    /// Bytes of a row that are picture.
    row_bytes: u32,
    reserved: u32 = 0,
};

/// An image, as it was imported.
pub const Info = extern struct {
    /// Pixels.
    width: u32,
    height: u32,
    /// Of drm_fourcc.h.
    fourcc: u32,
    plane_count: u32,
    /// A kind of memory.
    memory: u32,
    /// An image layout.
    layout: u32,
    planes: [drm_format.planes_max]Plane,
    /// The GPU's UUID; all zero for the host.
    device: [uuid.size]u8,
};

comptime {
    std.debug.assert(@sizeOf(Options) == 144);
    std.debug.assert(@sizeOf(Info) == 104);
}

pub const Image = struct {
    format: drm_format.DrmFormat,
    width: u32,
    height: u32,
    place: union(memory.Kind) { host: Host, cuda: *Registration },

    const Host = struct {
        buffers: [drm_format.planes_max]Buffer,
        count: usize = 0,
        sources: [drm_format.planes_max]SourcePlane,
    };

    pub fn import(given: *const Options) Error!*Image {
        var named = given.*;
        if (named.modifier == drm_format.modifier_invalid) named.has_modifier = 0;
        const options: *const Options = &named;
        const wanted = try checkPicture(options);
        return create(.{
            .format = wanted,
            .width = options.width,
            .height = options.height,
            .place = switch (try memory.kindOf(options.memory)) {
                .host => .{ .host = try importHost(options, wanted) },
                .cuda => .{ .cuda = try registration.importDmabuf(options, wanted) },
            },
        });
    }

    /// Registers an EGLImage of the caller's, which stays the caller's. `fourcc` 0: what the driver takes it for.
    pub fn importEgl(display: u64, egl_image: u64, fourcc: u32, device: []const u8) Error!*Image {
        const registered = try registration.importEglImage(
            display,
            egl_image,
            if (fourcc == 0) null else try drm_format.of(fourcc),
            device,
        );
        return create(
            .{
                .format = registered.format,
                .width = registered.width,
                .height = registered.height,
                .place = .{ .cuda = registered },
            },
        );
    }

    fn create(value: Image) Error!*Image {
        const image = allocator.create(Image) catch {
            var dropped = value;
            dropped.deinit();
            return errors.fail(error.OutOfMemory, "no memory for an image", .{});
        };
        image.* = value;
        return image;
    }

    fn checkPicture(options: *const Options) Error!drm_format.DrmFormat {
        for ([_]u32{ options.width, options.height }, [_][]const u8{ "width", "height" }) |value, name| {
            if (value < 1 or value > format.dimension_max) return errors.fail(
                error.InvalidArgument,
                "{s} is {d}: it must be 1 to {d}",
                .{ name, value, format.dimension_max },
            );
        }
        const wanted = try drm_format.of(options.fourcc);
        const count = drm_format.planesOf(wanted).len;
        // A tiled or compressed layout may have planes of its own.
        const linear = options.has_modifier == 0 or options.modifier == drm_format.modifier_linear;
        const most = if (linear) count else planes_max;
        if (options.plane_count < count or options.plane_count > most) {
            return errors.fail(
                error.InvalidArgument,
                "planes has {d} entries: {t} has {d}",
                .{ options.plane_count, wanted, count },
            );
        }
        return wanted;
    }

    fn importHost(options: *const Options, wanted: drm_format.DrmFormat) Error!Host {
        if (options.has_modifier != 0 and options.modifier != drm_format.modifier_linear) {
            return errors.fail(
                error.Format,
                "modifier 0x{x}: the CPU reads linear buffers only (modifier 0)",
                .{options.modifier},
            );
        }
        var host: Host = .{ .buffers = undefined, .sources = undefined };
        errdefer for (host.buffers[0..host.count]) |*buffer| buffer.deinit();
        for (drm_format.planesOf(wanted), options.planes[0..options.plane_count], 0..) |shape, source, index| {
            var buffer: Buffer = try .open(source.fd, index);
            errdefer buffer.deinit();
            try buffer.makeReadable(try requireInside(&buffer, shape, source, options));
            host.buffers[index] = buffer;
            host.sources[index] = source;
            host.count += 1;
        }
        return host;
    }

    /// How many pairs of planes a copy into a frame has.
    fn copiesInto(
        image: *const Image,
        geometry: *const format.Geometry,
        plane: ?u32,
        copies: *[format.planes_max]drm_format.PlaneCopy,
    ) Error![]drm_format.PlaneCopy {
        return drm_format.planCopies(image.format, image.width, image.height, geometry, plane, copies);
    }

    /// Copies the picture into a frame in host memory; done when this returns.
    pub fn copyToHost(image: *const Image, geometry: *const format.Geometry, plane: ?u32, frame: [*]u8) Error!void {
        var buffer: [format.planes_max]drm_format.PlaneCopy = undefined;
        const copies = try image.copiesInto(geometry, plane, &buffer);
        switch (image.place) {
            .host => |*host| for (copies) |copy| {
                const to = geometry.planes[copy.to];
                try readPlane(host, copy.from, to, frame + to.offset, to.stride);
            },
            .cuda => |registered| try registered.copyToHost(geometry, copies, frame),
        }
    }

    fn readPlane(host: *const Host, index: u32, to: format.Plane, target: [*]u8, stride: usize) Error!void {
        const source = host.sources[index];
        try host.buffers[index].copyRows(source.offset, source.stride, to.row_bytes, to.rows, target, stride);
    }

    /// Copies the picture into a slot of a GPU's ring, ordered by the stream; null: the ring's own.
    pub fn copyToDevice(
        image: *const Image,
        slots: *cuda.Slots,
        slot: u32,
        geometry: *const format.Geometry,
        plane: ?u32,
        stream: ?u64,
    ) Error!void {
        var buffer: [format.planes_max]drm_format.PlaneCopy = undefined;
        const copies = try image.copiesInto(geometry, plane, &buffer);
        switch (image.place) {
            .host => |*host| try slots.uploadPlanes(slot, geometry, Upload{ .host = host, .copies = copies }),
            .cuda => |registered| try registered.copyToSlot(slots, slot, geometry, copies, stream),
        }
    }

    /// What `uploadPlanes` asks: which planes there are, and their bytes.
    const Upload = struct {
        host: *const Host,
        copies: []const drm_format.PlaneCopy,

        pub fn has(upload: Upload, plane: usize) bool {
            return upload.copyTo(plane) != null;
        }

        pub fn fill(upload: Upload, plane: usize, to: format.Plane, _: usize, target: []u8) Error!void {
            try readPlane(upload.host, upload.copyTo(plane).?.from, to, target.ptr, to.row_bytes);
        }

        fn copyTo(upload: Upload, plane: usize) ?drm_format.PlaneCopy {
            for (upload.copies) |copy| if (copy.to == plane) return copy;
            return null;
        }
    };

    pub fn info(image: *const Image) Info {
        var result = std.mem.zeroes(Info);
        result.width = image.width;
        result.height = image.height;
        result.fourcc = @intFromEnum(image.format);
        result.memory = @intFromEnum(image.place);
        const shapes = drm_format.planesOf(image.format);
        result.plane_count = @intCast(shapes.len);
        for (shapes, 0..) |shape, index| {
            const extent = drm_format.extentOf(shape, image.width, image.height);
            result.planes[index] = .{
                .address = 0,
                .offset = 0,
                .stride = 0,
                .rows = extent.rows,
                .row_bytes = extent.row_bytes,
            };
            switch (image.place) {
                .host => |*host| {
                    result.planes[index].offset = host.sources[index].offset;
                    result.planes[index].stride = host.sources[index].stride;
                },
                .cuda => |registered| {
                    result.planes[index].address = registered.planes[index].address;
                    result.planes[index].stride = registered.planes[index].stride;
                },
            }
        }
        if (image.place == .cuda) {
            result.layout = @intFromEnum(image.place.cuda.layout);
            result.device = image.place.cuda.importer.context.uuid;
        }
        return result;
    }

    /// Queued copies are waited for where the registration goes.
    pub fn close(image: *Image) void {
        image.deinit();
        allocator.destroy(image);
    }

    fn deinit(image: *Image) void {
        switch (image.place) {
            .host => |*host| for (host.buffers[0..host.count]) |*buffer| buffer.deinit(),
            .cuda => |registered| registered.release(),
        }
    }
};

/// Where a linear plane ends in its buffer. Every field is named that puts it outside.
pub fn requireInside(
    buffer: *const Buffer,
    shape: format.PlaneShape,
    source: SourcePlane,
    options: *const Options,
) Error!u64 {
    const extent = drm_format.extentOf(shape, options.width, options.height);
    if (source.stride < extent.row_bytes or source.stride > std.math.maxInt(i32)) {
        return errors.fail(
            error.InvalidArgument,
            "planes[{d}].stride is {d}: a row has {d} bytes",
            .{ buffer.plane, source.stride, extent.row_bytes },
        );
    }
    if (source.offset >= buffer.size) {
        return errors.fail(
            error.InvalidArgument,
            "planes[{d}].offset is {d}: the buffer has {d} bytes",
            .{ buffer.plane, source.offset, buffer.size },
        );
    }
    const end = source.offset + @as(u64, source.stride) * (extent.rows - 1) + extent.row_bytes;
    if (end > buffer.size) {
        return errors.fail(
            error.InvalidArgument,
            "planes[{d}]: {d} rows with a stride of {d} from offset {d} on end at byte {d}, but the buffer has {d}",
            .{ buffer.plane, extent.rows, source.stride, source.offset, end, buffer.size },
        );
    }
    return end;
}
