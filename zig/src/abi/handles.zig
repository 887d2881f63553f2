//! Handles are numbers that stand for native objects across the C ABI. The number of a closed object is refused, not
//! followed.

const std = @import("std");
const Mutex = @import("../os/mod.zig").mutex.Mutex;
const errors = @import("../core/mod.zig").errors;
const Publisher = @import("../ipc/mod.zig").publisher.Publisher;
const Subscriber = @import("../ipc/mod.zig").subscriber.Subscriber;
const PacketReader = @import("../ipc/mod.zig").packet_reader.PacketReader;
const Connecting = @import("../ipc/mod.zig").attempt.Connecting;
const Context = @import("../cuda/mod.zig").context.Context;
const DescriptorSocket = @import("../ipc/mod.zig").descriptor_socket.DescriptorSocket;
const Image = @import("../image/mod.zig").image.Image;

pub const Object = union(enum) {
    publisher: *Publisher,
    subscriber: *Subscriber,
    packet_reader: *PacketReader,
    connecting: *Connecting,
    context: *Context,
    socket: *DescriptorSocket,
    image: *Image,
};

const handles_max = 4096;

/// Positive as an i32, and never 0: `use` counts from 1.
const Handle = packed struct(u32) { index: u12, use: u19, sign: u1 = 0 };

/// All zero when free, so that the table takes no room in the library's file.
const Entry = struct {
    object: ?Object = null,
    earlier_uses: u18 = 0,
    /// The environment that made it, or nobody.
    owner: u32 = nobody,

    fn use(entry: *const Entry) u19 {
        return @as(u19, entry.earlier_uses) + 1;
    }

    fn clear(entry: *Entry) void {
        entry.object = null;
        entry.owner = nobody;
        entry.earlier_uses +%= 1;
    }
};

/// No environment: what a thread makes that has opened none lives until it is closed.
pub const nobody = 0;
/// The environment of this thread.
pub threadlocal var owner: u32 = nobody;

var mutex: Mutex = .{};
var entries: [handles_max]Entry = @splat(.{});
var search_from: u32 = 0;

pub fn add(object: Object) errors.Error!i32 {
    mutex.lock();
    defer mutex.unlock();
    for (0..handles_max) |offset| {
        const index = (search_from + offset) % handles_max;
        const entry = &entries[index];
        if (entry.object != null) continue;
        entry.object = object;
        entry.owner = owner;
        search_from = @intCast((index + 1) % handles_max);
        return @bitCast(Handle{ .index = @intCast(index), .use = entry.use() });
    }
    return errors.fail(
        error.OutOfMemory,
        "this process has {d} publishers, subscribers, readers, sockets and images open, the most it may have",
        .{handles_max},
    );
}

/// The object of a handle. The caller is the thread that may close it.
pub fn get(comptime tag: std.meta.Tag(Object), number: u32) errors.Error!@FieldType(Object, @tagName(tag)) {
    const handle: Handle = @bitCast(number);
    const entry = &entries[handle.index];
    if (handle.sign == 0 and entry.use() == handle.use) {
        if (entry.object) |object| if (object == tag) return @field(object, @tagName(tag));
    }
    return errors.fail(error.InvalidArgument, "this " ++ @tagName(tag) ++ " is closed", .{});
}

/// The object of a handle, which stands for nothing from now on.
pub fn take(comptime tag: std.meta.Tag(Object), number: u32) errors.Error!@FieldType(Object, @tagName(tag)) {
    mutex.lock();
    defer mutex.unlock();
    const object = try get(tag, number);
    const handle: Handle = @bitCast(number);
    entries[handle.index].clear();
    return object;
}

/// One of the objects of an environment, whose handle stands for nothing from now on; null when there is none left.
/// Contexts come last: other objects may be using them.
pub fn takeOwned(environment: u32) ?Object {
    std.debug.assert(environment != nobody);
    mutex.lock();
    defer mutex.unlock();
    var context: ?*Entry = null;
    for (&entries) |*entry| {
        const object = entry.object orelse continue;
        if (entry.owner != environment) continue;
        if (object == .context) {
            context = entry;
            continue;
        }
        entry.clear();
        return object;
    }
    const last = context orelse return null;
    defer last.clear();
    return last.object;
}

/// Closes an object whose JavaScript is gone or about to go, and may have left views of its memory to others.
pub fn vacate(object: Object) void {
    switch (object) {
        .publisher => |publisher| publisher.vacate(),
        .subscriber => |connected| connected.vacate(),
        .context => |context| {
            context.deinit();
            std.heap.c_allocator.destroy(context);
        },
        inline else => |other| other.close(),
    }
}
