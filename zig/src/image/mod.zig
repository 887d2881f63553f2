//! This is the door of the room image/: pictures of other software.
//! Other rooms import this file and no other of the room.

pub const buffer = @import("buffer.zig");
pub const image = @import("image.zig");
pub const registration = @import("registration.zig");
