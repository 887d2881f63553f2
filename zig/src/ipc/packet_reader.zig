//! A packet reader follows the packet ring of one connection, which the publisher may still have to make.

const std = @import("std");
const errors = @import("../core/mod.zig").errors;
const packets = @import("../ring/mod.zig").packets;
const channel = @import("../ring/mod.zig").channel;
const clock = @import("../os/mod.zig").clock;
const protocol = @import("protocol.zig");
const taking = @import("taking.zig");
const waiters = @import("waiter.zig");
const event_loop = @import("event_loop.zig");
const Waiter = waiters.Waiter;
const Subscriber = @import("subscriber.zig").Subscriber;
const Error = errors.Error;

const allocator = std.heap.c_allocator;

/// A packet that can be copied.
pub const PacketView = extern struct {
    timestamp_ns: i64,
    decode_timestamp_ns: i64,
    /// The packet's number, from 0.
    sequence: u64,
    /// Bytes of the packet.
    size: u32,
    /// Flags of a packet.
    flags: u32,
};

/// A packet reader's counters.
pub const PacketStats = extern struct {
    /// Packets delivered.
    received: u64,
    /// Packets that were overwritten before they could be read.
    lost: u64,
    /// Published after the last packet delivered.
    lag: u64,
    /// FFmpeg's AVCodecID; 0 while there is no ring.
    codec_id: u32,
    reserved: u32 = 0,
};

/// One reader of a connection's packet ring, which may still be to come. Keeps the connection's mappings alive.
pub const PacketReader = struct {
    references: u32 = 1,
    subscriber: *Subscriber,
    /// Written once by the owner's thread, before `begun`.
    ring: packets.Reader = undefined,
    since_connection: bool,
    begun: bool = false,
    received: u64 = 0,
    /// Atomic copy of the reader's position, for the waiting thread.
    awaited: u64 = 0,
    closing: bool = false,
    /// Of the waiter's thread, and where the reader was at its last look.
    pace: channel.Pace = .{},
    waiter_position: u64 = 0,
    waiter: Waiter = .{},

    /// `wait`: where there is no ring yet, `next` waits for it. `since_connection`: begins at the packet that was the
    /// last key packet when the connection was made, not at the one that is it now.
    pub fn open(subscriber: *Subscriber, wait: bool, since_connection: bool) Error!*PacketReader {
        if (subscriber.wants & protocol.want_packets == 0) {
            return errors.fail(error.NoPacketRing, "this subscriber did not ask for packets", .{});
        }
        const reader = allocator.create(PacketReader) catch return errors.fail(
            error.OutOfMemory,
            "no memory for a packet reader",
            .{},
        );
        errdefer allocator.destroy(reader);
        reader.* = .{ .subscriber = subscriber, .since_connection = since_connection };
        if (!try reader.begin() and !wait) return noPacketRing();
        subscriber.ref();
        return reader;
    }

    fn noPacketRing() Error {
        return errors.fail(
            error.NoPacketRing,
            "the publisher has no packet ring: it has not called enablePackets",
            .{},
        );
    }

    /// Whether the ring is there and can be read. Io, OutOfMemory: it has come, and this process had no room for it.
    fn begin(reader: *PacketReader) Error!bool {
        if (reader.begun) return true;
        switch (reader.subscriber.packetsNow()) {
            .absent => return false,
            .ready => {},
            .no_descriptor => return errors.fail(
                error.Io,
                "the packet ring came while this process had no file descriptor left for it (ulimit -n): close " ++
                    "some and connect again",
                .{},
            ),
            .no_memory => return errors.fail(
                error.OutOfMemory,
                "the packet ring came while this process had no room in memory to map it: make some and connect again",
                .{},
            ),
        }
        reader.ring = packets.Reader.init(reader.subscriber.packet_region) catch {
            return errors.fail(error.Protocol, "the publisher's packet ring is malformed", .{});
        };
        if (reader.since_connection) reader.ring.next = reader.subscriber.packets_since;
        @atomicStore(u64, &reader.awaited, reader.ring.next, .seq_cst);
        @atomicStore(bool, &reader.begun, true, .seq_cst);
        return true;
    }

    /// Describes the next packet, waiting for it until the deadline. `copy` takes it.
    pub fn next(reader: *PacketReader, timeout_ms: i32, view: *PacketView) Error!void {
        const deadline: clock.Deadline = .fromMilliseconds(timeout_ms);
        var pace: channel.Pace = .{};
        while (true) {
            if (try reader.tryNext(view)) return;
            if (timeout_ms == 0) return error.WouldBlock;
            if (deadline.passed()) return error.Timeout;
            _ = reader.subscriber.packet_sleepers.wait(&pace, reader, hasNews, deadline);
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
            const peeked: packets.Peek = if (try reader.begin()) reader.ring.peek() else .empty;
            if (reader.begun) @atomicStore(u64, &reader.awaited, reader.ring.next, .seq_cst);
            switch (peeked) {
                .packet => |packet| {
                    attempt.view.* = .{
                        .timestamp_ns = packet.pts_ns,
                        .decode_timestamp_ns = packet.dts_ns,
                        .sequence = packet.sequence,
                        .size = packet.size,
                        .flags = packet.flags,
                    };
                    return .taken;
                },
                .empty => return .none,
                .overrun => return reader.overrun(),
                .disconnected => return .over,
            }
        }
    };

    fn overrun(reader: *PacketReader) Error {
        @atomicStore(u64, &reader.subscriber.page.packets_lost, reader.ring.lost, .monotonic);
        return errors.fail(
            error.PacketOverrun,
            "this reader was overtaken and lost packets ({d} so far); it goes on at the next key packet",
            .{reader.ring.lost},
        );
    }

    pub fn copy(reader: *PacketReader, destination: []u8) Error!void {
        if (!reader.begun) return noPacketRing();
        reader.ring.copy(destination) catch |failure| switch (failure) {
            error.PacketOverrun => return reader.overrun(),
            error.InvalidArgument => return errors.fail(
                error.InvalidArgument,
                "{d} bytes are not the size of the next packet",
                .{destination.len},
            ),
        };
        @atomicStore(u64, &reader.awaited, reader.ring.next, .seq_cst);
        reader.received += 1;
        @atomicStore(u64, &reader.subscriber.page.packets_received, reader.received, .monotonic);
    }

    pub fn extradata(reader: *PacketReader, destination: *[packets.extradata_size_max]u8) Error!usize {
        if (!try reader.begin()) return noPacketRing();
        const bytes = reader.ring.extradata(destination) catch |failure| switch (failure) {
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

    pub fn stats(reader: *PacketReader) Error!PacketStats {
        if (!try reader.begin()) return std.mem.zeroes(PacketStats);
        return .{
            .received = reader.received,
            .lost = reader.ring.lost,
            .lag = reader.ring.lag(),
            .codec_id = reader.ring.codec_id,
        };
    }

    fn hasNews(reader: *PacketReader) bool {
        if (@atomicLoad(bool, &reader.closing, .seq_cst)) return true;
        if (reader.subscriber.isDisconnected()) return true;
        if (!@atomicLoad(bool, &reader.begun, .seq_cst)) return reader.subscriber.packetsNow() != .absent;
        return reader.ring.hasNewsFrom(@atomicLoad(u64, &reader.awaited, .seq_cst));
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
        const position = @atomicLoad(u64, &reader.awaited, .seq_cst);
        if (position != reader.waiter_position) reader.pace.reset();
        reader.waiter_position = position;
        const woken = reader.subscriber.packet_sleepers.wait(&reader.pace, reader, hasNews, .never);
        std.debug.assert(woken);
    }

    pub fn close(reader: *PacketReader) void {
        @atomicStore(bool, &reader.closing, true, .seq_cst);
        reader.waiter.stop();
        reader.subscriber.packet_sleepers.interrupt();
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
        reader.subscriber.unref();
        allocator.destroy(reader);
    }
};
