//! This file finds the EGL display on the device that a CUDA device is, and asks it which dma-bufs it takes.

const std = @import("std");
const linux = std.os.linux;
const errors = @import("../core/mod.zig").errors;
const drm_format = @import("../core/mod.zig").drm_format;
const egl = @import("driver.zig");
const abi = egl.abi;
const Error = errors.Error;

const devices_max = 64;
const formats_max = 128;
const modifiers_max = 64;
/// Pairs of a format that this library knows and a modifier.
pub const pairs_max = std.enums.values(drm_format.DrmFormat).len * modifiers_max;

/// A layout of pixels that can be imported.
pub const Pair = extern struct {
    /// Of drm_fourcc.h; 0x00ffffffffffffff: the format without one.
    modifier: u64,
    /// Of drm_fourcc.h.
    fourcc: u32,
    /// 1: EGL cannot render to it; CUDA reads it all the same.
    external_only: u32,
};

pub const Display = struct {
    driver: *const egl.Driver,
    handle: abi.EGLDisplay,
    device: abi.EGLDevice,
    /// EGL_EXT_image_dma_buf_import_modifiers
    has_modifiers: bool,
    /// Without one, EGL has nothing to import dma-bufs with.
    has_drm_node: bool,
    pairs: [pairs_max]Pair = undefined,
    pair_count: usize = 0,

    /// Unsupported, with the reason, where EGL or an extension is missing or no EGL device is this CUDA device. The
    /// display is never terminated: others in the process may use the same.
    pub fn open(cuda_device: c_int) Error!Display {
        const driver = try egl.open();
        try requireDevices(driver);
        return onDevice(driver, try find(driver, cuda_device));
    }

    fn requireDevices(driver: *const egl.Driver) Error!void {
        const client = driver.call(.eglQueryString, .{ null, abi.EXTENSIONS });
        if (client == null) _ = driver.lastError();
        const enumerates = egl.hasExtension(client, "EGL_EXT_device_base") or
            (egl.hasExtension(client, "EGL_EXT_device_enumeration") and
                egl.hasExtension(client, "EGL_EXT_device_query"));
        if (!enumerates) return lacks("EGL_EXT_device_base");
        if (!egl.hasExtension(client, "EGL_EXT_platform_device")) return lacks("EGL_EXT_platform_device");
        try driver.require(
            &.{ .eglQueryDevicesEXT, .eglQueryDeviceStringEXT, .eglQueryDeviceAttribEXT, .eglGetPlatformDisplayEXT },
        );
    }

    fn onDevice(driver: *const egl.Driver, device: abi.EGLDevice) Error!Display {
        const handle = driver.call(
            .eglGetPlatformDisplayEXT,
            .{ abi.PLATFORM_DEVICE, device, null },
        ) orelse return driver.explain(.eglGetPlatformDisplayEXT);
        if (driver.call(.eglInitialize, .{ handle, null, null }) == 0) return driver.explain(.eglInitialize);
        const extensions = driver.call(
            .eglQueryString,
            .{ handle, abi.EXTENSIONS },
        ) orelse return driver.explain(.eglQueryString);
        if (!egl.hasExtension(extensions, "EGL_EXT_image_dma_buf_import")) return lacks("EGL_EXT_image_dma_buf_import");
        if (!egl.hasExtension(
            extensions,
            "EGL_KHR_image_base",
        ) and !egl.hasExtension(extensions, "EGL_KHR_image")) return lacks(
            "EGL_KHR_image_base",
        );
        try driver.require(&.{ .eglCreateImageKHR, .eglDestroyImageKHR });

        const device_extensions = driver.call(
            .eglQueryDeviceStringEXT,
            .{ device, abi.EXTENSIONS },
        ) orelse return driver.explain(.eglQueryDeviceStringEXT);
        var display: Display = .{
            .driver = driver,
            .handle = handle,
            .device = device,
            .has_modifiers = egl.hasExtension(extensions, "EGL_EXT_image_dma_buf_import_modifiers"),
            .has_drm_node = false,
        };
        if (egl.hasExtension(device_extensions, "EGL_EXT_device_drm")) {
            if (driver.call(.eglQueryDeviceStringEXT, .{ device, abi.DRM_DEVICE_FILE })) |path| {
                // A container may have the GPU and not this node of it.
                display.has_drm_node = linux.errno(linux.access(path, linux.F_OK)) == .SUCCESS;
            } else _ = driver.lastError();
        }
        if (display.has_modifiers) try display.readPairs();
        return display;
    }

    fn lacks(name: []const u8) Error {
        return errors.fail(error.Unsupported, "this EGL has no {s}", .{name});
    }

    fn find(driver: *const egl.Driver, cuda_device: c_int) Error!abi.EGLDevice {
        var devices: [devices_max]abi.EGLDevice = undefined;
        var reported: abi.EGLint = 0;
        if (driver.call(.eglQueryDevicesEXT, .{ devices_max, &devices, &reported }) == 0) return driver.explain(
            .eglQueryDevicesEXT,
        );
        const count: usize = @intCast(std.math.clamp(reported, 0, devices_max));
        var cuda_count: usize = 0;
        for (devices[0..count]) |device| {
            const extensions = driver.call(
                .eglQueryDeviceStringEXT,
                .{ device, abi.EXTENSIONS },
            ) orelse return driver.explain(.eglQueryDeviceStringEXT);
            if (!egl.hasExtension(extensions, "EGL_NV_device_cuda")) continue;
            var ordinal: abi.EGLAttrib = -1;
            if (driver.call(
                .eglQueryDeviceAttribEXT,
                .{ device, abi.CUDA_DEVICE, &ordinal },
            ) == 0) return driver.explain(
                .eglQueryDeviceAttribEXT,
            );
            if (ordinal == cuda_device) return device;
            cuda_count += 1;
        }
        return errors.fail(
            error.Unsupported,
            "no EGL device is the CUDA device {d}: EGL has {d} devices, {d} of them with EGL_NV_device_cuda " ++
                "(NVIDIA's EGL is its vendor library libEGL_nvidia.so.0; in a container, the graphics capability)",
            .{ cuda_device, count, cuda_count },
        );
    }

    /// What this display takes of the formats that the library knows.
    fn readPairs(display: *Display) Error!void {
        const driver = display.driver;
        try driver.require(&.{ .eglQueryDmaBufFormatsEXT, .eglQueryDmaBufModifiersEXT });
        var formats: [formats_max]abi.EGLint = undefined;
        var reported: abi.EGLint = 0;
        if (driver.call(
            .eglQueryDmaBufFormatsEXT,
            .{ display.handle, formats_max, &formats, &reported },
        ) == 0) return driver.explain(
            .eglQueryDmaBufFormatsEXT,
        );
        const count: usize = @intCast(std.math.clamp(reported, 0, formats_max));
        for (formats[0..count]) |code| {
            const known = std.enums.fromInt(drm_format.DrmFormat, @as(u32, @bitCast(code))) orelse continue;
            var modifiers: [modifiers_max]u64 = undefined;
            var external_only: [modifiers_max]abi.EGLBoolean = @splat(0);
            if (driver.call(
                .eglQueryDmaBufModifiersEXT,
                .{ display.handle, code, modifiers_max, &modifiers, &external_only, &reported },
            ) == 0) {
                return driver.explain(.eglQueryDmaBufModifiersEXT);
            }
            var modifier_count: usize = @intCast(std.math.clamp(reported, 0, modifiers_max));
            if (modifier_count == 0) {
                // The format without any modifier.
                modifiers[0] = drm_format.modifier_invalid;
                modifier_count = 1;
            }
            for (modifiers[0..modifier_count], external_only[0..modifier_count]) |modifier, external| {
                if (display.pair_count == pairs_max) return; // a format listed twice
                display.pairs[display.pair_count] = .{
                    .modifier = modifier,
                    .fourcc = @intFromEnum(known),
                    .external_only = @intFromBool(external != 0),
                };
                display.pair_count += 1;
            }
        }
    }

    /// Format where this display does not take the layout, as far as it says so.
    pub fn requirePair(display: *const Display, wanted: drm_format.DrmFormat, modifier: ?u64) Error!void {
        if (!display.has_modifiers) {
            if (modifier == null) return;
            return errors.fail(
                error.Unsupported,
                "modifier 0x{x}: this EGL has no EGL_EXT_image_dma_buf_import_modifiers",
                .{modifier.?},
            );
        }
        // A display that lists nothing may still have its own words for why.
        if (display.pair_count == 0) return;
        var has_format = false;
        for (display.pairs[0..display.pair_count]) |pair| {
            if (pair.fourcc != @intFromEnum(wanted)) continue;
            has_format = true;
            if (modifier == null or pair.modifier == modifier.?) return;
        }
        if (!has_format) return errors.fail(error.Format, "fourcc {t} is not one that EGL imports here", .{wanted});
        return errors.fail(
            error.Format,
            "modifier 0x{x} is not one that EGL imports here for {t}",
            .{ modifier.?, wanted },
        );
    }

    /// EGL keeps references of its own to the descriptors' buffers.
    pub fn createImage(display: *const Display, attributes: [*]const abi.EGLint) Error!abi.EGLImage {
        const driver = display.driver;
        if (driver.call(
            .eglCreateImageKHR,
            .{ display.handle, null, abi.LINUX_DMA_BUF, null, attributes },
        )) |image| return image;
        const code = driver.lastError();
        if (code == .EGL_BAD_ALLOC and !display.has_drm_node) return errors.fail(
            error.Unsupported,
            "eglCreateImageKHR failed: EGL_BAD_ALLOC. This GPU has no DRM node here, which importing a dma-buf " ++
                "needs: load nvidia-drm with modeset=1 and give this process /dev/dri/renderD*; or import with " ++
                "memory: \"host\"",
            .{},
        );
        return errors.fail(egl.kindOf(code), "eglCreateImageKHR failed: {s}", .{egl.nameOf(code)});
    }

    pub fn destroyImage(display: *const Display, image: abi.EGLImage) void {
        if (display.driver.call(.eglDestroyImageKHR, .{ display.handle, image }) == 0) _ = display.driver.lastError();
    }
};

const testing = std.testing;
const builtin = @import("builtin");

test "displays on the EGL devices of this machine open, or lack something that is named" {
    // Mesa's own threads are none of ThreadSanitizer's business.
    if (builtin.sanitize_thread) return error.SkipZigTest;
    const driver = egl.open() catch return error.SkipZigTest;
    Display.requireDevices(driver) catch return error.SkipZigTest;
    var devices: [devices_max]abi.EGLDevice = undefined;
    var count: abi.EGLint = 0;
    try testing.expect(driver.call(.eglQueryDevicesEXT, .{ devices_max, &devices, &count }) != 0);
    for (devices[0..@intCast(count)]) |device| {
        const display = Display.onDevice(driver, device) catch |failure| {
            // Mesa without a DRM node: a display with images, and nothing to make them of.
            try testing.expectEqual(error.Unsupported, failure);
            try testing.expect(std.mem.find(u8, errors.message(), "this EGL has no EGL_") != null);
            continue;
        };
        // A plane without a descriptor: the driver's refusal is told by its name, and leaves no image.
        const list = @import("attributes.zig").list(
            64,
            64,
            @intFromEnum(drm_format.DrmFormat.XRGB8888),
            &.{.{ .fd = -1, .offset = 0, .pitch = 256 }},
            null,
        );
        if (display.createImage(&list)) |image| {
            display.destroyImage(image);
            return error.TestUnexpectedResult;
        } else |_| try testing.expect(std.mem.find(u8, errors.message(), "eglCreateImageKHR failed: EGL_") != null);
    }
    try testing.expectError(error.Unsupported, Display.open(63));
    try testing.expect(std.mem.find(u8, errors.message(), "no EGL device is the CUDA device 63") != null);
}
