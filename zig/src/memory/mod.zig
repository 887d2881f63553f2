//! This is the door of the room memory/: the memory that frames live in.
//! Other rooms import this file and no other of the room.

pub const cuda = @import("cuda.zig");
pub const memory = @import("memory.zig");
