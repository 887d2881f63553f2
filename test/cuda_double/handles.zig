//! These handles say when they are stale. Each is an index and the generation of what it held, put into an
//! address range that no one can read, so that a handle taken for a pointer crashes at once.

const std = @import("std");
const assert = std.debug.assert;

pub const Kind = enum(u2) { context, stream, event, allocation };

const Bits = packed struct(u32) {
    index: u12,
    generation: u18,
    kind: Kind,
};

var base: usize = 0;

pub fn reserve() void {
    const result = std.os.linux.mmap(
        null,
        1 << 32,
        .{},
        .{ .TYPE = .PRIVATE, .ANONYMOUS = true, .NORESERVE = true },
        -1,
        0,
    );
    assert(std.os.linux.errno(result) == .SUCCESS);
    base = result;
}

pub fn Table(comptime kind: Kind, comptime T: type, comptime capacity: u12) type {
    return struct {
        slots: [capacity]Slot = @splat(.{ .generation = 0, .value = null }),
        next: usize = 0,

        const Self = @This();
        const Slot = struct { generation: u18, value: ?T };

        /// null when the table is full. Slots are reused as late as can be.
        pub fn add(table: *Self, value: T) ?u64 {
            for (0..capacity) |distance| {
                const index = (table.next + distance) % capacity;
                const slot = &table.slots[index];
                if (slot.value != null) continue;
                table.next = index + 1;
                slot.generation = if (slot.generation == std.math.maxInt(u18)) 1 else slot.generation + 1;
                slot.value = value;
                return handleOf(@intCast(index), slot.generation);
            }
            return null;
        }

        pub fn get(table: *Self, handle: u64) ?*T {
            const slot = table.find(handle) orelse return null;
            return &slot.value.?;
        }

        pub fn remove(table: *Self, handle: u64) void {
            table.find(handle).?.value = null;
        }

        fn find(table: *Self, handle: u64) ?*Slot {
            if (handle < base) return null;
            const bits: Bits = @bitCast(std.math.cast(u32, handle - base) orelse return null);
            if (bits.kind != kind or bits.index >= capacity) return null;
            const slot = &table.slots[bits.index];
            return if (slot.value != null and slot.generation == bits.generation) slot else null;
        }

        fn handleOf(index: u12, generation: u18) u64 {
            return base + @as(u32, @bitCast(Bits{ .index = index, .generation = generation, .kind = kind }));
        }
    };
}
