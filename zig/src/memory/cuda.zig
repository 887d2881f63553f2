//! This file makes frame memory on a GPU: a slot is one VMM allocation, shared as a descriptor, read-only for everyone
//! but the publisher.

const std = @import("std");
const assert = std.debug.assert;
const os_fd = @import("../os/mod.zig").fd;
const errors = @import("../core/mod.zig").errors;
const format = @import("../core/mod.zig").format;
const layout = @import("../ring/mod.zig").layout;
const bitOf = @import("../ring/mod.zig").leases.bitOf;
const bitsOf = @import("../ring/mod.zig").leases.bitsOf;
const driver = @import("../cuda/mod.zig").driver;
const abi = driver.abi;
const Context = @import("../cuda/mod.zig").context.Context;
const Selection = @import("../cuda/mod.zig").context.Selection;
const Error = errors.Error;

/// NVDEC, NPP and textures want pitches of this alignment.
pub const alignment = 256;

/// Where the planes of somebody else's picture are, on the same device.
pub const CopySource = extern struct {
    /// CUstream that orders the copy, where `has_stream` is 1; else the library's own.
    stream: u64,
    has_stream: u32,
    plane_count: u32,
    planes: [format.planes_max]SourcePlane,
};

/// A CUdeviceptr, and the bytes from row to row.
pub const SourcePlane = extern struct { address: u64, stride: u64 };

/// Where this library's copies into a slot end, since the slot was acquired.
const Copies = struct { pending: bool = false, end: abi.CUevent = null };

pub const Slots = struct {
    context: Context,
    /// Bytes of each, in whole granules of the device.
    size: usize,
    /// Atomic, since two threads may give and take the memory of different slots. Slots that have memory, as a mask.
    present: u64 = 0,
    /// Atomic. Slots that have an address. It stays the same whatever memory the slot is given.
    addressed: u64 = 0,
    addresses: [layout.slots_max]abi.CUdeviceptr = undefined,
    /// -1: none, or not this side's.
    descriptors: [layout.slots_max]i32 = @splat(-1),
    copies: [layout.slots_max]Copies = @splat(.{}),
    /// Page-locked memory for `upload`, and the event of its last use.
    staging: ?[*]u8 = null,
    staged: abi.CUevent = null,

    pub fn open(device: Selection, frame_size: u64) Error!Slots {
        assert(frame_size > 0 and frame_size <= layout.region_size_max);
        var slots: Slots = .{ .context = try .open(device), .size = 0 };
        errdefer slots.deinit();
        try slots.context.enter();
        defer slots.context.leave();
        const properties = slots.allocationProperties();
        var granularity: usize = 0;
        try slots.context.call(.cuMemGetAllocationGranularity, .{ &granularity, &properties, .RECOMMENDED });
        slots.size = std.mem.alignForward(usize, frame_size, granularity);
        return slots;
    }

    pub fn openForeign(device: abi.CUuuid, size: usize) Error!Slots {
        return .{ .context = try .open(.{ .uuid = device }), .size = size };
    }

    /// Gives a slot memory. What it had goes on with those who have it; its descriptor is the caller's now.
    pub fn make(slots: *Slots, slot: u6) Error!?i32 {
        try slots.context.enter();
        defer slots.context.leave();
        const properties = slots.allocationProperties();
        var handle: abi.CUmemGenericAllocationHandle = 0;
        try slots.context.call(.cuMemCreate, .{ &handle, slots.size, &properties, 0 });
        // The mapping and the descriptor keep the memory; the handle is not needed.
        defer _ = slots.context.driver.functions.cuMemRelease(handle);
        var fd: c_int = -1;
        try slots.context.call(.cuMemExportToShareableHandle, .{ &fd, handle, .POSIX_FILE_DESCRIPTOR, 0 });
        errdefer os_fd.close(fd);
        try os_fd.closeOnExec(fd);
        // It is there still where the memory that was to come after it could not be mapped.
        const before: ?i32 = if (slots.descriptors[slot] >= 0) slots.descriptors[slot] else null;
        try slots.place(slot, handle, .READWRITE);
        slots.descriptors[slot] = fd;
        return before;
    }

    /// Takes the descriptor over when it succeeds.
    pub fn adopt(slots: *Slots, slot: u6, fd: i32) Error!void {
        try slots.context.enter();
        defer slots.context.leave();
        var handle: abi.CUmemGenericAllocationHandle = 0;
        try slots.context.call(
            .cuMemImportFromShareableHandle,
            .{ &handle, @as(usize, @intCast(fd)), .POSIX_FILE_DESCRIPTOR },
        );
        defer _ = slots.context.driver.functions.cuMemRelease(handle);
        try slots.place(slot, handle, .READ);
        os_fd.close(fd);
        slots.descriptors[slot] = -1;
    }

    /// Lets go of a slot's memory. Nothing may look at its address until the slot is given other.
    pub fn remove(slots: *Slots, slot: u6) void {
        slots.unmap(slot);
        slots.closeDescriptor(slot);
    }

    fn closeDescriptor(slots: *Slots, slot: u6) void {
        if (slots.descriptors[slot] >= 0) os_fd.close(slots.descriptors[slot]);
        slots.descriptors[slot] = -1;
    }

    fn unmap(slots: *Slots, slot: u6) void {
        assert(slots.present & bitOf(slot) != 0);
        _ = slots.context.driver.functions.cuMemUnmap(slots.addresses[slot], slots.size);
        _ = @atomicRmw(u64, &slots.present, .And, ~bitOf(slot), .acq_rel);
    }

    /// Maps memory at the slot's address, which it gets with its first.
    fn place(
        slots: *Slots,
        slot: u6,
        handle: abi.CUmemGenericAllocationHandle,
        access: abi.CUmemAccess_flags,
    ) Error!void {
        if (slots.addressed & bitOf(slot) == 0) {
            try slots.context.call(.cuMemAddressReserve, .{ &slots.addresses[slot], slots.size, 0, 0, 0 });
            _ = @atomicRmw(u64, &slots.addressed, .Or, bitOf(slot), .acq_rel);
        }
        if (slots.present & bitOf(slot) != 0) slots.unmap(slot);
        const start = slots.addresses[slot];
        try slots.context.call(.cuMemMap, .{ start, slots.size, 0, handle, 0 });
        errdefer _ = slots.context.driver.functions.cuMemUnmap(start, slots.size);
        const description = [1]abi.CUmemAccessDesc{.{
            .location = .{ .type = .DEVICE, .id = slots.context.device },
            .flags = access,
        }};
        try slots.context.call(.cuMemSetAccess, .{ start, slots.size, &description, 1 });
        _ = @atomicRmw(u64, &slots.present, .Or, bitOf(slot), .acq_rel);
    }

    fn allocationProperties(slots: *const Slots) abi.CUmemAllocationProp {
        return .{
            .type = .PINNED,
            .requestedHandleTypes = .POSIX_FILE_DESCRIPTOR,
            .location = .{ .type = .DEVICE, .id = slots.context.device },
        };
    }

    pub fn deinit(slots: *Slots) void {
        const functions = &slots.context.driver.functions;
        if (slots.context.enter()) {
            // Copies of this library's that are still under way touch what is unmapped next.
            _ = functions.cuStreamSynchronize(slots.context.stream);
            for (&slots.copies) |*copies| {
                if (copies.end == null) continue;
                _ = functions.cuEventSynchronize(copies.end);
                _ = functions.cuEventDestroy_v2(copies.end);
            }
            if (slots.staged != null) _ = functions.cuEventDestroy_v2(slots.staged);
            if (slots.staging) |staging| _ = functions.cuMemFreeHost(staging);
            slots.context.leave();
        } else |_| {}
        // Belongs to no context: it goes even where that is broken.
        var indexes = bitsOf(slots.addressed);
        while (indexes.next()) |index| {
            if (slots.present & bitOf(@intCast(index)) != 0) slots.unmap(@intCast(index));
            slots.closeDescriptor(@intCast(index));
            _ = functions.cuMemAddressFree(slots.addresses[index], slots.size);
        }
        slots.addressed = 0;
        slots.context.deinit();
    }

    /// A device address.
    pub fn address(slots: *const Slots, slot: u6) u64 {
        assert(slots.addressed & bitOf(slot) != 0);
        return slots.addresses[slot];
    }

    /// A dma-buf of a whole slot, the caller's. Unsupported where the device has none.
    pub fn exportDmabuf(slots: *const Slots, slot: u6) Error!i32 {
        var supported: c_int = 0;
        const known = slots.context.driver.has(.cuMemGetHandleForAddressRange);
        if (known) try slots.context.call(
            .cuDeviceGetAttribute,
            .{ &supported, .DMA_BUF_SUPPORTED, slots.context.device },
        );
        if (supported == 0) return errors.fail(
            error.Unsupported,
            "this GPU or its driver exports no memory as a dma-buf (CUDA 11.7, an open kernel module)",
            .{},
        );
        try slots.context.enter();
        defer slots.context.leave();
        var fd: c_int = -1;
        try slots.context.call(
            .cuMemGetHandleForAddressRange,
            .{ &fd, slots.address(slot), slots.size, .DMA_BUF_FD, 0 },
        );
        errdefer os_fd.close(fd);
        try os_fd.closeOnExec(fd);
        return fd;
    }

    /// Makes a stream wait for the copies into a slot, which may have been queued on another.
    pub fn follow(slots: *const Slots, slot: u32, stream: abi.CUstream) Error!void {
        assert(slot < layout.slots_max);
        const copies = &slots.copies[slot];
        if (copies.pending) try slots.context.call(.cuStreamWaitEvent, .{ stream, copies.end, 0 });
    }

    /// The slot's next owner has nothing to do with them.
    pub fn releaseCopies(slots: *Slots, slot: u32) void {
        assert(slot < layout.slots_max);
        slots.copies[slot].pending = false;
    }

    /// Waits for them, where that is possible.
    pub fn awaitCopies(slots: *const Slots, slot: u32) void {
        _ = slots.context.driver.functions.cuEventSynchronize(slots.copies[slot].end);
    }

    /// Copies into a slot by whoever calls this are put between this and `endCopies`, with the context current.
    pub fn beginCopies(slots: *Slots, slot: u32, stream: abi.CUstream) Error!void {
        const copies = &slots.copies[slot];
        if (copies.end == null) try slots.context.call(.cuEventCreate, .{ &copies.end, abi.CU_EVENT_DISABLE_TIMING });
        try slots.follow(slot, stream);
    }

    pub fn endCopies(slots: *Slots, slot: u32, stream: abi.CUstream) Error!void {
        assert(slots.copies[slot].end != null);
        try slots.context.call(.cuEventRecord, .{ slots.copies[slot].end, stream });
        slots.copies[slot].pending = true;
    }

    /// After a failure half-way: what was queued touches nothing any more when this returns.
    pub fn cancelCopies(slots: *const Slots, stream: abi.CUstream) void {
        _ = slots.context.driver.functions.cuStreamSynchronize(stream);
    }

    /// Copies a picture on the same device into a slot, ordered by the stream. The source must stay as it is until
    /// the stream has passed.
    pub fn copyFrom(slots: *Slots, slot: u32, geometry: *const format.Geometry, source: *const CopySource) Error!void {
        if (source.plane_count != geometry.plane_count) {
            return errors.fail(
                error.InvalidArgument,
                "the source has {d} planes, the frame {d}",
                .{ source.plane_count, geometry.plane_count },
            );
        }
        try slots.context.enter();
        defer slots.context.leave();
        for (source.planes[0..source.plane_count], geometry.planes[0..geometry.plane_count], 0..) |from, to, index| {
            try slots.checkSource(from, to, index);
        }
        const stream = if (source.has_stream != 0) @as(
            abi.CUstream,
            @ptrFromInt(source.stream),
        ) else slots.context.stream;
        try slots.beginCopies(slot, stream);
        errdefer slots.cancelCopies(stream);
        for (source.planes[0..source.plane_count], geometry.planes[0..geometry.plane_count]) |from, to| {
            try slots.context.call(.cuMemcpy2DAsync_v2, .{ &.{
                .srcMemoryType = .DEVICE,
                .srcDevice = from.address,
                .srcPitch = from.stride,
                .dstMemoryType = .DEVICE,
                .dstDevice = slots.addresses[slot] + to.offset,
                .dstPitch = to.stride,
                .WidthInBytes = to.row_bytes,
                .Height = to.rows,
            }, stream });
        }
        try slots.endCopies(slot, stream);
    }

    /// A pointer of the caller's is checked against what the driver knows of it, before the GPU follows it.
    fn checkSource(slots: *const Slots, from: SourcePlane, to: format.Plane, index: usize) Error!void {
        if (from.address == 0) return errors.fail(
            error.InvalidArgument,
            "planes[{d}]: the device pointer is null",
            .{index},
        );
        if (from.stride < to.row_bytes) {
            return errors.fail(
                error.InvalidArgument,
                "planes[{d}]: a stride of {d} bytes, but a row has {d}",
                .{ index, from.stride, to.row_bytes },
            );
        }
        var memory_type: abi.CUmemorytype = .UNKNOWN;
        var ordinal: c_int = -1;
        var start: abi.CUdeviceptr = 0;
        var size: usize = 0;
        const wanted = [_]abi.CUpointer_attribute{ .MEMORY_TYPE, .DEVICE_ORDINAL, .RANGE_START_ADDR, .RANGE_SIZE };
        const values = [_]*anyopaque{ &memory_type, &ordinal, @ptrCast(&start), @ptrCast(&size) };
        try slots.context.call(.cuPointerGetAttributes, .{ wanted.len, &wanted, &values, from.address });
        if (memory_type != .DEVICE) {
            return errors.fail(
                error.InvalidArgument,
                "planes[{d}]: 0x{x} is not device memory",
                .{ index, from.address },
            );
        }
        if (ordinal != slots.context.device) {
            return errors.fail(
                error.DeviceMismatch,
                "planes[{d}]: 0x{x} is on device {d}, the ring on device {d}",
                .{ index, from.address, ordinal, slots.context.device },
            );
        }
        const rows_before_last = std.math.mul(u64, from.stride, to.rows - 1) catch std.math.maxInt(u64);
        const needed = rows_before_last +| to.row_bytes;
        const available = (start +| size) -| from.address;
        if (start > from.address or available < needed) {
            return errors.fail(
                error.InvalidArgument,
                "planes[{d}]: the allocation at 0x{x} has {d} bytes from there on, {d} rows need {d}",
                .{ index, from.address, available, to.rows, needed },
            );
        }
    }

    /// Copies a picture without padding from host memory into a slot, ordered by the library's stream. The bytes are
    /// the caller's again when this returns.
    pub fn upload(slots: *Slots, slot: u32, geometry: *const format.Geometry, bytes: []const u8) Error!void {
        return slots.uploadPlanes(slot, geometry, WholePicture{ .bytes = bytes });
    }

    const WholePicture = struct {
        bytes: []const u8,

        fn has(_: WholePicture, _: usize) bool {
            return true;
        }

        fn fill(picture: WholePicture, _: usize, _: format.Plane, offset: usize, target: []u8) Error!void {
            @memcpy(target, picture.bytes[offset..][0..target.len]);
        }
    };

    /// As `upload`, of the planes that the picture has: `has(plane)` says so, `fill(plane, place, offset, target)`
    /// writes one without padding, which is at `offset` where all of them are there.
    pub fn uploadPlanes(slots: *Slots, slot: u32, geometry: *const format.Geometry, picture: anytype) Error!void {
        try slots.context.enter();
        defer slots.context.leave();
        const staging = try slots.stagingFor();
        var end: usize = 0;
        for (geometry.planes[0..geometry.plane_count], 0..) |plane, index| {
            if (!picture.has(index)) continue;
            const size = @as(usize, plane.row_bytes) * plane.rows;
            try picture.fill(index, plane, end, staging[end..][0..size]);
            end += size;
        }
        try slots.beginCopies(slot, slots.context.stream);
        errdefer slots.cancelCopies(slots.context.stream);
        var offset: usize = 0;
        for (geometry.planes[0..geometry.plane_count], 0..) |plane, index| {
            if (!picture.has(index)) continue;
            try slots.context.call(.cuMemcpy2DAsync_v2, .{ &.{
                .srcMemoryType = .HOST,
                .srcHost = staging + offset,
                .srcPitch = plane.row_bytes,
                .dstMemoryType = .DEVICE,
                .dstDevice = slots.addresses[slot] + plane.offset,
                .dstPitch = plane.stride,
                .WidthInBytes = plane.row_bytes,
                .Height = plane.rows,
            }, slots.context.stream });
            offset += @as(usize, plane.row_bytes) * plane.rows;
        }
        assert(offset == end);
        try slots.context.call(.cuEventRecord, .{ slots.staged, slots.context.stream });
        try slots.endCopies(slot, slots.context.stream);
    }

    /// Copies a slot's picture without padding to host memory, after the copies into it and the stream's work so far;
    /// done when this returns.
    pub fn download(
        slots: *Slots,
        slot: u32,
        geometry: *const format.Geometry,
        stream: abi.CUstream,
        bytes: []u8,
    ) Error!void {
        try slots.context.enter();
        defer slots.context.leave();
        const staging = try slots.stagingFor();
        try slots.follow(slot, stream);
        errdefer slots.cancelCopies(stream);
        var offset: usize = 0;
        for (geometry.planes[0..geometry.plane_count]) |plane| {
            try slots.context.call(.cuMemcpy2DAsync_v2, .{ &.{
                .srcMemoryType = .DEVICE,
                .srcDevice = slots.addresses[slot] + plane.offset,
                .srcPitch = plane.stride,
                .dstMemoryType = .HOST,
                .dstHost = staging + offset,
                .dstPitch = plane.row_bytes,
                .WidthInBytes = plane.row_bytes,
                .Height = plane.rows,
            }, stream });
            offset += @as(usize, plane.row_bytes) * plane.rows;
        }
        assert(offset == bytes.len);
        try slots.context.call(.cuStreamSynchronize, .{stream});
        @memcpy(bytes, staging[0..bytes.len]);
    }

    /// The staging memory, once the copy out of it that was started last is done. A picture without padding is never
    /// larger than a slot.
    fn stagingFor(slots: *Slots) Error![*]u8 {
        if (slots.staged == null) {
            try slots.context.call(.cuEventCreate, .{ &slots.staged, abi.CU_EVENT_DISABLE_TIMING });
        }
        if (slots.staging) |staging| {
            try slots.context.call(.cuEventSynchronize, .{slots.staged});
            return staging;
        }
        var memory: ?*anyopaque = null;
        try slots.context.call(.cuMemHostAlloc, .{ &memory, slots.size, 0 });
        slots.staging = @ptrCast(memory.?);
        return slots.staging.?;
    }
};

/// Frames copied to page-locked host memory, each once for as long as it is held.
pub const HostCopies = struct {
    buffers: [layout.leases_max]?[*]u8 = @splat(null),
    tickets: [layout.leases_max]u64 = @splat(layout.Ticket.none),

    pub const Copy = struct { index: u32, address: u64 };

    /// The copy of a held frame. `held` are the tickets of all frames held, at most one of which is this one's, so
    /// that some buffer is always free to take. `refresh` copies again.
    pub fn of(
        copies: *HostCopies,
        slots: *const Slots,
        ticket: u64,
        frame_size: usize,
        held: []const u64,
        refresh: bool,
    ) Error!Copy {
        const cached_index = std.mem.indexOfScalar(u64, &copies.tickets, ticket);
        if (cached_index) |index| if (!refresh) return copies.at(index);
        const index = cached_index orelse for (copies.tickets, 0..) |cached, index| {
            if (cached == layout.Ticket.none or std.mem.indexOfScalar(u64, held, cached) == null) break index;
        } else unreachable;
        copies.tickets[index] = layout.Ticket.none;
        try slots.context.enter();
        defer slots.context.leave();
        if (copies.buffers[index] == null) {
            var memory: ?*anyopaque = null;
            try slots.context.call(.cuMemHostAlloc, .{ &memory, frame_size, 0 });
            copies.buffers[index] = @ptrCast(memory.?);
        }
        const slot = layout.Ticket.from(ticket).slot;
        try slots.context.call(
            .cuMemcpyDtoHAsync_v2,
            .{ copies.buffers[index].?, slots.addresses[slot], frame_size, slots.context.stream },
        );
        try slots.context.call(.cuStreamSynchronize, .{slots.context.stream});
        copies.tickets[index] = ticket;
        return copies.at(index);
    }

    fn at(copies: *const HostCopies, index: usize) Copy {
        return .{ .index = @intCast(index), .address = @intFromPtr(copies.buffers[index].?) };
    }

    pub fn deinit(copies: *HostCopies, slots: *const Slots) void {
        slots.context.enter() catch return;
        defer slots.context.leave();
        for (copies.buffers) |buffer| {
            if (buffer) |memory| _ = slots.context.driver.functions.cuMemFreeHost(memory);
        }
    }
};
