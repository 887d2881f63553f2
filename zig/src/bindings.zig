//! Writes the TypeScript side of the C ABI: `bindings layout` the structs, codes and constants,
//! `bindings symbols` the functions. Everything is read off the Zig declarations.

const std = @import("std");
const lib = @import("lib.zig");
const errors = @import("errors.zig");
const format = @import("format.zig");
const layout = @import("ring/layout.zig");
const frames = @import("ring/frames.zig");
const packets = @import("ring/packets.zig");
const memory = @import("memory/memory.zig");
const protocol = @import("rendezvous/protocol.zig");
const publishing = @import("rendezvous/publisher.zig");
const subscribing = @import("rendezvous/subscriber.zig");
const cuda = @import("memory/cuda.zig");
const socket = @import("os/socket.zig");
const place = @import("rendezvous/place.zig");
const descriptor_socket = @import("rendezvous/descriptor_socket.zig");
const images = @import("image/image.zig");
const drm_format = @import("image/drm_format.zig");
const egl_display = @import("egl/display.zig");
const cuda_devices = @import("cuda/devices.zig");

const structs = .{
    .PublisherOptions = publishing.Options,
    .RingInfo = publishing.Info,
    .PublishRecord = publishing.PublishRecord,
    .PublisherStats = publishing.Stats,
    .PacketOptions = publishing.PacketOptions,
    .PacketRecord = publishing.PacketRecord,
    .SubscriberOptions = subscribing.Options,
    .FrameView = subscribing.FrameView,
    .SubscriberStats = subscribing.Stats,
    .PacketView = subscribing.PacketView,
    .PacketStats = subscribing.PacketStats,
    .Report = protocol.Report,
    .ReportSubscriber = protocol.ReportSubscriber,
    .PlanePlace = format.Plane,
    .CopySource = cuda.CopySource,
    .SourcePlane = cuda.SourcePlane,
    .Device = cuda_devices.Device,
    .Credentials = socket.Credentials,
    .Received = descriptor_socket.Received,
    .ImageOptions = images.Options,
    .ImageSourcePlane = images.SourcePlane,
    .ImageInfo = images.Info,
    .ImagePlane = images.Plane,
    .DmabufPair = egl_display.Pair,
};

const constants = .{
    .ABI_VERSION = lib.abi_version,
    .SLOTS_MIN = layout.slots_min,
    .SLOTS_MAX = layout.slots_max,
    .SUBSCRIBERS_MAX = layout.subscribers_max,
    .LEASES_MAX = layout.leases_max,
    .METADATA_SIZE_MAX = layout.metadata_size_max,
    .KEY_SIZE_MAX = layout.key_size_max,
    .NAME_SIZE_MAX = layout.name_size_max,
    .DIMENSION_MAX = format.dimension_max,
    .PLANES_MAX = format.planes_max,
    .UUID_SIZE = protocol.uuid_size,
    .DEVICES_MAX = cuda_devices.devices_max,
    .EXTRADATA_SIZE_MAX = packets.extradata_size_max,
    .FLAG_DISCONTINUITY = layout.flag_discontinuity,
    .FLAG_CORRUPT = layout.flag_corrupt,
    .PACKET_FLAG_KEY = packets.flag.key,
    .PACKET_FLAG_CORRUPT = packets.flag.corrupt,
    .PACKET_FLAG_DISCONTINUITY = packets.flag.discontinuity,
    .PACKET_FLAG_LAST_IN_AU = packets.flag.last_in_au,
    .ADDRESS_SIZE_MAX = place.size_max,
    .SOCKET_MESSAGE_SIZE_MAX = descriptor_socket.message_size_max,
    .SOCKET_DESCRIPTORS_MAX = descriptor_socket.descriptors_max,
    .IMAGE_PLANES_MAX = images.planes_max,
    .DMABUF_PAIRS_MAX = egl_display.pairs_max,
    .WANT_FRAMES = protocol.want_frames,
    .WANT_PACKETS = protocol.want_packets,
    .WANT_REPORT = protocol.want_report,
};

pub fn main(init: std.process.Init.Minimal) !void {
    var buffer: [1 << 16]u8 = undefined;
    var writer: std.Io.Writer = .fixed(&buffer);
    var arguments = init.args.iterate();
    _ = arguments.skip();
    const what = arguments.next() orelse return error.Usage;
    try writer.writeAll("// Generated from the Zig sources by `npm run build`. Do not edit.\n\n");
    if (std.mem.eql(u8, what, "layout")) {
        try writeLayout(&writer);
    } else if (std.mem.eql(u8, what, "symbols")) {
        try writeSymbols(&writer);
    } else return error.Usage;
    var rest = writer.buffered();
    while (rest.len > 0) {
        const result = std.os.linux.write(1, rest.ptr, rest.len);
        if (std.os.linux.errno(result) != .SUCCESS) return error.WriteFailed;
        rest = rest[result..];
    }
}

fn writeLayout(writer: *std.Io.Writer) !void {
    inline for (@typeInfo(@TypeOf(constants)).@"struct".fields) |field| {
        try writer.print("export const {s} = {d} as const;\n", .{ field.name, @field(constants, field.name) });
    }
    try writer.writeAll("\n/** Negative results of the C ABI, by name. */\nexport const ERROR_CODES = {\n");
    inline for (@typeInfo(errors.Code).@"enum".fields) |field| try writer.print("  {s}: {d},\n", .{ field.name, field.value });
    try writer.writeAll("} as const;\n\n/** Codes on the wire and, per plane, the bytes of a sample position and the pixels it covers. */\nexport const PIXEL_FORMATS = {\n");
    inline for (@typeInfo(format.Format).@"enum".fields) |field| {
        try writePlanes(writer, field.name, field.value, format.planesOf(@enumFromInt(field.value)));
    }
    try writer.writeAll("} as const;\n");
    try writer.writeAll("\n/** drm_fourcc.h's codes of the dma-bufs that can be imported; their planes as above. */\nexport const DRM_FORMATS = {\n");
    inline for (@typeInfo(drm_format.DrmFormat).@"enum".fields) |field| {
        try writePlanes(writer, field.name, field.value, drm_format.planesOf(@enumFromInt(field.value)));
    }
    try writer.writeAll("} as const;\n");
    try writeCodes(writer, "IMAGE_LAYOUTS", images.Layout);
    try writeCodes(writer, "POLICIES", frames.Policy);
    try writeCodes(writer, "MODES", frames.Mode);
    try writeCodes(writer, "MEMORY_KINDS", memory.Kind);
    try writeCodes(writer, "DIRECTIONS", descriptor_socket.Direction);
    try writer.writeAll("\n// Byte offsets of the fields of each struct, and its size.\n");
    inline for (@typeInfo(@TypeOf(structs)).@"struct".fields) |field| {
        const T = @field(structs, field.name);
        try writer.print("\nexport const {s} = {{\n  SIZE: {d},\n", .{ field.name, @sizeOf(T) });
        try writeFields(writer, T, "", 0);
        try writer.writeAll("} as const;\n");
    }
}

fn writePlanes(writer: *std.Io.Writer, name: []const u8, code: u32, planes: []const format.PlaneShape) !void {
    try writer.print("  {s}: {{ code: {d}, planes: [", .{ name, code });
    for (planes, 0..) |plane, index| {
        if (index > 0) try writer.writeAll(", ");
        try writer.print("{{ bytes: {d}, x: {d}, y: {d} }}", .{ plane.bytes, plane.x, plane.y });
    }
    try writer.writeAll("] },\n");
}

fn writeCodes(writer: *std.Io.Writer, name: []const u8, comptime E: type) !void {
    try writer.print("\nexport const {s} = {{ ", .{name});
    inline for (@typeInfo(E).@"enum".fields, 0..) |field, index| {
        if (index > 0) try writer.writeAll(", ");
        try writer.writeByte('"');
        for (field.name) |byte| try writer.writeByte(if (byte == '_') '-' else byte);
        try writer.print("\": {d}", .{field.value});
    }
    try writer.writeAll(" } as const;\n");
}

/// Nested structs are written flat, their names joined; arrays by the offset of their first element.
fn writeFields(writer: *std.Io.Writer, comptime T: type, comptime prefix: []const u8, comptime base: usize) !void {
    inline for (@typeInfo(T).@"struct".fields) |field| {
        const offset = base + @offsetOf(T, field.name);
        const name = comptime joined(prefix, field.name);
        if (comptime std.mem.endsWith(u8, field.name, "reserved")) continue;
        if (@typeInfo(field.type) == .@"struct") {
            try writeFields(writer, field.type, name, offset);
        } else {
            try writer.print("  {s}: {d},\n", .{ name, offset });
        }
    }
}

/// snake_case fields of nested structs to one camelCase name.
fn joined(comptime prefix: []const u8, comptime name: []const u8) []const u8 {
    comptime {
        var result: []const u8 = prefix;
        var upper = prefix.len > 0;
        for (name) |byte| {
            if (byte == '_') {
                upper = true;
                continue;
            }
            result = result ++ [1]u8{if (upper) std.ascii.toUpper(byte) else byte};
            upper = false;
        }
        return result;
    }
}

fn writeSymbols(writer: *std.Io.Writer) !void {
    try writer.writeAll(
        \\/** The C functions of the shim, in the runtimes' common terms; each adapter translates them. */
        \\export const SYMBOLS = {
        \\
    );
    inline for (@typeInfo(lib).@"struct".decls) |declaration| {
        const value = @field(lib, declaration.name);
        if (@typeInfo(@TypeOf(value)) == .@"fn") {
            const signature = @typeInfo(@TypeOf(value)).@"fn";
            try writer.print("  {s}: {{ parameters: [", .{declaration.name});
            inline for (signature.params, 0..) |parameter, index| {
                if (index > 0) try writer.writeAll(", ");
                try writer.print("\"{s}\"", .{typeName(parameter.type.?)});
            }
            try writer.print("], result: \"{s}\" }},\n", .{typeName(signature.return_type.?)});
        }
    }
    try writer.writeAll("} as const;\n");
}

fn typeName(comptime T: type) []const u8 {
    return switch (T) {
        u32, i32, u64, void => @typeName(T),
        else => switch (@typeInfo(T)) {
            .optional => |optional| switch (@typeInfo(optional.child)) {
                .pointer => |pointer| if (@typeInfo(pointer.child) == .@"fn") "callback" else "buffer",
                else => @compileError("no TypeScript name for " ++ @typeName(T)),
            },
            else => @compileError("no TypeScript name for " ++ @typeName(T)),
        },
    };
}
