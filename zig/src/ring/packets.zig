//! The packet ring passes encoded access units from one writer to any number of readers, on shared memory.
//!
//! This file works on plain memory and makes no system call. It never blocks either side: the writer overwrites the
//! oldest packets, and a reader that is too slow is told that it lost some.
//!
//! The layout is that of packet protocol 2, little-endian, and other tools read it: no byte of it may move.

const std = @import("std");
const builtin = @import("builtin");
const barrier = @import("barrier.zig");
const assert = std.debug.assert;

pub const magic: u32 = 0xCC7C1DCD;
pub const version: u32 = 2;

/// No packet: in `Slot.seq` the slot is invalid, in `Header.global_seq` and `last_keyframe_seq` there is none yet.
pub const invalid_sequence: u64 = std.math.maxInt(u64);

/// Packets of a ring.
pub const ring_slots_max = 1024;
/// Bytes of codec parameters.
pub const extradata_size_max = 4096;
/// Bytes; some 18 minutes of a stream of 8 Mbit/s.
pub const data_size_max = 1 << 30;

pub const flag = struct {
    /// Decoding can start at this packet.
    pub const key: u32 = 1;
    /// Known to be damaged.
    pub const corrupt: u32 = 2;
    /// Packets are missing in front of this one.
    pub const discontinuity: u32 = 4;
    /// The last packet of its access unit.
    pub const last_in_au: u32 = 8;
    /// Decoded for those that refer to it, and not shown: FFmpeg's `AV_PKT_FLAG_DISCARD`.
    pub const discard: u32 = 16;

    pub const all: u32 = key | corrupt | discontinuity | last_in_au | discard;
};

pub const Header = extern struct {
    magic: u32,
    proto_version: u32,
    ring_slots: u32,
    data_size: u32,
    /// FFmpeg's `AVCodecID`.
    codec_id: u32,
    codec_extradata_size: u32,
    producer_pid: u64,
    /// Sequence of the newest packet.
    global_seq: u64,
    /// Sequence of the newest key packet.
    last_keyframe_seq: u64,
    /// Bytes of payload ever written; the next packet's `data_offset`.
    write_offset: u64,
    /// Not 0: no packet will follow.
    shutdown_flag: u64,
    /// Annex B parameter sets.
    codec_extradata: [extradata_size_max]u8,
};

pub const Slot = extern struct {
    seq: u64,
    pts_ns: i64,
    dts_ns: i64,
    /// Counted from the first byte ever written; the byte is at `data_offset` mod `Header.data_size`.
    data_offset: u64,
    data_size: u32,
    flags: u32,
    reserved: [24]u8,
};

comptime {
    const header = .{
        .{ "magic", 0x00 },             .{ "proto_version", 0x04 },
        .{ "ring_slots", 0x08 },        .{ "data_size", 0x0C },
        .{ "codec_id", 0x10 },          .{ "codec_extradata_size", 0x14 },
        .{ "producer_pid", 0x18 },      .{ "global_seq", 0x20 },
        .{ "last_keyframe_seq", 0x28 }, .{ "write_offset", 0x30 },
        .{ "shutdown_flag", 0x38 },     .{ "codec_extradata", 0x40 },
    };
    const slot = .{
        .{ "seq", 0x00 },         .{ "pts_ns", 0x08 },    .{ "dts_ns", 0x10 },
        .{ "data_offset", 0x18 }, .{ "data_size", 0x20 }, .{ "flags", 0x24 },
        .{ "reserved", 0x28 },
    };
    for (header) |field| assert(@offsetOf(Header, field[0]) == field[1]);
    for (slot) |field| assert(@offsetOf(Slot, field[0]) == field[1]);
    assert(header.len == @typeInfo(Header).@"struct".fields.len);
    assert(slot.len == @typeInfo(Slot).@"struct".fields.len);
    assert(@sizeOf(Header) == 0x1040);
    assert(@sizeOf(Slot) == 64);
    assert(builtin.cpu.arch.endian() == .little);
}

pub const Options = struct {
    /// Packets held at most, 1 to ring_slots_max.
    ring_slots: u32 = 64,
    /// Bytes of payload held at most, `max_packet_size` to 1 GiB.
    data_size: u32 = 8 << 20,
    /// Bytes of the largest packet, at least 1.
    max_packet_size: u32 = 2 << 20,
    /// FFmpeg's `AVCodecID`.
    codec_id: u32,
    producer_pid: u64,
};

/// Bytes of the region that a ring with these options needs, in whole pages.
pub fn regionSize(options: Options) error{InvalidArgument}!usize {
    if (options.ring_slots < 1 or options.ring_slots > ring_slots_max) return error.InvalidArgument;
    if (options.data_size > data_size_max) return error.InvalidArgument;
    if (options.max_packet_size < 1 or options.max_packet_size > options.data_size) return error.InvalidArgument;
    const size = dataStart(options.ring_slots) + options.data_size;
    return std.mem.alignForward(usize, size, std.heap.page_size_max);
}

fn dataStart(ring_slots: usize) usize {
    return @sizeOf(Header) + ring_slots * @sizeOf(Slot);
}

/// The `size` bytes from the absolute `offset` on: up to the buffer's end, and the rest from its start.
fn wrapped(data: anytype, offset: u64, size: usize) [2]@TypeOf(data) {
    assert(size <= data.len);
    const index: usize = @intCast(offset % data.len);
    const head = @min(size, data.len - index);
    return .{ data[index..][0..head], data[0 .. size - head] };
}

/// The one writer of a ring; it belongs to one thread. It keeps its own copy of all it decides on and never reads
/// the region.
pub const Writer = struct {
    header: *Header,
    slots: []Slot,
    data: []u8,
    max_packet_size: u32,
    /// Sequence of the next packet.
    next: u64 = 0,
    /// Sequence of the oldest packet that is still valid; `next` if there is none.
    oldest: u64 = 0,
    write_offset: u64 = 0,
    /// `data_offset` of the packet in each slot.
    offsets: [ring_slots_max]u64 = undefined,
    extradata: [extradata_size_max]u8 = undefined,
    extradata_size: usize = 0,
    closed: bool = false,

    /// Makes `region` an empty ring, whatever it held; before that no other process may have it. The region stays
    /// the caller's, and has to outlive the writer. Fails if the options are out of range or the region too small.
    pub fn init(region: []align(64) u8, options: Options) error{InvalidArgument}!Writer {
        if (region.len < try regionSize(options)) return error.InvalidArgument;
        const start = dataStart(options.ring_slots);
        const writer: Writer = .{
            .header = @ptrCast(region),
            .slots = @ptrCast(region[@sizeOf(Header)..start]),
            .data = region[start..][0..options.data_size],
            .max_packet_size = options.max_packet_size,
        };
        writer.header.* = .{
            .magic = magic,
            .proto_version = version,
            .ring_slots = options.ring_slots,
            .data_size = options.data_size,
            .codec_id = options.codec_id,
            .codec_extradata_size = 0,
            .producer_pid = options.producer_pid,
            .global_seq = invalid_sequence,
            .last_keyframe_seq = invalid_sequence,
            .write_offset = 0,
            .shutdown_flag = 0,
            .codec_extradata = @splat(0),
        };
        @memset(writer.slots, .{
            .seq = invalid_sequence,
            .pts_ns = 0,
            .dts_ns = 0,
            .data_offset = 0,
            .data_size = 0,
            .flags = 0,
            .reserved = @splat(0),
        });
        return writer;
    }

    /// Replaces the codec's parameter sets, at most extradata_size_max bytes; none takes them away. The size is 0 while
    /// the bytes change, so a reader of any kind finds the old ones, none, or the new ones; see `Reader.extradata`. The
    /// same bytes again change nothing, so it may be called at every key packet.
    pub fn setCodecExtradata(writer: *Writer, bytes: []const u8) error{InvalidArgument}!void {
        if (bytes.len > extradata_size_max) return error.InvalidArgument;
        if (std.mem.eql(u8, bytes, writer.extradata[0..writer.extradata_size])) return;
        @memcpy(writer.extradata[0..bytes.len], bytes);
        writer.extradata_size = bytes.len;

        barrier.store(u32, &writer.header.codec_extradata_size, 0, .monotonic);
        barrier.storeStore();
        barrier.copyIn(writer.header.codec_extradata[0..bytes.len], bytes);
        barrier.storeStore();
        barrier.store(u32, &writer.header.codec_extradata_size, @intCast(bytes.len), .release);
    }

    /// Publishes one packet and gives its sequence, counted from 0. `payload` is copied; times are in ns.
    ///
    /// `PacketOversized`: longer than `Options.max_packet_size`. `InvalidArgument`: empty (it would be no packet),
    /// a flag that is none of `flag`'s, or after `shutdown`.
    pub fn write(
        writer: *Writer,
        payload: []const u8,
        pts_ns: i64,
        dts_ns: i64,
        flags: u32,
    ) error{ PacketOversized, InvalidArgument }!u64 {
        if (payload.len > writer.max_packet_size) return error.PacketOversized;
        if (payload.len == 0 or flags & ~flag.all != 0 or writer.closed) return error.InvalidArgument;
        const sequence = writer.next;
        const offset = writer.write_offset;
        const end = offset + payload.len;
        assert(sequence < invalid_sequence);

        writer.invalidateBefore(end);
        // A reader that copied one of the bytes below has to find the packet that they belonged to invalid.
        barrier.storeStore();
        const parts = wrapped(writer.data, offset, payload.len);
        barrier.copyIn(parts[0], payload[0..parts[0].len]);
        barrier.copyIn(parts[1], payload[parts[0].len..]);
        // For the non-temporal stores of a large copy: the release below does not wait for them.
        barrier.storeStore();

        const index: usize = @intCast(sequence % writer.slots.len);
        const slot = &writer.slots[index];
        barrier.store(i64, &slot.pts_ns, pts_ns, .monotonic);
        barrier.store(i64, &slot.dts_ns, dts_ns, .monotonic);
        barrier.store(u64, &slot.data_offset, offset, .monotonic);
        barrier.store(u32, &slot.data_size, @intCast(payload.len), .monotonic);
        barrier.store(u32, &slot.flags, flags, .monotonic);
        barrier.store(u64, &slot.seq, sequence, .release);
        barrier.store(u64, &writer.header.write_offset, end, .release);
        // Sequentially consistent, as waking needs it: either the one about to sleep sees this in `hasNewsFrom`, or the
        // writer, which looks for sleepers next, sees that one.
        barrier.store(u64, &writer.header.global_seq, sequence, .seq_cst);
        if (flags & flag.key != 0) barrier.store(u64, &writer.header.last_keyframe_seq, sequence, .release);

        writer.offsets[index] = offset;
        writer.write_offset = end;
        writer.next += 1;
        return sequence;
    }

    /// Says that no packet will follow. Readers drain what is there and are then told.
    pub fn shutdown(writer: *Writer) void {
        writer.closed = true;
        barrier.store(u64, &writer.header.shutdown_flag, 1, .seq_cst);
    }

    /// Invalidates every packet that loses its slot to the next packet, or a byte to payload up to `end`. Both take
    /// the oldest first.
    fn invalidateBefore(writer: *Writer, end: u64) void {
        while (writer.oldest < writer.next) : (writer.oldest += 1) {
            const index: usize = @intCast(writer.oldest % writer.slots.len);
            const slot_reused = writer.next - writer.oldest == writer.slots.len;
            const bytes_overwritten = writer.offsets[index] + writer.data.len < end;
            if (!slot_reused and !bytes_overwritten) return;
            barrier.store(u64, &writer.slots[index].seq, invalid_sequence, .monotonic);
        }
    }
};

pub const PacketInfo = struct {
    sequence: u64,
    pts_ns: i64,
    dts_ns: i64,
    /// Bytes of payload, 1 to the ring's data size.
    size: u32,
    /// Of `flag`.
    flags: u32,
};

pub const Peek = union(enum) {
    /// The next packet: `Reader.copy` takes it.
    packet: PacketInfo,
    /// Nothing to read now. If the writer is known to have died without a `shutdown`, nothing will follow.
    empty,
    /// Packets were lost, as `Reader.lost` counts. Said once for each gap in what is delivered.
    overrun,
    /// The writer has shut down, and all that could be read has been.
    disconnected,
};

/// One of any number of readers of a ring; it belongs to one thread.
///
/// The region may hold any bytes and change at any time: the geometry is copied and checked once, and every other
/// value is copied and checked at each use. A writer that breaks the protocol costs its readers packets (a slot that
/// makes no sense counts as lost) or hands them wrong bytes; it can do no more, and no call loops longer than the ring
/// has slots.
///
/// Reading begins, and goes on after a loss, at a key packet, since no decoder can use another. Where there is none
/// to be read yet, packets are passed over until one comes: on a stream without any, `peek` stays `empty`.
pub const Reader = struct {
    header: *const Header,
    slots: []const Slot,
    data: []const u8,
    /// FFmpeg's `AVCodecID`, as the writer gave it.
    codec_id: u32,
    /// Packets that could not be read any more, or were passed over to resume at a key packet. What is passed over to
    /// begin with is not lost.
    lost: u64 = 0,
    /// Sequence of the packet to look at next.
    next: u64,
    position: Position = .start,
    /// What `copy` copies.
    peeked: ?Located = null,

    pub const Position = enum {
        /// Looking for the key packet to begin with.
        start,
        /// The same, where nothing from `next` on is to go missing without being counted.
        counted,
        /// `next` is the one behind the packet delivered last.
        following,
        /// Looking for the key packet to resume at; the loss has been reported.
        lost,
    };

    const Located = struct { info: PacketInfo, data_offset: u64 };

    /// Begins at the last key packet, or, where that cannot be read any more, at the next one to come. The region stays
    /// the caller's, and has to outlive the reader. `Protocol`: it holds no ring of this protocol, or a larger one
    /// than it has room for.
    pub fn init(region: []align(64) const u8) error{Protocol}!Reader {
        if (region.len < @sizeOf(Header)) return error.Protocol;
        const header: *const Header = @ptrCast(region);
        if (barrier.load(u32, &header.magic, .monotonic) != magic) return error.Protocol;
        if (barrier.load(u32, &header.proto_version, .monotonic) != version) return error.Protocol;
        const ring_slots = barrier.load(u32, &header.ring_slots, .monotonic);
        const data_size = barrier.load(u32, &header.data_size, .monotonic);
        if (ring_slots < 1 or ring_slots > ring_slots_max) return error.Protocol;
        if (data_size < 1 or data_size > data_size_max) return error.Protocol;
        const start = dataStart(ring_slots);
        if (region.len < start + data_size) return error.Protocol;
        const last_keyframe = barrier.load(u64, &header.last_keyframe_seq, .acquire);
        return .{
            .header = header,
            .slots = @ptrCast(region[@sizeOf(Header)..start]),
            .data = region[start..][0..data_size],
            .codec_id = barrier.load(u32, &header.codec_id, .monotonic),
            .next = if (last_keyframe == invalid_sequence) 0 else last_keyframe,
        };
    }

    /// Where a reader begins.
    pub const Start = union(enum) {
        /// The last key packet.
        key,
        /// The oldest key packet that can be read.
        oldest,
        /// The last key packet that is at least so many ns older than the newest packet, or the oldest.
        ago: u63,
        /// The first key packet to come.
        upcoming,
        /// This packet: what cannot be read from there on is lost, up to the first key packet.
        sequence: u64,
        /// Where another reader of the same ring was.
        behind: struct { next: u64, position: Position },
    };

    /// Before the first `peek`: begins elsewhere than at the last key packet.
    pub fn begin(reader: *Reader, start: Start) void {
        assert(reader.position == .start and reader.peeked == null);
        const newest = barrier.load(u64, &reader.header.global_seq, .acquire);
        switch (start) {
            .key => {},
            .oldest => reader.next = 0,
            .ago => |ns| reader.next = reader.keyBefore(newest, ns),
            .upcoming => reader.next = if (newest == invalid_sequence) 0 else newest + 1,
            .sequence => |sequence| {
                // A ring that begins anew has the packet that another one does not have any more.
                reader.next = @min(sequence, invalid_sequence - 1);
                reader.position = .counted;
            },
            .behind => |other| {
                reader.next = @min(other.next, invalid_sequence - 1);
                reader.position = if (other.position == .start) .counted else other.position;
            },
        }
    }

    /// Packets before the next one have gone missing, elsewhere than in this ring.
    pub fn interrupt(reader: *Reader) void {
        reader.position = .lost;
    }

    fn keyBefore(reader: *const Reader, newest: u64, ns: u63) u64 {
        if (newest == invalid_sequence) return 0;
        const last = reader.locate(newest) orelse return reader.next;
        const end = last.info.pts_ns -| ns;
        var sequence = newest;
        const oldest = (newest + 1) -| reader.slots.len;
        while (true) : (sequence -= 1) {
            if (reader.locate(sequence)) |located| {
                if (located.info.flags & flag.key != 0 and located.info.pts_ns <= end) return sequence;
            }
            if (sequence == oldest) return 0;
        }
    }

    /// What there is to read. Until `copy` takes it, the same packet is given again, as long as it can be read.
    pub fn peek(reader: *Reader) Peek {
        reader.peeked = null;
        // The flag first: whatever was written before it was set is then seen, and drained.
        const shut_down = barrier.load(u64, &reader.header.shutdown_flag, .acquire) != 0;
        const newest = barrier.load(u64, &reader.header.global_seq, .acquire);
        if (newest != invalid_sequence and reader.next <= newest) {
            if (reader.position == .following) {
                reader.peeked = reader.locate(reader.next);
                if (reader.peeked == null) {
                    reader.lose();
                    return .overrun;
                }
            } else {
                const lost = reader.lost;
                reader.peeked = reader.seekKey(newest);
                if (reader.position == .counted and reader.lost != lost) {
                    reader.position = .lost;
                    reader.peeked = null;
                    return .overrun;
                }
            }
        }
        if (reader.peeked) |*located| {
            if (reader.position == .lost) located.info.flags |= flag.discontinuity;
            return .{ .packet = located.info };
        }
        return if (shut_down) .disconnected else .empty;
    }

    /// Whether there is a packet from `sequence` (a value of `next`) on, or the end. Safe from another thread.
    pub fn hasNewsFrom(reader: *const Reader, sequence: u64) bool {
        if (barrier.load(u64, &reader.header.shutdown_flag, .seq_cst) != 0) return true;
        const newest = barrier.load(u64, &reader.header.global_seq, .seq_cst);
        return newest != invalid_sequence and sequence <= newest;
    }

    /// Copies the payload of the packet that `peek` has just given to the start of `destination`, and moves on.
    ///
    /// `PacketOverrun`: the writer was faster; the bytes copied are worth nothing, the loss counts as reported, and the
    /// next `peek` resumes as after `Peek.overrun`. `InvalidArgument`: the last `peek` gave no packet, it has been
    /// taken, or `destination` is shorter than it; nothing has changed.
    pub fn copy(reader: *Reader, destination: []u8) error{ InvalidArgument, PacketOverrun }!void {
        const located = reader.peeked orelse return error.InvalidArgument;
        if (destination.len < located.info.size) return error.InvalidArgument;
        reader.peeked = null;
        const parts = wrapped(reader.data, located.data_offset, located.info.size);
        barrier.copyOut(destination[0..parts[0].len], parts[0]);
        barrier.copyOut(destination[parts[0].len..][0..parts[1].len], parts[1]);
        if (!reader.intact(located)) {
            reader.lose();
            return error.PacketOverrun;
        }
        reader.position = .following;
        reader.next += 1;
    }

    /// Packets that the writer is ahead by.
    pub fn lag(reader: *const Reader) u64 {
        const newest = barrier.load(u64, &reader.header.global_seq, .acquire);
        return if (newest == invalid_sequence) 0 else (newest + 1) -| reader.next;
    }

    /// Copies the codec's parameter sets to `destination` and gives the part that they fill.
    ///
    /// They are the newest ones, which packets read later may already not need, and in one piece: the layout has no
    /// counter for them, so they are copied twice, and count only if both copies agree and the size is the same, and
    /// not 0, between the two. One replacement meanwhile is always noticed, and they are read again. To go unnoticed it
    /// takes a second one within the same call, all three of the same size, and the third like the first in every byte
    /// that was copied from it.
    ///
    /// `NoCodecParameters`: none are set, or they are being replaced at this moment. `Protocol`: no valid size.
    pub fn extradata(
        reader: *const Reader,
        destination: *[extradata_size_max]u8,
    ) error{ NoCodecParameters, Protocol }![]u8 {
        const size_shared = &reader.header.codec_extradata_size;
        var again: [extradata_size_max]u8 = undefined;
        for (0..16) |_| {
            const size = barrier.load(u32, size_shared, .acquire);
            if (size == 0) return error.NoCodecParameters;
            if (size > extradata_size_max) return error.Protocol;
            barrier.copyOut(destination[0..size], reader.header.codec_extradata[0..size]);
            barrier.loadLoad();
            if (barrier.load(u32, size_shared, .acquire) != size) continue;
            barrier.copyOut(again[0..size], reader.header.codec_extradata[0..size]);
            if (std.mem.eql(u8, destination[0..size], again[0..size])) return destination[0..size];
        }
        return error.NoCodecParameters;
    }

    /// The packet of that sequence, if its slot still has it and makes sense.
    fn locate(reader: *const Reader, sequence: u64) ?Located {
        const slot = reader.slotOf(sequence);
        if (barrier.load(u64, &slot.seq, .acquire) != sequence) return null;
        const located: Located = .{
            .info = .{
                .sequence = sequence,
                .pts_ns = barrier.load(i64, &slot.pts_ns, .monotonic),
                .dts_ns = barrier.load(i64, &slot.dts_ns, .monotonic),
                .size = barrier.load(u32, &slot.data_size, .monotonic),
                .flags = barrier.load(u32, &slot.flags, .monotonic) & flag.all,
            },
            .data_offset = barrier.load(u64, &slot.data_offset, .monotonic),
        };
        return if (reader.intact(located)) located else null;
    }

    /// Whether all that was read of the packet so far is its own, and its bytes are within what has been written and
    /// not been passed since.
    fn intact(reader: *const Reader, located: Located) bool {
        barrier.loadLoad();
        const slot = reader.slotOf(located.info.sequence);
        if (barrier.load(u64, &slot.seq, .monotonic) != located.info.sequence) return false;
        const write_offset = barrier.load(u64, &reader.header.write_offset, .monotonic);
        if (located.data_offset > write_offset) return false;
        const written_since_start = write_offset - located.data_offset;
        const size = located.info.size;
        return size >= 1 and size <= written_since_start and written_since_start <= reader.data.len;
    }

    fn slotOf(reader: *const Reader, sequence: u64) *const Slot {
        return &reader.slots[@intCast(sequence % reader.slots.len)];
    }

    /// Gives the packet at `next` up and moves to where reading resumes.
    fn lose(reader: *Reader) void {
        reader.position = .lost;
        reader.lost +|= 1;
        reader.next += 1;
        const newest = barrier.load(u64, &reader.header.global_seq, .acquire);
        if (newest != invalid_sequence and reader.next <= newest) _ = reader.seekKey(newest);
    }

    /// Moves `next` to the first key packet that can be read, or past `newest` if there is none yet.
    fn seekKey(reader: *Reader, newest: u64) ?Located {
        assert(reader.next <= newest);
        assert(newest < invalid_sequence);
        const passed_over = reader.next;
        // What is older has no slot any more.
        reader.next = @max(reader.next, (newest + 1) -| reader.slots.len);
        defer if (reader.position != .start) {
            reader.lost +|= reader.next - passed_over;
        };
        while (reader.next <= newest) : (reader.next += 1) {
            const located = reader.locate(reader.next) orelse continue;
            if (located.info.flags & flag.key != 0) return located;
        }
        return null;
    }
};

const testing = std.testing;

/// Byte `index` of packet `sequence` in every test, so that a byte from elsewhere shows.
fn contentByte(sequence: u64, index: usize) u8 {
    return @truncate(((sequence +% 1) *% 0x9E3779B97F4A7C15 +% index *% 0xBF58476D1CE4E5B9) >> 56);
}

fn fillContent(bytes: []u8, sequence: u64) void {
    for (bytes, 0..) |*byte, index| byte.* = contentByte(sequence, index);
}

fn expectContent(bytes: []const u8, sequence: u64) !void {
    for (bytes, 0..) |byte, index| if (byte != contentByte(sequence, index)) return error.TornPacket;
}

const small_ring: Options = .{
    .ring_slots = 4,
    .data_size = 64,
    .max_packet_size = 32,
    .codec_id = 27,
    .producer_pid = 4711,
};

/// A writer on memory of the test's own, and a plain account of all it was given.
const TestRing = struct {
    const Packet = struct { info: PacketInfo, data_offset: u64 };

    region: []align(64) u8,
    options: Options,
    writer: Writer,
    packets: std.ArrayList(Packet) = .empty,
    payload: []u8,

    fn init(options: Options) !TestRing {
        const region = try testing.allocator.alignedAlloc(u8, .@"64", try regionSize(options));
        errdefer testing.allocator.free(region);
        return .{
            .region = region,
            .options = options,
            .writer = try .init(region, options),
            .payload = try testing.allocator.alloc(u8, options.max_packet_size),
        };
    }

    fn deinit(ring: *TestRing) void {
        ring.packets.deinit(testing.allocator);
        testing.allocator.free(ring.payload);
        testing.allocator.free(ring.region);
    }

    /// Small enough that a few packets wrap it.
    fn randomOptions(random: std.Random) Options {
        const data_size = random.intRangeAtMost(u32, 1, if (random.boolean()) 40 else 500);
        return .{
            .ring_slots = random.intRangeAtMost(u32, 1, 12),
            .data_size = data_size,
            .max_packet_size = if (random.boolean()) data_size else random.intRangeAtMost(u32, 1, data_size),
            .codec_id = 27,
            .producer_pid = 4711,
        };
    }

    fn end(ring: *const TestRing) u64 {
        const last = ring.packets.getLastOrNull() orelse return 0;
        return last.data_offset + last.info.size;
    }

    /// The account has the packet while it is being written, for checks made meanwhile.
    fn write(ring: *TestRing, size: u32, flags: u32) !void {
        const sequence = ring.packets.items.len;
        const info: PacketInfo = .{
            .sequence = sequence,
            .pts_ns = @as(i64, @bitCast(sequence)) * 40_000_000 - 80_000_000,
            .dts_ns = if (sequence % 7 == 6) std.math.minInt(i64) else @intCast(sequence),
            .size = size,
            .flags = flags,
        };
        try ring.packets.append(testing.allocator, .{ .info = info, .data_offset = ring.end() });
        fillContent(ring.payload[0..size], sequence);
        const given = try ring.writer.write(ring.payload[0..size], info.pts_ns, info.dts_ns, flags);
        try testing.expectEqual(sequence, given);
    }

    fn writeRandom(ring: *TestRing, random: std.Random, key_one_in: u32) !void {
        const size = switch (random.uintLessThan(u32, 8)) {
            0 => 1,
            1 => ring.options.max_packet_size,
            else => random.intRangeAtMost(u32, 1, @max(1, ring.options.max_packet_size / 3)),
        };
        var flags = random.int(u32) & flag.all & ~flag.key & ~flag.discontinuity;
        if (random.uintLessThan(u32, key_one_in) == 0) flags |= flag.key;
        try ring.write(size, flags);
    }

    /// Whether a reader has to be able to read it: it still has its slot, and all of its bytes.
    fn readable(ring: *const TestRing, sequence: u64) bool {
        const count = ring.packets.items.len;
        if (sequence >= count or count - sequence > ring.options.ring_slots) return false;
        return ring.end() - ring.packets.items[sequence].data_offset <= ring.options.data_size;
    }

    fn readableKey(ring: *const TestRing, from: u64, before: u64) ?u64 {
        for (from..@max(from, before)) |sequence| {
            const key = ring.packets.items[sequence].info.flags & flag.key != 0;
            if (key and ring.readable(sequence)) return sequence;
        }
        return null;
    }

    fn lastKey(ring: *const TestRing) ?u64 {
        var sequence = ring.packets.items.len;
        while (sequence > 0) {
            sequence -= 1;
            if (ring.packets.items[sequence].info.flags & flag.key != 0) return sequence;
        }
        return null;
    }

    /// A number of the region, where the protocol's table has it.
    fn at(ring: *const TestRing, comptime T: type, offset: usize) T {
        return std.mem.readInt(T, ring.region[offset..][0..@sizeOf(T)], .little);
    }

    fn set(ring: *TestRing, comptime T: type, offset: usize, value: T) void {
        std.mem.writeInt(T, ring.region[offset..][0..@sizeOf(T)], value, .little);
    }

    fn slotOffset(ring: *const TestRing, sequence: u64) usize {
        return 0x1040 + @as(usize, @intCast(sequence % ring.options.ring_slots)) * 64;
    }

    /// Every valid slot of the region holds its packet, whole, byte by byte by the protocol's table.
    fn expectValidSlots(ring: *const TestRing) !void {
        const data = ring.region[0x1040 + ring.options.ring_slots * 64 ..];
        for (0..ring.options.ring_slots) |index| {
            const slot = 0x1040 + index * 64;
            const sequence = ring.at(u64, slot);
            if (sequence == std.math.maxInt(u64)) continue;
            try testing.expect(sequence < ring.packets.items.len);
            try testing.expectEqual(index, sequence % ring.options.ring_slots);
            const packet = ring.packets.items[sequence];
            try testing.expectEqual(packet.info.pts_ns, ring.at(i64, slot + 0x08));
            try testing.expectEqual(packet.info.dts_ns, ring.at(i64, slot + 0x10));
            try testing.expectEqual(packet.data_offset, ring.at(u64, slot + 0x18));
            try testing.expectEqual(packet.info.size, ring.at(u32, slot + 0x20));
            try testing.expectEqual(packet.info.flags, ring.at(u32, slot + 0x24));
            try testing.expect(std.mem.allEqual(u8, ring.region[slot + 0x28 ..][0..24], 0));
            for (0..packet.info.size) |i| {
                const byte = data[@intCast((packet.data_offset + i) % ring.options.data_size)];
                if (byte != contentByte(sequence, i)) return error.TornPacket;
            }
        }
    }

    /// The region between two writes: exactly the packets that can be kept are valid, and the header agrees.
    fn expectRegion(ring: *const TestRing) !void {
        try ring.expectValidSlots();
        const count = ring.packets.items.len;
        for (0..count) |sequence| {
            const valid = ring.at(u64, ring.slotOffset(sequence)) == sequence;
            try testing.expectEqual(ring.readable(sequence), valid);
        }
        const none: u64 = std.math.maxInt(u64);
        try testing.expectEqual(0xCC7C1DCD, ring.at(u32, 0x00));
        try testing.expectEqual(2, ring.at(u32, 0x04));
        try testing.expectEqual(ring.options.ring_slots, ring.at(u32, 0x08));
        try testing.expectEqual(ring.options.data_size, ring.at(u32, 0x0C));
        try testing.expectEqual(27, ring.at(u32, 0x10));
        try testing.expectEqual(4711, ring.at(u64, 0x18));
        try testing.expectEqual(if (count == 0) none else count - 1, ring.at(u64, 0x20));
        try testing.expectEqual(ring.lastKey() orelse none, ring.at(u64, 0x28));
        try testing.expectEqual(ring.end(), ring.at(u64, 0x30));
        try testing.expectEqual(@intFromBool(ring.writer.closed), ring.at(u64, 0x38));
    }
};

/// A reader, and what it must say.
const TestReader = struct {
    reader: Reader,
    next: u64,
    following: bool = false,
    gap: bool = false,
    lost: u64 = 0,

    fn init(ring: *const TestRing) !TestReader {
        return .{ .reader = try .init(ring.region), .next = ring.lastKey() orelse 0 };
    }

    fn resumeAtKey(self: *TestReader, ring: *const TestRing) void {
        const count = ring.packets.items.len;
        const key = ring.readableKey(self.next, count) orelse @max(self.next, count);
        if (self.gap) self.lost += key - self.next;
        self.next = key;
    }

    fn expected(self: *TestReader, ring: *const TestRing) Peek {
        const count = ring.packets.items.len;
        if (self.following and self.next < count and !ring.readable(self.next)) {
            self.following = false;
            self.gap = true;
            self.resumeAtKey(ring);
            return .overrun;
        }
        if (!self.following) self.resumeAtKey(ring);
        if (self.next == count) return if (ring.writer.closed) .disconnected else .empty;
        var info = ring.packets.items[self.next].info;
        if (self.gap) info.flags |= flag.discontinuity;
        return .{ .packet = info };
    }

    /// One step of the reader, held against the account. False when there is nothing more to read now.
    fn step(self: *TestReader, ring: *const TestRing, destination: []u8, take: bool) !bool {
        const expected_peek = self.expected(ring);
        const peek = self.reader.peek();
        try testing.expectEqual(expected_peek, peek);
        try testing.expectEqual(self.lost, self.reader.lost);
        switch (peek) {
            .packet => |info| if (take) {
                try testing.expectEqual(ring.packets.items.len - self.next, self.reader.lag());
                if (info.size > 1) {
                    const short = destination[0 .. info.size - 1];
                    try testing.expectError(error.InvalidArgument, self.reader.copy(short));
                }
                try self.reader.copy(destination[0..info.size]);
                try expectContent(destination[0..info.size], info.sequence);
                try testing.expectError(error.InvalidArgument, self.reader.copy(destination));
                self.following = true;
                self.gap = false;
                self.next += 1;
            },
            .overrun => {},
            .empty, .disconnected => return false,
        }
        return true;
    }
};

test "region size: bounds, defaults and whole pages" {
    const base: Options = .{ .codec_id = 27, .producer_pid = 1 };
    const size = try regionSize(base);
    try testing.expect(size >= 0x1040 + 64 * 64 + (8 << 20));
    try testing.expectEqual(0, size % std.heap.page_size_max);

    const wrong: []const [3]u32 = &.{
        .{ 0, 100, 10 },       .{ 1025, 100, 10 },       .{ 4, 0, 0 },
        .{ 4, 100, 0 },        .{ 4, 100, 101 },         .{ 4, (1 << 30) + 1, 10 },
        .{ 4, 0xFFFFFFFF, 1 }, .{ 0xFFFFFFFF, 100, 10 },
    };
    for (wrong) |w| {
        var options = base;
        options.ring_slots, options.data_size, options.max_packet_size = w;
        try testing.expectError(error.InvalidArgument, regionSize(options));
    }
    const right: []const [3]u32 = &.{ .{ 1, 1, 1 }, .{ 1024, 1 << 30, 1 << 30 } };
    for (right) |r| {
        var options = base;
        options.ring_slots, options.data_size, options.max_packet_size = r;
        try testing.expect(try regionSize(options) >= 0x1040 + @as(usize, r[0]) * 64 + r[1]);
    }

    var small: [0x1040]u8 align(64) = undefined;
    try testing.expectError(error.InvalidArgument, Writer.init(&small, base));
}

test "writer: what it refuses changes nothing" {
    var ring: TestRing = try .init(small_ring);
    defer ring.deinit();
    try ring.write(32, flag.key);
    const payload: [33]u8 = @splat(0);
    try testing.expectError(error.PacketOversized, ring.writer.write(&payload, 0, 0, 0));
    try testing.expectError(error.InvalidArgument, ring.writer.write(&.{}, 0, 0, 0));
    try testing.expectError(error.InvalidArgument, ring.writer.write(payload[0..1], 0, 0, flag.all + 1));
    try ring.expectRegion();
    ring.writer.shutdown();
    try testing.expectError(error.InvalidArgument, ring.writer.write(payload[0..1], 0, 0, 0));
    try ring.expectRegion();
}

test "random rings: every byte, and every answer of every reader, is what the account says" {
    var prng: std.Random.DefaultPrng = .init(0x5EED_0001);
    const random = prng.random();
    var seen_overruns: u64 = 0;
    for (0..300) |_| {
        var ring: TestRing = try .init(TestRing.randomOptions(random));
        defer ring.deinit();
        const destination = try testing.allocator.alloc(u8, ring.options.max_packet_size);
        defer testing.allocator.free(destination);
        var readers: [4]TestReader = undefined;
        for (&readers) |*reader| reader.* = try .init(&ring);
        const key_one_in = random.intRangeAtMost(u32, 1, 20);
        for (0..200) |_| {
            const reader = &readers[random.uintLessThan(usize, readers.len)];
            switch (random.uintLessThan(u32, 16)) {
                0...7 => {
                    try ring.writeRandom(random, key_one_in);
                    try ring.expectRegion();
                },
                8 => reader.* = try .init(&ring),
                9...11 => _ = try reader.step(&ring, destination, random.boolean()),
                12...14 => for (0..random.uintLessThan(usize, 6)) |_| {
                    _ = try reader.step(&ring, destination, true);
                },
                else => while (try reader.step(&ring, destination, true)) {},
            }
        }
        const dies_without_shutdown = random.boolean();
        if (!dies_without_shutdown) ring.writer.shutdown();
        for (&readers) |*reader| {
            while (try reader.step(&ring, destination, true)) {}
            const end: Peek = if (dies_without_shutdown) .empty else .disconnected;
            try testing.expectEqual(end, reader.reader.peek());
            seen_overruns += @intFromBool(reader.lost > 0);
        }
    }
    try testing.expect(seen_overruns > 100);
}

test "default ring: the largest packets, wrapping" {
    var ring: TestRing = try .init(.{ .codec_id = 27, .producer_pid = 4711 });
    defer ring.deinit();
    const destination = try testing.allocator.alloc(u8, ring.options.max_packet_size);
    defer testing.allocator.free(destination);
    var reader: TestReader = try .init(&ring);
    for ([_]u32{ 2 << 20, (2 << 20) - 1, 3, 2 << 20, 2 << 20, (2 << 20) - 4096, 2 << 20 }) |size| {
        try ring.write(size, flag.key);
        try testing.expect(try reader.step(&ring, destination, true));
    }
    try ring.expectRegion();
}

test "a stream without key packets gives nothing, loses nothing, and ends" {
    var ring: TestRing = try .init(small_ring);
    defer ring.deinit();
    var reader: Reader = try .init(ring.region);
    for (0..10) |_| {
        try ring.write(10, 0);
        try testing.expect(reader.hasNewsFrom(reader.next));
        try testing.expectEqual(Peek.empty, reader.peek());
        try testing.expect(!reader.hasNewsFrom(reader.next));
    }
    try ring.write(10, flag.key);
    try testing.expectEqual(10, reader.peek().packet.sequence);
    try testing.expectEqual(flag.key, reader.peek().packet.flags);
    try testing.expectEqual(0, reader.lost);
    for (0..10) |_| try ring.write(10, 0);
    try testing.expectEqual(Peek.empty, reader.peek());
    ring.writer.shutdown();
    try testing.expect(reader.hasNewsFrom(reader.next));
    try testing.expectEqual(Peek.disconnected, reader.peek());
    try testing.expectEqual(0, reader.lost);
}

/// Looks at a ring from in front of every access that its writer makes.
const WriteWatch = struct {
    ring: *TestRing,
    readers: []const TestReader,
    destination: []u8,
    accesses: usize = 0,
    failure: ?anyerror = null,

    fn beforeAccess(context: *anyopaque) void {
        const watch: *WriteWatch = @ptrCast(@alignCast(context));
        watch.accesses += 1;
        if (watch.failure == null) watch.look() catch |err| {
            watch.failure = err;
        };
    }

    fn look(watch: *WriteWatch) !void {
        const ring = watch.ring;
        try ring.expectValidSlots();

        // The order of the stores: each only when the one in front of it is there.
        const pending = ring.packets.items.len - 1;
        const slot_stored = ring.at(u64, ring.slotOffset(pending)) == pending;
        const offset_stored = ring.at(u64, 0x30) == ring.end();
        const sequence_stored = ring.at(u64, 0x20) == pending;
        const key_stored = ring.at(u64, 0x28) == pending;
        try testing.expect(slot_stored or !offset_stored);
        try testing.expect(offset_stored or !sequence_stored);
        try testing.expect(sequence_stored or !key_stored);

        for (watch.readers) |original| {
            var reader = original.reader;
            switch (reader.peek()) {
                .packet => |info| {
                    try testing.expect(info.sequence < pending or sequence_stored);
                    try reader.copy(watch.destination);
                    try expectContent(watch.destination[0..info.size], info.sequence);
                },
                .overrun => try testing.expect(original.following and !ring.readable(original.next)),
                .empty => if (original.following) {
                    try testing.expect(original.next == pending);
                } else {
                    try testing.expectEqual(null, ring.readableKey(original.next, pending));
                },
                .disconnected => return error.NotShutDown,
            }
        }
    }
};

test "a reader in front of any access of a write finds no torn packet, and the stores in order" {
    var prng: std.Random.DefaultPrng = .init(0x5EED_0002);
    const random = prng.random();
    for (0..60) |_| {
        var ring: TestRing = try .init(TestRing.randomOptions(random));
        defer ring.deinit();
        const destination = try testing.allocator.alloc(u8, ring.options.max_packet_size);
        defer testing.allocator.free(destination);
        var readers: [3]TestReader = undefined;
        for (&readers) |*reader| reader.* = try .init(&ring);
        for (0..30) |_| {
            var watch: WriteWatch = .{ .ring = &ring, .readers = &readers, .destination = destination };
            {
                barrier.testing.observer = .{ .context = &watch, .before_access = WriteWatch.beforeAccess };
                defer barrier.testing.observer = null;
                try ring.writeRandom(random, 4);
            }
            if (watch.failure) |failure| return failure;
            try testing.expect(watch.accesses >= ring.packets.getLast().info.size + 8);
            try ring.expectRegion();
            for (&readers) |*reader| for (0..random.uintLessThan(usize, 4)) |_| {
                _ = try reader.step(&ring, destination, true);
            };
        }
    }
}

/// Every state of a region that its writer leads it through, for readers to see at any pace.
const Film = struct {
    region: []align(64) u8,
    states: std.ArrayList([]u8) = .empty,
    failure: ?anyerror = null,
    /// At the reader's access `at[i]` the region takes on state `show[i]`.
    at: [2]usize = undefined,
    show: [2]usize = undefined,
    accesses: usize = 0,

    fn deinit(film: *Film) void {
        for (film.states.items) |state| testing.allocator.free(state);
        film.states.deinit(testing.allocator);
    }

    fn record(film: *Film) void {
        barrier.testing.observer = .{ .context = film, .before_access = keep };
    }

    /// The end of recording or showing.
    fn stop(film: *Film) !void {
        barrier.testing.observer = null;
        if (film.failure) |failure| return failure;
    }

    fn keep(context: *anyopaque) void {
        const film: *Film = @ptrCast(@alignCast(context));
        film.keepState() catch |err| {
            film.failure = err;
        };
    }

    fn keepState(film: *Film) !void {
        const state = try testing.allocator.dupe(u8, film.region);
        errdefer testing.allocator.free(state);
        try film.states.append(testing.allocator, state);
    }

    fn cut(film: *Film, state: usize) void {
        @memcpy(film.region, film.states.items[state]);
    }

    fn start(film: *Film, at: [2]usize, show: [2]usize) void {
        film.at = at;
        film.show = show;
        film.accesses = 0;
        film.cut(0);
        barrier.testing.observer = .{ .context = film, .before_access = play };
    }

    fn play(context: *anyopaque) void {
        const film: *Film = @ptrCast(@alignCast(context));
        for (film.at, film.show) |at, state| if (film.accesses == at) film.cut(state);
        film.accesses += 1;
    }
};

test "a reader overtaken at any access, by any part of some writes, reports it and delivers no torn packet" {
    var overtaken_in_copy: usize = 0;
    var delivered: usize = 0;
    for (0..200) |seed| {
        var prng: std.Random.DefaultPrng = .init(0x5EED_0003 + seed);
        const random = prng.random();
        var ring: TestRing = try .init(TestRing.randomOptions(random));
        defer ring.deinit();
        const destination = try testing.allocator.alloc(u8, ring.options.max_packet_size);
        defer testing.allocator.free(destination);
        for (0..random.uintLessThan(usize, 10)) |_| try ring.writeRandom(random, 3);
        var test_reader: TestReader = try .init(&ring);
        for (0..random.intRangeAtMost(usize, 1, 5)) |_| try ring.writeRandom(random, 3);
        for (0..random.uintLessThan(usize, 3)) |_| _ = try test_reader.step(&ring, destination, true);

        const following = test_reader.following;
        const first = test_reader.reader.next;
        const count_before = ring.packets.items.len;
        var film: Film = .{ .region = ring.region };
        defer film.deinit();
        film.record();
        for (0..random.intRangeAtMost(usize, 1, 6)) |_| try ring.writeRandom(random, 3);
        try film.stop();
        try film.keepState();
        const last_state = film.states.items.len - 1;

        for (0..3_000) |showing| {
            const at_access = showing / 3;
            const at_later = at_access + random.uintLessThan(usize, 40);
            var reader = test_reader.reader;
            const peek, const copied = taken: {
                film.start(.{ at_access, at_later }, .{ random.uintAtMost(usize, last_state), last_state });
                defer film.stop() catch unreachable; // Showing cannot fail.
                const peek = reader.peek();
                break :taken .{ peek, if (peek == .packet) reader.copy(destination) else {} };
            };
            film.cut(last_state);

            var lost_some = false;
            switch (peek) {
                .packet => |info| if (copied) {
                    try expectContent(destination[0..info.size], info.sequence);
                    var account = ring.packets.items[info.sequence].info;
                    if (test_reader.gap) account.flags |= flag.discontinuity;
                    try testing.expectEqual(account, info);
                    if (following) try testing.expectEqual(first, info.sequence);
                    delivered += 1;
                } else |err| {
                    try testing.expectEqual(error.PacketOverrun, err);
                    try testing.expect(!ring.readable(info.sequence));
                    try testing.expectError(error.InvalidArgument, reader.copy(destination));
                    lost_some = true;
                    overtaken_in_copy += 1;
                },
                .overrun => {
                    try testing.expect(following and !ring.readable(first));
                    lost_some = true;
                },
                .empty => try testing.expect(!following or first == count_before),
                .disconnected => return error.NotShutDown,
            }
            if (lost_some) {
                // Reported: what follows is the next key packet that can be read, or the wait for one.
                const key = ring.readableKey(first, ring.packets.items.len);
                switch (reader.peek()) {
                    .packet => |info| {
                        try testing.expectEqual(key, info.sequence);
                        try testing.expect(info.flags & flag.discontinuity != 0);
                        try reader.copy(destination);
                        try expectContent(destination[0..info.size], info.sequence);
                    },
                    .empty => try testing.expectEqual(null, key),
                    .overrun, .disconnected => return error.ReportedTwice,
                }
                const resumed = if (key == null) reader.next else reader.next - 1;
                if (following) try testing.expectEqual(resumed - first, reader.lost - test_reader.reader.lost);
            }
            if (film.accesses <= at_access) break;
        } else return error.TooManyAccesses;
    }
    try testing.expect(overtaken_in_copy > 1_000);
    try testing.expect(delivered > 1_000);
}

test "what was written before the shutdown is drained, whenever the reader looks" {
    var ring: TestRing = try .init(small_ring);
    defer ring.deinit();
    var destination: [small_ring.max_packet_size]u8 = undefined;
    try ring.write(4, flag.key);
    var initial: Reader = try .init(ring.region);
    try testing.expectEqual(0, initial.peek().packet.sequence);
    try initial.copy(&destination);
    var film: Film = .{ .region = ring.region };
    defer film.deinit();
    film.record();
    try ring.write(4, 0);
    ring.writer.shutdown();
    try film.stop();
    try film.keepState();

    for (0..film.states.items.len) |state| {
        for (0..100) |at_access| {
            var reader = initial;
            film.start(.{ at_access, at_access + 1 }, .{ state, film.states.items.len - 1 });
            const early = reader.peek();
            try film.stop();
            film.cut(film.states.items.len - 1);
            try testing.expect(early != .disconnected);
            try testing.expectEqual(1, reader.peek().packet.sequence);
            try reader.copy(&destination);
            try testing.expectEqual(Peek.disconnected, reader.peek());
            if (film.accesses <= at_access) break;
        } else return error.TooManyAccesses;
    }
}

test "bytes passed by write_offset are not delivered, though the slot is valid" {
    var ring: TestRing = try .init(small_ring);
    defer ring.deinit();
    var destination: [32]u8 = undefined;
    for (0..3) |_| try ring.write(10, flag.key);
    var reader: Reader = try .init(ring.region);
    try testing.expectEqual(2, reader.peek().packet.sequence);
    try reader.copy(&destination);
    try ring.write(10, flag.key); // Packet 3, at 30.

    ring.set(u64, 0x30, 30 + 64);
    try testing.expectEqual(3, reader.peek().packet.sequence);
    ring.set(u64, 0x30, 30 + 64 + 1);
    try testing.expectError(error.PacketOverrun, reader.copy(&destination));

    ring.set(u64, 0x30, 40);
    try ring.write(10, flag.key); // Packet 4, at 40.
    try testing.expectEqual(flag.key | flag.discontinuity, reader.peek().packet.flags);
    try reader.copy(&destination);
    try ring.write(10, flag.key); // Packet 5, at 50.
    ring.set(u64, 0x30, 50 + 64 + 1);
    try testing.expectEqual(Peek.overrun, reader.peek());
}

test "a slot that makes no sense counts as lost" {
    const Wrong = struct { data_offset: u64 = 10, data_size: u32 = 10 };
    const cases: []const Wrong = &.{
        .{ .data_size = 0 },
        .{ .data_size = 11 },
        .{ .data_size = 65 },
        .{ .data_size = 0xFFFFFFFF },
        .{ .data_offset = 11 },
        .{ .data_offset = 20 },
        .{ .data_offset = 21 },
        .{ .data_offset = std.math.maxInt(u64) },
        .{ .data_offset = std.math.maxInt(u64) - 9 },
    };
    for (cases) |wrong| {
        var ring: TestRing = try .init(small_ring);
        defer ring.deinit();
        var destination: [32]u8 = undefined;
        var reader: Reader = try .init(ring.region);
        try ring.write(10, flag.key);
        try testing.expectEqual(0, reader.peek().packet.sequence);
        try reader.copy(&destination);
        try ring.write(10, flag.key);
        ring.set(u64, ring.slotOffset(1) + 0x18, wrong.data_offset);
        ring.set(u32, ring.slotOffset(1) + 0x20, wrong.data_size);
        try testing.expectEqual(Peek.overrun, reader.peek());
        try testing.expectEqual(Peek.empty, reader.peek());
        try testing.expectEqual(1, reader.lost);
        try ring.write(10, flag.key);
        try testing.expectEqual(2, reader.peek().packet.sequence);
    }
}

test "the writer reads nothing back from the region" {
    var prng: std.Random.DefaultPrng = .init(0x5EED_0004);
    const random = prng.random();
    for (0..50) |_| {
        var ring: TestRing = try .init(TestRing.randomOptions(random));
        defer ring.deinit();
        for (0..60) |_| {
            random.bytes(ring.region);
            try ring.writeRandom(random, 2);
            const packet = ring.packets.getLast();
            const slot = ring.slotOffset(packet.info.sequence);
            try testing.expectEqual(packet.info.sequence, ring.at(u64, slot));
            try testing.expectEqual(packet.data_offset, ring.at(u64, slot + 0x18));
            try testing.expectEqual(packet.info.size, ring.at(u32, slot + 0x20));
            try testing.expectEqual(packet.info.sequence, ring.at(u64, 0x20));
            try testing.expectEqual(ring.end(), ring.at(u64, 0x30));
            if (packet.info.flags & flag.key != 0) {
                try testing.expectEqual(packet.info.sequence, ring.at(u64, 0x28));
            }
            const data = ring.region[0x1040 + ring.options.ring_slots * 64 ..];
            for (0..packet.info.size) |i| {
                const byte = data[@intCast((packet.data_offset + i) % ring.options.data_size)];
                try testing.expectEqual(contentByte(packet.info.sequence, i), byte);
            }
        }
    }
}

/// Writes over the region in front of every access that a reader makes.
const Hostile = struct {
    region: []align(64) u8,
    random: std.Random,

    fn beforeAccess(context: *anyopaque) void {
        const hostile: *Hostile = @ptrCast(@alignCast(context));
        if (hostile.random.uintLessThan(u32, 16) == 0) hostile.poke();
    }

    /// Numbers that a writer could have left, for the geometry that the header gives.
    fn writePackets(hostile: *Hostile) void {
        const random = hostile.random;
        const header: *Header = @ptrCast(hostile.region);
        if (header.ring_slots < 1 or header.ring_slots > 16) return;
        if (header.data_size < 1 or header.data_size > 256) return;
        const slots: []Slot = @ptrCast(hostile.region[0x1040..][0 .. @as(usize, header.ring_slots) * 64]);
        const newest = random.uintLessThan(u64, 64);
        header.global_seq = newest;
        header.last_keyframe_seq = newest -| random.uintLessThan(u64, 20);
        header.write_offset = random.uintLessThan(u64, 1_000);
        header.shutdown_flag = random.uintLessThan(u64, 2);
        header.codec_extradata_size = random.uintLessThan(u32, 5_000);
        for ((newest + 1) -| slots.len..newest + 1) |sequence| {
            const slot = &slots[@intCast(sequence % slots.len)];
            slot.seq = sequence;
            slot.data_offset = header.write_offset -| random.uintAtMost(u64, header.data_size);
            slot.data_size = random.intRangeAtMost(u32, 1, header.data_size);
            slot.flags = random.int(u32);
        }
    }

    /// One 32- or 64-bit word of the header or the slots, to a value that is likely to be at some edge.
    fn poke(hostile: *Hostile) void {
        const random = hostile.random;
        const ring_slots = std.mem.readInt(u32, hostile.region[0x08..0x0C], .little);
        const data_size = std.mem.readInt(u32, hostile.region[0x0C..0x10], .little);
        const edges = [_]u64{ 0, 1, ring_slots, data_size, 1 << 31, 1 << 32, 1 << 63, std.math.maxInt(u64) };
        const value = switch (random.uintLessThan(u32, 4)) {
            0 => random.int(u64),
            1 => random.uintLessThan(u64, 16),
            else => edges[random.uintLessThan(usize, edges.len)] +% random.uintLessThan(u64, 5) -% 2,
        };
        const words_end = @min(hostile.region.len, 0x1040 + @as(usize, 64) * @min(ring_slots, 16));
        const word = if (random.boolean() or words_end < 0x1040 + 8)
            random.uintLessThan(usize, 0x40 / 8) * 8
        else
            0x1040 + random.uintLessThan(usize, (words_end - 0x1040) / 8) * 8;
        if (word + 8 > hostile.region.len) return;
        if (random.boolean()) {
            std.mem.writeInt(u64, hostile.region[word..][0..8], value, .little);
        } else {
            const half = word + 4 * random.uintLessThan(usize, 2);
            std.mem.writeInt(u32, hostile.region[half..][0..4], @truncate(value), .little);
        }
    }
};

test "a reader survives any bytes in the region, and any change of them" {
    const iterations = if (builtin.sanitize_thread) 1_000 else 100_000;
    var prng: std.Random.DefaultPrng = .init(0x5EED_0005);
    const random = prng.random();
    const region = try testing.allocator.alignedAlloc(u8, .@"64", 0x1040 + 16 * 64 + 256);
    defer testing.allocator.free(region);
    const destination = try testing.allocator.alloc(u8, 256);
    defer testing.allocator.free(destination);
    var initialized: usize = 0;
    var copied: usize = 0;
    for (0..iterations) |_| {
        random.bytes(region);
        if (random.uintLessThan(u32, 16) != 0) {
            std.mem.writeInt(u32, region[0x00..0x04], magic, .little);
            std.mem.writeInt(u32, region[0x04..0x08], version, .little);
            std.mem.writeInt(u32, region[0x08..0x0C], random.intRangeAtMost(u32, 1, 16), .little);
            std.mem.writeInt(u32, region[0x0C..0x10], random.intRangeAtMost(u32, 1, 256), .little);
        }
        var hostile: Hostile = .{ .region = region, .random = random };
        if (random.boolean()) hostile.writePackets();
        for (0..random.uintLessThan(usize, 8)) |_| hostile.poke();
        const length = if (random.uintLessThan(u32, 8) == 0) random.uintAtMost(usize, region.len) else region.len;

        barrier.testing.observer = .{ .context = &hostile, .before_access = Hostile.beforeAccess };
        defer barrier.testing.observer = null;
        var reader: Reader = Reader.init(region[0..length]) catch continue;
        initialized += 1;
        for (0..8) |_| {
            _ = reader.lag();
            switch (reader.peek()) {
                .packet => |info| {
                    try testing.expect(info.size >= 1 and info.size <= destination.len);
                    try testing.expectEqual(0, info.flags & ~flag.all);
                    if (reader.copy(destination[0..info.size])) |_| {
                        copied += 1;
                    } else |err| try testing.expectEqual(error.PacketOverrun, err);
                },
                .empty, .overrun, .disconnected => {},
            }
        }
        var parameters: [extradata_size_max]u8 = undefined;
        // Copies go byte by byte while observed: too slow for 4 KiB each time.
        if (random.uintLessThan(u32, 64) != 0) barrier.testing.observer = null;
        if (reader.extradata(&parameters)) |found| {
            try testing.expect(found.len >= 1 and found.len <= extradata_size_max);
        } else |_| {}
    }
    try testing.expect(initialized > iterations / 2);
    try testing.expect(copied > iterations / 100);
}

test "a region that holds no ring of this protocol, or a larger one, is refused" {
    var ring: TestRing = try .init(small_ring);
    defer ring.deinit();
    const exact = 0x1040 + 4 * 64 + 64;
    const reader: Reader = try .init(ring.region[0..exact]);
    try testing.expectEqual(27, reader.codec_id);
    try testing.expectEqual(4711, reader.header.producer_pid);
    for ([_]usize{ exact - 1, 0x1040, 0x103F, 0 }) |length| {
        try testing.expectError(error.Protocol, Reader.init(ring.region[0..length]));
    }
    const wrong: []const [2]u32 = &.{
        .{ 0x00, 0xCC7C1DCF }, .{ 0x04, 1 }, .{ 0x04, 3 },       .{ 0x08, 0 },
        .{ 0x08, 1025 },       .{ 0x0C, 0 }, .{ 0x0C, 1 << 30 }, .{ 0x0C, 0xFFFFFFFF },
    };
    for (wrong) |w| {
        const right = ring.at(u32, w[0]);
        ring.set(u32, w[0], w[1]);
        try testing.expectError(error.Protocol, Reader.init(ring.region));
        ring.set(u32, w[0], right);
    }
}

/// Parameter sets whose bytes all tell which they are.
fn parameterSets(buffer: *[extradata_size_max]u8, generation: u8, size: usize) []u8 {
    @memset(buffer[0..size], generation);
    return buffer[0..size];
}

test "extradata: set, replaced, taken away, bounds" {
    var ring: TestRing = try .init(small_ring);
    defer ring.deinit();
    const reader: Reader = try .init(ring.region);
    var buffer: [extradata_size_max]u8 = undefined;
    var destination: [extradata_size_max]u8 = undefined;
    try testing.expectError(error.NoCodecParameters, reader.extradata(&destination));
    for ([_]usize{ 1, 40, extradata_size_max, 3 }) |size| {
        const bytes = parameterSets(&buffer, @truncate(size + 1), size);
        try ring.writer.setCodecExtradata(bytes);
        try testing.expectEqual(size, ring.at(u32, 0x14));
        try testing.expectEqualSlices(u8, bytes, ring.region[0x40..][0..size]);
        try testing.expectEqualSlices(u8, bytes, try reader.extradata(&destination));
    }
    const too_long: [extradata_size_max + 1]u8 = @splat(1);
    try testing.expectError(error.InvalidArgument, ring.writer.setCodecExtradata(&too_long));
    try testing.expectEqual(3, (try reader.extradata(&destination)).len);
    ring.set(u32, 0x14, extradata_size_max + 1);
    try testing.expectError(error.Protocol, reader.extradata(&destination));
    try ring.writer.setCodecExtradata(&.{});
    try testing.expectError(error.NoCodecParameters, reader.extradata(&destination));
}

test "extradata replaced at any access of a reader, in one go or in two, is whole" {
    const old_size = 6;
    for ([_]usize{ old_size, old_size / 2, old_size * 2 }) |new_size| {
        var ring: TestRing = try .init(small_ring);
        defer ring.deinit();
        const reader: Reader = try .init(ring.region);
        var buffer: [extradata_size_max]u8 = undefined;
        var destination: [extradata_size_max]u8 = undefined;
        try ring.writer.setCodecExtradata(parameterSets(&buffer, 1, old_size));
        var film: Film = .{ .region = ring.region };
        defer film.deinit();
        film.record();
        try ring.writer.setCodecExtradata(parameterSets(&buffer, 2, new_size));
        try film.stop();
        try film.keepState();
        const last_state = film.states.items.len - 1;
        try testing.expectEqual(new_size + 2, last_state);

        for (0..last_state + 1) |state| for (0..100) |at_access| {
            for (at_access + 1..at_access + 2 * old_size + 4) |at_later| {
                film.start(.{ at_access, at_later }, .{ state, last_state });
                const result = reader.extradata(&destination);
                try film.stop();
                const found = result catch |err| {
                    try testing.expectEqual(error.NoCodecParameters, err);
                    try testing.expect(state > 0 and state < last_state);
                    continue;
                };
                try testing.expect(found.len == if (found[0] == 1) old_size else new_size);
                if (!std.mem.allEqual(u8, found, found[0])) return error.TornExtradata;
            }
            if (film.accesses <= at_access) break;
        } else return error.TooManyAccesses;
    }
}

const Stress = struct {
    const packets: u64 = if (builtin.sanitize_thread) 20_000 else 100_000;
    const key_every = 3;
    const options: Options = .{
        .ring_slots = 24,
        // Bytes run out before slots do, and a reader that resumes does so right in front of the writer.
        .data_size = 2 * max_packet_size,
        // Large packets keep both sides in mid-copy most of the time; ThreadSanitizer copies them byte by byte.
        .max_packet_size = max_packet_size,
        .codec_id = 27,
        .producer_pid = 4711,
    };
    const max_packet_size = if (builtin.sanitize_thread) 1 << 10 else 32 << 10;

    region: []align(64) u8,
    /// Random bytes, of which each packet is a piece: neither side spends its time on making them.
    bytes: []const u8,
    shut_down: std.atomic.Value(bool) = .init(false),
    /// Set by the slow reader once it has taken a packet, and so has something to lose.
    slow_reader_begun: std.atomic.Value(bool) = .init(false),

    fn payload(stress: *const Stress, sequence: u64) []const u8 {
        const mixed = (sequence +% 1) *% 0x9E3779B97F4A7C15;
        const size = if (mixed >> 60 == 0) max_packet_size else 1 + (mixed >> 40) % (max_packet_size / 4);
        const start = (mixed >> 20) % (stress.bytes.len - max_packet_size);
        return stress.bytes[@intCast(start)..][0..@intCast(size)];
    }

    fn flags(sequence: u64) u32 {
        return if (sequence % key_every == 0) flag.key else @truncate((sequence & 1) * flag.corrupt);
    }

    const Outcome = struct {
        first: u64 = 0,
        delivered: u64 = 0,
        lost: u64 = 0,
        overruns: u64 = 0,
        failure: ?anyerror = null,
    };

    fn write(stress: *Stress, writer: *Writer) !void {
        var parameters: [extradata_size_max]u8 = undefined;
        for (0..packets) |sequence| {
            if (sequence % 5 == 0) {
                const bytes = parameterSets(&parameters, @truncate(sequence / 5), 64 + sequence % 2);
                try writer.setCodecExtradata(bytes);
            }
            const time: i64 = @intCast(sequence);
            assert(try writer.write(stress.payload(sequence), time, -time, flags(sequence)) == sequence);
            if (sequence == 0) {
                while (!stress.slow_reader_begun.load(.acquire)) try std.Thread.yield();
            }
            // At a pace that readers can follow, and, in turn, at one that they cannot.
            const pace: u64 = if (sequence / 500 % 2 == 0) 1 else 50;
            if (sequence % pace == 0) try std.Thread.yield();
        }
        writer.shutdown();
        stress.shut_down.store(true, .release);
    }

    fn read(stress: *Stress, slow: bool, outcome: *Outcome) void {
        stress.readAll(slow, outcome) catch |err| {
            outcome.failure = err;
            // The writer must not wait for a reader that has given up.
            stress.slow_reader_begun.store(true, .release);
        };
    }

    fn readAll(stress: *Stress, slow: bool, outcome: *Outcome) !void {
        var reader: Reader = try .init(stress.region);
        var destination: [options.max_packet_size]u8 = undefined;
        var parameters: [extradata_size_max]u8 = undefined;
        var next: ?u64 = null;
        var gap = false;
        while (true) {
            const no_more = stress.shut_down.load(.acquire);
            switch (reader.peek()) {
                .packet => |info| {
                    const sequence = info.sequence;
                    try testing.expect(sequence < packets);
                    const time: i64 = @intCast(sequence);
                    const payload_written = stress.payload(sequence);
                    try testing.expectEqual(payload_written.len, info.size);
                    try testing.expectEqual(time, info.pts_ns);
                    try testing.expectEqual(-time, info.dts_ns);
                    try testing.expectEqual(flags(sequence) | if (gap) flag.discontinuity else 0, info.flags);
                    if (gap or next == null) {
                        try testing.expect(info.flags & flag.key != 0);
                        try testing.expect(next == null or sequence > next.?);
                    } else {
                        try testing.expectEqual(next.?, sequence);
                    }
                    if (reader.copy(&destination)) {
                        if (!std.mem.eql(u8, payload_written, destination[0..info.size])) return error.TornPacket;
                        if (next == null) outcome.first = sequence - reader.lost;
                        next = sequence + 1;
                        gap = false;
                        outcome.delivered += 1;
                        if (slow) {
                            stress.slow_reader_begun.store(true, .release);
                            if (outcome.delivered % 16 == 1) {
                                // Far enough behind to lose packets for certain, unless the end comes first.
                                while (reader.lag() <= options.ring_slots and !stress.shut_down.load(.acquire)) {
                                    try std.Thread.yield();
                                }
                            }
                        }
                    } else |err| {
                        if (err != error.PacketOverrun) return err;
                        outcome.overruns += 1;
                        gap = true;
                    }
                },
                .overrun => {
                    if (gap) return error.ReportedTwice;
                    outcome.overruns += 1;
                    gap = true;
                },
                .empty => {
                    if (no_more) return error.NotDisconnected;
                    try std.Thread.yield();
                },
                .disconnected => {
                    outcome.lost = reader.lost;
                    return;
                },
            }
            if (reader.extradata(&parameters)) |found| {
                if (!std.mem.allEqual(u8, found, found[0])) return error.TornExtradata;
            } else |err| try testing.expectEqual(error.NoCodecParameters, err);
        }
    }
};

test "stress: one writer, three readers, every byte delivered is checked" {
    const region = try testing.allocator.alignedAlloc(u8, .@"64", try regionSize(Stress.options));
    defer testing.allocator.free(region);
    var writer: Writer = try .init(region, Stress.options);
    const bytes = try testing.allocator.alloc(u8, 4 * Stress.max_packet_size);
    defer testing.allocator.free(bytes);
    var prng: std.Random.DefaultPrng = .init(0x5EED_0006);
    prng.random().bytes(bytes);
    var stress: Stress = .{ .region = region, .bytes = bytes };
    var outcomes: [3]Stress.Outcome = @splat(.{});
    var threads: [3]std.Thread = undefined;
    var running: usize = 0;
    {
        defer for (threads[0..running]) |thread| thread.join();
        errdefer stress.shut_down.store(true, .release);
        errdefer writer.shutdown();
        for (&threads, &outcomes, 0..) |*thread, *outcome, index| {
            thread.* = try std.Thread.spawn(.{}, Stress.read, .{ &stress, index == 0, outcome });
            running += 1;
        }
        try stress.write(&writer);
    }
    for (outcomes, 0..) |outcome, index| {
        if (outcome.failure) |failure| return failure;
        try testing.expect(outcome.delivered > 0);
        try testing.expectEqual(Stress.packets, outcome.first + outcome.delivered + outcome.lost);
        if (index == 0) try testing.expect(outcome.overruns > 0);
    }
}
