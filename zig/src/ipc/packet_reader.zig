//! A packet reader follows one track of a connection, from ring to ring; the publisher may still have to make it.

const std = @import("std");
const errors = @import("../core/mod.zig").errors;
const packets = @import("../ring/mod.zig").packets;
const channel = @import("../ring/mod.zig").channel;
const clock = @import("../os/mod.zig").clock;
const Identity = @import("../os/mod.zig").folder.Identity;
const Mutex = @import("../os/mod.zig").mutex.Mutex;
const protocol = @import("protocol.zig");
const reactor = @import("reactor.zig");
const taking = @import("taking.zig");
const texts = @import("text.zig");
const tracks = @import("track.zig");
const track_table = @import("track_table.zig");
const waiters = @import("waiter.zig");
const event_loop = @import("event_loop.zig");
const Ring = track_table.Ring;
const Waiter = waiters.Waiter;
const Subscriber = @import("subscriber.zig").Subscriber;
const Error = errors.Error;

const allocator = std.heap.c_allocator;

/// Where a reader begins.
pub const Since = enum(u32) {
    /// At what is the last key packet now.
    key,
    /// At the oldest key packet that can be read.
    oldest,
    /// At the last key packet that is at least `ago_ns` older than the newest packet.
    ago,
    /// At the first key packet to come.
    upcoming,
    /// At what was the last key packet when the connection was made: every packet from there on is delivered or counted
    /// as lost.
    connection,
};

/// What a packet reader is to read. Text is NUL-padded.
pub const PacketReaderOptions = extern struct {
    /// The track's number; TRACK_ANY: the first that is of `kind` and `label`.
    track: u32,
    /// A kind of track; 0: any.
    kind: u32,
    since: u32,
    /// 1: where the track is still to come, cuframes_packet_reader_next waits for it; 0: NO_PACKET_RING.
    wait: u32,
    /// For Since.ago.
    ago_ns: u64,
    /// The handle of a reader of an earlier connection, which this one goes on from: behind it where the publisher is
    /// the same, at its first packet where it is another; 0: there is none.
    after: u32,
    reserved: u32,
    /// Empty: any.
    label: [tracks.label_size]u8,
};

/// For PacketReaderOptions.track.
pub const track_any: u32 = std.math.maxInt(u32);

/// A packet that can be copied.
pub const PacketView = extern struct {
    timestamp_ns: i64,
    decode_timestamp_ns: i64,
    /// The packet's number on its track, from 0.
    sequence: u64,
    /// Bytes of the packet.
    size: u32,
    /// Flags of a packet.
    flags: u32,
    /// Of the track that it belongs to: when this changes, so has what cuframes_packet_reader_track says.
    generation: u32,
    reserved: u32 = 0,
};

/// A packet reader's counters.
pub const PacketStats = extern struct {
    /// Packets delivered.
    received: u64,
    /// Packets that were overwritten before they could be read.
    lost: u64,
    /// Published after the last packet delivered.
    lag: u64,
    /// FFmpeg's AVCodecID; 0 while there is no such track.
    codec_id: u32,
    reserved: u32 = 0,
};

/// Where a reader of an earlier connection was.
const Position = struct { identity: Identity, next: u64, position: packets.Reader.Position };

/// One reader of a track. Keeps the connection alive.
pub const PacketReader = struct {
    references: u32 = 1,
    subscriber: *Subscriber,
    track: u32,
    kind: ?tracks.Kind,
    label: [tracks.label_size]u8,
    since: Since,
    ago_ns: u63,
    after: ?Position,
    /// Whether the track was not there at first.
    has_waited: bool = false,
    /// Changed by the owner's thread, with the mutex held, which lets the waiting thread look.
    mutex: Mutex = .{},
    ring: ?*Ring = null,
    packets: packets.Reader = undefined,
    /// Atomic. Every packet of the ring was delivered, it has ended, and the next one is to come.
    drained: bool = false,
    /// Atomic. Changes of the table of tracks that were looked at.
    seen: u32 = 0,
    /// Atomic. The track's number, once it is known.
    index: u32 = 0,
    received: u64 = 0,
    /// Those of the rings before, and those between two rings.
    lost_before: u64 = 0,
    lost_told: u64 = 0,
    /// Atomic copy of the reader's position, for the waiting thread.
    awaited: u64 = 0,
    closing: bool = false,
    /// Of the waiter's thread, and where the reader was at its last look.
    pace: channel.Pace = .{},
    waiter_position: u64 = 0,
    waiter: Waiter = .{},

    pub fn open(
        subscriber: *Subscriber,
        options: *const PacketReaderOptions,
        after: ?*const PacketReader,
    ) Error!*PacketReader {
        if (subscriber.wants & protocol.want_packets == 0) {
            return errors.fail(error.NoPacketRing, "this subscriber did not ask for packets", .{});
        }
        const since = std.enums.fromInt(Since, options.since);
        const kind = std.enums.fromInt(tracks.Kind, options.kind);
        const track_possible = options.track == track_any or options.track < tracks.tracks_max;
        const kind_possible = kind != null or options.kind == 0;
        const is_possible = track_possible and kind_possible and since != null and
            options.ago_ns <= std.math.maxInt(u63);
        if (!is_possible) return impossible();
        const reader = allocator.create(PacketReader) catch return errors.fail(
            error.OutOfMemory,
            "no memory for a packet reader",
            .{},
        );
        errdefer allocator.destroy(reader);
        reader.* = .{
            .subscriber = subscriber,
            .track = options.track,
            .kind = kind,
            .label = options.label,
            .since = since.?,
            .ago_ns = @intCast(options.ago_ns),
            .after = if (after) |earlier| earlier.position() else null,
        };
        errdefer reader.releaseRing();
        if (!try reader.begin() and options.wait == 0) return reader.noTrack();
        reader.has_waited = reader.ring == null;
        subscriber.ref();
        return reader;
    }

    fn impossible() Error {
        return errors.fail(error.InvalidArgument, "there can be no such reader of packets", .{});
    }

    fn noTrack(reader: *const PacketReader) Error {
        if (reader.track != track_any) return errors.fail(
            error.NoPacketRing,
            "the publisher has no track {d}: wait for it, or see which tracks there are",
            .{reader.track},
        );
        return errors.fail(
            error.NoPacketRing,
            "the publisher has no packet ring{s}{s}{s}{s}: it has not called enablePackets or addTrack",
            .{
                if (reader.kind) |_| " of kind " else "",
                if (reader.kind) |kind| @tagName(kind) else "",
                if (texts.of(&reader.label).len > 0) " with the label " else "",
                texts.of(&reader.label),
            },
        );
    }

    fn position(reader: *const PacketReader) ?Position {
        // One that waited for a track in vain has missed nothing of the next publisher's either.
        const ring = reader.ring orelse return reader.after;
        return .{ .identity = ring.identity, .next = reader.packets.next, .position = reader.packets.position };
    }

    /// Whether the track is there. Io, OutOfMemory: it has come, and this process had no room for it.
    fn begin(reader: *PacketReader) Error!bool {
        if (reader.ring != null) return true;
        const selector: tracks.Selector = .{
            .index = if (reader.track == track_any) null else reader.track,
            .kind = reader.kind,
            .label = texts.of(&reader.label),
        };
        const found = found: {
            reactor.lock();
            defer reactor.unlock();
            break :found reader.subscriber.tracks.find(&selector);
        };
        switch (found) {
            .none => return false,
            .lacking => |lack| return lacking(lack),
            .ring => |ring| {
                try reader.adopt(ring, reader.startIn(ring));
                return true;
            },
        }
    }

    fn startIn(reader: *const PacketReader, ring: *const Ring) packets.Reader.Start {
        if (reader.after) |earlier| {
            const is_same = earlier.identity.eql(ring.identity);
            if (is_same) return .{ .behind = .{ .next = earlier.next, .position = earlier.position } };
            return .{ .sequence = 0 };
        }
        return switch (reader.since) {
            .key => .key,
            .oldest => .oldest,
            .ago => .{ .ago = reader.ago_ns },
            .upcoming => if (reader.has_waited) .oldest else .upcoming,
            .connection => .{ .sequence = ring.cursor },
        };
    }

    /// Goes on in a ring, whose reference becomes the reader's.
    fn adopt(reader: *PacketReader, ring: *Ring, start: packets.Reader.Start) Error!void {
        var ring_reader = packets.Reader.init(ring.region) catch {
            reactor.lock();
            defer reactor.unlock();
            track_table.unref(ring);
            return errors.fail(error.Protocol, "the publisher's packet ring is malformed", .{});
        };
        ring_reader.begin(start);
        {
            reader.mutex.lock();
            defer reader.mutex.unlock();
            reader.ring = ring;
            reader.packets = ring_reader;
        }
        @atomicStore(u64, &reader.awaited, ring_reader.next, .seq_cst);
        @atomicStore(bool, &reader.drained, false, .seq_cst);
        if (@atomicRmw(u32, &reader.index, .Xchg, ring.index, .seq_cst) != ring.index) {
            // The waiting thread sleeps where the wrong track is told.
            reader.subscriber.interruptPackets();
        }
    }

    fn lacking(lack: track_table.Lack) Error {
        return switch (lack) {
            .none => unreachable,
            .descriptor => errors.fail(
                error.Io,
                "the packet ring came while this process had no file descriptor left for it (ulimit -n): close " ++
                    "some and connect again",
                .{},
            ),
            .memory => errors.fail(
                error.OutOfMemory,
                "the packet ring came while this process had no room in memory to map it: make some and connect again",
                .{},
            ),
        };
    }

    /// Describes the next packet, waiting for it until the deadline. `copy` takes it.
    pub fn next(reader: *PacketReader, timeout_ms: i32, view: *PacketView) Error!void {
        const deadline: clock.Deadline = .fromMilliseconds(timeout_ms);
        var pace: channel.Pace = .{};
        while (true) {
            if (try reader.tryNext(view)) return;
            if (timeout_ms == 0) return error.WouldBlock;
            if (deadline.passed()) return error.Timeout;
            const looking: Looking = .of(reader);
            _ = looking.sleepers().wait(&pace, looking, Looking.hasNews, deadline);
        }
    }

    fn tryNext(reader: *PacketReader, view: *PacketView) Error!bool {
        const attempt: Taking = .{ .reader = reader, .view = view };
        switch (try taking.takeOrEnd(attempt, Taking.isEnded, Taking.take)) {
            .taken => return true,
            .none, .not_now => return false,
            .over => {},
        }
        // Before the end of the connection, which it would be taken for.
        if (reader.subscriber.reader.isEvicted()) return reader.subscriber.evicted();
        return errors.fail(
            error.Disconnected,
            "the publisher has closed or died, and every packet it left was delivered: connect again, or with " ++
                "reconnect, for the next one",
            .{},
        );
    }

    const Taking = struct {
        reader: *PacketReader,
        view: *PacketView,

        fn isEnded(attempt: Taking) bool {
            return attempt.reader.subscriber.isDisconnected();
        }

        fn take(attempt: Taking) Error!taking.Attempt {
            const reader = attempt.reader;
            const changes = @atomicLoad(u32, &reader.subscriber.tracks.changes, .seq_cst);
            defer @atomicStore(u32, &reader.seen, changes, .seq_cst);
            if (!try reader.begin()) return .none;
            // A track can have changed as often as there are rings of it.
            for (0..track_table.rings_max + 1) |_| {
                const peeked = reader.packets.peek();
                @atomicStore(u64, &reader.awaited, reader.packets.next, .seq_cst);
                switch (peeked) {
                    .packet => |packet| {
                        attempt.describe(&packet);
                        return .taken;
                    },
                    .empty => return .none,
                    .overrun => return reader.overrun(),
                    .disconnected => if (!try reader.follow()) return .none,
                }
            }
            return .not_now;
        }

        fn describe(attempt: Taking, packet: *const packets.PacketInfo) void {
            const ring = attempt.reader.ring.?;
            attempt.view.* = .{
                .timestamp_ns = packet.pts_ns,
                .decode_timestamp_ns = packet.dts_ns,
                .sequence = ring.base +| packet.sequence,
                .size = packet.size,
                .flags = packet.flags,
                .generation = ring.info.generation,
            };
        }
    };

    /// Goes on in the next ring of the track, where it has come. PacketOverrun: rings between the two were passed over.
    fn follow(reader: *PacketReader) Error!bool {
        const before = reader.ring.?;
        const end = before.base +| reader.packets.next;
        const lost = reader.packets.lost;
        const found = found: {
            reactor.lock();
            defer reactor.unlock();
            // Under the mutex, since the old ring may go with it.
            reader.mutex.lock();
            defer reader.mutex.unlock();
            const found = reader.subscriber.tracks.follow(before);
            if (found == .ring) reader.ring = null;
            break :found found;
        };
        switch (found) {
            .none => {
                @atomicStore(bool, &reader.drained, true, .seq_cst);
                return false;
            },
            .lacking => |lack| return lacking(lack),
            .ring => |ring| {
                const gap = ring.base -| end;
                reader.lost_before +|= lost +| gap;
                try reader.adopt(ring, .{ .sequence = 0 });
                if (gap == 0) return true;
                reader.packets.interrupt();
                return reader.overrun();
            },
        }
    }

    /// Packets lost so far.
    fn lostSoFar(reader: *const PacketReader) u64 {
        return reader.lost_before +| if (reader.ring != null) reader.packets.lost else 0;
    }

    fn overrun(reader: *PacketReader) Error {
        const lost = reader.lostSoFar();
        reader.subscriber.countPackets(0, lost - reader.lost_told);
        reader.lost_told = lost;
        return errors.fail(
            error.PacketOverrun,
            "this reader was overtaken and lost packets ({d} so far); it goes on at the next key packet",
            .{lost},
        );
    }

    pub fn copy(reader: *PacketReader, destination: []u8) Error!void {
        if (reader.ring == null) return reader.noTrack();
        reader.packets.copy(destination) catch |failure| switch (failure) {
            error.PacketOverrun => return reader.overrun(),
            error.InvalidArgument => return errors.fail(
                error.InvalidArgument,
                "{d} bytes are not the size of the next packet",
                .{destination.len},
            ),
        };
        @atomicStore(u64, &reader.awaited, reader.packets.next, .seq_cst);
        reader.received += 1;
        reader.subscriber.countPackets(1, 0);
    }

    /// What the track is, at the packet that was described last.
    pub fn describe(
        reader: *PacketReader,
        info: *tracks.TrackInfo,
        extradata: *[packets.extradata_size_max]u8,
    ) Error!usize {
        if (!try reader.begin()) return reader.noTrack();
        info.* = reader.ring.?.info;
        return extradataOf(&reader.packets, extradata);
    }

    pub fn stats(reader: *PacketReader) Error!PacketStats {
        if (!try reader.begin()) return std.mem.zeroes(PacketStats);
        return .{
            .received = reader.received,
            .lost = reader.lostSoFar(),
            .lag = reader.packets.lag(),
            .codec_id = reader.ring.?.info.codec_id,
        };
    }

    /// A look for news, from any thread, of a track whose number is known or not.
    const Looking = struct {
        reader: *PacketReader,
        index: u32,

        fn of(reader: *PacketReader) Looking {
            return .{ .reader = reader, .index = @atomicLoad(u32, &reader.index, .seq_cst) };
        }

        fn sleepers(looking: Looking) *channel.Sleepers {
            return &looking.reader.subscriber.packet_sleepers[looking.index];
        }

        fn hasNews(looking: Looking) bool {
            return @atomicLoad(u32, &looking.reader.index, .seq_cst) != looking.index or looking.reader.hasNews();
        }
    };

    fn hasNews(reader: *PacketReader) bool {
        if (@atomicLoad(bool, &reader.closing, .seq_cst)) return true;
        if (reader.subscriber.isDisconnected()) return true;
        const changes = @atomicLoad(u32, &reader.subscriber.tracks.changes, .seq_cst);
        if (changes != @atomicLoad(u32, &reader.seen, .seq_cst)) return true;
        if (@atomicLoad(bool, &reader.drained, .seq_cst)) return false;
        reader.mutex.lock();
        defer reader.mutex.unlock();
        return reader.ring != null and reader.packets.hasNewsFrom(@atomicLoad(u64, &reader.awaited, .seq_cst));
    }

    pub fn arm(reader: *PacketReader, callback: event_loop.Callback, token: u32) Error!void {
        const owner: waiters.Owner = .{ .context = reader, .block = blockForPacket, .unref = unrefOpaque };
        if (try reader.waiter.arm(owner, callback, token)) {
            _ = @atomicRmw(u32, &reader.references, .Add, 1, .seq_cst);
        }
    }

    fn blockForPacket(context: *anyopaque) void {
        const reader: *PacketReader = @ptrCast(@alignCast(context));
        // A call back that led to no packet was in vain.
        const awaited = @atomicLoad(u64, &reader.awaited, .seq_cst);
        if (awaited != reader.waiter_position) reader.pace.reset();
        reader.waiter_position = awaited;
        while (!reader.hasNews()) {
            const looking: Looking = .of(reader);
            const woken = looking.sleepers().wait(&reader.pace, looking, Looking.hasNews, .never);
            std.debug.assert(woken);
        }
    }

    pub fn close(reader: *PacketReader) void {
        @atomicStore(bool, &reader.closing, true, .seq_cst);
        reader.waiter.stop();
        reader.subscriber.interruptPackets();
        reader.unref();
    }

    fn unrefOpaque(context: *anyopaque) void {
        const reader: *PacketReader = @ptrCast(@alignCast(context));
        reader.unref();
    }

    fn unref(reader: *PacketReader) void {
        const before = @atomicRmw(u32, &reader.references, .Sub, 1, .seq_cst);
        std.debug.assert(before >= 1);
        if (before != 1) return;
        std.debug.assert(reader.closing);
        reader.releaseRing();
        reader.subscriber.unref();
        allocator.destroy(reader);
    }

    fn releaseRing(reader: *PacketReader) void {
        const ring = reader.ring orelse return;
        reactor.lock();
        defer reactor.unlock();
        track_table.unref(ring);
    }
};

/// NoCodecParameters: the publisher has set none.
pub fn extradataOf(reader: *const packets.Reader, destination: *[packets.extradata_size_max]u8) Error!usize {
    const bytes = reader.extradata(destination) catch |failure| switch (failure) {
        error.NoCodecParameters => return errors.fail(
            error.NoCodecParameters,
            "the publisher has not set codec parameters",
            .{},
        ),
        error.Protocol => return errors.fail(
            error.Protocol,
            "the packet ring's codec parameters are malformed",
            .{},
        ),
    };
    return bytes.len;
}
