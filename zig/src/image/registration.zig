//! A registration is an image as CUDA sees it, through EGL. It is kept for the next import of the same buffer, and
//! released when others have been used since.

const std = @import("std");
const errors = @import("../core/mod.zig").errors;
const format = @import("../core/mod.zig").format;
const os_fd = @import("../os/mod.zig").fd;
const Mutex = @import("../os/mod.zig").mutex.Mutex;
const cuda = @import("../cuda/mod.zig").driver;
const cuda_context = @import("../cuda/mod.zig").context;
const Context = cuda_context.Context;
const egl = @import("../egl/mod.zig").driver;
const attributes = @import("../egl/mod.zig").attributes;
const Display = @import("../egl/mod.zig").display.Display;
const Pair = @import("../egl/mod.zig").display.Pair;
const drm_format = @import("../core/mod.zig").drm_format;
const Slots = @import("../memory/mod.zig").cuda.Slots;
const image = @import("image.zig");
const Buffer = @import("buffer.zig").Buffer;
const abi = cuda.abi;
const Error = errors.Error;

const allocator = std.heap.c_allocator;

/// Registrations that no image uses; a capture pool has 4 to 16 buffers.
const idle_max = 32;
/// One for each device that CUDA can list.
const importers_max = cuda.devices.devices_max;

/// What makes two imports the same.
const Key = extern struct {
    width: u32,
    height: u32,
    fourcc: u32,
    plane_count: u32,
    has_modifier: u32,
    reserved: u32 = 0,
    modifier: u64,
    planes: [image.planes_max]extern struct { device: u64, inode: u64, offset: u64, stride: u64 },
};

pub const Registration = struct {
    importer: *Importer,
    next: ?*Registration,
    /// Null for an EGLImage of the caller's.
    key: ?Key,
    /// Keep the buffers, hence their identities, while the registration is kept.
    descriptors: [image.planes_max]i32 = @splat(-1),
    egl_image: egl.abi.EGLImage = null,
    resource: abi.CUgraphicsResource = null,
    format: drm_format.DrmFormat,
    width: u32,
    height: u32,
    layout: image.Layout = .pitch,
    planes: [drm_format.planes_max]struct { address: u64, stride: u32 } = @splat(.{ .address = 0, .stride = 0 }),
    /// Images that stand for it.
    users: u32 = 1,
    last_used: u64 = 0,
    /// Held while a copy is queued: two images of one buffer may be copied by two threads.
    copying: Mutex = .{},
    /// Where the copies out of it end.
    end: abi.CUevent = null,
    copied: bool = false,

    /// For an image that is closed.
    pub fn release(registered: *Registration) void {
        mutex.lock();
        defer mutex.unlock();
        registered.users -= 1;
        const importer = registered.importer;
        if (registered.users > 0) return;
        if (registered.key == null) importer.destroy(registered) else importer.evict(idle_max);
        importer.endIfUnused();
    }

    /// Makes the stream wait for the copies out of the image that are under way, so that the last one ends last.
    fn beginCopy(registered: *Registration, context: *const Context, stream: abi.CUstream) Error!void {
        if (registered.end == null) try context.call(.cuEventCreate, .{ &registered.end, abi.CU_EVENT_DISABLE_TIMING });
        if (registered.copied) try context.call(.cuStreamWaitEvent, .{ stream, registered.end, 0 });
    }

    fn endCopy(registered: *Registration, context: *const Context, stream: abi.CUstream) Error!void {
        try context.call(.cuEventRecord, .{ registered.end, stream });
        registered.copied = true;
    }

    /// The source's half of a copy of one plane.
    fn source(registered: *const Registration, plane: u32, to: format.Plane) abi.CUDA_MEMCPY2D {
        const from = registered.planes[plane];
        var copy: abi.CUDA_MEMCPY2D = .{
            .srcMemoryType = .ARRAY,
            .dstMemoryType = .DEVICE,
            .WidthInBytes = to.row_bytes,
            .Height = to.rows,
        };
        switch (registered.layout) {
            .array => copy.srcArray = @ptrFromInt(from.address),
            .pitch => {
                copy.srcMemoryType = .DEVICE;
                copy.srcDevice = from.address;
                copy.srcPitch = from.stride;
            },
        }
        return copy;
    }

    /// Copies planes into a slot of the same GPU, ordered by the stream (null: the ring's own) and behind the earlier
    /// copies out of this image. It must stay as it is until the stream has passed.
    pub fn copyToSlot(
        registered: *Registration,
        slots: *Slots,
        slot: u32,
        geometry: *const format.Geometry,
        copies: []const drm_format.PlaneCopy,
        wanted_stream: ?u64,
    ) Error!void {
        const theirs = &registered.importer.context;
        if (!std.mem.eql(u8, &theirs.uuid, &slots.context.uuid)) {
            return errors.fail(
                error.DeviceMismatch,
                "the image is on GPU-{x}, the ring on GPU-{x}: import it with the ring's device",
                .{ theirs.uuid, slots.context.uuid },
            );
        }
        try slots.context.enter();
        defer slots.context.leave();
        const stream = if (wanted_stream) |handle| @as(abi.CUstream, @ptrFromInt(handle)) else slots.context.stream;
        registered.copying.lock();
        defer registered.copying.unlock();
        try slots.beginCopies(slot, stream);
        try registered.beginCopy(&slots.context, stream);
        errdefer slots.cancelCopies(stream);
        for (copies) |copy| {
            const to = geometry.planes[copy.to];
            var command = registered.source(copy.from, to);
            command.dstDevice = slots.address(@intCast(slot)) + to.offset;
            command.dstPitch = to.stride;
            try slots.context.call(.cuMemcpy2DAsync_v2, .{ &command, stream });
        }
        try registered.endCopy(&slots.context, stream);
        try slots.endCopies(slot, stream);
    }

    /// Into a frame in host memory; done when this returns.
    pub fn copyToHost(
        registered: *Registration,
        geometry: *const format.Geometry,
        copies: []const drm_format.PlaneCopy,
        frame: [*]u8,
    ) Error!void {
        const context = &registered.importer.context;
        try context.enter();
        defer context.leave();
        registered.copying.lock();
        defer registered.copying.unlock();
        try registered.beginCopy(context, context.stream);
        // What was queued touches the frame no more when this returns.
        errdefer _ = context.driver.functions.cuStreamSynchronize(context.stream);
        for (copies) |copy| {
            const to = geometry.planes[copy.to];
            var command = registered.source(copy.from, to);
            command.dstMemoryType = .HOST;
            command.dstHost = frame + to.offset;
            command.dstPitch = to.stride;
            try context.call(.cuMemcpy2DAsync_v2, .{ &command, context.stream });
        }
        try registered.endCopy(context, context.stream);
        try context.call(.cuStreamSynchronize, .{context.stream});
    }
};

/// One device's context and display, for as long as there are registrations.
const Importer = struct {
    context: Context,
    display: ?*Display = null,
    registrations: ?*Registration = null,

    fn open(name: []const u8) Error!*Importer {
        const uuid = try cuda_context.uuidOf(try .parse(name));
        const free = for (&importers) |*each| {
            const importer = each.* orelse break each;
            if (std.mem.eql(u8, &importer.context.uuid, &uuid)) return importer;
        } else unreachable; // there are no more devices
        const importer = allocator.create(Importer) catch return outOfMemory();
        errdefer allocator.destroy(importer);
        importer.* = .{ .context = try .open(.{ .uuid = uuid }) };
        free.* = importer;
        return importer;
    }

    fn endIfUnused(importer: *Importer) void {
        if (importer.registrations != null) return;
        if (importer.display) |display| allocator.destroy(display);
        importer.context.deinit();
        // Taken entries stay in front.
        const index = std.mem.findScalar(?*Importer, &importers, importer).?;
        var last = index;
        while (last + 1 < importers_max and importers[last + 1] != null) last += 1;
        importers[index] = importers[last];
        importers[last] = null;
        allocator.destroy(importer);
    }

    fn displayOf(importer: *Importer) Error!*Display {
        if (importer.display) |display| return display;
        const display = allocator.create(Display) catch return outOfMemory();
        errdefer allocator.destroy(display);
        display.* = try .open(importer.context.device);
        importer.display = display;
        return display;
    }

    fn find(importer: *Importer, key: *const Key) ?*Registration {
        var each = importer.registrations;
        while (each) |registered| : (each = registered.next) {
            if (registered.key) |*other| if (std.mem.eql(
                u8,
                std.mem.asBytes(other),
                std.mem.asBytes(key),
            )) return registered;
        }
        return null;
    }

    /// Releases what was used longest ago, until at most so many are idle.
    fn evict(importer: *Importer, keep: usize) void {
        while (true) {
            var idle: usize = 0;
            var oldest: ?*Registration = null;
            var each = importer.registrations;
            while (each) |registered| : (each = registered.next) {
                if (registered.users > 0) continue;
                idle += 1;
                if (oldest == null or registered.last_used < oldest.?.last_used) oldest = registered;
            }
            if (idle <= keep) return;
            importer.destroy(oldest.?);
        }
    }

    /// `wanted` null: what the driver takes a caller's image for. `value` has taken nothing over when this fails.
    fn register(
        importer: *Importer,
        value: Registration,
        egl_image: egl.abi.EGLImage,
        wanted: ?drm_format.DrmFormat,
    ) Error!*Registration {
        const context = &importer.context;
        const driver = context.driver;
        if (!driver.has(.cuGraphicsEGLRegisterImage) or !driver.has(.cuGraphicsResourceGetMappedEglFrame)) {
            return errors.fail(error.Unsupported, "this CUDA driver has no cuGraphicsEGLRegisterImage", .{});
        }
        const registered = allocator.create(Registration) catch return outOfMemory();
        errdefer allocator.destroy(registered);
        registered.* = value;
        try context.enter();
        defer context.leave();
        const arguments = .{
            &registered.resource,
            @as(abi.EGLImage, @ptrCast(egl_image)),
            abi.CU_GRAPHICS_REGISTER_FLAGS_READ_ONLY,
        };
        var failure: cuda.Failure = .none;
        driver.call(.cuGraphicsEGLRegisterImage, arguments, &failure) catch {
            if (failure.call_failed.result != .CUDA_ERROR_NOT_SUPPORTED) return cuda_context.explain(failure);
            return errors.fail(
                error.Unsupported,
                "{f}: this driver registers no image of this format (NVIDIA's on an H200 none of two channels: " ++
                    "draw chroma into an R8 image twice as wide)",
                .{failure},
            );
        };
        errdefer _ = driver.functions.cuGraphicsUnregisterResource(registered.resource);
        var frame: abi.CUeglFrame = std.mem.zeroes(abi.CUeglFrame);
        try context.call(.cuGraphicsResourceGetMappedEglFrame, .{ &frame, registered.resource, 0, 0 });
        if (registered.key == null) try takeGeometry(registered, &frame, wanted);
        try describe(registered, context, &frame);
        registered.last_used = nextUse();
        registered.next = importer.registrations;
        importer.registrations = registered;
        return registered;
    }

    fn destroy(importer: *Importer, registered: *Registration) void {
        const functions = &importer.context.driver.functions;
        if (importer.context.enter()) {
            if (registered.end != null) {
                if (registered.copied) _ = functions.cuEventSynchronize(registered.end);
                _ = functions.cuEventDestroy_v2(registered.end);
            }
            _ = functions.cuGraphicsUnregisterResource(registered.resource);
            importer.context.leave();
        } else |_| {}
        if (registered.key != null) importer.display.?.destroyImage(registered.egl_image);
        for (registered.descriptors) |fd| if (fd >= 0) os_fd.close(fd);
        var link = &importer.registrations;
        while (link.*) |each| : (link = &each.next) {
            if (each != registered) continue;
            link.* = each.next;
            break;
        }
        allocator.destroy(registered);
    }
};

fn outOfMemory() Error {
    return errors.fail(error.OutOfMemory, "no memory to import an image", .{});
}

/// Guards all of the below, and every registration but its copies.
var mutex: Mutex = .{};
var importers: [importers_max]?*Importer = @splat(null);
var uses: u64 = 0;

fn nextUse() u64 {
    uses += 1;
    return uses;
}

/// What the driver made of the image, checked against what was asked for.
fn describe(registered: *Registration, context: *const Context, frame: *const abi.CUeglFrame) Error!void {
    const shapes = drm_format.planesOf(registered.format);
    const same_size = frame.width == registered.width and frame.height == registered.height;
    if (!same_size or frame.planeCount != shapes.len) return errors.fail(
        error.Format,
        "CUDA sees {d} planes of {d}×{d} where the image has {d} of {d}×{d}",
        .{ frame.planeCount, frame.width, frame.height, shapes.len, registered.width, registered.height },
    );
    registered.layout = switch (frame.frameType) {
        .ARRAY => .array,
        .PITCH => .pitch,
        _ => return errors.fail(
            error.Unsupported,
            "CUDA gives the image as a frame of type {d}",
            .{@intFromEnum(frame.frameType)},
        ),
    };
    for (shapes, frame.frame[0..shapes.len], registered.planes[0..shapes.len], 0..) |shape, address, *plane, index| {
        const extent = drm_format.extentOf(shape, registered.width, registered.height);
        var row_bytes: u64 = frame.pitch;
        var rows: u64 = extent.rows;
        if (registered.layout == .array) {
            var array: abi.CUDA_ARRAY_DESCRIPTOR = std.mem.zeroes(abi.CUDA_ARRAY_DESCRIPTOR);
            try context.call(.cuArrayGetDescriptor_v2, .{ &array, @as(abi.CUarray, @ptrFromInt(address)) });
            row_bytes = @as(u64, array.Width) *| array.NumChannels *| array.Format.size();
            rows = array.Height;
        }
        if (address == 0 or row_bytes < extent.row_bytes or rows < extent.rows) return errors.fail(
            error.Format,
            "CUDA sees plane {d} with {d} rows of {d} bytes where the image has {d} of {d}",
            .{ index, rows, row_bytes, extent.rows, extent.row_bytes },
        );
        plane.* = .{ .address = address, .stride = if (registered.layout == .pitch) frame.pitch else 0 };
    }
}

/// What EGL can be told of where a plane is.
fn requirePlace(buffer: *const Buffer, source: image.SourcePlane) Error!void {
    if (source.offset >= buffer.size or source.offset > std.math.maxInt(i32)) {
        return errors.fail(
            error.InvalidArgument,
            "planes[{d}].offset is {d}: the buffer has {d} bytes, and EGL takes 31 bits",
            .{ buffer.plane, source.offset, buffer.size },
        );
    }
    if (source.stride == 0 or source.stride > std.math.maxInt(i32)) {
        return errors.fail(
            error.InvalidArgument,
            "planes[{d}].stride is {d}: it must have 1 to 31 bits",
            .{ buffer.plane, source.stride },
        );
    }
}

/// Registers a dma-buf, or finds the registration that an earlier import of the same buffer has left.
pub fn importDmabuf(options: *const image.Options, wanted: drm_format.DrmFormat) Error!*Registration {
    const count = options.plane_count;
    var key = std.mem.zeroes(Key);
    key.width = options.width;
    key.height = options.height;
    key.fourcc = options.fourcc;
    key.plane_count = count;
    key.has_modifier = @intFromBool(options.has_modifier != 0);
    key.modifier = if (options.has_modifier != 0) options.modifier else 0;
    const modifier: ?u64 = if (options.has_modifier != 0) options.modifier else null;

    var buffers: [image.planes_max]Buffer = undefined;
    var opened: usize = 0;
    errdefer for (buffers[0..opened]) |*buffer| buffer.deinit();
    var planes: [image.planes_max]attributes.Plane = undefined;
    const shapes = drm_format.planesOf(wanted);
    for (options.planes[0..count], 0..) |source, index| {
        buffers[index] = try .open(source.fd, index);
        opened += 1;
        const buffer = &buffers[index];
        // How large a tiled plane is only its driver knows.
        const linear = index < shapes.len and (modifier == null or modifier.? == drm_format.modifier_linear);
        if (linear) _ = try image.requireInside(buffer, shapes[index], source, options);
        try requirePlace(buffer, source);
        planes[index] = .{ .fd = buffer.fd, .offset = @intCast(source.offset), .pitch = source.stride };
        key.planes[index] = .{
            .device = buffer.identity.device,
            .inode = buffer.identity.inode,
            .offset = source.offset,
            .stride = source.stride,
        };
    }

    mutex.lock();
    defer mutex.unlock();
    const importer: *Importer = try .open(deviceName(&options.device));
    errdefer importer.endIfUnused();
    if (importer.find(&key)) |registered| {
        registered.users += 1;
        registered.last_used = nextUse();
        for (buffers[0..opened]) |*buffer| buffer.deinit();
        return registered;
    }
    const display = try importer.displayOf();
    try display.requirePair(wanted, modifier);
    const egl_image = try display.createImage(
        &attributes.list(options.width, options.height, options.fourcc, planes[0..count], modifier),
    );
    errdefer display.destroyImage(egl_image);
    var value: Registration = .{
        .importer = importer,
        .next = null,
        .key = key,
        .egl_image = egl_image,
        .format = wanted,
        .width = options.width,
        .height = options.height,
    };
    for (buffers[0..count], value.descriptors[0..count]) |*buffer, *fd| fd.* = buffer.fd;
    return importer.register(value, egl_image, wanted);
}

/// `wanted` null: what the driver takes the image for.
pub fn importEglImage(
    display: u64,
    egl_image: u64,
    wanted: ?drm_format.DrmFormat,
    device: []const u8,
) Error!*Registration {
    const driver = try egl.open();
    if (display == 0 or driver.call(
        .eglQueryString,
        .{ @as(egl.abi.EGLDisplay, @ptrFromInt(display)), egl.abi.VENDOR },
    ) == null) {
        _ = driver.lastError();
        return errors.fail(error.InvalidArgument, "display 0x{x} is not an EGLDisplay that is initialised", .{display});
    }
    if (egl_image == 0) return errors.fail(error.InvalidArgument, "image is EGL_NO_IMAGE", .{});
    const handle: egl.abi.EGLImage = @ptrFromInt(egl_image);

    mutex.lock();
    defer mutex.unlock();
    const importer: *Importer = try .open(device);
    errdefer importer.endIfUnused();
    const value: Registration = .{
        .importer = importer,
        .next = null,
        .key = null,
        .format = undefined,
        .width = 0,
        .height = 0,
    };
    return importer.register(value, handle, wanted);
}

/// The size and the format of a caller's image are the driver's to tell.
fn takeGeometry(registered: *Registration, frame: *const abi.CUeglFrame, wanted: ?drm_format.DrmFormat) Error!void {
    const shorter = @min(frame.width, frame.height);
    const longer = @max(frame.width, frame.height);
    if (shorter < 1 or longer > format.dimension_max) {
        return errors.fail(
            error.Format,
            "the image has {d}×{d} pixels: each side must be 1 to {d}",
            .{ frame.width, frame.height, format.dimension_max },
        );
    }
    registered.width = frame.width;
    registered.height = frame.height;
    registered.format = wanted orelse formatOf(frame) orelse return errors.fail(
        error.Format,
        "CUDA sees the image with color format 0x{x}, {d} channels of format 0x{x}, which says no fourcc: name one",
        .{ @intFromEnum(frame.eglColorFormat), frame.numChannels, @intFromEnum(frame.cuFormat) },
    );
}

fn formatOf(frame: *const abi.CUeglFrame) ?drm_format.DrmFormat {
    if (frame.cuFormat.size() != 1) return null;
    return switch (frame.eglColorFormat) {
        .ARGB => .ARGB8888,
        .ABGR => .ABGR8888,
        .R, .L, .Y => .R8,
        .RG => .GR88,
        .YUV420_SEMIPLANAR => .NV12,
        .UYVY_422 => .YUYV,
        else => null,
    };
}

/// What EGL imports on this device, and CUDA can then register.
pub fn pairs(device: []const u8, result: []Pair) Error!usize {
    mutex.lock();
    defer mutex.unlock();
    const importer: *Importer = try .open(device);
    defer importer.endIfUnused();
    const display = try importer.displayOf();
    const count = @min(display.pair_count, result.len);
    @memcpy(result[0..count], display.pairs[0..count]);
    return count;
}

/// Releases every registration that no image uses.
pub fn trim() void {
    mutex.lock();
    defer mutex.unlock();
    var index: usize = importers_max;
    while (index > 0) {
        index -= 1;
        const importer = importers[index] orelse continue;
        importer.evict(0);
        importer.endIfUnused();
    }
}

fn deviceName(padded: []const u8) []const u8 {
    return std.mem.sliceTo(padded, 0);
}
