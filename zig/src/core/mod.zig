//! This is the door of the room core/: what every room may need and that needs none, such as errors, formats and UUIDs.
//! Other rooms import this file and no other of the room.

pub const drm_format = @import("drm_format.zig");
pub const errors = @import("errors.zig");
pub const format = @import("format.zig");
pub const function_table = @import("function_table.zig");
pub const picture = @import("picture.zig");
pub const uuid = @import("uuid.zig");
