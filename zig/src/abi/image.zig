//! These functions of the C ABI import images that other software made, and export frames as dma-bufs.

const errors = @import("../core/mod.zig").errors;
const uuid = @import("../core/mod.zig").uuid;
const images = @import("../image/mod.zig").image;
const registration = @import("../image/mod.zig").registration;
const egl_display = @import("../egl/mod.zig").display;
const handles = @import("handles.zig");
const arguments = @import("arguments.zig");
const codeOf = arguments.codeOf;
const done = arguments.done;
const required = arguments.required;
const input = arguments.input;
const output = arguments.output;
const Image = images.Image;
const Error = errors.Error;

/// Imports a dma-buf or memfd, for the CPU or for CUDA; returns an image's handle. The descriptors stay the caller's.
pub export fn cuframes_image_import(options: ?*const images.Options, info: ?*images.Info) i32 {
    return codeOf(importImage(options, info));
}

fn importImage(options: ?*const images.Options, info: ?*images.Info) Error!i32 {
    const wanted = options orelse return errors.fail(error.InvalidArgument, "a required pointer is null", .{});
    return addImage(try .import(wanted), info);
}

fn addImage(image: *Image, info: ?*images.Info) Error!i32 {
    errdefer image.close();
    const out = try required(images.Info, info);
    out.* = image.info();
    return handles.add(.{ .image = image });
}

/// Registers an EGLImage of the caller's with CUDA; returns an image's handle. `fourcc` 0: what the driver takes it
/// for.
/// `device` names a GPU, as in cuframes_publisher_options.
pub export fn cuframes_image_import_egl(
    display: u64,
    egl_image: u64,
    fourcc: u32,
    device: ?[*]const u8,
    device_size: u32,
    info: ?*images.Info,
) i32 {
    return codeOf(importEglImage(display, egl_image, fourcc, device, device_size, info));
}

fn importEglImage(
    display: u64,
    egl_image: u64,
    fourcc: u32,
    device: ?[*]const u8,
    device_size: u32,
    info: ?*images.Info,
) Error!i32 {
    return addImage(try .importEgl(display, egl_image, fourcc, try deviceName(device, device_size)), info);
}

fn deviceName(device: ?[*]const u8, size: u32) Error![]const u8 {
    if (size > uuid.name_size) return errors.fail(error.InvalidArgument, "a device's name of {d} bytes", .{size});
    return input(u8, device, size);
}

/// Copies an image into an acquired slot; with `plane` from 0 on, an image of one plane into that plane of it. On a GPU
/// the copy is ordered by the CUstream, where `has_stream` is 1, else by the library's own.
pub export fn cuframes_publisher_copy_image(
    handle: u32,
    slot: u32,
    image: u32,
    plane: i32,
    stream: u64,
    has_stream: u32,
) i32 {
    return done(copyImage(handle, slot, image, plane, if (has_stream != 0) stream else null));
}

fn copyImage(handle: u32, slot: u32, image: u32, plane: i32, stream: ?u64) Error!void {
    const publisher = try handles.get(.publisher, handle);
    return publisher.copyImage(slot, try handles.get(.image, image), if (plane < 0) null else @intCast(plane), stream);
}

/// Ends an image. What was registered may be kept for the next import of the same buffer: see cuframes_images_trim.
pub export fn cuframes_image_close(handle: u32) i32 {
    const image = handles.take(.image, handle) catch |failure| return codeOf(failure);
    image.close();
    return 0;
}

/// Releases every registration that no image uses, and with it of the buffers.
pub export fn cuframes_images_trim() void {
    registration.trim();
}

/// Fills a table of at most `capacity` layouts that EGL imports on a GPU; returns how many there are in it.
pub export fn cuframes_dmabuf_formats(
    device: ?[*]const u8,
    device_size: u32,
    pairs: ?[*]egl_display.Pair,
    capacity: u32,
) i32 {
    return codeOf(dmabufFormats(device, device_size, pairs, capacity));
}

fn dmabufFormats(device: ?[*]const u8, device_size: u32, pairs: ?[*]egl_display.Pair, capacity: u32) Error!i32 {
    const table = try output(egl_display.Pair, pairs, capacity);
    return @intCast(try registration.pairs(try deviceName(device, device_size), table));
}

/// Returns a dma-buf of a held frame, the caller's to close: on a GPU of the slot itself, on the host of a copy.
pub export fn cuframes_subscriber_export_dmabuf(handle: u32, lease: u32) i32 {
    const subscriber = handles.get(.subscriber, handle) catch |failure| return codeOf(failure);
    return codeOf(subscriber.exportDmabuf(lease));
}
