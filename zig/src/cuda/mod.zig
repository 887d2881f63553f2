//! This is the door of the room cuda/: the CUDA driver: its table, devices, contexts, waiting for its work.
//! Other rooms import this file and no other of the room.

pub const completion = @import("completion.zig");
pub const context = @import("context.zig");
pub const devices = @import("devices.zig");
pub const driver = @import("driver.zig");
