//! Taking the next one from a ring whose publisher may end at any moment: what it left is delivered before its end is
//! told.

const std = @import("std");
const Error = @import("../core/mod.zig").errors.Error;

pub const Attempt = enum {
    taken,
    /// There is none now.
    none,
    /// There may be one, which cannot be taken now.
    not_now,
    /// There is none, and there will be none.
    over,
};

/// One attempt; `over` where the publisher is gone and has left nothing.
pub fn takeOrEnd(
    context: anytype,
    comptime isEnded: fn (@TypeOf(context)) bool,
    comptime take: fn (@TypeOf(context)) Error!Attempt,
) Error!Attempt {
    // Looked at first: what was published before the end is seen by the attempt that follows.
    const ended = isEnded(context);
    const attempt = try take(context);
    return if (attempt == .none and ended) .over else attempt;
}

test "the last one is delivered, wherever it and the end come in between" {
    const testing = std.testing;
    const Ring = struct {
        /// Looks until the last one comes, and the end with it.
        looks_left: u32,
        taken: bool = false,

        fn look(ring: *@This()) bool {
            defer ring.looks_left -|= 1;
            return ring.looks_left == 0;
        }

        fn isEnded(ring: *@This()) bool {
            return ring.look();
        }

        fn take(ring: *@This()) Error!Attempt {
            if (!ring.look() or ring.taken) return .none;
            ring.taken = true;
            return .taken;
        }
    };
    for (0..5) |looks| {
        var ring: Ring = .{ .looks_left = @intCast(looks) };
        while (true) switch (try takeOrEnd(&ring, Ring.isEnded, Ring.take)) {
            .taken, .over => break,
            .none, .not_now => {},
        };
        try testing.expect(ring.taken);
        try testing.expectEqual(.over, try takeOrEnd(&ring, Ring.isEnded, Ring.take));
    }
}
