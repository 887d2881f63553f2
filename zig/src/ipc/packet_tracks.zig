//! This file publishes encoded packets: in the ring that subscribers map, and in its named mirror in /dev/shm.

const std = @import("std");
const errors = @import("../core/mod.zig").errors;
const packets = @import("../ring/mod.zig").packets;
const memfd = @import("../os/mod.zig").memfd;
const os_fd = @import("../os/mod.zig").fd;
const directory = @import("../os/mod.zig").directory;
const folders = @import("../os/mod.zig").folder;
const protocol = @import("protocol.zig");
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
    /// Bytes of `extradata` that are used; 0: there is none yet.
    extradata_size: u32,
    /// What readers are given from the beginning; cuframes_publisher_set_extradata replaces it.
    extradata: [packets.extradata_size_max]u8,
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

    fn setExtradata(ring: *PacketRing, bytes: []const u8) error{InvalidArgument}!void {
        try ring.writer.setCodecExtradata(bytes);
        if (ring.mirror) |*mirror| mirror.writer.setCodecExtradata(bytes) catch unreachable; // of the same geometry
    }

    pub fn deinit(ring: *PacketRing) void {
        ring.writer.shutdown();
        if (ring.mirror) |*mirror| mirror.deinit();
        memfd.unmap(ring.region);
        os_fd.close(ring.fd);
    }
};

/// The packet ring once more, under a name. A named file cannot be sealed, so it is never what subscribers map.
const Mirror = struct {
    folder: folders.Folder,
    name: directory.Path,
    fd: i32,
    region: []align(std.heap.page_size_min) u8,
    writer: packets.Writer,

    fn create(key: []const u8, options: packets.Options, size: usize) Error!Mirror {
        const folder: folders.Folder = try .open(&try .init("/dev/shm", .{}));
        errdefer folder.close();
        const name: directory.Path = try .init("cuframes-{s}-packets", .{key});
        const fd = try takeName(&folder, &name);
        errdefer removeAndClose(&folder, &name, fd);
        try memfd.reserve(fd, size, name.slice());
        const region = try memfd.map(fd, size, .read_write);
        return .{
            .folder = folder,
            .name = name,
            .fd = fd,
            .region = region,
            .writer = packets.Writer.init(region, options) catch unreachable,
        };
    }

    /// A new file, locked for writing, which only its owner can do: publishers of one key in two runtime directories
    /// share the name. What a publisher has left that was killed is never reused: whoever made it may still write to
    /// it.
    fn takeName(folder: *const folders.Folder, name: *const directory.Path) Error!i32 {
        for (0..attempts_max) |_| {
            if (try folder.create(name, 0o640)) |fd| {
                if (os_fd.lockForWriting(fd) and folder.has(name, try .ofDescriptor(fd, name.slice()))) return fd;
                // Somebody took it for a dead publisher's, or reads it with a lock; what is left is for the next turn.
                removeAndClose(folder, name, fd);
                continue;
            }
            const status = try folder.look(name) orelse continue;
            const fd = try folder.openFile(name, &status, .RDONLY) orelse continue;
            defer os_fd.close(fd);
            if (os_fd.isLockedForWriting(fd)) return errors.fail(
                error.AlreadyExists,
                "another publisher's packets are in {s}/{s}",
                .{ folder.path.slice(), name.slice() },
            );
            switch (folder.remove(name, .of(&status))) {
                .SUCCESS, .NOENT => {},
                else => |errno| return folder.failErrno(errno, "unlink", name),
            }
        }
        return errors.fail(
            error.Io,
            "{s}/{s} is being replaced again and again by another process",
            .{ folder.path.slice(), name.slice() },
        );
    }

    fn removeAndClose(folder: *const folders.Folder, name: *const directory.Path, fd: i32) void {
        if (folders.Identity.ofDescriptor(fd, name.slice())) |identity| {
            _ = folder.remove(name, identity);
        } else |_| {}
        os_fd.close(fd);
    }

    fn deinit(mirror: *Mirror) void {
        mirror.writer.shutdown();
        memfd.unmap(mirror.region);
        removeAndClose(&mirror.folder, &mirror.name, mirror.fd);
        mirror.folder.close();
    }
};

/// How often others may get in between before that is an error.
const attempts_max = 16;

/// Makes the packet ring, and has the reactor hand it to the subscribers that are there.
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
    if (wanted.extradata_size > packets.extradata_size_max) return tooMuchExtradata(wanted.extradata_size);
    if (publisher.packet_ring != null) return errors.fail(
        error.AlreadyExists,
        "this publisher has a packet ring already",
        .{},
    );

    const fd = try memfd.create("cuframes-packets", size);
    errdefer os_fd.close(fd);
    const region = try memfd.mapNew(fd, size);
    errdefer memfd.unmap(region);
    try memfd.seal(fd, .no_future_writers);
    const mirror: ?Mirror = if (wanted.named != 0) try .create(publisher.keyText(), options, size) else null;

    {
        publisher.mutex.lock();
        defer publisher.mutex.unlock();
        publisher.packet_ring = .{
            .fd = fd,
            .region = region,
            .writer = packets.Writer.init(region, options) catch unreachable, // regionSize accepted them
            .codec_id = options.codec_id,
            .mirror = mirror,
        };
        // Its size fits.
        publisher.packet_ring.?.setExtradata(wanted.extradata[0..wanted.extradata_size]) catch unreachable;
        var indexes = admission.indexesOf(publisher.subscribers.active);
        while (indexes.next()) |index| {
            const subscriber = &publisher.connections[index];
            if (subscriber.wants & protocol.want_packets != 0) subscriber.out.owed.packets = true;
        }
    }
    publisher.owed.post();
}

fn packetRing(publisher: *Publisher) Error!*PacketRing {
    if (publisher.packet_ring) |*ring| return ring;
    return errors.fail(error.NoPacketRing, "this publisher has no packet ring: call enablePackets first", .{});
}

pub fn setExtradata(publisher: *Publisher, bytes: []const u8) Error!void {
    const ring = try packetRing(publisher);
    ring.setExtradata(bytes) catch return tooMuchExtradata(bytes.len);
}

fn tooMuchExtradata(size: usize) Error {
    return errors.fail(
        error.InvalidArgument,
        "a codec description of {d} bytes: it has at most {d}",
        .{ size, packets.extradata_size_max },
    );
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
