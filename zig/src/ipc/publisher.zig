//! A publisher: its socket and lock, its subscribers, its frame ring and packet ring.

const std = @import("std");
const linux = std.os.linux;
const errors = @import("../core/errors.zig");
const format = @import("../core/format.zig");
const layout = @import("../ring/layout.zig");
const frames = @import("../ring/frames.zig");
const packets = @import("../ring/packets.zig");
const channel = @import("../ring/channel.zig");
const memory = @import("../memory/memory.zig");
const os_fd = @import("../os/fd.zig");
const memfd = @import("../os/memfd.zig");
const socket = @import("../os/socket.zig");
const directory = @import("../os/directory.zig");
const clock = @import("../os/clock.zig");
const Mutex = @import("../os/mutex.zig").Mutex;
const protocol = @import("protocol.zig");
const reactor = @import("reactor.zig");
const cuda = @import("../memory/cuda.zig");
const Image = @import("../image/image.zig").Image;
const completion = @import("../cuda/completion.zig");
const Context = @import("../cuda/context.zig").Context;
const CUstream = @import("../cuda/driver.zig").abi.CUstream;
const Waiter = @import("waiter.zig").Waiter;
const waiters = @import("waiter.zig");
const event_loop = @import("event_loop.zig");
const Error = errors.Error;

const allocator = std.heap.c_allocator;

/// A connection that has not said its hello by then is dropped.
const handshake_timeout_ms = 2000;
/// More silent connections than this push out the oldest of them.
const pending_max = 64;
/// How long nobody is accepted when not even one can be refused.
const exhaustion_pause_ms = 100;
/// Per wake-up, so that one connection cannot keep the reactor from the others.
const accepts_per_turn = 32;
const messages_per_turn = 32;

/// What a publisher is to be. Text is NUL-padded.
pub const Options = extern struct {
    /// 1 to 63 of A-Z, a-z, 0-9, _ and -.
    key: [layout.key_size_max + 1]u8,
    /// The runtime directory. Empty: the first that can be used, by docs/protocol.md.
    directory: [socket.path_size_max]u8,
    /// A pixel format.
    format: u32,
    /// Pixels.
    width: u32,
    height: u32,
    /// 2 to 64.
    slot_count: u32,
    policy: u32,
    /// A kind of memory.
    memory: u32,
    /// Permission bits of the socket.
    socket_mode: u32,
    /// For memory on a GPU: its number or UUID; empty: the first.
    device: [device_name_size]u8,
};

/// "GPU-" and a UUID, NUL-padded.
const device_name_size = 48;

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

/// What a frame is published with.
pub const PublishRecord = extern struct {
    /// On any clock.
    timestamp_ns: i64,
    duration_ns: u64,
    /// Flags of a frame.
    flags: u32,
    /// Bytes of `metadata` that are used.
    metadata_size: u32,
    /// Out: the frame's number, from 1.
    sequence: u64,
    /// For memory on a GPU: the CUstream whose work so far fills the frame, where `has_stream` is 1; else the
    /// library's own.
    stream: u64,
    has_stream: u32,
    reserved: u32,
    metadata: [layout.metadata_size_max]u8,
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

pub fn isKey(key: []const u8) bool {
    if (key.len < 1 or key.len > layout.key_size_max) return false;
    for (key) |byte| {
        if (!std.ascii.isAlphanumeric(byte) and byte != '_' and byte != '-') return false;
    }
    return true;
}

const Subscriber = struct {
    fd: i32,
    token: reactor.Token,
    page: *layout.LeasePage,
    page_fd: i32,
    name: [layout.name_size_max + 1]u8,
    mode: frames.Mode,
    wants: u32,
    pid: i32,
    connected_ns: u64,
};

const Pending = struct { fd: i32, token: reactor.Token };

/// What a packet ring is to be.
pub const PacketOptions = extern struct {
    /// Packets that it remembers, 1 to 1024.
    ring_slots: u32,
    /// Bytes of them together, at most 1 GiB.
    data_size: u32,
    /// Bytes of one, 1 to `data_size`.
    max_packet_size: u32,
    /// FFmpeg's AVCodecID.
    codec_id: u32,
    /// 1: also as /dev/shm/cuframes-<key>-packets.
    named: u32,
};

/// What a packet is published with.
pub const PacketRecord = extern struct {
    timestamp_ns: i64,
    decode_timestamp_ns: i64,
    /// Flags of a packet.
    flags: u32,
    /// Bytes of the packet.
    size: u32,
    /// Out: the packet's number, from 0.
    sequence: u64,
};

const PacketRing = struct {
    fd: i32,
    region: []align(std.heap.page_size_min) u8,
    writer: packets.Writer,
    codec_id: u32,
    published: u64 = 0,
    mirror: ?Mirror,

    fn deinit(ring: *PacketRing) void {
        ring.writer.shutdown();
        if (ring.mirror) |*mirror| mirror.deinit();
        memfd.unmap(ring.region);
        os_fd.close(ring.fd);
    }
};

/// The packet ring once more, under a name. A named file cannot be sealed, so it is never what subscribers map.
const Mirror = struct {
    path: directory.Path,
    /// On the file itself: publishers of one key in two runtime directories share its name.
    lock: directory.Lock,
    region: []align(std.heap.page_size_min) u8,
    writer: packets.Writer,

    fn create(key: []const u8, options: packets.Options, size: usize) Error!Mirror {
        const path: directory.Path = try .init("/dev/shm/cuframes-{s}-packets", .{key});
        const stale = directory.Lock.acquire(&path) catch |failure| switch (failure) {
            error.AlreadyExists => return errors.fail(error.AlreadyExists, "another publisher's packets are in {s}", .{path.slice()}),
            else => return failure,
        };
        // Left by a publisher that was killed, or made just now. Never reused: whoever made it may still write to it.
        stale.release(&path);
        const lock: directory.Lock = try .createNew(&path, 0o640);
        errdefer lock.release(&path);
        try memfd.reserve(lock.fd, size, path.slice());
        const region = try memfd.map(lock.fd, size, .read_write);
        return .{ .path = path, .lock = lock, .region = region, .writer = packets.Writer.init(region, options) catch unreachable };
    }

    fn deinit(mirror: *Mirror) void {
        mirror.writer.shutdown();
        memfd.unmap(mirror.region);
        mirror.lock.release(&mirror.path);
    }
};

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
    writer: frames.Writer,
    audience: frames.Audience = .{},
    subscribers: [layout.subscribers_max]Subscriber = undefined,
    packet_ring: ?PacketRing = null,
    created_ns: u64,
    rejected: u32 = 0,
    failed: u32 = 0,
    completions: completion.Completions = .{},
    /// Of published frames whose GPU work is under way.
    pending_sequences: [layout.slots_max]u64 = undefined,
    /// Slots that were published or given back with GPU work on them under way, as a mask.
    under_way: u64 = 0,
    /// Those of them that were given back.
    discarded: u64 = 0,
    /// Where acquire waits for a slot; private to this process.
    room: layout.Channel = .{ .waiting = 0, .wake = 0 },
    waiter: Waiter = .{},

    lock_path: directory.Path,
    socket_path: directory.Path,
    lock: directory.Lock,
    listener: i32,
    listener_token: reactor.Token,
    pending: [pending_max]Pending = undefined,
    pending_count: usize = 0,
    /// Given up for a moment when descriptors run out, so that a connection can be refused. -1: another thread of the
    /// process was faster to take it.
    spare_fd: i32,

    pub fn create(options: *const Options) Error!*Publisher {
        const key = protocol.text(&options.key);
        if (!isKey(key)) {
            return errors.fail(error.InvalidArgument, "a key is 1 to {d} characters of A–Z a–z 0–9 _ -", .{layout.key_size_max});
        }
        if (options.slot_count < layout.slots_min or options.slot_count > layout.slots_max) {
            return errors.fail(error.InvalidArgument, "a ring of {d} slots: it must have {d} to {d}", .{ options.slot_count, layout.slots_min, layout.slots_max });
        }
        const policy = std.enums.fromInt(frames.Policy, options.policy) orelse {
            return errors.fail(error.InvalidArgument, "policy {d} is not known", .{options.policy});
        };
        if (options.socket_mode & ~@as(u32, 0o777) != 0) {
            return errors.fail(error.InvalidArgument, "socket mode 0o{o}: only permission bits", .{options.socket_mode});
        }
        const kind = try memory.kindOf(options.memory);
        const geometry: format.Geometry = try .init(options.format, options.width, options.height, memory.alignmentOf(kind));

        const folder = try directory.forPublisher(protocol.text(&options.directory));
        const lock_path: directory.Path = try .init("{s}/{s}.lock", .{ folder.slice(), key });
        const socket_path: directory.Path = try .init("{s}/{s}.sock", .{ folder.slice(), key });
        const temporary_path: directory.Path = try .init("{s}/.{s}.sock", .{ folder.slice(), key });
        const lock = directory.Lock.acquire(&lock_path) catch |failure| switch (failure) {
            error.AlreadyExists => return errors.fail(
                error.AlreadyExists,
                "somebody publishes as {s} already, in this process or another (the lock {s} is held): close that publisher or choose another key",
                .{ key, lock_path.slice() },
            ),
            else => return failure,
        };
        errdefer lock.release(&lock_path);

        const publisher = allocator.create(Publisher) catch return errors.fail(error.OutOfMemory, "no memory for a publisher", .{});
        errdefer allocator.destroy(publisher);

        var slots: memory.Slots = try .create(kind, protocol.text(&options.device), options.slot_count, geometry.frame_size);
        errdefer slots.deinit();

        const control_fd = try memfd.create("cuframes-control", layout.control_size);
        errdefer os_fd.close(control_fd);
        const region = try memfd.map(control_fd, layout.control_size, .read_write);
        errdefer memfd.unmap(region);
        try memfd.seal(control_fd, .no_future_writers);

        const spare_fd: i32 = @intCast(try errors.check(linux.eventfd(0, linux.EFD.CLOEXEC), "eventfd", "spare descriptor"));
        errdefer os_fd.close(spare_fd);

        const control: *layout.Control = @ptrCast(region.ptr);
        publisher.* = .{
            .control = control,
            .control_fd = control_fd,
            .slots = slots,
            .geometry = geometry,
            .slot_size = slots.slotSize(),
            .writer = .init(control, options.slot_count, policy),
            .created_ns = clock.monotonicNs(),
            .lock_path = lock_path,
            .socket_path = socket_path,
            .lock = lock,
            .listener = undefined,
            .listener_token = undefined,
            .spare_fd = spare_fd,
        };
        control.magic = layout.magic;
        control.version = layout.version;
        control.slot_count = options.slot_count;
        control.memory = options.memory;
        control.geometry = geometry;
        control.slot_size = publisher.slot_size;
        control.publisher_pid = @intCast(linux.getpid());

        reactor.lock();
        defer reactor.unlock();
        publisher.listener = try socket.listen(socket_path.slice(), temporary_path.slice(), options.socket_mode);
        errdefer {
            _ = linux.unlink(socket_path.z());
            os_fd.close(publisher.listener);
        }
        publisher.listener_token = try reactor.add(publisher.listener, .{ .context = publisher, .ready = onConnection, .expired = onPauseOver }, null);
        return publisher;
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

    /// The slot to fill; WouldBlock when none is free now.
    pub fn tryAcquire(publisher: *Publisher) error{WouldBlock}!u32 {
        publisher.mutex.lock();
        defer publisher.mutex.unlock();
        return publisher.writer.acquire(&publisher.audience) orelse error.WouldBlock;
    }

    /// As tryAcquire, but under the policy "wait" it sleeps until a slot is free, Timeout after the deadline.
    pub fn acquire(publisher: *Publisher, deadline: clock.Deadline) error{ WouldBlock, Timeout }!u32 {
        while (true) {
            return publisher.tryAcquire() catch {
                if (publisher.writer.policy == .drop_oldest) return error.WouldBlock;
                if (!publisher.waitForRoom(deadline)) return error.Timeout;
                continue;
            };
        }
    }

    fn waitForRoom(publisher: *Publisher, deadline: clock.Deadline) bool {
        // Subscribers announce releases only while this is not 0; it is set before the condition is looked at.
        _ = @atomicRmw(u32, &publisher.control.publisher_waiting, .Add, 1, .seq_cst);
        defer _ = @atomicRmw(u32, &publisher.control.publisher_waiting, .Sub, 1, .seq_cst);
        return channel.wait(&publisher.room, publisher, hasRoom, deadline);
    }

    fn hasRoom(publisher: *Publisher) bool {
        if (@atomicLoad(bool, &publisher.closing, .seq_cst)) return true;
        publisher.mutex.lock();
        defer publisher.mutex.unlock();
        return publisher.writer.hasFree(&publisher.audience);
    }

    pub fn publish(publisher: *Publisher, slot: u32, record: *PublishRecord) Error!void {
        if (record.metadata_size > layout.metadata_size_max) {
            return errors.fail(error.InvalidArgument, "{d} bytes of metadata: a frame carries at most {d}", .{ record.metadata_size, layout.metadata_size_max });
        }
        publisher.mutex.lock();
        defer publisher.mutex.unlock();
        if (!publisher.isAcquired(slot)) return notAcquired(slot);
        const shared = &publisher.control.slots[slot].record;
        shared.timestamp_ns = record.timestamp_ns;
        shared.duration_ns = record.duration_ns;
        shared.flags = record.flags;
        shared.metadata_size = record.metadata_size;
        @memcpy(shared.metadata[0..record.metadata_size], record.metadata[0..record.metadata_size]);
        shared.published_ns = clock.monotonicNs();
        switch (publisher.slots) {
            .host => {
                record.sequence = publisher.writer.number();
                publisher.complete(@intCast(slot), record.sequence);
            },
            .cuda => |*slots| try publisher.publishWhenDone(slots, @intCast(slot), record),
        }
    }

    /// Makes a frame visible. With the mutex held.
    fn complete(publisher: *Publisher, slot: u6, sequence: u64) void {
        publisher.writer.complete(slot, sequence);
        publisher.audience.notifyFrames();
        // The frame that was the newest may be overwritten now.
        channel.notify(&publisher.room);
    }

    /// The frame becomes visible when the stream's work so far is done, and never before an earlier one.
    fn publishWhenDone(publisher: *Publisher, slots: *cuda.Slots, slot: u6, record: *PublishRecord) Error!void {
        const context = &slots.context;
        try context.enter();
        defer context.leave();
        const stream = if (record.has_stream != 0) @as(CUstream, @ptrFromInt(record.stream)) else context.stream;
        try slots.follow(slot, stream);
        const done = try publisher.completions.announce(context, stream, slot);
        slots.releaseCopies(slot);
        record.sequence = publisher.writer.number();
        if (done) return publisher.complete(slot, record.sequence);
        publisher.pending_sequences[slot] = record.sequence;
        try publisher.completeLater(context, slot);
    }

    fn completeLater(publisher: *Publisher, context: *const Context, slot: u6) Error!void {
        const owner: completion.Owner = .{ .context = publisher, .done = onCompletion, .unref = unrefOpaque };
        if (try publisher.completions.push(context, owner, slot)) publisher.ref();
        publisher.under_way |= @as(u64, 1) << slot;
    }

    fn onCompletion(context: *anyopaque, slot: u32, succeeded: bool) void {
        const publisher: *Publisher = @ptrCast(@alignCast(context));
        publisher.mutex.lock();
        defer publisher.mutex.unlock();
        const bit = @as(u64, 1) << @intCast(slot);
        const discarded = publisher.discarded & bit != 0;
        publisher.discarded &= ~bit;
        publisher.under_way &= ~bit;
        if (succeeded and !discarded) {
            publisher.complete(@intCast(slot), publisher.pending_sequences[slot]);
        } else {
            if (!discarded) publisher.failed += 1;
            publisher.writer.abandon(@intCast(slot));
        }
        // Some slot is free now: this one, or the one that was the newest.
        channel.notify(&publisher.room);
    }

    /// Copies a picture that is on the same GPU into an acquired slot.
    pub fn copyFrom(publisher: *Publisher, slot: u32, source: *const cuda.CopySource) Error!void {
        if (source.plane_count > format.planes_max) return errors.fail(error.InvalidArgument, "the source has {d} planes", .{source.plane_count});
        const slots = try publisher.slotsOnDevice(slot);
        return slots.copyFrom(slot, &publisher.geometry, source);
    }

    /// Copies an imported image into an acquired slot, or one plane of it. The stream is for GPUs; null: the library's own.
    pub fn copyImage(publisher: *Publisher, slot: u32, image: *const Image, plane: ?u32, stream: ?u64) Error!void {
        try publisher.requireAcquired(slot);
        switch (publisher.slots) {
            .host => |*slots| try image.copyToHost(&publisher.geometry, plane, @ptrFromInt(slots.address(slot))),
            .cuda => |*slots| try image.copyToDevice(slots, slot, &publisher.geometry, plane, stream),
        }
    }

    /// Copies a picture without padding from host memory into an acquired slot on a GPU.
    pub fn upload(publisher: *Publisher, slot: u32, bytes: []const u8) Error!void {
        const slots = try publisher.slotsOnDevice(slot);
        const size = publisher.geometry.packedSize();
        if (bytes.len != size) return errors.fail(error.InvalidArgument, "{d} bytes for a frame that has {d} without padding", .{ bytes.len, size });
        return slots.upload(slot, &publisher.geometry, bytes);
    }

    /// Copies an acquired slot's picture without padding to host memory, after the stream's work so far.
    pub fn download(publisher: *Publisher, slot: u32, stream: ?u64, bytes: []u8) Error!void {
        const slots = try publisher.slotsOnDevice(slot);
        const size = publisher.geometry.packedSize();
        if (bytes.len != size) return errors.fail(error.InvalidArgument, "room for {d} bytes; a frame has {d} without padding", .{ bytes.len, size });
        return slots.download(slot, &publisher.geometry, if (stream) |handle| @ptrFromInt(handle) else slots.context.stream, bytes);
    }

    fn slotsOnDevice(publisher: *Publisher, slot: u32) Error!*cuda.Slots {
        if (publisher.slots != .cuda) return errors.fail(error.Unsupported, "this ring is in host memory: write to its planes", .{});
        try publisher.requireAcquired(slot);
        return &publisher.slots.cuda;
    }

    fn requireAcquired(publisher: *Publisher, slot: u32) Error!void {
        publisher.mutex.lock();
        defer publisher.mutex.unlock();
        if (!publisher.isAcquired(slot)) return notAcquired(slot);
    }

    pub fn abandon(publisher: *Publisher, slot: u32) Error!void {
        publisher.mutex.lock();
        defer publisher.mutex.unlock();
        if (!publisher.isAcquired(slot)) return notAcquired(slot);
        if (publisher.slots == .cuda and publisher.slots.cuda.copies[slot].pending) {
            if (publisher.abandonWhenDone(&publisher.slots.cuda, @intCast(slot))) return;
        }
        publisher.writer.abandon(@intCast(slot));
        channel.notify(&publisher.room);
    }

    /// False: the copies into the slot are over already.
    fn abandonWhenDone(publisher: *Publisher, slots: *cuda.Slots, slot: u6) bool {
        defer slots.releaseCopies(slot);
        return publisher.discard(slots, slot) catch {
            slots.awaitCopies(slot);
            return false;
        };
    }

    fn discard(publisher: *Publisher, slots: *cuda.Slots, slot: u6) Error!bool {
        const context = &slots.context;
        try context.enter();
        defer context.leave();
        try slots.follow(slot, context.stream);
        if (try publisher.completions.announce(context, context.stream, slot)) return false;
        try publisher.completeLater(context, slot);
        publisher.discarded |= @as(u64, 1) << slot;
        return true;
    }

    fn isAcquired(publisher: *const Publisher, slot: u32) bool {
        return publisher.writer.owns(slot) and publisher.under_way & @as(u64, 1) << @intCast(slot) == 0;
    }

    fn notAcquired(slot: u32) Error {
        return errors.fail(error.InvalidArgument, "slot {d} was not acquired, or is published already", .{slot});
    }

    /// Calls back once when a slot may be free.
    pub fn arm(publisher: *Publisher, callback: event_loop.Callback, token: u32) Error!void {
        const owner: waiters.Owner = .{ .context = publisher, .block = blockForRoom, .unref = unrefOpaque };
        if (try publisher.waiter.arm(owner, callback, token)) publisher.ref();
    }

    fn blockForRoom(context: *anyopaque) void {
        const publisher: *Publisher = @ptrCast(@alignCast(context));
        std.debug.assert(publisher.waitForRoom(.never));
    }

    pub fn stats(publisher: *Publisher) Stats {
        publisher.mutex.lock();
        defer publisher.mutex.unlock();
        return .{
            .published = publisher.writer.completed,
            .packets_published = if (publisher.packet_ring) |*ring| ring.published else 0,
            .subscribers = @popCount(publisher.audience.active),
            .slots_leased = @popCount(publisher.audience.leased()),
            .rejected = @atomicLoad(u32, &publisher.rejected, .monotonic),
            .failed = publisher.failed,
        };
    }

    // Packets.

    /// Makes the packet ring and hands it to the subscribers that are there.
    pub fn enablePackets(publisher: *Publisher, wanted: *const PacketOptions) Error!void {
        const options: packets.Options = .{
            .ring_slots = wanted.ring_slots,
            .data_size = wanted.data_size,
            .max_packet_size = wanted.max_packet_size,
            .codec_id = wanted.codec_id,
            .producer_pid = publisher.control.publisher_pid,
        };
        const size = packets.regionSize(options) catch {
            return errors.fail(
                error.InvalidArgument,
                "a packet ring of {d} slots and {d} bytes with packets of up to {d}: it must have 1 to {d} slots and room for its largest packet",
                .{ options.ring_slots, options.data_size, options.max_packet_size, packets.ring_slots_max },
            );
        };
        if (publisher.packet_ring != null) return errors.fail(error.AlreadyExists, "this publisher has a packet ring already", .{});

        const fd = try memfd.create("cuframes-packets", size);
        errdefer os_fd.close(fd);
        const region = try memfd.map(fd, size, .read_write);
        errdefer memfd.unmap(region);
        try memfd.seal(fd, .no_future_writers);
        const key = std.fs.path.stem(publisher.socket_path.slice());
        const mirror: ?Mirror = if (wanted.named != 0) try .create(key, options, size) else null;

        reactor.lock();
        defer reactor.unlock();
        publisher.mutex.lock();
        defer publisher.mutex.unlock();
        publisher.packet_ring = .{
            .fd = fd,
            .region = region,
            .writer = packets.Writer.init(region, options) catch unreachable, // regionSize accepted them
            .codec_id = options.codec_id,
            .mirror = mirror,
        };
        const message: protocol.Packets = .{ .size = size };
        var indexes = bits(publisher.audience.active);
        while (indexes.next()) |index| {
            const subscriber = &publisher.subscribers[index];
            if (subscriber.wants & protocol.want_packets == 0) continue;
            socket.send(subscriber.fd, std.mem.asBytes(&message), &.{fd}) catch publisher.dismiss(@intCast(index));
        }
    }

    fn packetRing(publisher: *Publisher) Error!*PacketRing {
        if (publisher.packet_ring) |*ring| return ring;
        return errors.fail(error.NoPacketRing, "this publisher has no packet ring: call enablePackets first", .{});
    }

    pub fn setCodecParameters(publisher: *Publisher, bytes: []const u8) Error!void {
        const ring = try publisher.packetRing();
        ring.writer.setCodecExtradata(bytes) catch {
            return errors.fail(error.InvalidArgument, "{d} bytes of codec parameters: at most {d}", .{ bytes.len, packets.extradata_size_max });
        };
        if (ring.mirror) |*mirror| mirror.writer.setCodecExtradata(bytes) catch unreachable;
    }

    pub fn publishPacket(publisher: *Publisher, payload: []const u8, record: *PacketRecord) Error!void {
        const ring = try publisher.packetRing();
        record.sequence = ring.writer.write(payload, record.timestamp_ns, record.decode_timestamp_ns, record.flags) catch |failure| switch (failure) {
            error.PacketOversized => return errors.fail(
                error.PacketOversized,
                "a packet of {d} bytes: this ring takes at most {d} (maxPacketSize)",
                .{ payload.len, ring.writer.max_packet_size },
            ),
            error.InvalidArgument => return errors.fail(error.InvalidArgument, "a packet must have at least one byte and only known flags", .{}),
        };
        if (ring.mirror) |*mirror| {
            _ = mirror.writer.write(payload, record.timestamp_ns, record.decode_timestamp_ns, record.flags) catch unreachable;
        }
        publisher.mutex.lock();
        defer publisher.mutex.unlock();
        ring.published += 1;
        publisher.audience.notifyPackets();
    }

    // Connections: called by the reactor.

    fn onConnection(context: *anyopaque, _: reactor.Token, listener: i32) void {
        const publisher: *Publisher = @ptrCast(@alignCast(context));
        if (publisher.spare_fd < 0) publisher.spare_fd = openSpare();
        for (0..accepts_per_turn) |_| {
            const fd = socket.accept(listener) catch |failure| switch (failure) {
                error.WouldBlock => return,
                error.Aborted => continue,
                error.DescriptorsExhausted => {
                    publisher.refuseForDescriptors(listener);
                    return;
                },
            };
            // An honest subscriber has sent its hello by now.
            publisher.handshake(fd) catch |failure| switch (failure) {
                error.WouldBlock => publisher.postpone(fd),
                error.Done => {},
            };
        }
    }

    fn countRejected(publisher: *Publisher) void {
        _ = @atomicRmw(u32, &publisher.rejected, .Add, 1, .monotonic);
    }

    fn refuseForDescriptors(publisher: *Publisher, listener: i32) void {
        if (publisher.spare_fd >= 0) os_fd.close(publisher.spare_fd);
        if (socket.accept(listener)) |fd| {
            publisher.countRejected();
            // Read first: closing with its hello unread would take the refusal back.
            var hello: [4096]u8 = undefined;
            _ = socket.receive(fd, &hello, null) catch {};
            refuse(fd, error.OutOfMemory, "the publisher has no file descriptors left");
            os_fd.close(fd);
        } else |_| {
            // It stays readable: without a pause this would be called again and again.
            reactor.pause(publisher.listener_token, .fromMilliseconds(exhaustion_pause_ms));
        }
        publisher.spare_fd = openSpare();
    }

    fn openSpare() i32 {
        const result = linux.eventfd(0, linux.EFD.CLOEXEC);
        return if (linux.errno(result) == .SUCCESS) @intCast(result) else -1;
    }

    fn onPauseOver(_: *anyopaque, token: reactor.Token, _: i32) void {
        reactor.unpause(token);
    }

    /// Gives a silent connection its time; the one that has been silent the longest makes room.
    fn postpone(publisher: *Publisher, fd: i32) void {
        if (publisher.pending_count == pending_max) publisher.dropPending(0);
        const deadline: clock.Deadline = .fromMilliseconds(handshake_timeout_ms);
        const handler: reactor.Handler = .{ .context = publisher, .ready = onPending, .expired = onExpired };
        const token = reactor.add(fd, handler, deadline) catch {
            publisher.countRejected();
            return os_fd.close(fd);
        };
        publisher.pending[publisher.pending_count] = .{ .fd = fd, .token = token };
        publisher.pending_count += 1;
    }

    /// A hello that has come in the meantime is answered all the same.
    fn dropPending(publisher: *Publisher, index: usize) void {
        const pending = publisher.removePending(index);
        publisher.handshake(pending.fd) catch |failure| switch (failure) {
            error.WouldBlock => {
                publisher.countRejected();
                os_fd.close(pending.fd);
            },
            error.Done => {},
        };
    }

    fn removePending(publisher: *Publisher, index: usize) Pending {
        const pending = publisher.pending[index];
        reactor.remove(pending.token);
        std.mem.copyForwards(Pending, publisher.pending[index..], publisher.pending[index + 1 .. publisher.pending_count]);
        publisher.pending_count -= 1;
        return pending;
    }

    fn pendingIndex(publisher: *const Publisher, token: reactor.Token) usize {
        for (publisher.pending[0..publisher.pending_count], 0..) |pending, index| {
            if (pending.token == token) return index;
        }
        unreachable;
    }

    fn onPending(context: *anyopaque, token: reactor.Token, _: i32) void {
        const publisher: *Publisher = @ptrCast(@alignCast(context));
        const pending = publisher.removePending(publisher.pendingIndex(token));
        publisher.handshake(pending.fd) catch |failure| switch (failure) {
            error.WouldBlock => publisher.postpone(pending.fd),
            error.Done => {},
        };
    }

    fn onExpired(context: *anyopaque, token: reactor.Token, _: i32) void {
        const publisher: *Publisher = @ptrCast(@alignCast(context));
        publisher.dropPending(publisher.pendingIndex(token));
    }

    /// Takes the hello and answers it. WouldBlock: nothing was said yet, the descriptor is still the caller's.
    /// Done: it is not, whatever happened.
    fn handshake(publisher: *Publisher, fd: i32) error{ WouldBlock, Done }!void {
        // Larger than a hello, so that a later version's is told apart from noise.
        var buffer: [4096]u8 = undefined;
        const bytes = socket.receive(fd, &buffer, null) catch |failure| switch (failure) {
            error.WouldBlock => return error.WouldBlock,
            error.Disconnected, error.Truncated, error.DescriptorsExhausted => return publisher.reject(fd, null),
        };
        const hello = protocol.parse(protocol.Hello, .hello, bytes) orelse {
            const other_version = protocol.prefixProblem(bytes) == .other_version;
            return publisher.reject(fd, if (other_version) "this publisher speaks protocol version 5 and the subscriber does not: use the same release on both sides" else null);
        };
        const mode = std.enums.fromInt(frames.Mode, hello.mode) orelse return publisher.reject(fd, null);
        const known_wants = protocol.want_frames | protocol.want_packets | protocol.want_report;
        if (hello.wants == 0 or hello.wants & ~known_wants != 0 or hello.device_count > protocol.devices_max) return publisher.reject(fd, null);

        if (hello.wants & protocol.want_report != 0) {
            publisher.sendReport(fd);
            os_fd.close(fd);
            return error.Done;
        }
        publisher.admit(fd, &hello, mode) catch |failure| {
            refuse(fd, failure, errors.message());
            os_fd.close(fd);
        };
        return error.Done;
    }

    fn reject(publisher: *Publisher, fd: i32, reason: ?[]const u8) error{Done} {
        publisher.countRejected();
        if (reason) |text| refuse(fd, error.Protocol, text);
        os_fd.close(fd);
        return error.Done;
    }

    fn refuse(fd: i32, failure: Error, reason: []const u8) void {
        var refusal: protocol.Refusal = .{ .code = @intFromEnum(errors.codeOf(failure)), .message = undefined };
        protocol.setText(&refusal.message, reason);
        // The connection ends either way.
        socket.send(fd, std.mem.asBytes(&refusal), &.{}) catch {};
    }

    fn admit(publisher: *Publisher, fd: i32, hello: *const protocol.Hello, mode: frames.Mode) Error!void {
        publisher.mutex.lock();
        defer publisher.mutex.unlock();
        const index: u6 = @intCast(@ctz(~publisher.audience.active) % layout.subscribers_max);
        if (~publisher.audience.active == 0) {
            return errors.fail(error.TooManySubscribers, "the publisher has {d} subscribers, the most it may have", .{layout.subscribers_max});
        }
        const wants_frames = hello.wants & protocol.want_frames != 0;
        if (wants_frames) try publisher.slots.requireDevice(hello.devices[0..hello.device_count]);

        const page_fd = try memfd.create("cuframes-lease", layout.lease_page_size);
        errdefer os_fd.close(page_fd);
        const mapping = try memfd.map(page_fd, layout.lease_page_size, .read_write);
        errdefer memfd.unmap(mapping);
        try memfd.seal(page_fd, .keep_writable);
        const page: *layout.LeasePage = @ptrCast(mapping.ptr);
        // The frame that is there now is the first one delivered.
        const cursor = publisher.writer.completed -| 1;
        page.cursor = cursor;

        var descriptors: [socket.descriptors_max]i32 = undefined;
        var count: usize = 0;
        descriptors[0] = publisher.control_fd;
        descriptors[1] = page_fd;
        count = 2;
        if (wants_frames) {
            const slots = publisher.slots.descriptors();
            @memcpy(descriptors[count..][0..slots.len], slots);
            count += slots.len;
        }
        var packets_size: u64 = 0;
        var packet_cursor: u64 = 0;
        if (publisher.packet_ring) |*ring| if (hello.wants & protocol.want_packets != 0) {
            descriptors[count] = ring.fd;
            count += 1;
            packets_size = ring.region.len;
            packet_cursor = (packets.Reader.init(ring.region) catch unreachable).next; // a ring of our own
        };
        const welcome: protocol.Welcome = .{
            .memory = publisher.control.memory,
            .slot_count = publisher.writer.slot_count,
            .geometry = publisher.geometry,
            .slot_size = publisher.slot_size,
            .packets_size = packets_size,
            .cursor = cursor,
            .packet_cursor = packet_cursor,
            .publisher_pid = publisher.control.publisher_pid,
            .device = publisher.slots.device(),
        };
        const token = try reactor.add(fd, .{ .context = publisher, .ready = onSubscriber }, null);
        errdefer reactor.remove(token);
        socket.send(fd, std.mem.asBytes(&welcome), descriptors[0..count]) catch {
            return errors.fail(error.Io, "the publisher could not hand over its {d} descriptors", .{count});
        };
        var subscriber: Subscriber = .{
            .fd = fd,
            .token = token,
            .page = page,
            .page_fd = page_fd,
            .name = hello.name,
            .mode = mode,
            .wants = hello.wants,
            .pid = socket.peerPid(fd),
            .connected_ns = clock.monotonicNs(),
        };
        protocol.sanitizeText(&subscriber.name);
        publisher.subscribers[index] = subscriber;
        publisher.audience.add(index, page, wants_frames and mode == .ordered);
    }

    fn onSubscriber(context: *anyopaque, token: reactor.Token, fd: i32) void {
        const publisher: *Publisher = @ptrCast(@alignCast(context));
        publisher.mutex.lock();
        defer publisher.mutex.unlock();
        for (0..messages_per_turn) |_| {
            var buffer: [@sizeOf(protocol.Released) + 1]u8 = undefined;
            const bytes = socket.receive(fd, &buffer, null) catch |failure| switch (failure) {
                error.WouldBlock => return,
                error.Disconnected => return publisher.drop(publisher.indexOf(token)),
                error.Truncated, error.DescriptorsExhausted => return publisher.dropMisbehaved(token),
            };
            if (protocol.parse(protocol.Released, .released, bytes) == null) return publisher.dropMisbehaved(token);
            channel.interrupt(&publisher.room);
        }
    }

    /// Leases are the protocol's: who breaks it has none. No subscriber of this library does.
    fn dropMisbehaved(publisher: *Publisher, token: reactor.Token) void {
        publisher.countRejected();
        publisher.drop(publisher.indexOf(token));
    }

    fn indexOf(publisher: *const Publisher, token: reactor.Token) u6 {
        var indexes = bits(publisher.audience.active);
        while (indexes.next()) |index| {
            if (publisher.subscribers[index].token == token) return @intCast(index);
        }
        unreachable;
    }

    /// Tells a subscriber that cannot be served that this is the end. What it holds stays as it is until it closes its
    /// own side. With the mutex held.
    fn dismiss(publisher: *Publisher, index: u6) void {
        publisher.audience.neglect(index);
        socket.endSending(publisher.subscribers[index].fd);
        channel.interrupt(&publisher.room);
    }

    /// Frees all that a subscriber held: it has let go of it, or forfeited it. With both locks held.
    fn drop(publisher: *Publisher, index: u6) void {
        const subscriber = &publisher.subscribers[index];
        publisher.audience.remove(index);
        reactor.remove(subscriber.token);
        os_fd.close(subscriber.fd);
        const page: [*]align(std.heap.page_size_min) u8 = @ptrCast(@alignCast(subscriber.page));
        memfd.unmap(page[0..layout.lease_page_size]);
        os_fd.close(subscriber.page_fd);
        channel.interrupt(&publisher.room);
    }

    fn sendReport(publisher: *Publisher, fd: i32) void {
        publisher.mutex.lock();
        defer publisher.mutex.unlock();
        const now = clock.monotonicNs();
        var report: protocol.Report = std.mem.zeroes(protocol.Report);
        report.publisher_pid = publisher.control.publisher_pid;
        report.created_ns = publisher.created_ns;
        report.now_ns = now;
        report.memory = publisher.control.memory;
        report.slot_count = publisher.writer.slot_count;
        report.policy = @intFromEnum(publisher.writer.policy);
        report.slots_leased = @popCount(publisher.audience.leased());
        report.geometry = publisher.geometry;
        report.slot_size = publisher.slot_size;
        report.published = publisher.writer.completed;
        report.rejected = @atomicLoad(u32, &publisher.rejected, .monotonic);
        report.device = publisher.slots.device();
        publisher.reportRate(&report, now);
        if (publisher.packet_ring) |*ring| {
            report.packets_published = ring.published;
            report.packet_codec_id = ring.codec_id;
        }
        var count: u32 = 0;
        var indexes = bits(publisher.audience.active);
        while (indexes.next()) |index| {
            report.subscribers[count] = describe(&publisher.subscribers[index]);
            count += 1;
        }
        report.subscriber_count = count;
        const size = protocol.Report.sizeFor(count);
        report.prefix = .{ .kind = @intFromEnum(protocol.Kind.report), .size = @intCast(size) };
        // The inspector is gone or does not read: nothing is owed to it.
        socket.send(fd, std.mem.asBytes(&report)[0..size], &.{}) catch {};
    }

    /// Over the frames in the ring, and up to now when the next one is late.
    fn reportRate(publisher: *const Publisher, report: *protocol.Report, now: u64) void {
        var oldest_ns: u64 = std.math.maxInt(u64);
        var newest_ns: u64 = 0;
        var count: u64 = 0;
        for (publisher.writer.sequences[0..publisher.writer.slot_count], 0..) |sequence, slot| {
            if (sequence == layout.sequence_none) continue;
            const published_ns = publisher.control.slots[slot].record.published_ns;
            oldest_ns = @min(oldest_ns, published_ns);
            newest_ns = @max(newest_ns, published_ns);
            count += 1;
        }
        report.newest_published_ns = newest_ns;
        if (count < 2 or newest_ns <= oldest_ns) return;
        const interval_ns = @max((newest_ns - oldest_ns) / (count - 1), 1);
        const late_ns = now -| newest_ns;
        report.rate_millihertz = 1_000 * std.time.ns_per_s / @max(interval_ns, late_ns -| interval_ns);
    }

    fn describe(subscriber: *const Subscriber) protocol.ReportSubscriber {
        const page = subscriber.page;
        var held: u32 = 0;
        for (&page.leases) |*lease| held += @intFromBool(@atomicLoad(u64, lease, .monotonic) != layout.Ticket.none);
        return .{
            .name = subscriber.name,
            .pid = subscriber.pid,
            .mode = @intFromEnum(subscriber.mode),
            .wants = subscriber.wants,
            .held = held,
            .received = @atomicLoad(u64, &page.received, .monotonic),
            .dropped = @atomicLoad(u64, &page.dropped, .monotonic),
            .cursor = @atomicLoad(u64, &page.cursor, .monotonic),
            .packets_received = @atomicLoad(u64, &page.packets_received, .monotonic),
            .packets_lost = @atomicLoad(u64, &page.packets_lost, .monotonic),
            .connected_ns = subscriber.connected_ns,
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
            reactor.remove(publisher.listener_token);
            _ = linux.unlink(publisher.socket_path.z());
            os_fd.close(publisher.listener);
            while (publisher.pending_count > 0) os_fd.close(publisher.removePending(0).fd);
            if (publisher.packet_ring) |*ring| ring.deinit();
            publisher.packet_ring = null;
            var indexes = bits(publisher.audience.active);
            while (indexes.next()) |index| publisher.drop(@intCast(index));
        }
        publisher.lock.release(&publisher.lock_path);
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
        _ = @atomicRmw(u32, &publisher.references, .Add, 1, .seq_cst);
    }

    fn unrefOpaque(context: *anyopaque) void {
        const publisher: *Publisher = @ptrCast(@alignCast(context));
        publisher.unref();
    }

    fn unref(publisher: *Publisher) void {
        if (@atomicRmw(u32, &publisher.references, .Sub, 1, .seq_cst) != 1) return;
        if (publisher.slots == .cuda) publisher.completions.deinit(&publisher.slots.cuda.context);
        publisher.slots.deinit();
        const region: [*]align(std.heap.page_size_min) u8 = @ptrCast(@alignCast(publisher.control));
        memfd.unmap(region[0..layout.control_size]);
        os_fd.close(publisher.control_fd);
        if (publisher.spare_fd >= 0) os_fd.close(publisher.spare_fd);
        allocator.destroy(publisher);
    }
};

fn bits(mask: u64) std.bit_set.IntegerBitSet(64).Iterator(.{}) {
    const set: std.bit_set.IntegerBitSet(64) = .{ .mask = mask };
    return set.iterator(.{});
}

const testing = std.testing;

/// Of 1×1 pixel, in three slots; it waits for ordered subscribers.
fn createForTest(folder: *const directory.Path) !*Publisher {
    var options = std.mem.zeroes(Options);
    protocol.setText(&options.key, "crowd");
    protocol.setText(&options.directory, folder.slice());
    options.format = @intFromEnum(format.Format.GRAY8);
    options.width = 1;
    options.height = 1;
    options.slot_count = 3;
    options.policy = @intFromEnum(frames.Policy.wait);
    options.socket_mode = 0o600;
    return .create(&options);
}

test "a hello that has come before its connection makes room is answered; silence is not" {
    const folder: directory.Path = try .init("/tmp/cuframes-publisher-test-{d}", .{linux.getpid()});
    defer _ = linux.rmdir(folder.z());
    const publisher = try createForTest(&folder);
    defer publisher.close();
    const address: socket.Address = try .init(publisher.socket_path.slice());

    // Everything happens between two turns of the reactor's thread.
    reactor.lock();
    defer reactor.unlock();
    var connections: [2 + pending_max]i32 = undefined;
    defer for (connections) |fd| os_fd.close(fd);
    for (connections[0..2]) |*fd| fd.* = try socket.connect(&address, publisher.socket_path.slice(), 1000);
    Publisher.onConnection(publisher, publisher.listener_token, publisher.listener);
    var hello: protocol.Hello = .{ .wants = protocol.want_frames, .mode = 0, .name = undefined };
    protocol.setText(&hello.name, "early enough");
    try socket.send(connections[0], std.mem.asBytes(&hello), &.{});
    for (connections[2..]) |*fd| fd.* = try socket.connect(&address, publisher.socket_path.slice(), 1000);
    for (0..2) |_| Publisher.onConnection(publisher, publisher.listener_token, publisher.listener);

    var buffer: [@sizeOf(protocol.Welcome) + 1]u8 = undefined;
    var descriptors: socket.Descriptors = .{};
    const answer = try socket.receive(connections[0], &buffer, &descriptors);
    defer descriptors.deinit();
    try testing.expect(protocol.parse(protocol.Welcome, .welcome, answer) != null);
    try testing.expectError(error.Disconnected, socket.receive(connections[1], &buffer, null));
    try testing.expectError(error.WouldBlock, socket.receive(connections[2], &buffer, null));
    try testing.expectEqual(1, publisher.rejected);
    try testing.expectEqual(pending_max, publisher.pending_count);
}

test "a subscriber that cannot be handed the packet ring keeps the frames it holds until it has gone" {
    const folder: directory.Path = try .init("/tmp/cuframes-publisher-test-{d}", .{linux.getpid()});
    defer _ = linux.rmdir(folder.z());
    const publisher = try createForTest(&folder);
    defer publisher.close();
    const address: socket.Address = try .init(publisher.socket_path.slice());
    const fd = try socket.connect(&address, publisher.socket_path.slice(), 1000);
    errdefer os_fd.close(fd);
    var hello: protocol.Hello = .{ .wants = protocol.want_frames | protocol.want_packets, .mode = @intFromEnum(frames.Mode.ordered), .name = undefined };
    protocol.setText(&hello.name, "deaf");
    try socket.send(fd, std.mem.asBytes(&hello), &.{});
    _ = try socket.pollReadable(&.{fd}, .fromMilliseconds(30_000));
    var buffer: [@sizeOf(protocol.Welcome) + 1]u8 = undefined;
    var descriptors: socket.Descriptors = .{};
    _ = try socket.receive(fd, &buffer, &descriptors);
    defer descriptors.deinit();
    const page = try memfd.map(descriptors.items[1], layout.lease_page_size, .read_write);
    defer memfd.unmap(page);
    const control = try memfd.map(descriptors.items[0], layout.control_size, .read_only);
    defer memfd.unmap(control);
    var reader: frames.Reader = .init(@ptrCast(control.ptr), @ptrCast(page.ptr), 3, .ordered, 0);
    var record = std.mem.zeroes(PublishRecord);
    for (0..3) |_| try publisher.publish(try publisher.tryAcquire(), &record);
    const held = (try reader.next()).?;
    try testing.expectError(error.WouldBlock, publisher.tryAcquire());

    // What is sent to it fails from now on; it says nothing by that.
    _ = linux.shutdown(fd, linux.SHUT.RD);
    try publisher.enablePackets(&.{ .ring_slots = 1, .data_size = 1, .max_packet_size = 1, .codec_id = 27, .named = 0 });
    for (0..8) |_| {
        // Nobody waits for it any more.
        const slot = try publisher.tryAcquire();
        try testing.expect(slot != held.slot);
        try publisher.publish(slot, &record);
    }
    try testing.expectEqual(1, publisher.stats().slots_leased);

    os_fd.close(fd);
    const deadline: clock.Deadline = .fromMilliseconds(30_000);
    while (publisher.stats().subscribers > 0) {
        try testing.expect(!deadline.passed());
        std.Thread.yield() catch {};
    }
    _ = try publisher.tryAcquire();
}
