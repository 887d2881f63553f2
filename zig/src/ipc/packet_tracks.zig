//! This file publishes encoded packets: on tracks, each in a ring that subscribers map, and in the named mirror of the
//! first in /dev/shm.

const std = @import("std");
const errors = @import("../core/mod.zig").errors;
const packets = @import("../ring/mod.zig").packets;
const memfd = @import("../os/mod.zig").memfd;
const os_fd = @import("../os/mod.zig").fd;
const directory = @import("../os/mod.zig").directory;
const folders = @import("../os/mod.zig").folder;
const protocol = @import("protocol.zig");
const reactor = @import("reactor.zig");
const track_info = @import("track.zig");
const admission = @import("admission.zig");
const Publisher = @import("publisher.zig").Publisher;
const TrackInfo = track_info.TrackInfo;
const tracks_max = track_info.tracks_max;
const Error = errors.Error;

/// What a track and its ring are to be.
pub const PacketOptions = extern struct {
    /// What the packets are. Its generation is counted by the publisher.
    track: TrackInfo,
    /// Packets that the ring remembers, 1 to PACKETS_MAX.
    ring_slots: u32,
    /// Bytes of them together, at most 1 GiB.
    data_size: u32,
    /// Bytes of one, 1 to `data_size`.
    max_packet_size: u32,
    /// 1: also as /dev/shm/cuframes-<key>-packets, which track 0 alone can be.
    named: u32,
    reserved: u32,
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

/// The tracks of a publisher, by their numbers. Changed by the owner's thread alone, with the publisher's mutex held.
pub const Tracks = struct {
    items: [tracks_max]Track = undefined,
    count: u32 = 0,

    pub fn all(tracks: *Tracks) []Track {
        return tracks.items[0..tracks.count];
    }

    pub fn published(tracks: *const Tracks) u64 {
        var sum: u64 = 0;
        for (tracks.items[0..tracks.count]) |*track| sum += track.published;
        return sum;
    }

    pub fn deinit(tracks: *Tracks) void {
        for (tracks.all()) |*track| track.ring.deinit();
        tracks.count = 0;
    }
};

/// One track, and the ring that its packets go to now.
pub const Track = struct {
    info: TrackInfo,
    ring: PacketRing,
    /// Packets that earlier rings had.
    base: u64 = 0,
    published: u64 = 0,
    bytes: u64 = 0,

    /// As a subscriber is told of it, now.
    pub fn describe(track: *const Track) protocol.TrackRing {
        const reader = packets.Reader.init(track.ring.region) catch unreachable; // a ring of our own
        return .{ .size = track.ring.region.len, .base = track.base, .cursor = reader.next, .info = track.info };
    }

    pub fn report(track: *const Track) protocol.ReportTrack {
        return .{ .published = track.published, .bytes = track.bytes, .info = track.info };
    }
};

const PacketRing = struct {
    fd: i32,
    region: []align(std.heap.page_size_min) u8,
    writer: packets.Writer,
    mirror: ?Mirror,

    /// Without its mirror.
    fn create(options: packets.Options, size: usize) Error!PacketRing {
        const fd = try memfd.create("cuframes-packets", size);
        errdefer os_fd.close(fd);
        const region = try memfd.mapNew(fd, size);
        errdefer memfd.unmap(region);
        try memfd.seal(fd, .no_future_writers);
        const writer = packets.Writer.init(region, options) catch unreachable; // its size was accepted
        return .{ .fd = fd, .region = region, .writer = writer, .mirror = null };
    }

    fn setExtradata(ring: *PacketRing, bytes: []const u8) error{InvalidArgument}!void {
        try ring.writer.setCodecExtradata(bytes);
        if (ring.mirror) |*mirror| mirror.writer.setCodecExtradata(bytes) catch unreachable; // of the same geometry
    }

    /// Says that nothing follows in it.
    fn end(ring: *PacketRing) void {
        ring.writer.shutdown();
    }

    fn deinit(ring: *PacketRing) void {
        ring.end();
        if (ring.mirror) |*mirror| mirror.deinit();
        memfd.unmap(ring.region);
        os_fd.close(ring.fd);
    }
};

/// A packet ring once more, under a name. A named file cannot be sealed, so it is never what subscribers map.
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

/// Adds a track, and has the reactor hand its ring to the subscribers that are there. Returns its number.
pub fn addTrack(publisher: *Publisher, wanted: *const PacketOptions) Error!u32 {
    const index = publisher.tracks.count;
    if (index == tracks_max) return errors.fail(
        error.WouldBlock,
        "this publisher has {d} tracks, the most there can be",
        .{tracks_max},
    );
    var ring = try createRing(publisher, wanted, index);
    errdefer ring.deinit();
    try addMirror(publisher, &ring, wanted);
    var info = wanted.track;
    info.generation = 1;
    info.index = index;

    publisher.mutex.lock();
    publisher.tracks.items[index] = .{ .info = info, .ring = ring };
    publisher.tracks.count += 1;
    handOver(publisher, @intCast(index));
    publisher.mutex.unlock();
    publisher.owed.post();
    return index;
}

/// Lets a track go on with other packets than it had so far, in another ring: readers are told between the last packet
/// of the one and the first of the other.
pub fn configureTrack(publisher: *Publisher, index: u32, wanted: *const PacketOptions) Error!void {
    const track = try trackOf(publisher, index);
    if (wanted.track.kind != track.info.kind) return errors.fail(
        error.InvalidArgument,
        "track {d} stays of its kind: add another for packets of another kind",
        .{index},
    );
    var ring = try createRing(publisher, wanted, index);
    errdefer ring.deinit();
    var info = wanted.track;
    info.generation = track.info.generation +% 1;
    if (info.generation == 0) info.generation = 1;
    info.index = index;
    // Its name is the next one's.
    if (track.ring.mirror) |*mirror| mirror.deinit();
    track.ring.mirror = null;
    try addMirror(publisher, &ring, wanted);

    var before = track.ring;
    {
        // The reactor hands descriptors over: it is not to be closed meanwhile.
        reactor.lock();
        defer reactor.unlock();
        publisher.mutex.lock();
        defer publisher.mutex.unlock();
        before.end();
        track.ring = ring;
        track.info = info;
        track.base = track.published;
        handOver(publisher, @intCast(index));
    }
    before.deinit();
    publisher.owed.post();
}

/// With the publisher's mutex held.
fn handOver(publisher: *Publisher, index: u3) void {
    var indexes = admission.indexesOf(publisher.subscribers.active);
    while (indexes.next()) |subscriber| {
        const connection = &publisher.connections[subscriber];
        if (connection.wants & protocol.want_packets != 0) connection.out.oweTrack(index);
    }
}

fn createRing(publisher: *const Publisher, wanted: *const PacketOptions, index: u32) Error!PacketRing {
    const options: packets.Options = optionsOf(publisher, wanted);
    const size = packets.regionSize(options) catch {
        return errors.fail(
            error.InvalidArgument,
            "a packet ring of {d} slots and {d} bytes with packets of up to {d}: it must have 1 to {d} slots and " ++
                "room for its largest packet",
            .{ options.ring_slots, options.data_size, options.max_packet_size, packets.ring_slots_max },
        );
    };
    if (std.enums.fromInt(track_info.Kind, wanted.track.kind) == null) return errors.fail(
        error.InvalidArgument,
        "a track of kind {d}: there is none",
        .{wanted.track.kind},
    );
    if (wanted.extradata_size > packets.extradata_size_max) return tooMuchExtradata(wanted.extradata_size);
    if (wanted.named != 0 and index != 0) return errors.fail(
        error.InvalidArgument,
        "track {d} cannot have a name in /dev/shm: those who look there know of one track",
        .{index},
    );
    var ring: PacketRing = try .create(options, size);
    ring.setExtradata(wanted.extradata[0..wanted.extradata_size]) catch unreachable; // its size fits
    return ring;
}

fn optionsOf(publisher: *const Publisher, wanted: *const PacketOptions) packets.Options {
    return .{
        .ring_slots = wanted.ring_slots,
        .data_size = wanted.data_size,
        .max_packet_size = wanted.max_packet_size,
        .codec_id = wanted.track.codec_id,
        .producer_pid = publisher.control.publisher_pid,
    };
}

fn addMirror(publisher: *const Publisher, ring: *PacketRing, wanted: *const PacketOptions) Error!void {
    if (wanted.named == 0) return;
    ring.mirror = try .create(publisher.keyText(), optionsOf(publisher, wanted), ring.region.len);
    ring.mirror.?.writer.setCodecExtradata(wanted.extradata[0..wanted.extradata_size]) catch unreachable;
}

fn trackOf(publisher: *Publisher, index: u32) Error!*Track {
    if (index < publisher.tracks.count) return &publisher.tracks.items[index];
    return errors.fail(error.NoPacketRing, "this publisher has no track {d}: call addTrack first", .{index});
}

/// Replaces what readers of a track are given with its codec.
pub fn setExtradata(publisher: *Publisher, index: u32, bytes: []const u8) Error!void {
    const track = try trackOf(publisher, index);
    track.ring.setExtradata(bytes) catch return tooMuchExtradata(bytes.len);
}

fn tooMuchExtradata(size: usize) Error {
    return errors.fail(
        error.InvalidArgument,
        "a codec description of {d} bytes: it has at most {d}",
        .{ size, packets.extradata_size_max },
    );
}

pub fn publishPacket(publisher: *Publisher, index: u32, payload: []const u8, record: *PacketRecord) Error!void {
    const track = try trackOf(publisher, index);
    const ring = &track.ring;
    const sequence = ring.writer.write(
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
    record.sequence = track.base + sequence;
    publisher.mutex.lock();
    defer publisher.mutex.unlock();
    track.published += 1;
    track.bytes += payload.len;
    publisher.subscribers.notifyPackets(index);
}
