//! This table says what the other languages see of the C ABI, and what they call it. The declarations are in the other
//! rooms; the functions are those that the files of lib.zig export.

const std = @import("std");
const source = @import("source.zig");
const Sources = source.Sources;
const Declaration = source.Declaration;
const lib = @import("../lib.zig");
const library = @import("../abi/mod.zig").library;
const errors = @import("../core/mod.zig").errors;
const format = @import("../core/mod.zig").format;
const picture = @import("../core/mod.zig").picture;
const layout = @import("../ring/mod.zig").layout;
const frames = @import("../ring/mod.zig").frames;
const packets = @import("../ring/mod.zig").packets;
const memory = @import("../memory/mod.zig").memory;
const protocol = @import("../ipc/mod.zig").protocol;
const publishing = @import("../ipc/mod.zig").publisher;
const frame_publishing = @import("../ipc/mod.zig").frames;
const publisher_events = @import("../ipc/mod.zig").publisher_events;
const packet_tracks = @import("../ipc/mod.zig").packet_tracks;
const tracks = @import("../ipc/mod.zig").track;
const subscribing = @import("../ipc/mod.zig").subscriber;
const packet_reading = @import("../ipc/mod.zig").packet_reader;
const cuda = @import("../memory/mod.zig").cuda;
const socket = @import("../os/mod.zig").socket;
const place = @import("../ipc/mod.zig").address;
const event_loop = @import("../ipc/mod.zig").event_loop;
const descriptor_socket = @import("../ipc/mod.zig").descriptor_socket;
const images = @import("../image/mod.zig").image;
const drm_format = @import("../core/mod.zig").drm_format;
const egl_display = @import("../egl/mod.zig").display;
const cuda_devices = @import("../cuda/mod.zig").devices;

/// A number. `CUFRAMES_` comes before its name in C.
pub const Constant = struct {
    name: []const u8,
    file: type,
    declaration: []const u8,

    pub fn value(comptime constant: Constant) u64 {
        return @field(constant.file, constant.declaration);
    }
};

pub const constants = [_]Constant{
    .{ .name = "ABI_VERSION", .file = library, .declaration = "abi_version" },
    .{ .name = "SLOTS_MIN", .file = layout, .declaration = "slots_min" },
    .{ .name = "SLOTS_MAX", .file = layout, .declaration = "slots_max" },
    .{ .name = "SUBSCRIBERS_MAX", .file = layout, .declaration = "subscribers_max" },
    .{ .name = "LEASES_MAX", .file = layout, .declaration = "leases_max" },
    .{ .name = "METADATA_SIZE_MAX", .file = layout, .declaration = "metadata_size_max" },
    .{ .name = "KEY_SIZE_MAX", .file = layout, .declaration = "key_size_max" },
    .{ .name = "NAME_SIZE_MAX", .file = layout, .declaration = "name_size_max" },
    .{ .name = "DIMENSION_MAX", .file = format, .declaration = "dimension_max" },
    .{ .name = "ASPECT_MAX", .file = picture, .declaration = "aspect_max" },
    .{ .name = "PLANES_MAX", .file = format, .declaration = "planes_max" },
    .{ .name = "UUID_SIZE", .file = protocol, .declaration = "uuid_size" },
    .{ .name = "DEVICES_MAX", .file = cuda_devices, .declaration = "devices_max" },
    .{ .name = "TRACKS_MAX", .file = layout, .declaration = "tracks_max" },
    .{ .name = "TRACK_ANY", .file = packet_reading, .declaration = "track_any" },
    .{ .name = "PACKETS_MAX", .file = packets, .declaration = "ring_slots_max" },
    .{ .name = "PACKET_DATA_SIZE_MAX", .file = packets, .declaration = "data_size_max" },
    .{ .name = "EXTRADATA_SIZE_MAX", .file = packets, .declaration = "extradata_size_max" },
    .{ .name = "ADDRESS_SIZE_MAX", .file = place, .declaration = "size_max" },
    .{ .name = "SOCKET_MESSAGE_SIZE_MAX", .file = descriptor_socket, .declaration = "message_size_max" },
    .{ .name = "SOCKET_DESCRIPTORS_MAX", .file = descriptor_socket, .declaration = "descriptors_max" },
    .{ .name = "IMAGE_PLANES_MAX", .file = images, .declaration = "planes_max" },
    .{ .name = "DMABUF_PAIRS_MAX", .file = egl_display, .declaration = "pairs_max" },
};

/// One of several values.
pub const Enumeration = struct {
    /// In Python.
    name: []const u8,
    type: type,
    typescript: []const u8,
    c: []const u8,
    /// In C, between `CUFRAMES_` and a value's name.
    prefix: []const u8 = "",
};

pub const enumerations = [_]Enumeration{
    .{ .name = "ErrorCode", .type = errors.Code, .typescript = "ERROR_CODES", .c = "error", .prefix = "ERROR_" },
    .{ .name = "PixelFormat", .type = format.Format, .typescript = "PIXEL_FORMATS", .c = "format" },
    .{
        .name = "DrmFormat",
        .type = drm_format.DrmFormat,
        .typescript = "DRM_FORMATS",
        .c = "drm_format",
        .prefix = "DRM_",
    },
    .{
        .name = "ColorPrimaries",
        .type = picture.Primaries,
        .typescript = "COLOR_PRIMARIES",
        .c = "primaries",
        .prefix = "PRIMARIES_",
    },
    .{
        .name = "ColorTransfer",
        .type = picture.Transfer,
        .typescript = "COLOR_TRANSFERS",
        .c = "transfer",
        .prefix = "TRANSFER_",
    },
    .{
        .name = "ColorMatrix",
        .type = picture.Matrix,
        .typescript = "COLOR_MATRICES",
        .c = "matrix",
        .prefix = "MATRIX_",
    },
    .{ .name = "ColorRange", .type = picture.Range, .typescript = "COLOR_RANGES", .c = "range", .prefix = "RANGE_" },
    .{
        .name = "ChromaLocation",
        .type = picture.ChromaLocation,
        .typescript = "CHROMA_LOCATIONS",
        .c = "chroma_location",
        .prefix = "CHROMA_LOCATION_",
    },
    .{
        .name = "FieldOrder",
        .type = picture.FieldOrder,
        .typescript = "FIELD_ORDERS",
        .c = "field_order",
        .prefix = "FIELD_ORDER_",
    },
    .{ .name = "ImageLayout", .type = images.Layout, .typescript = "IMAGE_LAYOUTS", .c = "image_layout" },
    .{ .name = "Policy", .type = frames.Policy, .typescript = "POLICIES", .c = "policy" },
    .{ .name = "Mode", .type = frames.Mode, .typescript = "MODES", .c = "mode" },
    .{ .name = "TrackKind", .type = tracks.Kind, .typescript = "TRACK_KINDS", .c = "track_kind", .prefix = "TRACK_" },
    .{ .name = "Since", .type = packet_reading.Since, .typescript = "SINCE", .c = "since", .prefix = "SINCE_" },
    .{ .name = "MemoryKind", .type = memory.Kind, .typescript = "MEMORY_KINDS", .c = "memory" },
    .{
        .name = "PublisherEventKind",
        .type = publisher_events.Kind,
        .typescript = "PUBLISHER_EVENTS",
        .c = "publisher_event_kind",
        .prefix = "PUBLISHER_EVENT_",
    },
    .{ .name = "Direction", .type = descriptor_socket.Direction, .typescript = "DIRECTIONS", .c = "direction" },
};

/// Any of several bits: the public declarations of a file, or of a namespace in it, whose names begin with `begin` and
/// whose values are single bits.
pub const Bits = struct {
    /// In Python.
    name: []const u8,
    file: type,
    namespace: ?[]const u8 = null,
    begin: []const u8 = "",
    /// Before a bit's name in TypeScript.
    typescript: []const u8,
    c: []const u8,
    /// In C, between `CUFRAMES_` and a bit's name.
    prefix: []const u8 = "",
    comment: []const u8,

    pub fn container(comptime bits: Bits) type {
        return if (bits.namespace) |namespace| @field(bits.file, namespace) else bits.file;
    }

    pub fn values(comptime bits: Bits) []const Bit {
        comptime {
            @setEvalBranchQuota(100_000);
            var result: []const Bit = &.{};
            for (@typeInfo(bits.container()).@"struct".decls) |declaration| {
                if (!std.mem.startsWith(u8, declaration.name, bits.begin)) continue;
                const value = @field(bits.container(), declaration.name);
                if (@TypeOf(value) != u32 or @popCount(value) != 1) continue;
                const name = raised(declaration.name[bits.begin.len..]);
                result = result ++ .{Bit{ .name = name, .declaration = declaration.name, .value = value }};
            }
            return result;
        }
    }

    pub fn declarationOf(comptime bits: Bits, sources: *Sources, comptime bit: Bit) !Declaration {
        const namespace = bits.namespace orelse return sources.in(bits.file, bit.declaration);
        return (try sources.in(bits.file, namespace)).member(bit.declaration);
    }
};

/// `name` is in capitals, without what all names of its set begin with.
pub const Bit = struct { name: []const u8, declaration: []const u8, value: u32 };

pub const bit_sets = [_]Bits{
    .{
        .name = "FrameFlag",
        .file = layout,
        .begin = "flag_",
        .typescript = "FLAG_",
        .c = "frame_flags",
        .comment = "Flags of a frame.",
    },
    .{
        .name = "PacketFlag",
        .file = packets,
        .namespace = "flag",
        .typescript = "PACKET_FLAG_",
        .c = "packet_flags",
        .prefix = "PACKET_",
        .comment = "Flags of a packet.",
    },
    .{
        .name = "Want",
        .file = protocol,
        .begin = "want_",
        .typescript = "WANT_",
        .c = "wants",
        .comment = "What a connection is for.",
    },
};

/// A struct, behind those that are in it.
pub const Struct = struct {
    /// In TypeScript and Python.
    name: []const u8,
    type: type,
    /// In C; else the same in snake_case.
    c: ?[]const u8 = null,
    /// Those of its arrays of bytes that are text.
    text: []const []const u8 = &.{},
    /// TypeScript has nested structs flat, and needs those alone that it finds in an array.
    typescript: bool = true,

    pub fn cName(comptime entry: Struct) []const u8 {
        return entry.c orelse comptime lowered(entry.name);
    }
};

pub const structs = [_]Struct{
    .{ .name = "PlanePlace", .type = format.Plane, .c = "plane" },
    .{ .name = "Geometry", .type = format.Geometry, .typescript = false },
    .{ .name = "PublisherOptions", .type = publishing.Options, .text = &.{ "key", "directory", "device" } },
    .{ .name = "RingInfo", .type = publishing.Info },
    .{ .name = "Picture", .type = picture.Picture },
    .{ .name = "PublishRecord", .type = frame_publishing.PublishRecord },
    .{ .name = "PublisherStats", .type = publishing.Stats },
    .{ .name = "PublisherEvent", .type = publisher_events.PublisherEvent, .text = &.{"name"} },
    .{ .name = "TrackInfo", .type = tracks.TrackInfo, .text = &.{ "language", "label", "codec_name" } },
    .{ .name = "PacketOptions", .type = packet_tracks.PacketOptions },
    .{ .name = "PacketRecord", .type = packet_tracks.PacketRecord },
    .{ .name = "SubscriberOptions", .type = subscribing.Options, .text = &.{ "key", "directory", "name" } },
    .{ .name = "FrameView", .type = subscribing.FrameView, .c = "frame" },
    .{ .name = "SubscriberStats", .type = subscribing.Stats },
    .{ .name = "PacketReaderOptions", .type = packet_reading.PacketReaderOptions, .text = &.{"label"} },
    .{ .name = "PacketView", .type = packet_reading.PacketView, .c = "packet" },
    .{ .name = "PacketStats", .type = packet_reading.PacketStats },
    .{ .name = "Prefix", .type = protocol.Prefix, .typescript = false },
    .{ .name = "ReportSubscriber", .type = protocol.ReportSubscriber, .text = &.{"name"} },
    .{ .name = "Eviction", .type = protocol.Eviction, .text = &.{"name"}, .typescript = false },
    .{ .name = "ReportTrack", .type = protocol.ReportTrack },
    .{ .name = "Report", .type = protocol.Report },
    .{ .name = "SourcePlane", .type = cuda.SourcePlane },
    .{ .name = "CopySource", .type = cuda.CopySource },
    .{ .name = "Device", .type = cuda_devices.Device, .text = &.{"name"} },
    .{ .name = "Credentials", .type = socket.Credentials },
    .{ .name = "Received", .type = descriptor_socket.Received },
    .{ .name = "ImageSourcePlane", .type = images.SourcePlane },
    .{ .name = "ImageOptions", .type = images.Options, .text = &.{"device"} },
    .{ .name = "ImagePlane", .type = images.Plane },
    .{ .name = "ImageInfo", .type = images.Info },
    .{ .name = "DmabufPair", .type = egl_display.Pair },
};

/// The one type of function that callers pass in.
pub const callback = .{ .file = event_loop, .declaration = "Callback" };
pub const Callback = @field(callback.file, callback.declaration);

pub const Function = struct {
    name: []const u8,
    /// Where it is declared.
    file: type,
    signature: std.builtin.Type.Fn,
};

/// In the order of lib.zig's files, and in that of each file.
pub const functions: []const Function = blk: {
    @setEvalBranchQuota(100_000);
    var result: []const Function = &.{};
    for (lib.exporting) |file| {
        for (@typeInfo(file).@"struct".decls) |declaration| {
            if (!std.mem.startsWith(u8, declaration.name, "cuframes_")) continue;
            const signature = @typeInfo(@TypeOf(@field(file, declaration.name))).@"fn";
            result = result ++ .{Function{ .name = declaration.name, .file = file, .signature = signature }};
        }
    }
    break :blk result;
};

/// The struct's entry; null for one that has none, whose fields then are those of the struct around it.
pub fn structOf(comptime T: type) ?Struct {
    inline for (structs) |entry| {
        if (entry.type == T) return entry;
    }
    return null;
}

/// A field as C and Python have it.
pub const Member = struct {
    name: []const u8,
    type: type,
    offset: usize,
    /// The struct that declares it.
    container: type,
    is_text: bool,
};

pub fn membersOf(comptime entry: Struct) []const Member {
    comptime {
        const members = flat(entry.type, 0, entry.text);
        for (entry.text) |name| {
            for (members) |member| {
                if (std.mem.eql(u8, member.name, name)) break;
            } else @compileError(entry.name ++ " has no field " ++ name);
        }
        return members;
    }
}

fn flat(comptime T: type, comptime base: usize, comptime text: []const []const u8) []const Member {
    var result: []const Member = &.{};
    for (@typeInfo(T).@"struct".fields) |field| {
        const offset = base + @offsetOf(T, field.name);
        if (@typeInfo(field.type) == .@"struct" and structOf(field.type) == null) {
            result = result ++ flat(field.type, offset, text);
            continue;
        }
        const is_text = for (text) |name| {
            if (std.mem.eql(u8, name, field.name)) break true;
        } else false;
        result = result ++ .{Member{
            .name = field.name,
            .type = field.type,
            .offset = offset,
            .container = T,
            .is_text = is_text,
        }};
    }
    return result;
}

/// What a function's parameter `handle` is a handle of. In abi/ that name will do: the next line fetches the object.
const handle_names = .{
    .{ "cuframes_context_", "context" },
    .{ "cuframes_publisher_", "publisher" },
    .{ "cuframes_connect_", "attempt" },
    .{ "cuframes_subscriber_", "subscriber" },
    .{ "cuframes_packet_reader_", "reader" },
    .{ "cuframes_image_", "image" },
    .{ "cuframes_socket_", "socket" },
};

pub fn parameterName(function: []const u8, name: []const u8) []const u8 {
    if (std.mem.cutSuffix(u8, name, "_handle")) |object| return object;
    if (!std.mem.eql(u8, name, "handle")) return name;
    inline for (handle_names) |entry| {
        if (std.mem.startsWith(u8, function, entry[0])) return entry[1];
    }
    return name;
}

/// PascalCase to snake_case.
fn lowered(comptime name: []const u8) []const u8 {
    var result: []const u8 = "";
    for (name, 0..) |byte, index| {
        if (std.ascii.isUpper(byte) and index > 0) result = result ++ "_";
        result = result ++ [1]u8{std.ascii.toLower(byte)};
    }
    return result;
}

pub fn raised(comptime name: []const u8) []const u8 {
    comptime {
        @setEvalBranchQuota(10_000);
        var result: [name.len]u8 = undefined;
        for (name, &result) |byte, *capital| capital.* = std.ascii.toUpper(byte);
        const final = result;
        return &final;
    }
}
