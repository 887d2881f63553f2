//! This is the door of the room egl/: EGL: its table, displays, attributes.
//! Other rooms import this file and no other of the room.

pub const abi = @import("abi.zig");
pub const attributes = @import("attributes.zig");
pub const display = @import("display.zig");
pub const driver = @import("driver.zig");
