//! This file writes the TypeScript side: codes and constants in constants.ts, byte offsets in layout.ts, functions in
//! symbols.ts.

const std = @import("std");
const Writer = std.Io.Writer;
const table = @import("table.zig");
const errors = @import("../core/mod.zig").errors;
const format = @import("../core/mod.zig").format;
const drm_format = @import("../core/mod.zig").drm_format;

const head = "// Generated from the Zig sources by `npm run build`. Do not edit.\n\n";

const format_comment = "Codes on the wire and, per plane, the bytes of a sample position and the pixels it covers.";
const drm_comment = "drm_fourcc.h's codes of the dma-bufs that can be imported; their planes as above.";

/// What the pure code needs as well.
pub fn writeConstants(writer: *Writer) !void {
    try writer.writeAll(head);
    inline for (table.constants) |constant| try writeConstant(writer, constant.name, constant.value());
    inline for (table.bit_sets) |bits| {
        inline for (comptime bits.values()) |bit| try writeConstant(writer, bits.typescript ++ bit.name, bit.value);
    }
    inline for (table.enumerations) |enumeration| switch (enumeration.type) {
        errors.Code => try writeErrors(writer, enumeration.typescript),
        format.Format => try writeFormats(writer, enumeration.typescript, format_comment, format.Format, format),
        drm_format.DrmFormat => {
            try writeFormats(writer, enumeration.typescript, drm_comment, drm_format.DrmFormat, drm_format);
        },
        else => try writeCodes(writer, enumeration.typescript, enumeration.type),
    };
}

pub fn writeLayout(writer: *Writer) !void {
    try writer.writeAll(head ++ "// Byte offsets of the fields of each struct, and its size.\n");
    inline for (table.structs) |entry| {
        if (!entry.typescript) continue;
        try writer.print("\nexport const {s} = {{\n  SIZE: {d},\n", .{ entry.name, @sizeOf(entry.type) });
        try writeFields(writer, entry.type, "", 0);
        try writer.writeAll("} as const;\n");
    }
}

fn writeConstant(writer: *Writer, name: []const u8, value: u64) !void {
    try writer.print("export const {s} = {d} as const;\n", .{ name, value });
}

fn writeErrors(writer: *Writer, name: []const u8) !void {
    try writer.print("\n/** Negative results of the C ABI, by name. */\nexport const {s} = {{\n", .{name});
    inline for (@typeInfo(errors.Code).@"enum".fields) |field| {
        try writer.print("  {s}: {d},\n", .{ field.name, field.value });
    }
    try writer.writeAll("} as const;\n");
}

/// `room` has the planes of its formats.
fn writeFormats(writer: *Writer, name: []const u8, comment: []const u8, comptime E: type, comptime room: type) !void {
    try writer.print("\n/** {s} */\nexport const {s} = {{\n", .{ comment, name });
    inline for (@typeInfo(E).@"enum".fields) |field| {
        try writePlanes(writer, field.name, field.value, room.planesOf(@enumFromInt(field.value)));
    }
    try writer.writeAll("} as const;\n");
}

fn writePlanes(writer: *Writer, name: []const u8, code: u32, planes: []const format.PlaneShape) !void {
    try writer.print("  {s}: {{ code: {d}, planes: [", .{ name, code });
    for (planes, 0..) |plane, index| {
        if (index > 0) try writer.writeAll(", ");
        try writer.print("{{ bytes: {d}, x: {d}, y: {d} }}", .{ plane.bytes, plane.x, plane.y });
    }
    try writer.writeAll("] },\n");
}

fn writeCodes(writer: *Writer, name: []const u8, comptime E: type) !void {
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
fn writeFields(writer: *Writer, comptime T: type, comptime prefix: []const u8, comptime base: usize) !void {
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

pub fn writeSymbols(writer: *Writer) !void {
    try writer.writeAll(head ++
        \\/** The C functions of the shim, in the runtimes' common terms; each adapter translates them. */
        \\export const SYMBOLS = {
        \\
    );
    inline for (table.functions) |function| {
        try writer.print("  {s}: {{ parameters: [", .{function.name});
        inline for (function.signature.params, 0..) |parameter, index| {
            if (index > 0) try writer.writeAll(", ");
            try writer.print("\"{s}\"", .{typeName(parameter.type.?)});
        }
        try writer.print("], result: \"{s}\" }},\n", .{typeName(function.signature.return_type.?)});
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
