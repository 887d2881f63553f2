//! This is the door of the room abi/: the exported C ABI, a file for each noun.
//! Other rooms import this file and no other of the room.

pub const callback = @import("callback.zig");
pub const connect = @import("connect.zig");
pub const device = @import("device.zig");
pub const environment = @import("environment.zig");
pub const image = @import("image.zig");
pub const library = @import("library.zig");
pub const packets = @import("packets.zig");
pub const publisher = @import("publisher.zig");
pub const socket = @import("socket.zig");
pub const subscriber = @import("subscriber.zig");
