//! These functions of the C ABI pass descriptors over sockets of the caller's own.

const std = @import("std");
const errors = @import("../core/mod.zig").errors;
const os_socket = @import("../os/mod.zig").socket;
const event_loop = @import("../ipc/mod.zig").event_loop;
const descriptor_socket = @import("../ipc/mod.zig").descriptor_socket;
const handles = @import("handles.zig");
const arguments = @import("arguments.zig");
const connect_abi = @import("connect.zig");
const codeOf = arguments.codeOf;
const done = arguments.done;
const required = arguments.required;
const input = arguments.input;
const output = arguments.output;
const requiredCallback = arguments.requiredCallback;
const DescriptorSocket = descriptor_socket.DescriptorSocket;
const Place = @import("../ipc/mod.zig").address.Place;
const Error = errors.Error;

/// Starts connecting to a socket on another thread, as cuframes_connect_start. `address` is a path, or "@" and an
/// abstract name, of `size` bytes. timeout_ms: how long to wait for a listener; 0: it must be there.
pub export fn cuframes_socket_connect_start(
    address: ?[*]const u8,
    size: u32,
    timeout_ms: i32,
    callback: ?event_loop.Callback,
    token: u32,
) i32 {
    return codeOf(socketConnectStart(address, size, timeout_ms, callback, token));
}

fn socketConnectStart(
    address: ?[*]const u8,
    size: u32,
    timeout_ms: i32,
    callback: ?event_loop.Callback,
    token: u32,
) Error!i32 {
    const place: Place = try .parse(try input(u8, address, size));
    return connect_abi.startConnecting(.{ .socket = .{ .place = place, .timeout_ms = timeout_ms } }, callback, token);
}

/// Returns a listener's handle. ALREADY_EXISTS where somebody listens.
pub export fn cuframes_socket_listen(address: ?[*]const u8, size: u32, mode: u32) i32 {
    return codeOf(socketListen(address, size, mode));
}

fn socketListen(address: ?[*]const u8, size: u32, mode: u32) Error!i32 {
    const listener: *DescriptorSocket = try .listen(try .parse(try input(u8, address, size)), mode);
    errdefer listener.close();
    return handles.add(.{ .socket = listener });
}

/// Returns the handle of a listener's next connection. WOULD_BLOCK with a time-out of 0, else TIMEOUT.
pub export fn cuframes_socket_accept(listener_handle: u32, timeout_ms: i32) i32 {
    return codeOf(socketAccept(listener_handle, timeout_ms));
}

fn socketAccept(handle: u32, timeout_ms: i32) Error!i32 {
    const listener = try handles.get(.socket, handle);
    const accepted = try listener.accept(.fromMilliseconds(timeout_ms));
    errdefer accepted.close();
    return handles.add(.{ .socket = accepted });
}

/// Sends one message of 1 to SOCKET_MESSAGE_SIZE_MAX bytes with up to SOCKET_DESCRIPTORS_MAX descriptors, which stay
/// the caller's.
pub export fn cuframes_socket_send(
    handle: u32,
    bytes: ?[*]const u8,
    size: u32,
    descriptors: ?[*]const i32,
    descriptor_count: u32,
    timeout_ms: i32,
) i32 {
    return done(socketSend(handle, bytes, size, descriptors, descriptor_count, timeout_ms));
}

fn socketSend(
    handle: u32,
    bytes: ?[*]const u8,
    size: u32,
    descriptors: ?[*]const i32,
    descriptor_count: u32,
    timeout_ms: i32,
) Error!void {
    const connected = try handles.get(.socket, handle);
    const list = try input(i32, descriptors, descriptor_count);
    return connected.send(try input(u8, bytes, size), list, .fromMilliseconds(timeout_ms));
}

/// Takes one message into a buffer of at least SOCKET_MESSAGE_SIZE_MAX bytes. The descriptors that came with it are the
/// caller's; on every error none of them is open.
pub export fn cuframes_socket_receive(
    handle: u32,
    bytes: ?[*]u8,
    capacity: u32,
    received: ?*descriptor_socket.Received,
    timeout_ms: i32,
) i32 {
    return done(socketReceive(handle, bytes, capacity, received, timeout_ms));
}

fn socketReceive(
    handle: u32,
    bytes: ?[*]u8,
    capacity: u32,
    received: ?*descriptor_socket.Received,
    timeout_ms: i32,
) Error!void {
    const connected = try handles.get(.socket, handle);
    const message = try required(descriptor_socket.Received, received);
    return connected.receive(try output(u8, bytes, capacity), message, .fromMilliseconds(timeout_ms));
}

/// Calls back once when there is something to receive or accept (direction 0), or room to send (1), or the end to tell.
pub export fn cuframes_socket_arm(handle: u32, direction: u32, callback: ?event_loop.Callback) i32 {
    return done(armSocket(handle, direction, callback));
}

fn armSocket(handle: u32, direction: u32, callback: ?event_loop.Callback) Error!void {
    const connected = try handles.get(.socket, handle);
    const known = std.enums.fromInt(descriptor_socket.Direction, direction) orelse return errors.fail(
        error.InvalidArgument,
        "direction {d}: 0 or 1",
        .{direction},
    );
    return connected.arm(known, try requiredCallback(callback), handle);
}

/// Who the peer was when it connected, or began to listen.
pub export fn cuframes_socket_peer(handle: u32, credentials: ?*os_socket.Credentials) i32 {
    return done(socketPeer(handle, credentials));
}

fn socketPeer(handle: u32, credentials: ?*os_socket.Credentials) Error!void {
    const connected = try handles.get(.socket, handle);
    const out = try required(os_socket.Credentials, credentials);
    out.* = try connected.peer();
}

/// Ends a connection, or the listening with its files.
pub export fn cuframes_socket_close(handle: u32) i32 {
    const taken = handles.take(.socket, handle) catch |failure| return codeOf(failure);
    taken.close();
    return 0;
}

/// Closes a descriptor that was received or exported; INVALID_ARGUMENT where it is not open.
pub export fn cuframes_descriptor_close(descriptor: i32) i32 {
    return done(descriptor_socket.closeDescriptor(descriptor));
}
