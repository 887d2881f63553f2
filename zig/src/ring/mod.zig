//! This is the door of the room ring/: the shared bytes of frames and packets.
//! Other rooms import this file and no other of the room.

pub const channel = @import("channel.zig");
pub const frames = @import("frames.zig");
pub const leases = @import("leases.zig");
pub const layout = @import("layout.zig");
pub const packets = @import("packets.zig");

test {
    _ = @import("machine.zig");
    _ = @import("model.zig");
}
