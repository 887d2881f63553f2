//! A subscriber is one connection to a publisher: it shakes hands, maps the regions, leases frames and notices the
//! publisher's end.

const std = @import("std");
const assert = std.debug.assert;
const errors = @import("../core/mod.zig").errors;
const format = @import("../core/mod.zig").format;
const Picture = @import("../core/mod.zig").picture.Picture;
const layout = @import("../ring/mod.zig").layout;
const frames = @import("../ring/mod.zig").frames;
const packets = @import("../ring/mod.zig").packets;
const channel = @import("../ring/mod.zig").channel;
const bitsOf = @import("../ring/mod.zig").leases.bitsOf;
const memory = @import("../memory/mod.zig").memory;
const os_fd = @import("../os/mod.zig").fd;
const memfd = @import("../os/mod.zig").memfd;
const closer = @import("../os/mod.zig").closer;
const socket = @import("../os/mod.zig").socket;
const clock = @import("../os/mod.zig").clock;
const log = @import("../os/mod.zig").log;
const protocol = @import("protocol.zig");
const texts = @import("text.zig");
const reactor = @import("reactor.zig");
const cuda = @import("../memory/mod.zig").cuda;
const completion = @import("../cuda/mod.zig").completion;
const visibleUuids = @import("../cuda/mod.zig").context.visibleUuids;
const CUstream = @import("../cuda/mod.zig").driver.abi.CUstream;
const taking = @import("taking.zig");
const waiters = @import("waiter.zig");
const event_loop = @import("event_loop.zig");
const connecting = @import("connect.zig");
const Inbox = @import("memory_inbox.zig").Inbox;
const packet_reading = @import("packet_reader.zig");
const track_table = @import("track_table.zig");
const TrackInfo = @import("track.zig").TrackInfo;
const TrackTable = track_table.TrackTable;
const Waiter = waiters.Waiter;
const Error = errors.Error;
const Info = @import("publisher.zig").Info;

const allocator = std.heap.c_allocator;

/// What a packets message comes with.
const handed_over_max = 1;
/// How long the socket is not looked at when it has a message that this process has no descriptor for.
const exhaustion_pause_ms = 100;

/// What a connection is for. Text is NUL-padded.
pub const Options = extern struct {
    /// The publisher's.
    key: [layout.key_size_max + 1]u8,
    /// The runtime directory. Empty: the first where somebody publishes under the key, by docs/protocol.md.
    directory: [socket.path_size_max]u8,
    /// For the publisher's reports.
    name: [layout.name_size_max + 1]u8,
    mode: u32,
    wants: u32,
    /// How long to wait for a publisher: 0 not at all, negative for ever.
    timeout_ms: i32,
    /// Milliseconds to wait before the first attempt, which count as time waited; for those who connect again and
    /// again.
    delay_ms: u32,
};

/// A frame that is held.
pub const FrameView = extern struct {
    /// For cuframes_subscriber_clone and cuframes_subscriber_release.
    lease: u32,
    /// Where it is: see cuframes_subscriber_slot_address.
    slot: u32,
    /// The frame's number, from 1.
    sequence: u64,
    record: layout.FrameRecord,
};

/// A subscriber's counters.
pub const Stats = extern struct {
    /// Frames delivered.
    received: u64,
    /// Frames that were gone before it was their turn, in ordered mode; that a newer one overtook, in newest mode.
    dropped: u64,
    /// Published after the last frame delivered.
    lag: u64,
    /// Leases that are not released yet.
    held: u32,
    /// 1 once the publisher is gone.
    disconnected: u32,
    /// Slots that this process has mapped.
    slots: u32,
    /// 1 once the publisher has ended the connection for what was held.
    evicted: u32,
};

pub const Subscriber = struct {
    references: u32 = 1,
    fd: i32,
    /// What the hello asked for.
    wants: u32,
    token: reactor.Token = undefined,
    /// Set by the reactor at the connection's end.
    disconnected: bool = false,
    closing: bool = false,

    control: *const layout.Control,
    page: *layout.LeasePage,
    /// Changed by the owner alone.
    slots: ?memory.Slots,
    inbox: Inbox = .{},
    slot_size: u64,
    geometry: format.Geometry,
    /// 1: the publisher has no frames.
    packets_only: u32 = 0,
    memory_code: u32,
    publisher_pid: u64,
    reader: frames.Reader,
    tracks: TrackTable = .{},
    /// A track's message is still in the socket, since there was no descriptor for it.
    track_unread: bool = false,
    /// Packets delivered and lost, by all readers.
    packets_received: u64 = 0,
    packets_lost: u64 = 0,
    /// Who waits for frames, and who for packets of a track.
    frame_sleepers: channel.Sleepers,
    packet_sleepers: [layout.tracks_max]channel.Sleepers,
    /// Of the waiter's thread, and where the reader was at its last look.
    frame_pace: channel.Pace = .{},
    frame_waiter_cursor: u64 = 0,
    frame_waiter: Waiter = .{},
    completions: completion.Completions = .{},
    /// Leases whose release waits for work of the GPU's, as a mask, until they are taken again. Written by the owner
    /// alone.
    releasing: u32 = 0,
    host_copies: cuda.HostCopies = .{},

    /// For as long as the call allows.
    pub fn connect(options: *const Options, call: *connecting.Call) Error!*Subscriber {
        const mode = std.enums.fromInt(frames.Mode, options.mode) orelse {
            return errors.fail(error.InvalidArgument, "mode {d} is not known", .{options.mode});
        };
        var hello: protocol.Hello = .{ .wants = options.wants, .mode = options.mode, .name = options.name };
        const key = texts.of(&options.key);
        const folder = texts.of(&options.directory);
        var reply = connecting.handshake(key, folder, &hello, call) catch |failure| reply: {
            // Frames on a GPU: only now is the driver loaded, which takes a while.
            if (failure != error.DeviceMismatch) return failure;
            hello.device_count = visibleUuids(&hello.devices) catch |reason| return withContext(reason);
            if (call.deadline.passed()) return errors.fail(
                error.Timeout,
                "the frames of {s} are on a GPU, and the time-out ended while its driver was loaded: give a longer " ++
                    "time-out",
                .{key},
            );
            break :reply try connecting.handshake(key, folder, &hello, call);
        };
        defer reply.descriptors.deinit();
        errdefer socket.hangUp(reply.fd);
        const welcome = protocol.parse(protocol.Welcome, .welcome, reply.bytes()) orelse {
            return errors.fail(error.Protocol, "the publisher answered with something else than a welcome", .{});
        };
        return init(&welcome, &reply, options.wants, mode);
    }

    fn withContext(reason: Error) Error {
        var copy: [errors.message_size_max]u8 = undefined;
        const told = errors.message();
        @memcpy(copy[0..told.len], told);
        return errors.fail(reason, "the frames are on a GPU: {s}", .{copy[0..told.len]});
    }

    /// Takes over the connection and the descriptors when it succeeds.
    fn init(
        welcome: *const protocol.Welcome,
        reply: *connecting.Reply,
        wants: u32,
        mode: frames.Mode,
    ) Error!*Subscriber {
        const kind = try memory.kindOf(welcome.memory);
        const told = welcome.geometry;
        const geometry: format.Geometry = try .init(told.format, told.width, told.height, memory.alignmentOf(kind));
        const wants_frames = wants & protocol.want_frames != 0 and welcome.packets_only == 0;
        const frame_descriptors: usize = if (wants_frames) @popCount(welcome.slots) else 0;
        try checkWelcome(welcome, &geometry, reply.descriptors.count, frame_descriptors);

        const control = try memfd.mapForeign(reply.descriptors.items[0], layout.control_size, .read_only);
        errdefer memfd.unmap(control);
        const page = try memfd.mapForeign(reply.descriptors.items[1], layout.lease_page_size, .read_write);
        errdefer memfd.unmap(page);
        var reader: frames.Reader =
            .init(@ptrCast(control.ptr), @ptrCast(page.ptr), welcome.max_slots, mode, welcome.cursor);
        // What is mapped stays when its descriptor goes, at once.
        for ([_]usize{ 0, 1 }) |index| os_fd.close(reply.descriptors.take(index));
        var slots: ?memory.Slots = if (wants_frames) try adoptSlots(kind, welcome, reply, &reader) else null;
        errdefer if (slots) |*some| some.deinit();

        const subscriber = allocator.create(Subscriber) catch return errors.fail(
            error.OutOfMemory,
            "no memory for a subscriber",
            .{},
        );
        errdefer allocator.destroy(subscriber);
        subscriber.* = .{
            .fd = reply.fd,
            .wants = wants,
            .control = @ptrCast(control.ptr),
            .page = @ptrCast(page.ptr),
            .slots = slots,
            .slot_size = welcome.slot_size,
            .geometry = geometry,
            .packets_only = @intFromBool(welcome.packets_only != 0),
            .memory_code = welcome.memory,
            .publisher_pid = welcome.publisher_pid,
            .reader = reader,
            .frame_sleepers = undefined,
            .packet_sleepers = undefined,
        };
        subscriber.frame_sleepers = .{ .channel = &subscriber.page.frames };
        for (&subscriber.packet_sleepers, &subscriber.page.tracks) |*sleepers, *one| sleepers.* = .{ .channel = one };
        reactor.lock();
        defer reactor.unlock();
        errdefer subscriber.tracks.deinit();
        for (0..TrackTable.count(&welcome.tracks)) |index| {
            const fd = reply.descriptors.take(2 + frame_descriptors + index);
            defer os_fd.close(fd);
            try subscriber.tracks.add(@intCast(index), &welcome.tracks[index], fd);
        }
        subscriber.token = try reactor.add(
            reply.fd,
            .{ .context = subscriber, .ready = onPublisher, .expired = onPauseOver },
            null,
        );
        return subscriber;
    }

    /// Maps the memory of the slots that comes with the welcome.
    fn adoptSlots(
        kind: memory.Kind,
        welcome: *const protocol.Welcome,
        reply: *connecting.Reply,
        reader: *frames.Reader,
    ) Error!memory.Slots {
        var slots: memory.Slots = try .openForeign(kind, welcome.device, welcome.slot_size);
        errdefer slots.deinit();
        var indexes = bitsOf(welcome.slots);
        var descriptor: usize = 2;
        while (indexes.next()) |index| : (descriptor += 1) {
            const slot: u6 = @intCast(index);
            try slots.adopt(slot, reply.descriptors.items[descriptor]);
            _ = reply.descriptors.take(descriptor);
            reader.setMemory(slot, welcome.generations[slot]);
        }
        return slots;
    }

    /// What a publisher announces is held against what it sent, and against what there can be.
    fn checkWelcome(
        welcome: *const protocol.Welcome,
        geometry: *const format.Geometry,
        received: usize,
        frame_descriptors: usize,
    ) Error!void {
        const max_slots = welcome.max_slots;
        if (max_slots < layout.slots_min or max_slots > layout.slots_max or
            max_slots < @bitSizeOf(u64) - @clz(welcome.slots) or
            welcome.slot_size < geometry.frame_size or welcome.slot_size > layout.region_size_max or
            !TrackTable.arePossible(&welcome.tracks) or welcome.cursor > layout.sequence_max)
        {
            return errors.fail(error.Protocol, "the publisher announced an impossible ring", .{});
        }
        if (received != 2 + frame_descriptors + TrackTable.count(&welcome.tracks)) {
            return errors.fail(
                error.Protocol,
                "the publisher sent {d} descriptors, not what it announced",
                .{received},
            );
        }
    }

    pub fn info(subscriber: *const Subscriber) Info {
        return .{
            .geometry = subscriber.geometry,
            .slot_size = subscriber.slot_size,
            .publisher_pid = subscriber.publisher_pid,
            .memory = subscriber.memory_code,
            .max_slots = subscriber.reader.max_slots,
            .packets_only = subscriber.packets_only,
            .reserved = 0,
            .device = if (subscriber.slots) |*slots| slots.device() else @splat(0),
        };
    }

    // Called by the reactor.

    fn onPublisher(context: *anyopaque, token: reactor.Token, fd: i32) void {
        const subscriber: *Subscriber = @ptrCast(@alignCast(context));
        // One message; another waits for the next turn.
        var buffer: [@max(@sizeOf(protocol.Track), @sizeOf(protocol.Memory)) + 1]u8 align(4) = @splat(0);
        var descriptors: socket.Descriptors = .{ .limit = handed_over_max };
        const bytes = socket.receive(fd, &buffer, &descriptors) catch |failure| switch (failure) {
            error.WouldBlock => return,
            error.Disconnected, error.Truncated => return subscriber.disconnect(token),
            error.DescriptorsExhausted => {
                return subscriber.onExhausted(token, fd, &buffer);
            },
        };
        defer descriptors.deinit();
        if (protocol.parse(protocol.Memory, .memory, bytes)) |message| {
            if (!subscriber.receiveMemory(&message, &descriptors)) subscriber.disconnect(token);
            return;
        }
        const message = protocol.parse(protocol.Track, .track, bytes) orelse return subscriber.disconnect(token);
        const possible = descriptors.count == 1 and message.index < layout.tracks_max and
            subscriber.wants & protocol.want_packets != 0;
        if (!possible) return subscriber.disconnect(token);
        if (subscriber.track_unread) {
            // Too late for its readers, who have been told.
            subscriber.track_unread = false;
            return;
        }
        var ring = message.ring;
        // Everything in it was published since the connection.
        ring.cursor = 0;
        subscriber.tracks.add(message.index, &ring, descriptors.items[0]) catch |failure| switch (failure) {
            // No fault of the publisher's, whose frames still come.
            error.OutOfMemory => subscriber.tracks.miss(message.index, .memory),
            else => return subscriber.disconnect(token),
        };
        subscriber.interruptPackets();
    }

    /// Keeps what was said of a slot's memory for whoever takes frames. False: it cannot be.
    fn receiveMemory(subscriber: *Subscriber, message: *const protocol.Memory, descriptors: *socket.Descriptors) bool {
        const possible = message.slot < subscriber.reader.max_slots and message.generation != 0 and
            message.present == descriptors.count and subscriber.slots != null;
        if (!possible) return false;
        const fd = if (message.present != 0) descriptors.take(0) else -1;
        subscriber.inbox.put(@intCast(message.slot), .{ .fd = fd, .generation = message.generation });
        subscriber.frame_sleepers.interrupt();
        return true;
    }

    /// A message that has more descriptors than this process can have stays where it is.
    fn onExhausted(subscriber: *Subscriber, token: reactor.Token, fd: i32, bytes: []align(4) const u8) void {
        const message: *const protocol.Track = @ptrCast(@alignCast(bytes));
        const kind: protocol.Kind = @enumFromInt(message.prefix.kind);
        if (kind == .track and !subscriber.track_unread and message.index < layout.tracks_max) {
            subscriber.track_unread = true;
            subscriber.tracks.miss(message.index, .descriptor);
            subscriber.interruptPackets();
        }
        // Nothing comes behind it that could be read; without a pause this would be called again and again.
        const can_wait = kind == .memory or subscriber.track_unread;
        if (!can_wait or socket.hasEnded(fd)) return subscriber.disconnect(token);
        reactor.pause(token, .fromMilliseconds(exhaustion_pause_ms));
    }

    fn onPauseOver(_: *anyopaque, token: reactor.Token, _: i32) void {
        reactor.unpause(token);
    }

    /// Has everybody who waits for a packet look again.
    pub fn interruptPackets(subscriber: *Subscriber) void {
        for (&subscriber.packet_sleepers) |*sleepers| sleepers.interrupt();
    }

    /// Adds to what the publisher's reports say of this subscriber.
    pub fn countPackets(subscriber: *Subscriber, received: u64, lost: u64) void {
        subscriber.packets_received += received;
        subscriber.packets_lost +|= lost;
        @atomicStore(u64, &subscriber.page.packets_received, subscriber.packets_received, .monotonic);
        @atomicStore(u64, &subscriber.page.packets_lost, subscriber.packets_lost, .monotonic);
    }

    /// What a track is now, and what a decoder has to know of it beforehand, whose size is returned; null: there is no
    /// track of that number.
    pub fn describeTrack(
        subscriber: *Subscriber,
        index: u32,
        track: *TrackInfo,
        extradata: *[packets.extradata_size_max]u8,
    ) Error!?usize {
        reactor.lock();
        defer reactor.unlock();
        const found = subscriber.tracks.find(&.{ .index = index, .kind = null, .label = "" });
        const ring = switch (found) {
            .ring => |ring| ring,
            .none, .lacking => return null,
        };
        defer track_table.unref(ring);
        track.* = ring.info;
        const reader = packets.Reader.init(ring.region) catch {
            return errors.fail(error.Protocol, "the publisher's packet ring is malformed", .{});
        };
        return packet_reading.extradataOf(&reader, extradata) catch |failure| switch (failure) {
            error.NoCodecParameters => 0,
            else => failure,
        };
    }

    fn disconnect(subscriber: *Subscriber, token: reactor.Token) void {
        assert(reactor.isLocked() and !subscriber.disconnected);
        reactor.remove(token);
        @atomicStore(bool, &subscriber.disconnected, true, .seq_cst);
        subscriber.frame_sleepers.interrupt();
        subscriber.interruptPackets();
        log.debug("the publisher of connection {d} has gone", .{subscriber.fd});
    }

    // Frames: called by the owner's thread.

    /// Leases the next frame, waiting for it until the deadline: first spinning, then asleep.
    pub fn next(subscriber: *Subscriber, timeout_ms: i32, spin_us: u32, view: *FrameView) Error!void {
        if (try subscriber.nextOrEnd(view)) return;
        if (timeout_ms == 0) return error.WouldBlock;
        const deadline: clock.Deadline = .fromMilliseconds(timeout_ms);
        if (spin_us > 0) subscriber.spin(spin_us, deadline);
        var pace: channel.Pace = .{};
        while (!try subscriber.nextOrEnd(view)) {
            // Here, since a publisher that announces frames and takes them back would keep `wait` from looking.
            if (deadline.passed()) return error.Timeout;
            _ = subscriber.frame_sleepers.wait(&pace, subscriber, hasNews, deadline);
        }
    }

    /// False when there is no frame yet, Disconnected when there will be none.
    fn nextOrEnd(subscriber: *Subscriber, view: *FrameView) Error!bool {
        const attempt: Taking = .{ .subscriber = subscriber, .view = view };
        switch (try taking.takeOrEnd(attempt, Taking.isEnded, Taking.take)) {
            .taken => return true,
            .none, .not_now => return false,
            .over => {},
        }
        return errors.fail(
            error.Disconnected,
            "the publisher has closed or died, and every frame it left was delivered: connect again, or with " ++
                "reconnect, for the next one",
            .{},
        );
    }

    const Taking = struct {
        subscriber: *Subscriber,
        view: *FrameView,

        fn isEnded(attempt: Taking) bool {
            return attempt.subscriber.isDisconnected();
        }

        fn take(attempt: Taking) Error!taking.Attempt {
            return attempt.subscriber.tryNext(attempt.view);
        }
    };

    pub fn isDisconnected(subscriber: *const Subscriber) bool {
        return @atomicLoad(bool, &subscriber.disconnected, .seq_cst);
    }

    fn hasNews(subscriber: *Subscriber) bool {
        if (@atomicLoad(bool, &subscriber.closing, .seq_cst)) return true;
        // There is nothing to wait for, not even for the GPU to let go of a frame.
        if (subscriber.reader.isEvicted()) return true;
        const news = subscriber.inbox.hasNews() or subscriber.reader.hasNews() or subscriber.isDisconnected();
        return news and !subscriber.isReleasing();
    }

    /// No frame can be held now, but the GPU will let go of one: `onCompletion` says when.
    fn isReleasing(subscriber: *Subscriber) bool {
        return !subscriber.reader.hasRoom() and @atomicLoad(u32, &subscriber.releasing, .seq_cst) != 0;
    }

    fn spin(subscriber: *Subscriber, spin_us: u32, deadline: clock.Deadline) void {
        const until = @min(clock.monotonicNs() + @as(u64, spin_us) * std.time.ns_per_us, deadline.at_ns);
        while (true) {
            // The clock costs more than a look; it need not be exact.
            for (0..64) |_| {
                if (subscriber.hasNews()) return;
                std.atomic.spinLoopHint();
            }
            if (clock.monotonicNs() >= until) return;
        }
    }

    fn noFrames(subscriber: *const Subscriber) Error {
        if (subscriber.wants & protocol.want_frames == 0) return errors.fail(
            error.InvalidArgument,
            "this subscriber asked for packets only",
            .{},
        );
        return errors.fail(error.Unsupported, "the publisher has no frames, but packets only: read its tracks", .{});
    }

    fn tryNext(subscriber: *Subscriber, view: *FrameView) Error!taking.Attempt {
        if (subscriber.slots == null) return subscriber.noFrames();
        // Looked at first: memory that came before the end is there then.
        const ended = subscriber.isDisconnected();
        if (subscriber.inbox.hasNews() and !subscriber.reader.isEvicted()) try subscriber.takeMemory();
        if (ended) subscriber.reader.expectNoMemory();
        defer if (subscriber.reader.withdrew) {
            subscriber.reader.withdrew = false;
            subscriber.announceRelease();
        };
        const lease = subscriber.reader.next() catch |failure| switch (failure) {
            error.TooManyLeases => return if (subscriber.releasing != 0) .not_now else tooManyLeases(),
            error.Evicted => {
                subscriber.dropUnheld();
                return subscriber.evicted();
            },
            error.Protocol => return errors.fail(
                error.Protocol,
                "the publisher's control region announces a frame that it does not have",
                .{},
            ),
        } orelse return .none;
        subscriber.markReleasing(lease.index, false);
        subscriber.describe(lease, view);
        return .taken;
    }

    fn markReleasing(subscriber: *Subscriber, lease: u32, releasing: bool) void {
        assert(lease < layout.leases_max);
        const bit = @as(u32, 1) << @intCast(lease);
        const others = subscriber.releasing & ~bit;
        @atomicStore(u32, &subscriber.releasing, if (releasing) others | bit else others, .seq_cst);
    }

    /// Maps what the publisher has handed over since, and lets go of what it has taken away. What fails is tried again
    /// at the next call.
    fn takeMemory(subscriber: *Subscriber) Error!void {
        const slots = &subscriber.slots.?;
        for (0..layout.slots_max) |_| {
            const slot, const letter = subscriber.inbox.take() orelse return;
            errdefer subscriber.inbox.putBack(slot, letter);
            const is_known = letter.generation == subscriber.reader.generations[slot];
            if (is_known and letter.fd >= 0) {
                // Said again to those who may not have been told. Frames in it may be held.
                closer.close(letter.fd);
                continue;
            }
            if (subscriber.reader.holds(slot)) return errors.fail(
                error.Protocol,
                "the publisher takes the memory of a frame away that is held",
                .{},
            );
            if (letter.fd < 0) {
                if (slots.hasMemory(slot)) slots.remove(slot);
                subscriber.reader.dropMemory(slot, letter.generation);
                continue;
            }
            try slots.adopt(slot, letter.fd);
            subscriber.reader.setMemory(slot, letter.generation);
        }
    }

    /// Lets go of all memory in which no frame is held: none will be from now on.
    fn dropUnheld(subscriber: *Subscriber) void {
        assert(subscriber.reader.isEvicted());
        const slots = &subscriber.slots.?;
        for (0..layout.slots_max) |index| {
            const slot: u6 = @intCast(index);
            if (subscriber.reader.holds(slot)) continue;
            if (slots.hasMemory(slot)) slots.remove(slot);
            subscriber.reader.dropMemory(slot, layout.settled_all);
        }
    }

    /// Why the publisher has ended the connection of a subscriber that is evicted.
    pub fn evicted(subscriber: *const Subscriber) Error {
        const page = subscriber.page;
        const held = @atomicLoad(u32, &page.revoked_frames, .monotonic);
        if (held == 0) return errors.fail(
            error.Evicted,
            "the publisher has ended the connections of all its subscribers: those that it evicted before still " ++
                "hold all the memory that its limit allows (memoryLimit). Connect again when they have let go of it",
            .{},
        );
        return errors.fail(
            error.Evicted,
            "the publisher has ended the connection: {d} frames were held, the oldest of them published {d} ms " ++
                "before, while it had no slot left to go on with. Close frames as soon as they are done with " ++
                "(`using`), hold fewer at a time, or copy what is needed for longer; or give the ring more slots " ++
                "(maxSlots)",
            .{
                held,
                @atomicLoad(u64, &page.revoked_after_ns, .monotonic) / std.time.ns_per_ms,
            },
        );
    }

    fn tooManyLeases() Error {
        return errors.fail(
            error.WouldBlock,
            "{d} frames are held, the most a subscriber may hold: close one first",
            .{layout.leases_max},
        );
    }

    fn describe(subscriber: *const Subscriber, lease: frames.Reader.Lease, view: *FrameView) void {
        assert(lease.slot < subscriber.reader.max_slots and lease.sequence >= 1);
        const shared = &subscriber.control.slots[lease.slot].record;
        view.lease = lease.index;
        view.slot = lease.slot;
        view.sequence = lease.sequence;
        view.record.timestamp_ns = shared.timestamp_ns;
        view.record.duration_ns = shared.duration_ns;
        view.record.published_ns = shared.published_ns;
        view.record.capture_time_ns = shared.capture_time_ns;
        view.record.flags = shared.flags;
        // Read once, both: a hostile publisher may change them between a check and a use.
        const stated = @as(*const volatile Picture, &shared.picture).*;
        view.record.picture = stated.bounded(&subscriber.geometry);
        const size = @min(@atomicLoad(u32, &shared.metadata_size, .monotonic), layout.metadata_size_max);
        view.record.metadata_size = size;
        @memcpy(view.record.metadata[0..size], shared.metadata[0..size]);
    }

    pub fn clone(subscriber: *Subscriber, lease: u32) Error!u32 {
        _ = try subscriber.requireHeld(lease);
        const copy = subscriber.reader.clone(lease) catch |failure| switch (failure) {
            error.InvalidArgument => unreachable, // it is held
            error.TooManyLeases => return tooManyLeases(),
        };
        subscriber.markReleasing(copy.index, false);
        return copy.index;
    }

    pub fn release(subscriber: *Subscriber, lease: u32) Error!void {
        _ = try subscriber.requireHeld(lease);
        subscriber.endLease(lease);
        if (subscriber.reader.isEvicted()) subscriber.dropUnheld();
    }

    /// Ends the lease when the stream's work so far, which reads the frame, is done.
    pub fn releaseWhenDone(subscriber: *Subscriber, lease: u32, stream: CUstream) Error!void {
        _ = try subscriber.requireHeld(lease);
        const slots = try subscriber.slotsOnDevice();
        try slots.context.enter();
        defer slots.context.leave();
        if (try subscriber.completions.announce(&slots.context, stream, lease)) return subscriber.endLease(lease);
        const owner: completion.Owner = .{ .context = subscriber, .done = onCompletion, .unref = unrefOpaque };
        if (try subscriber.completions.push(&slots.context, owner, lease)) subscriber.ref();
        subscriber.markReleasing(lease, true);
    }

    /// Work that failed reads nothing any more.
    fn onCompletion(context: *anyopaque, lease: u32, _: bool) void {
        const subscriber: *Subscriber = @ptrCast(@alignCast(context));
        subscriber.endLease(lease);
        // Whoever waits for a lease.
        subscriber.frame_sleepers.interrupt();
    }

    fn slotsOnDevice(subscriber: *Subscriber) Error!*cuda.Slots {
        if (subscriber.slots) |*slots| if (slots.* == .cuda) return &slots.cuda;
        return errors.fail(error.Unsupported, "these frames are in host memory", .{});
    }

    /// The frame of a lease in page-locked host memory, copied once, or again where `refresh` says so.
    pub fn toHost(subscriber: *Subscriber, lease: u32, refresh: bool) Error!cuda.HostCopies.Copy {
        const held = try subscriber.requireHeld(lease);
        const slots = try subscriber.slotsOnDevice();
        var tickets: [layout.leases_max]u64 = undefined;
        for (&subscriber.reader.leases, &tickets) |*word, *ticket| ticket.* = @atomicLoad(u64, word, .acquire);
        const ticket = layout.Ticket.init(held.sequence, held.slot);
        return subscriber.host_copies.of(slots, ticket, subscriber.geometry.frame_size, &tickets, refresh);
    }

    /// A dma-buf of the frame of a lease, the caller's.
    pub fn exportDmabuf(subscriber: *const Subscriber, lease: u32) Error!i32 {
        const held = try subscriber.requireHeld(lease);
        return subscriber.slots.?.exportDmabuf(held.slot);
    }

    /// The caller's lease: not one that has ended, nor one that it has left to the GPU to end.
    fn requireHeld(subscriber: *const Subscriber, lease: u32) Error!frames.Reader.Lease {
        if (subscriber.reader.held(lease)) |held| {
            if (subscriber.releasing & @as(u32, 1) << @intCast(lease) == 0) return held;
        }
        return errors.fail(error.InvalidArgument, "lease {d} is not held", .{lease});
    }

    fn endLease(subscriber: *Subscriber, lease: u32) void {
        assert(lease < layout.leases_max);
        subscriber.reader.release(lease) catch unreachable;
        subscriber.announceRelease();
    }

    /// Tells a publisher that waits for a slot. The lease was given back before.
    fn announceRelease(subscriber: *Subscriber) void {
        if (!subscriber.reader.isAwaited()) return;
        const message: protocol.Released = .{};
        // Full: the publisher has as many announcements to read already. Gone: the reactor will say so.
        socket.send(subscriber.fd, std.mem.asBytes(&message), &.{}) catch {};
    }

    pub fn slotAddress(subscriber: *const Subscriber, slot: u32) Error!u64 {
        if (subscriber.slots) |*slots| {
            if (slots.hasAddress(slot)) return slots.address(slot);
        }
        return errors.fail(error.InvalidArgument, "there is no slot {d}", .{slot});
    }

    /// Calls back once at the next frame, or at the connection's end.
    pub fn arm(subscriber: *Subscriber, callback: event_loop.Callback, token: u32) Error!void {
        const owner: waiters.Owner = .{ .context = subscriber, .block = blockForFrame, .unref = unrefOpaque };
        if (try subscriber.frame_waiter.arm(owner, callback, token)) subscriber.ref();
    }

    fn blockForFrame(context: *anyopaque) void {
        const subscriber: *Subscriber = @ptrCast(@alignCast(context));
        // A call back that led to no frame was in vain.
        const cursor = @atomicLoad(u64, &subscriber.reader.cursor, .acquire);
        if (cursor != subscriber.frame_waiter_cursor) subscriber.frame_pace.reset();
        subscriber.frame_waiter_cursor = cursor;
        const woken = subscriber.frame_sleepers.wait(&subscriber.frame_pace, subscriber, hasNews, .never);
        assert(woken);
    }

    pub fn stats(subscriber: *const Subscriber) Stats {
        const newest = layout.Ticket.from(@atomicLoad(u64, &subscriber.control.newest, .seq_cst));
        var held: u32 = 0;
        for (&subscriber.reader.leases) |*lease| held += @intFromBool(
            @atomicLoad(u64, lease, .acquire) != layout.Ticket.none,
        );
        return .{
            .slots = if (subscriber.slots) |*slots| slots.count() else 0,
            .received = subscriber.reader.received,
            .dropped = subscriber.reader.dropped,
            .lag = newest.sequence -| subscriber.reader.cursor,
            .held = held,
            .disconnected = @intFromBool(subscriber.isDisconnected()),
            .evicted = @intFromBool(subscriber.reader.isEvicted()),
        };
    }

    // The end.

    /// Ends the connection: the publisher takes back every lease. The mappings stay until the packet readers
    /// and the waiting thread are done with them.
    pub fn close(subscriber: *Subscriber) void {
        // A lease under a queued read ends with the connection: not before the read does.
        _ = subscriber.completions.drain(.fromMilliseconds(completion.drain_timeout_ms));
        subscriber.completions.stop();
        @atomicStore(bool, &subscriber.closing, true, .seq_cst);
        {
            reactor.lock();
            defer reactor.unlock();
            if (!subscriber.disconnected) reactor.remove(subscriber.token);
            // For packet readers, which may outlive this.
            @atomicStore(bool, &subscriber.disconnected, true, .seq_cst);
            // The number stays taken: a read of the GPU's that outlasts the time above may still announce its end.
            socket.shutdown(subscriber.fd);
        }
        subscriber.frame_waiter.stop();
        subscriber.frame_sleepers.interrupt();
        subscriber.interruptPackets();
        subscriber.unref();
    }

    /// As `close`, where views of the slots may be left behind, for which their addresses are kept.
    pub fn vacate(subscriber: *Subscriber) void {
        if (subscriber.slots) |*slots| switch (slots.*) {
            .host => |*host| host.vacated = true,
            .cuda => subscriber.host_copies = .{}, // stay: page-locked memory cannot be exchanged for other
        };
        subscriber.close();
    }

    pub fn ref(subscriber: *Subscriber) void {
        const before = @atomicRmw(u32, &subscriber.references, .Add, 1, .seq_cst);
        assert(before >= 1);
    }

    fn unrefOpaque(context: *anyopaque) void {
        const subscriber: *Subscriber = @ptrCast(@alignCast(context));
        subscriber.unref();
    }

    pub fn unref(subscriber: *Subscriber) void {
        const before = @atomicRmw(u32, &subscriber.references, .Sub, 1, .seq_cst);
        assert(before >= 1);
        if (before != 1) return;
        if (subscriber.slots) |*slots| {
            if (slots.* == .cuda) {
                subscriber.host_copies.deinit(&slots.cuda);
                subscriber.completions.deinit(&slots.cuda.context);
            }
            slots.deinit();
        }
        subscriber.inbox.deinit();
        {
            reactor.lock();
            defer reactor.unlock();
            subscriber.tracks.deinit();
        }
        const control: [*]align(std.heap.page_size_min) const u8 = @ptrCast(@alignCast(subscriber.control));
        memfd.unmap(control[0..layout.control_size]);
        const page: [*]align(std.heap.page_size_min) u8 = @ptrCast(@alignCast(subscriber.page));
        memfd.unmap(page[0..layout.lease_page_size]);
        socket.hangUp(subscriber.fd);
        allocator.destroy(subscriber);
    }
};

test "a lease that was taken back is announced to a publisher that waits for a slot, once" {
    const linux = std.os.linux;
    const testing = std.testing;
    var ends: [2]i32 = undefined;
    try testing.expectEqual(0, linux.socketpair(linux.AF.UNIX, linux.SOCK.SEQPACKET, 0, &ends));
    defer for (ends) |end| os_fd.close(end);
    const control = try testing.allocator.create(layout.Control);
    defer testing.allocator.destroy(control);
    @memset(std.mem.asBytes(control), 0);
    var page = std.mem.zeroes(layout.LeasePage);
    // Announced, and in its slot no more: a lease on it is stored, and taken back.
    control.publisher_waiting = 1;
    control.newest = layout.Ticket.init(1, 0);
    var subscriber: Subscriber = .{
        .fd = ends[0],
        .wants = protocol.want_frames,
        .control = control,
        .page = &page,
        .slots = .{ .host = undefined },
        .slot_size = 0,
        .geometry = undefined,
        .memory_code = 0,
        .publisher_pid = 0,
        .reader = .init(control, &page, 2, .newest, 0),
        .frame_sleepers = .{ .channel = &page.frames },
        .packet_sleepers = undefined,
    };
    control.slots[0].generation = 1;
    subscriber.reader.setMemory(0, 1);
    var view: FrameView = undefined;
    try testing.expectError(error.Protocol, subscriber.tryNext(&view));

    control.newest = layout.Ticket.none;
    try testing.expectEqual(.none, try subscriber.tryNext(&view));
    var buffer: [@sizeOf(protocol.Released) + 1]u8 = undefined;
    const told = linux.recvfrom(ends[1], &buffer, buffer.len, linux.MSG.DONTWAIT, null, null);
    try testing.expectEqual(.SUCCESS, linux.errno(told));
    try testing.expect(protocol.parse(protocol.Released, .released, buffer[0..told]) != null);
    const again = linux.recvfrom(ends[1], &buffer, buffer.len, linux.MSG.DONTWAIT, null, null);
    try testing.expectEqual(.AGAIN, linux.errno(again));
}
