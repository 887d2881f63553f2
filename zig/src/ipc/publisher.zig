//! A publisher has a key, a socket and a ring of slots. This file says what it is made with and of, and how it ends;
//! what it does is in frames.zig, packet_tracks.zig, admission.zig and report.zig.

const std = @import("std");
const linux = std.os.linux;
const errors = @import("../core/mod.zig").errors;
const format = @import("../core/mod.zig").format;
const uuid = @import("../core/mod.zig").uuid;
const layout = @import("../ring/mod.zig").layout;
const frame_ring = @import("../ring/mod.zig").frames;
const channel = @import("../ring/mod.zig").channel;
const memory = @import("../memory/mod.zig").memory;
const os_fd = @import("../os/mod.zig").fd;
const memfd = @import("../os/mod.zig").memfd;
const socket = @import("../os/mod.zig").socket;
const directory = @import("../os/mod.zig").directory;
const clock = @import("../os/mod.zig").clock;
const Mutex = @import("../os/mod.zig").mutex.Mutex;
const completion = @import("../cuda/mod.zig").completion;
const protocol = @import("protocol.zig");
const reactor = @import("reactor.zig");
const Waiter = @import("waiter.zig").Waiter;
const frames = @import("frames.zig");
const packet_tracks = @import("packet_tracks.zig");
const admission = @import("admission.zig");
const Error = errors.Error;

const allocator = std.heap.c_allocator;

/// What a publisher is to be. Text is NUL-padded.
pub const Options = extern struct {
    /// 1 to KEY_SIZE_MAX of A-Z, a-z, 0-9, _ and -.
    key: [layout.key_size_max + 1]u8,
    /// The runtime directory. Empty: the first that can be used, by docs/protocol.md.
    directory: [socket.path_size_max]u8,
    /// A pixel format.
    format: u32,
    /// Pixels.
    width: u32,
    height: u32,
    /// SLOTS_MIN to SLOTS_MAX.
    slot_count: u32,
    policy: u32,
    /// A kind of memory.
    memory: u32,
    /// Permission bits of the socket.
    socket_mode: u32,
    /// For memory on a GPU: its number or UUID; empty: the first.
    device: [uuid.name_size]u8,
};

/// A frame ring, as its publisher made it.
pub const Info = extern struct {
    geometry: format.Geometry,
    /// Bytes of a slot that are mapped.
    slot_size: u64,
    publisher_pid: u64,
    /// A kind of memory.
    memory: u32,
    slot_count: u32,
    /// The GPU's UUID; all zero for the host.
    device: [protocol.uuid_size]u8,
};

/// A publisher's counters.
pub const Stats = extern struct {
    /// Frames.
    published: u64,
    packets_published: u64,
    /// Subscribers that are there now.
    subscribers: u32,
    /// Slots that somebody holds now.
    slots_leased: u32,
    /// Connections dropped for what they sent or failed to send.
    rejected: u32,
    /// Frames whose GPU work failed: they were never visible.
    failed: u32,
};

/// InvalidArgument unless this is a key.
pub fn requireKey(key: []const u8) Error!void {
    if (isKey(key)) return;
    return errors.fail(
        error.InvalidArgument,
        "a key is 1 to {d} characters of A–Z a–z 0–9 _ -",
        .{layout.key_size_max},
    );
}

fn isKey(key: []const u8) bool {
    if (key.len < 1 or key.len > layout.key_size_max) return false;
    for (key) |byte| {
        if (!std.ascii.isAlphanumeric(byte) and byte != '_' and byte != '-') return false;
    }
    return true;
}

pub const Publisher = struct {
    /// Guards everything below against the reactor's thread. Lock order: reactor, then this.
    mutex: Mutex = .{},
    references: u32 = 1,
    closing: bool = false,

    control: *layout.Control,
    control_fd: i32,
    slots: memory.Slots,
    geometry: format.Geometry,
    slot_size: usize,
    writer: frame_ring.Writer,
    subscribers: frame_ring.Subscribers = .{},
    /// Of the subscribers, by the same index.
    connections: [layout.subscribers_max]admission.Connection = undefined,
    packet_ring: ?packet_tracks.PacketRing = null,
    created_ns: u64,
    failed: u32 = 0,
    completions: completion.Completions = .{},
    /// Of published frames whose GPU work is under way.
    pending_sequences: [layout.slots_max]u64 = undefined,
    /// Slots that were published or cancelled with GPU work on them under way, as a mask.
    under_way: u64 = 0,
    /// Those of them that were cancelled.
    cancelled: u64 = 0,
    /// Where acquire waits for a slot; private to this process.
    room: layout.Channel = .{ .waiting = 0, .wake = 0 },
    waiter: Waiter = .{},

    paths: Paths,
    lock: directory.Lock,
    listener: i32,
    admission: admission.Admission,

    /// Where the publisher of a key is found.
    const Paths = struct {
        lock: directory.Path,
        socket: directory.Path,
        /// Of the socket until somebody listens on it.
        temporary: directory.Path,

        fn of(options: *const Options) Error!Paths {
            const key = protocol.text(&options.key);
            const folder = try directory.forPublisher(protocol.text(&options.directory));
            return .{
                .lock = try .init("{s}/{s}.lock", .{ folder.slice(), key }),
                .socket = try .init("{s}/{s}.sock", .{ folder.slice(), key }),
                .temporary = try .init("{s}/.{s}.sock", .{ folder.slice(), key }),
            };
        }
    };

    pub fn create(options: *const Options) Error!*Publisher {
        const policy = try checkOptions(options);
        const kind = try memory.kindOf(options.memory);
        const alignment = memory.alignmentOf(kind);
        const geometry: format.Geometry = try .init(options.format, options.width, options.height, alignment);
        const paths: Paths = try .of(options);
        const lock = try takeKey(protocol.text(&options.key), &paths.lock);
        errdefer lock.release(&paths.lock);

        const publisher = allocator.create(Publisher) catch {
            return errors.fail(error.OutOfMemory, "no memory for a publisher", .{});
        };
        errdefer allocator.destroy(publisher);
        const device = protocol.text(&options.device);
        var slots: memory.Slots = try .create(kind, device, options.slot_count, geometry.frame_size);
        errdefer slots.deinit();
        const control_fd, const control = try createControl();
        errdefer {
            unmapControl(control);
            os_fd.close(control_fd);
        }
        const spare_fd = try admission.requireSpare();
        errdefer os_fd.close(spare_fd);
        publisher.* = .{
            .control = control,
            .control_fd = control_fd,
            .slots = slots,
            .geometry = geometry,
            .slot_size = slots.slotSize(),
            .writer = .init(control, options.slot_count, policy),
            .created_ns = clock.monotonicNs(),
            .paths = paths,
            .lock = lock,
            .listener = undefined,
            .admission = .{ .spare_fd = spare_fd },
        };
        publisher.describe(options);
        try publisher.listen(options.socket_mode);
        return publisher;
    }

    fn checkOptions(options: *const Options) Error!frame_ring.Policy {
        try requireKey(protocol.text(&options.key));
        const slot_count = options.slot_count;
        if (slot_count < layout.slots_min or slot_count > layout.slots_max) {
            return errors.fail(
                error.InvalidArgument,
                "a ring of {d} slots: it must have {d} to {d}",
                .{ slot_count, layout.slots_min, layout.slots_max },
            );
        }
        if (options.socket_mode & ~@as(u32, 0o777) != 0) {
            return errors.fail(
                error.InvalidArgument,
                "socket mode 0o{o}: only permission bits",
                .{options.socket_mode},
            );
        }
        return std.enums.fromInt(frame_ring.Policy, options.policy) orelse {
            return errors.fail(error.InvalidArgument, "policy {d} is not known", .{options.policy});
        };
    }

    /// AlreadyExists, with what to do, where somebody has the key.
    fn takeKey(key: []const u8, path: *const directory.Path) Error!directory.Lock {
        return directory.Lock.acquire(path) catch |failure| switch (failure) {
            error.AlreadyExists => errors.fail(
                error.AlreadyExists,
                "somebody publishes as {s} already, in this process or another (the lock {s} is held): close that " ++
                    "publisher or choose another key",
                .{ key, path.slice() },
            ),
            else => failure,
        };
    }

    fn createControl() Error!struct { i32, *layout.Control } {
        const fd = try memfd.create("cuframes-control", layout.control_size);
        errdefer os_fd.close(fd);
        const region = try memfd.map(fd, layout.control_size, .read_write);
        errdefer memfd.unmap(region);
        try memfd.seal(fd, .no_future_writers);
        return .{ fd, @ptrCast(region.ptr) };
    }

    fn unmapControl(control: *layout.Control) void {
        const region: [*]align(std.heap.page_size_min) u8 = @ptrCast(@alignCast(control));
        memfd.unmap(region[0..layout.control_size]);
    }

    /// Fills in what does not change, before anybody can map it.
    fn describe(publisher: *Publisher, options: *const Options) void {
        const control = publisher.control;
        std.debug.assert(control.magic == 0 and publisher.slot_size >= publisher.geometry.frame_size);
        control.magic = layout.magic;
        control.version = layout.version;
        control.slot_count = options.slot_count;
        control.memory = options.memory;
        control.geometry = publisher.geometry;
        control.slot_size = publisher.slot_size;
        control.publisher_pid = @intCast(linux.getpid());
    }

    fn listen(publisher: *Publisher, mode: u32) Error!void {
        const paths = &publisher.paths;
        reactor.lock();
        defer reactor.unlock();
        publisher.listener = try socket.listen(paths.socket.slice(), paths.temporary.slice(), mode);
        errdefer {
            _ = linux.unlink(paths.socket.z());
            os_fd.close(publisher.listener);
        }
        const handler = admission.handlerOf(publisher);
        publisher.admission.listener_token = try reactor.add(publisher.listener, handler, null);
    }

    /// The key that it publishes under.
    pub fn keyText(publisher: *const Publisher) []const u8 {
        return std.fs.path.stem(publisher.paths.socket.slice());
    }

    pub fn info(publisher: *const Publisher) Info {
        return .{
            .geometry = publisher.geometry,
            .slot_size = publisher.slot_size,
            .publisher_pid = publisher.control.publisher_pid,
            .memory = publisher.control.memory,
            .slot_count = publisher.writer.slot_count,
            .device = publisher.slots.device(),
        };
    }

    // Frames: called by the owner's thread.

    pub const tryAcquire = frames.tryAcquire;
    pub const acquire = frames.acquire;
    pub const publish = frames.publish;
    pub const cancel = frames.cancel;
    pub const copyFrom = frames.copyFrom;
    pub const copyImage = frames.copyImage;
    pub const upload = frames.upload;
    pub const download = frames.download;
    pub const arm = frames.arm;

    // Packets: called by the owner's thread.

    pub const enablePackets = packet_tracks.enablePackets;
    pub const setExtradata = packet_tracks.setExtradata;
    pub const publishPacket = packet_tracks.publishPacket;

    pub fn stats(publisher: *Publisher) Stats {
        publisher.mutex.lock();
        defer publisher.mutex.unlock();
        return .{
            .published = publisher.writer.completed,
            .packets_published = if (publisher.packet_ring) |*ring| ring.published else 0,
            .subscribers = @popCount(publisher.subscribers.active),
            .slots_leased = @popCount(publisher.subscribers.leased()),
            .rejected = @atomicLoad(u32, &publisher.admission.rejected, .monotonic),
            .failed = publisher.failed,
        };
    }

    // The end.

    /// Nothing is visible under the key when this returns. Subscribers keep what they hold, and drain.
    pub fn close(publisher: *Publisher) void {
        // What was published is to be delivered. A GPU that hangs keeps its memory mapped, not this thread.
        _ = publisher.completions.drain(.fromMilliseconds(completion.drain_timeout_ms));
        publisher.completions.stop();
        {
            reactor.lock();
            defer reactor.unlock();
            publisher.mutex.lock();
            defer publisher.mutex.unlock();
            @atomicStore(bool, &publisher.closing, true, .seq_cst);
            @atomicStore(u32, &publisher.control.closed, 1, .seq_cst);
            reactor.remove(publisher.admission.listener_token);
            _ = linux.unlink(publisher.paths.socket.z());
            os_fd.close(publisher.listener);
            admission.dropAllPending(publisher);
            if (publisher.packet_ring) |*ring| ring.deinit();
            publisher.packet_ring = null;
            admission.dropAll(publisher);
        }
        publisher.lock.release(&publisher.paths.lock);
        publisher.waiter.stop();
        channel.interrupt(&publisher.room);
        publisher.unref();
    }

    /// As `close`, where views of the slots may be left behind, for which their addresses are kept.
    pub fn vacate(publisher: *Publisher) void {
        if (publisher.slots == .host) publisher.slots.host.vacated = true;
        publisher.close();
    }

    pub fn ref(publisher: *Publisher) void {
        const before = @atomicRmw(u32, &publisher.references, .Add, 1, .seq_cst);
        std.debug.assert(before >= 1);
    }

    pub fn unrefOpaque(context: *anyopaque) void {
        const publisher: *Publisher = @ptrCast(@alignCast(context));
        publisher.unref();
    }

    fn unref(publisher: *Publisher) void {
        const before = @atomicRmw(u32, &publisher.references, .Sub, 1, .seq_cst);
        std.debug.assert(before >= 1);
        if (before != 1) return;
        std.debug.assert(publisher.closing and publisher.subscribers.active == 0);
        if (publisher.slots == .cuda) publisher.completions.deinit(&publisher.slots.cuda.context);
        publisher.slots.deinit();
        unmapControl(publisher.control);
        os_fd.close(publisher.control_fd);
        if (publisher.admission.spare_fd >= 0) os_fd.close(publisher.admission.spare_fd);
        allocator.destroy(publisher);
    }
};
