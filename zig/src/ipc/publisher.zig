//! A publisher has a key, a socket and a ring of slots. This file says what it is made with and of, and how it ends;
//! what it does is in frames.zig, packet_tracks.zig, admission.zig and report.zig.

const std = @import("std");
const linux = std.os.linux;
const errors = @import("../core/mod.zig").errors;
const format = @import("../core/mod.zig").format;
const uuid = @import("../core/mod.zig").uuid;
const layout = @import("../ring/mod.zig").layout;
const frame_ring = @import("../ring/mod.zig").frames;
const leases = @import("../ring/mod.zig").leases;
const custody = @import("../ring/mod.zig").custody;
const Custody = custody.Custody;
const channel = @import("../ring/mod.zig").channel;
const memory = @import("../memory/mod.zig").memory;
const os_fd = @import("../os/mod.zig").fd;
const memfd = @import("../os/mod.zig").memfd;
const socket = @import("../os/mod.zig").socket;
const directory = @import("../os/mod.zig").directory;
const claims = @import("../os/mod.zig").claim;
const leftovers = @import("../os/mod.zig").leftovers;
const clock = @import("../os/mod.zig").clock;
const Event = @import("../os/mod.zig").event.Event;
const Mutex = @import("../os/mod.zig").mutex.Mutex;
const completion = @import("../cuda/mod.zig").completion;
const protocol = @import("protocol.zig");
const texts = @import("text.zig");
const reactor = @import("reactor.zig");
const Waiter = @import("waiter.zig").Waiter;
const frames = @import("frames.zig");
const packet_tracks = @import("packet_tracks.zig");
const supply = @import("supply.zig");
const eviction = @import("eviction.zig");
const events = @import("publisher_events.zig");
const admission = @import("admission.zig");
const outbox = @import("outbox.zig");
const rate = @import("rate.zig");
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
    /// How many slots the ring begins with: SLOTS_MIN to SLOTS_MAX.
    slots: u32,
    /// How many it may grow to: `slots` to SLOTS_MAX. The policy wait does not let it grow.
    max_slots: u32,
    policy: u32,
    /// A kind of memory.
    memory: u32,
    /// Permission bits of the socket.
    socket_mode: u32,
    /// 1: there are no frames, and format, size, slots, policy and memory say nothing.
    packets_only: u32,
    reserved: u32,
    /// For memory on a GPU: its number or UUID; empty: the first.
    device: [uuid.name_size]u8,
    /// Bytes that the slots' memory may take, with what left the ring and subscribers still have: at least that of
    /// `slots` and two more. 0: four times that of `max_slots`.
    memory_limit: u64,
};

/// A frame ring, as its publisher made it.
pub const Info = extern struct {
    geometry: format.Geometry,
    /// Bytes of a slot that are mapped.
    slot_size: u64,
    publisher_pid: u64,
    /// A kind of memory.
    memory: u32,
    /// How many slots there may be.
    max_slots: u32,
    /// 1: there are no frames, and nothing of the above but the publisher's pid says anything.
    packets_only: u32,
    reserved: u32,
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
    /// Slots that have memory now.
    slots: u32,
    /// Memories that left the ring and that subscribers have not let go of.
    slots_outside: u32,
    /// Readers that lost their connection for what they held.
    evictions: u32,
    reserved: u32,
    /// Bytes that both kinds of memory may take.
    memory_limit: u64,
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
    /// Guards everything below against the reactor's thread. Held for short sections in memory only, since `acquire`
    /// takes it: no system call on what a peer has made. Lock order: reactor, then this.
    mutex: Mutex = .{},
    references: u32 = 1,
    closing: bool = false,

    packets_only: bool,
    control: *layout.Control,
    control_fd: i32,
    slots: memory.Slots,
    geometry: format.Geometry,
    slot_size: usize,
    writer: frame_ring.Writer,
    subscribers: leases.Subscribers = .{},
    /// Of the subscribers, by the same index.
    connections: [layout.subscribers_max]admission.Connection = undefined,
    /// The reactor's: which of them there are, as a mask. One that was evicted is there until the reactor has seen to
    /// it.
    connected: u64 = 0,
    /// The reactor's: subscribers that were evicted and have not closed their side.
    evicted: [leases.evicted_max]admission.Connection = undefined,
    evicted_count: usize = 0,
    supply: supply.Supply,
    custody: Custody = .{},
    evictions: eviction.Record = .{},
    events: events.Events = .{},
    tracks: packet_tracks.Tracks = .{},
    created_ns: u64,
    failed: u32 = 0,
    /// Of the frames that are visible.
    meter: rate.Meter = .{},
    completions: completion.Completions = .{},
    /// Of published frames whose GPU work is under way.
    pending_sequences: [layout.slots_max]u64 = undefined,
    /// Slots that were published or cancelled with GPU work on them under way, as a mask.
    under_way: u64 = 0,
    /// Those of them that were cancelled.
    cancelled: u64 = 0,
    /// Where acquire waits for a slot; private to this process.
    room: channel.EventCount = .{},
    waiter: Waiter = .{},

    /// Where it is found.
    claim: claims.Claim,
    listener: i32,
    admission: admission.Admission,
    /// Posted by any thread that has added to some connection's outbox.
    owed: Event,
    owed_token: reactor.Token = undefined,

    /// With these tracks from the beginning: nobody finds the publisher without.
    pub fn create(wanted: *const Options, first_tracks: []const packet_tracks.PacketOptions) Error!*Publisher {
        const options = if (wanted.packets_only == 0) wanted else &withoutFrames(wanted);
        const policy = try checkOptions(options);
        const kind = try memory.kindOf(options.memory);
        const alignment = memory.alignmentOf(kind);
        const geometry: format.Geometry = try .init(options.format, options.width, options.height, alignment);
        var claim = try takeKey(texts.of(&options.key), texts.of(&options.directory));
        errdefer claim.release();

        const publisher = allocator.create(Publisher) catch {
            return errors.fail(error.OutOfMemory, "no memory for a publisher", .{});
        };
        errdefer allocator.destroy(publisher);
        const device = texts.of(&options.device);
        const slots: memory.Slots = try .open(kind, device, geometry.frame_size);
        publisher.slots = slots;
        errdefer publisher.slots.deinit();
        const memories_max = try memoriesOf(options, slots.slotSize());
        const control_fd, const control = try createControl();
        errdefer {
            unmapControl(control);
            os_fd.close(control_fd);
        }
        const spare_fd = try admission.requireSpare();
        errdefer os_fd.close(spare_fd);
        const owed: Event = try .init("outbox");
        errdefer owed.deinit();
        publisher.* = .{
            .packets_only = wanted.packets_only != 0,
            .control = control,
            .control_fd = control_fd,
            .slots = slots,
            .geometry = geometry,
            .slot_size = slots.slotSize(),
            .writer = undefined,
            .supply = .{ .slots_initial = options.slots, .memories_max = memories_max },
            .created_ns = clock.monotonicNs(),
            .claim = claim,
            .listener = undefined,
            .admission = .{ .spare_fd = spare_fd },
            .owed = owed,
        };
        publisher.describe(options, policy);
        publisher.writer = .init(control, policy);
        for (0..options.slots) |_| try publisher.addSlot();
        errdefer publisher.tracks.deinit();
        for (first_tracks) |*track| _ = try publisher.addTrack(track);
        try publisher.listen(options.socket_mode);
        return publisher;
    }

    /// The least that a ring can be, in which nothing is ever published.
    fn withoutFrames(wanted: *const Options) Options {
        var options = wanted.*;
        options.format = @intFromEnum(format.Format.GRAY8);
        options.width = 1;
        options.height = 1;
        options.slots = layout.slots_min;
        options.max_slots = layout.slots_min;
        options.policy = @intFromEnum(frame_ring.Policy.drop_oldest);
        options.memory = @intFromEnum(memory.Kind.host);
        options.memory_limit = 0;
        return options;
    }

    /// Unsupported where there are packets only.
    pub fn requireFrames(publisher: *const Publisher) Error!void {
        if (!publisher.packets_only) return;
        return errors.fail(error.Unsupported, "this publisher was made without frames: it publishes packets only", .{});
    }

    fn checkOptions(options: *const Options) Error!frame_ring.Policy {
        try requireKey(texts.of(&options.key));
        const is_possible = options.slots >= layout.slots_min and options.slots <= options.max_slots and
            options.max_slots <= layout.slots_max;
        if (!is_possible) return errors.fail(
            error.InvalidArgument,
            "a ring of {d} to {d} slots: it must have {d} to {d}",
            .{ options.slots, options.max_slots, layout.slots_min, layout.slots_max },
        );
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

    /// How many memories the slots may have altogether.
    fn memoriesOf(options: *const Options, slot_size: u64) Error!u32 {
        if (options.memory_limit == 0) return 4 * options.max_slots;
        const least = options.slots + supply.reserve;
        const most = options.memory_limit / slot_size;
        if (most >= least) return @intCast(@min(most, custody.memories_max));
        return errors.fail(
            error.InvalidArgument,
            "a memory limit of {d} bytes for {d} slots of {d} bytes: at least {d}, so that two of them can be replaced",
            .{ options.memory_limit, options.slots, slot_size, least * slot_size },
        );
    }

    /// Before anybody can find the publisher.
    fn addSlot(publisher: *Publisher) Error!void {
        const slot = publisher.writer.reserve().?;
        const before = try publisher.slots.make(slot);
        std.debug.assert(before == null);
        publisher.writer.equip(slot);
        publisher.writer.cancel(slot);
    }

    /// AlreadyExists, with what to do, where somebody has the key.
    fn takeKey(key: []const u8, folder: []const u8) Error!claims.Claim {
        const path = try directory.forPublisher(folder);
        const names: claims.Names = try .ofKey(key);
        // Whoever removes what a dead publisher has left holds the lock for a moment, of which nothing tells the end.
        const end: clock.Deadline = .fromMilliseconds(leftovers.hold_ms_max);
        const taken = while (true) {
            const attempt = claims.Claim.take(&path, &names, .with_lock);
            if (attempt != error.AlreadyExists or end.passed()) break attempt;
            _ = linux.nanosleep(&.{ .sec = 0, .nsec = 2 * std.time.ns_per_ms }, null);
        };
        return taken catch |failure| switch (failure) {
            error.AlreadyExists => {
                var buffer: [errors.message_size_max]u8 = undefined;
                const said = std.fmt.bufPrint(&buffer, "{s}", .{errors.message()}) catch unreachable;
                return errors.fail(failure, "the key {s} is taken, in this process or another: {s}", .{ key, said });
            },
            else => failure,
        };
    }

    fn createControl() Error!struct { i32, *layout.Control } {
        const fd = try memfd.create("cuframes-control", layout.control_size);
        errdefer os_fd.close(fd);
        const region = try memfd.mapNew(fd, layout.control_size);
        errdefer memfd.unmap(region);
        try memfd.seal(fd, .no_future_writers);
        return .{ fd, @ptrCast(region.ptr) };
    }

    fn unmapControl(control: *layout.Control) void {
        const region: [*]align(std.heap.page_size_min) u8 = @ptrCast(@alignCast(control));
        memfd.unmap(region[0..layout.control_size]);
    }

    /// Fills in what does not change, before anybody can map it.
    fn describe(publisher: *Publisher, options: *const Options, policy: frame_ring.Policy) void {
        const control = publisher.control;
        std.debug.assert(control.magic == 0 and publisher.slot_size >= publisher.geometry.frame_size);
        control.magic = layout.magic;
        control.version = layout.version;
        control.max_slots = switch (policy) {
            .drop_oldest => options.max_slots,
            // It waits for slots, and needs no more of them.
            .wait => options.slots,
        };
        control.memory = options.memory;
        control.geometry = publisher.geometry;
        control.slot_size = publisher.slot_size;
        control.publisher_pid = @intCast(linux.getpid());
    }

    fn listen(publisher: *Publisher, mode: u32) Error!void {
        // Without a lock: others may be busy in the directory. Who connects meanwhile is accepted afterwards.
        publisher.listener = try publisher.claim.listen(mode, .refused);
        errdefer {
            publisher.claim.removeSocket();
            socket.closeListener(publisher.listener);
        }
        reactor.lock();
        defer reactor.unlock();
        publisher.owed_token = try reactor.add(publisher.owed.fd, supply.handlerOf(publisher), null);
        errdefer reactor.remove(publisher.owed_token);
        const handler = admission.handlerOf(publisher);
        publisher.admission.listener_token = try reactor.add(publisher.listener, handler, null);
    }

    /// The key that it publishes under.
    pub fn keyText(publisher: *const Publisher) []const u8 {
        return std.fs.path.stem(publisher.claim.names.socket.slice());
    }

    pub fn info(publisher: *const Publisher) Info {
        return .{
            .geometry = publisher.geometry,
            .slot_size = publisher.slot_size,
            .publisher_pid = publisher.control.publisher_pid,
            .memory = publisher.control.memory,
            .max_slots = publisher.control.max_slots,
            .packets_only = @intFromBool(publisher.packets_only),
            .reserved = 0,
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

    /// The oldest event that was not told yet.
    pub fn nextEvent(publisher: *Publisher) ?events.PublisherEvent {
        publisher.mutex.lock();
        defer publisher.mutex.unlock();
        return publisher.events.take();
    }

    // Packets: called by the owner's thread.

    pub const addTrack = packet_tracks.addTrack;
    pub const configureTrack = packet_tracks.configureTrack;
    pub const setExtradata = packet_tracks.setExtradata;
    pub const publishPacket = packet_tracks.publishPacket;

    pub fn stats(publisher: *Publisher) Stats {
        publisher.mutex.lock();
        defer publisher.mutex.unlock();
        return .{
            .published = publisher.writer.completed,
            .packets_published = publisher.tracks.published(),
            .subscribers = @popCount(publisher.subscribers.active),
            .slots_leased = @popCount(publisher.subscribers.leased(&publisher.writer.sequences)),
            .rejected = @atomicLoad(u32, &publisher.admission.rejected, .monotonic),
            .failed = publisher.failed,
            .slots = @popCount(publisher.writer.present),
            .slots_outside = publisher.custody.count(),
            .evictions = publisher.evictions.count,
            .reserved = 0,
            .memory_limit = publisher.supply.memories_max * publisher.slot_size,
        };
    }

    // The end.

    /// Nothing is visible under the key when this returns. Subscribers keep what they hold, and drain.
    pub fn close(publisher: *Publisher) void {
        // What was published is to be delivered. A GPU that hangs keeps its memory mapped, not this thread.
        _ = publisher.completions.drain(.fromMilliseconds(completion.drain_timeout_ms));
        publisher.completions.stop();
        var connections: admission.Leftovers = .{};
        {
            reactor.lock();
            defer reactor.unlock();
            @atomicStore(bool, &publisher.closing, true, .seq_cst);
            @atomicStore(u32, &publisher.control.closed, 1, .seq_cst);
            reactor.remove(publisher.admission.listener_token);
            reactor.remove(publisher.owed_token);
            // The last frames may be in memory that subscribers are still to be handed.
            outbox.flushAll(publisher);
            connections.take(publisher);
        }
        // Nobody else knows of all this now: no lock is held while it ends.
        publisher.claim.removeSocket();
        socket.closeListener(publisher.listener);
        connections.endOthers();
        publisher.tracks.deinit();
        connections.endSubscribers();
        publisher.claim.release();
        publisher.waiter.stop();
        publisher.room.interrupt();
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
        supply.closeLeft(publisher);
        unmapControl(publisher.control);
        os_fd.close(publisher.control_fd);
        if (publisher.admission.spare_fd >= 0) os_fd.close(publisher.admission.spare_fd);
        publisher.owed.deinit();
        allocator.destroy(publisher);
    }
};
