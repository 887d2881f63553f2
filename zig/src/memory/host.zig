//! This file makes frame memory on the host: a slot is one sealed memfd, read-only for everyone but the publisher.

const std = @import("std");
const os_fd = @import("../os/mod.zig").fd;
const memfd = @import("../os/mod.zig").memfd;
const layout = @import("../ring/mod.zig").layout;
const udmabuf = @import("../os/mod.zig").udmabuf;
const errors = @import("../core/mod.zig").errors;
const Error = errors.Error;

/// Strides on the host are multiples of a cache line.
pub const alignment = 64;

pub const Slots = struct {
    count: u32 = 0,
    descriptors: [layout.slots_max]i32 = undefined,
    mappings: [layout.slots_max][]align(std.heap.page_size_min) u8 = undefined,
    /// Somebody may still reach the addresses: see `memfd.vacate`.
    vacated: bool = false,

    /// The publisher's side: `count` regions of `size` bytes, zeroed, reserved, sealed.
    pub fn create(slots: *Slots, count: u32, size: usize) Error!void {
        std.debug.assert(slots.count == 0 and count >= layout.slots_min and count <= layout.slots_max);
        std.debug.assert(size > 0 and size % std.heap.page_size_max == 0);
        errdefer slots.deinit();
        for (0..count) |index| {
            const fd = try memfd.create("cuframes-slot", size);
            errdefer os_fd.close(fd);
            // Mapped before it is sealed: the only writable mapping there will ever be.
            const mapping = try memfd.mapNew(fd, size);
            errdefer memfd.unmap(mapping);
            try memfd.seal(fd, .no_future_writers);
            slots.descriptors[index] = fd;
            slots.mappings[index] = mapping;
            slots.count += 1;
        }
    }

    /// The subscriber's side. Takes ownership of each descriptor only when all are mapped.
    pub fn adopt(slots: *Slots, descriptors: []const i32, size: usize) Error!void {
        std.debug.assert(slots.count == 0 and descriptors.len <= layout.slots_max);
        errdefer {
            for (slots.mappings[0..slots.count]) |mapping| memfd.unmap(mapping);
            slots.count = 0;
        }
        for (descriptors, 0..) |fd, index| {
            slots.mappings[index] = try memfd.mapForeign(fd, size, .read_only);
            slots.count += 1;
        }
        // A mapping outlives its descriptor, and descriptors are scarce.
        for (descriptors) |fd| os_fd.close(fd);
        @memset(slots.descriptors[0..descriptors.len], -1);
    }

    pub fn slotSize(slots: *const Slots) u64 {
        std.debug.assert(slots.count > 0);
        return slots.mappings[0].len;
    }

    pub fn address(slots: *const Slots, slot: u32) u64 {
        std.debug.assert(slot < slots.count);
        return @intFromPtr(slots.mappings[slot].ptr);
    }

    /// A dma-buf with a copy of a slot, the caller's. Of the slot itself there can be none: it is sealed against
    /// writers, which a dma-buf would let in.
    pub fn exportDmabuf(slots: *const Slots, slot: u32) Error!i32 {
        std.debug.assert(slot < slots.count);
        return udmabuf.copyOf(slots.mappings[slot]);
    }

    pub fn deinit(slots: *Slots) void {
        for (slots.mappings[0..slots.count], slots.descriptors[0..slots.count]) |mapping, fd| {
            if (slots.vacated) memfd.vacate(mapping) else memfd.unmap(mapping);
            if (fd >= 0) os_fd.close(fd);
        }
        slots.count = 0;
    }
};
