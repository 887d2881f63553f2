//! This file puts the kinds of memory that frames live in behind one interface.

const std = @import("std");
const errors = @import("../core/mod.zig").errors;
const layout = @import("../ring/mod.zig").layout;
const bitOf = @import("../ring/mod.zig").leases.bitOf;
const uuid_size = @import("../core/mod.zig").uuid.size;
const host = @import("host.zig");
const cuda = @import("cuda.zig");
const Selection = @import("../cuda/mod.zig").context.Selection;
const Error = errors.Error;

/// Where frames are, by its code on the wire.
pub const Kind = enum(u32) { host = 0, cuda = 1 };

pub fn kindOf(code: u32) Error!Kind {
    return std.enums.fromInt(Kind, code) orelse errors.fail(
        error.Unsupported,
        "frame memory of kind {d} is not known to this release",
        .{code},
    );
}

pub fn alignmentOf(kind: Kind) u32 {
    return switch (kind) {
        .host => host.alignment,
        .cuda => cuda.alignment,
    };
}

/// The slots of a ring, on the side that makes their memory or on one that is handed it.
pub const Slots = union(Kind) {
    host: host.Slots,
    cuda: cuda.Slots,

    /// Slots without memory yet, for `frame_size` bytes each, to be filled by this process. `device` names a GPU; the
    /// host takes none.
    pub fn open(kind: Kind, device_name: []const u8, frame_size: u64) Error!Slots {
        return switch (kind) {
            .cuda => .{ .cuda = try .open(try Selection.parse(device_name), frame_size) },
            .host => .{ .host = .{ .size = std.mem.alignForward(u64, frame_size, std.heap.page_size_max) } },
        };
    }

    /// Slots without memory yet, of another process, read-only.
    pub fn openForeign(kind: Kind, uuid: [uuid_size]u8, slot_size: u64) Error!Slots {
        return switch (kind) {
            .cuda => .{ .cuda = try .openForeign(uuid, slot_size) },
            .host => .{ .host = .{ .size = slot_size } },
        };
    }

    /// Gives a slot memory, in the place of what it had; others may still have that, and its descriptor, which is
    /// returned, is the caller's now.
    pub fn make(slots: *Slots, slot: u6) Error!?i32 {
        switch (slots.*) {
            inline else => |*kind| return kind.make(slot),
        }
    }

    /// As `make`, with the memory of another process. Takes the descriptor over when it succeeds.
    pub fn adopt(slots: *Slots, slot: u6, fd: i32) Error!void {
        switch (slots.*) {
            inline else => |*kind| return kind.adopt(slot, fd),
        }
    }

    /// Lets go of a slot's memory, and keeps its address.
    pub fn remove(slots: *Slots, slot: u6) void {
        switch (slots.*) {
            inline else => |*kind| kind.remove(slot),
        }
    }

    pub fn deinit(slots: *Slots) void {
        switch (slots.*) {
            inline else => |*kind| kind.deinit(),
        }
    }

    pub fn slotSize(slots: *const Slots) u64 {
        switch (slots.*) {
            inline else => |*kind| return kind.size,
        }
    }

    /// Whether a slot has an address: it has or had memory.
    pub fn hasAddress(slots: *const Slots, slot: u32) bool {
        if (slot >= layout.slots_max) return false;
        switch (slots.*) {
            inline else => |*kind| return kind.addressed & bitOf(@intCast(slot)) != 0,
        }
    }

    pub fn hasMemory(slots: *const Slots, slot: u6) bool {
        return slots.mask() & bitOf(slot) != 0;
    }

    /// How many slots have memory.
    pub fn count(slots: *const Slots) u32 {
        return @popCount(slots.mask());
    }

    fn mask(slots: *const Slots) u64 {
        switch (slots.*) {
            inline else => |*kind| return @atomicLoad(u64, &kind.present, .acquire),
        }
    }

    /// What to send to a subscriber.
    pub fn descriptor(slots: *const Slots, slot: u6) i32 {
        switch (slots.*) {
            inline else => |*kind| {
                std.debug.assert(kind.present & bitOf(slot) != 0);
                return kind.descriptors[slot];
            },
        }
    }

    /// Where a slot is in this process, whatever memory it has: a host or a device address.
    pub fn address(slots: *const Slots, slot: u32) u64 {
        switch (slots.*) {
            inline else => |*kind| return kind.address(@intCast(slot)),
        }
    }

    /// A dma-buf of a slot (CUDA) or of a copy of it (host), the caller's.
    pub fn exportDmabuf(slots: *const Slots, slot: u6) Error!i32 {
        switch (slots.*) {
            inline else => |*kind| return kind.exportDmabuf(slot),
        }
    }

    /// The device the slots are on; all zero for the host.
    pub fn device(slots: *const Slots) [uuid_size]u8 {
        switch (slots.*) {
            .host => return @splat(0),
            .cuda => |*slots_on_device| return slots_on_device.context.uuid,
        }
    }

    /// DeviceMismatch unless a subscriber that sees these devices can use the slots.
    pub fn requireDevice(slots: *const Slots, visible: []const [uuid_size]u8) Error!void {
        if (slots.* == .host) return;
        const uuid = slots.device();
        for (visible) |candidate| {
            if (std.mem.eql(u8, &candidate, &uuid)) return;
        }
        return errors.fail(
            error.DeviceMismatch,
            "the frames are on the CUDA device GPU-{x}, which is not among the {d} that the subscriber sees " ++
                "(driver, CUDA_VISIBLE_DEVICES, container device access)",
            .{ uuid, visible.len },
        );
    }
};
