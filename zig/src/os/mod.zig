//! This is the door of the room os/: Linux: descriptors, memory, sockets, futexes, threads, directories.
//! Other rooms import this file and no other of the room.

pub const access = @import("access.zig");
pub const arrivals = @import("arrivals.zig");
pub const claim = @import("claim.zig");
pub const clock = @import("clock.zig");
pub const closer = @import("closer.zig");
pub const directory = @import("directory.zig");
pub const dmabuf = @import("dmabuf.zig");
pub const event = @import("event.zig");
pub const fd = @import("fd.zig");
pub const folder = @import("folder.zig");
pub const futex = @import("futex.zig");
pub const leftovers = @import("leftovers.zig");
pub const log = @import("log.zig");
pub const memfd = @import("memfd.zig");
pub const mutex = @import("mutex.zig");
pub const socket = @import("socket.zig");
pub const thread = @import("thread.zig");
pub const udmabuf = @import("udmabuf.zig");
