//! These functions of the C ABI list the CUDA devices and hold their contexts.

const std = @import("std");
const errors = @import("../core/mod.zig").errors;
const cuda_context = @import("../cuda/mod.zig").context;
const cuda_driver = @import("../cuda/mod.zig").driver;
const handles = @import("handles.zig");
const arguments = @import("arguments.zig");
const codeOf = arguments.codeOf;
const done = arguments.done;
const output = arguments.output;
const cuda_devices = cuda_driver.devices;
const Error = errors.Error;

/// Fills a table of at most `capacity` CUDA devices; returns how many there are in it. UNSUPPORTED, with the reason,
/// where CUDA cannot be used.
pub export fn cuframes_devices(devices: ?[*]cuda_devices.Device, capacity: u32) i32 {
    return codeOf(listDevices(devices, capacity));
}

fn listDevices(devices: ?[*]cuda_devices.Device, capacity: u32) Error!i32 {
    const table = try output(cuda_devices.Device, devices, capacity);
    const driver = try cuda_context.openDriver();
    var failure: cuda_driver.Failure = .none;
    const count = cuda_devices.list(driver, table, &failure) catch return cuda_context.explain(failure);
    return @intCast(count);
}

/// Holds the primary context of the device with this number, so that other libraries may use it; returns its handle.
pub export fn cuframes_context_open(ordinal: u32) i32 {
    return codeOf(openContext(ordinal));
}

fn openContext(ordinal: u32) Error!i32 {
    const context = std.heap.c_allocator.create(cuda_context.Context) catch return errors.fail(
        error.OutOfMemory,
        "no memory for a context",
        .{},
    );
    errdefer std.heap.c_allocator.destroy(context);
    context.* = try .open(.{ .ordinal = ordinal });
    errdefer context.deinit();
    return handles.add(.{ .context = context });
}

/// Makes a context current on this thread, until cuframes_context_leave.
pub export fn cuframes_context_enter(handle: u32) i32 {
    const context = handles.get(.context, handle) catch |failure| return codeOf(failure);
    return done(context.enter());
}

/// Makes current on this thread what was so before cuframes_context_enter.
pub export fn cuframes_context_leave(handle: u32) i32 {
    const context = handles.get(.context, handle) catch |failure| return codeOf(failure);
    context.leave();
    return 0;
}

/// Releases a context.
pub export fn cuframes_context_close(handle: u32) i32 {
    const context = handles.take(.context, handle) catch |failure| return codeOf(failure);
    context.deinit();
    std.heap.c_allocator.destroy(context);
    return 0;
}
