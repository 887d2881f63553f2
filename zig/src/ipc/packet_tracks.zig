//! This file publishes encoded packets: in the ring that subscribers map, and in its named mirror in /dev/shm.

const std = @import("std");
const errors = @import("../core/mod.zig").errors;
const packets = @import("../ring/mod.zig").packets;
const memfd = @import("../os/mod.zig").memfd;
const os_fd = @import("../os/mod.zig").fd;
const socket = @import("../os/mod.zig").socket;
const directory = @import("../os/mod.zig").directory;
const protocol = @import("protocol.zig");
const reactor = @import("reactor.zig");
const admission = @import("admission.zig");
const Publisher = @import("publisher.zig").Publisher;
const Error = errors.Error;

/// What a packet ring is to be.
pub const PacketOptions = extern struct {
    /// Packets that it remembers, 1 to PACKETS_MAX.
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

pub const PacketRing = struct {
    fd: i32,
    region: []align(std.heap.page_size_min) u8,
    writer: packets.Writer,
    codec_id: u32,
    published: u64 = 0,
    mirror: ?Mirror,

    pub fn deinit(ring: *PacketRing) void {
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
            error.AlreadyExists => return errors.fail(
                error.AlreadyExists,
                "another publisher's packets are in {s}",
                .{path.slice()},
            ),
            else => return failure,
        };
        // Left by a publisher that was killed, or made just now. Never reused: whoever made it may still write to it.
        stale.release(&path);
        const lock: directory.Lock = try .createNew(&path, 0o640);
        errdefer lock.release(&path);
        try memfd.reserve(lock.fd, size, path.slice());
        const region = try memfd.map(lock.fd, size, .read_write);
        return .{
            .path = path,
            .lock = lock,
            .region = region,
            .writer = packets.Writer.init(region, options) catch unreachable,
        };
    }

    fn deinit(mirror: *Mirror) void {
        mirror.writer.shutdown();
        memfd.unmap(mirror.region);
        mirror.lock.release(&mirror.path);
    }
};

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
            "a packet ring of {d} slots and {d} bytes with packets of up to {d}: it must have 1 to {d} slots and " ++
                "room for its largest packet",
            .{ options.ring_slots, options.data_size, options.max_packet_size, packets.ring_slots_max },
        );
    };
    if (publisher.packet_ring != null) return errors.fail(
        error.AlreadyExists,
        "this publisher has a packet ring already",
        .{},
    );

    const fd = try memfd.create("cuframes-packets", size);
    errdefer os_fd.close(fd);
    const region = try memfd.map(fd, size, .read_write);
    errdefer memfd.unmap(region);
    try memfd.seal(fd, .no_future_writers);
    const mirror: ?Mirror = if (wanted.named != 0) try .create(publisher.keyText(), options, size) else null;

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
    var indexes = admission.indexesOf(publisher.subscribers.active);
    while (indexes.next()) |index| {
        const subscriber = &publisher.connections[index];
        if (subscriber.wants & protocol.want_packets == 0) continue;
        socket.send(
            subscriber.fd,
            std.mem.asBytes(&message),
            &.{fd},
        ) catch admission.dismiss(publisher, @intCast(index));
    }
}

fn packetRing(publisher: *Publisher) Error!*PacketRing {
    if (publisher.packet_ring) |*ring| return ring;
    return errors.fail(error.NoPacketRing, "this publisher has no packet ring: call enablePackets first", .{});
}

pub fn setExtradata(publisher: *Publisher, bytes: []const u8) Error!void {
    const ring = try packetRing(publisher);
    ring.writer.setCodecExtradata(bytes) catch {
        return errors.fail(
            error.InvalidArgument,
            "{d} bytes of codec parameters: at most {d}",
            .{ bytes.len, packets.extradata_size_max },
        );
    };
    if (ring.mirror) |*mirror| mirror.writer.setCodecExtradata(bytes) catch unreachable;
}

pub fn publishPacket(publisher: *Publisher, payload: []const u8, record: *PacketRecord) Error!void {
    const ring = try packetRing(publisher);
    record.sequence = ring.writer.write(
        payload,
        record.timestamp_ns,
        record.decode_timestamp_ns,
        record.flags,
    ) catch |failure| switch (failure) {
        error.PacketOversized => return errors.fail(
            error.PacketOversized,
            "a packet of {d} bytes: this ring takes at most {d} (maxPacketSize)",
            .{ payload.len, ring.writer.max_packet_size },
        ),
        error.InvalidArgument => return errors.fail(
            error.InvalidArgument,
            "a packet must have at least one byte and only known flags",
            .{},
        ),
    };
    if (ring.mirror) |*mirror| {
        _ = mirror.writer.write(
            payload,
            record.timestamp_ns,
            record.decode_timestamp_ns,
            record.flags,
        ) catch unreachable;
    }
    publisher.mutex.lock();
    defer publisher.mutex.unlock();
    ring.published += 1;
    publisher.subscribers.notifyPackets();
}
