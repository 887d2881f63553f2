//! This is the door of the room ipc/: publishers, subscribers, connecting, and the threads that serve their sockets.
//! Other rooms import this file and no other of the room.

pub const address = @import("address.zig");
pub const admission = @import("admission.zig");
pub const attempt = @import("attempt.zig");
pub const connect = @import("connect.zig");
pub const descriptor_socket = @import("descriptor_socket.zig");
pub const event_loop = @import("event_loop.zig");
pub const frames = @import("frames.zig");
pub const packet_reader = @import("packet_reader.zig");
pub const packet_tracks = @import("packet_tracks.zig");
pub const protocol = @import("protocol.zig");
pub const publisher = @import("publisher.zig");
pub const publisher_events = @import("publisher_events.zig");
pub const rate = @import("rate.zig");
pub const reactor = @import("reactor.zig");
pub const subscriber = @import("subscriber.zig");
pub const text = @import("text.zig");
pub const track = @import("track.zig");
pub const waiter = @import("waiter.zig");
