//! This file puts the kinds of memory that frames live in behind one interface.

const std = @import("std");
const errors = @import("../core/mod.zig").errors;
const layout = @import("../ring/mod.zig").layout;
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

/// The slots of a ring, on the side that made them or on one that was handed them.
pub const Slots = union(Kind) {
    host: host.Slots,
    cuda: cuda.Slots,

    /// `count` slots with room for `frame_size` bytes each, to be filled by this process. `device` names a GPU; the
    /// host takes none.
    pub fn create(kind: Kind, device_name: []const u8, count: u32, frame_size: u64) Error!Slots {
        switch (kind) {
            .cuda => return .{ .cuda = try .create(try Selection.parse(device_name), count, frame_size) },
            .host => {
                var slots: Slots = .{ .host = .{} };
                try slots.host.create(count, std.mem.alignForward(u64, frame_size, std.heap.page_size_max));
                return slots;
            },
        }
    }

    /// Slots of another process, read-only. The descriptors are taken over when this succeeds.
    pub fn adopt(kind: Kind, uuid: [uuid_size]u8, descriptors_received: []const i32, slot_size: u64) Error!Slots {
        switch (kind) {
            .cuda => return .{ .cuda = try .adopt(uuid, descriptors_received, slot_size) },
            .host => {
                var slots: Slots = .{ .host = .{} };
                try slots.host.adopt(descriptors_received, slot_size);
                return slots;
            },
        }
    }

    pub fn deinit(slots: *Slots) void {
        switch (slots.*) {
            inline else => |*kind| kind.deinit(),
        }
    }

    pub fn slotSize(slots: *const Slots) u64 {
        switch (slots.*) {
            inline else => |*kind| return kind.slotSize(),
        }
    }

    /// What to send to a subscriber, one descriptor a slot.
    pub fn descriptors(slots: *const Slots) []const i32 {
        switch (slots.*) {
            inline else => |*kind| return kind.descriptors[0..kind.count],
        }
    }

    /// Where a slot is in this process: a host or a device address.
    pub fn address(slots: *const Slots, slot: u32) u64 {
        switch (slots.*) {
            inline else => |*kind| return kind.address(slot),
        }
    }

    /// A dma-buf of a slot (CUDA) or of a copy of it (host), the caller's.
    pub fn exportDmabuf(slots: *const Slots, slot: u32) Error!i32 {
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
