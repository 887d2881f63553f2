//! This file makes frame memory on the host: a slot is one sealed memfd, read-only for everyone but the publisher.

const std = @import("std");
const assert = std.debug.assert;
const os_fd = @import("../os/mod.zig").fd;
const memfd = @import("../os/mod.zig").memfd;
const layout = @import("../ring/mod.zig").layout;
const bitOf = @import("../ring/mod.zig").leases.bitOf;
const bitsOf = @import("../ring/mod.zig").leases.bitsOf;
const udmabuf = @import("../os/mod.zig").udmabuf;
const errors = @import("../core/mod.zig").errors;
const Error = errors.Error;

/// Strides on the host are multiples of a cache line.
pub const alignment = 64;

pub const Slots = struct {
    /// Bytes of each, in whole largest pages.
    size: usize,
    /// Atomic, since two threads may give and take the memory of different slots. Slots that have memory, as a mask.
    present: u64 = 0,
    /// Atomic. Slots that have an address. It stays the same whatever memory the slot is given, so that a view of a
    /// slot is good for as long as the ring.
    addressed: u64 = 0,
    descriptors: [layout.slots_max]i32 = undefined,
    mappings: [layout.slots_max]memfd.Memory = undefined,
    /// Somebody may still reach the addresses: see `memfd.vacate`.
    vacated: bool = false,

    /// The publisher's side: gives a slot memory, zeroed, reserved, sealed. What it had goes on with those who have it;
    /// its descriptor is the caller's now.
    pub fn make(slots: *Slots, slot: u6) Error!?i32 {
        const fd = try memfd.create("cuframes-slot", slots.size);
        errdefer os_fd.close(fd);
        // Mapped before it is sealed: the only writable mapping there will ever be.
        const mapping = try memfd.mapNew(fd, slots.size);
        errdefer memfd.unmap(mapping);
        try memfd.seal(fd, .no_future_writers);
        try slots.place(slot, mapping);
        return slots.setDescriptor(slot, fd);
    }

    /// The subscriber's side: maps what the publisher has handed over. Takes the descriptor over when it succeeds.
    pub fn adopt(slots: *Slots, slot: u6, fd: i32) Error!void {
        const mapping = try memfd.mapForeign(fd, slots.size, .read_only);
        errdefer memfd.unmap(mapping);
        try slots.place(slot, mapping);
        // A mapping outlives its descriptor, and descriptors are scarce.
        os_fd.close(fd);
        _ = slots.setDescriptor(slot, -1);
    }

    fn place(slots: *Slots, slot: u6, mapping: memfd.Memory) Error!void {
        if (slots.addressed & bitOf(slot) != 0) return memfd.move(mapping, slots.mappings[slot]);
        slots.mappings[slot] = mapping;
        _ = @atomicRmw(u64, &slots.addressed, .Or, bitOf(slot), .acq_rel);
    }

    /// Returns the one before.
    fn setDescriptor(slots: *Slots, slot: u6, fd: i32) ?i32 {
        const before = slots.descriptors[slot];
        slots.descriptors[slot] = fd;
        const present = @atomicRmw(u64, &slots.present, .Or, bitOf(slot), .acq_rel);
        return if (present & bitOf(slot) != 0 and before >= 0) before else null;
    }

    /// Lets go of a slot's memory. Its address reads as zeros until the slot is given other.
    pub fn remove(slots: *Slots, slot: u6) void {
        assert(slots.present & bitOf(slot) != 0);
        memfd.vacate(slots.mappings[slot]);
        if (slots.descriptors[slot] >= 0) os_fd.close(slots.descriptors[slot]);
        _ = @atomicRmw(u64, &slots.present, .And, ~bitOf(slot), .acq_rel);
    }

    pub fn address(slots: *const Slots, slot: u6) u64 {
        assert(slots.addressed & bitOf(slot) != 0);
        return @intFromPtr(slots.mappings[slot].ptr);
    }

    /// A dma-buf with a copy of a slot, the caller's. Of the slot itself there can be none: it is sealed against
    /// writers, which a dma-buf would let in.
    pub fn exportDmabuf(slots: *const Slots, slot: u6) Error!i32 {
        assert(slots.present & bitOf(slot) != 0);
        return udmabuf.copyOf(slots.mappings[slot]);
    }

    pub fn deinit(slots: *Slots) void {
        var indexes = bitsOf(slots.addressed);
        while (indexes.next()) |index| {
            const mapping = slots.mappings[index];
            if (slots.vacated) memfd.vacate(mapping) else memfd.unmap(mapping);
            if (slots.present & bitOf(@intCast(index)) != 0 and slots.descriptors[index] >= 0) {
                os_fd.close(slots.descriptors[index]);
            }
        }
        slots.present = 0;
        slots.addressed = 0;
    }
};
