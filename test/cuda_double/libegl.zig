//! This is a test double of libEGL.so.1: the EGL functions that this library calls, beside the double of libcuda.so.1.
//! Never shipped. It exports the table of zig/src/egl/abi.zig and the controls below. An image is made of the
//! descriptors that it is given, memfds included, and keeps duplicates of them, as EGL does.
//!
//! The environment, read at each call that needs it, describes the machine:
//!
//!     EGL_DOUBLE_DEVICES=-,0,1     EGL devices: the CUDA device that each is, "-" one that is none
//!     EGL_DOUBLE_MISSING=          extensions and functions of theirs that are not there: "EGL_KHR_image_base,…"
//!     EGL_DOUBLE_DRM_NODE=/dev/null   the devices' node; "" for none
//!     EGL_DOUBLE_REFUSE=           an error number that every eglCreateImageKHR fails with
//!     EGL_DOUBLE_FRAMES=array      what CUDA gets: array or pitch

const std = @import("std");
const linux = std.os.linux;
const egl = @import("egl");
const drm_format = @import("egl").drm_format;
const abi = egl.abi;
const Code = abi.Code;
const Description = @import("egl_image.zig").Description;
const faults = @import("faults.zig").Faults(abi.functions, Code);

pub const std_options: std.Options = .{ .signal_stack_size = null };

comptime {
    for (abi.functions) |declaration| {
        @export(&@field(exports, declaration.name), .{ .name = declaration.name });
    }
}

var mutex: std.c.pthread_mutex_t = .{};
threadlocal var last_error: Code = .EGL_SUCCESS;

fn lock() void {
    std.debug.assert(std.c.pthread_mutex_lock(&mutex) == .SUCCESS);
}

fn unlock() void {
    std.debug.assert(std.c.pthread_mutex_unlock(&mutex) == .SUCCESS);
}

fn setting(name: [*:0]const u8, default: []const u8) []const u8 {
    return std.mem.span(std.c.getenv(name) orelse return default);
}

/// Counts the call; true where it is to fail, with the error set.
fn refused(comptime name: []const u8) bool {
    const index = comptime for (abi.functions, 0..) |declaration, index| {
        if (std.mem.eql(u8, declaration.name, name)) break index;
    } else unreachable;
    last_error = faults.before(index) orelse {
        last_error = .EGL_SUCCESS;
        return false;
    };
    return true;
}

/// Sets the error, for a call that returns nothing then.
fn failed(code: Code) ?*anyopaque {
    last_error = code;
    return null;
}

fn denied(code: Code) abi.EGLBoolean {
    last_error = code;
    return 0;
}

const client_extensions = [_][:0]const u8{
    "EGL_EXT_client_extensions", "EGL_EXT_device_base", "EGL_EXT_platform_base", "EGL_EXT_platform_device",
};
const device_extensions = [_][:0]const u8{ "EGL_EXT_device_drm", "EGL_NV_device_cuda" };
const display_extensions = [_][:0]const u8{
    "EGL_KHR_image_base", "EGL_EXT_image_dma_buf_import", "EGL_EXT_image_dma_buf_import_modifiers",
};

fn isMissing(name: []const u8) bool {
    var missing = std.mem.tokenizeScalar(u8, setting("EGL_DOUBLE_MISSING", ""), ',');
    while (missing.next()) |other| if (std.mem.eql(u8, other, name)) return true;
    return false;
}

/// A list without what is missing. Each has a buffer of its own, whose content never changes in one process's life but
/// for the environment.
fn joined(comptime names: []const [:0]const u8, without: []const u8) [*:0]const u8 {
    const Buffer = struct {
        // What a type refers to makes it another one.
        const of = names;
        var bytes: [256]u8 = undefined;
    };
    var writer: std.Io.Writer = .fixed(&Buffer.bytes);
    for (names) |name| {
        if (isMissing(name)) continue;
        if (std.mem.eql(u8, name, without)) continue;
        writer.print("{s} ", .{name}) catch unreachable;
    }
    writer.writeByte(0) catch unreachable;
    return @ptrCast(&Buffer.bytes);
}

const device_base = 0xe6100000;
const display_base = 0xe6200000;
const image_base = 0xe6300000;

/// The CUDA device of an EGL device; −1 for one that is none, null where there is no such device.
fn cudaOf(device: abi.EGLDevice) ?i32 {
    const index = (@intFromPtr(device) -% device_base) / 16;
    var list = std.mem.splitScalar(u8, setting("EGL_DOUBLE_DEVICES", "-,0,1"), ',');
    var number: usize = 0;
    while (list.next()) |each| : (number += 1) {
        if (number == index) return std.fmt.parseInt(i32, each, 10) catch -1;
    }
    return null;
}

var initialized: [16]bool = @splat(false);

fn displayIndex(display: abi.EGLDisplay) ?usize {
    const index = (@intFromPtr(display) -% display_base) / 16;
    return if (index < initialized.len) index else null;
}

const tiled: u64 = 0x0300_0000_0060_6010;

const Image = struct { used: bool = false, generation: u32 = 0, description: Description = undefined };
var images: [512]Image = @splat(.{});

fn handleOf(index: usize) usize {
    return image_base + (@as(usize, images[index].generation) << 16) * 16 + index * 16;
}

fn imageAt(handle: usize) ?*Image {
    for (&images, 0..) |*image, index| if (image.used and handleOf(index) == handle) return image;
    return null;
}

/// The attribute list of the last eglCreateImageKHR, without its end.
var last_attributes: [64]abi.EGLint = undefined;
var last_attribute_count: usize = 0;

const exports = struct {
    fn eglGetProcAddress(name: [*:0]const u8) callconv(.c) ?*anyopaque {
        if (isMissing(std.mem.span(name))) return null;
        inline for (abi.functions) |declaration| {
            if (declaration.optional and std.mem.eql(u8, std.mem.span(name), declaration.name)) {
                return @ptrCast(@constCast(&@field(exports, declaration.name)));
            }
        }
        return null;
    }

    fn eglGetError() callconv(.c) Code {
        defer last_error = .EGL_SUCCESS;
        return last_error;
    }

    fn eglQueryString(display: abi.EGLDisplay, name: abi.EGLint) callconv(.c) ?[*:0]const u8 {
        lock();
        defer unlock();
        if (refused("eglQueryString")) return null;
        if (display == null) return if (name == abi.EXTENSIONS) joined(&client_extensions, "") else @ptrCast(
            failed(.EGL_BAD_DISPLAY),
        );
        const index = displayIndex(display) orelse return @ptrCast(failed(.EGL_BAD_DISPLAY));
        if (!initialized[index]) return @ptrCast(failed(.EGL_NOT_INITIALIZED));
        return switch (name) {
            abi.EXTENSIONS => joined(&display_extensions, ""),
            abi.VENDOR => "Test Double",
            else => @ptrCast(failed(.EGL_BAD_PARAMETER)),
        };
    }

    fn eglInitialize(display: abi.EGLDisplay, _: ?*abi.EGLint, _: ?*abi.EGLint) callconv(.c) abi.EGLBoolean {
        lock();
        defer unlock();
        if (refused("eglInitialize")) return 0;
        initialized[displayIndex(display) orelse return denied(.EGL_BAD_DISPLAY)] = true;
        return 1;
    }

    fn eglQueryDevicesEXT(max: abi.EGLint, devices: ?[*]abi.EGLDevice, count: *abi.EGLint) callconv(.c) abi.EGLBoolean {
        lock();
        defer unlock();
        if (refused("eglQueryDevicesEXT")) return 0;
        count.* = 0;
        while (cudaOf(@ptrFromInt(device_base + @as(usize, @intCast(count.*)) * 16)) != null) : (count.* += 1) {
            const out = devices orelse continue;
            if (count.* == max) break;
            out[@intCast(count.*)] = @ptrFromInt(device_base + @as(usize, @intCast(count.*)) * 16);
        }
        return 1;
    }

    fn eglQueryDeviceStringEXT(device: abi.EGLDevice, name: abi.EGLint) callconv(.c) ?[*:0]const u8 {
        lock();
        defer unlock();
        if (refused("eglQueryDeviceStringEXT")) return null;
        const cuda_device = cudaOf(device) orelse return @ptrCast(failed(.EGL_BAD_DEVICE_EXT));
        switch (name) {
            abi.EXTENSIONS => {
                if (cuda_device >= 0) return joined(&device_extensions, "");
                return joined(&device_extensions, "EGL_NV_device_cuda");
            },
            abi.DRM_DEVICE_FILE => {
                const node = std.c.getenv("EGL_DOUBLE_DRM_NODE") orelse return "/dev/null";
                return if (node[0] == 0) @ptrCast(failed(.EGL_BAD_PARAMETER)) else node;
            },
            else => return @ptrCast(failed(.EGL_BAD_PARAMETER)),
        }
    }

    fn eglQueryDeviceAttribEXT(
        device: abi.EGLDevice,
        name: abi.EGLint,
        value: *abi.EGLAttrib,
    ) callconv(.c) abi.EGLBoolean {
        lock();
        defer unlock();
        if (refused("eglQueryDeviceAttribEXT")) return 0;
        const cuda_device = cudaOf(device) orelse return denied(.EGL_BAD_DEVICE_EXT);
        if (name != abi.CUDA_DEVICE or cuda_device < 0) return denied(.EGL_BAD_ATTRIBUTE);
        value.* = cuda_device;
        return 1;
    }

    fn eglGetPlatformDisplayEXT(
        platform: abi.EGLenum,
        device: abi.EGLDevice,
        _: ?[*]const abi.EGLint,
    ) callconv(.c) abi.EGLDisplay {
        lock();
        defer unlock();
        if (refused("eglGetPlatformDisplayEXT")) return null;
        if (platform != abi.PLATFORM_DEVICE or cudaOf(device) == null) return @ptrCast(failed(.EGL_BAD_PARAMETER));
        return @ptrFromInt(display_base + (@intFromPtr(device) - device_base));
    }

    fn eglCreateImageKHR(
        display: abi.EGLDisplay,
        context: abi.EGLContext,
        target: abi.EGLenum,
        buffer: abi.EGLClientBuffer,
        attributes: [*]const abi.EGLint,
    ) callconv(.c) abi.EGLImage {
        lock();
        defer unlock();
        if (refused("eglCreateImageKHR")) return null;
        const index = displayIndex(display) orelse return @ptrCast(failed(.EGL_BAD_DISPLAY));
        if (!initialized[index]) return @ptrCast(failed(.EGL_NOT_INITIALIZED));
        if (context != null or target != abi.LINUX_DMA_BUF or buffer != null) return @ptrCast(
            failed(.EGL_BAD_PARAMETER),
        );
        remember(attributes);
        if (std.c.getenv("EGL_DOUBLE_REFUSE")) |number| {
            return @ptrCast(failed(@enumFromInt(std.fmt.parseInt(i32, std.mem.span(number), 0) catch unreachable)));
        }
        return create() catch |failure| switch (failure) {
            error.Attribute => @ptrCast(failed(.EGL_BAD_ATTRIBUTE)),
            error.Parameter => @ptrCast(failed(.EGL_BAD_PARAMETER)),
            error.Alloc => @ptrCast(failed(.EGL_BAD_ALLOC)),
        };
    }

    fn eglDestroyImageKHR(display: abi.EGLDisplay, handle: abi.EGLImage) callconv(.c) abi.EGLBoolean {
        lock();
        defer unlock();
        if (refused("eglDestroyImageKHR")) return 0;
        _ = displayIndex(display) orelse return denied(.EGL_BAD_DISPLAY);
        const image = imageAt(@intFromPtr(handle)) orelse return denied(.EGL_BAD_PARAMETER);
        for (image.description.planes[0..image.description.plane_count]) |plane| _ = linux.close(plane.fd);
        image.used = false;
        return 1;
    }

    fn eglQueryDmaBufFormatsEXT(
        display: abi.EGLDisplay,
        max: abi.EGLint,
        formats: ?[*]abi.EGLint,
        count: *abi.EGLint,
    ) callconv(.c) abi.EGLBoolean {
        lock();
        defer unlock();
        if (refused("eglQueryDmaBufFormatsEXT")) return 0;
        _ = displayIndex(display) orelse return denied(.EGL_BAD_DISPLAY);
        const values = std.enums.values(drm_format.DrmFormat);
        count.* = @intCast(@min(values.len + 1, @as(usize, @intCast(max))));
        const out = formats orelse return 1;
        // One that the library does not know comes first.
        for (out[0..@intCast(count.*)], 0..) |*format, index| format.* = if (index == 0) 0x20203852 + 1 else @bitCast(
            @intFromEnum(values[index - 1]),
        );
        return 1;
    }

    /// YUYV is taken without a modifier only; every other format linear and tiled.
    fn eglQueryDmaBufModifiersEXT(
        display: abi.EGLDisplay,
        format: abi.EGLint,
        max: abi.EGLint,
        modifiers: ?[*]u64,
        external_only: ?[*]abi.EGLBoolean,
        count: *abi.EGLint,
    ) callconv(.c) abi.EGLBoolean {
        lock();
        defer unlock();
        if (refused("eglQueryDmaBufModifiersEXT")) return 0;
        _ = displayIndex(display) orelse return denied(.EGL_BAD_DISPLAY);
        if (max < 2) return denied(.EGL_BAD_PARAMETER);
        count.* = 0;
        if (format == @as(i32, @bitCast(@intFromEnum(drm_format.DrmFormat.YUYV)))) return 1;
        for ([_]u64{ drm_format.modifier_linear, tiled }, 0..) |modifier, index| {
            modifiers.?[index] = modifier;
            external_only.?[index] = 0;
            count.* += 1;
        }
        return 1;
    }
};

fn remember(attributes: [*]const abi.EGLint) void {
    last_attribute_count = 0;
    while (attributes[last_attribute_count] != abi.NONE) : (last_attribute_count += 2) {
        last_attributes[last_attribute_count] = attributes[last_attribute_count];
        last_attributes[last_attribute_count + 1] = attributes[last_attribute_count + 1];
    }
}

fn attribute(name: abi.EGLint) ?u32 {
    var index: usize = 0;
    while (index < last_attribute_count) : (index += 2) {
        if (last_attributes[index] == name) return @bitCast(last_attributes[index + 1]);
    }
    return null;
}

fn create() error{ Attribute, Parameter, Alloc }!abi.EGLImage {
    const format = std.enums.fromInt(
        drm_format.DrmFormat,
        attribute(abi.LINUX_DRM_FOURCC) orelse return error.Parameter,
    ) orelse return error.Attribute;
    const shapes = drm_format.planesOf(format);
    var description: Description = std.mem.zeroes(Description);
    description.width = attribute(abi.WIDTH) orelse return error.Parameter;
    description.height = attribute(abi.HEIGHT) orelse return error.Parameter;
    description.plane_count = @intCast(shapes.len);
    description.channel_bytes = if (format == .P010) 2 else 1;
    description.channels = if (format == .YUYV) 4 else shapes[0].bytes / description.channel_bytes;
    description.color_format = switch (format) {
        .ARGB8888, .XRGB8888 => 0x06,
        .ABGR8888, .XBGR8888 => 0x0E,
        .R8 => 0x09,
        .GR88 => 0x11,
        .NV12 => 0x01,
        .YUYV => 0x0D,
        .P010 => 0x17,
        else => 0x07,
    };
    description.is_pitch = @intFromBool(std.mem.eql(u8, setting("EGL_DOUBLE_FRAMES", "array"), "pitch"));
    const slot = for (&images, 0..) |*image, index| {
        if (!image.used) break index;
    } else return error.Alloc;

    var opened: usize = 0;
    errdefer for (description.planes[0..opened]) |plane| {
        _ = linux.close(plane.fd);
    };
    for (shapes, abi.plane_attributes[0..shapes.len], description.planes[0..shapes.len]) |shape, names, *plane| {
        const extent = drm_format.extentOf(shape, description.width, description.height);
        plane.offset = attribute(names.offset) orelse return error.Parameter;
        plane.pitch = attribute(names.pitch) orelse return error.Parameter;
        plane.row_bytes = extent.row_bytes;
        plane.rows = extent.rows;
        const fd: i32 = @bitCast(attribute(names.fd) orelse return error.Parameter);
        const duplicated = linux.fcntl(fd, linux.F.DUPFD_CLOEXEC, 0);
        if (linux.errno(duplicated) != .SUCCESS) return error.Alloc;
        plane.fd = @intCast(duplicated);
        opened += 1;
        plane.buffer_size = linux.lseek(plane.fd, 0, linux.SEEK.END);
    }
    images[slot] = .{ .used = true, .generation = images[slot].generation + 1, .description = description };
    return @ptrFromInt(handleOf(slot));
}

// Controls.

/// Images that are alive in this process.
export fn egldoubleImages() u32 {
    lock();
    defer unlock();
    var count: u32 = 0;
    for (&images) |*image| count += @intFromBool(image.used);
    return count;
}

/// As cudoubleFail and cudoubleCalls.
export fn egldoubleFail(rules: [*:0]const u8) c_int {
    lock();
    defer unlock();
    return if (faults.set(std.mem.span(rules))) 0 else 1;
}

export fn egldoubleCalls(name: [*:0]const u8) u64 {
    lock();
    defer unlock();
    return faults.count(std.mem.span(name)) orelse std.math.maxInt(u64);
}

/// Copies the last attribute list, without its end, into room for 64 numbers; returns how many there are.
export fn egldoubleAttributes(out: [*]abi.EGLint) c_int {
    lock();
    defer unlock();
    @memcpy(out[0..last_attribute_count], last_attributes[0..last_attribute_count]);
    return @intCast(last_attribute_count);
}

/// For the double of libcuda.so.1: 1, or 0 where there is no such image.
export fn egldoubleDescribe(handle: abi.EGLImage, description: *Description) c_uint {
    lock();
    defer unlock();
    const image = imageAt(@intFromPtr(handle)) orelse return 0;
    description.* = image.description;
    return 1;
}
